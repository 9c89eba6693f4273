/* <anynorm/vulkan.h> as an engine with a device of its own uses it: on Vulkan 1.1 with nothing
 * enabled, and with all that anynorm wishes. The validation layer, where it is installed, watches
 * every test, leaks too. (Of hazards between commands it sees those of a kernel's first buffer: it
 * looks at no others of an array.) */
#include "vulkan_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan/vulkan_backend.h"

#define PRIMARY VK_COMMAND_BUFFER_LEVEL_PRIMARY

/* Refused, with `word` in the message. */
#define assert_refused(call, word)                                                                 \
    do {                                                                                           \
        assert_status((call), ANYNORM_INVALID_ARGUMENT);                                           \
        assert_non_null(strstr(anynorm_message(), word));                                          \
    } while (0)

static struct problem usual_problem(uint64_t seed, anynorm_dtype type)
{
    struct problem problem = dense_problem(7, 96, type, ALL_FLAGS);
    const uint64_t offset[] = {16, 24, 8, 40, 8, 48};
    problem.seed = seed;
    problem.spec.x.row_stride = 100;
    memcpy(problem.offset, offset, sizeof(offset));
    return problem;
}

static const char *const SPLIT = "row_split segment=64 group=32";

static struct problem split_problem(uint64_t seed)
{
    struct problem problem = dense_problem(2, 1000, ANYNORM_F32, ALL_FLAGS);
    problem.seed = seed;
    return problem;
}

typedef void engine_test(struct engine *engine, enum engine_kind kind);

static void on_each_kind(const char *id, engine_test *test)
{
    for (int kind = 0; kind < ENGINE_KINDS; kind++) {
        struct engine engine;
        if (!engine_open(&engine, id, (enum engine_kind)kind))
            continue;
        test(&engine, (enum engine_kind)kind);
        engine_close(&engine);
    }
}

/* The semaphore's own word: a fence of the same submission may be signalled first. */
static void wait_for(struct engine *engine, const anynorm_vulkan_semaphore *done)
{
    PFN_vkWaitSemaphores wait =
        engine->vk.vkWaitSemaphores ? engine->vk.vkWaitSemaphores : engine->vk.vkWaitSemaphoresKHR;
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &done->semaphore,
                                      .pValues = &done->value};
    assert_vk(wait(engine->device, &info, UINT64_MAX));
}

/* ---- Devices ---- */

static void check_info(struct engine *engine, enum engine_kind kind)
{
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(engine->anynorm, &info));
    assert_string_equal(info.id, "vulkan:wrapped");
    bool bare = kind == ENGINE_BARE;
    const anynorm_vulkan_wishes *wishes = &engine->wishes;
    assert_int_equal(info.fp64, !bare && wishes->shader_float64);
    assert_int_equal(info.storage16, !bare && wishes->storage_buffer_16bit_access);
    assert_int_equal(info.subgroup_size > 0, !bare && wishes->subgroup_size_control);
    assert_false(info.fp16);
    assert_int_equal(wishes->subgroup_size_control, wishes->compute_full_subgroups);
    for (uint32_t i = 0; i < wishes->extension_count; i++)
        assert_memory_equal(wishes->extensions[i], "VK_", 3);

    /* Ours with every schedule's usual choice: the same calls as on a device that we open. */
    for (anynorm_dtype type = ANYNORM_F32; type <= ANYNORM_F64; type++) {
        struct problem problem = usual_problem(3, type);
        struct errors worst = {0};
        if (type == ANYNORM_F64 && !info.fp64)
            continue;
        anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
        assert_ok(anynorm_plan_warm_up(plan, problem.rows));
        check_plan(engine->anynorm, plan, &problem, engine->name, &worst);
        anynorm_plan_destroy(plan);
    }
    assert_true(engine->locked > 0);
}

static void test_devices(void **state)
{
    on_each_kind(*state, check_info);
}

