/* The comparison of what a device wrote with what the reference has, within the bounds of
 * docs/numerics.md. `anynorm verify` shares the bounds, but has an oracle of its own: there the
 * reference is asked through the public interface, for whole tensors of dense rows; here its
 * function for a row is, of any strides, shards and quantized outputs. Tests of the reference's own
 * arithmetic are in tests/numerics/test_row.c. */
#include "gradients.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify/bounds.h"
#include "base/dtype.h"
#include "row.h"

/* Partials, where they are the output, and what rounding makes of their sum of squares. */
struct partials {
    float numbers[AN_PARTIAL_NUMBERS];
    double squares_error;
};

static void fail_at(const struct problem *problem, const char *label, const char *what,
                    uint64_t row, uint64_t column, double got, double expected)
{
    fprintf(stderr,
            "%s: %s: %s at row %" PRIu64 ", column %" PRIu64 " is %.9g, the oracle has %.9g\n",
            label, problem_text(problem), what, row, column, got, expected);
    fail();
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
    struct an_row result = an_row_at(at);
    result.rows = problem->rows;
    return result;
}

/* Column c of gate, scale or shift. */
static double sample_at(const anynorm_spec *spec, const anynorm_rows *rows, const void *base,
                        uint64_t c)
{
    return anynorm_dtype_load(rows->type, base, an_spec_column(spec, rows->column_stride, c));
}

/* The sizes of what h is added up from, together. */
static double magnitude(const anynorm_spec *spec, const struct an_row *row, uint64_t c)
{
    double result = fabs(
        anynorm_dtype_load(spec->x.type, row->x, an_spec_column(spec, spec->x.column_stride, c)));
    if (row->pre_bias)
        result += fabs(
            anynorm_dtype_load(spec->parameters.type, row->pre_bias, an_spec_parameter(spec, c)));
    if (row->residual) {
        double residual = anynorm_dtype_load(spec->residual.type, row->residual,
                                             an_spec_column(spec, spec->residual.column_stride, c));
        if (row->gate)
            residual *= sample_at(spec, &spec->gate, row->gate, c);
        result += fabs(residual);
    }
    return result;
}

static void ask_sums(const anynorm_spec *spec, const struct an_row *inputs,
                     struct bounds_row *oracle)
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
    plain.y.type = ANYNORM_F64;
    plain.y.column_stride = plain.column_run;
    an_reference_row(&plain, &(struct an_row){.x = inputs->x,
                                              .y = oracle->h,
                                              .rstd = &one,
                                              .residual = inputs->residual,
                                              .pre_bias = inputs->pre_bias,
                                              .gate = inputs->gate});
    bool adds = spec->flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS);
    for (uint64_t c = 0; c < spec->columns; c++)
        bounds_find_sum(spec, oracle, c, adds ? magnitude(spec, inputs, c) : 0);
}

/* The root of the sum of squares is a norm of h, so that it is off by the norm of the errors of h.
 */
static void ask_partials(const anynorm_spec *spec, const struct an_row *inputs,
                         struct bounds_row *oracle, struct partials *partials)
{
    struct an_row row = *inputs;
    row.partials = partials->numbers;
    anynorm_spec alone = *spec;
    alone.flags &= ~(uint32_t)ANYNORM_SUM_OUTPUT;
    an_reference_row(&alone, &row);
    oracle->mean = (double)partials->numbers[1];
    ask_sums(spec, inputs, oracle);
    bounds_find_statistics(spec, oracle);
    double squares = 0;
    for (uint64_t c = 0; c < spec->columns; c++)
        squares += oracle->n_error[c] * oracle->n_error[c];
    partials->squares_error = squares + 2 * sqrt(squares * (double)partials->numbers[2]);
}

static void ask_oracle(const anynorm_spec *spec, const struct an_row *inputs,
                       struct bounds_row *oracle)
{
    const uint32_t statistics = ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;
    const uint32_t finish = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_ROUND_FIRST | ANYNORM_SCALE |
                            ANYNORM_SHIFT | ANYNORM_SILU;
    anynorm_spec wide = *spec;
    float mean = 0, rstd = 0;
    wide.y.type = ANYNORM_F64;
    wide.y.column_stride = wide.column_run;
    wide.quantization.bound = 0;
    wide.flags &= ~(statistics | ANYNORM_SUM_OUTPUT | AN_Y_SCALES);
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
    bounds_find_statistics(spec, oracle);
}

/* ---- Comparing ---- */

static struct bounds_factors factors_at(const anynorm_spec *spec, const struct an_row *inputs,
                                        uint64_t c)
{
    uint64_t k = an_spec_parameter(spec, c);
    return (struct bounds_factors){
        .weight = inputs->weight ? anynorm_dtype_load(spec->parameters.type, inputs->weight, k) : 1,
        .bias = inputs->bias ? anynorm_dtype_load(spec->parameters.type, inputs->bias, k) : 0,
        .scale = inputs->scale ? sample_at(spec, &spec->scale, inputs->scale, c) : 0,
        .shift = inputs->shift ? sample_at(spec, &spec->shift, inputs->shift, c) : 0};
}

