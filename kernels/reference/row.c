#include "row.h"

#include <float.h>
#include <math.h>

/* A sum and the rounding error it has left behind (Neumaier 1974): good to the last place of double
 * whatever the order and number of terms. */
struct sum {
    double value;
    double error;
};

static void add(struct sum *sum, double term)
{
    double total = sum->value + term;
    sum->error +=
        fabs(sum->value) >= fabs(term) ? (sum->value - total) + term : (term - total) + sum->value;
    sum->value = total;
}

/* An infinite sum has no error to speak of, only inf - inf. */
static double total(const struct sum *sum)
{
    return isfinite(sum->value) ? sum->value + sum->error : sum->value;
}

static double round_to(anynorm_dtype type, double value)
{
    double storage;
    anynorm_dtype_store(type, &storage, 0, value);
    return anynorm_dtype_load(type, &storage, 0);
}

/* Column c of gate, scale or shift. */
static double load_sample(const anynorm_spec *spec, const anynorm_rows *rows, const void *row,
                          uint64_t c)
{
    return anynorm_dtype_load(rows->type, row, an_spec_column(spec, rows->column_stride, c));
}

/* What is normalized of column c. */
static double load_h(const anynorm_spec *spec, const struct an_row *row, uint64_t c)
{
    double h =
        anynorm_dtype_load(spec->x.type, row->x, an_spec_column(spec, spec->x.column_stride, c));
    if (row->pre_bias)
        h += anynorm_dtype_load(spec->parameters.type, row->pre_bias, an_spec_parameter(spec, c));
    if (row->residual) {
        double residual = anynorm_dtype_load(spec->residual.type, row->residual,
                                             an_spec_column(spec, spec->residual.column_stride, c));
        if (row->gate)
            residual *= load_sample(spec, &spec->gate, row->gate, c);
        h += residual;
    }
    return spec->flags & ANYNORM_STORED_SUM ? round_to(spec->sum.type, h) : h;
}

/* n = (h - pivot - correction) * rstd: the mean is kept in two parts. */
struct statistic {
    double count;
    double pivot;
    double correction;
    double squares; /* of the deviations from the mean, added up */
    double rstd;
};

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

/* rstd as it is written: of a row without a variance what eps makes of it, and never an infinity,
 * by which the row's zeros would become NaN where it is read again. */
static double written_rstd(const anynorm_spec *spec, double rstd)
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
static struct statistic find_statistic(const anynorm_spec *spec, const struct an_row *row)
{
    double columns = (double)spec->columns;
    struct statistic result = {.count = columns};
    if (!(spec->flags & ANYNORM_RMS)) {
        struct sum shifted = {0, 0};
        double first = load_h(spec, row, 0);
        for (uint64_t c = 1; c < spec->columns; c++)
            add(&shifted, load_h(spec, row, c) - first);
        result.pivot = first + total(&shifted) / columns;
    }
    struct sum deviation = {0, 0}, squares = {0, 0};
    for (uint64_t c = 0; c < spec->columns; c++) {
        double a = load_h(spec, row, c) - result.pivot;
        add(&deviation, a);
        add(&squares, a * a);
    }
    if (!(spec->flags & ANYNORM_RMS))
        result.correction = total(&deviation) / columns;
    result.squares =
        not_negative(total(&squares) - columns * result.correction * result.correction);
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
static struct statistic merge_shards(const anynorm_spec *spec, const struct an_row *row)
{
    struct sum count = {0, 0}, shifted = {0, 0}, deviation = {0, 0}, squares = {0, 0};
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
        add(&count, columns);
        add(&shifted, columns * (load_partial(row, k, 1) - first));
    }
    struct statistic result = {.count = total(&count)};
    if (!rms)
        result.pivot = first + total(&shifted) / result.count;
    for (uint64_t k = 0; k < spec->statistic.shards; k++) {
        double columns = load_partial(row, k, 0);
        if (columns == 0)
            continue;
        double a = rms ? 0 : load_partial(row, k, 1) - result.pivot;
        add(&deviation, columns * a);
        add(&squares, load_partial(row, k, 2));
        add(&squares, columns * a * a);
    }
    if (!rms)
        result.correction = total(&deviation) / result.count;
    result.squares =
        not_negative(total(&squares) - result.count * result.correction * result.correction);
    if (bad && !rms)
        result.pivot = (double)NAN;
    bool divides = !(spec->flags & ANYNORM_L2);
    if (bad || (divides && result.count <= (spec->flags & ANYNORM_UNBIASED ? 1 : 0)))
        result.squares = (double)NAN;
    return result;
}

static double rstd_from(const anynorm_spec *spec, const struct statistic *s)
{
    double variance = s->squares / (spec->flags & ANYNORM_L2 ? 1 : s->count);
    if (spec->flags & ANYNORM_UNBIASED)
        variance *= s->count / (s->count - 1);
    return rstd_of(spec, variance);
}

static struct statistic load_statistic(const anynorm_spec *spec, const struct an_row *row)
{
    bool has_mean = spec->flags & ANYNORM_MEAN_INPUT;
    return (struct statistic){.pivot = has_mean ? anynorm_dtype_load(ANYNORM_F32, row->mean, 0) : 0,
                              .rstd = anynorm_dtype_load(ANYNORM_F32, row->rstd, 0)};
}

