/* Compilers that ours are not: they refuse, make kernels with limits of their own, and kernels that
 * fail while they run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_table.h"

/* ---- The compiler ---- */

static cl_int build_code;
static const char *build_log;
static int builds;

static cl_int CL_API_CALL refusing_BuildProgram(cl_program program, cl_uint count,
                                                const cl_device_id *devices, const char *options,
                                                void(CL_CALLBACK *notify)(cl_program, void *),
                                                void *user)
{
    builds++;
    if (build_code != CL_SUCCESS)
        return build_code;
    return real.BuildProgram(program, count, devices, options, notify, user);
}

static cl_int CL_API_CALL lying_GetProgramBuildInfo(cl_program program, cl_device_id device,
                                                    cl_program_build_info what, size_t room,
                                                    void *value, size_t *size)
{
    (void)program;
    (void)device;
    (void)what;
    if (!build_log)
        return CL_INVALID_VALUE;
    size_t length = strlen(build_log) + 1;
    if (size)
        *size = length;
    if (value)
        memcpy(value, build_log, room < length ? room : length);
    return CL_SUCCESS;
}

static void test_build_failure(void **state)
{
    (void)state;
    anynorm_plan *plan = NULL;
    anynorm_spec spec = usual_spec();
    char *long_log = malloc(100001);
    if (!have_device()) {
        free(long_log);
        return;
    }
    assert_non_null(long_log);
    memset(long_log, 'e', 100000);
    long_log[100000] = 0;
    const char *const logs[] = {"<kernel>:3:1: error: no such thing\n1 error", "", NULL, long_log};
    const char *const words[] = {"<kernel>:3:1: error: no such thing\n1 error", "no log", "no log",
                                 "eeeeeeeeee"};
    anynorm_device *device = open_device(device_id);
    table->BuildProgram = refusing_BuildProgram;
    table->GetProgramBuildInfo = lying_GetProgramBuildInfo;
    for (size_t i = 0; i < 4; i++) {
        build_log = logs[i];
        build_code = CL_BUILD_PROGRAM_FAILURE;
        builds = 0;
        assert_status(anynorm_plan_create(device, &spec, NULL, &plan), ANYNORM_BUILD_FAILED);
        assert_null(plan);
        assert_int_equal(builds, 1);
        assert_non_null(strstr(anynorm_message(), words[i]));
        assert_non_null(strstr(anynorm_message(), "-DX_TYPE="));
        assert_true(strlen(anynorm_message()) < 4096);
        build_code = CL_OUT_OF_HOST_MEMORY;
        assert_status(anynorm_plan_create(device, &spec, NULL, &plan), ANYNORM_OUT_OF_MEMORY);
    }
    /* What failed to build is not remembered; what was built is. */
    build_code = CL_SUCCESS;
    assert_ok(anynorm_plan_create(device, &spec, NULL, &plan));
    assert_ok(wait_for_usual(device, plan));
    anynorm_plan_destroy(plan);
    builds = 0;
    assert_ok(anynorm_plan_create(device, &spec, NULL, &plan));
    assert_int_equal(builds, 0);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    free(long_log);
}

static size_t kernel_limit;

static cl_int CL_API_CALL lying_GetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                                       cl_kernel_work_group_info what, size_t room,
                                                       void *value, size_t *size)
{
    if (what != CL_KERNEL_WORK_GROUP_SIZE)
        return real.GetKernelWorkGroupInfo(kernel, device, what, room, value, size);
    memcpy(value, &kernel_limit, sizeof(kernel_limit));
    if (size)
        *size = sizeof(kernel_limit);
    return CL_SUCCESS;
}

/* A compiled kernel that takes fewer work-items than the device: the plan is made of smaller
 * groups. */
static void test_kernel_limit(void **state)
{
    (void)state;
    static const size_t limits[] = {1000, 64, 48, 16, 1};
    static const char *const schedules[] = {"row_per_item",
                                            "row_per_group",
                                            "row_in_local",
                                            "row_reread",
                                            "row_split",
                                            "column_walk",
                                            NULL};
    if (!have_device())
        return;
    anynorm_device *device = open_device(device_id);
    table->GetKernelWorkGroupInfo = lying_GetKernelWorkGroupInfo;
    for (size_t l = 0; l < COUNT(limits); l++) {
        for (size_t s = 0; s < COUNT(schedules); s++) {
            uint64_t columns = limits[l] >= 16 ? 500 : 30;
            struct problem problem = {.spec = {.columns = columns,
                                               .flags = ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT,
                                               .statistic.eps = ANYNORM_EPS_DEFAULT},
                                      .rows = 5,
                                      .seed = 2};
            struct errors worst = {0};
            kernel_limit = limits[l];
            anynorm_plan *plan = make_plan(device, &problem.spec, schedules[s]);
            anynorm_plan_info info;
            assert_ok(anynorm_plan_describe(plan, &info));
            assert_between(info.work_group_size, 1, limits[l]);
            anynorm_plan_destroy(plan);
            check_problem(device, &problem, schedules[s], 0, &worst);
        }
    }
    /* A size that the caller insists on is not made smaller behind his back. */
    anynorm_plan *plan = NULL;
    anynorm_spec spec = usual_spec();
    anynorm_plan_options options = {.schedule = "row_reread group=64"};
    kernel_limit = 32;
    assert_status(anynorm_plan_create(device, &spec, &options, &plan), ANYNORM_UNSUPPORTED);
    assert_null(plan);
    kernel_limit = 0;
    assert_status(anynorm_plan_create(device, &spec, NULL, &plan), ANYNORM_UNSUPPORTED);
    assert_null(plan);
    anynorm_device_close(device);
}

