/* The tensors beside x: those that are read, the spec that all come to, and those that are
 * written. */
#include "norm.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *option;
    enum norm_family family;
    uint32_t flag;
} of_inputs[INPUTS] = {
    [IN_WEIGHT] = {"--weight", PARAMETER, ANYNORM_WEIGHT},
    [IN_BIAS] = {"--bias", PARAMETER, ANYNORM_BIAS},
    [IN_PRE_BIAS] = {"--pre-bias", PARAMETER, ANYNORM_PRE_BIAS},
    [IN_GATE] = {"--gate", SAMPLE, ANYNORM_GATE},
    [IN_SCALE] = {"--scale", SAMPLE, ANYNORM_SCALE},
    [IN_SHIFT] = {"--shift", SAMPLE, ANYNORM_SHIFT},
    [IN_MEAN] = {"--mean", STATISTIC, ANYNORM_MEAN_INPUT},
    [IN_RSTD] = {"--rstd", STATISTIC, ANYNORM_RSTD_INPUT},
    [IN_RESIDUAL] = {"--residual", RESIDUAL, ANYNORM_RESIDUAL},
};

/* y has no flag. */
static const struct {
    const char *option;
    uint32_t flag;
} of_outputs[OUTPUTS] = {
    [OUT_Y] = {"-o", 0},
    [OUT_SUM] = {"--sum-output", ANYNORM_SUM_OUTPUT},
    [OUT_MEAN] = {"--mean-output", ANYNORM_MEAN_OUTPUT},
    [OUT_RSTD] = {"--rstd-output", ANYNORM_RSTD_OUTPUT},
    [OUT_Y_SCALE] = {"--scale-output", ANYNORM_Y_SCALE_OUTPUT},
};

/* ---- What is read ---- */

/* The next input of the family that is given, from `name` on; INPUTS: none. */
static int next_of(const struct norm *work, enum norm_family family, int name)
{
    while (name < INPUTS && (of_inputs[name].family != family || !work->options.inputs[name]))
        name++;
    return name;
}

