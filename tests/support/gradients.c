#include "gradients.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/statistic.h"

/* ---- What there should be ---- */

/* The problem as the reference finds it: in double, outputs and all. */
static struct problem exact_problem(const struct problem *problem)
{
    struct problem exact = *problem;
    anynorm_gradients *g = &exact.spec.gradients;
    if (g->flags & ANYNORM_DX)
        g->dx.type = ANYNORM_F64;
    if (g->flags & ANYNORM_DRESIDUAL)
        g->dresidual.type = ANYNORM_F64;
    if (g->flags & AN_PARAMETER_SUMS)
        g->parameters = ANYNORM_F64;
    if (g->flags & AN_SAMPLE_SUMS)
        g->samples = ANYNORM_F64;
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        exact.offset[t] = problem->offset[t] / 8 * 8;
    return exact;
}

/* How large the numbers are that results are made of. */
struct scales {
    double *of_rows;                 /* of each element of dx, then of dresidual */
    double *of_sum[AN_TENSOR_COUNT]; /* the squares of the terms of each element */
};

static struct an_row row_at(const struct problem *problem, const anynorm_spec *spec,
                            const struct images *images, uint64_t r)
{
    void *at[AN_TENSOR_COUNT] = {NULL};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (an_tensor_expect(spec, (enum an_tensor)t).present && t != AN_WORKSPACE)
            at[t] =
                images->bytes[t] + problem->offset[t] + an_tensor_start(spec, (enum an_tensor)t, r);
    }
    struct an_row row = an_row_at(at);
    row.rows = problem->rows;
    return row;
}

/* What is given for a row's columns, and the row as the norm saw it, each n by itself. */
struct traced_row {
    struct bounds_row row;
    struct gradient_column *columns;
};

static double load(const anynorm_rows *rows, const anynorm_spec *spec, const void *row, uint64_t c,
                   double missing)
{
    return row ? anynorm_dtype_load(rows->type, row, an_spec_column(spec, rows->column_stride, c))
               : missing;
}

static struct traced_row trace(const anynorm_spec *spec, const struct an_row *row)
{
    struct an_statistic s = spec->flags & ANYNORM_RSTD_OUTPUT ? an_saved_statistic_of(spec, row)
                                                              : an_statistic_of(spec, row);
    bool written = spec->flags & (ANYNORM_RSTD_OUTPUT | ANYNORM_RSTD_INPUT);
    anynorm_dtype type = spec->parameters.type;
    /* Sums are as the reference's, or within what the bound is for: no error before n. */
    struct traced_row traced = {.row.n = calloc(2 * spec->columns, sizeof(double)),
                                .row.rstd = written ? s.rstd : an_written_rstd(spec, s.rstd),
                                .columns = calloc(spec->columns, sizeof(*traced.columns))};
    assert_true(traced.row.n && traced.columns);
    traced.row.n_error = traced.row.n + spec->columns;
    for (uint64_t c = 0; c < spec->columns; c++) {
        uint64_t k = an_spec_parameter(spec, c);
        traced.row.n[c] = (an_load_h(spec, row, c) - s.pivot - s.correction) * s.rstd;
        traced.columns[c] = (struct gradient_column){
            .factors = {.weight = row->weight ? anynorm_dtype_load(type, row->weight, k) : 1,
                        .bias = row->bias ? anynorm_dtype_load(type, row->bias, k) : 0,
                        .scale = load(&spec->scale, spec, row->scale, c, 0),
                        .shift = load(&spec->shift, spec, row->shift, c, 0)},
            .gate = load(&spec->gate, spec, row->gate, c, 1),
            .residual = load(&spec->residual, spec, row->residual, c, 0),
            .dy = load(&spec->y, spec, row->dy, c, 0),
            .dsum = load(&spec->sum, spec, row->dsum, c, 0)};
    }
    return traced;
}

