/* What the environment tells, and whether it may be believed. */
#ifndef AN_ENVIRONMENT_H
#define AN_ENVIRONMENT_H

#include <stdbool.h>

/* True if the process has more rights than who started it (setuid and the like): then paths out of
 * the environment are not to be used. */
bool an_rights_are_borrowed(void);

/* The variable's value in UTF-8, good until the thread's next call; NULL: not set, or empty. */
const char *an_environment(const char *variable);

/* For this process and those it starts. */
bool an_environment_set(const char *variable, const char *value); /* NULL: none */

/* Below which variables' folders this system keeps a user's files: the first that holds an absolute
 * path. Ended by NULL. */
struct an_place {
    const char *variable, *below;
};
extern const struct an_place an_cache_places[], an_tuning_places[];

#endif
