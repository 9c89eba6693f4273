/* What a physical device is and has, asked and never assumed, and what a device of it is made with:
 * features and extensions, by us or by a caller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "choice/caps.h"
#include "base/status.h"
#include "base/text.h"
#include "platform/system.h"
#include "vulkan/vulkan_backend.h"

/* Vulkan guarantees so many work-groups in each dimension; kernels loop over rows beyond. */
#define MAX_GROUPS 65535

/* Of a device that does not tell. */
#define USUAL_UNITS 16

/* Everything that is asked in one chain; what the device does not have stays zero. */
struct answers {
    VkPhysicalDeviceProperties2 properties;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceMaintenance3Properties maintenance;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDeviceSubgroupSizeControlProperties sizes;
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nvidia;
    VkPhysicalDeviceShaderCorePropertiesAMD amd;
    VkPhysicalDeviceShaderCoreBuiltinsPropertiesARM arm;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDeviceSubgroupSizeControlFeatures size_control;
    VkPhysicalDevicePushDescriptorPropertiesKHR push;
    VkPhysicalDeviceFloatControlsProperties floats;
};

struct extensions {
    bool driver, float16, timeline, size_control, push, feedback, subset, floats, nvidia, amd, arm;
};

/* Adds a structure to what is asked; one that the driver does not know stays zero. */
static void chain(void *head, bool known, void *structure, VkStructureType type)
{
    VkBaseOutStructure *first = head, *added = structure;
    if (!known)
        return;
    added->sType = type;
    added->pNext = first->pNext;
    first->pNext = added;
}

/* Only those of its version where the driver does not tell. */
static anynorm_status find_extensions(const struct an_vulkan_instance *instance,
                                      VkPhysicalDevice physical, uint32_t version,
                                      struct extensions *has)
{
    struct extensions found = {.driver = version >= VK_API_VERSION_1_2,
                               .float16 = version >= VK_API_VERSION_1_2,
                               .timeline = version >= VK_API_VERSION_1_2,
                               .floats = version >= VK_API_VERSION_1_2,
                               .size_control = version >= VK_API_VERSION_1_3,
                               .feedback = version >= VK_API_VERSION_1_3};
    const struct {
        const char *name;
        bool *found;
    } wanted[] = {
        {VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME, &found.driver},
        {VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, &found.float16},
        {VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME, &found.timeline},
        {VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, &found.size_control},
        {VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME, &found.push},
        {VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME, &found.feedback},
        {AN_PORTABILITY_SUBSET, &found.subset},
        {VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME, &found.floats},
        {VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME, &found.nvidia},
        {VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME, &found.amd},
        {VK_ARM_SHADER_CORE_BUILTINS_EXTENSION_NAME, &found.arm},
    };
    uint32_t count = 0;
    if (instance->vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL) != VK_SUCCESS)
        count = 0;
    VkExtensionProperties *list = calloc(count ? count : 1, sizeof(*list));
    if (!list)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a list of extensions");
    if (count > 0 && instance->vkEnumerateDeviceExtensionProperties(physical, NULL, &count, list) ==
                         VK_SUCCESS) {
        for (uint32_t i = 0; i < count; i++) {
            for (size_t k = 0; k < COUNT(wanted); k++)
                *wanted[k].found |= strcmp(list[i].extensionName, wanted[k].name) == 0;
        }
    }
    free(list);
    *has = found;
    return ANYNORM_OK;
}

