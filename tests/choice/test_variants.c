/* Every choice that a tuner can reach, on every device, against the oracle.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "schedules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static anynorm_device *device;
static anynorm_device_info info;

static int open_it(void **state)
{
    setenv("ANYNORM_TUNING", "off", 1); /* not the user's who runs this */
    device = open_device(*state);
    return anynorm_device_describe(device, &info) == ANYNORM_OK ? 0 : 1;
}

static int close_it(void **state)
{
    (void)state;
    anynorm_device_close(device);
    return 0;
}

/* Each variant in the sample with the problem's values; returns how many there are. */
static size_t check_variants(const struct problem *problem, struct errors *worst)
{
    anynorm_variant variant;
    size_t count = 1, tried = 0, refused = 0;
    for (size_t i = 0; i < count; i++) {
        assert_ok(anynorm_plan_variant(device, &problem->spec, i, &variant, &count));
        if (!in_sample(&info, variant.choice, &problem->spec, 0))
            continue;
        tried++;
        bool served = check_problem(device, problem, variant.choice, 0, worst);
        if (!served)
            fprintf(stderr, "# %s: %s\n", variant.choice, anynorm_message());
        refused += !served;
    }
    /* Kernels have limits of their own, but not all of them. */
    assert_true(refused < tried || tried < count);
    return tried;
}

static void test_every_variant(void **state)
{
    (void)state;
    static const uint64_t columns[] = {768, 4097, 31, 1024, 16384, 1, 100, 2048, 5120, 70001};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};
    struct errors worst = {0, 0, 0};
    size_t checked = 0;
    for (size_t t = 0; t < COUNT(types) - (reduced() ? 2 : 0); t++) {
        if (types[t] == ANYNORM_F64 && !info.fp64)
            continue;
        size_t some = reduced() ? 2 : t == 0 ? COUNT(columns) : 5;
        for (size_t c = 0; c < some; c++) {
            struct problem problem = dense_problem(c % 2 ? 3 : 11, columns[c], types[t], ALL_FLAGS);
            problem.seed = t * 100 + c;
            checked += check_variants(&problem, &worst);
            problem.values = (enum values)(1 + (t + c) % (VALUES_COUNT - 1));
            checked += check_variants(&problem, &worst);
        }
    }
    fprintf(stderr, "# %s: %zu cases; largest error as a share of its bound: y %.3f\n", info.id,
            checked, worst.y);
    assert_true(checked > 0);
}

/* The first is what a plan gets that insists on nothing. */
static void test_the_first_is_the_default(void **state)
{
    (void)state;
    static const uint64_t columns[] = {1, 64, 1000, 4096, 20000};
    for (size_t c = 0; c < COUNT(columns); c++) {
        const anynorm_spec spec = {.columns = columns[c], .flags = ALL_FLAGS};
        anynorm_variant variant;
        anynorm_plan_info chosen;
        assert_ok(anynorm_plan_variant(device, &spec, 0, &variant, NULL));
        anynorm_plan *plan = plan_if_fits(device, &spec, variant.choice);
        if (!plan)
            continue; /* the compiled kernel's own limits */
        anynorm_plan_destroy(plan);
        plan = make_plan(device, &spec, NULL);
        assert_ok(anynorm_plan_describe(plan, &chosen));
        anynorm_plan_destroy(plan);
        assert_string_equal(chosen.choice, variant.choice);
    }
}

/* A line of the user's is what a plan gets; what does not serve, or does not exist, is passed over;
 * a line for some rows only needs the caller's word on them. */
static void test_a_tuned_plan(void **state)
{
    (void)state;
    char path[] = "/tmp/anynorm-tuned-XXXXXX";
    anynorm_spec spec = {.columns = 640};
    static const struct {
        uint64_t columns, rows;
        const char *begins; /* of the choice; NULL: as without tuning */
    } cases[] = {
        {640, 0, "row_reread group=32 "},
        {640, 7, "row_reread group=16 "},
        {641, 0, NULL},
        {642, 0, NULL},
        {643, 9, "row_reread group=16 "},
        {643, 0, NULL},
        {643, 10, NULL},
    };
    int file = mkstemp(path);
    assert_true(file >= 0);
    FILE *stream = fdopen(file, "w");
    assert_non_null(stream);
    fputs("device * columns=640 -> row_reread group=32\n"
          "device * columns=640 rows=5-8 -> row_reread group=16\n"
          "device * columns=641 -> row_reread group=1048576\n"
          "device * columns=643 rows=9 -> row_reread group=16\n"
          "device * columns=644 -> nothing\n",
          stream);
    assert_int_equal(fclose(stream), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const anynorm_plan_options options = {.expected_rows = cases[i].rows};
        anynorm_variant untuned;
        anynorm_plan_info chosen;
        anynorm_plan *plan;
        spec.columns = cases[i].columns;
        assert_ok(anynorm_plan_variant(device, &spec, 0, &untuned, NULL));
        setenv("ANYNORM_TUNING", path, 1);
        anynorm_status status = anynorm_plan_create(device, &spec, &options, &plan);
        setenv("ANYNORM_TUNING", "off", 1);
        assert_ok(status);
        assert_ok(anynorm_plan_describe(plan, &chosen));
        anynorm_plan_destroy(plan);
        const char *begins =
            is_reference(&info) || !cases[i].begins ? chosen.schedule : cases[i].begins;
        assert_memory_equal(chosen.choice, begins, strlen(begins));
        if (begins == chosen.schedule)
            assert_memory_equal(untuned.choice, begins, strlen(begins));
    }
    unlink(path);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"every variant", test_every_variant},
        {"the first is the default", test_the_first_is_the_default},
        {"a tuned plan", test_a_tuned_plan},
    };
    return run_on_devices("variants", tests, COUNT(tests), open_it, close_it);
}
