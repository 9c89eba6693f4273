#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: ACC_DOUBLE SUBGROUPS
/* backward: the gradients of all rows, in two launches.
 *
 * The first: LANES work-items take a part, ROWS parts side by side in a group. Row by row they find
 * the statistic, if it is not given, and the sums of g and of g * n in one pass over h and dy (with SILU,
 * whose slope takes n, in two), then in another go back to dh, adding the terms of the sums over rows to
 * what they keep for the part. SUMS_OF_PARTS adds up the parts; it is not needed where nothing is summed.
 *
 * A module is so large that there is none of its own for 16-bit storage: halves are parts of words.
 *
 * Constants besides those of chain_rule.glsl and reduce.glsl: SLICES. */
#define LANES (GROUP / ROWS)
#define ALIGNED_WALK 1
#include "chain_rule.glsl"
#include "row_sums.glsl"

/* The bits of `stage`; the host has them, too. Without the first the launch is of rows. */
#define SUMS_OF_PARTS 1
#define COMPENSATED 2
#define WHOLE_SAMPLES 4

/* Vectors whose sums are added before they go into compensated totals: chains of chains. */
#define BLOCK (CHAIN * CHAIN)

/* What a pass over a row adds up. With SILU the two are passes of their own, g's with the n of the slope;
 * else they are one. */
const bool OF_H = (RMS == 0 && SAVED_STATISTIC && !SHARDED) ||
                  FINDS_STATISTIC; /* a constant only in this order */
const bool OF_G = !CONSTANT_STATISTIC;
const bool IN_ONE = OF_G && OF_H && SILU == 0;

struct terms_t {
    accv_t h;       /* h - pivot */
    accv_t squares; /* of these */
    accv_t g;
    accv_t product; /* g * (h - pivot), or g * n where that is known */
};

terms_t no_terms()
{
    return terms_t(accv_t(0), accv_t(0), accv_t(0), accv_t(0));
}

void add_all(inout terms_t to, const terms_t t)
{
    to.h += t.h;
    to.squares += t.squares;
    to.g += t.g;
    to.product += t.product;
}

void add_all_compensated(inout terms_t total, inout terms_t lost, const terms_t t, const bool of_h,
                         const bool of_g)
{
    if (of_h) {
        add_compensated(total.h, lost.h, t.h);
        add_compensated(total.squares, lost.squares, t.squares);
    }
    if (of_g) {
        add_compensated(total.g, lost.g, t.g);
        add_compensated(total.product, lost.product, t.product);
    }
}

/* Of `count` columns, which, as in load_rowv, is a constant. `about` has the pivot, and where the two
 * are not in one, once h's are known, the row's statistic. */
void add_columns(const row_t r, const statistic_t about, const uint column, const uint count,
                 const bool of_h, const bool of_g, inout terms_t to)
{
    accv_t a = offv(load_hv(r, column, count, about.pivot), accv_t(about.pivot));
    if (count < VECTOR)
        a = keep(a, count);
    if (of_h)
        add_deviation(a, to.h, to.squares);
    if (of_g) {
        const accv_t n = IN_ONE ? a : a * about.rstd - about.shift_rstd;
        const trace_t t = trace(r, n, column, count);
        to.g += t.g;
        to.product += t.g * n;
    }
}

