/* row_per_item: a work-item walks whole rows with explicit vectors, ROWS of them side by side. For CPU
 * devices, where a work-item is a core's whole vector unit. A row is read twice, the second time from
 * cache; once more where its first elements gave a poor guess of its mean.
 *
 * Chosen by -D: ROWS, 4 where rows are so short that one's latencies would show, else 1; HELD, the vectors in which a
 * row of y waits for its scale, where it is short enough: else it is computed once for the scale and once more. */
#define STRETCHES (ROWS == 1)
#include "elements.clh"

/* Vectors of a row whose chains meet, and those of as many blocks, whose sums then go into the totals; the
 * first of these are the totals. */
#define BLOCK (CHAIN * CHAIN)
#define RUN (CHAIN * BLOCK)

/* Where rows are so short that the divisions and the root of ROWS of them would outlast the work that does not
 * wait for these, up to GROUPS times ROWS rows are walked together: as many as these bytes of x hold. */
#define GROUPS 4
#define WALKED_BYTES 4096

/* The residual's lines are fetched during the summing pass where a line is two vectors: there the
 * conversions of 16-bit elements take so long in both passes that neither alone keeps the memory
 * busy. */
#if HAS_RESIDUAL && LINE == 2 && !STATISTIC_INPUT
#define FETCHES_WHILE_SUMMING 1
#else
#define FETCHES_WHILE_SUMMING 0
#endif

/* h of the last vector of a row whose columns are no multiple of VECTOR: it overlaps the one before, or,
 * in a row shorter than a vector, ends with `fill`. */
PIECE accv_t load_tail(const row_t *row, const uint columns, const acc_t fill)
{
    if (columns < VECTOR)
        return load_hv(row, 0, columns, fill);
    return load_hv(row, columns - VECTOR, VECTOR, fill);
}

/* The sums of (h - pivot) and of their squares over vectors [v, end) of each row, lane by lane, CHAIN in a
 * chain: chains and rows do not wait for each other. With RMS the pivot is 0, and what is not a square
 * is not needed. `ahead`: as in write_line, 0 for none. */
PIECE void block_sums(const uint many, const row_t *row, uint v, const uint end,
                      const acc_t *pivot, const ulong ahead, accv_t *sums, accv_t *squares)
{
    accv_t s[ROWS], q[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++)
        s[r] = q[r] = 0;
    for (; v + CHAIN <= end; v += CHAIN) {
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            accv_t chain = 0, chain_squares = 0;
#pragma unroll
            for (uint k = 0; k < CHAIN; k += LINE) {
                line_t line;
                load_summands(&row[r], (v + k) * VECTOR, &line);
#if FETCHES_WHILE_SUMMING
                if (ahead)
                    fetch_residual(&row[r], ahead + LINE_BYTES + (v + k) * VECTOR * size_of(X_TYPE));
#endif
                const accv_t a = line.first - pivot[r];
                if (k == 0) {
                    chain = a;
                    chain_squares = a * a;
                } else {
                    add_deviation(a, &chain, &chain_squares);
                }
#if LINE == 2
                add_deviation(line.second - pivot[r], &chain, &chain_squares);
#endif
            }
            s[r] += chain;
            q[r] += chain_squares;
        }
    }
    for (; v < end; v++) {
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++)
            add_deviation(load_hv(&row[r], v * VECTOR, VECTOR, 0) - pivot[r], &s[r], &q[r]);
    }
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        sums[r] = s[r];
        squares[r] = q[r];
    }
}

/* The same over whole rows. */
PIECE void row_sums(const uint many, const row_t *row, const uint columns, const acc_t *pivot,
                     const ulong ahead, accv_t *sums, accv_t *squares)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    row_t from[ROWS];
    acc_t about[ROWS];
    accv_t total[ROWS], lost[ROWS], total_squares[ROWS], lost_squares[ROWS];
    accv_t run[ROWS], run_squares[ROWS], s[ROWS], q[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        from[r] = row[r];
        about[r] = pivot[r];
        lost[r] = lost_squares[r] = 0;
    }
    block_sums(many, from, 0, min(vectors, (uint)BLOCK), about, ahead, total, total_squares);
    for (uint v = BLOCK; v < vectors; v += BLOCK) {
        block_sums(many, from, v, min(vectors, v + BLOCK), about, ahead, s, q);
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            if (v < RUN) {
                total[r] += s[r];
                total_squares[r] += q[r];
                continue;
            }
            run[r] = v % RUN == 0 ? s[r] : run[r] + s[r];
            run_squares[r] = v % RUN == 0 ? q[r] : run_squares[r] + q[r];
            if ((v + BLOCK) % RUN == 0 || v + BLOCK >= vectors) {
                add_compensated(&total[r], &lost[r], run[r]);
                add_compensated(&total_squares[r], &lost_squares[r], run_squares[r]);
            }
        }
    }
    if (rest > 0) {
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            accv_t a = load_tail(&from[r], columns, about[r]) - about[r];
            a = columns < VECTOR ? keep(a, rest) : keep_last(a, rest);
            total[r] += a;
            total_squares[r] += a * a;
        }
    }
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        sums[r] = total[r] - lost[r];
        squares[r] = total_squares[r] - lost_squares[r];
    }
}

