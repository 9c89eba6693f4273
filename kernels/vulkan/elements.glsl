/* What the elements of a row are made of, and what becomes of them:
 *
 *     h = x [+ pre_bias] [+ [gate *] residual]    n = (h - mean) * rstd
 *     z = n [* (weight + weight_plus)] [+ bias]   y = z [* (1 + scale)] [+ shift], then SiLU
 *
 * Where y is quantized, y / y_scale is what is rounded: by 1, by a number that is given, or by one
 * that is found from the row's largest magnitude before any of its y is stored.
 *
 * What a spec does not name is not there: its constant is 0 when the driver compiles. */
#include "row.glsl"

/* Of what h is made: with SAVED_SUM of the sum, which the host then calls x. */
#if BACKWARD
const uint H_TYPE = SAVED_SUM != 0 ? S_TYPE : X_TYPE;
const bool ADDS_RESIDUAL = SAVED_SUM == 0;
#else
#define H_TYPE X_TYPE
#define ADDS_RESIDUAL true
#endif

/* Parameters that are not one to each column, and tensors whose rows are in pieces: what leads to
 * them is a column's number. */
const bool PARAMETERS_SHARED = parameter_run > 1 || parameter_cycle > 0;
const bool GATE_APART = gate_column_stride > 0; /* its columns; so scale's and shift's */
const bool SCALE_APART = scale_column_stride > 0;
const bool SHIFT_APART = shift_column_stride > 0;
const bool COUNTS_COLUMNS =
    PARAMETERS_SHARED || column_run > 0 || GATE_APART || SCALE_APART || SHIFT_APART;

/* Vectors begin at multiples of VECTOR, so that none has columns of two such runs, or cycles. */
const bool WHOLE_PARAMETERS =
    (parameter_run > 1 ? parameter_run : parameter_cycle) % VECTOR == 0;
const bool HAS_Y = PARTIALS_OUTPUT == 0;
const bool WRITES_COLUMNS = HAS_Y || HAS_SUM != 0;

/* Where one row lies in each tensor, in elements from the tensor's first; or where skip_columns
 * led. */
struct row_t {
    uint x;
    uint y;
    uint residual;
    uint sum;
    uint parameter; /* of weight, bias and pre_bias */
    uint gate;
    uint scale;
    uint shift;
#if BACKWARD
    uint dx;
    uint dresidual;
    uint dsum;
#endif
    uint skipped;   /* columns; what is found by number stays at its first */
};

bool has_samples()
{
    return HAS_GATE != 0 || HAS_SCALE != 0 || HAS_SHIFT != 0;
}

bool has_parameters()
{
    return HAS_WEIGHT != 0 || HAS_BIAS != 0 || HAS_PRE_BIAS != 0;
}

/* Elements of a row of parameters. */
uint parameters_of()
{
    return (parameter_cycle > 0 ? parameter_cycle : columns) / parameter_run;
}

row_t find_row(const uint row)
{
    row_t r;
    r.x = row_offset(row, x_row_stride, x_outer_stride);
    r.y = row_offset(row, y_row_stride, y_outer_stride);
    r.residual = r.sum = r.parameter = r.skipped = 0;
    r.gate = r.scale = r.shift = 0;
    if (HAS_RESIDUAL != 0)
        r.residual = row_offset(row, residual_row_stride, residual_outer_stride);
    if (HAS_SUM != 0)
        r.sum = row_offset(row, sum_row_stride, sum_outer_stride);
#if BACKWARD
    r.dx = row_offset(row, dx_row_stride, dx_outer_stride);
    r.dresidual = row_offset(row, dresidual_row_stride, dresidual_outer_stride);
    r.dsum = row_offset(row, sum_row_stride, sum_outer_stride);
#endif
    if (parameter_rows > 1)
        r.parameter = (launch.parameter_first + row) % parameter_rows * parameters_of();
    if (has_samples()) {
        const uint sample_number = (launch.sample_first + row) / sample_rows;
        r.gate = sample_number * gate_row_stride;
        r.scale = sample_number * scale_row_stride;
        r.shift = sample_number * shift_row_stride;
    }
    return r;
}

