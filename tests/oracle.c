/* The comparison of what a device wrote with what the reference has, within the bounds of
 * docs/numerics.md. */
#include "support.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "row.h"

/* The oracle's row, and what it may differ by where sums were formed in less than double. */
struct oracle {
    double *y;       /* in double and unrounded */
    double *n;       /* normalized values, before they are rounded first or become y */
    double *h;       /* what is normalized, before it is rounded to sum_type */
    double *h_error; /* of h as added up in the kernels' arithmetic */
    double *n_error; /* of h as normalized: rounded where STORED_SUM says so */
    double mean;
    double rstd;
    double mean_error;
    double rstd_error; /* as a share of rstd */
};

static void fail_at(const struct problem *problem, const char *label, const char *what,
                    uint64_t row, uint64_t column, double got, double expected)
{
    fprintf(stderr,
            "%s: %s: %s at row %" PRIu64 ", column %" PRIu64 " is %.9g, the oracle has %.9g\n",
            label, problem_text(problem), what, row, column, got, expected);
    fail();
}

/* The distance between neighbouring numbers of a type near `value`. */
static double unit_of(anynorm_dtype type, double value)
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

static double round_to(anynorm_dtype type, double value)
{
    double storage;
    anynorm_dtype_store(type, &storage, 0, value);
    return anynorm_dtype_load(type, &storage, 0);
}

/* How far rounding may take what is within `error` of a value from where it takes the value. */
static double rounded_error(anynorm_dtype type, double value, double error)
{
    double middle = round_to(type, value);
    double below = middle - round_to(type, value - error);
    double above = round_to(type, value + error) - middle;
    return isfinite(below) && isfinite(above) ? fmax(below, above) : (double)INFINITY;
}

static double arithmetic_error(const anynorm_spec *spec)
{
    return an_spec_double(spec) ? 0x1p-52 : 0x1p-23;
}

static void raise(double *worst, double error)
{
    if (!(error <= *worst))
        *worst = error;
}

/* ---- Asking ---- */

static void *tensor_at(const struct problem *problem, const anynorm_spec *spec,
                       const struct images *images, enum an_tensor tensor, uint64_t row)
{
    enum an_tensor image = image_of(problem, tensor);
    if (!an_tensor_expect(spec, tensor).present || !images->bytes[image])
        return NULL;
    return images->bytes[image] + problem->offset[image] + an_tensor_start(spec, tensor, row);
}

/* The inputs of a row. */
static struct an_row inputs_of(const struct problem *problem, const anynorm_spec *spec,
                               const struct images *images, uint64_t row)
{
    void *at[AN_TENSOR_COUNT];
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        at[t] = an_tensor_expect(spec, (enum an_tensor)t).output
                    ? NULL
                    : tensor_at(problem, spec, images, (enum an_tensor)t, row);
    return an_row_at(at);
}

/* The sizes of what h is added up from, together. */
static double magnitude(const anynorm_spec *spec, const struct an_row *row, uint64_t c)
{
    double result = fabs(anynorm_dtype_load(spec->x_type, row->x, c * spec->x_column_stride));
    if (row->pre_bias)
        result +=
            fabs(anynorm_dtype_load(spec->parameter_type, row->pre_bias, c / spec->parameter_run));
    if (row->residual) {
        double residual = anynorm_dtype_load(spec->residual_type, row->residual,
                                             c * spec->residual_column_stride);
        if (row->gate)
            residual *= anynorm_dtype_load(spec->sample_type, row->gate, c);
        result += fabs(residual);
    }
    return result;
}

/* What errors of h make of the statistics: the mean's is at most their mean, and the deviation's,
 * which is a norm of h, at most their own norm. */
