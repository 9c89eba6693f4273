#include "json.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the UTF-8 character at `at`, 0 if there is none (RFC 3629: no overlong form, no
 * surrogate, nothing above U+10FFFF). */
static size_t utf8_length(const unsigned char *at)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80   ? 1
                    : at[0] < 0xc0 ? 0
                    : at[0] < 0xe0 ? 2
                    : at[0] < 0xf0 ? 3
                    : at[0] < 0xf8 ? 4
                                   : 0;
    uint32_t point;

    if (length < 2)
        return length;
    point = at[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3f);
    }
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return length;
}

void json_print_string(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    putchar('"');
    while (*at) {
        size_t length = utf8_length(at);

        if (length == 0) {
            fputs("\\ufffd", stdout);
            at++;
        } else if (*at == '"' || *at == '\\') {
            printf("\\%c", *at++);
        } else if (*at < 0x20 || *at == 0x7f) {
            printf("\\u%04x", *at++);
        } else {
            fwrite(at, 1, length, stdout);
            at += length;
        }
    }
    putchar('"');
}
