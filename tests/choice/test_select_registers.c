/* What described devices have of registers, and what that comes to. No device is needed. */
#include "fits.h"

#include "choice/caps.h"

struct maker {
    const char *id, *vendor;
    anynorm_device_class device_class;
    uint32_t size, least; /* of sub-groups; 0: kernels can be of none */
    uint64_t group;       /* work-items at most */
};

static const struct maker nvidia = {"opencl:0", "NVIDIA Corporation", ANYNORM_CLASS_GPU, 32, 32,
                                    1024};
static const struct maker nvidia_vulkan = {"vulkan:0", "NVIDIA", ANYNORM_CLASS_GPU, 32, 32, 1024};
static const struct maker amd = {
    "opencl:0", "Advanced Micro Devices, Inc.", ANYNORM_CLASS_GPU, 64, 64, 1024};
static const struct maker intel = {"opencl:0", "Intel(R) Corporation", ANYNORM_CLASS_GPU, 16, 8,
                                   1024};
static const struct maker intel_of_32 = {
    "opencl:0", "Intel(R) Corporation", ANYNORM_CLASS_GPU, 32, 8, 1024};
static const struct maker intel_cpu = {"opencl:0", "Intel(R) Corporation", ANYNORM_CLASS_CPU, 16, 4,
                                       8192};
static const struct maker intel_vulkan = {"vulkan:0", "Intel", ANYNORM_CLASS_GPU, 16, 8, 1024};
static const struct maker xe2 = {"opencl:0", "Intel(R) Corporation", ANYNORM_CLASS_GPU, 16, 16,
                                 1024};
static const struct maker xe2_vulkan = {"vulkan:0", "Intel", ANYNORM_CLASS_GPU, 16, 16, 1024};
static const struct maker mali = {"vulkan:0", "ARM", ANYNORM_CLASS_GPU, 16, 16, 512};
static const struct maker rogue = {"vulkan:0", "Imagination", ANYNORM_CLASS_GPU, 0, 32, 512};
static const struct maker v3d = {"vulkan:0", "Broadcom", ANYNORM_CLASS_GPU, 0, 16, 256};
static const struct maker v3d_of_16 = {"vulkan:0", "Broadcom", ANYNORM_CLASS_GPU, 16, 16, 256};
static const struct maker v3d_opencl = {"opencl:0", "Broadcom", ANYNORM_CLASS_GPU, 0, 16, 256};
static const struct maker lavapipe = {"vulkan:0", "Mesa", ANYNORM_CLASS_CPU, 0, 8, 256};

static anynorm_device_info device_of(const struct maker *maker)
{
    anynorm_device_info info = whole_gpu;
    snprintf(info.id, sizeof(info.id), "%s", maker->id);
    snprintf(info.vendor, sizeof(info.vendor), "%s", maker->vendor);
    info.device_class = maker->device_class;
    info.subgroup = maker->size > 0;
    info.subgroup_size = maker->size;
    info.subgroup_least = maker->least;
    info.max_work_group_size = maker->group;
    return info;
}

/* Few: lanes of a GPU in sub-groups of 16, but for Intel's wide ones. Hardly any: a GPU under
 * Vulkan that has neither sub-groups nor large groups. Wide: those of Intel's. */
static void test_registers(void **state)
{
    (void)state;
    static const struct {
        const struct maker *maker;
        bool few, hardly, wide;
    } cases[] = {
        {&intel, true, false, false},        {&xe2, false, false, true},
        {&intel_of_32, false, false, false}, {&mali, true, false, false},
        {&v3d, false, true, false},          {&intel_cpu, false, false, false},
        {&v3d_of_16, true, false, false},    {&rogue, false, false, false},
        {&lavapipe, false, false, false},    {&v3d_opencl, false, false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const anynorm_device_info info = device_of(cases[i].maker);
        assert_int_equal(an_info_few_registers(&info), cases[i].few);
        assert_int_equal(an_info_least_registers(&info), cases[i].hardly);
        assert_int_equal(an_info_wide_registers(&info), cases[i].wide);
    }
}

/* What makers' registers come to: rows that the devices of one hold, and others read twice. */
static void test_select_by_registers(void **state)
{
    (void)state;
    static const anynorm_spec f32 = {.x.type = ANYNORM_F32}, f16 = {.x.type = ANYNORM_F16};
    static const anynorm_spec to_i8 = {
        .x.type = ANYNORM_F16, .y.type = ANYNORM_I8, .flags = ANYNORM_Y_SCALE_OUTPUT};
    static const struct {
        const struct maker *maker;
        const anynorm_spec *spec;
        uint64_t columns;
        const char *choice;
    } cases[] = {
        /* As few lanes as hold the row. */
        {&nvidia, &f32, 4096, "row_per_group group=128 vector=4 rows=1 held=8 subgroup=32"},
        {&nvidia_vulkan, &f16, 4096, "row_per_group group=128 vector=8 rows=1 held=4 subgroup=32"},
        {&nvidia, &f32, 8192, "row_per_group group=256 vector=4 rows=1 held=8 subgroup=32"},
        /* A group of 512 where the device takes one. */
        {&amd, &f32, 16384, "row_per_group group=512 vector=4 rows=1 held=8 subgroup=64"},
        /* All of y beside x takes the registers of half a row. */
        {&amd, &to_i8, 8192, "row_per_group group=512 vector=8 rows=1 held=2 subgroup=64"},
        /* 12 elements to a lane by OpenCL's compiler, 8 by Vulkan's, 32 where registers are wide.
         */
        {&intel, &f32, 3072, "row_per_group group=256 vector=4 rows=1 held=3 subgroup=16"},
        {&intel_vulkan, &f32, 3072, "row_per_group group=512 vector=4 rows=1 held=2 subgroup=16"},
        {&intel_vulkan, &f32, 8192, "row_per_group group=1024 vector=4 rows=1 held=2 subgroup=16"},
        {&intel_vulkan, &f32, 12288, "row_split group=256 vector=4 segment=8192"},
        {&xe2_vulkan, &f32, 4096, "row_per_group group=256 vector=4 rows=1 held=4 subgroup=16"},
        {&xe2, &f32, 16384, "row_per_group group=512 vector=4 rows=1 held=8 subgroup=16"},
        /* A group to a row, beside whose scale two rows leave no registers. */
        {&xe2, &to_i8, 512, "row_per_group group=64 vector=8 rows=1 held=1 subgroup=16"},
        /* Sub-groups of 16 that are not Intel's. */
        {&mali, &f32, 1024, "row_per_group group=128 vector=4 rows=1 held=2 subgroup=16"},
        /* A vector to a lane, two where there are no more lanes. */
        {&v3d, &f32, 64, "row_per_group group=64 vector=4 rows=4 held=1"},
        {&v3d, &f16, 768, "row_per_group group=256 vector=4 rows=1 held=1"},
        {&v3d, &f32, 2048, "row_per_group group=256 vector=4 rows=1 held=2"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const anynorm_device_info info = device_of(cases[i].maker);
        struct an_choice choice;
        char text[128];
        anynorm_spec spec = *cases[i].spec;
        spec.columns = cases[i].columns;
        assert_true(first_that_fits(&info, &spec, &choice));
        an_choice_format(&choice, text, sizeof(text));
        assert_string_equal(text, cases[i].choice);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_select_by_registers),
    };
    return cmocka_run_group_tests_name("select by registers", tests, NULL, NULL);
}
