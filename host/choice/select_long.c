/* row_reread and row_split: rows that no work-group holds on chip, cut into segments. */
#include "select_fit.h"

/* The least elements of a segment of a row. Of a core: what takes longer than handing a work-group
 * out; of a group of lanes: a few vectors for each. */
#define LEAST_SEGMENT_OF_ITEM 16384
#define LEAST_SEGMENT_OF_GROUP 8192

/* On a CPU of lanes a second launch costs as much as so many elements. */
#define LEAST_SEGMENT_OF_CPU 65536

/* Segments for each core that has one row to itself alone: so many that cores which are not equally
 * free are evened out. */
#define SEGMENTS_PER_UNIT 8

/* The outputs of long rows go past the cache from this part of it on: there x, weight and bias wait
 * for the second read. */
#define CACHE_SHARE_OF_LONG_ROWS 16

/* How a row is cut, if it can be into `wanted` segments, more where these would be of more than
 * `most` elements, and of `least` or more: by its columns alone, so that its bits do not depend on
 * the number of rows. */
static bool cut_row(const struct problem *p, uint64_t wanted, uint64_t least, uint64_t most,
                    struct an_choice *choice)
{
    uint64_t columns = p->spec->columns, segment = p->wish->segment;
    if (wanted == 0 || wanted > AN_MOST_SEGMENTS ||
        power_of_two_at_least(an_divide_up(columns, wanted)) > most)
        wanted = AN_MOST_SEGMENTS;
    if (segment == 0) {
        segment = power_of_two_at_least(an_divide_up(columns, wanted));
        segment = segment < least ? least : segment;
    }
    choice->segment = segment;
    if (segment % choice->vector != 0 || segment > UINT32_MAX) {
        snprintf(p->reason, p->capacity, "segments are of whole vectors of %" PRIu64 " elements",
                 choice->vector);
        return false;
    }
    if (an_divide_up(columns, segment) > AN_MOST_SEGMENTS) {
        snprintf(p->reason, p->capacity,
                 "%" PRIu64 " columns are more than %d segments of %" PRIu64 " elements", columns,
                 AN_MOST_SEGMENTS, segment);
        return false;
    }
    return true;
}

/* The longest row that a group of lanes walks whose loops end: these have the two passes for the
 * sums in steps of sixteen elements, so a lane may have more than one of a schedule without. */
static uint64_t most_columns(const struct problem *p, uint64_t group)
{
    bool plain = p->spec->column_run <= 1 && !(p->spec->flags & ANYNORM_Y_SCALE_OUTPUT);
    if (!is_cpu_of_lanes(p->info) || !an_quirks_end_loops(p->info))
        return UINT64_MAX;
    return group * MOST_COLUMNS_OF_A_LANE * (plain ? 2 : 1);
}

/* A vector for each work-item, within what is usual and what the device takes. */
static uint64_t usual_group(const struct problem *p)
{
    uint64_t group = power_of_two_at_least(an_divide_up(p->spec->columns, 4));
    if (is_cpu_of_subgroups(p->info) && p->spec->columns <= most_columns(p, p->info->subgroup_size))
        return p->info->subgroup_size;
    if (group < 32)
        group = 32;
    group = an_least(an_least(group, USUAL_GROUP), largest_group(p));
    while (group < largest_group(p) && p->spec->columns > most_columns(p, group))
        group *= 2;
    return group;
}

/* The sub-group that a group may be: OpenCL's kernels have no such way. */
static uint64_t subgroup_of(const struct problem *p, uint64_t group)
{
    bool wanted = p->wish->subgroup > 0 || is_cpu_of_subgroups(p->info);
    return wanted && an_info_is_vulkan(p->info) && group == p->info->subgroup_size ? group : 0;
}

bool an_select_in_pieces(const anynorm_device_info *info, const anynorm_spec *spec,
                         const struct an_choice *choice)
{
    const struct problem p = {.info = info, .spec = spec};
    return choice->schedule == AN_ROW_SPLIT && !an_info_is_vulkan(info) &&
           !(spec->flags & ANYNORM_Y_SCALE_OUTPUT) && choice->segment < spec->columns &&
           spec->columns > most_columns(&p, choice->group);
}

/* row_reread, and row_split where lanes are what the device has. */
bool an_fit_row_reread(const struct problem *p, struct an_choice *choice)
{
    uint64_t group = p->wish->group ? p->wish->group : usual_group(p);
    /* Two sums of each work-item, and four numbers of each segment; one alone needs none. */
    uint64_t values = (2 + an_divide_up(4 * AN_MOST_SEGMENTS, group)) * group;
    uint64_t maxima = p->spec->flags & ANYNORM_Y_SCALE_OUTPUT ? group * sizeof(uint32_t) : 0;
    if (group > 1 && !fits_local_memory(p, values * accumulator_size(p->spec) + maxima))
        return false;
    choice->vector = 4;
    choice->group = group;
    choice->subgroup = subgroup_of(p, group);
    bool cpu = is_cpu_of_lanes(p->info);
    uint64_t most = most_columns(p, group);
    if (!cut_row(p, cpu ? (uint64_t)p->info->compute_units * SEGMENTS_PER_UNIT : AN_MOST_SEGMENTS,
                 cpu ? LEAST_SEGMENT_OF_CPU : LEAST_SEGMENT_OF_GROUP, most, choice))
        return false;
    uint64_t walked =
        an_select_in_pieces(p->info, p->spec, choice) ? choice->segment : p->spec->columns;
    if (walked > most) {
        snprintf(p->reason, p->capacity,
                 "%" PRIu64 " columns%s are too many for %" PRIu64 " lanes of a CPU", walked,
                 walked < p->spec->columns ? " of a segment" : "", group);
        return false;
    }
    snprintf(p->reason, p->capacity, "any number of columns, read twice");
    return true;
}

bool an_fit_row_split(const struct problem *p, struct an_choice *choice)
{
    if (is_vector_cpu(p->info) && p->wish->group <= 1) {
        choice->vector = p->wish->vector ? p->wish->vector : native_vector(p);
        choice->group = 1;
        choice->stream = stream_above(p);
        if (!p->wish->stream && p->info->cache_bytes)
            choice->stream = p->info->cache_bytes / CACHE_SHARE_OF_LONG_ROWS;
        if (!cut_row(p, p->info->compute_units * SEGMENTS_PER_UNIT, LEAST_SEGMENT_OF_ITEM,
                     UINT64_MAX, choice))
            return false;
    } else if (!an_fit_row_reread(p, choice)) {
        return false;
    }
    if ((p->spec->flags & ANYNORM_Y_SCALE_OUTPUT) && choice->segment < p->spec->columns) {
        snprintf(p->reason, p->capacity,
                 "the scale of a quantized row needs all of it, and a segment of %" PRIu64
                 " elements is not all",
                 choice->segment);
        return false;
    }
    snprintf(p->reason, p->capacity, "segments of %" PRIu64 " elements, read twice",
             choice->segment);
    return true;
}