/* A value of each row: of up to ROWS rows, the others' 0. */
typedef union {
    acc4_t all;
    acc_t of[4];
} rows_t;

/* sum_lanes of each row's vector. */
PIECE void sum_rows(const uint many, const accv_t *v, rows_t *sums)
{
#if ROWS == 4
    if (many == ROWS) {
        sums->all = sum_lanes_of_4(v);
        return;
    }
#endif
    sums->all = (acc4_t)(sum_lanes(v[0]), 0, 0, 0);
}

#if !RMS && !STATISTIC_INPUT
/* A first guess of each row's mean, as guess_h_mean. */
PIECE void guess_means(const uint many, const row_t *row, const uint columns, rows_t *means)
{
    const acc_t share = QUOTIENT((acc_t)1, (acc_t)min(columns, (uint)VECTOR));
    accv_t deviations[ROWS];
    rows_t first, sums;
    first.all = 0;
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        first.of[r] = load_h(&row[r], 0);
        deviations[r] = load_hv(&row[r], 0, count_at(0, columns), first.of[r]) - first.of[r];
    }
    sum_rows(many, deviations, &sums);
    means->all = first.all + sums.all * share;
}
#endif

#if !STATISTIC_INPUT
/* The statistics as corrected() has them, of all rows at once: divisions and roots are slow. */
PIECE void find_statistics(const uint many, const row_t *row, const uint columns, const acc_t eps,
                           const ulong ahead, statistic_t *s)
{
    rows_t pivot, sum, squares, shift, rstd, shift_rstd;
    accv_t sums[ROWS], all_squares[ROWS];
    pivot.all = shift.all = 0;
#if !RMS
    guess_means(many, row, columns, &pivot);
#endif
    for (uint attempt = 0; attempt < 2; attempt++) {
        row_sums(many, row, columns, pivot.of, ahead, sums, all_squares);
        sum_rows(many, all_squares, &squares);
#if RMS
        const acc4_t variance = squares.all;
#else
        sum_rows(many, sums, &sum);
        shift.all = divided_4(sum.all, (acc_t)columns);
        const acc4_t square = shift.all * shift.all;
        const acc4_t variance = divided_4(squares.all, (acc_t)columns) - square;
#endif
        rstd.all = inverse_roots_of_4(scaled_variances_of_4(variance, (acc_t)columns), eps);
        shift_rstd.all = shift.all * rstd.all;
#pragma unroll
        for (uint r = 0; r < ROWS && r < many; r++) {
            s[r].pivot = pivot.of[r];
            s[r].shift = shift.of[r];
            s[r].rstd = rstd.of[r];
            s[r].shift_rstd = shift_rstd.of[r];
        }
#if RMS
        break;
#else
        const acc4_t poor = POOR(shift.all, square, variance) ? shift.all : (acc4_t)0;
        const acc_t any_poor = (fabs(poor.s0) + fabs(poor.s1)) + (fabs(poor.s2) + fabs(poor.s3));
        if (!(any_poor > 0))
            break;
        pivot.all += poor; /* the other rows will have the same sums once more */
#endif
    }
}
#endif

/* Writes `parts`, LINE or 1, vectors of each row; `whole`, a constant: VECTOR, or IN_STRETCH; `stream`, a
 * constant, past the caches: then the rows `ahead` bytes further on are fetched meanwhile, or the memory
 * would idle during the summing pass. Else the lines are that will be written, unless `ahead` is 0: no CPU
 * foresees them where rows are written by turns, or are shorter than a page. */
