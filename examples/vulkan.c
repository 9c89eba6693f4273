/* LayerNorm between two dispatches of an engine with its own Vulkan device, in its own command
 * buffer: x += residual; y = layer_norm(x); z = max(y, 0). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <anynorm/vulkan.h>

#include "vulkan_add.h"
#include "vulkan_relu.h"

enum { ROWS = 4, COLUMNS = 256, COUNT = ROWS * COLUMNS };
enum { RESIDUAL, X, Y, Z, WEIGHT, BUFFERS };

/* What the engine has anyway. */
static VkInstance instance;
static VkPhysicalDevice physical;
static VkDevice device;
static uint32_t family;
static VkBuffer buffers[BUFFERS];
static VkDeviceMemory memory[BUFFERS];
static float *mapped[BUFFERS];

static void check_vk(VkResult result, const char *what)
{
    if (result == VK_SUCCESS)
        return;
    fprintf(stderr, "%s failed with %d\n", what, (int)result);
    exit(EXIT_FAILURE);
}

static void check(anynorm_status status)
{
    if (status == ANYNORM_OK)
        return;
    fprintf(stderr, "anynorm: %s: %s\n", anynorm_status_name(status), anynorm_message());
    exit(EXIT_FAILURE);
}

static void make_instance(void)
{
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .apiVersion = VK_API_VERSION_1_1};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &application};
    uint32_t count = 1;
    if (vkCreateInstance(&info, NULL, &instance) == VK_SUCCESS) {
        VkResult result = vkEnumeratePhysicalDevices(instance, &count, &physical);
        if ((result == VK_SUCCESS || result == VK_INCOMPLETE) && count > 0)
            return;
    }
    fprintf(stderr, "no Vulkan device\n");
    exit(77); /* "skipped" to meson test */
}

/* The engine's device, with what anynorm is faster for; and the device wrapped. */
static anynorm_device *make_device(void)
{
    anynorm_vulkan_handles handles = {
        .instance = instance, .physical_device = physical, .api_version = VK_API_VERSION_1_1};
    anynorm_vulkan_wishes wishes;
    check(anynorm_vulkan_device_wishes(&handles, &wishes));

    VkQueueFamilyProperties families[16];
    uint32_t count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    while (family < count && !(families[family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        family++;
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    VkPhysicalDeviceSubgroupSizeControlFeatures sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = wishes.subgroup_size_control,
        .computeFullSubgroups = wishes.compute_full_subgroups};
    VkPhysicalDevice16BitStorageFeatures storage = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .pNext = wishes.subgroup_size_control ? &sizes : NULL,
        .storageBuffer16BitAccess = wishes.storage_buffer_16bit_access};
    const VkPhysicalDeviceFeatures features = {.shaderFloat64 = wishes.shader_float64};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &storage,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = wishes.extension_count,
                                     .ppEnabledExtensionNames = wishes.extensions,
                                     .pEnabledFeatures = &features};
    check_vk(vkCreateDevice(physical, &info, NULL, &device), "vkCreateDevice");

    anynorm_device *wrapped;
    handles.device = device;
    handles.queue_family = family;
    handles.created_with = &info;
    check(anynorm_vulkan_device_wrap(&handles, &wrapped));
    return wrapped;
}

static void make_buffer(int which, VkDeviceSize bytes)
{
    const VkMemoryPropertyFlags wanted =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = bytes,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT};
    VkMemoryRequirements needs;
    VkPhysicalDeviceMemoryProperties types;
    check_vk(vkCreateBuffer(device, &info, NULL, &buffers[which]), "vkCreateBuffer");
    vkGetBufferMemoryRequirements(device, buffers[which], &needs);
    vkGetPhysicalDeviceMemoryProperties(physical, &types);
    uint32_t type = 0; /* Vulkan promises that there is one */
    while (!(needs.memoryTypeBits >> type & 1) ||
           (types.memoryTypes[type].propertyFlags & wanted) != wanted)
        type++;
    const VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                             .allocationSize = needs.size,
                                             .memoryTypeIndex = type};
    void *pointer;
    check_vk(vkAllocateMemory(device, &allocation, NULL, &memory[which]), "vkAllocateMemory");
    check_vk(vkBindBufferMemory(device, buffers[which], memory[which], 0), "vkBindBufferMemory");
    check_vk(vkMapMemory(device, memory[which], 0, bytes, 0, &pointer), "vkMapMemory");
    mapped[which] = pointer;
}

