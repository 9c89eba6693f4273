/* row_per_group: a work-group walks rows, each work-item holding HELD vectors of the row in registers.
 * The row is read from memory once. For GPUs. */
#include "row.clh"

__kernel void anynorm(
#include "params.def"
)
{
    __local acc_t scratch[2 * GROUP];
    const __global uchar *w = weight + weight_offset;
    const __global uchar *b = bias + bias_offset;
    const uint item = get_local_id(0);

    for (ulong row = get_group_id(0); row < rows; row += get_num_groups(0)) {
        const __global uchar *xr =
            x + x_offset +
            row_start(row, inner_rows, x_row_stride, x_outer_stride) * size_of(X_TYPE);
        __global uchar *yr = y + y_offset +
                             row_start(row, inner_rows, y_row_stride, y_outer_stride) *
                                 size_of(Y_TYPE);

        const acc_t first = load(X_TYPE, xr, 0);
        accv_t held[HELD];
        accv_t partial = 0;
        for (uint k = 0; k < HELD; k++) {
            const uint column = (k * GROUP + item) * VECTOR;
            held[k] = load_rowv(xr, column, count_at(column, columns), first);
            partial += held[k] - first;
        }
        acc_t sums[2] = {sum_lanes(partial), 0};
        group_sums(sums, 1, scratch);
        const acc_t pivot = first + sums[0] / (acc_t)columns;

        accv_t squares = 0;
        partial = 0;
        for (uint k = 0; k < HELD; k++) {
            const uint count = count_at((k * GROUP + item) * VECTOR, columns);
            lanes_t a;
            a.vector = held[k] - pivot;
            if (count < VECTOR) {
                for (uint i = 0; i < VECTOR; i++)
                    a.element[i] = i < count ? a.element[i] : 0;
            }
            held[k] = a.vector;
            partial += a.vector;
            squares += a.vector * a.vector;
        }
        sums[0] = sum_lanes(partial);
        sums[1] = sum_lanes(squares);
        group_sums(sums, 2, scratch);
        const statistic_t s = corrected(pivot, sums[0], sums[1], columns, eps);
        if (item == 0)
            store_statistic(mean + mean_offset, rstd + rstd_offset, row, s);

        for (uint k = 0; k < HELD; k++) {
            const uint column = (k * GROUP + item) * VECTOR;
            finish_rowv(held[k], s, yr, w, b, column, count_at(column, columns));
        }
    }
}
