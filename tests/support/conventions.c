#include "conventions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "spec/spec.h"
#include "spec/tensors.h"
#include "turns.h"

static void fill(float *values, size_t count, double centre, double spread, struct random *random)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(centre + spread * random_normal(random));
}

struct room *make_room(void)
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

bool run(struct subject *subject, const anynorm_spec *spec, uint64_t rows,
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

bool expect(void **state, const anynorm_spec *spec, struct room *v, uint64_t rows,
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

double mean_of(const double *h, size_t count, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += h[i * step];
    return sum / (double)count;
}

double variance_of(const double *h, size_t count, size_t step, double about, size_t over)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (h[i * step] - about) * (h[i * step] - about);
    return sum / (double)over;
}

void expect_values(struct room *v, const float *x)
{
    for (size_t i = 0; i < COUNT_OF_X; i++)
        v->expected[i] = (double)x[i];
}

void layer_norm(struct room *v, double eps)
{
    for (size_t r = 0; r < ROWS; r++) {
        double *h = v->expected + r * COLUMNS, mean = mean_of(h, COLUMNS, 1);
        double deviation = sqrt(variance_of(h, COLUMNS, 1, mean, COLUMNS) + eps);
        for (size_t c = 0; c < COLUMNS; c++)
            h[c] = (h[c] - mean) / deviation;
    }
}

void rms_norm(struct room *v, double eps)
{
    for (size_t r = 0; r < ROWS; r++) {
        double *h = v->expected + r * COLUMNS;
        double root = sqrt(variance_of(h, COLUMNS, 1, 0, COLUMNS) + eps);
        for (size_t c = 0; c < COLUMNS; c++)
            h[c] /= root;
    }
}

void affine(struct room *v, const float *weight, double plus, const float *bias)
{
    for (size_t i = 0; i < COUNT_OF_X; i++) {
        size_t c = i % COLUMNS;
        if (weight)
            v->expected[i] *= (double)weight[c] + plus;
        if (bias)
            v->expected[i] += (double)bias[c];
    }
}
