/* What the library compiles with Vulkan, and what the driver tells of it, for ci/compile-kernels:
 *
 *     vulkan_configurations quick|all|compile
 *
 * on the one Vulkan device of its environment, which need have no memory and is never given work: a
 * driver without a GPU does, RADV with RADV_FORCE_FAMILY, say. `quick` and `all` write the lines of
 * configurations.h, and compile nothing. `compile` makes a plan of each line on stdin,
 * SPEC<TAB>SCHEDULE, where an empty SCHEDULE is the library's own choice. It writes a line that
 * begins with "device", and for each line that it reads one of these, fields parted by tabs:
 *
 *     ok  choice  group  executable=NAME  lanes=N  NAME=VALUE ...
 *     failed  why
 *
 * with the statistics of VK_KHR_pipeline_executable_properties under the driver's names, those of
 * each executable of the pipeline after its name. */
#include "configurations.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "base/text.h"
#include "vulkan/vulkan_backend.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define HEAP (UINT64_C(16) << 30) /* of a device that has none */

/* ---- The driver, as far as plans need it ---- */

static struct an_vulkan_instance real;
static struct VolkDeviceTable real_device;
static bool compiles;

static VKAPI_ATTR void VKAPI_CALL get_memory(VkPhysicalDevice physical,
                                             VkPhysicalDeviceMemoryProperties *memory)
{
    real.vkGetPhysicalDeviceMemoryProperties(physical, memory);
    for (uint32_t i = 0; i < memory->memoryHeapCount; i++) {
        if (memory->memoryHeaps[i].size > 0)
            return;
    }
    *memory = (VkPhysicalDeviceMemoryProperties){
        .memoryTypeCount = 1,
        .memoryTypes = {{VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0}},
        .memoryHeapCount = 1,
        .memoryHeaps = {{HEAP, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}}};
}

