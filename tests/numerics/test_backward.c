/* Gradients on every device, by every schedule that finds them, against the reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradients.h"
#include "schedules.h"

static double worst[AN_TENSOR_COUNT];

static void check_backward(struct subject *subject, const struct problem *problem)
{
    anynorm_plan *plan = offered_plan(subject, &problem->spec);
    struct images before, after;
    if (!plan)
        return;
    images_make(problem, &before);
    if (problem->spec.gradients.flags & ANYNORM_ACCUMULATE) {
        for (int t = AN_DWEIGHT; t <= AN_DSHIFT; t++)
            if (before.bytes[t])
                memset(before.bytes[t] + problem->offset[t], 0x3c,
                       (size_t)(before.size[t] - problem->offset[t] - 64));
    }
    run_on_device(subject->device, plan, problem, &before, &after);
    check_gradients(problem, &before, &after, subject->name, worst);
    images_free(&before);
    images_free(&after);
    anynorm_plan_destroy(plan);
}

static struct problem problem_of(const char *text, enum values values)
{
    struct problem problem = {.values = values, .seed = 11};
    assert_ok(anynorm_spec_parse(text, &problem.spec, &problem.rows));
    return problem;
}

/* ---- The tests ---- */

static void test_family(void **state)
{
    static const char *const texts[] = {
        "layer-norm 70x768 weight bias backward",
        "layer-norm 3x1 weight bias backward",
        "layer-norm 9x5 weight bias backward",
        "layer-norm 33x130 weight bias backward f16",
        "layer-norm 33x130 weight bias backward bf16 dx=f32",
        "layer-norm 33x130 weight bias backward f64 dparameters=f64",
        "layer-norm 33x130 weight bias mean rstd backward",
        "rms-norm 33x130 weight rstd backward",
        "rms-norm 40x96 weight weight-offset=1 backward dparameters=bf16",
        "layer-norm 40x96 dx",
        "layer-norm 40x96 weight bias dweight dbias",
        "layer-norm 40x96 weight bias unbiased backward",
        "layer-norm 40x96 weight bias eps-outside eps=0.5 backward",
        "layer-norm 40x96 weight bias eps-outside eps=0.5 mean rstd backward",
        "rms-norm 40x96 weight l2 eps-floor eps=0.9 backward",
        "layer-norm 40x96 weight bias silu backward",
        "layer-norm 40x96 weight bias silu mean rstd backward",
        "layer-norm 40x96 weight bias round-first f16 backward",
        "layer-norm 40x96 weight bias residual sum backward dsum",
        "layer-norm 40x96 weight bias residual sum backward dsum saved-sum",
        "layer-norm 40x96 weight bias residual stored-sum sum f16 backward dsum",
        "layer-norm 42x96 weight bias pre-bias residual gate sample-rows=5 sum backward dsum",
        "layer-norm 42x96 weight bias pre-bias residual gate sample-rows=30 sum backward dsum "
        "saved-sum",
        "layer-norm 42x96 weight bias scale shift sample-rows=7 backward",
        "layer-norm 42x96 weight bias scale shift silu sample-rows=1 backward samples=bf16 "
        "dsamples=bf16",
        "layer-norm 300x96 scale shift sample-rows=100 backward",
        "layer-norm 42x96 weight bias parameter-rows=6 parameter-run=12 backward",
        "layer-norm 42x96 weight bias parameter-rows=2 parameter-cycle=24 parameter-run=3 backward",
        "layer-norm 42x96 weight bias parameter-rows=42 parameter-run=96 backward",
        "layer-norm 42x96 weight bias parameter-rows=50 backward",
        "layer-norm 42x96 weight bias scale parameter-rows=3 sample-rows=14 backward",
        "layer-norm 42x96 weight bias mean-input rstd-input backward",
        "rms-norm 42x96 weight silu rstd-input backward",
        "layer-norm 42x96 weight bias inner=6 x-stride=100 x-outer=700 y-stride=97 y-outer=600 "
        "dx-stride=99 dx-outer=650 backward",
        "layer-norm 42x96 weight bias inner=6 x-column=6 y-column=6 dx-column=6 backward",
        "layer-norm 42x96 weight bias inner=6 run=16 x-column=96 y-column=96 dx-column=96 backward",
        "layer-norm 41x97 weight bias any-alignment f16 backward",
        "layer-norm 70x200 weight bias accumulate backward",
        "layer-norm 42x96 weight bias scale shift sample-rows=7 accumulate backward",
        "layer-norm 5000x8 weight bias backward",
        "layer-norm 3x9000 weight bias backward",
    };
    const struct subject *subject = *state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct problem problem = problem_of(texts[i], VALUES_NORMAL);
        if (reduced() && (i % 2 == 0) == (strcmp(subject->schedule, "row_reread") == 0))
            continue; /* the other schedule's */
        if (problem.spec.flags & ANYNORM_ANY_ALIGNMENT) {
            for (int t = 0; t < AN_WORKSPACE; t++)
                problem.offset[t] = 1;
        }
        check_backward(*state, &problem);
    }
}

