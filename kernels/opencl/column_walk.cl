/* column_walk: lanes are rows. For rows whose columns lie apart while the rows lie side by side, as in
 * channels-first images: one load brings the same column of neighbouring rows, and statistics need
 * nothing from another lane.
 *
 * A strip is VECTOR rows of a work-item, NEIGHBOURS apart, so that neighbouring work-items load
 * neighbouring elements; one work-item alone (a CPU) loads a strip as one vector. SLICES work-items
 * share the columns of a strip and add their sums up. A work-item walks up to HELD strips side by
 * side: from column to column memory is far apart, so it takes more than one line at each place.
 * Each column is read twice, the second time from cache if the strips are few enough.
 *
 * Chosen by -D: GROUP, SLICES (a divisor of it), HELD (1 where GROUP is more). */
#include "row.clh"

#define NEIGHBOURS (GROUP / SLICES)

/* Columns whose mean is the first guess of a row's mean. */
#define GUESS 16

/* Columns that are summed before the partial sums go into the compensated totals: 16 for each of the
 * two accumulators that hide the latency of an addition. */
#define BLOCK 32

/* Columns that the second pass claims the lines of y ahead of its stores. */
#define AHEAD 8

typedef struct {
    ulong x_at[VECTOR]; /* where the rows start, in elements; lanes past `count` repeat the first */
    ulong y_at[VECTOR];
    ulong first;  /* row */
    uint count;   /* of rows: 0 to VECTOR */
    bool x_close; /* VECTOR rows side by side */
    bool y_close;
    accv_t sum; /* of x - pivot, and of its square */
    accv_t squares;
    accv_t lost; /* what rounding has added to them */
    accv_t lost_squares;
    accv_t guess; /* the first pivot */
    accv_t pivot; /* as in statistic_t, a row to a lane */
    accv_t shift;
    accv_t rstd;
    accv_t shift_rstd;
    bool again; /* a row's pivot was poor: its sums are to be taken again */
} strip_t;

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