/* Handles of a device that the library opened, whose queue the caller uses under its lock. */
static void test_opened(void **state)
{
    const char *id = *state;
    anynorm_device *device = open_device(id);
    anynorm_vulkan_handles handles = {.queue_family = 77};
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(device, &info));
    if (strncmp(id, "vulkan:", 7) != 0) {
        assert_refused(anynorm_vulkan_device_handles(device, &handles), "not a Vulkan");
        assert_int_equal(handles.queue_family, 77);
        anynorm_device_close(device);
        return;
    }
    struct engine engine = {.name = "opened", .anynorm = device};
    struct work work;
    struct problem problem = usual_problem(5, ANYNORM_F32);
    anynorm_vulkan_recording *recording = NULL;
    assert_ok(anynorm_vulkan_device_handles(device, &handles));
    assert_true(an_vulkan_instance_load(handles.get_instance_proc_addr, handles.instance,
                                        handles.api_version, &engine.instance));
    an_vulkan_device_load(&engine.instance, handles.device, &engine.vk);
    engine.physical = handles.physical_device;
    engine.device = handles.device;
    engine.queue = handles.queue;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = handles.queue_family};
    assert_vk(engine.vk.vkCreateCommandPool(engine.device, &pool, NULL, &engine.pool));
    anynorm_plan *plan = make_plan(device, &problem.spec, NULL);
    assert_ok(anynorm_vulkan_recording_create(device, &recording));
    work_make(&engine, &problem, &work);
    VkCommandBuffer commands = engine_commands(&engine, PRIMARY, 0);
    assert_ok(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows));
    engine_barrier(&engine, commands);
    engine_end(&engine, commands);
    handles.lock_queue(handles.queue_user);
    engine_run(&engine, commands, 1);
    handles.unlock_queue(handles.queue_user);
    work_check(&work, engine.name);

    /* It is made with what it wishes: timelines too. */
    anynorm_vulkan_wishes wishes;
    assert_ok(anynorm_vulkan_device_wishes(&handles, &wishes));
    if (wishes.timeline_semaphore) {
        anynorm_vulkan_semaphore done = {engine_semaphore(&engine, true), 5};
        anynorm_event event;
        assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 1, &done,
                                         VK_NULL_HANDLE, &event));
        assert_ok(anynorm_event_wait(&event));
        anynorm_event_release(&event);
        wait_for(&engine, &done);
        work_check(&work, "timeline of an opened device");
        engine.vk.vkDestroySemaphore(engine.device, done.semaphore, NULL);
    }
    work_free(&engine, &work);
    engine.vk.vkDestroyCommandPool(engine.device, engine.pool, NULL);
    anynorm_plan_destroy(plan);
    anynorm_vulkan_recording_destroy(recording);
    anynorm_device_close(device);
}

static void check_without_queue(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_device *wrapped = engine->anynorm;
    engine->handles.queue = VK_NULL_HANDLE;
    engine->anynorm = engine_wrap(engine, "no-unified");
    anynorm_device_close(wrapped);
    struct problem problem = usual_problem(6, ANYNORM_BF16);
    struct work work;
    anynorm_vulkan_recording *recording = NULL;
    anynorm_event event;
    anynorm_buffer buffer = {0};
    uint32_t word = 1;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    work_make(engine, &problem, &work);
    assert_status(anynorm_enqueue(plan, &work.tensors, problem.rows, 0, NULL, &event),
                  ANYNORM_UNSUPPORTED);
    assert_non_null(strstr(anynorm_message(), "without a queue"));
    assert_status(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 0, NULL,
                                         VK_NULL_HANDLE, NULL),
                  ANYNORM_UNSUPPORTED);
    assert_status(anynorm_plan_warm_up(plan, 1), ANYNORM_UNSUPPORTED);
    assert_ok(anynorm_buffer_create(engine->anynorm, 4, &buffer));
    assert_status(anynorm_buffer_write(engine->anynorm, &buffer, &word, 4), ANYNORM_UNSUPPORTED);
    assert_status(anynorm_buffer_read(engine->anynorm, &work.tensors.x, &word, 4),
                  ANYNORM_UNSUPPORTED);
    anynorm_buffer_destroy(engine->anynorm, &buffer);

    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    VkCommandBuffer commands = engine_commands(engine, PRIMARY, 0);
    assert_ok(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows));
    engine_barrier(engine, commands);
    engine_end(engine, commands);
    engine_run(engine, commands, 1);
    work_check(&work, engine->name);
    assert_int_equal(engine->locked, 0);
    anynorm_vulkan_recording_destroy(recording);
    anynorm_plan_destroy(plan);
    work_free(engine, &work);
}

static void test_without_queue(void **state)
{
    on_each_kind(*state, check_without_queue);
}

/* ---- Recording ---- */

/* Records two problems side by side, runs them so many times, and checks both. */
static void record_and_run(struct engine *engine, anynorm_vulkan_recording *recording,
                           const struct problem *problem, const char *schedule, uint32_t times)
{
    struct problem other = *problem;
    struct work works[2];
    other.seed += 100;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem->spec, schedule);
    work_make(engine, problem, &works[0]);
    work_make(engine, &other, &works[1]);
    VkCommandBuffer commands = engine_commands(
        engine, PRIMARY, times > 1 ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT : 0);
    engine_barrier(engine, commands);
    for (int i = 0; i < 2; i++)
        assert_ok(
            anynorm_vulkan_record(plan, recording, commands, &works[i].tensors, problem->rows));
    assert_ok(anynorm_vulkan_record(plan, recording, commands, &works[0].tensors, 0));
    engine_barrier(engine, commands);
    engine_end(engine, commands);
    anynorm_plan_destroy(plan); /* the recording has what it needs */
    for (int round = 0; round < 2; round++) {
        engine_run(engine, commands, times);
        work_check(&works[0], schedule ? schedule : engine->name);
        work_check(&works[1], schedule ? schedule : engine->name);
    }
    engine->vk.vkFreeCommandBuffers(engine->device, engine->pool, 1, &commands);
    work_free(engine, &works[0]);
    work_free(engine, &works[1]);
}

