/* What the functions of <anynorm/vulkan.h> refuse, on devices with nothing and with everything
 * enabled: NULL, devices of other backends and other VkDevices, semaphores that are none, and
 * tensors in every wrong way, enqueued and recorded.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 */
#include "vulkan_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bad_tensors.h"
#include "refused.h"

static const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;
static const anynorm_spec plain = {.columns = 4};

#define UNLESS(missing, bit, pointer) ((missing) >> (bit)&1 ? NULL : (pointer))

/* ---- Tensors ---- */

struct sender {
    struct engine *engine;
    anynorm_plan *plan;
    anynorm_vulkan_recording *recording; /* NULL: enqueued */
    VkCommandBuffer commands;
    struct block block;
};

static anynorm_status submit(void *user, const anynorm_tensors *tensors, uint64_t rows)
{
    struct sender *sender = user;
    anynorm_event event, before;
    if (sender->recording)
        return anynorm_vulkan_record(sender->plan, sender->recording, sender->commands, tensors,
                                     rows);
    memset(&event, 0x33, sizeof(event));
    before = event;
    anynorm_status status = anynorm_vulkan_enqueue(sender->plan, tensors, rows, 0, NULL, 0, NULL,
                                                   VK_NULL_HANDLE, &event);
    if (status != ANYNORM_OK) {
        assert_memory_equal(&event, &before, sizeof(event));
        return status;
    }
    status = anynorm_event_wait(&event);
    anynorm_event_release(&event);
    return status;
}

/* Runs what was recorded, which is to be nothing. */
static void read_memory(void *user, unsigned char *bytes, uint64_t count)
{
    struct sender *sender = user;
    if (sender->recording) {
        engine_end(sender->engine, sender->commands);
        engine_run(sender->engine, sender->commands, 1);
        sender->commands = engine_commands(sender->engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    }
    memcpy(bytes, sender->block.mapped, (size_t)count);
}

static void refuse_tensors(struct engine *engine, struct engine *other, const anynorm_spec *spec,
                           bool recorded)
{
    struct sender sender = {.engine = engine};
    struct bad_tensors bad = {.submit = submit, .read = read_memory, .user = &sender};
    struct block others;
    arena_make(spec, &bad.arena);
    sender.plan = make_plan(engine->anynorm, spec, NULL);
    block_make(engine, bad.arena.bytes, &sender.block);
    memset(sender.block.mapped, ARENA_POISON, (size_t)bad.arena.bytes);
    assert_ok(anynorm_vulkan_buffer_wrap(engine->anynorm, sender.block.buffer, sender.block.bytes,
                                         &bad.memory));
    block_make(other, 4096, &others);
    assert_ok(
        anynorm_vulkan_buffer_wrap(other->anynorm, others.buffer, others.bytes, &bad.stranger));
    if (recorded) {
        assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &sender.recording));
        sender.commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    }
    refuse_bad_tensors(&bad);
    if (recorded) {
        engine_end(engine, sender.commands);
        engine_run(engine, sender.commands, 1);
    }
    anynorm_vulkan_recording_destroy(sender.recording);
    block_free(other, &others);
    block_free(engine, &sender.block);
    anynorm_plan_destroy(sender.plan);
}

/* ---- Objects ---- */

