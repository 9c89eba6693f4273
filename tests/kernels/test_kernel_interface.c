/* What kernels are told: build options, and arguments by number. Needs no device. */
#include "refused.h"

#include <stdio.h>
#include <string.h>

#include "opencl/arguments.h"
#include "opencl/opencl_backend.h"
#include "spec/spec.h"
#include "spec_flags.h"

static anynorm_spec resolved(const anynorm_spec *spec)
{
    anynorm_spec result;
    assert_ok(an_spec_resolve(spec, &result));
    return result;
}

static const struct an_choice choice = {
    .schedule = AN_ROW_PER_ITEM, .group = 1, .vector = 4, .rows = 4};

/* Caches know programs by this text. */
static void test_plain_options(void **state)
{
    (void)state;
    char options[AN_OPTIONS_BYTES];
    anynorm_spec spec = resolved(&(anynorm_spec){.columns = 9,
                                                 .x.type = ANYNORM_F16,
                                                 .parameters.type = ANYNORM_BF16,
                                                 .flags = WEIGHT | RSTD_OUT});
    an_opencl_options(&whole_gpu, &spec, &choice, options, sizeof(options));
    assert_string_equal(options, "-cl-std=CL1.2 -DX_TYPE=1 -DY_TYPE=0 -DP_TYPE=2 -DACC_DOUBLE=0 "
                                 "-DVECTOR=4 -DANY_ALIGNMENT=0 -DTWO_LEVELS=0 -DHAS_WEIGHT=1 "
                                 "-DHAS_BIAS=0 -DHAS_MEAN=0 -DHAS_RSTD=1 -DROWS=4");
}

/* Every word of the family, in the longest options there can be. */
static void test_family_options(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        const char *words;
    } cases[] = {
        {{.columns = 8, .flags = RMS | L2 | EPS_OUTSIDE}, " -DRMS=1 -DL2=1 -DEPS_OUTSIDE=1"},
        {{.columns = 8, .flags = UNBIASED}, " -DUNBIASED=1"},
        {{.columns = 8, .flags = MEAN_IN | RSTD_IN}, " -DMEAN_INPUT=1 -DRSTD_INPUT=1"},
        {{.columns = 8, .flags = RMS | PARTIALS_OUT}, " -DRMS=1 -DPARTIALS_OUTPUT=1"},
        {{.columns = 8, .flags = PARTIALS_IN | SILU, .statistic.shards = 2},
         " -DSILU=1 -DPARTIALS_INPUT=1"},
        {{.columns = 8, .flags = RESIDUAL | STORED_SUM, .sum.type = ANYNORM_BF16},
         " -DHAS_RESIDUAL=1 -DSTORED_SUM=1 -DR_TYPE=0 -DS_TYPE=2"},
        {{.columns = 8,
          .flags = WEIGHT | RESIDUAL | GATE | PRE_BIAS | SUM | ROUND_FIRST | SCALE | SHIFT | SILU,
          .residual.type = ANYNORM_F16,
          .sum.type = ANYNORM_F64,
          .gate.type = ANYNORM_BF16,
          .scale.type = ANYNORM_F64,
          .shift.type = ANYNORM_F16,
          .gate.column_stride = 4,
          .scale.column_stride = 3,
          .scale.row_stride = 50,
          .parameters.weight_offset = 1,
          .parameters.rows = 2,
          .parameters.run = 2,
          .parameters.cycle = 4,
          .column_run = 2,
          .x.column_stride = 4},
         " -DHAS_RESIDUAL=1 -DHAS_GATE=1 -DHAS_PRE_BIAS=1 -DHAS_SUM=1 -DROUND_FIRST=1 "
         "-DHAS_SCALE=1 -DHAS_SHIFT=1 -DSILU=1 -DR_TYPE=1 -DS_TYPE=3 -DHAS_SAMPLES=1 "
         "-DGATE_TYPE=2 -DSCALE_TYPE=3 -DSHIFT_TYPE=1 -DGATE_APART=1 -DSCALE_APART=1 "
         "-DPARAMETER_ROWS=1 -DPARAMETER_RUN=1 -DPARAMETER_CYCLE=1 -DHAS_WEIGHT_PLUS=1 "
         "-DCOLUMN_RUN=1"},
        {{.columns = 8, .flags = Y_SCALE_IN, .y.type = ANYNORM_I8},
         " -DY_SCALE_INPUT=1 -DHAS_Y_SCALE=1"},
        {{.columns = 8,
          .flags = WEIGHT | BIAS | MEAN_OUT | RSTD_OUT | UNBIASED | EPS_OUTSIDE | RESIDUAL | GATE |
                   PRE_BIAS | SUM | STORED_SUM | ROUND_FIRST | SCALE | SHIFT | SILU | Y_SCALE_OUT,
          .y.type = ANYNORM_F8E4M3,
          .sum.type = ANYNORM_F64,
          .parameters.weight_offset = 1,
          .parameters.rows = 2,
          .parameters.run = 4,
          .quantization.bound = 2},
         " -DHAS_WEIGHT_PLUS=1 -DHAS_Y_SCALE=1 -DHAS_Y_BOUND=1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char options[AN_OPTIONS_BYTES];
        anynorm_spec spec = resolved(&cases[i].spec);
        struct an_choice longest = {.schedule = AN_ROW_PER_GROUP,
                                    .group = UINT32_MAX,
                                    .vector = 16,
                                    .rows = UINT32_MAX,
                                    .held = UINT32_MAX,
                                    .subgroup = UINT32_MAX,
                                    .stream = UINT64_MAX};
        an_opencl_options(&whole_gpu, &spec, &longest, options, sizeof(options));
        assert_true(strlen(options) < AN_OPTIONS_BYTES - 128);
        size_t length = strlen(cases[i].words);
        assert_true(strlen(options) > length);
        assert_string_equal(options + strlen(options) - length, cases[i].words);
    }
}

