/* What the tests of refusals share: the status is exact, and the message fresh and of one line. */
#ifndef AN_TESTS_REFUSED_H
#define AN_TESTS_REFUSED_H

#include "support.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* Fails the test unless the call returns `expected` and sets a message; the second, unless that has
 * the word, too. */
#define assert_refused(call, expected)                                                             \
    (make_message_stale(), check_refused((call), (expected), __FILE__, __LINE__))
#define assert_refused_naming(call, expected, word)                                                \
    (make_message_stale(), check_refused_naming((call), (expected), (word), __FILE__, __LINE__))

/* How many calls this program saw refused as they should be; support.c has it. */
extern unsigned refused_calls;

static inline void make_message_stale(void)
{
    an_fail(ANYNORM_IO, "stale");
}

static inline void check_refused(anynorm_status status, anynorm_status expected, const char *file,
                                 int line)
{
    check_status(status, expected, file, line);
    const char *message = anynorm_message();
    refused_calls++;
    if (*message && strcmp(message, "stale") != 0 && !strchr(message, '\n'))
        return;
    fprintf(stderr, "%s:%d: the message is \"%s\"\n", file, line, message);
    _fail(file, line);
}

/* Whether the message has it as a word, not as a part of one. */
static inline bool message_has(const char *word)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const char *message = anynorm_message(), *at = message;
    size_t length = strlen(word);
    for (; length > 0 && (at = strstr(at, word)) != NULL; at++) {
        bool begins = at == message || !strchr(letters, at[-1]);
        if (begins && (at[length] == '\0' || !strchr(letters, at[length])))
            return true;
    }
    return length == 0;
}

static inline void check_refused_naming(anynorm_status status, anynorm_status expected,
                                        const char *word, const char *file, int line)
{
    check_refused(status, expected, file, line);
    if (message_has(word))
        return;
    fprintf(stderr, "%s:%d: the message is \"%s\", without \"%s\"\n", file, line, anynorm_message(),
            word);
    _fail(file, line);
}

/* At the end of a program; hands on what its main is to return. */
static inline int tell_refused(const char *program, int result)
{
    fprintf(stderr, "# %s: %u calls refused, each with its status and message\n", program,
            refused_calls);
    return result;
}

#endif
