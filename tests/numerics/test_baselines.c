/* The baselines: that a copy copies, all of it and nothing else, that an addition adds, that the
 * empty kernel does nothing, and that nobody gets one without asking for it. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };

static int open_subject(void **state)
{
    *state = open_device(*state);
    return 0;
}

static int close_subject(void **state)
{
    anynorm_device_close(*state);
    return 0;
}

/* NULL where the device has no such copy, and says so. */
static anynorm_plan *plan_of_copy(anynorm_device *device, const anynorm_spec *spec,
                                  const char *schedule)
{
    return strcmp(schedule, "copy_streaming") == 0 ? plan_if_fits(device, spec, schedule)
                                                   : make_plan(device, spec, schedule);
}

static void fill(unsigned char *bytes, size_t size, uint64_t seed)
{
    struct random random = {seed};
    for (int i = 0; i < 8; i++)
        random_bits(&random); /* which begins alike for small seeds, and longest in the low bits */
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(random_bits(&random) >> 56);
}

/* x and y in buffers of their own, `offset` bytes in, with bytes around that must stay. */
static void run_copy(anynorm_device *device, const char *schedule, const anynorm_spec *spec,
                     uint64_t rows, uint64_t offset)
{
    size_t bytes = (size_t)(rows * spec->columns * anynorm_dtype_size(spec->x.type));
    size_t size = (size_t)offset + bytes + GUARD;
    unsigned char *x = malloc(size), *y = malloc(size), *got = malloc(size);
    anynorm_tensors tensors = {.x = {0}};
    anynorm_event event;
    anynorm_plan *plan = plan_of_copy(device, spec, schedule);
    if (plan) {
        fill(x, size, 7);
        fill(y, size, 8);
        assert_ok(anynorm_buffer_create(device, size, &tensors.x));
        assert_ok(anynorm_buffer_create(device, size, &tensors.y));
        assert_ok(anynorm_buffer_write(device, &tensors.x, x, size));
        assert_ok(anynorm_buffer_write(device, &tensors.y, y, size));
        tensors.x.offset = tensors.y.offset = offset;
        assert_ok(anynorm_enqueue(plan, &tensors, rows, 0, NULL, &event));
        assert_ok(anynorm_event_wait(&event));
        anynorm_event_release(&event);
        tensors.x.offset = tensors.y.offset = 0;
        assert_ok(anynorm_buffer_read(device, &tensors.y, got, size));
        if (strcmp(schedule, "empty") != 0)
            memcpy(y + offset, x + offset, bytes);
        assert_memory_equal(got, y, size);
        assert_ok(anynorm_buffer_read(device, &tensors.x, got, size));
        assert_memory_equal(got, x, size);
        anynorm_buffer_destroy(device, &tensors.x);
        anynorm_buffer_destroy(device, &tensors.y);
    }
    anynorm_plan_destroy(plan);
    free(x);
    free(y);
    free(got);
}

static void test_copies_everything(void **state)
{
    static const char *const schedules[] = {"copy", "copy_streaming", "empty"};
    static const struct {
        uint64_t rows, columns, offset;
        anynorm_dtype type;
    } cases[] = {
        {1, 1, 0, ANYNORM_F32},      {1, 1, 2, ANYNORM_F16},     {0, 8, 0, ANYNORM_F32},
        {3, 5, 0, ANYNORM_BF16},     {3, 5, 6, ANYNORM_BF16},    {16, 16, 0, ANYNORM_F32},
        {17, 127, 4, ANYNORM_F32},   {33, 129, 64, ANYNORM_F32}, {5, 1000, 0, ANYNORM_F16},
        {1000, 333, 0, ANYNORM_F32}, {7, 99991, 0, ANYNORM_F16}, {61, 4096, 16, ANYNORM_F32},
        {9, 77, 8, ANYNORM_F64},
    };
    for (size_t s = 0; s < COUNT(schedules); s++) {
        for (size_t c = 0; c < COUNT(cases); c++) {
            anynorm_device_info info;
            anynorm_spec spec = {
                .columns = cases[c].columns, .x.type = cases[c].type, .y.type = cases[c].type};
            assert_ok(anynorm_device_describe(*state, &info));
            if (spec.x.type == ANYNORM_F64 && !info.fp64)
                continue;
            run_copy(*state, schedules[s], &spec, cases[c].rows, cases[c].offset);
        }
    }
}

static void test_any_byte(void **state)
{
    anynorm_spec spec = {.columns = 333, .flags = ANYNORM_ANY_ALIGNMENT};
    run_copy(*state, "copy", &spec, 9, 3);
    run_copy(*state, "copy_streaming", &spec, 9, 3);
}

