/* <anynorm/vulkan.h>: the caller's device, buffers and semaphores. */
#include <inttypes.h>
#include <stdlib.h>

#include "vulkan/vulkan_backend.h" /* before vulkan.h: volk asks for headers without prototypes */
#include <anynorm/vulkan.h>

#include "base/status.h"

#define WRAPPED "vulkan:wrapped"

bool an_is_vulkan(const anynorm_device *device)
{
    return device && device->backend == &an_vulkan_backend;
}

anynorm_status an_not_vulkan(void)
{
    return an_fail(ANYNORM_INVALID_ARGUMENT, "device is NULL or not a Vulkan device");
}

/* ---- Device ---- */

static anynorm_status instance_has(const struct an_vulkan_instance *instance,
                                   VkPhysicalDevice physical)
{
    uint32_t count = 0;
    bool has = false;
    VkResult result = instance->vkEnumeratePhysicalDevices(instance->handle, &count, NULL);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkEnumeratePhysicalDevices");
    VkPhysicalDevice *list = calloc(count ? count : 1, sizeof(VkPhysicalDevice));
    if (!list)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a list of devices");
    result = instance->vkEnumeratePhysicalDevices(instance->handle, &count, list);
    for (uint32_t i = 0; i < count; i++)
        has = has || list[i] == physical;
    free(list);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE)
        return an_vk_fail(result, "vkEnumeratePhysicalDevices");
    return has ? ANYNORM_OK
               : an_fail(ANYNORM_INVALID_ARGUMENT,
                         "the physical device does not belong to the instance");
}

static anynorm_status load_instance(const anynorm_vulkan_handles *handles,
                                    struct an_vulkan_instance *instance)
{
    uint32_t version = handles->api_version ? handles->api_version : VK_API_VERSION_1_1;
    PFN_vkGetInstanceProcAddr get = handles->get_instance_proc_addr;
    if (!handles->instance || !handles->physical_device)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "instance or physical_device is NULL");
    if (version < VK_API_VERSION_1_1)
        return an_fail(ANYNORM_UNSUPPORTED, "an instance made for Vulkan 1.0 does not serve");
    if (!get)
        get = an_vulkan_loader();
    if (!get)
        return an_fail(ANYNORM_UNSUPPORTED, "no libvulkan was found");
    if (!an_vulkan_instance_load(get, handles->instance, version, instance))
        return an_fail(ANYNORM_UNSUPPORTED,
                       "the instance lacks a function that every one of Vulkan 1.1 has");
    return instance_has(instance, handles->physical_device);
}

anynorm_status anynorm_vulkan_device_wishes(const anynorm_vulkan_handles *handles,
                                            anynorm_vulkan_wishes *wishes)
{
    if (!handles || !wishes)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "handles or wishes is NULL");
    struct an_vulkan_instance instance;
    anynorm_device_info info;
    struct an_vulkan_features features;
    anynorm_status status = load_instance(handles, &instance);
    if (status == ANYNORM_OK)
        status = an_vulkan_describe(&instance, handles->physical_device, NULL, WRAPPED, &info,
                                    &features);
    if (status == ANYNORM_OK)
        status = an_vulkan_check(&features, &info);
    if (status != ANYNORM_OK)
        return status;
    features.size_control = features.size_control && info.subgroup_size > 0; /* or of no use */
    anynorm_vulkan_wishes found = {.shader_float64 = info.fp64,
                                   .storage_buffer_16bit_access = info.storage16,
                                   .subgroup_size_control = features.size_control,
                                   .compute_full_subgroups = features.size_control,
                                   .timeline_semaphore = features.timeline};
    found.extension_count = an_vulkan_extensions(&features, found.extensions);
    *wishes = found;
    return ANYNORM_OK;
}

static anynorm_status check_family(const anynorm_vulkan_handles *handles,
                                   const struct an_vulkan_instance *instance)
{
    VkQueueFamilyProperties families[32];
    uint32_t count = 32, family = handles->queue_family;
    instance->vkGetPhysicalDeviceQueueFamilyProperties(handles->physical_device, &count, families);
    if (family >= count || !(families[family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "queue_family %" PRIu32 " is none that computes",
                       family);
    const VkDeviceCreateInfo *made = handles->created_with;
    bool has = !made;
    for (uint32_t i = 0; made && i < made->queueCreateInfoCount; i++)
        has = has || made->pQueueCreateInfos[i].queueFamilyIndex == family;
    if (!has)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "the device was made without queues of queue_family %" PRIu32, family);
    return ANYNORM_OK;
}

anynorm_status anynorm_vulkan_device_wrap(const anynorm_vulkan_handles *handles,
                                          anynorm_device **device)
{
    if (!handles || !handles->device || !device)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "handles, handles->device or device is NULL");
    if (!handles->lock_queue != !handles->unlock_queue)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "lock_queue and unlock_queue go together");
    struct an_vulkan_instance instance;
    anynorm_status status = load_instance(handles, &instance);
    if (status == ANYNORM_OK)
        status = check_family(handles, &instance);
    if (status != ANYNORM_OK)
        return status;
    struct an_vulkan_given given = {
        .device = handles->device,
        .queue = handles->queue,
        .queue_lock = {handles->lock_queue, handles->unlock_queue, handles->queue_user},
        .enabled = {.family = handles->queue_family}};
    an_vulkan_find_enabled(handles->created_with, &given.enabled);
    return an_vulkan_device_make(&instance, handles->physical_device, WRAPPED, &given, device);
}

