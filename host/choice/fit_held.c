/* The rules of the schedules that hold a row on chip: how many lanes it gets, and what each keeps.
 */
#include "fit.h"

#include <inttypes.h>

#include "base/checked.h"
#include "caps.h"
#include "spec/spec.h"

/* Bytes of a row that one work-item may hold in registers: with more, the compilers for AMD's and
 * NVIDIA's devices leave too few groups side by side to hide a wait, as they do with more than half
 * of it where all of y is there before any is stored. Those for Intel's, whose work-items in
 * sub-groups of 16 have a quarter of the registers, spill with more, Vulkan's (ANV) sooner than
 * OpenCL's (IGC). V3D's spills nothing beside one vector, and little beside two (v3dv 25.0.7). */
#define HELD_BYTES 128
#define HELD_BYTES_OF_16 48
#define HELD_BYTES_OF_16_IN_VULKAN 32
#define HELD_BYTES_OF_LEAST 32
#define WANTED_BYTES_OF_LEAST 16

/* Values that a work-item may keep in registers, a quarter of the usual ones or all: with more,
 * weight and bias are not loaded before the sums. */
#define KEPT_VALUES 48
#define KEPT_VALUES_OF_FEW 12

/* Elements that are worth a lane of their own: with fewer, lanes cost more than they hide. On
 * NVIDIA's, which need most bytes in flight, all that a lane holds: of 96 registers half are then
 * the row's. */
#define SHORT_SHARE 8
#define USUAL_SHARE 16
#define NVIDIA_SHARE 32

/* Work-items of a group that has several rows. */
#define GROUP_OF_ROWS 128

/* Vectors in local memory come in steps, so that not every length is a program of its own. */
#define LOCAL_STEP 4

/* Lanes of a row that leave each other the registers they need: an NVIDIA multiprocessor has 64 for
 * each of 1024, which compilers exceed. Where lanes hold little, and as Intel's have registers of
 * their own, there may be more. */
#define MOST_LANES 512
#define MOST_LANES_OF_16_IN_VULKAN 1024

/* 16 bytes of x where there are registers for it, or the caller's wish if these kernels have such a
 * vector. */
static uint64_t vector_of(const struct problem *p)
{
    if (p->wish->vector == 4 || p->wish->vector == 8)
        return p->wish->vector;
    bool few = an_info_few_registers(p->info) || an_info_least_registers(p->info);
    return anynorm_dtype_size(p->spec->x.type) == 2 && !few ? 8 : 4;
}

static uint64_t most_held(const struct problem *p)
{
    uint64_t bytes =
        p->maximum && p->info->device_class == ANYNORM_CLASS_GPU ? HELD_BYTES / 2 : HELD_BYTES;
    if (an_info_few_registers(p->info))
        bytes = p->vulkan ? HELD_BYTES_OF_16_IN_VULKAN : HELD_BYTES_OF_16;
    if (an_info_least_registers(p->info))
        bytes = HELD_BYTES_OF_LEAST;
    return bytes / p->accumulator;
}

/* Beyond which a row gets more lanes, where the device has them. */
static uint64_t most_wanted(const struct problem *p)
{
    return an_info_least_registers(p->info) ? WANTED_BYTES_OF_LEAST / p->accumulator : most_held(p);
}

/* Whether the kernels of this file have registers for the work beside what they hold. */
static bool has_registers(const struct problem *p)
{
    if (!an_info_few_registers(p->info) ||
        !(an_spec_double(p->spec) || (p->spec->flags & ANYNORM_ANY_ALIGNMENT)))
        return true;
    return an_answer(
        p, false, "f64, or elements at any byte, leave no registers for a row in sub-groups of 16");
}

static bool holds(const struct problem *p, const struct an_choice *choice)
{
    uint64_t most = most_held(p);
    if (!has_registers(p))
        return false;
    if (an_info_few_registers(p->info) && choice->held > 1 &&
        (p->spec->flags & ANYNORM_Y_SCALE_OUTPUT)) {
        /* By ocloc 22.43, Gen9, Gen12 and DG2 put up to 1 KiB of a thread into memory. */
        return an_answer(
            p, false, "a scale for each row leaves registers for one vector in sub-groups of 16");
    }
    if (choice->held * choice->vector <= most)
        return true;
    return an_answer(p, false,
                     "%" PRIu64 " columns are more than %" PRIu64 " work-items hold at %" PRIu64
                     " elements each",
                     p->spec->columns, choice->group / choice->rows, most);
}

