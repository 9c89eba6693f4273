/* Every schedule on every device against the oracle, on all that a spec names beyond plain
 * LayerNorm; test_pairs.c goes through all of it in order.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases
 */
#include <math.h>
#include <string.h>

#include "spec/spec.h"
#include "spec_flags.h"
#include "turns.h"

static struct problem problem_of(uint64_t rows, anynorm_spec spec)
{
    static uint64_t seed = 5000;
    return (struct problem){.spec = spec, .rows = rows, .seed = seed++};
}

/* A row stride to be made that of slices of [samples][6][columns]. */
#define SLICE_OF_SIX UINT64_MAX

/* Specs of one purpose each, to which tests give columns. */
static const anynorm_spec purposes[] = {
    {.flags = RMS | WEIGHT | RSTD_OUT, .statistic.eps = 1e-5},
    {.flags = RMS | WEIGHT, .statistic.eps = 1e-6, .parameters.weight_offset = 1},
    {.flags = RMS | WEIGHT | ROUND_FIRST, .statistic.eps = 1e-5},
    {.flags = RMS | L2 | RSTD_OUT, .statistic.eps = 1e-12},
    {.flags = RMS | L2 | EPS_OUTSIDE, .statistic.eps = 1e-3},
    {.flags = EPS_OUTSIDE | WEIGHT | BIAS | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-3},
    {.flags = UNBIASED | WEIGHT | BIAS | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5},
    {.flags = MEAN_IN | RSTD_IN | WEIGHT | BIAS},
    {.flags = RMS | RSTD_IN | WEIGHT},
    {.flags = RESIDUAL | WEIGHT | BIAS | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5},
    {.flags = RESIDUAL | SUM | RMS | WEIGHT, .statistic.eps = 1e-5},
    {.flags = RESIDUAL | SUM | STORED_SUM | WEIGHT | BIAS, .statistic.eps = 1e-5},
    {.flags = RESIDUAL | GATE | SUM, .statistic.eps = 1e-5, .sample_rows = 3},
    {.flags = RESIDUAL | STORED_SUM | PRE_BIAS, .statistic.eps = 1e-5},
    {.flags = PRE_BIAS | SUM | BIAS, .statistic.eps = 1e-5},
    {.flags = SUM | MEAN_OUT, .statistic.eps = 1e-5},
    {.flags = SCALE | SHIFT, .statistic.eps = 1e-6, .sample_rows = 4},
    {.flags = RESIDUAL | GATE | SUM | SCALE | SHIFT, .statistic.eps = 1e-6, .sample_rows = 5},
    {.flags = RESIDUAL | GATE | SCALE | SHIFT | SILU,
     .statistic.eps = 1e-6,
     .sample_rows = 3,
     .gate.row_stride = SLICE_OF_SIX,
     .scale.row_stride = SLICE_OF_SIX,
     .shift.row_stride = SLICE_OF_SIX},
    {.flags = WEIGHT | BIAS | SILU, .statistic.eps = 1e-5},
    {.flags = WEIGHT | BIAS, .statistic.eps = 1e-5, .parameters.rows = 3},
    {.flags = PARTIALS_OUT},
    {.flags = RMS | PARTIALS_OUT},
    {.flags = PARTIALS_OUT | RESIDUAL | SUM | STORED_SUM},
    {.flags = RMS | PARTIALS_OUT | RESIDUAL | GATE | SUM, .sample_rows = 3},
    {.flags = PARTIALS_IN | WEIGHT | BIAS | MEAN_OUT | RSTD_OUT,
     .statistic.eps = 1e-5,
     .statistic.shards = 3},
    {.flags = PARTIALS_IN | UNBIASED | EPS_OUTSIDE | MEAN_OUT,
     .statistic.eps = 1e-3,
     .statistic.shards = 2},
    {.flags = RMS | PARTIALS_IN | WEIGHT | RSTD_OUT, .statistic.eps = 1e-5, .statistic.shards = 7},
    {.flags = RMS | L2 | PARTIALS_IN | RESIDUAL | SUM, .statistic.eps = 1e-5},
    {.flags = WEIGHT | BIAS, .statistic.eps = 1e-5, .y.type = ANYNORM_I8},
    {.flags = RMS | WEIGHT | Y_SCALE_IN, .statistic.eps = 1e-5, .y.type = ANYNORM_F8E4M3},
    {.flags = RMS | WEIGHT | RESIDUAL | SUM | Y_SCALE_OUT,
     .statistic.eps = 1e-5,
     .y.type = ANYNORM_I8},
    {.flags = RMS | WEIGHT | Y_SCALE_OUT,
     .statistic.eps = 1e-5,
     .y.type = ANYNORM_F8E4M3,
     .quantization.bound = 1.5},
    {.flags = SCALE | SHIFT | SILU | Y_SCALE_OUT,
     .statistic.eps = 1e-5,
     .y.type = ANYNORM_F8E4M3,
     .sample_rows = 4},
    {.flags = RMS | RSTD_IN | Y_SCALE_OUT, .y.type = ANYNORM_I8},
};

