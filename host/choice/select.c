/* Which schedules serve: their order of preference, whether one fits, and what a tuner tries. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "fit.h"
#include "spec/tensors.h"

/* On a CPU longer rows are split. */
#define MOST_COLUMNS_UNSPLIT 131072

/* Where lanes of a sub-group can share a row, longer rows are. */
#define MOST_COLUMNS_OF_ONE_LANE 1024

static bool fit_reference(const struct problem *p, struct an_choice *choice)
{
    bool fits = p->info->device_class == ANYNORM_CLASS_REFERENCE && p->wish->group <= 1;
    choice->group = 1;
    return an_answer(p, fits, "%s",
                     fits ? "plain C in double" : "it is the reference backend's, on groups of 1");
}

/* ---- Baselines ---- */

static bool fit_empty(const struct problem *p, struct an_choice *choice)
{
    bool reference = p->info->device_class == ANYNORM_CLASS_REFERENCE;
    uint64_t group = reference || p->vector_cpu ? 1 : USUAL_GROUP;
    choice->group = p->wish->group ? p->wish->group : an_least(group, p->largest);
    choice->vector = reference ? 0 : p->vector_cpu ? 16 : 4;
    return an_answer(p, true, "a baseline, for measuring");
}

static bool fit_copy(const struct problem *p, struct an_choice *choice)
{
    if (!an_tensor_expect(p->spec, AN_Y).present)
        return an_answer(p, false, "it writes y, which the spec does not have");
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        struct an_layout layout = an_tensor_layout(p->spec, (enum an_tensor)t);
        if (an_tensor_shape((enum an_tensor)t) != AN_OF_ROWS ||
            !an_tensor_expect(p->spec, (enum an_tensor)t).present ||
            (layout.inner_rows == 0 && layout.row_stride == layout.columns))
            continue;
        return an_answer(p, false, "it takes dense rows; those of %s are not",
                         an_tensor_name((enum an_tensor)t));
    }
    return fit_empty(p, choice);
}

static bool fit_copy_streaming(const struct problem *p, struct an_choice *choice)
{
    if (!p->vector_cpu)
        return an_answer(p, false, "streaming stores are for CPUs with vectors");
    return fit_copy(p, choice);
}

static bool fit_add(const struct problem *p, struct an_choice *choice)
{
    uint32_t added = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT;
    if ((p->spec->flags & added) != (ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT))
        return an_answer(p, false, "it writes the sum of x and residual, and adds no more");
    return fit_copy(p, choice);
}

static an_fit *const fits[AN_SCHEDULE_COUNT] = {
    [AN_REFERENCE] = fit_reference,
    [AN_ROW_PER_ITEM] = an_fit_row_per_item,
    [AN_ROW_PER_SUBGROUP] = an_fit_row_per_subgroup,
    [AN_ROW_PER_GROUP] = an_fit_row_per_group,
    [AN_ROW_IN_LOCAL] = an_fit_row_in_local,
    [AN_ROW_REREAD] = an_fit_row_reread,
    [AN_ROW_SPLIT] = an_fit_row_split,
    [AN_COLUMN_WALK] = an_fit_column_walk,
    [AN_COPY] = fit_copy,
    [AN_COPY_STREAMING] = fit_copy_streaming,
    [AN_ADD] = fit_add,
    [AN_EMPTY] = fit_empty,
};

/* ---- The order ---- */

/* All schedules, the preferred first; column_walk, which alone takes columns that lie apart one by
 * one, last. */
typedef enum an_schedule order_t[7];

static const order_t of_cpu = {AN_ROW_PER_ITEM, AN_ROW_PER_GROUP,    AN_ROW_REREAD, AN_ROW_SPLIT,
                               AN_ROW_IN_LOCAL, AN_ROW_PER_SUBGROUP, AN_COLUMN_WALK};
