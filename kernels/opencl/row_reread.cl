/* row_reread: a work-group walks rows of any length. The first read gathers (count, mean, squares) in
 * small blocks that are merged; the second normalizes. */
#include "row.clh"

/* Vectors a work-item holds at a time: their moments are found by the corrected formula. */
#define HELD 4

/* The moments of the elements that this work-item sees in `column` + k * GROUP * VECTOR, k < HELD. */
inline void block_moments(const __global uchar *x, const uint column, const uint columns,
                          moments_t *m)
{
    const acc_t first = load(X_TYPE, x, column);
    accv_t held[HELD];
    uint count = 0;
    accv_t partial = 0;
    for (uint k = 0; k < HELD; k++) {
        const uint at = column + k * GROUP * VECTOR;
        held[k] = load_rowv(X_TYPE, x, at, count_at(at, columns), first);
        partial += held[k] - first;
        count += count_at(at, columns);
    }
    const acc_t n = (acc_t)count;
    const acc_t pivot = first + sum_lanes(partial) / n;

    accv_t squares = 0;
    partial = 0;
    for (uint k = 0; k < HELD; k++) {
        const uint at = column + k * GROUP * VECTOR;
        const accv_t a = keep(held[k] - pivot, count_at(at, columns));
        partial += a;
        squares += a * a;
    }
    const acc_t sum = sum_lanes(partial);
    const acc_t shift = sum / n;
    m->count = n;
    m->mean = pivot;
    m->mean_tail = shift;
    m->squares = sum_lanes(squares) - shift * sum;
    m->squares_lost = 0;
}

__kernel void anynorm(
#include "params.def"
)
{
    __local acc_t scratch[4 * GROUP];
    const __global uchar *w = weight + weight_offset;
    const __global uchar *b = bias + bias_offset;
    const uint item = get_local_id(0);

    for (ulong row = get_group_id(0); row < rows; row += get_num_groups(0)) {
        const __global uchar *xr =
            x + x_offset + row_offset(X_TYPE, row, inner_rows, x_row_stride, x_outer_stride);
        __global uchar *yr =
            y + y_offset + row_offset(Y_TYPE, row, inner_rows, y_row_stride, y_outer_stride);

        moments_t all = {0, 0, 0, 0, 0};
        for (ulong column = item * VECTOR; column < columns; column += HELD * GROUP * VECTOR) {
            moments_t block;
            block_moments(xr, (uint)column, columns, &block);
            merge(&all, &block);
        }
        group_merge(&all, scratch);
        statistic_t s;
        make_statistic(all.mean, all.mean_tail, all.squares / (acc_t)columns, eps, &s);
        if (item == 0)
            store_statistic(mean + mean_offset, rstd + rstd_offset, row, &s);

        for (ulong at = item * VECTOR; at < columns; at += GROUP * VECTOR) {
            const uint column = (uint)at;
            const uint count = count_at(column, columns);
            const accv_t a = load_rowv(X_TYPE, xr, column, count, s.pivot) - s.pivot;
            finish_rowv(a, &s, yr, w, b, column, count);
        }
    }
}