/* The group and its rows, where a row has `lanes` lanes unless the wish says otherwise, and a group
 * at best `usual` work-items, in multiples of `step`. False, with the reason, where the wish or the
 * device leaves no such group. */
static bool arrange(const struct problem *p, uint64_t lanes, uint64_t usual, uint64_t step,
                    struct an_choice *choice)
{
    const struct an_choice *wish = p->wish;
    uint64_t limit = p->info->max_work_group_size;
    uint64_t group = wish->group, rows = wish->rows;
    if (!group && rows && rows <= limit)
        group = an_least(lanes, an_power_down(limit / rows)) * rows;
    else if (!group)
        group = an_least(usual > lanes ? usual : lanes, p->largest);
    if (!rows)
        rows = wish->group || group < lanes ? 1 : group / lanes;
    if (group > limit || rows > group || group % rows != 0 || group % step != 0)
        return an_answer(p, false,
                         "no group of at most %" PRIu64 " work-items, in multiples of %" PRIu64
                         ", gives %" PRIu64 " rows %" PRIu64 " lanes each",
                         limit, step, rows ? rows : 1, lanes);
    choice->group = group;
    choice->rows = rows;
    return true;
}

/* The vectors each lane of a row holds: of whole ones, since what is left of the row is little. */
static uint64_t held_by(const struct problem *p, const struct an_choice *choice)
{
    uint64_t vectors = p->spec->columns / choice->vector;
    uint64_t held = vectors ? an_divide_up(vectors, choice->group / choice->rows) : 1;
    return p->wish->held > held ? p->wish->held : held;
}

/* Bytes of local memory in which partial sums meet, at most: kernels/opencl/reduce.clh. */
static uint64_t meeting_bytes(const struct problem *p, const struct an_choice *choice)
{
    return 4 * (choice->group + choice->rows) * (p->accumulator + p->maximum) + 8;
}

bool an_fit_row_per_subgroup(const struct problem *p, struct an_choice *choice)
{
    uint64_t size = p->info->subgroup_size;
    if (size == 0)
        return an_answer(
            p, false, "the device has no sub-groups of a known size whose lanes exchange values");
    uint64_t lanes = an_power_up(an_divide_up(p->spec->columns, SHORT_SHARE));
    lanes = an_least(lanes, size);
    if (!arrange(p, lanes, size > GROUP_OF_ROWS ? size : GROUP_OF_ROWS, size, choice))
        return false;
    /* A group forced without its rows still has rows of one sub-group at most. */
    if (p->wish->group && !p->wish->rows)
        choice->rows = choice->group / lanes;
    lanes = choice->group / choice->rows;
    choice->vector = vector_of(p);
    choice->held = held_by(p, choice);
    choice->subgroup = size;
    if (lanes > size || an_power_up(lanes) != lanes)
        return an_answer(p, false,
                         "%" PRIu64 " lanes are no power of two up to the sub-group's %" PRIu64,
                         lanes, size);
    if (!holds(p, choice) || !an_fit_local_memory(p, meeting_bytes(p, choice)))
        return false;
    return an_answer(p, true,
                     "%" PRIu64 " of the %" PRIu64 " lanes of a sub-group hold the row at %" PRIu64
                     " elements each",
                     lanes, size, choice->held * choice->vector);
}

/* The sub-groups through which a whole group's sums go: the wish's, or the best the device has. On
 * a CPU they are loops, which local memory beats. */
static uint64_t subgroup_of(const struct problem *p, const struct an_choice *choice)
{
    uint64_t size = p->info->subgroup_size, whole = p->info->subgroup ? 1 : 0;
    if (p->info->device_class == ANYNORM_CLASS_CPU && !p->wish->subgroup)
        return 0;
    if (p->wish->subgroup == 1)
        size = 0;
    if (choice->rows > 1)
        return 0; /* rows side by side that share sub-groups are row_per_subgroup's */
    return size && choice->group % size == 0 ? size : whole;
}

