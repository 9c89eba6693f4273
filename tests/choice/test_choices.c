/* On every device against the oracle: the library's own choice, what a caller or a tuner may force,
 * and the switch that takes sub-groups away.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "schedules.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The library's own choice, over problems drawn at random. */
static void test_random_problems(void **state)
{
    struct subject *subject = *state;
    struct random random = {20261121};
    for (int i = 0; i < (reduced() ? 5 : 200); i++) {
        uint64_t columns = 1 + random_bits(&random) % (random_bits(&random) % 4 ? 400 : 9000);
        struct problem problem =
            dense_problem(random_bits(&random) % 20, columns,
                          (anynorm_dtype)(random_bits(&random) % 3), ALL_FLAGS);
        problem.values = (enum values)(random_bits(&random) % VALUES_COUNT);
        problem.seed = random_bits(&random);
        if (random_bits(&random) % 4 == 0) {
            uint64_t between = 1 + random_bits(&random) % 40;
            problem.rows = random_bits(&random) % (between + 1);
            problem.spec.x.column_stride = problem.spec.y.column_stride = between;
        } else if (random_bits(&random) % 2) {
            problem.spec.inner_rows = 1 + random_bits(&random) % 5;
            problem.spec.x.row_stride = columns + random_bits(&random) % 9;
            problem.spec.x.outer_stride =
                problem.spec.inner_rows * problem.spec.x.row_stride + random_bits(&random) % 9;
        }
        check_problem(subject->device, &problem, NULL, 0, &subject->worst);
    }
}

/* Rows side by side in a group, one in three of them with a first element that is a poor guess of
 * its mean, so that its neighbours wait for its second sums, and one that is not a number: each
 * right, and each to the bit what it is alone. False if the schedule cannot be had, or is not in
 * the sample. */
static bool check_side_by_side(struct subject *subject, const char *schedule, anynorm_dtype type,
                               uint64_t rows, uint64_t columns)
{
    struct problem problem = dense_problem(rows, columns, type, ANYNORM_WEIGHT | ANYNORM_BIAS);
    if (!in_sample(&subject->info, schedule, &problem.spec, 0))
        return false;
    anynorm_plan *plan = plan_if_fits(subject->device, &problem.spec, schedule);
    if (!plan)
        return false;
    size_t bytes = anynorm_dtype_size(type) * (size_t)columns;
    struct images before, after;
    images_make(&problem, &before);
    for (uint64_t r = 0; r < rows; r++) {
        double first = anynorm_dtype_load(type, before.bytes[0], r * columns);
        if (r % 7 == 4)
            anynorm_dtype_store(type, before.bytes[0], r * columns + columns / 2, (double)NAN);
        else if (r % 3 == 1)
            anynorm_dtype_store(type, before.bytes[0], r * columns, first * 1e4);
    }
    run_on_device(subject->device, plan, &problem, &before, &after);
    check_against_oracle(&problem, &before, &after, schedule, &subject->worst);
    unsigned char *alone = malloc(bytes);
    assert_non_null(alone);
    for (uint64_t r = 0; r < rows; r += reduced() ? 5 : 1) {
        anynorm_host_tensors tensors = {.x = before.bytes[0] + r * bytes,
                                        .y = alone,
                                        .weight = before.bytes[2],
                                        .bias = before.bytes[3]};
        assert_ok(anynorm_run(plan, &tensors, 1));
        if (memcmp(alone, after.bytes[1] + r * bytes, bytes) != 0) {
            fprintf(stderr,
                    "%s: the bits of row %" PRIu64 " of %" PRIu64 " x %" PRIu64
                    " changed with its neighbours\n",
                    schedule, r, rows, columns);
            fail();
        }
    }
    free(alone);
    images_free(&before);
    images_free(&after);
    anynorm_plan_destroy(plan);
    return true;
}

/* `pattern` with `size` in the place of each S. */
static void spell_sizes(const char *pattern, uint32_t size, char *text, size_t capacity)
{
    size_t length = 0;
    for (; *pattern; pattern++) {
        if (*pattern == 'S')
            length += (size_t)snprintf(text + length, capacity - length, "%" PRIu32, size);
        else
            length += (size_t)snprintf(text + length, capacity - length, "%c", *pattern);
    }
}

/* What a caller or a tuner may force: every rung of the reduction ladder, rows side by side, groups
 * that are no power of two, more held than needed. S stands for the device's sub-group size. */
