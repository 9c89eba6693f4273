#include "vulkan_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const engine_names[ENGINE_KINDS] = {"bare 1.1", "1.1 with extensions", "1.3"};

static const char layer[] = "VK_LAYER_KHRONOS_validation";

void check_vk(VkResult result, const char *what, const char *file, int line)
{
    if (result == VK_SUCCESS)
        return;
    fprintf(stderr, "%s:%d: %s gave %s\n", file, line, what, an_vk_name(result));
    _fail(file, line);
}

/* ---- Instance ---- */

static VKAPI_ATTR VkBool32 VKAPI_CALL complain(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                               VkDebugUtilsMessageTypeFlagsEXT types,
                                               const VkDebugUtilsMessengerCallbackDataEXT *data,
                                               void *user)
{
    (void)severity;
    (void)types;
    fprintf(stderr, "%s\n", data->pMessage);
    ++*(unsigned *)user;
    return VK_FALSE;
}

static bool has_layer(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false; /* it is unloaded with what it still holds: leaks, for LeakSanitizer */
#else
    PFN_vkEnumerateInstanceLayerProperties enumerate =
        (PFN_vkEnumerateInstanceLayerProperties)an_vulkan_loader()(
            NULL, "vkEnumerateInstanceLayerProperties");
    VkLayerProperties list[64];
    uint32_t count = COUNT(list);
    VkResult result = enumerate(&count, list);
    bool has = false;
    for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; i++)
        has = has || strcmp(list[i].layerName, layer) == 0;
    return has;
#endif
}

static void make_instance(struct engine *engine, uint32_t version)
{
    PFN_vkGetInstanceProcAddr get = an_vulkan_loader();
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)get(NULL, "vkCreateInstance");
    static const VkValidationFeatureEnableEXT wanted =
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    static const char *const layers[] = {layer};
    static const char *const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME,
                                             VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
    const VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = complain,
        .pUserData = &engine->complaints};
    const VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                              .pNext = &messenger,
                                              .enabledValidationFeatureCount = 1,
                                              .pEnabledValidationFeatures = &wanted};
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .apiVersion = version};
    bool watched = has_layer();
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pNext = watched ? &features : NULL,
                                       .pApplicationInfo = &application,
                                       .enabledLayerCount = watched ? 1 : 0,
                                       .ppEnabledLayerNames = layers,
                                       .enabledExtensionCount = watched ? COUNT(extensions) : 0,
                                       .ppEnabledExtensionNames = extensions};
    VkInstance instance = VK_NULL_HANDLE;
    assert_vk(create(&info, NULL, &instance));
    assert_true(an_vulkan_instance_load(get, instance, version, &engine->instance));
    if (watched) {
        PFN_vkCreateDebugUtilsMessengerEXT make =
            (PFN_vkCreateDebugUtilsMessengerEXT)get(instance, "vkCreateDebugUtilsMessengerEXT");
        assert_vk(make(instance, &messenger, NULL, &engine->messenger));
    } else {
        fprintf(stderr, "skipped: no validation layer watches\n");
    }
}

static void free_instance(struct engine *engine)
{
    VkInstance instance = engine->instance.handle;
    PFN_vkDestroyInstance destroy =
        (PFN_vkDestroyInstance)engine->instance.get(instance, "vkDestroyInstance");
    if (engine->messenger) {
        PFN_vkDestroyDebugUtilsMessengerEXT silence =
            (PFN_vkDestroyDebugUtilsMessengerEXT)engine->instance.get(
                instance, "vkDestroyDebugUtilsMessengerEXT");
        silence(instance, engine->messenger, NULL);
    }
    destroy(instance, NULL);
}

/* ---- Device ---- */

