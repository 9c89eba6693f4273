#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16 ACC_DOUBLE
/* row_per_item: a work-item walks whole rows with vectors. For CPU devices whose compiler makes
 * lanes of work-items. A row is read twice, the second time from cache; once more where its first
 * elements gave a poor guess of its mean. ROWS side by side would hide latencies that lanes hide
 * from each other: one after the other they have the same bits. */
#define ITEMS 1
#include "walk.glsl"

statistic_t find_statistic(const row_t row, const bool aligned)
{
    statistic_t s;
    acc_t pivot = RMS != 0 ? 0 : guess_h_mean(row, 0, columns);
    for (uint attempt = 0; attempt < 2; attempt++) {
        const sums_t sums = row_sums(row, 0, columns, pivot, 0, aligned);
        if (RMS != 0)
            s = make_statistic(0, 0, scaled_variance(sums.y));
        if (RMS != 0 || corrected(pivot, sums, s))
            break;
    }
    return s;
}

void main()
{
    /* Neighbouring rows to one work-item, so that each core streams through its own memory. */
    const uint items = gl_NumWorkGroups.x * GROUP, item = gl_GlobalInvocationID.x;
    const uint share = launch.rows / items, extra = launch.rows % items;
    const uint first = item * share + min(item, extra);
    const uint last = first + share + (item < extra ? 1 : 0);
    const bool aligned = is_aligned();
    load_y_scale();
    for (uint row = first; row < last; row++) {
        const row_t at = find_row(row);
        statistic_t s;
        if (STATISTIC_INPUT)
            s = load_statistic(row);
        else
            s = find_statistic(at, aligned);
        store_row_statistic(row, s);
        if (Y_SCALE_OUTPUT != 0)
            set_y_scale(find_largest(at, s, 0), row, true);
        if (WRITES_COLUMNS)
            finish_columns(at, s, 0, columns, 0, aligned);
    }
}