static void spread_errors(const anynorm_spec *spec, struct oracle *oracle)
{
    double sum = 0, squares = 0, columns = (double)spec->columns;
    oracle->mean_error = oracle->rstd_error = 0;
    if (spec->flags & ANYNORM_RSTD_INPUT)
        return;
    for (uint64_t c = 0; c < spec->columns; c++) {
        sum += oracle->n_error[c];
        squares += oracle->n_error[c] * oracle->n_error[c];
    }
    double divisor = spec->flags & ANYNORM_L2         ? 1
                     : spec->flags & ANYNORM_UNBIASED ? columns - 1
                                                      : columns;
    oracle->mean_error = spec->flags & ANYNORM_RMS ? 0 : sum / columns;
    oracle->rstd_error = oracle->rstd * sqrt(squares / divisor);
}

static void ask_sums(const anynorm_spec *spec, const struct an_row *inputs, struct oracle *oracle)
{
    if (!(spec->flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS | AN_SUMS))) {
        memset(oracle->n_error, 0, (size_t)spec->columns * sizeof(double));
        return;
    }
    /* With statistics of 0 and 1, what is normalized comes out. */
    float one = 1;
    anynorm_spec plain = *spec;
    plain.flags = (spec->flags & (ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS)) |
                  ANYNORM_RMS | ANYNORM_RSTD_INPUT;
    plain.y_type = ANYNORM_F64;
    plain.y_column_stride = 1;
    an_reference_row(&plain, &(struct an_row){.x = inputs->x,
                                              .y = oracle->h,
                                              .rstd = &one,
                                              .residual = inputs->residual,
                                              .pre_bias = inputs->pre_bias,
                                              .gate = inputs->gate});
    bool adds = spec->flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS);
    for (uint64_t c = 0; c < spec->columns; c++) {
        double error = adds ? magnitude(spec, inputs, c) * arithmetic_error(spec) : 0;
        oracle->h_error[c] = error;
        oracle->n_error[c] = spec->flags & ANYNORM_STORED_SUM
                                 ? rounded_error(spec->sum_type, oracle->h[c], error)
                                 : error;
    }
}

static void ask_oracle(const anynorm_spec *spec, const struct an_row *inputs, struct oracle *oracle)
{
    const uint32_t statistics = ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;
    const uint32_t finish = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_ROUND_FIRST | ANYNORM_SCALE |
                            ANYNORM_SHIFT | ANYNORM_SILU;
    anynorm_spec wide = *spec;
    float mean = 0, rstd = 0;
    wide.y_type = ANYNORM_F64;
    wide.y_column_stride = 1;
    wide.flags &= ~(statistics | ANYNORM_SUM_OUTPUT);
    struct an_row row = *inputs;
    row.y = oracle->y;
    an_reference_row(&wide, &row);
    wide.flags &= ~finish;
    row.y = oracle->n;
    row.weight = row.bias = row.scale = row.shift = NULL;
    if (spec->flags & ANYNORM_RSTD_INPUT) {
        an_reference_row(&wide, &row);
        mean = row.mean ? (float)anynorm_dtype_load(ANYNORM_F32, row.mean, 0) : 0;
        rstd = (float)anynorm_dtype_load(ANYNORM_F32, row.rstd, 0);
    } else {
        wide.flags |= statistics;
        row.mean = &mean;
        row.rstd = &rstd;
        an_reference_row(&wide, &row);
    }
    oracle->mean = (double)mean;
    oracle->rstd = (double)rstd;
    ask_sums(spec, inputs, oracle);
    spread_errors(spec, oracle);
}

/* ---- Comparing ---- */

