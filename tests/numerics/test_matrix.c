/* Every schedule on every device against the oracle, over awkward shapes, types, values and
 * layouts.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice/caps.h"
#include "turns.h"

/* In the short form each schedule takes a third of a test's cases, and the next one others: on some
 * devices every shape is a compilation. */
static void check_in_turn(struct subject *subject, const struct problem *problem)
{
    static const struct subject *of;
    static size_t turn;
    bool all = !reduced() || is_reference(&subject->info);
    if (of != subject)
        turn = all ? 0 : schedule_of(subject);
    of = subject;
    if (all || turn % 3 == 0)
        check(subject, problem);
    turn++;
}

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
        check_in_turn(subject, &problem);
    }
    for (size_t i = 0; i < COUNT(awkward); i += reduced() ? COUNT(awkward) : 1) {
        struct problem problem = dense_problem(i % 2 ? 8 : 3, awkward[i], type, ALL_FLAGS);
        check_in_turn(subject, &problem);
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
    for (size_t c = 0; c < COUNT(columns) && !is_simulator(*state); c++) {
        for (size_t r = 0; r < COUNT(rows); r++) {
            if (reduced() && r % 2 != c)
                continue;
            struct problem problem = dense_problem(rows[r], columns[c], ANYNORM_F32, ALL_FLAGS);
            check_in_turn(*state, &problem);
        }
    }
}

static void test_long_rows(void **state)
{
    static const uint64_t columns[] = {65537, 1000003};
    for (size_t i = 0; i < COUNT(columns) && !reduced(); i++) {
        struct problem problem = dense_problem(3, columns[i], ANYNORM_F32, ALL_FLAGS);
        check_in_turn(*state, &problem);
        problem.values = VALUES_MEAN_1E7;
        check_in_turn(*state, &problem);
        problem.values = VALUES_OUTLIER;
        check_in_turn(*state, &problem);
        problem.values = VALUES_ALTERNATE;
        check_in_turn(*state, &problem);
        problem = dense_problem(2, columns[i], ANYNORM_BF16, ALL_FLAGS);
        check_in_turn(*state, &problem);
    }
}

/* More than 65535. */
static void test_many_rows(void **state)
{
    static const uint64_t columns[] = {1, 5, 64, 129};
    for (size_t i = 0; i < COUNT(columns) && !is_simulator(*state); i++) {
        struct problem problem = dense_problem(70000, columns[i], ANYNORM_F32, ALL_FLAGS);
        if (!reduced() || columns[i] == 5)
            check(*state, &problem);
    }
}

/* Every subset of weight, bias, mean and rstd. In the short form those of which every two tensors
 * are there or not in all four ways: none, and any three. */
static void test_optional_tensors(void **state)
{
    static const uint64_t columns[] = {1, 17, 300, 1025};
    static const uint32_t in_short = 1u << 0 | 1u << 7 | 1u << 11 | 1u << 13 | 1u << 14;
    for (uint32_t flags = 0; flags <= ALL_FLAGS; flags++) {
        for (size_t i = 0; i < COUNT(columns); i++) {
            if (reduced() && (!(in_short >> flags & 1) || flags % COUNT(columns) != i))
                continue;
            struct problem problem = dense_problem(5, columns[i], ANYNORM_F32, flags);
            check_in_turn(*state, &problem);
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
            if (reduced() && t % COUNT(columns) != i)
                continue;
            struct problem problem = dense_problem(7, columns[i], types[t].x, ALL_FLAGS);
            problem.spec.y.type = types[t].y;
            problem.spec.parameters.type = types[t].parameters;
            check_in_turn(*state, &problem);
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
                problem.spec.statistic.eps = eps[(i + (size_t)values) % COUNT(eps)];
                check_in_turn(*state, &problem);
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
        problem.spec.x.row_stride = d + 5;
        check_in_turn(*state, &problem);
        problem.spec.y.row_stride = d + 1;
        check_in_turn(*state, &problem);

        /* The queries of a fused [tokens][3][heads][d], to a dense y and to [heads][tokens][d]. */
        problem = dense_problem(4 * 6, d, ANYNORM_F32, ALL_FLAGS);
        problem.spec.inner_rows = 4;
        problem.spec.x.row_stride = d;
        problem.spec.x.outer_stride = 3 * 4 * d;
        check_in_turn(*state, &problem);
        problem.spec.y.row_stride = 6 * d;
        problem.spec.y.outer_stride = d;
        check_in_turn(*state, &problem);
        problem.spec.y.row_stride = d + 3;
        problem.spec.y.outer_stride = 4 * (d + 3) + 2;
        problem.rows = 4 * 6 - 3; /* the last group is short */
        check_in_turn(*state, &problem);
    }
}

/* Stores past the caches, which only outputs of megabytes would get, want their vectors aligned:
 * rows that begin at the multiples of a vector of one size are no multiples of one of the next. */
static void test_streams(void **state)
{
    struct subject *subject = *state;
    static const anynorm_dtype types[][2] = {
        {ANYNORM_BF16, ANYNORM_BF16}, {ANYNORM_F16, ANYNORM_F16},  {ANYNORM_F32, ANYNORM_F32},
        {ANYNORM_BF16, ANYNORM_F16},  {ANYNORM_BF16, ANYNORM_F32}, {ANYNORM_F32, ANYNORM_BF16},
    };
    static const uint64_t columns[] = {104, 84, 1000, 66};
    static const char *const forms[] = {"vector=8", "vector=16", "rows=4 vector=8",
                                        "rows=4 vector=16", "rows=4 vector=4"};
    bool by_item = strcmp(subject->schedule, "row_per_item") == 0;
    /* Others take seconds to compile four rows, which they are never given. */
    bool four = by_item && strcmp(subject->info.platform, "Portable Computing Language") == 0;
    if ((!by_item && strcmp(subject->schedule, "row_split") != 0) ||
        an_info_is_vulkan(&subject->info) || subject->info.device_class != ANYNORM_CLASS_CPU ||
        subject->info.vector_width < 4)
        return;
    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t f = 0; f < (four ? COUNT(forms) : 2); f++) {
            char choice[64];
            struct problem problem =
                dense_problem(11, columns[(t + f) % COUNT(columns)], types[t][0], ALL_FLAGS);
            if (reduced() && t != f)
                continue;
            problem.spec.y.type = types[t][1];
            (void)snprintf(choice, sizeof choice, "%s stream=1 %s", subject->schedule, forms[f]);
            assert_true(check_problem(subject->device, &problem, choice, 0, &subject->worst));
        }
    }
}

