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
    uint32_t gradients; /* those of gradients that name it, in place of both */
    size_t type;        /* in anynorm_spec; SIZE_MAX: f32 */
    size_t slot;
} table[TENSORS] = {
    {"x", OF_ROWS, 0, 0, 0, offsetof(anynorm_spec, x.type), offsetof(anynorm_tensors, x)},
    {"y", OF_ROWS, 0, 0, 0, offsetof(anynorm_spec, y.type), offsetof(anynorm_tensors, y)},
    {"weight", OF_PARAMETERS, ANYNORM_WEIGHT, 0, 0, offsetof(anynorm_spec, parameters.type),
     offsetof(anynorm_tensors, weight)},
    {"bias", OF_PARAMETERS, ANYNORM_BIAS, 0, 0, offsetof(anynorm_spec, parameters.type),
     offsetof(anynorm_tensors, bias)},
    {"mean", OF_STATISTICS, ANYNORM_MEAN_INPUT, ANYNORM_MEAN_OUTPUT, 0, SIZE_MAX,
     offsetof(anynorm_tensors, mean)},
    {"rstd", OF_STATISTICS, ANYNORM_RSTD_INPUT, ANYNORM_RSTD_OUTPUT, 0, SIZE_MAX,
     offsetof(anynorm_tensors, rstd)},
    {"residual", OF_ROWS, ANYNORM_RESIDUAL, 0, 0, offsetof(anynorm_spec, residual.type),
     offsetof(anynorm_tensors, residual)},
    {"sum", OF_ROWS, 0, ANYNORM_SUM_OUTPUT, 0, offsetof(anynorm_spec, sum.type),
     offsetof(anynorm_tensors, sum)},
    {"pre_bias", OF_PARAMETERS, ANYNORM_PRE_BIAS, 0, 0, offsetof(anynorm_spec, parameters.type),
     offsetof(anynorm_tensors, pre_bias)},
    {"gate", OF_SAMPLES, ANYNORM_GATE, 0, 0, offsetof(anynorm_spec, gate.type),
     offsetof(anynorm_tensors, gate)},
    {"scale", OF_SAMPLES, ANYNORM_SCALE, 0, 0, offsetof(anynorm_spec, scale.type),
     offsetof(anynorm_tensors, scale)},
    {"shift", OF_SAMPLES, ANYNORM_SHIFT, 0, 0, offsetof(anynorm_spec, shift.type),
     offsetof(anynorm_tensors, shift)},
    {"partials", OF_SHARDS, ANYNORM_PARTIALS_INPUT, ANYNORM_PARTIALS_OUTPUT, 0, SIZE_MAX,
     offsetof(anynorm_tensors, partials)},
    {"y_scale", OF_STATISTICS, ANYNORM_Y_SCALE_INPUT, ANYNORM_Y_SCALE_OUTPUT, 0, SIZE_MAX,
     offsetof(anynorm_tensors, y_scale)},
    {"dy", OF_ROWS, 0, 0, UINT32_MAX, offsetof(anynorm_spec, y.type),
     offsetof(anynorm_tensors, dy)},
    {"dsum", OF_ROWS, 0, 0, ANYNORM_DSUM, offsetof(anynorm_spec, sum.type),
     offsetof(anynorm_tensors, dsum)},
    {"dx", OF_ROWS, 0, 0, ANYNORM_DX, offsetof(anynorm_spec, gradients.dx.type),
     offsetof(anynorm_tensors, dx)},
    {"dresidual", OF_ROWS, 0, 0, ANYNORM_DRESIDUAL,
     offsetof(anynorm_spec, gradients.dresidual.type), offsetof(anynorm_tensors, dresidual)},
    {"dweight", OF_PARAMETERS, 0, 0, ANYNORM_DWEIGHT, offsetof(anynorm_spec, gradients.parameters),
     offsetof(anynorm_tensors, dweight)},
    {"dbias", OF_PARAMETERS, 0, 0, ANYNORM_DBIAS, offsetof(anynorm_spec, gradients.parameters),
     offsetof(anynorm_tensors, dbias)},
    {"dpre_bias", OF_PARAMETERS, 0, 0, ANYNORM_DPRE_BIAS,
     offsetof(anynorm_spec, gradients.parameters), offsetof(anynorm_tensors, dpre_bias)},
    {"dgate", OF_SAMPLES, 0, 0, ANYNORM_DGATE, offsetof(anynorm_spec, gradients.samples),
     offsetof(anynorm_tensors, dgate)},
    {"dscale", OF_SAMPLES, 0, 0, ANYNORM_DSCALE, offsetof(anynorm_spec, gradients.samples),
     offsetof(anynorm_tensors, dscale)},
    {"dshift", OF_SAMPLES, 0, 0, ANYNORM_DSHIFT, offsetof(anynorm_spec, gradients.samples),
     offsetof(anynorm_tensors, dshift)},
    {"workspace", OF_CALL, 0, 0,
     ANYNORM_DWEIGHT | ANYNORM_DBIAS | ANYNORM_DPRE_BIAS | ANYNORM_DGATE | ANYNORM_DSCALE |
         ANYNORM_DSHIFT,
     SIZE_MAX, offsetof(anynorm_tensors, workspace)},
};