static void check_record(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_vulkan_recording *recording = NULL;
    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    for (anynorm_dtype type = ANYNORM_F32; type <= ANYNORM_BF16; type++) {
        struct problem problem = usual_problem(10 + (uint64_t)type, type);
        record_and_run(engine, recording, &problem, NULL, 1);
        assert_ok(anynorm_vulkan_recording_reset(recording));
    }
    struct problem split = split_problem(20);
    record_and_run(engine, recording, &split, SPLIT, 1);
    record_and_run(engine, recording, &split, SPLIT, 3); /* all three pending */
    assert_int_equal(engine->locked, 0);
    anynorm_vulkan_recording_destroy(recording);
}

static void test_record(void **state)
{
    on_each_kind(*state, check_record);
}

/* Tensors that a kernel cannot reach as a whole. */
static void check_pieces(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_device *wrapped = engine->anynorm;
    engine->anynorm = engine_wrap(engine, "max-range=3000");
    anynorm_device_close(wrapped);
    anynorm_vulkan_recording *recording = NULL;
    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    struct problem problem = usual_problem(30, ANYNORM_F32);
    problem.rows = 150; /* more parts than a pool has sets */
    record_and_run(engine, recording, &problem, NULL, 1);
    problem = split_problem(31);
    problem.spec.columns = 500;
    record_and_run(engine, recording, &problem, SPLIT, 2);

    /* The same in an enqueue; and a row that no kernel reaches. */
    struct work work;
    anynorm_event event;
    problem.rows = 9;
    work_make(engine, &problem, &work);
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    assert_ok(anynorm_enqueue(plan, &work.tensors, problem.rows, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    work_check(&work, "pieces");
    anynorm_plan_destroy(plan);
    work_free(engine, &work);
    anynorm_vulkan_recording_destroy(recording);
}

static void test_pieces(void **state)
{
    on_each_kind(*state, check_pieces);
}

static void check_secondary(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct problem problem = split_problem(40);
    struct work work;
    anynorm_vulkan_recording *recording = NULL;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, SPLIT);
    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    work_make(engine, &problem, &work);
    VkCommandBuffer secondary = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_SECONDARY, 0);
    assert_ok(anynorm_vulkan_record(plan, recording, secondary, &work.tensors, problem.rows));
    engine_end(engine, secondary);
    VkCommandBuffer commands = engine_commands(engine, PRIMARY, 0);
    engine->vk.vkCmdExecuteCommands(commands, 1, &secondary);
    engine_barrier(engine, commands);
    engine_end(engine, commands);
    engine_run(engine, commands, 1);
    work_check(&work, "secondary");
    work_free(engine, &work);
    anynorm_plan_destroy(plan);
    anynorm_vulkan_recording_destroy(recording);
}

static void test_secondary(void **state)
{
    on_each_kind(*state, check_secondary);
}

/* ---- What a recording allocates ---- */

static unsigned made;
static struct VolkDeviceTable inner;

static VKAPI_ATTR VkResult VKAPI_CALL count_memory(VkDevice a, const VkMemoryAllocateInfo *b,
                                                   const VkAllocationCallbacks *c,
                                                   VkDeviceMemory *d)
{
    made++;
    return inner.vkAllocateMemory(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL count_pools(VkDevice a, const VkDescriptorPoolCreateInfo *b,
                                                  const VkAllocationCallbacks *c,
                                                  VkDescriptorPool *d)
{
    made++;
    return inner.vkCreateDescriptorPool(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL fail_memory(VkDevice a, const VkMemoryAllocateInfo *b,
                                                  const VkAllocationCallbacks *c, VkDeviceMemory *d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

static VKAPI_ATTR VkResult VKAPI_CALL fail_pool(VkDevice a, const VkDescriptorPoolCreateInfo *b,
                                                const VkAllocationCallbacks *c, VkDescriptorPool *d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return VK_ERROR_OUT_OF_HOST_MEMORY;
}

static VKAPI_ATTR VkResult VKAPI_CALL fail_submit(VkQueue a, uint32_t b, const VkSubmitInfo *c,
                                                  VkFence d)
{
    return c ? inner.vkQueueSubmit(a, b, c, d) : VK_ERROR_OUT_OF_HOST_MEMORY;
}

static void check_reuse(struct engine *engine, enum engine_kind kind)
{
    struct VolkDeviceTable *vk = &an_vulkan(engine->anynorm)->vk;
    struct problem problem = split_problem(50);
    struct work work;
    anynorm_vulkan_recording *recording = NULL;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, SPLIT);
    inner = *vk;
    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    work_make(engine, &problem, &work);
    VkCommandBuffer commands = engine_commands(engine, PRIMARY, 0);
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};

    /* What fails leaves the command buffer as it was. */
    vk->vkAllocateMemory = fail_memory;
    assert_status(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows),
                  ANYNORM_OUT_OF_MEMORY);
    vk->vkAllocateMemory = count_memory;
    if (kind == ENGINE_BARE) {
        vk->vkCreateDescriptorPool = fail_pool;
        assert_status(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows),
                      ANYNORM_OUT_OF_MEMORY);
    }
    vk->vkCreateDescriptorPool = count_pools;
    assert_ok(anynorm_vulkan_recording_reset(recording));
    unsigned first = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            assert_ok(
                anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows));
            engine_barrier(engine, commands);
        }
        engine_end(engine, commands);
        engine_run(engine, commands, 1);
        work_check(&work, "many");
        first = round == 0 ? made : first;
        assert_ok(anynorm_vulkan_recording_reset(recording));
        assert_vk(engine->vk.vkBeginCommandBuffer(commands, &begin));
    }
    assert_true(first > 0);
    assert_int_equal(made, first);
    made = 0;

    /* A fence that cannot be submitted: said, and the work is done all the same. */
    VkFence fence = engine_fence(engine);
    vk->vkQueueSubmit = fail_submit;
    anynorm_event event = {0};
    assert_status(
        anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 0, NULL, fence, &event),
        ANYNORM_OUT_OF_MEMORY);
    assert_non_null(strstr(anynorm_message(), "fence"));
    assert_false(event.valid);
    *vk = inner;
    assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, 0, 0, NULL, 0, NULL, fence, NULL));
    assert_vk(engine->vk.vkWaitForFences(engine->device, 1, &fence, VK_TRUE, UINT64_MAX));
    work_check(&work, "without its fence");
    engine->vk.vkDestroyFence(engine->device, fence, NULL);
    work_free(engine, &work);
    anynorm_plan_destroy(plan);
    anynorm_vulkan_recording_destroy(recording);
}

