/* Every call into OpenCL fails once, and from some point on always: the caller must be told,
 * nothing may leak, and no result may be wrong. The library's table of functions is replaced by one
 * that fails the Nth call, for N = 1, 2, 3 ... until a whole scenario runs without meeting it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opencl_support.h"

#include "fault_table.h"

/* The host memory of one problem, the right results, and what a scenario makes. */
struct scene {
    struct problem problem;
    struct images before;
    struct images expected;
    anynorm_spec spec;
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_buffer buffers[AN_TENSOR_COUNT];
    anynorm_event event;
};

static char device_id[32];
static struct problem wanted; /* of the scenes that are made */

static int find_device(void **state)
{
    (void)state;
    find_opencl_device(device_id);
    wanted = usual_problem(3);
    return 0;
}

static int tell_faults(void **state)
{
    (void)state;
    fault_print("OpenCL");
    return 0;
}

static void scene_make(struct scene *scene)
{
    struct problem problem = wanted;
    memset(problem.offset, 0,
           sizeof(problem.offset)); /* so that anynorm_run takes the images, too */
    *scene = (struct scene){.problem = problem, .spec = problem.spec};
    images_make(&problem, &scene->before);
    anynorm_device *device = open_device(device_id);
    anynorm_plan *plan = make_plan(device, &problem.spec, NULL);
    struct errors worst = {0};
    run_on_device(device, plan, &problem, &scene->before, &scene->expected);
    check_against_oracle(&problem, &scene->before, &scene->expected, "without a fault", &worst);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

static void scene_free(struct scene *scene)
{
    images_free(&scene->before);
    images_free(&scene->expected);
}

/* ---- Judging a step ---- */

static anynorm_status status_of(const struct fault *fault)
{
    if (strstr(fault->call, "clWaitForEvents") ||
        (strstr(fault->call, "clGetEventInfo") && !strstr(fault->step, "anynorm_enqueue") &&
         !strstr(fault->step, "event_wrap")))
        return fault->in_unmap || strstr(fault->step, "elapsed") ? ANYNORM_OK : ANYNORM_DEVICE_LOST;
    if (strcmp(fault->call, "clBuildProgram") == 0)
        return fault->code == CL_OUT_OF_RESOURCES ? ANYNORM_OUT_OF_MEMORY : ANYNORM_BUILD_FAILED;
    return fault->code == CL_OUT_OF_RESOURCES ? ANYNORM_OUT_OF_MEMORY : ANYNORM_DEVICE_LOST;
}

/* A query of the device that fails makes the device poorer, not the call; host memory that cannot
 * be wrapped is copied; a flush only hurries; an event that cannot be held costs its plan a piece
 * of scratch memory; and an enqueue's look at the last event of the device's queue is for failures
 * that show later, too. */
static bool may_succeed(const struct fault *fault)
{
    if (strcmp(fault->call, "clGetEventInfo") == 0 &&
        strncmp(fault->step, "anynorm_enqueue", 15) == 0)
        return true;
    return strcmp(fault->call, "clGetDeviceInfo") == 0 ||
           strcmp(fault->call, "clGetPlatformInfo") == 0 || strcmp(fault->call, "clFlush") == 0 ||
           (strcmp(fault->call, "clCreateBuffer") == 0 && strstr(fault->step, "anynorm_run")) ||
           (strcmp(fault->call, "clRetainEvent") == 0 && !strstr(fault->step, "event_wrap"));
}

static void fail_step(const struct fault *fault, anynorm_status status, const char *why)
{
    fprintf(stderr, "call %lu%s, %s failing with %d in %s: %s; status \"%s\", message: %s\n",
            fault->at, fault->sticky ? " on" : "", fault->call, (int)fault->code, fault->step, why,
            anynorm_status_name(status), anynorm_message());
    fail();
}

enum verdict { WENT_WELL, TRY_AGAIN, GIVE_UP };

static enum verdict judge(anynorm_status status, bool untouched, unsigned long fired_before)
{
    struct fault *fault = fault_now();
    bool fired = fault->fired > fired_before;
    if (!fired) {
        if (status != ANYNORM_OK)
            fail_step(fault, status, "fails without a fault");
        return WENT_WELL;
    }
    if (status == ANYNORM_OK) {
        if (!may_succeed(fault))
            fail_step(fault, status, "the fault was swallowed");
        return WENT_WELL;
    }
    if (!untouched)
        fail_step(fault, status, "an output was written");
    if (!may_succeed(fault)) {
        anynorm_status expected = status_of(fault);
        if (expected != ANYNORM_OK && status != expected)
            fail_step(fault, status, anynorm_status_name(expected));
        /* Where every call fails, so does the tidying up, which may have the last word. */
        if (!strstr(anynorm_message(), fault->sticky ? " failed" : fault->call))
            fail_step(fault, status, "the message does not name the call");
    }
    return fault->sticky ? GIVE_UP : TRY_AGAIN;
}

/* Makes a call; after a fault that strikes once, makes it again, which must then succeed. */
#define STEP(call, untouched)                                                                      \
    do {                                                                                           \
        enum verdict verdict_;                                                                     \
        do {                                                                                       \
            unsigned long fired_ = fault_now()->fired;                                             \
            fault_now()->step = #call;                                                             \
            anynorm_status status_ = (call);                                                       \
            verdict_ = judge(status_, (untouched), fired_);                                        \
        } while (verdict_ == TRY_AGAIN);                                                           \
        if (verdict_ == GIVE_UP)                                                                   \
            goto out;                                                                              \
    } while (0)

static void check_bytes(const struct scene *scene, int tensor, const void *got)
{
    if (!got || tensor == AN_WORKSPACE)
        return;
    if (memcmp(got, scene->expected.bytes[tensor], (size_t)scene->expected.size[tensor]) != 0)
        fail_step(fault_now(), ANYNORM_OK, "wrong data was delivered");
}

/* ---- Scenarios ---- */

/* Opening and compiling. */
static void open_and_plan(struct scene *scene)
{
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    STEP(anynorm_device_open(device_id, &device), device == NULL);
    STEP(anynorm_plan_create(device, &scene->spec, NULL, &plan), plan == NULL);
    float y[7 * 96 + 16], mean[7 + 16], rstd[7 + 16];
    assert_true(sizeof(y) == scene->before.size[AN_Y] &&
                sizeof(mean) == scene->before.size[AN_MEAN]);
    memcpy(y, scene->before.bytes[AN_Y], sizeof(y));
    memcpy(mean, scene->before.bytes[AN_MEAN], sizeof(mean));
    memcpy(rstd, scene->before.bytes[AN_RSTD], sizeof(rstd));
    anynorm_host_tensors host = {.x = scene->before.bytes[AN_X],
                                 .y = y,
                                 .weight = scene->before.bytes[AN_WEIGHT],
                                 .bias = scene->before.bytes[AN_BIAS],
                                 .mean = mean,
                                 .rstd = rstd};
    /* A device that tells less of itself may choose another kernel, whose last bits differ. */
    STEP(anynorm_run(plan, &host, scene->problem.rows), true);
    struct images after = {.bytes = {NULL}};
    struct errors worst = {0};
    const void *outputs[AN_TENSOR_COUNT] = {[AN_Y] = y, [AN_MEAN] = mean, [AN_RSTD] = rstd};
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        after.size[t] = scene->before.size[t];
        after.bytes[t] = malloc((size_t)after.size[t]);
        assert_non_null(after.bytes[t]);
        memcpy(after.bytes[t], outputs[t] ? outputs[t] : scene->before.bytes[t],
               (size_t)after.size[t]);
    }
    check_against_oracle(&scene->problem, &scene->before, &after, fault_now()->call, &worst);
    images_free(&after);
out:
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

/* Buffers, the enqueue, and what follows, on a plan made before. */
static void buffers_and_enqueue(struct scene *scene)
{
    anynorm_device *device = scene->device;
    anynorm_tensors tensors = {.x = {0}};
    anynorm_event first = {0}, second = {0};
    unsigned char *read = NULL;
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_buffer *buffer = &scene->buffers[t];
        if (!scene->before.bytes[t])
            continue;
        STEP(anynorm_buffer_create(device, scene->before.size[t], buffer), buffer->kind == 0);
        STEP(anynorm_buffer_write(device, buffer, scene->before.bytes[t], scene->before.size[t]),
             true);
        *an_tensor_slot(&tensors, (enum an_tensor)t) = *buffer;
    }
    STEP(anynorm_enqueue(scene->plan, &tensors, scene->problem.rows - 1, 0, NULL, &first),
         !first.valid);
    STEP(anynorm_enqueue(scene->plan, &tensors, scene->problem.rows, 1, &first, &second),
         !second.valid);
    anynorm_event_release(&first);
    STEP(anynorm_enqueue(scene->plan, &tensors, 0, 1, &second, &first), !first.valid);
    STEP(anynorm_event_wait(&first), true);
    STEP(anynorm_event_wait(&second), true);
    uint64_t elapsed = 77;
    STEP(anynorm_event_elapsed(&second, &elapsed), elapsed == 77);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!scene->before.bytes[t])
            continue;
        read = malloc((size_t)scene->before.size[t]);
        assert_non_null(read);
        STEP(anynorm_buffer_read(device, &scene->buffers[t], read, scene->before.size[t]), true);
        check_bytes(scene, t, read);
        free(read);
        read = NULL;
    }
