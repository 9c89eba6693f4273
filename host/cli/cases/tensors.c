#include "tensors.h"

#include <math.h>
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
    {"gate", OF_SAMPLES, ANYNORM_GATE, 0, offsetof(anynorm_spec, gate.type),
     offsetof(anynorm_tensors, gate)},
    {"scale", OF_SAMPLES, ANYNORM_SCALE, 0, offsetof(anynorm_spec, scale.type),
     offsetof(anynorm_tensors, scale)},
    {"shift", OF_SAMPLES, ANYNORM_SHIFT, 0, offsetof(anynorm_spec, shift.type),
     offsetof(anynorm_tensors, shift)},
    {"y_scale", OF_STATISTICS, ANYNORM_Y_SCALE_INPUT, ANYNORM_Y_SCALE_OUTPUT, SIZE_MAX,
     offsetof(anynorm_tensors, y_scale)},
};

static uint64_t or_one(uint64_t count)
{
    return count ? count : 1;
}

struct cli_tensor_info tensor_info(const anynorm_spec *spec, int tensor, uint64_t rows)
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

static uint64_t sum_bytes(const anynorm_spec *spec, uint64_t rows, bool all)
{
    uint64_t bytes = 0;

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info = tensor_info(spec, t, rows);

        bytes += all || info.shape == OF_ROWS ? tensor_bytes(&info) : 0;
    }
    return bytes;
}

uint64_t tensors_bytes(const anynorm_spec *spec, uint64_t rows)
{
    return sum_bytes(spec, rows, true);
}

uint64_t tensors_row_bytes(const anynorm_spec *spec, uint64_t rows)
{
    return sum_bytes(spec, rows, false);
}

anynorm_buffer *tensor_slot(anynorm_tensors *tensors, int tensor)
{
    return (anynorm_buffer *)(void *)((char *)tensors + table[tensor].slot);
}

bool spec_is_dense(const anynorm_spec *spec)
{
    return !(spec->flags & ANYNORM_ANY_ALIGNMENT) &&
           !(spec->inner_rows || spec->x.row_stride || spec->y.row_stride ||
             spec->residual.row_stride || spec->sum.row_stride || spec->gate.row_stride ||
             spec->scale.row_stride || spec->shift.row_stride) &&
           spec->column_run <= 1 && spec->x.column_stride <= 1 && spec->y.column_stride <= 1 &&
           spec->residual.column_stride <= 1 && spec->sum.column_stride <= 1 &&
           spec->gate.column_stride <= 1 && spec->scale.column_stride <= 1 &&
           spec->shift.column_stride <= 1;
}

/* ---- Made data ---- */

/* xorshift64* (Vigna: "An experimental exploration of Marsaglia's xorshift generators, scrambled",
 * arXiv:1402.6246). */
uint64_t random_bits(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * UINT64_C(2685821657736338717);
}

double random_uniform(struct random *random)
{
    return (double)(random_bits(random) >> 11) * 0x1p-53;
}

double random_normal(struct random *random)
{
    double radius = sqrt(-2 * log(1 - random_uniform(random)));

    return radius * cos(6.283185307179586 * random_uniform(random));
}

double random_input(const anynorm_spec *spec, int tensor, struct random *random)
{
    switch (tensor) {
    case TENSOR_WEIGHT:
        return 0.5 + 1.5 * random_uniform(random) - spec->parameters.weight_offset;
    case TENSOR_BIAS:
        return 4 * random_uniform(random) - 2;
    case TENSOR_MEAN:
        return 0.25 * random_normal(random);
    case TENSOR_RSTD:
        return 0.25 + random_uniform(random);
    case TENSOR_RESIDUAL:
        return random_normal(random);
    case TENSOR_PRE_BIAS:
        return random_uniform(random) - 0.5;
    case TENSOR_GATE:
        return 2 * random_uniform(random) - 0.75;
    case TENSOR_SCALE:
        return 1.5 * random_uniform(random) - 0.75;
    case TENSOR_Y_SCALE:
        return 0.01 + 0.04 * random_uniform(random);
    default:
        return 3 * random_uniform(random) - 1;
    }
}

void random_fill(anynorm_dtype type, void *data, uint64_t count, double middle)
{
    struct random random = {RANDOM_SEED};

    for (uint64_t i = 0; i < count; i++) {
        double value = 2 * random_uniform(&random) - 1;

        anynorm_dtype_store(type, data, i, i % 97 == 5 ? 30 * value : middle + value);
    }
}
