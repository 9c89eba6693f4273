/* Work that fails after it was enqueued: a kernel whose wait list failed, or whose end a driver
 * tells in one of several ways, a device that is lost, a read that fails. Each wait says so, every
 * time, and what was not computed is never taken for data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl_support.h"

#include "fault_table.h"

static char device_id[32];
static struct an_cl inner; /* the fault table's functions */

static int install(void **state)
{
    (void)state;
    if (!device_id[0])
        return 0;
    fault_install();
    inner = *fault_table();
    return 0;
}

static int uninstall(void **state)
{
    (void)state;
    if (device_id[0])
        fault_uninstall();
    return 0;
}

/* ---- Kernels that fail ---- */

static unsigned long launches, fails_at; /* this launch of the next fails; 0: none */
static unsigned long failed;             /* over all tests */
static cl_event poison;                  /* fails at the first wait; NULL: none */
static bool poisoned;

/* The kernel waits for an event, too, that fails once it is waited for: with one that has failed
 * before, PoCL 3.1 waits for ever. */
static cl_int CL_API_CALL launch(cl_command_queue a, cl_kernel b, cl_uint c, const size_t *d,
                                 const size_t *e, const size_t *f, cl_uint count,
                                 const cl_event *list, cl_event *event)
{
    cl_event waits[ANYNORM_MAX_WAIT + 2];
    if (++launches != fails_at)
        return inner.EnqueueNDRangeKernel(a, b, c, d, e, f, count, list, event);
    for (cl_uint i = 0; i < count; i++)
        waits[i] = list[i];
    waits[count] = poison;
    poisoned = true;
    failed++;
    return inner.EnqueueNDRangeKernel(a, b, c, d, e, f, count + 1, waits, event);
}

static cl_int CL_API_CALL wait_poisoned(cl_uint count, const cl_event *events)
{
    if (poisoned)
        assert_cl(clSetUserEventStatus(poison, -77));
    poisoned = false;
    return inner.WaitForEvents(count, events);
}

struct scene {
    struct problem problem;
    struct images before;
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_tensors tensors;
};

/* On a device of its own: its queue is of no more use afterwards. */
static void make_scene(struct scene *scene, const char *caps, const char *schedule)
{
    *scene = (struct scene){.problem = usual_problem(21)};
    memset(scene->problem.offset, 0, sizeof(scene->problem.offset));
    images_make(&scene->problem, &scene->before);
    scene->device = caps ? open_device_with(device_id, caps) : open_device(device_id);
    scene->plan = make_plan(scene->device, &scene->problem.spec, schedule);
    assert_ok(anynorm_plan_warm_up(scene->plan, scene->problem.rows));
    for (int t = 0; t < PLAIN_TENSORS && !caps; t++) {
        anynorm_buffer *slot = an_tensor_slot(&scene->tensors, (enum an_tensor)t);
        assert_ok(anynorm_buffer_create(scene->device, scene->before.size[t], slot));
        assert_ok(anynorm_buffer_write(scene->device, slot, scene->before.bytes[t],
                                       scene->before.size[t]));
    }
    launches = fails_at = 0;
}

/* The k-th kernel from now on. */
static void fail_kernel(const struct scene *scene, unsigned long k)
{
    cl_context context;
    cl_int code;
    assert_ok(anynorm_opencl_device_handles(scene->device, &context, NULL));
    poison = clCreateUserEvent(context, &code);
    assert_cl(code);
    launches = 0;
    fails_at = k;
    fault_table()->EnqueueNDRangeKernel = launch;
    fault_table()->WaitForEvents = wait_poisoned;
}

static void free_scene(struct scene *scene)
{
    fault_table()->EnqueueNDRangeKernel = inner.EnqueueNDRangeKernel;
    fault_table()->WaitForEvents = inner.WaitForEvents;
    for (int t = 0; t < PLAIN_TENSORS; t++)
        anynorm_buffer_destroy(scene->device, an_tensor_slot(&scene->tensors, (enum an_tensor)t));
    anynorm_plan_destroy(scene->plan);
    anynorm_device_close(scene->device);
    if (poison)
        assert_cl(clReleaseEvent(poison));
    poison = NULL;
    images_free(&scene->before);
}

static void check_lost(const anynorm_event *event)
{
    uint64_t nanoseconds = 77;
    for (int i = 0; i < 3; i++) {
        assert_status(anynorm_event_wait(event), ANYNORM_DEVICE_LOST);
        assert_non_null(strstr(anynorm_message(), "failed"));
    }
    /* No time of it, or one at least that the driver did measure. */
    if (anynorm_event_elapsed(event, &nanoseconds) != ANYNORM_OK)
        assert_int_equal(nanoseconds, 77);
}

