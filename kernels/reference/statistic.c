#include "statistic.h"

#include <float.h>
#include <math.h>

void an_sum_add(struct an_sum *sum, double term)
{
    double total = sum->value + term;
    sum->error +=
        fabs(sum->value) >= fabs(term) ? (sum->value - total) + term : (term - total) + sum->value;
    sum->value = total;
}

/* An infinite sum has no error to speak of, only inf - inf. */
double an_sum_total(const struct an_sum *sum)
{
    return isfinite(sum->value) ? sum->value + sum->error : sum->value;
}

double an_round_to(anynorm_dtype type, double value)
{
    double storage;
    anynorm_dtype_store(type, &storage, 0, value);
    return anynorm_dtype_load(type, &storage, 0);
}

double an_load_sample(const anynorm_spec *spec, const anynorm_rows *rows, const void *row,
                      uint64_t c)
{
    return anynorm_dtype_load(rows->type, row, an_spec_column(spec, rows->column_stride, c));
}

double an_load_h(const anynorm_spec *spec, const struct an_row *row, uint64_t c)
{
    if (spec->gradients.flags & ANYNORM_SAVED_SUM)
        return anynorm_dtype_load(spec->sum.type, row->sum,
                                  an_spec_column(spec, spec->sum.column_stride, c));
    double h =
        anynorm_dtype_load(spec->x.type, row->x, an_spec_column(spec, spec->x.column_stride, c));
    if (row->pre_bias)
        h += anynorm_dtype_load(spec->parameters.type, row->pre_bias, an_spec_parameter(spec, c));
    if (row->residual) {
        double residual = anynorm_dtype_load(spec->residual.type, row->residual,
                                             an_spec_column(spec, spec->residual.column_stride, c));
        if (row->gate)
            residual *= an_load_sample(spec, &spec->gate, row->gate, c);
        h += residual;
    }
    return spec->flags & ANYNORM_STORED_SUM ? an_round_to(spec->sum.type, h) : h;
}

static double rstd_of(const anynorm_spec *spec, double variance)
{
    if (isinf(variance))
        return (double)NAN; /* the squares overflowed: no number stands for this row */
    if (variance == 0 && spec->statistic.eps < DBL_MIN)
        return 0; /* it may have underflowed: 1 / eps would make anything of the row's last digits
                   */
    if (spec->flags & ANYNORM_EPS_OUTSIDE)
        return 1 / (sqrt(variance) + spec->statistic.eps);
    if (spec->flags & ANYNORM_EPS_FLOOR) { /* not fmax, which makes a number of NaN */
        double root = sqrt(variance);
        return 1 / (root < spec->statistic.eps ? spec->statistic.eps : root);
    }
    double sum = variance + spec->statistic.eps;
    return isinf(sum) ? 0.5 / sqrt(variance / 4 + spec->statistic.eps / 4) : 1 / sqrt(sum);
}

double an_written_rstd(const anynorm_spec *spec, double rstd)
{
    if (rstd == 0 && spec->statistic.eps > 0)
        rstd = 1 / (spec->flags & AN_EPS_OF_DEVIATION ? spec->statistic.eps
                                                      : sqrt(spec->statistic.eps));
    return rstd > (double)FLT_MAX ? (double)FLT_MAX : rstd;
}

/* Rounding may leave less than nothing of nothing. */
static double not_negative(double squares)
{
    return squares < 0 ? 0 : squares;
}

/* Of the columns that x has; rstd is left open. */
static struct an_statistic find_statistic(const anynorm_spec *spec, const struct an_row *row)
{
    double columns = (double)spec->columns;
    struct an_statistic result = {.count = columns};
    if (!(spec->flags & ANYNORM_RMS)) {
        struct an_sum shifted = {0, 0};
        double first = an_load_h(spec, row, 0);
        for (uint64_t c = 1; c < spec->columns; c++)
            an_sum_add(&shifted, an_load_h(spec, row, c) - first);
        result.pivot = first + an_sum_total(&shifted) / columns;
    }
    struct an_sum deviation = {0, 0}, squares = {0, 0};
    for (uint64_t c = 0; c < spec->columns; c++) {
        double a = an_load_h(spec, row, c) - result.pivot;
        an_sum_add(&deviation, a);
        an_sum_add(&squares, a * a);
    }
    if (!(spec->flags & ANYNORM_RMS))
        result.correction = an_sum_total(&deviation) / columns;
    result.squares =
        not_negative(an_sum_total(&squares) - columns * result.correction * result.correction);
    return result;
}