static void test_values(void **state)
{
    for (int values = 0; values < VALUES_COUNT; values++) {
        struct problem problem =
            problem_of("layer-norm 37x200 weight bias backward", (enum values)values);
        check_backward(*state, &problem);
        problem =
            problem_of("layer-norm 37x200 weight bias mean rstd backward", (enum values)values);
        check_backward(*state, &problem);
        problem = problem_of("rms-norm 37x200 weight silu backward", (enum values)values);
        check_backward(*state, &problem);
    }
}

/* Gradients of plain tensors, each in a buffer of its own but for dx. */
struct plain {
    uint64_t rows, columns;
    float *x, *dy, *weight, *dx, *dweight, *dbias;
};

static struct plain make_plain(uint64_t rows, uint64_t columns)
{
    struct plain p = {rows, columns, NULL, NULL, NULL, NULL, NULL, NULL};
    struct random random = {rows * 31 + columns};
    float **const of[] = {&p.x, &p.dy, &p.weight, &p.dx, &p.dweight, &p.dbias};
    for (int i = 0; i < 6; i++) {
        uint64_t count = i == 0 || i == 1 || i == 3 ? rows * columns : columns;
        *of[i] = malloc(count * sizeof(float));
        assert_non_null(*of[i]);
        for (uint64_t e = 0; e < count; e++)
            (*of[i])[e] = i < 3 ? (float)random_normal(&random) : NAN;
    }
    return p;
}

static void free_plain(struct plain *p)
{
    free(p->x);
    free(p->dy);
    free(p->weight);
    free(p->dx);
    free(p->dweight);
    free(p->dbias);
}

/* Rows [first, first + rows); dx over dy or x where it says so. */
static void run_plain(anynorm_plan *plan, const struct plain *p, uint64_t first, uint64_t rows,
                      enum an_tensor over, float *dx)
{
    size_t bytes = rows * p->columns * sizeof(float);
    float *x = malloc(bytes), *dy = malloc(bytes);
    assert_true(x && dy);
    memcpy(x, p->x + first * p->columns, bytes);
    memcpy(dy, p->dy + first * p->columns, bytes);
    float *to = over == AN_X ? x : over == AN_DY ? dy : dx;
    const anynorm_host_tensors host = {
        .x = x, .dy = dy, .weight = p->weight, .dx = to, .dweight = p->dweight, .dbias = p->dbias};
    assert_ok(anynorm_run(plan, &host, rows));
    if (to != dx)
        memcpy(dx, to, bytes);
    free(x);
    free(dy);
}

/* The same bits twice, over dy and over x; and of each row's dx, alone. */
static void test_bits(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {4, 100, 768, 5000};
    for (size_t i = 0; i < COUNT(columns); i++) {
        struct plain p = make_plain(77, columns[i]);
        uint64_t count = p.rows * p.columns;
        char text[64];
        snprintf(text, sizeof(text), "layer-norm 77x%d weight bias backward", (int)columns[i]);
        struct problem problem = problem_of(text, VALUES_NORMAL);
        anynorm_plan *plan = offered_plan(subject, &problem.spec);
        float *again = malloc(count * sizeof(float)), *sums = malloc(2 * p.columns * sizeof(float));
        assert_true(again && sums);
        if (plan) {
            run_plain(plan, &p, 0, p.rows, AN_DX, p.dx);
            memcpy(sums, p.dweight, p.columns * sizeof(float));
            memcpy(sums + p.columns, p.dbias, p.columns * sizeof(float));
            static const enum an_tensor over[] = {AN_DX, AN_DY, AN_X};
            for (size_t k = 0; k < COUNT(over); k++) {
                run_plain(plan, &p, 0, p.rows, over[k], again);
                assert_memory_equal(again, p.dx, count * sizeof(float));
                assert_memory_equal(sums, p.dweight, p.columns * sizeof(float));
                assert_memory_equal(sums + p.columns, p.dbias, p.columns * sizeof(float));
            }
            for (uint64_t r = 0; r < p.rows; r += 19) {
                run_plain(plan, &p, r, 1, AN_DX, again);
                assert_same_bits(p.dx + r * p.columns, again, p.columns * sizeof(float), "dx");
            }
        }
        free(again);
        free(sums);
        free_plain(&p);
        anynorm_plan_destroy(plan);
    }
}