/* ---- Sub-groups ---- */

static const char *claimed_extension; /* a vendor's, whose sub-groups the device does not have */

static cl_int CL_API_CALL vendor_GetDeviceInfo(cl_device_id id, cl_device_info what, size_t room,
                                               void *value, size_t *size)
{
    const cl_device_type gpu = CL_DEVICE_TYPE_GPU;
    const cl_uint lanes = 32;
    const void *answer;
    size_t bytes;
    switch (what) {
    case CL_DEVICE_EXTENSIONS:
        answer = claimed_extension;
        bytes = strlen(claimed_extension) + 1;
        break;
    case CL_DEVICE_TYPE:
        answer = &gpu;
        bytes = sizeof(gpu);
        break;
    case 0x4003: /* CL_DEVICE_WARP_SIZE_NV */
    case 0x4043: /* CL_DEVICE_WAVEFRONT_WIDTH_AMD */
        answer = &lanes;
        bytes = sizeof(lanes);
        break;
    default:
        return real.GetDeviceInfo(id, what, room, value, size);
    }
    return answer_info(answer, bytes, room, value, size);
}

/* Those of the driver that is lied about. */
static void ignore_quirks(void)
{
    assert_int_equal(setenv("ANYNORM_QUIRKS", "off", 1), 0);
}

static unsigned without_subgroups; /* warnings */

static void count_warnings(void *user, anynorm_log_level level, const char *line)
{
    (void)user;
    without_subgroups += level == ANYNORM_LOG_WARN && strstr(line, "without sub-groups");
}

/* A compiler that fails at sub-groups: the plan is made without them, unless the caller insists,
 * and a device says so once. */
static void test_subgroups_not_built(void **state)
{
    (void)state;
    if (!have_device())
        return;
    anynorm_device *device = NULL;
    anynorm_device_info info;
    anynorm_plan_info made;
    const anynorm_spec usual = usual_spec(), longer = {.columns = 2000, .flags = ANYNORM_WEIGHT};
    claimed_extension = "cl_amd_device_attribute_query";
    ignore_quirks();
    table->GetDeviceInfo = vendor_GetDeviceInfo;
    assert_ok(anynorm_device_open(device_id, &device));
    assert_ok(anynorm_device_describe(device, &info));
    assert_int_equal(info.subgroup_size, 32);
    assert_int_equal(info.shuffle, ANYNORM_SHUFFLE_AMD);
    without_subgroups = 0;
    anynorm_log_set(count_warnings, NULL, ANYNORM_LOG_DEBUG);
    anynorm_plan *plan = make_plan(device, &usual, NULL);
    assert_ok(anynorm_plan_describe(plan, &made));
    assert_string_equal(made.schedule, "row_per_group");
    assert_null(strstr(made.choice, "subgroup="));
    assert_ok(wait_for_usual(device, plan));
    anynorm_plan_destroy(plan);
    plan = make_plan(device, &longer, "row_per_group rows=1");
    assert_ok(anynorm_plan_describe(plan, &made));
    assert_null(strstr(made.choice, "subgroup="));
    anynorm_plan_destroy(plan);
    anynorm_plan_options insists = {.schedule = "row_per_subgroup subgroup=32"};
    anynorm_plan_options lets = {.schedule = "row_per_subgroup"};
    plan = NULL;
    assert_status(anynorm_plan_create(device, &usual, &insists, &plan), ANYNORM_BUILD_FAILED);
    assert_status(anynorm_plan_create(device, &usual, &lets, &plan), ANYNORM_UNSUPPORTED);
    anynorm_log_set(NULL, NULL, ANYNORM_LOG_NONE);
    assert_int_equal(without_subgroups, 1);
    assert_null(plan);
    anynorm_device_close(device);
}

