/* anynorm_run on every device that serves it, with the tensors beyond plain LayerNorm: in one block
 * and in several, over inputs, and as slices of one memory.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec_flags.h"

#define EPS .statistic.eps = ANYNORM_EPS_DEFAULT

struct subject {
    const char *id;
    struct errors worst;
};

/* A device of the subject's kind, whose allocations hold `bytes` (0: its own limit). */
static anynorm_device *open_limited(const struct subject *subject, bool unified, uint64_t bytes)
{
    char caps[64];
    snprintf(caps, sizeof(caps), "%smax-alloc=%llu", unified ? "" : "no-unified,",
             (unsigned long long)(bytes ? bytes : 1 << 30));
    return open_device_with(subject->id, caps);
}

static anynorm_status run_images(anynorm_plan *plan, const struct problem *problem,
                                 const struct images *images)
{
    void *at[AN_TENSOR_COUNT] = {NULL};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (images->bytes[t])
            at[t] = images->bytes[t] + problem->offset[t];
    }
    at[AN_Y] = at[image_of(problem, AN_Y)];
    at[AN_SUM] = at[image_of(problem, AN_SUM)];
    anynorm_host_tensors tensors = host_tensors_at(at);
    return anynorm_run(plan, &tensors, problem->rows);
}

/* The problem on a device with such a limit: false where no schedule serves it there. Where it does
 * not fit, *fits is false, and nothing was written. */
static bool run_limited(struct subject *subject, const struct problem *problem, bool unified,
                        uint64_t limit, bool *fits)
{
    anynorm_device *device = open_limited(subject, unified, limit);
    anynorm_plan *plan = plan_if_fits(device, &problem->spec, NULL);
    if (!plan) {
        anynorm_device_close(device);
        return false;
    }
    struct images before, after;
    images_make(problem, &before);
    after = images_copy(&before);
    anynorm_status status = run_images(plan, problem, &after);
    *fits = status == ANYNORM_OK;
    if (*fits)
        check_against_oracle(problem, &before, &after, subject->id, &subject->worst);
    else
        assert_status(status, ANYNORM_OUT_OF_MEMORY);
    for (int t = 0; t < AN_TENSOR_COUNT && !*fits; t++) {
        if (before.bytes[t])
            assert_memory_equal(after.bytes[t], before.bytes[t], (size_t)before.size[t]);
    }
    images_free(&before);
    images_free(&after);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    return true;
}

/* With and without copies, whole. */
static bool run_whole(struct subject *subject, const struct problem *problem)
{
    bool fits = true, served = run_limited(subject, problem, true, 0, &fits) && fits;
    return served && run_limited(subject, problem, false, 0, &fits) && fits;
}

static const anynorm_spec everything = {.columns = 24,
                                        .flags = WEIGHT | BIAS | MEAN_OUT | RSTD_OUT | RESIDUAL |
                                                 GATE | PRE_BIAS | SUM | SCALE | SHIFT | SILU,
                                        EPS,
                                        .sample_rows = 4,
                                        .parameters.rows = 3,
                                        .parameters.run = 2};

static struct problem problem_of(uint64_t rows, anynorm_spec spec)
{
    static uint64_t seed = 9000;
    return (struct problem){.spec = spec, .rows = rows, .seed = seed++};
}

static void test_everything(void **state)
{
    struct problem problem = problem_of(13, everything);
    (void)run_whole(*state, &problem);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        problem = problem_of(13, everything);
        problem.offset[t] = 1 + (uint64_t)t % 3; /* at no multiple of its size */
        (void)run_whole(*state, &problem);
    }
}

static void test_statistics_that_are_given(void **state)
{
    static const anynorm_spec specs[] = {
        {.columns = 24, .flags = MEAN_IN | RSTD_IN | WEIGHT},
        {.columns = 24, .flags = RMS | RSTD_IN | RESIDUAL | SUM},
        {.columns = 24,
         .flags = PARTIALS_IN | WEIGHT | MEAN_OUT | RSTD_OUT,
         EPS,
         .statistic.shards = 2},
        {.columns = 24, .flags = RMS | PARTIALS_IN, EPS},
        {.columns = 24, .flags = PARTIALS_OUT},
        {.columns = 24, .flags = RMS | PARTIALS_OUT | RESIDUAL | SUM},
    };
    for (size_t i = 0; i < COUNT(specs); i++) {
        struct problem problem = problem_of(13, specs[i]);
        (void)run_whole(*state, &problem);
        problem.offset[AN_RSTD] = problem.offset[AN_PARTIALS] = 1;
        (void)run_whole(*state, &problem);
        for (uint64_t limit = 96; limit < 600; limit += 50) {
            bool fits;
            if (run_limited(*state, &problem, limit % 100 != 0, limit, &fits))
                assert_true(fits);
        }
    }
}

