/* Rows of docs/conventions.md on gradients: what another library's backward call finds, by the
 * formula that it has, against the spec that the row names. */
#include "conventions.h"

#include <math.h>
#include <stdlib.h>

#include "turns.h"

/* Beside those of the room: what the loss changes by, and what is found. */
struct study {
    struct room *v;
    float dy[COUNT_OF_X], dsum[COUNT_OF_X];
    float mean[COUNT_OF_X], rstd[COUNT_OF_X];
    float dx[COUNT_OF_X], dweight[COUNT_OF_X], dbias[COUNT_OF_X];
    double expected_dx[COUNT_OF_X], expected_dweight[COUNT_OF_X], expected_dbias[COUNT_OF_X];
};

static struct study *make_study(void)
{
    struct study *s = calloc(1, sizeof(*s));
    struct random random = {77};
    assert_non_null(s);
    s->v = make_room();
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        s->dy[i] = (float)(0.3 + random_normal(&random));
        s->dsum[i] = (float)random_normal(&random);
    }
    return s;
}

static void free_study(struct study *s)
{
    free(s->v);
    free(s);
}

static anynorm_spec parsed(const char *text, uint64_t *rows)
{
    anynorm_spec spec;
    assert_ok(anynorm_spec_parse(text, &spec, rows));
    return spec;
}

/* False where the schedule does not serve the spec; in the short form each spec is for one. */
static bool find(void **state, const anynorm_spec *spec, uint64_t rows,
                 const anynorm_host_tensors *host)
{
    struct subject *subject = *state;
    if (reduced() && !is_reference(&subject->info) && !has_turn(subject, spec, spec->flags % 31))
        return false;
    anynorm_plan *plan = offered_plan(subject, spec);
    if (!plan)
        return false;
    assert_ok(anynorm_run(plan, host, rows));
    anynorm_plan_destroy(plan);
    return true;
}

static void expect_near(const char *what, const float *found, const double *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)found[i] - expected[i]) <= 2e-5 * (1 + fabs(expected[i]))))
            fail_msg("%s[%u] is %.9g, expected %.9g", what, (unsigned)i, (double)found[i],
                     expected[i]);
    }
}

/* Gradients of x and of `parameters` numbers of weight and bias, those that the spec asks for, from
 * x, dy and what the study saved. */
static void expect_gradients(void **state, struct study *s, const anynorm_spec *spec, uint64_t rows,
                             size_t parameters)
{
    const uint32_t flags = spec->flags, wanted = spec->gradients.flags;
    const anynorm_host_tensors host = {
        .x = s->v->x,
        .dy = s->dy,
        .weight = flags & ANYNORM_WEIGHT ? s->v->weight : NULL,
        .mean = flags & (ANYNORM_MEAN_INPUT | ANYNORM_MEAN_OUTPUT) ? s->mean : NULL,
        .rstd = flags & (ANYNORM_RSTD_INPUT | ANYNORM_RSTD_OUTPUT) ? s->rstd : NULL,
        .dx = wanted & ANYNORM_DX ? s->dx : NULL,
        .dweight = wanted & ANYNORM_DWEIGHT ? s->dweight : NULL,
        .dbias = wanted & ANYNORM_DBIAS ? s->dbias : NULL};
    if (!find(state, spec, rows, &host))
        return;
    if (host.dx)
        expect_near("dx", s->dx, s->expected_dx, COUNT_OF_X);
    if (host.dweight)
        expect_near("dweight", s->dweight, s->expected_dweight, parameters);
    if (host.dbias)
        expect_near("dbias", s->dbias, s->expected_dbias, parameters);
}

/* The mean and rstd of `count` elements that lie `step` apart, as forward saves them. */
static void save(struct study *s, size_t row, const float *x, size_t count, size_t step, double eps)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < count; i++)
        mean += (double)x[i * step] / (double)count;
    for (size_t i = 0; i < count; i++)
        variance += ((double)x[i * step] - mean) * ((double)x[i * step] - mean) / (double)count;
    s->mean[row] = (float)mean;
    s->rstd[row] = (float)(1 / sqrt(variance + eps));
}

/* ---- Layer normalization ---- */

/* PyTorch's CPU kernel goes by ds = sum(g * x) and db = sum(g), with
 * dx = rstd * g + b * x + c, b = (db * mean - ds) * rstd^3 / D, c = -b * mean - db * rstd / D. */
