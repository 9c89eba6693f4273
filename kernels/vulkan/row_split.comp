#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16 ACC_DOUBLE SUBGROUPS
/* row_split and row_reread: a row is cut into segments of SEGMENT elements, at most SEGMENTS of
 * them. Each segment's moments come from the corrected formula about a pivot of its own; the row's
 * come from all of its segments' by the same formula again; then the row is read a second time and
 * normalized. With RMS there is but a sum of squares, with STATISTIC_INPUT only the last of this,
 * and with PARTIALS_OUTPUT the last only for a sum to be written.
 *
 * One kernel, launched in one of two ways. WHOLE: a work-group walks rows. PARTIALS, then FINISH: a
 * work-group walks segments of any rows, and the moments pass from one launch to the other through
 * the buffer of SLOT_MOMENTS, 4 * segments numbers of the arithmetic type to a row. Being the same
 * code on the same segments, both give the same bits. With STATISTIC_INPUT, FINISH is launched
 * alone. With Y_SCALE_OUTPUT, which needs all of a row's y, there is WHOLE alone.
 *
 * Constants besides those of elements.glsl: GROUP, SEGMENT (a multiple of VECTOR), SEGMENTS (a
 * multiple of 16). */
#define ITEMS GROUP
#include "walk.glsl"

/* The values of `stage`; the host has them, too. */
#define WHOLE 0
#define PARTIALS 1
#define FINISH 2

/* Of one segment: how many elements, their mean as the unevaluated sum of two numbers, and the sum
 * of the squared deviations from it. */
struct moments_of_segment_t {
    acc_t count;
    acc_t mean;
    acc_t tail;
    acc_t squares;
};

/* Of all segments of a row. Entries past the row's last segment are 0. */
const uint TABLE = STATISTIC_INPUT ? 1 : SEGMENTS;
const uint FULL_TABLE = STATISTIC_INPUT || RMS != 0 ? 1 : SEGMENTS;
shared acc_t table_count[FULL_TABLE];
shared acc_t table_mean[FULL_TABLE];
shared acc_t table_tail[FULL_TABLE];
shared acc_t table_squares[TABLE];

/* Whether the group is one sub-group, whose work-items add up, and wait for each other, as such. */
const bool IS_SUBGROUP = GROUP > 1 && GROUP == SUBGROUP;

const uint SCRATCH = STATISTIC_INPUT || IS_SUBGROUP ? 1 : GROUP;
shared sums_t scratch[SCRATCH];
shared uint maxima[Y_SCALE_OUTPUT != 0 && !IS_SUBGROUP ? GROUP : 1];

/* As meet(), at every place where a group may be a sub-group. */
void meet_group()
{
#if SUBGROUPS
    if (IS_SUBGROUP) {
        subgroupBarrier();
        return;
    }
#endif
    meet();
}

void put(const uint segment, const moments_of_segment_t m)
{
    if (RMS == 0) {
        table_count[segment] = m.count;
        table_mean[segment] = m.mean;
        table_tail[segment] = m.tail;
    }
    table_squares[segment] = m.squares;
}

/* Element k of the moments. */
acc_t moment(const uint k)
{
#if ACC_DOUBLE
    return load(F64, SLOT_MOMENTS, k);
#else
    return load(F32, SLOT_MOMENTS, k);
#endif
}

void put_moment(const uint k, const acc_t value)
{
#if ACC_DOUBLE
    store(F64, SLOT_MOMENTS, k, value);
#else
    store(F32, SLOT_MOMENTS, k, value);
#endif
}

/* From one launch to the other: the same numbers of a row's `segments`, four to a segment. */
void hand_over(const uint of_row, const uint segments, const uint segment,
               const moments_of_segment_t m)
{
    if (RMS == 0) {
        put_moment(of_row + segment, m.count);
        put_moment(of_row + segments + segment, m.mean);
        put_moment(of_row + 2 * segments + segment, m.tail);
    }
    put_moment(of_row + 3 * segments + segment, m.squares);
}

