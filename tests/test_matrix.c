/* Every schedule on every device against the oracle, over awkward shapes, types, values and
 * layouts.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "support.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one test runs on. */
struct subject {
    char name[96];
    char device_id[32];
    const char *schedule;
    anynorm_device *device;
    anynorm_device_info info;
    struct errors worst;
    int offered; /* problems that the selection says the schedule serves */
    int refused; /* those that a compiled kernel then did not */
};

static int open_subject(void **state)
{
    struct subject *subject = *state;
    subject->device = open_device(subject->device_id);
    assert_ok(anynorm_device_describe(subject->device, &subject->info));
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    anynorm_device_close(subject->device);
    fprintf(stderr,
            "# %s: largest error as a share of its bound: y %.3f, mean %.3f, rstd %.3f; "
            "%d problems, %d refused by the compiled kernel\n",
            subject->name, subject->worst.y, subject->worst.mean, subject->worst.rstd,
            subject->offered, subject->refused);
    return subject->offered > 100 && subject->offered == subject->refused;
}

/* Whether the schedule serves the spec on this device, as the library sees it. */
static bool fits(const struct subject *subject, const anynorm_spec *spec)
{
    anynorm_candidate candidate;
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        assert_ok(anynorm_plan_candidate(subject->device, spec, i, &candidate, &count));
        if (strcmp(candidate.schedule, subject->schedule) == 0)
            return candidate.fits;
    }
    return false;
}

static void check(struct subject *subject, const struct problem *problem)
{
    if (!fits(subject, &problem->spec))
        return;
    subject->offered++;
    subject->refused +=
        !check_problem(subject->device, problem, subject->schedule, 0, &subject->worst);
}

/* A plan of the schedule, or NULL where the compiled kernel's own limits rule it out. */
static anynorm_plan *offered_plan(struct subject *subject, const anynorm_spec *spec)
{
    if (!fits(subject, spec))
        return NULL;
    anynorm_plan *plan = plan_if_fits(subject->device, spec, subject->schedule);
    subject->offered++;
    subject->refused += !plan;
    return plan;
}

/* ---- The tests ---- */

static void columns_of_type(struct subject *subject, anynorm_dtype type)
{
    static const uint64_t awkward[] = {511,  512,  513,  769,  1023, 1025,
                                       4095, 4096, 4097, 5120, 7168, 16384};
    /* What goes wrong at a number of columns goes wrong in f32; of the others a sample will do. */
    uint64_t step = reduced() ? 37 : type == ANYNORM_F32 ? 1 : 7;
    if (type == ANYNORM_F64 && !subject->info.fp64) {
        fprintf(stderr, "# skipped: %s has no f64\n", subject->device_id);
        return;
    }
    for (uint64_t columns = 1; columns <= 300; columns += step) {
        struct problem problem = dense_problem(columns % 3 == 0   ? 17
                                               : columns % 3 == 1 ? 8
                                                                  : 1,
                                               columns, type, ALL_FLAGS);
        check(subject, &problem);
    }
    for (size_t i = 0; i < COUNT(awkward); i += reduced() ? COUNT(awkward) : 1) {
        struct problem problem = dense_problem(i % 2 ? 8 : 3, awkward[i], type, ALL_FLAGS);
        check(subject, &problem);
    }
}

static void test_columns_f32(void **state)
{
    columns_of_type(*state, ANYNORM_F32);
}

static void test_columns_f16(void **state)
{
    columns_of_type(*state, ANYNORM_F16);
}

static void test_columns_bf16(void **state)
{
    columns_of_type(*state, ANYNORM_BF16);
}

static void test_columns_f64(void **state)
{
    columns_of_type(*state, ANYNORM_F64);
}

/* FIELD: kernels that were wrong at just these. */
static void test_rows_by_columns(void **state)
{
    static const uint64_t columns[] = {5120, 7168}, rows[] = {1, 8, 17, 32};
    for (size_t c = 0; c < COUNT(columns); c++) {
        for (size_t r = 0; r < COUNT(rows) && !reduced(); r++) {
            struct problem problem = dense_problem(rows[r], columns[c], ANYNORM_F32, ALL_FLAGS);
            check(*state, &problem);
        }
    }
}

