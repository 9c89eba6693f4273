/* anynorm_run for gradients, in blocks and in stretches: with the bits of all rows at once, also of
 * what is summed over rows, wherever these are cut.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/tensors.h"

/* Less than the tensors of rows below have, and more than their workspaces and parameters. */
#define ALLOCATION "no-unified,max-alloc=17000"
#define RANGE "max-range=79000"

struct subject {
    const char *id;
    anynorm_device *whole;
    anynorm_device *small;          /* takes rows in blocks */
    anynorm_device *short_of_reach; /* its kernels reach part of a tensor; NULL: all do */
};

static int open_subject(void **state)
{
    static struct subject of_this_test;
    struct subject *subject = &of_this_test;
    anynorm_device_info info;
    *subject = (struct subject){.id = *state};
    *state = subject;
    subject->whole = open_device(subject->id);
    subject->small = open_device_with(subject->id, ALLOCATION);
    assert_ok(anynorm_device_describe(subject->whole, &info));
    if (info.max_range_bytes > 0)
        subject->short_of_reach = open_device_with(subject->id, RANGE);
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    anynorm_device_close(subject->whole);
    anynorm_device_close(subject->small);
    anynorm_device_close(subject->short_of_reach);
    return 0;
}

static struct problem problem_of(const char *text)
{
    struct problem problem = {.values = VALUES_NORMAL, .seed = 5};
    assert_ok(anynorm_spec_parse(text, &problem.spec, &problem.rows));
    return problem;
}

/* Outputs hold numbers, which ACCUMULATE adds to. */
static void make_images(const struct problem *problem, struct images *images)
{
    images_make(problem, images);
    for (int t = AN_DWEIGHT; t <= AN_DSHIFT; t++) {
        if (images->bytes[t])
            memset(images->bytes[t], 0x3c, (size_t)images->size[t]);
    }
}

/* Rows [first, first + rows) of the problem's. */
static anynorm_status run_rows(anynorm_plan *plan, const struct problem *problem,
                               const anynorm_spec *spec, const struct images *images,
                               uint64_t first, uint64_t rows)
{
    void *at[AN_TENSOR_COUNT] = {NULL};
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor t = (enum an_tensor)i;
        uint64_t start =
            an_tensor_shape(t) == AN_OF_PARAMETERS ? 0 : an_tensor_start(spec, t, first);
        if (images->bytes[t])
            at[t] = images->bytes[t] + problem->offset[t] + start;
    }
    const anynorm_host_tensors tensors = host_tensors_at(at);
    if (rows == problem->rows)
        return anynorm_run(plan, &tensors, rows);
    return anynorm_run_stretch(plan, &tensors, first, rows, problem->rows);
}

static void check_same(const struct problem *problem, const struct images *is,
                       const struct images *wanted, const char *how)
{
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (t != AN_WORKSPACE && is->bytes[t] &&
            memcmp(is->bytes[t], wanted->bytes[t], (size_t)is->size[t]) != 0)
            fail_msg("%s, %s: %s has other bits", problem_text(problem), how,
                     an_tensor_name((enum an_tensor)t));
    }
}

static void check_on(anynorm_device *device, const char *schedule, const struct problem *problem,
                     const struct images *before, const struct images *wanted, const char *how)
{
    if (!device)
        return;
    anynorm_plan *plan = make_plan(device, &problem->spec, schedule);
    anynorm_spec spec;
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    struct images after = images_copy(before);
    assert_ok(run_rows(plan, problem, &spec, &after, 0, problem->rows));
    check_same(problem, &after, wanted, how);
    images_free(&after);
    anynorm_plan_destroy(plan);
}

/* Where the stretch from `first` on ends that has about so many rows: where the plan's sums may be
 * cut, no sample goes on beside another, and an outer row begins. */
static uint64_t find_end(const anynorm_plan *plan, const anynorm_spec *spec, uint64_t of_rows,
                         uint64_t first, uint64_t about)
{
    uint64_t sample = spec->sample_rows, within = first % sample;
    for (uint64_t want = first + about; want < of_rows; want++) {
        uint64_t end = want;
        if (within != 0 && end - first > sample - within)
            end = first + sample - within;
        else if (within == 0 && end - first > sample)
            end -= end % sample;
        if (spec->inner_rows > 0)
            end -= end % spec->inner_rows;
        assert_ok(anynorm_plan_cut(plan, of_rows, &end));
        if (end > first && (spec->inner_rows == 0 || end % spec->inner_rows == 0) &&
            (end % sample == 0 || end - first <= sample - within))
            return end;
    }
    return of_rows;
}

