#include "spec_tensors.h"

#include <stddef.h>
#include <string.h>

/* In the order of enum cli_tensor. */
static const struct {
    const char *name;
    enum cli_tensor_shape shape;
    uint32_t inputs; /* flags that name it as an input, and as an output; x and y have none */
    uint32_t outputs;
    size_t type; /* in anynorm_spec; SIZE_MAX: f32 */
    size_t slot;
} table[TENSORS] = {
    {"x", OF_ROWS, 0, 0, offsetof(anynorm_spec, x.type), offsetof(anynorm_tensors, x)},
    {"y", OF_ROWS, 0, 0, offsetof(anynorm_spec, y.type), offsetof(anynorm_tensors, y)},
    {"weight", OF_PARAMETERS, ANYNORM_WEIGHT, 0, offsetof(anynorm_spec, parameters.type),
     offsetof(anynorm_tensors, weight)},
    {"bias", OF_PARAMETERS, ANYNORM_BIAS, 0, offsetof(anynorm_spec, parameters.type),
     offsetof(anynorm_tensors, bias)},
    {"mean", OF_STATISTICS, ANYNORM_MEAN_INPUT, ANYNORM_MEAN_OUTPUT, SIZE_MAX,
     offsetof(anynorm_tensors, mean)},
    {"rstd", OF_STATISTICS, ANYNORM_RSTD_INPUT, ANYNORM_RSTD_OUTPUT, SIZE_MAX,
     offsetof(anynorm_tensors, rstd)},
    {"residual", OF_ROWS, ANYNORM_RESIDUAL, 0, offsetof(anynorm_spec, residual.type),
     offsetof(anynorm_tensors, residual)},
    {"sum", OF_ROWS, 0, ANYNORM_SUM_OUTPUT, offsetof(anynorm_spec, sum.type),
     offsetof(anynorm_tensors, sum)},
    {"pre_bias", OF_PARAMETERS, ANYNORM_PRE_BIAS, 0, offsetof(anynorm_spec, parameters.type),
     offsetof(anynorm_tensors, pre_bias)},
    {"gate", OF_SAMPLES, ANYNORM_GATE, 0, offsetof(anynorm_spec, sample_type),
     offsetof(anynorm_tensors, gate)},
    {"scale", OF_SAMPLES, ANYNORM_SCALE, 0, offsetof(anynorm_spec, sample_type),
     offsetof(anynorm_tensors, scale)},
    {"shift", OF_SAMPLES, ANYNORM_SHIFT, 0, offsetof(anynorm_spec, sample_type),
     offsetof(anynorm_tensors, shift)},
    {"y_scale", OF_STATISTICS, ANYNORM_Y_SCALE_INPUT, ANYNORM_Y_SCALE_OUTPUT, SIZE_MAX,
     offsetof(anynorm_tensors, y_scale)},
};

static uint64_t or_one(uint64_t count)
{
    return count ? count : 1;
}

struct cli_tensor_info tensor_info(const anynorm_spec *spec, enum cli_tensor tensor, uint64_t rows)
{
    bool output = tensor == TENSOR_Y || (spec->flags & table[tensor].outputs);
    struct cli_tensor_info info = {
        .name = table[tensor].name,
        .shape = table[tensor].shape,
        .present = output || tensor == TENSOR_X || (spec->flags & table[tensor].inputs),
        .output = output,
        .type = ANYNORM_F32,
        .period = spec->columns,
    };
    uint64_t periods = rows, sample_rows = or_one(spec->sample_rows);

    if (table[tensor].type != SIZE_MAX)
        memcpy(&info.type, (const char *)spec + table[tensor].type, sizeof info.type);
    if (info.shape == OF_STATISTICS) {
        info.period = 1;
        if (tensor == TENSOR_Y_SCALE && !output)
            periods = 1; /* of all rows */
    } else if (info.shape == OF_SAMPLES) {
        periods = rows / sample_rows + (rows % sample_rows > 0);
    } else if (info.shape == OF_PARAMETERS) {
        info.period = (spec->parameters.cycle ? spec->parameters.cycle : spec->columns) /
                      or_one(spec->parameters.run);
        periods = or_one(spec->parameters.rows);
    }
    info.count = info.present ? periods * info.period : 0;
    return info;
}

uint64_t tensors_bytes(const anynorm_spec *spec, uint64_t rows)
{
    uint64_t bytes = 0;

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info = tensor_info(spec, (enum cli_tensor)t, rows);

        bytes += tensor_bytes(&info);
    }
    return bytes;
}

uint64_t tensors_row_bytes(const anynorm_spec *spec, uint64_t rows)
{
    uint64_t bytes = 0;

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info = tensor_info(spec, (enum cli_tensor)t, rows);

        bytes += info.shape == OF_ROWS ? tensor_bytes(&info) : 0;
    }
    return bytes;
}

anynorm_buffer *tensor_slot(anynorm_tensors *tensors, enum cli_tensor tensor)
{
    return (anynorm_buffer *)(void *)((char *)tensors + table[tensor].slot);
}

bool spec_is_dense(const anynorm_spec *spec)
{
    return !(spec->flags & ANYNORM_ANY_ALIGNMENT) &&
           !(spec->inner_rows || spec->x.row_stride || spec->y.row_stride ||
             spec->residual.row_stride || spec->sum.row_stride) &&
           spec->column_run <= 1 && spec->x.column_stride <= 1 && spec->y.column_stride <= 1 &&
           spec->residual.column_stride <= 1 && spec->sum.column_stride <= 1;
}