/* y is as it was: no kernel wrote it. */
static void check_untouched(const struct scene *scene)
{
    cl_context context;
    cl_device_id id;
    cl_int code;
    unsigned char *now = malloc((size_t)scene->before.size[AN_Y]);
    assert_non_null(now);
    assert_ok(anynorm_opencl_device_handles(scene->device, &context, &id));
    cl_command_queue queue = clCreateCommandQueue(context, id, 0, &code);
    assert_cl(code);
    cl_mem y = scene->tensors.y.handle;
    assert_cl(clEnqueueReadBuffer(queue, y, CL_TRUE, 0, (size_t)scene->before.size[AN_Y], now, 0,
                                  NULL, NULL));
    assert_memory_equal(now, scene->before.bytes[AN_Y], (size_t)scene->before.size[AN_Y]);
    assert_cl(clReleaseCommandQueue(queue));
    free(now);
}

/* The k-th kernel of an enqueue fails, and so does what waits for the enqueue. */
static void fail_enqueue(const char *schedule, unsigned long kernels)
{
    for (unsigned long k = 1; k <= kernels; k++) {
        struct scene scene;
        anynorm_event event, after, marker;
        make_scene(&scene, NULL, schedule);
        fail_kernel(&scene, k);
        assert_ok(anynorm_enqueue(scene.plan, &scene.tensors, scene.problem.rows, 0, NULL, &event));
        assert_int_equal(launches, kernels);
        assert_ok(
            anynorm_enqueue(scene.plan, &scene.tensors, scene.problem.rows, 1, &event, &after));
        assert_ok(anynorm_enqueue(scene.plan, &scene.tensors, 0, 1, &event, &marker));
        check_lost(&after);
        check_lost(&marker);
        check_lost(&event);
        check_untouched(&scene);
        anynorm_event_release(&event);
        anynorm_event_release(&after);
        anynorm_event_release(&marker);
        free_scene(&scene);
    }
}

static void fail_run(const char *caps, const char *schedule)
{
    unsigned long kernels = 1;
    for (unsigned long k = 1; k <= kernels; k++) {
        struct scene scene;
        void *at[AN_TENSOR_COUNT] = {NULL};
        make_scene(&scene, caps, schedule);
        struct images copy = images_copy(&scene.before);
        for (int t = 0; t < PLAIN_TENSORS; t++)
            at[t] = copy.bytes[t];
        anynorm_host_tensors host = host_tensors_at(at);
        if (k == 1) {
            fail_kernel(&scene, 0); /* none yet: how many there are */
            assert_ok(anynorm_run(scene.plan, &host, scene.problem.rows));
            kernels = launches;
            assert_cl(clReleaseEvent(poison));
        }
        fail_kernel(&scene, k);
        assert_status(anynorm_run(scene.plan, &host, scene.problem.rows), ANYNORM_DEVICE_LOST);
        assert_non_null(strstr(anynorm_message(), "failed"));
        images_free(&copy);
        free_scene(&scene);
    }
}

static bool is_there(void)
{
    struct caller caller = {.id = ""};
    if (!device_id[0])
        return false;
    anynorm_device *device = open_device(device_id);
    assert_ok(anynorm_device_describe(device, &caller.info));
    anynorm_device_close(device);
    return has_user_events(&caller);
}

static void test_kernels_fail(void **state)
{
    (void)state;
    if (!is_there())
        return;
    fail_enqueue(NULL, 1);
    fail_enqueue("row_split segment=32 group=32", 2);
    fail_run("no-unified", NULL);
    fail_run("no-unified,max-alloc=1200", NULL);
    fail_run("no-unified", "row_split segment=32 group=32");
    fprintf(stderr, "%lu kernels failed\n", failed);
}

/* ---- What drivers tell of it ---- */

static cl_int wait_code, state_code, event_state;

static cl_int CL_API_CALL wait_for(cl_uint count, const cl_event *events)
{
    cl_int code = inner.WaitForEvents(count, events);
    return wait_code != CL_SUCCESS ? wait_code : code;
}

