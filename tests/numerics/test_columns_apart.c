/* Every schedule on every device against the oracle where the columns of a row lie apart.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "schedules.h"

#include <stdlib.h>
#include <string.h>

/* [images][channels][pixels], normalized over the channels; pixels `step` elements apart. */
static struct problem channels_first(uint64_t images, uint64_t channels, uint64_t pixels,
                                     uint64_t step, anynorm_dtype type)
{
    struct problem problem = dense_problem(images * pixels, channels, type, ALL_FLAGS);
    anynorm_spec *spec = &problem.spec;
    spec->inner_rows = pixels;
    spec->x.row_stride = spec->y.row_stride = step;
    spec->x.column_stride = spec->y.column_stride = pixels * step;
    spec->x.outer_stride = spec->y.outer_stride = channels * pixels * step;
    return problem;
}

static void test_channels_first(void **state)
{
    struct subject *subject = *state;
    static const uint64_t channels[] = {1, 3, 17, 64, 96, 300, 1025};
    static const uint64_t pixels[] = {1, 7, 16, 49, 196, 3136};
    for (size_t c = 0; c < COUNT(channels); c++) {
        for (size_t p = 0; p < COUNT(pixels); p++) {
            for (int type = 0; type < 4; type++) {
                uint64_t images = 1 + (c + p + (uint64_t)type) % 3;
                if ((type == ANYNORM_F64 && !subject->info.fp64) ||
                    images * channels[c] * pixels[p] > (reduced() ? 10000 : 1000000) ||
                    (reduced() && (c + p) % 4 != (size_t)type))
                    continue;
                struct problem problem =
                    channels_first(images, channels[c], pixels[p], 1, (anynorm_dtype)type);
                check(subject, &problem);
            }
        }
    }
}

/* One level of rows (the first axis of a matrix normalized), gaps of every kind, every second
 * pixel, columns apart in x or y alone, and rows apart further than their columns reach. */
static void test_column_strides(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {2, 19, 70};
    for (size_t i = 0; i < COUNT(columns); i++) {
        uint64_t d = columns[i];
        struct problem problem = dense_problem(37, d, ANYNORM_F32, ALL_FLAGS);
        problem.spec.x.column_stride = problem.spec.y.column_stride = 37;
        check(subject, &problem);
        problem.spec.x.column_stride = 50;
        problem.spec.y.column_stride = 41;
        check(subject, &problem);
        problem.spec.y.column_stride = 0; /* transposes */
        check(subject, &problem);
        problem.spec.y.column_stride = 40;
        problem.spec.x.column_stride = 0;
        check(subject, &problem);

        problem = channels_first(3, d, 21, 2, ANYNORM_F32);
        check(subject, &problem);
        problem = channels_first(3, d, 21, 1, ANYNORM_F16);
        problem.spec.x.column_stride += 4;
        problem.spec.x.outer_stride += 4 * d + 3;
        problem.spec.y.outer_stride += 1;
        check(subject, &problem);
        problem.spec.y.column_stride = 0;
        problem.spec.y.row_stride = d + 1;
        problem.spec.y.outer_stride = 0;
        problem.rows -= 8; /* the last image is short */
        check(subject, &problem);

        problem = dense_problem(20, d, ANYNORM_BF16, ALL_FLAGS);
        problem.spec.x.column_stride = 3;
        problem.spec.x.row_stride = 3 * d + 1;
        problem.spec.y.column_stride = 2;
        problem.spec.y.row_stride = 2 * d;
        check(subject, &problem);
    }
}

/* The ways of the other tests, where lanes are rows: values that need a second attempt in some rows
 * and not in their neighbours, types, alignments, in place. */
static void test_channels_first_ways(void **state)
{
    struct subject *subject = *state;
    static const uint64_t channels[] = {5, 33, 130};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    for (int values = 0; values < VALUES_COUNT; values++) {
        for (size_t i = 0; i < COUNT(channels); i++) {
            struct problem problem = channels_first(2, channels[i], 45, 1, types[i]);
            problem.values = (enum values)values;
            problem.spec.statistic.eps = values % 2 ? 1e-12 : 1e-5;
            check(subject, &problem);
            problem.spec.x.type = problem.spec.y.type = ANYNORM_F32;
            problem.y_place = OVER_X;
            check(subject, &problem);
        }
    }
    for (int type = 0; type < 4; type++) {
        struct problem problem = channels_first(2, 50, 35, 1, (anynorm_dtype)type);
        if (type == ANYNORM_F64 && !subject->info.fp64)
            continue;
        problem.spec.y.type = (anynorm_dtype)((type + 1) % 3);
        problem.spec.parameters.type = (anynorm_dtype)((type + 2) % 3);
        check(subject, &problem);
        problem.spec.flags |= ANYNORM_ANY_ALIGNMENT;
        for (int k = 0; k < 6; k++)
            problem.offset[k] = (uint64_t)(2 * k + 1);
        check(subject, &problem);
    }
    for (uint32_t flags = 0; flags <= ALL_FLAGS; flags += reduced() ? 5 : 1) {
        struct problem problem = channels_first(2, 12, 18, 1, ANYNORM_F32);
        problem.spec.flags = flags;
        check(subject, &problem);
    }
}

/* Gate, scale and shift that lie side by side, as slices, and with columns apart, themselves and
 * where those of the rows do not; each of a type of its own, samples that end within a vector of
 * rows and beyond. */