static void test_over_inputs(void **state)
{
    static const enum place places[][2] = {{OVER_X, APART},         {OVER_RESIDUAL, APART},
                                           {APART, OVER_X},         {APART, OVER_RESIDUAL},
                                           {OVER_X, OVER_RESIDUAL}, {OVER_RESIDUAL, OVER_X}};
    for (size_t i = 0; i < COUNT(places); i++) {
        anynorm_spec spec = everything;
        struct problem problem = problem_of(13, spec);
        problem.y_place = places[i][0];
        problem.sum_place = places[i][1];
        (void)run_whole(*state, &problem);
        problem.spec.x.row_stride = problem.spec.y.row_stride = 29;
        problem.spec.residual.row_stride = problem.spec.sum.row_stride = 29;
        problem.offset[AN_RESIDUAL] = 2;
        (void)run_whole(*state, &problem);
        for (uint64_t limit = 12 * 29 * 4; limit < 6000; limit += 1500) {
            bool fits;
            if (run_limited(*state, &problem, i % 2, limit, &fits))
                assert_true(fits);
        }
    }
}

/* A scale that is given goes with every block, one that is found is cut as the rows are. */
static void test_quantized(void **state)
{
    for (int i = 0; i < 4; i++) {
        anynorm_spec spec = everything;
        spec.y.type = i % 2 ? ANYNORM_I8 : ANYNORM_F8E4M3;
        spec.flags |= i < 2 ? Y_SCALE_IN : Y_SCALE_OUT;
        struct problem problem = problem_of(37, spec);
        (void)run_whole(*state, &problem);
        problem.offset[AN_Y] = 3;
        problem.offset[AN_Y_SCALE] = 1;
        (void)run_whole(*state, &problem);
        for (uint64_t limit = 12 * 24 * 4; limit < 4000; limit += 900) {
            bool fits;
            if (run_limited(*state, &problem, limit % 1800 == 0, limit, &fits))
                assert_true(fits);
        }
    }
}

/* Blocks begin where a sample, a row of parameters and a group of inner rows do: at each 12th row,
 * or 24th, unless all rows are in one. */
static void test_blocks(void **state)
{
    struct subject *subject = *state;
    static const struct {
        uint64_t rows, inner_rows, unit;
    } cases[] = {{37, 0, 12}, {37, 2, 12}, {37, 8, 24}, {11, 0, 11}, {4, 0, 3}, {40, 40, 12}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec spec = everything;
        spec.inner_rows = cases[i].inner_rows;
        if (cases[i].inner_rows) /* not one level after all */
            spec.sum.outer_stride = cases[i].inner_rows * 24 + 24;
        struct problem problem = problem_of(cases[i].rows, spec);
        uint64_t groups = cases[i].inner_rows ? (cases[i].unit - 1) / cases[i].inner_rows : 0;
        uint64_t least = (cases[i].unit + groups) * 24 * 4;
        for (uint64_t limit = least - 1; limit < 3 * least; limit += least / 3) {
            bool fits;
            if (run_limited(subject, &problem, limit % 2, limit, &fits) && fits != (limit >= least))
                fail_msg("case %zu: a limit of %u bytes %s", i, (unsigned)limit,
                         fits ? "holds a group" : "holds none");
            if (reduced())
                break;
        }
    }
}

/* Gate, scale and shift that are slices, each of a type of its own, or have columns apart: a block
 * takes those of its samples. */
static void test_blocks_of_slices(void **state)
{
    for (int apart = 0; apart < 2; apart++) {
        for (uint64_t limit = 0; limit < 20000; limit += limit ? 1493 : 2500) {
            struct problem problem = problem_of(37, everything);
            bool fits;
            problem.spec.scale.type = ANYNORM_F16;
            problem.spec.shift.type = ANYNORM_BF16;
            set_sample_strides(&problem.spec, apart ? 5 : 5 * 24, apart);
            problem.offset[AN_GATE] = limit % 3;
            if (run_limited(*state, &problem, limit % 2, limit, &fits))
                assert_true(fits);
        }
    }
}

/* Partials count with all of their shards, of which a block takes its rows: at 96 bytes of x in a
 * row, those of nine shards are more. */
static void test_blocks_of_shards(void **state)
{
    anynorm_spec spec = {
        .columns = 24, .flags = PARTIALS_IN | MEAN_OUT | RSTD_OUT, EPS, .statistic.shards = 9};
    for (uint64_t limit = 107; limit < 7 * 108; limit += 108 - limit % 108) {
        struct problem problem = problem_of(11, spec);
        bool fits;
        problem.offset[AN_PARTIALS] = limit % 5;
        if (run_limited(*state, &problem, limit % 2, limit, &fits))
            assert_int_equal(fits, limit >= 108);
    }
}

