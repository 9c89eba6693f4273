/* A text that grows at its end, as snprintf would have it: what does not fit is counted. */
#ifndef AN_TEXT_H
#define AN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/printf.h"

struct an_text {
    char *at;        /* ends with a zero after each put, if capacity is not 0 */
    size_t capacity; /* with the zero */
    size_t length;   /* what it takes without the zero, whether or not it fits */
};

void an_text_put(struct an_text *text, const char *format, ...) AN_PRINTF(2, 3);

/* How many bytes of a stranger's word a message shows. */
static inline int an_text_shown(size_t length)
{
    return length < 60 ? (int)length : 60;
}

/* Whether text[0..length) is that word. */
bool an_text_is(const char *text, size_t length, const char *word);

/* Whether all of `text` matches the pattern, in any case; * stands for any characters, ? for one.
 */
bool an_text_match(const char *pattern, const char *text);

/* Whether `part` is in the text, in any case. */
bool an_text_contains(const char *text, const char *part);

/* Copies as much as fits, as one line: control characters become blanks. */
void an_text_line(char *to, size_t capacity, const char *from);

#endif