/* What y may differ by, where its row is one of numbers. */
static double bound_of_y(const anynorm_spec *spec, const struct an_row *inputs,
                         const struct oracle *oracle, uint64_t c)
{
    double epsilon = arithmetic_error(spec), n = oracle->n[c], y = oracle->y[c];
    uint64_t k = c / spec->parameter_run;
    double usual = spec->flags & ANYNORM_L2 ? 1 / sqrt((double)spec->columns) : 1;
    double bound = 8 * epsilon * fmax(usual, fabs(n)) +
                   oracle->rstd * (oracle->n_error[c] + oracle->mean_error) +
                   2 * fabs(n) * oracle->rstd_error;
    if (spec->flags & ANYNORM_ROUND_FIRST) {
        bound = rounded_error(spec->x_type, n, bound);
        n = round_to(spec->x_type, n);
    }
    double weight =
        inputs->weight ? anynorm_dtype_load(spec->parameter_type, inputs->weight, k) : 1;
    double bias = inputs->bias ? anynorm_dtype_load(spec->parameter_type, inputs->bias, k) : 0;
    double scale = inputs->scale ? anynorm_dtype_load(spec->sample_type, inputs->scale, c) : 0;
    double shift = inputs->shift ? anynorm_dtype_load(spec->sample_type, inputs->shift, c) : 0;
    double factor = weight + spec->weight_offset, z = n * factor + bias;
    bound = bound * fabs(factor) + epsilon * fabs(z);
    if (spec->flags & ANYNORM_ROUND_FIRST) /* which often takes all of the bound away */
        bound += epsilon * fabs(n * factor);
    if (spec->weight_offset != 0)
        bound += epsilon * fabs(n) * (fabs(weight) + fabs(spec->weight_offset));
    if (inputs->scale)
        bound = bound * fabs(1 + scale) + epsilon * fabs(z) * (2 + 2 * fabs(scale));
    z = z * (1 + scale) + shift;
    if (inputs->shift)
        bound += epsilon * fabs(z);
    if (spec->flags & ANYNORM_SILU) /* whose slope is 1.1 at most; what is denormal may be 0 */
        bound = 1.1 * bound + 8 * epsilon * fabs(y) + 0x1p-100;
    return spec->y_type == ANYNORM_F64 ? bound : bound + 0.5 * unit_of(spec->y_type, y);
}

static void check_y(const struct problem *problem, const anynorm_spec *spec, uint64_t row,
                    const struct an_row *inputs, const struct oracle *oracle, const void *y,
                    const char *label, struct errors *worst)
{
    for (uint64_t c = 0; c < spec->columns; c++) {
        double got = anynorm_dtype_load(spec->y_type, y, c * spec->y_column_stride);
        double expected = oracle->y[c];
        if (!isfinite(oracle->n[c])) {
            /* Statistics that are given make no NaN of an infinity. */
            bool right =
                spec->flags & ANYNORM_RSTD_INPUT ? !isfinite(got) || !isnan(expected) : isnan(got);
            if (!right)
                fail_at(problem, label, "y of a row without numbers", row, c, got, expected);
            continue;
        }
        double error = fabs(got - expected);
        error = error == 0 ? 0 : error / bound_of_y(spec, inputs, oracle, c);
        raise(&worst->y, error);
        if (!(error <= 1))
            fail_at(problem, label, "y", row, c, got, expected);
    }
}

/* Of sums that are formed within h_error of the oracle's, rounding makes one of few numbers. */
static void check_sum(const struct problem *problem, const anynorm_spec *spec, uint64_t row,
                      const struct oracle *oracle, const void *sum, const char *label)
{
    for (uint64_t c = 0; sum && c < spec->columns; c++) {
        double got = anynorm_dtype_load(spec->sum_type, sum, c * spec->sum_column_stride);
        double h = oracle->h[c], error = oracle->h_error[c];
        bool right = isnan(h)   ? isnan(got)
                     : isinf(h) ? got == h
                                : got >= round_to(spec->sum_type, h - error) &&
                                      got <= round_to(spec->sum_type, h + error);
        if (!right)
            fail_at(problem, label, "sum", row, c, got, h);
    }
}