/* Work-items for a row by itself, within what is usual; more only where they could not hold it. */
static uint64_t lanes_of_group(const struct problem *p, uint64_t vector, uint64_t most_elements)
{
    uint64_t columns = p->spec->columns;
    bool more = p->vulkan && an_info_few_registers(p->info);
    uint64_t most = more ? MOST_LANES_OF_16_IN_VULKAN : MOST_LANES;
    uint64_t largest = an_least(p->largest, most * sizeof(float) / p->accumulator);
    uint64_t usual = an_info_is_of(p->info, "NVIDIA") ? NVIDIA_SHARE : USUAL_SHARE;
    uint64_t share = columns <= 32 * SHORT_SHARE ? SHORT_SHARE : usual;
    uint64_t lanes = an_power_up(an_divide_up(columns, share));
    lanes = an_least(an_least(lanes, USUAL_GROUP), largest);
    while (lanes < largest && an_divide_up(columns, lanes * vector) * vector > most_elements)
        lanes *= 2;
    return lanes;
}

bool an_fit_row_per_group(const struct problem *p, struct an_choice *choice)
{
    uint64_t vector = vector_of(p);
    uint64_t lanes = lanes_of_group(p, vector, most_wanted(p));
    /* Who asks for sub-groups asks for a row that has a group to itself. And where a scale is found
     * ocloc 26.27 puts 512 bytes of two rows of Xe2 into memory, and none of one. */
    bool alone = p->wish->subgroup ||
                 (p->maximum && !p->vulkan && !p->wish->rows && an_info_wide_registers(p->info));
    if (!arrange(p, alone && lanes < 64 ? 64 : lanes, 64, 1, choice))
        return false;
    lanes = choice->group / choice->rows;
    choice->vector = vector;
    choice->held = held_by(p, choice);
    choice->subgroup = subgroup_of(p, choice);
    if (!holds(p, choice) || !an_fit_local_memory(p, meeting_bytes(p, choice)))
        return false;
    return an_answer(p, true, "%" PRIu64 " work-items hold the row at %" PRIu64 " elements each",
                     lanes, choice->held * vector);
}

bool an_fit_row_in_local(const struct problem *p, struct an_choice *choice)
{
    uint64_t lanes = lanes_of_group(p, vector_of(p), UINT64_MAX);
    if (p->wish->rows > 1)
        return an_answer(p, false, "a row of its own is all that local memory holds");
    choice->rows = 1;
    choice->group = p->wish->group ? p->wish->group : lanes;
    choice->vector = vector_of(p);
    choice->held = an_divide_up(held_by(p, choice), LOCAL_STEP) * LOCAL_STEP;
    choice->subgroup = subgroup_of(p, choice);
    if (!has_registers(p))
        return false;
    if (an_info_few_registers(p->info) &&
        (p->vulkan ||
         (p->spec->flags & (ANYNORM_GATE | ANYNORM_RSTD_INPUT | ANYNORM_Y_SCALE_OUTPUT)))) {
        /* By ocloc 22.43, Gen9 puts 2 KiB of a thread with a gate into memory, and DG2 64 bytes of
         * one whose statistics are given, which reads a row once and need not keep it. By
         * ocloc 26.27, Gen12, DG2 and Meteor Lake put up to 160 bytes of one that finds a scale
         * there; and so does ANV 25.0, on all of these, of any. */
        return an_answer(
            p, false,
            "sub-groups of 16 leave too few registers under Vulkan, and elsewhere for a gate, "
            "given statistics, or a scale for each row");
    }
    uint64_t row = choice->held * choice->group * choice->vector * p->accumulator;
    if (!an_fit_local_memory(p, row + meeting_bytes(p, choice)))
        return false;
    return an_answer(p, true, "%" PRIu64 " bytes of local memory hold the row", row);
}

bool an_choice_preloads(const anynorm_spec *spec, const struct an_choice *choice,
                        bool few_registers)
{
    /* Rows with parameters of their own share none; and gate, scale and shift want the registers.
     */
    if (spec->parameters.rows > 1 || spec->parameters.run > 1 || spec->parameters.cycle ||
        (spec->flags & AN_SAMPLES))
        return false;
    uint64_t tensors = 1u + !!(spec->flags & ANYNORM_WEIGHT) + !!(spec->flags & ANYNORM_BIAS);
    uint64_t words = an_spec_double(spec) ? 2 : 1;
    return (choice->schedule == AN_ROW_PER_GROUP || choice->schedule == AN_ROW_PER_SUBGROUP) &&
           choice->held * choice->vector * words * tensors <=
               (few_registers ? KEPT_VALUES_OF_FEW : KEPT_VALUES);
}