static void find_device(struct engine *engine, size_t index)
{
    VkPhysicalDevice list[32];
    VkQueueFamilyProperties families[32];
    uint32_t count = COUNT(list);
    VkResult result =
        engine->instance.vkEnumeratePhysicalDevices(engine->instance.handle, &count, list);
    assert_true(result == VK_SUCCESS || result == VK_INCOMPLETE);
    assert_true(index < count);
    engine->physical = list[index];
    count = COUNT(families);
    engine->instance.vkGetPhysicalDeviceQueueFamilyProperties(engine->physical, &count, families);
    while (engine->family < count && !(families[engine->family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        engine->family++;
    assert_true(engine->family < count);
}

/* The first of the three structures that the device of a kind is made with. */
static const void *chain(struct engine *engine, enum engine_kind kind)
{
    const anynorm_vulkan_wishes *wishes = &engine->wishes;
    engine->features =
        (VkPhysicalDeviceFeatures2){.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                    .features = {.shaderFloat64 = wishes->shader_float64}};
    if (kind == ENGINE_CORE) {
        engine->core13 = (VkPhysicalDeviceVulkan13Features){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
            .subgroupSizeControl = wishes->subgroup_size_control,
            .computeFullSubgroups = wishes->compute_full_subgroups};
        engine->core12 = (VkPhysicalDeviceVulkan12Features){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
            .pNext = &engine->core13,
            .timelineSemaphore = wishes->timeline_semaphore};
        engine->core11 = (VkPhysicalDeviceVulkan11Features){
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
            .pNext = &engine->core12,
            .storageBuffer16BitAccess = wishes->storage_buffer_16bit_access};
        engine->features.pNext = &engine->core11;
        return &engine->features;
    }
    engine->storage = (VkPhysicalDevice16BitStorageFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .pNext = &engine->features,
        .storageBuffer16BitAccess = wishes->storage_buffer_16bit_access};
    engine->sizes = (VkPhysicalDeviceSubgroupSizeControlFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .pNext = &engine->storage,
        .subgroupSizeControl = wishes->subgroup_size_control,
        .computeFullSubgroups = wishes->compute_full_subgroups};
    engine->timeline = (VkPhysicalDeviceTimelineSemaphoreFeatures){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = wishes->subgroup_size_control ? (void *)&engine->sizes : &engine->storage,
        .timelineSemaphore = wishes->timeline_semaphore};
    return wishes->timeline_semaphore ? &engine->timeline : engine->timeline.pNext;
}

static void make_device(struct engine *engine, enum engine_kind kind)
{
    engine->priority = 1;
    engine->queue_info =
        (VkDeviceQueueCreateInfo){.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                  .queueFamilyIndex = engine->family,
                                  .queueCount = 1,
                                  .pQueuePriorities = &engine->priority};
    engine->device_info = (VkDeviceCreateInfo){.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                               .queueCreateInfoCount = 1,
                                               .pQueueCreateInfos = &engine->queue_info};
    if (kind != ENGINE_BARE) {
        engine->device_info.pNext = chain(engine, kind);
        engine->device_info.enabledExtensionCount = engine->wishes.extension_count;
        engine->device_info.ppEnabledExtensionNames = engine->wishes.extensions;
    }
    assert_vk(engine->instance.vkCreateDevice(engine->physical, &engine->device_info, NULL,
                                              &engine->device));
    an_vulkan_device_load(&engine->instance, engine->device, &engine->vk);
    engine->vk.vkGetDeviceQueue(engine->device, engine->family, 0, &engine->queue);
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = engine->family};
    assert_vk(engine->vk.vkCreateCommandPool(engine->device, &pool, NULL, &engine->pool));
}

static void lock(void *user)
{
    struct engine *engine = user;
    assert_int_equal(engine->locked++, engine->unlocked);
}

static void unlock(void *user)
{
    struct engine *engine = user;
    assert_int_equal(engine->locked, ++engine->unlocked);
}

bool engine_open_unwrapped(struct engine *engine, const char *id, enum engine_kind kind)
{
    *engine = (struct engine){.name = engine_names[kind]};
    if (strncmp(id, "vulkan:", 7) != 0)
        return false;
    uint32_t version = kind == ENGINE_CORE ? VK_API_VERSION_1_3 : VK_API_VERSION_1_1;
    make_instance(engine, version);
    find_device(engine, strtoul(id + 7, NULL, 10));
    VkPhysicalDeviceProperties properties;
    engine->instance.vkGetPhysicalDeviceProperties(engine->physical, &properties);
    if (properties.apiVersion < version) {
        fprintf(stderr, "skipped: %s is older than Vulkan %s\n", id, engine->name);
        free_instance(engine);
        return false;
    }
    engine->handles = (anynorm_vulkan_handles){.instance = engine->instance.handle,
                                               .physical_device = engine->physical,
                                               .api_version = kind == ENGINE_BARE ? 0 : version};
    assert_ok(anynorm_vulkan_device_wishes(&engine->handles, &engine->wishes));
    make_device(engine, kind);
    engine->handles.device = engine->device;
    engine->handles.queue = engine->queue;
    engine->handles.queue_family = engine->family;
    engine->handles.created_with = kind == ENGINE_BARE ? NULL : &engine->device_info;
    engine->handles.lock_queue = lock;
    engine->handles.unlock_queue = unlock;
    engine->handles.queue_user = engine;
    return true;
}

bool engine_open(struct engine *engine, const char *id, enum engine_kind kind)
{
    if (!engine_open_unwrapped(engine, id, kind))
        return false;
    assert_ok(anynorm_vulkan_device_wrap(&engine->handles, &engine->anynorm));
    return true;
}

anynorm_device *engine_wrap(struct engine *engine, const char *caps)
{
    anynorm_device *device = NULL;
    assert_int_equal(setenv("ANYNORM_CAPS", caps, 1), 0);
    anynorm_status status = anynorm_vulkan_device_wrap(&engine->handles, &device);
    assert_int_equal(unsetenv("ANYNORM_CAPS"), 0);
    assert_ok(status);
    return device;
}

void engine_close(struct engine *engine)
{
    anynorm_device_close(engine->anynorm);
    engine->vk.vkDestroyCommandPool(engine->device, engine->pool, NULL);
    engine->vk.vkDestroyDevice(engine->device, NULL);
    free_instance(engine);
    assert_int_equal(engine->complaints, 0);
    assert_int_equal(engine->locked, engine->unlocked);
}

void on_each_engine(const char *id, engine_test *test)
{
    for (int kind = 0; kind < ENGINE_KINDS; kind++) {
        struct engine engine;
        if (!engine_open(&engine, id, (enum engine_kind)kind))
            continue;
        test(&engine, (enum engine_kind)kind);
        engine_close(&engine);
    }
}

/* ---- Commands ---- */

VkCommandBuffer engine_commands(struct engine *engine, VkCommandBufferLevel level,
                                VkCommandBufferUsageFlags usage)
{
    const VkCommandBufferAllocateInfo info = {.sType =
                                                  VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = engine->pool,
                                              .level = level,
                                              .commandBufferCount = 1};
    const VkCommandBufferInheritanceInfo inherited = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO};
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = usage,
                                            .pInheritanceInfo = &inherited};
    VkCommandBuffer commands = VK_NULL_HANDLE;
    assert_vk(engine->vk.vkAllocateCommandBuffers(engine->device, &info, &commands));
    assert_vk(engine->vk.vkBeginCommandBuffer(commands, &begin));
    return commands;
}

