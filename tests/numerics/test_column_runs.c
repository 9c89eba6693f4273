/* Every schedule on every device against the oracle where the columns of a row lie in runs, and
 * where parameters come again and again along it: groups of the channels of channels-last images.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include <string.h>

#include "choice/caps.h"
#include "choice/choice.h"
#include "spec_flags.h"
#include "turns.h"

#define AFFINE (WEIGHT | BIAS)

/* Counts the cases of a test, each of which goes to one schedule where all would take too long:
 * compilers take seconds for a kernel that walks runs. */
static size_t turn;

static bool is_mine(const struct subject *subject, const anynorm_spec *spec)
{
    if (reduced() && turn % 3 != 0)
        return false;
    return !few(subject) || has_turn(subject, spec, turn);
}

/* The short form's cases are among the whole form's, on the same schedules: what it leaves out
 * counts as a turn, too. */
static void check_if_in_turn(struct subject *subject, const struct problem *problem, bool in_short)
{
    if ((in_short || !reduced()) && is_mine(subject, &problem->spec))
        take(subject, problem);
    turn++;
}

static void check_in_turn(struct subject *subject, const struct problem *problem)
{
    check_if_in_turn(subject, problem, true);
}

/* GroupNorm of [images][pixels][groups * channels], each tensor dense. */
static struct problem channels_last(uint64_t images, uint64_t pixels, uint64_t groups,
                                    uint64_t channels, anynorm_dtype type, uint32_t flags)
{
    uint64_t across = groups * channels;
    struct problem problem = {.rows = images * groups, .seed = images * pixels + 1000 * across};
    anynorm_spec *spec = &problem.spec;
    *spec = (anynorm_spec){.columns = channels * pixels,
                           .x.type = type,
                           .y.type = type,
                           .flags = flags,
                           .statistic.eps = 1e-5,
                           .inner_rows = groups,
                           .x.row_stride = channels,
                           .y.row_stride = channels,
                           .x.outer_stride = pixels * across,
                           .y.outer_stride = pixels * across,
                           .x.column_stride = across,
                           .y.column_stride = across,
                           .column_run = channels};
    if (flags & AN_PARAMETERS) {
        spec->parameters.rows = groups;
        spec->parameters.cycle = channels;
    }
    if (flags & RESIDUAL) {
        spec->residual.type = type;
        spec->residual.row_stride = spec->x.row_stride;
        spec->residual.outer_stride = spec->x.outer_stride;
        spec->residual.column_stride = spec->x.column_stride;
    }
    if (flags & SUM) {
        spec->sum.type = type;
        spec->sum.row_stride = spec->x.row_stride;
        spec->sum.outer_stride = spec->x.outer_stride;
        spec->sum.column_stride = spec->x.column_stride;
    }
    return problem;
}

static void test_group_norm(void **state)
{
    struct subject *subject = *state;
    turn = 0;
    static const uint64_t channels[] = {1, 2, 3, 8, 10, 16, 17, 40, 64};
    static const uint64_t pixels[] = {1, 2, 9, 49, 169, 1024};
    static const uint64_t groups[] = {1, 2, 5, 32};
    for (size_t c = 0; c < COUNT(channels); c++) {
        for (size_t p = 0; p < COUNT(pixels); p++) {
            for (int type = 0; type < 4; type++) {
                if ((type == ANYNORM_F64 && !subject->info.fp64) ||
                    (few(subject) && (c + p) % 4 != (size_t)type))
                    continue;
                struct problem problem =
                    channels_last(1 + (c + p) % 3, pixels[p], groups[(c + 2 * p) % 4], channels[c],
                                  (anynorm_dtype)type, AFFINE | MEAN_OUT | RSTD_OUT);
                check_if_in_turn(subject, &problem, (c + 2 * p) % 5 == 0);
            }
        }
    }
}

/* A row for each channel: columns that lie apart one by one, and a parameter for each row. */
static void test_instance_norm(void **state)
{
    struct subject *subject = *state;
    turn = 0;
    static const uint64_t channels[] = {1, 3, 16, 50}, pixels[] = {1, 5, 49, 400};
    for (size_t c = 0; c < COUNT(channels); c++) {
        for (size_t p = 0; p < COUNT(pixels); p++) {
            struct problem problem =
                channels_last(1 + p % 2, pixels[p], channels[c], 1, (anynorm_dtype)(p % 3), AFFINE);
            check_in_turn(subject, &problem);
            problem.spec.column_run = 0;
            problem.spec.parameters.cycle = 0;
            problem.spec.parameters.run = pixels[p];
            check_in_turn(subject, &problem);
        }
    }
}

