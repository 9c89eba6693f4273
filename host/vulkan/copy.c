/* Copies between host and device memory, in the order of the device's queue. */
#include <string.h>

#include "base/checked.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* Of the memory through which copies go that the host cannot reach. */
#define STAGING_BYTES ((uint64_t)4 << 20)

/* Made when first needed. The copy lock is held. */
static anynorm_status prepare(struct an_vulkan_device *d)
{
    if (!d->copy_fence) {
        const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
        VkResult result = d->vk.vkCreateFence(d->handle, &info, NULL, &d->copy_fence);
        if (result != VK_SUCCESS)
            return an_vk_fail(result, "vkCreateFence");
    }
    if (!d->copy_commands) {
        const VkCommandBufferAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = d->commands,
            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
            .commandBufferCount = 1};
        an_mutex_lock(&d->lock);
        VkResult result = d->vk.vkAllocateCommandBuffers(d->handle, &info, &d->copy_commands);
        an_mutex_unlock(&d->lock);
        if (result != VK_SUCCESS)
            return an_vk_fail(result, "vkAllocateCommandBuffers");
    }
    return d->staging.buffer ? ANYNORM_OK : an_vulkan_allocate(d, STAGING_BYTES, true, &d->staging);
}

anynorm_status an_vulkan_staging(struct an_vulkan_device *d, VkBuffer *buffer)
{
    an_mutex_lock(&d->copy_lock);
    anynorm_status status = prepare(d);
    *buffer = d->staging.buffer;
    an_mutex_unlock(&d->copy_lock);
    return status;
}

void an_vulkan_copies_wait(struct an_vulkan_device *d)
{
    if (d->copies_lost)
        (void)d->vk.vkWaitForFences(d->handle, 1, &d->copy_fence, VK_TRUE, UINT64_MAX);
}

void an_vulkan_copies_free(struct an_vulkan_device *d)
{
    d->vk.vkDestroyFence(d->handle, d->copy_fence, NULL);
    an_vulkan_free(d, &d->staging);
}

/* Records and submits one copy, after all that was submitted before it. Both locks are held. */
static VkResult submit(struct an_vulkan_device *d, VkBuffer from, VkBuffer to,
                       const VkBufferCopy *region, const char **call)
{
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    const VkMemoryBarrier before = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    const VkMemoryBarrier after = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                   .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                   .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    const VkPipelineStageFlags work =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    *call = "vkBeginCommandBuffer";
    VkResult result = d->vk.vkBeginCommandBuffer(d->copy_commands, &begin);
    if (result != VK_SUCCESS)
        return result;
    d->vk.vkCmdPipelineBarrier(d->copy_commands, work, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1,
                               &before, 0, NULL, 0, NULL);
    d->vk.vkCmdCopyBuffer(d->copy_commands, from, to, 1, region);
    d->vk.vkCmdPipelineBarrier(d->copy_commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                               VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &after, 0, NULL, 0, NULL);
    *call = "vkEndCommandBuffer";
    result = d->vk.vkEndCommandBuffer(d->copy_commands);
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &d->copy_commands};
    if (result != VK_SUCCESS)
        return result;
    *call = "vkQueueSubmit";
    return an_queue_submit(d, &info, d->copy_fence);
}

static anynorm_status copy_part(struct an_vulkan_device *d, VkBuffer from, VkBuffer to,
                                const VkBufferCopy *region)
{
    const char *call;
    if (d->copies_lost)
        return an_fail(ANYNORM_DEVICE_LOST, "%s: how an earlier copy ended is not known",
                       d->head.info.id);
    an_mutex_lock(&d->lock);
    VkResult result = submit(d, from, to, region, &call);
    an_mutex_unlock(&d->lock);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, call);
    result = d->vk.vkWaitForFences(d->handle, 1, &d->copy_fence, VK_TRUE, UINT64_MAX);
    d->copies_lost = result != VK_SUCCESS;
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkWaitForFences");
    result = d->vk.vkResetFences(d->handle, 1, &d->copy_fence);
    d->copies_lost = result != VK_SUCCESS;
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkResetFences");
}

/* `in` or `out`, the other NULL. */
static anynorm_status copy_staged(struct an_vulkan_device *d, const anynorm_buffer *buffer,
                                  const char *in, char *out, uint64_t bytes)
{
    VkBuffer memory = an_vulkan_buffer(buffer);
    anynorm_status status = an_vulkan_check_queue(d);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&d->copy_lock);
    status = prepare(d);
    for (uint64_t done = 0; status == ANYNORM_OK && done < bytes; done += STAGING_BYTES) {
        uint64_t part = an_least(bytes - done, STAGING_BYTES);
        const VkBufferCopy region = {.srcOffset = in ? 0 : buffer->offset + done,
                                     .dstOffset = in ? buffer->offset + done : 0,
                                     .size = part};
        if (in) {
            memcpy(d->staging.mapped, in + done, (size_t)part);
            status = copy_part(d, d->staging.buffer, memory, &region);
        } else {
            status = copy_part(d, memory, d->staging.buffer, &region);
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
