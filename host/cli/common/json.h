/* Strict JSON (RFC 8259), in UTF-8 as RFC 3629 has it. It is read piece by piece: the caller says
 * what has to come next, so a text cannot nest deeper than the caller's own functions do. */
#ifndef ANYNORM_CLI_JSON_H
#define ANYNORM_CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of the text. */
struct json_reader {
    const char *at;
    const char *end;
};

/* Takes `c`, and the white space before it, if it comes next. */
bool json_take(struct json_reader *reader, char c);

/* Takes a string and decodes it into `out`, which must have room for what is left of the text;
 * *length bytes, without a zero. False: none comes next, or it is malformed. */
bool json_string(struct json_reader *reader, char *out, size_t *length);

/* Takes an integer of 0 to 2^64 - 1 without a fraction or an exponent. */
bool json_count(struct json_reader *reader, uint64_t *value);

/* Prints `text` on stdout in quotes, escaped; bytes that are no UTF-8 become U+FFFD. */
void json_print_string(const char *text);

#endif