PIECE void write_line(const uint many, const uint parts, const bool stream, const row_t *row,
                      const statistic_t *s, const uint column, const uint whole, const ulong ahead)
{
    factors_line_t f;
    line_t line[ROWS];
#if !PARAMETER_ROWS
    load_weights(parts, &row[0], column, whole, &f);
#endif
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        load_h_line(parts, &row[r], column, &line[r]);
        if (stream)
            fetch(row[r].x + ahead + LINE_BYTES + column * size_of(X_TYPE));
        if (stream && !FETCHES_WHILE_SUMMING)
            fetch_residual(&row[r], ahead + LINE_BYTES + column * size_of(X_TYPE));
#if HAS_SUM
        /* With what is not yet read of x or residual, which sum may be, further on. */
        if (!stream && ahead)
            fetch_to_write(row[r].sum + ahead + column * size_of(S_TYPE));
        store_column_line(parts, S_TYPE, stream, &row[r], row[r].sum, SUM_STRIDE(&row[r]), column,
                          &line[r]);
#endif
#if PARAMETER_ROWS
        load_weights(parts, &row[r], column, whole, &f);
#endif
        load_modulation(parts, &row[r], column, &f);
        transform_line(parts, s[r].pivot, &s[r], &f, &line[r]);
    }
#if HAS_Y
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        if (!stream && ahead)
            fetch_to_write(row[r].y + ahead + column * size_of(Y_TYPE));
        scale_line(parts, &row[r], &line[r]);
        store_column_line(parts, Y_TYPE, stream, &row[r], row[r].y, Y_STRIDE(&row[r]), column,
                          &line[r]);
    }
#endif
}

/* Writes the whole vectors of the rows. */
PIECE void write_vectors(const uint many, const bool stream, const row_t *row, const statistic_t *s,
                         const uint vectors, const ulong ahead)
{
    /* In registers: for all that a compiler knows, y may point to the arrays themselves. */
    row_t of_row[ROWS];
    statistic_t of[ROWS];
#pragma unroll
    for (uint r = 0; r < ROWS && r < many; r++) {
        of_row[r] = row[r];
        of[r] = s[r];
    }
    uint v = 0;
#if IN_STRETCHES
    while (v < vectors) {
        const uint until = min(vectors, v + enter_stretch(&of_row[0], v * VECTOR) / VECTOR);
        if (v + LINE > until) { /* a stretch ends within this one, or ahead of another that makes a line */
            write_line(many, 1, stream, of_row, of, v * VECTOR, VECTOR, ahead);
            v++;
        }
        for (; v + LINE <= until; v += LINE)
            write_line(many, LINE, stream, of_row, of, v * VECTOR, IN_STRETCH, ahead);
    }
#else
    for (; v + LINE <= vectors; v += LINE)
        write_line(many, LINE, stream, of_row, of, v * VECTOR, VECTOR, ahead);
#if LINE > 1
    if (v < vectors)
        write_line(many, 1, stream, of_row, of, v * VECTOR, VECTOR, ahead);
#endif
#endif
}

/* Stores that stream go row by row: lines of several rows, written by turns, are one and the same to what
 * gathers the pieces of a line, where rows are a multiple of half a page long, and are then sent to memory
 * in pieces (a Zen 3: four times as long). */
PIECE void write_rows(const uint many, const row_t *row, const statistic_t *s, const uint columns,
                      const bool stream, const ulong ahead)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    accv_t tails[ROWS];
    if (rest > 0) { /* loaded before y, which may be x, is written beneath them */
        for (uint r = 0; r < ROWS && r < many; r++)
            tails[r] = load_tail(&row[r], columns, 0);
    }
    if (stream) {
        for (uint r = 0; r < many; r++)
            write_vectors(1, true, row + r, s + r, vectors, ahead);
    } else {
        write_vectors(many, false, row, s, vectors,
                      columns * size_of(X_TYPE) < AHEAD_BYTES ? AHEAD_BYTES : 0);
    }
    if (rest > 0) {
        /* By min: ?: becomes a saturating subtraction, which oclgrind does not know. */
        const uint column = columns - min(columns, (uint)VECTOR);
        const uint count = count_at(column, columns);
        factors_t f;
#if !PARAMETER_ROWS && !HAS_SAMPLES
        load_factors(&row[0], column, count, &f);
#endif
        for (uint r = 0; r < ROWS && r < many; r++) {
#if PARAMETER_ROWS || HAS_SAMPLES
            load_factors(&row[r], column, count, &f);
#endif
            const accv_t result = transformv(tails[r] - s[r].pivot, &s[r], f.weight, f.bias, f.scale,
                                             f.shift);
#if HAS_Y
            store_columnsv(Y_TYPE, &row[r], row[r].y, Y_STRIDE(&row[r]), column, count,
                           scaledv(&row[r], result));
#endif
#if HAS_SUM
            store_columnsv(S_TYPE, &row[r], row[r].sum, SUM_STRIDE(&row[r]), column, count, tails[r]);
#endif
        }
    }
}

