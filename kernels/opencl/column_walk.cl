/* column_walk: lanes are rows. For rows whose columns lie apart while the rows lie side by side, as in
 * channels-first images: one load brings the same column of neighbouring rows, and statistics need
 * nothing from another lane.
 *
 * A strip is VECTOR rows of a work-item, NEIGHBOURS apart, so that neighbouring work-items load
 * neighbouring elements; one work-item alone (a CPU) loads a strip as one vector. SLICES work-items
 * share the columns of a strip and add their sums up. A work-item walks up to HELD strips side by
 * side: from column to column memory is far apart, so it takes more than one line at each place.
 * Each column is read twice, the second time from cache if the strips are few enough; but once with
 * STATISTIC_INPUT, or with PARTIALS_OUTPUT where no sum is written; and once more with Y_SCALE_OUTPUT.
 *
 * Chosen by -D: GROUP, SLICES (a divisor of it), HELD (1 where GROUP is more). */
#include "elements.clh"

#define NEIGHBOURS (GROUP / SLICES)

/* Columns that are summed before the partial sums go into the compensated totals: a chain for each of
 * the two accumulators that hide the latency of an addition. */
#define BLOCK (2 * CHAIN)

/* Columns that the second pass claims the lines of y ahead of its stores. */
#define AHEAD 8

typedef struct {
    /* Where the rows start, in elements; lanes past `count` repeat the first. */
    ulong x_at[VECTOR];
    ulong y_at[VECTOR];
#if HAS_RESIDUAL
    ulong residual_at[VECTOR];
#endif
#if HAS_SUM
    ulong sum_at[VECTOR];
#endif
#if HAS_SAMPLES
    ulong sample[VECTOR]; /* of each row */
    bool one_sample;      /* of all its rows */
#endif
#if PARAMETER_ROWS
    ulong parameter_at[VECTOR];
#endif
    ulong first;    /* row */
    uint count;     /* of rows: 0 to VECTOR */
    bool h_close;   /* VECTOR rows of x, and of residual, side by side */
    bool out_close; /* and so of y and sum */
    accv_t sum;     /* of h - pivot, and of its square */
    accv_t squares;
    accv_t lost; /* what rounding has added to them */
    accv_t lost_squares;
    accv_t guess; /* the first pivot */
    accv_t pivot; /* as in statistic_t, a row to a lane */
    accv_t shift;
    accv_t rstd;
    accv_t shift_rstd;
    bool again; /* a row's pivot was poor: its sums are to be taken again */
#if Y_SCALE_OUTPUT
    accv_t y_inverse; /* as in row_t */
#endif
} strip_t;

/* What all strips have in common. */
typedef struct {
    rows_of_tensors_t tensors;
    ulong x_column_stride;
    ulong y_column_stride;
#if HAS_RESIDUAL
    ulong residual_column_stride;
#endif
#if HAS_SUM
    ulong sum_column_stride;
#endif
} image_t;

/* A column, and where the tensors that are walked have it, in elements from the start of a row. */
typedef struct {
    uint column;
    ulong x;
    ulong y;
#if HAS_RESIDUAL
    ulong residual;
#endif
#if HAS_SUM
    ulong sum;
#endif
} place_t;

PIECE void find_place(const image_t *image, const uint column, place_t *p)
{
    p->column = column;
    p->x = column * image->x_column_stride;
    p->y = column * image->y_column_stride;
#if HAS_RESIDUAL
    p->residual = column * image->residual_column_stride;
#endif
#if HAS_SUM
    p->sum = column * image->sum_column_stride;
#endif
}

/* SLICES columns further on. */
PIECE void go_on(const image_t *image, place_t *p)
{
    p->column += SLICES;
    p->x += SLICES * image->x_column_stride;
    p->y += SLICES * image->y_column_stride;
#if HAS_RESIDUAL
    p->residual += SLICES * image->residual_column_stride;
#endif
#if HAS_SUM
    p->sum += SLICES * image->sum_column_stride;
#endif
}

/* ---- Where strips lie ---- */

