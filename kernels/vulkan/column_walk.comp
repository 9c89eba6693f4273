#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16 ACC_DOUBLE
/* column_walk: lanes are rows. For rows whose columns lie apart while the rows lie side by side, as
 * in channels-first images: one load brings the same column of neighbouring rows, and statistics
 * need nothing from another lane.
 *
 * A strip is VECTOR rows of a work-item, NEIGHBOURS apart, so that neighbouring work-items load
 * neighbouring elements. SLICES work-items share the columns of a strip and add their sums up. Each
 * column is read twice, the second time from cache if the strips are few enough; but once with
 * STATISTIC_INPUT. HELD strips side by side would keep lines of a CPU's cache: one after the other they
 * have the same bits.
 *
 * Constants: GROUP, SLICES (a divisor of it). */
#include "elements.glsl"

#define NEIGHBOURS (GROUP / SLICES)

/* Columns that are summed before the partial sums go into the compensated totals: a chain for each
 * of the two accumulators that hide the latency of an addition. */
#define CHAINS 2
#define BLOCK (CHAINS * CHAIN)

struct strip_t {
    /* Where the rows start, in elements; lanes past `count` repeat the first. */
    uvec4 x_at;
    uvec4 y_at;
    uvec4 residual_at;
    uvec4 sum_at;
    uvec4 sample_of; /* each row */
    uvec4 parameter_at;
    bool one_sample; /* of all its rows */
    uint first;      /* row */
    uint count;      /* of rows: 0 to VECTOR */
    accv_t sum;      /* of h - pivot, and of its square */
    accv_t squares;
    accv_t guess; /* the first pivot */
    accv_t pivot; /* as in statistic_t, a row to a lane */
    accv_t shift;
    accv_t rstd;
    accv_t shift_rstd;
    accv_t y_inverse; /* where it is found */
    bool again; /* a row's pivot was poor: its sums are to be taken again */
};

/* A column, and where the tensors that are walked have it, in elements from the start of a row. */
struct place_t {
    uint column;
    uint x;
    uint y;
    uint residual;
    uint sum;
};

place_t find_place(const uint column)
{
    return place_t(column, column * x_column_stride, column * y_column_stride,
                   column * residual_column_stride, column * sum_column_stride);
}

/* SLICES columns further on. */
place_t go_on(const place_t p)
{
    return place_t(p.column + SLICES, p.x + SLICES * x_column_stride,
                   p.y + SLICES * y_column_stride, p.residual + SLICES * residual_column_stride,
                   p.sum + SLICES * sum_column_stride);
}

/* ---- Where strips lie ---- */

uint count_strips()
{
    return (launch.rows + VECTOR * NEIGHBOURS - 1) / (VECTOR * NEIGHBOURS);
}

uvec4 rows_of_lanes(const strip_t strip)
{
    const uvec4 lanes = uvec4(0, 1, 2, 3);
    return strip.first + mix(uvec4(0), lanes * NEIGHBOURS, lessThan(lanes, uvec4(strip.count)));
}

/* In elements. */
uvec4 find_starts(const uvec4 rows, const uint row_stride, const uint outer_stride)
{
    if (TWO_LEVELS != 0)
        return rows / inner_rows * outer_stride + rows % inner_rows * row_stride;
    return rows * row_stride;
}

strip_t find_strip(const uint index)
{
    strip_t strip;
    strip.first = index * VECTOR * NEIGHBOURS + gl_LocalInvocationID.x % NEIGHBOURS;
    const uint left =
        strip.first < launch.rows ? (launch.rows - strip.first - 1) / NEIGHBOURS + 1 : 0;
    strip.count = min(left, VECTOR);
    const uvec4 rows = rows_of_lanes(strip);
    strip.x_at = find_starts(rows, x_row_stride, x_outer_stride);
    strip.y_at = find_starts(rows, y_row_stride, y_outer_stride);
    strip.residual_at = strip.sum_at = strip.sample_of = strip.parameter_at = uvec4(0);
    strip.one_sample = true;
    if (HAS_RESIDUAL != 0)
        strip.residual_at = find_starts(rows, residual_row_stride, residual_outer_stride);
    if (HAS_SUM != 0)
        strip.sum_at = find_starts(rows, sum_row_stride, sum_outer_stride);
    if (has_samples()) {
        strip.sample_of = (launch.sample_first + rows) / sample_rows;
        strip.one_sample = all(equal(strip.sample_of, strip.sample_of.xxxx));
    }
    if (parameter_rows > 1)
        strip.parameter_at = (launch.parameter_first + rows) % parameter_rows * parameters_of();
    return strip;
}

