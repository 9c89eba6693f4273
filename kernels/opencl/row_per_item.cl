/* row_per_item: a work-item walks whole rows with explicit vectors. For CPU devices, where a
 * work-item is a core's whole vector unit. The row is read twice, the second time from cache; once
 * more where its first elements gave a poor guess of its mean. */
#include "row.clh"

/* Vectors that are summed before the partial sums go into the compensated totals: 16 for each of the
 * four accumulators that hide the latency of an addition. */
#define BLOCK 64

/* Bytes that a row's prefetch runs ahead at least: less arrives too late. */
#define AHEAD_BYTES 4096

/* The sums of (x - origin) and of their squares over vectors [v, end), at most BLOCK of them. */
inline void block_sums(const __global uchar *x, uint v, const uint end, const acc_t origin,
                       accv_t *sum, accv_t *squares)
{
    accv_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    accv_t q0 = 0, q1 = 0, q2 = 0, q3 = 0;
    for (; v + 4 <= end; v += 4) {
        const accv_t a0 = loadv(X_TYPE, x, (v + 0) * VECTOR) - origin;
        const accv_t a1 = loadv(X_TYPE, x, (v + 1) * VECTOR) - origin;
        const accv_t a2 = loadv(X_TYPE, x, (v + 2) * VECTOR) - origin;
        const accv_t a3 = loadv(X_TYPE, x, (v + 3) * VECTOR) - origin;
        s0 += a0;
        s1 += a1;
        s2 += a2;
        s3 += a3;
        q0 += a0 * a0;
        q1 += a1 * a1;
        q2 += a2 * a2;
        q3 += a3 * a3;
    }
    for (; v < end; v++) {
        const accv_t a = loadv(X_TYPE, x, v * VECTOR) - origin;
        s0 += a;
        q0 += a * a;
    }
    *sum = (s0 + s1) + (s2 + s3);
    *squares = (q0 + q1) + (q2 + q3);
}

/* The same over a row. */
inline void row_sums(const __global uchar *x, const uint columns, const acc_t origin, acc_t *sum,
                     acc_t *squares)
{
    const uint vectors = columns / VECTOR;
    accv_t total, lost = 0, total_squares, lost_squares = 0;
    block_sums(x, 0, min(vectors, (uint)BLOCK), origin, &total, &total_squares);
    for (uint v = BLOCK; v < vectors; v += BLOCK) {
        accv_t s, q;
        block_sums(x, v, min(vectors, v + BLOCK), origin, &s, &q);
        add_compensated(&total, &lost, s);
        add_compensated(&total_squares, &lost_squares, q);
    }
    const uint rest = columns % VECTOR;
    if (rest > 0) {
        const accv_t a = loadv_part(X_TYPE, x, vectors * VECTOR, rest, origin) - origin;
        add_compensated(&total, &lost, a);
        add_compensated(&total_squares, &lost_squares, a * a);
    }
    *sum = sum_lanes(total - lost);
    *squares = sum_lanes(total_squares - lost_squares);
}

__kernel void anynorm(
#include "params.def"
)
{
    const __global uchar *w = weight + weight_offset;
    const __global uchar *b = bias + bias_offset;

    /* Neighbouring rows to one work-item, so that each core streams through its own memory. */
    const ulong items = get_global_size(0), item = get_global_id(0);
    const ulong share = rows / items, extra = rows % items;
    const ulong first = item * share + min(item, extra);
    const ulong last = first + share + (item < extra ? 1 : 0);
    const bool large = outgrows_cache(rows * columns * size_of(Y_TYPE));
    const ulong row_bytes = x_row_stride * size_of(X_TYPE);
    const ulong rows_ahead = 1 + AHEAD_BYTES / row_bytes;
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;

    for (ulong row = first; row < last; row++) {
        const __global uchar *xr =
            x + x_offset + row_offset(X_TYPE, row, inner_rows, x_row_stride, x_outer_stride);
        __global uchar *yr =
            y + y_offset + row_offset(Y_TYPE, row, inner_rows, y_row_stride, y_outer_stride);

        statistic_t s;
        acc_t pivot = guess_mean(xr, columns);
        for (uint attempt = 0; attempt < 2; attempt++) {
            acc_t sum, squares;
            row_sums(xr, columns, pivot, &sum, &squares);
            if (corrected(&pivot, sum, squares, columns, eps, &s))
                break;
        }
        store_statistic(mean + mean_offset, rstd + rstd_offset, row, &s);

        if (large && may_stream(Y_TYPE, yr)) {
            /* A row to come is on its way while this one is written: without it the memory idles
             * during the summing pass. */
            const __global uchar *next = xr + rows_ahead * row_bytes;
            const bool ahead = row + rows_ahead < last;
            for (uint v = 0; v < vectors; v++) {
                const uint column = v * VECTOR;
                if (ahead)
                    fetch(next + column * size_of(X_TYPE));
                streamv(Y_TYPE, yr, column,
                        finishv(loadv(X_TYPE, xr, column) - s.pivot, &s, w, b, column, VECTOR));
            }
        } else {
            for (uint v = 0; v < vectors; v++) {
                const uint column = v * VECTOR;
                finish_rowv(loadv(X_TYPE, xr, column) - s.pivot, &s, yr, w, b, column, VECTOR);
            }
        }
        if (rest > 0) {
            const uint column = vectors * VECTOR;
            const accv_t a = loadv_part(X_TYPE, xr, column, rest, s.pivot) - s.pivot;
            finish_rowv(a, &s, yr, w, b, column, rest);
        }
    }
}
