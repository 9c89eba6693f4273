/* A row of h held on chip: read from memory once, by LANES work-items that keep HELD vectors of it
 * each, in registers or (IN_LOCAL) in local memory. A group has ROWS rows side by side.
 *
 * Vector k of a lane is the row's vector k * LANES + lane, wherever the row lies in memory, so that
 * a row's bits depend on the row alone. What is left after the whole vectors, the tail, goes to the
 * lanes element by element, and is always held in registers.
 *
 * Constants besides those of elements.glsl and reduce.glsl: HELD, and PRELOAD, which keeps the
 * weight and bias of a lane's columns in registers, loaded before the first sum waits and once for
 * all rows of the group. Not where rows have parameters of their own, or columns share them. */
#define LANES (GROUP / ROWS)
#include "elements.glsl"

/* Arrays of the whole file and not arguments, which would be copied. */
#if IN_LOCAL
/* Neighbours to neighbouring lanes. A lane reads back only what it wrote: no barrier. */
shared accv_t held[HELD * LANES];

/* Vectors that are loaded, or summed, at a time; HELD is a multiple. */
#define STEP 4
#define HELD_AT(k, lane) ((k) * LANES + (lane))
#else
accv_t held[HELD];
#define STEP HELD
#define HELD_AT(k, lane) (k)
#endif

void hold(const uint k, const uint lane, const accv_t value)
{
    held[HELD_AT(k, lane)] = value;
}

accv_t recall(const uint k, const uint lane)
{
    return held[HELD_AT(k, lane)];
}

/* Elements of a tail that a lane may have. Where the host counts vectors of 8, a whole vector may
 * be among them. */
const uint TAIL = (2 * VECTOR - 1 + LANES - 1) / LANES;
acc_t last[TAIL];

/* Weight and bias of a lane's columns. */
const uint PRELOADED = PRELOAD != 0 ? HELD : 1;
accv_t preloaded_weight[PRELOADED];
accv_t preloaded_bias[PRELOADED];

/* In what follows `count` is the number of whole vectors that are this lane's, `tail` that of
 * elements of the tail. Both are 0 for a lane without a row, which then loads, sums and stores
 * nothing. `part`, a constant, is 1 or ALIGNED_PART: the two ways to load are apart, so that the
 * loads of either follow each other without a branch. Where there is a `part`, the row is that from
 * the lane's first vector on, so that those after it are at constant distances. */

void load_vectors(const row_t r, const uint lane, const uint count, const uint part)
{
    for (uint block = 0; block < HELD; block += STEP) {
        [[unroll]] for (uint i = 0; i < STEP; i++) {
            const uint k = block + i;
            accv_t h = accv_t(0);
            if (k < count)
                h = load_h_line(part, r, k * LANES * VECTOR);
            hold(k, lane, h);
        }
    }
}

void preload_vectors(const row_t r, const uint count, const uint part)
{
    [[unroll]] for (uint k = 0; k < PRELOADED; k++) {
        factors_t f = no_factors();
        if (k < count)
            load_weights(part, r, k * LANES * VECTOR, f);
        preloaded_weight[k] = f.weight;
        preloaded_bias[k] = f.bias;
    }
}

/* The sums of (h - pivot), which RMS does not need, and of their squares over what a lane holds. */
sums_t held_sums(const acc_t pivot, const uint lane, const uint count, const uint tail)
{
    accv_t total = accv_t(0), total_squares = total, lost = total, lost_squares = total;
    acc_t tail_sum = 0, tail_squares = 0;
    [[unroll]] for (uint i = 0; i < TAIL; i++) {
        const acc_t a = i < tail ? off(last[i], pivot) : 0;
        tail_sum += a;
        tail_squares += a * a;
    }
    for (uint block = 0; block < HELD; block += STEP) {
        accv_t sum = accv_t(0), squares = sum;
        [[unroll]] for (uint i = 0; i < STEP; i++) {
            const uint k = block + i;
            accv_t a = offv(recall(k, lane), accv_t(pivot));
            if (k >= count)
                a = accv_t(0);
            if (i > 0 && i % CHAIN == 0) {
                total += sum;
                total_squares += squares;
                sum = squares = accv_t(0);
            }
            add_deviation(a, sum, squares);
        }
        if (HELD > STEP) {
            add_compensated(total, lost, sum);
            add_compensated(total_squares, lost_squares, squares);
        } else {
            total += sum;
            total_squares += squares;
        }
    }
    return sums_t(sum_lanes(total - lost) + tail_sum,
                  sum_lanes(total_squares - lost_squares) + tail_squares);
}

