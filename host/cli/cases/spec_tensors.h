/* The tensors of a spec whose rows are dense: which there are, and how many elements each has. */
#ifndef ANYNORM_CLI_SPEC_TENSORS_H
#define ANYNORM_CLI_SPEC_TENSORS_H

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

enum cli_tensor {
    TENSOR_X,
    TENSOR_Y,
    TENSOR_WEIGHT,
    TENSOR_BIAS,
    TENSOR_MEAN,
    TENSOR_RSTD,
    TENSOR_RESIDUAL,
    TENSOR_SUM,
    TENSOR_PRE_BIAS,
    TENSOR_GATE,
    TENSOR_SCALE,
    TENSOR_SHIFT,
    TENSOR_Y_SCALE,
    TENSORS
};

enum cli_tensor_shape { OF_ROWS, OF_PARAMETERS, OF_STATISTICS, OF_SAMPLES };

struct cli_tensor_info {
    const char *name;
    enum cli_tensor_shape shape;
    bool present;
    bool output;
    anynorm_dtype type;
    uint64_t period; /* elements after which its values may repeat: a row of it */
    uint64_t count;  /* elements for the rows asked about; 0 where it is not present */
};

struct cli_tensor_info tensor_info(const anynorm_spec *spec, enum cli_tensor tensor, uint64_t rows);

static inline uint64_t tensor_bytes(const struct cli_tensor_info *info)
{
    return info->count * anynorm_dtype_size(info->type);
}

/* Bytes of all tensors, each once, and of those that have a row for each row of x. */
uint64_t tensors_bytes(const anynorm_spec *spec, uint64_t rows);
uint64_t tensors_row_bytes(const anynorm_spec *spec, uint64_t rows);

/* Where the tensor's buffer goes. */
anynorm_buffer *tensor_slot(anynorm_tensors *tensors, enum cli_tensor tensor);

/* False where a stride, or elements at any byte, make a spec's rows other than dense. */
bool spec_is_dense(const anynorm_spec *spec);

#endif