/* Leads on to the column of a row that is `further`. */
row_t skip_columns(const row_t row, const uint further)
{
    row_t r = row;
    if (column_run == 0) {
        r.x += further;
        r.y += further;
        r.residual += further;
        r.sum += further;
    }
    if (!GATE_APART)
        r.gate += further;
    if (!SCALE_APART)
        r.scale += further;
    if (!SHIFT_APART)
        r.shift += further;
    if (!PARAMETERS_SHARED)
        r.parameter += further;
    if (COUNTS_COLUMNS)
        r.skipped += further;
    return r;
}

#if BACKWARD
uint bits_of_gradients(); /* of chain_rule.glsl: those of its tensors */
#endif

/* The bits of every place at which vectors of a row are loaded or stored, and of every distance
 * between rows, in bytes: all are multiples of 16 where these are. */
uint bits_of_places()
{
    uint bits = (x_row_stride | (TWO_LEVELS != 0 ? x_outer_stride : 0)) * size_of(H_TYPE) |
                launch.offset[SLOT_X];
    const uint y_places = (y_row_stride | (TWO_LEVELS != 0 ? y_outer_stride : 0)) * size_of(Y_TYPE);
    if (HAS_Y && is_quantized(Y_TYPE)) /* whose vectors lie well at multiples of 4 */
        bits |= (y_places | launch.offset[SLOT_Y]) * 4;
    else if (HAS_Y)
        bits |= y_places | launch.offset[SLOT_Y];
    if (HAS_RESIDUAL != 0)
        bits |= (residual_row_stride | (TWO_LEVELS != 0 ? residual_outer_stride : 0)) *
                    size_of(R_TYPE) |
                launch.offset[SLOT_RESIDUAL];
    if (HAS_SUM != 0)
        bits |= (sum_row_stride | (TWO_LEVELS != 0 ? sum_outer_stride : 0)) * size_of(S_TYPE) |
                launch.offset[SLOT_SUM];
    if (column_run > 0)
        bits |= (x_column_stride | column_run) * size_of(H_TYPE) |
                (y_column_stride | column_run) * size_of(Y_TYPE);
    if (column_run > 0 && HAS_RESIDUAL != 0)
        bits |= (residual_column_stride | column_run) * size_of(R_TYPE);
    if (column_run > 0 && HAS_SUM != 0)
        bits |= (sum_column_stride | column_run) * size_of(S_TYPE);
#if BACKWARD
    bits |= bits_of_gradients();
#endif
    if (HAS_GATE != 0 && !GATE_APART)
        bits |= gate_row_stride * size_of(GATE_TYPE) | launch.offset[SLOT_GATE];
    if (HAS_SCALE != 0 && !SCALE_APART)
        bits |= scale_row_stride * size_of(SCALE_TYPE) | launch.offset[SLOT_SCALE];
    if (HAS_SHIFT != 0 && !SHIFT_APART)
        bits |= shift_row_stride * size_of(SHIFT_TYPE) | launch.offset[SLOT_SHIFT];
    if (PARAMETERS_SHARED) /* which are loaded as they come */
        return bits;
    if (HAS_WEIGHT != 0)
        bits |= launch.offset[SLOT_WEIGHT];
    if (HAS_BIAS != 0)
        bits |= launch.offset[SLOT_BIAS];
    if (HAS_PRE_BIAS != 0)
        bits |= launch.offset[SLOT_PRE_BIAS];
    if (has_parameters() && parameter_rows > 1)
        bits |= columns * size_of(P_TYPE);
    return bits;
}

#include "columns.glsl"

/* ---- Loading ---- */

/* Rounded to a storage type. Half comes back in integers, also where the device's own conversions are right:
 * Mesa's optimizer (since version 25) takes a float that it made a half and a float again for the first one. */
