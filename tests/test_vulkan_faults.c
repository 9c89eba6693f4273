/* Every call into Vulkan that can fail does so once, and from some point on always: the caller must
 * be told by which call, no result may be wrong, and nothing may leak, which the validation layers
 * see when the device is destroyed. The device's table of functions is replaced by one that fails
 * the Nth call, for N = 1, 2, 3 ... until a whole scenario runs without meeting it.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 *     ANYNORM_TEST_REDUCED=1         every third call
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "vulkan/vulkan_backend.h"

static struct {
    unsigned long at; /* this call, counted from 1; 0: none */
    bool sticky;      /* and every later one */
    VkResult code;
    unsigned long calls;
    const char *call; /* the function it struck last; NULL: none in the present step */
} fault;

static struct VolkDeviceTable inner;

static VkResult strike(const char *call)
{
    fault.calls++;
    if (fault.at == 0 || fault.calls < fault.at || (fault.calls > fault.at && !fault.sticky))
        return VK_SUCCESS;
    fault.call = call;
    return fault.code;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_buffer(VkDevice a, const VkBufferCreateInfo *b,
                                                    const VkAllocationCallbacks *c, VkBuffer *d)
{
    VkResult result = strike("vkCreateBuffer");
    return result ? result : inner.vkCreateBuffer(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate_memory(VkDevice a, const VkMemoryAllocateInfo *b,
                                                      const VkAllocationCallbacks *c,
                                                      VkDeviceMemory *d)
{
    VkResult result = strike("vkAllocateMemory");
    return result ? result : inner.vkAllocateMemory(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL bind_memory(VkDevice a, VkBuffer b, VkDeviceMemory c,
                                                  VkDeviceSize d)
{
    VkResult result = strike("vkBindBufferMemory");
    return result ? result : inner.vkBindBufferMemory(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL map_memory(VkDevice a, VkDeviceMemory b, VkDeviceSize c,
                                                 VkDeviceSize d, VkMemoryMapFlags e, void **f)
{
    VkResult result = strike("vkMapMemory");
    return result ? result : inner.vkMapMemory(a, b, c, d, e, f);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_fence(VkDevice a, const VkFenceCreateInfo *b,
                                                   const VkAllocationCallbacks *c, VkFence *d)
{
    VkResult result = strike("vkCreateFence");
    return result ? result : inner.vkCreateFence(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_for_fences(VkDevice a, uint32_t b, const VkFence *c,
                                                      VkBool32 d, uint64_t e)
{
    VkResult result = strike("vkWaitForFences");
    return result ? result : inner.vkWaitForFences(a, b, c, d, e);
}

static VKAPI_ATTR VkResult VKAPI_CALL reset_fences(VkDevice a, uint32_t b, const VkFence *c)
{
    VkResult result = strike("vkResetFences");
    return result ? result : inner.vkResetFences(a, b, c);
}

static VKAPI_ATTR VkResult VKAPI_CALL fence_status(VkDevice a, VkFence b)
{
    VkResult result = strike("vkGetFenceStatus");
    return result ? result : inner.vkGetFenceStatus(a, b);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate_commands(VkDevice a,
                                                        const VkCommandBufferAllocateInfo *b,
                                                        VkCommandBuffer *c)
{
    VkResult result = strike("vkAllocateCommandBuffers");
    return result ? result : inner.vkAllocateCommandBuffers(a, b, c);
}

static VKAPI_ATTR VkResult VKAPI_CALL begin_commands(VkCommandBuffer a,
                                                     const VkCommandBufferBeginInfo *b)
{
    VkResult result = strike("vkBeginCommandBuffer");
    return result ? result : inner.vkBeginCommandBuffer(a, b);
}

static VKAPI_ATTR VkResult VKAPI_CALL end_commands(VkCommandBuffer a)
{
    VkResult result = strike("vkEndCommandBuffer");
    return result ? result : inner.vkEndCommandBuffer(a);
}

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue a, uint32_t b, const VkSubmitInfo *c,
                                             VkFence d)
{
    VkResult result = strike("vkQueueSubmit");
    return result ? result : inner.vkQueueSubmit(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_queries(VkDevice a, const VkQueryPoolCreateInfo *b,
                                                     const VkAllocationCallbacks *c, VkQueryPool *d)
{
    VkResult result = strike("vkCreateQueryPool");
    return result ? result : inner.vkCreateQueryPool(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL query_results(VkDevice a, VkQueryPool b, uint32_t c,
                                                    uint32_t d, size_t e, void *f, VkDeviceSize g,
                                                    VkQueryResultFlags h)
{
    VkResult result = strike("vkGetQueryPoolResults");
    return result ? result : inner.vkGetQueryPoolResults(a, b, c, d, e, f, g, h);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pool(VkDevice a, const VkDescriptorPoolCreateInfo *b,
                                                  const VkAllocationCallbacks *c,
                                                  VkDescriptorPool *d)
{
    VkResult result = strike("vkCreateDescriptorPool");
    return result ? result : inner.vkCreateDescriptorPool(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate_sets(VkDevice a,
                                                    const VkDescriptorSetAllocateInfo *b,
                                                    VkDescriptorSet *c)
{
    VkResult result = strike("vkAllocateDescriptorSets");
    return result ? result : inner.vkAllocateDescriptorSets(a, b, c);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_set_layout(VkDevice a,
                                                        const VkDescriptorSetLayoutCreateInfo *b,
                                                        const VkAllocationCallbacks *c,
                                                        VkDescriptorSetLayout *d)
{
    VkResult result = strike("vkCreateDescriptorSetLayout");
    return result ? result : inner.vkCreateDescriptorSetLayout(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_layout(VkDevice a, const VkPipelineLayoutCreateInfo *b,
                                                    const VkAllocationCallbacks *c,
                                                    VkPipelineLayout *d)
{
    VkResult result = strike("vkCreatePipelineLayout");
    return result ? result : inner.vkCreatePipelineLayout(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_module(VkDevice a, const VkShaderModuleCreateInfo *b,
                                                    const VkAllocationCallbacks *c,
                                                    VkShaderModule *d)
{
    VkResult result = strike("vkCreateShaderModule");
    return result ? result : inner.vkCreateShaderModule(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice a, VkPipelineCache b, uint32_t c,
                                                       const VkComputePipelineCreateInfo *d,
                                                       const VkAllocationCallbacks *e,
                                                       VkPipeline *f)
{
    VkResult result = strike("vkCreateComputePipelines");
    return result ? result : inner.vkCreateComputePipelines(a, b, c, d, e, f);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_cache(VkDevice a, const VkPipelineCacheCreateInfo *b,
                                                   const VkAllocationCallbacks *c,
                                                   VkPipelineCache *d)
{
    VkResult result = strike("vkCreatePipelineCache");
    return result ? result : inner.vkCreatePipelineCache(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL cache_data(VkDevice a, VkPipelineCache b, size_t *c, void *d)
{
    VkResult result = strike("vkGetPipelineCacheData");
    return result ? result : inner.vkGetPipelineCacheData(a, b, c, d);
}

static void install(anynorm_device *device)
{
    struct VolkDeviceTable *vk = &an_vulkan(device)->vk;
    inner = *vk;
    vk->vkCreateBuffer = create_buffer;
    vk->vkAllocateMemory = allocate_memory;
    vk->vkBindBufferMemory = bind_memory;
    vk->vkMapMemory = map_memory;
    vk->vkCreateFence = create_fence;
    vk->vkWaitForFences = wait_for_fences;
    vk->vkResetFences = reset_fences;
    vk->vkGetFenceStatus = fence_status;
    vk->vkAllocateCommandBuffers = allocate_commands;
    vk->vkBeginCommandBuffer = begin_commands;
    vk->vkEndCommandBuffer = end_commands;
    vk->vkQueueSubmit = submit;
    vk->vkCreateQueryPool = create_queries;
    vk->vkGetQueryPoolResults = query_results;
    vk->vkCreateDescriptorPool = create_pool;
    vk->vkAllocateDescriptorSets = allocate_sets;
    vk->vkCreateDescriptorSetLayout = create_set_layout;
    vk->vkCreatePipelineLayout = create_layout;
    vk->vkCreateShaderModule = create_module;
    vk->vkCreateComputePipelines = create_pipelines;
    vk->vkCreatePipelineCache = create_cache;
    vk->vkGetPipelineCacheData = cache_data;
}

/* ---- A scenario ---- */

struct scene {
    struct problem problem;
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
    if (fault.code == VK_ERROR_DEVICE_LOST || strcmp(call, "vkWaitForFences") == 0)
        return ANYNORM_DEVICE_LOST;
    return ANYNORM_OUT_OF_MEMORY;
}

/* Whether to go on; judges what the step said. */
static bool judge(const char *step, anynorm_status status)
{
    const char *call = fault.call;
    fault.call = NULL;
    if (status == ANYNORM_OK) {
        if (call && !may_succeed(call))
            fail_msg("%s: %s failed (call %lu), nobody was told", step, call, fault.at);
        return true;
    }
    if (!call)
        fail_msg("%s: failed without a fault: %s", step, anynorm_message());
    bool wait = strcmp(call, "vkWaitForFences") == 0; /* of whose copy or kernel it may be */
    if ((status != status_of(call) && !wait) || !strstr(anynorm_message(), call))
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
        if (!scene->before.bytes[t])
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
    const anynorm_plan_options options = {.schedule = "row_split segment=64 group=32"};
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
    if (fault.call && may_succeed(fault.call)) {
        fault.call = NULL;
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
    install(scene->device);
    scene->plan = NULL;
    scene->tensors = (anynorm_tensors){0};
    scene->event = (anynorm_event){0};
    fault.at = at;
    fault.calls = 0;
    fault.call = NULL;
    play(scene);
    bool struck = fault.calls >= at;
    fault.at = 0;
    assert_int_equal(inner.vkDeviceWaitIdle(an_vulkan(scene->device)->handle), VK_SUCCESS);
    anynorm_event_release(&scene->event);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        anynorm_buffer_destroy(scene->device, an_tensor_slot(&scene->tensors, (enum an_tensor)t));
    anynorm_plan_destroy(scene->plan);
    anynorm_device_close(scene->device);
    return struck;
}

static void test_every_call(void **state)
{
    const char *id = *state;
    static const struct {
        bool sticky;
        VkResult code;
        const char *caps;
    } kinds[] = {{false, VK_ERROR_OUT_OF_DEVICE_MEMORY, ""},
                 {true, VK_ERROR_DEVICE_LOST, "no-unified"},
                 {false, VK_ERROR_OUT_OF_HOST_MEMORY, "no-unified,max-range=700"}};
    if (strncmp(id, "vulkan:", 7) != 0)
        return;
    struct scene scene = {
        .problem = dense_problem(2, 100, ANYNORM_F32, ANYNORM_WEIGHT | ANYNORM_MEAN_OUTPUT)};
    images_make(&scene.problem, &scene.before);
    anynorm_device *device = open_device(id);
    anynorm_plan *plan = make_plan(device, &scene.problem.spec, "row_split segment=64 group=32");
    run_on_device(device, plan, &scene.problem, &scene.before, &scene.expected);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        unsigned long at = 1;
        fault.sticky = kinds[i].sticky;
        fault.code = kinds[i].code;
        while (attempt(&scene, id, kinds[i].caps, at))
            at += reduced() ? 3 : 1;
        assert_true(at > 30); /* it has met more calls than these */
    }
    images_free(&scene.before);
    images_free(&scene.expected);
}

int main(void)
{
    static const struct device_test tests[] = {{"every call", test_every_call}};
    return run_on_devices("vulkan faults", tests, 1, NULL, NULL);
}