static void test_long_rows(void **state)
{
    static const uint64_t columns[] = {65537, 1000003};
    for (size_t i = 0; i < COUNT(columns) && !reduced(); i++) {
        struct problem problem = dense_problem(3, columns[i], ANYNORM_F32, ALL_FLAGS);
        check(*state, &problem);
        problem.values = VALUES_MEAN_1E7;
        check(*state, &problem);
        problem.values = VALUES_OUTLIER;
        check(*state, &problem);
        problem.values = VALUES_ALTERNATE;
        check(*state, &problem);
        problem = dense_problem(2, columns[i], ANYNORM_BF16, ALL_FLAGS);
        check(*state, &problem);
    }
}

static void test_many_rows(void **state)
{
    static const uint64_t columns[] = {1, 5, 64, 129};
    for (size_t i = 0; i < COUNT(columns) && !reduced(); i++) {
        struct problem problem = dense_problem(70000, columns[i], ANYNORM_F32, ALL_FLAGS);
        check(*state, &problem);
    }
}

/* Every subset of weight, bias, mean and rstd. */
static void test_optional_tensors(void **state)
{
    static const uint64_t columns[] = {1, 17, 300, 1025};
    for (uint32_t flags = 0; flags <= ALL_FLAGS; flags++) {
        for (size_t i = 0; i < COUNT(columns); i++) {
            struct problem problem = dense_problem(5, columns[i], ANYNORM_F32, flags);
            check(*state, &problem);
        }
    }
}

/* x, y and parameters each of their own type. */
static void test_mixed_types(void **state)
{
    static const struct {
        anynorm_dtype x, y, parameters;
    } types[] = {
        {ANYNORM_F16, ANYNORM_F32, ANYNORM_F32},  {ANYNORM_F32, ANYNORM_F16, ANYNORM_F32},
        {ANYNORM_BF16, ANYNORM_F32, ANYNORM_F16}, {ANYNORM_F32, ANYNORM_BF16, ANYNORM_BF16},
        {ANYNORM_F16, ANYNORM_BF16, ANYNORM_F32}, {ANYNORM_BF16, ANYNORM_BF16, ANYNORM_BF16},
        {ANYNORM_F16, ANYNORM_F16, ANYNORM_F16},  {ANYNORM_F32, ANYNORM_F64, ANYNORM_F32},
        {ANYNORM_F64, ANYNORM_F16, ANYNORM_F32},  {ANYNORM_F64, ANYNORM_BF16, ANYNORM_F64},
        {ANYNORM_F16, ANYNORM_F32, ANYNORM_F64},
    };
    static const uint64_t columns[] = {3, 100, 770};
    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t i = 0; i < COUNT(columns); i++) {
            struct problem problem = dense_problem(7, columns[i], types[t].x, ALL_FLAGS);
            problem.spec.y_type = types[t].y;
            problem.spec.parameter_type = types[t].parameters;
            check(*state, &problem);
        }
    }
}

static void test_values(void **state)
{
    static const double eps[] = {1e-5, 1e-12, 0};
    static const uint64_t columns[] = {2, 64, 333, 4097};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    for (int values = 0; values < VALUES_COUNT; values++) {
        for (size_t t = 0; t < COUNT(types); t++) {
            for (size_t i = 0; i < COUNT(columns); i++) {
                struct problem problem = dense_problem(4, columns[i], types[t], ALL_FLAGS);
                problem.values = (enum values)values;
                problem.spec.eps = eps[(i + (size_t)values) % COUNT(eps)];
                check(*state, &problem);
            }
        }
    }
}

