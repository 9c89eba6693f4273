/* The two tuning databases of a process: the user's own file, asked first, and the built-in one. */
#ifndef AN_TUNING_STORE_H
#define AN_TUNING_STORE_H

#include "tuning.h"

/* A larger file of the user is not read. */
#define AN_TUNING_MOST_BYTES (1 << 20)

/* The text of host/choice/tunings, embedded by the build. */
extern const char an_tunings_text[];
extern const size_t an_tunings_length;

/* What the databases say (of the user's only with `users`): true with *wish, and in `source` which
 * line of which. The user's file is read again whenever it changed; whatever is wrong with it is a
 * warning in the log, once, and costs no more than the lines that are wrong. Any thread. */
bool an_tuning_ask(const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows,
                   bool users, struct an_choice *wish, char *source, size_t capacity);

#endif
