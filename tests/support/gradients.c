/* Gradients against the reference's in double, within the bounds of docs/numerics.md. */
#include "gradients.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/backward.h"

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
    double *of_row; /* of dx */
    double
        *of_sum[AN_TENSOR_COUNT]; /* the squares of the terms, of each element of what is summed */
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

/* Where an element's sum stands among the tensor's, if each had its own of the spec's columns. */
static uint64_t sum_of(const anynorm_spec *spec, enum an_tensor t, uint64_t r, uint64_t c)
{
    if (an_tensor_shape(t) == AN_OF_SAMPLES)
        return r / spec->sample_rows * spec->columns + c;
    return r % spec->parameters.rows * an_spec_parameters_per_row(spec) +
           an_spec_parameter(spec, c);
}

static struct scales make_scales(const struct problem *problem, const anynorm_spec *spec,
                                 const struct images *images)
{
    struct scales scales = {.of_row = calloc(problem->rows, sizeof(double))};
    /* Where the slope of SiLU is next to nothing, it is so by cancellation: what counts is dy. */
    anynorm_spec straight = *spec;
    straight.flags &= ~(uint32_t)ANYNORM_SILU;
    uint64_t rows = problem->rows > spec->parameters.rows ? problem->rows : spec->parameters.rows;
    for (int t = AN_DWEIGHT; t <= AN_DSHIFT; t++)
        scales.of_sum[t] = calloc(rows * spec->columns, sizeof(double));
    for (uint64_t r = 0; r < problem->rows; r++) {
        const struct an_row row = row_at(problem, spec, images, r);
        struct an_statistic s = spec->flags & ANYNORM_RSTD_OUTPUT
                                    ? an_saved_statistic_of(spec, &row)
                                    : an_statistic_of(spec, &row);
        double rstd = spec->flags & (ANYNORM_RSTD_OUTPUT | ANYNORM_RSTD_INPUT)
                          ? s.rstd
                          : an_written_rstd(spec, s.rstd);
        double largest_g = 0, largest_dsum = 0;
        /* With ROUND_FIRST n may round to the other of two numbers of x's type. */
        double slack = !(spec->flags & ANYNORM_ROUND_FIRST) ? 1
                       : spec->x.type == ANYNORM_F16        ? 0x1p10
                       : spec->x.type == ANYNORM_BF16       ? 0x1p13
                                                            : 1;
        for (int pass = 0; pass < 2; pass++) {
            for (uint64_t c = 0; c < spec->columns; c++) {
                double n = (an_load_h(spec, &row, c) - s.pivot - s.correction) * s.rstd;
                const struct an_column t = an_reference_trace(&straight, &row, c, n);
                double size_n = fmax(1, fabs(n)) * slack, size_z = fmax(size_n, fabs(t.z));
                largest_g = fmax(largest_g, fabs(t.g) * fmax(1, fabs(n)));
                if (row.dsum)
                    largest_dsum = fmax(
                        largest_dsum,
                        fabs(anynorm_dtype_load(spec->sum.type, row.dsum,
                                                an_spec_column(spec, spec->sum.column_stride, c))));
                if (pass == 0)
                    continue;
                double dh = rstd * largest_g + largest_dsum;
                double residual =
                    spec->gradients.flags & ANYNORM_DGATE
                        ? anynorm_dtype_load(spec->residual.type, row.residual,
                                             an_spec_column(spec, spec->residual.column_stride, c))
                        : 0;
                const double terms[AN_TENSOR_COUNT] = {[AN_DWEIGHT] = t.dz * size_n,
                                                       [AN_DBIAS] = t.dz,
                                                       [AN_DPRE_BIAS] = dh,
                                                       [AN_DGATE] = dh * residual,
                                                       [AN_DSCALE] = t.dshift * size_z,
                                                       [AN_DSHIFT] = t.dshift};
                for (int k = AN_DWEIGHT; k <= AN_DSHIFT; k++)
                    scales.of_sum[k][sum_of(spec, (enum an_tensor)k, r, c)] += terms[k] * terms[k];
            }
        }
        scales.of_row[r] = rstd * largest_g + largest_dsum;
    }
    return scales;
}

static void free_scales(struct scales *scales)
{
    free(scales->of_row);
    for (int t = AN_DWEIGHT; t <= AN_DSHIFT; t++)
        free(scales->of_sum[t]);
}

/* ---- The comparison ---- */

/* How far a result is off beyond half a place of its type, in units. */
static double error_of(double is, double wanted, anynorm_dtype type, double scale, bool wide)
{
    static const int digits[] = {
        [ANYNORM_F32] = 24, [ANYNORM_F16] = 11, [ANYNORM_BF16] = 8, [ANYNORM_F64] = 53};
    static const int least[] = {
        [ANYNORM_F32] = -149, [ANYNORM_F16] = -24, [ANYNORM_BF16] = -133, [ANYNORM_F64] = -1074};
    double rounded, unit = scale * (wide ? 0x1p-52 : 0x1p-23);
    anynorm_dtype_store(type, &rounded, 0, wanted);
    rounded = anynorm_dtype_load(type, &rounded, 0);
    if (isnan(wanted) || isnan(is))
        return isnan(wanted) && isnan(is) ? 0 : HUGE_VAL;
    if (is == wanted || is == rounded)
        return 0;
    int exponent;
    (void)frexp(fmax(fabs(is), fabs(wanted)), &exponent);
    int place = exponent - digits[type];
    double half = ldexp(0.5, place < least[type] ? least[type] : place);
    double off = fabs(is - wanted) - half;
    return off <= 0 ? 0 : off / fmax(unit, wide ? DBL_MIN : 0x1p-126);
}

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
    bool wide = an_spec_double(&spec);
    for (int i = AN_DX; i <= AN_DSHIFT; i++) {
        enum an_tensor t = (enum an_tensor)i;
        const struct an_expectation expected = an_tensor_expect(&spec, t);
        if (!expected.present)
            continue;
        bool sums = t >= AN_DWEIGHT, parameters = an_tensor_shape(t) == AN_OF_PARAMETERS;
        uint64_t rows = parameters ? spec.parameters.rows : an_tensor_rows(&spec, t, problem->rows);
        uint64_t columns = parameters ? an_spec_parameters_per_row(&spec) : spec.columns;
        for (uint64_t r = 0; r < rows; r++) {
            for (uint64_t c = 0; c < columns; c++) {
                double is = element(problem, &spec, after, t, r, c);
                double wanted = element(&exact, &exact_spec, &exact_after, t, r, c);
                double scale = sums ? fmax(sqrt(scales.of_sum[t][r * columns + c]), fabs(wanted))
                                    : scales.of_row[r];
                if (t == AN_DRESIDUAL)
                    scale *= 4; /* times the gate */
                double error = error_of(is, wanted, expected.type, scale, wide);
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
    if (!(problem->spec.flags & (ANYNORM_RSTD_OUTPUT | ANYNORM_SUM_OUTPUT)))
        return;
    struct problem forward = *problem;
    forward.spec.gradients = (anynorm_gradients){0};
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