void engine_end(struct engine *engine, VkCommandBuffer commands)
{
    assert_vk(engine->vk.vkEndCommandBuffer(commands));
}

void engine_barrier(struct engine *engine, VkCommandBuffer commands)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT |
                         VK_ACCESS_HOST_READ_BIT};
    const VkPipelineStageFlags work =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    engine->vk.vkCmdPipelineBarrier(commands, work, work | VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                                    &barrier, 0, NULL, 0, NULL);
}

void engine_run(struct engine *engine, VkCommandBuffer commands, uint32_t times)
{
    VkFence fence = engine_fence(engine);
    VkCommandBuffer list[8];
    assert_true(times <= COUNT(list));
    for (uint32_t i = 0; i < times; i++)
        list[i] = commands;
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .commandBufferCount = times,
                               .pCommandBuffers = list};
    assert_vk(engine->vk.vkQueueSubmit(engine->queue, 1, &info, fence));
    assert_vk(engine->vk.vkWaitForFences(engine->device, 1, &fence, VK_TRUE, UINT64_MAX));
    engine->vk.vkDestroyFence(engine->device, fence, NULL);
}

VkSemaphore engine_semaphore(struct engine *engine, bool timeline)
{
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                        .pNext = timeline ? &type : NULL};
    VkSemaphore semaphore = VK_NULL_HANDLE;
    assert_vk(engine->vk.vkCreateSemaphore(engine->device, &info, NULL, &semaphore));
    return semaphore;
}