static void test_forced_groups(void **state)
{
    static const char *const texts[] = {"copy group=1", "copy group=3", "copy group=16",
                                        "empty group=16"};
    anynorm_device_info info;
    anynorm_spec spec = {.columns = 1000};
    assert_ok(anynorm_device_describe(*state, &info));
    for (size_t i = 0; i < COUNT(texts) && info.max_work_group_size >= 16; i++) {
        anynorm_plan_info described;
        anynorm_plan *plan = make_plan(*state, &spec, texts[i]);
        assert_ok(anynorm_plan_describe(plan, &described));
        assert_memory_equal(described.choice, texts[i], strlen(texts[i]));
        anynorm_plan_destroy(plan);
        if (i < 3)
            run_copy(*state, texts[i], &spec, 77, 0);
    }
}

/* ---- Of more tensors than x and y ---- */

/* Runs a baseline on random bytes in every tensor of dense rows, all `offset` bytes in. False where
 * the device has no such copy. */
static bool run_baseline(anynorm_device *device, const char *schedule, const anynorm_spec *spec,
                         uint64_t rows, uint64_t offset, struct images *before,
                         struct images *after)
{
    struct problem problem = {.spec = *spec, .rows = rows, .seed = 3};
    anynorm_plan *plan = plan_of_copy(device, spec, schedule);
    if (!plan)
        return false;
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        problem.offset[t] = offset;
    images_make(&problem, before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (before->bytes[t] && strcmp(schedule, "add") != 0)
            fill(before->bytes[t], (size_t)before->size[t], 20 + (uint64_t)t);
    }
    run_on_device(device, plan, &problem, before, after);
    anynorm_plan_destroy(plan);
    return true;
}

/* Puts what the outputs had before back into `bytes` bytes of each, after which nothing differs. */
static void check_rest(const struct images *before, struct images *after, uint64_t offset,
                       uint64_t y_bytes, uint64_t sum_bytes)
{
    memcpy(after->bytes[AN_Y] + offset, before->bytes[AN_Y] + offset, (size_t)y_bytes);
    if (after->bytes[AN_SUM])
        memcpy(after->bytes[AN_SUM] + offset, before->bytes[AN_SUM] + offset, (size_t)sum_bytes);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (before->bytes[t])
            assert_memory_equal(after->bytes[t], before->bytes[t], (size_t)before->size[t]);
    }
}

#define PAIR (ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT)

/* Two streams in and two out, and other numbers of them. */
static void test_streams(void **state)
{
    static const char *const schedules[] = {"copy", "copy_streaming"};
    static const struct {
        uint32_t flags;
        uint64_t rows, columns, offset;
        anynorm_dtype type;
    } cases[] = {
        {PAIR | ANYNORM_RMS | ANYNORM_WEIGHT, 1, 1, 0, ANYNORM_F32},
        {PAIR | ANYNORM_RMS | ANYNORM_WEIGHT, 61, 1023, 0, ANYNORM_F32},
        {PAIR | ANYNORM_GATE | ANYNORM_SCALE | ANYNORM_SHIFT, 33, 129, 4, ANYNORM_F32},
        {PAIR | ANYNORM_SILU, 7, 77, 6, ANYNORM_F16},
        {ANYNORM_RESIDUAL, 9, 1000, 0, ANYNORM_BF16},
        {ANYNORM_SUM_OUTPUT | ANYNORM_PRE_BIAS, 9, 1001, 8, ANYNORM_F32},
        {ANYNORM_RMS | ANYNORM_RSTD_INPUT | ANYNORM_SILU, 5, 300, 0, ANYNORM_F32},
    };
    for (size_t i = 0; i < COUNT(cases) * COUNT(schedules); i++) {
        size_t c = i / COUNT(schedules);
        anynorm_spec spec = {.columns = cases[c].columns,
                             .x.type = cases[c].type,
                             .y.type = cases[c].type,
                             .flags = cases[c].flags};
        bool residual = spec.flags & ANYNORM_RESIDUAL, sum = spec.flags & ANYNORM_SUM_OUTPUT;
        uint64_t offset = cases[c].offset;
        uint64_t bytes = cases[c].rows * spec.columns * anynorm_dtype_size(spec.x.type);
        struct images before, after;
        spec.residual.type = residual ? spec.x.type : ANYNORM_F32;
        spec.sum.type = sum ? spec.x.type : ANYNORM_F32;
        if (!run_baseline(*state, schedules[i % COUNT(schedules)], &spec, cases[c].rows, offset,
                          &before, &after))
            continue;
        for (uint64_t b = offset; b < offset + bytes; b++) {
            unsigned char x = before.bytes[AN_X][b];
            unsigned char other = residual ? before.bytes[AN_RESIDUAL][b] : x;
            assert_int_equal(after.bytes[AN_Y][b], residual && !sum ? x ^ other : x);
            if (sum)
                assert_int_equal(after.bytes[AN_SUM][b], other);
        }
        check_rest(&before, &after, offset, bytes, bytes);
        images_free(&before);
        images_free(&after);
    }
}

