/* Finding and opening Vulkan devices. */
#include <stdio.h>
#include <stdlib.h>

#include "store/cache.h"
#include "base/status.h"
#include "base/text.h"
#include "vulkan/vulkan_backend.h"

#define MAX_DEVICES 32

static an_once once = AN_ONCE_READY;
static VkPhysicalDevice found[MAX_DEVICES];
static uint32_t found_count;

static void find_devices(void)
{
    const struct an_vulkan_instance *instance = an_vulkan_instance();
    uint32_t count = MAX_DEVICES;
    if (!instance)
        return;
    VkResult result = instance->vkEnumeratePhysicalDevices(instance->handle, &count, found);
    if (result == VK_SUCCESS || result == VK_INCOMPLETE)
        found_count = count;
}

static size_t count_devices(void)
{
    an_once_call(&once, find_devices);
    return found_count;
}

static void put_name(size_t index, char name[32])
{
    snprintf(name, 32, "vulkan:%zu", index);
}

/* Fills info->unusable, and returns the status to fail with where it is not "". */
static anynorm_status judge(const struct an_vulkan_features *features, anynorm_device_info *info)
{
    struct an_text why = {info->unusable, sizeof(info->unusable), 0};
    if (features->version < VK_API_VERSION_1_1) {
        an_text_put(&why, "\"%s\" is older than Vulkan 1.1", info->version);
        return ANYNORM_UNSUPPORTED;
    }
    if (features->family == UINT32_MAX) {
        an_text_put(&why, "the device has no queue that computes");
        return ANYNORM_UNSUPPORTED;
    }
    if (info->max_work_group_size == 0 || info->max_groups == 0 || info->max_range_bytes == 0) {
        an_text_put(&why, "the driver tells of no work-groups, or of none that reach memory");
        return ANYNORM_DEVICE_LOST;
    }
    if (info->max_alloc_bytes == 0) { /* RADV's null device, which RADV_FORCE_FAMILY makes */
        an_text_put(&why, "the device has no memory, as one that its driver only compiles for");
        return ANYNORM_DEVICE_LOST;
    }
    return ANYNORM_OK;
}

static anynorm_status list_device(size_t index, anynorm_device_info *info)
{
    char name[32];
    struct an_vulkan_features features;
    put_name(index, name);
    anynorm_status status =
        an_vulkan_describe(an_vulkan_instance(), found[index], NULL, name, info, &features);
    if (status == ANYNORM_OK)
        (void)judge(&features, info);
    return status;
}

/* ---- Opening ---- */

anynorm_status an_vulkan_check(const struct an_vulkan_features *features, anynorm_device_info *info)
{
    anynorm_status status = judge(features, info);
    return status == ANYNORM_OK ? status : an_fail(status, "%s: %s", info->id, info->unusable);
}

static void lock_own(void *user)
{
    an_mutex_lock(&((struct an_vulkan_device *)user)->queue_mutex);
}

static void unlock_own(void *user)
{
    an_mutex_unlock(&((struct an_vulkan_device *)user)->queue_mutex);
}

static anynorm_status own_device(struct an_vulkan_device *d)
{
    VkResult result =
        an_vulkan_create_device(&d->instance, d->physical, &d->head.info, &d->features, &d->handle);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkCreateDevice");
    an_vulkan_device_load(&d->instance, d->handle, &d->vk);
    d->vk.vkGetDeviceQueue(d->handle, d->features.family, 0, &d->queue);
    d->queue_lock = (struct an_queue_lock){lock_own, unlock_own, d};
    return ANYNORM_OK;
}

static void given_device(struct an_vulkan_device *d, const struct an_vulkan_given *given)
{
    d->handle = given->device;
    d->queue = given->queue;
    d->queue_lock = given->queue_lock;
    an_vulkan_device_load(&d->instance, d->handle, &d->vk);
}

static anynorm_status prepare_device(struct an_vulkan_device *d,
                                     const struct an_vulkan_given *given)
{
    anynorm_status status = ANYNORM_OK;
    if (given)
        given_device(d, given);
    else
        status = own_device(d);
    if (status != ANYNORM_OK)
        return status;
    d->head.owner = d->handle;
    const VkCommandPoolCreateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                              .flags =
                                                  VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                              .queueFamilyIndex = d->features.family};
    VkResult result = d->vk.vkCreateCommandPool(d->handle, &commands, NULL, &d->commands);
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkCreateCommandPool");
}