/* That of the file; of parameters one for all, which holds the values of each exactly. */
static anynorm_dtype type_as_read(const struct norm *work, enum norm_input_name name)
{
    enum norm_family family = of_inputs[name].family;
    int first = family == PARAMETER ? next_of(work, family, 0) : (int)name;
    anynorm_dtype type;

    if (family == STATISTIC || first == INPUTS || !work->options.inputs[first])
        return ANYNORM_F32;
    type = work->inputs[first].file.type;
    for (int i = first; family == PARAMETER && i < INPUTS; i = next_of(work, family, i + 1)) {
        anynorm_dtype own = work->inputs[i].file.type;

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
static uint64_t shared_rows(const struct norm *work, enum norm_family family)
{
    uint64_t shared = work->shape.rows;

    for (int i = next_of(work, family, 0); i < INPUTS; i = next_of(work, family, i + 1))
        shared =
            common_divisor(shared, view_repeats(&work->inputs[i].file.view, work->spec.columns));
    return shared;
}

/* Loads `pieces` pieces of `count` elements, from each `step`th on. */
static bool load(struct norm_input *input, uint64_t pieces, uint64_t step, uint64_t count)
{
    uint64_t bytes = count * anynorm_dtype_size(input->type), all = pieces * bytes;
    uint8_t *data = all < SIZE_MAX ? malloc((size_t)all + 1) : NULL;

    if (!data)
        return cli_fail(CLI_FAILED, input->file.path, "out of memory");
    for (uint64_t i = 0; i < pieces; i++)
        tensor_read_as(&input->file, input->type, i * step, count, data + i * bytes);
    input->data = data;
    return true;
}

static bool load_small(const struct norm *work, struct norm_input *input, enum norm_family family)
{
    const struct norm_shape *shape = &work->shape;
    uint64_t columns = work->spec.columns, sample_rows = work->spec.sample_rows;

    if (shape->rows == 0)
        return true; /* what is stretched to no rows may have no elements */
    switch (family) {
    case PARAMETER:
        return work->own_parameters ||
               load(input, 1, 0, shape->channel_axis ? shape->parameters.sizes[0] : columns);
    case SAMPLE:
        return sample_rows <= 1 ||
               load(input, shape->rows / sample_rows, sample_rows * columns, columns);
    case STATISTIC:
        return load(input, 1, 0, shape->rows);
    case RESIDUAL:
        break;
    }
    return true;
}

bool norm_inputs_read(struct norm *work)
{
    const struct norm_options *o = &work->options;
    bool bf16 = work->x.type == ANYNORM_BF16 || (o->dtype_given && o->dtype == ANYNORM_BF16);

    for (int i = 0; i < INPUTS; i++) {
        struct tensor_file *file = &work->inputs[i].file;

        if (o->inputs[i] && (!tensor_open(o->inputs[i], bf16, file) ||
                             !norm_fit(work, of_inputs[i].family, file, of_inputs[i].option)))
            return false;
    }
    work->own_parameters =
        !work->shape.channel_axis && shared_rows(work, PARAMETER) < work->shape.rows;
    if (next_of(work, SAMPLE, 0) < INPUTS)
        work->spec.sample_rows = work->shape.rows ? shared_rows(work, SAMPLE) : 1;
    for (int i = 0; i < INPUTS; i++) {
        struct norm_input *input = &work->inputs[i];

        input->type = type_as_read(work, (enum norm_input_name)i);
        if (o->inputs[i] && !load_small(work, input, of_inputs[i].family))
            return false;
    }
    return true;
}

/* ---- What it comes to ---- */

/* Parameters go by the number of a row within the block. Those that each row has of its own are one
 * tensor, which may be larger than a device takes if their type is wider. */
static uint64_t block_rows(const struct norm *work)
{
    uint64_t size = work->x.layout.item_size, groups = work->shape.groups;
    uint64_t parameter_size = anynorm_dtype_size(work->inputs[IN_WEIGHT].type);
    uint64_t row_bytes = work->spec.columns *
                         (work->own_parameters && parameter_size > size ? parameter_size : size);
    uint64_t rows = (uint64_t)work->options.block_bytes / row_bytes / groups * groups;

    if (rows == 0)
        rows = groups;
    return rows < work->shape.rows ? rows : work->shape.rows;
}

static uint32_t flag(bool wanted, uint32_t bit)
{
    return wanted ? bit : 0;
}

void norm_spec_find(struct norm *work)
{
    const struct norm_options *o = &work->options;
    bool rms = o->kind == NORM_RMS, rstd = o->inputs[IN_RSTD];
    anynorm_spec *spec = &work->spec;

    work->block_rows = block_rows(work);
    spec->flags =
        flag(rms, ANYNORM_RMS) | flag(o->l2, ANYNORM_L2) | flag(o->correction, ANYNORM_UNBIASED) |
        flag(o->eps_mode == 1, ANYNORM_EPS_OUTSIDE) | flag(o->eps_mode == 2, ANYNORM_EPS_FLOOR) |
        flag(o->round_first, ANYNORM_ROUND_FIRST) | flag(o->activation, ANYNORM_SILU) |
        flag(o->quantize_scale != 0.0, ANYNORM_Y_SCALE_INPUT) |
        flag(o->stats && !rms && !o->inputs[IN_MEAN], ANYNORM_MEAN_OUTPUT) |
        flag(o->stats && !rstd, ANYNORM_RSTD_OUTPUT);
    for (int i = 0; i < INPUTS; i++)
        spec->flags |= flag(o->inputs[i], of_inputs[i].flag);
    for (int i = 0; i < OUTPUTS; i++)
        spec->flags |= flag(o->outputs[i], of_outputs[i].flag);
    spec->statistic.eps = rstd ? 0.0 : o->eps;
    spec->quantization.bound = o->quantize_bound;
    work->y_scale = (float)o->quantize_scale;
    /* All tensors of rows lie as x does. */
    spec->x.type = work->x.type;
    spec->y = spec->x;
    if (o->output_dtype_given)
        spec->y.type = o->output_dtype;
    if (spec->flags & ANYNORM_RESIDUAL) {
        spec->residual = spec->x;
        spec->residual.type = work->inputs[IN_RESIDUAL].type;
    }
    if (spec->flags & ANYNORM_SUM_OUTPUT)
        spec->sum = spec->x;
    if (spec->flags & (ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_PRE_BIAS)) {
        spec->parameters.type = work->inputs[IN_WEIGHT].type; /* they share it */
        spec->parameters.rows = work->own_parameters ? work->block_rows : work->shape.groups;
        spec->parameters.weight_offset = o->weight_offset;
    } else {
        spec->parameters = (anynorm_parameters){0};
    }
    spec->gate.type = work->inputs[IN_GATE].type; /* f32 where it is not given; so the others */
    spec->scale.type = work->inputs[IN_SCALE].type;
    spec->shift.type = work->inputs[IN_SHIFT].type;
}

/* ---- What is written ---- */

/* A npy file of one tensor must not take the place of a file of many. */
static bool check_name(const char *path, const char *name)
{
    struct tensor_path parts = tensor_path_split(name);
    size_t length = strlen(name);

    if (parts.safetensors || (length > 4 && strcmp(name + length - 4, ".npz") == 0))
        return cli_fail(CLI_USAGE, path,
                        "only npy files are written, and %.*s is one of several tensors by its "
                        "name; name a .npy file",
                        parts.file > 200 ? 200 : (int)parts.file, name);
    return !parts.type || cli_fail(CLI_USAGE, path,
                                   "a type behind a colon is for files that are read; leave ':%s' "
                                   "out",
                                   parts.type);
}

bool norm_outputs_prepare(struct norm *work)
{
    for (int i = 0; i < OUTPUTS; i++) {
        const char *path = work->options.outputs[i];
        struct output *file = &work->outputs[i];

        if (path && (!check_name(path, path) || !output_prepare(file, path) ||
                     !check_name(path, file->target)))
            return false;
        for (int k = 0; k < i; k++) {
            if (output_same(&work->outputs[k], file))
                return cli_fail(CLI_USAGE, path, "is named by both %s and %s; name two files",
                                of_outputs[k].option, of_outputs[i].option);
        }
    }
    return true;
}

static anynorm_dtype type_of(const struct norm *work, int output)
{
    return output == OUT_Y     ? work->spec.y.type
           : output == OUT_SUM ? work->spec.sum.type
                               : ANYNORM_F32;
}

bool norm_outputs_create(struct norm *work)
{
    const struct tensor_layout *x = &work->x.layout;
    const struct shape_of *rows = &work->shape.statistics;
    uint8_t head[NPY_HEAD_MAX];

    for (int i = 0; i < OUTPUTS; i++) {
        struct output *file = &work->outputs[i];
        bool as_x = i == OUT_Y || i == OUT_SUM;

        if (file->path && (!output_create(file) ||
                           !output_write(file, head,
                                         npy_head(type_of(work, i), as_x ? x->rank : rows->rank,
                                                  as_x ? x->shape : rows->sizes, head))))
            return false;
    }
    return true;
}

uint64_t norm_output_bytes(const struct norm *work, enum norm_output_name output)
{
    uint64_t count = output == OUT_Y || output == OUT_SUM ? work->spec.columns : 1;
    bool there = output == OUT_Y || (work->spec.flags & of_outputs[output].flag);

    return there ? count * anynorm_dtype_size(type_of(work, (int)output)) : 0;
}

bool norm_outputs_write(struct norm *work, void *const rows[OUTPUTS], uint64_t count)
{
    for (int i = 0; i < OUTPUTS; i++) {
        uint64_t bytes = count * norm_output_bytes(work, (enum norm_output_name)i);

        if (work->outputs[i].path && !output_write(&work->outputs[i], rows[i], (size_t)bytes))
            return false;
    }
    return true;
}

bool norm_outputs_close(struct norm *work)
{
    for (int i = 0; i < OUTPUTS; i++) {
        if (work->outputs[i].path && !output_close(&work->outputs[i]))
            return false;
    }
    return true;
}

bool norm_outputs_commit(struct norm *work)
{
    struct output *files = work->outputs;
    int last = OUTPUTS - 1;

    while (last > 0 && !files[last].path)
        last--;
    for (int i = 0; i <= last; i++) {
        if (files[i].path && !output_commit(&files[i], i < last)) {
            while (i-- > 0)
                output_revoke(&files[i]);
            return false;
        }
    }
    return true;
}