static struct scales make_scales(const struct problem *problem, const anynorm_spec *spec,
                                 const struct images *images)
{
    uint64_t rows = problem->rows > spec->parameters.rows ? problem->rows : spec->parameters.rows;
    struct scales scales = {.of_rows = calloc(2 * problem->rows * spec->columns, sizeof(double))};
    for (int t = AN_DWEIGHT; t <= AN_DSHIFT; t++)
        scales.of_sum[t] = calloc(rows * spec->columns, sizeof(double));
    for (uint64_t r = 0; r < problem->rows; r++) {
        const struct an_row row = row_at(problem, spec, images, r);
        struct traced_row traced = trace(spec, &row);
        double of_row = gradient_row_scale(spec, &traced.row, traced.columns);
        for (uint64_t c = 0; c < spec->columns; c++) {
            for (int t = AN_DX; t <= AN_DSHIFT; t++) {
                double scale = gradient_scale(spec, (enum cli_tensor)t, &traced.row, c,
                                              &traced.columns[c], of_row);
                if (t >= AN_DWEIGHT)
                    scales.of_sum[t][tensor_element(spec, t, r, c)] += scale * scale;
                else
                    scales
                        .of_rows[((uint64_t)(t - AN_DX) * problem->rows + r) * spec->columns + c] =
                        scale;
            }
        }
        free(traced.row.n);
        free(traced.columns);
    }
    return scales;
}

static double scale_at(const struct scales *scales, const struct problem *problem,
                       const anynorm_spec *spec, enum an_tensor t, uint64_t element, double wanted)
{
    return t >= AN_DWEIGHT
               ? gradient_sum_scale(scales->of_sum[t][element], wanted)
               : scales->of_rows[(uint64_t)(t - AN_DX) * problem->rows * spec->columns + element];
}

static void free_scales(struct scales *scales)
{
    free(scales->of_rows);
    for (int t = AN_DWEIGHT; t <= AN_DSHIFT; t++)
        free(scales->of_sum[t]);
}

/* ---- The comparison ---- */

static double element(const struct problem *problem, const anynorm_spec *spec,
                      const struct images *images, enum an_tensor t, uint64_t row, uint64_t column)
{
    struct an_layout layout = an_tensor_layout(spec, t);
    uint64_t at = an_tensor_shape(t) == AN_OF_PARAMETERS
                      ? row * an_spec_parameters_per_row(spec) + column
                      : an_layout_start(&layout, row) + an_layout_column(&layout, column);
    return anynorm_dtype_load(an_tensor_expect(spec, t).type, images->bytes[t] + problem->offset[t],
                              at);
}

static void compare(const char *label, const struct problem *problem, const struct images *before,
                    const struct images *after, double *worst)
{
    anynorm_spec spec, exact_spec;
    const struct problem exact = exact_problem(problem);
    struct images exact_before, exact_after;
    images_make(&exact, &exact_before);
    anynorm_device *reference = open_device("reference");
    anynorm_plan *plan = make_plan(reference, &exact.spec, NULL);
    /* The same inputs and, with ACCUMULATE, the same to begin with. */
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    assert_ok(an_spec_resolve(&exact.spec, &exact_spec));
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor t = (enum an_tensor)i;
        uint64_t extent;
        if (!before->bytes[t] || t == AN_WORKSPACE)
            continue;
        assert_true(an_tensor_extent(&spec, t, problem->rows, &extent));
        if (!an_tensor_expect(&spec, t).output)
            memcpy(exact_before.bytes[t] + exact.offset[t], before->bytes[t] + problem->offset[t],
                   (size_t)extent);
        else if (problem->spec.gradients.flags & ANYNORM_ACCUMULATE)
            for (uint64_t e = 0; e < extent / anynorm_dtype_size(an_tensor_expect(&spec, t).type);
                 e++)
                anynorm_dtype_store(ANYNORM_F64, exact_before.bytes[t] + exact.offset[t], e,
                                    anynorm_dtype_load(an_tensor_expect(&spec, t).type,
                                                       before->bytes[t] + problem->offset[t], e));
    }
    run_on_device(reference, plan, &exact, &exact_before, &exact_after);
    struct scales scales = make_scales(problem, &spec, before);
    for (int i = AN_DX; i <= AN_DSHIFT; i++) {
        enum an_tensor t = (enum an_tensor)i;
        const struct an_expectation expected = an_tensor_expect(&spec, t);
        if (!expected.present)
            continue;
        bool parameters = an_tensor_shape(t) == AN_OF_PARAMETERS;
        uint64_t rows = parameters ? spec.parameters.rows : an_tensor_rows(&spec, t, problem->rows);
        uint64_t columns = parameters ? an_spec_parameters_per_row(&spec) : spec.columns;
        for (uint64_t r = 0; r < rows; r++) {
            for (uint64_t c = 0; c < columns; c++) {
                double is = element(problem, &spec, after, t, r, c);
                double wanted = element(&exact, &exact_spec, &exact_after, t, r, c);
                double scale = scale_at(&scales, problem, &spec, t, r * columns + c, wanted);
                double error = gradient_error(&spec, expected.type, is, wanted, scale);
                if (!(error <= GRADIENT_BOUND))
                    fail_msg("%s: %s: %s[%d][%d] is %.9g, not %.9g: %.3g units of %.3g", label,
                             problem_text(problem), an_tensor_name(t), (int)r, (int)c, is, wanted,
                             error, scale);
                worst[t] = fmax(worst[t], error);
            }
        }
    }
    free_scales(&scales);
    images_free(&exact_before);
    images_free(&exact_after);
    anynorm_plan_destroy(plan);
    anynorm_device_close(reference);
}