/* Strips of `rows` rows. A strip that is one vector ends where the inner level of rows does. */
PIECE ulong count_strips(const ulong rows, const ulong inner_rows)
{
    const ulong length = VECTOR * NEIGHBOURS;
#if TWO_LEVELS && NEIGHBOURS == 1
    return rows / inner_rows * ((inner_rows - 1) / length + 1) +
           (rows % inner_rows + length - 1) / length;
#else
    return (rows + length - 1) / length;
#endif
}

PIECE void find_rows(strip_t *strip, const ulong index, const ulong rows, const ulong inner_rows)
{
    const ulong length = VECTOR * NEIGHBOURS;
#if NEIGHBOURS > 1
    strip->first = index * length + get_local_id(0) % NEIGHBOURS;
    const ulong left = strip->first < rows ? (rows - strip->first - 1) / NEIGHBOURS + 1 : 0;
#elif TWO_LEVELS
    const ulong in_group = (inner_rows - 1) / length + 1, group = index / in_group;
    strip->first = group * inner_rows + index % in_group * length;
    const ulong left = min(rows, (group + 1) * inner_rows) - strip->first;
#else
    strip->first = index * length;
    const ulong left = rows - strip->first;
#endif
    strip->count = (uint)min(left, (ulong)VECTOR);
}

PIECE ulong row_of_lane(const strip_t *strip, const uint lane)
{
    return strip->first + (lane < strip->count ? lane * NEIGHBOURS : 0);
}

/* In elements; true if the strip's rows are VECTOR neighbours in memory. */
PIECE bool find_starts(const strip_t *strip, ulong *at, const ulong inner_rows,
                        const ulong row_stride, const ulong outer_stride)
{
    for (uint i = 0; i < VECTOR; i++) {
        const ulong row = row_of_lane(strip, i);
#if TWO_LEVELS && NEIGHBOURS == 1
        at[i] = i == 0 ? row / inner_rows * outer_stride + row % inner_rows * row_stride
                       : at[0] + (row - strip->first) * row_stride;
#elif TWO_LEVELS
        at[i] = row / inner_rows * outer_stride + row % inner_rows * row_stride;
#else
        at[i] = row * row_stride;
#endif
    }
    return NEIGHBOURS == 1 && row_stride == 1 && strip->count == VECTOR;
}

PIECE void find_tensors(strip_t *strip, const rows_of_tensors_t *t)
{
    strip->h_close =
        find_starts(strip, strip->x_at, t->inner_rows, t->x_row_stride, t->x_outer_stride);
#if HAS_Y
    strip->out_close =
        find_starts(strip, strip->y_at, t->inner_rows, t->y_row_stride, t->y_outer_stride);
#else
    strip->out_close = true;
#endif
#if HAS_RESIDUAL
    if (!find_starts(strip, strip->residual_at, t->inner_rows, t->residual_row_stride,
                     t->residual_outer_stride))
        strip->h_close = false;
#endif
#if HAS_SUM
    if (!find_starts(strip, strip->sum_at, t->inner_rows, t->sum_row_stride, t->sum_outer_stride))
        strip->out_close = false;
#endif
#if HAS_SAMPLES
    for (uint i = 0; i < VECTOR; i++)
        strip->sample[i] = row_of_lane(strip, i) / t->sample_rows;
    strip->one_sample = strip->sample[0] == strip->sample[max(strip->count, 1u) - 1];
#endif
#if PARAMETER_ROWS
    for (uint i = 0; i < VECTOR; i++)
        strip->parameter_at[i] = row_of_lane(strip, i) % t->parameter_rows * parameters_of(t);
#endif
}

/* Where the first two columns are aligned, all are. */
PIECE bool may_stream_columns(const int type, const __global uchar *base, const ulong at,
                              const ulong column_stride)
{
    return may_stream(type, base + at * size_of(type)) &&
           may_stream(type, base + (at + column_stride) * size_of(type));
}

/* Whether all that is written of the strip lies so that it may be streamed. */
PIECE bool may_stream_strip(const image_t *image, const strip_t *strip)
{
    const row_t *base = &image->tensors.first;
#if HAS_SUM
    if (!may_stream_columns(S_TYPE, base->sum, strip->sum_at[0], image->sum_column_stride))
        return false;
#endif
#if HAS_Y
    return may_stream_columns(Y_TYPE, base->y, strip->y_at[0], image->y_column_stride);
#else
    return true;
#endif
}

/* ---- One column of a strip ---- */

