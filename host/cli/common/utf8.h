/* UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF. */
#ifndef ANYNORM_CLI_UTF8_H
#define ANYNORM_CLI_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at `at`, of which `left`, at least 1, may be read; 0 if there is none. */
size_t utf8_length(const char *at, size_t left);

/* Writes the character, a valid one, of 4 bytes at most; returns how many. */
size_t utf8_write(uint32_t point, char *out);

#endif