/* Stretches of about so many rows; returns how many they were. */
static int check_stretches(anynorm_plan *plan, const struct problem *problem,
                           const struct images *before, const struct images *wanted, uint64_t about)
{
    anynorm_spec spec;
    char how[64];
    int stretches = 0;
    struct images after = images_copy(before);
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    for (uint64_t first = 0, end; first < problem->rows; first = end, stretches++) {
        end = find_end(plan, &spec, problem->rows, first, about);
        assert_ok(run_rows(plan, problem, &spec, &after, first, end - first));
    }
    snprintf(how, sizeof(how), "in stretches of about %d rows", (int)about);
    check_same(problem, &after, wanted, how);
    images_free(&after);
    return stretches;
}

/* ---- Rows that are divided over several, who know nothing of each other ---- */

/* Where the rows of the one with number `number` of `count` begin. */
static uint64_t find_share(const anynorm_plan *plan, const anynorm_spec *spec, uint64_t of_rows,
                           uint64_t number, uint64_t count)
{
    uint64_t sample = spec->sample_rows, inner = spec->inner_rows ? spec->inner_rows : 1;
    for (uint64_t row = of_rows * number / count; row > 0; row--) {
        uint64_t division = row;
        assert_ok(anynorm_plan_divide(plan, of_rows, &division));
        if (division == row && (row == of_rows || (row % sample == 0 && row % inner == 0)))
            return row;
    }
    return 0;
}

/* What rows [first, end) have left in the workspace `from`. */
static void take_sums(const anynorm_plan *plan, uint64_t first, uint64_t end, uint64_t of_rows,
                      const unsigned char *from, unsigned char *to)
{
    anynorm_range range;
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        assert_ok(anynorm_plan_sums(plan, first, end - first, of_rows, i, &range, &count));
        memcpy(to + range.offset, from + range.offset, (size_t)range.bytes);
    }
}

/* Divided over `count`, of whom the last begin first, in stretches; returns how many had rows. */
static int check_divided(anynorm_plan *plan, const struct problem *problem,
                         const struct images *before, const struct images *wanted, uint64_t count)
{
    anynorm_spec spec;
    struct images after = images_copy(before);
    unsigned char *all = after.bytes[AN_WORKSPACE];
    size_t size = (size_t)after.size[AN_WORKSPACE];
    uint64_t rows = problem->rows, last = 0;
    int shares = 0;
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    for (uint64_t i = count; i-- > 0;) {
        uint64_t begin = find_share(plan, &spec, rows, i, count), end, first;
        uint64_t close = find_share(plan, &spec, rows, i + 1, count);
        unsigned char *own = all;
        if (i + 1 < count) {
            own = malloc(size + 1);
            assert_non_null(own);
            memset(own, 0x3c, size + 1);
        }
        for (first = begin; first < close; first = end) {
            end = find_end(plan, &spec, rows, first, (close - begin) / 2 + 1);
            if (end > close)
                end = close;
            if (end == rows) {
                last = first;
                break;
            }
            after.bytes[AN_WORKSPACE] = own;
            assert_ok(run_rows(plan, problem, &spec, &after, first, end - first));
        }
        after.bytes[AN_WORKSPACE] = all;
        if (i + 1 < count) {
            take_sums(plan, begin, close, rows, own, all);
            free(own);
        }
        shares += close > begin;
    }
    assert_ok(run_rows(plan, problem, &spec, &after, last, rows - last));
    char how[64];
    snprintf(how, sizeof(how), "divided over %d", (int)count);
    check_same(problem, &after, wanted, how);
    images_free(&after);
    return shares;
}

/* Whole, in blocks, in parts of a launch, in stretches, and divided. */
static void check(struct subject *subject, const char *text, const char *schedule, int stretches)
{
    struct problem problem = problem_of(text);
    anynorm_plan *plan = plan_if_fits(subject->whole, &problem.spec, schedule);
    anynorm_spec spec;
    struct images before, wanted;
    if (!plan)
        return;
    assert_ok(an_spec_resolve(&problem.spec, &spec));
    make_images(&problem, &before);
    wanted = images_copy(&before);
    assert_ok(run_rows(plan, &problem, &spec, &wanted, 0, problem.rows));
    check_on(subject->small, schedule, &problem, &before, &wanted, "in blocks");
    check_on(subject->short_of_reach, schedule, &problem, &before, &wanted, "in parts");
    bool shards = spec.statistic.shards > 1; /* of which a stretch is no slice */
    int most = shards ? 1 : check_stretches(plan, &problem, &before, &wanted, reduced() ? 60 : 1);
    if (!shards)
        (void)check_stretches(plan, &problem, &before, &wanted, problem.rows / 3);
    if (!reduced() && most < stretches)
        fail_msg("%s: only %d stretches", text, most);
    for (uint64_t count = 2; count < 8 && !shards; count += 1 + count / 2) {
        int shares = check_divided(plan, &problem, &before, &wanted, count);
        bool anywhere = spec.sample_rows < 100 && spec.inner_rows == 0;
        if (shares < (int)count && stretches >= 75 && anywhere)
            fail_msg("%s: divided over %d of %d only", text, shares, (int)count);
    }
    images_free(&before);
    images_free(&wanted);
    anynorm_plan_destroy(plan);
}

