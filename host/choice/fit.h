/* A problem to choose a schedule for, and the rule of each schedule. */
#ifndef AN_FIT_H
#define AN_FIT_H

#include "platform/printf.h"

#include "choice.h"

/* Work-items that hide memory latency; a larger group only waits longer at barriers. */
#define USUAL_GROUP 256

struct problem {
    const anynorm_device_info *info;
    const anynorm_spec *spec; /* resolved */
    const struct an_choice *wish;
    char *reason;

    /* What these come to. */
    bool vulkan;
    bool vector_cpu;      /* a CPU whose work-items walk by vectors */
    bool lanes_cpu;       /* a CPU whose compiler makes lanes of work-items */
    bool subgroup_cpu;    /* one where a row's lanes, as a sub-group, need not wait at a barrier */
    uint64_t largest;     /* group of a power of two that the device takes */
    uint64_t accumulator; /* bytes of a sum */
    uint64_t maximum;     /* bytes of a work-item's largest element; 0: it needs none */
};

/* `wish` and `reason` may be NULL where no schedule's rule is asked. */
struct problem an_problem(const anynorm_device_info *info, const anynorm_spec *spec,
                          const struct an_choice *wish, char *reason);

/* The widest vector that is no wider than the device's own. */
uint64_t an_fit_native_vector(const struct problem *p);

/* Bytes of output above which stores go past the cache: with x it would take three quarters of it.
 */
uint64_t an_fit_stream_above(const struct problem *p);

/* Writes the reason, and returns `fits`. */
bool an_answer(const struct problem *p, bool fits, const char *format, ...) AN_PRINTF(3, 4);

/* Whether the device has so many bytes for the work-items of a group to share; else says so. */
bool an_fit_local_memory(const struct problem *p, uint64_t bytes);

/* One schedule's rule: whether it serves the problem; if so, its numbers. Says why, either way. */
typedef bool an_fit(const struct problem *p, struct an_choice *choice);

an_fit an_fit_row_per_item, an_fit_row_reread, an_fit_row_split, an_fit_column_walk;
an_fit an_fit_backward; /* fit_backward.c: of either schedule that finds gradients */
an_fit an_fit_row_per_subgroup, an_fit_row_per_group, an_fit_row_in_local; /* fit_held.c */

#endif
