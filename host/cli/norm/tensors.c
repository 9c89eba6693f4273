/* The tensors beside x: those that are read, the spec that all come to, and those that are
 * written. */
#include "norm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *option;
    enum norm_family family;
    uint32_t flag;
    uint32_t saved; /* its flag where it is what the forward pass wrote: norm_is_saved */
} of_inputs[INPUTS] = {
    [IN_WEIGHT] = {"--weight", PARAMETER, .flag = ANYNORM_WEIGHT},
    [IN_BIAS] = {"--bias", PARAMETER, .flag = ANYNORM_BIAS},
    [IN_PRE_BIAS] = {"--pre-bias", PARAMETER, .flag = ANYNORM_PRE_BIAS},
    [IN_GATE] = {"--gate", SAMPLE, .flag = ANYNORM_GATE},
    [IN_SCALE] = {"--scale", SAMPLE, .flag = ANYNORM_SCALE},
    [IN_SHIFT] = {"--shift", SAMPLE, .flag = ANYNORM_SHIFT},
    [IN_MEAN] = {"--mean", STATISTIC, .flag = ANYNORM_MEAN_INPUT, .saved = ANYNORM_MEAN_OUTPUT},
    [IN_RSTD] = {"--rstd", STATISTIC, .flag = ANYNORM_RSTD_INPUT, .saved = ANYNORM_RSTD_OUTPUT},
    [IN_RUNNING_MEAN] = {"--running-mean", RUNNING, .flag = ANYNORM_MEAN_INPUT},
    [IN_RUNNING_VARIANCE] = {"--running-var", RUNNING, .flag = ANYNORM_RSTD_INPUT},
    [IN_RESIDUAL] = {"--residual", RESIDUAL, .flag = ANYNORM_RESIDUAL},
    [IN_DY] = {"--backward", .family = WHOLE},
    [IN_DSUM] = {"--dsum", WHOLE, .flag = ANYNORM_SUM_OUTPUT},
};

/* y and running statistics have no flag. A gradient and a running statistic have the shape of the
 * file of `input`; that of x, which is none of these, has INPUTS. */
static const struct {
    const char *option;
    enum norm_family family;
    uint32_t flag;
    uint32_t gradient; /* its flag, where it is one */
    enum norm_input_name input;
} of_outputs[OUTPUTS] = {
    [OUT_Y] = {"-o", .family = WHOLE},
    [OUT_SUM] = {"--sum-output", WHOLE, .flag = ANYNORM_SUM_OUTPUT},
    [OUT_MEAN] = {"--mean-output", STATISTIC, .flag = ANYNORM_MEAN_OUTPUT},
    [OUT_RSTD] = {"--rstd-output", STATISTIC, .flag = ANYNORM_RSTD_OUTPUT},
    [OUT_Y_SCALE] = {"--scale-output", STATISTIC, .flag = ANYNORM_Y_SCALE_OUTPUT},
    [OUT_RUNNING_MEAN] = {"--running-mean-output", RUNNING, .input = IN_RUNNING_MEAN},
    [OUT_RUNNING_VARIANCE] = {"--running-var-output", RUNNING, .input = IN_RUNNING_VARIANCE},
    [OUT_DX] = {"-o", WHOLE, .gradient = ANYNORM_DX, .input = INPUTS},
    [OUT_DRESIDUAL] = {"--dresidual-output", WHOLE, .gradient = ANYNORM_DRESIDUAL,
                       .input = IN_RESIDUAL},
    [OUT_DWEIGHT] = {"--dweight-output", PARAMETER, .gradient = ANYNORM_DWEIGHT,
                     .input = IN_WEIGHT},
    [OUT_DBIAS] = {"--dbias-output", PARAMETER, .gradient = ANYNORM_DBIAS, .input = IN_BIAS},
    [OUT_DPRE_BIAS] = {"--dpre-bias-output", PARAMETER, .gradient = ANYNORM_DPRE_BIAS,
                       .input = IN_PRE_BIAS},
    [OUT_DGATE] = {"--dgate-output", SAMPLE, .gradient = ANYNORM_DGATE, .input = IN_GATE},
    [OUT_DSCALE] = {"--dscale-output", SAMPLE, .gradient = ANYNORM_DSCALE, .input = IN_SCALE},
    [OUT_DSHIFT] = {"--dshift-output", SAMPLE, .gradient = ANYNORM_DSHIFT, .input = IN_SHIFT},
};