out:
    free(read);
    /* What was enqueued before a fault still runs, on memory that is about to go. */
    if (first.valid)
        (void)anynorm_event_wait(&first);
    if (second.valid)
        (void)anynorm_event_wait(&second);
    anynorm_event_release(&first);
    anynorm_event_release(&second);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        anynorm_buffer_destroy(device, &scene->buffers[t]);
}

/* anynorm_run, in place on the host's memory or with copies, in one block or several. */
static void run_on_host(struct scene *scene)
{
    struct images copies = images_copy(&scene->before);
    void *at[AN_TENSOR_COUNT];
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        at[t] = copies.bytes[t];
    anynorm_host_tensors host = host_tensors_at(at);
    STEP(anynorm_run(scene->plan, &host, scene->problem.rows), true);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        check_bytes(scene, t, copies.bytes[t]);
out:
    fault_real()->Finish(fault_queue());
    images_free(&copies);
}

/* The caller's own context, queue, memory and events; the caller's own calls do not fail. */
static void wrapped(struct scene *scene)
{
    const struct an_cl *real = fault_real();
    struct caller caller = {.id = "", .queue = NULL};
    anynorm_plan *plan = NULL;
    struct work work;
    cl_event done = NULL;
    anynorm_event event = {0};
    assert_ok(anynorm_opencl_device_handles(scene->device, &caller.context, &caller.cl_id));
    work_make(&(struct caller){.context = caller.context, .device = scene->device},
              &(struct problem){
                  .spec = scene->spec, .rows = scene->problem.rows, .seed = scene->problem.seed},
              &work);
    caller.queue = make_queue(&caller, 0);
    fault_arm();
    STEP(anynorm_opencl_device_wrap(caller.context, caller.cl_id, &caller.device),
         caller.device == NULL);
    STEP(anynorm_plan_create(caller.device, &scene->spec, NULL, &plan), plan == NULL);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_buffer buffer = {0};
        if (!work.memory[t])
            continue;
        STEP(anynorm_opencl_buffer_wrap(caller.device, work.memory[t], &buffer), buffer.kind == 0);
        *an_tensor_slot(&work.tensors, (enum an_tensor)t) = buffer;
    }
    STEP(anynorm_opencl_enqueue(plan, caller.queue, &work.tensors, 0, 0, NULL, NULL), true);
    /* Of gradients the first of two launches may be under way. */
    STEP(anynorm_opencl_enqueue(plan, caller.queue, &work.tensors, work.problem.rows, 0, NULL,
                                &done),
         done == NULL &&
             (an_spec_backward(&scene->spec) || work_is_untouched(&work, caller.queue)));
    STEP(anynorm_opencl_event_wrap(caller.device, done, &event), !event.valid);
    STEP(anynorm_event_wait(&event), true);
    fault_now()->step = "anynorm_opencl_event_get";
    assert_ptr_equal(anynorm_opencl_event_get(&event), done);
    work_check(&work, caller.queue, fault_now()->call);
