/* Kernels: pipelines of a module with its constants, compiled by the driver or taken from a
 * pipeline cache, that plans share. Those that no plan has any longer are kept for a while, since
 * the next plan is often one that there was before. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "store/cache.h"
#include "base/log.h"
#include "spec/spec.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* ---- The module ---- */

const struct an_module *an_vulkan_module(const anynorm_device_info *info, const anynorm_spec *spec,
                                         const struct an_choice *choice)
{
    uint32_t variant = 0;
    bool halves = an_interface_has(spec, ANYNORM_F16) || an_interface_has(spec, ANYNORM_BF16);
    if (info->storage16 && halves)
        variant |= AN_MODULE_STORAGE16;
    if (an_spec_double(spec))
        variant |= AN_MODULE_ACC_DOUBLE;
    if (choice->subgroup > 0)
        variant |= AN_MODULE_SUBGROUPS;
    return an_vulkan_module_named(an_schedule_file(choice->schedule, spec), variant);
}

const struct an_module *an_vulkan_module_named(const char *name, uint32_t variant)
{
    for (const struct an_module *m = an_modules; m->name; m++) {
        if (m->variant == (variant & m->known) && strcmp(m->name, name) == 0)
            return m;
    }
    return NULL;
}

/* ---- The pipeline ---- */

/* The layouts of a kernel with so many buffers. The device's lock is held. */
static anynorm_status make_layouts(struct an_vulkan_device *d, uint32_t slots)
{
    const VkDescriptorSetLayoutBinding binding = {.descriptorType =
                                                      VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                  .descriptorCount = slots,
                                                  .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .flags = d->features.push_descriptors
                     ? VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR
                     : 0,
        .bindingCount = 1,
        .pBindings = &binding};
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(struct an_push)};
    VkResult result = VK_SUCCESS;
    if (!d->set_layouts[slots])
        result = d->vk.vkCreateDescriptorSetLayout(d->handle, &set, NULL, &d->set_layouts[slots]);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkCreateDescriptorSetLayout");
    const VkPipelineLayoutCreateInfo layout = {.sType =
                                                   VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &d->set_layouts[slots],
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &push};
    if (!d->layouts[slots])
        result = d->vk.vkCreatePipelineLayout(d->handle, &layout, NULL, &d->layouts[slots]);
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkCreatePipelineLayout");
}

/* *missed: the driver says that the kernel's cache had no such pipeline. */
static VkResult make_pipeline(struct an_vulkan_device *d, const struct an_interface *interface,
                              const struct an_choice *choice, VkShaderModule module,
                              struct an_kernel *kernel, bool *missed)
{
    const VkPipelineCreationFeedbackFlags
        valid = VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT,
        hit = VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT;
    VkPipelineCreationFeedback whole = {0}, stage = {0};
    const VkPipelineCreationFeedbackCreateInfo feedback = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO,
        .pPipelineCreationFeedback = &whole,
        .pipelineStageCreationFeedbackCount = 1,
        .pPipelineStageCreationFeedbacks = &stage};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = (uint32_t)choice->subgroup};
    bool sized = choice->subgroup > 1;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .pNext = d->features.creation_feedback ? &feedback : NULL,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = sized && d->features.size_choice ? &size : NULL,
                  .flags = sized ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"},
        .layout = d->layouts[interface->slots]};
    VkResult result =
        d->vk.vkCreateComputePipelines(d->handle, kernel->cache, 1, &info, NULL, &kernel->pipeline);
    *missed = result == VK_SUCCESS && (whole.flags & valid) && !(whole.flags & hit);
    return result;
}

