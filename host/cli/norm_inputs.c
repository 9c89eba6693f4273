#include "norm_inputs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_MOST = 3 };

/* One tensor that an option may name, and where its elements go. */
struct wanted {
    const char *option;
    const char *path; /* NULL: it does not */
    void **data;
};

/* What the shapes are checked against. */
struct frame {
    const struct tensor_file *x;
    const struct norm_shape *shape;
    uint64_t samples;           /* of the sample tensors so far */
    const char *samples_option; /* NULL: there was none */
    bool two_bytes_are_bf16;
    struct cli_error *error;
};

typedef bool check_fn(struct frame *frame, const struct tensor_file *tensor, const char *option);

static bool same_shape(const struct tensor_layout *layout, const uint64_t *sizes, uint32_t rank)
{
    return layout->rank == rank && memcmp(layout->shape, sizes, rank * sizeof *sizes) == 0;
}

static bool is_one_axis(const struct tensor_layout *layout, uint64_t elements)
{
    return same_shape(layout, &elements, 1);
}

static bool fail_shape(const struct frame *frame, const struct tensor_file *tensor,
                       const char *option, const char *what, const char *wanted)
{
    char text[SHAPE_TEXT];

    return cli_fail(frame->error, CLI_USAGE, tensor->path, "its shape %s does not fit %s; %s %s",
                    shape_text(tensor->layout.rank, tensor->layout.shape, text), option, what,
                    wanted);
}

static bool check_parameter(struct frame *frame, const struct tensor_file *tensor,
                            const char *option)
{
    const struct shape_of *wanted = &frame->shape->parameters;
    char text[SHAPE_TEXT];

    return same_shape(&tensor->layout, wanted->sizes, wanted->rank) ||
           is_one_axis(&tensor->layout, shape_elements(wanted)) ||
           fail_shape(frame, tensor, option, "the parameters of a row of x have the shape",
                      shape_text(wanted->rank, wanted->sizes, text));
}

static bool check_statistic(struct frame *frame, const struct tensor_file *tensor,
                            const char *option)
{
    const struct shape_of *wanted = &frame->shape->statistics;
    char text[SHAPE_TEXT];

    return same_shape(&tensor->layout, wanted->sizes, wanted->rank) ||
           is_one_axis(&tensor->layout, frame->shape->rows) ||
           fail_shape(frame, tensor, option, "the rows of x have the shape",
                      shape_text(wanted->rank, wanted->sizes, text));
}

static bool check_like_x(struct frame *frame, const struct tensor_file *tensor, const char *option)
{
    const struct tensor_layout *wanted = &frame->x->layout;
    char text[SHAPE_TEXT];

    return same_shape(&tensor->layout, wanted->shape, wanted->rank) ||
           fail_shape(frame, tensor, option, "x has the shape",
                      shape_text(wanted->rank, wanted->shape, text));
}

/* Any axes, and behind them the normalized ones or one of as many elements. */
static bool check_samples(struct frame *frame, const struct tensor_file *tensor, const char *option)
{
    const struct tensor_layout *layout = &tensor->layout;
    const struct shape_of *row = &frame->shape->parameters;
    uint64_t rows = frame->shape->rows;
    uint64_t columns = frame->shape->columns;
    uint64_t samples = layout->elements / columns;
    char wanted[60];

    snprintf(wanted, sizeof wanted, "(samples, %" PRIu64 ")", columns);
    if (!(layout->rank > 0 && layout->shape[layout->rank - 1] == columns) &&
        !(layout->rank >= row->rank && memcmp(layout->shape + layout->rank - row->rank, row->sizes,
                                              row->rank * sizeof *row->sizes) == 0))
        return fail_shape(frame, tensor, option, "it must have the shape", wanted);
    if (samples == 0 ? rows != 0 : rows % samples != 0)
        return cli_fail(frame->error, CLI_USAGE, tensor->path,
                        "its %" PRIu64 " samples do not divide the %" PRIu64 " rows of x; give as "
                        "many as leave each the same number of rows",
                        samples, rows);
    if (frame->samples_option && samples != frame->samples)
        return cli_fail(frame->error, CLI_USAGE, tensor->path,
                        "its %" PRIu64 " samples are not the %" PRIu64 " of %s; give as many",
                        samples, frame->samples, frame->samples_option);
    frame->samples = samples;
    frame->samples_option = option;
    return true;
}