static uint64_t or_one(uint64_t count)
{
    return count ? count : 1;
}

/* The flags, without those of tensors that the gradients have no use for. */
static uint32_t flags_used(const anynorm_spec *spec)
{
    uint32_t gradients = spec->gradients.flags, unused = 0;

    if (!gradients)
        return spec->flags;
    if (!(spec->flags & ANYNORM_SILU))
        unused |= ANYNORM_SHIFT | (gradients & ANYNORM_DSCALE ? 0 : ANYNORM_BIAS);
    if (!(gradients & ANYNORM_SAVED_SUM))
        return spec->flags & ~(unused | ANYNORM_SUM_OUTPUT);
    unused |= ANYNORM_PRE_BIAS;
    unused |= gradients & ANYNORM_DGATE ? 0 : ANYNORM_RESIDUAL;
    unused |= gradients & ANYNORM_DRESIDUAL ? 0 : ANYNORM_GATE;
    return spec->flags & ~unused;
}

static bool is_present(const anynorm_spec *spec, int tensor)
{
    const uint32_t partials = ANYNORM_DPARTIALS_OUTPUT | ANYNORM_DPARTIALS_INPUT;
    uint32_t gradients = spec->gradients.flags;

    if (tensor == TENSOR_X)
        return !(gradients & ANYNORM_SAVED_SUM);
    if (tensor == TENSOR_Y)
        return !gradients && !(spec->flags & ANYNORM_PARTIALS_OUTPUT);
    if (tensor == TENSOR_PARTIALS && gradients)
        return gradients & partials;
    if (table[tensor].gradients)
        return gradients & table[tensor].gradients;
    return flags_used(spec) & (table[tensor].inputs | table[tensor].outputs);
}

static bool is_output(const anynorm_spec *spec, int tensor)
{
    uint32_t gradients = spec->gradients.flags;

    if (tensor == TENSOR_Y || tensor >= TENSOR_DX)
        return true;
    if (tensor == TENSOR_PARTIALS && gradients)
        return gradients & ANYNORM_DPARTIALS_OUTPUT;
    return !gradients && (spec->flags & table[tensor].outputs); /* else what the norm wrote */
}

/* Elements after which a tensor's values may repeat. */
static uint64_t period_of(const anynorm_spec *spec, enum cli_tensor_shape shape)
{
    switch (shape) {
    case OF_STATISTICS:
        return 1;
    case OF_SHARDS:
        return 3;
    case OF_CALL:
        return 0;
    case OF_PARAMETERS:
        return (spec->parameters.cycle ? spec->parameters.cycle : spec->columns) /
               or_one(spec->parameters.run);
    default:
        return spec->columns;
    }
}

struct cli_tensor_info tensor_info(const anynorm_spec *spec, int tensor, uint64_t rows)
{
    bool present = is_present(spec, tensor);
    struct cli_tensor_info info = {
        .name = table[tensor].name,
        .shape = table[tensor].shape,
        .present = present,
        .output = present && is_output(spec, tensor),
        .type = ANYNORM_F32,
        .period = period_of(spec, table[tensor].shape),
    };
    uint64_t periods = rows, sample_rows = or_one(spec->sample_rows);