static void ask(const struct an_vulkan_instance *instance, VkPhysicalDevice physical,
                const struct extensions *has, struct answers *a)
{
    *a = (struct answers){.properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2},
                          .features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2}};
    chain(&a->properties, true, &a->subgroup,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES);
    chain(&a->properties, true, &a->maintenance,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES);
    chain(&a->properties, has->driver, &a->driver,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES);
    chain(&a->properties, has->nvidia, &a->nvidia,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV);
    chain(&a->properties, has->amd, &a->amd,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD);
    chain(&a->properties, has->arm, &a->arm,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_BUILTINS_PROPERTIES_ARM);
    chain(&a->properties, has->push, &a->push,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PUSH_DESCRIPTOR_PROPERTIES_KHR);
    chain(&a->properties, has->floats, &a->floats,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES);
    chain(&a->properties, has->size_control, &a->sizes,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES);
    chain(&a->features, true, &a->storage16,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES);
    chain(&a->features, has->float16, &a->float16,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES);
    chain(&a->features, has->timeline, &a->timeline,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES);
    chain(&a->features, has->size_control, &a->size_control,
          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
    instance->vkGetPhysicalDeviceProperties2(physical, &a->properties);
    instance->vkGetPhysicalDeviceFeatures2(physical, &a->features);
}

/* What a caller did not enable on his device is not there. */
static void leave_enabled(const struct an_vulkan_enabled *enabled, struct answers *a)
{
    a->features.features.shaderFloat64 &= enabled->fp64;
    a->storage16.storageBuffer16BitAccess &= enabled->storage16;
    a->float16.shaderFloat16 &= enabled->fp16;
    a->timeline.timelineSemaphore &= enabled->timeline;
    a->size_control.subgroupSizeControl &= enabled->size_control;
    a->size_control.computeFullSubgroups &= enabled->full_subgroups;
    if (!enabled->push_descriptors)
        a->push.maxPushDescriptors = 0;
}

/* ---- What it is ---- */

static void set_vendor(uint32_t id, char *text, size_t capacity)
{
    static const struct {
        uint32_t id;
        const char *name;
    } vendors[] = {
        {0x1002, "AMD"},
        {0x1010, "Imagination"},
        {0x106b, "Apple"},
        {0x10de, "NVIDIA"},
        {0x13b5, "ARM"},
        {0x14e4, "Broadcom"},
        {0x5143, "Qualcomm"},
        {0x8086, "Intel"},
        {VK_VENDOR_ID_MESA, "Mesa"},
        {VK_VENDOR_ID_POCL, "PoCL"},
    };
    snprintf(text, capacity, "vendor 0x%04x", id);
    for (size_t i = 0; i < COUNT(vendors); i++) {
        if (vendors[i].id == id)
            snprintf(text, capacity, "%s", vendors[i].name);
    }
}

static void set_texts(const struct answers *a, uint32_t version, anynorm_device_info *info)
{
    const VkPhysicalDeviceProperties *p = &a->properties.properties;
    an_text_line(info->name, sizeof(info->name), p->deviceName);
    set_vendor(p->vendorID, info->vendor, sizeof(info->vendor));
    an_text_line(info->platform, sizeof(info->platform),
                 a->driver.driverName[0] ? a->driver.driverName : "Vulkan");
    if (a->driver.driverInfo[0])
        an_text_line(info->driver, sizeof(info->driver), a->driver.driverInfo);
    else
        snprintf(info->driver, sizeof(info->driver), "0x%08x", p->driverVersion);
    snprintf(info->version, sizeof(info->version), "Vulkan %u.%u.%u", VK_API_VERSION_MAJOR(version),
             VK_API_VERSION_MINOR(version), VK_API_VERSION_PATCH(version));
}

static anynorm_device_class class_of(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return ANYNORM_CLASS_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return ANYNORM_CLASS_CPU;
    default:
        return ANYNORM_CLASS_ACCELERATOR;
    }
}

/* Vulkan itself has no such number, but vendors' extensions do. */
static uint32_t compute_units(const struct answers *a, anynorm_device_class device_class)
{
    uint32_t units = a->nvidia.shaderSMCount ? a->nvidia.shaderSMCount : a->arm.shaderCoreCount;
    if (!units)
        units = a->amd.shaderEngineCount * a->amd.shaderArraysPerEngineCount *
                a->amd.computeUnitsPerShaderArray;
    if (!units && device_class == ANYNORM_CLASS_CPU)
        units = an_processor_count();
    return units ? units : USUAL_UNITS;
}