/* Marks the bytes of an output that change with the inputs. */
static void mark_changes(anynorm_device *device, const char *schedule,
                         const struct problem *problem, const struct images *before,
                         const struct images *after, unsigned char *marks[AN_TENSOR_COUNT])
{
    anynorm_plan *plan = plan_of_copy(device, &problem->spec, schedule);
    struct images spoilt = images_copy(before), other;
    fill(spoilt.bytes[AN_X], (size_t)spoilt.size[AN_X], problem->seed);
    if (spoilt.bytes[AN_RESIDUAL])
        fill(spoilt.bytes[AN_RESIDUAL], (size_t)spoilt.size[AN_RESIDUAL], problem->seed + 1);
    run_on_device(device, plan, problem, &spoilt, &other);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        for (uint64_t b = 0; marks[t] && b < after->size[t]; b++)
            marks[t][b] |= after->bytes[t][b] ^ other.bytes[t][b];
    }
    images_free(&spoilt);
    images_free(&other);
    anynorm_plan_destroy(plan);
}

static void check_sizes(anynorm_device *device, const char *schedule, const anynorm_spec *spec)
{
    const enum an_tensor outputs[] = {AN_Y, AN_SUM};
    struct problem problem = {.spec = *spec, .rows = 8};
    struct images before, after;
    unsigned char *marks[AN_TENSOR_COUNT] = {NULL};
    uint64_t count = problem.rows * spec->columns;
    if (!run_baseline(device, schedule, spec, problem.rows, 0, &before, &after))
        return;
    for (size_t o = 0; o < COUNT(outputs); o++) {
        if (after.bytes[outputs[o]])
            marks[outputs[o]] = calloc(1, (size_t)after.size[outputs[o]]);
    }
    for (problem.seed = 40; problem.seed < 48; problem.seed += 2)
        mark_changes(device, schedule, &problem, &before, &after, marks);
    for (size_t o = 0; o < COUNT(outputs); o++) {
        uint64_t bytes = count * anynorm_dtype_size(o ? spec->sum.type : spec->y.type);
        for (uint64_t b = 0; marks[outputs[o]] && b < after.size[outputs[o]]; b++)
            assert_int_equal(marks[outputs[o]][b] != 0, b < bytes);
        free(marks[outputs[o]]);
    }
    check_rest(&before, &after, 0, count * anynorm_dtype_size(spec->y.type),
               count * anynorm_dtype_size(spec->sum.type));
    images_free(&before);
    images_free(&after);
}

/* Of types of different sizes: every byte of an output depends on the inputs, and no other does. */
static void test_sizes(void **state)
{
    static const char *const schedules[] = {"copy", "copy_streaming"};
    static const anynorm_dtype types[][4] = {
        {ANYNORM_F16, ANYNORM_F32, ANYNORM_F16, ANYNORM_F16},
        {ANYNORM_F32, ANYNORM_BF16, ANYNORM_F16, ANYNORM_F32},
        {ANYNORM_F32, ANYNORM_F16, ANYNORM_F32, ANYNORM_F16},
        {ANYNORM_F32, ANYNORM_I8, ANYNORM_F32, ANYNORM_F16},
    };
    static const uint64_t columns[] = {64, 1000, 999, 3};
    for (size_t i = 0; i < COUNT(types) * COUNT(columns) * COUNT(schedules); i++) {
        const anynorm_dtype *type = types[i % COUNT(types)];
        const char *schedule = schedules[i / COUNT(types) / COUNT(columns)];
        anynorm_spec spec = {.columns = columns[i / COUNT(types) % COUNT(columns)],
                             .x.type = type[0],
                             .y.type = type[1]};
        check_sizes(*state, schedule, &spec);
        spec.flags = PAIR;
        spec.residual.type = type[2];
        spec.sum.type = type[3];
        check_sizes(*state, schedule, &spec);
    }
}

