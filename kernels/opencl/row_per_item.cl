/* row_per_item: a work-item walks whole rows with explicit vectors, ROWS of them side by side. For CPU
 * devices, where a work-item is a core's whole vector unit. A row is read twice, the second time from
 * cache; once more where its first elements gave a poor guess of its mean.
 *
 * Chosen by -D: ROWS, 4 where rows are so short that one's latencies would show, else 1. */
#include "row.clh"

/* Chains of additions side by side, which hide an addition's latency: of ROWS rows, or of neighbouring
 * vectors of one. */
#define CHAINS 4
#define ROW_CHAINS (CHAINS / ROWS) /* 4 or 1 */
/* Vectors of a row in one step of all chains. */
#if ROW_CHAINS > LINE
#define STEP ROW_CHAINS
#else
#define STEP LINE
#endif

/* Vectors of a row that are summed, 16 in a chain, before the sums go into the totals; the first few
 * blocks' sums are so few that they need no compensation. */
#define BLOCK (16 * ROW_CHAINS)
#define PLAIN 64

/* Where rows are so short that the divisions and the root of ROWS of them would outlast the work that does not
 * wait for these, up to GROUPS times ROWS rows are walked together: as many as these bytes of x hold. */
#define GROUPS 4
#define WALKED_BYTES 4096

/* Bytes that a row's prefetch runs ahead at least: less arrives too late. And another line, as it must not
 * come just behind a store at the same place of another page: many CPUs tell the two apart late, and rows
 * of 512 or 1024 halves took half as long again. */
#define AHEAD_BYTES 4096
#define LINE_BYTES 64

/* The last vector of a row whose columns are no multiple of VECTOR: it overlaps the one before, or, in a
 * row shorter than a vector, ends with `fill`. */
PIECE accv_t load_tail(const __global uchar *x, const uint columns, const acc_t fill)
{
    if (columns < VECTOR)
        return loadv_part(X_TYPE, x, 0, columns, fill);
    return loadv(X_TYPE, x, columns - VECTOR);
}

PIECE void add_deviation(const accv_t deviation, accv_t *sum, accv_t *squares)
{
    *sum += deviation;
    *squares += deviation * deviation;
}

/* The sums of (x - pivot) and of their squares over vectors [v, end) of each row, lane by lane. */
PIECE void block_sums(const uint many, const __global uchar *const *x, uint v, const uint end,
                      const acc_t *pivot, accv_t *sums, accv_t *squares)
{
    accv_t s[CHAINS], q[CHAINS];
#pragma unroll
    for (uint c = 0; c < CHAINS; c++)
        s[c] = q[c] = 0;
    for (; v + STEP <= end; v += STEP) {
#pragma unroll
        for (uint i = 0; i < ROWS * STEP && i < many * STEP; i += LINE) {
            const uint r = i / STEP;
            const uint c = r * ROW_CHAINS + i % ROW_CHAINS;
            line_t line;
            load_line(LINE, X_TYPE, x[r], (v + i % STEP) * VECTOR, &line);
            add_deviation(line.first - pivot[r], &s[c], &q[c]);
#if LINE == 2
            const uint d = r * ROW_CHAINS + (i + 1) % ROW_CHAINS;
            add_deviation(line.second - pivot[r], &s[d], &q[d]);
#endif
        }
    }
#if STEP > 1
    for (; v < end; v++) {
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            const uint c = r * ROW_CHAINS;
            add_deviation(loadv(X_TYPE, x[r], v * VECTOR) - pivot[r], &s[c], &q[c]);
        }
    }
#endif
#if ROW_CHAINS == 4
    sums[0] = (s[0] + s[1]) + (s[2] + s[3]);
    squares[0] = (q[0] + q[1]) + (q[2] + q[3]);
#else
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        sums[r] = s[r];
        squares[r] = q[r];
    }
#endif
}

/* The same over whole rows. */
PIECE void row_sums(const uint many, const __global uchar *const *x, const uint columns, const acc_t *pivot,
                     accv_t *sums, accv_t *squares)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    const __global uchar *from[ROWS];
    acc_t about[ROWS];
    accv_t total[ROWS], lost[ROWS], total_squares[ROWS], lost_squares[ROWS], s[ROWS], q[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        from[r] = x[r];
        about[r] = pivot[r];
        lost[r] = lost_squares[r] = 0;
    }
    block_sums(many, from, 0, min(vectors, (uint)BLOCK), about, total, total_squares);
    for (uint v = BLOCK; v < vectors; v += BLOCK) {
        block_sums(many, from, v, min(vectors, v + BLOCK), about, s, q);
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            if (v < PLAIN) {
                total[r] += s[r];
                total_squares[r] += q[r];
            } else {
                add_compensated(&total[r], &lost[r], s[r]);
                add_compensated(&total_squares[r], &lost_squares[r], q[r]);
            }
        }
    }
    if (rest > 0) {
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            accv_t a = load_tail(from[r], columns, about[r]) - about[r];
            a = columns < VECTOR ? keep(a, rest) : keep_last(a, rest);
            total[r] += a;
            total_squares[r] += a * a;
        }
    }
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        sums[r] = total[r] - lost[r];
        squares[r] = total_squares[r] - lost_squares[r];
    }
}