static void refuse_devices(const struct engine *engine, anynorm_device *reference)
{
    const anynorm_vulkan_handles good = engine->handles;
    anynorm_device *device = (anynorm_device *)(void *)&device;
    anynorm_vulkan_wishes wishes, before;
    memset(&wishes, 0x5a, sizeof(wishes));
    before = wishes;
    for (unsigned missing = 1; missing < 4; missing++) {
        make_message_stale();
        check_refused_naming(
            anynorm_vulkan_device_wrap(UNLESS(missing, 0, &good), UNLESS(missing, 1, &device)),
            invalid, "NULL", __FILE__, __LINE__);
        make_message_stale();
        check_refused_naming(
            anynorm_vulkan_device_wishes(UNLESS(missing, 0, &good), UNLESS(missing, 1, &wishes)),
            invalid, "NULL", __FILE__, __LINE__);
    }
    anynorm_vulkan_handles bad = good;
    bad.instance = VK_NULL_HANDLE;
    assert_refused_naming(anynorm_vulkan_device_wrap(&bad, &device), invalid, "instance");
    assert_refused_naming(anynorm_vulkan_device_wishes(&bad, &wishes), invalid, "instance");
    bad = good;
    bad.physical_device = VK_NULL_HANDLE;
    assert_refused_naming(anynorm_vulkan_device_wrap(&bad, &device), invalid, "physical_device");
    assert_refused_naming(anynorm_vulkan_device_wishes(&bad, &wishes), invalid, "physical_device");
    bad = good;
    bad.device = VK_NULL_HANDLE;
    assert_refused_naming(anynorm_vulkan_device_wrap(&bad, &device), invalid, "device");
    bad = good;
    bad.api_version = VK_API_VERSION_1_0;
    assert_refused(anynorm_vulkan_device_wrap(&bad, &device), ANYNORM_UNSUPPORTED);
    assert_refused(anynorm_vulkan_device_wishes(&bad, &wishes), ANYNORM_UNSUPPORTED);
    static const uint32_t families[] = {31, 32, 1000, UINT32_MAX};
    for (size_t i = 0; i < COUNT(families); i++) {
        bad = good;
        bad.queue_family = families[i];
        assert_refused_naming(anynorm_vulkan_device_wrap(&bad, &device), invalid, "queue_family");
    }
    bad = good;
    bad.lock_queue = NULL;
    assert_refused_naming(anynorm_vulkan_device_wrap(&bad, &device), invalid, "lock_queue");
    bad = good;
    bad.unlock_queue = NULL;
    assert_refused_naming(anynorm_vulkan_device_wrap(&bad, &device), invalid, "unlock_queue");
    static const char *const caps[] = {"no-such", "max-wg=0", "max-alloc=-1"};
    for (size_t i = 0; i < COUNT(caps); i++) {
        setenv("ANYNORM_CAPS", caps[i], 1);
        assert_refused_naming(anynorm_vulkan_device_wrap(&good, &device), invalid, "ANYNORM_CAPS");
        assert_refused_naming(anynorm_vulkan_device_wishes(&good, &wishes), invalid,
                              "ANYNORM_CAPS");
        unsetenv("ANYNORM_CAPS");
    }
    assert_ptr_equal(device, &device);
    assert_memory_equal(&wishes, &before, sizeof(wishes));

    anynorm_vulkan_handles handles, handles_before;
    memset(&handles, 0x5a, sizeof(handles));
    handles_before = handles;
    assert_refused_naming(anynorm_vulkan_device_handles(NULL, &handles), invalid, "device");
    assert_refused_naming(anynorm_vulkan_device_handles(NULL, NULL), invalid, "device");
    assert_refused_naming(anynorm_vulkan_device_handles(reference, &handles), invalid, "device");
    assert_refused_naming(anynorm_vulkan_device_handles(engine->anynorm, NULL), invalid, "handles");
    assert_memory_equal(&handles, &handles_before, sizeof(handles));
}

static void refuse_buffers(struct engine *engine, anynorm_device *reference)
{
    anynorm_buffer buffer, before;
    struct block block;
    block_make(engine, 64, &block);
    memset(&buffer, 0x5a, sizeof(buffer));
    before = buffer;
    anynorm_device *const devices[] = {NULL, reference};
    for (size_t i = 0; i < COUNT(devices); i++) {
        assert_refused_naming(anynorm_vulkan_buffer_wrap(devices[i], block.buffer, 64, &buffer),
                              invalid, "device");
        assert_refused_naming(anynorm_vulkan_buffer_wrap(devices[i], VK_NULL_HANDLE, 0, NULL),
                              invalid, "device");
    }
    anynorm_device *device = engine->anynorm;
    assert_refused_naming(anynorm_vulkan_buffer_wrap(device, VK_NULL_HANDLE, 64, &buffer), invalid,
                          "memory");
    assert_refused_naming(anynorm_vulkan_buffer_wrap(device, block.buffer, 64, NULL), invalid,
                          "buffer");
    static const uint64_t bytes[] = {0, 1, 2, 3, 5, 6, 7, 63, 65, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT(bytes); i++)
        assert_refused_naming(anynorm_vulkan_buffer_wrap(device, block.buffer, bytes[i], &buffer),
                              invalid, "bytes");
    assert_memory_equal(&buffer, &before, sizeof(buffer));
    block_free(engine, &block);
}

