/* Walks over the columns of a row, or of a piece of one, by ITEMS work-items, of which this is
 * number `item`: neighbours take neighbouring vectors in turn. A work-item that walks alone is 0 of
 * 1. `aligned`: every vector lies where loadv_aligned may load it. */
#include "elements.glsl"

/* Vectors that a work-item sums before the partial sums go into the compensated totals: a chain for
 * each of the accumulators that hide the latency of an addition. */
#define CHAINS 4
#define BLOCK (CHAINS * CHAIN)

bool is_aligned()
{
    return ANY_ALIGNMENT == 0 && bits_of_places() % 16 == 0;
}

/* Sums of (h - origin) and of their squares. A work-item's chains have names and no numbers: v3dv
 * keeps arrays in memory. */
struct chain_t {
    accv_t sum, squares;
};

void add_line(inout chain_t chain, const uint part, const row_t row, const uint column,
              const acc_t origin)
{
    const accv_t h = load_h_line(part, row, column);
    add_deviation(offv(h, accv_t(origin)), chain.sum, chain.squares);
}

/* Adds vectors v, v + ITEMS ..., counted from column `begin`, in whole steps of all chains below
 * `end`, and leads `v` on. `part`, a constant, as in load_line. */
void block_sums(const uint part, const row_t row, const uint begin, inout uint v, const uint end,
                const acc_t origin, inout chain_t a, inout chain_t b, inout chain_t c,
                inout chain_t d)
{
    const uint step = ITEMS * VECTOR;
    for (; v + (CHAINS - 1) * ITEMS < end; v += CHAINS * ITEMS) {
        const uint column = begin + v * VECTOR;
        add_line(a, part, row, column, origin);
        add_line(b, part, row, column + step, origin);
        add_line(c, part, row, column + 2 * step, origin);
        add_line(d, part, row, column + 3 * step, origin);
    }
}

/* The sums of (h - origin) and of their squares over the part of `count` elements from `begin` on
 * that is this work-item's. */
sums_t row_sums(const row_t row, const uint begin, const uint count, const acc_t origin,
                const uint item, const bool aligned)
{
    const uint vectors = count / VECTOR, rest = count % VECTOR;
    const uint all = rest > 0 ? vectors + 1 : vectors;
    accv_t total = accv_t(0), lost = total, total_squares = total, lost_squares = total;
    for (uint from = 0; from < all; from += BLOCK * ITEMS) {
        chain_t a = chain_t(accv_t(0), accv_t(0)), b = a, c = a, d = a;
        const uint end = from + BLOCK * ITEMS;
        uint v = from + item;
        if (aligned)
            block_sums(ALIGNED_PART, row, begin, v, min(vectors, end), origin, a, b, c, d);
        else
            block_sums(1, row, begin, v, min(vectors, end), origin, a, b, c, d);
        for (; v < min(all, end); v += ITEMS) {
            const uint here = v < vectors ? VECTOR : rest;
            const accv_t h = load_hv(row, begin + v * VECTOR, here, origin);
            add_deviation(keep(offv(h, accv_t(origin)), here), a.sum, a.squares);
        }
        add_compensated(total, lost, (a.sum + b.sum) + (c.sum + d.sum));
        add_compensated(total_squares, lost_squares,
                        (a.squares + b.squares) + (c.squares + d.squares));
    }
    return sums_t(sum_lanes(total - lost), sum_lanes(total_squares - lost_squares));
}

/* Normalizes one vector. */
void write_line(const uint part, const row_t row, const statistic_t s, const uint column)
{
    factors_t f = no_factors();
    const accv_t h = load_h_line(part, row, column);
    load_weights(part, row, column, f);
    load_modulation(part, row, column, f);
    if (HAS_SUM != 0)
        store_column_line(part, S_TYPE, SLOT_SUM, row, row.sum, sum_column_stride, column, h);
    const accv_t deviation = offv(h, accv_t(s.pivot));
    if (HAS_Y)
        store_column_line(part, Y_TYPE, SLOT_Y, row, row.y, y_column_stride, column,
                          scaledv(transformv(deviation, s, f)));
}

/* Normalizes `count` columns. */
void write_columns(const row_t row, const statistic_t s, const uint column, const uint count)
{
    const accv_t h = load_hv(row, column, count, 0);
    const accv_t deviation = offv(h, accv_t(s.pivot));
    const accv_t result = transformv(deviation, s, load_factors(row, column, count));
    if (HAS_SUM != 0)
        store_columnsv(S_TYPE, SLOT_SUM, row, row.sum, sum_column_stride, column, count, h);
    if (HAS_Y)
        store_columnsv(Y_TYPE, SLOT_Y, row, row.y, y_column_stride, column, count,
                       scaledv(result));
}

/* The magnitudes of `count` columns of y. */
uvec4 magnitudes_at(const row_t row, const statistic_t s, const uint column, const uint count)
{
    const accv_t deviation = offv(load_hv(row, column, count, 0), accv_t(s.pivot));
    const accv_t y = transformv(deviation, s, load_factors(row, column, count));
    return magnitudesv(keep(y, count));
}

/* The largest magnitude of what is this work-item's of a row of y. Whole vectors are apart: one of
 * any count costs loops for each of its tensors. */
uint find_largest(const row_t row, const statistic_t s, const uint item)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    uvec4 largest = uvec4(0);
    for (uint v = item; v < vectors; v += ITEMS)
        largest = max(largest, magnitudes_at(row, s, v * VECTOR, VECTOR));
    if (rest > 0 && item == 0)
        largest = max(largest, magnitudes_at(row, s, vectors * VECTOR, rest));
    return largest_lane(largest);
}

/* Normalizes columns [begin, end), `begin` a multiple of VECTOR. */
void finish_columns(const row_t row, const statistic_t s, const uint begin, const uint end,
                    const uint item, const bool aligned)
{
    const uint vectors = end / VECTOR, rest = end % VECTOR;
    if (aligned) {
        for (uint v = begin / VECTOR + item; v < vectors; v += ITEMS)
            write_line(ALIGNED_PART, row, s, v * VECTOR);
    } else {
        for (uint v = begin / VECTOR + item; v < vectors; v += ITEMS)
            write_line(1, row, s, v * VECTOR);
    }
    if (rest > 0 && item == 0)
        write_columns(row, s, vectors * VECTOR, rest);
}
