/* Programs that are not compiled: from the cache, and from a plan's binary. The calls into OpenCL
 * are counted, and made to fail. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/binary.h"
#include "cold.h"
#include "fault_table.h"

static int from_source, from_binary;
static struct an_cl inner; /* the fault table's functions */

static cl_program CL_API_CALL count_source(cl_context a, cl_uint b, const char **c, const size_t *d,
                                           cl_int *error)
{
    from_source++;
    return inner.CreateProgramWithSource(a, b, c, d, error);
}

static cl_program CL_API_CALL count_binary(cl_context a, cl_uint b, const cl_device_id *c,
                                           const size_t *d, const unsigned char **e, cl_int *f,
                                           cl_int *error)
{
    from_binary++;
    return inner.CreateProgramWithBinary(a, b, c, d, e, f, error);
}

static int install(void **state)
{
    (void)state;
    assert_int_equal(setenv("ANYNORM_CACHE", "off", 1), 0);
    remove_folder(cold.cache);
    if (!cold.device_id[0])
        return 0;
    fault_install();
    inner = *fault_table();
    fault_table()->CreateProgramWithSource = count_source;
    fault_table()->CreateProgramWithBinary = count_binary;
    from_source = from_binary = 0;
    return 0;
}

static void use_cache(const char *word)
{
    assert_int_equal(setenv("ANYNORM_CACHE", word, 1), 0);
}

/* The usual plan of a binary, NULL for none; counts from 0 what it is made of. */
static anynorm_plan *plan_from(anynorm_device *device, const void *binary, size_t bytes)
{
    const anynorm_spec spec = usual_problem(1).spec;
    const anynorm_plan_options options = {.binary = binary, .binary_bytes = bytes};
    anynorm_plan *plan = NULL;
    from_source = from_binary = 0;
    assert_ok(anynorm_plan_create(device, &spec, &options, &plan));
    return plan;
}

/* Makes the usual plan on a device of its own, runs it, checks the results, and how many programs
 * were made from source and from a binary. */
static void run_usual(const void *binary, size_t bytes, int sources, int binaries)
{
    struct problem problem = usual_problem(1);
    struct errors worst = {0};
    anynorm_device *device = open_device(cold.device_id);
    anynorm_plan *plan = plan_from(device, binary, bytes);
    assert_int_equal(from_source, sources);
    assert_int_equal(from_binary, binaries);
    check_plan(device, plan, &problem, "warm", &worst);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

/* ---- The cache ---- */

/* The path of the one entry there is, or of one of them. */
static char entry[160];

static int count_entries(void)
{
    int entries = count_files(cold.cache, "", entry, sizeof(entry));
    return entries < 0 && errno == ENOENT ? 0 : entries;
}

static unsigned char *read_entry(size_t *size)
{
    struct stat status;
    assert_int_equal(count_entries(), 1);
    int file = open(entry, O_RDONLY);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &status), 0);
    *size = (size_t)status.st_size;
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(read(file, bytes, *size), *size);
    assert_int_equal(close(file), 0);
    return bytes;
}

static void write_entry(const void *bytes, size_t size)
{
    int file = open(entry, O_WRONLY | O_TRUNC);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    assert_int_equal(close(file), 0);
}

static void test_cache_serves(void **state)
{
    REQUIRE_DEVICE;
    use_cache("off");
    run_usual(NULL, 0, 1, 0);
    assert_int_equal(count_entries(), 0);
    use_cache("on");
    run_usual(NULL, 0, 1, 0);
    assert_int_equal(count_entries(), 1);
    run_usual(NULL, 0, 0, 1);
    use_cache("off");
    run_usual(NULL, 0, 1, 0);

    anynorm_device *device = NULL;
    use_cache("sometimes");
    assert_status(anynorm_device_open(cold.device_id, &device), ANYNORM_INVALID_ARGUMENT);
    assert_null(device);
}

