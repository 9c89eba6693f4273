/* The adaLN-Zero block of a diffusion transformer (Peebles, Xie: arXiv:2212.09748), whose shifts,
 * scales and gates are six slices of one projection [samples][6][columns], on every device: its
 * norms against formulas of their own, in buffers of the device and from host memory.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spec_flags.h"
#include "turns.h"

enum { SAMPLES = 3, TOKENS = 5, ROWS = SAMPLES * TOKENS - 2, MOST_COLUMNS = 200 };
enum { MOST_ELEMENTS = ROWS * MOST_COLUMNS };
static const double eps = 1e-6;

/* In the order in which the projection has them. */
enum slice { SHIFT_MSA, SCALE_MSA, GATE_MSA, SHIFT_MLP, SCALE_MLP, GATE_MLP, SLICES };

struct block {
    size_t columns;
    anynorm_dtype x_type, branch_type, projected_type;
    unsigned char x[MOST_ELEMENTS * sizeof(float)], branch[MOST_ELEMENTS * sizeof(float)];
    unsigned char projected[SAMPLES * SLICES * MOST_COLUMNS * sizeof(float)];
    float y[MOST_ELEMENTS], sum[MOST_ELEMENTS];
    double h[MOST_ELEMENTS], expected[MOST_ELEMENTS];
};

static void fill(anynorm_dtype type, unsigned char *to, size_t count, struct random *random)
{
    for (size_t i = 0; i < count; i++)
        anynorm_dtype_store(type, to, i, 0.25 + random_normal(random));
}

static void make_block(struct block *block, size_t columns, size_t types)
{
    struct random random = {2212 + columns + types};
    memset(block, 0, sizeof(*block));
    block->columns = columns;
    block->x_type = (anynorm_dtype)(types % 3);
    block->branch_type = (anynorm_dtype)((types / 3 + types) % 3);
    block->projected_type = (anynorm_dtype)((types + 1) % 3);
    fill(block->x_type, block->x, ROWS * columns, &random);
    fill(block->branch_type, block->branch, ROWS * columns, &random);
    fill(block->projected_type, block->projected, SAMPLES * SLICES * columns, &random);
}

/* Bytes from the first of the projection to that of a slice. */
static size_t start_of(const struct block *block, enum slice slice)
{
    return (size_t)slice * block->columns * anynorm_dtype_size(block->projected_type);
}

static double slice_at(const struct block *block, enum slice slice, size_t row, size_t column)
{
    size_t sample = row / TOKENS;
    return anynorm_dtype_load(block->projected_type, block->projected,
                              (sample * SLICES + (size_t)slice) * block->columns + column);
}

/* One norm of the block: h = x + gate * branch, then its norm, scaled and shifted. A slice that it
 * does not take is SLICES. */
struct step {
    enum slice gate, scale, shift;
};

static const struct step steps[] = {
    {SLICES, SCALE_MSA, SHIFT_MSA},
    {GATE_MSA, SCALE_MLP, SHIFT_MLP},
    {GATE_MLP, SLICES, SLICES},
};

static void find_expected(struct block *block, const struct step *step)
{
    for (size_t r = 0; r < ROWS; r++) {
        double *h = block->h + r * block->columns, *y = block->expected + r * block->columns;
        double mean = 0, variance = 0;
        for (size_t c = 0; c < block->columns; c++) {
            size_t at = r * block->columns + c;
            h[c] = anynorm_dtype_load(block->x_type, block->x, at);
            if (step->gate != SLICES)
                h[c] += slice_at(block, step->gate, r, c) *
                        anynorm_dtype_load(block->branch_type, block->branch, at);
            mean += h[c] / (double)block->columns;
        }
        for (size_t c = 0; c < block->columns; c++)
            variance += (h[c] - mean) * (h[c] - mean) / (double)block->columns;
        for (size_t c = 0; c < block->columns; c++) {
            y[c] = (h[c] - mean) / sqrt(variance + eps);
            if (step->scale != SLICES)
                y[c] = y[c] * (1 + slice_at(block, step->scale, r, c)) +
                       slice_at(block, step->shift, r, c);
        }
    }
}

static anynorm_spec spec_of(const struct block *block, const struct step *step)
{
    const anynorm_rows slice = {.type = block->projected_type,
                                .row_stride = SLICES * block->columns};
    anynorm_spec spec = {.columns = block->columns,
                         .x.type = block->x_type,
                         .statistic.eps = eps,
                         .sample_rows = TOKENS};
    if (step->gate != SLICES) {
        spec.flags |= RESIDUAL | GATE | SUM;
        spec.residual.type = block->branch_type;
        spec.gate = slice;
    }
    if (step->scale != SLICES) {
        spec.flags |= SCALE | SHIFT;
        spec.scale = spec.shift = slice;
    }
    return spec;
}