/* Each vendor's way to say how large its sub-groups are, and what is no size. */
static void test_subgroup_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *extensions;
        anynorm_shuffle shuffle;
    } vendors[] = {
        {"cl_khr_fp64 cl_nv_device_attribute_query", ANYNORM_SHUFFLE_PTX},
        {"cl_amd_device_attribute_query cl_khr_subgroups", ANYNORM_SHUFFLE_AMD},
        {"cl_nv_device_attribute_query_2", ANYNORM_SHUFFLE_NONE},
        {"cl_khr_subgroup_shuffle", ANYNORM_SHUFFLE_NONE},
        {"", ANYNORM_SHUFFLE_NONE},
    };
    if (!have_device())
        return;
    ignore_quirks();
    table->GetDeviceInfo = vendor_GetDeviceInfo;
    for (size_t i = 0; i < COUNT(vendors); i++) {
        anynorm_device *device = NULL;
        anynorm_device_info info;
        claimed_extension = vendors[i].extensions;
        assert_ok(anynorm_device_open(device_id, &device));
        assert_ok(anynorm_device_describe(device, &info));
        assert_int_equal(info.shuffle, vendors[i].shuffle);
        assert_int_equal(info.subgroup_size, vendors[i].shuffle ? 32 : 0);
        anynorm_device_close(device);
    }
}

static size_t claimed_subgroup;

static cl_int CL_API_CALL lying_GetKernelSubGroupInfo(cl_kernel kernel, cl_device_id device,
                                                      cl_uint what, size_t given, const void *input,
                                                      size_t room, void *value, size_t *size)
{
    (void)kernel, (void)device, (void)what, (void)given, (void)input, (void)size;
    if (claimed_subgroup == 0)
        return CL_INVALID_OPERATION;
    assert_int_equal(room, sizeof(claimed_subgroup));
    memcpy(value, &claimed_subgroup, room);
    return CL_SUCCESS;
}

/* A compiler that took another size than it was told: no kernel of that size is used. */
static void test_subgroup_of_another_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 8, 32};
    if (!have_device())
        return;
    ignore_quirks();
    anynorm_device *device = open_device(device_id);
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(device, &info));
    const anynorm_spec spec = usual_spec();
    for (size_t i = 0; i < 3 && info.subgroup_size == 16; i++) {
        anynorm_plan_options options = {.schedule = "row_per_subgroup"};
        anynorm_plan *plan = NULL;
        claimed_subgroup = sizes[i];
        table->GetKernelSubGroupInfo = lying_GetKernelSubGroupInfo;
        assert_status(anynorm_plan_create(device, &spec, &options, &plan), ANYNORM_UNSUPPORTED);
        options.schedule = "row_per_group subgroup=16";
        assert_status(anynorm_plan_create(device, &spec, &options, &plan), ANYNORM_UNSUPPORTED);
        assert_null(plan);
    }
    if (info.subgroup_size != 16)
        fprintf(stderr, "# skipped: the device has no sub-groups of 16\n");
    anynorm_device_close(device);
}

/* ---- Kernels that fail ---- */

static cl_int lied_state;

static cl_int CL_API_CALL lying_GetEventInfo(cl_event event, cl_event_info what, size_t room,
                                             void *value, size_t *size)
{
    cl_int code = real.GetEventInfo(event, what, room, value, size);
    if (code == CL_SUCCESS && what == CL_EVENT_COMMAND_EXECUTION_STATUS && value)
        memcpy(value, &lied_state, sizeof(lied_state));
    return code;
}

/* clWaitForEvents says that all is well; the kernel's own status does not. */
static void test_kernel_failure(void **state)
{
    (void)state;
    if (!have_device())
        return;
    anynorm_spec spec = usual_spec();
    anynorm_device *device = open_device(device_id);
    anynorm_plan *plan = make_plan(device, &spec, NULL);
    assert_ok(wait_for_usual(device, plan));
    table->GetEventInfo = lying_GetEventInfo;
    static const cl_int states[] = {-1, -5, -9999, CL_RUNNING};
    for (size_t i = 0; i < COUNT(states); i++) {
        lied_state = states[i];
        assert_status(wait_for_usual(device, plan), ANYNORM_DEVICE_LOST);
        float x[100] = {1}, y[96], mean, rstd, parameters[96] = {0};
        anynorm_host_tensors host = {
            .x = x, .y = y, .weight = parameters, .bias = parameters, .mean = &mean, .rstd = &rstd};
        assert_status(anynorm_run(plan, &host, 1), ANYNORM_DEVICE_LOST);
    }
    restore(NULL);
    assert_ok(wait_for_usual(device, plan));
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_build_failure, restore),
        cmocka_unit_test_teardown(test_kernel_limit, restore),
        cmocka_unit_test_teardown(test_subgroups_not_built, restore),
        cmocka_unit_test_teardown(test_subgroup_sizes, restore),
        cmocka_unit_test_teardown(test_subgroup_of_another_size, restore),
        cmocka_unit_test_teardown(test_kernel_failure, restore),
    };
    return cmocka_run_group_tests_name("compilers", tests, take_table, NULL);
}
