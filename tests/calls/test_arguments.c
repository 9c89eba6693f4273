/* What each function of devices, buffers and plans says to bad arguments on every device: the exact
 * status, a message of one line, and nothing done: output arguments and memory as they were.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 */
#include "refused.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice/caps.h"
#include "spec/tensors.h"

static const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;
static int marker;

struct subject {
    const char *id;
    anynorm_device *device;
    anynorm_device_info info;
    anynorm_plan *plan;
};

static const anynorm_spec usual = {.columns = 6, .flags = ALL_FLAGS};

static int open_subject(void **state)
{
    static struct subject of_this_test;
    struct subject *subject = &of_this_test;
    *subject = (struct subject){.id = *state};
    *state = subject;
    unsetenv("ANYNORM_CAPS");
    unsetenv("ANYNORM_SCHEDULE");
    unsetenv("ANYNORM_DEVICE");
    subject->device = open_device(subject->id);
    assert_ok(anynorm_device_describe(subject->device, &subject->info));
    assert_ok(anynorm_plan_create(subject->device, &usual, NULL, &subject->plan));
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    anynorm_plan_destroy(subject->plan);
    anynorm_device_close(subject->device);
    return 0;
}

/* ---- Devices ---- */

#define A_LONG_NAME                                                                                \
    "a name that goes on and on and on and on and on and on and on and on and on and on and on "   \
    "and on and on and on and on and on and on and on and on and on and on and on and on and on"

static void refuse_open(const char *name, anynorm_status expected)
{
    anynorm_device *device = (anynorm_device *)(void *)&marker;
    anynorm_status status = (make_message_stale(), anynorm_device_open(name, &device));
    if (status != expected)
        fprintf(stderr, "device \"%s\"\n", name ? name : "NULL");
    check_refused(status, expected, __FILE__, __LINE__);
    assert_ptr_equal(device, &marker);
}

/* What a name that begins with a backend's gets where it names no device: a build may lack the
 * whole backend. */
static anynorm_status no_such_device(const char *name)
{
    char backend[32], missing[64];
    snprintf(backend, sizeof(backend), "%.*s", (int)strcspn(name, ":"), name);
    snprintf(missing, sizeof(missing), "this build has no %s", backend);
    anynorm_device *device = NULL;
    anynorm_status status = anynorm_device_open(backend, &device);
    anynorm_device_close(device);
    return status == ANYNORM_UNSUPPORTED && strstr(anynorm_message(), missing) ? ANYNORM_UNSUPPORTED
                                                                               : invalid;
}

static void test_device_names(void **state)
{
    struct subject *subject = *state;
    static const char *const names[] = {
        "cuda",
        "Opencl",
        "OPENCL:0",
        "opencl0",
        "open",
        "openclx",
        " opencl",
        "opencl ",
        ":",
        ":0",
        "0",
        "opencl:999",
        "opencl:00000000099",
        "opencl:4294967296",
        "opencl:18446744073709551616",
        "opencl:99999999999999999999999",
        "opencl:no such device",
        "VULKAN:0",
        "vulkanx",
        "vulkan:999",
        "vulkan:no such device",
        "reference:1",
        "reference:no such",
        "reference,opencl",
        "references",
        "opencl:\n",
        "a\nb",
        "\xff\xfe",
        A_LONG_NAME,
    };
    for (size_t i = 0; i < COUNT(names); i++)
        refuse_open(names[i], strchr(names[i], ':') ? no_such_device(names[i]) : invalid);
    assert_refused(anynorm_device_open("zzz", NULL), invalid);
    assert_refused(anynorm_device_open(NULL, NULL), invalid);
    assert_refused(anynorm_device_open("zzz", &(anynorm_device *){NULL}), invalid);
    assert_non_null(strstr(anynorm_message(), "reference"));

    anynorm_device *device;
    assert_ok(anynorm_device_open(subject->id, &device));
    anynorm_device_close(device);
    if (!is_reference(&subject->info)) {
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(subject->id, ":"), subject->id);
        assert_ok(anynorm_device_open(name, &device));
        anynorm_device_close(device);
        strcat(name, ":");
        assert_ok(anynorm_device_open(name, &device));
        anynorm_device_close(device);
    }
}

