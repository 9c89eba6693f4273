/* Norms in a caller's command buffer, and recordings: what these commands need for as long as they
 * may run. */
#include <stdlib.h>

#include "vulkan/vulkan_backend.h" /* before vulkan.h: volk asks for headers without prototypes */
#include <anynorm/vulkan.h>

#include "base/status.h"

/* Of one descriptor pool; and the least bytes of a block of scratch. */
#define POOL_SETS 16
#define BLOCK_BYTES ((uint64_t)64 << 10)

struct an_set_pool {
    VkDescriptorPool pool;
    uint32_t used;
    struct an_set_pool *next;
};

struct an_scratch_block {
    struct an_vulkan_memory memory;
    uint64_t bytes, used;
    struct an_scratch_block *next;
};

struct anynorm_vulkan_recording {
    struct an_vulkan_device *device; /* which it keeps alive */
    struct an_set_pool *pools;
    struct an_scratch_block *blocks;
    VkDescriptorSet *sets; /* one for each part, in their order; none with push descriptors */
    size_t set_count, set_room;
    struct an_kernel **kernels; /* each once, with a reference */
    size_t kernel_count, kernel_room;
};

anynorm_status anynorm_vulkan_recording_create(anynorm_device *device,
                                               anynorm_vulkan_recording **recording)
{
    if (!an_is_vulkan(device))
        return an_not_vulkan();
    if (!recording)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "recording is NULL");
    anynorm_vulkan_recording *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a recording");
    made->device = an_vulkan(device);
    atomic_fetch_add(&device->references, 1);
    *recording = made;
    return ANYNORM_OK;
}

static void release_kernels(anynorm_vulkan_recording *recording)
{
    struct an_vulkan_device *d = recording->device;
    an_mutex_lock(&d->lock);
    for (size_t i = 0; i < recording->kernel_count; i++)
        an_kernel_release(d, recording->kernels[i]);
    an_mutex_unlock(&d->lock);
    recording->kernel_count = 0;
}

anynorm_status anynorm_vulkan_recording_reset(anynorm_vulkan_recording *recording)
{
    if (!recording)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "recording is NULL");
    struct an_vulkan_device *d = recording->device;
    release_kernels(recording);
    recording->set_count = 0;
    for (struct an_scratch_block *b = recording->blocks; b; b = b->next)
        b->used = 0;
    for (struct an_set_pool *p = recording->pools; p; p = p->next) {
        VkResult result = d->vk.vkResetDescriptorPool(d->handle, p->pool, 0);
        if (result != VK_SUCCESS)
            return an_vk_fail(result, "vkResetDescriptorPool");
        p->used = 0;
    }
    return ANYNORM_OK;
}

void anynorm_vulkan_recording_destroy(anynorm_vulkan_recording *recording)
{
    if (!recording)
        return;
    struct an_vulkan_device *d = recording->device;
    release_kernels(recording);
    while (recording->pools) {
        struct an_set_pool *pool = recording->pools;
        recording->pools = pool->next;
        d->vk.vkDestroyDescriptorPool(d->handle, pool->pool, NULL);
        free(pool);
    }
    while (recording->blocks) {
        struct an_scratch_block *block = recording->blocks;
        recording->blocks = block->next;
        an_vulkan_free(d, &block->memory);
        free(block);
    }
    free(recording->kernels);
    free(recording->sets);
    free(recording);
    anynorm_device_close(&d->head);
}

/* Makes room for one more; NULL where there is no memory, and then the old one stays. */
static void *grow(void *list, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return list;
    size_t wider = *room ? 2 * *room : 8;
    void *grown = realloc(list, wider * size);
    if (grown)
        *room = wider;
    return grown;
}

/* ---- What it keeps ---- */

static anynorm_status keep(anynorm_vulkan_recording *recording, struct an_kernel *kernel)
{
    struct an_vulkan_device *d = recording->device;
    for (size_t i = 0; i < recording->kernel_count; i++) {
        if (recording->kernels[i] == kernel)
            return ANYNORM_OK;
    }
    struct an_kernel **kernels = grow(recording->kernels, recording->kernel_count,
                                      &recording->kernel_room, sizeof(struct an_kernel *));
    if (!kernels)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a recording");
    recording->kernels = kernels;
    kernels[recording->kernel_count++] = kernel;
    an_mutex_lock(&d->lock);
    kernel->references++;
    an_mutex_unlock(&d->lock);
    return ANYNORM_OK;
}