static void expect_layer_norm(struct study *s)
{
    for (size_t r = 0; r < ROWS; r++) {
        const float *x = s->v->x + r * COLUMNS, *dy = s->dy + r * COLUMNS;
        double mean, variance = 0, ds = 0, db = 0, h[COLUMNS];
        for (size_t c = 0; c < COLUMNS; c++) {
            h[c] = (double)x[c];
            ds += (double)dy[c] * (double)s->v->weight[c] * h[c];
            db += (double)dy[c] * (double)s->v->weight[c];
        }
        mean = mean_of(h, COLUMNS, 1);
        variance = variance_of(h, COLUMNS, 1, mean, COLUMNS);
        double rstd = 1 / sqrt(variance + EPS);
        double b = (db * mean - ds) * rstd * rstd * rstd / COLUMNS;
        double k = -b * mean - db * rstd / COLUMNS;
        for (size_t c = 0; c < COLUMNS; c++) {
            s->expected_dx[r * COLUMNS + c] =
                rstd * (double)dy[c] * (double)s->v->weight[c] + b * h[c] + k;
            s->expected_dweight[c] += (double)dy[c] * (h[c] - mean) * rstd;
            s->expected_dbias[c] += (double)dy[c];
        }
        save(s, r, x, COLUMNS, 1, EPS);
    }
}

/* native_layer_norm_backward and autograd, oneDNN with use_scale | use_shift, ONNX Runtime's
 * LayerNormalizationGrad, JAX and Keras: with mean and rstd as saved, or found again. */
static void test_layer_norm(void **state)
{
    static const char *const texts[] = {
        "layer-norm 12x60 weight bias mean rstd eps=1e-3 backward",
        "layer-norm 12x60 weight bias eps=1e-3 backward",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct study *s = make_study();
        uint64_t rows;
        anynorm_spec spec = parsed(texts[i], &rows);
        expect_layer_norm(s);
        expect_gradients(state, s, &spec, rows, COLUMNS);
        free_study(s);
    }
}

/* oneDNN with use_global_stats, and PyTorch's batch_norm in evaluation: constants. */
static void test_constant_statistics(void **state)
{
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec =
        parsed("layer-norm 12x60 weight bias mean-input rstd-input backward", &rows);
    for (size_t r = 0; r < ROWS; r++) {
        s->mean[r] = (float)r / 4;
        s->rstd[r] = 1 / (0.5F + (float)r);
    }
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        size_t r = i / COLUMNS, c = i % COLUMNS;
        double dy = (double)s->dy[i], rstd = (double)s->rstd[r];
        s->expected_dx[i] = dy * (double)s->v->weight[c] * rstd;
        s->expected_dweight[c] += dy * ((double)s->v->x[i] - (double)s->mean[r]) * rstd;
        s->expected_dbias[c] += dy;
    }
    expect_gradients(state, s, &spec, rows, COLUMNS);
    free_study(s);
}

/* By the chain rule through a * (x - mean) / (std + eps) + b, as autograd goes. */
static void test_annotated_transformer(void **state)
{
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec =
        parsed("layer-norm 12x60 weight bias unbiased eps-outside eps=1e-3 dx", &rows);
    for (size_t r = 0; r < ROWS; r++) {
        double h[COLUMNS], g[COLUMNS], of_a = 0;
        for (size_t c = 0; c < COLUMNS; c++) {
            h[c] = (double)s->v->x[r * COLUMNS + c];
            g[c] = (double)s->dy[r * COLUMNS + c] * (double)s->v->weight[c];
        }
        double mean = mean_of(h, COLUMNS, 1), of_g = mean_of(g, COLUMNS, 1);
        double std = sqrt(variance_of(h, COLUMNS, 1, mean, COLUMNS - 1)), d = std + EPS;
        for (size_t c = 0; c < COLUMNS; c++)
            of_a += g[c] * (h[c] - mean);
        for (size_t c = 0; c < COLUMNS; c++)
            s->expected_dx[r * COLUMNS + c] =
                (g[c] - of_g) / d - of_a / (d * d) * (h[c] - mean) / ((COLUMNS - 1) * std);
    }
    expect_gradients(state, s, &spec, rows, 0);
    free_study(s);
}

/* adaLN's x * (1 + scale) + shift of each sample, without weight and bias. */
static void test_adaptive(void **state)
{
    enum { T = 4, SAMPLES = ROWS / T };
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec =
        parsed("layer-norm 12x60 scale shift sample-rows=4 eps=1e-3 dscale dshift", &rows);
    expect_values(s->v, s->v->x);
    layer_norm(s->v, EPS);
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        size_t at = i / COLUMNS / T * COLUMNS + i % COLUMNS;
        s->expected_dweight[at] += (double)s->dy[i] * s->v->expected[i];
        s->expected_dbias[at] += (double)s->dy[i];
    }
    anynorm_host_tensors host = {
        .x = s->v->x, .dy = s->dy, .scale = s->v->scale, .dscale = s->dweight, .dshift = s->dbias};
    if (find(state, &spec, rows, &host)) {
        expect_near("dscale", s->dweight, s->expected_dweight, SAMPLES * COLUMNS);
        expect_near("dshift", s->dbias, s->expected_dbias, SAMPLES * COLUMNS);
    }
    free_study(s);
}