#if Y_SCALE_OUTPUT && HELD
/* ---- A row whose y is held, in f32 or f64, until its scale is known ---- */

/* Finds y of `count` columns, writes the sum that it is made of, and returns y's magnitudes. */
PIECE uintv hold_columns(const row_t *row, const statistic_t *s, const uint column, const uint count,
                         const bool stream, accv_t *held)
{
    factors_t f;
    const accv_t h = load_hv(row, column, count, 0);
    load_factors(row, column, count, &f);
    const accv_t y = transformv(h - s->pivot, s, f.weight, f.bias, f.scale, f.shift);
#if HAS_SUM
    store_or_streamv(S_TYPE, row, row->sum, SUM_STRIDE(row), column, count, stream, h);
#endif
    held[column / VECTOR] = y;
    return magnitudesv(count < VECTOR ? keep(y, count) : y);
}

/* Columns of a line of x, or of a vector where that is longer. */
#define LINE_OF_X (LINE_BYTES / (X_TYPE == F64 ? 8 : X_TYPE == F32 ? 4 : 2))
#define HOLD_STEP (LINE_OF_X > VECTOR ? LINE_OF_X : VECTOR)

/* The largest magnitude of a row of y, which is held; the rows `ahead` bytes further on are fetched meanwhile. */
PIECE uint hold_row(const row_t *row, const statistic_t *s, const uint columns, const bool stream,
                    const ulong ahead, accv_t *held)
{
    const row_t from = *row;
    const statistic_t of = *s;
    const uint whole = columns - columns % VECTOR;
    uintv largest = 0;
    uint column = 0;
    for (; column + HOLD_STEP <= whole; column += HOLD_STEP) {
        if (ahead) {
            fetch(from.x + ahead + LINE_BYTES + column * size_of(X_TYPE));
            if (!FETCHES_WHILE_SUMMING)
                fetch_residual(&from, ahead + LINE_BYTES + column * size_of(X_TYPE));
        }
#pragma unroll
        for (uint c = 0; c < HOLD_STEP; c += VECTOR)
            largest = max(largest, hold_columns(&from, &of, column + c, VECTOR, stream, held));
    }
    for (; column < whole; column += VECTOR)
        largest = max(largest, hold_columns(&from, &of, column, VECTOR, stream, held));
    if (whole < columns)
        largest = max(largest, hold_columns(&from, &of, whole, columns - whole, false, held));
    return largest_lane(largest);
}

/* A vector of codes. Where no bound cuts them off, what is held of a row without infinity and NaN rounds to
 * numbers of the type once it is scaled. */
#if HAS_Y_BOUND
#define CODES(vector) quantizedv(Y_TYPE, scaledv(row, vector))
#define HAS_CODES(largest) true
#else
#define CODES(vector) quantized_within(Y_TYPE, scaledv(row, vector))
#define HAS_CODES(largest) ((largest) < NAN_BITS)
#endif

PIECE uchar16 codes_of_16(const row_t *row, const accv_t *held)
{
#if VECTOR == 16
    return CODES(held[0]);
#elif VECTOR == 8
    return (uchar16)(CODES(held[0]), CODES(held[1]));
#else
    return (uchar16)(CODES(held[0]), CODES(held[1]), CODES(held[2]), CODES(held[3]));
#endif
}

/* Writes the codes of a row of y whose magnitudes are no larger than `largest`. */
PIECE void write_held(const row_t *row, const uint columns, const bool stream, const uint largest,
                      const accv_t *held)
{
    const row_t to = *row;
    const uint whole = columns - columns % VECTOR;
    uint column = 0;
#if !COLUMN_RUN
    const uint end = HAS_CODES(largest) ? columns - columns % 16 : 0;
    if (stream && ((size_t)to.y & 15) == 0) {
        for (; column < end; column += 16)
            stream_16_bytes(codes_of_16(&to, held + column / VECTOR), to.y + column);
    } else {
        for (; column < end; column += 16)
            put_16_bytes(codes_of_16(&to, held + column / VECTOR), to.y + column);
    }
#endif
    for (; column < whole; column += VECTOR)
        store_columnsv(Y_TYPE, &to, to.y, Y_STRIDE(&to), column, VECTOR,
                       scaledv(&to, held[column / VECTOR]));
    if (whole < columns)
        store_columnsv(Y_TYPE, &to, to.y, Y_STRIDE(&to), whole, columns - whole,
                       scaledv(&to, held[whole / VECTOR]));
}
#elif Y_SCALE_OUTPUT
/* The largest magnitude of a row of y. */
PIECE uint find_largest(const row_t *row, const statistic_t *s, const uint columns)
{
    const row_t from = *row;
    const statistic_t of = *s;
    const uint whole = columns - columns % VECTOR;
    uintv largest = 0;
    for (uint column = 0; column < whole; column += VECTOR)
        largest = max(largest, find_magnitudes(&from, &of, column, VECTOR));
    if (whole < columns)
        largest = max(largest, find_magnitudes(&from, &of, whole, columns - whole));
    return largest_lane(largest);
}
#endif

