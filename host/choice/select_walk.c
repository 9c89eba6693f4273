/* column_walk: rows whose columns lie apart. */
#include "select_fit.h"

/* Rows next to each other that together fill a line of memory, or half of one. */
#define NEIGHBOURS 8

/* How often a work-item goes through its columns at most: twice for the sums, once
 * to normalize, and something for the loop around them. */
#define WALKS 4

/* Vectors of rows that one work-item may walk side by side, in private memory. */
#define MOST_STRIPS 16

/* Bytes of x that a core's own cache keeps from the pass that sums to the one that normalizes. */
#define CORE_CACHE_BYTES (256 * 1024)

/* Vectors of rows, 1 to 4, whose columns stay in a core's cache from one pass to the next. */
static uint64_t strips_in_cache(const struct problem *p, uint64_t vector)
{
    uint64_t bytes = p->spec->columns * vector * anynorm_dtype_size(p->spec->x.type), strips = 4;
    while (strips > 1 && strips * bytes > CORE_CACHE_BYTES)
        strips /= 2;
    return strips;
}

/* Work-items that share a row's columns, in a group of which the others walk neighbouring rows: so
 * that these fill a line of memory, and no column slice is too short to be worth adding up. */
static uint64_t usual_slices(uint64_t group, uint64_t columns)
{
    uint64_t slices = group;
    while (slices % 2 == 0 && (group / slices < NEIGHBOURS || slices * 4 > columns))
        slices /= 2;
    return slices;
}

/* Where no neighbour walks beside a work-item, OpenCL's kernel goes through the rows of a vector
 * that is not full one by one, at each column: rounds that llvmpipe counts. */
static bool is_too_long(const struct problem *p, const struct an_choice *choice)
{
    bool alone =
        is_cpu_of_lanes(p->info) && choice->slices == choice->group && !an_info_is_vulkan(p->info);
    uint64_t rounds = WALKS * (alone ? choice->vector : 1);
    bool ends = is_cpu_of_lanes(p->info) ? an_quirks_end_loops(p->info) : !is_vector_cpu(p->info);
    return ends && p->spec->columns / choice->slices > MOST_COLUMNS_OF_A_LANE / rounds;
}

/* Bytes of local memory in which slices meet. */
static uint64_t local_bytes(const struct problem *p, const struct an_choice *choice)
{
    uint64_t maxima = p->spec->flags & ANYNORM_Y_SCALE_OUTPUT ? sizeof(uint32_t) : 0;
    return choice->vector * choice->group * (2 * accumulator_size(p->spec) + maxima);
}

bool an_fit_column_walk(const struct problem *p, struct an_choice *choice)
{
    const struct an_choice *wish = p->wish;
    uint64_t usual = is_vector_cpu(p->info) ? 1 : an_least(USUAL_GROUP, largest_group(p));
    choice->vector = wish->vector ? wish->vector : is_vector_cpu(p->info) ? native_vector(p) : 4;
    choice->group = wish->group ? wish->group : usual;
    choice->slices = wish->slices ? wish->slices : usual_slices(choice->group, p->spec->columns);
    choice->held = wish->held;
    if (choice->group > 1 || an_info_is_vulkan(p->info)) /* whose neighbours hide latencies */
        choice->held = 1;
    else if (!wish->held)
        choice->held = strips_in_cache(p, choice->vector);
    if (is_vector_cpu(p->info))
        choice->stream = stream_above(p);
    if (choice->group % choice->slices != 0) {
        snprintf(p->reason, p->capacity,
                 "a group of %" PRIu64 " cannot be cut into %" PRIu64 " slices of the columns",
                 choice->group, choice->slices);
        return false;
    }
    if (choice->held > MOST_STRIPS) {
        snprintf(p->reason, p->capacity,
                 "a work-item walks at most %d vectors of rows side by side, not %" PRIu64,
                 MOST_STRIPS, choice->held);
        return false;
    }
    if (choice->slices > 1 && !fits_local_memory(p, local_bytes(p, choice))) {
        if (wish->slices)
            return false;
        choice->slices = 1;
    }
    while (!wish->slices && choice->slices > 1 && is_too_long(p, choice) &&
           choice->group % (4 * choice->slices) == 0)
        choice->slices *= 2; /* fewer neighbours, but the row is served */
    if (is_too_long(p, choice)) {
        snprintf(p->reason, p->capacity,
                 "%" PRIu64 " columns are too many for %" PRIu64 " lanes of a device that has many",
                 p->spec->columns, choice->slices);
        return false;
    }
    snprintf(p->reason, p->capacity,
             "neighbouring work-items walk the columns of neighbouring rows");
    return true;
}