/* What a lane has of the sums of a row of `width` columns, which may be none. */
terms_t sum_row(const row_t r, const statistic_t about, const uint width, const uint lane,
                const bool aligned, const bool of_h, const bool of_g)
{
    const uint vectors = width / VECTOR, rest = columns % VECTOR;
    terms_t sums = no_terms(), lost = sums;
    for (uint v = lane; v < vectors; v += BLOCK * LANES) {
        const uint end = min(vectors, v + BLOCK * LANES);
        terms_t block = no_terms();
        for (uint from = v; from < end; from += CHAIN * LANES) {
            const uint end_of_chain = min(end, from + CHAIN * LANES);
            terms_t chain = no_terms();
            if (aligned) {
                for (uint w = from; w < end_of_chain; w += LANES)
                    add_columns(r, about, w * VECTOR, ALIGNED_VECTOR, of_h, of_g, chain);
            } else {
                for (uint w = from; w < end_of_chain; w += LANES)
                    add_columns(r, about, w * VECTOR, VECTOR, of_h, of_g, chain);
            }
            add_all(block, chain);
        }
        add_all_compensated(sums, lost, block, of_h, of_g);
    }
    if (rest > 0 && lane == 0 && width > 0) {
        terms_t tail = no_terms();
        add_columns(r, about, vectors * VECTOR, rest, of_h, of_g, tail);
        add_all_compensated(sums, lost, tail, of_h, of_g);
    }
    return terms_t(sums.h - lost.h, sums.squares - lost.squares, sums.g - lost.g,
                   sums.product - lost.product);
}

/* Two sums over the lanes of a row; with RMS the first is not needed. */
sums_t meet_sums(const accv_t first, const accv_t second, const uint slot, const uint lane)
{
    return lane_sums(sums_t(RMS != 0 ? 0 : sum_lanes(first), sum_lanes(second)), slot, lane);
}

/* The statistic about the pivot of `about`, from the sums of h; the variance, as far as it is found, in
 * `scaled`. False where the pivot is poor. */
bool make_about(const sums_t sums, const statistic_t about, out statistic_t s, inout acc_t scaled)
{
    const acc_t shift = divided(sums.x, acc_t(columns));
    if (RMS != 0) {
        scaled = scaled_variance(sums.y);
        s = make_statistic(0, 0, scaled);
        return true;
    }
    if (SAVED_STATISTIC) {
        s = statistic_t(about.pivot, shift, about.rstd, shift * about.rstd);
        return true;
    }
    precise const acc_t square = shift * shift;
    precise const acc_t variance = divided(sums.y, acc_t(columns)) - square;
    scaled = scaled_variance(variance);
    s = make_statistic(about.pivot, shift, scaled);
    return !is_poor(shift, square, variance);
}

/* What is known of a row's statistic before its elements are. */
statistic_t first_statistic(const row_t r, const uint number)
{
    statistic_t about = statistic_t(0, 0, 0, 0);
    if (CONSTANT_STATISTIC || SAVED_STATISTIC)
        about.rstd = load(F32, SLOT_RSTD, number);
    if (MEAN_INPUT != 0 || HAS_MEAN != 0)
        about.pivot = load(F32, SLOT_MEAN, number);
    else if (FINDS_STATISTIC && RMS == 0)
        about.pivot = guess_h_mean(r, 0, columns);
    return about;
}

void store_partials(const uint number, const sums_t of_g)
{
    store(F32, SLOT_PARTIALS, number * 3, acc_t(columns));
    store(F32, SLOT_PARTIALS, number * 3 + 1, of_g.x);
    store(F32, SLOT_PARTIALS, number * 3 + 2, of_g.y);
}

/* Finds the statistic and the slope of row number `number`. Every work-item of the group calls it
 * together, also one that has no row (`here`), which loads nothing. Passes for g follow those for h in
 * one loop: code that is there once compiles in half the time. */