static void test_reuse(void **state)
{
    on_each_kind(*state, check_reuse);
}

/* ---- Semaphores ---- */

static void submit_copy(struct engine *engine, VkCommandBuffer commands, VkSemaphore wait,
                        VkSemaphore signal)
{
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .waitSemaphoreCount = wait ? 1 : 0,
                               .pWaitSemaphores = &wait,
                               .pWaitDstStageMask = &stage,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands,
                               .signalSemaphoreCount = signal ? 1 : 0,
                               .pSignalSemaphores = &signal};
    assert_vk(engine->vk.vkQueueSubmit(engine->queue, 1, &info, VK_NULL_HANDLE));
}

/* x comes by a copy of the caller's, and y goes by one. */
static void check_binary(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct problem problem = usual_problem(60, ANYNORM_F16);
    struct work work;
    struct block source, sink;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    work_make(engine, &problem, &work);
    struct block *x = &work.blocks[AN_X], *y = &work.blocks[AN_Y];
    block_make(engine, x->bytes, &source);
    block_make(engine, y->bytes, &sink);
    memcpy(source.mapped, x->mapped, (size_t)x->bytes);
    memset(x->mapped, 0x55, (size_t)x->bytes);
    VkCommandBuffer in = engine_commands(engine, PRIMARY, 0);
    engine->vk.vkCmdCopyBuffer(in, source.buffer, x->buffer, 1, &(VkBufferCopy){.size = x->bytes});
    engine_end(engine, in);
    VkCommandBuffer out = engine_commands(engine, PRIMARY, 0);
    engine->vk.vkCmdCopyBuffer(out, y->buffer, sink.buffer, 1, &(VkBufferCopy){.size = y->bytes});
    engine_barrier(engine, out);
    engine_end(engine, out);

    anynorm_vulkan_semaphore written = {.semaphore = engine_semaphore(engine, false)};
    anynorm_vulkan_semaphore normalized[2] = {{.semaphore = engine_semaphore(engine, false)},
                                              {.semaphore = engine_semaphore(engine, false)}};
    VkFence fence = engine_fence(engine);
    submit_copy(engine, in, VK_NULL_HANDLE, written.semaphore);
    assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 1, &written, 2, normalized,
                                     VK_NULL_HANDLE, NULL));
    submit_copy(engine, out, normalized[0].semaphore, VK_NULL_HANDLE);
    assert_ok(
        anynorm_vulkan_enqueue(plan, &work.tensors, 0, 1, &normalized[1], 0, NULL, fence, NULL));
    assert_vk(engine->vk.vkWaitForFences(engine->device, 1, &fence, VK_TRUE, UINT64_MAX));
    assert_memory_equal(sink.mapped, y->mapped, (size_t)y->bytes);
    work_check(&work, "binary semaphores");

    engine->vk.vkDestroyFence(engine->device, fence, NULL);
    engine->vk.vkDestroySemaphore(engine->device, written.semaphore, NULL);
    engine->vk.vkDestroySemaphore(engine->device, normalized[0].semaphore, NULL);
    engine->vk.vkDestroySemaphore(engine->device, normalized[1].semaphore, NULL);
    block_free(engine, &source);
    block_free(engine, &sink);
    work_free(engine, &work);
    anynorm_plan_destroy(plan);
}

static void test_binary(void **state)
{
    on_each_kind(*state, check_binary);
}

