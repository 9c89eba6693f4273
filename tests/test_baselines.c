/* The baselines: that a copy copies, all of it and nothing else, that the empty kernel does
 * nothing, and that nobody gets one without asking for it. */
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
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)random_bits(&random);
}

/* x and y in buffers of their own, `offset` bytes in, with bytes around that must stay. */
static void run_copy(anynorm_device *device, const char *schedule, const anynorm_spec *spec,
                     uint64_t rows, uint64_t offset)
{
    size_t bytes = (size_t)(rows * spec->columns * anynorm_dtype_size(spec->x_type));
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
                .columns = cases[c].columns, .x_type = cases[c].type, .y_type = cases[c].type};
            assert_ok(anynorm_device_describe(*state, &info));
            if (spec.x_type == ANYNORM_F64 && !info.fp64)
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

static void test_what_no_copy_serves(void **state)
{
    static const anynorm_spec specs[] = {
        {.columns = 8, .x_type = ANYNORM_F32, .y_type = ANYNORM_F16},
        {.columns = 8, .x_row_stride = 9},
        {.columns = 8, .y_row_stride = 9},
        {.columns = 8,
         .inner_rows = 2,
         .x_row_stride = 8,
         .x_outer_stride = 17,
         .y_row_stride = 8,
         .y_outer_stride = 17},
    };
    static const char *const schedules[] = {"copy", "copy_streaming"};
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
    static const char *const schedules[] = {"copy", "copy_streaming", "empty"};
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
        {"what no copy serves", test_what_no_copy_serves},
        {"only by name", test_only_by_name},
    };
    return run_on_devices("baselines", tests, COUNT(tests), open_subject, close_subject);
}