accv_t roundedv(const uint type, const accv_t value)
{
    if (type == F16)
        return accv_t(half_floatv(bits_of_pairs(narrowv(type, value))));
    if (type == BF16)
        return widev(type, narrowv(type, value));
#if ACC_DOUBLE
    if (type == F32)
        return single_precisionv(value);
#endif
    return value;
}

/* The parameters, of a tensor of the row, for `count` columns from `column` on; the rest 0. */
accv_t load_parametersv(const row_t r, const uint slot, const uint column, const uint count)
{
    uint within = PARAMETERS_SHARED ? r.skipped + column : column;
    if (parameter_cycle > 0)
        within %= parameter_cycle;
    const bool side_by_side =
        WHOLE_PARAMETERS || parameter_cycle == 0 || within + VECTOR <= parameter_cycle;
    if (parameter_run <= 1 && side_by_side && IS_WHOLE(count))
        return load_wholev(P_TYPE, slot, r.parameter + within,
                           PARAMETERS_SHARED ? VECTOR : count);
    /* Each once for the columns that share it. */
    const bool one_for_all = WHOLE_PARAMETERS && parameter_run > 1;
    uint left = 0;
    acc_t value = 0;
    accv_t result = accv_t(0);
    for (uint i = 0; i < ELEMENTS_OF(count); i++) {
        if (parameter_run <= 1 || i == 0 || (left == 0 && !one_for_all)) {
            value = load(P_TYPE, slot, r.parameter + within / parameter_run);
            left = parameter_run - within % parameter_run;
        }
        result[i] = value;
        left--;
        within++;
        if (parameter_cycle > 0 && within == parameter_cycle)
            within = 0;
    }
    return result;
}

accv_t load_parameter_line(const uint part, const row_t r, const uint slot, const uint column)
{
    if (PARAMETERS_SHARED)
        return load_parametersv(r, slot, column, VECTOR);
    return load_line(part, P_TYPE, slot, r.parameter + column);
}

/* h of `count` columns from `column` on, the rest of the vector `fill`. */
accv_t load_hv(const row_t r, const uint column, const uint count, const acc_t fill)
{
    accv_t h = load_columnsv(H_TYPE, SLOT_X, r, r.x, x_column_stride, column, count, fill);
    if (HAS_PRE_BIAS != 0)
        h += load_parametersv(r, SLOT_PRE_BIAS, column, count);
    if (HAS_RESIDUAL != 0 && ADDS_RESIDUAL) {
        accv_t residual = load_columnsv(R_TYPE, SLOT_RESIDUAL, r, r.residual,
                                        residual_column_stride, column, count, 0);
        if (HAS_GATE != 0)
            residual *= load_samplesv(GATE_TYPE, SLOT_GATE, r, r.gate, gate_column_stride, column, count);
        h += residual;
    }
    if (STORED_SUM != 0)
        h = roundedv(S_TYPE, h);
    return h;
}

acc_t load_h(const row_t r, const uint column)
{
    return load_hv(r, column, 1, 0).x;
}

/* h of a line. */
accv_t load_h_line(const uint part, const row_t r, const uint column)
{
    accv_t h = load_column_line(part, X_TYPE, SLOT_X, r, r.x, x_column_stride, column);
    if (HAS_PRE_BIAS != 0)
        h += load_parameter_line(part, r, SLOT_PRE_BIAS, column);
    if (HAS_RESIDUAL != 0) {
        accv_t residual = load_column_line(part, R_TYPE, SLOT_RESIDUAL, r, r.residual,
                                           residual_column_stride, column);
        if (HAS_GATE != 0)
            residual *= load_sample_line(part, GATE_TYPE, SLOT_GATE, r, r.gate, gate_column_stride, column);
        h += residual;
    }
    if (STORED_SUM != 0)
        h = roundedv(S_TYPE, h);
    return h;
}

