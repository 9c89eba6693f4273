/* Rows of docs/conventions.md: norms of groups, channels, heads and shards, whose rows and
 * parameters lie in ways of their own. */
#include "conventions.h"

#include <math.h>
#include <stdlib.h>

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

/* ---- Channels of all images ---- */

/* Where element i of channel c lies in a batch of images with their channels first, or last. */
static size_t place(size_t channels, size_t pixels, bool last, size_t c, size_t i)
{
    return last ? i * channels + c : i / pixels * channels * pixels + c * pixels + i % pixels;
}

/* Rows are channels: of images whose channels come first, in runs of pixels; of those whose
 * channels come last, and of a matrix, one by one. */
static anynorm_spec batch_spec(size_t channels, size_t pixels, bool last)
{
    size_t run = last ? 1 : pixels;
    return (anynorm_spec){.columns = COUNT_OF_X / channels,
                          .statistic.eps = EPS,
                          .flags = ANYNORM_WEIGHT | ANYNORM_BIAS,
                          .column_run = run,
                          .x.column_stride = channels * run,
                          .y.column_stride = channels * run,
                          .parameters.rows = channels,
                          .parameters.run = COUNT_OF_X / channels};
}

/* In training by the batch's statistics; else by running ones, which gate and scale have here:
 * their square roots are taken with eps. */
static void check_batch(void **state, size_t channels, size_t pixels, bool last, bool training)
{
    struct room *v = make_room();
    anynorm_spec spec = batch_spec(channels, pixels, last);
    size_t columns = (size_t)spec.columns;
    float *mean = v->gate, *rstd = v->scale;
    expect_values(v, v->x);
    for (size_t c = 0; c < channels; c++) {
        double about = (double)mean[c], variance = fabs((double)rstd[c]), sum = 0, squares = 0;
        for (size_t i = 0; training && i < columns; i++)
            sum += v->expected[place(channels, pixels, last, c, i)];
        about = training ? sum / (double)columns : about;
        for (size_t i = 0; training && i < columns; i++) {
            double off = v->expected[place(channels, pixels, last, c, i)] - about;
            squares += off * off;
        }
        variance = training ? squares / (double)columns : variance;
        for (size_t i = 0; i < columns; i++) {
            double *at = &v->expected[place(channels, pixels, last, c, i)];
            *at = (*at - about) / sqrt(variance + EPS) * (double)v->weight[c] + (double)v->bias[c];
        }
        rstd[c] = (float)(1 / sqrt(variance + EPS));
    }
    if (!training) {
        spec.statistic.eps = 0;
        spec.flags |= ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT;
    }
    expect(state, &spec, v, channels,
           &(anynorm_host_tensors){.x = v->x,
                                   .weight = v->weight,
                                   .bias = v->bias,
                                   .mean = training ? NULL : mean,
                                   .rstd = training ? NULL : rstd});
    free(v);
}

static void test_batch_norm_training(void **state)
{
    check_batch(state, CHANNELS, PIXELS, false, true);
}

static void test_batch_norm(void **state)
{
    check_batch(state, CHANNELS, PIXELS, false, false);
}

static void test_batch_norm_last_training(void **state)
{
    check_batch(state, CHANNELS, PIXELS, true, true);
}

static void test_batch_norm_last(void **state)
{
    check_batch(state, CHANNELS, PIXELS, true, false);
}

/* Vectors of a run are whole ones: what a device may store past its caches. */
static void test_batch_norm_of_long_runs(void **state)
{
    check_batch(state, 3, 48, false, true);
}

/* What running statistics are updated by: the mean, and the squares that PyTorch divides by the
 * elements less one, ONNX and Keras by the elements. */
static void check_batch_statistics(void **state, bool last)
{
    struct room *v = make_room();
    anynorm_spec spec = batch_spec(CHANNELS, PIXELS, last);
    const size_t columns = COUNT_OF_X / CHANNELS;
    float *partials = v->partials[0][0];
    spec.flags = ANYNORM_PARTIALS_OUTPUT;
    spec.statistic.eps = 0;
    spec.y = (anynorm_rows){0};
    spec.parameters = (anynorm_parameters){0};
    bool ran =
        run(*state, &spec, CHANNELS, &(anynorm_host_tensors){.x = v->x, .partials = partials});
    for (size_t c = 0; ran && c < CHANNELS; c++) {
        double sum = 0, squares = 0, got[2], wanted[2];
        for (size_t i = 0; i < columns; i++)
            sum += (double)v->x[place(CHANNELS, PIXELS, last, c, i)];
        for (size_t i = 0; i < columns; i++) {
            double off = (double)v->x[place(CHANNELS, PIXELS, last, c, i)] - sum / (double)columns;
            squares += off * off;
        }
        wanted[0] = 0.9 * 0.25 + 0.1 * (sum / (double)columns);
        wanted[1] = 0.9 * 2 + 0.1 * (squares / (double)(columns - 1));
        got[0] = 0.9 * 0.25 + 0.1 * (double)partials[3 * c + 1];
        got[1] = 0.9 * 2 + 0.1 * ((double)partials[3 * c + 2] / (double)(columns - 1));
        for (int k = 0; k < 2; k++) {
            if (!(fabs(got[k] - wanted[k]) <= 1e-6 * (1 + fabs(wanted[k]))))
                fail_msg("channel %u, number %d is %.9g, expected %.9g", (unsigned)c, k, got[k],
                         wanted[k]);
        }
        assert_true(partials[3 * c] == (float)columns);
    }
    free(v);
}

static void test_batch_statistics(void **state)
{
    check_batch_statistics(state, false);
}

static void test_batch_statistics_last(void **state)
{
    check_batch_statistics(state, true);
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

int main(void)
{
    static const struct device_test tests[] = {
        {"group norm", test_group_norm},
        {"group norm 18", test_group_norm_18},
        {"instance norm", test_instance_norm},
        {"group norm, channels last", test_group_norm_last},
        {"instance norm, channels last", test_instance_norm_last},
        {"channels first", test_channels},
        {"batch norm, training", test_batch_norm_training},
        {"batch norm", test_batch_norm},
        {"batch norm, channels last, training", test_batch_norm_last_training},
        {"batch norm, channels last", test_batch_norm_last},
        {"batch norm of long runs", test_batch_norm_of_long_runs},
        {"batch norm's statistics", test_batch_statistics},
        {"batch norm's statistics, channels last", test_batch_statistics_last},
        {"heads", test_heads},
        {"SiLU", test_silu},
        {"tensor-parallel RMS norm", test_tensor_parallel_rms_norm},
        {"tensor-parallel layer norm", test_tensor_parallel_layer_norm},
    };
    return run_on_schedules("conventions_layouts", tests, COUNT(tests));
}