static void check_y(const struct problem *problem, const anynorm_spec *spec, uint64_t row,
                    const struct an_row *inputs, const struct bounds_row *oracle, const void *y,
                    const char *label, struct errors *worst)
{
    for (uint64_t c = 0; c < spec->columns; c++) {
        double got =
            anynorm_dtype_load(spec->y.type, y, an_spec_column(spec, spec->y.column_stride, c));
        double expected = oracle->y[c];
        if (!isfinite(oracle->n[c])) {
            if (!bounds_hold_no_number(spec, expected, got))
                fail_at(problem, label, "y of a row without numbers", row, c, got, expected);
            continue;
        }
        struct bounds_factors factors = factors_at(spec, inputs, c);
        double error = bounds_share(got, expected, bounds_of_y(spec, oracle, c, &factors));
        raise(&worst->y, error);
        if (!(error <= 1))
            fail_at(problem, label, "y", row, c, got, expected);
    }
}

static double unrounded_bound(const anynorm_spec *spec, const struct an_row *inputs,
                              const struct bounds_row *oracle, uint64_t c)
{
    struct bounds_factors factors = factors_at(spec, inputs, c);
    return bounds_of_unrounded_y(spec, oracle, c, &factors);
}

/* The scale of a quantized row: that which was given, or which was found, from the largest
 * magnitude and within what that may be off by. */
static double check_y_scale(const struct problem *problem, const anynorm_spec *spec, uint64_t row,
                            const struct an_row *inputs, const struct bounds_row *oracle,
                            const void *at, const char *label)
{
    if (spec->flags & ANYNORM_Y_SCALE_INPUT)
        return anynorm_dtype_load(ANYNORM_F32, inputs->y_scale, 0);
    if (!(spec->flags & ANYNORM_Y_SCALE_OUTPUT))
        return 1;
    double got = anynorm_dtype_load(ANYNORM_F32, at, 0), least = 0, most = 0;
    bool lacks_numbers = false;
    for (uint64_t c = 0; c < spec->columns; c++) {
        double y = fabs(oracle->y[c]), error = unrounded_bound(spec, inputs, oracle, c);
        if (isinf(y))
            error = 0;
        lacks_numbers = lacks_numbers || isnan(y);
        least = fmax(least, y - error);
        most = fmax(most, y + error);
    }
    if (spec->quantization.bound > 0) {
        least = fmin(least, spec->quantization.bound);
        most = fmin(most, spec->quantization.bound);
    }
    double divisor = spec->y.type == ANYNORM_I8 ? 127 : 448;
    bool right = got >= least / divisor * (1 - 0x1p-20) && got <= most / divisor * (1 + 0x1p-20);
    if (lacks_numbers)
        right = isnan(got);
    else if (least < 0x1p-100 && (got == 0 || most < 0x1p-100))
        right = got == 0;
    if (!right)
        fail_at(problem, label, "y_scale", row, 0, got, most / divisor);
    return got;
}

/* Of quotients by that scale within what y and the division may be off by, rounding makes one of
 * few numbers. */
static void check_quantized(const struct problem *problem, const anynorm_spec *spec, uint64_t row,
                            const struct an_row *inputs, const struct bounds_row *oracle,
                            double y_scale, const void *y, const char *label)
{
    double epsilon = an_spec_double(spec) ? 0x1p-52 : 0x1p-23;
    if ((spec->flags & ANYNORM_Y_SCALE_OUTPUT) || spec->y.type == ANYNORM_F8E4M3)
        epsilon = 0x1p-23; /* the scale, and what becomes an e4m3, are a float on the way */
    bool zero = (spec->flags & ANYNORM_Y_SCALE_OUTPUT) && y_scale == 0;
    for (uint64_t c = 0; c < spec->columns; c++) {
        double got =
            anynorm_dtype_load(spec->y.type, y, an_spec_column(spec, spec->y.column_stride, c));
        double quotient = zero ? 0 : oracle->y[c] / y_scale, error = 0;
        if (isfinite(quotient) && !zero)
            error = unrounded_bound(spec, inputs, oracle, c) / fabs(y_scale) +
                    8 * epsilon * fabs(quotient);
        double below = bounds_rounded(spec->y.type, quotient - error);
        double above = bounds_rounded(spec->y.type, quotient + error);
        if (isnan(below) ? !isnan(got) : !(got >= below && got <= above))
            fail_at(problem, label, "quantized y", row, c, got, quotient);
    }
}