static const order_t of_cpu_long = {AN_ROW_SPLIT,  AN_ROW_PER_ITEM, AN_ROW_PER_GROUP,
                                    AN_ROW_REREAD, AN_ROW_IN_LOCAL, AN_ROW_PER_SUBGROUP,
                                    AN_COLUMN_WALK};
/* A CPU whose compiler makes lanes of work-items: nothing costs it more than a barrier. */
static const order_t of_lanes = {AN_ROW_PER_ITEM, AN_ROW_PER_GROUP, AN_ROW_IN_LOCAL,
                                 AN_ROW_SPLIT,    AN_ROW_REREAD,    AN_ROW_PER_SUBGROUP,
                                 AN_COLUMN_WALK};
/* Where that CPU has sub-groups, one has a long row to itself: few rows keep all its lanes busy. */
static const order_t of_subgroups_long = {AN_ROW_SPLIT,    AN_ROW_PER_ITEM, AN_ROW_PER_GROUP,
                                          AN_ROW_IN_LOCAL, AN_ROW_REREAD,   AN_ROW_PER_SUBGROUP,
                                          AN_COLUMN_WALK};
static const order_t of_gpu = {AN_ROW_PER_SUBGROUP, AN_ROW_PER_GROUP, AN_ROW_IN_LOCAL, AN_ROW_SPLIT,
                               AN_ROW_REREAD,       AN_ROW_PER_ITEM,  AN_COLUMN_WALK};
/* Local memory that is a part of global memory is no better than reading the row again. */
static const order_t of_gpu_without_local = {AN_ROW_PER_SUBGROUP, AN_ROW_PER_GROUP, AN_ROW_SPLIT,
                                             AN_ROW_REREAD,       AN_ROW_IN_LOCAL,  AN_ROW_PER_ITEM,
                                             AN_COLUMN_WALK};

/* Of gradients. */
static const enum an_schedule back_of_cpu[] = {AN_ROW_PER_ITEM, AN_ROW_REREAD};
static const enum an_schedule back_of_gpu[] = {AN_ROW_REREAD, AN_ROW_PER_ITEM};

bool an_schedule_goes_back(enum an_schedule schedule)
{
    return schedule == AN_REFERENCE || schedule == AN_ROW_PER_ITEM || schedule == AN_ROW_REREAD;
}

static const enum an_schedule *order_of(const struct problem *p)
{
    if (an_spec_backward(p->spec))
        return p->info->device_class == ANYNORM_CLASS_CPU ? back_of_cpu : back_of_gpu;
    if (p->vector_cpu)
        return p->spec->columns > MOST_COLUMNS_UNSPLIT ? of_cpu_long : of_cpu;
    if (p->subgroup_cpu && p->spec->columns > MOST_COLUMNS_OF_ONE_LANE)
        return of_subgroups_long;
    if (p->lanes_cpu)
        return of_lanes;
    return p->info->own_local_memory ? of_gpu : of_gpu_without_local;
}

bool an_select_order(const anynorm_device_info *info, const anynorm_spec *spec, size_t index,
                     enum an_schedule *schedule)
{
    const struct problem p = an_problem(info, spec, NULL, NULL);
    bool reference = info->device_class == ANYNORM_CLASS_REFERENCE;
    size_t count = an_spec_backward(spec) ? COUNT(back_of_cpu) : COUNT(of_cpu);
    if (index >= (reference ? 1 : count))
        return false;
    *schedule = reference ? AN_REFERENCE : order_of(&p)[index];
    return true;
}

enum an_schedule an_select_widest(const anynorm_device_info *info, const anynorm_spec *spec)
{
    if (info->device_class == ANYNORM_CLASS_REFERENCE)
        return AN_REFERENCE;
    if (an_spec_backward(spec))
        return AN_ROW_REREAD;
    if (spec->column_run <= 1 && !an_spec_side_by_side(spec))
        return AN_COLUMN_WALK;
    return spec->flags & ANYNORM_Y_SCALE_OUTPUT ? AN_ROW_REREAD : AN_ROW_SPLIT;
}