/* The device, with what asks for statistics. */
static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical,
                                                    const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkDevice *device)
{
    const char *names[AN_MOST_EXTENSIONS + 1];
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    VkDeviceCreateInfo more = *info;
    if (info->enabledExtensionCount > AN_MOST_EXTENSIONS)
        return VK_ERROR_EXTENSION_NOT_PRESENT;
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
        names[i] = info->ppEnabledExtensionNames[i];
    names[more.enabledExtensionCount++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    more.ppEnabledExtensionNames = names;
    memcpy(&statistics.pNext, &info->pNext, sizeof(statistics.pNext)); /* which is not const */
    more.pNext = &statistics;
    return real.vkCreateDevice(physical, &more, allocator, device);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache,
                                                       uint32_t count,
                                                       const VkComputePipelineCreateInfo *infos,
                                                       const VkAllocationCallbacks *allocator,
                                                       VkPipeline *pipelines)
{
    VkComputePipelineCreateInfo info = infos[0];
    pipelines[0] = VK_NULL_HANDLE;
    if (count != 1)
        return VK_ERROR_UNKNOWN; /* the library makes one at a time */
    if (!compiles)
        return VK_SUCCESS;
    info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    return real_device.vkCreateComputePipelines(device, cache, 1, &info, allocator, pipelines);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_module(VkDevice device,
                                                    const VkShaderModuleCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkShaderModule *module)
{
    *module = VK_NULL_HANDLE;
    return compiles ? real_device.vkCreateShaderModule(device, info, allocator, module)
                    : VK_SUCCESS;
}

/* row_split's scratch, which is nowhere: what Vulkan destroys may be VK_NULL_HANDLE. */
static VKAPI_ATTR VkResult VKAPI_CALL create_buffer(VkDevice device, const VkBufferCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkBuffer *buffer)
{
    (void)device, (void)info, (void)allocator;
    *buffer = VK_NULL_HANDLE;
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL get_requirements(VkDevice device, VkBuffer buffer,
                                                   VkMemoryRequirements *needs)
{
    (void)device, (void)buffer;
    *needs = (VkMemoryRequirements){.size = 4, .alignment = 4, .memoryTypeBits = UINT32_MAX};
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *allocator,
                                               VkDeviceMemory *memory)
{
    (void)device, (void)info, (void)allocator;
    *memory = VK_NULL_HANDLE;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL bind(VkDevice device, VkBuffer buffer, VkDeviceMemory memory,
                                           VkDeviceSize offset)
{
    (void)device, (void)buffer, (void)memory, (void)offset;
    return VK_SUCCESS;
}

/* ---- The device ---- */

static anynorm_device *opened; /* for good: drivers without a GPU may crash at the end of one */

static anynorm_device *open_device(void)
{
    if (opened)
        return opened;
    const struct an_vulkan_instance *instance = an_vulkan_instance();
    VkPhysicalDevice physical[2];
    uint32_t count = COUNT(physical);
    if (!instance)
        die("no Vulkan 1.1 here");
    if (instance->vkEnumeratePhysicalDevices(instance->handle, &count, physical) != VK_SUCCESS ||
        count != 1)
        die("not one Vulkan device in sight; VK_ICD_FILENAMES names a driver");
    real = *instance;
    struct an_vulkan_instance wrapped = *instance;
    wrapped.vkGetPhysicalDeviceMemoryProperties = get_memory;
    wrapped.vkCreateDevice = create_device;
    if (an_vulkan_device_make(&wrapped, physical[0], "vulkan:0", NULL, &opened) != ANYNORM_OK)
        die(anynorm_message());
    struct VolkDeviceTable *vk = &an_vulkan(opened)->vk;
    real_device = *vk;
    if (!vk->vkGetPipelineExecutableStatisticsKHR)
        die("the driver has no statistics of pipelines");
    vk->vkCreateComputePipelines = create_pipelines;
    vk->vkCreateShaderModule = create_module;
    vk->vkCreateBuffer = create_buffer;
    vk->vkGetBufferMemoryRequirements = get_requirements;
    vk->vkAllocateMemory = allocate;
    vk->vkBindBufferMemory = bind;
    /* What runs nothing cannot show how it rounds halves: it is as it says that it can. */
    an_vulkan(opened)->halves_asked = true;
    an_vulkan(opened)->halves.loads = an_vulkan(opened)->halves.stores =
        an_vulkan(opened)->features.rounds_halves;
    return opened;
}

static void keep_device(anynorm_device *device)
{
    (void)device;
}

/* ---- Listing ---- */

/* Constants in capitals choose what the kernel does, among them no buffer's place; the others are
 * the spec's numbers. */
static const char *tell(anynorm_plan *plan, char options[CONFIGURATION_OPTIONS])
{
    struct an_text out = {options, CONFIGURATION_OPTIONS, 0};
    char words[AN_OPTIONS_BYTES], *rest = NULL;
    memcpy(words, plan->options, sizeof(words));
    options[0] = 0;
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        bool kernel = !strchr(word, '=');
        if (kernel)
            an_text_put(&out, "%s%s", out.length ? " " : "", word);
        else if (isupper((unsigned char)word[0]) && strncmp(word, "SLOT", 4) != 0 &&
                 strncmp(word, "SEGMENTS=", 9) != 0)
            an_text_put(&out, " -D%s", word);
    }
    return an_vulkan_plan(plan)->module->name;
}

/* ---- Compiling ---- */

static void print_statistic(const VkPipelineExecutableStatisticKHR *s)
{
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        printf("\t%s=%d", s->name, s->value.b32 != 0);
        break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        printf("\t%s=%" PRId64, s->name, s->value.i64);
        break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        printf("\t%s=%" PRIu64, s->name, s->value.u64);
        break;
    default:
        printf("\t%s=%g", s->name, s->value.f64);
    }
}

static void print_executable(const struct an_vulkan_device *d, VkPipeline pipeline, uint32_t index)
{
    static VkPipelineExecutableStatisticKHR list[64];
    const VkPipelineExecutableInfoKHR info = {.sType =
                                                  VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                              .pipeline = pipeline,
                                              .executableIndex = index};
    uint32_t count = COUNT(list);
    for (uint32_t i = 0; i < count; i++)
        list[i] = (VkPipelineExecutableStatisticKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    VkResult result = d->vk.vkGetPipelineExecutableStatisticsKHR(d->handle, &info, &count, list);
    if (result != VK_SUCCESS)
        die("the driver has more statistics of a pipeline than there is room for");
    for (uint32_t i = 0; i < count; i++)
        print_statistic(&list[i]);
}

static void print_statistics(const struct an_vulkan_device *d, VkPipeline pipeline)
{
    VkPipelineExecutablePropertiesKHR list[8];
    const VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR,
                                    .pipeline = pipeline};
    uint32_t count = COUNT(list);
    for (uint32_t i = 0; i < count; i++)
        list[i] = (VkPipelineExecutablePropertiesKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    VkResult result = d->vk.vkGetPipelineExecutablePropertiesKHR(d->handle, &info, &count, list);
    if (result != VK_SUCCESS)
        die("the driver has more executables of a pipeline than there is room for");
    for (uint32_t i = 0; i < count; i++) {
        printf("\texecutable=%s\tlanes=%" PRIu32, list[i].name, list[i].subgroupSize);
        print_executable(d, pipeline, i);
    }
}

static void compile(anynorm_device *device, const char *text, const char *schedule)
{
    anynorm_spec spec;
    uint64_t rows;
    anynorm_plan *plan;
    anynorm_plan_info info;
    const anynorm_plan_options options = {.schedule = schedule};
    anynorm_status status = anynorm_spec_parse(text, &spec, &rows);
    if (status == ANYNORM_OK)
        status = anynorm_plan_create(device, &spec, schedule[0] ? &options : NULL, &plan);
    if (status == ANYNORM_OK)
        status = anynorm_plan_describe(plan, &info);
    if (status != ANYNORM_OK) {
        printf("failed\t%s\n", anynorm_message());
        return;
    }
    printf("ok\t%s\t%" PRIu64, info.choice, info.work_group_size);
    print_statistics(an_vulkan(device), an_vulkan_plan(plan)->kernel->pipeline);
    printf("\n");
    anynorm_plan_destroy(plan);
}

static void compile_lines(anynorm_device *device)
{
    char line[2048];
    compiles = true;
    printf("device\t%s\t%s %s\n", device->info.name, device->info.platform, device->info.driver);
    while (fgets(line, sizeof(line), stdin)) {
        char *schedule = strchr(line, '\t'), *end = strchr(line, '\n');
        if (!schedule || !end)
            die("a line is not SPEC<TAB>SCHEDULE");
        *schedule++ = *end = 0;
        compile(device, line, schedule);
        fflush(stdout); /* the driver may end the process at the next */
    }
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    bool quick = strcmp(what, "quick") == 0, compiles_lines = strcmp(what, "compile") == 0;
    if (!quick && !compiles_lines && strcmp(what, "all") != 0) {
        fprintf(stderr, "usage: vulkan_configurations quick|all|compile\n");
        return 2;
    }
    forget_settings();
    if (compiles_lines) {
        compile_lines(open_device());
    } else {
        const struct lister lister = {"vulkan", open_device, keep_device, tell};
        list_configurations(&lister, quick);
    }
    _exit(fflush(stdout) == 0 ? 0 : 1);
}