static void test_in_place(void **state)
{
    static const uint64_t columns[] = {1, 30, 257, 1025, 4096};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_BF16};
    for (size_t t = 0; t < COUNT(types); t++) {
        for (size_t i = 0; i < COUNT(columns); i++) {
            if (reduced() && (t + i) % 2)
                continue;
            struct problem problem = dense_problem(9, columns[i], types[t], ALL_FLAGS);
            problem.y_place = OVER_X;
            check_in_turn(*state, &problem);
            problem.spec.x.row_stride = problem.spec.y.row_stride = columns[i] + 7;
            check_in_turn(*state, &problem);
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
            if (reduced() && i % COUNT(types) != t)
                continue;
            struct problem problem =
                dense_problem(5, columns[i], types[t], ALL_FLAGS | ANYNORM_ANY_ALIGNMENT);
            problem.spec.parameters.type = types[t] == ANYNORM_F64 ? ANYNORM_F32 : types[t];
            for (int k = 0; k < 6; k++)
                problem.offset[k] = (uint64_t)(2 * k + 1);
            check_in_turn(*state, &problem);
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
            check_in_turn(*state, &problem);
        }
    }
}

/* NaN and Inf spoil their own row and no other. */
static void test_not_numbers(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {1, 20, 300, 4099};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT(columns) * COUNT(types); i++) {
        if (reduced() && i % COUNT(columns) != 1)
            continue;
        uint64_t d = columns[i / COUNT(types)];
        anynorm_dtype type = types[i % COUNT(types)];
        struct problem problem = dense_problem(12, d, type, ALL_FLAGS);
        anynorm_plan *plan = offered_plan(subject, &problem.spec);
        if (!plan)
            continue;
        struct images before, after;
        images_make(&problem, &before);
        for (uint64_t k = 0; k < COUNT(bad); k++)
            anynorm_dtype_store(type, before.bytes[0], (2 * k + 1) * d + k * 97 % d, bad[k]);
        uint32_t signalling = 0x7f800001;
        if (type == ANYNORM_F32)
            memcpy(before.bytes[0] + 7 * d * 4, &signalling, 4);
        run_on_device(subject->device, plan, &problem, &before, &after);
        check_against_oracle(&problem, &before, &after, subject->schedule, &subject->worst);
        images_free(&before);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* A NaN among the parameters stays one, whatever its other bits: a carry must not round it away. */
static void test_not_numbers_in_parameters(void **state)
{
    struct subject *subject = *state;
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    static const uint32_t bits[] = {0x7fffffff, 0xffffffff, 0x7fc00000, 0xff800001};
    enum { COLUMNS = 203 };
    for (size_t t = 0; t < COUNT(types); t++) {
        for (int tensor = 2; tensor <= 3; tensor++) { /* weight, bias */
            struct problem problem = dense_problem(9, COLUMNS, types[t], ALL_FLAGS);
            anynorm_plan *plan = offered_plan(subject, &problem.spec);
            if (!plan)
                continue;
            struct images before, after;
            images_make(&problem, &before);
            for (size_t c = 0; c < COLUMNS; c++)
                memcpy(before.bytes[tensor] + c * 4, &bits[c % COUNT(bits)], 4);
            run_on_device(subject->device, plan, &problem, &before, &after);
            for (uint64_t e = 0; e < 9 * COLUMNS; e++)
                assert_true(isnan(anynorm_dtype_load(types[t], after.bytes[1], e)));
            images_free(&before);
            images_free(&after);
            anynorm_plan_destroy(plan);
        }
    }
}

/* Squares beyond the arithmetic give NaN, never a silent zero. */
static void test_overflow_is_nan(void **state)
{
    struct subject *subject = *state;
    if (is_reference(&subject->info))
        return; /* double does not overflow here: it has the right result */
    anynorm_spec spec = {.columns = 64, .statistic.eps = 1e-5};
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
            check_offered(subject, subject->device, &problem, sizes[s]);
        }
    }
}