static void test_device_from_environment(void **state)
{
    struct subject *subject = *state;
    static const char *const empty[] = {NULL, ""};
    for (size_t i = 0; i < COUNT(empty); i++) {
        anynorm_device *device;
        anynorm_device_info info;
        setenv("ANYNORM_DEVICE", subject->id, 1);
        assert_ok(anynorm_device_open(empty[i], &device));
        assert_ok(anynorm_device_describe(device, &info));
        assert_string_equal(info.id, subject->id);
        anynorm_device_close(device);
        setenv("ANYNORM_DEVICE", "reference:999", 1);
        refuse_open(empty[i], invalid);
        setenv("ANYNORM_DEVICE", "vulkan:999", 1);
        refuse_open(empty[i], no_such_device("vulkan:999"));
        assert_ok(anynorm_device_open(subject->id, &device));
        anynorm_device_close(device);
        setenv("ANYNORM_DEVICE", "", 1);
        assert_ok(anynorm_device_open(empty[i], &device));
        anynorm_device_close(device);
        unsetenv("ANYNORM_DEVICE");
        assert_ok(anynorm_device_open(empty[i], &device));
        anynorm_device_close(device);
    }
}

static void test_device_caps(void **state)
{
    struct subject *subject = *state;
    static const char *const lists[] = {
        "no-fp65",     "max-wg=0",     "max-wg=",        "max-alloc=1k", "no-fp64 ",
        "no-fp64,zzz", "max-local=-1", "max-groups=1.5", "zzz\nzzz"};
    for (size_t i = 0; i < COUNT(lists); i++) {
        anynorm_device_info info, before;
        setenv("ANYNORM_CAPS", lists[i], 1);
        refuse_open(subject->id, invalid);
        refuse_open(NULL, invalid);
        memset(&info, 0x5a, sizeof(info));
        before = info;
        assert_refused(anynorm_device_list(anynorm_device_count() - 1, &info), invalid);
        assert_memory_equal(&info, &before, sizeof(info));
        unsetenv("ANYNORM_CAPS");
    }
    anynorm_device *device;
    anynorm_device_info info;
    setenv("ANYNORM_CAPS", "no-fp64,no-unified,max-alloc=4096,max-wg=999999999", 1);
    assert_ok(anynorm_device_open(subject->id, &device));
    unsetenv("ANYNORM_CAPS");
    assert_ok(anynorm_device_describe(device, &info));
    assert_false(info.fp64 || info.unified_memory);
    assert_int_equal(info.max_alloc_bytes, 4096);
    assert_int_equal(info.max_work_group_size, subject->info.max_work_group_size);
    anynorm_buffer buffer = {.bytes = 7};
    assert_refused(anynorm_buffer_create(device, 4097, &buffer), ANYNORM_OUT_OF_MEMORY);
    assert_int_equal(buffer.bytes, 7);
    assert_ok(anynorm_buffer_create(device, 4096, &buffer));
    anynorm_buffer_destroy(device, &buffer);
    anynorm_device_close(device);
}

static void test_device_list_and_describe(void **state)
{
    struct subject *subject = *state;
    anynorm_device_info info, before;
    memset(&info, 0x5a, sizeof(info));
    before = info;
    size_t count = anynorm_device_count();
    assert_refused(anynorm_device_list(count, &info), invalid);
    assert_refused(anynorm_device_list(count + 1, &info), invalid);
    assert_refused(anynorm_device_list(SIZE_MAX, &info), invalid);
    assert_refused(anynorm_device_list(0, NULL), invalid);
    assert_refused(anynorm_device_list(SIZE_MAX, NULL), invalid);
    assert_refused(anynorm_device_describe(NULL, &info), invalid);
    assert_refused(anynorm_device_describe(subject->device, NULL), invalid);
    assert_memory_equal(&info, &before, sizeof(info));
    assert_ok(anynorm_device_list(count - 1, &info));
    assert_string_equal(info.id, "reference");
    anynorm_device_close(NULL);
}

