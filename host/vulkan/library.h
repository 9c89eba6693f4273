/* The Vulkan loader, found at run time, and what every call of it can say. */
#ifndef AN_VULKAN_LIBRARY_H
#define AN_VULKAN_LIBRARY_H

#include <anynorm/anynorm.h>

#include "volk_names.h" /* generated: volk's symbols are not the program's */
#include <volk.h>

/* VK_KHR_PORTABILITY_SUBSET_EXTENSION_NAME, which only headers of what is not final have. */
#define AN_PORTABILITY_SUBSET "VK_KHR_portability_subset"

/* An instance, ours or a caller's, and what is asked of it. */
struct an_vulkan_instance {
    VkInstance handle;
    uint32_t version; /* that it was made for */
    PFN_vkGetInstanceProcAddr get;
    PFN_vkGetDeviceProcAddr vkGetDeviceProcAddr;
    PFN_vkEnumeratePhysicalDevices vkEnumeratePhysicalDevices;
    PFN_vkEnumerateDeviceExtensionProperties vkEnumerateDeviceExtensionProperties;
    PFN_vkGetPhysicalDeviceProperties vkGetPhysicalDeviceProperties;
    PFN_vkGetPhysicalDeviceProperties2 vkGetPhysicalDeviceProperties2;
    PFN_vkGetPhysicalDeviceFeatures2 vkGetPhysicalDeviceFeatures2;
    PFN_vkGetPhysicalDeviceMemoryProperties vkGetPhysicalDeviceMemoryProperties;
    PFN_vkGetPhysicalDeviceQueueFamilyProperties vkGetPhysicalDeviceQueueFamilyProperties;
    PFN_vkCreateDevice vkCreateDevice;
};

/* libvulkan's, loaded once; NULL where there is none. Any thread. */
PFN_vkGetInstanceProcAddr an_vulkan_loader(void);

/* The one instance that the library makes in a process; NULL where there is no libvulkan, no
 * driver, or neither is of Vulkan 1.1. Any thread. */
const struct an_vulkan_instance *an_vulkan_instance(void);

/* False where `get` does not know all of it. */
bool an_vulkan_instance_load(PFN_vkGetInstanceProcAddr get, VkInstance handle, uint32_t version,
                             struct an_vulkan_instance *instance);
void an_vulkan_device_load(const struct an_vulkan_instance *instance, VkDevice device,
                           struct VolkDeviceTable *table);

/* "VK_ERROR_DEVICE_LOST"; static. */
const char *an_vk_name(VkResult result);

/* Fails with the call and its result by name. */
anynorm_status an_vk_fail(VkResult result, const char *call);

#endif
