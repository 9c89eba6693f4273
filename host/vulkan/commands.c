/* The commands of one norm, in a command buffer of ours or a caller's. A dispatch reaches only part
 * of tensors that are large: a buffer is bound from an aligned byte on, and no further than the
 * device's limit; kernels count its rows from 0. */
#include <inttypes.h>

#include "base/checked.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* ---- What a dispatch reaches ---- */

/* Rows that a kernel's loops count without wrapping. */
#define MOST_ROWS (UINT64_C(1) << 30)

/* Bytes that a kernel's sums of offsets may add to a range without wrapping. */
#define SLACK_BYTES 4096

static uint64_t most_range(const struct an_vulkan_device *d)
{
    return an_least(d->head.info.max_range_bytes, UINT32_MAX - SLACK_BYTES) & ~(uint64_t)3;
}

/* Rows of an enqueue. */
struct range {
    uint64_t first;
    uint64_t rows;
    uint64_t of_enqueue;
    uint64_t of_call; /* which an enqueue may be a stretch of */
};

/* Bytes from where the part of a tensor begins to the end of its last row; false where that is more
 * than 64 bits. */
static bool find_extent(const anynorm_spec *spec, enum an_tensor tensor, const struct range *part,
                        uint64_t *bytes)
{
    uint64_t rows = an_tensor_shape(tensor) == AN_OF_CALL ? part->of_call : part->rows;
    if (an_tensor_shape(tensor) == AN_OF_SAMPLES)
        rows += part->first % spec->sample_rows; /* of its first sample, which came before */
    if (!an_tensor_extent(spec, tensor, rows, bytes))
        return false;
    if (an_tensor_shape(tensor) == AN_OF_SHARDS) /* each of which has the other rows, too */
        *bytes +=
            (spec->statistic.shards - 1) * an_tensor_start(spec, tensor, part->of_enqueue - rows);
    return true;
}

/* Where in the memory the part's first element lies. Parameters have all their rows in each. */
static uint64_t start_of(const anynorm_spec *spec, const anynorm_tensors *tensors,
                         enum an_tensor tensor, uint64_t first)
{
    uint64_t offset = an_tensor_buffer(tensors, tensor)->offset;
    bool parameters = an_tensor_shape(tensor) == AN_OF_PARAMETERS;
    return parameters ? offset : offset + an_tensor_start(spec, tensor, first);
}

/* Bytes to bind for a part, whole words; false where that is too far. */
static bool find_range(const struct an_vulkan_device *d, const anynorm_spec *spec,
                       enum an_tensor tensor, uint64_t start, const struct range *part,
                       uint64_t *bytes)
{
    uint64_t extent, lead = start % d->features.offset_alignment;
    if (!find_extent(spec, tensor, part, &extent) || extent > most_range(d))
        return false;
    *bytes = (lead + extent + 3) & ~(uint64_t)3;
    return *bytes <= most_range(d);
}

/* The part of `rows` rows; false where one of its tensors reaches too far. */
static bool fill(const struct an_vulkan_device *d, const struct an_norm *norm, uint64_t first,
                 uint64_t rows, struct an_part *part)
{
    const anynorm_spec *spec = &norm->plan->head.spec;
    const struct range range = {first, rows, norm->stretch.rows, norm->stretch.of_rows};
    part->rows = rows;
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor tensor = (enum an_tensor)i;
        if (!an_tensor_expect(spec, tensor).present)
            continue;
        uint64_t start = start_of(spec, norm->tensors, tensor, first), bytes;
        uint64_t lead = start % d->features.offset_alignment;
        if (!find_range(d, spec, tensor, start, &range, &bytes))
            return false;
        VkBuffer memory = an_vulkan_buffer(an_tensor_buffer(norm->tensors, tensor));
        part->buffers[i] = (VkDescriptorBufferInfo){memory, start - lead, bytes};
        part->offset[i] = (uint32_t)lead;
    }
    return true;
}

/* The most of `rows` rows that are within reach, where not all are: whole outer rows from the start
 * of one on, or rows of one. */
static uint64_t count_rows(const struct an_vulkan_device *d, const struct an_norm *norm,
                           uint64_t first, uint64_t rows)
{
    struct an_part tried;
    uint64_t inner = norm->plan->head.spec.inner_rows, unit = 1;
    if (inner > 0 && rows > inner) {
        if (inner <= MOST_ROWS && fill(d, norm, first, inner, &tried))
            unit = inner;
        else
            rows = inner;
    }
    uint64_t low = 0, high = an_least(rows, MOST_ROWS) / unit + 1; /* low units fit, high do not */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (fill(d, norm, first, middle * unit, &tried))
            low = middle;
        else
            high = middle;
    }
    return low * unit;
}

/* The part of the norm's tensors for its rows from `first` on. UNSUPPORTED where not even one row
 * lies within what a kernel reaches. */