static void check_sum(const struct problem *problem, const anynorm_spec *spec, uint64_t row,
                      const struct bounds_row *oracle, const void *sum, const char *label)
{
    for (uint64_t c = 0; sum && c < spec->columns; c++) {
        double got = anynorm_dtype_load(spec->sum.type, sum,
                                        an_spec_column(spec, spec->sum.column_stride, c));
        if (!bounds_hold_sum(spec, oracle, c, got))
            fail_at(problem, label, "sum", row, c, got, oracle->h[c]);
    }
}

static void check_statistic(const struct problem *problem, enum an_tensor tensor, const void *at,
                            uint64_t row, const struct bounds_row *oracle, const char *label,
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
    double bound = tensor == AN_MEAN ? bounds_of_mean(oracle) : bounds_of_rstd(oracle);
    double error = bounds_share(got, expected, bound);
    raise(tensor == AN_MEAN ? &worst->mean : &worst->rstd, error);
    if (!(error <= 1))
        fail_at(problem, label, name, row, 0, got, expected);
}

/* Of a row without numbers, a mean or a sum of squares that is none. */
static void check_partials(const struct problem *problem, const anynorm_spec *spec, uint64_t row,
                           const struct bounds_row *oracle, const struct partials *partials,
                           const void *at, const char *label, struct errors *worst)
{
    double got[AN_PARTIAL_NUMBERS], mean = oracle->mean, squares = (double)partials->numbers[2];
    for (uint64_t i = 0; i < AN_PARTIAL_NUMBERS; i++)
        got[i] = anynorm_dtype_load(ANYNORM_F32, at, i);
    if (got[0] != (double)(float)spec->columns)
        fail_at(problem, label, "count", row, 0, got[0], (double)spec->columns);
    if (!isfinite(mean) || !isfinite(squares)) {
        if (isfinite(got[1]) && isfinite(got[2]))
            fail_at(problem, label, "partials", row, 0, got[1], mean);
        return;
    }
    double spread = sqrt(squares / (double)spec->columns);
    double mean_bound = 0x1p-23 * fabs(mean) + 8 * 0x1p-23 * spread + oracle->mean_error;
    double bounds[] = {mean_bound, 16 * 0x1p-23 * squares + partials->squares_error};
    double expected[] = {mean, squares};
    for (int i = 0; i < 2; i++) {
        double error = bounds_share(got[i + 1], expected[i], bounds[i]);
        raise(i == 0 ? &worst->mean : &worst->rstd, error);
        if (!(error <= 1))
            fail_at(problem, label, i == 0 ? "partial mean" : "sum of squares", row, 0, got[i + 1],
                    expected[i]);
    }
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
        size_t size = anynorm_dtype_size(expected.type);
        struct an_layout layout = an_tensor_layout(spec, tensor);
        for (uint64_t r = 0; expected.output && r < problem->rows; r++) {
            unsigned char *to = tensor_at(problem, spec, &rest, tensor, r);
            const unsigned char *from = tensor_at(problem, spec, before, tensor, r);
            if (tensor == AN_PARTIALS)
                size = AN_PARTIAL_NUMBERS * sizeof(float);
            for (uint64_t c = 0; c < (in_rows ? spec->columns : 1); c++) {
                size_t at = (size_t)an_layout_column(&layout, c) * size;
                memcpy(to + at, from + at, size);
            }
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
    if (an_spec_backward(&spec)) {
        double of_tensors[AN_TENSOR_COUNT] = {0};
        check_gradients(problem, before, after, label, of_tensors);
        return;
    }
    double *values = malloc((size_t)spec.columns * 5 * sizeof(double));
    assert_non_null(values);
    struct bounds_row oracle = {.y = values,
                                .n = values + spec.columns,
                                .h = values + 2 * spec.columns,
                                .h_error = values + 3 * spec.columns,
                                .n_error = values + 4 * spec.columns};
    for (uint64_t r = 0; r < problem->rows; r++) {
        struct an_row inputs = inputs_of(problem, &spec, before, r);
        if (spec.flags & ANYNORM_PARTIALS_OUTPUT) {
            struct partials partials;
            ask_partials(&spec, &inputs, &oracle, &partials);
            check_partials(problem, &spec, r, &oracle, &partials,
                           tensor_at(problem, &spec, after, AN_PARTIALS, r), label, worst);
        } else {
            ask_oracle(&spec, &inputs, &oracle);
            const void *y = tensor_at(problem, &spec, after, AN_Y, r);
            const void *y_scale = tensor_at(problem, &spec, after, AN_Y_SCALE, r);
            if (an_dtype_quantized(spec.y.type))
                check_quantized(problem, &spec, r, &inputs, &oracle,
                                check_y_scale(problem, &spec, r, &inputs, &oracle, y_scale, label),
                                y, label);
            else
                check_y(problem, &spec, r, &inputs, &oracle, y, label, worst);
        }
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
