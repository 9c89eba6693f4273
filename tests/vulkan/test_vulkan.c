/* <anynorm/vulkan.h> as an engine with a device of its own uses it: on Vulkan 1.1 with nothing
 * enabled, and with all that anynorm wishes. The validation layer, where it is installed, watches
 * every test, leaks too. (Of hazards between commands it sees those of a kernel's first buffer: it
 * looks at no others of an array.) */
#include "vulkan_support.h"

#include <string.h>

#include "vulkan/vulkan_backend.h"

static const char *const SPLIT = "row_split segment=64 group=32";

static struct problem split_problem(uint64_t seed)
{
    struct problem problem = dense_problem(2, 1000, ANYNORM_F32, ALL_FLAGS);
    problem.seed = seed;
    return problem;
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
    VkCommandBuffer commands =
        engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                        times > 1 ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT : 0);
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
        struct problem problem = engine_problem(10 + (uint64_t)type, type);
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
    on_each_engine(*state, check_record);
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
    struct problem problem = engine_problem(30, ANYNORM_F32);
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
    on_each_engine(*state, check_pieces);
}

/* Gradients between the caller's semaphores, and recorded into his commands, of tensors and a
 * workspace at offsets in his buffers: right, and with the same bits; and pieces of tensors are
 * refused. */
static void check_gradients(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct problem problem = {.seed = 50};
    struct work work;
    anynorm_event event;
    anynorm_vulkan_recording *recording = NULL;
    assert_ok(
        anynorm_spec_parse("layer-norm 37x100 weight bias scale shift sample-rows=10 backward",
                           &problem.spec, &problem.rows));
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        problem.offset[t] = 16 + 8 * (uint64_t)t;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    work_make(engine, &problem, &work);
    const anynorm_vulkan_semaphore done = {.semaphore = engine_semaphore(engine, false)};
    VkFence fence = engine_fence(engine);
    assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 1, &done,
                                     VK_NULL_HANDLE, NULL));
    assert_ok(anynorm_vulkan_enqueue(plan, &work.tensors, 0, 1, &done, 0, NULL, fence, NULL));
    assert_vk(engine->vk.vkWaitForFences(engine->device, 1, &fence, VK_TRUE, UINT64_MAX));
    engine->vk.vkDestroyFence(engine->device, fence, NULL);
    engine->vk.vkDestroySemaphore(engine->device, done.semaphore, NULL);
    struct images enqueued = images_copy(&work.before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (work.before.bytes[t])
            memcpy(enqueued.bytes[t], work.blocks[t].mapped, (size_t)work.before.size[t]);
    }
    work_check(&work, "enqueued");

    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    VkCommandBuffer commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    engine_barrier(engine, commands);
    assert_ok(anynorm_vulkan_record(plan, recording, commands, &work.tensors, problem.rows));
    engine_barrier(engine, commands);
    engine_end(engine, commands);
    anynorm_plan_destroy(plan); /* the recording has what it needs */
    for (int round = 0; round < 2; round++) {
        engine_run(engine, commands, 1);
        for (int t = AN_DX; t < AN_WORKSPACE; t++) {
            if (work.before.bytes[t])
                assert_memory_equal(work.blocks[t].mapped, enqueued.bytes[t],
                                    (size_t)work.before.size[t]);
        }
        work_check(&work, "recorded"); /* and poisons the outputs anew */
    }

    anynorm_device *wrapped = engine->anynorm;
    engine->anynorm = engine_wrap(engine, "max-range=8000");
    plan = make_plan(engine->anynorm, &problem.spec, NULL);
    assert_refused_naming(anynorm_enqueue(plan, &work.tensors, problem.rows, 0, NULL, &event),
                          ANYNORM_UNSUPPORTED, "reach further");
    anynorm_plan_destroy(plan);
    anynorm_vulkan_recording_destroy(recording);
    anynorm_device_close(wrapped);
    images_free(&enqueued);
    work_free(engine, &work);
}

static void test_gradients(void **state)
{
    on_each_engine(*state, check_gradients);
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
    VkCommandBuffer commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
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
    on_each_engine(*state, check_secondary);
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
    VkCommandBuffer commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
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
    on_each_engine(*state, check_reuse);
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
    struct problem problem = engine_problem(60, ANYNORM_F16);
    struct work work;
    struct block source, sink;
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    work_make(engine, &problem, &work);
    struct block *x = &work.blocks[AN_X], *y = &work.blocks[AN_Y];
    block_make(engine, x->bytes, &source);
    block_make(engine, y->bytes, &sink);
    memcpy(source.mapped, x->mapped, (size_t)x->bytes);
    memset(x->mapped, 0x55, (size_t)x->bytes);
    VkCommandBuffer in = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    engine->vk.vkCmdCopyBuffer(in, source.buffer, x->buffer, 1, &(VkBufferCopy){.size = x->bytes});
    engine_end(engine, in);
    VkCommandBuffer out = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
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
    on_each_engine(*state, check_binary);
}