/* Tensors whose runs lie differently far apart, of which one may lie side by side. */
static void test_strides(void **state)
{
    struct subject *subject = *state;
    turn = 0;
    static const struct {
        uint64_t pixels, groups, channels;
    } shapes[] = {{25, 3, 6}, {70, 4, 16}, {9, 2, 33}, {121, 3, 5}};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        anynorm_dtype type = (anynorm_dtype)(i % 3);
        uint64_t columns = shapes[i].channels * shapes[i].pixels, groups = shapes[i].groups;
        struct problem problem = channels_last(2, shapes[i].pixels, groups, shapes[i].channels,
                                               type, AFFINE | RESIDUAL | SUM);
        anynorm_spec *spec = &problem.spec;
        spec->x.column_stride += 5; /* a slice of a wider image */
        spec->x.outer_stride = shapes[i].pixels * spec->x.column_stride + 3;
        check_in_turn(subject, &problem);
        spec->sum.column_stride += 8;
        spec->sum.outer_stride = shapes[i].pixels * spec->sum.column_stride;
        problem.rows -= 1; /* the last image is short */
        check_in_turn(subject, &problem);
        spec->y.row_stride = spec->y.outer_stride = spec->y.column_stride = 0; /* row by row */
        check_in_turn(subject, &problem);
        spec->residual.column_stride = shapes[i].channels;
        spec->residual.row_stride = columns + 1;
        spec->residual.outer_stride = groups * (columns + 1);
        check_in_turn(subject, &problem);
        spec->x.column_stride = spec->sum.column_stride = 0; /* none in runs any more */
        spec->x.row_stride = spec->x.outer_stride = 0;
        spec->sum.row_stride = spec->sum.outer_stride = 0;
        check_in_turn(subject, &problem);
    }
}

/* With all else that a spec may name; y and sum over inputs, at any byte, values of every kind. */
static void test_ways(void **state)
{
    struct subject *subject = *state;
    turn = 0;
    static const uint32_t flags[] = {AFFINE | SILU,
                                     WEIGHT | RMS,
                                     RESIDUAL | SUM | PRE_BIAS | STORED_SUM | BIAS,
                                     SCALE | SHIFT | WEIGHT | MEAN_OUT,
                                     RESIDUAL | GATE | SUM | SCALE,
                                     MEAN_IN | RSTD_IN | AFFINE};
    for (size_t f = 0; f < COUNT(flags); f++) {
        for (int type = 0; type < 3; type++) {
            if (few(subject) && f % 3 != (size_t)type)
                continue;
            struct problem problem = channels_last(2, 30, 4, 7 + f, (anynorm_dtype)type, flags[f]);
            if (flags[f] & (SCALE | SHIFT | GATE)) {
                problem.spec.sample_rows = 4;
                set_sample_types(&problem.spec, (anynorm_dtype)((type + 1) % 3));
                set_sample_strides(&problem.spec, (uint64_t)type, type > 0);
            }
            if (flags[f] & RSTD_IN)
                problem.spec.statistic.eps = 0;
            check_in_turn(subject, &problem);
            problem.y_place = OVER_X;
            problem.sum_place = flags[f] & SUM ? OVER_RESIDUAL : APART;
            check_in_turn(subject, &problem);
            problem.spec.flags |= ANYNORM_ANY_ALIGNMENT;
            for (int t = 0; t < AN_TENSOR_COUNT; t++)
                problem.offset[t] = (uint64_t)(t == AN_Y ? 3 : 2 * t + 3) % 13;
            check_in_turn(subject, &problem);
        }
    }
    for (int values = 0; values < VALUES_COUNT; values++) {
        struct problem problem = channels_last(2, 45, 5, 12, ANYNORM_F32, AFFINE);
        problem.values = (enum values)values;
        check_in_turn(subject, &problem);
    }
}

/* A parameter for each column of a row in runs, or for runs and cycles of its columns that have
 * nothing to do with them; and cycles where columns lie side by side or apart. */
static void test_parameters(void **state)
{
    struct subject *subject = *state;
    turn = 0;
    static const struct {
        uint64_t run, parameter_run, cycle;
    } ways[] = {{10, 0, 0}, {10, 4, 0}, {10, 4, 60}, {6, 5, 20}, {1, 0, 12}, {1, 0, 60},
                {1, 3, 6},  {1, 1, 1},  {1, 4, 4},   {4, 1, 40}, {8, 2, 2},  {60, 0, 120}};
    for (size_t i = 0; i < COUNT(ways); i++) {
        for (int apart = 0; apart < 2; apart++) {
            anynorm_dtype type = few(subject) ? ANYNORM_F32 : (anynorm_dtype)(i % 3);
            struct problem problem = dense_problem(7, 120 * (1 + i % 2), type, AFFINE | PRE_BIAS);
            anynorm_spec *spec = &problem.spec;
            spec->column_run = ways[i].run;
            spec->parameters.run = ways[i].parameter_run;
            spec->parameters.cycle = ways[i].cycle;
            spec->parameters.rows = 3;
            if (apart) {
                spec->x.column_stride = spec->y.column_stride = ways[i].run + 1;
                spec->x.row_stride = spec->y.row_stride =
                    spec->columns / ways[i].run * (ways[i].run + 1);
            }
            check_in_turn(subject, &problem);
        }
    }
}