static void test_auto_leaves_pocl_alone(void **state)
{
    REQUIRE_DEVICE;
    anynorm_device *device = open_device(cold.device_id);
    bool pocl = is_pocl(device);
    anynorm_device_close(device);
    assert_int_equal(unsetenv("ANYNORM_CACHE"), 0);
    run_usual(NULL, 0, 1, 0);
    assert_int_equal(count_entries(), pocl ? 0 : 1);
}

/* No folder to be had costs nothing but the cache. */
static void test_no_folder(void **state)
{
    REQUIRE_DEVICE;
    use_cache("on");
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", "/proc/self/anynorm", 1), 0);
    run_usual(NULL, 0, 1, 0);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", cold.cache, 1), 0);
}

static void test_damage_never_reaches_the_driver(void **state)
{
    REQUIRE_DEVICE;
    use_cache("on");
    run_usual(NULL, 0, 1, 0);
    size_t size, fresh_size;
    unsigned char *bytes = read_entry(&size);
    const size_t flips = reduced() ? 3 : 12;
    for (size_t i = 0; i < flips; i++) {
        size_t at = i * (size - 1) / (flips - 1);
        bytes[at] ^= 0x80;
        write_entry(bytes, size);
        bytes[at] ^= 0x80;
        run_usual(NULL, 0, 1, 0);
        unsigned char *fresh = read_entry(&fresh_size); /* rebuilt */
        assert_true(an_binary_intact(fresh, fresh_size));
        free(fresh);
        write_entry(bytes, i * size / flips);
        run_usual(NULL, 0, 1, 0);
    }
    run_usual(NULL, 0, 0, 1);
    free(bytes);
}

/* What a driver may say to a binary that is intact and ours. */
static int bad_answer;

static cl_program CL_API_CALL refuse_binary(cl_context a, cl_uint b, const cl_device_id *c,
                                            const size_t *d, const unsigned char **e, cl_int *f,
                                            cl_int *error)
{
    cl_program made = NULL;
    from_binary++;
    if (bad_answer == 0) {
        *error = CL_INVALID_BINARY;
        return NULL;
    }
    made = inner.CreateProgramWithBinary(a, b, c, d, e, f, error);
    if (bad_answer == 1)
        *f = CL_INVALID_BINARY;
    return made;
}

static cl_int CL_API_CALL refuse_build(cl_program a, cl_uint b, const cl_device_id *c,
                                       const char *d, void(CL_CALLBACK *e)(cl_program, void *),
                                       void *f)
{
    return bad_answer == 2 && !from_source ? CL_INVALID_BINARY
                                           : inner.BuildProgram(a, b, c, d, e, f);
}

static cl_kernel CL_API_CALL refuse_kernel(cl_program a, const char *b, cl_int *error)
{
    *error = CL_INVALID_PROGRAM_EXECUTABLE;
    return bad_answer == 3 && !from_source ? NULL : inner.CreateKernel(a, b, error);
}

static ino_t entry_number(void)
{
    struct stat status;
    assert_int_equal(count_entries(), 1);
    assert_int_equal(stat(entry, &status), 0);
    return status.st_ino;
}

static void test_refused_binaries(void **state)
{
    REQUIRE_DEVICE;
    struct live live = fault_start(0, false, 0);
    char held[160];
    use_cache("on");
    run_usual(NULL, 0, 1, 0);
    for (bad_answer = 0; bad_answer < 4; bad_answer++) {
        fault_table()->CreateProgramWithBinary = refuse_binary;
        fault_table()->BuildProgram = refuse_build;
        fault_table()->CreateKernel = refuse_kernel;
        ino_t before = entry_number();
        snprintf(held, sizeof(held), "%s/held-%d", cold.base, bad_answer);
        assert_int_equal(link(entry, held), 0); /* so that its number is not used again */
        run_usual(NULL, 0, 1, 1);
        assert_true(entry_number() != before); /* replaced */
        fault_table()->CreateProgramWithBinary = count_binary;
        fault_table()->BuildProgram = inner.BuildProgram;
        fault_table()->CreateKernel = inner.CreateKernel;
        run_usual(NULL, 0, 0, 1);
    }
    fault_check_live(&live);
}

