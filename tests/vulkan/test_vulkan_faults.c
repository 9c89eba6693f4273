/* Every call into Vulkan that can fail does so once, and from some point on always: the caller must
 * be told by which call, no result may be wrong, and nothing may leak, which the validation layers
 * see when the device is destroyed. The device's table of functions is replaced by one that fails
 * the Nth call, for N = 1, 2, 3 ... until a whole scenario runs without meeting it.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 *     ANYNORM_TEST_REDUCED=1         every seventh call
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "vulkan/vulkan_backend.h"
#include "vulkan_fault_table.h"
#include "vulkan_support.h"

/* ---- A scenario ---- */

struct scene {
    struct problem problem;
    const char *schedule;
    struct images before, expected;
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_tensors tensors;
    anynorm_event event;
};

/* A launch that is found not to be done, for whatever reason, is only kept a little longer. */
static bool may_succeed(const char *call)
{
    return strcmp(call, "vkGetFenceStatus") == 0;
}

static anynorm_status status_of(const char *call)
{
    if (vulkan_fault.code == VK_ERROR_DEVICE_LOST || strcmp(call, "vkWaitForFences") == 0)
        return ANYNORM_DEVICE_LOST;
    return ANYNORM_OUT_OF_MEMORY;
}

/* Whether to go on; judges what the step said. */
static bool judge(const char *step, anynorm_status status)
{
    const char *call = vulkan_fault.call;
    vulkan_fault.call = NULL;
    if (status == ANYNORM_OK) {
        if (call && !may_succeed(call))
            fail_msg("%s: %s failed (call %lu), nobody was told", step, call, vulkan_fault.at);
        return true;
    }
    if (!call)
        fail_msg("%s: failed without a fault: %s", step, anynorm_message());
    bool wait = strcmp(call, "vkWaitForFences") == 0; /* of whose copy or kernel it may be */
    /* Where every call fails, so does the tidying up, and is the last. */
    const char *named = vulkan_fault.sticky ? " failed" : call;
    if ((status != status_of(call) && !wait) || !strstr(anynorm_message(), named))
        fail_msg("%s: %s failed, but the status is \"%s\" and the message %s", step, call,
                 anynorm_status_name(status), anynorm_message());
    return false;
}

static bool fill(struct scene *scene)
{
    bool well = true;
    for (int t = 0; t < AN_TENSOR_COUNT && well; t++) {
        anynorm_buffer *buffer = an_tensor_slot(&scene->tensors, (enum an_tensor)t);
        if (!scene->before.bytes[t])
            continue;
        well = judge("buffer_create",
                     anynorm_buffer_create(scene->device, scene->before.size[t], buffer)) &&
               judge("buffer_write",
                     anynorm_buffer_write(scene->device, buffer, scene->before.bytes[t],
                                          scene->before.size[t]));
    }
    return well;
}

/* Whatever was read must be right. */
static bool look(struct scene *scene)
{
    bool well = true;
    for (int t = 0; t < AN_TENSOR_COUNT && well; t++) {
        unsigned char now[4096];
        size_t size = (size_t)scene->before.size[t];
        if (!scene->before.bytes[t] || t == AN_WORKSPACE)
            continue;
        assert_true(size <= sizeof(now));
        well = judge("buffer_read",
                     anynorm_buffer_read(scene->device,
                                         an_tensor_buffer(&scene->tensors, (enum an_tensor)t), now,
                                         size));
        if (well)
            assert_memory_equal(now, scene->expected.bytes[t], size);
    }
    return well;
}

static void play(struct scene *scene)
{
    const anynorm_plan_options options = {.schedule = scene->schedule};
    uint64_t nanoseconds;
    size_t size;
    if (!judge("plan_create",
               anynorm_plan_create(scene->device, &scene->problem.spec, &options, &scene->plan)) ||
        !judge("warm_up", anynorm_plan_warm_up(scene->plan, 1)) ||
        !judge("binary", anynorm_plan_binary(scene->plan, NULL, 0, &size)) || !fill(scene) ||
        !judge("enqueue", anynorm_enqueue(scene->plan, &scene->tensors, scene->problem.rows, 0,
                                          NULL, &scene->event)) ||
        !judge("wait", anynorm_event_wait(&scene->event)))
        return;
    anynorm_status status = anynorm_event_elapsed(&scene->event, &nanoseconds);
    if (vulkan_fault.call && may_succeed(vulkan_fault.call)) {
        vulkan_fault.call = NULL;
        assert_true(status == ANYNORM_DEVICE_LOST || status == ANYNORM_OUT_OF_MEMORY);
        return;
    }
    if (judge("elapsed", status))
        (void)look(scene);
}

