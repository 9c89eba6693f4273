/* Failing with a message: how every function of the library returns an error. */
#ifndef AN_STATUS_H
#define AN_STATUS_H

#include <anynorm/anynorm.h>

/* Sets the calling thread's message and returns `status`, so that a failure is one line:
 * `return an_fail(ANYNORM_UNSUPPORTED, "...")`. */
anynorm_status an_fail(anynorm_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
