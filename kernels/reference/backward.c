#include "backward.h"

#include <math.h>

/* The slope of z * sigmoid(z). Far out, where exp would be infinite, it is 0 or 1. */
static double silu_slope(double z)
{
    double s = 1 / (1 + exp(-z));
    return s == 0 ? 0 : s * (1 + z * (1 - s));
}

struct an_column an_reference_trace(const anynorm_spec *spec, const struct an_row *row, uint64_t c,
                                    double n)
{
    uint64_t k = an_spec_parameter(spec, c);
    double weight = 1, bias = 0, scale = 1, shift = 0;
    if (row->weight)
        weight = anynorm_dtype_load(spec->parameters.type, row->weight, k) +
                 spec->parameters.weight_offset;
    if (row->bias)
        bias = anynorm_dtype_load(spec->parameters.type, row->bias, k);
    if (row->scale)
        scale = 1 + an_load_sample(spec, &spec->scale, row->scale, c);
    if (row->shift)
        shift = an_load_sample(spec, &spec->shift, row->shift, c);
    struct an_column t = {.n =
                              spec->flags & ANYNORM_ROUND_FIRST ? an_round_to(spec->x.type, n) : n};
    t.z = t.n * weight + bias;
    t.dshift =
        anynorm_dtype_load(spec->y.type, row->dy, an_spec_column(spec, spec->y.column_stride, c));
    if (spec->flags & ANYNORM_SILU)
        t.dshift *= silu_slope(t.z * scale + shift);
    t.dz = t.dshift * scale;
    t.g = t.dz * weight;
    return t;
}

/* What the sum of g * n counts beside its mean: how rstd changes with the deviation. */
static double share_of_deviation(const anynorm_spec *spec, double rstd, double deviation,
                                 bool saved)
{
    double eps = spec->statistic.eps;
    if (spec->flags & ANYNORM_EPS_FLOOR)
        return (saved ? rstd * eps < 1 : deviation >= eps && deviation > 0) ? 1 : 0;
    if (!(spec->flags & ANYNORM_EPS_OUTSIDE))
        return 1;
    double left = saved ? 1 - eps * rstd : deviation * rstd; /* of deviation / (deviation + eps) */
    return left > 0 ? 1 / left : left == left ? 0 : left;
}

/* What is taken off each g: a constant, and so much of n. */
struct taken {
    double mean;
    double of_n;
};

/* One of the numbers of a shard. */
static double load_partial(const struct an_row *row, uint64_t shard, uint64_t number)
{
    return anynorm_dtype_load(ANYNORM_F32, row->partials,
                              shard * row->rows * AN_PARTIAL_NUMBERS + number);
}

static struct taken find_taken(const anynorm_spec *spec, double columns, double g, double gn,
                               double share)
{
    double of = spec->flags & ANYNORM_L2         ? 1
                : spec->flags & ANYNORM_UNBIASED ? columns - 1
                                                 : columns;
    struct taken taken = {spec->flags & ANYNORM_RMS ? 0 : g / columns, share * (gn / of)};
    if (!isfinite(g) || !isfinite(gn))
        taken.mean = taken.of_n = (double)NAN;
    return taken;
}

static void add_to(struct an_sum *sums, uint64_t at, double term)
{
    if (sums)
        an_sum_add(&sums[at], term);
}

void an_reference_backward(const anynorm_spec *spec, const struct an_row *row,
                           const struct an_row_sums *sums)
{
    bool saved = spec->flags & ANYNORM_RSTD_OUTPUT, constant = spec->flags & ANYNORM_RSTD_INPUT;
    struct an_statistic s = saved ? an_saved_statistic_of(spec, row) : an_statistic_of(spec, row);
    struct an_sum g = {0, 0}, gn = {0, 0};
    double columns = (double)spec->columns;
    struct taken taken = {0, 0};
    if (!constant) {
        for (uint64_t c = 0; c < spec->columns; c++) {
            double n = (an_load_h(spec, row, c) - s.pivot - s.correction) * s.rstd;
            struct an_column t = an_reference_trace(spec, row, c, n);
            an_sum_add(&g, t.g);
            an_sum_add(&gn, t.g * n);
        }
        if (spec->gradients.flags & ANYNORM_DPARTIALS_OUTPUT) {
            anynorm_dtype_store(ANYNORM_F32, row->partials, 0, columns);
            anynorm_dtype_store(ANYNORM_F32, row->partials, 1, an_sum_total(&g));
            anynorm_dtype_store(ANYNORM_F32, row->partials, 2, an_sum_total(&gn));
            return;
        }
        if (spec->gradients.flags & ANYNORM_DPARTIALS_INPUT) {
            struct an_sum count = {0, 0};
            g = gn = count;
            for (uint64_t k = 0; k < spec->statistic.shards; k++) {
                if (load_partial(row, k, 0) == 0)
                    continue;
                an_sum_add(&count, load_partial(row, k, 0));
                an_sum_add(&g, load_partial(row, k, 1));
                an_sum_add(&gn, load_partial(row, k, 2));
            }
            columns = an_sum_total(&count);
        }
        double deviation = saved ? 0 : an_deviation_of(spec, &s);
        taken = find_taken(spec, columns, an_sum_total(&g), an_sum_total(&gn),
                           share_of_deviation(spec, s.rstd, deviation, saved));
    }
    double rstd = saved || constant ? s.rstd : an_written_rstd(spec, s.rstd);
    for (uint64_t c = 0; c < spec->columns; c++) {
        uint64_t k = an_spec_parameter(spec, c);
        double n = (an_load_h(spec, row, c) - s.pivot - s.correction) * s.rstd;
        struct an_column t = an_reference_trace(spec, row, c, n);
        double dh = rstd * (t.g - taken.mean - n * taken.of_n);
        if (row->dsum)
            dh += anynorm_dtype_load(spec->sum.type, row->dsum,
                                     an_spec_column(spec, spec->sum.column_stride, c));
        add_to(sums->dshift, c, t.dshift);
        add_to(sums->dscale, c, t.dshift * t.z);
        add_to(sums->dbias, k, t.dz);
        add_to(sums->dweight, k, t.dz * t.n);
        add_to(sums->dpre_bias, k, dh);
        double gate = row->gate ? an_load_sample(spec, &spec->gate, row->gate, c) : 1;
        if (sums->dgate)
            add_to(sums->dgate, c,
                   dh * anynorm_dtype_load(spec->residual.type, row->residual,
                                           an_spec_column(spec, spec->residual.column_stride, c)));
        /* Where dx and dresidual are inputs, an element of all is read before either is written. */
        if (row->dx)
            anynorm_dtype_store(spec->gradients.dx.type, row->dx,
                                an_spec_column(spec, spec->gradients.dx.column_stride, c), dh);
        if (row->dresidual)
            anynorm_dtype_store(spec->gradients.dresidual.type, row->dresidual,
                                an_spec_column(spec, spec->gradients.dresidual.column_stride, c),
                                dh * gate);
    }
}