/* The words are the driver's once it has made a module of them. */
static anynorm_status make_module(struct an_vulkan_device *d, const struct an_module *source,
                                  const struct an_interface *interface, VkShaderModule *module)
{
    bool rounds = d->features.rounds_halves && interface->constants[AN_CONSTANT_HALF_STORES];
    size_t bytes = source->bytes + (rounds ? AN_MODULE_ROUNDING_WORDS * sizeof(uint32_t) : 0);
    uint32_t *words = malloc(bytes);
    if (!words)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a kernel's SPIR-V");
    an_module_write(source, words);
    if (rounds)
        an_module_round_halves(words, source->bytes / sizeof(*words));
    size_t count = an_module_specialize(words, bytes / sizeof(*words), interface->constants);
    if (count == 0) {
        free(words);
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory to specialize a kernel");
    }
    const VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                           .codeSize = count * sizeof(*words),
                                           .pCode = words};
    VkResult result = d->vk.vkCreateShaderModule(d->handle, &info, NULL, module);
    free(words);
    return result == VK_SUCCESS ? ANYNORM_OK : an_vk_fail(result, "vkCreateShaderModule");
}

static anynorm_status compile(struct an_vulkan_device *d, const struct an_interface *interface,
                              const struct an_choice *choice, const struct an_module *source,
                              struct an_kernel *kernel, bool *missed)
{
    VkShaderModule module;
    an_mutex_lock(&d->lock);
    anynorm_status status = make_layouts(d, interface->slots);
    an_mutex_unlock(&d->lock);
    if (status == ANYNORM_OK)
        status = make_module(d, source, interface, &module);
    if (status != ANYNORM_OK)
        return status;
    VkResult result = make_pipeline(d, interface, choice, module, kernel, missed);
    d->vk.vkDestroyShaderModule(d->handle, module, NULL);
    if (result == VK_SUCCESS)
        return ANYNORM_OK;
    status = an_vk_fail(result, "vkCreateComputePipelines");
    if (status != ANYNORM_DEVICE_LOST || result == VK_ERROR_DEVICE_LOST)
        return status;
    return an_fail(ANYNORM_BUILD_FAILED, "vkCreateComputePipelines failed with %s (%d)",
                   an_vk_name(result), (int)result);
}

/* ---- The pipeline cache ---- */

/* What a pipeline depends on. It points to its arguments and itself. */
struct pipeline_key {
    struct an_key key;
    struct an_key_part parts[8];
    VkPhysicalDeviceProperties device;
};

static void make_key(const struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                     struct pipeline_key *made)
{
    static const unsigned char pointer_bytes = sizeof(void *);
    const struct an_module *module = plan->module;
    d->instance.vkGetPhysicalDeviceProperties(d->physical, &made->device);
    const struct an_key_part parts[] = {
        {"version of anynorm", ANYNORM_VERSION, strlen(ANYNORM_VERSION)},
        {"pointer size", &pointer_bytes, sizeof(pointer_bytes)},
        {"device", made->device.deviceName, strlen(made->device.deviceName)},
        {"driver version", &made->device.driverVersion, sizeof(made->device.driverVersion)},
        {"pipeline cache", made->device.pipelineCacheUUID, VK_UUID_SIZE},
        {"schedule", module->name, strlen(module->name)},
        {"set of constants", plan->head.options, strlen(plan->head.options)},
        {"kernel", &module->hash, sizeof(module->hash)},
    };
    memcpy(made->parts, parts, sizeof(parts));
    made->key = (struct an_key){made->parts, COUNT(parts)};
}

/* With the data of an intact binary; NULL: empty. A driver refuses data of another device's. */
static anynorm_status make_cache(struct an_vulkan_device *d, const void *binary,
                                 VkPipelineCache *cache)
{
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    if (binary)
        info.pInitialData = an_binary_program(binary, &info.initialDataSize);
    VkResult result = d->vk.vkCreatePipelineCache(d->handle, &info, NULL, cache);
    if (result == VK_SUCCESS)
        return ANYNORM_OK;
    *cache = VK_NULL_HANDLE;
    return an_vk_fail(result, "vkCreatePipelineCache");
}