/* ---- What it can ---- */

/* Kernels count on the size of a sub-group only where it can be told to the compiler, or there is
 * but one: else some devices have sizes that vary. */
static void set_subgroups(const struct answers *a, anynorm_device_info *info,
                          struct an_vulkan_features *features)
{
    const VkSubgroupFeatureFlags all = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                       VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                       VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    const VkPhysicalDeviceSubgroupProperties *s = &a->subgroup;
    /* A module may ask for no operation that the device lacks, even where it does without. */
    info->subgroup =
        (s->supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) && (s->supportedOperations & all) == all;
    bool fixed = a->sizes.minSubgroupSize == a->sizes.maxSubgroupSize;
    features->size_choice = a->sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    features->size_control = a->size_control.subgroupSizeControl &&
                             a->size_control.computeFullSubgroups &&
                             (features->size_choice || fixed);
    features->max_subgroups = a->sizes.maxComputeWorkgroupSubgroups;
    info->subgroup_least = a->sizes.minSubgroupSize ? a->sizes.minSubgroupSize : s->subgroupSize;
    if (info->subgroup && features->size_control)
        info->subgroup_size = an_caps_subgroup_size(s->subgroupSize, a->sizes.minSubgroupSize,
                                                    a->sizes.maxSubgroupSize);
    if (info->subgroup_size > 0)
        info->shuffle = ANYNORM_SHUFFLE_KHR;
}

static void set_memory(const struct an_vulkan_instance *instance, VkPhysicalDevice physical,
                       const struct answers *a, anynorm_device_info *info)
{
    VkPhysicalDeviceMemoryProperties memory;
    uint64_t largest = 0;
    instance->vkGetPhysicalDeviceMemoryProperties(physical, &memory);
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &memory.memoryHeaps[i];
        if ((heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && heap->size > largest)
            largest = heap->size;
    }
    info->global_bytes = largest;
    info->max_alloc_bytes = a->maintenance.maxMemoryAllocationSize;
    if (info->max_alloc_bytes > largest)
        info->max_alloc_bytes = largest;
    VkPhysicalDeviceType type = a->properties.properties.deviceType;
    info->unified_memory =
        type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU || type == VK_PHYSICAL_DEVICE_TYPE_CPU;
}

/* The family of queues that computes; of several, the one that also measures time. A caller's
 * device has only the one that he names. */
static void set_queues(const struct an_vulkan_instance *instance, VkPhysicalDevice physical,
                       const struct answers *a, const struct an_vulkan_enabled *enabled,
                       struct an_vulkan_features *features)
{
    VkQueueFamilyProperties families[32];
    uint32_t count = 32;
    instance->vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    features->family = UINT32_MAX;
    features->timestamp_period = (double)a->properties.properties.limits.timestampPeriod;
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || families[i].queueCount == 0 ||
            (enabled && enabled->family != i))
            continue;
        if (features->family == UINT32_MAX ||
            (features->timestamp_bits == 0 && families[i].timestampValidBits > 0)) {
            features->family = i;
            features->timestamp_bits = families[i].timestampValidBits;
        }
    }
}

/* An instance of an older version hides what is newer in the device. */
static uint32_t usable_version(const struct an_vulkan_instance *instance,
                               const VkPhysicalDeviceProperties *properties)
{
    uint32_t minor = VK_MAKE_API_VERSION(0, VK_API_VERSION_MAJOR(instance->version),
                                         VK_API_VERSION_MINOR(instance->version) + 1, 0);
    return properties->apiVersion < minor ? properties->apiVersion : instance->version;
}