static cl_int CL_API_CALL tell_state(cl_event event, cl_event_info what, size_t size, void *value,
                                     size_t *returned)
{
    cl_int code = inner.GetEventInfo(event, what, size, value, returned);
    if (state_code != CL_SUCCESS)
        return state_code;
    if (what == CL_EVENT_COMMAND_EXECUTION_STATUS && event_state != CL_COMPLETE)
        *(cl_int *)value = event_state;
    return code;
}

/* The wait alone tells, or the state alone, or neither can be had. */
static void test_every_way_to_tell(void **state)
{
    static const struct {
        cl_int wait, state, event;
    } ways[] = {
        {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, CL_SUCCESS, CL_COMPLETE},
        {CL_SUCCESS, CL_SUCCESS, CL_OUT_OF_RESOURCES},
        {CL_SUCCESS, CL_SUCCESS, -9999},
        {CL_SUCCESS, CL_INVALID_EVENT, CL_COMPLETE},
        {CL_OUT_OF_RESOURCES, CL_OUT_OF_RESOURCES, CL_COMPLETE},
        {CL_DEVICE_NOT_AVAILABLE, CL_DEVICE_NOT_AVAILABLE, -14},
        {CL_OUT_OF_HOST_MEMORY, CL_SUCCESS, CL_COMPLETE},
    };
    (void)state;
    if (!device_id[0])
        return;
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct scene scene;
        anynorm_event event;
        make_scene(&scene, NULL, NULL);
        assert_ok(anynorm_enqueue(scene.plan, &scene.tensors, scene.problem.rows, 0, NULL, &event));
        wait_code = ways[i].wait;
        state_code = ways[i].state;
        event_state = ways[i].event;
        fault_table()->WaitForEvents = wait_for;
        fault_table()->GetEventInfo = tell_state;
        check_lost(&event);
        assert_status(anynorm_plan_warm_up(scene.plan, 3), ANYNORM_DEVICE_LOST);
        fault_table()->WaitForEvents = inner.WaitForEvents;
        fault_table()->GetEventInfo = inner.GetEventInfo;
        assert_ok(anynorm_event_wait(&event)); /* it was only said */
        anynorm_event_release(&event);
        free_scene(&scene);
    }
}

/* ---- Reads ---- */

static cl_int read_code;

static cl_int CL_API_CALL read_buffer(cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e,
                                      void *f, cl_uint g, const cl_event *h, cl_event *event)
{
    (void)inner.EnqueueReadBuffer(a, b, c, d, e, f, g, h, event);
    return read_code;
}

static void test_reads_fail(void **state)
{
    static const struct {
        cl_int code;
        anynorm_status status;
    } ways[] = {{CL_OUT_OF_RESOURCES, ANYNORM_OUT_OF_MEMORY},
                {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, ANYNORM_DEVICE_LOST},
                {CL_DEVICE_NOT_AVAILABLE, ANYNORM_DEVICE_LOST}};
    (void)state;
    if (!device_id[0])
        return;
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct scene scene;
        float mean;
        make_scene(&scene, "no-unified", NULL);
        struct images copy = images_copy(&scene.before);
        void *at[AN_TENSOR_COUNT] = {NULL};
        anynorm_buffer buffer;
        for (int t = 0; t < PLAIN_TENSORS; t++)
            at[t] = copy.bytes[t];
        anynorm_host_tensors host = host_tensors_at(at);
        assert_ok(anynorm_buffer_create(scene.device, sizeof(mean), &buffer));
        read_code = ways[i].code;
        fault_table()->EnqueueReadBuffer = read_buffer;
        for (int time = 0; time < 3; time++) {
            assert_status(anynorm_buffer_read(scene.device, &buffer, &mean, sizeof(mean)),
                          ways[i].status);
            assert_non_null(strstr(anynorm_message(), "clEnqueueReadBuffer"));
            assert_status(anynorm_run(scene.plan, &host, scene.problem.rows), ways[i].status);
        }
        fault_table()->EnqueueReadBuffer = inner.EnqueueReadBuffer;
        assert_ok(anynorm_run(scene.plan, &host, scene.problem.rows));
        anynorm_buffer_destroy(scene.device, &buffer);
        images_free(&copy);
        free_scene(&scene);
    }
}

static int find_device(void **state)
{
    (void)state;
    find_opencl_device(device_id);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kernels_fail, install, uninstall),
        cmocka_unit_test_setup_teardown(test_every_way_to_tell, install, uninstall),
        cmocka_unit_test_setup_teardown(test_reads_fail, install, uninstall),
    };
    return cmocka_run_group_tests_name("opencl lost", tests, find_device, NULL);
}