/* ---- One column of a strip ---- */

accv_t load_strip(const uint type, const uint slot, const uvec4 at, const uint column_at)
{
    accv_t result = accv_t(0);
    [[unroll]] for (uint i = 0; i < VECTOR; i++)
        result[i] = load(type, slot, at[i] + column_at);
    return result;
}

void store_strip(const uint type, const uint slot, const uvec4 at, const uint count,
                 const uint column_at, const accv_t value)
{
    [[unroll]] for (uint i = 0; i < VECTOR; i++) {
        if (i < count)
            store(type, slot, at[i] + column_at, value[i]);
    }
}

/* A parameter of each row. */
accv_t load_parameter(const strip_t strip, const uint slot, const uint column)
{
    const uint within = parameter_cycle > 0 ? column % parameter_cycle : column;
    const uint index = within / parameter_run;
    if (parameter_rows > 1)
        return load_strip(P_TYPE, slot, strip.parameter_at, index);
    return accv_t(load(P_TYPE, slot, index));
}

/* Of a tensor whose samples lie `row_stride` apart; `column_stride` is 0 where its columns do not. */
accv_t load_sample(const uint type, const strip_t strip, const uint slot, const uint row_stride,
                   const uint column_stride, const uint column)
{
    const uint column_at = column_stride > 0 ? column * column_stride : column;
    if (strip.one_sample)
        return accv_t(load(type, slot, strip.sample_of.x * row_stride + column_at));
    return load_strip(type, slot, strip.sample_of * row_stride, column_at);
}

/* As load_hv. */
accv_t load_h_strip(const strip_t strip, const place_t p)
{
    accv_t h = load_strip(X_TYPE, SLOT_X, strip.x_at, p.x);
    if (HAS_PRE_BIAS != 0)
        h += load_parameter(strip, SLOT_PRE_BIAS, p.column);
    if (HAS_RESIDUAL != 0) {
        accv_t residual = load_strip(R_TYPE, SLOT_RESIDUAL, strip.residual_at, p.residual);
        if (HAS_GATE != 0)
            residual *= load_sample(GATE_TYPE, strip, SLOT_GATE, gate_row_stride,
                                    gate_column_stride, p.column);
        h += residual;
    }
    if (STORED_SUM != 0)
        h = roundedv(S_TYPE, h);
    return h;
}

/* ---- Statistics ---- */

/* As load_statistic; lanes past `count` are 0. */
void load_statistics(inout strip_t strip)
{
    strip.pivot = strip.rstd = strip.shift = strip.shift_rstd = accv_t(0);
    for (uint i = 0; i < strip.count; i++) {
        const statistic_t s = load_statistic(strip.first + i * NEIGHBOURS);
        strip.pivot[i] = s.pivot;
        strip.shift[i] = s.shift;
        strip.rstd[i] = s.rstd;
        strip.shift_rstd[i] = s.shift_rstd;
    }
}

/* A first guess of each row's mean, as guess_h_mean's. */
accv_t guess_means(const strip_t strip, const uint walked)
{
    /* Of neighbouring rows none should be poor. */
    const uint known = min(walked, walked < 4 * GUESS ? GUESS : 2 * GUESS);
    if (known == 0 || RMS != 0)
        return accv_t(0);
    accv_t first = accv_t(0), sum = first;
    for (uint c = 0; c < known; c++) {
        const accv_t h = load_h_strip(strip, find_place(c));
        if (c == 0)
            first = h;
        sum += offv(h, first);
    }
    precise const accv_t mean = first + sum / acc_t(known);
    return mean;
}

/* Adds the strip's h at `p`, off its pivot, to a chain, and leads p on. */
void add_place(inout accv_t sum, inout accv_t squares, const strip_t strip, inout place_t p)
{
    add_deviation(offv(load_h_strip(strip, p), strip.pivot), sum, squares);
    p = go_on(p);
}

