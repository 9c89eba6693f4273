/* A bar on stderr for work that lasts: only on a terminal, only after half a second. */
#ifndef ANYNORM_CLI_PROGRESS_H
#define ANYNORM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint64_t total;
    bool terminal;
    bool drawn;
    double started; /* seconds */
    double last;
};

/* Seconds of the monotonic clock. */
double clock_seconds(void);

void progress_start(struct progress *progress, uint64_t total);
void progress_update(struct progress *progress, uint64_t done);
/* Erases the bar. Before anything else goes to the terminal. */
void progress_end(struct progress *progress);

#endif