/* A value of each row: of up to ROWS rows, the others' 0. */
typedef union {
    acc4_t all;
    acc_t of[4];
} rows_t;

/* sum_lanes of each row's vector. */
PIECE void sum_rows(const uint many, const accv_t *v, rows_t *sums)
{
#if ROWS == 4
    if (many == ROWS) {
        sums->all = sum_lanes_of_4(v);
        return;
    }
#endif
    sums->all = (acc4_t)(sum_lanes(v[0]), 0, 0, 0);
}

/* A first guess of each row's mean, as guess_mean. */
PIECE void guess_means(const uint many, const __global uchar *const *x, const uint columns, rows_t *means)
{
    const acc_t share = (acc_t)1 / (acc_t)min(columns, (uint)VECTOR);
    accv_t deviations[ROWS];
    rows_t first, sums;
    first.all = 0;
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        first.of[r] = load(X_TYPE, x[r], 0);
        deviations[r] = load_rowv(X_TYPE, x[r], 0, count_at(0, columns), first.of[r]) - first.of[r];
    }
    sum_rows(many, deviations, &sums);
    means->all = first.all + sums.all * share;
}

/* The statistics as corrected() has them, of all rows at once: divisions and roots are slow. */
PIECE void find_statistics(const uint many, const __global uchar *const *x, const uint columns, const acc_t eps,
                           statistic_t *s)
{
    rows_t pivot, sum, squares, shift, rstd, shift_rstd;
    accv_t sums[ROWS], all_squares[ROWS];
    guess_means(many, x, columns, &pivot);
    for (uint attempt = 0; attempt < 2; attempt++) {
        row_sums(many, x, columns, pivot.of, sums, all_squares);
        sum_rows(many, sums, &sum);
        sum_rows(many, all_squares, &squares);
        shift.all = sum.all / (acc_t)columns;
        const acc4_t variance = squares.all / (acc_t)columns - shift.all * shift.all;
        rstd.all = inverse_roots_of_4(variance < 0 ? (acc4_t)0 : variance, eps);
        shift_rstd.all = shift.all * rstd.all;
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            s[r].pivot = pivot.of[r];
            s[r].shift = shift.of[r];
            s[r].rstd = rstd.of[r];
            s[r].shift_rstd = shift_rstd.of[r];
        }
        const acc4_t poor = shift.all * shift.all > variance ? shift.all : (acc4_t)0;
        const acc_t any_poor = (fabs(poor.s0) + fabs(poor.s1)) + (fabs(poor.s2) + fabs(poor.s3));
        if (!(any_poor > 0))
            break;
        pivot.all += poor; /* the other rows will have the same sums once more */
    }
}

/* Writes `parts`, LINE or 1, vectors of each row; `stream`, a constant, past the caches: then the rows
 * `ahead` bytes further on are fetched meanwhile, or the memory would idle during the summing pass. */
PIECE void write_line(const uint many, const uint parts, const bool stream,
                      const __global uchar *const *x, __global uchar *const *y, const statistic_t *s,
                      const __global uchar *weight, const __global uchar *bias, const uint column,
                      const ulong ahead)
{
    line_t w = {0, 0}, b = {0, 0}, line[ROWS];
#if HAS_WEIGHT
    load_line(parts, P_TYPE, weight, column, &w);
#endif
#if HAS_BIAS
    load_line(parts, P_TYPE, bias, column, &b);
#endif
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        load_line(parts, X_TYPE, x[r], column, &line[r]);
        if (stream)
            fetch(x[r] + ahead + LINE_BYTES + column * size_of(X_TYPE));
        line[r].first = applyv(line[r].first - s[r].pivot, &s[r], w.first, b.first);
        if (parts == 2)
            line[r].second = applyv(line[r].second - s[r].pivot, &s[r], w.second, b.second);
    }
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        store_line(parts, Y_TYPE, stream, y[r], column, &line[r]);
    }
}

/* Writes the whole vectors of the rows. */
PIECE void write_vectors(const uint many, const bool stream, const __global uchar *const *x,
                         __global uchar *const *y, const statistic_t *s,
                         const __global uchar *weight, const __global uchar *bias,
                         const uint vectors, const ulong ahead)
{
    /* In registers: for all that a compiler knows, y may point to the arrays themselves. */
    const __global uchar *from[ROWS];
    __global uchar *to[ROWS];
    statistic_t of[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        from[r] = x[r];
        to[r] = y[r];
        of[r] = s[r];
    }
    uint v = 0;
    for (; v + LINE <= vectors; v += LINE)
        write_line(many, LINE, stream, from, to, of, weight, bias, v * VECTOR, ahead);
#if LINE > 1
    if (v < vectors)
        write_line(many, 1, stream, from, to, of, weight, bias, v * VECTOR, ahead);
#endif
}

