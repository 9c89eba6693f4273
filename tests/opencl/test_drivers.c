/* Devices that some drivers tell of and ours do not: none, many, old ones, and those of others'
 * contexts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver_table.h"

/* ---- Enumeration, in processes of its own: it is done once ---- */

static cl_int CL_API_CALL no_platforms(cl_uint room, cl_platform_id *ids, cl_uint *count)
{
    (void)room;
    (void)ids;
    (void)count;
    return -1001; /* the loader's code for "nothing is installed" */
}

static cl_int CL_API_CALL no_devices(cl_platform_id platform, cl_device_type type, cl_uint room,
                                     cl_device_id *ids, cl_uint *count)
{
    (void)platform;
    (void)type;
    (void)room;
    (void)ids;
    (void)count;
    return CL_DEVICE_NOT_FOUND;
}

static void only_reference_is_there(void)
{
    anynorm_device *device = NULL;
    anynorm_device_info info;
    unsetenv("ANYNORM_DEVICE");
    if (anynorm_device_count() != 1)
        _exit(2);
    if (anynorm_device_open("opencl", &device) != ANYNORM_INVALID_ARGUMENT || device)
        _exit(3);
    if (!strstr(anynorm_message(), "reference"))
        _exit(4);
    if (anynorm_device_open(NULL, &device) != ANYNORM_OK ||
        anynorm_device_describe(device, &info) != ANYNORM_OK || strcmp(info.id, "reference") != 0)
        _exit(5);
    anynorm_device_close(device);
    _exit(0);
}

