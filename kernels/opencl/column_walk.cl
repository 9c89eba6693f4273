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
    factors_t own; /* weight and bias, where each row has one of each */
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
#if PARAMETER_ROWS
    bool one_parameter; /* of a row: its columns share it */
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

#include "strips.clh"

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
    if (image->one_parameter)
        *f = strip->own;
    else
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

WIDTH_ATTRIBUTE __kernel void anynorm(
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
#if PARAMETER_ROWS
    image.one_parameter = parameters_of(&tensors) == 1;
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
#if PARAMETER_ROWS
            load_weight_and_bias(&image, strips + r, 0, &strips[r].own);
#endif
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