static anynorm_spec purpose_of(size_t index, uint64_t columns)
{
    anynorm_spec spec = purposes[index];
    spec.columns = columns;
    for (int i = 0; i < SAMPLE_TENSORS; i++) {
        uint64_t *stride = &sample_rows_of(&spec, i)->row_stride;
        *stride = *stride == SLICE_OF_SIX ? 6 * columns : *stride;
    }
    return spec;
}

static void test_purposes(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {1, 2, 3, 15, 16, 64, 100, 255, 512, 769, 1024, 2050, 4099};
    for (size_t p = 0; p < COUNT(purposes); p += step(subject, 1, 3)) {
        for (size_t c = 0; c < COUNT(columns); c++) {
            for (int type = 0; type < 4; type++) {
                anynorm_spec spec = purpose_of(p, columns[c]);
                set_types(&spec, (anynorm_dtype)type);
                if ((type == ANYNORM_F64 && !subject->info.fp64) ||
                    ((spec.flags & ANYNORM_UNBIASED) && columns[c] == 1) ||
                    (few(subject) && (p % 4 != (size_t)type || 5 * p % COUNT(columns) != c ||
                                      !has_turn(subject, &spec, p))))
                    continue;
                struct problem problem = problem_of(1 + (p + 3 * c) % 11, spec);
                take(subject, &problem);
            }
        }
    }
}

static void test_long_rows(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {20000, 70001};
    for (size_t p = 0; p < COUNT(purposes); p += step(subject, 3, 9)) {
        anynorm_spec spec = purpose_of(p, columns[p % 2]);
        set_types(&spec, p % 3 ? ANYNORM_F32 : ANYNORM_BF16);
        if (few(subject) && !has_turn(subject, &spec, p))
            continue;
        for (uint64_t rows = 1; rows <= 5; rows += 4) {
            struct problem problem = problem_of(rows, spec);
            take(subject, &problem);
        }
    }
}

static void test_values(void **state)
{
    struct subject *subject = *state;
    for (size_t p = 0; p < COUNT(purposes); p += step(subject, 4, 9)) {
        for (int values = 0; values < VALUES_COUNT; values++) {
            anynorm_spec spec = purpose_of(p, 130 + 7 * p);
            if (few(subject) && !has_turn(subject, &spec, p))
                continue;
            struct problem problem = problem_of(7, spec);
            problem.values = (enum values)values;
            take(subject, &problem);
        }
    }
}

/* [N][C][H][W] in G groups: GroupNorm, and InstanceNorm where each channel is one. */
static void test_groups_of_channels(void **state)
{
    struct subject *subject = *state;
    static const struct {
        uint64_t images, channels, pixels, groups;
    } shapes[] = {{2, 8, 9, 2}, {3, 6, 16, 6}, {1, 64, 49, 32}, {2, 32, 196, 8}, {2, 12, 1, 3}};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        for (int type = 0; type < 3; type++) {
            if (few(subject) && (i + (reduced() ? schedule_of(subject) : 0)) % 3 != (size_t)type)
                continue;
            struct problem problem = problem_of(
                shapes[i].images * shapes[i].groups,
                (anynorm_spec){.columns = shapes[i].channels / shapes[i].groups * shapes[i].pixels,
                               .x.type = (anynorm_dtype)type,
                               .y.type = (anynorm_dtype)type,
                               .flags = WEIGHT | BIAS | (type == 1 ? SILU : 0),
                               .statistic.eps = 1e-5,
                               .parameters.rows = shapes[i].groups,
                               .parameters.run = shapes[i].pixels});
            take(subject, &problem);
        }
    }
}

