/* Modules with their constants filled in: for each spec here, by each schedule that serves it, what
 * is left is smaller, waits for no constant, is a valid module by spirv-val, and stays as it is
 * when it is done again. That it computes the same, tests on devices tell. Needs no device. */
#include "fits.h"

#include <stdio.h>
#include <stdlib.h>

#include "spec/spec.h"
#include "vulkan/spirv.h"
#include "vulkan/vulkan_backend.h"

static const char *const specs[] = {
    "layer-norm 3x98 f32 unbiased eps-outside",
    "layer-norm 3x4096 f32 weight bias mean rstd",
    "layer-norm 6x100 f16 y=f32 bias residual gate sum sample-rows=3 silu",
    "layer-norm 6x300 bf16 y=f32 residual gate sum scale shift sample-rows=2 silu mean rstd",
    "layer-norm 30x300 f64 weight",
    "layer-norm 8x64 f16 y=i8 y-scale",
    "layer-norm 3x1048576 f32 mean-input rstd-input",
    "layer-norm 6x300 run=10 x-column=60 x-stride=11",
    "layer-norm 5x300 partials",
    "layer-norm 6x100 partials-input shards=2 rstd",
    "rms-norm 3x768 bf16 weight weight-offset=1",
    "rms-norm 3x98 f32 l2",
    "layer-norm 30x300 weight bias backward",
    "layer-norm 70x100 weight residual gate sum scale shift silu sample-rows=20 backward dsum",
    "rms-norm 300x777 f16 weight backward dx dweight",
};
/* A device with little, beside whole_gpu. */
static const anynorm_device_info weak = {.device_class = ANYNORM_CLASS_CPU,
                                         .vector_width = 8,
                                         .max_work_group_size = 128,
                                         .max_groups = 65535,
                                         .local_bytes = 16384,
                                         .max_alloc_bytes = 1 << 30,
                                         .max_range_bytes = 1 << 27,
                                         .max_buffers = AN_MOST_SLOTS,
                                         .fp64 = true};

static size_t constants_left(const uint32_t *words, size_t count)
{
    size_t left = 0;
    for (size_t at = SPIRV_HEADER_WORDS; at < count; at += spirv_length(words[at])) {
        const uint32_t opcode = spirv_opcode(words[at]);
        left += opcode == SPIRV_SPEC_CONSTANT || opcode == SPIRV_SPEC_CONSTANT_COMPOSITE ||
                (opcode == SPIRV_DECORATE && words[at + 2] == SPIRV_DECORATION_SPEC_ID);
    }
    return left;
}

static void check(const anynorm_device_info *info, const anynorm_spec *spec,
                  const struct an_choice *choice, bool halves, const char *file)
{
    const struct an_module *module = an_vulkan_module(info, spec, choice);
    const struct an_choice fours = an_choice_of_fours(choice);
    const bool moments = choice->schedule == AN_ROW_SPLIT || choice->schedule == AN_ROW_REREAD;
    struct an_interface interface;
    char command[512];
    an_interface_fill(info, spec, &fours, moments && !an_spec_backward(spec), &interface);
    interface.constants[AN_CONSTANT_HALF_LOADS] = interface.constants[AN_CONSTANT_HALF_STORES] =
        halves;
    uint32_t *words = malloc(module->bytes), *again = malloc(module->bytes);
    assert_non_null(words);
    assert_non_null(again);
    an_module_write(module, words);
    const size_t count = module->bytes / sizeof(*words);
    assert_true(constants_left(words, count) > 100);
    const size_t left = an_module_specialize(words, count, interface.constants);
    assert_between(left, 500, count / 4 * 3);
    assert_int_equal(constants_left(words, left), 0);
    memcpy(again, words, left * sizeof(*words));
    assert_int_equal(an_module_specialize(again, left, interface.constants), left);
    assert_memory_equal(again, words, left * sizeof(*words));
    FILE *out = fopen(file, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(words, sizeof(*words), left, out), left);
    assert_int_equal(fclose(out), 0);
    snprintf(command, sizeof(command), AN_SPIRV_VAL " --target-env vulkan1.1 %s", file);
    if (system(command) != 0)
        fail_msg("%s: not valid with the constants of %s", module->name,
                 an_schedule_name(choice->schedule));
    free(words);
    free(again);
}

static void test_specialized(void **state)
{
    (void)state;
    const anynorm_device_info *const devices[] = {&whole_gpu, &weak};
    char folder[FOLDER_BYTES], file[FOLDER_BYTES + 16];
    int checked = 0;
    make_folder(folder);
    snprintf(file, sizeof(file), "%s/module.spv", folder);
    for (size_t i = 0; i < COUNT(specs); i++) {
        anynorm_spec said, spec;
        uint64_t rows;
        assert_ok(anynorm_spec_parse(specs[i], &said, &rows));
        assert_ok(an_spec_resolve(&said, &spec));
        for (size_t d = 0; d < COUNT(devices); d++) {
            struct an_choice wish = {.schedule = AN_REFERENCE}, choice;
            for (size_t k = 0; an_select_order(devices[d], &spec, k, &wish.schedule); k++) {
                if (!fits(devices[d], &spec, &wish, &choice))
                    continue;
                check(devices[d], &spec, &choice, d == 0, file);
                checked++;
            }
        }
    }
    assert_true(checked > 100);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_specialized)};
    return cmocka_run_group_tests_name("Vulkan modules, specialized", tests, NULL, NULL);
}
