#define VOLK_IMPLEMENTATION
#include "vulkan/library.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/status.h"
#include "platform/libraries.h"
#include "platform/threads.h"

static an_once loader_once = AN_ONCE_READY;
static PFN_vkGetInstanceProcAddr loader;
static an_once instance_once = AN_ONCE_READY;
static struct an_vulkan_instance ours;
static an_mutex device_lock = AN_MUTEX_READY;

/* As volkInitialize, which calls what it found in a library of that name without a look. */
static VkResult initialize(void)
{
    void *library = an_library_open(AN_LIBRARY_VULKAN);
    if (!library)
        return VK_ERROR_INITIALIZATION_FAILED;
    an_function function = an_library_find(library, "vkGetInstanceProcAddr");
    PFN_vkGetInstanceProcAddr entry;
    if (!function) {
        an_library_close(library);
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    memcpy(&entry, &function, sizeof(entry));
    volkInitializeCustom(entry);
    return VK_SUCCESS;
}

static void load(void)
{
    if (initialize() == VK_SUCCESS)
        loader = vkGetInstanceProcAddr;
    else
        an_log(ANYNORM_LOG_DEBUG, "Vulkan: no loader's library was found");
}

PFN_vkGetInstanceProcAddr an_vulkan_loader(void)
{
    an_once_call(&loader_once, load);
    return loader;
}

#define ENTRY(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct an_vulkan_instance, name)                                           \
    }

static const struct {
    const char *name;
    size_t offset;
} entries[] = {
    ENTRY(vkGetDeviceProcAddr),
    ENTRY(vkEnumeratePhysicalDevices),
    ENTRY(vkEnumerateDeviceExtensionProperties),
    ENTRY(vkGetPhysicalDeviceProperties),
    ENTRY(vkGetPhysicalDeviceProperties2),
    ENTRY(vkGetPhysicalDeviceFeatures2),
    ENTRY(vkGetPhysicalDeviceMemoryProperties),
    ENTRY(vkGetPhysicalDeviceQueueFamilyProperties),
    ENTRY(vkCreateDevice),
};

bool an_vulkan_instance_load(PFN_vkGetInstanceProcAddr get, VkInstance handle, uint32_t version,
                             struct an_vulkan_instance *instance)
{
    *instance = (struct an_vulkan_instance){.handle = handle, .version = version, .get = get};
    for (size_t i = 0; i < COUNT(entries); i++) {
        PFN_vkVoidFunction function = get(handle, entries[i].name);
        if (!function)
            return false;
        memcpy((char *)instance + entries[i].offset, &function, sizeof(function));
    }
    return true;
}

/* Whether the loader hides drivers that are not all that Vulkan asks for (MoltenVK on every Mac)
 * from those who do not say that they want them. */
static bool has_portability(void)
{
    static VkExtensionProperties list[256];
    uint32_t count = COUNT(list);
    VkResult result = vkEnumerateInstanceExtensionProperties(NULL, &count, list);
    bool has = false;
    for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; i++)
        has |= strcmp(list[i].extensionName, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME) == 0;
    return has;
}

static void make_instance(void)
{
    if (!an_vulkan_loader())
        return;
    uint32_t version = volkGetInstanceVersion();
    if (version < VK_API_VERSION_1_1) {
        an_log(ANYNORM_LOG_DEBUG, "Vulkan: the loader is older than 1.1");
        return;
    }
    const VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "anynorm",
        .apiVersion = version < VK_API_VERSION_1_3 ? version : VK_API_VERSION_1_3};
    static const char *const portability[] = {VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME};
    bool portable = has_portability();
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .flags = portable ? VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR : 0,
        .pApplicationInfo = &application,
        .enabledExtensionCount = portable ? COUNT(portability) : 0,
        .ppEnabledExtensionNames = portability};
    VkInstance made = VK_NULL_HANDLE;
    VkResult result = vkCreateInstance(&info, NULL, &made);
    if (result != VK_SUCCESS) {
        an_log(ANYNORM_LOG_DEBUG, "Vulkan: vkCreateInstance failed with %d", (int)result);
        return;
    }
    if (!an_vulkan_instance_load(loader, made, application.apiVersion, &ours))
        ours.handle = VK_NULL_HANDLE;
}

const struct an_vulkan_instance *an_vulkan_instance(void)
{
    an_once_call(&instance_once, make_instance);
    return ours.handle ? &ours : NULL;
}

/* Volk asks its global pointer, which nothing else here uses. */
void an_vulkan_device_load(const struct an_vulkan_instance *instance, VkDevice device,
                           struct VolkDeviceTable *table)
{
    an_mutex_lock(&device_lock);
    vkGetDeviceProcAddr = instance->vkGetDeviceProcAddr;
    volkLoadDeviceTable(table, device);
    an_mutex_unlock(&device_lock);
}

static const struct {
    VkResult result;
    const char *name;
    anynorm_status status;
} results[] = {
#define RESULT(name, status)                                                                       \
    {                                                                                              \
        name, #name, status                                                                        \
    }
    RESULT(VK_NOT_READY, ANYNORM_DEVICE_LOST),
    RESULT(VK_TIMEOUT, ANYNORM_DEVICE_LOST),
    RESULT(VK_INCOMPLETE, ANYNORM_DEVICE_LOST),
    RESULT(VK_ERROR_OUT_OF_HOST_MEMORY, ANYNORM_OUT_OF_MEMORY),
    RESULT(VK_ERROR_OUT_OF_DEVICE_MEMORY, ANYNORM_OUT_OF_MEMORY),
    RESULT(VK_ERROR_OUT_OF_POOL_MEMORY, ANYNORM_OUT_OF_MEMORY),
    RESULT(VK_ERROR_FRAGMENTED_POOL, ANYNORM_OUT_OF_MEMORY),
    RESULT(VK_ERROR_TOO_MANY_OBJECTS, ANYNORM_OUT_OF_MEMORY),
    RESULT(VK_ERROR_MEMORY_MAP_FAILED, ANYNORM_OUT_OF_MEMORY),
    RESULT(VK_ERROR_INITIALIZATION_FAILED, ANYNORM_DEVICE_LOST),
    RESULT(VK_ERROR_DEVICE_LOST, ANYNORM_DEVICE_LOST),
    RESULT(VK_ERROR_LAYER_NOT_PRESENT, ANYNORM_UNSUPPORTED),
    RESULT(VK_ERROR_EXTENSION_NOT_PRESENT, ANYNORM_UNSUPPORTED),
    RESULT(VK_ERROR_FEATURE_NOT_PRESENT, ANYNORM_UNSUPPORTED),
    RESULT(VK_ERROR_INCOMPATIBLE_DRIVER, ANYNORM_UNSUPPORTED),
    RESULT(VK_ERROR_INVALID_SHADER_NV, ANYNORM_BUILD_FAILED),
    RESULT(VK_ERROR_UNKNOWN, ANYNORM_DEVICE_LOST),
#undef RESULT
};

static size_t find(VkResult result)
{
    size_t i = 0;
    while (i < COUNT(results) && results[i].result != result)
        i++;
    return i;
}

const char *an_vk_name(VkResult result)
{
    size_t i = find(result);
    return i < COUNT(results) ? results[i].name : "an unknown VkResult";
}

anynorm_status an_vk_fail(VkResult result, const char *call)
{
    size_t i = find(result);
    if (i < COUNT(results))
        return an_fail(results[i].status, "%s failed with %s", call, results[i].name);
    return an_fail(ANYNORM_DEVICE_LOST, "%s failed with VkResult %d", call, (int)result);
}
