/* Each row of docs/conventions.md: what another library computes, by a formula of its own, against
 * the spec that the row names. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/spec.h"
#include "spec/tensors.h"
#include "turns.h"

#define ROWS 12
#define COLUMNS 60
#define COUNT_OF_X (ROWS * COLUMNS)
#define EPS 1e-3
#define SHARDS 3

/* Tensors of distinct values, so that a formula that takes the wrong one fails. */
struct room {
    float x[COUNT_OF_X], residual[COUNT_OF_X], gate[COUNT_OF_X], scale[COUNT_OF_X],
        shift[COUNT_OF_X];
    float weight[COUNT_OF_X], bias[COUNT_OF_X], pre_bias[COLUMNS];
    float y[COUNT_OF_X], sum[COUNT_OF_X], mean[ROWS], rstd[ROWS];
    float partials[SHARDS][ROWS][3], shard_of_x[COUNT_OF_X];
    double expected[COUNT_OF_X];
};

static void fill(float *values, size_t count, double centre, double spread, struct random *random)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(centre + spread * random_normal(random));
}

static struct room *make_room(void)
{
    struct room *v = calloc(1, sizeof(*v));
    struct random random = {2026};
    assert_non_null(v);
    fill(v->x, COUNT_OF_X, 0.5, 1.5, &random);
    fill(v->residual, COUNT_OF_X, -0.25, 1, &random);
    fill(v->gate, COUNT_OF_X, 0.75, 0.5, &random);
    fill(v->scale, COUNT_OF_X, 0.1, 0.3, &random);
    fill(v->shift, COUNT_OF_X, -1, 0.4, &random);
    fill(v->weight, COUNT_OF_X, 1.25, 0.5, &random);
    fill(v->bias, COUNT_OF_X, 2, 0.5, &random);
    fill(v->pre_bias, COLUMNS, -2, 0.5, &random);
    return v;
}

/* Puts each tensor of the spec into a buffer of its own, but where two are one, as `host` has them.
 * False where the schedule does not serve the spec; in the short form each spec is for one. */
static bool run(struct subject *subject, const anynorm_spec *spec, uint64_t rows,
                const anynorm_host_tensors *host)
{
    anynorm_device *device = subject->device;
    const size_t number = spec->flags ^ spec->flags >> 7 ^ (size_t)spec->parameters.run;
    if (reduced() && !is_reference(&subject->info) && !has_turn(subject, spec, number))
        return false;
    anynorm_plan *plan = offered_plan(subject, spec);
    if (!plan)
        return false;
    void *const at[AN_TENSOR_COUNT] = {
        [AN_X] = (void *)host->x,
        [AN_Y] = host->y,
        [AN_WEIGHT] = (void *)host->weight,
        [AN_BIAS] = (void *)host->bias,
        [AN_MEAN] = host->mean,
        [AN_RSTD] = host->rstd,
        [AN_RESIDUAL] = (void *)host->residual,
        [AN_SUM] = host->sum,
        [AN_PRE_BIAS] = (void *)host->pre_bias,
        [AN_GATE] = (void *)host->gate,
        [AN_SCALE] = (void *)host->scale,
        [AN_SHIFT] = (void *)host->shift,
        [AN_PARTIALS] = host->partials,
        [AN_Y_SCALE] = host->y_scale,
    };
    anynorm_spec resolved;
    anynorm_tensors tensors = {0};
    uint64_t bytes[AN_TENSOR_COUNT];
    assert_ok(an_spec_resolve(spec, &resolved));
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        int same = 0;
        if (!at[t])
            continue;
        while (at[same] != at[t])
            same++;
        assert_true(an_tensor_extent(&resolved, (enum an_tensor)t, rows, &bytes[t]));
        if (same < t) {
            *slot = *an_tensor_slot(&tensors, (enum an_tensor)same);
            continue;
        }
        assert_ok(anynorm_buffer_create(device, bytes[t], slot));
        assert_ok(anynorm_buffer_write(device, slot, at[t], bytes[t]));
    }
    anynorm_event event;
    assert_ok(anynorm_enqueue(plan, &tensors, rows, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    if (host->y)
        assert_ok(anynorm_buffer_read(device, &tensors.y, host->y, bytes[AN_Y]));
    if (resolved.flags & ANYNORM_PARTIALS_OUTPUT)
        assert_ok(
            anynorm_buffer_read(device, &tensors.partials, host->partials, bytes[AN_PARTIALS]));
    if (host->y_scale)
        assert_ok(anynorm_buffer_read(device, &tensors.y_scale, host->y_scale, bytes[AN_Y_SCALE]));
    if (host->sum)
        assert_ok(anynorm_buffer_read(device, &tensors.sum, host->sum, bytes[AN_SUM]));
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        int same = 0;
        while (at[same] != at[t])
            same++;
        if (at[t] && same == t)
            anynorm_buffer_destroy(device, an_tensor_slot(&tensors, (enum an_tensor)t));
    }
    anynorm_plan_destroy(plan);
    return true;
}

