#include "parameters.h"

#include <stdlib.h>
#include <string.h>

static bool check_shape(const struct tensor_file *parameter, const char *option,
                        const struct tensor_file *x, uint32_t axis, uint64_t columns,
                        struct cli_error *error)
{
    const struct tensor_layout *have = &parameter->layout;
    uint32_t rank = x->layout.rank - axis;
    const uint64_t *shape = x->layout.shape + axis;
    char text[SHAPE_TEXT];
    char wanted[SHAPE_TEXT];

    if ((have->rank == 1 && have->shape[0] == columns) ||
        (have->rank == rank && memcmp(have->shape, shape, rank * sizeof *shape) == 0))
        return true;
    return cli_fail(error, CLI_USAGE, parameter->path,
                    "its shape %s does not fit %s; the normalized axes of x have the shape %s",
                    shape_text(have->rank, have->shape, text), option,
                    shape_text(rank, shape, wanted));
}

/* All of it, as `type`, which holds every value of the file's type. */
static bool load(const struct tensor_file *file, anynorm_dtype type, void **out,
                 struct cli_error *error)
{
    uint64_t count = file->layout.elements;
    size_t size = anynorm_dtype_size(type);
    uint8_t *data = malloc(count * size);
    uint8_t item[8];

    if (!data)
        return cli_fail(error, CLI_FAILED, file->path, "out of memory");
    *out = data;
    if (file->type == type) {
        tensor_read(file, 0, count, data);
        return true;
    }
    for (uint64_t i = 0; i < count; i++) {
        double value;
        float single;

        tensor_read(file, i, 1, item);
        value = anynorm_dtype_load(file->type, item, 0);
        single = (float)value;
        memcpy(data + i * size, type == ANYNORM_F64 ? (void *)&value : (void *)&single, size);
    }
    return true;
}

static anynorm_dtype common_type(const struct tensor_file *weight, const struct tensor_file *bias)
{
    if (!weight->path)
        return bias->type;
    if (!bias->path || weight->type == bias->type)
        return weight->type;
    return weight->type == ANYNORM_F64 || bias->type == ANYNORM_F64 ? ANYNORM_F64 : ANYNORM_F32;
}

bool parameters_read(const char *weight_path, const char *bias_path, const struct tensor_file *x,
                     uint32_t axis, uint64_t columns, bool two_bytes_are_bf16,
                     struct parameters *parameters, struct cli_error *error)
{
    struct tensor_file weight = {0};
    struct tensor_file bias = {0};
    bool done = false;

    *parameters = (struct parameters){0};
    if (weight_path && (!tensor_open(weight_path, two_bytes_are_bf16, &weight, error) ||
                        !check_shape(&weight, "--weight", x, axis, columns, error)))
        goto out;
    if (bias_path && (!tensor_open(bias_path, two_bytes_are_bf16, &bias, error) ||
                      !check_shape(&bias, "--bias", x, axis, columns, error)))
        goto out;
    parameters->type = common_type(&weight, &bias);
    done = (!weight_path || load(&weight, parameters->type, &parameters->weight, error)) &&
           (!bias_path || load(&bias, parameters->type, &parameters->bias, error));
out:
    tensor_close(&weight);
    tensor_close(&bias);
    return done;
}

void parameters_free(struct parameters *parameters)
{
    free(parameters->weight);
    free(parameters->bias);
    *parameters = (struct parameters){0};
}
