/* Enqueues on the device's own queue: recorded anew each time, in one command buffer. */
#include <inttypes.h>

#include "checked.h"
#include "grid.h"
#include "status.h"
#include "vulkan/vulkan_backend.h"

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

static void order_kernels(struct an_vulkan_device *d, VkCommandBuffer commands)
{
    order(d, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
          VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
}

static anynorm_status begin(struct an_vulkan_device *d, const struct an_launch *launch)
{
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkResult result = d->vk.vkBeginCommandBuffer(launch->commands, &info);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkBeginCommandBuffer");
    order_kernels(d, launch->commands);
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
    if (d->head.info.unified_memory)
        order(d, launch->commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    VkResult result = d->vk.vkEndCommandBuffer(launch->commands);
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkEndCommandBuffer");
}

static void write_set(struct an_vulkan_device *d, const struct an_interface *interface,
                      const struct an_part *part, const struct an_kernel *kernel,
                      VkDescriptorSet set)
{
    VkDescriptorBufferInfo buffers[AN_MOST_SLOTS];
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        if (interface->slot[i] != UINT32_MAX)
            buffers[interface->slot[i]] = part->buffers[i];
    }
    if (interface->slot[AN_MOMENTS] != UINT32_MAX)
        buffers[interface->slot[AN_MOMENTS]] =
            (VkDescriptorBufferInfo){kernel->moments.buffer, 0, VK_WHOLE_SIZE};
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = set,
                                        .descriptorCount = interface->slots,
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = buffers};
    d->vk.vkUpdateDescriptorSets(d->handle, 1, &write, 0, NULL);
}

static void dispatch(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                     VkCommandBuffer commands, struct an_push *push, enum an_stage stage)
{
    uint64_t pieces = push->rows * (stage == AN_STAGE_WHOLE ? 1 : plan->segments);
    uint64_t groups =
        pieces == 0 ? 1 : an_grid_groups(&d->head.info, &plan->head.spec, &plan->choice, pieces);
    push->stage = stage;
    d->vk.vkCmdPushConstants(commands, d->layouts[plan->interface.slots],
                             VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(*push), push);
    d->vk.vkCmdDispatch(commands, (uint32_t)groups, 1, 1);
}

/* Records the rows of a part, those of an enqueue of `of_rows` from `first` on, with the set that
 * `lender` lends. */
static void record_part(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                        VkCommandBuffer commands, const struct an_launch *lender,
                        const struct an_part *part, uint64_t first, uint64_t of_rows, bool split)
{
    const anynorm_spec *spec = &plan->head.spec;
    struct an_push push = {.rows = (uint32_t)part->rows,
                           .parameter_first = (uint32_t)(first % spec->parameter_rows),
                           .shard_rows = (uint32_t)of_rows};
    if (spec->sample_rows <= UINT32_MAX)
        push.sample_first = (uint32_t)(first % spec->sample_rows);
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        if (plan->interface.slot[i] != UINT32_MAX)
            push.offset[plan->interface.slot[i]] = part->offset[i];
    }
    write_set(d, &plan->interface, part, plan->kernel, lender->set);
    d->vk.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE,
                                  d->layouts[plan->interface.slots], 0, 1, &lender->set, 0, NULL);
    if (split && !(spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_INPUT))) {
        dispatch(d, plan, commands, &push, AN_STAGE_PARTIALS);
        order_kernels(d, commands);
    }
    dispatch(d, plan, commands, &push, split ? AN_STAGE_FINISH : AN_STAGE_WHOLE);
}

/* One part after the other; each but the first borrows the set of a launch of its own. */
static anynorm_status record(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                             struct an_launch *launch, const anynorm_tensors *tensors,
                             uint64_t rows)
{
    const anynorm_spec *spec = &plan->head.spec;
    struct an_launch *lender = launch;
    d->vk.vkCmdBindPipeline(launch->commands, VK_PIPELINE_BIND_POINT_COMPUTE,
                            plan->kernel->pipeline);
    for (uint64_t first = 0; first < rows;) {
        struct an_part part;
        anynorm_status status = an_vulkan_part(d, spec, tensors, first, rows - first, &part);
        if (status == ANYNORM_OK && first > 0) {
            status = an_launch_take(d, plan->interface.slots, &lender->more);
            if (status == ANYNORM_OK)
                lender = lender->more;
        }
        if (status != ANYNORM_OK)
            return status;
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
    d->vk.vkCmdBindPipeline(launch->commands, VK_PIPELINE_BIND_POINT_COMPUTE,
                            plan->kernel->pipeline);
    record_part(d, plan, launch->commands, launch, &part, 0, 0, false);
}

/* `any` NULL: the rows; else a buffer for a launch on none. The lock is held. */
static anynorm_status launch(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                             const anynorm_tensors *tensors, uint64_t rows, VkBuffer any,
                             struct an_launch **launched)
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
        status = an_launch_submit(d, made, plan->kernel);
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
    pthread_mutex_lock(&d->lock);
    anynorm_status status =
        launch(d, an_vulkan_plan(plan), tensors, rows, VK_NULL_HANDLE, &launched);
    pthread_mutex_unlock(&d->lock);
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
    anynorm_status status = an_vulkan_staging(d, &any);
    if (status != ANYNORM_OK)
        return status;
    pthread_mutex_lock(&d->lock);
    status = launch(d, an_vulkan_plan(plan), NULL, 0, any, &launched);
    pthread_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK) {
        anynorm_event event = {.device = plan->device, .handle = launched, .valid = true};
        status = an_vulkan_event_wait(&event);
        an_vulkan_event_release(&event);
    }
    return status;
}