/* In elements; true if the strip's rows are VECTOR neighbours in memory. */
PIECE bool find_starts(const strip_t *strip, ulong *at, const ulong inner_rows,
                        const ulong row_stride, const ulong outer_stride)
{
    for (uint i = 0; i < VECTOR; i++) {
        const ulong row = strip->first + (i < strip->count ? i * NEIGHBOURS : 0);
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

/* ---- One column of a strip ---- */

/* `close`, a constant in each call, if the strip is one vector in memory. */
PIECE accv_t load_strip(const __global uchar *x, const strip_t *strip, const ulong column_at,
                         const bool close)
{
#if NEIGHBOURS == 1
    if (close)
        return loadv(X_TYPE, x, strip->x_at[0] + column_at);
    lanes_t lanes;
    lanes.vector = 0;
    for (uint i = 0; i < strip->count; i++)
        lanes.element[i] = load(X_TYPE, x, strip->x_at[i] + column_at);
    return lanes.vector;
#elif VECTOR == 4 /* no union, no loop: some compilers keep those in memory */
    return (accv_t)(load(X_TYPE, x, strip->x_at[0] + column_at),
                    load(X_TYPE, x, strip->x_at[1] + column_at),
                    load(X_TYPE, x, strip->x_at[2] + column_at),
                    load(X_TYPE, x, strip->x_at[3] + column_at));
#else
    lanes_t lanes;
    for (uint i = 0; i < VECTOR; i++)
        lanes.element[i] = load(X_TYPE, x, strip->x_at[i] + column_at);
    return lanes.vector;
#endif
}

PIECE void store_strip(__global uchar *y, const strip_t *strip, const ulong column_at,
                        const bool close, const bool stream, const accv_t value)
{
#if NEIGHBOURS == 1
    if (close && stream) {
        streamv(Y_TYPE, y, strip->y_at[0] + column_at, value);
        return;
    }
    if (close) {
        storev(Y_TYPE, y, strip->y_at[0] + column_at, value);
        return;
    }
#endif
#if NEIGHBOURS > 1 && VECTOR == 4
    store(Y_TYPE, y, strip->y_at[0] + column_at, value.s0);
    if (strip->count > 1)
        store(Y_TYPE, y, strip->y_at[1] + column_at, value.s1);
    if (strip->count > 2)
        store(Y_TYPE, y, strip->y_at[2] + column_at, value.s2);
    if (strip->count > 3)
        store(Y_TYPE, y, strip->y_at[3] + column_at, value.s3);
#else
    lanes_t lanes;
    lanes.vector = value;
    for (uint i = 0; i < strip->count; i++)
        store(Y_TYPE, y, strip->y_at[i] + column_at, lanes.element[i]);
#endif
}

/* ---- Statistics ---- */

/* A first guess of each row's mean, as guess_mean's. */
PIECE void guess_means(strip_t *strip, const __global uchar *x, const uint columns,
                        const ulong column_stride)
{
    const uint known = min(columns, (uint)GUESS);
    strip->again = true;
    strip->pivot = 0;
    if (known == 0)
        return;
    const accv_t first = load_strip(x, strip, 0, strip->x_close);
    accv_t sum = 0;
    for (uint c = 1; c < known; c++)
        sum += load_strip(x, strip, c * column_stride, strip->x_close) - first;
    strip->pivot = first + sum / (acc_t)known;
}

/* Adds the sums of (x - pivot) and of their squares over `count` columns (BLOCK at most), `step`
 * elements apart from `at` on, to those of the strip. */
PIECE void add_block(strip_t *strip, const __global uchar *x, ulong at, const ulong step,
                      const uint count, const bool close)
{
    const accv_t pivot = strip->pivot;
    accv_t s0 = 0, s1 = 0, q0 = 0, q1 = 0;
    for (uint k = 0; k < count / 2; k++) {
        const accv_t a0 = load_strip(x, strip, at, close) - pivot;
        const accv_t a1 = load_strip(x, strip, at + step, close) - pivot;
        s0 += a0;
        s1 += a1;
        q0 += a0 * a0;
        q1 += a1 * a1;
        at += 2 * step;
    }
    if (count % 2) {
        const accv_t a = load_strip(x, strip, at, close) - pivot;
        s0 += a;
        q0 += a * a;
    }
    add_compensated(&strip->sum, &strip->lost, s0 + s1);
    add_compensated(&strip->squares, &strip->lost_squares, q0 + q1);
}

/* The same over columns slice, slice + SLICES ... of those of several strips that are to be taken. */
PIECE void strip_sums(strip_t *strips, const uint held, const __global uchar *x, const uint slice,
                       const uint columns, const ulong column_stride)
{
    for (uint r = 0; r < held; r++) {
        if (strips[r].again)
            strips[r].sum = strips[r].lost = strips[r].squares = strips[r].lost_squares = 0;
    }
    const ulong step = SLICES * column_stride;
    for (uint column = slice; column < columns; column += BLOCK * SLICES) {
        const uint count = min((columns - column + SLICES - 1) / SLICES, (uint)BLOCK);
        const ulong at = column * column_stride;
        for (uint r = 0; r < held; r++) {
            if (!strips[r].again)
                continue;
#if NEIGHBOURS == 1
            if (strips[r].x_close) {
                add_block(strips + r, x, at, step, count, true);
                continue;
            }
#endif
            add_block(strips + r, x, at, step, count, false);
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
    const accv_t shift = strip->sum / (acc_t)columns;
    const accv_t variance = strip->squares / (acc_t)columns - shift * shift;
    const accv_t rstd = inverse_rootv(variance < 0 ? (accv_t)0 : variance, eps);
    if (first) {
        strip->shift = shift;
        strip->rstd = rstd;
        strip->guess = strip->pivot;
        strip->pivot = shift * shift > variance ? strip->pivot + shift : strip->pivot;
    } else {
        strip->shift = strip->pivot != strip->guess ? shift : strip->shift;
        strip->rstd = strip->pivot != strip->guess ? rstd : strip->rstd;
    }
    strip->shift_rstd = strip->shift * strip->rstd;
    strip->again = first && any(strip->pivot != strip->guess);
}

PIECE void store_statistics(const strip_t *strip, __global uchar *mean, __global uchar *rstd)
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
        store(F32, rstd, row, rstds.element[i]);
#endif
    }
}

/* ---- The second pass ---- */

/* Starts fetching, for writing, the line at `pointer`, which need not be valid memory. */
PIECE void claim(const __global uchar *pointer)
{
#if STREAMS
    __builtin_prefetch((const void *)(size_t)pointer, 1, 3);
#endif
}

/* Normalizes and stores one column of strips. `close` and `stream` are constants in each call. */
PIECE void normalize_column(const strip_t *strips, const uint held, const __global uchar *x,
                             const ulong x_column, __global uchar *y, const ulong y_column,
                             const ulong y_ahead, const acc_t w, const acc_t b, const bool close,
                             const bool stream)
{
    for (uint r = 0; r < held; r++) {
        const strip_t *strip = strips + r;
        if (NEIGHBOURS == 1 && close) {
            fetch(x + (strip->x_at[0] + x_column + held * VECTOR) * size_of(X_TYPE));
            if (!stream)
                claim(y + (strip->y_at[0] + y_column + y_ahead) * size_of(Y_TYPE));
        }
        const accv_t a =
            load_strip(x, strip, x_column, close || strip->x_close) - strip->pivot;
        accv_t n = a * strip->rstd - strip->shift_rstd;
#if HAS_WEIGHT && HAS_BIAS
        n = n * w + b;
#elif HAS_WEIGHT
        n = n * w;
#elif HAS_BIAS
        n = n + b;
#endif
        store_strip(y, strip, y_column, close || strip->y_close, stream, n);
    }
}

PIECE void normalize(const strip_t *strips, const uint held, const uint slice, const uint columns,
                      const __global uchar *x, const ulong x_stride, __global uchar *y,
                      const ulong y_stride, const __global uchar *weight,
                      const __global uchar *bias, const bool close, const bool stream)
{
    for (uint column = slice; column < columns; column += SLICES) {
        acc_t w = 0, b = 0;
#if HAS_WEIGHT
        w = load(P_TYPE, weight, column);
#endif
#if HAS_BIAS
        b = load(P_TYPE, bias, column);
#endif
        normalize_column(strips, held, x, column * x_stride, y, column * y_stride,
                         AHEAD * y_stride, w, b, close, stream);
    }
}

__kernel void anynorm(
#include "params.def"
)
{
#if SLICES > 1
    __local accv_t scratch[2 * GROUP];
    __local uint flag;
#endif
    const __global uchar *xs = x + x_offset;
    __global uchar *ys = y + y_offset;
    const __global uchar *w = weight + weight_offset;
    const __global uchar *b = bias + bias_offset;
    const uint slice = get_local_id(0) / NEIGHBOURS;
    const bool large = outgrows_cache(rows * columns * size_of(Y_TYPE));

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
            strip_t *strip = strips + r;
            find_rows(strip, at + r, rows, inner_rows);
            strip->x_close =
                find_starts(strip, strip->x_at, inner_rows, x_row_stride, x_outer_stride);
            strip->y_close =
                find_starts(strip, strip->y_at, inner_rows, y_row_stride, y_outer_stride);
            close = close && strip->x_close && strip->y_close;
            /* Where the first two columns are aligned, all are. */
            const __global uchar *yr = ys + strip->y_at[0] * size_of(Y_TYPE);
            stream = stream && may_stream(Y_TYPE, yr) &&
                     may_stream(Y_TYPE, yr + y_column_stride * size_of(Y_TYPE));
        }
        /* A work-item past the last row walks no column, but comes to every barrier. */
        const uint walked = strips[0].count > 0 ? columns : 0;
        for (uint r = 0; r < held; r++)
            guess_means(strips + r, xs, walked, x_column_stride);
        bool again = true;
        for (uint attempt = 0; again && attempt < 2; attempt++) {
            strip_sums(strips, held, xs, slice, walked, x_column_stride);
            again = false;
            for (uint r = 0; r < held; r++) {
#if SLICES > 1
                add_slices(strips + r, scratch);
#else
                if (!strips[r].again)
                    continue;
#endif
                find_statistics(strips + r, columns, eps, attempt == 0);
#if SLICES > 1
                strips[r].again = any_of_group(strips[r].again, &flag);
#endif
                again = again || strips[r].again;
            }
        }
#if HAS_MEAN || HAS_RSTD
        for (uint r = 0; r < held; r++) {
            if (slice == 0)
                store_statistics(strips + r, mean + mean_offset, rstd + rstd_offset);
        }
#endif

#if NEIGHBOURS == 1
        if (close && stream)
            normalize(strips, held, slice, walked, xs, x_column_stride, ys, y_column_stride, w, b,
                      true, true);
        else if (close)
            normalize(strips, held, slice, walked, xs, x_column_stride, ys, y_column_stride, w, b,
                      true, false);
        else
#endif
            normalize(strips, held, slice, walked, xs, x_column_stride, ys, y_column_stride, w, b,
                      false, false);
    }
}