/* A first guess of the mean of `count` columns from `column` on. */
acc_t guess_h_mean(const row_t r, const uint column, const uint count)
{
    const accv_t head = load_hv(r, column, min(count, VECTOR), 0);
    if (count < GUESS)
        return guess_from(head, count);
    precise accv_t away = head - head.x;
    for (uint c = VECTOR; c < GUESS; c += VECTOR)
        away += load_hv(r, column + c, VECTOR, 0) - head.x;
    precise const acc_t mean = head.x + sum_lanes(away) * (acc_t(1) / GUESS);
    return mean;
}

/* The sum is not needed with RMS, whose pivot is 0. */
void add_deviation(const accv_t deviation, inout accv_t sum, inout accv_t squares)
{
    if (RMS == 0)
        sum += deviation;
    squares += deviation * deviation;
}

/* ---- What becomes of them ---- */

/* The numbers that the columns of a vector are multiplied by and added to. */
struct factors_t {
    accv_t weight;
    accv_t bias;
    accv_t scale;
    accv_t shift;
};

acc_t weight_plus()
{
#if ACC_DOUBLE
    return packDouble2x32(uvec2(weight_plus_low, weight_plus_high));
#else
    return uintBitsToFloat(weight_plus_bits);
#endif
}

/* Those that rows with the same parameters share. */
void load_weights(const uint part, const row_t r, const uint column, inout factors_t f)
{
    if (HAS_WEIGHT != 0)
        f.weight = load_parameter_line(part, r, SLOT_WEIGHT, column);
    if (HAS_WEIGHT != 0 && HAS_WEIGHT_PLUS != 0)
        f.weight += weight_plus();
    if (HAS_BIAS != 0)
        f.bias = load_parameter_line(part, r, SLOT_BIAS, column);
}

/* Those of the row's sample. */
void load_modulation(const uint part, const row_t r, const uint column, inout factors_t f)
{
    if (HAS_SCALE != 0)
        f.scale = load_sample_line(part, SCALE_TYPE, SLOT_SCALE, r, r.scale, scale_column_stride, column);
    if (HAS_SHIFT != 0)
        f.shift = load_sample_line(part, SHIFT_TYPE, SLOT_SHIFT, r, r.shift, shift_column_stride, column);
}

factors_t no_factors()
{
    return factors_t(accv_t(0), accv_t(0), accv_t(0), accv_t(0));
}

/* All of `count` columns. */
factors_t load_factors(const row_t r, const uint column, const uint count)
{
    factors_t f = no_factors();
    if (HAS_WEIGHT != 0)
        f.weight = load_parametersv(r, SLOT_WEIGHT, column, count);
    if (HAS_WEIGHT != 0 && HAS_WEIGHT_PLUS != 0)
        f.weight += weight_plus();
    if (HAS_BIAS != 0)
        f.bias = load_parametersv(r, SLOT_BIAS, column, count);
    if (HAS_SCALE != 0)
        f.scale = load_samplesv(SCALE_TYPE, SLOT_SCALE, r, r.scale, scale_column_stride, column, count);
    if (HAS_SHIFT != 0)
        f.shift = load_samplesv(SHIFT_TYPE, SLOT_SHIFT, r, r.shift, shift_column_stride, column, count);
    return f;
}

/* A sum of few and unlike numbers, as add_compensated has it of vectors. */
struct sum_t {
    acc_t total;
    acc_t lost;
};

void add_number(inout sum_t sum, const acc_t term)
{
    precise const acc_t corrected = term - sum.lost;
    precise const acc_t total = sum.total + corrected;
    precise const acc_t lost = (total - sum.total) - corrected;
    sum = sum_t(total, lost);
}

/* One of the three numbers of a row of a shard. */
acc_t load_partial(const uint shard, const uint row, const uint number)
{
    return load(F32, SLOT_PARTIALS, (shard * launch.shard_rows + row) * 3 + number);
}