/* A context of two devices: the program then has two binaries, of which only the second is asked
 * for. */
static cl_int CL_API_CALL two_binaries(cl_program a, cl_program_info what, size_t size, void *value,
                                       size_t *returned)
{
    unsigned char *both[2];
    switch (what) {
    case CL_PROGRAM_NUM_DEVICES:
        *(cl_uint *)value = 2;
        return CL_SUCCESS;
    case CL_PROGRAM_DEVICES:
        assert_int_equal(size, 2 * sizeof(cl_device_id));
        *(cl_device_id *)value = NULL;
        return inner.GetProgramInfo(a, what, sizeof(cl_device_id), (cl_device_id *)value + 1,
                                    returned);
    case CL_PROGRAM_BINARY_SIZES:
        assert_int_equal(size, 2 * sizeof(size_t));
        *(size_t *)value = 77;
        return inner.GetProgramInfo(a, what, sizeof(size_t), (size_t *)value + 1, returned);
    default:
        assert_int_equal(what, CL_PROGRAM_BINARIES);
        assert_int_equal(size, sizeof(both));
        memcpy(both, value, sizeof(both));
        assert_null(both[0]);
        return inner.GetProgramInfo(a, what, sizeof(both[1]), &both[1], returned);
    }
}

static void test_context_of_two_devices(void **state)
{
    REQUIRE_DEVICE;
    use_cache("on");
    fault_table()->GetProgramInfo = two_binaries;
    run_usual(NULL, 0, 1, 0);
    fault_table()->GetProgramInfo = inner.GetProgramInfo;
    run_usual(NULL, 0, 0, 1);
}

/* ---- A plan's binary ---- */

static anynorm_plan *plan_of(anynorm_device *device, const char *schedule)
{
    const anynorm_spec spec = usual_problem(1).spec;
    return make_plan(device, &spec, schedule);
}

static void *binary_of(anynorm_plan *plan, size_t *size)
{
    size_t asked = 0;
    assert_ok(anynorm_plan_binary(plan, NULL, 0, &asked));
    assert_true(asked > 0);
    unsigned char *bytes = malloc(asked);
    assert_non_null(bytes);
    *size = 0;
    memset(bytes, 0xA5, asked);
    assert_status(anynorm_plan_binary(plan, bytes, asked - 1, size), ANYNORM_INVALID_ARGUMENT);
    assert_int_equal(*size, asked);
    assert_int_equal(bytes[0], 0xA5);
    assert_ok(anynorm_plan_binary(plan, bytes, asked, size));
    assert_int_equal(*size, asked);
    return bytes;
}

static void *usual_binary(const char *schedule, size_t *size)
{
    anynorm_device *device = open_device(cold.device_id);
    anynorm_plan *plan = plan_of(device, schedule);
    void *bytes = binary_of(plan, size);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    return bytes;
}

static void test_plan_binary(void **state)
{
    REQUIRE_DEVICE;
    size_t size, again;
    void *bytes = usual_binary(NULL, &size);
    run_usual(bytes, size, 0, 1);

    /* A plan made of it is the same plan, and can be saved in turn. */
    anynorm_device *device = open_device(cold.device_id);
    anynorm_plan *first = plan_of(device, "row_reread group=32");
    anynorm_plan_info info, expected;
    assert_ok(anynorm_plan_describe(first, &expected));
    void *other = binary_of(first, &again);
    anynorm_plan_destroy(first);
    anynorm_device_close(device);
    device = open_device(cold.device_id);
    anynorm_plan *plan = plan_from(device, other, again);
    assert_ok(anynorm_plan_describe(plan, &info));
    assert_string_equal(info.choice, expected.choice);
    assert_string_equal(info.options, expected.options);
    free(other);
    other = binary_of(plan, &again);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    device = open_device(cold.device_id);
    plan = plan_from(device, other, again);
    assert_int_equal(from_source, 0);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    free(other);
    free(bytes);
}