/* ---- Root mean squares ---- */

/* rms_norm's autograd, ONNX Runtime's SimplifiedLayerNormalizationGrad; and with the gradient that
 * the residual stream has of its own, as fused additions have it. Plus: what is added to weight. */
static void expect_rms_norm(struct study *s, const float *h, double plus)
{
    for (size_t r = 0; r < ROWS; r++) {
        double squares = 0, product = 0;
        for (size_t i = r * COLUMNS; i < (r + 1) * COLUMNS; i++) {
            squares += (double)h[i] * (double)h[i];
            product += (double)s->dy[i] * ((double)s->v->weight[i % COLUMNS] + plus) * (double)h[i];
        }
        double rms = sqrt(squares / COLUMNS + EPS);
        for (size_t i = r * COLUMNS; i < (r + 1) * COLUMNS; i++) {
            double g = (double)s->dy[i] * ((double)s->v->weight[i % COLUMNS] + plus);
            s->expected_dx[i] = g / rms - (double)h[i] * product / (COLUMNS * rms * rms * rms);
            s->expected_dweight[i % COLUMNS] += (double)s->dy[i] * (double)h[i] / rms;
        }
    }
}

static void test_rms_norm(void **state)
{
    static const char *const texts[] = {
        "rms-norm 12x60 weight eps=1e-3 backward",
        "rms-norm 12x60 weight weight-offset=1 eps=1e-3 backward",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct study *s = make_study();
        uint64_t rows;
        anynorm_spec spec = parsed(texts[i], &rows);
        expect_rms_norm(s, s->v->x, (double)i);
        expect_gradients(state, s, &spec, rows, COLUMNS);
        free_study(s);
    }
}

/* Of a residual that was added first: one tensor is the gradient of both, and takes in dsum. */
static void test_fused_add(void **state)
{
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec =
        parsed("rms-norm 12x60 weight residual sum eps=1e-3 dx dweight dsum saved-sum", &rows);
    for (size_t i = 0; i < COUNT_OF_X; i++)
        s->v->sum[i] = s->v->x[i] + s->v->residual[i];
    expect_rms_norm(s, s->v->sum, 0);
    for (size_t i = 0; i < COUNT_OF_X; i++)
        s->expected_dx[i] += (double)s->dsum[i];
    anynorm_host_tensors host = {.sum = s->v->sum,
                                 .dy = s->dy,
                                 .dsum = s->dsum,
                                 .weight = s->v->weight,
                                 .dx = s->dx,
                                 .dweight = s->dweight};
    if (find(state, &spec, rows, &host)) {
        expect_near("dx", s->dx, s->expected_dx, COUNT_OF_X);
        expect_near("dweight", s->dweight, s->expected_dweight, COLUMNS);
    }
    free_study(s);
}

/* ggml's RMS_NORM_BACK: dx alone, of a norm without a weight. */
static void test_without_weight(void **state)
{
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec = parsed("rms-norm 12x60 eps=1e-3 dx", &rows);
    for (size_t r = 0; r < ROWS; r++) {
        double of_xx = 0, of_xdz = 0;
        for (size_t i = r * COLUMNS; i < (r + 1) * COLUMNS; i++) {
            of_xx += (double)s->v->x[i] * (double)s->v->x[i];
            of_xdz += (double)s->v->x[i] * (double)s->dy[i];
        }
        for (size_t i = r * COLUMNS; i < (r + 1) * COLUMNS; i++)
            s->expected_dx[i] =
                ((double)s->dy[i] - (double)s->v->x[i] * of_xdz / (of_xx + COLUMNS * EPS)) /
                sqrt(of_xx / COLUMNS + EPS);
    }
    expect_gradients(state, s, &spec, rows, 0);
    free_study(s);
}

/* PyTorch's normalize: dx = (dy - n * (n . dy)) / norm. */
static void test_l2(void **state)
{
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec = parsed("rms-norm 12x60 l2 eps-floor eps=1e-12 dx", &rows);
    for (size_t r = 0; r < ROWS; r++) {
        double squares = 0, product = 0;
        for (size_t i = r * COLUMNS; i < (r + 1) * COLUMNS; i++) {
            squares += (double)s->v->x[i] * (double)s->v->x[i];
            product += (double)s->v->x[i] * (double)s->dy[i];
        }
        for (size_t i = r * COLUMNS; i < (r + 1) * COLUMNS; i++)
            s->expected_dx[i] =
                ((double)s->dy[i] - (double)s->v->x[i] * product / squares) / sqrt(squares);
    }
    expect_gradients(state, s, &spec, rows, 0);
    free_study(s);
}