/* Whether a number of partials is no such number: told by its bits, as a compiler may take it that
 * none is. A count or a sum of squares is not below 0 either (but may be -0). */
bool is_no_mean(const acc_t mean)
{
    return (floatBitsToUint(float(mean)) & 0x7fffffff) >= NAN_BITS;
}

bool is_no_size(const acc_t size)
{
    const uint bits = floatBitsToUint(float(size));
    return bits >= NAN_BITS && bits != 0x80000000;
}

bool is_nothing(const acc_t count)
{
    return (floatBitsToUint(float(count)) & 0x7fffffff) == 0;
}

/* The statistic of a row from those of its shards, by the corrected two-pass formula on these: a
 * first mean from all of them, then the squares about it and what it was off by. */
statistic_t merge_shards(const uint row)
{
    sum_t count = sum_t(0, 0), off_mean = count, squares = count;
    acc_t pivot = 0, shift = 0, first = 0;
    bool bad = false;
    for (uint k = 0; k < shards; k++) {
        const acc_t width = load_partial(k, row, 0);
        if (is_nothing(width))
            continue;
        const acc_t own_squares = load_partial(k, row, 2);
        bad = bad || is_no_size(width) || is_no_size(own_squares);
        if (RMS != 0) {
            add_number(squares, own_squares);
        } else {
            const acc_t mean = load_partial(k, row, 1);
            bad = bad || is_no_mean(mean);
            if (count.total == 0)
                first = mean;
            add_number(off_mean, width * off(mean, first));
        }
        add_number(count, width);
    }
    precise acc_t variance = squares.total;
    if (RMS == 0) {
        /* Both numbers of first + step, whichever is the larger (Knuth). */
        const acc_t step = divided(off_mean.total, count.total);
        precise const acc_t mean = first + step;
        precise const acc_t taken = mean - first;
        precise const acc_t tail = (first - (mean - taken)) + (step - taken);
        off_mean = sum_t(0, 0);
        for (uint k = 0; k < shards; k++) {
            const acc_t width = load_partial(k, row, 0);
            if (is_nothing(width))
                continue;
            precise const acc_t away = (load_partial(k, row, 1) - mean) - tail;
            add_number(off_mean, width * away);
            add_number(squares, load_partial(k, row, 2) + width * away * away);
        }
        const acc_t rest = divided(off_mean.total, count.total);
        pivot = mean;
        shift = tail + rest;
        variance = divided(squares.total - rest * off_mean.total, count.total);
    }
    const accv_t scaled = scaled_variance_of(accv_t(variance), count.total, count.total - 1);
    statistic_t s = make_statistic(pivot, shift, scaled.x);
    if (bad)
        s.pivot = NOT_A_NUMBER;
    if (UNBIASED != 0)
        bad = bad || !(count.total > 1);
    else if (L2 == 0)
        bad = bad || count.total == 0;
    if (bad)
        s.rstd = s.shift_rstd = NOT_A_NUMBER;
    return s;
}

/* The statistic that the caller found, or has shards of; with STATISTIC_INPUT. */
statistic_t load_statistic(const uint row)
{
    if (PARTIALS_INPUT != 0)
        return merge_shards(row);
    statistic_t s;
    s.pivot = MEAN_INPUT != 0 ? load(F32, SLOT_MEAN, row) : 0;
    s.rstd = load(F32, SLOT_RSTD, row);
    s.shift = s.shift_rstd = 0;
    return s;
}

/* What is written of a row's statistic. */
void store_row_statistic(const uint row, const statistic_t s)
{
    if (PARTIALS_OUTPUT != 0) {
        store(F32, SLOT_PARTIALS, row * 3, acc_t(columns));
        store(F32, SLOT_PARTIALS, row * 3 + 1, s.pivot + s.shift);
        store(F32, SLOT_PARTIALS, row * 3 + 2, s.rstd);
    } else {
        store_statistic(row, s);
    }
}

