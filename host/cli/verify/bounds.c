#include "bounds.h"

#include <math.h>

double bounds_unit(anynorm_dtype type, double value)
{
    static const int fraction_bits[] = {
        [ANYNORM_F32] = 23, [ANYNORM_F16] = 10, [ANYNORM_BF16] = 7, [ANYNORM_F64] = 52};
    static const int least_exponent[] = {
        [ANYNORM_F32] = -126, [ANYNORM_F16] = -14, [ANYNORM_BF16] = -126, [ANYNORM_F64] = -1022};
    int exponent = value == 0 ? least_exponent[type] : ilogb(value);

    if (exponent < least_exponent[type])
        exponent = least_exponent[type];
    return ldexp(1.0, exponent - fraction_bits[type]);
}

double bounds_rounded(anynorm_dtype type, double value)
{
    double storage;

    anynorm_dtype_store(type, &storage, 0, value);
    return anynorm_dtype_load(type, &storage, 0);
}

/* How far rounding may take what is within `error` of a value from where it takes the value. */
static double rounded_error(anynorm_dtype type, double value, double error)
{
    double middle = bounds_rounded(type, value);
    double below = middle - bounds_rounded(type, value - error);
    double above = bounds_rounded(type, value + error) - middle;

    return isfinite(below) && isfinite(above) ? fmax(below, above) : (double)INFINITY;
}

double bounds_epsilon(const anynorm_spec *spec)
{
    const uint32_t parameters = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_PRE_BIAS;
    bool wide = spec->x.type == ANYNORM_F64 || spec->y.type == ANYNORM_F64 ||
                spec->residual.type == ANYNORM_F64 || spec->sum.type == ANYNORM_F64 ||
                spec->gate.type == ANYNORM_F64 || spec->scale.type == ANYNORM_F64 ||
                spec->shift.type == ANYNORM_F64 || spec->gradients.dx.type == ANYNORM_F64 ||
                spec->gradients.dresidual.type == ANYNORM_F64 ||
                spec->gradients.parameters == ANYNORM_F64 ||
                spec->gradients.samples == ANYNORM_F64 ||
                ((spec->flags & parameters) && spec->parameters.type == ANYNORM_F64);

    return wide ? 0x1p-52 : 0x1p-23;
}

/* bf16 is rounded to from f64 arithmetic through f32. */
static double earlier_rounding(const anynorm_spec *spec, anynorm_dtype type, double value)
{
    bool twice = type == ANYNORM_BF16 && bounds_epsilon(spec) < 0x1p-50;

    return twice ? 0.5 * bounds_unit(ANYNORM_F32, value) : 0;
}

void bounds_find_sum(const anynorm_spec *spec, struct bounds_row *row, uint64_t column,
                     double magnitude)
{
    double error = magnitude * bounds_epsilon(spec), h = row->h[column];

    row->h_error[column] = error + earlier_rounding(spec, spec->sum.type, h);
    row->n_error[column] = spec->flags & ANYNORM_STORED_SUM
                               ? rounded_error(spec->sum.type, h, row->h_error[column])
                               : error;
}

static double rstd_of(const anynorm_spec *spec, double deviation)
{
    if (spec->flags & ANYNORM_EPS_FLOOR)
        return 1 / fmax(deviation, spec->statistic.eps);
    return spec->flags & ANYNORM_EPS_OUTSIDE
               ? 1 / (deviation + spec->statistic.eps)
               : 1 / sqrt(deviation * deviation + spec->statistic.eps);
}

/* How far rstd may be off, as a share of it, where the deviation is by so much. Of a deviation no
 * larger than that nothing may be left, and rstd be what eps makes of it. */
static double share_of_rstd(const anynorm_spec *spec, double rstd, double error)
{
    double deviation = spec->flags & ANYNORM_EPS_FLOOR ? 1 / rstd
                       : spec->flags & ANYNORM_EPS_OUTSIDE
                           ? 1 / rstd - spec->statistic.eps
                           : sqrt(fmax(0, 1 / (rstd * rstd) - spec->statistic.eps));
    double most = rstd_of(spec, fmax(0, deviation - error)) / rstd;

    if (rstd == 0 || error == 0)
        return 0;
    return fmax(fmin(most, 1e100) - 1, 1 - rstd_of(spec, deviation + error) / rstd);
}

/* The mean's is at most the mean of the errors of h, and the deviation's, which is a norm of h, at
 * most their own norm. */
