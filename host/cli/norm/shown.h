/* Which of many rows or columns are printed: all, or the first and last few. */
#ifndef ANYNORM_CLI_SHOWN_H
#define ANYNORM_CLI_SHOWN_H

#include <stdbool.h>
#include <stdint.h>

struct shown {
    uint64_t total;
    uint64_t edge; /* how many at either end; 0: all are shown */
};

static inline struct shown shown_of(uint64_t total, uint64_t whole_up_to, uint64_t edge)
{
    return (struct shown){total, total > whole_up_to ? edge : 0};
}

static inline uint64_t shown_count(struct shown shown)
{
    return shown.edge ? 2 * shown.edge : shown.total;
}

static inline uint64_t shown_index(struct shown shown, uint64_t k)
{
    return shown.edge && k >= shown.edge ? shown.total - 2 * shown.edge + k : k;
}

/* Whether something is left out before the k-th that is shown. */
static inline bool shown_gap(struct shown shown, uint64_t k)
{
    return shown.edge && k == shown.edge;
}

#endif
