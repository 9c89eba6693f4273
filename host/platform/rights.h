/* Whether the environment may be believed. */
#ifndef AN_RIGHTS_H
#define AN_RIGHTS_H

#include <stdbool.h>

/* True if the process has more rights than who started it (setuid and the like): then paths out of
 * the environment are not to be used. */
bool an_rights_are_borrowed(void);

#endif