moments_of_segment_t take_over(const uint of_row, const uint segments, const uint segment)
{
    moments_of_segment_t m = moments_of_segment_t(0, 0, 0, 0);
    if (RMS == 0) {
        m.count = moment(of_row + segment);
        m.mean = moment(of_row + segments + segment);
        m.tail = moment(of_row + 2 * segments + segment);
    }
    m.squares = moment(of_row + 3 * segments + segment);
    return m;
}

/* Where a halving tree over any number of work-items starts: the largest power of two below it. */
uint tree_start()
{
    return 1u << findMSB(max(GROUP - 1, 1));
}

/* Adds up over the work-group; every work-item gets the sums. All must call it; it may be called
 * again at once. */
sums_t group_sums(const sums_t own, const uint item)
{
    if (GROUP == 1)
        return own;
#if SUBGROUPS
    if (IS_SUBGROUP) {
        meet_group();
        return sums_t(RMS != 0 ? 0 : subgroupAdd(own.x), subgroupAdd(own.y));
    }
#endif
    scratch[item] = own;
    meet();
    for (uint step = tree_start(); step > 0; step /= 2) {
        if (item < step && item + step < GROUP)
            scratch[item] += scratch[item + step];
        barrier();
    }
    const sums_t result = scratch[0];
    barrier();
    return result;
}

/* The largest of the work-group's values, likewise. */
uint group_max(const uint own, const uint item)
{
    if (GROUP == 1)
        return own;
#if SUBGROUPS
    if (IS_SUBGROUP) {
        meet_group();
        return subgroupMax(own);
    }
#endif
    maxima[item] = own;
    meet();
    for (uint step = tree_start(); step > 0; step /= 2) {
        if (item < step && item + step < GROUP)
            maxima[item] = max(maxima[item], maxima[item + step]);
        barrier();
    }
    const uint result = maxima[0];
    barrier();
    return result;
}

/* The moments of the segment of `count` elements from `column` on. Where the pivot proves poor they
 * are taken again about the mean. */
moments_of_segment_t segment_moments(const row_t row, const uint column, const uint count,
                                     const uint item, const bool aligned)
{
    moments_of_segment_t m;
    m.count = acc_t(count);
    m.mean = RMS != 0 ? 0 : guess_h_mean(row, column, count);
    for (uint attempt = 0; attempt < 2; attempt++) {
        const sums_t sums = group_sums(row_sums(row, column, count, m.mean, item, aligned), item);
        const acc_t tail = divided(sums.x, m.count);
        precise const acc_t square = tail * sums.x;
        precise const acc_t squares = sums.y - square;
        m.tail = tail;
        m.squares = squares;
        if (RMS != 0 || attempt > 0 || !is_poor(tail, square, squares))
            break; /* all work-items have the same sums, so all leave together */
        m.mean += m.tail;
    }
    return m;
}

accv_t counts_at(const uint k)
{
    return accv_t(table_count[k], table_count[k + 1], table_count[k + 2], table_count[k + 3]);
}

accv_t squares_at(const uint k)
{
    return accv_t(table_squares[k], table_squares[k + 1], table_squares[k + 2],
                  table_squares[k + 3]);
}

/* What the means of four segments are off from mean + tail. */
accv_t means_from(const uint k, const acc_t mean, const acc_t tail)
{
    const accv_t means =
        accv_t(table_mean[k], table_mean[k + 1], table_mean[k + 2], table_mean[k + 3]);
    const accv_t tails =
        accv_t(table_tail[k], table_tail[k + 1], table_tail[k + 2], table_tail[k + 3]);
    precise const accv_t result = (means - mean) + (tails - tail);
    return result;
}

/* The statistic of a row that is one segment. */
statistic_t statistic_of(const moments_of_segment_t m)
{
    if (RMS != 0)
        return make_statistic(0, 0, scaled_variance(m.squares));
    return make_statistic(m.mean, m.tail, scaled_variance(divided(m.squares, m.count)));
}

/* The statistic of a row from its segments' moments, by the corrected two-pass formula on these: a
 * first mean from all of them, the squares about it, and what the first mean was off by. */