/* Cases that went wrong once. */
static void test_found(void **state)
{
    struct subject *subject = *state;
    static const struct {
        uint64_t seed;
        const char *text;
    } found[] = {
        /* n rounded to half is the oracle's own, and its product with the weight nearly -bias: the
         * products' rounding is all there is of an error. */
        {6466, "layer-norm 5x492 f16 y=f64 sums=f64 parameters=f64 samples=f16 weight bias rstd "
               "pre-bias stored-sum round-first scale shift eps=0 inner=1 x-stride=493 x-outer=498 "
               "y-stride=492 y-outer=497 sample-rows=7 parameter-rows=2"},
    };
    for (size_t i = 0; i < COUNT(found); i++) {
        struct problem problem = {.seed = found[i].seed};
        assert_ok(anynorm_spec_parse(found[i].text, &problem.spec, &problem.rows));
        if (!an_spec_double(&problem.spec) || subject->info.fp64)
            take(subject, &problem);
    }
}

/* ---- y and sum over x and residual ---- */

static void test_over_inputs(void **state)
{
    struct subject *subject = *state;
    static const enum place places[][2] = {{OVER_X, APART},         {OVER_RESIDUAL, APART},
                                           {APART, OVER_X},         {APART, OVER_RESIDUAL},
                                           {OVER_X, OVER_RESIDUAL}, {OVER_RESIDUAL, OVER_X}};
    static const uint64_t columns[] = {1, 60, 257, 1030, 20000};
    for (size_t i = 0; i < COUNT(places); i++) {
        for (size_t c = 0; c < COUNT(columns); c++) {
            for (int stored = 0; stored < 2; stored++) {
                if ((few(subject) && c % 2 != (size_t)stored) || (reduced() && c < 3))
                    continue;
                anynorm_spec spec = {.columns = columns[c],
                                     .flags = RESIDUAL | SUM | WEIGHT | (stored ? STORED_SUM : RMS),
                                     .statistic.eps = 1e-5};
                set_types(&spec, stored ? ANYNORM_BF16 : ANYNORM_F32);
                struct problem problem = problem_of(5, spec);
                problem.y_place = places[i][0];
                problem.sum_place = places[i][1];
                take(subject, &problem);
                problem.spec.x.row_stride = problem.spec.y.row_stride = columns[c] + 3;
                problem.spec.residual.row_stride = problem.spec.sum.row_stride = columns[c] + 3;
                take(subject, &problem);
            }
        }
    }
}

/* Rows whose scale is found are read once more, before sum is written over what they are made of.
 */
static void test_quantized_with_sum_over_inputs(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {60, 1030, 20000};
    for (size_t c = 0; c < COUNT(columns); c++) {
        for (int place = OVER_X; place <= OVER_RESIDUAL; place++) {
            struct problem problem =
                problem_of(5, (anynorm_spec){.columns = columns[c],
                                             .y.type = ANYNORM_I8,
                                             .flags = RESIDUAL | SUM | WEIGHT | Y_SCALE_OUT,
                                             .statistic.eps = 1e-5});
            problem.sum_place = (enum place)place;
            check(subject, &problem);
        }
    }
}

