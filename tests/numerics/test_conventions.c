/* Rows of docs/conventions.md: the norms themselves, and what is fused with them. */
#include "conventions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- LayerNorm ---- */

static void test_layer_norm(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {
        .columns = COLUMNS, .statistic.eps = EPS, .flags = ANYNORM_WEIGHT | ANYNORM_BIAS};
    expect_values(v, v->x);
    layer_norm(v, EPS);
    affine(v, v->weight, 0, v->bias);
    expect(state, &spec, v, ROWS,
           &(anynorm_host_tensors){.x = v->x, .weight = v->weight, .bias = v->bias});
    free(v);
}

static void test_annotated_transformer(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_UNBIASED |
                                  ANYNORM_EPS_OUTSIDE};
    expect_values(v, v->x);
    for (size_t r = 0; r < ROWS; r++) {
        double *h = v->expected + r * COLUMNS, mean = mean_of(h, COLUMNS, 1);
        double deviation = sqrt(variance_of(h, COLUMNS, 1, mean, COLUMNS - 1)) + EPS;
        for (size_t c = 0; c < COLUMNS; c++)
            h[c] = (h[c] - mean) / deviation;
    }
    affine(v, v->weight, 0, v->bias);
    expect(state, &spec, v, ROWS,
           &(anynorm_host_tensors){.x = v->x, .weight = v->weight, .bias = v->bias});
    free(v);
}

static void test_global_statistics(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS, .flags = ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT};
    for (size_t r = 0; r < ROWS; r++) {
        double variance = 0.5 + (double)r;
        v->mean[r] = (float)r / 4;
        v->rstd[r] = (float)(1 / sqrt(variance + EPS));
        for (size_t c = 0; c < COLUMNS; c++)
            v->expected[r * COLUMNS + c] =
                ((double)v->x[r * COLUMNS + c] - (double)v->mean[r]) / sqrt(variance + EPS);
    }
    expect(state, &spec, v, ROWS,
           &(anynorm_host_tensors){.x = v->x, .mean = v->mean, .rstd = v->rstd});
    free(v);
}

/* ---- RMSNorm ---- */

static void test_rms_norm(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {
        .columns = COLUMNS, .statistic.eps = EPS, .flags = ANYNORM_RMS | ANYNORM_WEIGHT};
    expect_values(v, v->x);
    rms_norm(v, EPS);
    affine(v, v->weight, 0, NULL);
    expect(state, &spec, v, ROWS, &(anynorm_host_tensors){.x = v->x, .weight = v->weight});
    free(v);
}

/* Rows of norms to both sides of eps. */
static void test_l2_norm_with_floor(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS, .flags = ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_FLOOR};
    double norms[ROWS], least = INFINITY, most = 0;
    expect_values(v, v->x);
    for (size_t r = 0; r < ROWS; r++) {
        norms[r] = sqrt(variance_of(v->expected + r * COLUMNS, COLUMNS, 1, 0, 1));
        least = fmin(least, norms[r]);
        most = fmax(most, norms[r]);
    }
    spec.statistic.eps = (least + most) / 2;
    for (size_t i = 0; i < COUNT_OF_X; i++)
        v->expected[i] /= fmax(norms[i / COLUMNS], spec.statistic.eps);
    expect(state, &spec, v, ROWS, &(anynorm_host_tensors){.x = v->x});
    free(v);
}

static void test_gemma(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RMS | ANYNORM_WEIGHT,
                         .parameters.weight_offset = 1};
    expect_values(v, v->x);
    rms_norm(v, EPS);
    affine(v, v->weight, 1, NULL);
    expect(state, &spec, v, ROWS, &(anynorm_host_tensors){.x = v->x, .weight = v->weight});
    free(v);
}