static void test_adds(void **state)
{
    static const struct {
        anynorm_dtype x, residual, sum;
        uint64_t rows, columns, offset;
    } cases[] = {
        {ANYNORM_F32, ANYNORM_F32, ANYNORM_F32, 1, 1, 0},
        {ANYNORM_F32, ANYNORM_F32, ANYNORM_F32, 61, 1023, 4},
        {ANYNORM_F16, ANYNORM_F16, ANYNORM_F16, 33, 129, 0},
        {ANYNORM_BF16, ANYNORM_BF16, ANYNORM_BF16, 5, 1000, 2},
        {ANYNORM_F32, ANYNORM_F16, ANYNORM_F32, 17, 64, 0},
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        anynorm_spec spec = {.columns = cases[c].columns,
                             .x.type = cases[c].x,
                             .residual.type = cases[c].residual,
                             .sum.type = cases[c].sum,
                             .flags = PAIR | ANYNORM_RMS};
        struct images before, after;
        uint64_t offset = cases[c].offset, count = cases[c].rows * spec.columns;
        if (offset && offset % 4 != 0)
            spec.y.type = ANYNORM_F16;
        run_baseline(*state, "add", &spec, cases[c].rows, offset, &before, &after);
        for (uint64_t i = 0; i < count; i++) {
            double x = anynorm_dtype_load(spec.x.type, before.bytes[AN_X] + offset, i), wanted;
            x += anynorm_dtype_load(spec.residual.type, before.bytes[AN_RESIDUAL] + offset, i);
            anynorm_dtype_store(spec.sum.type, &wanted, 0, x);
            assert_memory_equal(after.bytes[AN_SUM] + offset +
                                    i * anynorm_dtype_size(spec.sum.type),
                                &wanted, anynorm_dtype_size(spec.sum.type));
        }
        check_rest(&before, &after, offset, 0, count * anynorm_dtype_size(spec.sum.type));
        images_free(&before);
        images_free(&after);
    }
}

static void test_what_no_baseline_serves(void **state)
{
    static const anynorm_spec specs[] = {
        {.columns = 8, .x.row_stride = 9},
        {.columns = 8, .y.row_stride = 9},
        {.columns = 8, .flags = PAIR, .residual.row_stride = 9},
        {.columns = 8, .flags = PAIR, .sum.row_stride = 9},
        {.columns = 8, .x.column_stride = 8},
        {.columns = 8,
         .inner_rows = 2,
         .x.row_stride = 8,
         .x.outer_stride = 17,
         .y.row_stride = 8,
         .y.outer_stride = 17},
        {.columns = 8, .flags = PAIR | ANYNORM_PARTIALS_OUTPUT}, /* no y */
    };
    static const anynorm_spec no_sums[] = {
        {.columns = 8},
        {.columns = 8, .flags = ANYNORM_RESIDUAL},
        {.columns = 8, .flags = ANYNORM_SUM_OUTPUT},
        {.columns = 8, .flags = PAIR | ANYNORM_GATE},
        {.columns = 8, .flags = PAIR | ANYNORM_PRE_BIAS},
    };
    static const char *const schedules[] = {"copy", "copy_streaming", "add"};
    const anynorm_plan_options add = {.schedule = "add"};
    for (size_t s = 0; s < COUNT(no_sums); s++) {
        anynorm_plan *plan = NULL;
        assert_status(anynorm_plan_create(*state, &no_sums[s], &add, &plan), ANYNORM_UNSUPPORTED);
        assert_null(plan);
    }
    for (size_t s = 0; s < COUNT(specs); s++) {
        for (size_t k = 0; k < COUNT(schedules); k++) {
            const anynorm_plan_options options = {.schedule = schedules[k]};
            anynorm_plan *plan = NULL;
            assert_status(anynorm_plan_create(*state, &specs[s], &options, &plan),
                          ANYNORM_UNSUPPORTED);
            assert_null(plan);
        }
    }
}

static void test_only_by_name(void **state)
{
    static const char *const schedules[] = {"copy", "copy_streaming", "add", "empty"};
    const anynorm_spec spec = {.columns = 8};
    anynorm_candidate candidate;
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        assert_ok(anynorm_plan_candidate(*state, &spec, i, &candidate, &count));
        for (size_t k = 0; k < COUNT(schedules); k++)
            assert_string_not_equal(candidate.schedule, schedules[k]);
    }
    for (size_t k = 0; k < COUNT(schedules); k++) {
        anynorm_plan *plan = NULL;
        setenv("ANYNORM_SCHEDULE", schedules[k], 1);
        anynorm_status status = anynorm_plan_create(*state, &spec, NULL, &plan);
        unsetenv("ANYNORM_SCHEDULE");
        assert_status(status, ANYNORM_INVALID_ARGUMENT);
        assert_non_null(strstr(anynorm_message(), "ANYNORM_SCHEDULE"));
        assert_null(plan);
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"a copy copies everything and nothing else", test_copies_everything},
        {"from any byte", test_any_byte},
        {"with other groups", test_forced_groups},
        {"streams of more tensors", test_streams},
        {"elements of different sizes", test_sizes},
        {"an addition adds", test_adds},
        {"what no baseline serves", test_what_no_baseline_serves},
        {"only by name", test_only_by_name},
    };
    return run_on_devices("baselines", tests, COUNT(tests), open_subject, close_subject);
}
