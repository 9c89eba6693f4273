#include "shape.h"

#include <inttypes.h>
#include <string.h>

/* No overflow: the layout was checked with its zeros left out, but a zero makes these zero. */
static uint64_t product(const uint64_t *sizes, uint32_t count)
{
    uint64_t elements = 1;

    for (uint32_t i = 0; i < count; i++)
        elements *= sizes[i];
    return elements;
}

uint64_t shape_elements(const struct shape_of *shape)
{
    return product(shape->sizes, shape->rank);
}

static struct shape_of take_shape(const uint64_t *sizes, uint32_t rank)
{
    struct shape_of shape = {.rank = rank};

    memcpy(shape.sizes, sizes, rank * sizeof *sizes);
    return shape;
}

static bool find_rows(const struct norm_options *options, const struct tensor_file *x,
                      struct norm_shape *shape, struct cli_error *error)
{
    const struct tensor_layout *layout = &x->layout;
    int64_t rank = (int64_t)layout->rank;
    int64_t axis = options->axis;
    char text[SHAPE_TEXT];
    uint32_t first;

    if (axis < -rank || axis >= rank)
        return cli_fail(
            error, CLI_USAGE, "--axis",
            "%" PRId64 " is no axis of %.200s, of shape %s; give %" PRId64 " to %" PRId64, axis,
            x->path, shape_text(layout->rank, layout->shape, text), -rank, rank - 1);
    first = (uint32_t)(axis < 0 ? axis + rank : axis);
    *shape = (struct norm_shape){
        .rows = product(layout->shape, first),
        .columns = product(layout->shape + first, layout->rank - first),
        .parameter_rows = 1,
        .parameter_run = 1,
        .line = product(layout->shape + first, layout->rank - first),
        .statistics = take_shape(layout->shape, first),
        .parameters = take_shape(layout->shape + first, layout->rank - first),
    };
    return true;
}

/* A group is some channels of each pixel. */
static void lay_out_last(struct norm_shape *shape, uint64_t channels, uint64_t groups,
                         uint64_t pixels)
{
    shape->parameter_run = 1;
    shape->parameter_cycle = channels / groups;
    shape->inner_rows = groups;
    shape->row_stride = channels / groups;
    shape->outer_stride = channels * pixels;
    shape->column_stride = channels;
    shape->column_run = channels / groups;
    shape->line = channels;
}

static bool find_channels(const struct norm_options *options, const struct tensor_file *x,
                          struct norm_shape *shape, struct cli_error *error)
{
    const struct tensor_layout *layout = &x->layout;
    bool last = options->channels_last;
    char text[SHAPE_TEXT];
    uint64_t channels;
    uint64_t groups;
    uint64_t pixels;

    if (layout->rank < 2 || layout->shape[last ? layout->rank - 1 : 1] == 0)
        return cli_fail(error, CLI_USAGE, x->path, "its shape %s has no channels; give %s",
                        shape_text(layout->rank, layout->shape, text),
                        last ? "(batch, ..., channels)" : "(batch, channels, ...)");
    channels = layout->shape[last ? layout->rank - 1 : 1];
    groups = options->kind == NORM_GROUP ? (uint64_t)options->groups : channels;
    if (channels % groups != 0)
        return cli_fail(error, CLI_USAGE, "--groups",
                        "%" PRIu64 " does not divide the %" PRIu64 " channels of %.200s; give a "
                        "divisor of them",
                        groups, channels, x->path);
    pixels = product(layout->shape + (last ? 1 : 2), layout->rank - 2);
    *shape = (struct norm_shape){
        .rows = layout->shape[0] * groups,
        .columns = channels / groups * pixels,
        .channel_axis = last ? layout->rank - 1 : 1,
        .parameter_rows = groups,
        .parameter_run = pixels,
        .line = channels / groups * pixels,
        .statistics = {2, {layout->shape[0], groups}},
        .parameters = {1, {channels}},
    };
    if (last)
        lay_out_last(shape, channels, groups, pixels);
    return true;
}

bool norm_shape_find(const struct norm_options *options, const struct tensor_file *x,
                     struct norm_shape *shape, struct cli_error *error)
{
    bool channels = options->kind == NORM_GROUP || options->kind == NORM_INSTANCE;
    char text[SHAPE_TEXT];

    if (x->layout.rank == 0)
        return cli_fail(error, CLI_USAGE, x->path,
                        "holds a single number without an axis; give an array of 1 to %d axes",
                        ANYNORM_MAX_RANK);
    if (!(channels ? find_channels : find_rows)(options, x, shape, error))
        return false;
    if (shape->columns == 0 || shape->columns > INT32_MAX)
        return cli_fail(error, CLI_USAGE, x->path,
                        "its shape %s has %" PRIu64 " elements to normalize over in a row; there "
                        "must be 1 to %" PRId32,
                        shape_text(x->layout.rank, x->layout.shape, text), shape->columns,
                        INT32_MAX);
    if (options->correction > (int64_t)shape->columns - 1)
        return cli_fail(error, CLI_USAGE, "--correction",
                        "1 needs rows of 2 elements or more, and those of %.200s have 1; give 0",
                        x->path);
    return true;
}