static void test_forced_numbers(void **state)
{
    struct subject *subject = *state;
    static const char *const forced[] = {
        "row_per_group rows=1",
        "row_per_group rows=3",
        "row_per_group rows=4 group=32",
        "row_per_group rows=4 group=96",
        "row_per_group rows=64 group=64",
        "row_per_group rows=2 vector=4 held=4",
        "row_per_group rows=1 vector=8 group=67",
        "row_per_group subgroup=1",
        "row_per_group subgroup=1 group=40",
        "row_per_group subgroup=S",
        "row_per_group subgroup=S group=64",
        "row_per_subgroup",
        "row_per_subgroup subgroup=S group=64",
        "row_per_subgroup group=64 rows=2",
        "row_per_subgroup group=64 rows=4 held=2",
        "row_in_local group=16",
        "row_in_local group=24 vector=8",
        "row_in_local group=7 held=40",
        "row_in_local subgroup=1",
        "row_in_local subgroup=S group=64",
        "row_reread group=16 segment=64",
        "row_split group=16 segment=64",
        "row_reread subgroup=S group=S segment=64",
        "row_split subgroup=S group=S segment=64",
    };
    static const struct {
        uint64_t rows, columns;
    } shapes[] = {{37, 24}, {9, 1}, {40, 64}, {21, 101}, {8, 333}};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16};
    int checked = 0;
    if (is_reference(&subject->info))
        return;
    for (size_t i = 0; i < COUNT(forced); i++) {
        char text[64];
        uint32_t size = subject->info.subgroup_size;
        if (strchr(forced[i], 'S') && size == 0)
            continue;
        spell_sizes(forced[i], size, text, sizeof(text));
        int served = 0;
        for (size_t k = 0; k < COUNT(shapes); k++) {
            for (size_t t = 0; t < COUNT(types); t++)
                served +=
                    check_side_by_side(subject, text, types[t], shapes[k].rows, shapes[k].columns);
        }
        /* Without sub-groups, and with a kernel limit below the group, none may be. */
        if (served == 0 && !is_sampled())
            fprintf(stderr, "# %s: cannot be had here\n", text);
        checked += served;
    }
    assert_true(checked > (is_sampled() ? 0 : 40));
}

/* As many rows as are split, and more, each so long that a work-item of a small group walks it for
 * tens of thousands of rounds; some drivers end a work-item's loops after so many, without an
 * error. Where that is known, the schedule must say that it does not fit. */
static void test_long_rows(void **state)
{
    struct subject *subject = *state;
    static const struct {
        const char *schedule;
        uint64_t columns;
    } cases[] = {
        {"row_reread group=1", 400000},
        {"row_reread group=8", 2100000},
        {"row_split group=1", 400000},
        {"row_split", 1048576},
    };
    if (is_reference(&subject->info) || subject->info.device_class != ANYNORM_CLASS_CPU)
        return;
    for (size_t i = 0; i < COUNT(cases) - (reduced() ? 2 : 0); i++) {
        struct problem problem =
            dense_problem(subject->info.compute_units * 4 + 1, cases[i].columns, ANYNORM_F32, 0);
        check_problem(subject->device, &problem, cases[i].schedule, 0, &subject->worst);
    }
    /* Three passes, of more tensors. */
    struct problem quantized = dense_problem(2, 65535, ANYNORM_F32, ANYNORM_WEIGHT | ANYNORM_BIAS);
    quantized.spec.flags |= ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT | ANYNORM_PRE_BIAS;
    quantized.spec.flags |= ANYNORM_Y_SCALE_OUTPUT;
    quantized.spec.y.type = ANYNORM_I8;
    check_problem(subject->device, &quantized, "row_per_item", 0, &subject->worst);
}

/* The kill switch leaves no way into sub-groups, and serves all the same. */
static void test_no_subgroups(void **state)
{
    struct subject *subject = *state;
    static const char *const refused[] = {"row_per_subgroup", "row_per_group subgroup=1",
                                          "row_in_local subgroup=1"};
    anynorm_device *device = open_device_with(subject->device_id, "no-subgroup");
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(device, &info));
    assert_false(info.subgroup);
    assert_int_equal(info.subgroup_size, 0);
    assert_int_equal(info.shuffle, ANYNORM_SHUFFLE_NONE);
    for (size_t i = 0; i < COUNT(refused); i++) {
        anynorm_plan_options options = {.schedule = refused[i]};
        anynorm_plan *plan = NULL;
        anynorm_spec spec = {.columns = 64};
        assert_status(anynorm_plan_create(device, &spec, &options, &plan), ANYNORM_UNSUPPORTED);
    }
    struct problem problem = dense_problem(9, 700, ANYNORM_F32, ALL_FLAGS);
    check_problem(device, &problem, NULL, 0, &subject->worst);
    if (!is_reference(&subject->info))
        check_problem(device, &problem, "row_per_group", 0, &subject->worst);
    anynorm_device_close(device);
}

/* What a plan tells of itself, forced, is the same plan. */
static void test_told_choices(void **state)
{
    struct subject *subject = *state;
    static const char *const forced[] = {"row_per_item", "row_per_item rows=4",
                                         "column_walk group=1 held=2", "row_split segment=64"};
    const anynorm_spec spec = {.columns = 24};
    for (size_t i = 0; i < COUNT(forced) && !is_reference(&subject->info); i++) {
        anynorm_plan_info told, again;
        anynorm_plan *plan = plan_if_fits(subject->device, &spec, forced[i]);
        if (!plan)
            continue;
        assert_ok(anynorm_plan_describe(plan, &told));
        anynorm_plan_destroy(plan);
        plan = make_plan(subject->device, &spec, told.choice);
        assert_ok(anynorm_plan_describe(plan, &again));
        anynorm_plan_destroy(plan);
        assert_string_equal(again.choice, told.choice);
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"random problems", test_random_problems},
        {"forced numbers", test_forced_numbers},
        {"long rows", test_long_rows},
        {"sub-groups switched off", test_no_subgroups},
        {"told choices", test_told_choices},
    };
    return run_on_choices("choices", tests, COUNT(tests));
}