/* What the driver has put into the cache, packed: to be freed. */
static anynorm_status pack(struct an_vulkan_device *d, const struct an_kernel *kernel,
                           const struct an_key *key, const char *label, void **packed, size_t *size)
{
    size_t data_size = 0;
    *packed = NULL;
    *size = 0;
    VkResult result = d->vk.vkGetPipelineCacheData(d->handle, kernel->cache, &data_size, NULL);
    if (result != VK_SUCCESS)
        return an_vk_fail(result, "vkGetPipelineCacheData");
    void *data = malloc(data_size ? data_size : 1);
    if (!data)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a binary");
    anynorm_status status = ANYNORM_OK;
    result = d->vk.vkGetPipelineCacheData(d->handle, kernel->cache, &data_size, data);
    *size = an_binary_size(key, data_size);
    if (result == VK_SUCCESS)
        *packed = malloc(*size);
    if (result != VK_SUCCESS)
        status = an_vk_fail(result, "vkGetPipelineCacheData");
    else if (!*packed)
        status = an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a binary");
    else
        an_binary_pack(key, label, data, data_size, *packed);
    free(data);
    return status;
}

/* Keeps what the driver compiled, where that is more than the header of its data. */
static void save(struct an_vulkan_device *d, const struct an_kernel *kernel,
                 const struct an_key *key, const struct an_cache *folder)
{
    void *packed;
    size_t size, data_size;
    if (pack(d, kernel, key, "", &packed, &size) != ANYNORM_OK)
        return;
    (void)an_binary_program(packed, &data_size);
    if (data_size > sizeof(VkPipelineCacheHeaderVersionOne))
        an_cache_store(folder, key, packed, size);
    free(packed);
}

anynorm_status an_vulkan_binary_check(const struct an_vulkan_device *d,
                                      const struct an_vulkan_plan *plan, const void *binary)
{
    struct pipeline_key key;
    make_key(d, plan, &key);
    const char *mismatch = an_binary_mismatch(binary, &key.key);
    if (mismatch)
        return an_fail(ANYNORM_UNSUPPORTED, "the plan's binary was made for another %s than %s has",
                       mismatch, d->head.info.id);
    return ANYNORM_OK;
}

/* From the data of a binary, or from none. */
static anynorm_status make(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                           const struct an_choice *choice, const void *binary,
                           struct an_kernel *kernel, bool *missed)
{
    anynorm_status status = make_cache(d, binary, &kernel->cache);
    if (status == ANYNORM_OK)
        status = compile(d, &plan->interface, choice, plan->module, kernel, missed);
    return status;
}

/* A driver may refuse data that it once gave, or fail to compile with it: all there is for a second
 * try without. */
static void forget_cache(struct an_vulkan_device *d, struct an_kernel *kernel)
{
    an_log(ANYNORM_LOG_DEBUG, "%s: the driver refuses a binary: %s", d->head.info.id,
           anynorm_message());
    d->vk.vkDestroyPipelineCache(d->handle, kernel->cache, NULL);
    kernel->cache = VK_NULL_HANDLE;
}

/* The kernel's pipeline and its cache, filled from `binary` or, where that is NULL, from the
 * folder. On failure the kernel is as it may be destroyed. */
static anynorm_status make_cached(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                                  const struct an_choice *choice, const void *binary,
                                  struct an_kernel *kernel)
{
    struct pipeline_key key;
    struct an_cache folder;
    void *kept = NULL;
    bool missed = false;
    make_key(d, plan, &key);
    bool cached = !binary && d->cached && an_cache_open(&folder);
    if (cached)
        kept = an_cache_load(&folder, &key.key);
    const void *given = binary ? binary : kept;
    anynorm_status status = make(d, plan, choice, given, kernel, &missed);
    if (status != ANYNORM_OK && given) {
        if (kept)
            an_cache_remove(&folder, &key.key);
        forget_cache(d, kernel);
        status = make(d, plan, choice, NULL, kernel, &missed);
        missed = true;
    }
    /* What is kept, intact as it is, may be of no use to a driver that has since changed. */
    if (status == ANYNORM_OK && cached && (!kept || missed))
        save(d, kernel, &key.key, &folder);
    if (cached)
        an_cache_close(&folder);
    free(kept);
    return status;
}