/* A word that Intel's driver alone knows, where doubles outgrow the registers of a usual thread. */
static void test_registers_option(void **state)
{
    (void)state;
    enum { FORWARD, COLUMNS_APART, GRADIENTS };
    static const struct {
        const char *vendor, *platform;
        uint32_t least;
        enum anynorm_dtype type;
        int what;
        bool twice;
    } cases[] = {
        {"Intel(R) Corporation", "Intel(R) OpenCL Graphics", 16, ANYNORM_F64, COLUMNS_APART, true},
        {"Intel(R) Corporation", "Intel(R) OpenCL Graphics", 16, ANYNORM_F64, GRADIENTS, true},
        {"Intel(R) Corporation", "Intel(R) OpenCL Graphics", 16, ANYNORM_F64, FORWARD, false},
        {"Intel(R) Corporation", "Intel(R) OpenCL Graphics", 16, ANYNORM_F32, GRADIENTS, false},
        {"Intel(R) Corporation", "Intel(R) OpenCL HD Graphics", 8, ANYNORM_F64, GRADIENTS, false},
        {"Intel", "rusticl", 16, ANYNORM_F64, GRADIENTS, false},
        {"NVIDIA Corporation", "NVIDIA CUDA", 16, ANYNORM_F64, GRADIENTS, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char options[AN_OPTIONS_BYTES];
        anynorm_device_info info = whole_gpu;
        snprintf(info.vendor, sizeof(info.vendor), "%s", cases[i].vendor);
        snprintf(info.platform, sizeof(info.platform), "%s", cases[i].platform);
        info.subgroup_least = cases[i].least;
        const bool back = cases[i].what == GRADIENTS;
        anynorm_spec spec = resolved(&(anynorm_spec){.columns = 8,
                                                     .x.type = cases[i].type,
                                                     .flags = WEIGHT,
                                                     .gradients.flags = back ? ANYNORM_DX : 0});
        const struct an_choice taken = {.schedule = cases[i].what == COLUMNS_APART ? AN_COLUMN_WALK
                                                                                   : AN_ROW_REREAD,
                                        .group = 64,
                                        .vector = 4,
                                        .rows = 1,
                                        .slices = 1,
                                        .held = 1};
        an_opencl_options(&info, &spec, &taken, options, sizeof(options));
        assert_int_equal(strstr(options, " -cl-intel-256-GRF-per-thread") != NULL, cases[i].twice);
    }
}

static void test_argument_numbers(void **state)
{
    (void)state;
    cl_uint numbers[AN_ARG_COUNT];
    anynorm_spec spec = resolved(&(anynorm_spec){.columns = 8});
    an_opencl_number_arguments(&spec, false, numbers);
    for (cl_uint i = 0; i < AN_ARG_COUNT; i++)
        assert_int_equal(numbers[i], i <= AN_ARG_Y_OUTER_STRIDE ? i : AN_NO_ARGUMENT);
    an_opencl_number_arguments(&spec, true, numbers);
    assert_int_equal(numbers[AN_ARG_MOMENTS], AN_ARG_Y_OUTER_STRIDE + 1);
    assert_int_equal(numbers[AN_ARG_STAGE], AN_ARG_Y_OUTER_STRIDE + 2);

    spec = resolved(&(anynorm_spec){.columns = 8,
                                    .flags = WEIGHT | SUM | SHIFT,
                                    .parameters.run = 2,
                                    .parameters.cycle = 4,
                                    .column_run = 4,
                                    .y.column_stride = 8,
                                    .parameters.weight_offset = 1});
    an_opencl_number_arguments(&spec, true, numbers);
    static const enum an_argument present[] = {AN_ARG_SUM,
                                               AN_ARG_SUM_OFFSET,
                                               AN_ARG_SUM_COLUMN_STRIDE,
                                               AN_ARG_SUM_ROW_STRIDE,
                                               AN_ARG_SUM_OUTER_STRIDE,
                                               AN_ARG_SHIFT,
                                               AN_ARG_SHIFT_OFFSET,
                                               AN_ARG_SHIFT_ROW_STRIDE,
                                               AN_ARG_SAMPLE_ROWS,
                                               AN_ARG_PARAMETER_RUN,
                                               AN_ARG_PARAMETER_CYCLE,
                                               AN_ARG_WEIGHT_PLUS,
                                               AN_ARG_COLUMN_RUN,
                                               AN_ARG_MOMENTS,
                                               AN_ARG_STAGE};
    cl_uint next = AN_ARG_Y_OUTER_STRIDE + 1;
    for (size_t i = 0; i < COUNT(present); i++)
        assert_int_equal(numbers[present[i]], next++);
    static const enum an_argument absent[] = {
        AN_ARG_RESIDUAL,       AN_ARG_PRE_BIAS_OFFSET, AN_ARG_GATE,   AN_ARG_SCALE,
        AN_ARG_PARAMETER_ROWS, AN_ARG_Y_SCALE,         AN_ARG_Y_BOUND};
    for (size_t i = 0; i < COUNT(absent); i++)
        assert_int_equal(numbers[absent[i]], AN_NO_ARGUMENT);

    spec = resolved(&(anynorm_spec){.columns = 8, .flags = PARTIALS_OUT});
    an_opencl_number_arguments(&spec, true, numbers);
    next = AN_ARG_Y_OUTER_STRIDE + 1;
    assert_int_equal(numbers[AN_ARG_PARTIALS], next++);
    assert_int_equal(numbers[AN_ARG_PARTIALS_OFFSET], next++);
    assert_int_equal(numbers[AN_ARG_SHARDS], AN_NO_ARGUMENT);
    assert_int_equal(numbers[AN_ARG_MOMENTS], next);
    spec = resolved(&(anynorm_spec){.columns = 8, .flags = PARTIALS_IN});
    an_opencl_number_arguments(&spec, true, numbers);
    assert_int_equal(numbers[AN_ARG_SHARDS], next++);
    assert_int_equal(numbers[AN_ARG_MOMENTS], next);

    spec = resolved(&(anynorm_spec){
        .columns = 8, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = 0.5});
    an_opencl_number_arguments(&spec, false, numbers);
    assert_int_equal(numbers[AN_ARG_Y_SCALE], AN_ARG_Y_OUTER_STRIDE + 1);
    assert_int_equal(numbers[AN_ARG_Y_BOUND], AN_ARG_Y_OUTER_STRIDE + 3);
}

/* The offset of each tensor is the argument after it. */
static void test_tensor_arguments(void **state)
{
    (void)state;
    static const enum an_argument offsets[AN_TENSOR_COUNT] = {
        AN_ARG_X_OFFSET,        AN_ARG_Y_OFFSET,       AN_ARG_WEIGHT_OFFSET,
        AN_ARG_BIAS_OFFSET,     AN_ARG_MEAN_OFFSET,    AN_ARG_RSTD_OFFSET,
        AN_ARG_RESIDUAL_OFFSET, AN_ARG_SUM_OFFSET,     AN_ARG_PRE_BIAS_OFFSET,
        AN_ARG_GATE_OFFSET,     AN_ARG_SCALE_OFFSET,   AN_ARG_SHIFT_OFFSET,
        AN_ARG_PARTIALS_OFFSET, AN_ARG_Y_SCALE_OFFSET, AN_ARG_Y_OFFSET,
        AN_ARG_DSUM_OFFSET,     AN_ARG_DX_OFFSET,      AN_ARG_DRESIDUAL_OFFSET,
        AN_ARG_DWEIGHT_OFFSET,  AN_ARG_DBIAS_OFFSET,   AN_ARG_DPRE_BIAS_OFFSET,
        AN_ARG_DGATE_OFFSET,    AN_ARG_DSCALE_OFFSET,  AN_ARG_DSHIFT_OFFSET,
        AN_ARG_WORKSPACE_OFFSET};
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        assert_int_equal(an_opencl_tensor_argument((enum an_tensor)t) + 1, offsets[t]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_options),    cmocka_unit_test(test_family_options),
        cmocka_unit_test(test_registers_option), cmocka_unit_test(test_argument_numbers),
        cmocka_unit_test(test_tensor_arguments),
    };
    return cmocka_run_group_tests_name("kernel_interface", tests, NULL, NULL);
}
