/* Launches: command buffers submitted to the device's queue, with their fences, handed from enqueue
 * to enqueue; events are launches by another name. A queue finishes its submissions' fences in
 * order, so the oldest in flight is the first to be done. */
#include <stdlib.h>

#include "base/status.h"
#include "vulkan/vulkan_backend.h"

static void destroy(struct an_vulkan_device *d, struct an_launch *launch)
{
    if (launch->commands)
        d->vk.vkFreeCommandBuffers(d->handle, d->commands, 1, &launch->commands);
    d->vk.vkDestroyFence(d->handle, launch->fence, NULL);
    d->vk.vkDestroyQueryPool(d->handle, launch->times, NULL);
    d->vk.vkDestroyDescriptorPool(d->handle, launch->pool, NULL);
    free(launch);
}

static VkResult make_set(struct an_vulkan_device *d, struct an_launch *launch, const char **call)
{
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, launch->slots};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = 1,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    *call = "vkCreateDescriptorPool";
    VkResult result = d->vk.vkCreateDescriptorPool(d->handle, &pool, NULL, &launch->pool);
    if (result != VK_SUCCESS)
        return result;
    const VkDescriptorSetAllocateInfo set = {.sType =
                                                 VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                             .descriptorPool = launch->pool,
                                             .descriptorSetCount = 1,
                                             .pSetLayouts = &d->set_layouts[launch->slots]};
    *call = "vkAllocateDescriptorSets";
    return d->vk.vkAllocateDescriptorSets(d->handle, &set, &launch->set);
}

static VkResult make_parts(struct an_vulkan_device *d, struct an_launch *launch, const char **call)
{
    const VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->commands,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    const VkQueryPoolCreateInfo times = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                         .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                         .queryCount = 2};
    *call = "vkAllocateCommandBuffers";
    VkResult result = d->vk.vkAllocateCommandBuffers(d->handle, &commands, &launch->commands);
    if (result != VK_SUCCESS)
        return result;
    *call = "vkCreateFence";
    result = d->vk.vkCreateFence(d->handle, &fence, NULL, &launch->fence);
    if (result == VK_SUCCESS && d->features.timestamp_bits > 0) {
        *call = "vkCreateQueryPool";
        result = d->vk.vkCreateQueryPool(d->handle, &times, NULL, &launch->times);
    }
    bool wants_set = launch->slots > 0 && !d->features.push_descriptors;
    return result == VK_SUCCESS && wants_set ? make_set(d, launch, call) : result;
}

anynorm_status an_launch_take(struct an_vulkan_device *d, uint32_t slots, struct an_launch **launch)
{
    an_launch_collect(d);
    struct an_launch *taken = d->launches.free[slots];
    if (taken) {
        VkResult result = d->vk.vkResetFences(d->handle, 1, &taken->fence);
        if (result != VK_SUCCESS)
            return an_vk_fail(result, "vkResetFences");
        d->launches.free[slots] = taken->next;
        taken->next = NULL;
        *launch = taken;
        return ANYNORM_OK;
    }
    taken = calloc(1, sizeof(*taken));
    if (!taken)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a launch");
    const char *call;
    taken->slots = slots;
    VkResult result = make_parts(d, taken, &call);
    if (result != VK_SUCCESS) {
        destroy(d, taken);
        return an_vk_fail(result, call);
    }
    *launch = taken;
    return ANYNORM_OK;
}

void an_launch_drop(struct an_vulkan_device *d, struct an_launch *launch)
{
    while (launch) {
        struct an_launch *more = launch->more;
        launch->more = NULL;
        launch->next = d->launches.free[launch->slots];
        d->launches.free[launch->slots] = launch;
        launch = more;
    }
}

/* ---- Commands ---- */

/* Makes what came before visible to what follows: to all that may read or write memory on the
 * queue, which so runs its submissions in order. */
static void order(struct an_vulkan_device *d, VkCommandBuffer commands, VkPipelineStageFlags next,
                  VkAccessFlags access)
{
    const VkPipelineStageFlags work =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask =
                                         VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                     .dstAccessMask = access};
    d->vk.vkCmdPipelineBarrier(commands, work, next, 0, 1, &barrier, 0, NULL, 0, NULL);
}

anynorm_status an_launch_begin(struct an_vulkan_device *d, const struct an_launch *launch,
                               VkPipelineStageFlags next, VkAccessFlags access)
{
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkResult result = d->vk.vkBeginCommandBuffer(launch->commands, &info);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkBeginCommandBuffer");
    order(d, launch->commands, next, access);
    if (launch->times) {
        d->vk.vkCmdResetQueryPool(launch->commands, launch->times, 0, 2);
        d->vk.vkCmdWriteTimestamp(launch->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  launch->times, 0);
    }
    return ANYNORM_OK;
}