/* True if the fault struck. */
static bool attempt(struct scene *scene, const char *id, const char *caps, unsigned long at)
{
    scene->device = open_device_with(id, caps);
    vulkan_faults_install(scene->device);
    scene->plan = NULL;
    scene->tensors = (anynorm_tensors){0};
    scene->event = (anynorm_event){0};
    long live = vulkan_faults_live();
    vulkan_faults_start(at);
    play(scene);
    bool struck = vulkan_fault.calls >= at;
    vulkan_fault.at = 0;
    assert_int_equal(vulkan_faults_real()->vkDeviceWaitIdle(an_vulkan(scene->device)->handle),
                     VK_SUCCESS);
    anynorm_event_release(&scene->event);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        anynorm_buffer_destroy(scene->device, an_tensor_slot(&scene->tensors, (enum an_tensor)t));
    anynorm_plan_destroy(scene->plan);
    anynorm_device_close(scene->device);
    assert_int_equal(vulkan_faults_live(), live);
    return struck;
}

static const struct {
    bool sticky;
    VkResult code;
    const char *caps;
} kinds[] = {{false, VK_ERROR_OUT_OF_DEVICE_MEMORY, ""},
             {true, VK_ERROR_DEVICE_LOST, "no-unified"},
             {false, VK_ERROR_OUT_OF_HOST_MEMORY, "no-unified,max-range=700"}};

static void fail_each_call(const char *id, const struct problem *problem, const char *schedule,
                           unsigned long step)
{
    struct scene scene = {.problem = *problem, .schedule = schedule};
    images_make(&scene.problem, &scene.before);
    anynorm_device *device = open_device(id);
    anynorm_plan *plan = make_plan(device, &scene.problem.spec, schedule);
    run_on_device(device, plan, &scene.problem, &scene.before, &scene.expected);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        unsigned long at = 1;
        if (an_spec_backward(&problem->spec) && strstr(kinds[i].caps, "max-range"))
            continue; /* refused: sums over rows are not cut into parts that a kernel reaches */
        vulkan_fault.sticky = kinds[i].sticky;
        vulkan_fault.code = kinds[i].code;
        while (attempt(&scene, id, kinds[i].caps, at))
            at += step;
        assert_true(at > 30); /* it has met more calls than these */
    }
    images_free(&scene.before);
    images_free(&scene.expected);
}

static const char *const SPLIT = "row_split segment=64 group=32";

static void test_every_call(void **state)
{
    struct problem problem =
        dense_problem(2, 100, ANYNORM_F32, ANYNORM_WEIGHT | ANYNORM_MEAN_OUTPUT);
    if (strncmp(*state, "vulkan:", 7) == 0)
        fail_each_call(*state, &problem, SPLIT, reduced() ? 7 : 1);
}

/* Thirteen tensors, of which four are outputs. */
static void test_family(void **state)
{
    struct problem problem =
        dense_problem(7, 96, ANYNORM_F16,
                      ALL_FLAGS | ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS |
                          ANYNORM_SUM_OUTPUT | ANYNORM_SCALE | ANYNORM_SHIFT | ANYNORM_SILU);
    problem.spec.sample_rows = 2;
    if (strncmp(*state, "vulkan:", 7) == 0)
        fail_each_call(*state, &problem, NULL, reduced() ? 47 : 1);
}

/* Gradients: two launches and a workspace, the caller's and then anynorm_run's own. */
static struct problem gradients_problem(uint64_t rows)
{
    struct problem problem = dense_problem(rows, 100, ANYNORM_F32, ANYNORM_WEIGHT | ANYNORM_BIAS);
    problem.spec.gradients.flags = ANYNORM_DX | ANYNORM_DWEIGHT | ANYNORM_DBIAS;
    return problem;
}

static void test_gradients(void **state)
{
    struct problem problem = gradients_problem(7);
    if (strncmp(*state, "vulkan:", 7) == 0)
        fail_each_call(*state, &problem, NULL, reduced() ? 7 : 1);
}