/* Rows of a wider tensor, two levels of rows, and both apart for x and y. */
static void test_strides(void **state)
{
    static const uint64_t columns[] = {1, 31, 64, 259};
    for (size_t i = 0; i < COUNT(columns); i++) {
        uint64_t d = columns[i];
        struct problem problem = dense_problem(13, d, ANYNORM_F32, ALL_FLAGS);
        problem.spec.x_row_stride = d + 5;
        check(*state, &problem);
        problem.spec.y_row_stride = d + 1;
        check(*state, &problem);

        /* The queries of a fused [tokens][3][heads][d], to a dense y and to [heads][tokens][d]. */
        problem = dense_problem(4 * 6, d, ANYNORM_F32, ALL_FLAGS);
        problem.spec.inner_rows = 4;
        problem.spec.x_row_stride = d;
        problem.spec.x_outer_stride = 3 * 4 * d;
        check(*state, &problem);
        problem.spec.y_row_stride = 6 * d;
        problem.spec.y_outer_stride = d;
        check(*state, &problem);
        problem.spec.y_row_stride = d + 3;
        problem.spec.y_outer_stride = 4 * (d + 3) + 2;
        problem.rows = 4 * 6 - 3; /* the last group is short */
        check(*state, &problem);
    }
}

/* ---- Columns that lie apart ---- */

/* [images][channels][pixels], normalized over the channels; pixels `step` elements apart. */
static struct problem channels_first(uint64_t images, uint64_t channels, uint64_t pixels,
                                     uint64_t step, anynorm_dtype type)
{
    struct problem problem = dense_problem(images * pixels, channels, type, ALL_FLAGS);
    anynorm_spec *spec = &problem.spec;
    spec->inner_rows = pixels;
    spec->x_row_stride = spec->y_row_stride = step;
    spec->x_column_stride = spec->y_column_stride = pixels * step;
    spec->x_outer_stride = spec->y_outer_stride = channels * pixels * step;
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
        problem.spec.x_column_stride = problem.spec.y_column_stride = 37;
        check(subject, &problem);
        problem.spec.x_column_stride = 50;
        problem.spec.y_column_stride = 41;
        check(subject, &problem);
        problem.spec.y_column_stride = 0; /* transposes */
        check(subject, &problem);
        problem.spec.y_column_stride = 40;
        problem.spec.x_column_stride = 0;
        check(subject, &problem);

        problem = channels_first(3, d, 21, 2, ANYNORM_F32);
        check(subject, &problem);
        problem = channels_first(3, d, 21, 1, ANYNORM_F16);
        problem.spec.x_column_stride += 4;
        problem.spec.x_outer_stride += 4 * d + 3;
        problem.spec.y_outer_stride += 1;
        check(subject, &problem);
        problem.spec.y_column_stride = 0;
        problem.spec.y_row_stride = d + 1;
        problem.spec.y_outer_stride = 0;
        problem.rows -= 8; /* the last image is short */
        check(subject, &problem);

        problem = dense_problem(20, d, ANYNORM_BF16, ALL_FLAGS);
        problem.spec.x_column_stride = 3;
        problem.spec.x_row_stride = 3 * d + 1;
        problem.spec.y_column_stride = 2;
        problem.spec.y_row_stride = 2 * d;
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
            problem.spec.eps = values % 2 ? 1e-12 : 1e-5;
            check(subject, &problem);
            problem.spec.x_type = problem.spec.y_type = ANYNORM_F32;
            problem.in_place = true;
            check(subject, &problem);
        }
    }
    for (int type = 0; type < 4; type++) {
        struct problem problem = channels_first(2, 50, 35, 1, (anynorm_dtype)type);
        if (type == ANYNORM_F64 && !subject->info.fp64)
            continue;
        problem.spec.y_type = (anynorm_dtype)((type + 1) % 3);
        problem.spec.parameter_type = (anynorm_dtype)((type + 2) % 3);
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
            subject->offered++;
            subject->refused += !check_problem(subject->device, &problem, subject->schedule,
                                               sizes[s], &subject->worst);
        }
    }
}

static void test_in_place(void **state)
{
    static const uint64_t columns[] = {1, 30, 257, 1025, 4096};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_BF16};
    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t i = 0; i < COUNT(columns); i++) {
            struct problem problem = dense_problem(9, columns[i], types[t], ALL_FLAGS);
            problem.in_place = true;
            check(*state, &problem);
            problem.spec.x_row_stride = problem.spec.y_row_stride = columns[i] + 7;
            check(*state, &problem);
        }
    }
}

