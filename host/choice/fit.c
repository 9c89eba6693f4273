/* The rules of the schedules that walk a row from memory. */
#include "fit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "caps.h"
#include "spec/spec.h"

/* ---- What the rules share ---- */

/* The longest row that one lane walks. Where lanes are what a device has, such a row is slow; and
 * see an_quirks_end_loops. */
#define MOST_COLUMNS_OF_A_LANE 65536

/* Of a Vulkan kernel's flags, and arrays that a spec has no use for, which are of one element.
 * Where OpenCL tells of a compiled kernel's limits, Vulkan only knows what was declared. */
#define FLAG_BYTES 32

struct problem an_problem(const anynorm_device_info *info, const anynorm_spec *spec,
                          const struct an_choice *wish, char *reason)
{
    struct problem p = {info, spec, wish, reason, .vulkan = an_info_is_vulkan(info)};
    bool cpu = info->device_class == ANYNORM_CLASS_CPU;
    p.vector_cpu = cpu && info->vector_width >= 4;
    p.lanes_cpu = cpu && !p.vector_cpu;
    p.subgroup_cpu = p.lanes_cpu && p.vulkan && info->subgroup_size > 1;
    p.largest = an_power_down(info->max_work_group_size);
    p.accumulator = an_spec_double(spec) ? sizeof(double) : sizeof(float);
    p.maximum = spec->flags & ANYNORM_Y_SCALE_OUTPUT ? sizeof(uint32_t) : 0;
    return p;
}

bool an_answer(const struct problem *p, bool fits, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->reason, AN_REASON_BYTES, format, arguments);
    va_end(arguments);
    return fits;
}

bool an_fit_local_memory(const struct problem *p, uint64_t bytes)
{
    if (p->vulkan)
        bytes += FLAG_BYTES;
    return bytes <= p->info->local_bytes ||
           an_answer(p, false, "%" PRIu64 " bytes of local memory are needed, there are %" PRIu64,
                     bytes, p->info->local_bytes);
}

uint64_t an_fit_native_vector(const struct problem *p)
{
    uint64_t width = p->info->vector_width * sizeof(float) / p->accumulator;
    return width >= 16 ? 16 : width >= 8 ? 8 : 4;
}

/* Each vector's run has to be found: where runs have room for several, fewer and wider ones save
 * more than what spills. (PoCL on a Zen of 256 bits: three quarters of the time.) */
#define LONG_RUN 64

/* And a vector of bytes is narrow, so that those that stream fill a line in many pieces. */
static bool has_narrow_y(const anynorm_spec *spec)
{
    return anynorm_dtype_size(spec->y.type) == 1 && spec->columns >= LONG_RUN;
}

static uint64_t vector_of(const struct problem *p, bool wide)
{
    uint64_t native = an_fit_native_vector(p);
    return wide && p->vector_cpu ? an_least(2 * native, 16) : native;
}

static bool wants_wide_vectors(const anynorm_spec *spec)
{
    return spec->column_run >= LONG_RUN || has_narrow_y(spec);
}

uint64_t an_fit_stream_above(const struct problem *p)
{
    if (p->wish->stream)
        return p->wish->stream;
    return p->info->cache_bytes ? (p->info->cache_bytes - 1) / 8 * 3 : AN_NEVER;
}

/* The same of rows that stream from one part of the cache on. */
static uint64_t stream_above_share(const struct problem *p, uint64_t share)
{
    if (p->wish->stream || !p->info->cache_bytes)
        return an_fit_stream_above(p);
    return p->info->cache_bytes / share;
}

/* ---- row_per_item: a work-item walks whole rows ---- */

/* A work-item of a CPU walks four rows at once where one's work does not outlast the latencies of
 * its sums, and where weight and bias of f32 rows outgrow the first cache, so that the four share
 * their loads; up to the length at which four rows do. */
#define SHORT_ROW 128
#define HEAVY_ROW 4096
#define LONG_ROW 16384

/* Finding a run outlasts those latencies, too; and four rows of runs take three times as long to
 * compile. */