out:
    real->Finish(caller.queue);
    anynorm_event_release(&event);
    if (done)
        fault_table()->ReleaseEvent(done);
    anynorm_plan_destroy(plan);
    anynorm_device_close(caller.device);
    real->ReleaseCommandQueue(caller.queue);
    work_free(&work);
}

/* A plan of two launches holds events of its last enqueue; so these end with their plan. */
static void with_own_plan(struct scene *scene, void (*scenario)(struct scene *))
{
    anynorm_plan *shared = scene->plan;
    scene->plan = make_plan(scene->device, &scene->spec, NULL);
    fault_arm();
    scenario(scene);
    anynorm_plan_destroy(scene->plan);
    scene->plan = shared;
}

static void own_buffers_and_enqueue(struct scene *scene)
{
    with_own_plan(scene, buffers_and_enqueue);
}

static void own_run_on_host(struct scene *scene)
{
    with_own_plan(scene, run_on_host);
}

/* One row leaves a core idle, and is split. */
static void split_wrapped(struct scene *scene)
{
    uint64_t rows = scene->problem.rows;
    scene->problem.rows = 1;
    wrapped(scene);
    scene->problem.rows = rows;
}

/* ---- The loop ---- */

static void fail_each_call(struct scene *scene, const char *name, void (*scenario)(struct scene *))
{
    static const cl_int codes[] = {CL_OUT_OF_RESOURCES, CL_DEVICE_NOT_AVAILABLE};
    unsigned long total = 0, step = wanted.spec.flags != ALL_FLAGS && reduced() ? 5 : 1;
    bool arms_itself = scenario == wrapped || scenario == split_wrapped ||
                       scenario == own_buffers_and_enqueue || scenario == own_run_on_host;
    for (int sticky = 0; sticky < 2; sticky++) {
        unsigned long at = 1;
        for (bool fired = true; fired; at += step) {
            struct live live = fault_start(at, sticky != 0, codes[at % 2]);
            if (!arms_itself)
                fault_arm();
            scenario(scene);
            fired = fault_now()->fired > 0;
            total += fired;
            fault_stop();
            if (scene->plan) /* the next command of a device lets go of the last it had doubts of */
                assert_ok(anynorm_plan_warm_up(scene->plan, 1));
            fault_check_live(&live);
            assert_true(at < 2000);
        }
        if (at <= 4)
            fprintf(stderr, "%s: only %lu calls\n", name, at);
        assert_true(at > 4);
    }
    fprintf(stderr, "%s: %lu runs with a fault\n", name, total);
}

