/* Enqueues on the device's own queue: recorded anew each time, in one command buffer. */
#include <inttypes.h>

#include "base/checked.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

anynorm_status an_vulkan_check_queue(const struct an_vulkan_device *d)
{
    if (d->queue)
        return ANYNORM_OK;
    return an_fail(ANYNORM_UNSUPPORTED, "%s: the device was wrapped without a queue",
                   d->head.info.id);
}

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

static anynorm_status begin(struct an_vulkan_device *d, const struct an_launch *launch)
{
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkResult result = d->vk.vkBeginCommandBuffer(launch->commands, &info);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkBeginCommandBuffer");
    order(d, launch->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
          VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    if (launch->times) {
        d->vk.vkCmdResetQueryPool(launch->commands, launch->times, 0, 2);
        d->vk.vkCmdWriteTimestamp(launch->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  launch->times, 0);
    }
    return ANYNORM_OK;
}

static anynorm_status finish(struct an_vulkan_device *d, const struct an_launch *launch)
{
    if (launch->times)
        d->vk.vkCmdWriteTimestamp(launch->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  launch->times, 1);
    if (d->head.info.unified_memory || d->wrapped)
        order(d, launch->commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    VkResult result = d->vk.vkEndCommandBuffer(launch->commands);
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkEndCommandBuffer");
}

/* Records the rows of a part, those of an enqueue of `of_rows` from `first` on, with the set that
 * `lender` lends. */
static void record_part(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                        VkCommandBuffer commands, const struct an_launch *lender,
                        const struct an_part *part, uint64_t first, uint64_t of_rows, bool split)
{
    struct an_bound bound;
    const VkDescriptorBufferInfo moments = {plan->kernel->moments.buffer, 0, VK_WHOLE_SIZE};
    an_commands_bound(plan, part, moments, &bound);
    an_commands_write_set(d, plan, &bound, lender->set);
    an_commands_part(d, plan, commands, lender->set, &bound, part, first, of_rows, split);
}

/* One part after the other; each but the first borrows the set of a launch of its own. */
static anynorm_status record(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                             struct an_launch *launch, const anynorm_tensors *tensors,
                             uint64_t rows)
{
    const anynorm_spec *spec = &plan->head.spec;
    struct an_launch *lender = launch;
    an_commands_begin(d, plan, launch->commands);
    for (uint64_t first = 0; first < rows;) {
        struct an_part part;
        anynorm_status status = an_vulkan_part(d, spec, tensors, first, rows - first, &part);
        if (status == ANYNORM_OK && first > 0 && launch->set) {
            status = an_launch_take(d, plan->interface.slots, &lender->more);
            if (status == ANYNORM_OK)
                lender = lender->more;
        }
        if (status != ANYNORM_OK) {
            /* What is being recorded could not be begun anew. */
            (void)d->vk.vkEndCommandBuffer(launch->commands);
            return status;
        }
        bool split = part.rows == rows && rows <= plan->split_rows;
        record_part(d, plan, launch->commands, lender, &part, first, rows, split);
        first += part.rows;
    }
    return ANYNORM_OK;
}

/* The kernel on no rows at all: every buffer is the staging memory, and none is touched. */
static void record_empty(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                         struct an_launch *launch, VkBuffer any)
{
    struct an_part part = {.rows = 0};
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        part.buffers[i] = (VkDescriptorBufferInfo){any, 0, 4};
    an_commands_begin(d, plan, launch->commands);
    record_part(d, plan, launch->commands, launch, &part, 0, 0, false);
}

anynorm_status an_vulkan_launch(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                                const anynorm_tensors *tensors, uint64_t rows, VkBuffer any,
                                const struct an_semaphores *semaphores, struct an_launch **launched)
{
    struct an_launch *made;
    an_launch_collect(d);
    anynorm_status status = an_launch_take(d, plan->interface.slots, &made);
    if (status != ANYNORM_OK)
        return status;
    status = begin(d, made);
    if (status == ANYNORM_OK && any)
        record_empty(d, plan, made, any);
    else if (status == ANYNORM_OK && rows > 0)
        status = record(d, plan, made, tensors, rows);
    if (status == ANYNORM_OK)
        status = finish(d, made);
    if (status == ANYNORM_OK)
        status = an_launch_submit(d, made, plan->kernel, semaphores);
    if (status != ANYNORM_OK)
        an_launch_drop(d, made);
    *launched = made;
    return status;
}

/* The queue runs in order, so all that the wait list names comes first as it is. */
anynorm_status an_vulkan_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows,
                                 uint32_t wait_count, const anynorm_event *wait_list,
                                 anynorm_event *event)
{
    (void)wait_count;
    (void)wait_list;
    struct an_vulkan_device *d = an_vulkan(plan->device);
    struct an_launch *launched;
    anynorm_status status = an_vulkan_check_queue(d);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&d->lock);
    status =
        an_vulkan_launch(d, an_vulkan_plan(plan), tensors, rows, VK_NULL_HANDLE, NULL, &launched);
    an_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK)
        *event = (anynorm_event){.device = plan->device, .handle = launched, .valid = true};
    return status;
}

/* A pipeline is compiled when it is made; but some drivers put off what is left to the first
 * launch. */
anynorm_status an_vulkan_plan_warm_up(anynorm_plan *plan, uint64_t rows)
{
    (void)rows;
    struct an_vulkan_device *d = an_vulkan(plan->device);
    VkBuffer any;
    struct an_launch *launched;
    anynorm_status status = an_vulkan_check_queue(d);
    if (status == ANYNORM_OK)
        status = an_vulkan_staging(d, &any);
    if (status != ANYNORM_OK)
        return status;
    an_mutex_lock(&d->lock);
    status = an_vulkan_launch(d, an_vulkan_plan(plan), NULL, 0, any, NULL, &launched);
    an_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK) {
        anynorm_event event = {.device = plan->device, .handle = launched, .valid = true};
        status = an_vulkan_event_wait(&event);
        an_vulkan_event_release(&event);
    }
    return status;
}
