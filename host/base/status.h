/* Failing with a message: how every function of the library returns an error. */
#ifndef AN_STATUS_H
#define AN_STATUS_H

#include <anynorm/anynorm.h>

#include "platform/printf.h"

/* Sets the calling thread's message and returns `status`, so that a failure is one line:
 * `return an_fail(ANYNORM_UNSUPPORTED, "...")`. */
anynorm_status an_fail(anynorm_status status, const char *format, ...) AN_PRINTF(2, 3);

#endif