/* ---- Buffers ---- */

static void test_buffer_create(void **state)
{
    struct subject *subject = *state;
    anynorm_buffer buffer, before;
    memset(&buffer, 0x5a, sizeof(buffer));
    before = buffer;
    assert_refused(anynorm_buffer_create(NULL, 16, &buffer), invalid);
    assert_refused(anynorm_buffer_create(subject->device, 16, NULL), invalid);
    assert_refused(anynorm_buffer_create(subject->device, 0, &buffer), invalid);
    assert_refused(anynorm_buffer_create(subject->device, UINT64_MAX, &buffer),
                   ANYNORM_OUT_OF_MEMORY);
    assert_refused(
        anynorm_buffer_create(subject->device, subject->info.max_alloc_bytes + 1, &buffer),
        ANYNORM_OUT_OF_MEMORY);
    assert_memory_equal(&buffer, &before, sizeof(buffer));

    anynorm_buffer_destroy(NULL, NULL);
    anynorm_buffer_destroy(subject->device, NULL);
    anynorm_buffer_destroy(NULL, &(anynorm_buffer){0});
    anynorm_buffer_destroy(subject->device, &(anynorm_buffer){0});
    assert_ok(anynorm_buffer_create(subject->device, 1, &buffer));
    assert_int_equal(buffer.offset, 0);
    assert_int_equal(buffer.bytes, 1);
    anynorm_buffer_destroy(subject->device, &buffer);
    assert_int_equal(buffer.kind, 0);
    anynorm_buffer_destroy(subject->device, &buffer);
}

static void test_buffer_copies(void **state)
{
    struct subject *subject = *state;
    anynorm_device *device = subject->device;
    anynorm_buffer good, empty = {0};
    unsigned char host[96], kept[96];
    assert_ok(anynorm_buffer_create(device, 64, &good));
    memset(host, 0x33, sizeof(host));
    assert_ok(anynorm_buffer_write(device, &good, host, 64));
    memset(host, 0x5a, sizeof(host));
    memcpy(kept, host, sizeof(host));

    static const struct {
        uint64_t offset;
        uint64_t bytes;
    } past[] = {{0, 65},          {0, 96},
                {1, 64},          {63, 2},
                {64, 1},          {65, 0},
                {65, 1},          {UINT64_MAX, 1},
                {UINT64_MAX, 2},  {UINT64_MAX - 15, 16},
                {32, UINT64_MAX}, {32, UINT64_MAX - 31}};
    for (size_t i = 0; i < COUNT(past); i++) {
        anynorm_buffer buffer = good;
        buffer.offset = past[i].offset;
        assert_refused(anynorm_buffer_write(device, &buffer, host, past[i].bytes), invalid);
        assert_refused(anynorm_buffer_read(device, &buffer, host, past[i].bytes), invalid);
    }
    anynorm_buffer foreign = good;
    foreign.owner = host;
    for (int i = 0; i < 2; i++) {
        anynorm_status (*write)(anynorm_device *, const anynorm_buffer *, const void *, uint64_t) =
            anynorm_buffer_write;
        assert_refused(i ? anynorm_buffer_read(NULL, &good, host, 8) : write(NULL, &good, host, 8),
                       invalid);
        assert_refused(
            i ? anynorm_buffer_read(device, NULL, host, 8) : write(device, NULL, host, 8), invalid);
        assert_refused(i ? anynorm_buffer_read(device, &good, NULL, 8)
                         : write(device, &good, NULL, 8),
                       invalid);
        assert_refused(i ? anynorm_buffer_read(device, &empty, host, 8)
                         : write(device, &empty, host, 8),
                       invalid);
        assert_refused(i ? anynorm_buffer_read(device, &empty, host, 0)
                         : write(device, &empty, host, 0),
                       invalid);
        assert_refused(i ? anynorm_buffer_read(device, &foreign, host, 8)
                         : write(device, &foreign, host, 8),
                       invalid);
    }
    assert_memory_equal(host, kept, sizeof(host));
    assert_ok(anynorm_buffer_write(device, &good, NULL, 0));
    assert_ok(anynorm_buffer_read(device, &good, NULL, 0));
    assert_ok(anynorm_buffer_read(device, &good, host, 64));
    for (int i = 0; i < 64; i++)
        assert_int_equal(host[i], 0x33);
    assert_int_equal(host[64], 0x5a);
    good.offset = 64;
    assert_ok(anynorm_buffer_read(device, &good, host, 0));
    anynorm_buffer_destroy(device, &good);
}