/* One of the numbers of a shard's partials. */
static double load_partial(const struct an_row *row, uint64_t shard, uint64_t number)
{
    return anynorm_dtype_load(ANYNORM_F32, row->partials,
                              shard * row->rows * AN_PARTIAL_NUMBERS + number);
}

static bool is_size(double size)
{
    return isfinite(size) && size >= 0;
}

/* The same of all columns of all shards, by the formula for a row on their means. */
static struct an_statistic merge_shards(const anynorm_spec *spec, const struct an_row *row)
{
    struct an_sum count = {0, 0}, shifted = {0, 0}, deviation = {0, 0}, squares = {0, 0};
    double first = 0;
    bool rms = spec->flags & ANYNORM_RMS, bad = false;
    for (uint64_t k = 0; k < spec->statistic.shards; k++) {
        double columns = load_partial(row, k, 0);
        if (columns == 0)
            continue;
        bad = bad || !is_size(columns) || !is_size(load_partial(row, k, 2)) ||
              (!rms && !isfinite(load_partial(row, k, 1)));
        if (count.value == 0)
            first = load_partial(row, k, 1);
        an_sum_add(&count, columns);
        an_sum_add(&shifted, columns * (load_partial(row, k, 1) - first));
    }
    struct an_statistic result = {.count = an_sum_total(&count)};
    if (!rms)
        result.pivot = first + an_sum_total(&shifted) / result.count;
    for (uint64_t k = 0; k < spec->statistic.shards; k++) {
        double columns = load_partial(row, k, 0);
        if (columns == 0)
            continue;
        double a = rms ? 0 : load_partial(row, k, 1) - result.pivot;
        an_sum_add(&deviation, columns * a);
        an_sum_add(&squares, load_partial(row, k, 2));
        an_sum_add(&squares, columns * a * a);
    }
    if (!rms)
        result.correction = an_sum_total(&deviation) / result.count;
    result.squares =
        not_negative(an_sum_total(&squares) - result.count * result.correction * result.correction);
    if (bad && !rms)
        result.pivot = (double)NAN;
    bool divides = !(spec->flags & ANYNORM_L2);
    if (bad || (divides && result.count <= (spec->flags & ANYNORM_UNBIASED ? 1 : 0)))
        result.squares = (double)NAN;
    return result;
}

static double variance_of(const anynorm_spec *spec, const struct an_statistic *s)
{
    double variance = s->squares / (spec->flags & ANYNORM_L2 ? 1 : s->count);
    return spec->flags & ANYNORM_UNBIASED ? variance * (s->count / (s->count - 1)) : variance;
}

static double rstd_from(const anynorm_spec *spec, const struct an_statistic *s)
{
    return rstd_of(spec, variance_of(spec, s));
}

static struct an_statistic load_statistic(const anynorm_spec *spec, const struct an_row *row)
{
    bool has_mean = spec->flags & (ANYNORM_MEAN_INPUT | ANYNORM_MEAN_OUTPUT);
    return (struct an_statistic){.pivot =
                                     has_mean ? anynorm_dtype_load(ANYNORM_F32, row->mean, 0) : 0,
                                 .rstd = anynorm_dtype_load(ANYNORM_F32, row->rstd, 0)};
}

struct an_statistic an_statistic_of(const anynorm_spec *spec, const struct an_row *row)
{
    if (spec->flags & ANYNORM_RSTD_INPUT)
        return load_statistic(spec, row);
    struct an_statistic s =
        spec->flags & ANYNORM_PARTIALS_INPUT ? merge_shards(spec, row) : find_statistic(spec, row);
    s.rstd = rstd_from(spec, &s);
    return s;
}

struct an_statistic an_saved_statistic_of(const anynorm_spec *spec, const struct an_row *row)
{
    struct an_statistic s = load_statistic(spec, row);
    if ((spec->flags & ANYNORM_RMS) || (spec->gradients.flags & AN_DPARTIALS))
        return s;
    struct an_sum deviation = {0, 0};
    for (uint64_t c = 0; c < spec->columns; c++)
        an_sum_add(&deviation, an_load_h(spec, row, c) - s.pivot);
    s.correction = an_sum_total(&deviation) / (double)spec->columns;
    return s;
}

double an_deviation_of(const anynorm_spec *spec, const struct an_statistic *s)
{
    return sqrt(variance_of(spec, s));
}