static const struct {
    const char *text;
    int stretches; /* at least, where rows may be cut */
} cases[] = {
    {"layer-norm 2003x10 weight bias backward", 500},
    {"layer-norm 2003x10 weight bias accumulate f16 any-alignment backward", 500},
    {"rms-norm 300x70 weight silu rstd backward dparameters=bf16", 75},
    {"layer-norm 2000x10 weight bias pre-bias residual gate sample-rows=5 sum backward dsum", 400},
    {"layer-norm 1000x20 weight bias scale shift sample-rows=1 backward", 500},
    {"layer-norm 1003x20 weight bias scale shift sample-rows=300 accumulate backward", 250},
    {"layer-norm 1003x20 weight scale shift silu sample-rows=5000 backward", 250},
    {"layer-norm 1001x20 weight bias parameter-rows=6 parameter-run=5 backward", 40},
    {"layer-norm 1001x20 weight scale parameter-rows=3 sample-rows=14 backward", 20},
    {"layer-norm 1001x20 scale parameter-rows=3 weight sample-rows=30 dscale", 30},
    {"layer-norm 40x20 weight bias parameter-rows=50 backward", 1},
    {"layer-norm 1001x20 mean rstd weight backward dpartials-input shards=2", 1},
    {"layer-norm 1002x20 weight bias inner=6 x-stride=25 x-outer=160 dx-stride=21 dx-outer=130 "
     "backward",
     80},
    {"layer-norm 1001x20 weight dx", 1000},
};

static void test_cuts(void **state)
{
    struct subject *subject = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!reduced() || i % 3 == 0)
            check(subject, cases[i].text, NULL, cases[i].stretches);
}

/* Rows side by side, and work-items that share a row. */
static void test_schedules(void **state)
{
    static const char *const schedules[] = {"row_per_item", "row_reread group=16 rows=4"};
    struct subject *subject = *state;
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(subject->whole, &info));
    for (size_t i = 0; i < 2 && !is_reference(&info); i++) {
        check(subject, cases[0].text, schedules[i], 500);
        if (reduced())
            continue;
        check(subject, cases[4].text, schedules[i], 400);
        check(subject, cases[8].text, schedules[i], 1);
    }
}

/* Parts so long that what additions lose is kept, and carried over, too. Lanes share a row:
 * llvmpipe ends a work-item's loops after 65535 rounds. */
static void test_compensated(void **state)
{
    struct subject *subject = *state;
    struct problem problem = problem_of("rms-norm 16700x4096 f16 weight dweight");
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(subject->whole, &info));
    if (is_reference(&info) || reduced())
        return; /* its doubles lose nothing; and no fewer elements have such parts */
    anynorm_plan *plan = make_plan(subject->whole, &problem.spec, "row_reread group=64 rows=1");
    struct images before, wanted;
    make_images(&problem, &before);
    wanted = images_copy(&before);
    anynorm_spec spec;
    assert_ok(an_spec_resolve(&problem.spec, &spec));
    assert_ok(run_rows(plan, &problem, &spec, &wanted, 0, problem.rows));
    (void)check_stretches(plan, &problem, &before, &wanted, 3000);
    assert_int_equal(check_divided(plan, &problem, &before, &wanted, 3), 3);
    images_free(&before);
    images_free(&wanted);
    anynorm_plan_destroy(plan);
}