void bounds_find_statistics(const anynorm_spec *spec, struct bounds_row *row)
{
    double sum = 0, squares = 0, columns = (double)spec->columns;
    double divisor = spec->flags & ANYNORM_L2         ? 1
                     : spec->flags & ANYNORM_UNBIASED ? columns - 1
                                                      : columns;

    row->mean_error = row->rstd_error = 0;
    if (spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_INPUT))
        return;
    for (uint64_t c = 0; c < spec->columns; c++) {
        sum += row->n_error[c];
        squares += row->n_error[c] * row->n_error[c];
    }
    row->mean_error = spec->flags & ANYNORM_RMS ? 0 : sum / columns;
    row->rstd_error = share_of_rstd(spec, row->rstd, sqrt(squares / divisor));
}

double bounds_of_n(const anynorm_spec *spec, const struct bounds_row *row, uint64_t column)
{
    double n = row->n[column];
    double usual = spec->flags & ANYNORM_L2 ? 1 / sqrt((double)spec->columns) : 1;
    double bound = 8 * bounds_epsilon(spec) * fmax(usual, fabs(n)) +
                   row->rstd * (1 + row->rstd_error) * (row->n_error[column] + row->mean_error) +
                   2 * fabs(n) * row->rstd_error;

    if (!(spec->flags & ANYNORM_ROUND_FIRST))
        return bound;
    return rounded_error(spec->x.type, n, bound + earlier_rounding(spec, spec->x.type, n));
}

double bounds_of_unrounded_y(const anynorm_spec *spec, const struct bounds_row *row,
                             uint64_t column, const struct bounds_factors *factors)
{
    double epsilon = bounds_epsilon(spec), n = row->n[column], y = row->y[column];
    double bound = bounds_of_n(spec, row, column);
    double weight = factors->weight, scale = factors->scale;
    double factor = weight + spec->parameters.weight_offset, z;

    if (spec->flags & ANYNORM_ROUND_FIRST)
        n = bounds_rounded(spec->x.type, n);
    z = n * factor + factors->bias;
    bound = bound * fabs(factor) + epsilon * fabs(z);
    if (spec->flags & ANYNORM_ROUND_FIRST) /* which often takes all of the bound away */
        bound += epsilon * fabs(n * factor);
    if (spec->parameters.weight_offset != 0)
        bound += epsilon * fabs(n) * (fabs(weight) + fabs(spec->parameters.weight_offset));
    if (spec->flags & ANYNORM_SCALE)
        bound = bound * fabs(1 + scale) + epsilon * fabs(z) * (2 + 2 * fabs(scale));
    z = z * (1 + scale) + factors->shift;
    if (spec->flags & ANYNORM_SHIFT)
        bound += epsilon * fabs(z);
    if (spec->flags & ANYNORM_SILU) /* whose slope is 1.1 at most; what is denormal may be 0 */
        bound = 1.1 * bound + 8 * epsilon * fabs(y) + 0x1p-100;
    return bound;
}

double bounds_of_y(const anynorm_spec *spec, const struct bounds_row *row, uint64_t column,
                   const struct bounds_factors *factors)
{
    double bound = bounds_of_unrounded_y(spec, row, column, factors), y = row->y[column];

    bound += earlier_rounding(spec, spec->y.type, y);
    return spec->y.type == ANYNORM_F64 ? bound : bound + 0.5 * bounds_unit(spec->y.type, y);
}

double bounds_of_mean(const struct bounds_row *row)
{
    double spread = row->rstd > 0 ? 1 / row->rstd : 0;

    return 0x1p-23 * fabs(row->mean) + 8 * 0x1p-23 * spread + row->mean_error;
}

double bounds_of_rstd(const struct bounds_row *row)
{
    return (8 * 0x1p-23 + 2 * row->rstd_error) * fabs(row->rstd);
}

double bounds_share(double got, double expected, double bound)
{
    double error = fabs(got - expected);

    return error == 0 ? 0 : error / bound;
}

bool bounds_hold_no_number(const anynorm_spec *spec, double expected, double got)
{
    /* Statistics that are given make no NaN of an infinity. */
    bool given = spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_INPUT);

    return given ? !isfinite(got) || !isnan(expected) : isnan(got);
}

bool bounds_hold_sum(const anynorm_spec *spec, const struct bounds_row *row, uint64_t column,
                     double got)
{
    double h = row->h[column], error = row->h_error[column];

    if (isnan(h))
        return isnan(got);
    return isinf(h) ? got == h
                    : got >= bounds_rounded(spec->sum.type, h - error) &&
                          got <= bounds_rounded(spec->sum.type, h + error);
}
