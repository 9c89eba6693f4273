#include "vulkan_fault_table.h"

#include <stdio.h>

#include "vulkan/vulkan_backend.h"

struct vulkan_fault vulkan_fault;

static struct VolkDeviceTable inner;
static long live;
static unsigned long injected[2], struck; /* those that strike once, and those that stay */

/* The code to fail the present call with, or VK_SUCCESS. */
static VkResult strike(const char *call)
{
    struct vulkan_fault *fault = &vulkan_fault;
    fault->calls++;
    if (fault->at == 0 || fault->calls < fault->at || (fault->calls > fault->at && !fault->sticky))
        return VK_SUCCESS;
    fault->call = call;
    injected[fault->sticky] += fault->calls == fault->at;
    struck++;
    return fault->code;
}

/* Counts what a call has made. */
static VkResult made(VkResult result)
{
    live += result == VK_SUCCESS;
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_buffer(VkDevice a, const VkBufferCreateInfo *b,
                                                    const VkAllocationCallbacks *c, VkBuffer *d)
{
    VkResult result = strike("vkCreateBuffer");
    return result ? result : made(inner.vkCreateBuffer(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate_memory(VkDevice a, const VkMemoryAllocateInfo *b,
                                                      const VkAllocationCallbacks *c,
                                                      VkDeviceMemory *d)
{
    VkResult result = strike("vkAllocateMemory");
    return result ? result : made(inner.vkAllocateMemory(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL bind_memory(VkDevice a, VkBuffer b, VkDeviceMemory c,
                                                  VkDeviceSize d)
{
    VkResult result = strike("vkBindBufferMemory");
    return result ? result : inner.vkBindBufferMemory(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL map_memory(VkDevice a, VkDeviceMemory b, VkDeviceSize c,
                                                 VkDeviceSize d, VkMemoryMapFlags e, void **f)
{
    VkResult result = strike("vkMapMemory");
    return result ? result : inner.vkMapMemory(a, b, c, d, e, f);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_fence(VkDevice a, const VkFenceCreateInfo *b,
                                                   const VkAllocationCallbacks *c, VkFence *d)
{
    VkResult result = strike("vkCreateFence");
    return result ? result : made(inner.vkCreateFence(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_for_fences(VkDevice a, uint32_t b, const VkFence *c,
                                                      VkBool32 d, uint64_t e)
{
    VkResult result = strike("vkWaitForFences");
    return result ? result : inner.vkWaitForFences(a, b, c, d, e);
}

static VKAPI_ATTR VkResult VKAPI_CALL reset_fences(VkDevice a, uint32_t b, const VkFence *c)
{
    VkResult result = strike("vkResetFences");
    return result ? result : inner.vkResetFences(a, b, c);
}

static VKAPI_ATTR VkResult VKAPI_CALL fence_status(VkDevice a, VkFence b)
{
    VkResult result = strike("vkGetFenceStatus");
    return result ? result : inner.vkGetFenceStatus(a, b);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate_commands(VkDevice a,
                                                        const VkCommandBufferAllocateInfo *b,
                                                        VkCommandBuffer *c)
{
    VkResult result = strike("vkAllocateCommandBuffers");
    return result ? result : inner.vkAllocateCommandBuffers(a, b, c);
}

static VKAPI_ATTR VkResult VKAPI_CALL begin_commands(VkCommandBuffer a,
                                                     const VkCommandBufferBeginInfo *b)
{
    VkResult result = strike("vkBeginCommandBuffer");
    return result ? result : inner.vkBeginCommandBuffer(a, b);
}

/* Ends them, whatever it tells: what is being recorded could not be begun anew. */
static VKAPI_ATTR VkResult VKAPI_CALL end_commands(VkCommandBuffer a)
{
    VkResult result = strike("vkEndCommandBuffer"), ended = inner.vkEndCommandBuffer(a);
    return result ? result : ended;
}

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue a, uint32_t b, const VkSubmitInfo *c,
                                             VkFence d)
{
    VkResult result = strike("vkQueueSubmit");
    return result ? result : inner.vkQueueSubmit(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_queries(VkDevice a, const VkQueryPoolCreateInfo *b,
                                                     const VkAllocationCallbacks *c, VkQueryPool *d)
{
    VkResult result = strike("vkCreateQueryPool");
    return result ? result : made(inner.vkCreateQueryPool(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL query_results(VkDevice a, VkQueryPool b, uint32_t c,
                                                    uint32_t d, size_t e, void *f, VkDeviceSize g,
                                                    VkQueryResultFlags h)
{
    VkResult result = strike("vkGetQueryPoolResults");
    return result ? result : inner.vkGetQueryPoolResults(a, b, c, d, e, f, g, h);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pool(VkDevice a, const VkDescriptorPoolCreateInfo *b,
                                                  const VkAllocationCallbacks *c,
                                                  VkDescriptorPool *d)
{
    VkResult result = strike("vkCreateDescriptorPool");
    return result ? result : made(inner.vkCreateDescriptorPool(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate_sets(VkDevice a,
                                                    const VkDescriptorSetAllocateInfo *b,
                                                    VkDescriptorSet *c)
{
    VkResult result = strike("vkAllocateDescriptorSets");
    return result ? result : inner.vkAllocateDescriptorSets(a, b, c);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_set_layout(VkDevice a,
                                                        const VkDescriptorSetLayoutCreateInfo *b,
                                                        const VkAllocationCallbacks *c,
                                                        VkDescriptorSetLayout *d)
{
    VkResult result = strike("vkCreateDescriptorSetLayout");
    return result ? result : made(inner.vkCreateDescriptorSetLayout(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL create_layout(VkDevice a, const VkPipelineLayoutCreateInfo *b,
                                                    const VkAllocationCallbacks *c,
                                                    VkPipelineLayout *d)
{
    VkResult result = strike("vkCreatePipelineLayout");
    return result ? result : made(inner.vkCreatePipelineLayout(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL create_module(VkDevice a, const VkShaderModuleCreateInfo *b,
                                                    const VkAllocationCallbacks *c,
                                                    VkShaderModule *d)
{
    VkResult result = strike("vkCreateShaderModule");
    return result ? result : made(inner.vkCreateShaderModule(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice a, VkPipelineCache b, uint32_t c,
                                                       const VkComputePipelineCreateInfo *d,
                                                       const VkAllocationCallbacks *e,
                                                       VkPipeline *f)
{
    VkResult result = strike("vkCreateComputePipelines");
    return result ? result : made(inner.vkCreateComputePipelines(a, b, c, d, e, f));
}

static VKAPI_ATTR VkResult VKAPI_CALL create_cache(VkDevice a, const VkPipelineCacheCreateInfo *b,
                                                   const VkAllocationCallbacks *c,
                                                   VkPipelineCache *d)
{
    VkResult result = strike("vkCreatePipelineCache");
    return result ? result : made(inner.vkCreatePipelineCache(a, b, c, d));
}

static VKAPI_ATTR VkResult VKAPI_CALL cache_data(VkDevice a, VkPipelineCache b, size_t *c, void *d)
{
    VkResult result = strike("vkGetPipelineCacheData");
    return result ? result : inner.vkGetPipelineCacheData(a, b, c, d);
}

static VKAPI_ATTR VkResult VKAPI_CALL reset_pool(VkDevice a, VkDescriptorPool b,
                                                 VkDescriptorPoolResetFlags c)
{
    VkResult result = strike("vkResetDescriptorPool");
    return result ? result : inner.vkResetDescriptorPool(a, b, c);
}

/* ---- What must balance ---- */

static VKAPI_ATTR void VKAPI_CALL destroy_buffer(VkDevice a, VkBuffer b,
                                                 const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyBuffer(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL free_memory(VkDevice a, VkDeviceMemory b,
                                              const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkFreeMemory(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_fence(VkDevice a, VkFence b,
                                                const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyFence(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_queries(VkDevice a, VkQueryPool b,
                                                  const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyQueryPool(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_pool(VkDevice a, VkDescriptorPool b,
                                               const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyDescriptorPool(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_set_layout(VkDevice a, VkDescriptorSetLayout b,
                                                     const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyDescriptorSetLayout(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_layout(VkDevice a, VkPipelineLayout b,
                                                 const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyPipelineLayout(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_module(VkDevice a, VkShaderModule b,
                                                 const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyShaderModule(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_pipeline(VkDevice a, VkPipeline b,
                                                   const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyPipeline(a, b, c);
}

static VKAPI_ATTR void VKAPI_CALL destroy_cache(VkDevice a, VkPipelineCache b,
                                                const VkAllocationCallbacks *c)
{
    live -= b != VK_NULL_HANDLE;
    inner.vkDestroyPipelineCache(a, b, c);
}

void vulkan_faults_install(anynorm_device *device)
{
    struct VolkDeviceTable *vk = &an_vulkan(device)->vk;
    inner = *vk;
    vk->vkCreateBuffer = create_buffer;
    vk->vkAllocateMemory = allocate_memory;
    vk->vkBindBufferMemory = bind_memory;
    vk->vkMapMemory = map_memory;
    vk->vkCreateFence = create_fence;
    vk->vkWaitForFences = wait_for_fences;
    vk->vkResetFences = reset_fences;
    vk->vkGetFenceStatus = fence_status;
    vk->vkAllocateCommandBuffers = allocate_commands;
    vk->vkBeginCommandBuffer = begin_commands;
    vk->vkEndCommandBuffer = end_commands;
    vk->vkQueueSubmit = submit;
    vk->vkCreateQueryPool = create_queries;
    vk->vkGetQueryPoolResults = query_results;
    vk->vkCreateDescriptorPool = create_pool;
    vk->vkAllocateDescriptorSets = allocate_sets;
    vk->vkCreateDescriptorSetLayout = create_set_layout;
    vk->vkCreatePipelineLayout = create_layout;
    vk->vkCreateShaderModule = create_module;
    vk->vkCreateComputePipelines = create_pipelines;
    vk->vkCreatePipelineCache = create_cache;
    vk->vkGetPipelineCacheData = cache_data;
    vk->vkResetDescriptorPool = reset_pool;
    vk->vkDestroyBuffer = destroy_buffer;
    vk->vkFreeMemory = free_memory;
    vk->vkDestroyFence = destroy_fence;
    vk->vkDestroyQueryPool = destroy_queries;
    vk->vkDestroyDescriptorPool = destroy_pool;
    vk->vkDestroyDescriptorSetLayout = destroy_set_layout;
    vk->vkDestroyPipelineLayout = destroy_layout;
    vk->vkDestroyShaderModule = destroy_module;
    vk->vkDestroyPipeline = destroy_pipeline;
    vk->vkDestroyPipelineCache = destroy_cache;
}

void vulkan_faults_start(unsigned long at)
{
    vulkan_fault.at = at;
    vulkan_fault.calls = 0;
    vulkan_fault.call = NULL;
}

long vulkan_faults_live(void)
{
    return live;
}

const struct VolkDeviceTable *vulkan_faults_real(void)
{
    return &inner;
}

void vulkan_faults_print(void)
{
    fprintf(stderr, "Vulkan: faults injected: %lu once, %lu sticky; calls failed: %lu\n",
            injected[false], injected[true], struck);
}