/* How far sums over so many rows are off, in units; and how far those are of a loop that adds them
 * up one after the other. Of like sign, as no sum of unlike ones grows so much. */
static void test_many_rows(void **state)
{
    struct subject *subject = *state;
    const uint64_t rows = reduced() ? 300000 : 2000000, columns = 4;
    struct problem problem = problem_of("rms-norm 1x4 weight bias backward eps=0", VALUES_NORMAL);
    anynorm_plan *plan = offered_plan(subject, &problem.spec);
    if (!plan)
        return;
    struct plain p = make_plain(rows, columns);
    for (uint64_t i = 0; i < rows * columns; i++)
        p.dy[i] = fabsf(p.dy[i]);
    run_plain(plan, &p, 0, rows, AN_DX, p.dx);
    double units = 0, naive_units = 0;
    for (uint64_t c = 0; c < columns; c++) {
        double exact = 0;
        float naive = 0;
        for (uint64_t r = 0; r < rows; r++) {
            exact += (double)p.dy[r * columns + c];
            naive += p.dy[r * columns + c];
        }
        units = fmax(units, fabs((double)p.dbias[c] - exact) / exact * 0x1p23);
        naive_units = fmax(naive_units, fabs((double)naive - exact) / exact * 0x1p23);
    }
    printf("# %s: sums over %d rows: %.2f units, one after the other %.0f\n", subject->name,
           (int)rows, units, naive_units);
    assert_true(units <= GRADIENT_BOUND && naive_units > GRADIENT_BOUND);
    free_plain(&p);
    anynorm_plan_destroy(plan);
}

/* Parts of so many rows that they are added up in blocks. Small whole numbers, whose sums are
 * exact, and n of 1 or -1 by turns. */
static void test_long_parts(void **state)
{
    struct subject *subject = *state;
    enum { ROWS = 4160, COLUMNS = 16384, VALUES = 7 };
    struct problem problem =
        problem_of("layer-norm 4160x16384 f16 weight bias eps=0 dweight dbias", VALUES_NORMAL);
    if (!fits(subject, &problem.spec))
        return;
    anynorm_plan *plan = make_plan(subject->device, &problem.spec, subject->schedule);
    uint16_t *x = malloc((size_t)ROWS * COLUMNS * 2), *dy = malloc((size_t)ROWS * COLUMNS * 2);
    float *sums = malloc(3 * COLUMNS * sizeof(float));
    assert_true(x && dy && sums);
    uint16_t values[VALUES], ones[2];
    for (size_t v = 0; v < VALUES; v++)
        anynorm_dtype_store(ANYNORM_F16, values, v, (double)v);
    anynorm_dtype_store(ANYNORM_F16, ones, 0, 1);
    anynorm_dtype_store(ANYNORM_F16, ones, 1, -1);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            x[r * COLUMNS + c] = ones[c % 2];
            dy[r * COLUMNS + c] = values[(r + c) % VALUES];
        }
    }
    float *weight = sums, *dweight = sums + COLUMNS, *dbias = sums + 2 * COLUMNS;
    for (size_t c = 0; c < COLUMNS; c++)
        weight[c] = 1;
    const anynorm_host_tensors host = {
        .x = x, .dy = dy, .weight = weight, .dweight = dweight, .dbias = dbias};
    assert_ok(anynorm_run(plan, &host, ROWS));
    for (size_t c = 0; c < COLUMNS; c++) {
        double sum = 0;
        for (size_t r = 0; r < ROWS; r++)
            sum += (double)((r + c) % VALUES);
        double off = (double)dweight[c] - (c % 2 ? -sum : sum);
        assert_true((double)dbias[c] == sum);
        assert_true(fabs(off) <= GRADIENT_BOUND * 0x1p-23 * sum);
    }
    free(x);
    free(dy);
    free(sums);
    anynorm_plan_destroy(plan);
}