static void test_samples(void **state)
{
    struct subject *subject = *state;
    static const uint32_t flags = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_SCALE | ANYNORM_SHIFT;
    static const uint64_t sample_rows[] = {1, 3, 35};
    for (size_t i = 0; i < COUNT(sample_rows) * 6; i++) {
        struct problem problem = channels_first(2, 19 + i, 35, 1, (anynorm_dtype)(i % 3));
        anynorm_spec *spec = &problem.spec;
        spec->flags = flags | (i % 2 ? ANYNORM_RMS : ANYNORM_WEIGHT);
        spec->sample_rows = sample_rows[i / 6];
        spec->gate.type = (anynorm_dtype)((i + 1) % 3);
        spec->scale.type = (anynorm_dtype)((i + 2) % 3);
        spec->residual.column_stride = spec->x.column_stride;
        spec->residual.row_stride = 1;
        spec->residual.outer_stride = spec->x.outer_stride;
        if (i % 6 >= 4) { /* rows side by side */
            spec->inner_rows = 0;
            spec->x = spec->y = (anynorm_rows){.type = spec->x.type};
            spec->residual = (anynorm_rows){.type = ANYNORM_F32};
        }
        if (i % 3 > 0)
            set_sample_strides(spec, 5 * i, i % 3 == 2);
        check(subject, &problem);
    }
}

static void test_channels_first_groups(void **state)
{
    struct subject *subject = *state;
    static const uint32_t sizes[] = {1, 2, 3, 7, 32, 64, 100, 256, 511, 1024};
    static const uint64_t channels[] = {3, 40, 130};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        if (sizes[s] > subject->info.max_work_group_size || (reduced() && s % 4 != 2))
            continue;
        for (size_t i = 0; i < COUNT(channels); i++) {
            struct problem problem = channels_first(2, channels[i], 29, 1, ANYNORM_F32);
            if (!fits(subject, &problem.spec))
                continue;
            problem.values = i % 2 ? VALUES_ODD_ROWS : VALUES_NORMAL;
            check_offered(subject, subject->device, &problem, sizes[s]);
        }
    }
}

/* The bits of a row alone and in a batch are the same where lanes are rows, too: a row alone is the
 * first lane of a vector that has no other, in a batch it is any lane of a whole or a part vector,
 * between neighbours that are constant, not numbers, or in need of a second attempt. */
static void test_batch_invariance_channels_first(void **state)
{
    struct subject *subject = *state;
    static const struct {
        uint64_t images, channels, pixels;
    } shapes[] = {{1, 40, 37}, {3, 77, 23}, {2, 300, 100}, {30, 96, 3136}};
    for (size_t i = 0; i < COUNT(shapes) - (reduced() ? 2 : 0); i++) {
        uint64_t channels = shapes[i].channels, pixels = shapes[i].pixels;
        bool streams = !is_reference(&subject->info) && subject->info.vector_width >= 4;
        if (shapes[i].images > 3 && !streams)
            continue;
        struct problem problem = channels_first(shapes[i].images, channels, pixels, 1, ANYNORM_F32);
        problem.spec.flags = ANYNORM_WEIGHT | ANYNORM_BIAS;
        problem.values = VALUES_ODD_ROWS;
        anynorm_plan *plan = offered_plan(subject, &problem.spec);
        if (!plan)
            continue;
        struct images before, after;
        images_make(&problem, &before);
        run_on_device(subject->device, plan, &problem, &before, &after);

        float *alone = calloc((size_t)(channels * pixels), sizeof(float));
        float *rows = malloc((size_t)channels * 2 * sizeof(float));
        assert_non_null(alone);
        assert_non_null(rows);
        uint64_t step = problem.rows > 60 ? problem.rows / 60 : 1;
        for (uint64_t r = 0; r < problem.rows; r += step) {
            uint64_t start = r / pixels * channels * pixels + r % pixels;
            anynorm_host_tensors tensors = {.x = (float *)(void *)before.bytes[0] + start,
                                            .y = alone,
                                            .weight = before.bytes[2],
                                            .bias = before.bytes[3]};
            assert_ok(anynorm_run(plan, &tensors, 1));
            for (uint64_t c = 0; c < channels; c++) {
                rows[c] = alone[c * pixels];
                rows[channels + c] = ((float *)(void *)after.bytes[1])[start + c * pixels];
            }
            assert_same_bits(rows + channels, rows, channels * sizeof(float), "the image");
        }
        free(alone);
        free(rows);
        images_free(&before);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* A row as long as its lanes may walk, whose rows fill no vector: right, or refused. */
static void test_long_columns_apart(void **state)
{
    struct subject *subject = *state;
    static const char *const choices[] = {NULL, "column_walk group=8 slices=8",
                                          "column_walk group=16 slices=8"};
    struct errors worst = {0};
    for (size_t i = 0; strcmp(subject->schedule, "column_walk") == 0 && i < COUNT(choices); i++) {
        struct problem problem = {
            .spec = {.columns = 72000, .x.column_stride = 3, .y.column_stride = 3, .inner_rows = 3},
            .rows = 3,
            .seed = 7};
        anynorm_plan *plan = plan_if_fits(subject->device, &problem.spec, choices[i]);
        if (plan)
            check_plan(subject->device, plan, &problem, choices[i], &worst);
        assert_true(plan || choices[i]);
        anynorm_plan_destroy(plan);
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"channels first", test_channels_first},
        {"channels first, ways", test_channels_first_ways},
        {"channels first, group sizes", test_channels_first_groups},
        {"samples", test_samples},
        {"column strides", test_column_strides},
        {"long columns apart", test_long_columns_apart},
        {"batch invariance, channels first", test_batch_invariance_channels_first},
    };
    return run_on_schedules("columns apart", tests, COUNT(tests));
}
