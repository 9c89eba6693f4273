#include "gradient_bounds.h"

#include <float.h>
#include <math.h>

/* A column on its way back, SiLU left out: where its slope is next to nothing it is so by
 * cancellation, and what counts is dy. */
struct back {
    double n, z;
    double n_size; /* of n, 1 at least: its own bound, in units */
    double
        beyond; /* how much of n_size is for what n loses before it is normalized, or by rounding */
    double weight; /* with its offset */
    double dshift, dz, g;
};

static struct back go_back(const anynorm_spec *spec, const struct bounds_row *row, uint64_t column,
                           const struct gradient_column *given)
{
    const struct bounds_factors *factors = &given->factors;
    struct back b = {.n = row->n[column], .dshift = given->dy};
    double usual = fmax(1, fabs(b.n));

    if (!isfinite(b.n)) /* what may follow from it is no number, or is not made of it */
        usual = 1;
    else
        b.n_size = bounds_of_n(spec, row, column) / (8 * bounds_epsilon(spec));
    b.n_size = fmax(usual, b.n_size);
    b.beyond = b.n_size - usual;
    if (spec->flags & ANYNORM_ROUND_FIRST)
        b.n = bounds_rounded(spec->x.type, b.n);
    b.weight = factors->weight + spec->parameters.weight_offset;
    b.z = b.n * b.weight + factors->bias;
    if (spec->flags & ANYNORM_SILU) /* whose slope changes by half at most where y' does by 1 */
        b.dshift *= 1 + 0.5 * fabs(b.weight * (1 + factors->scale)) * b.beyond;
    b.dz = b.dshift * (1 + factors->scale);
    b.g = b.dz * b.weight;
    return b;
}

/* dh is rstd * (g - mean of g - n * G), G the mean of g * n. What n is off by beyond the usual is
 * in the last term twice: in n itself, and in G. */
double gradient_row_scale(const anynorm_spec *spec, const struct bounds_row *row,
                          const struct gradient_column *columns)
{
    double g = 0, n = 0, dsum = 0, beyond = 0, gn = 0, gbeyond = 0;
    double divisor = spec->flags & ANYNORM_L2 ? 1 : (double)spec->columns;

    for (uint64_t c = 0; c < spec->columns; c++) {
        const struct back b = go_back(spec, row, c, &columns[c]);

        g = fmax(g, fabs(b.g) * b.n_size);
        n = fmax(n, fabs(b.n));
        beyond = fmax(beyond, b.beyond);
        gn += fabs(b.g * b.n) / divisor;
        gbeyond += fabs(b.g) * b.beyond / divisor;
        dsum = fmax(dsum, fabs(columns[c].dsum));
    }
    if (!(spec->flags & ANYNORM_RSTD_INPUT)) /* else dh is rstd * g */
        g += gn * beyond + n * gbeyond + g * row->rstd_error / (8 * bounds_epsilon(spec));
    return row->rstd * g + dsum;
}

double gradient_scale(const anynorm_spec *spec, enum cli_tensor tensor,
                      const struct bounds_row *row, uint64_t column,
                      const struct gradient_column *given, double row_scale)
{
    const struct back b = go_back(spec, row, column, given);

    switch (tensor) {
    case TENSOR_DRESIDUAL:
        return fabs(given->gate) * row_scale;
    case TENSOR_DWEIGHT:
        return b.dz * b.n_size;
    case TENSOR_DBIAS:
        return b.dz;
    case TENSOR_DGATE:
        return given->residual * row_scale;
    case TENSOR_DSCALE:
        return b.dshift *
               (fmax(b.n_size - b.beyond, fabs(b.z)) + b.beyond * fmax(1, fabs(b.weight)));
    case TENSOR_DSHIFT:
        return b.dshift;
    default: /* dx, and what dpre_bias adds up */
        return row_scale;
    }
}

double gradient_sum_scale(double squares, double sum)
{
    return fmax(sqrt(squares), fabs(sum));
}

double gradient_error(const anynorm_spec *spec, anynorm_dtype type, double got, double expected,
                      double scale)
{
    double epsilon = bounds_epsilon(spec), off;

    if (isnan(expected) && isnan(got))
        return 0;
    if (got == expected || got == bounds_rounded(type, expected))
        return 0;
    if (!isfinite(got) || !isfinite(expected))
        return HUGE_VAL;
    off = fabs(got - expected) - 0.5 * bounds_unit(type, fmax(fabs(got), fabs(expected)));
    /* Of what is too small for the arithmetic nothing may be left. */
    return off <= 0 ? 0
                    : off / fmax(scale * epsilon, epsilon < 0x1p-50 ? DBL_MIN : (double)FLT_MIN);
}
