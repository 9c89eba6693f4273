/* Whether the device's own conversions of halves are trusted where they are right, and nowhere
 * else.
 *
 *     ANYNORM_TEST_DEVICE=vulkan:0   only this device
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "vulkan/spirv.h"
#include "vulkan/vulkan_backend.h"

/* Of the SPIR-V specification, beyond what the library uses of it, and of that of GLSL.std.450. */
enum {
    OP_EXT_INST = 12,
    PACK_UNORM_2X16 = 57,
    PACK_HALF_2X16 = 58,
    UNPACK_UNORM_2X16 = 61,
    UNPACK_HALF_2X16 = 62
};

static PFN_vkCreateShaderModule real_create;
static uint32_t replaced, replacement; /* numbers of instructions of GLSL.std.450 */
static int replacements, rounding_modes;

/* The driver's, of a module in which one instruction is another. */
static VKAPI_ATTR VkResult VKAPI_CALL create_module(VkDevice device,
                                                    const VkShaderModuleCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkShaderModule *module)
{
    VkShaderModuleCreateInfo changed = *info;
    size_t count = info->codeSize / sizeof(uint32_t);
    uint32_t *words = malloc(info->codeSize);
    assert_non_null(words);
    memcpy(words, info->pCode, info->codeSize);
    for (size_t at = SPIRV_HEADER_WORDS; at < count; at += words[at] >> 16) {
        uint32_t opcode = words[at] & 0xffff;
        if (opcode == OP_EXT_INST && words[at + 4] == replaced) {
            words[at + 4] = replacement;
            replacements++;
        }
        rounding_modes +=
            opcode == SPIRV_EXECUTION_MODE && words[at + 2] == SPIRV_MODE_ROUNDING_RTE;
    }
    changed.pCode = words;
    VkResult result = real_create(device, &changed, allocator, module);
    free(words);
    return result;
}

/* The test's device, which keeps nothing in the user's cache; NULL where it is not Vulkan's. */
static anynorm_device *open_vulkan(const char *id)
{
    if (strncmp(id, "vulkan:", 7) != 0)
        return NULL;
    anynorm_device *device = open_device(id);
    an_vulkan(device)->cached = false;
    return device;
}

/* What a device finds whose compiler takes one instruction for another: a device of its own, since
 * the kernel that asks is kept. */
static struct an_halves ask_with(const char *id, uint32_t instruction, uint32_t other)
{
    anynorm_device *device = open_vulkan(id);
    struct an_vulkan_device *d = an_vulkan(device);
    replaced = instruction;
    replacement = other;
    replacements = rounding_modes = 0;
    real_create = d->vk.vkCreateShaderModule;
    d->vk.vkCreateShaderModule = create_module;
    struct an_halves found;
    assert_ok(an_vulkan_halves_ask(d, &found));
    assert_int_equal(rounding_modes, d->features.rounds_halves);
    anynorm_device_close(device);
    return found;
}

/* Wrong ones are found out, each by itself. */
static void test_wrong(void **state)
{
    if (strncmp(*state, "vulkan:", 7) != 0)
        return;
    const struct an_halves right = ask_with(*state, UINT32_MAX, 0);
    assert_int_equal(replacements, 0);
    print_message("# %s: loads %d, stores %d\n", (char *)*state, right.loads, right.stores);
    struct an_halves found = ask_with(*state, UNPACK_HALF_2X16, UNPACK_UNORM_2X16);
    assert_true(replacements > 0);
    assert_false(found.loads);
    assert_int_equal(found.stores, right.stores);
    found = ask_with(*state, PACK_HALF_2X16, PACK_UNORM_2X16);
    assert_true(replacements > 0);
    assert_false(found.stores);
    assert_int_equal(found.loads, right.loads);
}

/* Refuses the first pipeline, which is the kernel's that asks. */
static PFN_vkCreateComputePipelines real_pipelines;
static VkResult refusal;
static int pipelines;

static VKAPI_ATTR VkResult VKAPI_CALL refuse_first(VkDevice a, VkPipelineCache b, uint32_t c,
                                                   const VkComputePipelineCreateInfo *d,
                                                   const VkAllocationCallbacks *e, VkPipeline *f)
{
    if (pipelines++ > 0)
        return real_pipelines(a, b, c, d, e, f);
    *f = VK_NULL_HANDLE;
    return refusal;
}

/* Where the driver does not take the kernel there are none, and plans are made all the same; what
 * has no memory says so, and is asked again. */
static void test_failing(void **state)
{
    anynorm_device *device = open_vulkan(*state);
    if (!device)
        return;
    struct an_vulkan_device *d = an_vulkan(device);
    const anynorm_spec spec = {
        .columns = 64, .x.type = ANYNORM_F16, .y.type = ANYNORM_F16, .statistic.eps = 1e-5};
    anynorm_plan_options options = {.schedule = "row_reread"};
    anynorm_plan *plan = NULL;
    real_pipelines = d->vk.vkCreateComputePipelines;
    d->vk.vkCreateComputePipelines = refuse_first;
    pipelines = 0;
    refusal = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    assert_status(anynorm_plan_create(device, &spec, &options, &plan), ANYNORM_OUT_OF_MEMORY);
    assert_int_equal(pipelines, 1);
    assert_false(d->halves_asked);
    pipelines = 0;
    refusal = VK_ERROR_INVALID_SHADER_NV;
    assert_ok(anynorm_plan_create(device, &spec, &options, &plan));
    assert_int_equal(pipelines, 2);
    assert_true(d->halves_asked);
    assert_false(d->halves.loads || d->halves.stores);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

/* Asked once, and of nothing but halves. */
static void test_once(void **state)
{
    anynorm_device *device = open_vulkan(*state);
    if (!device)
        return;
    struct an_vulkan_device *d = an_vulkan(device);
    anynorm_spec spec = {.columns = 64, .statistic.eps = 1e-5};
    anynorm_plan_destroy(make_plan(&d->head, &spec, NULL));
    assert_false(d->halves_asked);
    spec.x.type = ANYNORM_F16;
    anynorm_plan_destroy(make_plan(&d->head, &spec, NULL));
    assert_true(d->halves_asked);
    d->halves = (struct an_halves){.loads = false};
    struct an_halves told = {.loads = true};
    assert_ok(an_vulkan_halves(d, &told));
    assert_false(told.loads || told.stores);
    anynorm_device_close(device);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"wrong ones are found out", test_wrong},
        {"none where the driver fails", test_failing},
        {"asked once, of halves only", test_once},
    };
    return run_on_devices("vulkan halves", tests, COUNT(tests), NULL, NULL);
}
