/* Events: launches by another name. */
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

anynorm_status an_vulkan_event_wait(const anynorm_event *event)
{
    struct an_vulkan_device *d = an_vulkan(event->device);
    const struct an_launch *launch = event->handle;
    VkResult result = d->vk.vkWaitForFences(d->handle, 1, &launch->fence, VK_TRUE, UINT64_MAX);
    if (result == VK_SUCCESS)
        return ANYNORM_OK;
    return an_fail(ANYNORM_DEVICE_LOST,
                   "%s: a kernel failed, or the wait for it: vkWaitForFences gave %s",
                   event->device->info.id, an_vk_name(result));
}

anynorm_status an_vulkan_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds)
{
    struct an_vulkan_device *d = an_vulkan(event->device);
    const struct an_launch *launch = event->handle;
    VkResult result = d->vk.vkGetFenceStatus(d->handle, launch->fence);
    if (result == VK_NOT_READY)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the event is not done");
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkGetFenceStatus");
    if (!launch->times)
        return an_fail(ANYNORM_UNSUPPORTED, "%s: the queue does not measure time",
                       event->device->info.id);
    uint64_t ticks[2];
    result = d->vk.vkGetQueryPoolResults(d->handle, launch->times, 0, 2, sizeof(ticks), ticks,
                                         sizeof(ticks[0]), VK_QUERY_RESULT_64_BIT);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkGetQueryPoolResults");
    uint64_t count = ticks[1] - ticks[0];
    if (d->features.timestamp_bits < 64)
        count &= ((uint64_t)1 << d->features.timestamp_bits) - 1;
    *nanoseconds = (uint64_t)((double)count * d->features.timestamp_period);
    return ANYNORM_OK;
}

void an_vulkan_event_release(anynorm_event *event)
{
    struct an_vulkan_device *d = an_vulkan(event->device);
    an_mutex_lock(&d->lock);
    an_launch_release(d, event->handle);
    an_mutex_unlock(&d->lock);
}