/* ---- Plans ---- */

static void refuse_plan(anynorm_device *device, const anynorm_spec *spec, const char *schedule,
                        anynorm_status expected)
{
    anynorm_plan *plan = (anynorm_plan *)(void *)&marker;
    anynorm_plan_options options = {.schedule = schedule};
    anynorm_status status =
        (make_message_stale(), anynorm_plan_create(device, spec, &options, &plan));
    if (status != expected)
        fprintf(stderr, "schedule \"%s\"\n", schedule ? schedule : "NULL");
    check_refused(status, expected, __FILE__, __LINE__);
    assert_ptr_equal(plan, &marker);
}

static void test_plan_spec(void **state)
{
    struct subject *subject = *state;
    static const anynorm_spec bad[] = {
        {.columns = 0},
        {.columns = 2147483648},
        {.columns = 6, .x.type = (anynorm_dtype)4},
        {.columns = 6, .y.type = (anynorm_dtype)-1},
        {.columns = 6, .parameters.type = (anynorm_dtype)9},
        {.columns = 6, .flags = 1u << 20},
        {.columns = 6, .statistic.eps = -1},
        {.columns = 6, .statistic.eps = 1e300 * 1e300},
        {.columns = 6, .x.row_stride = 5},
        {.columns = 6, .y.row_stride = 5},
        {.columns = 6, .x.outer_stride = 12},
        {.columns = 6, .inner_rows = 2, .y.outer_stride = 5},
        {.columns = 6, .inner_rows = UINT64_MAX},
        {.columns = 6, .x.row_stride = 8, .x.column_stride = 2},
        {.columns = 6, .inner_rows = 2, .y.outer_stride = 9, .y.column_stride = 3},
    };
    anynorm_candidate candidate, before;
    size_t count = 77;
    memset(&candidate, 0x5a, sizeof(candidate));
    before = candidate;
    for (size_t i = 0; i < COUNT(bad); i++) {
        refuse_plan(subject->device, &bad[i], NULL, invalid);
        assert_refused(anynorm_plan_candidate(subject->device, &bad[i], 0, &candidate, &count),
                       invalid);
    }
    refuse_plan(subject->device, NULL, NULL, invalid);
    refuse_plan(NULL, &usual, NULL, invalid);
    assert_refused(anynorm_plan_create(subject->device, &usual, NULL, NULL), invalid);
    assert_refused(anynorm_plan_candidate(NULL, &usual, 0, &candidate, &count), invalid);
    assert_refused(anynorm_plan_candidate(subject->device, NULL, 0, &candidate, &count), invalid);
    assert_refused(anynorm_plan_candidate(subject->device, &usual, 0, NULL, &count), invalid);
    size_t total = 0, known = is_reference(&subject->info) ? 1 : 3;
    anynorm_candidate first;
    assert_ok(anynorm_plan_candidate(subject->device, &usual, 0, &first, &total));
    assert_true(total >= known);
    assert_refused(anynorm_plan_candidate(subject->device, &usual, total, &candidate, &count),
                   invalid);
    assert_refused(anynorm_plan_candidate(subject->device, &usual, SIZE_MAX, &candidate, &count),
                   invalid);
    assert_int_equal(count, 77);
    assert_memory_equal(&candidate, &before, sizeof(candidate));
    assert_ok(anynorm_plan_candidate(subject->device, &usual, total - 1, &candidate, &count));
    assert_int_equal(count, total);
    assert_ok(anynorm_plan_candidate(subject->device, &usual, 0, &candidate, NULL));
    anynorm_plan_destroy(NULL);

    anynorm_plan_info info, untouched;
    memset(&info, 0x5a, sizeof(info));
    untouched = info;
    assert_refused(anynorm_plan_describe(NULL, &info), invalid);
    assert_memory_equal(&info, &untouched, sizeof(info));
    assert_refused(anynorm_plan_describe(subject->plan, NULL), invalid);
    assert_ok(anynorm_plan_describe(subject->plan, &info));
    assert_true(info.work_group_size > 0 && *info.schedule);
}