static void check_refused(anynorm_device *device, const anynorm_spec *spec,
                          const anynorm_plan_options *options, anynorm_status expected,
                          const char *message)
{
    anynorm_plan *plan = NULL;
    from_source = from_binary = 0;
    assert_status(anynorm_plan_create(device, spec, options, &plan), expected);
    assert_null(plan);
    if (!strstr(anynorm_message(), message)) {
        fprintf(stderr, "\"%s\" is not in: %s\n", message, anynorm_message());
        fail();
    }
    assert_int_equal(from_source + from_binary, 0);
}

static void test_damaged_binary(void **state)
{
    REQUIRE_DEVICE;
    size_t size;
    anynorm_spec spec = usual_problem(1).spec;
    unsigned char *bytes = usual_binary(NULL, &size);
    anynorm_device *device = open_device(cold.device_id);
    anynorm_plan_options options = {.binary = bytes, .binary_bytes = size};
    for (size_t i = 0; i < 500; i++) {
        size_t at = i < 200 ? i : (i - 200) * (size - 1) / 299;
        bytes[at] ^= 1;
        check_refused(device, &spec, &options, ANYNORM_INVALID_ARGUMENT, "damaged");
        bytes[at] ^= 1;
        options.binary_bytes = at;
        check_refused(device, &spec, &options, ANYNORM_INVALID_ARGUMENT, "damaged");
        options.binary_bytes = size;
    }
    options = (anynorm_plan_options){.binary_bytes = size};
    check_refused(device, &spec, &options, ANYNORM_INVALID_ARGUMENT, "damaged");
    anynorm_device_close(device);
    free(bytes);
}

static cl_int CL_API_CALL newer_driver(cl_device_id a, cl_device_info what, size_t size,
                                       void *value, size_t *returned)
{
    cl_int code = inner.GetDeviceInfo(a, what, size, value, returned);
    if (what == CL_DRIVER_VERSION && code == CL_SUCCESS && value)
        strcpy(value, "1e9");
    return code;
}

static cl_int CL_API_CALL silent_driver(cl_device_id a, cl_device_info what, size_t size,
                                        void *value, size_t *returned)
{
    return what == CL_DRIVER_VERSION ? CL_INVALID_VALUE
                                     : inner.GetDeviceInfo(a, what, size, value, returned);
}

static void test_binary_of_another(void **state)
{
    REQUIRE_DEVICE;
    size_t size;
    anynorm_spec spec = usual_problem(1).spec;
    unsigned char *bytes = usual_binary("row_reread group=32", &size);
    anynorm_plan_options options = {.binary = bytes, .binary_bytes = size};
    anynorm_device *device = open_device(cold.device_id);

    options.schedule = "row_reread group=16";
    check_refused(device, &spec, &options, ANYNORM_UNSUPPORTED, "another set of build options");
    options.schedule = "row_per_item";
    check_refused(device, &spec, &options, ANYNORM_UNSUPPORTED, "another schedule");
    options.schedule = NULL;
    spec.x.type = ANYNORM_BF16;
    check_refused(device, &spec, &options, ANYNORM_UNSUPPORTED, "another set of build options");
    spec.x.type = ANYNORM_F32;

    fault_table()->GetDeviceInfo = newer_driver;
    check_refused(device, &spec, &options, ANYNORM_UNSUPPORTED, "another driver version");
    fault_table()->GetDeviceInfo = silent_driver;
    check_refused(device, &spec, &options, ANYNORM_UNSUPPORTED, "clGetDeviceInfo");
    fault_table()->GetDeviceInfo = inner.GetDeviceInfo;

    /* Columns, strides and eps are arguments of the kernel, not part of it. */
    anynorm_plan *plan;
    spec.columns = 80;
    spec.statistic.eps = 1;
    assert_ok(anynorm_plan_create(device, &spec, &options, &plan));
    assert_int_equal(from_source, 0);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    free(bytes);
}