#if ACC_DOUBLE
/* e^value, within two units of the last place: the language's own is for floats. 2^k e^r, |r| at
 * most half the logarithm of 2, for which its series needs 14 terms. */
accv_t expv(const accv_t value)
{
    precise const accv_t v = clamp(value, accv_t(-800), accv_t(800)); /* to 0 and infinity */
    const ivec4 k = ivec4(roundEven(vec4(v) * 1.44269504));
    precise const accv_t r =
        (v - accv_t(k) * 6.93147180369123816490e-01lf) - accv_t(k) * 1.90821492927058770002e-10lf;
    accv_t series = accv_t(1);
    for (int i = 13; i > 0; i--)
        series = series * r / acc_t(i) + 1;
    return ldexp(ldexp(series, k / 2), k - k / 2);
}
#else
accv_t expv(const accv_t value)
{
    return exp(value);
}
#endif

/* y of h - pivot; the statistic's numbers may differ from lane to lane. */
accv_t transform_lanes(const accv_t deviation, const accv_t rstd, const accv_t shift_rstd,
                       const factors_t f)
{
    accv_t z = deviation * rstd;
    if (RMS == 0)
        z -= shift_rstd;
    if (ROUND_FIRST != 0)
        z = roundedv(X_TYPE, z);
    if (HAS_WEIGHT != 0)
        z *= f.weight;
    if (HAS_BIAS != 0)
        z += f.bias;
    if (HAS_SCALE != 0)
        z *= acc_t(1) + f.scale;
    if (HAS_SHIFT != 0)
        z += f.shift;
    if (SILU != 0)
        z = z / (acc_t(1) + expv(-z));
    return z;
}

accv_t transformv(const accv_t deviation, const statistic_t s, const factors_t f)
{
    return transform_lanes(deviation, accv_t(s.rstd), accv_t(s.shift_rstd), f);
}

/* ---- The scale of a quantized y ---- */

/* The inverse of the scale; that of the row being written where it is found. */
acc_t y_inverse = 1;

void load_y_scale()
{
    if (HAS_Y_SCALE != 0 && Y_SCALE_OUTPUT == 0)
        y_inverse = 1 / load(F32, SLOT_Y_SCALE, 0);
}

/* y as it is rounded. */
accv_t scaledv(const accv_t y)
{
    if (HAS_Y_SCALE == 0)
        return y;
    precise const accv_t result = y * y_inverse;
    return result;
}

/* Magnitudes as the bits of floats, whose order is theirs, with a NaN above all. */
uvec4 magnitudesv(const accv_t y)
{
    return floatBitsToUint(floats_of(y)) & 0x7fffffff;
}

uint largest_lane(const uvec4 v)
{
    return max(max(v.x, v.z), max(v.y, v.w));
}

/* The scales of rows, one to a lane, from their largest magnitudes, and their inverses. Of bits, as
 * no compiler loses a NaN in these. */
void find_y_scales(const uvec4 largest, out vec4 scales, out accv_t inverses)
{
    float most = 448;
    if (Y_TYPE == I8)
        most = 127;
    const uvec4 nan = uvec4(NAN_BITS), least = uvec4(0x0d800000); /* of 2^-100 */
    const uvec4 bits =
        mix(min(largest, uvec4(y_bound_bits)), largest, greaterThan(largest, nan));
    const vec4 bounded = uintBitsToFloat(bits);
    const bvec4 none = lessThan(bits, least);
    scales = mix(bounded / most, vec4(0), none);
    inverses = mix(acc_t(most) / accv_t(bounded), accv_t(0), none);
}

/* That of row number `row`; into y_scale by the work-item that stores it. */
void set_y_scale(const uint largest, const uint row, const bool stores)
{
    vec4 scales;
    accv_t inverses;
    find_y_scales(uvec4(largest), scales, inverses);
    if (stores)
        store(F32, SLOT_Y_SCALE, row, scales.x);
    y_inverse = inverses.x;
}