slope_t find_slope(const row_t r, const uint number, const bool here, const uint slot, const uint lane,
                   const bool aligned)
{
    const uint width = here ? columns : 0;
    slope_t slope = slope_t(statistic_t(0, 0, 0, 0), 0, 0, 0);
    statistic_t about = slope.s;
    acc_t scaled = 0;
    if (here)
        about = first_statistic(r, number);
    slope.s = about;
    sums_t of_g = sums_t(0);
    bool stands = false, of_h = OF_H;
    for (uint pass = 0; pass < 3 && (OF_H || OF_G); pass++) {
        const terms_t sums = sum_row(r, about, width, lane, aligned, of_h, IN_ONE || !of_h);
        if (IN_ONE || !of_h)
            of_g = sums_t(sum_lanes(sums.g), sum_lanes(sums.product));
        if (!of_h)
            break;
        const sums_t met = meet_sums(sums.h, sums.squares, slot, lane);
        if (!stands) { /* else its sums are those that it had */
            stands = make_about(met, about, slope.s, scaled);
            if (!stands)
                about.pivot += slope.s.shift;
        }
        if (pass == 0 && any_row(!stands))
            continue; /* all that might wait for each other */
        if (IN_ONE || !OF_G)
            break;
        of_h = false;
        about = slope.s;
    }
    slope.rstd = FINDS_STATISTIC ? written_rstd(slope.s.rstd) : slope.s.rstd;
    if (!OF_G)
        return slope;
    of_g = lane_sums(of_g, slot, lane);
    if (IN_ONE) /* the product is of h - pivot yet */
        of_g.y = slope.s.rstd * (of_g.y - slope.s.shift * of_g.x);
    if (DPARTIALS_OUTPUT != 0 && here && lane == 0)
        store_partials(number, of_g);
    acc_t all = acc_t(columns), share = 1;
    if (DPARTIALS_INPUT != 0 && here)
        of_g = merge_slopes(number, all);
    if (EPS_FLOOR != 0 || EPS_OUTSIDE != 0)
        share = share_of_deviation(scaled, slope.s.rstd);
    make_slope(of_g, all, share, slope);
    return slope;
}

/* Where the sums of a part's rows go, and which of them there are not yet. */
struct keeping_t {
    part_t part;
    bool begins;        /* the part */
    bool sample_begins; /* so does a sample whose sums are the part's own */
};

/* Goes back through `count` columns of a row; `whole` as in add_to_part. */
void go_back_columns(const row_t r, const slope_t slope, const uint column, const uint count,
                     const uint whole, const keeping_t k)
{
    go_back(r, slope, column, count);
    add_to_part(k.part, column, k.begins, k.sample_begins, whole);
}

void go_back_row(const row_t r, const slope_t slope, const uint lane, const bool aligned,
                 const keeping_t k)
{
    const uint vectors = columns / VECTOR, rest = columns % VECTOR;
    if (aligned) {
        for (uint v = lane; v < vectors; v += LANES)
            go_back_columns(r, slope, v * VECTOR, ALIGNED_VECTOR, ALIGNED_VECTOR, k);
    } else {
        for (uint v = lane; v < vectors; v += LANES)
            go_back_columns(r, slope, v * VECTOR, VECTOR, VECTOR, k);
    }
    if (rest > 0 && lane == vectors % LANES)
        go_back_columns(r, slope, vectors * VECTOR, rest, VECTOR, k);
}

/* A row of a part, row number `number`. */
void walk_row(const uint number, const bool here, const uint slot, const uint lane, const bool aligned,
              inout keeping_t k)
{
    const row_t r = find_row(here ? number : 0);
    const slope_t slope = find_slope(r, number, here, slot, lane, aligned);
    if (DPARTIALS_OUTPUT != 0 || !here)
        return;
    go_back_row(r, slope, lane, aligned, k);
    k.begins = k.sample_begins = false;
}

/* Of a part without rows. */
void clear_part(const part_t part, const uint lane)
{
    for (uint k = 0; k < SUMS; k++)
        terms[k] = accv_t(0);
    for (uint column = lane * VECTOR; column < columns; column += LANES * VECTOR)
        add_to_part(part, column, true, true, VECTOR);
}

/* Leaves the second launch but the sums, without what they have lost. */
void close_part(const part_t part, const uint lane)
{
    if (part.lost == 0)
        return;
    for (uint column = lane * VECTOR; column < columns; column += LANES * VECTOR) {
        for (uint k = 0; k < SUMS; k++)
            store_sums(part.at + k * part.tensor_pitch + column, VECTOR,
                       sum_of_part(part, k, column));
    }
}

/* The sums of a sample that was whole in a part. */
void store_sample(const part_t part, const uint sample_number, const uint lane)
{
    for (uint column = lane * VECTOR; column < columns; column += LANES * VECTOR) {
        for (uint k = PARAMETER_SUMS; k < SUMS; k++)
            store_sample_sums(k, sample_number, column, count_at(column),
                              sum_of_part(part, k, column));
    }
}

