/* Tensors that reach further than a kernel does are walked in parts of several launches: with the
 * bits of one, wherever the parts begin. Devices without such a limit pass as they are.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 */
#include "support.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Bytes that a kernel reaches: a few rows of the problems below, none of them a divisor. */
#define RANGE "max-range=3000"

struct subject {
    const char *id;
    anynorm_device *whole, *poor;
    bool reference, limited;
};

static int open_subject(void **state)
{
    static struct subject of_this_test;
    struct subject *subject = &of_this_test;
    anynorm_device_info info;
    *subject = (struct subject){.id = *state};
    *state = subject;
    subject->whole = open_device(subject->id);
    subject->poor = open_device_with(subject->id, RANGE);
    assert_ok(anynorm_device_describe(subject->poor, &info));
    subject->reference = is_reference(&info);
    subject->limited = info.max_range_bytes > 0;
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    anynorm_device_close(subject->whole);
    anynorm_device_close(subject->poor);
    return 0;
}

static void run_on(anynorm_device *device, const struct problem *problem, const char *schedule,
                   const struct images *before, struct images *after)
{
    anynorm_plan *plan = make_plan(device, &problem->spec, schedule);
    run_on_device(device, plan, problem, before, after);
    anynorm_plan_destroy(plan);
}

/* Against the oracle, and byte by byte against one launch. */
static void check_parts(struct subject *subject, const struct problem *problem,
                        const char *schedule)
{
    struct images before, whole, parts;
    struct errors worst = {0};
    if (subject->reference)
        schedule = NULL; /* it has but one */
    images_make(problem, &before);
    run_on(subject->whole, problem, schedule, &before, &whole);
    run_on(subject->poor, problem, schedule, &before, &parts);
    check_against_oracle(problem, &before, &parts, subject->id, &worst);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (whole.bytes[t])
            assert_memory_equal(parts.bytes[t], whole.bytes[t], whole.size[t]);
    }
    images_free(&before);
    images_free(&whole);
    images_free(&parts);
}

static const uint32_t plain =
    ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;

static void test_one_level(void **state)
{
    struct subject *subject = *state;
    /* Halves at odd elements: words of y that two parts share. */
    struct problem halves = dense_problem(301, 29, ANYNORM_F16, plain);
    halves.offset[AN_Y] = 2;
    check_parts(subject, &halves, NULL);
    struct problem apart = dense_problem(97, 40, ANYNORM_F32, plain);
    apart.spec.x.row_stride = 43;
    apart.spec.y.row_stride = 51;
    apart.offset[AN_X] = 36;
    apart.offset[AN_MEAN] = 20;
    check_parts(subject, &apart, NULL);
    struct problem split = dense_problem(5, 600, ANYNORM_F32, plain);
    check_parts(subject, &split, "row_split segment=64");
}

/* Parts begin with an outer row, or lie within one. */
static void test_two_levels(void **state)
{
    struct subject *subject = *state;
    struct problem heads = dense_problem(3 * 70, 16, ANYNORM_F32, plain);
    heads.spec.inner_rows = 3;
    heads.spec.x.outer_stride = 3 * 16 + 5;
    heads.spec.y.outer_stride = 3 * 16 + 1;
    heads.spec.parameters.rows = 7;
    check_parts(subject, &heads, NULL);
    heads.spec.inner_rows = 100; /* an outer row is more than a part */
    heads.spec.x.outer_stride = 100 * 16 + 5;
    heads.spec.y.outer_stride = 100 * 16 + 1;
    check_parts(subject, &heads, NULL);
    struct problem image = dense_problem(4 * 30, 6, ANYNORM_BF16, plain);
    image.spec.inner_rows = 30;
    image.spec.x.column_stride = image.spec.y.column_stride = 30;
    image.spec.x.row_stride = image.spec.y.row_stride = 1;
    image.spec.x.outer_stride = image.spec.y.outer_stride = 6 * 30;
    check_parts(subject, &image, "column_walk");
    image.spec.x.column_stride = image.spec.y.column_stride = 260;
    image.spec.x.outer_stride = image.spec.y.outer_stride = 6 * 260;
    image.spec.inner_rows = 250;
    image.rows = 2 * 250 + 3;
    check_parts(subject, &image, "column_walk");
}