/* Starts when the host says so, and not before. */
static void check_timeline(struct engine *engine, enum engine_kind kind)
{
    struct problem problem = usual_problem(70, ANYNORM_F32);
    struct work work;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    bool has = kind != ENGINE_BARE && engine->wishes.timeline_semaphore;
    anynorm_vulkan_semaphore start = {engine_semaphore(engine, has), 3}, end = {start.semaphore, 4};
    VkFence fence = engine_fence(engine);
    anynorm_event event = {0};
    work_make(engine, &problem, &work);
    if (has) {
        PFN_vkSignalSemaphore signal =
            kind == ENGINE_CORE ? engine->vk.vkSignalSemaphore : engine->vk.vkSignalSemaphoreKHR;
        PFN_vkGetSemaphoreCounterValue value = kind == ENGINE_CORE
                                                   ? engine->vk.vkGetSemaphoreCounterValue
                                                   : engine->vk.vkGetSemaphoreCounterValueKHR;
        const VkSemaphoreSignalInfo go = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                          .semaphore = start.semaphore,
                                          .value = 3};
        uint64_t reached = 77;
        assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 1, &start, 1, &end,
                                         fence, &event));
        assert_int_equal(engine->vk.vkGetFenceStatus(engine->device, fence), VK_NOT_READY);
        assert_vk(value(engine->device, start.semaphore, &reached));
        assert_int_equal(reached, 0);
        assert_memory_equal(work.blocks[AN_Y].mapped, work.before.bytes[AN_Y],
                            (size_t)work.before.size[AN_Y]);
        assert_vk(signal(engine->device, &go));
        assert_ok(anynorm_event_wait(&event));
        assert_vk(engine->vk.vkWaitForFences(engine->device, 1, &fence, VK_TRUE, UINT64_MAX));
        wait_for(engine, &end);
        work_check(&work, "timeline");
        anynorm_event_release(&event);
    } else {
        assert_refused(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 1, &start, 0, NULL,
                                              fence, &event),
                       "waits[0]");
        assert_refused(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 1, &end,
                                              fence, &event),
                       "signals[0]");
        assert_false(event.valid);
    }
    engine->vk.vkDestroyFence(engine->device, fence, NULL);
    engine->vk.vkDestroySemaphore(engine->device, start.semaphore, NULL);
    work_free(engine, &work);
    anynorm_plan_destroy(plan);
}

static void test_timeline(void **state)
{
    on_each_kind(*state, check_timeline);
}

/* ---- Lifetimes ---- */

/* Closed in any order with plans and recordings; buffers serve every device of the VkDevice. */
static void check_lifetimes(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct problem problem = usual_problem(80, ANYNORM_F32);
    struct work work;
    anynorm_vulkan_recording *recording = NULL;
    anynorm_buffer owned = {0};
    work_make(engine, &problem, &work);
    anynorm_device *twin = engine_wrap(engine, "");
    anynorm_plan *plan = make_plan(twin, &problem.spec, NULL);
    assert_ok(anynorm_vulkan_recording_create(twin, &recording));
    assert_ok(anynorm_buffer_create(twin, 64, &owned));
    anynorm_buffer_destroy(engine->anynorm, &owned);
    anynorm_device_close(twin);
    VkCommandBuffer commands = engine_commands(engine, PRIMARY, 0);
    assert_ok(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows));
    engine_barrier(engine, commands);
    engine_end(engine, commands);
    anynorm_plan_destroy(plan);
    engine_run(engine, commands, 1);
    work_check(&work, "closed device");
    anynorm_vulkan_recording_destroy(recording);

    /* With work of its own in flight, a wrapped device waits for it and for nothing else. */
    twin = engine_wrap(engine, "");
    plan = make_plan(twin, &problem.spec, NULL);
    assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 0, NULL,
                                     VK_NULL_HANDLE, NULL));
    anynorm_plan_destroy(plan);
    anynorm_device_close(twin);
    work_check(&work, "closed while in flight");
    work_free(engine, &work);
}

static void test_lifetimes(void **state)
{
    on_each_kind(*state, check_lifetimes);
}

/* ---- Drivers' own texts ---- */

/* What the driver is taken for. */
static const char *driver_name, *driver_info;
static PFN_vkGetInstanceProcAddr real_get;
static PFN_vkGetPhysicalDeviceProperties2 real_properties;