/* The bits of a row alone, and at each place of batches large and small, are the same. The last
 * batch outgrows any cache, so that streaming stores come in. */
static void test_batch_invariance(void **state)
{
    struct subject *subject = *state;
    static const struct {
        uint64_t columns, rows;
        anynorm_dtype type;
    } shapes[] = {
        {1, 40, ANYNORM_F32},       {77, 300, ANYNORM_F32},     {128, 61, ANYNORM_BF16},
        {88, 47, ANYNORM_F16},      {1024, 33, ANYNORM_F32},    {4099, 7, ANYNORM_F32},
        {1024, 20000, ANYNORM_F32}, {1000, 20000, ANYNORM_F32}, {2016, 20000, ANYNORM_BF16}};
    for (size_t i = 0; i < COUNT(shapes) - (reduced() ? 5 : 0); i++) {
        uint64_t columns = shapes[i].columns, rows = shapes[i].rows;
        if (rows > 1000 && (strcmp(subject->schedule, "row_per_item") ||
                            is_reference(&subject->info) || subject->info.vector_width < 4))
            continue;
        struct problem problem =
            dense_problem(rows, columns, shapes[i].type, ANYNORM_WEIGHT | ANYNORM_BIAS);
        anynorm_plan *plan = offered_plan(subject, &problem.spec);
        if (!plan)
            continue;
        struct images before, after, again;
        images_make(&problem, &before);
        run_on_device(subject->device, plan, &problem, &before, &after);
        run_on_device(subject->device, plan, &problem, &before, &again);
        assert_memory_equal(after.bytes[1], again.bytes[1], (size_t)after.size[1]);

        uint64_t row_bytes = columns * anynorm_dtype_size(shapes[i].type);
        unsigned char *alone = malloc((size_t)row_bytes);
        assert_non_null(alone);
        uint64_t step = rows > 40 ? rows / 40 : 1;
        for (uint64_t r = 0; r < rows; r += step) {
            anynorm_host_tensors tensors = {.x = before.bytes[0] + r * row_bytes,
                                            .y = alone,
                                            .weight = before.bytes[2],
                                            .bias = before.bytes[3]};
            assert_ok(anynorm_run(plan, &tensors, 1));
            assert_same_bits(after.bytes[1] + r * row_bytes, alone, row_bytes, "the batch");
        }
        free(alone);
        images_free(&before);
        images_free(&after);
        images_free(&again);
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
        check_offered(subject, device, &problem, 0);
    }
    anynorm_device_close(device);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"columns f32", test_columns_f32},
        {"columns f16", test_columns_f16},
        {"columns bf16", test_columns_bf16},
        {"columns f64", test_columns_f64},
        {"rows by columns", test_rows_by_columns},
        {"long rows", test_long_rows},
        {"many rows", test_many_rows},
        {"optional tensors", test_optional_tensors},
        {"mixed types", test_mixed_types},
        {"values", test_values},
        {"strides", test_strides},
        {"streams", test_streams},
        {"in place", test_in_place},
        {"any alignment", test_any_alignment},
        {"element alignment", test_element_alignment},
        {"not numbers", test_not_numbers},
        {"not numbers in parameters", test_not_numbers_in_parameters},
        {"overflow is NaN", test_overflow_is_nan},
        {"group sizes", test_group_sizes},
        {"batch invariance", test_batch_invariance},
        {"group limit", test_group_limit},
    };
    return run_on_schedules("matrix", tests, COUNT(tests));
}
