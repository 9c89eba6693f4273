/* Plans that are warm: nothing is left to compile when they first run. The calls into OpenCL are
 * counted, and made to fail. */
#include "cold.h"
#include "fault_table.h"

static int launches;
static struct an_cl inner; /* the fault table's functions */

static cl_int CL_API_CALL count_launch(cl_command_queue a, cl_kernel b, cl_uint c, const size_t *d,
                                       const size_t *e, const size_t *f, cl_uint g,
                                       const cl_event *h, cl_event *i)
{
    launches++;
    return inner.EnqueueNDRangeKernel(a, b, c, d, e, f, g, h, i);
}

static int install(void **state)
{
    (void)state;
    if (!cold.device_id[0])
        return 0;
    fault_install();
    inner = *fault_table();
    fault_table()->EnqueueNDRangeKernel = count_launch;
    return 0;
}

/* How many kernels PoCL has compiled for a work-group size so far. */
static int count_objects(void)
{
    int objects = count_files(cold.pocl, ".so", NULL, 0);
    assert_true(objects >= 0);
    return objects;
}

static void run_rows(anynorm_device *device, anynorm_plan *plan, const anynorm_spec *spec,
                     uint64_t rows)
{
    struct problem problem = {.spec = *spec, .rows = rows, .seed = 3};
    struct errors worst = {0};
    check_plan(device, plan, &problem, "after warm-up", &worst);
}

static void warm_and_run(anynorm_device *device, const char *schedule, bool compiles)
{
    const uint64_t rows = reduced() ? 40 : 3000;
    anynorm_spec spec = {
        .columns = 33, .flags = ANYNORM_WEIGHT | ANYNORM_MEAN_OUTPUT, .statistic.eps = 1e-5};
    anynorm_plan *plan = make_plan(device, &spec, schedule);
    int before = count_objects();
    launches = 0;
    assert_ok(anynorm_plan_warm_up(plan, rows));
    assert_true(launches == 1 || launches == 2);
    int warm = count_objects();
    if (compiles)
        assert_true(warm > before);
    run_rows(device, plan, &spec, 1);
    run_rows(device, plan, &spec, rows);
    assert_int_equal(count_objects(), warm);
    assert_ok(anynorm_plan_warm_up(plan, rows)); /* in between, it changes nothing */
    run_rows(device, plan, &spec, rows);
    anynorm_plan_destroy(plan);
}

static void test_warm_up(void **state)
{
    REQUIRE_DEVICE;
    anynorm_device *device = open_device(cold.device_id);
    bool pocl = is_pocl(device);
    warm_and_run(device, NULL, pocl);
    warm_and_run(device, "row_per_group group=32", pocl);
    warm_and_run(device, "row_reread group=32", pocl);
    anynorm_device_close(device);
}

static void test_warm_up_fails(void **state)
{
    REQUIRE_DEVICE;
    const anynorm_spec spec = usual_problem(1).spec;
    anynorm_device *device = open_device(cold.device_id);
    anynorm_plan *plan = make_plan(device, &spec, "row_reread group=32");
    struct live live = fault_start(0, false, 0);
    bool fired = true;
    for (unsigned long at = 1; fired; at++) {
        fault_start(at, false, CL_OUT_OF_RESOURCES);
        fault_arm();
        anynorm_status status = anynorm_plan_warm_up(plan, 100);
        fired = fault_now()->fired > 0;
        assert_int_equal(status == ANYNORM_OK, !fired);
        fault_stop();
        assert_true(at < 100);
    }
    fault_check_live(&live);
    run_rows(device, plan, &spec, 9);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_warm_up, install, uninstall_faults),
        cmocka_unit_test_setup_teardown(test_warm_up_fails, install, uninstall_faults),
    };
    int failed = cmocka_run_group_tests_name("warm", tests, make_cold, remove_cold);
    fault_print("warm-up");
    return failed;
}