static bool gains_by_four(const anynorm_spec *spec)
{
    bool heavy = spec->columns >= HEAVY_ROW && spec->columns <= LONG_ROW;
    bool narrow = has_narrow_y(spec) || anynorm_dtype_size(spec->x.type) == 2;
    if (spec->column_run > 1 || (heavy && narrow))
        return false;
    return heavy || spec->columns <= SHORT_ROW;
}

/* Twice the machine's own vectors make for two chains of each sum, which a row that is walked alone
 * gains by as long as its start shows; and for whole lines of 16-bit elements, whose conversions
 * then wait less for each other. */
#define ROW_WITHOUT_START 1024

static bool gains_by_wide_vectors(const anynorm_spec *spec, uint64_t rows)
{
    size_t size = anynorm_dtype_size(spec->x.type);
    bool wide = size == 2 || (size == 4 && spec->columns < ROW_WITHOUT_START);
    return wants_wide_vectors(spec) || (rows == 1 && wide && !an_spec_double(spec));
}

/* Work-items that a CPU's compiler puts side by side where it makes lanes of them; more only leave
 * fewer groups to the cores. */
#define LANES_OF_CPU 8

/* PoCL's compiler calls functions. One that inlines them all takes three times as long for four
 * rows at once (Intel's CPU runtime: 2.1 s instead of 0.6) and gains a tenth. */
static bool has_cheap_functions(const anynorm_device_info *info)
{
    return strcmp(info->platform, "Portable Computing Language") == 0;
}

/* Of y that waits for the scale of its row, so many bytes fit in a core's first cache. */
#define HELD_BYTES_OF_CORE 32768

/* The vectors in which a work-item of a CPU keeps y while it looks for the scale, a power of two,
 * so that not every length is a program of its own; 0 where y is not kept. */
static uint64_t held_until_scaled(const struct problem *p, const struct an_choice *choice)
{
    uint64_t vectors = an_power_up(an_divide_up(p->spec->columns, choice->vector));
    bool fits = vectors * choice->vector * p->accumulator <= HELD_BYTES_OF_CORE;
    return (p->spec->flags & ANYNORM_Y_SCALE_OUTPUT) && fits ? vectors : 0;
}

/* Long rows go past the cache from this part of it on: the next row is fetched then while one is
 * written, which is more than the second cache foresees. Of an eighth 16-bit rows lost where all
 * was in cache. */
#define CACHE_SHARE_OF_WALKED_ROWS 4

bool an_fit_row_per_item(const struct problem *p, struct an_choice *choice)
{
    if (!p->vector_cpu && p->spec->columns > MOST_COLUMNS_OF_A_LANE)
        return an_answer(p, false,
                         "%" PRIu64 " columns are too many for one lane of a device that has many",
                         p->spec->columns);
    /* Vulkan's kernel knows but vectors of four, and a row at a time: a work-item's neighbours hide
     * its latencies. */
    bool plain = p->vulkan;
    uint64_t group = p->vector_cpu                                ? 1
                     : p->info->device_class == ANYNORM_CLASS_CPU ? LANES_OF_CPU
                                                                  : 64;
    choice->group = p->wish->group ? p->wish->group : an_least(group, p->largest);
    choice->rows = plain ? 1 : p->wish->rows;
    if (!choice->rows) {
        bool four = p->vector_cpu && has_cheap_functions(p->info);
        choice->rows = four && gains_by_four(p->spec) ? 4 : 1;
    }
    if (choice->rows != 1 && choice->rows != 4)
        return an_answer(p, false, "a work-item walks 1 or 4 rows, not %" PRIu64, choice->rows);
    choice->vector = plain             ? an_fit_native_vector(p)
                     : p->wish->vector ? p->wish->vector
                                       : vector_of(p, gains_by_wide_vectors(p->spec, choice->rows));
    if (p->vector_cpu)
        choice->held = held_until_scaled(p, choice);
    /* Streaming stores are a compiler's builtin that only CPU compilers are known to take. */
    if (p->vector_cpu)
        choice->stream = p->spec->columns > LONG_ROW
                             ? stream_above_share(p, CACHE_SHARE_OF_WALKED_ROWS)
                             : an_fit_stream_above(p);
    return an_answer(p, true, "vectors of %" PRIu64 " suit a device whose own is %" PRIu32,
                     choice->vector, p->info->vector_width);
}