/* Groups of the channels of channels-last images, of which a part holds some or not even one. */
static void test_runs(void **state)
{
    struct subject *subject = *state;
    const struct {
        uint64_t pixels, groups, channels;
    } shapes[] = {{9, 5, 6}, {3, 50, 6}};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        uint64_t pixels = shapes[i].pixels, groups = shapes[i].groups;
        uint64_t channels = shapes[i].channels, across = channels * groups;
        struct problem images = dense_problem(7 * groups - 2, channels * pixels, ANYNORM_F32,
                                              plain | ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT);
        anynorm_spec *spec = &images.spec;
        spec->inner_rows = spec->parameters.rows = groups;
        spec->column_run = spec->parameters.cycle = channels;
        spec->x.column_stride = spec->residual.column_stride = spec->sum.column_stride = across;
        spec->y.column_stride = across + 1;
        check_parts(subject, &images, NULL);
        images.sum_place = OVER_RESIDUAL;
        images.offset[AN_X] = 4;
        check_parts(subject, &images, "row_split segment=16");
    }
}

static void test_family(void **state)
{
    struct subject *subject = *state;
    struct problem samples = dense_problem(115, 24, ANYNORM_F32,
                                           ANYNORM_SCALE | ANYNORM_SHIFT | ANYNORM_RESIDUAL |
                                               ANYNORM_SUM_OUTPUT | ANYNORM_PRE_BIAS);
    samples.spec.parameters.rows = 5;
    samples.spec.sample_rows = 3;
    check_parts(subject, &samples, NULL);
    samples.spec.sample_rows = 50;
    samples.y_place = OVER_X;
    check_parts(subject, &samples, NULL);
    samples.spec.sample_rows = UINT64_C(1) << 40;
    check_parts(subject, &samples, NULL);
    for (int apart = 0; apart < 2; apart++) { /* slices of types of their own; columns apart */
        samples.y_place = APART;
        samples.spec.flags |= ANYNORM_GATE;
        samples.spec.scale.type = ANYNORM_F16;
        samples.spec.sample_rows = 3;
        /* A row of either is within what the poor device reaches. */
        set_sample_strides(&samples.spec, apart ? 20 : 5 * 24, apart);
        check_parts(subject, &samples, NULL);
    }
}

/* Words of four bytes that parts share. */
static void test_quantized(void **state)
{
    struct subject *subject = *state;
    static const uint32_t scales[] = {0, ANYNORM_Y_SCALE_INPUT, ANYNORM_Y_SCALE_OUTPUT};
    for (size_t i = 0; i < COUNT(scales); i++) {
        struct problem rows = dense_problem(131, 29, ANYNORM_F32, plain | scales[i]);
        rows.spec.y.type = i == 1 ? ANYNORM_F8E4M3 : ANYNORM_I8;
        rows.offset[AN_Y] = i;
        check_parts(subject, &rows, NULL);
    }
    struct problem image = dense_problem(3 * 41, 17, ANYNORM_F32, ANYNORM_Y_SCALE_OUTPUT);
    image.spec.y.type = ANYNORM_F8E4M3;
    image.spec.inner_rows = 41;
    image.spec.x.row_stride = image.spec.y.row_stride = 1;
    image.spec.x.column_stride = image.spec.y.column_stride = 41;
    image.spec.x.outer_stride = image.spec.y.outer_stride = 17 * 41;
    check_parts(subject, &image, "column_walk");
}

