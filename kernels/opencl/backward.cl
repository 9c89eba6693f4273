/* backward: the gradients of all rows, in two launches.
 *
 * ROWS_OF_PARTS: LANES work-items take a part, ROWS parts side by side in a group. Row by row they find the
 * statistic, if it is not given, and the sums of g and of g * n in one pass over h and dy (with SILU, whose
 * slope takes n, in two), then in another go back to dh, adding the terms of the sums over rows to what they
 * keep for the part. SIDE rows are walked together where a work-item has a part to itself: their terms are
 * added in registers first. SUMS_OF_PARTS adds up the parts; it is not needed where nothing is summed.
 *
 * Chosen by -D besides those of chain_rule.clh and reduce.clh: SIDE, SLICES. */
#define ALIGNED_WALK (GROUP > 1)
#include "chain_rule.clh"
#include "row_sums.clh"

/* The values of `stage`. */
#define ROWS_OF_PARTS 0
#define SUMS_OF_PARTS 1

/* Vectors whose sums are added before they go into compensated totals: on a CPU, whose totals are vectors,
 * chains of chains. */
#define BLOCK (GROUP > 1 ? CHAIN : CHAIN * CHAIN)

/* Whether a chain's loads are under way together. Where there are no sub-groups registers are few, or may be. */
#define CHAINS_UNROLLED (GROUP == 1 || SUBGROUP > 0)

/* What a pass over a row adds up. With SILU the two are passes of their own, g's with the n of the slope;
 * else they are one. */
#if FINDS_STATISTIC || (!RMS && SAVED_STATISTIC && !SHARDED)
#define OF_H 1
#endif
#if !CONSTANT_STATISTIC
#define OF_G 1
#endif
#if OF_G && OF_H && !SILU
#define IN_ONE 1
#else
#define IN_ONE 0
#endif

typedef struct {
    accv_t h;       /* h - pivot */
    accv_t squares; /* of these */
    accv_t g;
    accv_t product; /* g * (h - pivot), or g * n where that is known */
} terms_t;

PIECE void clear(terms_t *t)
{
    t->h = t->squares = t->g = t->product = 0;
}

/* What a lane keeps of a row beyond a chain. On a CPU these are vectors, too, whose lanes are added when the row is
 * done; where many lanes share the registers, each of the four is a number. */
#if GROUP > 1
typedef acc4_t kept_t;
COMPENSATED(add_kept_compensated, kept_t)

PIECE void clear_kept(kept_t *k)
{
    *k = 0;
}

PIECE void add_chain(kept_t *to, const terms_t *t)
{
    const accv_t terms[4] = {t->h, t->squares, t->g, t->product};
    *to += sum_lanes_of_4(terms);
}

PIECE void add_block(kept_t *total, kept_t *lost, const kept_t *block, const bool of_h,
                     const bool of_g)
{
    (void)of_h, (void)of_g;
    add_kept_compensated(total, lost, *block);
}

PIECE acc4_t close_kept(const kept_t *total, const kept_t *lost)
{
    return *total - *lost;
}
#else
typedef terms_t kept_t;

PIECE void clear_kept(kept_t *k)
{
    clear(k);
}

PIECE void add_chain(kept_t *to, const terms_t *t)
{
    to->h += t->h;
    to->squares += t->squares;
    to->g += t->g;
    to->product += t->product;
}

PIECE void add_block(kept_t *total, kept_t *lost, const kept_t *block, const bool of_h,
                     const bool of_g)
{
    if (of_h) {
        add_compensated(&total->h, &lost->h, block->h);
        add_compensated(&total->squares, &lost->squares, block->squares);
    }
    if (of_g) {
        add_compensated(&total->g, &lost->g, block->g);
        add_compensated(&total->product, &lost->product, block->product);
    }
}

PIECE acc4_t close_kept(const kept_t *total, const kept_t *lost)
{
    const accv_t sums[4] = {total->h - lost->h, total->squares - lost->squares,
                            total->g - lost->g, total->product - lost->product};
    return sum_lanes_of_4(sums);
}
#endif

/* Of `count` columns. `about` has the pivot, and where the two are not in one, once h's are known, the row's
 * statistic. */