/* Runs the spec in f32 and compares y with v->expected. */
static bool expect(void **state, const anynorm_spec *spec, struct room *v, uint64_t rows,
                   const anynorm_host_tensors *tensors)
{
    anynorm_host_tensors all = *tensors;
    all.y = all.y ? all.y : v->y;
    if (!run(*state, spec, rows, &all))
        return false;
    const float *y = all.y;
    for (uint64_t i = 0; i < rows * spec->columns; i++) {
        if (!(fabs((double)y[i] - v->expected[i]) <= 2e-5 * (1 + fabs(v->expected[i])))) {
            fprintf(stderr, "element %u is %.9g, expected %.9g\n", (unsigned)i, (double)y[i],
                    v->expected[i]);
            fail();
        }
    }
    return true;
}

/* Of `count` numbers that lie `step` apart. */
static double mean_of(const double *h, size_t count, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += h[i * step];
    return sum / (double)count;
}

static double variance_of(const double *h, size_t count, size_t step, double about, size_t over)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (h[i * step] - about) * (h[i * step] - about);
    return sum / (double)over;
}

/* expected = h of each row, to be normalized in place. */
static void expect_values(struct room *v, const float *x)
{
    for (size_t i = 0; i < COUNT_OF_X; i++)
        v->expected[i] = (double)x[i];
}

static void layer_norm(struct room *v, double eps)
{
    for (size_t r = 0; r < ROWS; r++) {
        double *h = v->expected + r * COLUMNS, mean = mean_of(h, COLUMNS, 1);
        double deviation = sqrt(variance_of(h, COLUMNS, 1, mean, COLUMNS) + eps);
        for (size_t c = 0; c < COLUMNS; c++)
            h[c] = (h[c] - mean) / deviation;
    }
}

static void rms_norm(struct room *v, double eps)
{
    for (size_t r = 0; r < ROWS; r++) {
        double *h = v->expected + r * COLUMNS;
        double root = sqrt(variance_of(h, COLUMNS, 1, 0, COLUMNS) + eps);
        for (size_t c = 0; c < COLUMNS; c++)
            h[c] /= root;
    }
}

static void affine(struct room *v, const float *weight, double plus, const float *bias)
{
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        size_t c = i % COLUMNS;
        if (weight)
            v->expected[i] *= (double)weight[c] + plus;
        if (bias)
            v->expected[i] += (double)bias[c];
    }
}

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

/* ---- Groups, instances, channels, heads ---- */

#define IMAGES 3
#define CHANNELS 12
#define PIXELS 20
#define GROUPS 4

/* x as [IMAGES][CHANNELS][PIXELS], normalized in groups of channels; parameters by channel, or by
 * group. */
static void group_norm(struct room *v, size_t groups, bool by_group)
{
    size_t columns = CHANNELS / groups * PIXELS;
    expect_values(v, v->x);
    for (size_t g = 0; g < IMAGES * groups; g++) {
        double *h = v->expected + g * columns, mean = mean_of(h, columns, 1);
        double deviation = sqrt(variance_of(h, columns, 1, mean, columns) + EPS);
        for (size_t c = 0; c < columns; c++) {
            size_t k = by_group ? g % groups : (g * columns + c) / PIXELS % CHANNELS;
            h[c] = (h[c] - mean) / deviation * (double)v->weight[k] + (double)v->bias[k];
        }
    }
}

static void check_groups(void **state, size_t groups, bool by_group)
{
    struct room *v = make_room();
    uint64_t columns = CHANNELS / groups * PIXELS;
    anynorm_spec spec = {.columns = columns,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_WEIGHT | ANYNORM_BIAS,
                         .parameters.rows = groups,
                         .parameters.run = by_group ? columns : PIXELS};
    group_norm(v, groups, by_group);
    expect(state, &spec, v, IMAGES * groups,
           &(anynorm_host_tensors){.x = v->x, .weight = v->weight, .bias = v->bias});
    free(v);
}

static void test_group_norm(void **state)
{
    check_groups(state, GROUPS, false);
}

static void test_group_norm_18(void **state)
{
    check_groups(state, GROUPS, true);
}

static void test_instance_norm(void **state)
{
    check_groups(state, CHANNELS, false);
}