bool norm_input_is_as_x(enum norm_input_name input)
{
    return of_inputs[input].family == RESIDUAL || of_inputs[input].family == WHOLE;
}

bool norm_output_is_as_x(enum norm_output_name output)
{
    return of_outputs[output].family == WHOLE;
}

/* ---- Which go together ---- */

static bool check_output(const struct norm_options *o, int output)
{
    const char *option = of_outputs[output].option;
    enum norm_input_name input = of_outputs[output].input;

    if (!o->outputs[output])
        return true;
    if (!of_outputs[output].gradient)
        return output == OUT_Y || !norm_is_backward(o) ||
               cli_fail(CLI_USAGE, option,
                        "is for the norm, and --backward finds gradients; leave one out");
    if (!norm_is_backward(o))
        return cli_fail(CLI_USAGE, option,
                        "is for a gradient, which is found from that of the result; give "
                        "--backward too");
    return input == INPUTS || o->inputs[input] ||
           cli_fail(CLI_USAGE, option,
                    "is for the gradient of a tensor that is not there; give %s too",
                    of_inputs[input].option);
}

bool norm_outputs_check(const struct norm_options *o)
{
    for (int i = 0; i < OUTPUTS; i++) {
        if (!check_output(o, i))
            return false;
    }
    return true;
}

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

    if (family == RUNNING)
        return ANYNORM_F64;
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
    case RUNNING:
        return load(input, 1, 0, shape->rows);
    case RESIDUAL:
    case WHOLE:
        break;
    }
    return true;
}

/* How many numbers the library takes for a tensor, each of which has its gradient. */
static uint64_t numbers_of(const struct norm *work, enum norm_family family)
{
    const struct norm_shape *shape = &work->shape;
    uint64_t columns = work->spec.columns;

    if (family == PARAMETER && shape->channel_axis)
        return shape->parameters.sizes[0];
    if (family == PARAMETER)
        return work->own_parameters ? shape->rows * columns : columns;
    if (family == RUNNING)
        return shape->rows;
    return family == SAMPLE ? shape->rows / work->spec.sample_rows * columns
                            : shape->rows * columns;
}

/* Whether an output has the shape of an input's file. */
static bool is_of_input(int output)
{
    bool own = of_outputs[output].gradient || of_outputs[output].family == RUNNING;

    return own && of_outputs[output].input != INPUTS;
}

/* Whether each tensor of which a gradient, or an update, is wanted has a number for each that the
 * library takes: then they are in the same order, too. Of no rows all gradients are zeros. */
