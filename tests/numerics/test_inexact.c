/* The bounds of docs/numerics.md on a device whose divisions, roots and exponentials are as inexact
 * as OpenCL, or Vulkan, lets a GPU's be, in each direction (support/inexact.h): every schedule,
 * what each spec divides by, gradients, and the rows that a hill climb finds to be the worst. CPUs,
 * which the other tests run on, divide exactly.
 *
 *     ANYNORM_TEST_SEARCH=N          N generations for each climb, not the usual few
 *     ANYNORM_TEST_REDUCED=1         each spec with one direction in one schedule; one climb for
 * each, in the direction that has all of the others in its rows
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "climb.h"
#include "inexact.h"
#include "spec_flags.h"
#include "turns.h"

/* The subject, with a device of its own that compiles anew, and what it has seen so far. */
static struct subject open_inexact(const struct subject *subject, enum inexact way)
{
    struct subject result = *subject;
    result.device = inexact_open(subject->device_id, way);
    return result;
}

static void close_inexact(struct subject *subject, struct subject *inexact)
{
    bool planned = inexact->offered - inexact->refused > subject->offered - subject->refused;
    anynorm_device_close(inexact->device);
    inexact->device = subject->device;
    *subject = *inexact;
    if (planned)
        inexact_end();
    else
        inexact_drop();
}

/* A test that failed may have left all as it was. */
static bool has_kernels(const struct subject *subject)
{
    inexact_drop();
    return inexact_serves(subject->device_id);
}

/* ---- That it is so ---- */

enum { ROWS = 9, COLUMNS = 333 };

struct outcome {
    float y[ROWS * COLUMNS], mean[ROWS], rstd[ROWS];
};

/* Of one schedule in every sample. */
static bool run_once(struct subject *subject, uint32_t flags, const float *x,
                     struct outcome *outcome)
{
    const bool always = strcmp(subject->schedule, "row_per_item") == 0;
    anynorm_spec spec = {
        .columns = COLUMNS, .flags = MEAN_OUT | RSTD_OUT | flags, .statistic.eps = 1e-5};
    anynorm_plan *plan = always ? plan_if_fits(subject->device, &spec, subject->schedule)
                                : offered_plan(subject, &spec);
    if (!plan)
        return false;
    subject->offered += always;
    anynorm_host_tensors tensors = {
        .x = x, .y = outcome->y, .mean = outcome->mean, .rstd = outcome->rstd};
    assert_ok(anynorm_run(plan, &tensors, ROWS));
    anynorm_plan_destroy(plan);
    return true;
}

/* Each direction changes bits, and no two change the same; and divisions that are off by more than
 * any bound take the statistics beyond it. */
static void test_injection(void **state)
{
    static struct outcome exact, outcomes[INEXACT_WAYS + 1];
    static float x[ROWS * COLUMNS];
    struct subject *subject = *state;
    struct random random = {77};

    if (!has_kernels(subject))
        return;
    for (size_t i = 0; i < COUNT(x); i++)
        x[i] = (float)(3 + random_normal(&random));
    bool there = run_once(subject, SILU, x, &exact);
    for (int way = reduced() ? INEXACT_HASHED : 0; way <= INEXACT_GROSSLY; way++) {
        struct subject inexact = open_inexact(subject, (enum inexact)way);
        if (run_once(&inexact, SILU, x, &outcomes[way]) != there)
            fail_msg("a kernel was refused for being inexact %s", inexact_name((enum inexact)way));
        close_inexact(subject, &inexact);
        for (int other = 0; there && other < way; other++)
            assert_memory_not_equal(outcomes[way].y, outcomes[other].y, sizeof(exact.y));
        if (there)
            assert_memory_not_equal(outcomes[way].y, exact.y, sizeof(exact.y));
    }
    size_t beyond = 0;
    for (size_t r = 0; there && r < ROWS; r++) {
        const struct outcome *gross = &outcomes[INEXACT_GROSSLY];
        double rstd = (double)exact.rstd[r], bound = 8 * 0x1p-23;
        assert_true(fabs((double)gross->rstd[r] - rstd) > bound * rstd);
        beyond += fabs((double)gross->mean[r] - (double)exact.mean[r]) > bound / rstd;
    }
    assert_true(!there || 2 * beyond > ROWS); /* but where the guess of the mean was good */
}