/* With Y_SCALE_OUTPUT y is not stored yet but held. Its largest magnitude. */
uint finish_vectors(const row_t r, const acc_t pivot, const statistic_t s, const uint lane,
                    const uint count, const uint part)
{
    uvec4 magnitudes = uvec4(0);
    for (uint block = 0; block < HELD; block += STEP) {
        [[unroll]] for (uint i = 0; i < STEP; i++) {
            const uint k = block + i, column = k * LANES * VECTOR;
            if (k < count) {
                factors_t f = no_factors();
                if (PRELOAD != 0) {
                    f.weight = preloaded_weight[k];
                    f.bias = preloaded_bias[k];
                } else {
                    load_weights(part, r, column, f);
                }
                load_modulation(part, r, column, f);
                const accv_t h = recall(k, lane);
                if (HAS_SUM != 0)
                    store_column_line(part, S_TYPE, SLOT_SUM, r, r.sum, sum_column_stride, column,
                                      h);
                const accv_t y = transformv(offv(h, accv_t(pivot)), s, f);
                if (Y_SCALE_OUTPUT != 0) {
                    magnitudes = max(magnitudes, magnitudesv(y));
                    hold(k, lane, y);
                } else if (HAS_Y) {
                    store_column_line(part, Y_TYPE, SLOT_Y, r, r.y, y_column_stride, column,
                                      scaledv(y));
                }
            }
        }
    }
    return largest_lane(magnitudes);
}

void store_vectors(const row_t r, const uint lane, const uint count, const uint part)
{
    for (uint block = 0; block < HELD; block += STEP) {
        [[unroll]] for (uint i = 0; i < STEP; i++) {
            const uint k = block + i;
            if (k < count)
                store_column_line(part, Y_TYPE, SLOT_Y, r, r.y, y_column_stride,
                                  k * LANES * VECTOR, scaledv(recall(k, lane)));
        }
    }
}

/* y of an element of the tail. */
acc_t finish_element(const row_t r, const acc_t h, const acc_t pivot, const statistic_t s,
                    const uint column)
{
    const factors_t f = load_factors(r, column, 1);
    if (HAS_SUM != 0)
        store(S_TYPE, SLOT_SUM, find_column(r, r.sum, sum_column_stride, column), h);
    return transformv(accv_t(off(h, pivot)), s, f).x;
}

void store_element(const row_t r, const uint column, const acc_t y)
{
    store(Y_TYPE, SLOT_Y, find_column(r, r.y, y_column_stride, column), scaledv(accv_t(y)).x);
}

/* Lanes that have the first GUESS elements, where a row has so many. */
const uint GUESSERS = LANES * VECTOR < GUESS ? LANES : GUESS / VECTOR;

/* A first guess of the row's mean, the same in all its lanes. */
acc_t first_pivot(const row_t r, const uint slot, const uint lane, const bool here)
{
    if (USES_BARRIERS)
        return here ? guess_h_mean(r, 0, columns) : 0;
    /* Where no barrier comes between a lane's reads and another's writes (y, or sum, may be x or
     * residual), a lane reads its own columns only; the first lanes tell the others. */
    const acc_t own = columns >= VECTOR ? guess_from(recall(0, lane), VECTOR) : last[0];
#if SUBGROUPS
    if (REDUCE != REDUCE_SERIAL) {
        const acc_t first = value_from(own, slot * LANES);
        precise acc_t away = 0;
        for (uint i = 1; i < GUESSERS; i++)
            away += value_from(own, slot * LANES + i) - first;
        precise const acc_t mean = first + away / acc_t(GUESSERS);
        return columns < GUESSERS * VECTOR ? first : mean;
    }
#endif
    return own;
}

/* The same value, of which the compiler does not know that it is: there are fewer than 2^31 rows.
 * It would otherwise keep each h - pivot from the sums to the stores, beside h, in as many
 * registers. */