/* Ends its commands; what they wrote is for the host, too, if that reads it. */
static VkResult end(struct an_vulkan_device *d, const struct an_launch *launch, bool host_reads)
{
    if (launch->times)
        d->vk.vkCmdWriteTimestamp(launch->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  launch->times, 1);
    if (host_reads)
        order(d, launch->commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    return d->vk.vkEndCommandBuffer(launch->commands);
}

/* ---- The queue ---- */

anynorm_status an_vulkan_check_queue(const struct an_vulkan_device *d)
{
    if (d->queue)
        return ANYNORM_OK;
    return an_fail(ANYNORM_UNSUPPORTED, "%s: the device was wrapped without a queue",
                   d->head.info.id);
}

VkResult an_queue_submit(struct an_vulkan_device *d, const VkSubmitInfo *info, VkFence fence)
{
    if (d->queue_lock.lock)
        d->queue_lock.lock(d->queue_lock.user);
    VkResult result = d->vk.vkQueueSubmit(d->queue, info ? 1 : 0, info, fence);
    if (d->queue_lock.unlock)
        d->queue_lock.unlock(d->queue_lock.user);
    return result;
}

/* With what a caller wants waited for and signalled, if anything. */
static VkResult submit(struct an_vulkan_device *d, const struct an_launch *launch,
                       const struct an_semaphores *semaphores)
{
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .commandBufferCount = 1,
                         .pCommandBuffers = &launch->commands};
    VkPipelineStageFlags stages[ANYNORM_MAX_WAIT];
    if (!semaphores)
        return an_queue_submit(d, &info, launch->fence);
    const VkTimelineSemaphoreSubmitInfo values = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = semaphores->wait_count,
        .pWaitSemaphoreValues = semaphores->wait_values,
        .signalSemaphoreValueCount = semaphores->signal_count,
        .pSignalSemaphoreValues = semaphores->signal_values};
    for (uint32_t i = 0; i < semaphores->wait_count; i++)
        stages[i] = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    info.waitSemaphoreCount = semaphores->wait_count;
    info.pWaitSemaphores = semaphores->waits;
    info.pWaitDstStageMask = stages;
    info.signalSemaphoreCount = semaphores->signal_count;
    info.pSignalSemaphores = semaphores->signals;
    if (d->features.timeline)
        info.pNext = &values;
    return an_queue_submit(d, &info, launch->fence);
}

anynorm_status an_launch_submit(struct an_vulkan_device *d, struct an_launch *launch,
                                struct an_kernel *kernel, bool host_reads,
                                const struct an_semaphores *semaphores)
{
    VkResult result = end(d, launch, host_reads);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkEndCommandBuffer");
    result = submit(d, launch, semaphores);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkQueueSubmit");
    launch->references = 1;
    launch->in_flight = true;
    launch->kernel = kernel;
    if (kernel)
        kernel->references++;
    if (d->launches.newest)
        d->launches.newest->next = launch;
    else
        d->launches.oldest = launch;
    d->launches.newest = launch;
    return ANYNORM_OK;
}

/* Takes the oldest off the list. */
static void retire(struct an_vulkan_device *d)
{
    struct an_launch *launch = d->launches.oldest;
    d->launches.oldest = launch->next;
    if (!launch->next)
        d->launches.newest = NULL;
    launch->next = NULL;
    launch->in_flight = false;
    if (launch->kernel)
        an_kernel_release(d, launch->kernel);
    launch->kernel = NULL;
    if (launch->references == 0)
        an_launch_drop(d, launch);
}

void an_launch_collect(struct an_vulkan_device *d)
{
    while (d->launches.oldest &&
           d->vk.vkGetFenceStatus(d->handle, d->launches.oldest->fence) == VK_SUCCESS)
        retire(d);
}

void an_launch_release(struct an_vulkan_device *d, struct an_launch *launch)
{
    if (--launch->references == 0 && !launch->in_flight)
        an_launch_drop(d, launch);
}

anynorm_status an_launch_drain(struct an_vulkan_device *d)
{
    an_mutex_lock(&d->lock);
    struct an_launch *newest = d->launches.newest;
    if (newest)
        newest->references++;
    an_mutex_unlock(&d->lock);
    if (!newest)
        return ANYNORM_OK;
    VkResult result = d->vk.vkWaitForFences(d->handle, 1, &newest->fence, VK_TRUE, UINT64_MAX);
    an_mutex_lock(&d->lock);
    an_launch_release(d, newest);
    an_launch_collect(d);
    an_mutex_unlock(&d->lock);
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkWaitForFences");
}

void an_launches_free(struct an_vulkan_device *d)
{
    while (d->launches.oldest)
        retire(d);
    for (int i = 0; i <= AN_MOST_SLOTS; i++) {
        while (d->launches.free[i]) {
            struct an_launch *launch = d->launches.free[i];
            d->launches.free[i] = launch->next;
            destroy(d, launch);
        }
    }
}

/* ---- Events ---- */

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
