/* row_split and row_reread: a row is cut into segments of SEGMENT elements, at most SEGMENTS of them.
 * Each segment's moments come from the corrected formula about a pivot of its own; the row's come
 * from all of its segments' by the same formula again; then the row is read a second time and
 * normalized. With RMS there is but a sum of squares, with STATISTIC_INPUT only the last of this, and
 * with PARTIALS_OUTPUT the last only for a sum to be written.
 *
 * One kernel, launched in one of two ways. WHOLE: a work-group walks rows. PARTIALS, then FINISH: a
 * work-group walks segments of any rows, and the moments pass from one launch to the other through
 * `moments`. Being the same code on the same segments, both give the same bits. With STATISTIC_INPUT,
 * FINISH is launched alone. With Y_SCALE_OUTPUT, which needs all of a row's y, there is WHOLE alone.
 *
 * Chosen by -D besides those of elements.clh: GROUP, SEGMENT (a multiple of VECTOR), SEGMENTS (a
 * multiple of 16). Where GROUP is 1, for CPU devices, there is neither a barrier nor local memory. */
#include "walk.clh"

/* The values of `stage`; plan.c has them, too. */
#define WHOLE 0
#define PARTIALS 1
#define FINISH 2

#if GROUP > 1
#define SHARED __local
#else
#define SHARED __private
#endif

#if !STATISTIC_INPUT
/* Of one segment: how many elements, their mean as the unevaluated sum of two numbers, and the sum of
 * the squared deviations from it. */
typedef struct {
    acc_t count;
    acc_t mean;
    acc_t tail;
    acc_t squares;
} moments_of_segment_t;

/* Of all segments of a row, each number together, so that they are added up by vectors. Entries past
 * the row's last segment are 0. */
typedef struct {
#if !RMS
    acc_t count[SEGMENTS];
    acc_t mean[SEGMENTS];
    acc_t tail[SEGMENTS];
#endif
    acc_t squares[SEGMENTS];
} table_t;

PIECE void put(SHARED table_t *table, const uint segment, const moments_of_segment_t *m)
{
#if !RMS
    table->count[segment] = m->count;
    table->mean[segment] = m->mean;
    table->tail[segment] = m->tail;
#endif
    table->squares[segment] = m->squares;
}

/* From one launch to the other: the same numbers of a row's `segments`, four to a segment. */
PIECE void hand_over(__global acc_t *of_row, const uint segments, const uint segment,
                     const moments_of_segment_t *m)
{
#if !RMS
    of_row[segment] = m->count;
    of_row[segments + segment] = m->mean;
    of_row[2 * segments + segment] = m->tail;
#endif
    of_row[3 * segments + segment] = m->squares;
}

PIECE void take_over(const __global acc_t *of_row, const uint segments, const uint segment,
                     moments_of_segment_t *m)
{
#if !RMS
    m->count = of_row[segment];
    m->mean = of_row[segments + segment];
    m->tail = of_row[2 * segments + segment];
#endif
    m->squares = of_row[3 * segments + segment];
}

/* Adds each of two values over the work-items that walk together. */
PIECE void add_up(acc_t values[2], SHARED acc_t *scratch)
{
#if GROUP > 1
    group_sums(values, scratch);
#endif
}

/* The sums of a segment over the work-items that walk together. */
PIECE void segment_sums(const row_t *row, const uint column, const uint count, const acc_t origin,
                        const uint item, const bool aligned, SHARED acc_t *scratch, acc_t sums[2])
{
#if ALIGNED_WALK
    if (aligned)
        row_sums(row, column, count, origin, item, GROUP, ALIGNED_VECTOR, &sums[0], &sums[1]);
    else
#endif
        row_sums(row, column, count, origin, item, GROUP, VECTOR, &sums[0], &sums[1]);
    add_up(sums, scratch);
}

/* The moments of the segment of `count` elements from `column` on. Where the pivot proves POOR they are
 * taken again about the mean. */