/* ---- row_reread and row_split: rows that no work-group holds on chip, cut into segments ---- */

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
        an_power_up(an_divide_up(columns, wanted)) > most)
        wanted = AN_MOST_SEGMENTS;
    if (segment == 0) {
        segment = an_power_up(an_divide_up(columns, wanted));
        segment = segment < least ? least : segment;
    }
    choice->segment = segment;
    if (segment % choice->vector != 0 || segment > UINT32_MAX)
        return an_answer(p, false, "segments are of whole vectors of %" PRIu64 " elements",
                         choice->vector);
    if (an_divide_up(columns, segment) > AN_MOST_SEGMENTS)
        return an_answer(p, false,
                         "%" PRIu64 " columns are more than %d segments of %" PRIu64 " elements",
                         columns, AN_MOST_SEGMENTS, segment);
    return true;
}

/* The longest row that a group of lanes walks whose loops end: these have the two passes for the
 * sums in steps of sixteen elements, so a lane may have more than one of a schedule without. */
static uint64_t most_columns(const struct problem *p, uint64_t group)
{
    bool plain = p->spec->column_run <= 1 && !(p->spec->flags & ANYNORM_Y_SCALE_OUTPUT);
    if (!p->lanes_cpu || !an_quirks_end_loops(p->info))
        return UINT64_MAX;
    return group * MOST_COLUMNS_OF_A_LANE * (plain ? 2 : 1);
}

/* A vector for each work-item, within what is usual and what the device takes. */
static uint64_t usual_group(const struct problem *p)
{
    uint64_t group = an_power_up(an_divide_up(p->spec->columns, 4));
    if (p->subgroup_cpu && p->spec->columns <= most_columns(p, p->info->subgroup_size))
        return p->info->subgroup_size;
    if (group < 32)
        group = 32;
    group = an_least(an_least(group, USUAL_GROUP), p->largest);
    while (group < p->largest && p->spec->columns > most_columns(p, group))
        group *= 2;
    return group;
}

/* The sub-group that a group may be: OpenCL's kernels have no such way. */
static uint64_t subgroup_of(const struct problem *p, uint64_t group)
{
    bool wanted = p->wish->subgroup > 0 || p->subgroup_cpu;
    return wanted && p->vulkan && group == p->info->subgroup_size ? group : 0;
}

bool an_select_in_pieces(const anynorm_device_info *info, const anynorm_spec *spec,
                         const struct an_choice *choice)
{
    const struct problem p = an_problem(info, spec, NULL, NULL);
    return choice->schedule == AN_ROW_SPLIT && !p.vulkan &&
           !(spec->flags & ANYNORM_Y_SCALE_OUTPUT) && choice->segment < spec->columns &&
           spec->columns > most_columns(&p, choice->group);
}

/* row_reread, and row_split where lanes are what the device has. */
bool an_fit_row_reread(const struct problem *p, struct an_choice *choice)
{
    uint64_t group = p->wish->group ? p->wish->group : usual_group(p);
    /* Two sums of each work-item, and four numbers of each segment; one alone needs none. */
    uint64_t values = (2 + an_divide_up(4 * AN_MOST_SEGMENTS, group)) * group;
    if (group > 1 && !an_fit_local_memory(p, values * p->accumulator + group * p->maximum))
        return false;
    choice->vector = 4;
    choice->group = group;
    choice->subgroup = subgroup_of(p, group);
    bool cpu = p->lanes_cpu;
    uint64_t most = most_columns(p, group);
    if (!cut_row(p, cpu ? (uint64_t)p->info->compute_units * SEGMENTS_PER_UNIT : AN_MOST_SEGMENTS,
                 cpu ? LEAST_SEGMENT_OF_CPU : LEAST_SEGMENT_OF_GROUP, most, choice))
        return false;
    uint64_t walked =
        an_select_in_pieces(p->info, p->spec, choice) ? choice->segment : p->spec->columns;
    if (walked > most)
        return an_answer(p, false,
                         "%" PRIu64 " columns%s are too many for %" PRIu64 " lanes of a CPU",
                         walked, walked < p->spec->columns ? " of a segment" : "", group);
    return an_answer(p, true, "any number of columns, read twice");
}

