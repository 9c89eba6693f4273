/* What the tests of refusals share: the status is exact, and the message fresh and of one line. */
#ifndef AN_TESTS_REFUSED_H
#define AN_TESTS_REFUSED_H

#include "support.h"

#include <stdio.h>
#include <string.h>

#include "status.h"

/* Fails the test unless the call returns `expected` and sets a message. */
#define assert_refused(call, expected)                                                             \
    (make_message_stale(), check_refused((call), (expected), __FILE__, __LINE__))

static inline void make_message_stale(void)
{
    an_fail(ANYNORM_IO, "stale");
}

static inline void check_refused(anynorm_status status, anynorm_status expected, const char *file,
                                 int line)
{
    check_status(status, expected, file, line);
    const char *message = anynorm_message();
    if (*message && strcmp(message, "stale") != 0 && !strchr(message, '\n'))
        return;
    fprintf(stderr, "%s:%d: the message is \"%s\"\n", file, line, message);
    _fail(file, line);
}

#endif