/* ---- Images and batches ---- */

/* native_group_norm_backward, of x [2, 12, 30] in 4 groups: with ds and db of each channel,
 * dx = rstd * weight * dy + b * x + c, and dweight = (ds - db * mean) * rstd over the images. */
static void test_group_norm(void **state)
{
    enum {
        N = 2,
        C = 12,
        PIXELS = 30,
        G = 4,
        CHANNELS = C / G,
        COUNT_OF_GROUP = CHANNELS * PIXELS
    };
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec = parsed("layer-norm 8x90 weight bias parameter-rows=4 parameter-run=30 mean "
                               "rstd eps=1e-3 backward",
                               &rows);
    for (size_t row = 0; row < N * G; row++) {
        const float *x = s->v->x + row * COUNT_OF_GROUP, *dy = s->dy + row * COUNT_OF_GROUP;
        double h[COUNT_OF_GROUP], of_x = 0, of_dy = 0;
        for (size_t i = 0; i < COUNT_OF_GROUP; i++)
            h[i] = (double)x[i];
        double mean = mean_of(h, COUNT_OF_GROUP, 1);
        double rstd = 1 / sqrt(variance_of(h, COUNT_OF_GROUP, 1, mean, COUNT_OF_GROUP) + EPS);
        for (size_t k = 0; k < CHANNELS; k++) {
            size_t channel = row % G * CHANNELS + k;
            double ds = 0, db = 0;
            for (size_t i = k * PIXELS; i < (k + 1) * PIXELS; i++) {
                ds += (double)dy[i] * h[i];
                db += (double)dy[i];
            }
            s->expected_dweight[channel] += (ds - db * mean) * rstd;
            s->expected_dbias[channel] += db;
            of_x += ds * (double)s->v->weight[channel];
            of_dy += db * (double)s->v->weight[channel];
        }
        double b = (of_dy * mean - of_x) * rstd * rstd * rstd / (double)COUNT_OF_GROUP;
        double c = -b * mean - of_dy * rstd / (double)COUNT_OF_GROUP;
        for (size_t i = 0; i < COUNT_OF_GROUP; i++) {
            double weight = (double)s->v->weight[row % G * CHANNELS + i / PIXELS];
            s->expected_dx[row * COUNT_OF_GROUP + i] = rstd * weight * (double)dy[i] + b * h[i] + c;
        }
        save(s, row, x, COUNT_OF_GROUP, 1, EPS);
    }
    expect_gradients(state, s, &spec, rows, C);
    free_study(s);
}

/* native_batch_norm_backward in training, of x [12, 60]: rows are channels, whose elements lie
 * apart. dx = weight * invstd * (dy - mean(dy) - (x - mean) * invstd^2 * mean(dy * (x - mean))). */
static void test_batch_norm(void **state)
{
    enum { N = ROWS, C = COLUMNS };
    struct study *s = make_study();
    uint64_t rows;
    anynorm_spec spec =
        parsed("layer-norm 60x12 weight bias inner=60 x-column=60 y-column=60 dx-column=60 "
               "parameter-rows=60 parameter-run=12 mean rstd eps=1e-3 backward",
               &rows);
    for (size_t channel = 0; channel < C; channel++) {
        double h[N], dy[N], product = 0;
        for (size_t n = 0; n < N; n++) {
            h[n] = (double)s->v->x[n * C + channel];
            dy[n] = (double)s->dy[n * C + channel];
        }
        double mean = mean_of(h, N, 1), of_dy = mean_of(dy, N, 1);
        double invstd = 1 / sqrt(variance_of(h, N, 1, mean, N) + EPS);
        for (size_t n = 0; n < N; n++)
            product += dy[n] * (h[n] - mean) / (double)N;
        for (size_t n = 0; n < N; n++) {
            s->expected_dx[n * C + channel] =
                (double)s->v->weight[channel] * invstd *
                (dy[n] - of_dy - (h[n] - mean) * invstd * invstd * product);
            s->expected_dweight[channel] += dy[n] * (h[n] - mean) * invstd;
            s->expected_dbias[channel] += dy[n];
        }
        save(s, channel, s->v->x + channel, N, C, EPS);
    }
    expect_gradients(state, s, &spec, rows, C);
    free_study(s);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"layer_norm", test_layer_norm},
        {"constant_statistics", test_constant_statistics},
        {"annotated_transformer", test_annotated_transformer},
        {"adaptive", test_adaptive},
        {"rms_norm", test_rms_norm},
        {"fused_add", test_fused_add},
        {"without_weight", test_without_weight},
        {"l2", test_l2},
        {"group_norm", test_group_norm},
        {"batch_norm", test_batch_norm},
    };
    return run_on_schedules("conventions_backward", tests, COUNT(tests));
}