/* Of the `count` rows that start at `at`; `close`, a constant in each call, if they are one vector
 * in memory. */
PIECE accv_t load_strip(const int type, const __global uchar *base, const ulong *at,
                        const uint count, const ulong column_at, const bool close)
{
#if NEIGHBOURS == 1
    if (close)
        return loadv(type, base, at[0] + column_at);
    lanes_t lanes;
    lanes.vector = 0;
    for (uint i = 0; i < count; i++)
        lanes.element[i] = load(type, base, at[i] + column_at);
    return lanes.vector;
#elif VECTOR == 4 /* no union, no loop: some compilers keep those in memory */
    return (accv_t)(load(type, base, at[0] + column_at), load(type, base, at[1] + column_at),
                    load(type, base, at[2] + column_at), load(type, base, at[3] + column_at));
#else
    lanes_t lanes;
    for (uint i = 0; i < VECTOR; i++)
        lanes.element[i] = load(type, base, at[i] + column_at);
    return lanes.vector;
#endif
}

PIECE void store_strip(const int type, __global uchar *base, const ulong *at, const uint count,
                       const ulong column_at, const bool close, const bool stream,
                       const accv_t value)
{
#if NEIGHBOURS == 1
    if (close && stream) {
        streamv(type, base, at[0] + column_at, value);
        return;
    }
    if (close) {
        storev(type, base, at[0] + column_at, value);
        return;
    }
#endif
#if NEIGHBOURS > 1 && VECTOR == 4
    store(type, base, at[0] + column_at, value.s0);
    if (count > 1)
        store(type, base, at[1] + column_at, value.s1);
    if (count > 2)
        store(type, base, at[2] + column_at, value.s2);
    if (count > 3)
        store(type, base, at[3] + column_at, value.s3);
#else
    lanes_t lanes;
    lanes.vector = value;
    for (uint i = 0; i < count; i++)
        store(type, base, at[i] + column_at, lanes.element[i]);
#endif
}

/* A parameter of each row; where they share it, `strip` may be any. */
PIECE accv_t load_parameter(const image_t *image, const strip_t *strip, const __global uchar *base,
                            const uint column)
{
    uint index = column;
#if PARAMETER_CYCLE
    index %= image->tensors.first.parameter_cycle;
#endif
#if PARAMETER_RUN
    index /= image->tensors.first.parameter_run;
#endif
#if PARAMETER_ROWS
    return load_strip(P_TYPE, base, strip->parameter_at, strip->count, index, false);
#else
    return load(P_TYPE, base, index);
#endif
}

#if HAS_SAMPLES
/* Of a tensor whose samples lie `row_stride` apart; `column_stride` is 0 where its columns do not. */
PIECE accv_t load_sample(const int type, const strip_t *strip, const __global uchar *base,
                         const ulong row_stride, const ulong column_stride, const uint column)
{
    const ulong column_at = column_stride > 0 ? column * column_stride : column;
    if (strip->one_sample)
        return load(type, base, strip->sample[0] * row_stride + column_at);
    ulong at[VECTOR];
    for (uint i = 0; i < VECTOR; i++)
        at[i] = strip->sample[i] * row_stride;
    return load_strip(type, base, at, strip->count, column_at, false);
}
#endif

/* As load_hv. */
PIECE accv_t load_h_strip(const image_t *image, const strip_t *strip, const place_t *p,
                          const bool close)
{
    const row_t *base = &image->tensors.first;
    accv_t h = load_strip(X_TYPE, base->x, strip->x_at, strip->count, p->x, close);
#if HAS_PRE_BIAS
    h += load_parameter(image, strip, base->pre_bias, p->column);
#endif
#if HAS_RESIDUAL
    accv_t residual =
        load_strip(R_TYPE, base->residual, strip->residual_at, strip->count, p->residual, close);
#if HAS_GATE
    residual *= load_sample(GATE_TYPE, strip, base->gate, image->tensors.gate_row_stride,
                            GATE_STRIDE(base), p->column);
#endif
    h += residual;
#endif
#if STORED_SUM
    h = roundedv(S_TYPE, h);
#endif
    return h;
}

/* ---- Statistics ---- */