/* The codes and the scale of a row do not depend on the rows that it is walked together with. */
static void test_quantized_rows_alone(void **state)
{
    struct subject *subject = *state;
    enum { ROWS = 21 };
    static const uint64_t columns[] = {88, 77, 1030};
    for (size_t c = 0; c < COUNT(columns); c++) {
        struct problem problem =
            problem_of(ROWS, (anynorm_spec){.columns = columns[c],
                                            .x.type = c ? ANYNORM_F16 : ANYNORM_F32,
                                            .y.type = c % 2 ? ANYNORM_I8 : ANYNORM_F8E4M3,
                                            .flags = WEIGHT | BIAS | Y_SCALE_OUT,
                                            .statistic.eps = 1e-5});
        uint64_t x_bytes = columns[c] * anynorm_dtype_size(problem.spec.x.type);
        if (few(subject) && !has_turn(subject, &problem.spec, c))
            continue;
        anynorm_plan *plan = offered_plan(subject, &problem.spec);
        if (!plan)
            continue;
        struct images before, after;
        images_make(&problem, &before);
        run_on_device(subject->device, plan, &problem, &before, &after);
        for (size_t r = 0; r < ROWS; r++) {
            unsigned char y[1030];
            float y_scale;
            anynorm_host_tensors tensors = {.x = before.bytes[AN_X] + r * x_bytes,
                                            .y = y,
                                            .weight = before.bytes[AN_WEIGHT],
                                            .bias = before.bytes[AN_BIAS],
                                            .y_scale = &y_scale};
            assert_ok(anynorm_run(plan, &tensors, 1));
            assert_same_bits(after.bytes[AN_Y] + r * columns[c], y, columns[c], "the batch");
            assert_same_bits(after.bytes[AN_Y_SCALE] + r * sizeof(y_scale), &y_scale,
                             sizeof(y_scale), "the batch");
        }
        images_free(&before);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* What a caller may give for a scale, sensible or not: only the codes suffer. */
static void test_given_scales(void **state)
{
    struct subject *subject = *state;
    static const float scales[] = {0.02f, -0.02f, 0, -0.0f, NAN, INFINITY, 1e-30f, 1e30f};
    for (int type = ANYNORM_I8; type <= ANYNORM_F8E4M3; type++) {
        anynorm_spec spec = {.columns = 203,
                             .y.type = (anynorm_dtype)type,
                             .flags = WEIGHT | Y_SCALE_IN,
                             .statistic.eps = 1e-5};
        anynorm_plan *plan = offered_plan(subject, &spec);
        if (plan) /* a launch of no rows, which has no scale to read either */
            assert_ok(anynorm_plan_warm_up(plan, 7));
        for (size_t i = 0; plan && i < COUNT(scales); i++) {
            struct problem problem = problem_of(7, spec);
            struct images before, after;
            images_make(&problem, &before);
            memcpy(before.bytes[AN_Y_SCALE], &scales[i], sizeof(scales[i]));
            run_on_device(subject->device, plan, &problem, &before, &after);
            check_against_oracle(&problem, &before, &after, subject->schedule, &subject->worst);
            images_free(&before);
            images_free(&after);
        }
        anynorm_plan_destroy(plan);
    }
}

/* Rows of nothing, of next to nothing, with a NaN or an infinity. */
static void test_edges_of_scales(void **state)
{
    struct subject *subject = *state;
    static const float odd[] = {0, 1e-38f, 0x1p-101f, 0x1p-99f, NAN, INFINITY, -INFINITY, 3e38f};
    enum { COLUMNS = 67, ROWS_OF_EACH = 3, ROWS = COUNT(odd) * ROWS_OF_EACH };
    static const double bounds[] = {0, 3, 0x1p-100};
    for (size_t i = 0; i < 2 * COUNT(bounds); i++) {
        anynorm_spec spec = {.columns = COLUMNS,
                             .y.type = i % 2 ? ANYNORM_I8 : ANYNORM_F8E4M3,
                             .flags = RMS | RSTD_IN | Y_SCALE_OUT,
                             .quantization.bound = bounds[i / 2]};
        anynorm_plan *plan = offered_plan(subject, &spec);
        if (!plan)
            continue;
        struct problem problem = problem_of(ROWS, spec);
        struct images before, after;
        images_make(&problem, &before);
        for (size_t r = 0; r < ROWS; r++) {
            float *x = (float *)(void *)before.bytes[AN_X] + r * COLUMNS, one = 1;
            for (size_t c = 0; c < COLUMNS && r < 4 * ROWS_OF_EACH; c++)
                x[c] = 0;
            x[r * 13 % COLUMNS] = odd[r / ROWS_OF_EACH];
            memcpy(before.bytes[AN_RSTD] + r * sizeof(one), &one, sizeof(one));
        }
        run_on_device(subject->device, plan, &problem, &before, &after);
        check_against_oracle(&problem, &before, &after, subject->schedule, &subject->worst);
        images_free(&before);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* ---- All of it at random ---- */

/* One of: dense, gaps, two levels, columns apart, columns in runs. */
static void random_layout(struct random *random, anynorm_spec *spec)
{
    uint64_t *const strides[4][3] = {
        {&spec->x.row_stride, &spec->x.outer_stride, &spec->x.column_stride},
        {&spec->y.row_stride, &spec->y.outer_stride, &spec->y.column_stride},
        {&spec->residual.row_stride, &spec->residual.outer_stride, &spec->residual.column_stride},
        {&spec->sum.row_stride, &spec->sum.outer_stride, &spec->sum.column_stride}};
    const bool named[4] = {true, !(spec->flags & ANYNORM_PARTIALS_OUTPUT),
                           spec->flags & ANYNORM_RESIDUAL, spec->flags & ANYNORM_SUM_OUTPUT};
    uint64_t way = random_below(random, 5), run = 1;
    if (way >= 2)
        spec->inner_rows = 1 + random_below(random, 6);
    if (way == 4) {
        run = 2 + random_below(random, 20);
        spec->columns = run * (1 + spec->columns / run);
        spec->column_run = run;
        spec->parameters.run = 0;
        if (spec->flags & AN_PARAMETERS)
            spec->parameters.cycle = random_below(random, 2) ? run : 0;
    }
    for (int t = 0; t < 4; t++) {
        uint64_t gap = random_below(random, 3);
        if (!named[t] || way == 0)
            continue;
        if (way < 3) {
            *strides[t][0] = spec->columns + gap;
            *strides[t][1] = way == 2 ? spec->inner_rows * (spec->columns + gap) + 5 : 0;
        } else {
            uint64_t column = run * spec->inner_rows + gap;
            *strides[t][0] = run;
            *strides[t][2] = column;
            *strides[t][1] = spec->columns / run * column;
        }
    }
}

/* Gate, scale and shift: dense, with gaps, or with columns or runs of them apart. */
static void random_sample_layout(struct random *random, anynorm_spec *spec)
{
    uint64_t way = random_below(random, 3), gap = random_below(random, 4);
    if (way > 0)
        set_sample_strides(spec, gap, way == 2);
}

/* Places y and sum over inputs that they are like, where chance has it. */
static void random_places(struct random *random, struct problem *problem)
{
    anynorm_spec *spec = &problem->spec;
    uint64_t way = random_below(random, 6);
    if ((way == 1 || way == 2) && !(spec->flags & ANYNORM_PARTIALS_OUTPUT)) {
        problem->y_place = OVER_X;
        spec->y.type = spec->x.type;
        spec->y.row_stride = spec->x.row_stride;
        spec->y.outer_stride = spec->x.outer_stride;
        spec->y.column_stride = spec->x.column_stride;
    }
    if (way >= 2 && way < 4 && (spec->flags & ANYNORM_RESIDUAL) &&
        (spec->flags & ANYNORM_SUM_OUTPUT)) {
        problem->sum_place = OVER_RESIDUAL;
        spec->sum.type = spec->residual.type;
        spec->sum.row_stride = spec->residual.row_stride;
        spec->sum.outer_stride = spec->residual.outer_stride;
        spec->sum.column_stride = spec->residual.column_stride;
    }
}

/* Doubles are one case of many, and on some devices none. */
static void drop_doubles(anynorm_spec *spec)
{
    anynorm_dtype *const types[] = {&spec->x.type,        &spec->y.type,    &spec->parameters.type,
                                    &spec->residual.type, &spec->sum.type,  &spec->gate.type,
                                    &spec->scale.type,    &spec->shift.type};
    for (size_t i = 0; i < COUNT(types); i++) {
        if (*types[i] == ANYNORM_F64)
            *types[i] = ANYNORM_F32;
    }
}

static void test_random(void **state)
{
    struct subject *subject = *state;
    struct random random = {1998};
    for (int i = 0; i < (reduced() ? 2 : few(subject) ? 8 : 600); i++) {
        anynorm_spec spec = {.columns = random_below(&random, 3)
                                            ? 1 + random_below(&random, 300)
                                            : 12 * (1 + random_below(&random, 200)),
                             .x.type = (anynorm_dtype)random_below(&random, 4),
                             .y.type = (anynorm_dtype)random_below(&random, 4),
                             .parameters.type = (anynorm_dtype)random_below(&random, 4),
                             .statistic.eps = random_below(&random, 4) ? 1e-5 : 0};
        make_family(&random, &spec);
        if (random_below(&random, 5) || !subject->info.fp64)
            drop_doubles(&spec);
        random_layout(&random, &spec);
        random_sample_layout(&random, &spec);
        struct problem problem = problem_of(1 + random_below(&random, 30), spec);
        random_places(&random, &problem);
        if (problem.y_place == APART && random_below(&random, 3) == 0)
            make_quantized(&random, &problem.spec);
        if (random_below(&random, 4) == 0) {
            problem.spec.flags |= ANYNORM_ANY_ALIGNMENT;
            for (int t = 0; t < AN_TENSOR_COUNT; t++)
                problem.offset[t] = random_below(&random, 16);
        } else {
            for (int t = 0; t < AN_TENSOR_COUNT; t++)
                problem.offset[t] = 8 * random_below(&random, 3);
        }
        take(subject, &problem);
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"purposes", test_purposes},
        {"long rows", test_long_rows},
        {"values", test_values},
        {"groups of channels", test_groups_of_channels},
        {"found", test_found},
        {"over inputs", test_over_inputs},
        {"quantized, sum over inputs", test_quantized_with_sum_over_inputs},
        {"quantized rows alone", test_quantized_rows_alone},
        {"given scales", test_given_scales},
        {"edges of scales", test_edges_of_scales},
        {"random", test_random},
    };
    return run_on_schedules("family", tests, COUNT(tests));
}