void engine_wait_semaphore(struct engine *engine, const anynorm_vulkan_semaphore *done)
{
    PFN_vkWaitSemaphores wait =
        engine->vk.vkWaitSemaphores ? engine->vk.vkWaitSemaphores : engine->vk.vkWaitSemaphoresKHR;
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &done->semaphore,
                                      .pValues = &done->value};
    assert_vk(wait(engine->device, &info, UINT64_MAX));
}

VkFence engine_fence(struct engine *engine)
{
    const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkFence fence = VK_NULL_HANDLE;
    assert_vk(engine->vk.vkCreateFence(engine->device, &info, NULL, &fence));
    return fence;
}

/* ---- Memory ---- */

void block_make(struct engine *engine, uint64_t bytes, struct block *block)
{
    const VkMemoryPropertyFlags wanted =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    *block = (struct block){.bytes = (bytes + 3) / 4 * 4};
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = block->bytes,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    assert_vk(engine->vk.vkCreateBuffer(engine->device, &info, NULL, &block->buffer));
    VkMemoryRequirements needs;
    VkPhysicalDeviceMemoryProperties memory;
    engine->vk.vkGetBufferMemoryRequirements(engine->device, block->buffer, &needs);
    engine->instance.vkGetPhysicalDeviceMemoryProperties(engine->physical, &memory);
    uint32_t type = 0;
    while (type < memory.memoryTypeCount &&
           (!(needs.memoryTypeBits >> type & 1) ||
            (memory.memoryTypes[type].propertyFlags & wanted) != wanted))
        type++;
    assert_true(type < memory.memoryTypeCount);
    const VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                             .allocationSize = needs.size,
                                             .memoryTypeIndex = type};
    assert_vk(engine->vk.vkAllocateMemory(engine->device, &allocation, NULL, &block->memory));
    assert_vk(engine->vk.vkBindBufferMemory(engine->device, block->buffer, block->memory, 0));
    void *mapped = NULL;
    assert_vk(engine->vk.vkMapMemory(engine->device, block->memory, 0, VK_WHOLE_SIZE, 0, &mapped));
    block->mapped = mapped;
}

void block_free(struct engine *engine, struct block *block)
{
    engine->vk.vkDestroyBuffer(engine->device, block->buffer, NULL);
    engine->vk.vkFreeMemory(engine->device, block->memory, NULL);
    *block = (struct block){.bytes = 0};
}

struct problem engine_problem(uint64_t seed, anynorm_dtype type)
{
    struct problem problem = dense_problem(7, 96, type, ALL_FLAGS);
    const uint64_t offset[] = {16, 24, 8, 40, 8, 48};
    problem.seed = seed;
    problem.spec.x.row_stride = 100;
    memcpy(problem.offset, offset, sizeof(offset));
    return problem;
}

void work_make(struct engine *engine, const struct problem *problem, struct work *work)
{
    *work = (struct work){.problem = *problem};
    images_make(problem, &work->before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!work->before.bytes[t])
            continue;
        struct block *block = &work->blocks[t];
        block_make(engine, work->before.size[t], block);
        memcpy(block->mapped, work->before.bytes[t], (size_t)work->before.size[t]);
        anynorm_buffer *slot = an_tensor_slot(&work->tensors, (enum an_tensor)t);
        assert_ok(anynorm_vulkan_buffer_wrap(engine->anynorm, block->buffer, block->bytes, slot));
        slot->offset = problem->offset[t];
    }
    place_outputs(problem, &work->tensors);
}

void work_check(struct work *work, const char *label)
{
    struct images after = images_copy(&work->before);
    struct errors worst = {0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!work->before.bytes[t])
            continue;
        memcpy(after.bytes[t], work->blocks[t].mapped, (size_t)work->before.size[t]);
        memcpy(work->blocks[t].mapped, work->before.bytes[t], (size_t)work->before.size[t]);
    }
    check_against_oracle(&work->problem, &work->before, &after, label, &worst);
    images_free(&after);
}

void work_free(struct engine *engine, struct work *work)
{
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (work->before.bytes[t])
            block_free(engine, &work->blocks[t]);
    }
    images_free(&work->before);
}