/* Rows that a work-item walks for so long that drivers have ended its loops before the last. */
static void test_long_walks(void **state)
{
    struct subject *subject = *state;
    const uint64_t rows = 1024, columns = 8192;
    struct problem problem = problem_of("layer-norm 1024x8192 weight bias backward", VALUES_NORMAL);
    if (!fits(subject, &problem.spec))
        return;
    anynorm_plan *plan = make_plan(subject->device, &problem.spec, subject->schedule);
    struct plain p = make_plain(rows, columns);
    run_plain(plan, &p, 0, rows, AN_DX, p.dx);
    for (uint64_t c = 0; c < columns; c += 97) {
        double sum = 0, squares = 0;
        for (uint64_t r = 0; r < rows; r++) {
            double dy = (double)p.dy[r * columns + c];
            sum += dy;
            squares += dy * dy;
        }
        assert_true(fabs((double)p.dbias[c] - sum) <= GRADIENT_BOUND * 0x1p-23 * sqrt(squares));
    }
    free_plain(&p);
    anynorm_plan_destroy(plan);
}

/* What a workspace is asked for, and an enqueue without one. */
static void test_workspace(void **state)
{
    struct subject *subject = *state;
    uint64_t bytes = 7;
    struct problem problem = problem_of("layer-norm 9x50 weight bias backward", VALUES_NORMAL);
    struct problem forward = problem_of("layer-norm 9x50 weight bias", VALUES_NORMAL);
    struct problem alone = problem_of("layer-norm 9x50 weight dx", VALUES_NORMAL);
    anynorm_plan *plan = offered_plan(subject, &problem.spec);
    if (!plan)
        return;
    assert_status(anynorm_plan_workspace(NULL, 9, &bytes), ANYNORM_INVALID_ARGUMENT);
    assert_status(anynorm_plan_workspace(plan, 9, NULL), ANYNORM_INVALID_ARGUMENT);
    assert_int_equal(bytes, 7);
    assert_ok(anynorm_plan_workspace(plan, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_ok(anynorm_plan_workspace(plan, 9, &bytes));
    assert_true(bytes > 0);
    struct images before;
    images_make(&problem, &before);
    anynorm_tensors tensors = {.x = {0}};
    anynorm_buffer all;
    assert_ok(anynorm_buffer_create(subject->device, 65536, &all));
    for (int t = 0; t < AN_WORKSPACE; t++) {
        *an_tensor_slot(&tensors, (enum an_tensor)t) = before.bytes[t] ? all : (anynorm_buffer){0};
        an_tensor_slot(&tensors, (enum an_tensor)t)->offset = (uint64_t)(t % 32) * 2048;
    }
    anynorm_event event;
    assert_status(anynorm_enqueue(plan, &tensors, 9, 0, NULL, &event), ANYNORM_INVALID_ARGUMENT);
    assert_non_null(strstr(anynorm_message(), "workspace is missing"));
    /* Of no rows there is none. */
    assert_ok(anynorm_enqueue(plan, &tensors, 0, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    anynorm_buffer_destroy(subject->device, &all);
    images_free(&before);
    anynorm_plan_destroy(plan);
    anynorm_spec *const others[] = {&forward.spec, &alone.spec};
    for (int i = 0; i < 2; i++) {
        plan = make_plan(subject->device, others[i], subject->schedule);
        assert_ok(anynorm_plan_workspace(plan, 9, &bytes));
        assert_int_equal(bytes, 0);
        anynorm_plan_destroy(plan);
    }
}

/* Two shards of each row, on two plans, against the whole rows on one. */
static void test_shards(void **state)
{
    struct subject *subject = *state;
    static const char *const forms[] = {
        "layer-norm 9x%d weight bias mean rstd %s", "rms-norm 9x%d weight bias rstd %s",
        "layer-norm 9x%d weight bias eps-outside eps=0.3 mean rstd %s"};
    for (size_t f = 0; f < COUNT(forms); f++) {
        enum { ROWS = 9, COLUMNS = 130, LEFT = 50 };
        struct plain p = make_plain(ROWS, COLUMNS);
        char text[160];
        float mean[ROWS], rstd[ROWS], partials[2][ROWS][3], dx[ROWS * COLUMNS], x[ROWS * COLUMNS],
            dy[ROWS * COLUMNS], dweight[COLUMNS], dbias[COLUMNS];
        uint64_t rows;
        anynorm_spec spec;
        snprintf(text, sizeof(text), forms[f], COLUMNS, "backward");
        assert_ok(anynorm_spec_parse(text, &spec, &rows));
        anynorm_spec forward = spec;
        forward.gradients = (anynorm_gradients){0};
        anynorm_device *reference = open_device("reference");
        anynorm_plan *plan = make_plan(reference, &forward, NULL);
        anynorm_host_tensors host = {.x = p.x,
                                     .y = dx,
                                     .weight = p.weight,
                                     .bias = p.weight,
                                     .mean = forward.flags & ANYNORM_RMS ? NULL : mean,
                                     .rstd = rstd};
        assert_ok(anynorm_run(plan, &host, ROWS));
        anynorm_plan_destroy(plan);
        anynorm_device_close(reference);
        plan = offered_plan(subject, &spec);
        if (!plan) {
            free_plain(&p);
            continue;
        }
        host = (anynorm_host_tensors){.x = p.x,
                                      .dy = p.dy,
                                      .weight = p.weight,
                                      .mean = host.mean,
                                      .rstd = rstd,
                                      .dx = p.dx,
                                      .dweight = p.dweight,
                                      .dbias = p.dbias};
        assert_ok(anynorm_run(plan, &host, ROWS));
        anynorm_plan_destroy(plan);
        for (int step = 0; step < 2; step++) {
            for (int shard = 0; shard < 2; shard++) {
                int first = shard ? LEFT : 0, columns = shard ? COLUMNS - LEFT : LEFT;
                snprintf(text, sizeof(text), forms[f], columns,
                         step ? "backward dpartials-input shards=2" : "dpartials");
                assert_ok(anynorm_spec_parse(text, &spec, &rows));
                plan = make_plan(subject->device, &spec, subject->schedule);
                for (int r = 0; r < ROWS; r++) {
                    memcpy(x + r * columns, p.x + r * COLUMNS + first,
                           (size_t)columns * sizeof(float));
                    memcpy(dy + r * columns, p.dy + r * COLUMNS + first,
                           (size_t)columns * sizeof(float));
                }
                host = (anynorm_host_tensors){.x = x,
                                              .dy = dy,
                                              .weight = p.weight + first,
                                              .mean = host.mean,
                                              .rstd = rstd,
                                              .partials = step ? &partials[0][0][0]
                                                               : &partials[shard][0][0]};
                if (step) {
                    host.dx = dx;
                    host.dweight = dweight;
                    host.dbias = dbias;
                }
                assert_ok(anynorm_run(plan, &host, ROWS));
                anynorm_plan_destroy(plan);
                for (int i = 0; step && i < ROWS * columns; i++) {
                    double wanted = (double)p.dx[i / columns * COLUMNS + first + i % columns];
                    if (!(fabs((double)dx[i] - wanted) <= 16 * 0x1p-23 * 8))
                        fail_msg("%s: dx[%d] is %g, not %g", text, i, (double)dx[i], wanted);
                }
                for (int c = 0; step && c < columns; c++) {
                    assert_true(fabs((double)dbias[c] - (double)p.dbias[first + c]) <= 0x1p-19);
                    assert_true(fabs((double)dweight[c] - (double)p.dweight[first + c]) <= 0x1p-17);
                }
            }
        }
        free_plain(&p);
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"family", test_family},         {"values", test_values},         {"bits", test_bits},
        {"many_rows", test_many_rows},   {"workspace", test_workspace},   {"shards", test_shards},
        {"long_walks", test_long_walks}, {"long_parts", test_long_parts},
    };
    int result = run_on_schedules("backward", tests, COUNT(tests));
    for (int t = AN_DX; t <= AN_DSHIFT; t++)
        printf("# %s: %.3g units\n", an_tensor_name((enum an_tensor)t), worst[t]);
    return result;
}