static void open_scene(struct scene *scene, const char *caps)
{
    scene_make(scene);
    scene->device = caps ? open_device_with(device_id, caps) : open_device(device_id);
    scene->plan = make_plan(scene->device, &scene->spec, NULL);
}

static void close_scene(struct scene *scene)
{
    anynorm_plan_destroy(scene->plan);
    anynorm_device_close(scene->device);
    scene_free(scene);
}

static void loop(const char *name, const char *caps, void (*scenario)(struct scene *))
{
    struct scene scene;
    if (!device_id[0])
        return;
    fault_install();
    struct live live = fault_start(0, false, 0);
    open_scene(&scene, caps);
    fail_each_call(&scene, name, scenario);
    close_scene(&scene);
    fault_check_live(&live);
    fault_uninstall();
}

/* The same with two launches for each enqueue: few rows, of three segments. */
static void loop_split(const char *name, const char *schedule, void (*scenario)(struct scene *))
{
    assert_int_equal(setenv("ANYNORM_SCHEDULE", schedule, 1), 0);
    loop(name, NULL, scenario);
    assert_int_equal(unsetenv("ANYNORM_SCHEDULE"), 0);
}

static void test_open_and_plan(void **state)
{
    (void)state;
    loop("open and plan", NULL, open_and_plan);
}

static void test_buffers_and_enqueue(void **state)
{
    (void)state;
    loop("buffers and enqueue", NULL, buffers_and_enqueue);
}

static void test_run(void **state)
{
    (void)state;
    loop("run", NULL, run_on_host);
}

static void test_run_copying(void **state)
{
    (void)state;
    loop("run with copies", "no-unified", run_on_host);
}

static void test_run_in_blocks(void **state)
{
    (void)state;
    loop("run in blocks", "no-unified,max-alloc=1200", run_on_host);
}

static void test_wrapped(void **state)
{
    (void)state;
    loop("wrapped", NULL, wrapped);
}

static void test_split(void **state)
{
    (void)state;
    loop_split("split: buffers and enqueue", "row_split segment=32 group=32",
               own_buffers_and_enqueue);
    loop_split("split: run", "row_split segment=32 group=32", own_run_on_host);
    /* No groups here: a device that does not tell of its local memory could not have them. */
    loop_split("split: wrapped", "row_split segment=32", split_wrapped);
}

/* ---- The family: more tensors, more calls; with ANYNORM_TEST_REDUCED each fifth fails ---- */

