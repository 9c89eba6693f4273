#include "inputs.h"

#include "fit.h"

#include <stdlib.h>

/* Tensors that share a type. */
enum family { PARAMETER, SAMPLE, STATISTIC, RESIDUAL, FAMILIES };

static const struct {
    const char *option;
    enum family family;
} table[INPUTS] = {
    [IN_WEIGHT] = {"--weight", PARAMETER},     [IN_BIAS] = {"--bias", PARAMETER},
    [IN_PRE_BIAS] = {"--pre-bias", PARAMETER}, [IN_GATE] = {"--gate", SAMPLE},
    [IN_SCALE] = {"--scale", SAMPLE},          [IN_SHIFT] = {"--shift", SAMPLE},
    [IN_MEAN] = {"--mean", STATISTIC},         [IN_RSTD] = {"--rstd", STATISTIC},
    [IN_RESIDUAL] = {"--residual", RESIDUAL},
};

static norm_fit *const fits[FAMILIES] = {
    [PARAMETER] = norm_fit_parameter,
    [SAMPLE] = norm_fit_sample,
    [STATISTIC] = norm_fit_statistic,
    [RESIDUAL] = norm_fit_residual,
};

bool norm_inputs_have(const struct norm_inputs *inputs, enum norm_input_name name)
{
    return inputs->all[name].file.path;
}

/* The next input of the family that is given, from `name` on; INPUTS: none. */
static int next_of(const struct norm_inputs *inputs, enum family family, int name)
{
    while (name < INPUTS && (table[name].family != family || !inputs->all[name].file.path))
        name++;
    return name;
}

/* The type of all of a family, or one that holds the values of each exactly. */
static anynorm_dtype common_type(const struct norm_inputs *inputs, enum family family)
{
    int first = next_of(inputs, family, 0);
    anynorm_dtype type;

    if (family == STATISTIC || first == INPUTS)
        return ANYNORM_F32;
    type = inputs->all[first].file.type;
    for (int i = first; i < INPUTS; i = next_of(inputs, family, i + 1)) {
        anynorm_dtype own = inputs->all[i].file.type;

        if (own != type)
            type = own == ANYNORM_F64 || type == ANYNORM_F64 ? ANYNORM_F64 : ANYNORM_F32;
    }
    return type;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b > 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* How many consecutive rows have the same numbers in all of a family. */
static uint64_t shared_rows(const struct norm_inputs *inputs, enum family family,
                            const struct norm_shape *shape)
{
    uint64_t shared = shape->rows;

    for (int i = next_of(inputs, family, 0); i < INPUTS; i = next_of(inputs, family, i + 1))
        shared = common_divisor(shared, view_repeats(&inputs->all[i].file.view, shape->columns));
    return shared;
}

/* Loads `pieces` pieces of `count` elements, from each `step`th on. */
static bool load(struct norm_input *input, uint64_t pieces, uint64_t step, uint64_t count,
                 struct cli_error *error)
{
    uint64_t bytes = count * anynorm_dtype_size(input->type), all = pieces * bytes;
    uint8_t *data = all < SIZE_MAX ? malloc((size_t)all + 1) : NULL;

    if (!data)
        return cli_fail(error, CLI_FAILED, input->file.path, "out of memory");
    for (uint64_t i = 0; i < pieces; i++)
        tensor_read_as(&input->file, input->type, i * step, count, data + i * bytes);
    input->data = data;
    return true;
}

static bool load_small(struct norm_inputs *inputs, enum norm_input_name name,
                       const struct norm_shape *shape, struct cli_error *error)
{
    struct norm_input *input = &inputs->all[name];

    if (shape->rows == 0)
        return true; /* what is stretched to no rows may have no elements */
    switch (table[name].family) {
    case PARAMETER:
        return inputs->own_parameters ||
               load(input, 1, 0, shape->channel_axis ? shape->parameters.sizes[0] : shape->columns,
                    error);
    case SAMPLE:
        return inputs->sample_rows <= 1 ||
               load(input, shape->rows / inputs->sample_rows, inputs->sample_rows * shape->columns,
                    shape->columns, error);
    case STATISTIC:
        return load(input, 1, 0, shape->rows, error);
    default:
        return true;
    }
}

bool norm_inputs_read(const struct norm_options *o, const struct tensor_file *x,
                      const struct norm_shape *shape, struct norm_inputs *inputs,
                      struct cli_error *error)
{
    const char *const paths[INPUTS] = {
        [IN_WEIGHT] = o->weight, [IN_BIAS] = o->bias,   [IN_PRE_BIAS] = o->pre_bias,
        [IN_GATE] = o->gate,     [IN_SCALE] = o->scale, [IN_SHIFT] = o->shift,
        [IN_MEAN] = o->mean,     [IN_RSTD] = o->rstd,   [IN_RESIDUAL] = o->residual,
    };
    const struct norm_frame frame = {&x->layout, shape, error};
    bool bf16 = x->type == ANYNORM_BF16 || (o->dtype_given && o->dtype == ANYNORM_BF16);

    *inputs = (struct norm_inputs){0};
    for (int i = 0; i < INPUTS; i++) {
        struct tensor_file *file = &inputs->all[i].file;

        if (paths[i] && (!tensor_open(paths[i], bf16, file, error) ||
                         !fits[table[i].family](&frame, file, table[i].option)))
            return false;
    }
    inputs->own_parameters =
        !shape->channel_axis && shared_rows(inputs, PARAMETER, shape) < shape->rows;
    if (next_of(inputs, SAMPLE, 0) < INPUTS)
        inputs->sample_rows = shape->rows ? shared_rows(inputs, SAMPLE, shape) : 1;
    for (int i = 0; i < INPUTS; i++) {
        inputs->all[i].type = common_type(inputs, table[i].family);
        if (paths[i] && !load_small(inputs, (enum norm_input_name)i, shape, error))
            return false;
    }
    return true;
}

void norm_inputs_free(struct norm_inputs *inputs)
{
    for (int i = 0; i < INPUTS; i++) {
        free(inputs->all[i].data);
        tensor_close(&inputs->all[i].file);
    }
    *inputs = (struct norm_inputs){0};
}