/* What all rows have in common, as a work-item sees it. */
typedef struct {
    rows_of_tensors_t tensors;
    __global uchar *mean;
    __global uchar *rstd;
    ulong last; /* one past its last row */
    acc_t eps;
    bool large; /* what is written outgrows the cache */
} walk_t;

/* Normalizes `groups`, up to GROUPS, times `many` rows from `row` on, with the same bits as one by one. */
PIECE void walk_rows(const uint many, const uint groups, const walk_t *w, const ulong row)
{
    row_t at[ROWS * GROUPS];
    statistic_t s[ROWS * GROUPS];
    const uint rows = many * groups, columns = w->tensors.columns;
    bool stream = w->large;
    for (uint r = 0; r < rows; r++) {
        find_row(&w->tensors, row + r, &at[r]);
        stream = stream && may_stream_row(&at[r]);
    }
    const ulong row_bytes = w->tensors.x_row_stride * size_of(X_TYPE);
    const ulong rows_ahead = rows + AHEAD_BYTES / row_bytes;
#if COLUMN_RUN
    const bool more = false; /* the next row lies between the runs of this one */
#else
    const bool more = row + rows - 1 + rows_ahead < w->last;
#endif
#if STATISTIC_INPUT
    for (uint r = 0; r < rows; r++)
        load_statistic(&w->tensors, w->mean, w->rstd, row + r, &s[r]);
#else
    for (uint r = 0; r < rows; r += many)
        find_statistics(many, at + r, columns, w->eps, stream && more ? rows_ahead * row_bytes : 0, s + r);
#endif
    for (uint r = 0; r < rows; r++)
        store_row_statistic(&w->tensors, w->mean, w->rstd, row + r, &s[r]);
#if Y_SCALE_OUTPUT && HELD
    accv_t held[HELD];
    for (uint r = 0; r < rows; r++) {
        const uint largest =
            hold_row(&at[r], &s[r], columns, stream, stream && more ? rows_ahead * row_bytes : 0, held);
        set_y_scale(&w->tensors, largest, row + r, true, &at[r]);
        write_held(&at[r], columns, stream, largest, held);
    }
#elif Y_SCALE_OUTPUT
    for (uint r = 0; r < rows; r++)
        set_y_scale(&w->tensors, find_largest(&at[r], &s[r], columns), row + r, true, &at[r]);
#endif

#if WRITES_COLUMNS && !HELD
    for (uint r = 0; r < rows; r += many)
        write_rows(many, at + r, s + r, columns, stream, more ? rows_ahead * row_bytes : 0);
#endif
}

CALLED void walk_one(const walk_t *w, const ulong row)
{
    walk_rows(1, 1, w, row);
}

CALLED void walk_many(const walk_t *w, const uint groups, const ulong row)
{
    walk_rows(ROWS, groups, w, row);
}

__kernel void anynorm(
#include "params.def"
)
{
    /* Neighbouring rows to one work-item, so that each core streams through its own memory. */
    const ulong items = get_global_size(0), item = get_global_id(0);
    const ulong share = rows / items, extra = rows % items;
    ulong row = item * share + min(item, extra);
    walk_t w;
#include "gather.clh"
    w.tensors = tensors;
    w.mean = mean + mean_offset;
    w.rstd = rstd + rstd_offset;
    w.last = row + share + (item < extra ? 1 : 0);
    w.eps = eps;
    w.large = outgrows_cache(rows * columns * size_of(OUT_TYPE));
#if ROWS > 1
    const ulong many_bytes = ROWS * columns * size_of(X_TYPE);
    const uint groups = many_bytes >= WALKED_BYTES ? 1 : (uint)min(WALKED_BYTES / many_bytes, (ulong)GROUPS);
    for (; row + ROWS * groups <= w.last; row += ROWS * groups)
        walk_many(&w, groups, row);
    for (; row + ROWS <= w.last; row += ROWS)
        walk_many(&w, 1, row);
#endif
    for (; row < w.last; row++)
        walk_one(&w, row);
}