anynorm_status an_vulkan_describe(const struct an_vulkan_instance *instance,
                                  VkPhysicalDevice physical,
                                  const struct an_vulkan_enabled *enabled, const char *name,
                                  anynorm_device_info *info, struct an_vulkan_features *features)
{
    VkPhysicalDeviceProperties first;
    struct answers a;
    *info = (anynorm_device_info){0};
    *features = (struct an_vulkan_features){.family = UINT32_MAX};
    snprintf(info->id, sizeof(info->id), "%s", name);
    instance->vkGetPhysicalDeviceProperties(physical, &first);
    features->version = usable_version(instance, &first);
    if (features->version < VK_API_VERSION_1_1) { /* opening it says so */
        a = (struct answers){.properties = {.properties = first}};
        set_texts(&a, first.apiVersion, info);
        info->device_class = class_of(first.deviceType);
        return an_quirks_mask_device(info);
    }
    struct extensions has = {.driver = false};
    anynorm_status status = find_extensions(instance, physical, features->version, &has);
    if (status != ANYNORM_OK)
        return status;
    ask(instance, physical, &has, &a);
    if (enabled)
        leave_enabled(enabled, &a);

    const VkPhysicalDeviceLimits *limits = &a.properties.properties.limits;
    set_texts(&a, first.apiVersion, info);
    info->device_class = class_of(first.deviceType);
    info->emulated = an_emulates(info->name, info->platform);
    info->compute_units = compute_units(&a, info->device_class);
    info->vector_width = 1;
    info->max_work_group_size = limits->maxComputeWorkGroupInvocations;
    if (info->max_work_group_size > limits->maxComputeWorkGroupSize[0])
        info->max_work_group_size = limits->maxComputeWorkGroupSize[0];
    info->max_groups = limits->maxComputeWorkGroupCount[0] < MAX_GROUPS
                           ? limits->maxComputeWorkGroupCount[0]
                           : MAX_GROUPS;
    info->local_bytes = limits->maxComputeSharedMemorySize;
    info->max_range_bytes = limits->maxStorageBufferRange;
    info->fp16 = a.float16.shaderFloat16;
    info->fp64 = a.features.features.shaderFloat64;
    info->storage16 = a.storage16.storageBuffer16BitAccess;
    info->own_local_memory = info->device_class != ANYNORM_CLASS_CPU;
    set_subgroups(&a, info, features);
    set_memory(instance, physical, &a, info);
    set_queues(instance, physical, &a, enabled, features);
    features->timeline = a.timeline.timelineSemaphore;
    features->creation_feedback =
        has.feedback && (!enabled || enabled->creation_feedback ||
                         features->version >= VK_API_VERSION_1_3); /* where it needs no enabling */
    features->portability_subset = has.subset;
    features->rounds_halves =
        a.floats.shaderRoundingModeRTEFloat16 &&
        (!enabled || enabled->float_controls || features->version >= VK_API_VERSION_1_2);
    info->push_descriptors = a.push.maxPushDescriptors >= AN_MOST_SLOTS;
    features->offset_alignment = limits->minStorageBufferOffsetAlignment;
    if (features->offset_alignment < 4)
        features->offset_alignment = 4;
    info->max_buffers = limits->maxPerStageDescriptorStorageBuffers;
    if (info->max_buffers > limits->maxDescriptorSetStorageBuffers)
        info->max_buffers = limits->maxDescriptorSetStorageBuffers;
    status = an_quirks_mask_device(info);
    features->push_descriptors = info->push_descriptors;
    return status;
}

/* ---- What it is made with ---- */

