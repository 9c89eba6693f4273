/* row_per_item: a work-item walks whole rows with explicit vectors, ROWS of them side by side. For CPU
 * devices, where a work-item is a core's whole vector unit. A row is read twice, the second time from
 * cache; once more where its first elements gave a poor guess of its mean.
 *
 * Chosen by -D: ROWS, 4 where rows are so short that one's latencies would show, else 1. */
#include "row.clh"

/* Chains of additions side by side, which hide an addition's latency: of ROWS rows, or of neighbouring
 * vectors of one. */
#define CHAINS 4
#define STEP (CHAINS / ROWS) /* vectors of a row in one step of all chains */

/* Vectors of a row that are summed, 16 in a chain, before the sums go into the totals; the first few
 * blocks' sums are so few that they need no compensation. */
#define BLOCK (16 * STEP)
#define PLAIN 64

/* Bytes that a row's prefetch runs ahead at least: less arrives too late. */
#define AHEAD_BYTES 4096

/* The last vector of a row whose columns are no multiple of VECTOR: it overlaps the one before, or, in a
 * row shorter than a vector, ends with `fill`. */
PIECE accv_t load_tail(const __global uchar *x, const uint columns, const acc_t fill)
{
    if (columns < VECTOR)
        return loadv_part(X_TYPE, x, 0, columns, fill);
    return loadv(X_TYPE, x, columns - VECTOR);
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
        for (uint c = 0; c < CHAINS && c < many * STEP; c++) {
            const accv_t a =
                loadv(X_TYPE, x[c / STEP], (v + c % STEP) * VECTOR) - pivot[c / STEP];
            s[c] += a;
            q[c] += a * a;
        }
    }
#if STEP > 1
    for (; v < end; v++) {
        const accv_t a = loadv(X_TYPE, x[0], v * VECTOR) - pivot[0];
        s[0] += a;
        q[0] += a * a;
    }
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

/* sum_lanes of each row's vector. */
PIECE void sum_rows(const uint many, const accv_t *v, acc_t *sums)
{
#if ROWS == 4
    vstore4(sum_lanes_of_4(v), 0, sums);
#else
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++)
        sums[r] = sum_lanes(v[r]);
#endif
}

/* A first guess of each row's mean, as guess_mean. */
PIECE void guess_means(const uint many, const __global uchar *const *x, const uint columns, acc_t *means)
{
    const acc_t share = (acc_t)1 / (acc_t)min(columns, (uint)VECTOR);
    accv_t deviations[ROWS];
    acc_t first[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        first[r] = load(X_TYPE, x[r], 0);
        deviations[r] = load_rowv(X_TYPE, x[r], 0, count_at(0, columns), first[r]) - first[r];
    }
    sum_rows(many, deviations, means);
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++)
        means[r] = first[r] + means[r] * share;
}

PIECE void find_statistics(const uint many, const __global uchar *const *x, const uint columns, const acc_t eps,
                           statistic_t *s)
{
    acc_t pivot[ROWS], sum[ROWS], squares[ROWS];
    accv_t sums[ROWS], all_squares[ROWS];
    guess_means(many, x, columns, pivot);
    for (uint attempt = 0; attempt < 2; attempt++) {
        bool again = false;
        row_sums(many, x, columns, pivot, sums, all_squares);
        sum_rows(many, sums, sum);
        sum_rows(many, all_squares, squares);
        for (uint r = 0; r < ROWS && r < many; r++) {
            acc_t moved = pivot[r];
            if (!corrected(&moved, sum[r], squares[r], columns, eps, &s[r])) {
                pivot[r] = moved; /* the other rows will have the same sums once more */
                again = true;
            }
        }
        if (!again)
            break;
    }
}

/* Writes the whole vectors of the rows; `stream`, a constant, past the caches: then the rows `ahead` bytes
 * further on are fetched meanwhile, or the memory would idle during the summing pass. */
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
    for (uint v = 0; v < vectors; v++) {
        const uint column = v * VECTOR;
        const accv_t w = load_weightv(weight, column, VECTOR);
        const accv_t b = load_biasv(bias, column, VECTOR);
        accv_t a[ROWS];
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++)
            a[r] = applyv(loadv(X_TYPE, from[r], column) - of[r].pivot, &of[r], w, b);
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            if (stream) {
                fetch(from[r] + ahead + column * size_of(X_TYPE));
                streamv(Y_TYPE, to[r], column, a[r]);
            } else {
                storev(Y_TYPE, to[r], column, a[r]);
            }
        }
    }
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

/* Normalizes `many` rows from `row` on, with the same bits as one by one. */
PIECE void walk_rows(const uint many, const walk_t *w, const ulong row)
{
    const __global uchar *x[ROWS];
    __global uchar *y[ROWS];
    statistic_t s[ROWS];
    bool stream = w->large;
    for (uint r = 0; r < ROWS && r < many; r++) {
        x[r] = w->x + row_offset(X_TYPE, row + r, w->inner_rows, w->x_row_stride, w->x_outer_stride);
        y[r] = w->y + row_offset(Y_TYPE, row + r, w->inner_rows, w->y_row_stride, w->y_outer_stride);
        stream = stream && may_stream(Y_TYPE, y[r]);
    }
    find_statistics(many, x, w->columns, w->eps, s);
    for (uint r = 0; r < ROWS && r < many; r++)
        store_statistic(w->mean, w->rstd, row + r, &s[r]);

    const ulong row_bytes = w->x_row_stride * size_of(X_TYPE);
    const ulong rows_ahead = many + AHEAD_BYTES / row_bytes;
    const bool more = row + many - 1 + rows_ahead < w->last;
    write_rows(many, x, y, s, w->weight, w->bias, w->columns, stream,
               more ? rows_ahead * row_bytes : 0);
}

CALLED void walk_one(const walk_t *w, const ulong row)
{
    walk_rows(1, w, row);
}

CALLED void walk_many(const walk_t *w, const ulong row)
{
    walk_rows(ROWS, w, row);
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
    for (; row + ROWS <= w.last; row += ROWS)
        walk_many(&w, row);
#endif
    for (; row < w.last; row++)
        walk_one(&w, row);
}