/* Each tensor at its own odd byte. */
static void test_any_alignment(void **state)
{
    static const uint64_t columns[] = {1, 15, 64, 300, 1030};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};
    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t i = 0; i < COUNT(columns); i++) {
            struct problem problem =
                dense_problem(5, columns[i], types[t], ALL_FLAGS | ANYNORM_ANY_ALIGNMENT);
            problem.spec.parameter_type = types[t] == ANYNORM_F64 ? ANYNORM_F32 : types[t];
            for (int k = 0; k < 6; k++)
                problem.offset[k] = (uint64_t)(2 * k + 1);
            check(*state, &problem);
        }
    }
}

/* Offsets that are multiples of an element only: no vector load may want more. */
static void test_element_alignment(void **state)
{
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    for (size_t t = 0; t < COUNT(types); t++) {
        for (uint64_t shift = 1; shift < 16; shift += 3) {
            struct problem problem = dense_problem(5, 129, types[t], ALL_FLAGS);
            for (uint64_t k = 0; k < 6; k++)
                problem.offset[k] = (k < 2 ? anynorm_dtype_size(types[t]) : 4) * (shift + k);
            check(*state, &problem);
        }
    }
}

/* NaN and Inf spoil their own row and no other. */
static void test_not_numbers(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {1, 20, 300, 4099};
    static const uint32_t bad_bits[] = {0x7fc00000, 0x7f800000, 0xff800000, 0x7f800001};
    for (size_t i = 0; i < COUNT(columns); i++) {
        struct problem problem = dense_problem(12, columns[i], ANYNORM_F32, ALL_FLAGS);
        anynorm_plan *plan = offered_plan(subject, &problem.spec);
        if (!plan)
            continue;
        struct images before, after;
        images_make(&problem, &before);
        for (uint64_t k = 0; k < COUNT(bad_bits); k++) {
            uint64_t column = k * 97 % columns[i];
            memcpy(before.bytes[0] + ((2 * k + 1) * columns[i] + column) * 4, &bad_bits[k], 4);
        }
        run_on_device(subject->device, plan, &problem, &before, &after);
        check_against_oracle(&problem, &before, &after, subject->schedule, &subject->worst);
        images_free(&before);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* Squares beyond the arithmetic give NaN, never a silent zero. */
static void test_overflow_is_nan(void **state)
{
    struct subject *subject = *state;
    if (is_reference(&subject->info))
        return; /* double does not overflow here: it has the right result */
    anynorm_spec spec = {.columns = 64, .eps = 1e-5};
    float x[64], y[64];
    for (int i = 0; i < 64; i++)
        x[i] = i % 2 ? 1e25f : -1e25f;
    anynorm_plan *plan = offered_plan(subject, &spec);
    if (!plan)
        return;
    anynorm_host_tensors tensors = {.x = x, .y = y};
    assert_ok(anynorm_run(plan, &tensors, 1));
    for (int i = 0; i < 64; i++)
        assert_true(y[i] != y[i]);
    anynorm_plan_destroy(plan);
}

/* Where the library lets the caller choose, any group size gives right rows. */
static void test_group_sizes(void **state)
{
    struct subject *subject = *state;
    static const uint32_t sizes[] = {1, 2, 3, 7, 31, 32, 33, 64, 100, 128, 255, 256, 511, 1024};
    static const uint64_t columns[] = {1, 29, 130};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        if (sizes[s] > subject->info.max_work_group_size || (reduced() && s % 4 != 2))
            continue;
        for (size_t i = 0; i < COUNT(columns); i++) {
            struct problem problem = dense_problem(5, columns[i], ANYNORM_F32, ALL_FLAGS);
            /* Refused: row_per_group with too few work-items, or a kernel's own limit. */
            subject->offered++;
            subject->refused += !check_problem(subject->device, &problem, subject->schedule,
                                               sizes[s], &subject->worst);
        }
    }
}

static void assert_same_rows(const float *batch, const float *alone, uint64_t columns,
                             const char *what)
{
    if (memcmp(batch, alone, (size_t)columns * sizeof(float)) != 0) {
        fprintf(stderr, "the bits of a row changed with %s, %" PRIu64 " columns\n", what, columns);
        fail();
    }
}

/* The bits of a row alone, and at each place of batches large and small, are the same. The last
 * batch outgrows any cache, so that streaming stores come in. */
static void test_batch_invariance(void **state)
{
    struct subject *subject = *state;
    static const struct {
        uint64_t columns, rows;
    } shapes[] = {{1, 40}, {77, 300}, {1024, 33}, {4099, 7}, {1024, 20000}, {1000, 20000}};
    for (size_t i = 0; i < COUNT(shapes) - (reduced() ? 4 : 0); i++) {
        uint64_t columns = shapes[i].columns, rows = shapes[i].rows;
        if (rows > 1000 && (strcmp(subject->schedule, "row_per_item") ||
                            is_reference(&subject->info) || subject->info.vector_width < 4))
            continue;
        struct problem problem =
            dense_problem(rows, columns, ANYNORM_F32, ANYNORM_WEIGHT | ANYNORM_BIAS);
        anynorm_plan *plan = offered_plan(subject, &problem.spec);
        if (!plan)
            continue;
        struct images before, after, again;
        images_make(&problem, &before);
        run_on_device(subject->device, plan, &problem, &before, &after);
        run_on_device(subject->device, plan, &problem, &before, &again);
        assert_memory_equal(after.bytes[1], again.bytes[1], (size_t)after.size[1]);

        float *alone = malloc((size_t)columns * sizeof(float));
        assert_non_null(alone);
        uint64_t step = rows > 40 ? rows / 40 : 1;
        for (uint64_t r = 0; r < rows; r += step) {
            anynorm_host_tensors tensors = {.x = (float *)(void *)before.bytes[0] + r * columns,
                                            .y = alone,
                                            .weight = before.bytes[2],
                                            .bias = before.bytes[3]};
            assert_ok(anynorm_run(plan, &tensors, 1));
            assert_same_rows((float *)(void *)after.bytes[1] + r * columns, alone, columns,
                             "the batch");
        }
        free(alone);
        images_free(&before);
        images_free(&after);
        images_free(&again);
        anynorm_plan_destroy(plan);
    }
}

/* The same where lanes are rows: a row alone is the first lane of a vector that has no other, in a
 * batch it is any lane of a whole or a part vector, between neighbours that are constant, not
 * numbers, or in need of a second attempt. */
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
            assert_same_rows(rows + channels, rows, channels, "the image");
        }
        free(alone);
        free(rows);
        images_free(&before);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* Fewer work-groups than rows. */