static void assert_near(const float *got, const double *expected, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)got[i] - expected[i]) <= 2e-5 * (1 + fabs(expected[i]))))
            fail_msg("%s: element %zu is %.9g, expected %.9g", what, i, (double)got[i],
                     expected[i]);
    }
}

static void assert_step(struct block *block, const struct step *step)
{
    size_t count = ROWS * block->columns;
    assert_near(block->y, block->expected, count, "y");
    if (step->gate != SLICES)
        assert_near(block->sum, block->h, count, "sum");
    memset(block->y, 0, sizeof(block->y));
    memset(block->sum, 0, sizeof(block->sum));
}

static anynorm_buffer make_buffer(anynorm_device *device, const void *from, size_t bytes)
{
    anynorm_buffer buffer;
    assert_ok(anynorm_buffer_create(device, bytes, &buffer));
    assert_ok(anynorm_buffer_write(device, &buffer, from, bytes));
    return buffer;
}

/* Three buffers name parts of the projection's one memory. */
static void enqueue(anynorm_device *device, anynorm_plan *plan, struct block *block,
                    const struct step *step)
{
    size_t count = ROWS * block->columns;
    size_t projected =
        SAMPLES * SLICES * block->columns * anynorm_dtype_size(block->projected_type);
    anynorm_tensors tensors = {
        .x = make_buffer(device, block->x, count * anynorm_dtype_size(block->x_type)),
        .y = make_buffer(device, block->y, count * sizeof(float))};
    anynorm_buffer whole = make_buffer(device, block->projected, projected);
    if (step->gate != SLICES) {
        tensors.residual =
            make_buffer(device, block->branch, count * anynorm_dtype_size(block->branch_type));
        tensors.sum = make_buffer(device, block->sum, count * sizeof(float));
        tensors.gate = whole;
        tensors.gate.offset = start_of(block, step->gate);
    }
    if (step->scale != SLICES) {
        tensors.scale = tensors.shift = whole;
        tensors.scale.offset = start_of(block, step->scale);
        tensors.shift.offset = start_of(block, step->shift);
    }
    anynorm_event event;
    assert_ok(anynorm_enqueue(plan, &tensors, ROWS, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    assert_ok(anynorm_buffer_read(device, &tensors.y, block->y, count * sizeof(float)));
    if (step->gate != SLICES)
        assert_ok(anynorm_buffer_read(device, &tensors.sum, block->sum, count * sizeof(float)));
    anynorm_buffer_destroy(device, &tensors.x);
    anynorm_buffer_destroy(device, &tensors.y);
    anynorm_buffer_destroy(device, &tensors.residual);
    anynorm_buffer_destroy(device, &tensors.sum);
    anynorm_buffer_destroy(device, &whole);
}

static void run_on_host(anynorm_plan *plan, struct block *block, const struct step *step)
{
    anynorm_host_tensors tensors = {.x = block->x, .y = block->y};
    if (step->gate != SLICES) {
        tensors.residual = block->branch;
        tensors.sum = block->sum;
        tensors.gate = block->projected + start_of(block, step->gate);
    }
    if (step->scale != SLICES) {
        tensors.scale = block->projected + start_of(block, step->scale);
        tensors.shift = block->projected + start_of(block, step->shift);
    }
    assert_ok(anynorm_run(plan, &tensors, ROWS));
}

static void test_block(void **state)
{
    struct subject *subject = *state;
    static struct block block;
    static const size_t columns[] = {60, 129, 64, 200};
    for (size_t i = 0; i < (few(subject) ? 3 : COUNT(columns) * 9); i++) {
        for (size_t s = 0; s < COUNT(steps); s++) {
            make_block(&block, columns[i % COUNT(columns)], i % 9);
            anynorm_spec spec = spec_of(&block, &steps[s]);
            if (few(subject) && !has_turn(subject, &spec, i + s))
                continue;
            anynorm_plan *plan = offered_plan(subject, &spec);
            if (!plan)
                continue;
            find_expected(&block, &steps[s]);
            enqueue(subject->device, plan, &block, &steps[s]);
            assert_step(&block, &steps[s]);
            run_on_host(plan, &block, &steps[s]);
            assert_step(&block, &steps[s]);
            anynorm_plan_destroy(plan);
        }
    }
}

int main(void)
{
    static const struct device_test tests[] = {{"block", test_block}};
    return run_on_schedules("six slices", tests, COUNT(tests));
}