static anynorm_status find_part(const struct an_vulkan_device *d, const struct an_norm *norm,
                                uint64_t first, struct an_part *part)
{
    const anynorm_spec *spec = &norm->plan->head.spec;
    uint64_t rows = norm->stretch.rows - first, inner = spec->inner_rows;
    if (spec->sample_rows > MOST_ROWS) /* more than 32 bits may hold */
        rows = an_least(rows, spec->sample_rows - first % spec->sample_rows);
    if (inner > 0 && first % inner != 0)
        rows = an_least(rows, inner - first % inner);
    if (rows <= MOST_ROWS && fill(d, norm, first, rows, part))
        return ANYNORM_OK;
    uint64_t fewer = count_rows(d, norm, first, rows);
    if (fewer > 0 && fill(d, norm, first, fewer, part))
        return ANYNORM_OK;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "%s: a row, the parameters, or the partials of all shards reach further than "
                   "the %" PRIu64 " bytes that a kernel reaches of a buffer",
                   d->head.info.id, most_range(d));
}

anynorm_status an_vulkan_row_check(const struct an_vulkan_device *d, const anynorm_spec *spec)
{
    const struct range row = {0, 1, 1, 1};
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor tensor = (enum an_tensor)i;
        uint64_t bytes;
        if (an_tensor_expect(spec, tensor).present && !find_range(d, spec, tensor, 0, &row, &bytes))
            return an_fail(ANYNORM_UNSUPPORTED,
                           "a row of %s reaches further than the %" PRIu64
                           " bytes that a kernel reaches of a buffer",
                           an_tensor_name(tensor), most_range(d));
    }
    return ANYNORM_OK;
}

/* ---- Preparing ---- */

/* The parts of the call's rows whose sums are taken. */
static anynorm_status prepare_sums(const struct an_vulkan_device *d, struct an_norm *norm)
{
    const anynorm_spec *spec = &norm->plan->head.spec;
    uint64_t rows = norm->stretch.of_rows;
    if ((spec->gradients.flags & AN_ROW_SUMS) && rows > MOST_ROWS)
        return an_fail(ANYNORM_UNSUPPORTED,
                       "%s: sums over %" PRIu64 " rows: a kernel counts no more than %" PRIu64
                       "; fewer rows, and ACCUMULATE, do",
                       d->head.info.id, rows, MOST_ROWS);
    norm->of_sums = an_gradient_parts(spec, rows);
    return an_backward_check(&d->head.info, spec, &norm->plan->head.choice, &norm->of_sums,
                             &norm->stretch);
}

anynorm_status an_norm_prepare(const struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                               const anynorm_tensors *tensors, const struct an_stretch *stretch,
                               struct an_norm *norm)
{
    uint64_t rows = stretch->rows;
    *norm = (struct an_norm){.plan = plan, .tensors = tensors, .stretch = *stretch};
    norm->moments = (VkDescriptorBufferInfo){plan->kernel->moments.buffer, 0, VK_WHOLE_SIZE};
    for (uint64_t first = 0; first < rows; norm->parts++) {
        struct an_part later, *part = first == 0 ? &norm->first : &later;
        anynorm_status status = find_part(d, norm, first, part);
        if (status != ANYNORM_OK)
            return status;
        first += part->rows;
    }
    norm->split = norm->parts == 1 && rows <= plan->split_rows;
    return rows > 0 && an_spec_backward(&plan->head.spec) ? prepare_sums(d, norm) : ANYNORM_OK;
}

void an_norm_prepare_empty(const struct an_vulkan_plan *plan, VkBuffer any, struct an_norm *norm)
{
    *norm = (struct an_norm){.plan = plan, .parts = 1, .of_sums = {.rows = 1, .span = 1}};
    norm->moments = (VkDescriptorBufferInfo){plan->kernel->moments.buffer, 0, VK_WHOLE_SIZE};
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        norm->first.buffers[i] = (VkDescriptorBufferInfo){any, 0, 4};
}

/* ---- Recording ---- */

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

/* Makes the buffers of a part, and row_split's scratch, those of the next dispatches. The set is
 * one that nothing yet recorded has. */
static void bind(struct an_vulkan_device *d, const struct an_norm *norm, const struct an_part *part,
                 VkCommandBuffer commands, VkDescriptorSet set)
{
    const struct an_interface *interface = &norm->plan->interface;
    VkPipelineLayout layout = d->layouts[interface->slots];
    VkDescriptorBufferInfo bound[AN_MOST_SLOTS];
    for (int i = 0; i < AN_BUFFER_COUNT; i++) {
        if (interface->slot[i] != UINT32_MAX)
            bound[interface->slot[i]] = i == AN_MOMENTS ? norm->moments : part->buffers[i];
    }
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = set,
                                        .descriptorCount = interface->slots,
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = bound};
    if (d->features.push_descriptors) {
        d->vk.vkCmdPushDescriptorSetKHR(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1,
                                        &write);
    } else {
        d->vk.vkUpdateDescriptorSets(d->handle, 1, &write, 0, NULL);
        d->vk.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set,
                                      0, NULL);
    }
}