/* The sums of (h - pivot) and of their squares over columns slice, slice + SLICES ... */
void strip_sums(inout strip_t strip, const uint slice, const uint walked)
{
    accv_t total = accv_t(0), lost = total, total_squares = total, lost_squares = total;
    for (uint from = slice; from < walked; from += BLOCK * SLICES) {
        /* Of two chains, which have names: v3dv keeps arrays in memory. */
        accv_t s = accv_t(0), q = s, other_s = s, other_q = s;
        const uint end = min(walked, from + BLOCK * SLICES);
        place_t p = find_place(from);
        while (p.column + (CHAINS - 1) * SLICES < end) {
            add_place(s, q, strip, p);
            add_place(other_s, other_q, strip, p);
        }
        while (p.column < end)
            add_place(s, q, strip, p);
        add_compensated(total, lost, s + other_s);
        add_compensated(total_squares, lost_squares, q + other_q);
    }
    strip.sum = total - lost;
    strip.squares = total_squares - lost_squares;
}

const uint SCRATCH = SLICES > 1 && !STATISTIC_INPUT ? GROUP : 1;
shared accv_t shared_sums[SCRATCH];
shared accv_t shared_squares[SCRATCH];
shared uint flag;
shared uvec4 maxima[SLICES > 1 && Y_SCALE_OUTPUT != 0 ? GROUP : 1];

/* Adds the sums of all slices; every work-item gets those of its rows. All work-items must call it;
 * it may be called again at once. What any of them read of the buffers before is read before any of
 * them writes there after (y may be x). */
void add_slices(inout strip_t strip)
{
    const uint item = gl_LocalInvocationID.x, slice = item / NEIGHBOURS;
    shared_sums[item] = strip.sum;
    shared_squares[item] = strip.squares;
    meet();
    uint step = 1;
    while (step * 2 < SLICES)
        step *= 2;
    for (; step > 0; step /= 2) {
        if (slice < step && slice + step < SLICES) {
            shared_sums[item] += shared_sums[item + step * NEIGHBOURS];
            shared_squares[item] += shared_squares[item + step * NEIGHBOURS];
        }
        barrier();
    }
    strip.sum = shared_sums[item % NEIGHBOURS];
    strip.squares = shared_squares[item % NEIGHBOURS];
    barrier();
}

/* Whether `mine` is true in any work-item. All must call it. */
bool any_of_group(const bool mine)
{
    if (gl_LocalInvocationID.x == 0)
        flag = 0;
    barrier();
    if (mine)
        atomicOr(flag, 1);
    barrier();
    const bool any_is = flag != 0;
    barrier();
    return any_is;
}

/* The statistics from the sums, as corrected() has them, a row to a lane. At the first attempt,
 * pivots that prove too far off the mean are moved to it; at the second only the rows of those take
 * what comes of it: a row's bits do not depend on its neighbours. */
void find_statistics(inout strip_t strip, const bool first)
{
    if (RMS != 0) {
        strip.shift = strip.shift_rstd = accv_t(0);
        strip.rstd = inverse_rootv(scaled_variancev(strip.squares));
        strip.again = false;
        return;
    }
    const accv_t shift = dividedv(strip.sum, acc_t(columns));
    precise const accv_t square = shift * shift;
    precise const accv_t variance = dividedv(strip.squares, acc_t(columns)) - square;
    const accv_t rstd = inverse_rootv(scaled_variancev(variance));
    if (first) {
        strip.guess = strip.pivot;
        strip.pivot = mix(strip.pivot, strip.pivot + shift, poorv(shift, square, variance));
    }
    const bvec4 moved = notEqual(strip.pivot, strip.guess);
    strip.shift = first ? shift : mix(strip.shift, shift, moved);
    strip.rstd = first ? rstd : mix(strip.rstd, rstd, moved);
    strip.shift_rstd = strip.shift * strip.rstd;
    strip.again = first && any(moved);
}

void store_statistics(const strip_t strip)
{
    for (uint i = 0; i < strip.count; i++) {
        statistic_t s;
        s.pivot = strip.pivot[i];
        s.shift = strip.shift[i];
        s.rstd = strip.rstd[i];
        store_row_statistic(strip.first + i * NEIGHBOURS, s);
    }
}

/* ---- The last pass, and that before it which finds the scale of y ---- */