static VKAPI_ATTR void VKAPI_CALL lying_properties(VkPhysicalDevice physical,
                                                   VkPhysicalDeviceProperties2 *properties)
{
    real_properties(physical, properties);
    for (VkBaseOutStructure *at = properties->pNext; at; at = at->pNext) {
        if (at->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES)
            continue;
        VkPhysicalDeviceDriverProperties *driver = (VkPhysicalDeviceDriverProperties *)(void *)at;
        snprintf(driver->driverName, sizeof(driver->driverName), "%s", driver_name);
        snprintf(driver->driverInfo, sizeof(driver->driverInfo), "%s", driver_info);
    }
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL lying_get(VkInstance instance, const char *name)
{
    if (strcmp(name, "vkGetPhysicalDeviceProperties2") == 0)
        return (PFN_vkVoidFunction)lying_properties;
    return real_get(instance, name);
}

static bool wishes_to_push(const anynorm_vulkan_wishes *wishes)
{
    bool found = false;
    for (uint32_t i = 0; i < wishes->extension_count; i++)
        found = found || strcmp(wishes->extensions[i], VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME) == 0;
    return found;
}

/* The device wrapped, and opened as our own, while its driver is said to be of that version. */
static void check_quirk(struct engine *engine, const char *version, bool broken)
{
    struct an_vulkan_instance liar = engine->instance;
    anynorm_vulkan_handles handles = engine->handles;
    anynorm_vulkan_wishes wishes;
    anynorm_device_info info, plain;
    anynorm_device *devices[2];
    driver_name = "Intel open-source Mesa driver";
    driver_info = version;
    liar.vkGetPhysicalDeviceProperties2 = lying_properties;
    handles.get_instance_proc_addr = lying_get;
    assert_ok(anynorm_vulkan_device_wishes(&handles, &wishes));
    assert_int_equal(wishes_to_push(&wishes), !broken && wishes_to_push(&engine->wishes));
    assert_ok(anynorm_vulkan_device_wrap(&handles, &devices[0]));
    assert_ok(an_vulkan_device_make(&liar, engine->physical, "vulkan:9", NULL, &devices[1]));
    assert_ok(anynorm_device_describe(engine->anynorm, &plain));
    for (size_t i = 0; i < COUNT(devices); i++) {
        bool pushes = i == 0 ? plain.push_descriptors : wishes_to_push(&engine->wishes);
        assert_ok(anynorm_device_describe(devices[i], &info));
        assert_string_equal(info.driver, version);
        assert_int_equal(strstr(info.quirks, "no-push-descriptors (https://") != NULL, broken);
        assert_int_equal(info.push_descriptors, pushes && !broken);
        assert_int_equal(an_vulkan(devices[i])->features.push_descriptors, pushes && !broken);
    }
    anynorm_device_close(devices[1]);
    anynorm_device_close(devices[0]);
}

static void check_quirks(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(engine->anynorm, &info));
    if (*info.quirks)
        return; /* which would hide those of the driver that it is taken for */
    real_get = engine->instance.get;
    real_properties = engine->instance.vkGetPhysicalDeviceProperties2;
    check_quirk(engine, "Mesa 22.2.5", false);
    check_quirk(engine, "Mesa 22.3.6", true);
    check_quirk(engine, "Mesa 23.1.1", false);
    assert_int_equal(setenv("ANYNORM_QUIRKS", "off", 1), 0);
    check_quirk(engine, "Mesa 22.3.6", false);
    assert_int_equal(unsetenv("ANYNORM_QUIRKS"), 0);
}

/* Qualcomm's driver tells of itself in several lines; the log, `anynorm tune`'s lines and whoever
 * prints a device have one. */
static void check_lines(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    anynorm_vulkan_handles handles = engine->handles;
    anynorm_device_info info;
    anynorm_device *device;
    real_get = engine->instance.get;
    real_properties = engine->instance.vkGetPhysicalDeviceProperties2;
    driver_name = "Qualcomm Technologies Inc.\nAdreno Vulkan Driver";
    driver_info = "Driver Build: 85da404\nDate: 11/30/20\r\n\tCompiler Version: EV031.31.04.01";
    handles.get_instance_proc_addr = lying_get;
    assert_ok(anynorm_vulkan_device_wrap(&handles, &device));
    assert_ok(anynorm_device_describe(device, &info));
    anynorm_device_close(device);
    assert_string_equal(info.platform, "Qualcomm Technologies Inc. Adreno Vulkan Driver");
    assert_string_equal(info.driver, "Driver Build: 85da404 Date: 11/30/20   "
                                     "Compiler Version: EV031.31.04.01");
}

static void test_lines(void **state)
{
    on_each_kind(*state, check_lines);
}

static void test_quirks(void **state)
{
    on_each_kind(*state, check_quirks);
}

/* ---- Drivers with less than all of Vulkan ---- */

static PFN_vkEnumerateDeviceExtensionProperties real_extensions;
static PFN_vkCreateDevice real_create;
static unsigned agreed; /* devices that were made as such a driver wants it */

/* The driver's own, and the one by which such a driver is known. */
static VKAPI_ATTR VkResult VKAPI_CALL more_extensions(VkPhysicalDevice physical, const char *layer,
                                                      uint32_t *count, VkExtensionProperties *list)
{
    uint32_t room = *count;
    VkResult result = real_extensions(physical, layer, count, list);
    if (result != VK_SUCCESS)
        return result;
    if (list && room <= *count)
        return VK_INCOMPLETE;
    if (list)
        list[*count] = (VkExtensionProperties){.extensionName = AN_PORTABILITY_SUBSET};
    ++*count;
    return VK_SUCCESS;
}

/* Refuses who did not enable it; to the driver that is here, it means nothing. */
static VKAPI_ATTR VkResult VKAPI_CALL create_subset(VkPhysicalDevice physical,
                                                    const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkDevice *device)
{
    const char *names[8];
    VkDeviceCreateInfo plain = *info;
    plain.enabledExtensionCount = 0;
    plain.ppEnabledExtensionNames = names;
    for (uint32_t i = 0; i < info->enabledExtensionCount && i < COUNT(names); i++) {
        const char *name = info->ppEnabledExtensionNames[i];
        if (strcmp(name, AN_PORTABILITY_SUBSET) != 0)
            names[plain.enabledExtensionCount++] = name;
    }
    if (plain.enabledExtensionCount + 1 != info->enabledExtensionCount)
        return VK_ERROR_EXTENSION_NOT_PRESENT;
    agreed++;
    return real_create(physical, &plain, allocator, device);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL subset_get(VkInstance instance, const char *name)
{
    if (strcmp(name, "vkEnumerateDeviceExtensionProperties") == 0)
        return (PFN_vkVoidFunction)more_extensions;
    return real_get(instance, name);
}

static unsigned count_subset(const anynorm_vulkan_wishes *wishes)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < wishes->extension_count; i++)
        count += strcmp(wishes->extensions[i], AN_PORTABILITY_SUBSET) == 0;
    return count;
}