static uint64_t column_stride(const anynorm_spec *spec, enum an_tensor tensor)
{
    return an_tensor_shape(tensor) == AN_OF_ROWS ? an_tensor_layout(spec, tensor).column_stride : 0;
}

/* What holds for several schedules: a kernel that walks such columns; a vector that the kernels
 * know, a group that the device takes, and what is held a number that no sum about it wraps with.
 */
static bool is_possible(const struct problem *p)
{
    const anynorm_spec *spec = p->spec;
    const struct an_choice *wish = p->wish;
    bool walk = wish->schedule == AN_COLUMN_WALK, reference = wish->schedule == AN_REFERENCE;
    bool baseline = an_schedule_is_baseline(wish->schedule);
    if (p->info->device_class == ANYNORM_CLASS_REFERENCE && !reference && !baseline)
        return an_answer(p, false, "the reference backend has one schedule");
    if (an_spec_double(spec) && !p->info->fp64)
        return an_answer(p, false, "the device has no double precision for f64");
    bool back = an_spec_backward(spec);
    if (back && !an_schedule_goes_back(wish->schedule))
        return an_answer(p, false, "gradients are found by row_per_item and row_reread");
    if (spec->column_run > 1 && (walk || baseline))
        return an_answer(
            p, false,
            "it walks columns that lie side by side or apart one by one, not in runs of %" PRIu64,
            spec->column_run);
    if (spec->column_run <= 1 && !an_spec_side_by_side(spec) && !reference && !walk && !back) {
        enum an_tensor t = AN_X;
        while (column_stride(spec, t) <= 1)
            t++;
        return an_answer(p, false,
                         "it walks columns side by side; those of %s are %" PRIu64 " apart",
                         an_tensor_name(t), column_stride(spec, t));
    }
    if (wish->vector && wish->vector != 4 && wish->vector != 8 && wish->vector != 16)
        return an_answer(p, false, "vectors have 4, 8 or 16 elements, not %" PRIu64, wish->vector);
    if (wish->group > p->info->max_work_group_size)
        return an_answer(p, false,
                         "a group of %" PRIu64 " work-items is above the device's %" PRIu64,
                         wish->group, p->info->max_work_group_size);
    if (wish->held > UINT32_MAX)
        return an_answer(p, false, "no work-item holds %" PRIu64 " vectors", wish->held);
    return true;
}

bool an_select_fits(const anynorm_device_info *info, const anynorm_spec *spec,
                    const struct an_choice *wish, struct an_choice *choice, char *reason)
{
    const struct problem p = an_problem(info, spec, wish, reason);
    *choice = (struct an_choice){.schedule = wish->schedule};
    bool back = an_spec_backward(spec) && wish->schedule != AN_REFERENCE;
    if (!is_possible(&p) || !(back ? an_fit_backward : fits[wish->schedule])(&p, choice))
        return false;
    const char *unmet = an_choice_unmet(wish, choice);
    return !unmet ||
           an_answer(&p, false, "%s cannot be had with that %s=", an_schedule_name(wish->schedule),
                     unmet);
}

/* ---- Variants ---- */

/* Which numbers of which schedule are worth changing, and to what; those that a device or a row
 * does not take fall out by themselves. The most promising first, as the list has an end. A new
 * schedule or number is a line here. */