/* The same of [IMAGES][PIXELS][CHANNELS]. */
static void check_groups_last(void **state, size_t groups, const anynorm_spec *spec)
{
    struct room *v = make_room();
    size_t channels = CHANNELS / groups;
    expect_values(v, v->x);
    for (size_t g = 0; g < IMAGES * groups; g++) {
        double *h = v->expected + g / groups * PIXELS * CHANNELS + g % groups * channels;
        double mean = 0, squares = 0;
        for (size_t i = 0; i < PIXELS * channels; i++)
            mean += h[i / channels * CHANNELS + i % channels] / (double)(PIXELS * channels);
        for (size_t i = 0; i < PIXELS * channels; i++) {
            double off = h[i / channels * CHANNELS + i % channels] - mean;
            squares += off * off;
        }
        double deviation = sqrt(squares / (double)(PIXELS * channels) + EPS);
        for (size_t i = 0; i < PIXELS * channels; i++) {
            double *at = &h[i / channels * CHANNELS + i % channels];
            size_t k = g % groups * channels + i % channels;
            *at = (*at - mean) / deviation * (double)v->weight[k] + (double)v->bias[k];
        }
    }
    expect(state, spec, v, IMAGES * groups,
           &(anynorm_host_tensors){.x = v->x, .weight = v->weight, .bias = v->bias});
    free(v);
}

static void test_group_norm_last(void **state)
{
    check_groups_last(state, GROUPS,
                      &(anynorm_spec){.columns = CHANNELS / GROUPS * PIXELS,
                                      .statistic.eps = EPS,
                                      .flags = ANYNORM_WEIGHT | ANYNORM_BIAS,
                                      .inner_rows = GROUPS,
                                      .x.column_stride = CHANNELS,
                                      .y.column_stride = CHANNELS,
                                      .column_run = CHANNELS / GROUPS,
                                      .parameters.rows = GROUPS,
                                      .parameters.cycle = CHANNELS / GROUPS});
}

static void test_instance_norm_last(void **state)
{
    check_groups_last(state, CHANNELS,
                      &(anynorm_spec){.columns = PIXELS,
                                      .statistic.eps = EPS,
                                      .flags = ANYNORM_WEIGHT | ANYNORM_BIAS,
                                      .inner_rows = CHANNELS,
                                      .x.column_stride = CHANNELS,
                                      .y.column_stride = CHANNELS,
                                      .parameters.rows = CHANNELS,
                                      .parameters.run = PIXELS});
}

static void test_channels(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = CHANNELS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_WEIGHT | ANYNORM_BIAS,
                         .inner_rows = PIXELS,
                         .x.column_stride = PIXELS,
                         .y.column_stride = PIXELS};
    expect_values(v, v->x);
    for (size_t p = 0; p < IMAGES * PIXELS; p++) {
        double *h = v->expected + p / PIXELS * CHANNELS * PIXELS + p % PIXELS;
        double mean = mean_of(h, CHANNELS, PIXELS);
        double deviation = sqrt(variance_of(h, CHANNELS, PIXELS, mean, CHANNELS) + EPS);
        for (size_t c = 0; c < CHANNELS; c++)
            h[c * PIXELS] =
                (h[c * PIXELS] - mean) / deviation * (double)v->weight[c] + (double)v->bias[c];
    }
    expect(state, &spec, v, IMAGES * PIXELS,
           &(anynorm_host_tensors){.x = v->x, .weight = v->weight, .bias = v->bias});
    free(v);
}

#define HEADS 3
#define HEAD (COLUMNS / HEADS)

/* The queries of [ROWS / 3][3][HEADS][HEAD], to a dense y; a weight for each head. */
static void test_heads(void **state)
{
    struct room *v = make_room();
    uint64_t tokens = ROWS / 3;
    anynorm_spec spec = {.columns = HEAD,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_RMS | ANYNORM_WEIGHT,
                         .inner_rows = HEADS,
                         .x.row_stride = HEAD,
                         .x.outer_stride = UINT64_C(3) * HEADS * HEAD,
                         .parameters.rows = HEADS};
    for (size_t r = 0; r < tokens * HEADS; r++) {
        const float *x = v->x + r / HEADS * 3 * HEADS * HEAD + r % HEADS * HEAD;
        double squares = 0;
        for (size_t c = 0; c < HEAD; c++)
            squares += (double)x[c] * (double)x[c];
        for (size_t c = 0; c < HEAD; c++)
            v->expected[r * HEAD + c] =
                (double)x[c] / sqrt(squares / HEAD + EPS) * (double)v->weight[r % HEADS * HEAD + c];
    }
    expect(state, &spec, v, tokens * HEADS,
           &(anynorm_host_tensors){.x = v->x, .weight = v->weight});
    free(v);
}