static void test_plan_options(void **state)
{
    struct subject *subject = *state;
    static const char *const unknown[] = {"",
                                          " ",
                                          "fast",
                                          "ROW_REREAD",
                                          "row_reread group",
                                          "row_reread group=",
                                          "row_reread group=0",
                                          "row_reread group=-1",
                                          "row_reread group=64x",
                                          "row_reread group=18446744073709551616",
                                          "row_reread group=64 group=64",
                                          "row_reread speed=9",
                                          "group=64 row_reread",
                                          "row",
                                          "row_per_item,row_reread",
                                          "opencl",
                                          "row\nreread"};
    static const char *const known[] = {"row_per_item", "row_per_subgroup", "row_per_group",
                                        "row_in_local", "row_reread",       "row_split",
                                        "column_walk"};
    uint32_t largest = (uint32_t)subject->info.max_work_group_size;
    const anynorm_spec long_rows = {.columns = 1000000};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        refuse_plan(subject->device, &usual, unknown[i], invalid);
        setenv("ANYNORM_SCHEDULE", unknown[i], 1);
        if (*unknown[i])
            refuse_plan(subject->device, &usual, NULL, invalid);
        unsetenv("ANYNORM_SCHEDULE");
    }
    for (size_t i = 0; i < COUNT(known); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s group=%u", known[i], largest + 1);
        refuse_plan(subject->device, &usual, text, ANYNORM_UNSUPPORTED);
        snprintf(text, sizeof(text), "%s group=18446744073709551615", known[i]);
        refuse_plan(subject->device, &usual, text, ANYNORM_UNSUPPORTED);
        snprintf(text, sizeof(text), "%s vector=5", known[i]);
        refuse_plan(subject->device, &usual, text, ANYNORM_UNSUPPORTED);
        if (is_reference(&subject->info))
            refuse_plan(subject->device, &usual, known[i], ANYNORM_UNSUPPORTED);
    }
    refuse_plan(subject->device, &long_rows, "row_per_group", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &long_rows, "row_per_group group=1", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_item held=2", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_item segment=64", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_split segment=63", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_split segment=never", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_split segment=4294967296", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &long_rows, "row_split segment=64", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_item rows=2", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_reread subgroup=1", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_group subgroup=7", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_group rows=18446744073709551615",
                ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_group group=8 rows=3", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_group group=8 rows=16", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_in_local rows=2", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_in_local held=18446744073709551615",
                ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &usual, "row_per_group held=4611686018427387904",
                ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &long_rows, "row_in_local", ANYNORM_UNSUPPORTED);
    refuse_plan(subject->device, &long_rows, "row_per_subgroup", ANYNORM_UNSUPPORTED);
    if (!is_reference(&subject->info))
        refuse_plan(subject->device, &usual, "reference", ANYNORM_UNSUPPORTED);

    /* The environment's schedule does not bind the reference, but its name must exist there too. */
    anynorm_plan *plan;
    anynorm_plan_info info;
    setenv("ANYNORM_SCHEDULE", "row_per_group", 1);
    if (!is_reference(&subject->info))
        refuse_plan(subject->device, &long_rows, NULL, ANYNORM_UNSUPPORTED);
    setenv("ANYNORM_SCHEDULE", "", 1);
    assert_ok(anynorm_plan_create(subject->device, &usual, NULL, &plan));
    anynorm_plan_destroy(plan);
    setenv("ANYNORM_SCHEDULE", "row_reread vector=4", 1);
    assert_ok(anynorm_plan_create(subject->device, &usual, NULL, &plan));
    unsetenv("ANYNORM_SCHEDULE");
    assert_ok(anynorm_plan_describe(plan, &info));
    assert_string_equal(info.schedule, is_reference(&subject->info) ? "reference" : "row_reread");
    anynorm_plan_destroy(plan);
}