static const struct {
    enum an_schedule schedule;
    size_t field;
    uint64_t values[8]; /* up to the first 0 */
} axes[] = {
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, stream), {1, AN_NEVER}},
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, rows), {4, 1}},
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, vector), {16, 8, 4}},
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, group), {1, 32, 64, 128, 256}},
    {AN_ROW_PER_GROUP, offsetof(struct an_choice, group), {128, 256, 64, 512, 32, 1024, 16}},
    {AN_ROW_PER_GROUP, offsetof(struct an_choice, rows), {1, 2, 4, 8, 16}},
    {AN_ROW_PER_SUBGROUP, offsetof(struct an_choice, group), {128, 64, 256, 32}},
    {AN_ROW_PER_SUBGROUP, offsetof(struct an_choice, rows), {4, 8, 16, 2, 32}},
    {AN_ROW_IN_LOCAL, offsetof(struct an_choice, group), {256, 128, 512, 64, 1024}},
    {AN_ROW_REREAD, offsetof(struct an_choice, group), {256, 128, 512, 64, 1024, 32}},
    {AN_ROW_SPLIT, offsetof(struct an_choice, segment), {16384, 8192, 32768, 65536}},
    {AN_ROW_SPLIT, offsetof(struct an_choice, stream), {1, AN_NEVER}},
    {AN_COLUMN_WALK, offsetof(struct an_choice, held), {1, 2, 4, 8}},
    {AN_COLUMN_WALK, offsetof(struct an_choice, vector), {16, 8, 4}},
    {AN_COLUMN_WALK, offsetof(struct an_choice, stream), {1, AN_NEVER}},
    {AN_COLUMN_WALK, offsetof(struct an_choice, group), {256, 128, 512, 64}},
};

/* In each turn every schedule, the preferred first, adds up to `most` variants that have so many
 * numbers changed from the closed form's: all get a say before the list is full. */
static const struct {
    int changes;
    size_t most;
} turns[] = {{0, 1}, {1, 6}, {1, ANYNORM_MAX_VARIANTS}, {2, ANYNORM_MAX_VARIANTS}};

/* The wish that `code` spells, with a digit for each axis of the schedule, 0 leaving the number
 * open. Returns how many are not 0; -1 where the code is past the last. */
static int spell(enum an_schedule schedule, size_t code, struct an_choice *wish)
{
    int changes = 0;
    *wish = (struct an_choice){.schedule = schedule};
    for (size_t a = 0; a < COUNT(axes); a++) {
        size_t states = 1, digit;
        if (axes[a].schedule != schedule)
            continue;
        while (states <= COUNT(axes[a].values) && axes[a].values[states - 1])
            states++;
        digit = code % states;
        code /= states;
        if (digit > 0) {
            memcpy((char *)wish + axes[a].field, &axes[a].values[digit - 1], sizeof(uint64_t));
            changes++;
        }
    }
    return code == 0 ? changes : -1;
}

static bool same(const struct an_choice *a, const struct an_choice *b)
{
    return a->schedule == b->schedule && !an_choice_unmet(a, b) && !an_choice_unmet(b, a);
}

/* Adds what the wish comes to; false where it does not fit, is there already, or finds no room. */
static bool add(const anynorm_device_info *info, const anynorm_spec *spec,
                const struct an_choice *wish, struct an_variants *variants)
{
    struct an_choice choice;
    char reason[AN_REASON_BYTES];
    if (variants->count == COUNT(variants->choices) ||
        !an_select_fits(info, spec, wish, &choice, reason))
        return false;
    for (size_t i = 0; i < variants->count; i++) {
        if (same(&variants->choices[i], &choice))
            return false;
    }
    variants->choices[variants->count++] = choice;
    return true;
}

static void add_changed(const anynorm_device_info *info, const anynorm_spec *spec,
                        enum an_schedule schedule, int changes, size_t most,
                        struct an_variants *variants)
{
    struct an_choice wish;
    int found;
    for (size_t code = 0; most > 0 && (found = spell(schedule, code, &wish)) >= 0; code++) {
        if (found == changes && add(info, spec, &wish, variants))
            most--;
    }
}

void an_variants_list(const anynorm_device_info *info, const anynorm_spec *spec,
                      const struct an_choice *first, struct an_variants *variants)
{
    enum an_schedule schedule;
    variants->count = 0;
    if (first)
        add(info, spec, first, variants);
    for (size_t t = 0; t < COUNT(turns); t++) {
        for (size_t i = 0; an_select_order(info, spec, i, &schedule); i++)
            add_changed(info, spec, schedule, turns[t].changes, turns[t].most, variants);
    }
}