bool an_fit_row_split(const struct problem *p, struct an_choice *choice)
{
    if (p->vector_cpu && p->wish->group <= 1) {
        choice->vector =
            p->wish->vector ? p->wish->vector : vector_of(p, wants_wide_vectors(p->spec));
        choice->group = 1;
        choice->stream = stream_above_share(p, CACHE_SHARE_OF_LONG_ROWS);
        if (!cut_row(p, p->info->compute_units * SEGMENTS_PER_UNIT, LEAST_SEGMENT_OF_ITEM,
                     UINT64_MAX, choice))
            return false;
    } else if (!an_fit_row_reread(p, choice)) {
        return false;
    }
    if ((p->spec->flags & ANYNORM_Y_SCALE_OUTPUT) && choice->segment < p->spec->columns)
        return an_answer(p, false,
                         "the scale of a quantized row needs all of it, and a segment of %" PRIu64
                         " elements is not all",
                         choice->segment);
    return an_answer(p, true, "segments of %" PRIu64 " elements, read twice", choice->segment);
}

/* ---- column_walk: rows whose columns lie apart ---- */

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
    bool alone = p->lanes_cpu && choice->slices == choice->group && !p->vulkan;
    uint64_t rounds = WALKS * (alone ? choice->vector : 1);
    bool ends = p->lanes_cpu ? an_quirks_end_loops(p->info) : !p->vector_cpu;
    return ends && p->spec->columns / choice->slices > MOST_COLUMNS_OF_A_LANE / rounds;
}

/* Bytes of local memory in which slices meet. */
static uint64_t local_bytes(const struct problem *p, const struct an_choice *choice)
{
    return choice->vector * choice->group * (2 * p->accumulator + p->maximum);
}

bool an_fit_column_walk(const struct problem *p, struct an_choice *choice)
{
    const struct an_choice *wish = p->wish;
    uint64_t usual = p->vector_cpu ? 1 : an_least(USUAL_GROUP, p->largest);
    choice->vector = wish->vector ? wish->vector : p->vector_cpu ? an_fit_native_vector(p) : 4;
    choice->group = wish->group ? wish->group : usual;
    choice->slices = wish->slices ? wish->slices : usual_slices(choice->group, p->spec->columns);
    choice->held = wish->held;
    if (choice->group > 1 || p->vulkan) /* whose neighbours hide latencies */
        choice->held = 1;
    else if (!wish->held)
        choice->held = strips_in_cache(p, choice->vector);
    if (p->vector_cpu)
        choice->stream = an_fit_stream_above(p);
    if (choice->group % choice->slices != 0)
        return an_answer(
            p, false, "a group of %" PRIu64 " cannot be cut into %" PRIu64 " slices of the columns",
            choice->group, choice->slices);
    if (choice->held > MOST_STRIPS)
        return an_answer(p, false,
                         "a work-item walks at most %d vectors of rows side by side, not %" PRIu64,
                         MOST_STRIPS, choice->held);
    if (choice->slices > 1 && !an_fit_local_memory(p, local_bytes(p, choice))) {
        if (wish->slices)
            return false;
        choice->slices = 1;
    }
    while (!wish->slices && choice->slices > 1 && is_too_long(p, choice) &&
           choice->group % (4 * choice->slices) == 0)
        choice->slices *= 2; /* fewer neighbours, but the row is served */
    if (is_too_long(p, choice))
        return an_answer(p, false,
                         "%" PRIu64 " columns are too many for %" PRIu64
                         " lanes of a device that has many",
                         p->spec->columns, choice->slices);
    return an_answer(p, true, "neighbouring work-items walk the columns of neighbouring rows");
}