/* ---- What is divided by ---- */

static const anynorm_spec specs[] = {
    {.flags = WEIGHT | BIAS | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5},
    {.flags = MEAN_OUT | RSTD_OUT | UNBIASED | WEIGHT, .statistic.eps = 1e-5},
    {.flags = MEAN_OUT | RSTD_OUT | EPS_OUTSIDE | BIAS, .statistic.eps = 1e-3},
    {.flags = RSTD_OUT | EPS_FLOOR, .statistic.eps = 0.5},
    {.flags = RSTD_OUT | UNBIASED | EPS_OUTSIDE, .statistic.eps = 1e31},
    {.flags = RSTD_OUT, .statistic.eps = 1e-40},
    {.flags = RMS | RSTD_OUT | WEIGHT, .statistic.eps = 1e-6},
    {.flags = RMS | RSTD_OUT | EPS_OUTSIDE},
    {.flags = RMS | L2 | RSTD_OUT | EPS_FLOOR, .statistic.eps = 1e-12},
    {.flags = SCALE | SHIFT | SILU, .statistic.eps = 1e-6, .sample_rows = 4},
    {.flags = WEIGHT | BIAS | SILU | Y_SCALE_OUT, .y.type = ANYNORM_I8, .statistic.eps = 1e-5},
    {.flags = RMS | WEIGHT | Y_SCALE_OUT,
     .y.type = ANYNORM_F8E4M3,
     .statistic.eps = 1e-5,
     .quantization.bound = 1.5},
    {.flags = BIAS | Y_SCALE_IN, .y.type = ANYNORM_I8, .statistic.eps = 1e-5},
    {.flags = MEAN_IN | RSTD_IN | SILU | Y_SCALE_IN, .y.type = ANYNORM_F8E4M3},
    {.flags = PARTIALS_OUT},
    {.flags = RMS | PARTIALS_OUT | RESIDUAL},
    {.flags = PARTIALS_IN | WEIGHT | BIAS | MEAN_OUT | RSTD_OUT,
     .statistic.eps = 1e-5,
     .statistic.shards = 3},
    {.flags = PARTIALS_IN | UNBIASED | EPS_OUTSIDE | MEAN_OUT | RSTD_OUT,
     .statistic.eps = 1e-3,
     .statistic.shards = 5},
    {.flags = RMS | PARTIALS_IN | RSTD_OUT, .statistic.eps = 1e-5, .statistic.shards = 7},
    {.flags = RESIDUAL | SUM | STORED_SUM | ROUND_FIRST | WEIGHT | RSTD_OUT, .statistic.eps = 1e-5},
};

/* `shift`: in each direction with another type, and other columns. */
static void check_spec(struct subject *inexact, size_t s, size_t shift)
{
    static const uint64_t columns[] = {77, 2, 512, 1030, 4099};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16,
                                          ANYNORM_F64};
    anynorm_spec spec = specs[s];
    spec.columns = columns[(s + 2 * shift) % COUNT(columns)];
    set_types(&spec, types[(s + shift) % COUNT(types)]);
    if ((spec.x.type == ANYNORM_F64 && !inexact->info.fp64) ||
        (reduced() && !has_turn(inexact, &spec, s)))
        return;
    anynorm_plan *plan = offered_plan(inexact, &spec);
    /* Statistics that are given are of usual rows: of others f16 may have no y. */
    int kinds = spec.flags & (RSTD_IN | PARTIALS_IN) ? VALUES_NORMAL + 1 : VALUES_COUNT;
    for (int values = 0; plan && values < kinds; values++) {
        struct problem problem = {
            .spec = spec, .rows = 6, .values = (enum values)values, .seed = 4100 + s};
        check_plan(inexact->device, plan, &problem, inexact->schedule, &inexact->worst);
    }
    anynorm_plan_destroy(plan);
}