/* Each part has its rows of every shard. */
static void test_shards(void **state)
{
    struct subject *subject = *state;
    struct problem out = dense_problem(301, 7, ANYNORM_F32, ANYNORM_PARTIALS_OUTPUT);
    out.spec.statistic.eps = 0;
    out.offset[AN_PARTIALS] = 20;
    check_parts(subject, &out, NULL);
    struct problem in = dense_problem(
        61, 40, ANYNORM_F32, ANYNORM_PARTIALS_INPUT | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT);
    in.spec.statistic.shards = 3;
    in.offset[AN_PARTIALS] = 12;
    check_parts(subject, &in, NULL);
    struct problem split = dense_problem(5, 600, ANYNORM_F32, ANYNORM_PARTIALS_INPUT);
    split.spec.statistic.shards = 2;
    check_parts(subject, &split, "row_split segment=64");
}

/* From host memory in blocks whose shards are not too far apart. */
static void test_blocks_of_shards(void **state)
{
    struct subject *subject = *state;
    struct problem problem = dense_problem(301, 8, ANYNORM_F32, ANYNORM_PARTIALS_INPUT);
    problem.spec.statistic.shards = 5;
    struct errors worst = {0};
    struct images before, after;
    void *at[AN_TENSOR_COUNT];
    anynorm_plan *plan = make_plan(subject->poor, &problem.spec, NULL);
    images_make(&problem, &before);
    after = images_copy(&before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        at[t] = after.bytes[t];
    anynorm_host_tensors tensors = host_tensors_at(at);
    assert_ok(anynorm_run(plan, &tensors, problem.rows));
    check_against_oracle(&problem, &before, &after, subject->id, &worst);
    images_free(&before);
    images_free(&after);
    anynorm_plan_destroy(plan);
}

/* On the device's own memory nothing brings the shards together. */
static void test_shards_too_far_apart(void **state)
{
    struct subject *subject = *state;
    const anynorm_spec spec = {
        .columns = 2, .flags = ANYNORM_PARTIALS_INPUT, .statistic.shards = 5};
    const uint64_t rows = 301;
    anynorm_plan *plan = make_plan(subject->poor, &spec, NULL);
    anynorm_tensors tensors = {0};
    anynorm_event event;
    assert_ok(anynorm_buffer_create(subject->poor, rows * 2 * sizeof(float), &tensors.x));
    assert_ok(anynorm_buffer_create(subject->poor, rows * 2 * sizeof(float), &tensors.y));
    assert_ok(
        anynorm_buffer_create(subject->poor, 5 * rows * 3 * sizeof(float), &tensors.partials));
    anynorm_status status = anynorm_enqueue(plan, &tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK) {
        assert_ok(anynorm_event_wait(&event));
        anynorm_event_release(&event);
    }
    assert_status(status, subject->limited ? ANYNORM_UNSUPPORTED : ANYNORM_OK);
    anynorm_buffer_destroy(subject->poor, &tensors.x);
    anynorm_buffer_destroy(subject->poor, &tensors.y);
    anynorm_buffer_destroy(subject->poor, &tensors.partials);
    anynorm_plan_destroy(plan);
}

/* A row that no part holds, and parameters that none does. */
static void test_too_far(void **state)
{
    struct subject *subject = *state;
    const anynorm_status expected = subject->limited ? ANYNORM_UNSUPPORTED : ANYNORM_OK;
    const anynorm_spec specs[] = {
        {.columns = 751},
        {.columns = 100, .x.column_stride = 9},
        {.columns = 100, .column_run = 2, .x.column_stride = 18},
        {.columns = 100, .parameters.rows = 8, .flags = ANYNORM_WEIGHT},
    };
    for (size_t i = 0; i < COUNT(specs); i++) {
        anynorm_plan *plan = NULL;
        assert_status(anynorm_plan_create(subject->poor, &specs[i], NULL, &plan), expected);
        anynorm_plan_destroy(plan);
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"one level of rows", test_one_level},
        {"two levels of rows", test_two_levels},
        {"columns in runs", test_runs},
        {"samples, parameters, sums", test_family},
        {"quantized", test_quantized},
        {"shards", test_shards},
        {"blocks of shards", test_blocks_of_shards},
        {"shards too far apart", test_shards_too_far_apart},
        {"too far", test_too_far},
    };
    return run_on_devices("parts", tests, COUNT(tests), open_subject, close_subject);
}
