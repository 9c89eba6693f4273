/* A schedule with its numbers: what the selection decides, a caller may force, the tuning database
 * keeps, and a backend compiles; and the selection. */
#ifndef AN_CHOICE_H
#define AN_CHOICE_H

#include <anynorm/anynorm.h>

#include "spec/gradient.h"

enum an_schedule {
    AN_REFERENCE = 0,
    AN_ROW_PER_ITEM,
    AN_ROW_PER_SUBGROUP,
    AN_ROW_PER_GROUP,
    AN_ROW_IN_LOCAL,
    AN_ROW_REREAD,
    AN_ROW_SPLIT,
    AN_COLUMN_WALK,
    /* Baselines: for measuring, named by a caller only. They do not normalize. */
    AN_COPY,
    AN_COPY_STREAMING,
    AN_ADD,
    AN_EMPTY,
    AN_SCHEDULE_COUNT
};

static inline bool an_schedule_is_baseline(enum an_schedule schedule)
{
    return schedule >= AN_COPY;
}

/* Each number 0 where the schedule has no such thing, or, in a wish, where it is left open. */
struct an_choice {
    enum an_schedule schedule;
    uint64_t group;  /* work-items per work-group */
    uint64_t vector; /* elements per vector: 4, 8 or 16 */
    uint64_t rows;   /* rows that a work-item, or a work-group, has side by side */
    uint64_t held; /* vectors of a row that a work-item holds on chip (row_per_item: of y until its
                      scale is known); column_walk: vectors of rows that it walks side by side */
    uint64_t slices;  /* column_walk: work-items that share the columns of a row */
    uint64_t segment; /* elements of the pieces that a row is cut into */
    /* Work-items of a sub-group, through which sums go; 1: sub-groups of the driver's own size;
     * 0: none, sums go through local memory. */
    uint64_t subgroup;
    uint64_t stream; /* bytes of output above which stores go past the cache; AN_NEVER */
};

#define AN_NEVER UINT64_MAX

/* The most segments of a row; a multiple of every vector. Longer rows have longer segments. */
#define AN_MOST_SEGMENTS 128

/* ---- Its text ---- */

const char *an_schedule_name(enum an_schedule schedule);
/* Of its kernel in kernels/opencl and kernels/vulkan, without the ending. */
const char *an_schedule_file(enum an_schedule schedule, const anynorm_spec *spec);

/* True and *schedule if text[0..length) is a schedule's name. */
bool an_schedule_find(const char *text, size_t length, enum an_schedule *schedule);

/* Reads "row_per_group group=128 held=4": a schedule, then numbers in any order, each at most once;
 * those not given are 0, "never" is AN_NEVER. INVALID_ARGUMENT names the word. */
anynorm_status an_choice_parse(const char *text, struct an_choice *choice);

/* The same text, as snprintf. */
size_t an_choice_format(const struct an_choice *choice, char *text, size_t capacity);

/* The name of a number that `wish` gives and `choice` does not have with that value; NULL if the
 * wish is met. */
const char *an_choice_unmet(const struct an_choice *wish, const struct an_choice *choice);

/* ---- Which schedule serves: who walks a row, and with how many work-items ---- */

/* The schedules in order of preference for the resolved `spec` on the device: the one at `index`,
 * false past the last. */
bool an_select_order(const anynorm_device_info *info, const anynorm_spec *spec, size_t index,
                     enum an_schedule *schedule);

#define AN_REASON_BYTES sizeof(((anynorm_candidate *)0)->reason)

/* Whether the schedule of `wish` serves the resolved `spec` on the device, with the numbers that
 * the wish gives; if so, *choice. Either way `reason`, of AN_REASON_BYTES, says why. */
bool an_select_fits(const anynorm_device_info *info, const anynorm_spec *spec,
                    const struct an_choice *wish, struct an_choice *choice, char *reason);

/* The schedule that has the least limits for such a `spec`, resolved: where none serves it, the
 * limit that this one tells of is the reason. */
enum an_schedule an_select_widest(const anynorm_device_info *info, const anynorm_spec *spec);

/* Whether it finds gradients, by some numbers on some device: there are fewer such schedules. */
bool an_schedule_goes_back(enum an_schedule schedule);

/* Whether a row of such a row_split is longer than a group may walk as a whole, so that it must be
 * split whatever else there is to do. */
bool an_select_in_pieces(const anynorm_device_info *info, const anynorm_spec *spec,
                         const struct an_choice *choice);

/* The choices that a tuner measures: what no closed form knows, from device to device. */
struct an_variants {
    struct an_choice choices[ANYNORM_MAX_VARIANTS]; /* complete, no two the same */
    size_t count;
};

/* Those that fit the device and the resolved spec: `first` (NULL: none), the closed form of every
 * schedule in the order of preference, then these with one number changed, then with two. */
void an_variants_list(const anynorm_device_info *info, const anynorm_spec *spec,
                      const struct an_choice *first, struct an_variants *variants);

/* ---- Its launch ---- */

/* Work-groups for 1 row or more, or as many pieces of rows. */
uint64_t an_grid_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                        const struct an_choice *choice, uint64_t rows);

/* Of gradients, for so many parts of the rows: one for each, or for those that lie side by side in
 * it. */
uint64_t an_part_groups(const anynorm_device_info *info, const struct an_choice *choice,
                        uint64_t parts);

/* Of gradients' second launch: work-items that share the parts of a column, as
 * kernels/opencl/row_sums.clh has it, and work-groups, each of which takes some columns of a sum.
 */
uint64_t an_sum_slices(const struct an_choice *choice);
uint64_t an_sum_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                       const struct an_choice *choice, const struct an_parts *parts);

/* Whether the loops of gradients' launches end where they should, on a device whose driver ends
 * them (an_quirks_end_loops): the walk over a stretch's rows, and the sum over all parts. */
bool an_backward_walk_ends(const anynorm_device_info *info, const anynorm_spec *spec,
                           const struct an_choice *choice, const struct an_stretch *stretch);
/* UNSUPPORTED where one of the two does not; `parts` are those of all rows. */
anynorm_status an_backward_check(const anynorm_device_info *info, const anynorm_spec *spec,
                                 const struct an_choice *choice, const struct an_parts *parts,
                                 const struct an_stretch *stretch);

/* Whether the kernel of a choice that holds a row loads weight and bias before the sums: where
 * there are registers for them. */
bool an_choice_preloads(const anynorm_spec *spec, const struct an_choice *choice,
                        bool few_registers);

#endif
