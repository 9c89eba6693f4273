/* The rules of the schedules that find gradients: how many work-items take a part of the rows. */
#include "fit.h"

#include <inttypes.h>

#include "base/checked.h"
#include "caps.h"
#include "spec/gradient.h"
#include "spec/spec.h"

/* A work-item of a CPU walks short rows AN_ROWS_TOGETHER at a time: their terms are added in
 * registers before memory sees them. From so many columns on a row goes alone, a line of f32 at a
 * time, in vectors at most twice as wide as the CPU's own, as docs/performance.md measures it. Of
 * long rows together x, dy, dx and the sums would be in too many places of the first cache at once,
 * and lie there in the same few lines where a row is a multiple of a page. */
#define SHORTEST_ALONE 128
#define LINE_BYTES 64

/* Work-items of a row_per_item that has lanes. */
#define LANES_OF_CPU 8
#define LANES_OF_GPU 64

/* Elements that are worth a lane of their own, and work-items of a group that has several rows. */
#define SHARE 16
#define GROUP_OF_ROWS 128

/* Bytes of local memory in which partial sums meet, at most: kernels/opencl/reduce.clh, and the
 * slices of kernels/opencl/row_sums.clh. */
static uint64_t meeting_bytes(const struct problem *p, const struct an_choice *choice)
{
    return (4 * (choice->group + choice->rows) + choice->group * choice->vector) * p->accumulator +
           8;
}

static bool fit_item(const struct problem *p, struct an_choice *choice)
{
    uint64_t lanes = p->info->device_class == ANYNORM_CLASS_CPU ? LANES_OF_CPU : LANES_OF_GPU;
    if (p->vector_cpu) {
        bool alone = p->spec->columns >= SHORTEST_ALONE;
        uint64_t vector = an_fit_native_vector(p);
        if (alone)
            vector = an_least(2 * vector, LINE_BYTES / p->accumulator);
        choice->vector = p->wish->vector ? p->wish->vector : vector;
        choice->group = 1;
        choice->rows = p->wish->rows ? p->wish->rows : alone ? 1 : AN_ROWS_TOGETHER;
        choice->stream = an_fit_stream_above(p);
        if (choice->rows != 1 && choice->rows != AN_ROWS_TOGETHER)
            return an_answer(p, false, "a work-item walks 1 or %d rows together, not %" PRIu64,
                             AN_ROWS_TOGETHER, choice->rows);
        return an_answer(p, true, "a part of the rows is one work-item's");
    }
    choice->vector =
        p->wish->vector && !p->vulkan ? p->wish->vector : 4; /* Vulkan's have no more */
    choice->group = p->wish->group ? p->wish->group : an_least(lanes, p->largest);
    choice->rows = choice->group;
    return an_fit_local_memory(p, meeting_bytes(p, choice)) &&
           an_answer(p, true, "a part of the rows is a lane's");
}

static bool fit_lanes(const struct problem *p, struct an_choice *choice)
{
    const struct an_choice *wish = p->wish;
    uint64_t size = p->info->subgroup_size;
    /* Sub-groups whose size is known pass sums within a row's lanes, or within its shares. On a CPU
     * they are loops, which local memory beats; and where registers are few a compiler may put
     * fewer lanes side by side, as it must lest it spills, only where their number is not given. */
    bool cpu = p->info->device_class == ANYNORM_CLASS_CPU;
    bool passes = wish->subgroup ? wish->subgroup != 1 : !cpu && !an_info_few_registers(p->info);
    passes = passes && size > 1;
    uint64_t lanes = an_least(an_power_up(an_divide_up(p->spec->columns, SHARE)), USUAL_GROUP);
    lanes = an_least(lanes, p->largest);
    /* Vectors are short, also of halves: x, dy, weight and three sums of each are in registers. */
    choice->vector = wish->vector && !p->vulkan ? wish->vector : 4;
    uint64_t least = passes && lanes > size ? lanes : GROUP_OF_ROWS; /* of many a row alone */
    choice->group = wish->group ? wish->group : an_least(lanes < least ? least : lanes, p->largest);
    choice->rows = wish->rows ? wish->rows : wish->group ? 1 : choice->group / lanes;
    if (choice->rows == 0 || choice->group % choice->rows != 0)
        return an_answer(p, false, "a group of %" PRIu64 " cannot be cut into %" PRIu64 " parts",
                         choice->group, choice->rows);
    lanes = choice->group / choice->rows;
    passes = passes && choice->group % size == 0 && an_power_up(lanes) == lanes && lanes > 1 &&
             (lanes <= size || choice->rows == 1);
    choice->subgroup = passes ? size : 0;
    if (!an_fit_local_memory(p, meeting_bytes(p, choice)))
        return false;
    return an_answer(p, true, "%" PRIu64 " work-items walk a part of the rows, and read each twice",
                     lanes);
}

/* Of so many rows, parts have as many as they are at best: host/spec/gradient.c. */
#define USUAL_ROWS 1024

bool an_fit_backward(const struct problem *p, struct an_choice *choice)
{
    const struct an_stretch few = an_stretch_whole(USUAL_ROWS * p->spec->parameters.rows);
    if (!(choice->schedule == AN_ROW_PER_ITEM ? fit_item : fit_lanes)(p, choice))
        return false;
    return an_backward_walk_ends(p->info, p->spec, choice, &few) ||
           an_answer(p, false,
                     "a part of the rows, of %" PRIu64 " columns, takes a work-item more rounds "
                     "than its driver lets a loop have",
                     p->spec->columns);
}
