/* The commands of one norm, in a command buffer of ours or a caller's. */
#include "vulkan/vulkan_backend.h"

void an_commands_order(struct an_vulkan_device *d, VkCommandBuffer commands)
{
    const VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask =
                                         VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    d->vk.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                               VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, NULL, 0,
                               NULL);
}

void an_commands_bound(const struct an_vulkan_plan *plan, const struct an_part *part,
                       VkDescriptorBufferInfo moments, struct an_bound *bound)
{
    const uint32_t *slot = plan->interface.slot;
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        if (slot[i] != UINT32_MAX)
            bound->slot[slot[i]] = part->buffers[i];
    }
    if (slot[AN_MOMENTS] != UINT32_MAX)
        bound->slot[slot[AN_MOMENTS]] = moments;
}

static VkWriteDescriptorSet write_of(const struct an_vulkan_plan *plan,
                                     const struct an_bound *bound, VkDescriptorSet set)
{
    return (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                  .dstSet = set,
                                  .descriptorCount = plan->interface.slots,
                                  .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                  .pBufferInfo = bound->slot};
}

void an_commands_write_set(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                           const struct an_bound *bound, VkDescriptorSet set)
{
    const VkWriteDescriptorSet write = write_of(plan, bound, set);
    if (!d->features.push_descriptors)
        d->vk.vkUpdateDescriptorSets(d->handle, 1, &write, 0, NULL);
}

void an_commands_begin(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                       VkCommandBuffer commands)
{
    d->vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, plan->kernel->pipeline);
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

static void bind(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                 VkCommandBuffer commands, VkDescriptorSet set, const struct an_bound *bound)
{
    VkPipelineLayout layout = d->layouts[plan->interface.slots];
    if (d->features.push_descriptors) {
        const VkWriteDescriptorSet write = write_of(plan, bound, VK_NULL_HANDLE);
        d->vk.vkCmdPushDescriptorSetKHR(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1,
                                        &write);
    } else {
        d->vk.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set,
                                      0, NULL);
    }
}

void an_commands_part(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                      VkCommandBuffer commands, VkDescriptorSet set, const struct an_bound *bound,
                      const struct an_part *part, uint64_t first, uint64_t of_rows, bool split)
{
    const anynorm_spec *spec = &plan->head.spec;
    struct an_push push = {.rows = (uint32_t)part->rows,
                           .parameter_first = (uint32_t)(first % spec->parameters.rows),
                           .shard_rows = (uint32_t)of_rows};
    if (spec->sample_rows <= UINT32_MAX)
        push.sample_first = (uint32_t)(first % spec->sample_rows);
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        if (plan->interface.slot[i] != UINT32_MAX)
            push.offset[plan->interface.slot[i]] = part->offset[i];
    }
    bind(d, plan, commands, set, bound);
    if (split && !(spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_INPUT))) {
        dispatch(d, plan, commands, &push, AN_STAGE_PARTIALS);
        an_commands_order(d, commands);
    }
    dispatch(d, plan, commands, &push, split ? AN_STAGE_FINISH : AN_STAGE_WHOLE);
}