/* Memory that nothing else recorded has. */
static anynorm_status take_scratch(anynorm_vulkan_recording *recording, uint64_t bytes,
                                   VkDescriptorBufferInfo *scratch)
{
    struct an_vulkan_device *d = recording->device;
    uint64_t step = d->features.offset_alignment;
    struct an_scratch_block *b = recording->blocks;
    bytes = (bytes + step - 1) / step * step;
    while (b && b->bytes - b->used < bytes)
        b = b->next;
    if (!b) {
        b = calloc(1, sizeof(*b));
        if (!b)
            return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a recording");
        b->bytes = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        anynorm_status status = an_vulkan_allocate(d, b->bytes, false, &b->memory);
        if (status != ANYNORM_OK) {
            free(b);
            return status;
        }
        b->next = recording->blocks;
        recording->blocks = b;
    }
    *scratch = (VkDescriptorBufferInfo){b->memory.buffer, b->used, bytes};
    b->used += bytes;
    return ANYNORM_OK;
}

static anynorm_status make_pool(anynorm_vulkan_recording *recording)
{
    struct an_vulkan_device *d = recording->device;
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                       POOL_SETS * AN_MOST_SLOTS};
    const VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = POOL_SETS,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    struct an_set_pool *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a recording");
    VkResult result = d->vk.vkCreateDescriptorPool(d->handle, &info, NULL, &made->pool);
    if (result != VK_SUCCESS) {
        free(made);
        return an_vk_fail(result, "vkCreateDescriptorPool");
    }
    made->next = recording->pools;
    recording->pools = made;
    return ANYNORM_OK;
}

static anynorm_status add_set(anynorm_vulkan_recording *recording, uint32_t slots)
{
    struct an_vulkan_device *d = recording->device;
    VkDescriptorSet *sets =
        grow(recording->sets, recording->set_count, &recording->set_room, sizeof(VkDescriptorSet));
    if (!sets)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a recording");
    recording->sets = sets;
    struct an_set_pool *pool = recording->pools;
    while (pool && pool->used == POOL_SETS)
        pool = pool->next;
    if (!pool) {
        anynorm_status status = make_pool(recording);
        if (status != ANYNORM_OK)
            return status;
        pool = recording->pools;
    }
    const VkDescriptorSetAllocateInfo info = {.sType =
                                                  VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = pool->pool,
                                              .descriptorSetCount = 1,
                                              .pSetLayouts = &d->set_layouts[slots]};
    VkResult result = d->vk.vkAllocateDescriptorSets(d->handle, &info, &sets[recording->set_count]);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkAllocateDescriptorSets");
    pool->used++;
    recording->set_count++;
    return ANYNORM_OK;
}

/* ---- Recording ---- */

static VkDescriptorSet next_set(void *left)
{
    const VkDescriptorSet **set = left;
    return *(*set)++;
}

/* All that can fail, so that the commands, which cannot, are recorded whole or not at all. Rows are
 * split as an enqueue would; but the scratch is the recording's, as other submissions, on any
 * queue, may use the kernel's. */
static anynorm_status prepare(anynorm_vulkan_recording *recording,
                              const struct an_vulkan_plan *plan, const anynorm_tensors *tensors,
                              uint64_t rows, struct an_norm *norm)
{
    struct an_vulkan_device *d = recording->device;
    const struct an_stretch stretch = an_stretch_whole(rows);
    anynorm_status status = keep(recording, plan->kernel);
    if (status == ANYNORM_OK)
        status = an_norm_prepare(d, plan, tensors, &stretch, norm);
    if (status == ANYNORM_OK && norm->split)
        status = take_scratch(recording, rows * plan->moments_row_bytes, &norm->moments);
    uint64_t sets = d->features.push_descriptors ? 0 : norm->parts;
    for (uint64_t i = 0; i < sets && status == ANYNORM_OK; i++)
        status = add_set(recording, plan->interface.slots);
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
    struct an_vulkan_device *d = recording->device;
    struct an_norm norm;
    size_t first_set = recording->set_count;
    anynorm_status status = an_tensors_check(&plan->spec, tensors, rows, plan->device->owner);
    if (status == ANYNORM_OK)
        status = prepare(recording, an_vulkan_plan(plan), tensors, rows, &norm);
    if (status != ANYNORM_OK)
        return status;
    const VkDescriptorSet *sets = recording->sets + first_set;
    if (norm.split)
        order_scratch(d, commands, &norm.moments);
    an_norm_record(d, &norm, commands, next_set, &sets);
    return ANYNORM_OK;
}