/* All of it, as `type`: the file's own, f32 or f64. */
static bool load(const struct tensor_file *file, anynorm_dtype type, void **out,
                 struct cli_error *error)
{
    uint64_t count = file->layout.elements;
    size_t size = anynorm_dtype_size(type);
    uint8_t *data = malloc(count * size + 1);
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

/* The type of all files, or one that holds the values of each exactly. */
static anynorm_dtype common_type(const struct tensor_file *files, size_t count)
{
    const struct tensor_file *first = NULL;
    bool differ = false;
    bool wide = false;

    for (size_t i = 0; i < count; i++) {
        if (!files[i].path)
            continue;
        first = first ? first : &files[i];
        differ = differ || files[i].type != first->type;
        wide = wide || files[i].type == ANYNORM_F64;
    }
    if (!first)
        return ANYNORM_F32;
    return !differ ? first->type : wide ? ANYNORM_F64 : ANYNORM_F32;
}

/* Reads tensors of one kind; in *type, unless it is NULL and they become f32, the one they have. */
static bool read_all(struct frame *frame, const struct wanted *wanted, size_t count,
                     check_fn *check, anynorm_dtype *type)
{
    struct tensor_file files[TENSORS_MOST] = {{0}};
    anynorm_dtype common = ANYNORM_F32;
    bool done = false;

    for (size_t i = 0; i < count; i++) {
        if (wanted[i].path &&
            (!tensor_open(wanted[i].path, frame->two_bytes_are_bf16, &files[i], frame->error) ||
             !check(frame, &files[i], wanted[i].option)))
            goto out;
    }
    if (type)
        *type = common = common_type(files, count);
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].path && !load(&files[i], common, wanted[i].data, frame->error))
            goto out;
    }
    done = true;
out:
    for (size_t i = 0; i < count; i++)
        tensor_close(&files[i]);
    return done;
}

bool norm_inputs_read(const struct norm_options *o, const struct tensor_file *x,
                      const struct norm_shape *shape, struct norm_inputs *inputs,
                      struct cli_error *error)
{
    struct frame frame = {
        .x = x,
        .shape = shape,
        .two_bytes_are_bf16 = x->type == ANYNORM_BF16,
        .error = error,
    };
    void *mean = NULL;
    void *rstd = NULL;
    const struct wanted parameters[] = {{"--weight", o->weight, &inputs->weight},
                                        {"--bias", o->bias, &inputs->bias},
                                        {"--pre-bias", o->pre_bias, &inputs->pre_bias}};
    const struct wanted samples[] = {{"--gate", o->gate, &inputs->gate},
                                     {"--scale", o->scale, &inputs->scale},
                                     {"--shift", o->shift, &inputs->shift}};
    const struct wanted statistics[] = {{"--mean", o->mean, &mean}, {"--rstd", o->rstd, &rstd}};
    bool done;

    *inputs = (struct norm_inputs){0};
    done = read_all(&frame, parameters, 3, check_parameter, &inputs->parameter_type) &&
           read_all(&frame, samples, 3, check_samples, &inputs->sample_type) &&
           read_all(&frame, statistics, 2, check_statistic, NULL) &&
           (!o->residual ||
            (tensor_open(o->residual, frame.two_bytes_are_bf16, &inputs->residual, error) &&
             check_like_x(&frame, &inputs->residual, "--residual")));
    inputs->mean = mean;
    inputs->rstd = rstd;
    if (frame.samples_option)
        inputs->sample_rows = shape->rows ? shape->rows / frame.samples : 1;
    return done;
}

void norm_inputs_free(struct norm_inputs *inputs)
{
    free(inputs->weight);
    free(inputs->bias);
    free(inputs->pre_bias);
    free(inputs->gate);
    free(inputs->scale);
    free(inputs->shift);
    free(inputs->mean);
    free(inputs->rstd);
    tensor_close(&inputs->residual);
    *inputs = (struct norm_inputs){0};
}