static void test_specs(void **state)
{
    struct subject *subject = *state;
    if (!has_kernels(subject))
        return;
    for (int way = 0; way < INEXACT_WAYS; way++) {
        struct subject inexact = open_inexact(subject, (enum inexact)way);
        for (size_t s = 0; s < COUNT(specs); s++) {
            if (!reduced() || s % INEXACT_WAYS == (size_t)way)
                check_spec(&inexact, s, (size_t)way);
        }
        close_inexact(subject, &inexact);
    }
}

/* Gradients divide and take roots, too. In the short form each of them in one direction. */
static void test_gradients(void **state)
{
    static const char *const texts[] = {
        "layer-norm 40x96 weight bias silu mean rstd backward",
        "layer-norm 40x96 weight bias unbiased backward",
        "layer-norm 40x96 weight bias eps-outside eps=0.5 mean rstd backward",
        "rms-norm 40x96 weight l2 eps-floor eps=0.9 backward",
        "layer-norm 42x96 weight bias scale shift silu sample-rows=7 backward",
    };
    struct subject *subject = *state;
    if (!has_kernels(subject))
        return;
    for (size_t way = 0; way < INEXACT_WAYS; way++) {
        struct subject inexact = open_inexact(subject, (enum inexact)way);
        for (size_t i = 0; i < COUNT(texts); i++) {
            struct problem problem = {.values = VALUES_NORMAL, .seed = 4200 + i};
            assert_ok(anynorm_spec_parse(texts[i], &problem.spec, &problem.rows));
            anynorm_plan *plan = NULL;
            if (!reduced() || (i + 1) % INEXACT_WAYS == way)
                plan = offered_plan(&inexact, &problem.spec);
            if (plan)
                check_plan(inexact.device, plan, &problem, inexact.schedule, &inexact.worst);
            anynorm_plan_destroy(plan);
        }
        close_inexact(subject, &inexact);
    }
}

/* ---- The worst rows ---- */

static void test_search(void **state)
{
    static const uint32_t flags[] = {MEAN_OUT | RSTD_OUT, PARTIALS_OUT, RMS | RSTD_OUT};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    struct subject *subject = *state;
    if (!has_kernels(subject))
        return;
    for (int way = 0; way < INEXACT_WAYS; way++) {
        struct subject inexact = open_inexact(subject, (enum inexact)way);
        inexact.worst.y = 0;
        for (size_t c = 0; c < COUNT(flags) * COUNT(types); c++) {
            struct climb climb = {.subject = &inexact};
            size_t turn = c + (size_t)way + (size_t)schedule_of(subject);
            if ((!reduced() || (c == 0 && way == INEXACT_HASHED)) &&
                climb_specify(&climb, types[c / COUNT(flags)], flags[c % COUNT(flags)]))
                climb_with(&climb, climb_lengths[turn % CLIMB_LENGTHS], 40);
        }
        if (inexact.offered > subject->offered)
            fprintf(stderr, "# %s, %s: %.2f units at most\n", subject->name,
                    inexact_name((enum inexact)way), 8 * inexact.worst.y);
        inexact.worst.y = fmax(inexact.worst.y, subject->worst.y);
        close_inexact(subject, &inexact);
    }
    assert_true(subject->worst.y <= 1);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"inexact divisions are there", test_injection},
        {"specs on inexact divisions", test_specs},
        {"gradients on inexact divisions", test_gradients},
        {"the worst rows on inexact divisions", test_search}};
    return run_on_schedules("inexact", tests, COUNT(tests));
}