/* ---- Every call fails, once, while programs come from binaries ---- */

static void fail_each_call(const char *name, const void *binary, size_t bytes)
{
    static const cl_int codes[] = {CL_OUT_OF_RESOURCES, CL_DEVICE_NOT_AVAILABLE};
    const anynorm_plan_options options = {.binary = binary, .binary_bytes = bytes};
    anynorm_spec spec = usual_problem(1).spec;
    unsigned long at = 0, recovered = 0;
    bool fired = true;
    while (fired) {
        at++;
        struct live live = fault_start(at, false, codes[at % 2]);
        anynorm_device *device = open_device(cold.device_id);
        anynorm_plan *plan = NULL;
        void *packed = NULL;
        size_t size = 0;
        fault_arm();
        anynorm_status status = anynorm_plan_create(device, &spec, &options, &plan);
        fired = fault_now()->fired > 0;
        bool needed = strcmp(fault_now()->call, "clSetKernelArg") == 0 ||
                      strcmp(fault_now()->call, "clGetKernelWorkGroupInfo") == 0 ||
                      (binary && strstr(fault_now()->call, "Info"));
        if (status == ANYNORM_OK && needed)
            fprintf(stderr, "call %lu, %s: the fault was swallowed\n", at, fault_now()->call);
        if (status != ANYNORM_OK && !needed)
            fprintf(stderr, "call %lu, %s: %s\n", at, fault_now()->call, anynorm_message());
        assert_int_equal(status == ANYNORM_OK, !needed);
        recovered += fired && status == ANYNORM_OK;
        if (!plan)
            assert_ok(anynorm_plan_create(device, &spec, &options, &plan));
        else if (!fired) {
            /* Then the calls of anynorm_plan_binary. */
            bool again = true;
            for (unsigned long k = 1; again; k++) {
                fault_start(k, false, codes[k % 2]);
                fault_arm();
                status = anynorm_plan_binary(plan, NULL, 0, &size);
                again = fault_now()->fired > 0;
                assert_int_equal(status == ANYNORM_OK, !again);
                assert_true(k < 100);
            }
        }
        fault_stop();
        packed = binary_of(plan, &size);
        assert_true(an_binary_intact(packed, size));
        free(packed);
        anynorm_plan_destroy(plan);
        anynorm_device_close(device);
        fault_check_live(&live);
        assert_true(at < 300);
    }
    fprintf(stderr, "%s: %lu calls failed, %lu made good\n", name, at - 1, recovered);
    assert_true(recovered >= 3);
}

static void test_faults(void **state)
{
    REQUIRE_DEVICE;
    size_t size;
    void *bytes = usual_binary(NULL, &size);
    use_cache("on");
    run_usual(NULL, 0, 1, 0);
    fail_each_call("from the cache", NULL, 0);
    use_cache("off");
    fail_each_call("from a binary", bytes, size);
    free(bytes);
}

int main(void)
{
#define ALONE(test) cmocka_unit_test_setup_teardown(test, install, uninstall_faults)
    const struct CMUnitTest tests[] = {
        ALONE(test_cache_serves),      ALONE(test_auto_leaves_pocl_alone),
        ALONE(test_no_folder),         ALONE(test_damage_never_reaches_the_driver),
        ALONE(test_refused_binaries),  ALONE(test_context_of_two_devices),
        ALONE(test_plan_binary),       ALONE(test_damaged_binary),
        ALONE(test_binary_of_another), ALONE(test_faults),
    };
    int failed = cmocka_run_group_tests_name("programs", tests, make_cold, remove_cold);
    fault_print("programs");
    return failed;
}