/* What n rounds to before the weight, and y after: in f16, where it shows. */
static void test_llama(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS,
                         .x.type = ANYNORM_F16,
                         .y.type = ANYNORM_F16,
                         .parameters.type = ANYNORM_F16,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RMS | ANYNORM_WEIGHT | ANYNORM_ROUND_FIRST};
    uint16_t x[COUNT_OF_X], y[COUNT_OF_X], weight[COLUMNS], rounded;
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        anynorm_dtype_store(ANYNORM_F16, x, i, (double)v->x[i]);
        v->expected[i] = anynorm_dtype_load(ANYNORM_F16, x, i);
    }
    for (size_t c = 0; c < COLUMNS; c++)
        anynorm_dtype_store(ANYNORM_F16, weight, c, (double)v->weight[c]);
    rms_norm(v, EPS);
    bool ran = run(*state, &spec, ROWS, &(anynorm_host_tensors){.x = x, .y = y, .weight = weight});
    int differ = 0;
    for (size_t i = 0; ran && i < COUNT_OF_X; i++) {
        double w = anynorm_dtype_load(ANYNORM_F16, weight, i % COLUMNS);
        anynorm_dtype_store(ANYNORM_F16, &rounded, 0, v->expected[i]);
        anynorm_dtype_store(ANYNORM_F16, &rounded, 0,
                            w * anynorm_dtype_load(ANYNORM_F16, &rounded, 0));
        differ += rounded != y[i];
    }
    assert_between(differ, 0, 2); /* where n lies all but halfway between two halves */
    free(v);
}

static void test_l2(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS, .flags = ANYNORM_RMS | ANYNORM_L2};
    expect_values(v, v->x);
    for (size_t r = 0; r < ROWS; r++) {
        double *h = v->expected + r * COLUMNS, norm = sqrt(variance_of(h, COLUMNS, 1, 0, 1));
        for (size_t c = 0; c < COLUMNS; c++)
            h[c] /= fmax(norm, 1e-12);
    }
    expect(state, &spec, v, ROWS, &(anynorm_host_tensors){.x = v->x});
    free(v);
}

/* ---- Residuals ---- */

static void assert_sum(const float *sum, const double *expected)
{
    for (size_t i = 0; i < COUNT_OF_X; i++)
        assert_true(fabs((double)sum[i] - expected[i]) <= 1e-6 * (1 + fabs(expected[i])));
}

/* In place, as vLLM has it: y over x, the sum over the residual. */
static void test_fused_add_rms_norm(void **state)
{
    struct room *v = make_room();
    double *h = malloc(sizeof(v->expected));
    assert_non_null(h);
    anynorm_spec spec = {.columns = COLUMNS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RMS | ANYNORM_WEIGHT | ANYNORM_RESIDUAL |
                                  ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM};
    for (size_t i = 0; i < COUNT_OF_X; i++)
        h[i] = v->expected[i] = (double)(v->x[i] + v->residual[i]);
    rms_norm(v, EPS);
    affine(v, v->weight, 0, NULL);
    if (expect(state, &spec, v, ROWS,
               &(anynorm_host_tensors){.x = v->x,
                                       .y = v->x,
                                       .weight = v->weight,
                                       .residual = v->residual,
                                       .sum = v->residual}))
        assert_sum(v->residual, h);
    free(h);
    free(v);
}

static void test_skip_layer_norm(void **state)
{
    struct room *v = make_room();
    double *h = malloc(sizeof(v->expected));
    assert_non_null(h);
    anynorm_spec spec = {.columns = COLUMNS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_RESIDUAL |
                                  ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT};
    for (size_t i = 0; i < COUNT_OF_X; i++)
        h[i] = v->expected[i] =
            (double)v->x[i] + (double)v->residual[i] + (double)v->pre_bias[i % COLUMNS];
    layer_norm(v, EPS);
    affine(v, v->weight, 0, v->bias);
    if (expect(state, &spec, v, ROWS,
               &(anynorm_host_tensors){.x = v->x,
                                       .weight = v->weight,
                                       .bias = v->bias,
                                       .residual = v->residual,
                                       .sum = v->sum,
                                       .pre_bias = v->pre_bias}))
        assert_sum(v->sum, h);
    free(h);
    free(v);
}

static void test_post_norm(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS, .statistic.eps = EPS, .flags = ANYNORM_RESIDUAL};
    for (size_t i = 0; i < COUNT_OF_X; i++)
        v->expected[i] = (double)v->x[i] + (double)v->residual[i];
    layer_norm(v, EPS);
    expect(state, &spec, v, ROWS, &(anynorm_host_tensors){.x = v->x, .residual = v->residual});
    free(v);
}

