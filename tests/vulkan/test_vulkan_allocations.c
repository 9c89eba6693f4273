/* Allocations that fail in what <anynorm/vulkan.h> makes of a caller's device, and in recordings.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 */
#include "allocation_faults.h"
#include "vulkan_support.h"

#include <stdlib.h>
#include <string.h>

/* More than the first room of a recording's lists, and than the sets of one pool. */
enum { RECORDS = 9 };

struct scene {
    struct engine *engine;
    struct problem problem;
    const char *schedule;
};

static void free_commands(struct engine *engine, VkCommandBuffer commands)
{
    engine->vk.vkFreeCommandBuffers(engine->device, engine->pool, 1, &commands);
}

/* Wrapping, and an enqueue between two semaphores. */
static void wrapped(void *user)
{
    struct scene *scene = user;
    struct engine *engine = scene->engine;
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    anynorm_event event = {0}, last = {0};
    anynorm_vulkan_wishes wishes;
    anynorm_vulkan_handles handles;
    struct work work;
    const anynorm_vulkan_semaphore semaphore = {.semaphore = engine_semaphore(engine, false)};
    const anynorm_plan_options options = {.schedule = scene->schedule};
    work_make(engine, &scene->problem, &work);
    anynorm_tensors tensors = work.tensors;
    STEP(anynorm_vulkan_device_wishes(&engine->handles, &wishes), true);
    STEP(anynorm_vulkan_device_wrap(&engine->handles, &device), device == NULL);
    STEP(anynorm_vulkan_device_handles(device, &handles), true);
    STEP(anynorm_plan_create(device, &scene->problem.spec, &options, &plan), plan == NULL);
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        if (work.blocks[t].buffer)
            STEP(anynorm_vulkan_buffer_wrap(device, work.blocks[t].buffer, work.blocks[t].bytes,
                                            slot),
                 true);
        slot->offset = scene->problem.offset[t];
    }
    STEP(anynorm_vulkan_enqueue(plan, &tensors, scene->problem.rows, 0, NULL, 1, &semaphore,
                                VK_NULL_HANDLE, &event),
         !event.valid);
    STEP(anynorm_vulkan_enqueue(plan, &tensors, scene->problem.rows, 1, &semaphore, 0, NULL,
                                VK_NULL_HANDLE, &last),
         !last.valid);
    STEP(anynorm_event_wait(&last), true);
    work_check(&work, "wrapped");
out:
    anynorm_event_release(&event);
    anynorm_event_release(&last);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device); /* which waits for what was enqueued */
    engine->vk.vkDestroySemaphore(engine->device, semaphore.semaphore, NULL);
    work_free(engine, &work);
}

/* Recordings: of one norm so often that its lists grow, and again after a reset. */
static void recorded(void *user)
{
    struct scene *scene = user;
    struct engine *engine = scene->engine;
    anynorm_vulkan_recording *recording = NULL;
    VkCommandBuffer commands = VK_NULL_HANDLE;
    struct work work;
    work_make(engine, &scene->problem, &work);
    anynorm_plan *plan = make_plan(engine->anynorm, &scene->problem.spec, scene->schedule);
    STEP(anynorm_vulkan_recording_create(engine->anynorm, &recording), recording == NULL);
    for (int round = 0; round < 2; round++) {
        unsigned long calls = allocations_now()->calls;
        commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
        engine_barrier(engine, commands);
        for (int i = 0; i < RECORDS; i++) {
            STEP(anynorm_vulkan_record(plan, recording, commands, &work.tensors,
                                       scene->problem.rows),
                 true);
            engine_barrier(engine, commands);
        }
        engine_end(engine, commands);
        engine_run(engine, commands, 1);
        work_check(&work, "recorded");
        free_commands(engine, commands);
        commands = VK_NULL_HANDLE;
        if (round == 1)
            assert_int_equal(calls, allocations_now()->calls); /* it has all that it needs */
        STEP(anynorm_vulkan_recording_reset(recording), true);
    }
out:
    if (commands)
        free_commands(engine, commands);
    anynorm_vulkan_recording_destroy(recording);
    anynorm_plan_destroy(plan);
    work_free(engine, &work);
}

static void test_wrapped(void **state)
{
    struct engine engine;
    if (!engine_open(&engine, *state, ENGINE_BARE))
        return;
    struct scene scene = {&engine, dense_problem(2, 100, ANYNORM_F32, ALL_FLAGS), NULL};
    fail_each_allocation("wrapped", wrapped, &scene, 5);
    engine_close(&engine);
}

static void test_recorded(void **state)
{
    struct engine engine;
    if (!engine_open(&engine, *state, ENGINE_CORE))
        return;
    struct scene scene = {&engine, dense_problem(2, 100, ANYNORM_F32, ALL_FLAGS),
                          "row_split segment=64 group=32"};
    anynorm_device_close(engine.anynorm);
    engine.anynorm = engine_wrap(&engine, "no-push-descriptors");
    fail_each_allocation("recorded", recorded, &scene, 6);
    engine_close(&engine);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"wrapped", test_wrapped},
        {"recorded", test_recorded},
    };
    int failed = run_on_devices("vulkan allocations", tests, COUNT(tests), NULL, NULL);
    print_allocations();
    return failed;
}