/* Parameters count, too. */
static void test_blocks_below_a_parameter(void **state)
{
    struct problem problem = problem_of(30, (anynorm_spec){.columns = 8,
                                                           .flags = PRE_BIAS,
                                                           .parameters.rows = 10,
                                                           .parameters.type = ANYNORM_F32,
                                                           EPS,
                                                           .x.type = ANYNORM_F16,
                                                           .y.type = ANYNORM_F16});
    bool fits;
    if (!run_limited(*state, &problem, true, 320, &fits))
        return;
    assert_true(fits);
    assert_true(run_limited(*state, &problem, false, 319, &fits));
    assert_false(fits);
}

/* ---- x, residual, y and sum in one memory ---- */

enum { SLICES = 4, WIDTH = 16, STRIDE = 70, ROWS = 9 };

static const enum an_tensor slices[SLICES] = {AN_X, AN_RESIDUAL, AN_Y, AN_SUM};

/* Copies the elements of a tensor from one place to another. */
static void move_rows(const anynorm_spec *spec, enum an_tensor tensor, unsigned char *to,
                      const unsigned char *from)
{
    size_t size = anynorm_dtype_size(an_tensor_expect(spec, tensor).type);
    for (uint64_t r = 0; r < ROWS; r++)
        memcpy(to + an_tensor_start(spec, tensor, r), from + an_tensor_start(spec, tensor, r),
               (size_t)spec->columns * size);
}

/* Each slice at its byte of [ROWS][STRIDE] floats, against the tensors apart. */
static void check_slices(struct subject *subject, anynorm_device *device,
                         const uint64_t bytes[SLICES])
{
    anynorm_spec spec = {.columns = WIDTH,
                         .flags = RESIDUAL | SUM | WEIGHT,
                         EPS,
                         .x.row_stride = STRIDE,
                         .y.row_stride = STRIDE,
                         .residual.row_stride = STRIDE,
                         .sum.row_stride = STRIDE},
                 resolved;
    struct problem problem = problem_of(ROWS, spec);
    struct images before, after;
    unsigned char wide[(ROWS + 1) * STRIDE * 4], kept[sizeof(wide)];
    anynorm_plan *plan = plan_if_fits(device, &spec, NULL);
    if (!plan)
        return;
    assert_ok(an_spec_resolve(&spec, &resolved));
    images_make(&problem, &before);
    after = images_copy(&before);
    memset(wide, 0x77, sizeof(wide));
    for (int i = 0; i < 2; i++) /* the inputs */
        move_rows(&resolved, slices[i], wide + bytes[i], before.bytes[slices[i]]);
    memcpy(kept, wide, sizeof(wide));

    anynorm_host_tensors tensors = {.x = wide + bytes[0],
                                    .residual = wide + bytes[1],
                                    .y = wide + bytes[2],
                                    .sum = wide + bytes[3],
                                    .weight = before.bytes[AN_WEIGHT]};
    assert_ok(anynorm_run(plan, &tensors, ROWS));
    for (int i = 2; i < SLICES; i++) {
        move_rows(&resolved, slices[i], after.bytes[slices[i]], wide + bytes[i]);
        move_rows(&resolved, slices[i], wide + bytes[i], kept + bytes[i]);
    }
    check_against_oracle(&problem, &before, &after, subject->id, &subject->worst);
    assert_memory_equal(wide, kept, sizeof(wide));
    images_free(&before);
    images_free(&after);
    anynorm_plan_destroy(plan);
}

static void test_slices_of_one_memory(void **state)
{
    struct subject *subject = *state;
    struct random random = {77};
    for (int unified = 0; unified < 2; unified++) {
        static const uint64_t limits[] = {0, 900, 1 << 12};
        for (size_t l = 0; l < COUNT(limits); l++) {
            anynorm_device *device = open_limited(subject, unified, limits[l]);
            for (int i = 0; i < (reduced() ? 4 : 60); i++) {
                uint64_t bytes[SLICES], order = random_below(&random, SLICES);
                for (uint64_t s = 0; s < SLICES; s++) {
                    /* In turns of 17 elements, and for some at distances of no whole element. */
                    bytes[(s + order) % SLICES] =
                        s * 17 * 4 + (i % 3 == 2 ? random_below(&random, 4) : 0);
                }
                check_slices(subject, device, bytes);
            }
            anynorm_device_close(device);
        }
    }
}

/* ---- Every device ---- */

static int open_subject(void **state)
{
    static struct subject of_this_test;
    of_this_test = (struct subject){.id = *state};
    *state = &of_this_test;
    return 0;
}

int main(void)
{
    static const struct device_test tests[] = {
        {"everything", test_everything},
        {"statistics that are given", test_statistics_that_are_given},
        {"over inputs", test_over_inputs},
        {"quantized", test_quantized},
        {"blocks", test_blocks},
        {"blocks of slices", test_blocks_of_slices},
        {"blocks of shards", test_blocks_of_shards},
        {"blocks below a parameter", test_blocks_below_a_parameter},
        {"slices of one memory", test_slices_of_one_memory},
    };
    return run_on_devices("run_family", tests, COUNT(tests), open_subject, NULL);
}
