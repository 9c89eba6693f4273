/* A row: where it lies, its statistic, and loads of a part of it. */
#include "reduce.glsl"

/* Elements from a tensor's first to where a row of it starts. */
uint row_offset(const uint row, const uint row_stride, const uint outer_stride)
{
    if (TWO_LEVELS != 0)
        return row / inner_rows * outer_stride + row % inner_rows * row_stride;
    return row * row_stride;
}

/* What is left to know of a row: n = ((x - pivot) - shift) * rstd, mean = pivot + shift. With
 * PARTIALS_OUTPUT there is no n, and rstd is the sum of the squares of x - mean. */
struct statistic_t {
    acc_t pivot;
    acc_t shift;
    acc_t rstd;
    acc_t shift_rstd;
};

statistic_t make_statistic(const acc_t pivot, const acc_t shift, const acc_t variance)
{
    statistic_t result;
    result.pivot = pivot;
    result.shift = shift;
    result.rstd = inverse_root(variance);
    result.shift_rstd = shift * result.rstd;
    return result;
}

/* The statistic from the sums of (x - pivot) and of their squares over the whole row. True if it
 * stands; false if the pivot is poor: then the sums are to be taken again, about `pivot`, which has
 * been moved to the mean. */
bool corrected(inout acc_t pivot, const sums_t sums, out statistic_t result)
{
    const acc_t shift = divided(sums.x, acc_t(columns));
    precise const acc_t square = shift * shift;
    precise const acc_t variance = divided(sums.y, acc_t(columns)) - square;
    result = make_statistic(pivot, shift, scaled_variance(variance));
    pivot += shift;
    return !is_poor(shift, square, variance);
}

/* Elements, where a row has so many, whose mean is a first guess of its mean: that it is poor for one
 * row of random numbers in 200. */
#define GUESS 16

/* A first guess of the mean: that of the row's first elements, about the first of them, so that it
 * is exact for a constant row and keeps every digit of a large mean. `head` is the row's first
 * vector, of which `count` columns may be fewer. */
acc_t guess_from(const accv_t head, const uint count)
{
    precise const accv_t away = keep(head - head.x, count);
    precise const acc_t sum = sum_lanes(away);
    precise const acc_t mean =
        head.x + (count >= VECTOR ? sum * acc_t(0.25) : sum / acc_t(count));
    return mean;
}

/* rstd as it is written, in f32: of a row without a variance what eps makes of it, and never an
 * infinity, by which the row's zeros would become NaN where it is read again. */
acc_t written_rstd(const acc_t rstd)
{
    const acc_t written = EPS_INVERSE != 0 && rstd == 0 ? eps() : rstd;
#if ACC_DOUBLE
    const bool infinite = floatBitsToUint(float(written)) == NAN_BITS;
    return infinite ? acc_t(uintBitsToFloat(NAN_BITS - 1)) : written;
#else
    return written;
#endif
}

void store_statistic(const uint row, const statistic_t s)
{
    if (HAS_MEAN != 0)
        store(F32, SLOT_MEAN, row, s.pivot + s.shift);
    if (HAS_RSTD != 0)
        store(F32, SLOT_RSTD, row, written_rstd(s.rstd));
}

/* Elements of a row that VECTOR elements from `column` on really have. */
uint count_at(const uint column)
{
    return column >= columns ? 0 : min(columns - column, VECTOR);
}

/* With ALIGNED_WALK a count, a constant, of VECTOR elements that lie where loadv_aligned may load
 * them; how many elements a count is of, and whether it is a whole vector. */
#if ALIGNED_WALK
#define ALIGNED_VECTOR (VECTOR + 1)
#define ELEMENTS_OF(count) min(count, VECTOR)
#define IS_WHOLE(count) ((count) >= VECTOR)
#define load_wholev(type, slot, index, count)                                                      \
    load_line((count) > VECTOR ? ALIGNED_PART : 1, type, slot, index)
#define store_wholev(type, slot, index, count, value)                                              \
    store_line((count) > VECTOR ? ALIGNED_PART : 1, type, slot, index, value)
#else
#define ELEMENTS_OF(count) (count)
#define IS_WHOLE(count) ((count) == VECTOR)
#define load_wholev(type, slot, index, count) loadv(type, slot, index)
#define store_wholev(type, slot, index, count, value) storev(type, slot, index, value)
#endif

/* Loads the count_at elements of a tensor from `index` on, the rest of the vector `fill`. */
accv_t load_rowv(const uint type, const uint slot, const uint index, const uint count,
                 const acc_t fill)
{
    if (IS_WHOLE(count))
        return load_wholev(type, slot, index, count);
    return loadv_part(type, slot, index, count, fill);
}