/* Starts when the host says so, and not before. */
static void check_timeline(struct engine *engine, enum engine_kind kind)
{
    struct problem problem = engine_problem(70, ANYNORM_F32);
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
        engine_wait_semaphore(engine, &end);
        work_check(&work, "timeline");
        anynorm_event_release(&event);
    } else {
        assert_invalid(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 1, &start, 0, NULL,
                                              fence, &event),
                       "waits[0]");
        assert_invalid(anynorm_vulkan_enqueue(plan, &work.tensors, problem.rows, 0, NULL, 1, &end,
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
    on_each_engine(*state, check_timeline);
}

/* ---- Lifetimes ---- */

/* Closed in any order with plans and recordings; buffers serve every device of the VkDevice. */
static void check_lifetimes(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct problem problem = engine_problem(80, ANYNORM_F32);
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
    VkCommandBuffer commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
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
    on_each_engine(*state, check_lifetimes);
}

/* ---- Refusals ---- */

static void check_refusals(struct engine *engine, enum engine_kind kind)
{
    (void)kind;
    struct problem problem = engine_problem(90, ANYNORM_F32);
    struct work work;
    anynorm_device *reference = open_device("reference"), *twin = engine_wrap(engine, "");
    anynorm_plan *plan = make_plan(engine->anynorm, &problem.spec, NULL);
    anynorm_plan *plain = make_plan(reference, &problem.spec, NULL);
    anynorm_vulkan_recording *recording = NULL, *other = NULL;
    anynorm_buffer buffer = {.bytes = 77};
    anynorm_event event = {0};
    work_make(engine, &problem, &work);
    VkBuffer memory = work.blocks[AN_X].buffer;
    assert_invalid(anynorm_vulkan_buffer_wrap(reference, memory, 16, &buffer), "not a Vulkan");
    assert_invalid(anynorm_vulkan_buffer_wrap(NULL, memory, 16, &buffer), "NULL");
    assert_invalid(anynorm_vulkan_buffer_wrap(twin, VK_NULL_HANDLE, 16, &buffer), "NULL");
    assert_invalid(anynorm_vulkan_buffer_wrap(twin, memory, 16, NULL), "NULL");
    assert_invalid(anynorm_vulkan_buffer_wrap(twin, memory, 0, &buffer), "multiple of 4");
    assert_invalid(anynorm_vulkan_buffer_wrap(twin, memory, 18, &buffer), "multiple of 4");
    assert_int_equal(buffer.bytes, 77);

    assert_invalid(anynorm_vulkan_recording_create(reference, &recording), "not a Vulkan");
    assert_invalid(anynorm_vulkan_recording_create(twin, NULL), "NULL");
    assert_invalid(anynorm_vulkan_recording_reset(NULL), "NULL");
    anynorm_vulkan_recording_destroy(NULL);
    assert_null(recording);
    assert_ok(anynorm_vulkan_recording_create(engine->anynorm, &recording));
    assert_ok(anynorm_vulkan_recording_create(twin, &other));

    const anynorm_tensors *tensors = &work.tensors;
    anynorm_tensors bad = *tensors;
    bad.y = bad.weight;
    VkCommandBuffer commands = engine_commands(engine, VK_COMMAND_BUFFER_LEVEL_PRIMARY, 0);
    assert_invalid(anynorm_vulkan_record(NULL, recording, commands, tensors, 1), "NULL");
    assert_invalid(anynorm_vulkan_record(plan, NULL, commands, tensors, 1), "NULL");
    assert_invalid(anynorm_vulkan_record(plan, recording, NULL, tensors, 1), "NULL");
    assert_invalid(anynorm_vulkan_record(plan, recording, commands, NULL, 1), "NULL");
    assert_invalid(anynorm_vulkan_record(plan, other, commands, tensors, 1), "different devices");
    assert_invalid(anynorm_vulkan_record(plain, recording, commands, tensors, 1),
                   "different devices");
    assert_invalid(anynorm_vulkan_record(plan, recording, commands, &bad, problem.rows), "y");
    assert_invalid(anynorm_vulkan_record(plan, recording, commands, tensors, 1000), "rows");
    engine_end(engine, commands);

    const anynorm_vulkan_semaphore none = {.value = 0};
    assert_invalid(
        anynorm_vulkan_enqueue(NULL, tensors, 1, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event), "NULL");
    assert_invalid(anynorm_vulkan_enqueue(plan, NULL, 1, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event),
                   "NULL");
    assert_invalid(
        anynorm_vulkan_enqueue(plain, tensors, 1, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event),
        "not of a Vulkan");
    assert_invalid(
        anynorm_vulkan_enqueue(plan, tensors, 1, 1, NULL, 0, NULL, VK_NULL_HANDLE, &event),
        "waits");
    assert_invalid(
        anynorm_vulkan_enqueue(plan, tensors, 1, 0, NULL, 0, &none, VK_NULL_HANDLE, &event),
        "signals");
    assert_invalid(anynorm_vulkan_enqueue(plan, tensors, 1, ANYNORM_MAX_WAIT + 1, &none, 0, NULL,
                                          VK_NULL_HANDLE, &event),
                   "waits");
    assert_invalid(
        anynorm_vulkan_enqueue(plan, tensors, 1, 1, &none, 0, NULL, VK_NULL_HANDLE, &event),
        "no semaphore");
    assert_invalid(
        anynorm_vulkan_enqueue(plan, &bad, problem.rows, 0, NULL, 0, NULL, VK_NULL_HANDLE, &event),
        "y");
    assert_false(event.valid);

    /* Two names of one VkBuffer overlap. */
    bad = *tensors;
    bad.mean = bad.y;
    assert_invalid(anynorm_vulkan_record(plan, recording, commands, &bad, problem.rows),
                   "overlaps");

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
    on_each_engine(*state, check_refusals);
}
int main(void)
{
    static const struct device_test tests[] = {
        {"record", test_record},       {"pieces", test_pieces},
        {"gradients", test_gradients}, {"secondary", test_secondary},
        {"reuse", test_reuse},         {"binary semaphores", test_binary},
        {"timeline", test_timeline},   {"lifetimes", test_lifetimes},
        {"refusals", test_refusals},
    };
    return run_on_devices("vulkan", tests, COUNT(tests), NULL, NULL);
}