/* Everything that is no element of an output is as it was: guards, gaps and inputs. */
static void check_untouched(const struct problem *problem, const struct images *before,
                            const struct images *after)
{
    anynorm_spec spec;
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor t = (enum an_tensor)i;
        struct an_expectation expected = an_tensor_expect(&spec, t);
        if (!before->bytes[t] || t == AN_WORKSPACE)
            continue;
        struct images marks = images_copy(before);
        size_t size = anynorm_dtype_size(expected.type);
        bool parameters = an_tensor_shape(t) == AN_OF_PARAMETERS;
        uint64_t rows = !expected.output ? 0
                        : parameters     ? spec.parameters.rows
                                         : an_tensor_rows(&spec, t, problem->rows);
        uint64_t columns = parameters         ? an_spec_parameters_per_row(&spec)
                           : t == AN_PARTIALS ? AN_PARTIAL_NUMBERS
                                              : spec.columns;
        struct an_layout layout = an_tensor_layout(&spec, t);
        for (uint64_t r = 0; r < rows; r++) {
            for (uint64_t c = 0; c < columns; c++) {
                uint64_t at = parameters || t == AN_PARTIALS
                                  ? r * columns + c
                                  : an_layout_start(&layout, r) + an_layout_column(&layout, c);
                memcpy(marks.bytes[t] + problem->offset[t] + at * size,
                       after->bytes[t] + problem->offset[t] + at * size, size);
            }
        }
        if (memcmp(marks.bytes[t], after->bytes[t], (size_t)before->size[t]) != 0)
            fail_msg("%s: %s: something was written that is no element of an output",
                     problem_text(problem), an_tensor_name(t));
        images_free(&marks);
    }
}

void check_gradients(const struct problem *problem, const struct images *before,
                     const struct images *after, const char *label, double worst[AN_TENSOR_COUNT])
{
    compare(label, problem, before, after, worst);
    check_untouched(problem, before, after);
}

void make_saved(const struct problem *problem, struct images *images)
{
    const enum an_tensor saved[] = {AN_MEAN, AN_RSTD, AN_SUM};
    struct problem forward = *problem;
    forward.spec.gradients = (anynorm_gradients){0};
    if (!(forward.spec.flags & ANYNORM_PARTIALS_INPUT))
        forward.spec.statistic.shards = 0; /* of which gradients alone are merged */
    struct images before, after;
    images_make(&forward, &before);
    for (int t = 0; t < AN_FORWARD_COUNT; t++) {
        if (before.bytes[t] && images->bytes[t] && t != AN_MEAN && t != AN_RSTD && t != AN_SUM)
            memcpy(before.bytes[t], images->bytes[t], (size_t)images->size[t]);
    }
    anynorm_device *reference = open_device("reference");
    anynorm_plan *plan = make_plan(reference, &forward.spec, NULL);
    run_on_device(reference, plan, &forward, &before, &after);
    for (size_t i = 0; i < COUNT(saved); i++) {
        if (images->bytes[saved[i]] && after.bytes[saved[i]])
            memcpy(images->bytes[saved[i]], after.bytes[saved[i]], (size_t)images->size[saved[i]]);
    }
    images_free(&before);
    images_free(&after);
    anynorm_plan_destroy(plan);
    anynorm_device_close(reference);
}
