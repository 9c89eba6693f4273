/* The log: lines go to the caller's callback and nowhere else. */
#ifndef AN_LOG_H
#define AN_LOG_H

#include <anynorm/anynorm.h>

#include "platform/printf.h"

/* One line of at most 1 KiB. Costs one atomic load where the level is off. */
void an_log(anynorm_log_level level, const char *format, ...) AN_PRINTF(2, 3);

#endif