#if STATISTIC_INPUT
/* As load_statistic; lanes past `count` are 0. */
PIECE void load_statistics(const image_t *image, strip_t *strip, const __global uchar *mean,
                           const __global uchar *rstd)
{
    lanes_t pivots, rstds;
    pivots.vector = rstds.vector = 0;
#if PARTIALS_INPUT
    lanes_t shifts;
    shifts.vector = 0;
#endif
    for (uint i = 0; i < strip->count; i++) {
        statistic_t s;
        load_statistic(&image->tensors, mean, rstd, row_of_lane(strip, i), &s);
        pivots.element[i] = s.pivot;
        rstds.element[i] = s.rstd;
#if PARTIALS_INPUT
        shifts.element[i] = s.shift;
#endif
    }
    strip->pivot = pivots.vector;
    strip->rstd = rstds.vector;
#if PARTIALS_INPUT
    strip->shift = shifts.vector;
    strip->shift_rstd = strip->shift * strip->rstd;
#else
    strip->shift = strip->shift_rstd = 0;
#endif
}
#else
/* A first guess of each row's mean, as guess_h_mean's. */
PIECE void guess_means(const image_t *image, strip_t *strip, const uint columns)
{
    strip->again = true;
    strip->pivot = 0;
#if !RMS
    /* Of VECTOR rows none should be poor. */
    const uint known = min(columns, (uint)(columns < 4 * GUESS ? GUESS : 2 * GUESS));
    if (known == 0)
        return;
    place_t p;
    find_place(image, 0, &p);
    const accv_t first = load_h_strip(image, strip, &p, strip->h_close);
    accv_t sum = 0;
    for (uint c = 1; c < known; c++) {
        find_place(image, c, &p);
        sum += load_h_strip(image, strip, &p, strip->h_close) - first;
    }
    strip->pivot = first + sum / (acc_t)known;
#endif
}

/* Adds the sums of (h - pivot) and of their squares over `count` columns (BLOCK at most), SLICES
 * apart from `p` on, to those of the strip. */
PIECE void add_block(const image_t *image, strip_t *strip, place_t p, const uint count,
                     const bool close)
{
    const accv_t pivot = strip->pivot;
    accv_t s0 = 0, s1 = 0, q0 = 0, q1 = 0;
    for (uint k = 0; k < count / 2; k++) {
        const accv_t a0 = load_h_strip(image, strip, &p, close) - pivot;
        go_on(image, &p);
        const accv_t a1 = load_h_strip(image, strip, &p, close) - pivot;
        go_on(image, &p);
        add_deviation(a0, &s0, &q0);
        add_deviation(a1, &s1, &q1);
    }
    if (count % 2)
        add_deviation(load_h_strip(image, strip, &p, close) - pivot, &s0, &q0);
    add_compensated(&strip->sum, &strip->lost, s0 + s1);
    add_compensated(&strip->squares, &strip->lost_squares, q0 + q1);
}

/* The same over columns slice, slice + SLICES ... of those of several strips that are to be taken. */
PIECE void strip_sums(const image_t *image, strip_t *strips, const uint held, const uint slice,
                      const uint columns)
{
    for (uint r = 0; r < held; r++) {
        if (strips[r].again)
            strips[r].sum = strips[r].lost = strips[r].squares = strips[r].lost_squares = 0;
    }
    for (uint column = slice; column < columns; column += BLOCK * SLICES) {
        const uint count = min((columns - column + SLICES - 1) / SLICES, (uint)BLOCK);
        place_t p;
        find_place(image, column, &p);
        for (uint r = 0; r < held; r++) {
            if (!strips[r].again)
                continue;
#if NEIGHBOURS == 1
            if (strips[r].h_close) {
                add_block(image, strips + r, p, count, true);
                continue;
            }
#endif
            add_block(image, strips + r, p, count, false);
        }
    }
    for (uint r = 0; r < held; r++) {
        if (strips[r].again) {
            strips[r].sum -= strips[r].lost;
            strips[r].squares -= strips[r].lost_squares;
        }
    }
}

#if SLICES > 1
/* Adds the sums of all slices; every work-item gets those of its rows. `scratch` holds 2 * GROUP. All
 * work-items must call it; it may be called again at once. What any of them read from global memory
 * before is read before any of them writes there after (y may be x). */
