/* The gradient of a row's elements: from dy back to h, and what the sums over rows take on the way.
 *
 * y is dy throughout. Constants besides those of elements.glsl: HAS_MEAN and HAS_RSTD, which are the
 * statistic as the forward pass saved it; HAS_DX ..., DX_TYPE ...; DPARTIALS_OUTPUT, DPARTIALS_INPUT. */
#define BACKWARD 1
#include "elements.glsl"

/* Whether mean and rstd are constants, which do not change with h; whether they were saved, the mean to
 * be corrected; else they are found. */
const bool CONSTANT_STATISTIC = RSTD_INPUT != 0;
const bool SAVED_STATISTIC = HAS_RSTD != 0;
const bool FINDS_STATISTIC = !CONSTANT_STATISTIC && !SAVED_STATISTIC;
const bool SHARDED = DPARTIALS_OUTPUT != 0 || DPARTIALS_INPUT != 0;

/* The tensors that are summed over rows, each with a number: those of parameters first. */
#define AT_DWEIGHT 0
const uint AT_DBIAS = AT_DWEIGHT + HAS_DWEIGHT;
const uint AT_DPRE_BIAS = AT_DBIAS + HAS_DBIAS;
const uint PARAMETER_SUMS = AT_DPRE_BIAS + HAS_DPRE_BIAS;
const uint AT_DGATE = PARAMETER_SUMS;
const uint AT_DSCALE = AT_DGATE + HAS_DGATE;
const uint AT_DSHIFT = AT_DSCALE + HAS_DSCALE;
const uint SUMS = AT_DSHIFT + HAS_DSHIFT;
const uint SAMPLE_SUMS = HAS_DGATE + HAS_DSCALE + HAS_DSHIFT;

uint bits_of_gradients()
{
    uint bits = SUMS > 0 ? launch.offset[SLOT_WORKSPACE] : 0;
    if (HAS_DX != 0)
        bits |= (dx_row_stride | (TWO_LEVELS != 0 ? dx_outer_stride : 0)) * size_of(DX_TYPE) |
                launch.offset[SLOT_DX];
    if (HAS_DRESIDUAL != 0)
        bits |= (dresidual_row_stride | (TWO_LEVELS != 0 ? dresidual_outer_stride : 0)) *
                    size_of(DR_TYPE) |
                launch.offset[SLOT_DRESIDUAL];
    if (HAS_DSUM != 0)
        bits |= (sum_row_stride | (TWO_LEVELS != 0 ? sum_outer_stride : 0)) * size_of(S_TYPE) |
                launch.offset[SLOT_DSUM];
    if (column_run > 0 && HAS_DX != 0)
        bits |= (dx_column_stride | column_run) * size_of(DX_TYPE);
    if (column_run > 0 && HAS_DRESIDUAL != 0)
        bits |= (dresidual_column_stride | column_run) * size_of(DR_TYPE);
    if (column_run > 0 && HAS_DSUM != 0)
        bits |= (sum_column_stride | column_run) * size_of(S_TYPE);
    return bits;
}

/* What the gradient of a row takes beside its elements: dh = rstd * (g - mean - n * of_n). */
struct slope_t {
    statistic_t s; /* n's */
    acc_t rstd;    /* which is s.rstd, but of a row without a variance */
    acc_t mean;    /* of g */
    acc_t of_n;
};

/* A vector of columns on its way forward, and what came back as far as n. */
struct trace_t {
    accv_t n; /* as it was rounded */
    accv_t z;
    accv_t dshift;
    accv_t dz;
    accv_t g;
};

/* The slope of z * sigmoid(z), of one exponential that is 1 at most, so that neither s nor 1 - s loses a
 * digit. A NaN comes through z alone: expv may not know it. */
accv_t silu_slope(const accv_t z)
{
    const accv_t e = expv(-abs(z)), q = acc_t(1) / (acc_t(1) + e), p = e * q;
    const bvec4 negative = lessThan(z, accv_t(0));
    const accv_t s = mix(q, p, negative), rest = mix(p, q, negative);
    return s * (acc_t(1) + z * rest);
}

/* Goes back from dy of `count` columns from `column` on; the rest 0. `n` is of use with SILU and for the
 * sums alone. */
trace_t trace(const row_t r, const accv_t n, const uint column, const uint count)
{
    const factors_t f = load_factors(r, column, count);
    trace_t t;
    t.n = ROUND_FIRST != 0 ? roundedv(X_TYPE, n) : n;
    t.z = t.n;
    if (HAS_WEIGHT != 0)
        t.z *= f.weight;
    if (HAS_BIAS != 0)
        t.z += f.bias;
    t.dshift = load_columnsv(Y_TYPE, SLOT_Y, r, r.y, y_column_stride, column, count, 0);
    if (SILU != 0) {
        accv_t y = t.z;
        if (HAS_SCALE != 0)
            y *= acc_t(1) + f.scale;
        if (HAS_SHIFT != 0)
            y += f.shift;
        t.dshift *= silu_slope(y);
    }
    t.dz = t.dshift;
    if (HAS_SCALE != 0)
        t.dz *= acc_t(1) + f.scale;
    t.g = t.dz;
    if (HAS_WEIGHT != 0)
        t.g *= f.weight;
    return t;
}

