#include "opencl/arguments.h"

static const enum an_argument of_tensor[AN_TENSOR_COUNT] = {
    [AN_X] = AN_ARG_X,
    [AN_Y] = AN_ARG_Y,
    [AN_WEIGHT] = AN_ARG_WEIGHT,
    [AN_BIAS] = AN_ARG_BIAS,
    [AN_MEAN] = AN_ARG_MEAN,
    [AN_RSTD] = AN_ARG_RSTD,
    [AN_RESIDUAL] = AN_ARG_RESIDUAL,
    [AN_SUM] = AN_ARG_SUM,
    [AN_PRE_BIAS] = AN_ARG_PRE_BIAS,
    [AN_GATE] = AN_ARG_GATE,
    [AN_SCALE] = AN_ARG_SCALE,
    [AN_SHIFT] = AN_ARG_SHIFT,
    [AN_PARTIALS] = AN_ARG_PARTIALS,
    [AN_Y_SCALE] = AN_ARG_Y_SCALE,
};

enum an_argument an_opencl_tensor_argument(enum an_tensor tensor)
{
    return of_tensor[tensor];
}

/* As the conditions of kernels/params.def. */
static bool has(const anynorm_spec *spec, bool split, enum an_argument argument)
{
    switch (argument) {
    case AN_ARG_RESIDUAL:
    case AN_ARG_RESIDUAL_OFFSET:
    case AN_ARG_RESIDUAL_COLUMN_STRIDE:
    case AN_ARG_RESIDUAL_ROW_STRIDE:
    case AN_ARG_RESIDUAL_OUTER_STRIDE:
        return spec->flags & ANYNORM_RESIDUAL;
    case AN_ARG_SUM:
    case AN_ARG_SUM_OFFSET:
    case AN_ARG_SUM_COLUMN_STRIDE:
    case AN_ARG_SUM_ROW_STRIDE:
    case AN_ARG_SUM_OUTER_STRIDE:
        return spec->flags & ANYNORM_SUM_OUTPUT;
    case AN_ARG_PRE_BIAS:
    case AN_ARG_PRE_BIAS_OFFSET:
        return spec->flags & ANYNORM_PRE_BIAS;
    case AN_ARG_GATE:
    case AN_ARG_GATE_OFFSET:
        return spec->flags & ANYNORM_GATE;
    case AN_ARG_SCALE:
    case AN_ARG_SCALE_OFFSET:
        return spec->flags & ANYNORM_SCALE;
    case AN_ARG_SHIFT:
    case AN_ARG_SHIFT_OFFSET:
        return spec->flags & ANYNORM_SHIFT;
    case AN_ARG_SAMPLE_ROWS:
        return spec->flags & AN_SAMPLES;
    case AN_ARG_PARAMETER_ROWS:
        return spec->parameters.rows > 1;
    case AN_ARG_PARAMETER_RUN:
        return spec->parameters.run > 1;
    case AN_ARG_PARAMETER_CYCLE:
        return spec->parameters.cycle != 0;
    case AN_ARG_WEIGHT_PLUS:
        return spec->parameters.weight_offset != 0;
    case AN_ARG_PARTIALS:
    case AN_ARG_PARTIALS_OFFSET:
        return spec->flags & (ANYNORM_PARTIALS_OUTPUT | ANYNORM_PARTIALS_INPUT);
    case AN_ARG_SHARDS:
        return spec->flags & ANYNORM_PARTIALS_INPUT;
    case AN_ARG_COLUMN_RUN:
        return spec->column_run > 1;
    case AN_ARG_Y_SCALE:
    case AN_ARG_Y_SCALE_OFFSET:
        return spec->flags & AN_Y_SCALES;
    case AN_ARG_Y_BOUND:
        return spec->quantization.bound != 0;
    case AN_ARG_MOMENTS:
    case AN_ARG_STAGE:
        return split;
    default:
        return true;
    }
}

void an_opencl_number_arguments(const anynorm_spec *spec, bool split, cl_uint numbers[AN_ARG_COUNT])
{
    cl_uint count = 0;
    for (int i = 0; i < AN_ARG_COUNT; i++)
        numbers[i] = has(spec, split, (enum an_argument)i) ? count++ : AN_NO_ARGUMENT;
}