/* What becomes of the normalized value of column c. */
static double finish(const anynorm_spec *spec, const struct an_row *row, uint64_t c, double n)
{
    uint64_t k = an_spec_parameter(spec, c);
    double z = spec->flags & ANYNORM_ROUND_FIRST ? round_to(spec->x.type, n) : n;
    if (row->weight)
        z *= anynorm_dtype_load(spec->parameters.type, row->weight, k) +
             spec->parameters.weight_offset;
    if (row->bias)
        z += anynorm_dtype_load(spec->parameters.type, row->bias, k);
    if (row->scale)
        z *= 1 + load_sample(spec, &spec->scale, row->scale, c);
    if (row->shift)
        z += load_sample(spec, &spec->shift, row->shift, c);
    return spec->flags & ANYNORM_SILU ? z / (1 + exp(-z)) : z;
}

/* What becomes of column c before it is quantized. */
static double find_z(const anynorm_spec *spec, const struct an_row *row, uint64_t c,
                     const struct statistic *s)
{
    double h = load_h(spec, row, c);
    return finish(spec, row, c, (h - s->pivot - s->correction) * s->rstd);
}

/* Rows whose largest magnitude is less have the scale 0: its inverse would leave f32. */
#define LEAST_MAGNITUDE 0x1p-100f

/* What the row is divided by before it is rounded. */
static double find_y_scale(const anynorm_spec *spec, const struct an_row *row,
                           const struct statistic *s)
{
    if (spec->flags & ANYNORM_Y_SCALE_INPUT)
        return anynorm_dtype_load(ANYNORM_F32, row->y_scale, 0);
    if (!(spec->flags & ANYNORM_Y_SCALE_OUTPUT))
        return 1;
    float largest = 0, bound = (float)spec->quantization.bound;
    for (uint64_t c = 0; c < spec->columns; c++) {
        float magnitude = fabsf((float)find_z(spec, row, c, s));
        if (isnan(magnitude))
            return (double)NAN;
        if (magnitude > largest)
            largest = magnitude;
    }
    if (spec->quantization.bound > 0 && largest > bound)
        largest = bound;
    return largest < LEAST_MAGNITUDE ? 0
                                     : (double)(largest / (spec->y.type == ANYNORM_I8 ? 127 : 448));
}

struct an_row an_row_at(void *const at[AN_TENSOR_COUNT])
{
    return (struct an_row){.x = at[AN_X],
                           .y = at[AN_Y],
                           .weight = at[AN_WEIGHT],
                           .bias = at[AN_BIAS],
                           .mean = at[AN_MEAN],
                           .rstd = at[AN_RSTD],
                           .residual = at[AN_RESIDUAL],
                           .sum = at[AN_SUM],
                           .pre_bias = at[AN_PRE_BIAS],
                           .gate = at[AN_GATE],
                           .scale = at[AN_SCALE],
                           .shift = at[AN_SHIFT],
                           .partials = at[AN_PARTIALS],
                           .y_scale = at[AN_Y_SCALE]};
}

void an_reference_row(const anynorm_spec *spec, const struct an_row *row)
{
    struct statistic s = spec->flags & ANYNORM_RSTD_INPUT       ? load_statistic(spec, row)
                         : spec->flags & ANYNORM_PARTIALS_INPUT ? merge_shards(spec, row)
                                                                : find_statistic(spec, row);
    if (!(spec->flags & ANYNORM_RSTD_INPUT))
        s.rstd = rstd_from(spec, &s);
    double y_scale = row->y ? find_y_scale(spec, row, &s) : 1;
    bool zero = (spec->flags & ANYNORM_Y_SCALE_OUTPUT) && y_scale == 0;
    /* Where y and sum are x and residual, an element of both is read before either is written. */
    for (uint64_t c = 0; c < spec->columns; c++) {
        double h = load_h(spec, row, c);
        double y = zero ? 0 : row->y ? find_z(spec, row, c, &s) / y_scale : (double)NAN;
        if (row->sum)
            anynorm_dtype_store(spec->sum.type, row->sum,
                                an_spec_column(spec, spec->sum.column_stride, c), h);
        if (row->y)
            anynorm_dtype_store(spec->y.type, row->y,
                                an_spec_column(spec, spec->y.column_stride, c), y);
    }
    if (spec->flags & ANYNORM_MEAN_OUTPUT)
        anynorm_dtype_store(ANYNORM_F32, row->mean, 0, s.pivot + s.correction);
    if (spec->flags & ANYNORM_RSTD_OUTPUT)
        anynorm_dtype_store(ANYNORM_F32, row->rstd, 0, written_rstd(spec, s.rstd));
    if (spec->flags & ANYNORM_PARTIALS_OUTPUT) {
        anynorm_dtype_store(ANYNORM_F32, row->partials, 0, s.count);
        anynorm_dtype_store(ANYNORM_F32, row->partials, 1, s.pivot + s.correction);
        anynorm_dtype_store(ANYNORM_F32, row->partials, 2, s.squares);
    }
    if (spec->flags & ANYNORM_Y_SCALE_OUTPUT)
        anynorm_dtype_store(ANYNORM_F32, row->y_scale, 0, y_scale);
}