/* A diffusion model's block: GroupNorm, then SiLU. */
static void test_silu(void **state)
{
    struct room *v = make_room();
    anynorm_spec spec = {.columns = CHANNELS / GROUPS * PIXELS,
                         .statistic.eps = EPS,
                         .flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_SILU,
                         .parameters.rows = GROUPS,
                         .parameters.run = PIXELS};
    group_norm(v, GROUPS, false);
    for (size_t i = 0; i < COUNT_OF_X; i++)
        v->expected[i] /= 1 + exp(-v->expected[i]);
    expect(state, &spec, v, UINT64_C(1) * IMAGES * GROUPS,
           &(anynorm_host_tensors){.x = v->x, .weight = v->weight, .bias = v->bias});
    free(v);
}

/* Rows whose columns lie in SHARDS ranks' memory, each of which normalizes its own. */
static void sharded(void **state, struct room *v, const anynorm_spec *whole)
{
    static const uint64_t begin[SHARDS + 1] = {0, 16, 24, COLUMNS};
    bool ran = true;
    for (int k = 0; k < SHARDS && ran; k++) {
        anynorm_spec spec = {.columns = begin[k + 1] - begin[k],
                             .flags = (whole->flags & ANYNORM_RMS) | ANYNORM_PARTIALS_OUTPUT,
                             .x.row_stride = COLUMNS};
        ran = run(*state, &spec, ROWS,
                  &(anynorm_host_tensors){.x = v->x + begin[k], .partials = v->partials[k][0]});
    }
    for (int k = 0; k < SHARDS && ran; k++) {
        anynorm_spec spec = *whole;
        uint64_t columns = begin[k + 1] - begin[k];
        spec.columns = columns;
        spec.flags |= ANYNORM_PARTIALS_INPUT;
        spec.statistic.shards = SHARDS;
        spec.x.row_stride = COLUMNS;
        ran = run(
            *state, &spec, ROWS,
            &(anynorm_host_tensors){.x = v->x + begin[k],
                                    .y = v->shard_of_x,
                                    .weight = v->weight + begin[k],
                                    .bias = whole->flags & ANYNORM_BIAS ? v->bias + begin[k] : NULL,
                                    .partials = v->partials[0][0]});
        for (uint64_t i = 0; ran && i < ROWS * columns; i++) {
            double got = (double)v->shard_of_x[i];
            double expected = v->expected[i / columns * COLUMNS + begin[k] + i % columns];
            if (!(fabs(got - expected) <= 2e-5 * (1 + fabs(expected))))
                fail_msg("rank %d: element %u is %.9g, expected %.9g", k, (unsigned)i, got,
                         expected);
        }
    }
}

static void test_tensor_parallel_rms_norm(void **state)
{
    struct room *v = make_room();
    expect_values(v, v->x);
    rms_norm(v, EPS);
    affine(v, v->weight, 0, NULL);
    sharded(state, v, &(anynorm_spec){.statistic.eps = EPS, .flags = ANYNORM_RMS | ANYNORM_WEIGHT});
    free(v);
}

static void test_tensor_parallel_layer_norm(void **state)
{
    struct room *v = make_room();
    expect_values(v, v->x);
    for (size_t r = 0; r < ROWS; r++) {
        double *h = v->expected + r * COLUMNS, mean = mean_of(h, COLUMNS, 1);
        double rstd = 1 / sqrt(variance_of(h, COLUMNS, 1, mean, COLUMNS) + EPS);
        for (size_t c = 0; c < COLUMNS; c++)
            h[c] = (h[c] - mean) * rstd;
    }
    affine(v, v->weight, 0, v->bias);
    sharded(state, v,
            &(anynorm_spec){.statistic.eps = EPS, .flags = ANYNORM_WEIGHT | ANYNORM_BIAS});
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
        {"Gemma", test_gemma},
        {"LLaMA", test_llama},
        {"L2", test_l2},
        {"fused add, RMS norm", test_fused_add_rms_norm},
        {"skip layer norm", test_skip_layer_norm},
        {"post-norm", test_post_norm},
        {"adaptive", test_adaptive},
        {"adaptive, zero", test_adaptive_zero},
        {"group norm", test_group_norm},
        {"group norm 18", test_group_norm_18},
        {"instance norm", test_instance_norm},
        {"group norm, channels last", test_group_norm_last},
        {"instance norm, channels last", test_instance_norm_last},
        {"channels first", test_channels},
        {"heads", test_heads},
        {"SiLU", test_silu},
        {"tensor-parallel RMS norm", test_tensor_parallel_rms_norm},
        {"tensor-parallel layer norm", test_tensor_parallel_layer_norm},
        {"static scale", test_static_scale},
        {"fused add, static scale", test_fused_add_static_scale},
        {"dynamic scales", test_dynamic_scales},
        {"quantize linear", test_quantize_linear},
    };
    return run_on_schedules("conventions", tests, COUNT(tests));
}