/* BatchNorm of [images][channels][pixels]: a row is a channel of all images, with parameters of its
 * own. */
static struct problem batch_norm(uint64_t images, uint64_t channels, uint64_t pixels,
                                 anynorm_dtype type, uint32_t flags)
{
    struct problem problem = {.rows = channels, .seed = images * pixels + 1000 * channels};
    problem.spec = (anynorm_spec){.columns = images * pixels,
                                  .x = {.type = type, .column_stride = channels * pixels},
                                  .y = {.type = type, .column_stride = channels * pixels},
                                  .flags = flags,
                                  .statistic.eps = 1e-5,
                                  .column_run = pixels,
                                  .parameters.rows = channels,
                                  .parameters.run = images * pixels};
    return problem;
}

static void test_batch_norm(void **state)
{
    struct subject *subject = *state;
    turn = 0;
    static const uint64_t images[] = {1, 2, 7, 33}, channels[] = {2, 3, 17, 40};
    static const uint64_t pixels[] = {1, 9, 16, 49};
    for (size_t i = 0; i < COUNT(images); i++) {
        for (size_t p = 0; p < COUNT(pixels); p++) {
            struct problem problem = batch_norm(images[i], channels[(i + p) % 4], pixels[p],
                                                (anynorm_dtype)((i + p) % 3), AFFINE | MEAN_OUT);
            check_in_turn(subject, &problem);
        }
    }
}

/* Vectors that no run cuts may go past the caches; of runs that cut some, none do. */
static void test_streams(void **state)
{
    struct subject *subject = *state;
    static const uint64_t pixels[] = {64, 24, 65};
    const bool by_item = strcmp(subject->schedule, "row_per_item") == 0;
    if (!by_item && strcmp(subject->schedule, "row_split") != 0)
        return;
    for (size_t p = 0; p < COUNT(pixels); p++) {
        for (int type = 0; type < 3; type++) {
            struct problem problem =
                batch_norm(23, 5, pixels[p], (anynorm_dtype)type, AFFINE | RESIDUAL | SUM);
            bool streams = !an_info_is_vulkan(&subject->info) &&
                           subject->info.device_class == ANYNORM_CLASS_CPU &&
                           subject->info.vector_width >= 4;
            problem.spec.residual = problem.spec.sum = problem.spec.x;
            if ((reduced() && type != (int)p) || !fits(subject, &problem.spec))
                continue;
            assert_int_equal(check_problem(subject->device, &problem,
                                           by_item ? "row_per_item stream=1" : "row_split stream=1",
                                           0, &subject->worst),
                             streams);
        }
    }
}

/* As long as to be held nowhere, and work-groups of odd sizes. */
static void test_long_rows(void **state)
{
    struct subject *subject = *state;
    turn = 0;
    static const uint32_t sizes[] = {1, 3, 100, 256};
    static const uint64_t channels[] = {10, 32};
    for (size_t c = 0; c < COUNT(channels); c++) {
        struct problem problem =
            channels_last(1, 2500, 2, channels[c], c ? ANYNORM_BF16 : ANYNORM_F32, AFFINE | SILU);
        check_in_turn(subject, &problem);
        problem = channels_last(2, 60, 3, channels[c], ANYNORM_F32, AFFINE);
        for (size_t s = 0; s < COUNT(sizes); s++) {
            if (sizes[s] <= subject->info.max_work_group_size && fits(subject, &problem.spec) &&
                is_mine(subject, &problem.spec))
                check_offered(subject, subject->device, &problem, sizes[s]);
            turn++;
        }
        if (strcmp(subject->schedule, "row_per_item") == 0 && (c == 0 || !few(subject)))
            assert_int_equal(
                check_problem(subject->device, &problem, "row_per_item rows=4", 0, &subject->worst),
                !an_info_is_vulkan(&subject->info)); /* whose kernels have but one */
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"group norm", test_group_norm}, {"instance norm", test_instance_norm},
        {"strides", test_strides},       {"ways", test_ways},
        {"parameters", test_parameters}, {"batch norm", test_batch_norm},
        {"streams", test_streams},       {"long rows", test_long_rows},
    };
    return run_on_schedules("column runs", tests, COUNT(tests));
}
