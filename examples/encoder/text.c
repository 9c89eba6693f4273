/* Unicode, as far as text.h says. */
#include "text.h"

#include <string.h>

struct range {
    int32_t first;
    int32_t last;
};

#define IN(ranges, character) is_in(ranges, sizeof(ranges) / sizeof *(ranges), character)

static const struct range spaces[] = {
    {'\t', '\n'},     {'\r', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680},
    {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
};

static const struct range nothings[] = {
    {0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},     {0x300, 0x36f},
    {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064}, {0x2066, 0x206f},
    {0x302a, 0x302d}, {0xfeff, 0xfeff}, {0xfffd, 0xfffd},
};

/* ASCII's symbols count as punctuation, as BERT has it; others only where Unicode says so. */
static const struct range alone[] = {
    {'!', '/'},
    {':', '@'},
    {'[', '`'},
    {'{', '~'},
    {0xa1, 0xa1},
    {0xa7, 0xa7},
    {0xab, 0xab},
    {0xb6, 0xb7},
    {0xbb, 0xbb},
    {0xbf, 0xbf},
    {0x2010, 0x2027},
    {0x2030, 0x2043},
    {0x2045, 0x2051},
    {0x2053, 0x205e},
    {0x3001, 0x3003},
    {0x3008, 0x3011},
    {0x3014, 0x301f},
    {0x3030, 0x3030},
    {0x303d, 0x303d},
    {0xff01, 0xff03},
    {0xff05, 0xff0a},
    {0xff0c, 0xff0f},
    {0xff1a, 0xff1b},
    {0xff1f, 0xff20},
    {0xff3b, 0xff3d},
    {0xff3f, 0xff3f},
    {0xff5b, 0xff5b},
    {0xff5d, 0xff5d},
    {0xff5f, 0xff65},
    /* Ideographs. */
    {0x3400, 0x4dbf},
    {0x4e00, 0x9fff},
    {0xf900, 0xfaff},
    {0x20000, 0x2a6df},
    {0x2a700, 0x2ceaf},
    {0x2f800, 0x2fa1f},
};

/* The letter that is left of each character from U+00C0 on; '.' where it has no accent to take
 * off. */
static const char bare[] = "aaaaaa.ceeeeiiii.nooooo..uuuuy..aaaaaa.ceeeeiiii.nooooo..uuuuy.y"
                           "aaaaaaccccccccdd..eeeeeeeeeegggggggghh..iiiiiiiii...jjkk.llllll."
                           "...nnnnnn...oooooo..rrrrrrsssssssstttt..uuuuuuuuuuuuwwyyyzzzzzz.";

static int is_in(const struct range *ranges, size_t count, int32_t character)
{
    for (size_t i = 0; i < count; i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return 1;
    }
    return 0;
}

int32_t text_decode(const char *text, size_t *length)
{
    static const struct {
        unsigned mask, mark;
        int32_t least; /* less is written in fewer bytes */
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    unsigned lead = (unsigned char)text[0];

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        int32_t character = (int32_t)(lead & ~forms[i].mask);

        if ((lead & forms[i].mask) != forms[i].mark)
            continue;
        for (size_t k = 1; k <= i; k++) {
            unsigned next = (unsigned char)text[k];

            if ((next & 0xc0) != 0x80)
                return -1;
            character = character * 64 + (int32_t)(next & 0x3f);
        }
        if (character < forms[i].least || character > 0x10ffff ||
            (character >= 0xd800 && character <= 0xdfff))
            return -1;
        *length = i + 1;
        return character;
    }
    return -1;
}

size_t text_encode(int32_t character, char *text)
{
    if (character < 0x80) {
        text[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        text[0] = (char)(0xc0 | character >> 6);
        text[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        text[0] = (char)(0xe0 | character >> 12);
        text[1] = (char)(0x80 | (character >> 6 & 0x3f));
        text[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    text[0] = (char)(0xf0 | character >> 18);
    text[1] = (char)(0x80 | (character >> 12 & 0x3f));
    text[2] = (char)(0x80 | (character >> 6 & 0x3f));
    text[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}

enum text_kind text_classify(int32_t character)
{
    if (IN(spaces, character))
        return TEXT_SPACE;
    if (IN(nothings, character))
        return TEXT_NOTHING;
    return IN(alone, character) ? TEXT_ALONE : TEXT_LETTER;
}

int32_t text_fold(int32_t letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter + ('a' - 'A');
    if (letter >= 0xff21 && letter <= 0xff3a) /* fullwidth */
        return letter + 0x20;
    if (letter < 0xc0 || letter > 0x17f)
        return letter;
    if (bare[letter - 0xc0] != '.')
        return bare[letter - 0xc0];
    if (letter <= 0xde && letter != 0xd7) /* not the sign of multiplication */
        return letter + 0x20;
    switch (letter) { /* without an accent and in upper case; the lower case comes next */
    case 0x110:
    case 0x126:
    case 0x132:
    case 0x13f:
    case 0x141:
    case 0x14a:
    case 0x152:
    case 0x166:
        return letter + 1;
    default:
        return letter;
    }
}