/* ---- Adaptive ---- */

#define TOKENS 4 /* of a sample */

static void modulate(struct room *v)
{
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        size_t k = i / COLUMNS / TOKENS * COLUMNS + i % COLUMNS;
        v->expected[i] = v->expected[i] * (1 + (double)v->scale[k]) + (double)v->shift[k];
    }
}

static void test_adaptive(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = COLUMNS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_SCALE | ANYNORM_SHIFT,
                         .sample_rows = TOKENS};
    expect_values(v, v->x);
    layer_norm(v, EPS);
    modulate(v);
    expect(state, &spec, v, ROWS,
           &(anynorm_host_tensors){.x = v->x, .scale = v->scale, .shift = v->shift});
    free(v);
}

static void test_adaptive_zero(void **state)
{
    struct room *v = make_room();
    double *h = malloc(sizeof(v->expected));
    assert_non_null(h);
    anynorm_spec spec = {.columns = COLUMNS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_SUM_OUTPUT |
                                  ANYNORM_SCALE | ANYNORM_SHIFT,
                         .sample_rows = TOKENS};
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        size_t k = i / COLUMNS / TOKENS * COLUMNS + i % COLUMNS;
        h[i] = v->expected[i] = (double)v->x[i] + (double)v->gate[k] * (double)v->residual[i];
    }
    layer_norm(v, EPS);
    modulate(v);
    if (expect(state, &spec, v, ROWS,
               &(anynorm_host_tensors){.x = v->x,
                                       .residual = v->residual,
                                       .sum = v->sum,
                                       .gate = v->gate,
                                       .scale = v->scale,
                                       .shift = v->shift}))
        assert_sum(v->sum, h);
    free(h);
    free(v);
}

/* ---- Quantized ---- */

/* Codes of v->expected divided by a scale for each row; few may lie all but halfway between two. */
static void assert_codes(anynorm_dtype type, const void *codes, const struct room *v,
                         const double *scales)
{
    int differ = 0;
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        uint8_t code;
        double got = anynorm_dtype_load(type, codes, i), wanted;
        anynorm_dtype_store(type, &code, 0, v->expected[i] / scales[i / COLUMNS]);
        wanted = anynorm_dtype_load(type, &code, 0);
        differ += got != wanted;
        assert_true(fabs(got - wanted) <= fmax(1, fabs(wanted) / 8));
    }
    assert_between(differ, 0, 3);
}