static void check_statistic(const struct problem *problem, enum an_tensor tensor, const void *at,
                            uint64_t row, const struct oracle *oracle, const char *label,
                            struct errors *worst)
{
    double got = anynorm_dtype_load(ANYNORM_F32, at, 0);
    double expected = tensor == AN_MEAN ? oracle->mean : oracle->rstd;
    const char *name = an_tensor_name(tensor);
    if (!isfinite(oracle->mean) || !isfinite(oracle->rstd)) {
        if (isfinite(got))
            fail_at(problem, label, name, row, 0, got, expected);
        return;
    }
    double spread = oracle->rstd > 0 ? 1 / oracle->rstd : 0;
    double bound = tensor == AN_MEAN
                       ? 0x1p-23 * fabs(expected) + 8 * 0x1p-23 * spread + oracle->mean_error
                       : (8 * 0x1p-23 + 2 * oracle->rstd_error) * fabs(expected);
    double error = fabs(got - expected);
    error = error == 0 ? 0 : error / bound;
    raise(tensor == AN_MEAN ? &worst->mean : &worst->rstd, error);
    if (!(error <= 1))
        fail_at(problem, label, name, row, 0, got, expected);
}

/* Puts the original bytes back into every element that the outputs own, after which nothing may
 * differ: what remains is guards, gaps and inputs. */
static void check_untouched(const struct problem *problem, const anynorm_spec *spec,
                            const struct images *before, const struct images *after,
                            const char *label)
{
    struct images rest = images_copy(after);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        enum an_tensor tensor = (enum an_tensor)t;
        struct an_expectation expected = an_tensor_expect(spec, tensor);
        bool in_rows = an_tensor_shape(tensor) == AN_OF_ROWS;
        size_t size = anynorm_dtype_size(expected.type), step = 0;
        if (in_rows)
            step = an_tensor_layout(spec, tensor).column_stride * size;
        for (uint64_t r = 0; expected.output && r < problem->rows; r++) {
            unsigned char *to = tensor_at(problem, spec, &rest, tensor, r);
            const unsigned char *from = tensor_at(problem, spec, before, tensor, r);
            for (uint64_t c = 0; c < (in_rows ? spec->columns : 1); c++)
                memcpy(to + c * step, from + c * step, size);
        }
    }
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!before->bytes[t] ||
            memcmp(before->bytes[t], rest.bytes[t], (size_t)before->size[t]) == 0)
            continue;
        uint64_t at = 0;
        while (before->bytes[t][at] == rest.bytes[t][at])
            at++;
        fprintf(stderr, "%s: %s: byte %" PRIu64 " of %s's memory was written outside its rows\n",
                label, problem_text(problem), at, an_tensor_name((enum an_tensor)t));
        fail();
    }
    images_free(&rest);
}

void check_against_oracle(const struct problem *problem, const struct images *before,
                          const struct images *after, const char *label, struct errors *worst)
{
    anynorm_spec spec;
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    double *values = malloc((size_t)spec.columns * 5 * sizeof(double));
    assert_non_null(values);
    struct oracle oracle = {.y = values,
                            .n = values + spec.columns,
                            .h = values + 2 * spec.columns,
                            .h_error = values + 3 * spec.columns,
                            .n_error = values + 4 * spec.columns};
    for (uint64_t r = 0; r < problem->rows; r++) {
        struct an_row inputs = inputs_of(problem, &spec, before, r);
        ask_oracle(&spec, &inputs, &oracle);
        check_y(problem, &spec, r, &inputs, &oracle, tensor_at(problem, &spec, after, AN_Y, r),
                label, worst);
        check_sum(problem, &spec, r, &oracle, tensor_at(problem, &spec, after, AN_SUM, r), label);
        for (int t = AN_MEAN; t <= AN_RSTD; t++) {
            enum an_tensor tensor = (enum an_tensor)t;
            if (an_tensor_expect(&spec, tensor).output)
                check_statistic(problem, tensor, tensor_at(problem, &spec, after, tensor, r), r,
                                &oracle, label, worst);
        }
    }
    free(values);
    check_untouched(problem, &spec, before, after, label);
}