static void test_group_limit(void **state)
{
    struct subject *subject = *state;
    anynorm_device *device = open_device_with(subject->device_id, "max-groups=3");
    static const uint64_t columns[] = {1, 64, 300, 5000};
    for (size_t i = 0; i < COUNT(columns); i++) {
        struct problem problem =
            dense_problem(i < 2 ? 1000 : 23, columns[i], ANYNORM_F32, ALL_FLAGS);
        if (!fits(subject, &problem.spec))
            continue;
        subject->offered++;
        subject->refused += !check_problem(device, &problem, subject->schedule, 0, &subject->worst);
    }
    anynorm_device_close(device);
}

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
            problem.spec.x_column_stride = problem.spec.y_column_stride = between;
        } else if (random_bits(&random) % 2) {
            problem.spec.inner_rows = 1 + random_bits(&random) % 5;
            problem.spec.x_row_stride = columns + random_bits(&random) % 9;
            problem.spec.x_outer_stride =
                problem.spec.inner_rows * problem.spec.x_row_stride + random_bits(&random) % 9;
        }
        check_problem(subject->device, &problem, NULL, 0, &subject->worst);
    }
}

/* Rows side by side in a group, one in three of them with a first element that is a poor guess of
 * its mean, so that its neighbours wait for its second sums, and one that is not a number: each
 * right, and each to the bit what it is alone. False if the schedule cannot be had. */