/* ---- The engine's own kernels: from `source` to `target` ---- */

static VkDescriptorSetLayout set_layout;
static VkPipelineLayout layout;
static VkDescriptorPool sets;

static void make_layouts(void)
{
    const VkDescriptorSetLayoutBinding bindings[] = {
        {0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL},
        {1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL}};
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 2,
        .pBindings = bindings};
    check_vk(vkCreateDescriptorSetLayout(device, &set, NULL, &set_layout), "a set's layout");
    const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                             .setLayoutCount = 1,
                                             .pSetLayouts = &set_layout};
    check_vk(vkCreatePipelineLayout(device, &info, NULL, &layout), "a pipeline's layout");
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 4};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = 2,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    check_vk(vkCreateDescriptorPool(device, &pool, NULL, &sets), "vkCreateDescriptorPool");
}

static VkPipeline make_pipeline(const uint32_t *code, size_t bytes)
{
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = code};
    VkShaderModule module;
    check_vk(vkCreateShaderModule(device, &info, NULL, &module), "vkCreateShaderModule");
    const VkComputePipelineCreateInfo pipeline = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"},
        .layout = layout};
    VkPipeline made;
    check_vk(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &pipeline, NULL, &made),
             "vkCreateComputePipelines");
    vkDestroyShaderModule(device, module, NULL);
    return made;
}

static void dispatch(VkCommandBuffer commands, VkPipeline pipeline, int source, int target)
{
    const VkDescriptorSetAllocateInfo info = {.sType =
                                                  VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = sets,
                                              .descriptorSetCount = 1,
                                              .pSetLayouts = &set_layout};
    VkDescriptorSet set;
    check_vk(vkAllocateDescriptorSets(device, &info, &set), "vkAllocateDescriptorSets");
    const VkDescriptorBufferInfo bound[] = {{buffers[source], 0, VK_WHOLE_SIZE},
                                            {buffers[target], 0, VK_WHOLE_SIZE}};
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = set,
                                        .descriptorCount = 2, /* bindings 0 and 1 */
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = bound};
    vkUpdateDescriptorSets(device, 1, &write, 0, NULL);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    vkCmdDispatch(commands, (COUNT + 63) / 64, 1, 1);
}

/* What compute shaders wrote, to `stage`. */
static void barrier(VkCommandBuffer commands, VkPipelineStageFlags stage, VkAccessFlags access)
{
    const VkMemoryBarrier written = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask = access};
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, stage, 0, 1, &written, 0,
                         NULL, 0, NULL);
}

static void submit(VkCommandBuffer commands)
{
    VkQueue queue;
    VkFence fence;
    const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    const VkSubmitInfo work = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands};
    vkGetDeviceQueue(device, family, 0, &queue);
    check_vk(vkCreateFence(device, &info, NULL, &fence), "vkCreateFence");
    check_vk(vkQueueSubmit(queue, 1, &work, fence), "vkQueueSubmit");
    check_vk(vkWaitForFences(device, 1, &fence, VK_TRUE, UINT64_MAX), "vkWaitForFences");
    vkDestroyFence(device, fence, NULL);
}

/* The largest error of z against the same in double precision. */
static double compare(const float *x)
{
    double worst = 0;
    for (int r = 0; r < ROWS; r++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < COLUMNS; c++)
            mean += (double)x[r * COLUMNS + c] / (double)COLUMNS;
        for (int c = 0; c < COLUMNS; c++)
            variance += pow((double)x[r * COLUMNS + c] - mean, 2) / (double)COLUMNS;
        for (int c = 0; c < COLUMNS; c++) {
            double n = ((double)x[r * COLUMNS + c] - mean) / sqrt(variance + ANYNORM_EPS_DEFAULT);
            double expected = fmax(n * (double)mapped[WEIGHT][c], 0);
            worst = fmax(worst, fabs(expected - (double)mapped[Z][r * COLUMNS + c]));
        }
    }
    return worst;
}