/* ---- Record and enqueue ---- */

/* The engine's plan and tensors, and what belongs elsewhere. */
struct scene {
    struct engine *engine;
    anynorm_plan *plan;
    struct work work;
    anynorm_device *twin; /* of the same VkDevice */
    anynorm_plan *strangers[2];
};

static void refuse_recordings(const struct scene *scene, anynorm_device *reference)
{
    anynorm_vulkan_recording *recording = (anynorm_vulkan_recording *)(void *)&recording;
    anynorm_device *const devices[] = {NULL, reference};
    for (size_t i = 0; i < COUNT(devices); i++) {
        assert_refused_naming(anynorm_vulkan_recording_create(devices[i], &recording), invalid,
                              "device");
        assert_refused_naming(anynorm_vulkan_recording_create(devices[i], NULL), invalid, "device");
    }
    assert_refused_naming(anynorm_vulkan_recording_create(scene->engine->anynorm, NULL), invalid,
                          "recording");
    assert_ptr_equal(recording, &recording);
    assert_refused_naming(anynorm_vulkan_recording_reset(NULL), invalid, "recording");
    anynorm_vulkan_recording_destroy(NULL);

    anynorm_vulkan_recording *other;
    assert_ok(anynorm_vulkan_recording_create(scene->engine->anynorm, &recording));
    assert_ok(anynorm_vulkan_recording_create(scene->twin, &other));
    VkCommandBuffer commands = engine_commands(scene->engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    const anynorm_tensors *tensors = &scene->work.tensors;
    for (uint64_t rows = 0; rows <= 3; rows += 3) {
        for (unsigned missing = 1; missing < 16; missing++) {
            make_message_stale();
            check_refused_naming(anynorm_vulkan_record(UNLESS(missing, 0, scene->plan),
                                                       UNLESS(missing, 1, recording),
                                                       UNLESS(missing, 2, commands),
                                                       UNLESS(missing, 3, tensors), rows),
                                 invalid, "NULL", __FILE__, __LINE__);
        }
        for (size_t i = 0; i < COUNT(scene->strangers); i++)
            assert_refused_naming(
                anynorm_vulkan_record(scene->strangers[i], recording, commands, tensors, rows),
                invalid, "plan");
        assert_refused_naming(anynorm_vulkan_record(scene->plan, other, commands, tensors, rows),
                              invalid, "recording");
    }
    engine_end(scene->engine, commands);
    engine_run(scene->engine, commands, 1);
    anynorm_vulkan_recording_destroy(recording);
    anynorm_vulkan_recording_destroy(other);
}

static void refuse_enqueues(const struct scene *scene)
{
    const anynorm_tensors *tensors = &scene->work.tensors;
    anynorm_event event, before;
    anynorm_vulkan_semaphore list[ANYNORM_MAX_WAIT + 1];
    const VkSemaphore semaphore = engine_semaphore(scene->engine, false);
    memset(&event, 0x33, sizeof(event));
    before = event;
    for (size_t i = 0; i < COUNT(list); i++)
        list[i] = (anynorm_vulkan_semaphore){.semaphore = semaphore};
    const anynorm_vulkan_semaphore none = {.semaphore = VK_NULL_HANDLE}, last[] = {list[0], none},
                                   timed = {.semaphore = semaphore, .value = 1};
    const struct {
        uint32_t count;
        const anynorm_vulkan_semaphore *list;
    } lists[] = {{1, NULL},          {UINT32_MAX, NULL}, {0, list}, {COUNT(list), list},
                 {UINT32_MAX, list}, {1, &none},         {2, last}, {1, &timed}};
    /* Where there are timelines it is the driver that tells a semaphore's kind. */
    const bool timelines = strcmp(scene->engine->name, engine_names[ENGINE_BARE]) != 0;
    const size_t count = COUNT(lists) - (timelines ? 1 : 0);
    for (uint64_t rows = 0; rows <= 3; rows += 3) {
        for (unsigned missing = 1; missing < 4; missing++) {
            make_message_stale();
            check_refused_naming(anynorm_vulkan_enqueue(UNLESS(missing, 0, scene->plan),
                                                        UNLESS(missing, 1, tensors), rows, 0, NULL,
                                                        0, NULL, VK_NULL_HANDLE, &event),
                                 invalid, "NULL", __FILE__, __LINE__);
        }
        assert_refused_naming(anynorm_vulkan_enqueue(scene->strangers[1], tensors, rows, 0, NULL, 0,
                                                     NULL, VK_NULL_HANDLE, &event),
                              invalid, "plan");
        for (size_t i = 0; i < count; i++) {
            assert_refused_naming(anynorm_vulkan_enqueue(scene->plan, tensors, rows, lists[i].count,
                                                         lists[i].list, 0, NULL, VK_NULL_HANDLE,
                                                         &event),
                                  invalid, "waits");
            assert_refused_naming(anynorm_vulkan_enqueue(scene->plan, tensors, rows, 0, NULL,
                                                         lists[i].count, lists[i].list,
                                                         VK_NULL_HANDLE, &event),
                                  invalid, "signals");
        }
    }
    assert_memory_equal(&event, &before, sizeof(event));
    scene->engine->vk.vkDestroySemaphore(scene->engine->device, semaphore, NULL);
}

static void assert_untouched(const struct work *work)
{
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (work->before.bytes[t])
            assert_memory_equal(work->blocks[t].mapped, work->before.bytes[t],
                                (size_t)work->before.size[t]);
    }
}

