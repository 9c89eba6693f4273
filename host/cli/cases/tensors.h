/* The tensors of a spec whose rows are packed: which there are, how many elements each has, and
 * made data for them, the same in every run. The tests make theirs of it, too. */
#ifndef ANYNORM_CLI_TENSORS_H
#define ANYNORM_CLI_TENSORS_H

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

/* In the order of anynorm_tensors. */
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
    TENSOR_PARTIALS,
    TENSOR_Y_SCALE,
    TENSOR_DY,
    TENSOR_DSUM,
    TENSOR_DX, /* the first of the gradients */
    TENSOR_DRESIDUAL,
    TENSOR_DWEIGHT, /* the first of those that are sums over rows */
    TENSOR_DBIAS,
    TENSOR_DPRE_BIAS,
    TENSOR_DGATE,
    TENSOR_DSCALE,
    TENSOR_DSHIFT, /* the last of the gradients */
    TENSOR_WORKSPACE,
    TENSORS
};

/* A workspace is of the call, and as large as anynorm_plan_workspace says: no elements here. */
enum cli_tensor_shape { OF_ROWS, OF_PARAMETERS, OF_STATISTICS, OF_SAMPLES, OF_SHARDS, OF_CALL };

struct cli_tensor_info {
    const char *name;
    enum cli_tensor_shape shape;
    bool present;
    bool output;
    anynorm_dtype type;
    uint64_t period; /* elements after which its values may repeat: a row of it */
    uint64_t count;  /* elements for the rows asked about; 0 where it is not present */
};

/* What gradients do not look at is not present. */
struct cli_tensor_info tensor_info(const anynorm_spec *spec, int tensor, uint64_t rows);

/* Which element of a tensor of rows, parameters or samples is that of a row and column of x. */
uint64_t tensor_element(const anynorm_spec *spec, int tensor, uint64_t row, uint64_t column);

static inline uint64_t tensor_bytes(const struct cli_tensor_info *info)
{
    return info->count * anynorm_dtype_size(info->type);
}

/* Bytes of all tensors, each once, and of those that have a row for each row of x. */
uint64_t tensors_bytes(const anynorm_spec *spec, uint64_t rows);
uint64_t tensors_row_bytes(const anynorm_spec *spec, uint64_t rows);

/* Where the tensor's buffer goes. */
anynorm_buffer *tensor_slot(anynorm_tensors *tensors, int tensor);

/* Whether each tensor of so many rows, 1 or more, fills its memory without a gap: with one row
 * after the other, or with all rows between each other's columns, or runs of these, as
 * spec_interleave lays them. Not where elements may lie at any byte. */
bool spec_is_packed(const anynorm_spec *spec, uint64_t rows);

/* Lays all tensors of rows as batch normalization has its channels: `run` columns of the first row,
 * as many of each other, and so on with the next. A row's columns share weight and bias. */
void spec_interleave(anynorm_spec *spec, uint64_t rows, uint64_t run);

/* A small repeatable generator; seed it with anything but 0. */
struct random {
    uint64_t state;
};
#define RANDOM_SEED UINT64_C(88172645463325252)
uint64_t random_bits(struct random *random);
double random_uniform(struct random *random); /* [0, 1) */
double random_normal(struct random *random);

/* An element of an input other than x: of one kind each, so that no tensor is another's stand-in.
 * What is added to x is of the size of a normal x, for x to show beside it. */
double random_input(const anynorm_spec *spec, int tensor, struct random *random);

/* `count` values within 1 of `middle`, with outliers, as activations have them: zeros would flatter
 * the memory and the arithmetic. */
void random_fill(anynorm_dtype type, void *data, uint64_t count, double middle);

/* Fills an input of the spec with such. Saved statistics are about those of rows made so: a mean
 * that is far off would be found again, which takes its time. */
void random_fill_tensor(const anynorm_spec *spec, int tensor, void *data, uint64_t count);

#endif