/* Rows that share a row of parameters, where these are summed, are so far apart. */
const uint CLASSES = PARAMETER_SUMS > 0 ? parameter_rows : 1;

uint parts_of_class()
{
    return (launch.span - 1) / CLASSES / launch.part_rows + 1; /* both rounded up */
}

/* Rows of a sample where a part holds whole ones; else 0. */
uint whole_sample()
{
    return (launch.stage & WHOLE_SAMPLES) != 0 ? min(sample_rows, launch.all_rows) : 0;
}

uint end_row()
{
    return launch.first_row + launch.rows;
}

/* The parts that have rows of the launch, and those that have none at all where a span ends:
 * host/spec/gradient.c counts them, too. Of a span some of each class's. */
struct parts_t {
    uint count;
    uint first_span;
    uint first_of_class;
    uint of_class;
};

parts_t parts_here()
{
    parts_t p = parts_t(0, launch.first_row / launch.span, 0, parts_of_class());
    if (launch.rows == 0)
        return p;
    const uint last = end_row() - 1, spans = last / launch.span + 1 - p.first_span;
    if (spans == 1) {
        const uint begin = p.first_span * launch.span;
        if (last + 1 < min(begin + launch.span, launch.all_rows))
            p.of_class = (last - begin) / CLASSES / launch.part_rows + 1;
        p.first_of_class = (launch.first_row - begin) / CLASSES / launch.part_rows;
        p.of_class -= p.first_of_class;
    }
    p.count = spans * CLASSES * p.of_class;
    return p;
}

/* Elements from one row of the workspace to the next: host/spec/gradient.h. */
uint workspace_pitch()
{
    return (columns + 15) / 16 * 16;
}

/* Walks the launch's rows of part number `number` of those here, by its lanes; where there is none, keeps
 * the group's others company. */
void walk_part(const parts_t parts, const uint number, const uint slot, const uint lane,
               const bool aligned)
{
    const uint pitch = workspace_pitch(), whole = whole_sample();
    const uint span_number = parts.first_span + number / (CLASSES * parts.of_class);
    const uint begin = span_number * launch.span, end = min(begin + launch.span, launch.all_rows);
    const uint own_class = number / parts.of_class % CLASSES;
    const uint part_of_class = parts.first_of_class + number % parts.of_class;
    const uint part = (span_number * CLASSES + own_class) * parts_of_class() + part_of_class;
    const uint first = begin + (own_class + CLASSES - begin % CLASSES) % CLASSES +
                       part_of_class * launch.part_rows * CLASSES;
    const bool is_here = number < parts.count, has_rows = is_here && first < end;
    const uint count = has_rows ? min(launch.part_rows, (end - first - 1) / CLASSES + 1) : 0;
    /* Of these rows the launch has those from `from` up to `to`. */
    const uint to = first < end_row() ? min(count, (end_row() - first - 1) / CLASSES + 1) : 0;
    const uint from =
        first < launch.first_row ? min(to, (launch.first_row - first - 1) / CLASSES + 1) : 0;
    const uint longest = min(launch.part_rows, (launch.rows - 1) / CLASSES + 1);
    const uint tensor_pitch = launch.parts * pitch;
    const bool sample_begins = whole > 0 ? from % whole == 0 : from == 0;
    keeping_t k = keeping_t(part_t(part * pitch, tensor_pitch, 0), from == 0, sample_begins);
    if ((launch.stage & COMPENSATED) != 0)
        k.part.lost = SUMS * tensor_pitch;
    for (uint i = from; i < from + longest; i++) {
        const uint row = first + i * CLASSES;
        walk_row(row - launch.first_row, i < to, slot, lane, aligned, k);
        if (SAMPLE_SUMS > 0 && whole > 0 && i < to && ((i + 1) % whole == 0 || i + 1 == count)) {
            store_sample(k.part, row / whole - launch.first_row / whole, lane);
            k.sample_begins = true;
        }
    }
    if (SUMS == 0)
        return;
    if (is_here && count == 0 && end <= end_row())
        clear_part(k.part, lane);
    else if (from < to && to == count)
        close_part(k.part, lane);
}