static const struct {
    const char *name;
    struct problem problem;
} family[] = {
    {"residual, adaptive",
     {.spec = {.columns = 96,
               .x.type = ANYNORM_F16,
               .y.type = ANYNORM_F16,
               .flags = ALL_FLAGS | ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS |
                        ANYNORM_SUM_OUTPUT | ANYNORM_SCALE | ANYNORM_SHIFT | ANYNORM_SILU,
               .statistic.eps = ANYNORM_EPS_DEFAULT,
               .sample_rows = 2},
      .rows = 7,
      .seed = 5}},
    {"quantized",
     {.spec = {.columns = 96,
               .x.type = ANYNORM_BF16,
               .y.type = ANYNORM_I8,
               .flags = ANYNORM_RMS | ANYNORM_WEIGHT | ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT |
                        ANYNORM_Y_SCALE_OUTPUT,
               .statistic.eps = ANYNORM_EPS_DEFAULT},
      .rows = 7,
      .seed = 6}},
    {"of several shards",
     {.spec = {.columns = 96,
               .flags = ALL_FLAGS | ANYNORM_PARTIALS_INPUT,
               .statistic.eps = ANYNORM_EPS_DEFAULT,
               .statistic.shards = 3},
      .rows = 7,
      .seed = 7}},
};

static void test_family(void **state)
{
    static const struct {
        const char *name, *caps;
        void (*scenario)(struct scene *);
    } ways[] = {
        {"buffers and enqueue", NULL, buffers_and_enqueue},
        {"run", NULL, run_on_host},
        {"run in blocks", "no-unified,max-alloc=1200", run_on_host},
        {"wrapped", NULL, wrapped},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(family); i++) {
        for (size_t k = 0; k < COUNT(ways); k++) {
            char name[96];
            snprintf(name, sizeof(name), "%s: %s", family[i].name, ways[k].name);
            wanted = family[i].problem;
            loop(name, ways[k].caps, ways[k].scenario);
        }
    }
    wanted = usual_problem(3);
}

/* ---- Gradients: two launches, of which the first writes outputs, and a workspace ---- */

static struct problem gradients_problem(void)
{
    struct problem problem = dense_problem(7, 96, ANYNORM_F32, ANYNORM_WEIGHT | ANYNORM_BIAS);
    problem.spec.gradients.flags = ANYNORM_DX | ANYNORM_DWEIGHT | ANYNORM_DBIAS;
    return problem;
}

static void test_gradients(void **state)
{
    (void)state;
    wanted = gradients_problem();
    loop("gradients: buffers and enqueue", NULL, own_buffers_and_enqueue);
    loop("gradients: run", NULL, own_run_on_host);
    loop("gradients: run with copies", "no-unified", own_run_on_host);
    loop("gradients: wrapped", NULL, wrapped);
    wanted = usual_problem(3);
}

/* anynorm_run's own workspace cannot be had: said, with nothing written. */
static void test_no_workspace(void **state)
{
    (void)state;
    struct scene scene;
    void *at[AN_TENSOR_COUNT];
    if (!device_id[0])
        return;
    wanted = gradients_problem();
    fault_install();
    struct live live = fault_start(0, false, 0);
    open_scene(&scene, NULL);
    struct images copies = images_copy(&scene.before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        at[t] = copies.bytes[t];
    const anynorm_host_tensors host = host_tensors_at(at);
    struct live before = fault_start(1, false, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    fault_arm();
    assert_status(anynorm_run(scene.plan, &host, wanted.rows), ANYNORM_OUT_OF_MEMORY);
    assert_string_equal(fault_now()->call, "clCreateBuffer");
    assert_int_equal(fault_now()->calls, 1); /* nothing after it */
    assert_non_null(strstr(anynorm_message(), "clCreateBuffer"));
    fault_stop();
    fault_check_live(&before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        if (copies.bytes[t])
            assert_memory_equal(copies.bytes[t], scene.before.bytes[t],
                                (size_t)scene.before.size[t]);
    images_free(&copies);
    close_scene(&scene);
    fault_check_live(&live);
    fault_uninstall();
    wanted = usual_problem(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_and_enqueue),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_run_copying),
        cmocka_unit_test(test_run_in_blocks),
        cmocka_unit_test(test_open_and_plan),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_family),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_no_workspace),
    };
    return cmocka_run_group_tests_name("faults", tests, find_device, tell_faults);
}