PIECE void write_rows(const uint many, const __global uchar *const *x, __global uchar *const *y,
                      const statistic_t *s, const __global uchar *weight,
                      const __global uchar *bias, const uint columns, const bool stream,
                      const ulong ahead)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    accv_t tails[ROWS];
    if (rest > 0) { /* loaded before y, which may be x, is written beneath them */
        for (uint r = 0; r < ROWS && r < many; r++)
            tails[r] = load_tail(x[r], columns, 0) - s[r].pivot;
    }
    if (stream)
        write_vectors(many, true, x, y, s, weight, bias, vectors, ahead);
    else
        write_vectors(many, false, x, y, s, weight, bias, vectors, 0);
    if (rest > 0) {
        /* By min: ?: becomes a saturating subtraction, which oclgrind does not know. */
        const uint column = columns - min(columns, (uint)VECTOR);
        const uint count = count_at(column, columns);
        const accv_t w = load_weightv(weight, column, count);
        const accv_t b = load_biasv(bias, column, count);
        for (uint r = 0; r < ROWS && r < many; r++) {
            const accv_t result = applyv(tails[r], &s[r], w, b);
            if (count == VECTOR)
                storev(Y_TYPE, y[r], column, result);
            else
                storev_part(Y_TYPE, y[r], column, count, result);
        }
    }
}

/* What all rows have in common, as a work-item sees it. */
typedef struct {
    const __global uchar *x;
    __global uchar *y;
    const __global uchar *weight;
    const __global uchar *bias;
    __global uchar *mean;
    __global uchar *rstd;
    ulong inner_rows;
    ulong x_row_stride;
    ulong x_outer_stride;
    ulong y_row_stride;
    ulong y_outer_stride;
    ulong last; /* one past its last row */
    uint columns;
    acc_t eps;
    bool large; /* y outgrows the cache */
} walk_t;

/* Normalizes `groups`, up to GROUPS, times `many` rows from `row` on, with the same bits as one by one. */
PIECE void walk_rows(const uint many, const uint groups, const walk_t *w, const ulong row)
{
    const __global uchar *x[ROWS * GROUPS];
    __global uchar *y[ROWS * GROUPS];
    statistic_t s[ROWS * GROUPS];
    const uint rows = many * groups;
    bool stream = w->large;
    for (uint r = 0; r < rows; r++) {
        x[r] = w->x + row_offset(X_TYPE, row + r, w->inner_rows, w->x_row_stride, w->x_outer_stride);
        y[r] = w->y + row_offset(Y_TYPE, row + r, w->inner_rows, w->y_row_stride, w->y_outer_stride);
        stream = stream && may_stream(Y_TYPE, y[r]);
    }
    for (uint r = 0; r < rows; r += many)
        find_statistics(many, x + r, w->columns, w->eps, s + r);
    for (uint r = 0; r < rows; r++)
        store_statistic(w->mean, w->rstd, row + r, &s[r]);

    const ulong row_bytes = w->x_row_stride * size_of(X_TYPE);
    const ulong rows_ahead = rows + AHEAD_BYTES / row_bytes;
    const bool more = row + rows - 1 + rows_ahead < w->last;
    for (uint r = 0; r < rows; r += many)
        write_rows(many, x + r, y + r, s + r, w->weight, w->bias, w->columns, stream,
                   more ? rows_ahead * row_bytes : 0);
}

CALLED void walk_one(const walk_t *w, const ulong row)
{
    walk_rows(1, 1, w, row);
}

CALLED void walk_many(const walk_t *w, const uint groups, const ulong row)
{
    walk_rows(ROWS, groups, w, row);
}

__kernel void anynorm(
#include "params.def"
)
{
    /* Neighbouring rows to one work-item, so that each core streams through its own memory. */
    const ulong items = get_global_size(0), item = get_global_id(0);
    const ulong share = rows / items, extra = rows % items;
    ulong row = item * share + min(item, extra);
    const walk_t w = {x + x_offset,
                      y + y_offset,
                      weight + weight_offset,
                      bias + bias_offset,
                      mean + mean_offset,
                      rstd + rstd_offset,
                      inner_rows,
                      x_row_stride,
                      x_outer_stride,
                      y_row_stride,
                      y_outer_stride,
                      row + share + (item < extra ? 1 : 0),
                      columns,
                      eps,
                      outgrows_cache(rows * columns * size_of(Y_TYPE))};
#if ROWS > 1
    const ulong many_bytes = ROWS * columns * size_of(X_TYPE);
    const uint groups = many_bytes >= WALKED_BYTES ? 1 : (uint)min(WALKED_BYTES / many_bytes, (ulong)GROUPS);
    for (; row + ROWS * groups <= w.last; row += ROWS * groups)
        walk_many(&w, groups, row);
    for (; row + ROWS <= w.last; row += ROWS)
        walk_many(&w, 1, row);
#endif
    for (; row < w.last; row++)
        walk_one(&w, row);
}
