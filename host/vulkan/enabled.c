/* What a device is made with: features and extensions, by us or by a caller. */
#include <string.h>

#include "vulkan/vulkan_backend.h"

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