/* Must run before any other test asks for devices. */
static void test_no_device(void **state)
{
    (void)state;
    for (int missing = 0; table && missing < 2; missing++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (missing == 0)
                table->GetPlatformIDs = no_platforms;
            else
                table->GetDeviceIDs = no_devices;
            only_reference_is_there();
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* Devices that need not be there, in front of one that is: it does their work. */
static const struct fake {
    const char *name, *version; /* NULL: the real one's */
    cl_device_type type;
    cl_bool shares_memory, no_compiler, unavailable;
    cl_uint units;
    cl_int context_code;
} * fakes;
static size_t fake_count;
static cl_device_id behind_fakes;
static unsigned warnings;
static char last_warning[1024];

static bool is_fake(const void *id, const struct fake **fake)
{
    *fake = id;
    return *fake >= fakes && *fake < fakes + fake_count;
}

static cl_int CL_API_CALL fake_GetDeviceIDs(cl_platform_id platform, cl_device_type type,
                                            cl_uint room, cl_device_id *ids, cl_uint *count)
{
    if (behind_fakes)
        return CL_DEVICE_NOT_FOUND; /* they are all of one platform */
    cl_int code = real.GetDeviceIDs(platform, type, 1, &behind_fakes, count);
    if (code != CL_SUCCESS)
        return code;
    for (size_t i = 0; i < fake_count && i < room; i++) {
        const void *id = &fakes[i];
        memcpy(&ids[i], &id, sizeof(ids[i]));
    }
    *count = (cl_uint)fake_count;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL fake_GetDeviceInfo(cl_device_id id, cl_device_info what, size_t room,
                                             void *value, size_t *size)
{
    const struct fake *fake;
    const cl_bool no = CL_FALSE;
    if (!is_fake(id, &fake))
        return real.GetDeviceInfo(id, what, room, value, size);
    if (what == CL_DEVICE_TYPE)
        return answer_info(&fake->type, sizeof(fake->type), room, value, size);
    if (what == CL_DEVICE_HOST_UNIFIED_MEMORY)
        return answer_info(&fake->shares_memory, sizeof(cl_bool), room, value, size);
    if (what == CL_DEVICE_MAX_COMPUTE_UNITS && fake->units)
        return answer_info(&fake->units, sizeof(cl_uint), room, value, size);
    if (what == CL_DEVICE_NAME && fake->name)
        return answer_info(fake->name, strlen(fake->name) + 1, room, value, size);
    if (what == CL_DEVICE_VERSION && fake->version)
        return answer_info(fake->version, strlen(fake->version) + 1, room, value, size);
    if ((what == CL_DEVICE_COMPILER_AVAILABLE && fake->no_compiler) ||
        (what == CL_DEVICE_AVAILABLE && fake->unavailable))
        return answer_info(&no, sizeof(no), room, value, size);
    return real.GetDeviceInfo(behind_fakes, what, room, value, size);
}

static cl_context CL_API_CALL fake_CreateContext(
    const cl_context_properties *properties, cl_uint count, const cl_device_id *ids,
    void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user, cl_int *code)
{
    const struct fake *fake;
    if (is_fake(ids[0], &fake) && fake->context_code != CL_SUCCESS) {
        *code = fake->context_code;
        return NULL;
    }
    return real.CreateContext(properties, count, &behind_fakes, notify, user, code);
}

static cl_command_queue CL_API_CALL fake_CreateCommandQueue(cl_context context, cl_device_id id,
                                                            cl_command_queue_properties properties,
                                                            cl_int *code)
{
    (void)id;
    return real.CreateCommandQueue(context, behind_fakes, properties, code);
}

static void collect_warning(void *user, anynorm_log_level level, const char *line)
{
    (void)user;
    warnings += level == ANYNORM_LOG_WARN;
    snprintf(last_warning, sizeof(last_warning), "%s", line);
}

/* Ends the process with the line's number where it is not so. */
#define need(condition) ((condition) ? (void)0 : _exit(__LINE__ % 256))

/* Opens it, which must be the fake of that number, after so many warnings. */
static void opens(const char *name, const char *id, unsigned after)
{
    anynorm_device *device = NULL;
    anynorm_device_info info;
    warnings = 0;
    need(anynorm_device_open(name, &device) == ANYNORM_OK);
    need(anynorm_device_describe(device, &info) == ANYNORM_OK);
    anynorm_device_close(device);
    need(strcmp(info.id, id) == 0);
    need(warnings == after);
}

static void refuses(const char *name, anynorm_status status, const char *reason)
{
    anynorm_device *device = NULL;
    need(anynorm_device_open(name, &device) == status);
    need(!device && strstr(anynorm_message(), reason));
}

static const struct fake many[] = {
    {.name = "integrated", .type = CL_DEVICE_TYPE_GPU, .shares_memory = CL_TRUE, .units = 100},
    {.name = "small", .type = CL_DEVICE_TYPE_GPU, .units = 32},
    {.name = "discrete", .type = CL_DEVICE_TYPE_GPU, .units = 64},
    {.name = "as good", .type = CL_DEVICE_TYPE_GPU, .units = 64},
};
static const struct fake emulated[] = {
    {.name = "Intel(R) FPGA Emulation Device", .type = CL_DEVICE_TYPE_ACCELERATOR},
    {.name = "Oclgrind Simulator", .type = CL_DEVICE_TYPE_GPU},
    {.name = "processor", .type = CL_DEVICE_TYPE_CPU, .shares_memory = CL_TRUE},
};
static const struct fake unusable[] = {
    {.name = "Clover's", .version = "OpenCL 1.1 Mesa", .type = CL_DEVICE_TYPE_GPU},
    {.name = "asleep", .type = CL_DEVICE_TYPE_GPU, .unavailable = CL_TRUE},
    {.name = "FPGA", .type = CL_DEVICE_TYPE_ACCELERATOR, .no_compiler = CL_TRUE},
    {.name = "taken", .type = CL_DEVICE_TYPE_GPU, .context_code = CL_DEVICE_NOT_AVAILABLE},
    {.name = "full", .type = CL_DEVICE_TYPE_GPU, .context_code = CL_OUT_OF_RESOURCES},
    {.name = "processor", .type = CL_DEVICE_TYPE_CPU, .shares_memory = CL_TRUE},
};

static void among_many(void)
{
    opens(NULL, "opencl:2", 0);
    opens("opencl", "opencl:2", 0);
    opens("opencl:small", "opencl:1", 0);
}

static void among_emulated(void)
{
    anynorm_device_info info;
    opens(NULL, "opencl:2", 0);
    for (size_t i = 0; i < COUNT(emulated); i++)
        need(anynorm_device_list(i, &info) == ANYNORM_OK && info.emulated == (i < 2));
    opens("opencl:emulation", "opencl:0", 0);
}

static void among_unusable(void)
{
    static const char *const reasons[] = {
        "older than OpenCL 1.2", "not available", "no compiler", "", "", ""};
    anynorm_device_info info;
    for (size_t i = 0; i < COUNT(unusable); i++) {
        need(anynorm_device_list(i, &info) == ANYNORM_OK);
        need(*reasons[i] ? strstr(info.unusable, reasons[i]) != NULL : !*info.unusable);
    }
    opens(NULL, "opencl:5", 5);
    need(strstr(last_warning, "opencl:2 (FPGA) is passed over: the driver has no compiler"));
    opens("opencl", "opencl:5", 5);
    /* Who names a device wants that one. */
    refuses("opencl:0", ANYNORM_UNSUPPORTED, reasons[0]);
    refuses("opencl:asleep", ANYNORM_DEVICE_LOST, reasons[1]);
    refuses("opencl:3", ANYNORM_DEVICE_LOST, "device not available");
    need(setenv("ANYNORM_DEVICE", "opencl:2", 1) == 0);
    refuses(NULL, ANYNORM_UNSUPPORTED, reasons[2]);
    need(unsetenv("ANYNORM_DEVICE") == 0);
    /* What is wrong with the environment is wrong for every device. */
    warnings = 0;
    need(setenv("ANYNORM_CACHE", "perhaps", 1) == 0);
    refuses(NULL, ANYNORM_INVALID_ARGUMENT, "ANYNORM_CACHE");
    need(unsetenv("ANYNORM_CACHE") == 0);
    need(setenv("ANYNORM_CAPS", "no-sense", 1) == 0);
    refuses(NULL, ANYNORM_INVALID_ARGUMENT, "no-sense");
    need(unsetenv("ANYNORM_CAPS") == 0);
    need(!strstr(last_warning, "processor"));
}

/* The best one's reason; and where no API is named, the reference is left. */
static void among_none(void)
{
    anynorm_device *device;
    refuses("opencl", ANYNORM_UNSUPPORTED, "older than OpenCL 1.2");
    warnings = 0;
    need(anynorm_device_open(NULL, &device) == ANYNORM_OK);
    anynorm_device_close(device);
    need(warnings >= COUNT(unusable) - 1);
}

/* Must run before any other test asks for devices. */
static void test_default_devices(void **state)
{
    (void)state;
    static const struct {
        void (*test)(void);
        const struct fake *fakes;
        size_t count;
    } cases[] = {
        {among_many, many, COUNT(many)},
        {among_emulated, emulated, COUNT(emulated)},
        {among_unusable, unusable, COUNT(unusable)},
        {among_none, unusable, COUNT(unusable) - 1},
    };
    for (size_t i = 0; table && i < COUNT(cases); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            fakes = cases[i].fakes;
            fake_count = cases[i].count;
            table->GetDeviceIDs = fake_GetDeviceIDs;
            table->GetDeviceInfo = fake_GetDeviceInfo;
            table->CreateContext = fake_CreateContext;
            table->CreateCommandQueue = fake_CreateCommandQueue;
            unsetenv("ANYNORM_DEVICE");
            anynorm_log_set(collect_warning, NULL, ANYNORM_LOG_WARN);
            if (anynorm_device_count() > 1) /* else no OpenCL device is here */
                cases[i].test();
            _exit(0);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != 0)
            fprintf(stderr, "case %zu failed in line %d + 256 n\n", i, WEXITSTATUS(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* ---- Devices ---- */

static const char *version;
static const char *device_name, *driver_version; /* NULL: the device's own */
static bool has_compiler, fails_numbers, claims_subgroups;

static cl_int CL_API_CALL lying_GetDeviceInfo(cl_device_id id, cl_device_info what, size_t room,
                                              void *value, size_t *size)
{
    const char *text = what == CL_DEVICE_VERSION   ? version
                       : what == CL_DEVICE_NAME    ? device_name
                       : what == CL_DRIVER_VERSION ? driver_version
                                                   : NULL;
    if (text && room > strlen(text)) {
        memcpy(value, text, strlen(text) + 1);
        if (size)
            *size = strlen(text) + 1;
        return CL_SUCCESS;
    }
    if (what == CL_DEVICE_COMPILER_AVAILABLE && !has_compiler) {
        cl_bool none = CL_FALSE;
        memcpy(value, &none, sizeof(none));
        if (size)
            *size = sizeof(none);
        return CL_SUCCESS;
    }
    if (what == CL_DEVICE_MAX_COMPUTE_UNITS && fails_numbers)
        return CL_INVALID_VALUE;
    if (what == CL_DEVICE_MAX_NUM_SUB_GROUPS && claims_subgroups) {
        cl_uint number = 32;
        memcpy(value, &number, sizeof(number));
        if (size)
            *size = sizeof(number);
        return CL_SUCCESS;
    }
    return real.GetDeviceInfo(id, what, room, value, size);
}

static void test_refused_devices(void **state)
{
    (void)state;
    static const char *const refused[] = {"OpenCL 1.1 old", "OpenCL 1.0 older", "OpenCL 0.9", "",
                                          "?"};
    static const char *const taken[] = {"OpenCL 1.2 x", "OpenCL 2.0 ", "OpenCL 3.0 PoCL",
                                        "OpenCL 10.0"};
    anynorm_device *device = NULL;
    if (!have_device())
        return;
    table->GetDeviceInfo = lying_GetDeviceInfo;
    has_compiler = true;
    for (size_t i = 0; i < COUNT(refused); i++) {
        version = refused[i];
        assert_status(anynorm_device_open(device_id, &device), ANYNORM_UNSUPPORTED);
        assert_non_null(strstr(anynorm_message(), "1.2"));
        assert_null(device);
    }
    for (size_t i = 0; i < COUNT(taken); i++) {
        version = taken[i];
        assert_ok(anynorm_device_open(device_id, &device));
        anynorm_device_close(device);
        device = NULL;
    }
    version = NULL;
    has_compiler = false;
    assert_status(anynorm_device_open(device_id, &device), ANYNORM_UNSUPPORTED);
    assert_non_null(strstr(anynorm_message(), "compiler"));
    has_compiler = true;
    fails_numbers = true;
    assert_status(anynorm_device_open(device_id, &device), ANYNORM_DEVICE_LOST);
    assert_non_null(strstr(anynorm_message(), "clGetDeviceInfo"));
    assert_null(device);
    fails_numbers = false;
}

/* As drivers for Adreno tell it, with the compiler's version, by which they differ, at the end. */
#define LONG_DRIVER                                                                                \
    "OpenCL 2.0 QUALCOMM build: commit #272cf717f5 changeid #Iee40f504b5 Date: 10/05/21 Tue "      \
    "Local Branch:  Remote Branch:  Compiler E031."

static void test_long_driver_version(void **state)
{
    (void)state;
    anynorm_device_info info;
    if (!have_device())
        return;
    table->GetDeviceInfo = lying_GetDeviceInfo;
    has_compiler = true;
    driver_version = LONG_DRIVER "38.01.08";
    anynorm_device *device = open_device(device_id);
    assert_ok(anynorm_device_describe(device, &info));
    assert_string_equal(info.driver, driver_version);
    anynorm_device_close(device);
    driver_version = NULL;
}

static bool is_masked(const anynorm_device_info *info)
{
    const bool masked = *info->quirks;
    assert_int_equal(masked, !info->subgroup);
    assert_int_equal(masked, strstr(info->quirks, "no-subgroup (https://") != NULL);
    return masked;
}

/* Lists, opens and wraps it: all have the same masks. */
static bool is_masked_anyhow(void)
{
    anynorm_device_info listed, opened, wrapped;
    struct caller caller = {.device = open_device(device_id)};
    anynorm_device *again = NULL;
    assert_ok(anynorm_device_describe(caller.device, &opened));
    assert_ok(anynorm_opencl_device_handles(caller.device, &caller.context, &caller.cl_id));
    assert_ok(anynorm_opencl_device_wrap(caller.context, caller.cl_id, &again));
    assert_ok(anynorm_device_describe(again, &wrapped));
    anynorm_device_close(again);
    anynorm_device_close(caller.device);
    for (size_t i = 0; i < anynorm_device_count(); i++) {
        assert_ok(anynorm_device_list(i, &listed));
        if (strcmp(listed.id, device_id) == 0)
            break;
    }
    assert_string_equal(listed.id, device_id);
    assert_int_equal(is_masked(&listed), is_masked(&opened));
    assert_int_equal(is_masked(&wrapped), is_masked(&opened));
    return is_masked(&opened);
}

/* A driver of Adreno's whose compiler dies of sub-groups, and the first that does not. */
static void test_quirk(void **state)
{
    (void)state;
    if (!have_device())
        return;
    table->GetDeviceInfo = lying_GetDeviceInfo;
    has_compiler = claims_subgroups = true;
    driver_version = LONG_DRIVER "38.01.08";
    device_name = "Another";
    assert_false(is_masked_anyhow());
    device_name = "QUALCOMM Adreno(TM) 642L";
    assert_true(is_masked_anyhow());
    assert_int_equal(setenv("ANYNORM_QUIRKS", "off", 1), 0);
    assert_false(is_masked_anyhow());
    assert_int_equal(setenv("ANYNORM_QUIRKS", "maybe", 1), 0);
    anynorm_device *device = NULL;
    assert_status(anynorm_device_open(device_id, &device), ANYNORM_INVALID_ARGUMENT);
    assert_non_null(strstr(anynorm_message(), "ANYNORM_QUIRKS"));
    assert_int_equal(unsetenv("ANYNORM_QUIRKS"), 0);
    driver_version = LONG_DRIVER "38.11.00";
    assert_false(is_masked_anyhow());
    device_name = driver_version = NULL;
    claims_subgroups = false;
}

static void test_no_shared_memory_functions(void **state)
{
    (void)state;
    if (!have_device())
        return;
    table->SetKernelArgSVMPointer = NULL;
    table->EnqueueSVMMemcpy = NULL;
    anynorm_device *device = open_device(device_id);
    anynorm_buffer buffer = {0};
    int local = 0;
    assert_status(anynorm_opencl_svm_wrap(device, &local, sizeof(local), &buffer),
                  ANYNORM_UNSUPPORTED);
    assert_int_equal(buffer.kind, 0);
    anynorm_device_close(device);
}

/* ---- Devices of a context ---- */

static cl_device_id listed[2];
static size_t listed_bytes;

static cl_int CL_API_CALL lying_GetContextInfo(cl_context context, cl_context_info what,
                                               size_t room, void *value, size_t *size)
{
    if (what != CL_CONTEXT_DEVICES)
        return real.GetContextInfo(context, what, room, value, size);
    if (size)
        *size = listed_bytes;
    if (value)
        memcpy(value, listed, room < listed_bytes ? room : listed_bytes);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL lying_GetCommandQueueInfo(cl_command_queue queue,
                                                    cl_command_queue_info what, size_t room,
                                                    void *value, size_t *size)
{
    cl_int code = real.GetCommandQueueInfo(queue, what, room, value, size);
    if (code == CL_SUCCESS && what == CL_QUEUE_DEVICE && value)
        memcpy(value, &listed[0], sizeof(listed[0]));
    return code;
}

/* A device that the context has not, or that has no devices at all, is not wrapped; one that stands
 * last is. A queue of the context's other device serves no plan of this one. */
static void test_devices_of_a_context(void **state)
{
    (void)state;
    if (!have_device())
        return;
    static int nobody;
    anynorm_device *device = open_device(device_id), *wrapped = NULL;
    cl_context context;
    cl_device_id id, other = (cl_device_id)(void *)&nobody;
    assert_ok(anynorm_opencl_device_handles(device, &context, &id));
    table->GetContextInfo = lying_GetContextInfo;
    for (listed_bytes = 0; listed_bytes <= sizeof(listed); listed_bytes += sizeof(id)) {
        listed[0] = listed[1] = other;
        assert_status(anynorm_opencl_device_wrap(context, id, &wrapped), ANYNORM_INVALID_ARGUMENT);
        assert_non_null(strstr(anynorm_message(), "context"));
        assert_null(wrapped);
    }
    listed_bytes = sizeof(listed);
    listed[1] = id;
    assert_ok(anynorm_opencl_device_wrap(context, id, &wrapped));
    restore(NULL);

    const anynorm_spec spec = {.columns = 8};
    anynorm_plan *plan = make_plan(wrapped, &spec, NULL);
    anynorm_tensors tensors = {0};
    cl_int code;
    cl_command_queue queue = clCreateCommandQueue(context, id, 0, &code);
    assert_int_equal(code, CL_SUCCESS);
    assert_ok(anynorm_buffer_create(wrapped, 64, &tensors.x));
    assert_ok(anynorm_buffer_create(wrapped, 64, &tensors.y));
    assert_ok(anynorm_opencl_enqueue(plan, queue, &tensors, 1, 0, NULL, NULL));
    assert_int_equal(clFinish(queue), CL_SUCCESS);
    listed[0] = other;
    table->GetCommandQueueInfo = lying_GetCommandQueueInfo;
    assert_status(anynorm_opencl_enqueue(plan, queue, &tensors, 1, 0, NULL, NULL),
                  ANYNORM_INVALID_ARGUMENT);
    assert_non_null(strstr(anynorm_message(), "queue"));
    restore(NULL);
    anynorm_buffer_destroy(wrapped, &tensors.x);
    anynorm_buffer_destroy(wrapped, &tensors.y);
    assert_int_equal(clReleaseCommandQueue(queue), CL_SUCCESS);
    anynorm_plan_destroy(plan);
    anynorm_device_close(wrapped);
    anynorm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_default_devices),
        cmocka_unit_test_teardown(test_refused_devices, restore),
        cmocka_unit_test_teardown(test_long_driver_version, restore),
        cmocka_unit_test_teardown(test_quirk, restore),
        cmocka_unit_test_teardown(test_no_shared_memory_functions, restore),
        cmocka_unit_test_teardown(test_devices_of_a_context, restore),
    };
    return cmocka_run_group_tests_name("drivers", tests, take_table, NULL);
}