/* It is enabled on a device of ours, and wished for on a caller's, where the driver has it alone.
 */
static void check_portability(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct an_vulkan_instance subset = engine->instance;
    anynorm_vulkan_handles handles = engine->handles;
    anynorm_vulkan_wishes wishes;
    anynorm_device *device = NULL;
    real_get = engine->instance.get;
    real_extensions = engine->instance.vkEnumerateDeviceExtensionProperties;
    real_create = engine->instance.vkCreateDevice;
    subset.vkEnumerateDeviceExtensionProperties = more_extensions;
    subset.vkCreateDevice = create_subset;
    agreed = 0;
    assert_ok(an_vulkan_device_make(&subset, engine->physical, "vulkan:9", NULL, &device));
    assert_int_equal(agreed, 1);
    struct problem problem = usual_problem(3, ANYNORM_F32);
    struct errors worst = {0};
    assert_true(check_problem(device, &problem, NULL, 0, &worst));
    anynorm_device_close(device);
    assert_int_equal(count_subset(&engine->wishes), 0);
    handles.get_instance_proc_addr = subset_get;
    assert_ok(anynorm_vulkan_device_wishes(&handles, &wishes));
    assert_int_equal(count_subset(&wishes), 1);
    assert_int_equal(wishes.extension_count, engine->wishes.extension_count + 1);
}

static void test_portability(void **state)
{
    on_each_kind(*state, check_portability);
}

/* ---- Refusals ---- */

static void refuse_handles(struct engine *engine)
{
    anynorm_vulkan_handles good = engine->handles, bad = good;
    anynorm_vulkan_wishes wishes = {.extension_count = 77};
    anynorm_device *device = NULL;
    assert_refused(anynorm_vulkan_device_wrap(NULL, &device), "NULL");
    assert_refused(anynorm_vulkan_device_wrap(&good, NULL), "NULL");
    assert_refused(anynorm_vulkan_device_wishes(NULL, &wishes), "NULL");
    assert_refused(anynorm_vulkan_device_wishes(&good, NULL), "NULL");
    bad.device = VK_NULL_HANDLE;
    assert_refused(anynorm_vulkan_device_wrap(&bad, &device), "NULL");
    bad = good;
    bad.instance = VK_NULL_HANDLE;
    assert_refused(anynorm_vulkan_device_wrap(&bad, &device), "instance");
    assert_refused(anynorm_vulkan_device_wishes(&bad, &wishes), "instance");
    bad = good;
    bad.physical_device = an_vulkan(engine->anynorm)->physical;
    bad.instance = an_vulkan_instance()->handle; /* another one */
    assert_refused(anynorm_vulkan_device_wrap(&bad, &device), "belong");
    bad = good;
    bad.api_version = VK_API_VERSION_1_0;
    assert_status(anynorm_vulkan_device_wrap(&bad, &device), ANYNORM_UNSUPPORTED);
    bad = good;
    bad.queue_family = 31;
    assert_refused(anynorm_vulkan_device_wrap(&bad, &device), "queue_family");
    bad = good;
    bad.unlock_queue = NULL;
    assert_refused(anynorm_vulkan_device_wrap(&bad, &device), "lock_queue");
    VkDeviceQueueCreateInfo queue = engine->queue_info;
    const VkDeviceCreateInfo other = {.queueCreateInfoCount = 1, .pQueueCreateInfos = &queue};
    queue.queueFamilyIndex++;
    bad = good;
    bad.created_with = &other;
    assert_refused(anynorm_vulkan_device_wrap(&bad, &device), "queue_family");
    assert_int_equal(setenv("ANYNORM_CAPS", "no-such", 1), 0);
    assert_refused(anynorm_vulkan_device_wrap(&good, &device), "no-such");
    assert_refused(anynorm_vulkan_device_wishes(&good, &wishes), "no-such");
    assert_int_equal(unsetenv("ANYNORM_CAPS"), 0);
    assert_null(device);
    assert_int_equal(wishes.extension_count, 77);
    assert_refused(anynorm_vulkan_device_handles(NULL, &bad), "NULL");
    assert_refused(anynorm_vulkan_device_handles(engine->anynorm, NULL), "NULL");
}