int main(void)
{
    float x[COUNT];
    make_instance();
    anynorm_device *wrapped = make_device();
    for (int i = 0; i < BUFFERS; i++)
        make_buffer(i, (i == WEIGHT ? COLUMNS : COUNT) * sizeof(float));
    for (int i = 0; i < COUNT; i++) {
        mapped[X][i] = (float)(i * 7 % 31);
        mapped[RESIDUAL][i] = (float)(i % 5);
        x[i] = mapped[X][i] + mapped[RESIDUAL][i];
    }
    for (int c = 0; c < COLUMNS; c++)
        mapped[WEIGHT][c] = 1 + 0.5f * (float)(c % 2);
    make_layouts();
    VkPipeline add = make_pipeline(vulkan_add, sizeof(vulkan_add));
    VkPipeline relu = make_pipeline(vulkan_relu, sizeof(vulkan_relu));

    /* Once: the plan, the memory as tensors, and a recording beside the command buffer. */
    anynorm_spec spec = {
        .columns = COLUMNS, .flags = ANYNORM_WEIGHT, .statistic.eps = ANYNORM_EPS_DEFAULT};
    anynorm_plan *plan;
    anynorm_vulkan_recording *recording;
    anynorm_tensors tensors = {.x = {0}};
    check(anynorm_plan_create(wrapped, &spec, NULL, &plan));
    check(anynorm_vulkan_recording_create(wrapped, &recording));
    check(anynorm_vulkan_buffer_wrap(wrapped, buffers[X], COUNT * sizeof(float), &tensors.x));
    check(anynorm_vulkan_buffer_wrap(wrapped, buffers[Y], COUNT * sizeof(float), &tensors.y));
    check(anynorm_vulkan_buffer_wrap(wrapped, buffers[WEIGHT], COLUMNS * sizeof(float),
                                     &tensors.weight));

    /* As often as needed: the norm among the engine's own dispatches. */
    const VkCommandPoolCreateInfo pool_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                               .queueFamilyIndex = family};
    VkCommandPool pool;
    check_vk(vkCreateCommandPool(device, &pool_info, NULL, &pool), "vkCreateCommandPool");
    const VkCommandBufferAllocateInfo commands_info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1};
    VkCommandBuffer commands;
    check_vk(vkAllocateCommandBuffers(device, &commands_info, &commands), "a command buffer");
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    check_vk(vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
    dispatch(commands, add, RESIDUAL, X);
    barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    check(anynorm_vulkan_record(plan, recording, commands, &tensors, ROWS));
    barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    dispatch(commands, relu, Y, Z);
    barrier(commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    check_vk(vkEndCommandBuffer(commands), "vkEndCommandBuffer");
    submit(commands);

    double worst = compare(x);
    printf("%s: the largest error is %.1e\n", worst < 1e-5 ? "ok" : "wrong", worst);

    anynorm_vulkan_recording_destroy(recording);
    anynorm_plan_destroy(plan);
    anynorm_device_close(wrapped);
    vkDestroyCommandPool(device, pool, NULL);
    vkDestroyPipeline(device, add, NULL);
    vkDestroyPipeline(device, relu, NULL);
    vkDestroyPipelineLayout(device, layout, NULL);
    vkDestroyDescriptorSetLayout(device, set_layout, NULL);
    vkDestroyDescriptorPool(device, sets, NULL);
    for (int i = 0; i < BUFFERS; i++) {
        vkDestroyBuffer(device, buffers[i], NULL);
        vkFreeMemory(device, memory[i], NULL);
    }
    vkDestroyDevice(device, NULL);
    vkDestroyInstance(instance, NULL);
    return worst < 1e-5 ? EXIT_SUCCESS : EXIT_FAILURE;
}