/* Stretches that are refused, before anything is written. */
static void test_refused(void **state)
{
    struct subject *subject = *state;
    static const struct {
        const char *text;
        uint64_t first, rows;
        const char *word;
    } bad[] = {
        {"layer-norm 2003x10 weight backward", 2000, 4, "not among"},
        {"layer-norm 2003x10 weight backward", 2004, 0, "not among"},
        {"layer-norm 2003x10 weight backward", 0, 6, "anynorm_plan_cut"},
        {"layer-norm 2003x10 weight backward", 2, 2001, "anynorm_plan_cut"},
        {"layer-norm 1000x10 weight parameter-rows=5 backward", 16, 984, "anynorm_plan_cut"},
        {"layer-norm 1000x10 scale sample-rows=30 dx", 10, 30, "next sample"},
        {"layer-norm 2003x10 weight backward", 0, 16, "workspace"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct problem problem = problem_of(bad[i].text);
        anynorm_plan *plan = make_plan(subject->whole, &problem.spec, NULL);
        struct images before, after;
        make_images(&problem, &before);
        after = images_copy(&before);
        void *at[AN_TENSOR_COUNT];
        for (int t = 0; t < AN_TENSOR_COUNT; t++)
            at[t] = t == AN_WORKSPACE ? NULL : after.bytes[t];
        const anynorm_host_tensors tensors = host_tensors_at(at);
        assert_status(anynorm_run_stretch(plan, &tensors, bad[i].first, bad[i].rows, problem.rows),
                      ANYNORM_INVALID_ARGUMENT);
        if (!strstr(anynorm_message(), bad[i].word))
            fail_msg("%s: %s", bad[i].text, anynorm_message());
        check_same(&problem, &after, &before, "refused");
        uint64_t row = 3;
        assert_status(anynorm_run_stretch(NULL, &tensors, 0, 4, 8), ANYNORM_INVALID_ARGUMENT);
        assert_status(anynorm_run_stretch(plan, NULL, 0, 4, 8), ANYNORM_INVALID_ARGUMENT);
        assert_status(anynorm_plan_cut(NULL, 9, &row), ANYNORM_INVALID_ARGUMENT);
        assert_status(anynorm_plan_cut(plan, 9, NULL), ANYNORM_INVALID_ARGUMENT);
        assert_int_equal(row, 3);
        row = 99;
        assert_ok(anynorm_plan_cut(plan, 9, &row));
        assert_int_equal(row, 9);
        images_free(&before);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* Divisions, and what is asked about rows that they do not bound. */
static void test_refused_division(void **state)
{
    struct subject *subject = *state;
    struct problem problem = problem_of("layer-norm 2003x10 weight bias backward");
    anynorm_plan *plan = make_plan(subject->whole, &problem.spec, NULL);
    anynorm_range range = {7, 7};
    uint64_t row = 3, first = 1000;
    size_t count = 9;
    assert_status(anynorm_plan_divide(NULL, 9, &row), ANYNORM_INVALID_ARGUMENT);
    assert_status(anynorm_plan_divide(plan, 9, NULL), ANYNORM_INVALID_ARGUMENT);
    assert_int_equal(row, 3);
    row = 99;
    assert_ok(anynorm_plan_divide(plan, 9, &row));
    assert_int_equal(row, 9);
    assert_ok(anynorm_plan_divide(plan, 2003, &first));
    assert_true(first > 800 && first < 1000);

    assert_status(anynorm_plan_sums(NULL, 0, 9, 9, 0, &range, &count), ANYNORM_INVALID_ARGUMENT);
    assert_status(anynorm_plan_sums(plan, 0, 9, 9, 0, NULL, &count), ANYNORM_INVALID_ARGUMENT);
    const uint64_t bad[][2] = {{2004, 0}, {0, 2004}, {first + 1, 1}, {0, first - 1}};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_status(anynorm_plan_sums(plan, bad[i][0], bad[i][1], 2003, 0, &range, &count),
                      ANYNORM_INVALID_ARGUMENT);
    assert_int_equal(range.bytes, 7);
    assert_int_equal(count, 9);
    assert_ok(anynorm_plan_sums(plan, first, 2003 - first, 2003, 1, &range, NULL));
    assert_true(range.bytes > 0);
    assert_ok(anynorm_plan_sums(plan, first, 2003 - first, 2003, 2, &range, &count));
    assert_int_equal(range.bytes, 0);
    assert_int_equal(count, 2); /* a tensor's each */
    assert_ok(anynorm_plan_sums(plan, 0, 0, 0, 0, &range, &count));
    assert_int_equal(count, 0);
    anynorm_plan_destroy(plan);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"cuts", test_cuts},
        {"schedules", test_schedules},
        {"compensated", test_compensated},
        {"refused", test_refused},
        {"refused_division", test_refused_division},
    };
    return run_on_devices("run_backward", tests, sizeof(tests) / sizeof(tests[0]), open_subject,
                          close_subject);
}