static void test_plan_caps(void **state)
{
    struct subject *subject = *state;
    const anynorm_spec specs[] = {
        {.columns = 6, .x.type = ANYNORM_F64},
        {.columns = 6, .y.type = ANYNORM_F64},
        {.columns = 6, .parameters.type = ANYNORM_F64, .flags = ANYNORM_WEIGHT},
    };
    anynorm_device *weak;
    setenv("ANYNORM_CAPS", "no-fp64,max-local=1", 1);
    assert_ok(anynorm_device_open(subject->id, &weak));
    unsetenv("ANYNORM_CAPS");
    for (size_t i = 0; i < COUNT(specs); i++) {
        refuse_plan(weak, &specs[i], NULL, ANYNORM_UNSUPPORTED);
        refuse_plan(weak, &specs[i], "row_reread", ANYNORM_UNSUPPORTED);
    }
    refuse_plan(weak, &usual, "row_reread", ANYNORM_UNSUPPORTED);
    refuse_plan(weak, &usual, "row_per_group", ANYNORM_UNSUPPORTED);
    anynorm_plan *plan;
    assert_ok(anynorm_plan_create(weak, &usual, NULL, &plan));
    anynorm_plan_destroy(plan);
    anynorm_device_close(weak);
}

/* Each tensor is a buffer of its own to a kernel, where these are counted. */
static void test_plan_buffers(void **state)
{
    struct subject *subject = *state;
    const anynorm_spec four = {.columns = 6, .flags = ANYNORM_WEIGHT | ANYNORM_BIAS};
    anynorm_device *few = open_device_with(subject->id, "max-buffers=4");
    anynorm_plan *plan;
    if (subject->info.max_buffers > 0) {
        refuse_plan(few, &usual, NULL, ANYNORM_UNSUPPORTED);
        assert_non_null(strstr(anynorm_message(), "buffers, of which a kernel has at most 4"));
    }
    assert_ok(anynorm_plan_create(few, &four, NULL, &plan));
    anynorm_plan_destroy(plan);
    anynorm_device_close(few);
}

/* Where no schedule serves a spec, the message has the limit that is the reason, whichever function
 * is asked, and names no schedule that has nothing to do with it. */