PIECE void add_columns(const row_t *r, const statistic_t *about, const uint column, const uint count,
                       const bool of_h, const bool of_g, terms_t *to)
{
    accv_t a = load_hv(r, column, count, about->pivot) - about->pivot;
    if (ELEMENTS_OF(count) < VECTOR)
        a = keep(a, count);
    if (of_h)
        add_deviation(a, &to->h, &to->squares);
    if (of_g) {
        trace_t t;
        const accv_t n = IN_ONE ? a : a * about->rstd - about->shift_rstd;
        trace(r, n, column, count, &t);
        to->g += t.g;
        to->product += t.g * n;
    }
}

/* What a lane has of the sums of `many` rows, each as terms_t has them; of_h and of_g are constants. */
PIECE void sum_rows(const uint many, const row_t *row, const statistic_t *about, const uint columns,
                    const uint lane, const uint whole, const bool of_h, const bool of_g,
                    acc4_t *sums)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    kept_t total[SIDE], lost[SIDE];
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++) {
        clear_kept(&total[r]);
        clear_kept(&lost[r]);
    }
    for (uint v = lane; v < vectors; v += BLOCK * LANES) {
#pragma unroll
        for (uint r = 0; r < SIDE && r < many; r++) {
            kept_t block;
            terms_t chain;
            clear_kept(&block);
            for (uint from = v; from < vectors && from < v + BLOCK * LANES; from += CHAIN * LANES) {
                clear(&chain);
                if (CHAINS_UNROLLED && from + (CHAIN - 1) * LANES < vectors) {
#pragma unroll
                    for (uint k = 0; k < CHAIN; k++)
                        add_columns(&row[r], &about[r], (from + k * LANES) * VECTOR, whole, of_h, of_g,
                                    &chain);
                } else {
                    const uint end = min(vectors, from + CHAIN * LANES);
                    for (uint w = from; w < end; w += LANES)
                        add_columns(&row[r], &about[r], w * VECTOR, whole, of_h, of_g, &chain);
                }
                add_chain(&block, &chain);
            }
            add_block(&total[r], &lost[r], &block, of_h, of_g);
        }
    }
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++) {
        if (rest > 0 && lane == 0) {
            terms_t tail;
            kept_t block;
            clear(&tail);
            clear_kept(&block);
            add_columns(&row[r], &about[r], vectors * VECTOR, rest, of_h, of_g, &tail);
            add_chain(&block, &tail);
            add_block(&total[r], &lost[r], &block, of_h, of_g);
        }
        sums[r] = close_kept(&total[r], &lost[r]);
    }
}

/* Two sums over the lanes of a row; with RMS the first is not needed. */
PIECE void meet(const acc_t first, const acc_t second, meeting_t *meeting, const uint slot,
                const uint lane, acc_t sums[2])
{
#if RMS
    sums[0] = 0;
    sums[1] = lane_sums(second, meeting, slot, lane);
#else
    const sums_t v = lane_sums((sums_t)(first, second), meeting, slot, lane);
    sums[0] = v.x;
    sums[1] = v.y;
#endif
}

/* The work-item's place, and what it shares. */
typedef struct {
    uint slot;
    uint lane;
    uint columns;
    acc_t eps;
    meeting_t meeting;
} place_t;

#if OF_H
/* The statistic about the pivot, from the sums of h; the variance, as far as it is found, in *scaled. False
 * where the pivot is POOR. */
PIECE bool make_about(const acc_t sums[2], const place_t *p, statistic_t *s, acc_t *scaled)
{
    const acc_t columns = (acc_t)p->columns;
#if RMS
    *scaled = scaled_variance(sums[1], columns);
    make_statistic(0, 0, *scaled, p->eps, s);
    return true;
#elif SAVED_STATISTIC
    s->shift = divided(sums[0], columns);
    s->shift_rstd = s->shift * s->rstd;
    return true;
#else
    const acc_t shift = divided(sums[0], columns), square = shift * shift;
    const acc_t variance = divided(sums[1], columns) - square;
    *scaled = scaled_variance(variance, columns);
    make_statistic(s->pivot, shift, *scaled, p->eps, s);
    return !POOR(shift, square, variance);
#endif
}
#endif

/* Finds the statistics and slopes of `many` rows from row number `number` on, `step` apart. Every work-item of the
 * group calls it together, also one that has no row (`here`), which loads nothing. */