anynorm_status anynorm_vulkan_device_handles(const anynorm_device *device,
                                             anynorm_vulkan_handles *handles)
{
    if (!an_is_vulkan(device))
        return an_not_vulkan();
    if (!handles)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "handles is NULL");
    const struct an_vulkan_device *d = an_vulkan(device);
    *handles = (anynorm_vulkan_handles){.get_instance_proc_addr = d->instance.get,
                                        .instance = d->instance.handle,
                                        .physical_device = d->physical,
                                        .device = d->handle,
                                        .queue = d->queue,
                                        .queue_family = d->features.family,
                                        .api_version = d->instance.version,
                                        .lock_queue = d->queue_lock.lock,
                                        .unlock_queue = d->queue_lock.unlock,
                                        .queue_user = d->queue_lock.user};
    return ANYNORM_OK;
}

/* ---- Buffer ---- */

anynorm_status anynorm_vulkan_buffer_wrap(anynorm_device *device, VkBuffer memory, uint64_t bytes,
                                          anynorm_buffer *buffer)
{
    if (!an_is_vulkan(device))
        return an_not_vulkan();
    if (!memory || !buffer)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "memory or buffer is NULL");
    if (bytes == 0 || bytes % 4 != 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "bytes is %" PRIu64 ", not a multiple of 4 from 4 on", bytes);
    void *handle = (void *)(uintptr_t)memory;
    if ((VkBuffer)(uintptr_t)handle != memory)
        return an_fail(ANYNORM_UNSUPPORTED, "the VkBuffer is a number that no pointer holds");
    *buffer = (anynorm_buffer){.bytes = bytes,
                               .handle = handle,
                               .root = handle,
                               .owner = device->owner,
                               .kind = AN_BUFFER_VK};
    return ANYNORM_OK;
}

/* ---- Enqueues between the caller's semaphores ---- */

static anynorm_status copy_list(const struct an_vulkan_device *d, const char *name, uint32_t count,
                                const anynorm_vulkan_semaphore *list, VkSemaphore *semaphores,
                                uint64_t *values)
{
    if (count > ANYNORM_MAX_WAIT || (count > 0) != (list != NULL))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%s hold 0 to %d semaphores and are NULL where they hold none", name,
                       ANYNORM_MAX_WAIT);
    for (uint32_t i = 0; i < count; i++) {
        if (!list[i].semaphore)
            return an_fail(ANYNORM_INVALID_ARGUMENT, "%s[%" PRIu32 "] is no semaphore", name, i);
        if (list[i].value > 0 && !d->features.timeline)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "%s[%" PRIu32 "] has a value, but the device has no timelines", name, i);
        semaphores[i] = list[i].semaphore;
        values[i] = list[i].value;
    }
    return ANYNORM_OK;
}

static anynorm_status check(const anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows)
{
    if (!plan || !tensors)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or tensors is NULL");
    if (!an_is_vulkan(plan->device))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the plan is not of a Vulkan device");
    anynorm_status status = an_vulkan_check_queue(an_vulkan(plan->device));
    if (status == ANYNORM_OK && rows > 0)
        status = an_tensors_check(&plan->spec, tensors, rows, plan->device->owner);
    return status;
}

anynorm_status anynorm_vulkan_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                      uint64_t rows, uint32_t wait_count,
                                      const anynorm_vulkan_semaphore *waits, uint32_t signal_count,
                                      const anynorm_vulkan_semaphore *signals, VkFence fence,
                                      anynorm_event *event)
{
    struct an_semaphores semaphores = {.wait_count = wait_count, .signal_count = signal_count};
    anynorm_status status = check(plan, tensors, rows);
    if (status != ANYNORM_OK)
        return status;
    struct an_vulkan_device *d = an_vulkan(plan->device);
    status = copy_list(d, "waits", wait_count, waits, semaphores.waits, semaphores.wait_values);
    if (status == ANYNORM_OK)
        status = copy_list(d, "signals", signal_count, signals, semaphores.signals,
                           semaphores.signal_values);
    if (status != ANYNORM_OK)
        return status;

    struct an_norm norm;
    struct an_launch *launched;
    const struct an_stretch stretch = an_stretch_whole(rows);
    status = an_norm_prepare(d, an_vulkan_plan(plan), tensors, &stretch, &norm);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&d->lock);
    status = an_norm_launch(d, &norm, &semaphores, &launched);
    bool submitted = status == ANYNORM_OK;
    if (submitted && fence) { /* of all that the queue was given up to here */
        VkResult result = an_queue_submit(d, NULL, fence);
        if (result != VK_SUCCESS)
            status = an_vk_fail(result, "vkQueueSubmit of the fence");
    }
    if (submitted && (status != ANYNORM_OK || !event))
        an_launch_release(d, launched);
    an_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK && event)
        *event = (anynorm_event){.device = plan->device, .handle = launched, .valid = true};
    return status;
}