/* True if the fault struck; what is handed out all the same is right. */
static bool attempt_run(struct scene *scene, unsigned long at)
{
    void *host_at[AN_TENSOR_COUNT];
    struct images copies = images_copy(&scene->before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        host_at[t] = copies.bytes[t];
    const anynorm_host_tensors host = host_tensors_at(host_at);
    long live = vulkan_faults_live();
    vulkan_faults_start(at);
    bool well = judge("run", anynorm_run(scene->plan, &host, scene->problem.rows));
    bool struck = vulkan_fault.calls >= at;
    vulkan_fault.at = 0;
    assert_int_equal(vulkan_faults_live(), live);
    for (int t = 0; t < AN_WORKSPACE && well; t++)
        if (copies.bytes[t])
            assert_memory_equal(copies.bytes[t], scene->expected.bytes[t],
                                (size_t)scene->expected.size[t]);
    images_free(&copies);
    return struck;
}

static void test_run(void **state)
{
    struct scene scene = {.problem = gradients_problem(7)};
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    images_make(&scene.problem, &scene.before);
    scene.device = open_device(*state);
    scene.plan = make_plan(scene.device, &scene.problem.spec, NULL);
    run_on_device(scene.device, scene.plan, &scene.problem, &scene.before, &scene.expected);
    vulkan_faults_install(scene.device);
    vulkan_fault.sticky = false;
    vulkan_fault.code = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    unsigned long at = 1;
    while (attempt_run(&scene, at))
        at++;
    assert_true(at > 10);
    anynorm_plan_destroy(scene.plan);
    anynorm_device_close(scene.device);
    images_free(&scene.before);
    images_free(&scene.expected);
}

/* ---- A caller's device: recordings, and enqueues between his semaphores ---- */

static void record_and_enqueue(struct engine *engine, struct work *work, anynorm_plan *plan)
{
    anynorm_vulkan_recording *recording = NULL;
    anynorm_event event = {0};
    const uint64_t rows = work->problem.rows;
    const anynorm_vulkan_semaphore gate = {.semaphore = engine_semaphore(engine, false)};
    VkCommandBuffer commands = VK_NULL_HANDLE;
    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    for (int round = 0; round < 2; round++) {
        commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
        engine_barrier(engine, commands);
        if (!judge("record",
                   anynorm_vulkan_record(plan, recording, commands, &work->tensors, rows)))
            goto out;
        engine_barrier(engine, commands);
        engine_end(engine, commands);
        engine_run(engine, commands, 1);
        work_check(work, "recorded");
        engine->vk.vkFreeCommandBuffers(engine->device, engine->pool, 1, &commands);
        commands = VK_NULL_HANDLE;
        if (!judge("reset", anynorm_vulkan_recording_reset(recording)))
            goto out;
    }
    if (!judge("signal", anynorm_vulkan_enqueue(plan, &work->tensors, 0, 0, NULL, 1, &gate,
                                                VK_NULL_HANDLE, NULL)))
        goto out;
    bool well = judge("wait", anynorm_vulkan_enqueue(plan, &work->tensors, rows, 1, &gate, 0, NULL,
                                                     VK_NULL_HANDLE, &event));
    if (well && judge("event_wait", anynorm_event_wait(&event)))
        work_check(work, "enqueued");
out:
    vulkan_fault.at = 0;
    anynorm_event_release(&event);
    assert_vk(engine->vk.vkDeviceWaitIdle(engine->device));
    engine->vk.vkDestroySemaphore(engine->device, gate.semaphore, NULL);
    if (commands)
        engine->vk.vkFreeCommandBuffers(engine->device, engine->pool, 1, &commands);
    anynorm_vulkan_recording_destroy(recording);
}

/* Launches and pipelines are kept from attempt to attempt, as they would be. */
static void fail_recorded(const char *id, const char *caps, const struct problem *problem,
                          const char *schedule)
{
    struct engine engine;
    long live = vulkan_faults_live();
    if (!engine_open(&engine, id, ENGINE_CORE))
        return;
    anynorm_device_close(engine.anynorm);
    engine.anynorm = engine_wrap(&engine, caps);
    vulkan_faults_install(engine.anynorm);
    vulkan_faults_start(0);
    anynorm_plan *plan = make_plan(engine.anynorm, &problem->spec, schedule);
    struct work
        work; /* one for all: commands that name what is gone would be void, not half done */
    work_make(&engine, problem, &work);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        bool fired = true;
        vulkan_fault.sticky = kinds[i].sticky;
        vulkan_fault.code = kinds[i].code;
        for (unsigned long at = 1; fired; at++) {
            vulkan_faults_start(at);
            record_and_enqueue(&engine, &work, plan);
            fired = vulkan_fault.calls >= at;
            assert_true(at < 500);
        }
    }
    work_free(&engine, &work);
    anynorm_plan_destroy(plan);
    engine_close(&engine); /* which fails if the validation layer complained */
    assert_int_equal(vulkan_faults_live(), live);
}

static void test_recorded(void **state)
{
    const struct problem problem = dense_problem(4, 100, ANYNORM_F32, ALL_FLAGS);
    fail_recorded(*state, "no-push-descriptors", &problem, SPLIT);
}

/* In parts, each with a set of its own: one that cannot be had leaves commands half recorded. */
static void test_in_parts(void **state)
{
    const struct problem problem = dense_problem(4, 100, ANYNORM_F32, ALL_FLAGS);
    fail_recorded(*state, "no-push-descriptors,max-range=450", &problem, SPLIT);
}

static void test_recorded_gradients(void **state)
{
    const struct problem problem = gradients_problem(40);
    fail_recorded(*state, "no-push-descriptors", &problem, NULL);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"every call", test_every_call},
        {"family", test_family},
        {"gradients", test_gradients},
        {"run", test_run},
        {"recorded", test_recorded},
        {"in parts", test_in_parts},
        {"recorded gradients", test_recorded_gradients},
    };
    int failed = run_on_devices("vulkan faults", tests, COUNT(tests), NULL, NULL);
    vulkan_faults_print();
    return failed;
}
