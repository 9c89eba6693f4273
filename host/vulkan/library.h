/* The Vulkan loader, found at run time, and what every call of it can say. */
#ifndef AN_VULKAN_LIBRARY_H
#define AN_VULKAN_LIBRARY_H

#include <anynorm/anynorm.h>
#include <volk.h>

/* Loads libvulkan and makes the one instance of the process, once; VK_NULL_HANDLE where there is no
 * library, no driver, or neither is of Vulkan 1.1. Any thread. */
VkInstance an_vulkan_instance(void);

/* "VK_ERROR_DEVICE_LOST"; static. */
const char *an_vk_name(VkResult result);

/* Fails with the call and its result by name. */
anynorm_status an_vk_fail(VkResult result, const char *call);

#endif
