/* Device memory: a buffer with an allocation of its own. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* Buffers are of whole words, since kernels reach memory by words. */
#define WORD 4

/* The first type of those `allowed` with all `wanted` properties; UINT32_MAX: none. */
static uint32_t find_type(const struct an_vulkan_device *d, uint32_t allowed,
                          VkMemoryPropertyFlags wanted)
{
    for (uint32_t i = 0; i < d->memory.memoryTypeCount; i++) {
        if ((allowed >> i & 1) && (d->memory.memoryTypes[i].propertyFlags & wanted) == wanted)
            return i;
    }
    return UINT32_MAX;
}

static uint32_t choose_type(const struct an_vulkan_device *d, uint32_t allowed, bool host_reaches)
{
    enum {
        LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
        HOST = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
        CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT
    };
    static const VkMemoryPropertyFlags reached[] = {LOCAL | HOST | CACHED, HOST | CACHED,
                                                    LOCAL | HOST, HOST};
    static const VkMemoryPropertyFlags own[] = {LOCAL, 0};
    const VkMemoryPropertyFlags *wishes = host_reaches ? reached : own;
    uint32_t type = UINT32_MAX;
    for (int i = 0; i < (host_reaches ? 4 : 2) && type == UINT32_MAX; i++)
        type = find_type(d, allowed, wishes[i]);
    return type;
}

static VkResult allocate(struct an_vulkan_device *d, uint64_t bytes, bool host_reaches,
                         struct an_vulkan_memory *memory, const char **call)
{
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = bytes + (WORD - bytes % WORD) % WORD,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                                     .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    *call = "vkCreateBuffer";
    VkResult result = d->vk.vkCreateBuffer(d->handle, &info, NULL, &memory->buffer);
    if (result != VK_SUCCESS)
        return result;
    VkMemoryRequirements needs;
    d->vk.vkGetBufferMemoryRequirements(d->handle, memory->buffer, &needs);
    const VkMemoryAllocateInfo allocation = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .allocationSize = needs.size,
        .memoryTypeIndex = choose_type(d, needs.memoryTypeBits, host_reaches)};
    *call = "vkAllocateMemory";
    if (allocation.memoryTypeIndex == UINT32_MAX)
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    result = d->vk.vkAllocateMemory(d->handle, &allocation, NULL, &memory->memory);
    if (result != VK_SUCCESS)
        return result;
    *call = "vkBindBufferMemory";
    result = d->vk.vkBindBufferMemory(d->handle, memory->buffer, memory->memory, 0);
    if (result != VK_SUCCESS || !host_reaches)
        return result;
    void *mapped = NULL;
    *call = "vkMapMemory";
    result = d->vk.vkMapMemory(d->handle, memory->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    memory->mapped = mapped;
    return result;
}

anynorm_status an_vulkan_allocate(struct an_vulkan_device *d, uint64_t bytes, bool host_reaches,
                                  struct an_vulkan_memory *memory)
{
    const char *call;
    *memory = (struct an_vulkan_memory){.mapped = NULL};
    VkResult result = allocate(d, bytes, host_reaches, memory, &call);
    if (result == VK_SUCCESS)
        return ANYNORM_OK;
    an_vulkan_free(d, memory);
    return an_vk_fail(result, call);
}

void an_vulkan_free(struct an_vulkan_device *d, struct an_vulkan_memory *memory)
{
    d->vk.vkDestroyBuffer(d->handle, memory->buffer, NULL);
    d->vk.vkFreeMemory(d->handle, memory->memory, NULL); /* which unmaps it */
    *memory = (struct an_vulkan_memory){.mapped = NULL};
}

anynorm_status an_vulkan_memory_create(anynorm_device *device, uint64_t bytes,
                                       anynorm_buffer *buffer)
{
    struct an_vulkan_device *d = an_vulkan(device);
    if (bytes > UINT64_MAX - WORD)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "%" PRIu64 " bytes are more than any device has",
                       bytes);
    struct an_vulkan_memory *memory = malloc(sizeof(*memory));
    if (!memory)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a buffer");
    anynorm_status status = an_vulkan_allocate(d, bytes, device->info.unified_memory, memory);
    if (status != ANYNORM_OK) {
        free(memory);
        return status;
    }
    *buffer = (anynorm_buffer){.bytes = bytes,
                               .handle = memory,
                               .root = memory,
                               .owner = device->owner,
                               .kind = AN_BUFFER_VK_OWNED};
    return ANYNORM_OK;
}

void an_vulkan_memory_destroy(anynorm_device *device, anynorm_buffer *buffer)
{
    if (buffer->kind != AN_BUFFER_VK_OWNED)
        return;
    an_vulkan_free(an_vulkan(device), buffer->handle);
    free(buffer->handle);
}

VkBuffer an_vulkan_buffer(const anynorm_buffer *buffer)
{
    if (buffer->kind == AN_BUFFER_VK)
        return (VkBuffer)(uintptr_t)buffer->handle;
    return ((const struct an_vulkan_memory *)buffer->handle)->buffer;
}

char *an_vulkan_mapped(const anynorm_buffer *buffer)
{
    if (buffer->kind == AN_BUFFER_VK)
        return NULL;
    return ((const struct an_vulkan_memory *)buffer->handle)->mapped;
}