static bool check_shapes(const struct norm *work)
{
    char text[SHAPE_TEXT];

    for (int i = 0; i < OUTPUTS && work->shape.rows > 0; i++) {
        enum norm_input_name input = of_outputs[i].input;
        const struct tensor_file *file;
        uint64_t numbers;

        if (!work->options.outputs[i] || !is_of_input(i))
            continue;
        file = &work->inputs[input].file;
        numbers = numbers_of(work, of_outputs[i].family);
        if (file->layout.elements != numbers)
            return cli_fail(CLI_USAGE, file->path,
                            "its shape %s is repeated for %" PRIu64 " numbers that have %s "
                            "each, and %s %s; give %s as many numbers",
                            shape_text(file->layout.rank, file->layout.shape, text), numbers,
                            of_outputs[i].gradient ? "a gradient" : "an update",
                            of_outputs[i].option,
                            of_outputs[i].gradient ? "does not add these up" : "keeps each",
                            of_inputs[input].option);
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
    return check_shapes(work);
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

static uint32_t flag_of_input(const struct norm_options *o, int input)
{
    if (of_inputs[input].saved && norm_is_saved(o))
        return of_inputs[input].saved;
    /* What training updates is no input of the norm. */
    return of_inputs[input].family == RUNNING && o->training ? 0 : of_inputs[input].flag;
}

static uint32_t find_flags(const struct norm_options *o)
{
    bool rms = o->kind == NORM_RMS;
    uint32_t flags =
        flag(rms, ANYNORM_RMS) | flag(o->l2, ANYNORM_L2) | flag(o->correction, ANYNORM_UNBIASED) |
        flag(o->eps_mode == 1, ANYNORM_EPS_OUTSIDE) | flag(o->eps_mode == 2, ANYNORM_EPS_FLOOR) |
        flag(o->round_first, ANYNORM_ROUND_FIRST) | flag(o->activation, ANYNORM_SILU) |
        flag(o->quantize_scale != 0.0, ANYNORM_Y_SCALE_INPUT);

    for (int i = 0; i < INPUTS; i++)
        flags |= flag(o->inputs[i], flag_of_input(o, i));
    for (int i = 0; i < OUTPUTS; i++)
        flags |= flag(o->outputs[i], of_outputs[i].flag);
    if (flags & ANYNORM_RSTD_INPUT) /* eps went into it: running statistics */
        flags &= ~(uint32_t)(ANYNORM_EPS_OUTSIDE | ANYNORM_EPS_FLOOR);
    if (o->stats) /* of what is found */
        flags |= flag(!rms && !(flags & ANYNORM_MEAN_INPUT), ANYNORM_MEAN_OUTPUT) |
                 flag(!(flags & ANYNORM_RSTD_INPUT), ANYNORM_RSTD_OUTPUT);
    return flags;
}

/* What is found of a spec that is complete but for this. */
static void find_gradients(struct norm *work)
{
    const struct norm_options *o = &work->options;
    anynorm_spec *spec = &work->spec;
    anynorm_gradients *gradients = &spec->gradients;
    anynorm_dtype type = o->gradient_dtype_given       ? o->gradient_dtype
                         : work->x.type == ANYNORM_F64 ? ANYNORM_F64
                                                       : ANYNORM_F32;

    for (int i = 0; i < OUTPUTS; i++)
        gradients->flags |= flag(o->outputs[i], of_outputs[i].gradient);
    if (gradients->flags == 0)
        gradients->flags = ANYNORM_DX; /* to be printed */
    if (gradients->flags & ANYNORM_DX) {
        gradients->dx = spec->x;
        if (o->output_dtype_given)
            gradients->dx.type = o->output_dtype;
    }
    if (gradients->flags & ANYNORM_DRESIDUAL)
        gradients->dresidual = spec->residual;
    if (gradients->flags & (ANYNORM_DWEIGHT | ANYNORM_DBIAS | ANYNORM_DPRE_BIAS))
        gradients->parameters = type;
    if (gradients->flags & (ANYNORM_DGATE | ANYNORM_DSCALE | ANYNORM_DSHIFT))
        gradients->samples = type;
    gradients->flags |= flag(o->inputs[IN_DSUM], ANYNORM_DSUM);
    spec->y.type = work->inputs[IN_DY].type; /* y and sum lend theirs to their gradients */
    if (o->inputs[IN_DSUM])
        spec->sum.type = work->inputs[IN_DSUM].type;
}

void norm_spec_find(struct norm *work)
{
    const struct norm_options *o = &work->options;
    bool backward = norm_is_backward(o);
    anynorm_spec *spec = &work->spec;

    work->block_rows = norm_is_whole(o) || (backward && work->own_parameters) ? work->shape.rows
                                                                              : block_rows(work);
    spec->flags = find_flags(o);
    spec->statistic.eps = spec->flags & ANYNORM_RSTD_INPUT ? 0.0 : o->eps;
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
    if (backward)
        find_gradients(work);
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

anynorm_dtype norm_output_type(const struct norm *work, enum norm_output_name output)
{
    const anynorm_spec *spec = &work->spec;

    switch (of_outputs[output].family) {
    case PARAMETER:
        return spec->gradients.parameters;
    case SAMPLE:
        return spec->gradients.samples;
    case STATISTIC:
        return ANYNORM_F32;
    case RUNNING:
        return work->inputs[of_outputs[output].input].file.type;
    case RESIDUAL:
    case WHOLE:
        break;
    }
    return output == OUT_Y     ? spec->y.type
           : output == OUT_SUM ? spec->sum.type
           : output == OUT_DX  ? spec->gradients.dx.type
                               : spec->gradients.dresidual.type;
}

/* The input in whose shape an output is written; NULL: it is that of no input. */
static const struct tensor_layout *layout_of_input(const struct norm *work, int output)
{
    return is_of_input(output) ? &work->inputs[of_outputs[output].input].file.layout : NULL;
}

/* The head of an output's file; returns its size. */
static size_t make_head(const struct norm *work, int output, uint8_t head[NPY_HEAD_MAX])
{
    const struct tensor_layout *layout = layout_of_input(work, output);
    const struct shape_of *rows = &work->shape.statistics;
    anynorm_dtype type = norm_output_type(work, (enum norm_output_name)output);

    if (of_outputs[output].family == STATISTIC)
        return npy_head(type, rows->rank, rows->sizes, head);
    if (!layout)
        layout = &work->x.layout;
    return npy_head(type, layout->rank, layout->shape, head);
}

bool norm_outputs_create(struct norm *work)
{
    uint8_t head[NPY_HEAD_MAX];

    for (int i = 0; i < OUTPUTS; i++) {
        struct output *file = &work->outputs[i];

        if (!file->path)
            continue;
        work->heads[i] = make_head(work, i, head);
        if (!output_create(file) || !output_write(file, head, work->heads[i]))
            return false;
    }
    return true;
}

/* Whether a gradient or a running statistic, one in the shape of its tensor, is there once all rows
 * are: it is summed over these, or there are none. A sample of one row is written with the row. */
static bool is_of_all(const struct norm *work, int output)
{
    enum norm_family family = of_outputs[output].family;

    return work->shape.rows == 0 || family == PARAMETER || family == RUNNING ||
           (family == SAMPLE && work->spec.sample_rows > 1);
}

uint64_t norm_output_start(const struct norm *work, enum norm_output_name output, uint64_t first)
{
    bool of_samples = of_outputs[output].family == SAMPLE && work->spec.sample_rows > 1;

    return of_samples ? first / work->spec.sample_rows * work->spec.columns : 0;
}

uint64_t norm_output_count(const struct norm *work, enum norm_output_name output, uint64_t rows)
{
    const anynorm_spec *spec = &work->spec;
    const struct tensor_layout *layout = layout_of_input(work, (int)output);
    bool there = norm_is_backward(&work->options)
                     ? spec->gradients.flags & of_outputs[output].gradient
                     : output == OUT_Y || spec->flags & of_outputs[output].flag ||
                           (of_outputs[output].family == RUNNING && work->options.outputs[output]);

    if (!there)
        return 0;
    if (layout && is_of_all(work, (int)output))
        return layout->elements;
    return of_outputs[output].family == STATISTIC ? rows : rows * spec->columns;
}

/* `count` elements, the first of them number `from` of the output. */
static bool write_output(struct norm *work, int output, const void *data, uint64_t from,
                         uint64_t count)
{
    size_t size = anynorm_dtype_size(norm_output_type(work, (enum norm_output_name)output));
    const struct norm_share *share = work->share;

    if (!work->options.outputs[output] || count == 0)
        return true;
    if (share)
        return share->write(share->context, (enum norm_output_name)output,
                            work->heads[output] + from * size, data, (size_t)(count * size));
    return output_write(&work->outputs[output], data, (size_t)(count * size));
}

/* Whether an output is written at the end, in the shape of the input that it belongs to. */
static bool is_late(const struct norm *work, int output)
{
    return layout_of_input(work, output) && is_of_all(work, output);
}

bool norm_outputs_write(struct norm *work, void *const data[OUTPUTS], uint64_t first, uint64_t rows)
{
    for (int i = 0; i < OUTPUTS; i++) {
        enum norm_output_name name = (enum norm_output_name)i;

        if (!is_late(work, i) &&
            !write_output(work, i, data[i], norm_output_count(work, name, first),
                          norm_output_count(work, name, rows)))
            return false;
    }
    return true;
}

bool norm_sums_write(struct norm *work, void *const data[OUTPUTS])
{
    const struct norm_share *share = work->share;

    for (int i = 0; i < OUTPUTS; i++) {
        enum norm_output_name name = (enum norm_output_name)i;
        uint64_t from = 0, end = norm_output_count(work, name, 0);
        size_t size = anynorm_dtype_size(norm_output_type(work, name));

        if (!is_late(work, i))
            continue;
        if (share && of_outputs[i].family == SAMPLE) {
            from = norm_output_start(work, name, share->first);
            if (share->end < work->shape.rows)
                end = norm_output_start(work, name, share->end);
        } else if (share && share->end < work->shape.rows) {
            continue; /* they are whole where the last rows are */
        }
        if (!write_output(work, i, (const uint8_t *)data[i] + from * size, from, end - from))
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
