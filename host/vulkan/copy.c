/* Copies between host and device memory, in the order of the device's queue. */
#include <string.h>

#include "base/checked.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* Of the memory through which copies go that the host cannot reach. */
#define STAGING_BYTES ((uint64_t)4 << 20)

anynorm_status an_vulkan_staging(struct an_vulkan_device *d, VkBuffer *buffer)
{
    an_mutex_lock(&d->copy_lock);
    anynorm_status status = ANYNORM_OK;
    if (!d->staging.buffer)
        status = an_vulkan_allocate(d, STAGING_BYTES, true, &d->staging);
    *buffer = d->staging.buffer;
    an_mutex_unlock(&d->copy_lock);
    return status;
}

/* Records and submits one copy, after all that was submitted before it. The lock is held. */
static anynorm_status submit(struct an_vulkan_device *d, VkBuffer from, VkBuffer to,
                             const VkBufferCopy *region, struct an_launch **launched)
{
    struct an_launch *made;
    anynorm_status status = an_launch_take(d, 0, &made);
    if (status != ANYNORM_OK)
        return status;
    status = an_launch_begin(d, made, VK_PIPELINE_STAGE_TRANSFER_BIT,
                             VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    if (status == ANYNORM_OK) {
        d->vk.vkCmdCopyBuffer(made->commands, from, to, 1, region);
        status = an_launch_submit(d, made, NULL, true, NULL);
    }
    if (status != ANYNORM_OK)
        an_launch_drop(d, made);
    *launched = made;
    return status;
}

static anynorm_status copy_part(struct an_vulkan_device *d, VkBuffer from, VkBuffer to,
                                const VkBufferCopy *region)
{
    struct an_launch *launch;
    if (d->copies_lost)
        return an_fail(ANYNORM_DEVICE_LOST, "%s: how an earlier copy ended is not known",
                       d->head.info.id);
    an_mutex_lock(&d->lock);
    anynorm_status status = submit(d, from, to, region, &launch);
    an_mutex_unlock(&d->lock);
    if (status != ANYNORM_OK)
        return status;
    VkResult result = d->vk.vkWaitForFences(d->handle, 1, &launch->fence, VK_TRUE, UINT64_MAX);
    d->copies_lost = result != VK_SUCCESS;
    an_mutex_lock(&d->lock);
    an_launch_release(d, launch);
    an_mutex_unlock(&d->lock);
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkWaitForFences");
}

/* `in` or `out`, the other NULL. */
static anynorm_status copy_staged(struct an_vulkan_device *d, const anynorm_buffer *buffer,
                                  const char *in, char *out, uint64_t bytes)
{
    VkBuffer memory = an_vulkan_buffer(buffer);
    VkBuffer staging;
    anynorm_status status = an_vulkan_check_queue(d);
    if (status == ANYNORM_OK)
        status = an_vulkan_staging(d, &staging);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&d->copy_lock);
    for (uint64_t done = 0; status == ANYNORM_OK && done < bytes; done += STAGING_BYTES) {
        uint64_t part = an_least(bytes - done, STAGING_BYTES);
        const VkBufferCopy region = {.srcOffset = in ? 0 : buffer->offset + done,
                                     .dstOffset = in ? buffer->offset + done : 0,
                                     .size = part};
        if (in) {
            memcpy(d->staging.mapped, in + done, (size_t)part);
            status = copy_part(d, staging, memory, &region);
        } else {
            status = copy_part(d, memory, staging, &region);
            if (status == ANYNORM_OK)
                memcpy(out + done, d->staging.mapped, (size_t)part);
        }
    }
    an_mutex_unlock(&d->copy_lock);
    return status;
}

anynorm_status an_vulkan_memory_write(anynorm_device *device, const anynorm_buffer *buffer,
                                      const void *host, uint64_t bytes)
{
    struct an_vulkan_device *d = an_vulkan(device);
    char *mapped = an_vulkan_mapped(buffer);
    if (!mapped)
        return copy_staged(d, buffer, host, NULL, bytes);
    anynorm_status status = an_launch_drain(d);
    if (status == ANYNORM_OK)
        memcpy(mapped + buffer->offset, host, (size_t)bytes);
    return status;
}

anynorm_status an_vulkan_memory_read(anynorm_device *device, const anynorm_buffer *buffer,
                                     void *host, uint64_t bytes)
{
    struct an_vulkan_device *d = an_vulkan(device);
    char *mapped = an_vulkan_mapped(buffer);
    if (!mapped)
        return copy_staged(d, buffer, NULL, host, bytes);
    anynorm_status status = an_launch_drain(d);
    if (status == ANYNORM_OK)
        memcpy(host, mapped + buffer->offset, (size_t)bytes);
    return status;
}
