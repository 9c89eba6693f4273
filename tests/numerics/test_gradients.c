/* The gradients of the reference against differences of its own forward pass, in double: a formula
 * that is wrong in both the reference and the kernels is found here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define MOST 512 /* elements of a tensor */

struct numbers {
    double of[AN_TENSOR_COUNT][MOST];
};

/* By how much an element is moved to either side; what the difference of the loss then errs by. */
#define STEP 1e-5
#define TOLERANCE 2e-8

static const struct {
    enum an_tensor input, gradient;
} pairs[] = {
    {AN_X, AN_DX},         {AN_WEIGHT, AN_DWEIGHT},
    {AN_BIAS, AN_DBIAS},   {AN_PRE_BIAS, AN_DPRE_BIAS},
    {AN_GATE, AN_DGATE},   {AN_SCALE, AN_DSCALE},
    {AN_SHIFT, AN_DSHIFT}, {AN_RESIDUAL, AN_DRESIDUAL},
};

/* Everything in f64, so that nothing is rounded on the way. */
static anynorm_spec double_spec(const char *text, uint64_t *rows)
{
    char line[512];
    snprintf(line, sizeof(line), "%s f64 parameters=f64%s%s", text,
             strstr(text, "gate") || strstr(text, "scale") || strstr(text, "shift")
                 ? " samples=f64 dsamples=f64"
                 : "",
             strstr(text, "weight") || strstr(text, "bias") ? " dparameters=f64" : "");
    anynorm_spec spec;
    assert_ok(anynorm_spec_parse(line, &spec, rows));
    return spec;
}

static uint64_t elements_of(const anynorm_spec *spec, enum an_tensor t, uint64_t rows)
{
    anynorm_spec resolved;
    uint64_t bytes;
    assert_ok(an_spec_resolve(spec, &resolved));
    if (!an_tensor_expect(&resolved, t).present)
        return 0;
    assert_true(an_tensor_extent(&resolved, t, rows, &bytes));
    uint64_t count = bytes / anynorm_dtype_size(an_tensor_expect(&resolved, t).type);
    assert_true(t == AN_WORKSPACE || count <= MOST);
    return count;
}

static void run(anynorm_device *device, const anynorm_spec *spec, uint64_t rows,
                struct numbers *values)
{
    void *at[AN_TENSOR_COUNT] = {NULL};
    float statistics[2][MOST];
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (elements_of(spec, (enum an_tensor)t, rows) > 0)
            at[t] = values->of[t];
    }
    for (int i = 0; i < 2; i++) {
        int t = i ? AN_RSTD : AN_MEAN;
        for (int k = 0; k < MOST; k++)
            statistics[i][k] = (float)values->of[t][k];
        if (at[t])
            at[t] = statistics[i];
    }
    at[AN_WORKSPACE] = NULL;
    anynorm_plan *plan = make_plan(device, spec, NULL);
    const anynorm_host_tensors host = host_tensors_at(at);
    assert_ok(anynorm_run(plan, &host, rows));
    anynorm_plan_destroy(plan);
}

/* What dy and dsum are the gradients of. */
static double loss(anynorm_device *device, const anynorm_spec *spec, uint64_t rows,
                   struct numbers *values)
{
    anynorm_spec forward = *spec;
    forward.gradients = (anynorm_gradients){0};
    run(device, &forward, rows, values);
    double sum = 0;
    for (uint64_t i = 0; i < elements_of(&forward, AN_Y, rows); i++)
        sum += values->of[AN_Y][i] * values->of[AN_DY][i];
    for (uint64_t i = 0; i < elements_of(spec, AN_DSUM, rows); i++)
        sum += values->of[AN_SUM][i] * values->of[AN_DSUM][i];
    return sum;
}

static void check_differences(anynorm_device *device, const char *text)
{
    uint64_t rows;
    const anynorm_spec spec = double_spec(text, &rows);
    static struct numbers values, found;
    struct random random = {7};
    anynorm_spec forward = spec;
    forward.gradients = (anynorm_gradients){0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        for (int i = 0; i < MOST; i++)
            values.of[t][i] = random_normal(&random) + (t == AN_WEIGHT ? 1 : 0);
    }
    for (int i = 0; i < MOST; i++)
        values.of[AN_RSTD][i] = (float)(0.5 + 0.1 * (i % 5));
    found = values;
    if (spec.gradients.flags & ANYNORM_SAVED_SUM)
        run(device, &forward, rows, &found);
    run(device, &spec, rows, &found);
    for (size_t p = 0; p < COUNT(pairs); p++) {
        uint64_t count = elements_of(&spec, pairs[p].gradient, rows);
        for (uint64_t i = 0; i < count; i++) {
            double *moved = &values.of[pairs[p].input][i], kept = *moved;
            *moved = kept + STEP;
            double above = loss(device, &spec, rows, &values);
            *moved = kept - STEP;
            double below = loss(device, &spec, rows, &values);
            *moved = kept;
            double wanted = (above - below) / (2 * STEP), is = found.of[pairs[p].gradient][i];
            if (!(fabs(is - wanted) <= TOLERANCE * (1 + fabs(wanted)) * 10))
                fail_msg("%s: %s[%d] is %.12g, the difference says %.12g", text,
                         an_tensor_name(pairs[p].gradient), (int)i, is, wanted);
        }
    }
}

static void test_differences(void **state)
{
    static const char *const texts[] = {
        "layer-norm 5x7 weight bias backward",
        "layer-norm 4x6 dx",
        "layer-norm 5x7 weight bias backward eps=0.3",
        "layer-norm 5x7 weight bias unbiased backward",
        "layer-norm 5x7 weight bias eps-outside eps=0.4 backward",
        "layer-norm 5x7 weight eps-floor eps=0.9 backward",
        "rms-norm 5x7 weight weight-offset=1 backward",
        "rms-norm 5x7 weight l2 backward",
        "rms-norm 5x7 weight l2 eps-floor eps=2.5 backward",
        "rms-norm 5x7 eps-outside eps=0.2 backward",
        "layer-norm 5x7 weight bias silu backward",
        "rms-norm 5x7 weight silu backward",
        "layer-norm 5x7 weight bias residual sum backward dsum",
        "layer-norm 5x7 weight bias residual sum backward dsum saved-sum",
        "layer-norm 6x7 weight bias pre-bias residual gate sample-rows=2 sum backward dsum",
        "layer-norm 6x7 weight bias pre-bias residual gate sample-rows=4 sum backward dsum "
        "saved-sum",
        "layer-norm 6x7 weight bias scale shift sample-rows=3 backward",
        "layer-norm 7x7 weight bias scale shift silu sample-rows=3 backward",
        "layer-norm 6x8 weight bias pre-bias parameter-rows=3 parameter-run=4 backward",
        "layer-norm 6x8 weight bias parameter-rows=2 parameter-cycle=4 parameter-run=2 silu "
        "backward",
        "layer-norm 4x8 weight bias parameter-rows=4 parameter-run=8 backward",
        "layer-norm 5x7 weight bias mean-input rstd-input backward",
        "rms-norm 5x7 weight silu rstd-input backward",
        "layer-norm 1x1 weight bias backward",
        "layer-norm 6x3 weight bias scale parameter-rows=3 sample-rows=2 backward",
    };
    anynorm_device *device = open_device("reference");
    for (size_t i = 0; i < COUNT(texts); i++)
        check_differences(device, texts[i]);
    anynorm_device_close(device);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_differences)};
    return cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
}
