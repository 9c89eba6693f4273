#include "select.h"

#include "select_fit.h"
#include "spec/tensors.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* On a CPU longer rows are split. */
#define MOST_COLUMNS_UNSPLIT 131072

/* Where lanes of a sub-group can share a row, longer rows are. */
#define MOST_COLUMNS_OF_ONE_LANE 1024

static bool fit_reference(const struct problem *p, struct an_choice *choice)
{
    bool fits = p->info->device_class == ANYNORM_CLASS_REFERENCE && p->wish->group <= 1;
    choice->group = 1;
    snprintf(p->reason, p->capacity,
             fits ? "plain C in double" : "it is the reference backend's, on groups of 1");
    return fits;
}

bool an_info_is_vulkan(const anynorm_device_info *info)
{
    return strncmp(info->id, "vulkan:", strlen("vulkan:")) == 0;
}

/* ---- Baselines ---- */

static bool fit_empty(const struct problem *p, struct an_choice *choice)
{
    bool reference = p->info->device_class == ANYNORM_CLASS_REFERENCE;
    uint64_t group = reference || is_vector_cpu(p->info) ? 1 : USUAL_GROUP;
    choice->group = p->wish->group ? p->wish->group : an_least(group, largest_group(p));
    choice->vector = reference ? 0 : is_vector_cpu(p->info) ? 16 : 4;
    snprintf(p->reason, p->capacity, "a baseline, for measuring");
    return true;
}

static bool fit_copy(const struct problem *p, struct an_choice *choice)
{
    if (!an_tensor_expect(p->spec, AN_Y).present) {
        snprintf(p->reason, p->capacity, "it writes y, which the spec does not have");
        return false;
    }
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        struct an_layout layout = an_tensor_layout(p->spec, (enum an_tensor)t);
        if (an_tensor_shape((enum an_tensor)t) != AN_OF_ROWS ||
            !an_tensor_expect(p->spec, (enum an_tensor)t).present ||
            (layout.inner_rows == 0 && layout.row_stride == layout.columns))
            continue;
        snprintf(p->reason, p->capacity, "it takes dense rows; those of %s are not",
                 an_tensor_name((enum an_tensor)t));
        return false;
    }
    return fit_empty(p, choice);
}

static bool fit_copy_streaming(const struct problem *p, struct an_choice *choice)
{
    if (!is_vector_cpu(p->info)) {
        snprintf(p->reason, p->capacity, "streaming stores are for CPUs with vectors");
        return false;
    }
    return fit_copy(p, choice);
}

static bool fit_add(const struct problem *p, struct an_choice *choice)
{
    uint32_t added = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT;
    if ((p->spec->flags & added) != (ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT)) {
        snprintf(p->reason, p->capacity, "it writes the sum of x and residual, and adds no more");
        return false;
    }
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

static const enum an_schedule *order_of(const anynorm_device_info *info, const anynorm_spec *spec)
{
    if (is_vector_cpu(info))
        return spec->columns > MOST_COLUMNS_UNSPLIT ? of_cpu_long : of_cpu;
    if (is_cpu_of_subgroups(info) && spec->columns > MOST_COLUMNS_OF_ONE_LANE)
        return of_subgroups_long;
    if (info->device_class == ANYNORM_CLASS_CPU)
        return of_lanes;
    return info->own_local_memory ? of_gpu : of_gpu_without_local;
}

bool an_select_order(const anynorm_device_info *info, const anynorm_spec *spec, size_t index,
                     enum an_schedule *schedule)
{
    bool reference = info->device_class == ANYNORM_CLASS_REFERENCE;
    if (index >= (reference ? 1 : COUNT(of_cpu)))
        return false;
    *schedule = reference ? AN_REFERENCE : order_of(info, spec)[index];
    return true;
}

enum an_schedule an_select_widest(const anynorm_device_info *info, const anynorm_spec *spec)
{
    if (info->device_class == ANYNORM_CLASS_REFERENCE)
        return AN_REFERENCE;
    if (spec->column_run <= 1 && !an_spec_side_by_side(spec))
        return AN_COLUMN_WALK;
    return spec->flags & ANYNORM_Y_SCALE_OUTPUT ? AN_ROW_REREAD : AN_ROW_SPLIT;
}

/* A vector must be one that the kernels know, a group one that the device takes, and what is held
 * a number that no sum about it wraps with. */
static bool is_possible(const struct problem *p)
{
    const struct an_choice *wish = p->wish;
    if (wish->vector && wish->vector != 4 && wish->vector != 8 && wish->vector != 16) {
        snprintf(p->reason, p->capacity, "vectors have 4, 8 or 16 elements, not %" PRIu64,
                 wish->vector);
        return false;
    }
    if (wish->group > p->info->max_work_group_size) {
        snprintf(p->reason, p->capacity,
                 "a group of %" PRIu64 " work-items is above the device's %" PRIu64, wish->group,
                 p->info->max_work_group_size);
        return false;
    }
    if (wish->held > UINT32_MAX) {
        snprintf(p->reason, p->capacity, "no work-item holds %" PRIu64 " vectors", wish->held);
        return false;
    }
    return true;
}

static uint64_t column_stride(const anynorm_spec *spec, enum an_tensor tensor)
{
    return an_tensor_shape(tensor) == AN_OF_ROWS ? an_tensor_layout(spec, tensor).column_stride : 0;
}

bool an_select_fits(const anynorm_device_info *info, const anynorm_spec *spec,
                    const struct an_choice *wish, struct an_choice *choice, char *reason,
                    size_t capacity)
{
    struct problem problem = {info, spec, wish, reason, capacity};
    *choice = (struct an_choice){.schedule = wish->schedule};
    if (info->device_class == ANYNORM_CLASS_REFERENCE && wish->schedule != AN_REFERENCE &&
        !an_schedule_is_baseline(wish->schedule)) {
        snprintf(reason, capacity, "the reference backend has one schedule");
        return false;
    }
    if (an_spec_double(spec) && !info->fp64) {
        snprintf(reason, capacity, "the device has no double precision for f64");
        return false;
    }
    if (spec->column_run > 1 &&
        (wish->schedule == AN_COLUMN_WALK || an_schedule_is_baseline(wish->schedule))) {
        snprintf(
            reason, capacity,
            "it walks columns that lie side by side or apart one by one, not in runs of %" PRIu64,
            spec->column_run);
        return false;
    }
    if (spec->column_run <= 1 && !an_spec_side_by_side(spec) && wish->schedule != AN_REFERENCE &&
        wish->schedule != AN_COLUMN_WALK) {
        int t = 0;
        while (column_stride(spec, (enum an_tensor)t) <= 1)
            t++;
        snprintf(reason, capacity,
                 "it walks columns side by side; those of %s are %" PRIu64 " apart",
                 an_tensor_name((enum an_tensor)t), column_stride(spec, (enum an_tensor)t));
        return false;
    }
    if (!is_possible(&problem) || !fits[wish->schedule](&problem, choice))
        return false;
    const char *unmet = an_choice_unmet(wish, choice);
    if (unmet)
        snprintf(reason, capacity,
                 "%s cannot be had with that %s=", an_schedule_name(wish->schedule), unmet);
    return !unmet;
}