statistic_t merge_segments(const uint segments, const uint item)
{
    accv_t squares = accv_t(0), lost_squares = squares;
    if (RMS != 0) {
        for (uint k = item * VECTOR; k < segments; k += GROUP * VECTOR)
            add_compensated(squares, lost_squares, squares_at(k));
        const sums_t sums = group_sums(sums_t(0, sum_lanes(squares - lost_squares)), item);
        return make_statistic(0, 0, scaled_variance(sums.y));
    }
    const acc_t first = table_mean[0];
    accv_t sum = accv_t(0), lost = sum;
    for (uint k = item * VECTOR; k < segments; k += GROUP * VECTOR)
        add_compensated(sum, lost, counts_at(k) * means_from(k, first, 0));
    sums_t sums = group_sums(sums_t(sum_lanes(sum - lost), 0), item);

    /* Both numbers of first + step, whichever is the larger (Knuth). */
    const acc_t step = divided(sums.x, acc_t(columns));
    precise const acc_t mean = first + step;
    precise const acc_t taken = mean - first;
    precise const acc_t tail = (first - (mean - taken)) + (step - taken);

    sum = lost = accv_t(0);
    for (uint k = item * VECTOR; k < segments; k += GROUP * VECTOR) {
        const accv_t off = means_from(k, mean, tail);
        const accv_t moment = counts_at(k) * off;
        add_compensated(sum, lost, moment);
        add_compensated(squares, lost_squares, squares_at(k) + moment * off);
    }
    sums = group_sums(sums_t(sum_lanes(sum - lost), sum_lanes(squares - lost_squares)), item);
    const acc_t shift = divided(sums.x, acc_t(columns));
    const acc_t variance = divided(sums.y - shift * sums.x, acc_t(columns));
    return make_statistic(mean, tail + shift, scaled_variance(variance));
}

void main()
{
    const uint item = gl_LocalInvocationID.x, rows = launch.rows, stage = launch.stage;
    const uint segments = (columns - 1) / SEGMENT + 1;
    const bool aligned = is_aligned();
    load_y_scale();
    if (!STATISTIC_INPUT && segments > 1) {
        for (uint k = segments + item; k < SEGMENTS; k += GROUP)
            put(k, moments_of_segment_t(0, 0, 0, 0));
    }

    /* In 32 bits: there are fewer than 2^31 rows and, where rows are split, fewer segments. */
    const uint groups = gl_NumWorkGroups.x, group = gl_WorkGroupID.x;
    const uint pieces = stage == WHOLE ? rows : rows * segments;
    const uint share = pieces / groups, extra = pieces % groups;
    const uint start = group * share + min(group, extra);
    uint left = share + (group < extra ? 1 : 0);
    uint row = stage == WHOLE ? start : start / segments;
    uint begin = stage == WHOLE ? 0 : start % segments;
    for (; left > 0; row++, begin = 0) {
        /* As many segments of one row as are this group's. */
        const uint end = stage == WHOLE ? segments : min(segments, begin + left);
        left -= stage == WHOLE ? 1 : end - begin;
        const row_t at = find_row(row);

        statistic_t s;
        if (STATISTIC_INPUT) {
            s = load_statistic(row);
        } else if (segments == 1) {
            s = statistic_of(segment_moments(at, 0, columns, item, aligned));
        } else {
            const uint of_row = row * segments * 4;
            if (stage == FINISH) {
                for (uint k = item; k < segments; k += GROUP)
                    put(k, take_over(of_row, segments, k));
            } else {
                for (uint k = begin; k < end; k++) {
                    const moments_of_segment_t m = segment_moments(
                        at, k * SEGMENT, min(SEGMENT, columns - k * SEGMENT), item, aligned);
                    if (stage == PARTIALS && item == 0)
                        hand_over(of_row, segments, k, m);
                    else if (item == 0)
                        put(k, m);
                }
            }
            if (stage == PARTIALS)
                continue;
            meet_group();
            s = merge_segments(segments, item);
        }
        if (item == 0 && begin == 0)
            store_row_statistic(row, s);
        if (Y_SCALE_OUTPUT != 0)
            set_y_scale(group_max(find_largest(at, s, item), item), row, item == 0);
        if (WRITES_COLUMNS)
            finish_columns(at, s, begin * SEGMENT, end == segments ? columns : end * SEGMENT, item,
                           aligned);
        if (!STATISTIC_INPUT)
            meet_group();
    }
}