/* What becomes of a column's h. */
accv_t transform_strip(const strip_t strip, const place_t p, const accv_t h)
{
    factors_t f = no_factors();
    if (HAS_WEIGHT != 0)
        f.weight = load_parameter(strip, SLOT_WEIGHT, p.column);
    if (HAS_WEIGHT != 0 && HAS_WEIGHT_PLUS != 0)
        f.weight += weight_plus();
    if (HAS_BIAS != 0)
        f.bias = load_parameter(strip, SLOT_BIAS, p.column);
    if (HAS_SCALE != 0)
        f.scale = load_sample(SCALE_TYPE, strip, SLOT_SCALE, scale_row_stride, scale_column_stride,
                              p.column);
    if (HAS_SHIFT != 0)
        f.shift = load_sample(SHIFT_TYPE, strip, SLOT_SHIFT, shift_row_stride, shift_column_stride,
                              p.column);
    return transform_lanes(offv(h, strip.pivot), strip.rstd, strip.shift_rstd, f);
}

/* The largest magnitude of each row over the columns of a slice. */
uvec4 find_largest(const strip_t strip, const uint slice, const uint walked)
{
    uvec4 largest = uvec4(0);
    for (place_t p = find_place(slice); p.column < walked; p = go_on(p))
        largest = max(largest, magnitudesv(transform_strip(strip, p, load_h_strip(strip, p))));
    return largest;
}

/* As add_slices. */
uvec4 largest_of_slices(const uvec4 largest)
{
    const uint item = gl_LocalInvocationID.x;
    maxima[item] = largest;
    meet();
    uvec4 all_of_row = maxima[item % NEIGHBOURS];
    for (uint i = item % NEIGHBOURS + NEIGHBOURS; i < GROUP; i += NEIGHBOURS)
        all_of_row = max(all_of_row, maxima[i]);
    barrier();
    return all_of_row;
}

/* Sets the scales of a strip's rows; `stores`: into y_scale, too. */
void set_y_scales(inout strip_t strip, const uvec4 largest, const bool stores)
{
    vec4 scales;
    find_y_scales(largest, scales, strip.y_inverse);
    for (uint i = 0; stores && i < strip.count; i++)
        store(F32, SLOT_Y_SCALE, strip.first + i * NEIGHBOURS, scales[i]);
}

/* y as it is rounded. */
accv_t scaled_strip(const strip_t strip, const accv_t y)
{
    if (Y_SCALE_OUTPUT == 0)
        return scaledv(y);
    precise const accv_t result = y * strip.y_inverse;
    return result;
}

/* Normalizes and stores one column. */
void normalize_column(const strip_t strip, const place_t p)
{
    const accv_t h = load_h_strip(strip, p);
    const accv_t y = scaled_strip(strip, transform_strip(strip, p, h));
    if (HAS_SUM != 0)
        store_strip(S_TYPE, SLOT_SUM, strip.sum_at, strip.count, p.sum, h);
    if (HAS_Y)
        store_strip(Y_TYPE, SLOT_Y, strip.y_at, strip.count, p.y, y);
}

void main()
{
    const uint slice = gl_LocalInvocationID.x / NEIGHBOURS;

    /* Neighbouring strips to one work-group, so that it goes on where it was in memory. */
    const uint strip_count = count_strips();
    const uint groups = gl_NumWorkGroups.x, group = gl_WorkGroupID.x;
    const uint share = strip_count / groups, extra = strip_count % groups;
    const uint first = group * share + min(group, extra);
    const uint last = first + share + (group < extra ? 1 : 0);
    load_y_scale();

    for (uint at = first; at < last; at++) {
        strip_t strip = find_strip(at);
        /* A work-item past the last row walks no column, but comes to every barrier. */
        const uint walked = strip.count > 0 ? columns : 0;
        if (STATISTIC_INPUT) {
            load_statistics(strip);
        } else {
            strip.pivot = guess_means(strip, walked);
            bool again = true;
            for (uint attempt = 0; again && attempt < 2; attempt++) {
                strip_sums(strip, slice, walked);
                if (SLICES > 1)
                    add_slices(strip);
                find_statistics(strip, attempt == 0);
                again = strip.again;
                if (SLICES > 1 && RMS == 0)
                    again = any_of_group(again);
            }
        }
        if (slice == 0)
            store_statistics(strip);
        if (Y_SCALE_OUTPUT != 0) {
            uvec4 largest = find_largest(strip, slice, walked);
            if (SLICES > 1)
                largest = largest_of_slices(largest);
            set_y_scales(strip, largest, slice == 0);
        }
        if (!WRITES_COLUMNS)
            continue;
        for (place_t p = find_place(slice); p.column < walked; p = go_on(p))
            normalize_column(strip, p);
    }
}