/* Adds up the `count` sums of a tensor over some parts, of the columns, or parameters, from `at` on. All
 * work-items of the group call it; that of slice 0 gets them. */
accv_t sum_of_parts(const uint tensor, const bool of_sample, const group_of_parts_t g,
                    const uint slice, const uint at, const uint count)
{
    const uint pitch = workspace_pitch(), begin = tensor * launch.parts * pitch;
    const uint item = gl_LocalInvocationID.x;
    accv_t total = accv_t(0), lost = total;
    if (count > 0 && PARAMETERS_SHARED && !of_sample)
        total = add_shared(begin, pitch, g, slice, at, count);
    else if (count > 0)
        total = add_parts(begin, pitch, g, slice, at);
    if (SLICES <= 1)
        return total;
    slices[item] = total;
    barrier();
    if (slice == 0) {
        for (uint k = 1; k < SLICES; k++)
            add_row_sum(total, lost, slices[item + k * (GROUP / SLICES)]);
        total -= lost;
    }
    barrier();
    return total;
}

void add_up_parts()
{
    const uint of_class = parts_of_class(), of_span = CLASSES * of_class;
    const uint spans = launch.parts / of_span;
    const uint parameters = parameters_of();
    const uint wide = (parameters - 1) / COLUMNS_OF_GROUP + 1;
    const uint wide_sample = (columns - 1) / COLUMNS_OF_GROUP + 1;
    /* Samples that end with the launch; at the end of all rows parameters, too. */
    const bool last = end_row() == launch.all_rows;
    const uint first_ended = launch.first_row / launch.span;
    const uint ended = (last ? spans : end_row() / launch.span) - first_ended;
    const uint of_parameters = last ? PARAMETER_SUMS * CLASSES * wide : 0;
    const uint of_samples = whole_sample() > 0 ? 0 : SAMPLE_SUMS * ended * wide_sample;
    const uint slice = gl_LocalInvocationID.x / (GROUP / SLICES);
    const uint place = gl_LocalInvocationID.x % (GROUP / SLICES) * VECTOR;
    for (uint unit = gl_WorkGroupID.x; unit < of_parameters + of_samples; unit += gl_NumWorkGroups.x) {
        const bool of_sample = unit >= of_parameters;
        const uint number = of_sample ? unit - of_parameters : unit;
        const uint blocks = of_sample ? wide_sample : wide, all = of_sample ? columns : parameters;
        const uint rows_of = of_sample ? ended : CLASSES, row = number / blocks % rows_of;
        const uint tensor = (of_sample ? PARAMETER_SUMS : 0) + number / blocks / rows_of;
        const uint at = number % blocks * COLUMNS_OF_GROUP + place;
        const uint count = at >= all ? 0 : min(all - at, VECTOR);
        group_of_parts_t g;
        g.first = of_sample ? (first_ended + row) * of_span : row * of_class;
        g.count = of_sample ? of_span : spans * of_class;
        g.side_by_side = of_sample || CLASSES == 1 ? g.count : of_class;
        g.stride = of_span;
        const accv_t total = sum_of_parts(tensor, of_sample, g, slice, at, count);
        if (slice > 0 || count == 0)
            continue;
        if (of_sample)
            store_sample_sums(tensor, row, at, count, total);
        else
            store_parameter_sums(tensor, row * parameters + at, count, total);
    }
}

void main()
{
    if (SUMS > 0 && (launch.stage & SUMS_OF_PARTS) != 0) {
        add_up_parts();
        return;
    }
    const bool aligned = ANY_ALIGNMENT == 0 && bits_of_places() % 16 == 0;
    const uint place = group_place();
    const parts_t parts = parts_here();
    for (uint base = gl_WorkGroupID.x * ROWS; base < parts.count; base += gl_NumWorkGroups.x * ROWS)
        walk_part(parts, base + place / LANES, place / LANES, place % LANES, aligned);
}