/* 0 of a number, else NaN. */
acc_t nothing_of(const acc_t value)
{
    const bool number = (upper_bits(accv_t(value)).x & 0x7fffffff) < INFINITE_BITS;
    return number ? acc_t(0) : NOT_A_NUMBER;
}

/* How rstd changes with the deviation, beside how it would without an eps: what the sum of g * n counts.
 * `scaled` is the variance; of a saved statistic, which has none, it is told by rstd. */
acc_t share_of_deviation(const acc_t scaled, const acc_t rstd)
{
    acc_t left;
    bool counts;
    if (SAVED_STATISTIC) {
        const acc_t of_eps = EPS_INVERSE != 0 ? rstd / eps() : rstd * eps(); /* in the sum */
        left = 1 - of_eps;
        counts = of_eps < 1;
    } else {
        const acc_t root = sqrt(scaled);
        left = root * rstd;
        counts = (EPS_INVERSE == 0 ? root >= eps() : eps() >= 1 || root * eps() >= 1) && root > 0;
    }
    if (EPS_FLOOR != 0)
        return counts ? 1 : 0;
    const bool nan = (upper_bits(accv_t(left)).x & 0x7fffffff) > INFINITE_BITS;
    return nan ? NOT_A_NUMBER : left > 0 ? 1 / left : acc_t(0);
}

/* From the sums of g and of g * n over a whole row of `width` columns. */
void make_slope(const sums_t of_g, const acc_t width, const acc_t share, inout slope_t slope)
{
    acc_t of_n = of_g.y;
    if (L2 == 0)
        of_n = divided(of_n, UNBIASED != 0 ? width - 1 : width);
    slope.of_n = share * of_n;
    if (RMS != 0)
        slope.of_n += nothing_of(of_g.y);
    else
        slope.mean = divided(of_g.x, width) + (nothing_of(of_g.x) + nothing_of(of_g.y));
}

/* The sums of a whole row from those of its shards, and its columns. */
sums_t merge_slopes(const uint row, out acc_t width)
{
    sum_t count = sum_t(0, 0), sum = count, product = count;
    for (uint k = 0; k < shards; k++) {
        const acc_t of_shard = load_partial(k, row, 0);
        if (is_nothing(of_shard))
            continue;
        add_number(count, of_shard);
        add_number(sum, load_partial(k, row, 1));
        add_number(product, load_partial(k, row, 2));
    }
    width = count.total;
    return sums_t(sum.total, product.total);
}

/* What a vector of columns adds to each of the sums. Not an argument, which would be copied. */
accv_t terms[SUMS + 1];

void find_terms(const row_t r, const trace_t t, const accv_t dh, const uint column,
                const uint count)
{
    if (HAS_DWEIGHT != 0)
        terms[AT_DWEIGHT] = t.dz * t.n;
    if (HAS_DBIAS != 0)
        terms[AT_DBIAS] = t.dz;
    if (HAS_DPRE_BIAS != 0)
        terms[AT_DPRE_BIAS] = dh;
    if (HAS_DGATE != 0)
        terms[AT_DGATE] = dh * load_columnsv(R_TYPE, SLOT_RESIDUAL, r, r.residual,
                                             residual_column_stride, column, count, 0);
    if (HAS_DSCALE != 0)
        terms[AT_DSCALE] = t.dshift * t.z;
    if (HAS_DSHIFT != 0)
        terms[AT_DSHIFT] = t.dshift;
}

/* Writes dx and dresidual of `count` columns, and finds their terms. */
void go_back(const row_t r, const slope_t slope, const uint column, const uint count)
{
    const accv_t a = offv(load_hv(r, column, count, 0), accv_t(slope.s.pivot));
    accv_t n = a * slope.s.rstd;
    if (RMS == 0)
        n -= slope.s.shift_rstd;
    const trace_t t = trace(r, n, column, count);
    accv_t dh = t.g;
    if (!CONSTANT_STATISTIC && RMS == 0)
        dh -= slope.mean;
    if (!CONSTANT_STATISTIC)
        dh -= n * slope.of_n;
    dh *= slope.rstd;
    if (HAS_DSUM != 0)
        dh += load_columnsv(S_TYPE, SLOT_DSUM, r, r.dsum, sum_column_stride, column, count, 0);
    find_terms(r, t, dh, column, count);
    accv_t gate = accv_t(1);
    if (HAS_DRESIDUAL != 0)
        gate = load_samplesv(GATE_TYPE, SLOT_GATE, r, r.gate, gate_column_stride, column, count);
    if (HAS_DX != 0)
        store_columnsv(DX_TYPE, SLOT_DX, r, r.dx, dx_column_stride, column, count, dh);
    if (HAS_DRESIDUAL != 0)
        store_columnsv(DR_TYPE, SLOT_DRESIDUAL, r, r.dresidual, dresidual_column_stride, column,
                       count, dh * gate);
}