static void test_plan_refusals(void **state)
{
    struct subject *subject = *state;
    static const anynorm_spec long_row = {.columns = 100000};
    static const anynorm_spec apart = {
        .columns = 100000, .x.column_stride = 2, .y.column_stride = 2};
    bool lanes =
        subject->info.device_class != ANYNORM_CLASS_REFERENCE && subject->info.vector_width < 4;
    /* No row is too long for llvmpipe from Mesa 25 on, whose column_walk takes any. */
    bool ends = lanes && (subject->info.device_class != ANYNORM_CLASS_CPU ||
                          an_quirks_end_loops(&subject->info));
    const struct {
        const anynorm_spec *spec;
        const char *caps, *reason, *limit;
        bool here;
    } cases[] = {
        {&long_row, "max-range=3000", " 3000 bytes that a kernel reaches of a buffer",
         " 3000 bytes that a kernel reaches of a buffer", subject->info.max_range_bytes > 0},
        {&long_row, "max-local=64,max-wg=64,no-subgroup",
         "row_split does not fit: ", " bytes of local memory are needed, there are 64", ends},
        {&apart, "max-local=64,max-wg=64,no-subgroup",
         "column_walk does not fit: ", "100000 columns are too many for 1 lanes", ends},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_device *weak = open_device_with(subject->id, cases[i].caps);
        anynorm_variant variant;
        anynorm_candidate candidate = {.fits = true};
        if (cases[i].here) {
            refuse_plan(weak, cases[i].spec, NULL, ANYNORM_UNSUPPORTED);
            assert_non_null(strstr(anynorm_message(), cases[i].reason));
            assert_non_null(strstr(anynorm_message(), cases[i].limit));
            assert_refused(anynorm_plan_variant(weak, cases[i].spec, 0, &variant, NULL),
                           ANYNORM_UNSUPPORTED);
            assert_non_null(strstr(anynorm_message(), cases[i].limit));
            assert_ok(anynorm_plan_candidate(weak, cases[i].spec, 0, &candidate, NULL));
            assert_false(candidate.fits);
        }
        anynorm_device_close(weak);
    }
}

static void test_plan_binary_and_warm_up(void **state)
{
    struct subject *subject = *state;
    const bool reference = is_reference(&subject->info);
    unsigned char byte = 7;
    size_t size = 7;
    assert_refused(anynorm_plan_warm_up(NULL, 1), invalid);
    assert_refused(anynorm_plan_warm_up(subject->plan, 0), invalid);
    assert_ok(anynorm_plan_warm_up(subject->plan, 1));
    assert_ok(anynorm_plan_warm_up(subject->plan, 5));

    assert_refused(anynorm_plan_binary(NULL, NULL, 0, &size), invalid);
    assert_refused(anynorm_plan_binary(subject->plan, NULL, 0, NULL), invalid);
    assert_refused(anynorm_plan_binary(subject->plan, NULL, 1, &size), invalid);
    assert_int_equal(size, 7);
    if (reference)
        assert_refused(anynorm_plan_binary(subject->plan, NULL, 0, &size), ANYNORM_UNSUPPORTED);
    else
        assert_refused(anynorm_plan_binary(subject->plan, &byte, 1, &size), invalid);
    assert_int_equal(byte, 7);
    assert_true(reference ? size == 7 : size > 7);

    anynorm_plan *plan = NULL;
    const anynorm_plan_options none = {.binary = &byte, .binary_bytes = 1},
                               missing = {.binary_bytes = 1}, empty = {.binary = &byte};
    const anynorm_status expected = reference ? ANYNORM_UNSUPPORTED : invalid;
    assert_refused(anynorm_plan_create(subject->device, &usual, &none, &plan), expected);
    assert_refused(anynorm_plan_create(subject->device, &usual, &missing, &plan), expected);
    assert_refused(anynorm_plan_create(subject->device, &usual, &empty, &plan), expected);
    assert_null(plan);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"device names", test_device_names},
        {"device from the environment", test_device_from_environment},
        {"device caps", test_device_caps},
        {"device list and describe", test_device_list_and_describe},
        {"buffer create", test_buffer_create},
        {"buffer copies", test_buffer_copies},
        {"plan spec", test_plan_spec},
        {"plan options", test_plan_options},
        {"plan caps", test_plan_caps},
        {"plan buffers", test_plan_buffers},
        {"plan refusals", test_plan_refusals},
        {"plan binary and warm-up", test_plan_binary_and_warm_up},
    };
    int result = run_on_devices("arguments", tests, COUNT(tests), open_subject, close_subject);
    return tell_refused("arguments", result);
}