PIECE void find_slopes(const uint many, const rows_of_tensors_t *tensors, const row_t *row,
                       const __global uchar *mean, const __global uchar *rstd, const ulong number,
                       const ulong step, const bool here, const uint whole, place_t *p, slope_t *slopes)
{
    const uint columns = here ? p->columns : 0;
    statistic_t about[SIDE];
    acc4_t sums[SIDE];
    acc_t scaled[SIDE];
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++) {
        about[r].pivot = about[r].shift = about[r].shift_rstd = 0;
        about[r].rstd = 0;
        scaled[r] = 0;
        if (!here)
            continue;
#if CONSTANT_STATISTIC || SAVED_STATISTIC
        about[r].rstd = load(F32, rstd, number + r * step);
#endif
#if MEAN_INPUT || HAS_MEAN
        about[r].pivot = load(F32, mean, number + r * step);
#elif FINDS_STATISTIC && !RMS
        about[r].pivot = guess_h_mean(&row[r], 0, columns);
#endif
    }
#if OF_H
    bool stand[SIDE];
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++)
        stand[r] = false;
    for (uint attempt = 0; attempt < 2; attempt++) {
        bool again = false;
        sum_rows(many, row, about, columns, p->lane, whole, true, IN_ONE, sums);
#pragma unroll
        for (uint r = 0; r < SIDE && r < many; r++) {
            acc_t of_h[2];
            meet(sums[r].s0, sums[r].s1, &p->meeting, p->slot, p->lane, of_h);
            if (!stand[r]) { /* else its sums are those that it had */
                slopes[r].s = about[r];
                stand[r] = make_about(of_h, p, &slopes[r].s, &scaled[r]);
                if (!stand[r])
                    about[r].pivot += slopes[r].s.shift;
                again = again || !stand[r];
            }
        }
        if (!any_row(again, &p->meeting, p->slot, p->lane))
            break; /* all that might wait for each other leave together */
    }
#else
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++)
        slopes[r].s = about[r];
#endif
#if OF_G && !IN_ONE
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++)
        about[r] = slopes[r].s;
    sum_rows(many, row, about, columns, p->lane, whole, false, true, sums);
#endif
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++) {
        slopes[r].rstd = slopes[r].s.rstd;
        slopes[r].mean = slopes[r].of_n = 0;
#if FINDS_STATISTIC
        slopes[r].rstd = written_rstd(tensors, slopes[r].s.rstd);
#endif
#if OF_G
        acc_t of_g[2], count = (acc_t)p->columns, share = 1;
        meet(sums[r].s2, sums[r].s3, &p->meeting, p->slot, p->lane, of_g);
#if IN_ONE /* the product is of h - pivot yet */
        of_g[1] = slopes[r].s.rstd * (of_g[1] - slopes[r].s.shift * of_g[0]);
#endif
#if DPARTIALS_OUTPUT
        if (here && p->lane == 0)
            store_partials(tensors, number + r * step, of_g[0], of_g[1]);
#endif
#if DPARTIALS_INPUT
        if (here)
            merge_slopes(tensors, number + r * step, &of_g[0], &of_g[1], &count);
#endif
#if EPS_FLOOR || EPS_OUTSIDE
        share = share_of_deviation(scaled[r], slopes[r].s.rstd, p->eps);
#endif
        make_slope(of_g[0], of_g[1], count, share, &slopes[r]);
#endif
    }
}

#if !DPARTIALS_OUTPUT
/* Goes back through `count` columns of `many` rows. Where that streams, the rows that are `ahead` further on are
 * fetched meanwhile, or the memory would read nothing until the next pass over h. */
PIECE void go_back_columns(const uint many, const row_t *row, const slope_t *slopes, const uint column,
                           const uint count, const bool stream, const ulong ahead, const part_t *part)
{
    accv_t sums[SUMS + 1];
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++) {
        if (stream) {
            fetch(row[r].x + (ahead + column) * size_of(X_TYPE) + LINE_BYTES);
            fetch(row[r].y + (ahead + column) * size_of(Y_TYPE) + LINE_BYTES);
        }
        go_back(&row[r], &slopes[r], column, count, stream, r == 0, sums);
    }
#if SUMS > 0
    add_to_part(part, 0, SUMS, column, sums);
#endif
}

