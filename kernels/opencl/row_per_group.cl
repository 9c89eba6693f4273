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
            x + x_offset + row_offset(X_TYPE, row, inner_rows, x_row_stride, x_outer_stride);
        __global uchar *yr =
            y + y_offset + row_offset(Y_TYPE, row, inner_rows, y_row_stride, y_outer_stride);

        acc_t pivot = guess_mean(xr, columns);
        accv_t held[HELD];
        for (uint k = 0; k < HELD; k++) {
            const uint column = (k * GROUP + item) * VECTOR;
            held[k] = load_rowv(X_TYPE, xr, column, count_at(column, columns), pivot);
        }

        statistic_t s;
        for (uint attempt = 0; attempt < 2; attempt++) {
            accv_t sum = 0, squares = 0;
            for (uint k = 0; k < HELD; k++) {
                const uint count = count_at((k * GROUP + item) * VECTOR, columns);
                const accv_t a = keep(held[k] - pivot, count);
                sum += a;
                squares += a * a;
            }
            acc_t sums[2] = {sum_lanes(sum), sum_lanes(squares)};
            group_sums(sums, scratch);
            if (corrected(&pivot, sums[0], sums[1], columns, eps, &s))
                break; /* all work-items have the same sums, so all leave together */
        }
        if (item == 0)
            store_statistic(mean + mean_offset, rstd + rstd_offset, row, &s);

        for (uint k = 0; k < HELD; k++) {
            const uint column = (k * GROUP + item) * VECTOR;
            finish_rowv(held[k] - s.pivot, &s, yr, w, b, column, count_at(column, columns));
        }
    }
}
