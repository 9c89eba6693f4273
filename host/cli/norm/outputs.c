#include "outputs.h"

#include "files/npy.h"
#include "files/tensor_path.h"

#include <string.h>

/* A npy file of one tensor must not take the place of a file of many. */
static bool check_name(const char *path, const char *name, struct cli_error *error)
{
    struct tensor_path parts = tensor_path_split(name);
    size_t length = strlen(name);

    if (parts.safetensors || (length > 4 && strcmp(name + length - 4, ".npz") == 0))
        return cli_fail(error, CLI_USAGE, path,
                        "only npy files are written, and %.*s is one of several tensors by its "
                        "name; name a .npy file",
                        parts.file > 200 ? 200 : (int)parts.file, name);
    return !parts.type || cli_fail(error, CLI_USAGE, path,
                                   "a type behind a colon is for files that are read; leave ':%s' "
                                   "out",
                                   parts.type);
}

bool norm_outputs_prepare(struct norm_outputs *outputs, const struct norm_options *o,
                          struct cli_error *error)
{
    const char *paths[OUTPUTS] = {o->output, o->sum_output, o->mean_output, o->rstd_output,
                                  o->scale_output};
    static const char *const names[OUTPUTS] = {"-o", "--sum-output", "--mean-output",
                                               "--rstd-output", "--scale-output"};

    for (int i = 0; i < OUTPUTS; i++) {
        struct output *file = &outputs->files[i];

        if (paths[i] &&
            (!check_name(paths[i], paths[i], error) || !output_prepare(file, paths[i], error) ||
             !check_name(paths[i], file->target, error)))
            return false;
        for (int k = 0; k < i; k++) {
            if (output_same(&outputs->files[k], file))
                return cli_fail(error, CLI_USAGE, paths[i],
                                "is named by both %s and %s; name two files", names[k], names[i]);
        }
    }
    return true;
}

bool norm_outputs_create(struct norm_outputs *outputs, const anynorm_spec *spec,
                         const struct tensor_file *x, const struct norm_shape *shape,
                         struct cli_error *error)
{
    const struct {
        anynorm_dtype type;
        uint32_t rank;
        const uint64_t *sizes;
    } arrays[OUTPUTS] = {
        {spec->y.type, x->layout.rank, x->layout.shape},
        {spec->sum.type, x->layout.rank, x->layout.shape},
        {ANYNORM_F32, shape->statistics.rank, shape->statistics.sizes},
        {ANYNORM_F32, shape->statistics.rank, shape->statistics.sizes},
        {ANYNORM_F32, shape->statistics.rank, shape->statistics.sizes},
    };
    uint8_t head[NPY_HEAD_MAX];

    for (int i = 0; i < OUTPUTS; i++) {
        struct output *file = &outputs->files[i];

        if (file->path &&
            (!output_create(file, error) ||
             !output_write(file, head,
                           npy_head(arrays[i].type, arrays[i].rank, arrays[i].sizes, head), error)))
            return false;
    }
    return true;
}

bool norm_outputs_write(struct norm_outputs *outputs, const anynorm_spec *spec,
                        const anynorm_host_tensors *tensors, uint64_t count,
                        struct cli_error *error)
{
    const void *data[OUTPUTS] = {tensors->y, tensors->sum, tensors->mean, tensors->rstd,
                                 tensors->y_scale};
    uint64_t row_bytes[OUTPUTS] = {spec->columns * anynorm_dtype_size(spec->y.type),
                                   spec->columns * anynorm_dtype_size(spec->sum.type),
                                   sizeof *tensors->mean, sizeof *tensors->rstd,
                                   sizeof *tensors->y_scale};

    for (int i = 0; i < OUTPUTS; i++) {
        if (outputs->files[i].path &&
            !output_write(&outputs->files[i], data[i], (size_t)(count * row_bytes[i]), error))
            return false;
    }
    return true;
}

bool norm_outputs_close(struct norm_outputs *outputs, struct cli_error *error)
{
    for (int i = 0; i < OUTPUTS; i++) {
        if (outputs->files[i].path && !output_close(&outputs->files[i], error))
            return false;
    }
    return true;
}

bool norm_outputs_commit(struct norm_outputs *outputs, struct cli_error *error)
{
    int last = OUTPUTS - 1;

    while (last > 0 && !outputs->files[last].path)
        last--;
    for (int i = 0; i <= last; i++) {
        if (outputs->files[i].path && !output_commit(&outputs->files[i], i < last, error)) {
            while (i-- > 0)
                output_revoke(&outputs->files[i]);
            return false;
        }
    }
    return true;
}

void norm_outputs_discard(struct norm_outputs *outputs)
{
    for (int i = 0; i < OUTPUTS; i++)
        output_discard(&outputs->files[i]);
}