PIECE void go_back_rows(const uint many, const row_t *row, const slope_t *slopes, const uint columns,
                        const uint lane, const uint whole, const bool stream, const ulong ahead,
                        const part_t *sums_of_part)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    row_t of_row[SIDE];
    slope_t of[SIDE];
    const part_t part = *sums_of_part;
    /* In registers: for all that a compiler knows, dx may point to the arrays themselves. */
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++) {
        of_row[r] = row[r];
        of[r] = slopes[r];
    }
    for (uint v = lane; v < vectors; v += LANES)
        go_back_columns(many, of_row, of, v * VECTOR, whole, stream, ahead, &part);
    if (rest > 0 && lane == vectors % LANES)
        go_back_columns(many, of_row, of, vectors * VECTOR, rest, false, 0, &part);
}

PIECE bool may_stream_back(const row_t *r)
{
#if COLUMN_RUN
    return false;
#endif
#if HAS_DRESIDUAL
    if (!may_stream(DR_TYPE, r->dresidual))
        return false;
#endif
#if HAS_DX
    return may_stream(DX_TYPE, r->dx);
#else
    return false;
#endif
}
#endif

/* What all rows have in common. */
typedef struct {
    rows_of_tensors_t tensors;
    sums_of_rows_t to;
    const __global uchar *mean;
    const __global uchar *rstd;
    bool aligned;
    bool large;
} walk_t;

/* `many` rows of a part that has `left`, from row number `number` on, `step` apart. */
PIECE void walk_rows(const uint many, const walk_t *w, const ulong number, const ulong step,
                     const ulong left, const bool here, place_t *p, const part_t *part)
{
    row_t row[SIDE];
    slope_t slopes[SIDE];
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++)
        find_row(&w->tensors, here ? number + r * step : 0, &row[r]);
#if ALIGNED_WALK
    if (w->aligned)
        find_slopes(many, &w->tensors, row, w->mean, w->rstd, number, step, here, ALIGNED_VECTOR, p,
                    slopes);
    else
#endif
        find_slopes(many, &w->tensors, row, w->mean, w->rstd, number, step, here, VECTOR, p, slopes);
#if !DPARTIALS_OUTPUT
    if (!here)
        return;
    bool stream = w->large;
#pragma unroll
    for (uint r = 0; r < SIDE && r < many; r++)
        stream = stream && may_stream_back(&row[r]);
    const ulong row_bytes = w->tensors.x_row_stride * size_of(X_TYPE) * step;
    const ulong rows_ahead = many + AHEAD_BYTES / row_bytes;
    const ulong ahead = left > rows_ahead ? rows_ahead * step * w->tensors.x_row_stride : 0;
#if ALIGNED_WALK
    if (w->aligned)
        go_back_rows(many, row, slopes, p->columns, p->lane, ALIGNED_VECTOR, false, 0, part);
    else
#endif
        if (stream)
        go_back_rows(many, row, slopes, p->columns, p->lane, VECTOR, true, ahead, part);
    else
        go_back_rows(many, row, slopes, p->columns, p->lane, VECTOR, false, 0, part);
#endif
}

#if SAMPLE_SUMS > 0
/* The sums of a sample that was whole in a part. */
PIECE void store_sample(const sums_of_rows_t *to, const part_t *part, const ulong sample,
                        const uint columns, const uint lane)
{
    for (uint column = lane * VECTOR; column < columns; column += LANES * VECTOR) {
        for (uint k = PARAMETER_SUMS; k < SUMS; k++)
            store_sample_sums(to, k, sample, column, count_at(column, columns),
                              sum_of_part(part, k, column));
    }
}
#endif

