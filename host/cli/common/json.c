#include "cli.h"

#include <string.h>

/* ---- UTF-8 ---- */

/* Bytes of the character at `at`, of which `left`, at least 1, may be read; 0 if there is none as
 * RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF. */
static size_t utf8_length(const char *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)*at;
    size_t length = first < 0x80   ? 1
                    : first < 0xc0 ? 0
                    : first < 0xe0 ? 2
                    : first < 0xf0 ? 3
                    : first < 0xf8 ? 4
                                   : 0;
    uint32_t point;

    if (length < 2)
        return length;
    if (length > left)
        return 0;
    point = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        unsigned char next = (unsigned char)at[i];

        if ((next & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (next & 0x3f);
    }
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return length;
}

/* Writes the character, a valid one, of 4 bytes at most; returns how many. */
static size_t utf8_write(uint32_t point, char *out)
{
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

    for (size_t i = length; i-- > 1; point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(marks[length] | point);
    return length;
}

/* ---- Reading ---- */

static void skip_spaces(struct json_reader *reader)
{
    while (reader->at < reader->end && *reader->at && strchr(" \t\r\n", *reader->at))
        reader->at++;
}

bool json_take(struct json_reader *reader, char c)
{
    skip_spaces(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

/* The four digits of \uXXXX. */
static bool read_unit(struct json_reader *reader, uint32_t *unit)
{
    *unit = 0;
    if (reader->end - reader->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *reader->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return true;
}

/* What follows "\u": one unit, or the two of a character above U+FFFF. */
static bool read_point(struct json_reader *reader, uint32_t *point)
{
    uint32_t low;

    if (!read_unit(reader, point))
        return false;
    if (*point < 0xd800 || *point >= 0xe000)
        return true;
    if (*point >= 0xdc00 || reader->end - reader->at < 2 || memcmp(reader->at, "\\u", 2) != 0)
        return false;
    reader->at += 2;
    if (!read_unit(reader, &low) || low < 0xdc00 || low >= 0xe000)
        return false;
    *point = 0x10000 + ((*point - 0xd800) << 10 | (low - 0xdc00));
    return true;
}

/* What follows a backslash. */
static bool read_escape(struct json_reader *reader, uint32_t *point)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter;
    char c;

    if (reader->at == reader->end)
        return false;
    c = *reader->at++;
    if (c == 'u')
        return read_point(reader, point);
    letter = c ? strchr(letters, c) : NULL;
    if (!letter)
        return false;
    *point = (unsigned char)meanings[letter - letters];
    return true;
}

bool json_string(struct json_reader *reader, char *out, size_t *length)
{
    uint32_t point;

    *length = 0;
    if (!json_take(reader, '"'))
        return false;
    while (reader->at < reader->end && *reader->at != '"') {
        size_t left = (size_t)(reader->end - reader->at);
        size_t plain = utf8_length(reader->at, left);

        if (plain == 0 || (unsigned char)*reader->at < 0x20)
            return false;
        if (*reader->at == '\\') {
            reader->at++;
            if (!read_escape(reader, &point))
                return false;
            *length += utf8_write(point, out + *length);
        } else {
            memcpy(out + *length, reader->at, plain);
            *length += plain;
            reader->at += plain;
        }
    }
    return json_take(reader, '"');
}

bool json_count(struct json_reader *reader, uint64_t *value)
{
    const char *start;

    skip_spaces(reader);
    start = reader->at;
    *value = 0;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        uint64_t digit = (uint64_t)(*reader->at - '0');

        if (*value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return reader->at > start && (*start != '0' || reader->at - start == 1);
}

/* ---- Writing ---- */

void json_add_string(struct json_text *json, const char *text)
{
    const char *at = text;
    size_t left = strlen(text);

    json_add(json, "\"");
    while (left > 0) {
        size_t length = utf8_length(at, left);
        size_t taken = length ? length : 1;

        if (length == 0)
            json_add(json, "\\ufffd");
        else if (*at == '"' || *at == '\\')
            json_add(json, "\\%c", *at);
        else if ((unsigned char)*at < 0x20 || *at == 0x7f || *at == '<')
            json_add(json, "\\u%04x", *at);
        else
            json_add(json, "%.*s", (int)length, at);
        at += taken;
        left -= taken;
    }
    json_add(json, "\"");
}
