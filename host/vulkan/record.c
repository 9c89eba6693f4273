/* <anynorm/vulkan.h>: norms in the caller's command buffers. */
#include "vulkan/recording.h"

#include <anynorm/vulkan.h>

#include "base/status.h"

/* What one call comes to: its first part, usually the only one, and where the sums of its rows lie
 * if these are split. */
struct prepared {
    struct an_part first;
    bool split;
    VkDescriptorBufferInfo moments;
};

/* Rows are split as an enqueue would; but the scratch is the recording's, as other submissions, on
 * any queue, may use the kernel's. */
static anynorm_status prepare_split(anynorm_vulkan_recording *recording,
                                    const struct an_vulkan_plan *plan, uint64_t rows,
                                    struct prepared *made)
{
    made->split = made->first.rows == rows && rows <= plan->split_rows;
    made->moments = (VkDescriptorBufferInfo){plan->kernel->moments.buffer, 0, VK_WHOLE_SIZE};
    if (!made->split)
        return ANYNORM_OK;
    return an_recording_scratch(recording, rows * plan->moments_row_bytes, &made->moments);
}

/* All that can fail, so that the commands, which cannot, are recorded whole or not at all. */
static anynorm_status prepare(anynorm_vulkan_recording *recording,
                              const struct an_vulkan_plan *plan, const anynorm_tensors *tensors,
                              uint64_t rows, struct prepared *made)
{
    struct an_vulkan_device *d = recording->device;
    anynorm_status status = an_recording_keep(recording, plan->kernel);
    for (uint64_t first = 0; first < rows && status == ANYNORM_OK;) {
        struct an_part later, *part = first == 0 ? &made->first : &later;
        VkDescriptorSet set;
        status = an_vulkan_part(d, &plan->head.spec, tensors, first, rows - first, part);
        if (status == ANYNORM_OK && first == 0)
            status = prepare_split(recording, plan, rows, made);
        if (status == ANYNORM_OK && !d->features.push_descriptors)
            status = an_recording_add_set(recording, plan->interface.slots, &set);
        if (status == ANYNORM_OK)
            first += part->rows;
    }
    return status;
}

/* What ran before, an earlier execution of these commands perhaps, may have used the scratch. */
static void order_scratch(struct an_vulkan_device *d, VkCommandBuffer commands,
                          const VkDescriptorBufferInfo *moments)
{
    const VkBufferMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER,
                                           .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                           .dstAccessMask = VK_ACCESS_SHADER_READ_BIT |
                                                            VK_ACCESS_SHADER_WRITE_BIT,
                                           .srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                           .dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED,
                                           .buffer = moments->buffer,
                                           .offset = moments->offset,
                                           .size = moments->range};
    d->vk.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                               VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 0, NULL, 1, &barrier, 0,
                               NULL);
}

static void record(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                   VkCommandBuffer commands, const VkDescriptorSet *sets,
                   const anynorm_tensors *tensors, uint64_t rows, const struct prepared *made)
{
    an_commands_begin(d, plan, commands);
    if (made->split)
        order_scratch(d, commands, &made->moments);
    for (uint64_t first = 0; first < rows;) {
        struct an_part later;
        struct an_bound bound;
        const struct an_part *part = first == 0 ? &made->first : &later;
        VkDescriptorSet set = d->features.push_descriptors ? VK_NULL_HANDLE : *sets++;
        if (first > 0)
            (void)an_vulkan_part(d, &plan->head.spec, tensors, first, rows - first, &later);
        an_commands_bound(plan, part, made->moments, &bound);
        an_commands_write_set(d, plan, &bound, set);
        an_commands_part(d, plan, commands, set, &bound, part, first, rows, made->split);
        first += part->rows;
    }
}

anynorm_status anynorm_vulkan_record(anynorm_plan *plan, anynorm_vulkan_recording *recording,
                                     VkCommandBuffer commands, const anynorm_tensors *tensors,
                                     uint64_t rows)
{
    if (!plan || !recording || !commands || !tensors)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan, recording, commands or tensors is NULL");
    if (plan->device != &recording->device->head)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan and recording are of different devices");
    if (rows == 0)
        return ANYNORM_OK;
    struct prepared made;
    size_t first_set = recording->set_count;
    anynorm_status status = an_tensors_check(&plan->spec, tensors, rows, plan->device->owner);
    if (status == ANYNORM_OK)
        status = prepare(recording, an_vulkan_plan(plan), tensors, rows, &made);
    if (status == ANYNORM_OK)
        record(recording->device, an_vulkan_plan(plan), commands, recording->sets + first_set,
               tensors, rows, &made);
    return status;
}