PIECE void segment_moments(const row_t *row, const uint column, const uint count, const uint item,
                           const bool aligned, SHARED acc_t *scratch, moments_of_segment_t *m)
{
    acc_t sums[2];
#if RMS
    segment_sums(row, column, count, 0, item, aligned, scratch, sums);
    m->squares = sums[1];
#else
    m->count = (acc_t)count;
    m->mean = guess_h_mean(row, column, count);
    for (uint attempt = 0; attempt < 2; attempt++) {
        segment_sums(row, column, count, m->mean, item, aligned, scratch, sums);
        m->tail = divided(sums[0], m->count);
        const acc_t square = m->tail * sums[0];
        m->squares = sums[1] - square;
        if (attempt > 0 || !POOR(m->tail, square, m->squares))
            break; /* all work-items have the same sums, so all leave together */
        m->mean += m->tail;
    }
#endif
}

/* The statistic of a row from its segments' moments, by the corrected two-pass formula on these: a
 * first mean from all of them, the squares about it, and what the first mean was off by. */
PIECE void merge_segments(SHARED const table_t *table, const uint segments, const uint columns,
                           const acc_t eps, const uint item, SHARED acc_t *scratch,
                           statistic_t *s)
{
    accv_t squares = 0, lost_squares = 0;
    acc_t sums[2];
#if RMS
    for (uint k = item * VECTOR; k < segments; k += GROUP * VECTOR)
        add_compensated(&squares, &lost_squares, vloadv(0, table->squares + k));
    sums[0] = 0;
    sums[1] = sum_lanes(squares - lost_squares);
    add_up(sums, scratch);
    make_statistic(0, 0, scaled_variance(sums[1], (acc_t)columns), eps, s);
#else
    const acc_t first = table->mean[0];
    accv_t sum = 0, lost = 0;
    for (uint k = item * VECTOR; k < segments; k += GROUP * VECTOR) {
        const accv_t off = (vloadv(0, table->mean + k) - first) + vloadv(0, table->tail + k);
        add_compensated(&sum, &lost, vloadv(0, table->count + k) * off);
    }
    sums[0] = sum_lanes(sum - lost);
    sums[1] = 0;
    add_up(sums, scratch);

    /* Both numbers of first + step, whichever is the larger (Knuth). */
    const acc_t step = divided(sums[0], (acc_t)columns);
    const acc_t mean = first + step;
    const acc_t taken = mean - first;
    const acc_t tail = (first - (mean - taken)) + (step - taken);

    sum = lost = 0;
    for (uint k = item * VECTOR; k < segments; k += GROUP * VECTOR) {
        const accv_t off =
            (vloadv(0, table->mean + k) - mean) + (vloadv(0, table->tail + k) - tail);
        const accv_t moment = vloadv(0, table->count + k) * off;
        add_compensated(&sum, &lost, moment);
        add_compensated(&squares, &lost_squares, vloadv(0, table->squares + k) + moment * off);
    }
    sums[0] = sum_lanes(sum - lost);
    sums[1] = sum_lanes(squares - lost_squares);
    add_up(sums, scratch);
    const acc_t shift = divided(sums[0], (acc_t)columns);
    const acc_t variance = divided(sums[1] - shift * sums[0], (acc_t)columns);
    make_statistic(mean, tail + shift, scaled_variance(variance, (acc_t)columns), eps, s);
#endif
}
#endif

