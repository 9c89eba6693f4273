#include "json.h"

#include "utf8.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

void json_print_string(const char *text)
{
    const char *at = text;
    size_t left = strlen(text);

    putchar('"');
    while (left > 0) {
        size_t length = utf8_length(at, left);
        size_t taken = length ? length : 1;

        if (length == 0) {
            fputs("\\ufffd", stdout);
        } else if (*at == '"' || *at == '\\') {
            printf("\\%c", *at);
        } else if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            printf("\\u%04x", *at);
        } else {
            fwrite(at, 1, length, stdout);
        }
        at += taken;
        left -= taken;
    }
    putchar('"');
}