PIECE void add_slices(strip_t *strip, __local accv_t *scratch)
{
    const uint item = get_local_id(0), slice = item / NEIGHBOURS;
    scratch[item] = strip->sum;
    scratch[GROUP + item] = strip->squares;
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    uint step = 1;
    while (step * 2 < SLICES)
        step *= 2;
    for (; step > 0; step /= 2) {
        if (slice < step && slice + step < SLICES) {
            scratch[item] += scratch[item + step * NEIGHBOURS];
            scratch[GROUP + item] += scratch[GROUP + item + step * NEIGHBOURS];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    strip->sum = scratch[item % NEIGHBOURS];
    strip->squares = scratch[GROUP + item % NEIGHBOURS];
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* Whether `mine` is true in any work-item. All must call it. */
PIECE bool any_of_group(const bool mine, __local uint *flag)
{
    if (get_local_id(0) == 0)
        *flag = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (mine)
        atomic_or(flag, 1u);
    barrier(CLK_LOCAL_MEM_FENCE);
    const bool any = *flag != 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    return any;
}
#endif

/* The statistics from the sums, as corrected() has them, a row to a lane. At the first attempt, pivots
 * that prove too far off the mean are moved to it; at the second only the rows of those take what
 * comes of it: a row's bits do not depend on its neighbours. */
PIECE void find_statistics(strip_t *strip, const uint columns, const acc_t eps, const bool first)
{
#if RMS
    strip->shift = strip->shift_rstd = 0;
    strip->rstd = inverse_rootv(SCALED_VARIANCE(accv_t, strip->squares, columns), eps);
    strip->again = false;
#else
    const accv_t shift = strip->sum / (acc_t)columns;
    const accv_t square = shift * shift, variance = strip->squares / (acc_t)columns - square;
    const accv_t rstd = inverse_rootv(SCALED_VARIANCE(accv_t, variance, columns), eps);
    if (first) {
        strip->shift = shift;
        strip->rstd = rstd;
        strip->guess = strip->pivot;
        strip->pivot = POOR(shift, square, variance) ? strip->pivot + shift : strip->pivot;
    } else {
        strip->shift = strip->pivot != strip->guess ? shift : strip->shift;
        strip->rstd = strip->pivot != strip->guess ? rstd : strip->rstd;
    }
    strip->shift_rstd = strip->shift * strip->rstd;
    strip->again = first && any(strip->pivot != strip->guess);
#endif
}
#endif

PIECE void store_statistics(const image_t *image, const strip_t *strip, __global uchar *mean,
                            __global uchar *rstd)
{
    lanes_t means, rstds;
    means.vector = strip->pivot + strip->shift;
    rstds.vector = strip->rstd;
    for (uint i = 0; i < VECTOR; i++) {
        const ulong row = strip->first + i * NEIGHBOURS;
        if (i >= strip->count)
            continue;
#if HAS_MEAN
        store(F32, mean, row, means.element[i]);
#endif
#if HAS_RSTD
        store(F32, rstd, row, written_rstd(&image->tensors, rstds.element[i]));
#endif
#if PARTIALS_OUTPUT
        store_partials(&image->tensors, row, means.element[i], rstds.element[i]);
#endif
    }
}

/* ---- The last pass, and that before it which finds the scale of y ---- */

/* Starts fetching, for writing, the line at `pointer`, which need not be valid memory. */
PIECE void claim(const __global uchar *pointer)
{
#if STREAMS
    __builtin_prefetch((const void *)(size_t)pointer, 1, 3);
#endif
}

/* The parameters that multiply and shift one column. */
PIECE void load_weight_and_bias(const image_t *image, const strip_t *strip, const uint column,
                                factors_t *f)
{
    const row_t *base = &image->tensors.first;
#if HAS_WEIGHT
    f->weight = load_parameter(image, strip, base->weight, column);
#if HAS_WEIGHT_PLUS
    f->weight += base->weight_plus;
#endif
#endif
#if HAS_BIAS
    f->bias = load_parameter(image, strip, base->bias, column);
#endif
}

/* What becomes of a column's h. The factors of weight and bias are there, where rows share them. */
PIECE accv_t transform_strip(const image_t *image, const strip_t *strip, const place_t *p,
                             const accv_t h, factors_t *f)
{
    const row_t *base = &image->tensors.first;
#if PARAMETER_ROWS
    load_weight_and_bias(image, strip, p->column, f);
#endif
#if HAS_SCALE
    f->scale = load_sample(SCALE_TYPE, strip, base->scale, image->tensors.scale_row_stride,
                           SCALE_STRIDE(base), p->column);
#endif
#if HAS_SHIFT
    f->shift = load_sample(SHIFT_TYPE, strip, base->shift, image->tensors.shift_row_stride,
                           SHIFT_STRIDE(base), p->column);
#endif
    return transform_lanes(h - strip->pivot, strip->rstd, strip->shift_rstd, f->weight, f->bias,
                           f->scale, f->shift);
}

#if Y_SCALE_OUTPUT
/* The largest magnitude of each row of a strip over the columns of a slice. */
PIECE uintv find_largest(const image_t *image, const strip_t *strip, const uint slice,
                         const uint columns)
{
    uintv largest = 0;
    place_t p;
    find_place(image, slice, &p);
    for (; p.column < columns; go_on(image, &p)) {
        factors_t f;
#if !PARAMETER_ROWS
        load_weight_and_bias(image, strip, p.column, &f);
#endif
        const accv_t h = load_h_strip(image, strip, &p, strip->h_close);
        largest = max(largest, magnitudesv(transform_strip(image, strip, &p, h, &f)));
    }
    return largest;
}

#if SLICES > 1
/* As add_slices; `scratch` holds GROUP. */
PIECE uintv largest_of_slices(const uintv largest, __local uintv *scratch)
{
    const uint item = get_local_id(0);
    scratch[item] = largest;
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    uintv all = scratch[item % NEIGHBOURS];
    for (uint i = item % NEIGHBOURS + NEIGHBOURS; i < GROUP; i += NEIGHBOURS)
        all = max(all, scratch[i]);
    barrier(CLK_LOCAL_MEM_FENCE);
    return all;
}
#endif

/* Sets the scales of a strip's rows; `stores`: into y_scale, too. */
PIECE void set_y_scales(const rows_of_tensors_t *t, strip_t *strip, const uintv largest,
                        const bool stores)
{
    union {
        floatv vector;
        float element[VECTOR];
    } scales;
    find_y_scales(t, largest, &scales.vector, &strip->y_inverse);
    for (uint i = 0; i < VECTOR; i++) {
        if (stores && i < strip->count)
            store(F32, t->y_scale, row_of_lane(strip, i), scales.element[i]);
    }
}
#endif

/* y as it is rounded. */
PIECE accv_t scaled_strip(const image_t *image, const strip_t *strip, const accv_t y)
{
#if Y_SCALE_OUTPUT
    return y * strip->y_inverse;
#else
    return scaledv(&image->tensors.first, y);
#endif
}

/* Normalizes and stores one column of strips. `close` and `stream` are constants in each call. */
PIECE void normalize_column(const image_t *image, const strip_t *strips, const uint held,
                            const place_t *p, const bool close, const bool stream)
{
    const row_t *base = &image->tensors.first;
    factors_t f;
#if !PARAMETER_ROWS
    load_weight_and_bias(image, strips, p->column, &f);
#endif
    for (uint r = 0; r < held; r++) {
        const strip_t *strip = strips + r;
        if (NEIGHBOURS == 1 && close) {
            fetch(base->x + (strip->x_at[0] + p->x + held * VECTOR) * size_of(X_TYPE));
#if HAS_Y
            if (!stream)
                claim(base->y +
                      (strip->y_at[0] + p->y + AHEAD * image->y_column_stride) * size_of(Y_TYPE));
#endif
#if HAS_RESIDUAL
            fetch(base->residual +
                  (strip->residual_at[0] + p->residual + held * VECTOR) * size_of(R_TYPE));
#endif
#if HAS_SUM
            if (!stream)
                claim(base->sum + (strip->sum_at[0] + p->sum + AHEAD * image->sum_column_stride) *
                                      size_of(S_TYPE));
#endif
        }
        const accv_t h = load_h_strip(image, strip, p, close || strip->h_close);
        const accv_t result =
            scaled_strip(image, strip, transform_strip(image, strip, p, h, &f));
#if HAS_SUM
        store_strip(S_TYPE, base->sum, strip->sum_at, strip->count, p->sum,
                    close || strip->out_close, stream, h);
#endif
#if HAS_Y
        store_strip(Y_TYPE, base->y, strip->y_at, strip->count, p->y, close || strip->out_close,
                    stream, result);
#endif
    }
}

PIECE void normalize(const image_t *image, const strip_t *strips, const uint held,
                     const uint slice, const uint columns, const bool close, const bool stream)
{
    place_t p;
    find_place(image, slice, &p);
    for (; p.column < columns; go_on(image, &p))
        normalize_column(image, strips, held, &p, close, stream);
}

__kernel void anynorm(
#include "params.def"
)
{
#if SLICES > 1 && !STATISTIC_INPUT
    __local accv_t scratch[2 * GROUP];
#if !RMS
    __local uint flag;
#endif
#endif
#if SLICES > 1 && Y_SCALE_OUTPUT
    __local uintv maxima[GROUP];
#endif
#include "gather.clh"
    image_t image;
    image.tensors = tensors;
    image.x_column_stride = x_column_stride;
    image.y_column_stride = y_column_stride;
#if HAS_RESIDUAL
    image.residual_column_stride = residual_column_stride;
#endif
#if HAS_SUM
    image.sum_column_stride = sum_column_stride;
#endif
    const uint slice = get_local_id(0) / NEIGHBOURS;
    const bool large = outgrows_cache(rows * columns * size_of(OUT_TYPE));

    /* Neighbouring strips to one work-group, so that it goes on where it was in memory. */
    const ulong strip_count = count_strips(rows, inner_rows);
    const ulong groups = get_num_groups(0), group = get_group_id(0);
    const ulong share = strip_count / groups, extra = strip_count % groups;
    const ulong first = group * share + min(group, extra);
    const ulong last = first + share + (group < extra ? 1 : 0);

    strip_t strips[HELD];
    for (ulong at = first; at < last; at += HELD) {
        const uint held = HELD == 1 ? 1 : (uint)min(last - at, (ulong)HELD);
        bool close = true, stream = large;
        for (uint r = 0; r < held; r++) {
            find_rows(strips + r, at + r, rows, inner_rows);
            find_tensors(strips + r, &image.tensors);
            close = close && strips[r].h_close && strips[r].out_close;
            stream = stream && may_stream_strip(&image, strips + r);
        }
        /* A work-item past the last row walks no column, but comes to every barrier. */
        const uint walked = strips[0].count > 0 ? columns : 0;
#if STATISTIC_INPUT
        for (uint r = 0; r < held; r++)
            load_statistics(&image, strips + r, mean + mean_offset, rstd + rstd_offset);
#else
        for (uint r = 0; r < held; r++)
            guess_means(&image, strips + r, walked);
        bool again = true;
        for (uint attempt = 0; again && attempt < 2; attempt++) {
            strip_sums(&image, strips, held, slice, walked);
            again = false;
            for (uint r = 0; r < held; r++) {
#if SLICES > 1
                add_slices(strips + r, scratch);
#else
                if (!strips[r].again)
                    continue;
#endif
                find_statistics(strips + r, columns, eps, attempt == 0);
#if SLICES > 1 && !RMS
                strips[r].again = any_of_group(strips[r].again, &flag);
#endif
                again = again || strips[r].again;
            }
        }
#endif
#if HAS_MEAN || HAS_RSTD || PARTIALS_OUTPUT
        for (uint r = 0; r < held; r++) {
            if (slice == 0)
                store_statistics(&image, strips + r, mean + mean_offset, rstd + rstd_offset);
        }
#endif

#if Y_SCALE_OUTPUT
        for (uint r = 0; r < held; r++) {
            uintv largest = find_largest(&image, strips + r, slice, walked);
#if SLICES > 1
            largest = largest_of_slices(largest, maxima);
#endif
            set_y_scales(&image.tensors, strips + r, largest, slice == 0);
        }
#endif

#if WRITES_COLUMNS
#if NEIGHBOURS == 1
        if (close && stream)
            normalize(&image, strips, held, slice, walked, true, true);
        else if (close)
            normalize(&image, strips, held, slice, walked, true, false);
        else
#endif
            normalize(&image, strips, held, slice, walked, false, false);
#endif
    }
}