static void dispatch_groups(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                            VkCommandBuffer commands, struct an_push *push, uint32_t stage,
                            uint64_t groups)
{
    push->stage = stage;
    d->vk.vkCmdPushConstants(commands, d->layouts[plan->interface.slots],
                             VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(*push), push);
    d->vk.vkCmdDispatch(commands, (uint32_t)groups, 1, 1);
}

static void dispatch(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                     VkCommandBuffer commands, struct an_push *push, enum an_stage stage)
{
    uint64_t pieces = push->rows * (stage == AN_STAGE_WHOLE ? 1 : plan->segments);
    uint64_t groups =
        pieces == 0 ? 1 : an_grid_groups(&d->head.info, &plan->head.spec, &plan->choice, pieces);
    dispatch_groups(d, plan, commands, push, stage, groups);
}

/* Gradients of the rows of a part, those of the norm's from `first` on: the rows, then the sums
 * that end with them, where there are any that the first dispatch has not finished. */
static void dispatch_backward(struct an_vulkan_device *d, const struct an_norm *norm,
                              uint64_t first, VkCommandBuffer commands, struct an_push *push)
{
    const struct an_vulkan_plan *plan = norm->plan;
    const anynorm_spec *spec = &plan->head.spec;
    bool sums = spec->gradients.flags & AN_ROW_SUMS;
    struct an_stretch stretch = {norm->stretch.first + first, push->rows, norm->stretch.of_rows};
    struct an_parts parts = norm->of_sums;
    if (!sums) { /* then rows are on their own */
        stretch = an_stretch_whole(push->rows);
        parts = an_gradient_parts(spec, push->rows > 0 ? push->rows : 1);
    }
    uint32_t bits = (parts.compensated ? AN_STAGE_COMPENSATED : 0) |
                    (parts.sample_rows > 0 ? AN_STAGE_WHOLE_SAMPLES : 0);
    push->parts = (uint32_t)parts.count;
    push->part_rows = (uint32_t)parts.rows;
    push->span = (uint32_t)parts.span;
    push->first_row = (uint32_t)stretch.first;
    push->all_rows = (uint32_t)stretch.of_rows;
    if (sums && first > 0) /* parts are continued */
        an_commands_order(d, commands);
    uint64_t here = push->rows == 0 ? 1 : an_gradient_parts_within(&parts, &stretch);
    dispatch_groups(d, plan, commands, push, AN_STAGE_ROWS_OF_PARTS | bits,
                    an_part_groups(&d->head.info, &plan->choice, here));
    if (push->rows == 0 || !an_gradient_finishes(spec, &parts, &stretch))
        return;
    an_commands_order(d, commands);
    dispatch_groups(d, plan, commands, push, AN_STAGE_SUMS_OF_PARTS | bits,
                    an_sum_groups(&d->head.info, spec, &plan->choice, &parts));
}

/* The rows of a part, those of the norm's from `first` on. */
static void record_part(struct an_vulkan_device *d, const struct an_norm *norm,
                        const struct an_part *part, uint64_t first, VkCommandBuffer commands,
                        VkDescriptorSet set)
{
    const struct an_vulkan_plan *plan = norm->plan;
    const anynorm_spec *spec = &plan->head.spec;
    struct an_push push = {.rows = (uint32_t)part->rows,
                           .parameter_first = (uint32_t)(first % spec->parameters.rows),
                           .shard_rows = (uint32_t)norm->stretch.rows};
    if (spec->sample_rows <= UINT32_MAX)
        push.sample_first = (uint32_t)(first % spec->sample_rows);
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        if (plan->interface.slot[i] != UINT32_MAX)
            push.offset[plan->interface.slot[i]] = part->offset[i];
    }
    bind(d, norm, part, commands, set);
    if (an_spec_backward(spec)) {
        dispatch_backward(d, norm, first, commands, &push);
        return;
    }
    if (norm->split && !(spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_INPUT))) {
        dispatch(d, plan, commands, &push, AN_STAGE_PARTIALS);
        an_commands_order(d, commands);
    }
    dispatch(d, plan, commands, &push, norm->split ? AN_STAGE_FINISH : AN_STAGE_WHOLE);
}

void an_norm_record(struct an_vulkan_device *d, const struct an_norm *norm,
                    VkCommandBuffer commands, an_next_set *next_set, void *sets)
{
    uint64_t first = 0;
    d->vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, norm->plan->kernel->pipeline);
    for (uint64_t i = 0; i < norm->parts; i++) {
        struct an_part later;
        const struct an_part *part = i == 0 ? &norm->first : &later;
        if (i > 0)
            (void)find_part(d, norm, first, &later); /* as when it was prepared */
        record_part(d, norm, part, first, commands,
                    d->features.push_descriptors ? VK_NULL_HANDLE : next_set(sets));
        first += part->rows;
    }
}