static bool check_side_by_side(struct subject *subject, const char *schedule, anynorm_dtype type,
                               uint64_t rows, uint64_t columns)
{
    struct problem problem = dense_problem(rows, columns, type, ANYNORM_WEIGHT | ANYNORM_BIAS);
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
        size_t length = strcspn(forced[i], "S");
        uint32_t size = subject->info.subgroup_size;
        if (forced[i][length] && size == 0)
            continue;
        snprintf(text, sizeof(text), "%.*s", (int)length, forced[i]);
        if (forced[i][length])
            snprintf(text + length, sizeof(text) - length, "%" PRIu32 "%s", size,
                     forced[i] + length + 1);
        int served = 0;
        for (size_t k = 0; k < COUNT(shapes); k++) {
            for (size_t t = 0; t < COUNT(types); t++)
                served +=
                    check_side_by_side(subject, text, types[t], shapes[k].rows, shapes[k].columns);
        }
        /* Without sub-groups, and with a kernel limit below the group, none may be. */
        if (served == 0)
            fprintf(stderr, "# %s: cannot be had here\n", text);
        checked += served;
    }
    assert_true(checked > 40);
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

/* ---- Running all of them on all devices ---- */

static const struct {
    const char *name;
    CMUnitTestFunction function;
    bool once; /* for a device, not for each schedule */
} tests[] = {
    {"columns f32", test_columns_f32, false},
    {"columns f16", test_columns_f16, false},
    {"columns bf16", test_columns_bf16, false},
    {"columns f64", test_columns_f64, false},
    {"rows by columns", test_rows_by_columns, false},
    {"long rows", test_long_rows, false},
    {"many rows", test_many_rows, false},
    {"optional tensors", test_optional_tensors, false},
    {"mixed types", test_mixed_types, false},
    {"values", test_values, false},
    {"strides", test_strides, false},
    {"channels first", test_channels_first, false},
    {"channels first, ways", test_channels_first_ways, false},
    {"channels first, group sizes", test_channels_first_groups, false},
    {"column strides", test_column_strides, false},
    {"in place", test_in_place, false},
    {"any alignment", test_any_alignment, false},
    {"element alignment", test_element_alignment, false},
    {"not numbers", test_not_numbers, false},
    {"overflow is NaN", test_overflow_is_nan, false},
    {"group sizes", test_group_sizes, false},
    {"batch invariance", test_batch_invariance, false},
    {"batch invariance, channels first", test_batch_invariance_channels_first, false},
    {"group limit", test_group_limit, false},
    {"random problems", test_random_problems, true},
    {"forced numbers", test_forced_numbers, true},
    {"sub-groups switched off", test_no_subgroups, true},
};

#define MOST_TESTS 1024

static struct subject subjects[MOST_TESTS];
static struct CMUnitTest units[MOST_TESTS];

static size_t add_tests(const char *id, const char *schedule, bool once, size_t count)
{
    for (size_t t = 0; t < COUNT(tests) && count < MOST_TESTS; t++) {
        if (tests[t].once != once)
            continue;
        struct subject *subject = &subjects[count];
        subject->schedule = schedule;
        snprintf(subject->device_id, sizeof(subject->device_id), "%s", id);
        snprintf(subject->name, sizeof(subject->name), "%s %s: %s", id, schedule, tests[t].name);
        units[count++] = (struct CMUnitTest){subject->name, tests[t].function, open_subject,
                                             close_subject, subject};
    }
    return count;
}

int main(void)
{
    static const char *const schedules[] = {"row_per_item", "row_per_subgroup", "row_per_group",
                                            "row_in_local", "row_reread",       "row_split",
                                            "column_walk"};
    char ids[16][32];
    size_t devices = device_ids(ids, COUNT(ids)), count = 0;
    for (size_t d = 0; d < devices; d++) {
        bool reference = strcmp(ids[d], "reference") == 0;
        for (size_t s = 0; s < COUNT(schedules) && !reference; s++)
            count = add_tests(ids[d], schedules[s], false, count);
        if (reference)
            count = add_tests(ids[d], "reference", false, count);
        count = add_tests(ids[d], "chosen", true, count);
    }
    return _cmocka_run_group_tests("matrix", units, count, NULL, NULL);
}