WIDTH_ATTRIBUTE SUBGROUP_ATTRIBUTE __kernel void anynorm(
#include "params.def"
    , const uint stage)
{
    __local sums_t meeting_sums[SCRATCH];
    __local uint votes[2];
#if SUMS > 0 && SLICES > 1
    __local accv_t slices[GROUP];
#endif
#include "gather.clh"
    walk_t w;
    w.tensors = tensors;
    w.mean = mean + mean_offset;
    w.rstd = rstd + rstd_offset;
    w.aligned = false;
#if ALIGNED_WALK && !ANY_ALIGNMENT
    w.aligned = bits_of_places(&tensors) % 16 == 0;
#endif
#if HAS_DX
    w.large = outgrows_cache(rows * columns * size_of(DX_TYPE));
#else
    w.large = false;
#endif
#if SUMS > 0
#if HAS_DWEIGHT
    w.to.dweight = dweight + dweight_offset;
#endif
#if HAS_DBIAS
    w.to.dbias = dbias + dbias_offset;
#endif
#if HAS_DPRE_BIAS
    w.to.dpre_bias = dpre_bias + dpre_bias_offset;
#endif
#if HAS_DGATE
    w.to.dgate = dgate + dgate_offset;
    w.to.dgate_row_stride = dgate_row_stride;
    w.to.dgate_column_stride = dgate_column_stride;
#endif
#if HAS_DSCALE
    w.to.dscale = dscale + dscale_offset;
    w.to.dscale_row_stride = dscale_row_stride;
    w.to.dscale_column_stride = dscale_column_stride;
#endif
#if HAS_DSHIFT
    w.to.dshift = dshift + dshift_offset;
    w.to.dshift_row_stride = dshift_row_stride;
    w.to.dshift_column_stride = dshift_column_stride;
#endif
    w.to.run = 1;
#if COLUMN_RUN
    w.to.run = column_run;
#endif
#endif
    const ulong pitch = ((ulong)columns + 15) / 16 * 16, tensor_pitch = parts * pitch;
    const ulong end_row = first_row + rows;
    __global acc_t *sums = (__global acc_t *)(workspace + workspace_offset);

#if SUMS > 0
    if (stage == SUMS_OF_PARTS) {
        const ulong of_span = classes * parts_of_class, spans = parts / of_span;
        const uint parameters = parameters_of(&tensors);
        const uint wide = (parameters - 1) / COLUMNS_OF_GROUP + 1;
        const uint wide_sample = (columns - 1) / COLUMNS_OF_GROUP + 1;
        /* Samples that end with the launch; at the end of all rows parameters, too. */
        const bool last = end_row == all_rows;
        const ulong first_ended = first_row / span, ended = (last ? spans : end_row / span) - first_ended;
        const ulong of_parameters = last ? PARAMETER_SUMS * classes * wide : 0;
        const ulong of_samples = whole_sample ? 0 : SAMPLE_SUMS * ended * wide_sample;
        const uint slice = get_local_id(0) / (GROUP / SLICES);
        const uint place = get_local_id(0) % (GROUP / SLICES) * VECTOR;
        for (ulong unit = get_group_id(0); unit < of_parameters + of_samples; unit += get_num_groups(0)) {
            const bool of_sample = unit >= of_parameters;
            const ulong number = of_sample ? unit - of_parameters : unit;
            const uint blocks = of_sample ? wide_sample : wide, all = of_sample ? columns : parameters;
            const ulong rows_of = of_sample ? ended : classes, row = number / blocks % rows_of;
            const uint tensor = (of_sample ? PARAMETER_SUMS : 0) + (uint)(number / blocks / rows_of);
            const uint at = (uint)(number % blocks) * COLUMNS_OF_GROUP + place;
            const uint count = count_at(at, all);
            group_of_parts_t g;
            g.first = of_sample ? (first_ended + row) * of_span : row * parts_of_class;
            g.count = of_sample ? of_span : spans * parts_of_class;
            g.side_by_side = of_sample || classes == 1 ? g.count : parts_of_class;
            g.stride = of_span;
            accv_t total = 0;
            if (count > 0) {
#if PARAMETERS_SHARED
                if (!of_sample)
                    total = add_shared(&tensors.first, sums + tensor * tensor_pitch, pitch, &g, slice,
                                       columns, at, count);
                else
#endif
                    total = add_parts(sums + tensor * tensor_pitch, pitch, &g, slice, at);
            }
#if SLICES > 1
            slices[get_local_id(0)] = total;
            barrier(CLK_LOCAL_MEM_FENCE);
            if (slice == 0) {
                accv_t lost = 0;
                for (uint k = 1; k < SLICES; k++)
                    add_row_sum(&total, &lost, slices[get_local_id(0) + k * (GROUP / SLICES)]);
                total -= lost;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
#endif
            if (slice == 0 && count > 0) {
#if PARAMETER_SUMS > 0
                if (!of_sample)
                    store_parameter_sums(&w.to, tensor, row * parameters + at, count, total);
#endif
#if SAMPLE_SUMS > 0
                if (of_sample)
                    store_sample_sums(&w.to, tensor, row, at, count, total);
#endif
            }
        }
        return;
    }
#endif

    place_t place;
    const uint item = group_place();
    place.slot = item / LANES;
    place.lane = item % LANES;
    place.columns = columns;
    place.eps = eps;
    place.meeting.sums = meeting_sums;
    place.meeting.votes = votes;
    place.meeting.turn = 0;
    /* The parts that have rows of the launch, and those that have none at all where a span ends:
     * host/spec/gradient.c counts them, too. Of a span some of each class's. */
    const ulong first_span = first_row / span;
    const ulong spans_here = rows > 0 ? (end_row - 1) / span + 1 - first_span : 0;
    ulong first_of_class = 0, of_class = parts_of_class;
    if (spans_here == 1) {
        const ulong begin = first_span * span;
        if (end_row < min(begin + span, all_rows))
            of_class = (end_row - 1 - begin) / classes / part_rows + 1;
        first_of_class = (first_row - begin) / classes / part_rows;
        of_class -= first_of_class;
    }
    const ulong parts_here = spans_here * classes * of_class;
    const ulong longest = rows > 0 ? min(part_rows, (rows - 1) / classes + 1) : 0;
    for (ulong base = get_group_id(0) * (ulong)ROWS; base < parts_here;
         base += get_num_groups(0) * (ulong)ROWS) {
        const ulong number = base + place.slot, span_number = first_span + number / (classes * of_class);
        const ulong begin = span_number * span, end = min(begin + span, all_rows);
        const ulong class = number / of_class % classes;
        const ulong part_of_class = first_of_class + number % of_class;
        const ulong part = (span_number * classes + class) * parts_of_class + part_of_class;
        const ulong first = begin + (class + classes - begin % classes) % classes +
                            part_of_class * part_rows * classes;
        const bool is_here = number < parts_here, has_rows = is_here && first < end;
        const ulong count = has_rows ? min(part_rows, (end - first - 1) / classes + 1) : 0;
        /* Of these rows the launch has those from `from` up to `to`. */
        const ulong to = first < end_row ? min(count, (end_row - first - 1) / classes + 1) : 0;
        const ulong from = first < first_row ? min(to, (first_row - first - 1) / classes + 1) : 0;
        part_t sums_of;
        sums_of.at = sums + part * pitch;
        sums_of.tensor_pitch = tensor_pitch;
        sums_of.in_blocks = compensated;
#if SUMS > 0
        if (is_here && from == 0 && (to > 0 || (count == 0 && end <= end_row)))
            clear_sums(&sums_of, 0, SUMS, columns, place.lane);
#endif
#if SIDE > 1
        for (ulong i = from; i < to;) {
            const ulong row = first + i * classes - first_row;
            ulong left = to - i;
#if SAMPLE_SUMS > 0
            if (whole_sample)
                left = min(left, whole_sample - i % whole_sample);
#endif
            const uint many = left >= SIDE ? SIDE : 1;
            if (many == SIDE)
                walk_rows(SIDE, &w, row, classes, to - i, true, &place, &sums_of);
            else
                walk_rows(1, &w, row, classes, to - i, true, &place, &sums_of);
#else
        for (ulong i = from; i < from + longest;) {
            const uint many = 1;
            walk_rows(1, &w, first + i * classes - first_row, classes, 0, i < to, &place, &sums_of);
#endif
            i += many;
#if SUMS > 0
            if (compensated && i <= to && i / ROWS_OF_BLOCK != (i - many) / ROWS_OF_BLOCK)
                end_block(&sums_of, columns, place.lane);
#endif
#if SAMPLE_SUMS > 0
            if (whole_sample && i <= to && (i % whole_sample == 0 || i == count)) {
                const ulong sample = (first + i - 1) / whole_sample - first_row / whole_sample;
                store_sample(&w.to, &sums_of, sample, columns, place.lane);
                clear_sums(&sums_of, PARAMETER_SUMS, SUMS, columns, place.lane);
            }
#endif
        }
#if SUMS > 0
        if (from < to && to == count)
            close_part(&sums_of, columns, place.lane);
#endif
    }
}
