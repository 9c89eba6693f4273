#include "apart.h"

#include "spec/spec.h"
#include "spec_flags.h"

const int owner, other_owner;

anynorm_spec resolved(anynorm_spec spec)
{
    anynorm_spec result;
    assert_ok(an_spec_resolve(&spec, &result));
    return result;
}

const anynorm_spec usual = {.columns = 6,
                            .x.type = ANYNORM_F32,
                            .y.type = ANYNORM_F16,
                            .parameters.type = ANYNORM_F64,
                            .flags = ALL_FLAGS,
                            .x.row_stride = 7};

const anynorm_spec whole = {.columns = 6,
                            .x.type = ANYNORM_F32,
                            .y.type = ANYNORM_I8,
                            .parameters.type = ANYNORM_F64,
                            .flags = ALL_FLAGS | RESIDUAL | GATE | PRE_BIAS | SUM | SCALE | SHIFT |
                                     PARTIALS_IN | Y_SCALE_OUT,
                            .x.row_stride = 7,
                            .residual.type = ANYNORM_BF16,
                            .sum.type = ANYNORM_F32,
                            .gate.type = ANYNORM_F16,
                            .scale.type = ANYNORM_F16,
                            .shift.type = ANYNORM_F16,
                            .residual.row_stride = 8,
                            .sum.row_stride = 9,
                            .sample_rows = 2,
                            .parameters.rows = 3,
                            .parameters.run = 2,
                            .statistic.shards = 3};

const anynorm_spec half = {.columns = 6,
                           .x.type = ANYNORM_F16,
                           .flags = PARTIALS_OUT | SUM,
                           .sum.type = ANYNORM_F16,
                           .sum.row_stride = 8};

anynorm_tensors apart(const anynorm_spec *spec, uint32_t kind)
{
    static char roots[AN_TENSOR_COUNT];
    anynorm_tensors tensors = {0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        uint64_t extent;
        if (!an_tensor_expect(spec, (enum an_tensor)t).present)
            continue;
        assert_true(an_tensor_extent(spec, (enum an_tensor)t, ROWS, &extent));
        bool is_pointer = kind == AN_BUFFER_HOST || kind == AN_BUFFER_CL_SVM;
        *an_tensor_slot(&tensors, (enum an_tensor)t) =
            (anynorm_buffer){.offset = 64,
                             .bytes = 64 + extent,
                             .root = is_pointer ? NULL : &roots[t],
                             .root_offset = is_pointer ? 4096 * (uint64_t)(t + 1) : 0,
                             .owner = &owner,
                             .kind = kind};
    }
    return tensors;
}

anynorm_status check(const anynorm_spec *spec, const anynorm_tensors *tensors)
{
    anynorm_spec complete = resolved(*spec);
    return an_tensors_check(&complete, tensors, ROWS, &owner);
}

const uint32_t kinds[] = {AN_BUFFER_HOST, AN_BUFFER_CL_MEM, AN_BUFFER_CL_OWNED, AN_BUFFER_CL_SVM};