static void assert_codes_of_scale(anynorm_dtype type, const void *codes, const struct room *v,
                                  float scale)
{
    double scales[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        scales[r] = (double)scale;
    assert_codes(type, codes, v, scales);
}

static void test_static_scale(void **state)
{
    struct room *v = make_room();
    uint8_t y[COUNT_OF_X];
    float scale = 0.01f;
    anynorm_spec spec = {.columns = COLUMNS,
                         .y.type = ANYNORM_F8E4M3,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RMS | ANYNORM_WEIGHT | ANYNORM_Y_SCALE_INPUT};
    expect_values(v, v->x);
    rms_norm(v, EPS);
    affine(v, v->weight, 0, NULL);
    if (run(*state, &spec, ROWS,
            &(anynorm_host_tensors){.x = v->x, .y = y, .weight = v->weight, .y_scale = &scale}))
        assert_codes_of_scale(ANYNORM_F8E4M3, y, v, scale);
    free(v);
}

static void test_fused_add_static_scale(void **state)
{
    struct room *v = make_room();
    uint8_t y[COUNT_OF_X];
    float scale = 0.25f;
    anynorm_spec spec = {.columns = COLUMNS,
                         .y.type = ANYNORM_F8E4M3,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RMS | ANYNORM_WEIGHT | ANYNORM_RESIDUAL |
                                  ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM | ANYNORM_Y_SCALE_INPUT};
    for (size_t i = 0; i < COUNT_OF_X; i++)
        v->expected[i] = (double)(v->x[i] + v->residual[i]);
    rms_norm(v, EPS);
    affine(v, v->weight, 0, NULL);
    if (run(*state, &spec, ROWS,
            &(anynorm_host_tensors){.x = v->x,
                                    .y = y,
                                    .weight = v->weight,
                                    .residual = v->residual,
                                    .sum = v->residual,
                                    .y_scale = &scale}))
        assert_codes_of_scale(ANYNORM_F8E4M3, y, v, scale);
    free(v);
}

static void check_dynamic_scale(void **state, anynorm_dtype type, double bound)
{
    struct room *v = make_room();
    uint8_t y[COUNT_OF_X];
    float found[ROWS];
    double scales[ROWS];
    anynorm_spec spec = {.columns = COLUMNS,
                         .y.type = type,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RMS | ANYNORM_WEIGHT | ANYNORM_RESIDUAL |
                                  ANYNORM_SUM_OUTPUT | ANYNORM_Y_SCALE_OUTPUT,
                         .quantization.bound = bound};
    for (size_t i = 0; i < COUNT_OF_X; i++)
        v->expected[i] = (double)v->x[i] + (double)v->residual[i];
    rms_norm(v, EPS);
    affine(v, v->weight, 0, NULL);
    for (size_t r = 0; r < ROWS; r++) {
        double largest = 0;
        for (size_t c = 0; c < COLUMNS; c++)
            largest = fmax(largest, fabs(v->expected[r * COLUMNS + c]));
        scales[r] = (bound > 0 ? fmin(largest, bound) : largest) / (type == ANYNORM_I8 ? 127 : 448);
    }
    bool ran = run(*state, &spec, ROWS,
                   &(anynorm_host_tensors){.x = v->x,
                                           .y = y,
                                           .weight = v->weight,
                                           .residual = v->residual,
                                           .sum = v->residual,
                                           .y_scale = found});
    for (size_t r = 0; ran && r < ROWS; r++)
        assert_true(fabs((double)found[r] - scales[r]) <= 1e-5 * scales[r]);
    if (ran)
        assert_codes(type, y, v, scales);
    free(v);
}

static void test_dynamic_scales(void **state)
{
    check_dynamic_scale(state, ANYNORM_F8E4M3, 0);
    check_dynamic_scale(state, ANYNORM_F8E4M3, 2.5); /* scale_ub */
    check_dynamic_scale(state, ANYNORM_I8, 0);
}

/* QuantizeLinear and quantize_per_tensor: to even, and to -128 and 127. */
static void test_quantize_linear(void **state)
{
    struct room *v = make_room();
    uint8_t y[COUNT_OF_X];
    float scale = 0.02f;
    anynorm_spec spec = {.columns = COLUMNS,
                         .y.type = ANYNORM_I8,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_Y_SCALE_INPUT};
    expect_values(v, v->x);
    layer_norm(v, EPS);
    affine(v, v->weight, 0, v->bias);
    if (run(*state, &spec, ROWS,
            &(anynorm_host_tensors){
                .x = v->x, .y = y, .weight = v->weight, .bias = v->bias, .y_scale = &scale}))
        assert_codes_of_scale(ANYNORM_I8, y, v, scale);
    free(v);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"layer norm", test_layer_norm},
        {"annotated transformer", test_annotated_transformer},
        {"global statistics", test_global_statistics},
        {"RMS norm", test_rms_norm},
        {"L2 norm with a floor", test_l2_norm_with_floor},
        {"Gemma", test_gemma},
        {"LLaMA", test_llama},
        {"L2", test_l2},
        {"fused add, RMS norm", test_fused_add_rms_norm},
        {"skip layer norm", test_skip_layer_norm},
        {"post-norm", test_post_norm},
        {"adaptive", test_adaptive},
        {"adaptive, zero", test_adaptive_zero},
        {"static scale", test_static_scale},
        {"fused add, static scale", test_fused_add_static_scale},
        {"dynamic scales", test_dynamic_scales},
        {"quantize linear", test_quantize_linear},
    };
    return run_on_schedules("conventions", tests, COUNT(tests));
}