anynorm_status an_vulkan_plan_binary(anynorm_plan *plan, void **packed, size_t *size)
{
    struct an_vulkan_device *d = an_vulkan(plan->device);
    struct pipeline_key key;
    char label[AN_BINARY_LABEL];
    make_key(d, an_vulkan_plan(plan), &key);
    an_choice_format(&plan->choice, label, sizeof(label));
    return pack(d, an_vulkan_plan(plan)->kernel, &key.key, label, packed, size);
}

/* ---- Kernels ---- */

#define MOST_IDLE 32

static void destroy(struct an_vulkan_device *d, struct an_kernel *kernel)
{
    d->vk.vkDestroyPipeline(d->handle, kernel->pipeline, NULL);
    d->vk.vkDestroyPipelineCache(d->handle, kernel->cache, NULL);
    an_vulkan_free(d, &kernel->moments);
    free(kernel);
}

/* With a reference more, or NULL. The lock is held. row_reread and row_split have the same
 * pipelines, but not as much scratch. */
static struct an_kernel *find(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                              uint64_t moments_bytes)
{
    struct an_kernel *k = d->kernels;
    while (k && (k->module != plan->module || k->moments_bytes < moments_bytes ||
                 memcmp(k->constants, plan->interface.constants, sizeof(k->constants)) != 0))
        k = k->next;
    if (k)
        k->references++;
    return k;
}

static anynorm_status make_kernel(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                                  const struct an_choice *choice, const void *binary,
                                  uint64_t moments_bytes, struct an_kernel **kernel)
{
    struct an_kernel *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a kernel");
    made->references = 1;
    made->module = plan->module;
    made->moments_bytes = moments_bytes;
    memcpy(made->constants, plan->interface.constants, sizeof(made->constants));
    anynorm_status status = make_cached(d, plan, choice, binary, made);
    if (status == ANYNORM_OK && moments_bytes > 0)
        status = an_vulkan_allocate(d, moments_bytes, false, &made->moments);
    if (status != ANYNORM_OK) {
        destroy(d, made);
        return status;
    }
    *kernel = made;
    return ANYNORM_OK;
}

anynorm_status an_kernel_take(struct an_vulkan_device *d, const struct an_vulkan_plan *plan,
                              const struct an_choice *choice, const void *binary,
                              uint64_t moments_bytes, struct an_kernel **kernel)
{
    anynorm_status status = ANYNORM_OK;
    /* Held while compiling: a second thread that wants the same kernel shall wait, not compile. */
    an_mutex_lock(&d->kernels_lock);
    an_mutex_lock(&d->lock);
    *kernel = find(d, plan, moments_bytes);
    an_mutex_unlock(&d->lock);
    if (!*kernel) {
        status = make_kernel(d, plan, choice, binary, moments_bytes, kernel);
        an_mutex_lock(&d->lock);
        if (status == ANYNORM_OK) {
            (*kernel)->next = d->kernels;
            d->kernels = *kernel;
        }
        an_mutex_unlock(&d->lock);
    }
    an_mutex_unlock(&d->kernels_lock);
    return status;
}

void an_kernel_release(struct an_vulkan_device *d, struct an_kernel *kernel)
{
    if (--kernel->references > 0)
        return;
    struct an_kernel **oldest = NULL;
    int idle = 0;
    for (struct an_kernel **k = &d->kernels; *k; k = &(*k)->next) {
        if ((*k)->references == 0) {
            oldest = k;
            idle++;
        }
    }
    if (idle > MOST_IDLE) {
        struct an_kernel *last = *oldest;
        *oldest = last->next;
        destroy(d, last);
    }
}

void an_kernels_free(struct an_vulkan_device *d)
{
    while (d->kernels) {
        struct an_kernel *kernel = d->kernels;
        d->kernels = kernel->next;
        destroy(d, kernel);
    }
}