    if (table[tensor].type != SIZE_MAX)
        memcpy(&info.type, (const char *)spec + table[tensor].type, sizeof info.type);
    if (tensor == TENSOR_Y_SCALE && !info.output)
        periods = 1; /* of all rows */
    else if (info.shape == OF_SAMPLES)
        periods = rows / sample_rows + (rows % sample_rows > 0);
    else if (info.shape == OF_PARAMETERS)
        periods = or_one(spec->parameters.rows);
    else if (info.shape == OF_SHARDS)
        periods = rows * or_one(spec->statistic.shards);
    info.count = info.present ? periods * info.period : 0;
    return info;
}

/* How the rows of a tensor of rows lie. */
static const anynorm_rows *rows_of(const anynorm_spec *spec, int tensor)
{
    size_t at = table[tensor].type - offsetof(anynorm_rows, type);

    return (const anynorm_rows *)(const void *)((const char *)spec + at);
}

uint64_t tensor_element(const anynorm_spec *spec, int tensor, uint64_t row, uint64_t column)
{
    uint64_t period = period_of(spec, table[tensor].shape), run = or_one(spec->column_run);

    switch (table[tensor].shape) {
    case OF_ROWS:
        if (rows_of(spec, tensor)->column_stride <= run)
            return row * period + column;
        return column / run * rows_of(spec, tensor)->column_stride + row * run + column % run;
    case OF_PARAMETERS:
        return row % or_one(spec->parameters.rows) * period +
               (spec->parameters.cycle ? column % spec->parameters.cycle : column) /
                   or_one(spec->parameters.run);
    case OF_SAMPLES:
        return row / or_one(spec->sample_rows) * period + column;
    default:
        return row * period + column;
    }
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

bool spec_is_packed(const anynorm_spec *spec, uint64_t rows)
{
    uint64_t run = or_one(spec->column_run);

    for (int t = 0; t < TENSORS; t++) {
        bool of_rows = table[t].shape == OF_ROWS;
        const anynorm_rows *lie;

        if (!of_rows && table[t].shape != OF_SAMPLES)
            continue;
        if (t >= TENSOR_DGATE) /* whose strides are gate's, scale's and shift's */
            continue;
        lie = rows_of(spec, t);
        if (lie->column_stride <= run && !lie->row_stride)
            continue;
        if (!of_rows || lie->column_stride % run || lie->column_stride / run != rows ||
            (lie->row_stride && lie->row_stride != run))
            return false;
    }
    return !(spec->flags & ANYNORM_ANY_ALIGNMENT) &&
           (!spec->inner_rows || spec->inner_rows >= rows);
}

void spec_interleave(anynorm_spec *spec, uint64_t rows, uint64_t run)
{
    anynorm_rows *const lie[] = {
        &spec->x,
        &spec->y,
        spec->flags & ANYNORM_RESIDUAL ? &spec->residual : NULL,
        spec->flags & ANYNORM_SUM_OUTPUT ? &spec->sum : NULL,
        spec->gradients.flags & ANYNORM_DX ? &spec->gradients.dx : NULL,
        spec->gradients.flags & ANYNORM_DRESIDUAL ? &spec->gradients.dresidual : NULL,
    };

    spec->column_run = run;
    for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
        if (lie[i])
            lie[i]->column_stride = rows * run;
    }
    spec->parameters.rows = rows;
    spec->parameters.run = spec->columns;
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

void random_fill_tensor(const anynorm_spec *spec, int tensor, void *data, uint64_t count)
{
    const struct cli_tensor_info info = tensor_info(spec, tensor, 1);
    bool saved =
        spec->gradients.flags && ((tensor == TENSOR_MEAN && (spec->flags & ANYNORM_MEAN_OUTPUT)) ||
                                  (tensor == TENSOR_RSTD && (spec->flags & ANYNORM_RSTD_OUTPUT)));
    bool positive = tensor == TENSOR_WEIGHT || tensor == TENSOR_RSTD || tensor == TENSOR_PARTIALS ||
                    tensor == TENSOR_Y_SCALE;

    if (!saved) {
        random_fill(info.type, data, count, positive ? 1 : 0);
        return;
    }
    for (uint64_t i = 0; i < count;
         i++) /* of 1 in 97 the square is 900 / 3 on average, else 1 / 3 */
        anynorm_dtype_store(info.type, data, i, tensor == TENSOR_MEAN ? 0 : 0.54);
}