static void check_refusals(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    refuse_handles(engine);
    struct problem problem = usual_problem(90, ANYNORM_F32);
    struct work work;
    anynorm_device *reference = open_device("reference"), *twin = engine_wrap(engine, "");
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    anynorm_plan *plain = make_plan(reference, &problem.spec, NULL);
    anynorm_vulkan_recording *recording = NULL, *other = NULL;
    anynorm_buffer buffer = {.bytes = 77};
    anynorm_event event = {0};
    work_make(engine, &problem, &work);
    VkBuffer memory = work.blocks[AN_X].buffer;
    assert_refused(anynorm_vulkan_buffer_wrap(reference, memory, 16, &buffer), "not a Vulkan");
    assert_refused(anynorm_vulkan_buffer_wrap(NULL, memory, 16, &buffer), "NULL");
    assert_refused(anynorm_vulkan_buffer_wrap(twin, VK_NULL_HANDLE, 16, &buffer), "NULL");
    assert_refused(anynorm_vulkan_buffer_wrap(twin, memory, 16, NULL), "NULL");
    assert_refused(anynorm_vulkan_buffer_wrap(twin, memory, 0, &buffer), "multiple of 4");
    assert_refused(anynorm_vulkan_buffer_wrap(twin, memory, 18, &buffer), "multiple of 4");
    assert_int_equal(buffer.bytes, 77);

    assert_refused(anynorm_vulkan_recording_create(reference, &recording), "not a Vulkan");
    assert_refused(anynorm_vulkan_recording_create(twin, NULL), "NULL");
    assert_refused(anynorm_vulkan_recording_reset(NULL), "NULL");
    anynorm_vulkan_recording_destroy(NULL);
    assert_null(recording);
    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    assert_ok(anynorm_vulkan_recording_create(twin, &other));

    const anynorm_tensors *tensors = &work.tensors;
    anynorm_tensors bad = *tensors;
    bad.y = bad.weight;
    VkCommandBuffer commands = engine_commands(engine, PRIMARY, 0);
    assert_refused(anynorm_vulkan_record(NULL, recording, commands, tensors, 1), "NULL");
    assert_refused(anynorm_vulkan_record(plan, NULL, commands, tensors, 1), "NULL");
    assert_refused(anynorm_vulkan_record(plan, recording, NULL, tensors, 1), "NULL");
    assert_refused(anynorm_vulkan_record(plan, recording, commands, NULL, 1), "NULL");
    assert_refused(anynorm_vulkan_record(plan, other, commands, tensors, 1), "different devices");
    assert_refused(anynorm_vulkan_record(plain, recording, commands, tensors, 1),
                   "different devices");
    assert_refused(anynorm_vulkan_record(plan, recording, commands, &bad, problem.rows), "y");
    assert_refused(anynorm_vulkan_record(plan, recording, commands, tensors, 1000), "rows");
    engine_end(engine, commands);

    const anynorm_vulkan_semaphore none = {.value = 0};
    assert_refused(
        anynorm_vulkan_enqueue(NULL, tensors, 1, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event), "NULL");
    assert_refused(anynorm_vulkan_enqueue(plan, NULL, 1, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event),
                   "NULL");
    assert_refused(
        anynorm_vulkan_enqueue(plain, tensors, 1, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event),
        "not of a Vulkan");
    assert_refused(
        anynorm_vulkan_enqueue(plan, tensors, 1, 1, NULL, 0, NULL, VK_NULL_HANDLE, &event),
        "waits");
    assert_refused(
        anynorm_vulkan_enqueue(plan, tensors, 1, 0, NULL, 0, &none, VK_NULL_HANDLE, &event),
        "signals");
    assert_refused(anynorm_vulkan_enqueue(plan, tensors, 1, ANYNORM_MAX_WAIT + 1, &none, 0, NULL,
                                          VK_NULL_HANDLE, &event),
                   "waits");
    assert_refused(
        anynorm_vulkan_enqueue(plan, tensors, 1, 1, &none, 0, NULL, VK_NULL_HANDLE, &event),
        "no semaphore");
    assert_refused(
        anynorm_vulkan_enqueue(plan, &bad, problem.rows, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event),
        "y");
    assert_false(event.valid);

    /* Two names of one VkBuffer overlap. */
    bad = *tensors;
    bad.mean = bad.y;
    assert_refused(anynorm_vulkan_record(plan, recording, commands, &bad, problem.rows), "overlap");

    anynorm_vulkan_recording_destroy(recording);
    anynorm_vulkan_recording_destroy(other);
    anynorm_plan_destroy(plain);
    anynorm_plan_destroy(plan);
    anynorm_device_close(twin);
    anynorm_device_close(reference);
    work_free(engine, &work);
}

static void test_refusals(void **state)
{
    on_each_kind(*state, check_refusals);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"devices", test_devices},
        {"opened", test_opened},
        {"without a queue", test_without_queue},
        {"record", test_record},
        {"pieces", test_pieces},
        {"secondary", test_secondary},
        {"reuse", test_reuse},
        {"binary semaphores", test_binary},
        {"timeline", test_timeline},
        {"lifetimes", test_lifetimes},
        {"driver of several lines", test_lines},
        {"quirks", test_quirks},
        {"portability", test_portability},
        {"refusals", test_refusals},
    };
    return run_on_devices("vulkan", tests, COUNT(tests), NULL, NULL);
}