/* Lost or idle: either way it may go. Of a caller's device only our own work is waited for. */
static void wait_idle(struct an_vulkan_device *d)
{
    if (d->wrapped)
        (void)an_launch_drain(d);
    else
        (void)d->vk.vkDeviceWaitIdle(d->handle);
}

static void close_device(anynorm_device *device)
{
    struct an_vulkan_device *d = an_vulkan(device);
    if (d->handle) {
        wait_idle(d);
        an_launches_free(d);
        an_kernels_free(d);
        an_vulkan_free(d, &d->staging);
        for (int i = 0; i <= AN_MOST_SLOTS; i++) {
            d->vk.vkDestroyPipelineLayout(d->handle, d->layouts[i], NULL);
            d->vk.vkDestroyDescriptorSetLayout(d->handle, d->set_layouts[i], NULL);
        }
        d->vk.vkDestroyCommandPool(d->handle, d->commands, NULL);
        if (!d->wrapped)
            d->vk.vkDestroyDevice(d->handle, NULL);
    }
    an_mutex_destroy(&d->queue_mutex);
    an_mutex_destroy(&d->lock);
    an_mutex_destroy(&d->kernels_lock);
    an_mutex_destroy(&d->copy_lock);
    an_mutex_destroy(&d->halves_lock);
    free(d);
}

anynorm_status an_vulkan_device_make(const struct an_vulkan_instance *instance,
                                     VkPhysicalDevice physical, const char *name,
                                     const struct an_vulkan_given *given, anynorm_device **device)
{
    struct an_vulkan_device *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a device");
    made->head.backend = &an_vulkan_backend;
    atomic_init(&made->head.references, 1);
    atomic_init(&made->head.warned, false);
    made->instance = *instance;
    made->physical = physical;
    made->wrapped = given != NULL;
    an_mutex_init(&made->queue_mutex);
    an_mutex_init(&made->lock);
    an_mutex_init(&made->kernels_lock);
    an_mutex_init(&made->copy_lock);
    an_mutex_init(&made->halves_lock);
    anynorm_status status = an_vulkan_describe(instance, physical, given ? &given->enabled : NULL,
                                               name, &made->head.info, &made->features);
    if (status == ANYNORM_OK)
        status = an_vulkan_check(&made->features, &made->head.info);
    if (status == ANYNORM_OK)
        status = an_cache_wanted(false, &made->cached);
    instance->vkGetPhysicalDeviceMemoryProperties(physical, &made->memory);
    if (status == ANYNORM_OK)
        status = prepare_device(made, given);
    if (status != ANYNORM_OK) {
        close_device(&made->head);
        return status;
    }
    *device = &made->head;
    return ANYNORM_OK;
}

static anynorm_status open_device(size_t index, anynorm_device **device)
{
    char name[32];
    put_name(index, name);
    return an_vulkan_device_make(an_vulkan_instance(), found[index], name, NULL, device);
}

const struct an_backend an_vulkan_backend = {
    .name = "vulkan",
    .count = count_devices,
    .list = list_device,
    .open = open_device,
    .close = close_device,
    .memory_create = an_vulkan_memory_create,
    .memory_destroy = an_vulkan_memory_destroy,
    .memory_write = an_vulkan_memory_write,
    .memory_read = an_vulkan_memory_read,
    /* No wrap_host: importing host memory is an extension whose alignment is a page, which hardly a
     * caller's is. */
    .spec_check = an_vulkan_spec_check,
    .plan_create = an_vulkan_plan_create,
    .plan_destroy = an_vulkan_plan_destroy,
    .plan_binary = an_vulkan_plan_binary,
    .plan_warm_up = an_vulkan_plan_warm_up,
    .enqueue = an_vulkan_enqueue,
    .event_wait = an_vulkan_event_wait,
    .event_elapsed = an_vulkan_event_elapsed,
    .event_release = an_vulkan_event_release,
};
