/* What the rules of select.c and select_*.c share: a problem, and small sums about it. */
#ifndef AN_SELECT_FIT_H
#define AN_SELECT_FIT_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "quirks.h"
#include "select.h"
#include "spec/spec.h"

/* Work-items that hide memory latency; a larger group only waits longer at barriers. */
#define USUAL_GROUP 256

/* The longest row that one lane walks. Where lanes are what a device has, such a row is slow; and
 * see an_quirks_end_loops. */
#define MOST_COLUMNS_OF_A_LANE 65536

struct problem {
    const anynorm_device_info *info;
    const anynorm_spec *spec;
    const struct an_choice *wish;
    char *reason;
    size_t capacity;
};

static inline uint64_t power_of_two_at_least(uint64_t value)
{
    uint64_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

static inline uint64_t power_of_two_at_most(uint64_t value)
{
    uint64_t power = 1;
    while (power <= value / 2)
        power *= 2;
    return power;
}

static inline uint64_t accumulator_size(const anynorm_spec *spec)
{
    return an_spec_double(spec) ? sizeof(double) : sizeof(float);
}

/* The largest group of a power of two that the device takes. */
static inline uint64_t largest_group(const struct problem *p)
{
    return power_of_two_at_most(p->info->max_work_group_size);
}

/* Of a Vulkan kernel's flags, and arrays that a spec has no use for, which are of one element.
 * Where OpenCL tells of a compiled kernel's limits, Vulkan only knows what was declared. */
#define FLAG_BYTES 32

/* `bytes`: of what a schedule's work-items share. */
static inline bool fits_local_memory(const struct problem *p, uint64_t bytes)
{
    if (an_info_is_vulkan(p->info))
        bytes += FLAG_BYTES;
    if (bytes <= p->info->local_bytes)
        return true;
    snprintf(p->reason, p->capacity,
             "%" PRIu64 " bytes of local memory are needed, there are %" PRIu64, bytes,
             p->info->local_bytes);
    return false;
}

static inline bool is_vector_cpu(const anynorm_device_info *info)
{
    return info->device_class == ANYNORM_CLASS_CPU && info->vector_width >= 4;
}

/* The widest vector that is no wider than the device's own. */
static inline uint64_t native_vector(const struct problem *p)
{
    uint64_t width = p->info->vector_width * sizeof(float) / accumulator_size(p->spec);
    return width >= 16 ? 16 : width >= 8 ? 8 : 4;
}

/* A CPU whose compiler makes lanes of work-items. */
static inline bool is_cpu_of_lanes(const anynorm_device_info *info)
{
    return info->device_class == ANYNORM_CLASS_CPU && !is_vector_cpu(info);
}

/* One where a row's lanes, as a sub-group, need not wait at a barrier. */
static inline bool is_cpu_of_subgroups(const anynorm_device_info *info)
{
    return is_cpu_of_lanes(info) && an_info_is_vulkan(info) && info->subgroup_size > 1;
}

/* Bytes of output above which stores go past the cache: with x it would take three quarters of it.
 */
static inline uint64_t stream_above(const struct problem *p)
{
    if (p->wish->stream)
        return p->wish->stream;
    return p->info->cache_bytes ? (p->info->cache_bytes - 1) / 8 * 3 : AN_NEVER;
}

/* One schedule's rule: whether it serves the problem; if so, its numbers. Says why, either way. */
typedef bool an_fit(const struct problem *problem, struct an_choice *choice);

an_fit an_fit_row_per_item;
an_fit an_fit_row_per_subgroup, an_fit_row_per_group, an_fit_row_in_local; /* select_held.c */
an_fit an_fit_row_reread, an_fit_row_split;                                /* select_long.c */
an_fit an_fit_column_walk;

#endif