WIDTH_ATTRIBUTE __kernel void anynorm(
#include "params.def"
    , __global acc_t *moments, const uint stage)
{
#if !STATISTIC_INPUT
#if GROUP > 1
    __local acc_t scratch[2 * GROUP];
    __local table_t table;
#else
    acc_t *const scratch = 0;
    table_t table;
#endif
#endif
#if Y_SCALE_OUTPUT && GROUP > 1
    __local uint maxima[GROUP];
#endif
#include "gather.clh"
    const uint item = get_local_id(0);
    const uint segments = (columns - 1) / SEGMENT + 1;
#if ALIGNED_WALK && !ANY_ALIGNMENT
    const bool aligned = bits_of_places(&tensors) % 16 == 0;
#else
    const bool aligned = false;
#endif
    const bool large = outgrows_cache(rows * columns * size_of(OUT_TYPE));
#if !STATISTIC_INPUT
    moments_of_segment_t m = {0, 0, 0, 0};
    for (uint k = segments + item; k < SEGMENTS; k += GROUP)
        put(&table, k, &m);
#endif

    const ulong groups = get_num_groups(0), group = get_group_id(0);
    const ulong pieces = stage == WHOLE ? rows : rows * segments;
    const ulong share = pieces / groups, extra = pieces % groups;
    const ulong start = group * share + min(group, extra);
    ulong left = share + (group < extra ? 1 : 0);
    ulong row = stage == WHOLE ? start : start / segments;
    uint begin = stage == WHOLE ? 0 : (uint)(start % segments);
    for (; left > 0; row++, begin = 0) {
        /* As many segments of one row as are this group's. */
        const uint end = stage == WHOLE ? segments : (uint)min((ulong)segments, begin + left);
        left -= stage == WHOLE ? 1 : end - begin;
        row_t at;
        find_row(&tensors, row, &at);

        statistic_t s;
#if STATISTIC_INPUT
        load_statistic(&tensors, mean + mean_offset, rstd + rstd_offset, row, &s);
#else
        __global acc_t *of_row = moments + row * segments * 4;
        if (stage == FINISH) {
            for (uint k = item; k < segments; k += GROUP) {
                take_over(of_row, segments, k, &m);
                put(&table, k, &m);
            }
        } else {
            for (uint k = begin; k < end; k++) {
                segment_moments(&at, k * SEGMENT, min((uint)SEGMENT, columns - k * SEGMENT), item,
                                aligned, scratch, &m);
                if (stage == PARTIALS && item == 0)
                    hand_over(of_row, segments, k, &m);
                else if (item == 0)
                    put(&table, k, &m);
            }
        }
        if (stage == PARTIALS)
            continue;
#if GROUP > 1
        barrier(CLK_LOCAL_MEM_FENCE);
#endif
        merge_segments(&table, segments, columns, eps, item, scratch, &s);
#endif
        if (item == 0 && begin == 0)
            store_row_statistic(&tensors, mean + mean_offset, rstd + rstd_offset, row, &s);
#if Y_SCALE_OUTPUT
#if GROUP > 1
        uint largest = aligned ? find_largest(&at, &s, columns, item, GROUP, ALIGNED_VECTOR)
                               : find_largest(&at, &s, columns, item, GROUP, VECTOR);
        largest = group_max(largest, maxima);
#else
        const uint largest = find_largest(&at, &s, columns, 0, 1, VECTOR);
#endif
        set_y_scale(&tensors, largest, row, item == 0, &at);
#endif
#if WRITES_COLUMNS
        const uint from = begin * SEGMENT, to = end == segments ? columns : end * SEGMENT;
        /* Whole rows: the next one is on its way while this one is written. */
        const ulong ahead = stage == WHOLE && left > 0 ? x_row_stride * size_of(X_TYPE) : 0;
#if ALIGNED_WALK
        if (aligned)
            finish_columns(&at, &s, from, to, item, GROUP, large, ahead, ALIGNED_VECTOR);
        else
#endif
            finish_columns(&at, &s, from, to, item, GROUP, large, ahead, VECTOR);
#endif
#if GROUP > 1 && (!STATISTIC_INPUT || Y_SCALE_OUTPUT)
        /* Else PoCL 3.1, whose optimizer may give the end of this loop to work-item 0 and to the others
         * apart, runs it for all of them as for work-item 0. */
        barrier(CLK_LOCAL_MEM_FENCE);
#endif
    }
}