uint32_t an_vulkan_extensions(const struct an_vulkan_features *features,
                              const char *names[AN_MOST_EXTENSIONS])
{
    uint32_t count = 0;
    if (features->portability_subset)
        names[count++] = AN_PORTABILITY_SUBSET;
    if (features->size_control && features->version < VK_API_VERSION_1_3)
        names[count++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    if (features->timeline && features->version < VK_API_VERSION_1_2)
        names[count++] = VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME;
    if (features->push_descriptors)
        names[count++] = VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME;
    if (features->creation_feedback && features->version < VK_API_VERSION_1_3)
        names[count++] = VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME;
    if (features->rounds_halves && features->version < VK_API_VERSION_1_2)
        names[count++] = VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME;
    return count;
}

static void find_feature(const VkBaseInStructure *structure, struct an_vulkan_enabled *enabled)
{
    const void *at = structure;
    switch ((int)structure->sType) {
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2:
        enabled->fp64 |= ((const VkPhysicalDeviceFeatures2 *)at)->features.shaderFloat64;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES:
        enabled->storage16 |=
            ((const VkPhysicalDevice16BitStorageFeatures *)at)->storageBuffer16BitAccess;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES:
        enabled->storage16 |=
            ((const VkPhysicalDeviceVulkan11Features *)at)->storageBuffer16BitAccess;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES:
        enabled->fp16 |= ((const VkPhysicalDeviceShaderFloat16Int8Features *)at)->shaderFloat16;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES:
        enabled->timeline |=
            ((const VkPhysicalDeviceTimelineSemaphoreFeatures *)at)->timelineSemaphore;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES:
        enabled->fp16 |= ((const VkPhysicalDeviceVulkan12Features *)at)->shaderFloat16;
        enabled->timeline |= ((const VkPhysicalDeviceVulkan12Features *)at)->timelineSemaphore;
        break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES: {
        const VkPhysicalDeviceSubgroupSizeControlFeatures *sizes = at;
        enabled->size_control |= sizes->subgroupSizeControl;
        enabled->full_subgroups |= sizes->computeFullSubgroups;
        break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES: {
        const VkPhysicalDeviceVulkan13Features *features = at;
        enabled->size_control |= features->subgroupSizeControl;
        enabled->full_subgroups |= features->computeFullSubgroups;
        break;
    }
    default:
        break;
    }
}

void an_vulkan_find_enabled(const VkDeviceCreateInfo *info, struct an_vulkan_enabled *enabled)
{
    if (!info)
        return;
    if (info->pEnabledFeatures)
        enabled->fp64 = info->pEnabledFeatures->shaderFloat64;
    for (const VkBaseInStructure *s = info->pNext; s; s = s->pNext)
        find_feature(s, enabled);
    for (uint32_t i = 0; i < info->enabledExtensionCount; i++) {
        const char *name = info->ppEnabledExtensionNames[i];
        enabled->push_descriptors |= strcmp(name, VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME) == 0;
        enabled->creation_feedback |=
            strcmp(name, VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME) == 0;
        enabled->float_controls |= strcmp(name, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME) == 0;
    }
}

/* With the features that kernels and enqueues use, and no others. */
VkResult an_vulkan_create_device(const struct an_vulkan_instance *instance,
                                 VkPhysicalDevice physical, const anynorm_device_info *info,
                                 const struct an_vulkan_features *features, VkDevice *device)
{
    const float priority = 1;
    const char *extensions[AN_MOST_EXTENSIONS];
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = features->family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    VkPhysicalDeviceSubgroupSizeControlFeatures sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE};
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .timelineSemaphore = VK_TRUE};
    VkPhysicalDevice16BitStorageFeatures storage = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .storageBuffer16BitAccess = info->storage16};
    VkPhysicalDeviceFeatures2 first = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                       .pNext = &storage,
                                       .features = {.shaderFloat64 = info->fp64}};
    if (features->timeline) {
        timeline.pNext = first.pNext;
        first.pNext = &timeline;
    }
    if (features->size_control) {
        sizes.pNext = first.pNext;
        first.pNext = &sizes;
    }
    const VkDeviceCreateInfo all = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                    .pNext = &first,
                                    .queueCreateInfoCount = 1,
                                    .pQueueCreateInfos = &queue,
                                    .enabledExtensionCount =
                                        an_vulkan_extensions(features, extensions),
                                    .ppEnabledExtensionNames = extensions};
    return instance->vkCreateDevice(physical, &all, NULL, device);
}