acc_t forgotten(const acc_t value)
{
#if ACC_DOUBLE
    return packDouble2x32(unpackDouble2x32(value) ^ (launch.rows >> 31));
#else
    return uintBitsToFloat(floatBitsToUint(value) ^ (launch.rows >> 31));
#endif
}

void main()
{
    const uint place = group_place(), slot = place / LANES, lane = place % LANES;
    const bool aligned = ANY_ALIGNMENT == 0 && bits_of_places() % 16 == 0;

    const uint vectors = min(columns / VECTOR, HELD * LANES);
    const uint count_of_lane = (vectors + (LANES - 1) - lane) / LANES;
    const uint tail_of_lane = (columns - vectors * VECTOR + (LANES - 1) - lane) / LANES;
    const uint tail_column = vectors * VECTOR + lane;
    load_y_scale();

    if (PRELOAD != 0) {
        /* A launch of no rows, which warms up, has no tensors either. */
        const uint preloaded = launch.rows > 0 ? count_of_lane : 0;
        const row_t first = row_t(0, 0, 0, 0, 0, 0, 0, 0, 0);
        const row_t any_row_of_lane = skip_columns(first, lane * VECTOR);
        if (aligned)
            preload_vectors(any_row_of_lane, preloaded, ALIGNED_PART);
        else
            preload_vectors(any_row_of_lane, preloaded, 1);
    }

    for (uint base = gl_WorkGroupID.x * ROWS; base < launch.rows;
         base += gl_NumWorkGroups.x * ROWS) {
        const uint row = base + slot;
        const bool here = row < launch.rows;
        const uint count = here ? count_of_lane : 0, tail = here ? tail_of_lane : 0;
        const row_t whole = find_row(row), of_lane = skip_columns(whole, lane * VECTOR);

        if (aligned)
            load_vectors(of_lane, lane, count, ALIGNED_PART);
        else
            load_vectors(of_lane, lane, count, 1);
        [[unroll]] for (uint i = 0; i < TAIL; i++)
            last[i] = i < tail ? load_h(whole, tail_column + i * LANES) : 0;

        statistic_t s = statistic_t(0, 0, 0, 0);
        acc_t about = 0;
        if (STATISTIC_INPUT) {
            if (here)
                s = load_statistic(row);
            about = s.pivot;
        } else {
            acc_t pivot = RMS != 0 ? 0 : first_pivot(whole, slot, lane, here);
            bool stands = false;
            for (uint attempt = 0; attempt < 2; attempt++) {
                const sums_t v = lane_sums(held_sums(pivot, lane, count, tail), slot, lane);
                if (RMS != 0) {
                    s = make_statistic(0, 0, scaled_variance(v.y));
                    break;
                }
                if (!stands) /* else this row only keeps its neighbours company */
                    stands = corrected(pivot, v, s);
                if (!any_row(!stands))
                    break; /* all that might wait for each other leave together */
            }
            if (RMS == 0)
                about = forgotten(s.pivot);
        }
        if (lane == 0 && here)
            store_row_statistic(row, s);
        if (!WRITES_COLUMNS)
            continue;

        uint largest = 0;
        if (aligned)
            largest = finish_vectors(of_lane, about, s, lane, count, ALIGNED_PART);
        else
            largest = finish_vectors(of_lane, about, s, lane, count, 1);
        [[unroll]] for (uint i = 0; i < TAIL; i++) {
            if (i < tail) {
                const uint column = tail_column + i * LANES;
                last[i] = finish_element(whole, last[i], about, s, column);
                if (Y_SCALE_OUTPUT != 0)
                    largest = max(largest, magnitudesv(accv_t(last[i])).x);
                else if (HAS_Y)
                    store_element(whole, column, last[i]);
            }
        }
        if (Y_SCALE_OUTPUT == 0)
            continue;
        set_y_scale(lane_max(largest, slot, lane), row, lane == 0 && here);
        if (aligned)
            store_vectors(of_lane, lane, count, ALIGNED_PART);
        else
            store_vectors(of_lane, lane, count, 1);
        [[unroll]] for (uint i = 0; i < TAIL; i++) {
            if (i < tail)
                store_element(whole, tail_column + i * LANES, last[i]);
        }
    }
}