/* ---- On each kind of device ---- */

static void on_each_kind(const char *id, void (*test)(struct engine *engine, struct engine *other))
{
    const enum engine_kind kinds[] = {ENGINE_BARE, ENGINE_CORE};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct engine engine, other;
        if (!engine_open(&engine, id, kinds[i]))
            continue;
        assert_true(engine_open(&other, id, ENGINE_BARE));
        test(&engine, &other);
        engine_close(&other);
        engine_close(&engine);
    }
}

static void check_tensors(struct engine *engine, struct engine *other)
{
    for (size_t s = 0; s < arena_spec_count; s++) {
        refuse_tensors(engine, other, &arena_specs[s], false);
        refuse_tensors(engine, other, &arena_specs[s], true);
    }
}

static void test_tensors(void **state)
{
    on_each_kind(*state, check_tensors);
}

static void check_objects(struct engine *engine, struct engine *other)
{
    anynorm_device *reference = open_device("reference");
    struct problem problem = dense_problem(3, 96, ANYNORM_F32, ALL_FLAGS);
    struct scene scene = {.engine = engine, .twin = engine_wrap(engine, "")};
    scene.plan = make_plan(engine->anynorm, &problem.spec, NULL);
    scene.strangers[0] = make_plan(other->anynorm, &plain, NULL);
    scene.strangers[1] = make_plan(reference, &plain, NULL);
    work_make(engine, &problem, &scene.work);
    refuse_devices(engine, reference);
    refuse_buffers(engine, reference);
    refuse_recordings(&scene, reference);
    refuse_enqueues(&scene);
    assert_untouched(&scene.work);
    work_free(engine, &scene.work);
    anynorm_plan_destroy(scene.plan);
    anynorm_plan_destroy(scene.strangers[0]);
    anynorm_plan_destroy(scene.strangers[1]);
    anynorm_device_close(scene.twin);
    anynorm_device_close(reference);
}

static void test_objects(void **state)
{
    on_each_kind(*state, check_objects);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"tensors", test_tensors},
        {"objects", test_objects},
    };
    return tell_refused("refused_vulkan",
                        run_on_devices("refused_vulkan", tests, COUNT(tests), NULL, NULL));
}
