/* How x is taken apart into rows, and how the shapes of the tensors beside it become its own. */
#include "norm.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* No overflow: the layout was checked with its zeros left out, but a zero makes these zero. */
static uint64_t product(const uint64_t *sizes, uint32_t count)
{
    uint64_t elements = 1;

    for (uint32_t i = 0; i < count; i++)
        elements *= sizes[i];
    return elements;
}

static struct shape_of take_shape(const uint64_t *sizes, uint32_t rank)
{
    struct shape_of shape = {.rank = rank};

    memcpy(shape.sizes, sizes, rank * sizeof *sizes);
    return shape;
}

static bool find_rows(struct norm *work)
{
    const struct tensor_layout *layout = &work->x.layout;
    int64_t rank = (int64_t)layout->rank;
    int64_t axis = work->options.axis;
    char text[SHAPE_TEXT];
    uint32_t first;

    if (axis < -rank || axis >= rank)
        return cli_fail(
            CLI_USAGE, "--axis",
            "%" PRId64 " is no axis of %.200s, of shape %s; give %" PRId64 " to %" PRId64, axis,
            work->x.path, shape_text(layout->rank, layout->shape, text), -rank, rank - 1);
    first = (uint32_t)(axis < 0 ? axis + rank : axis);
    work->shape = (struct norm_shape){
        .rows = product(layout->shape, first),
        .groups = 1,
        .line = product(layout->shape + first, layout->rank - first),
        .statistics = take_shape(layout->shape, first),
        .parameters = take_shape(layout->shape + first, layout->rank - first),
    };
    work->spec = (anynorm_spec){.columns = work->shape.line, .parameters.run = 1};
    return true;
}

/* A row is a channel of all images. One alone is dense. */
static void find_batch(struct norm *work, uint64_t channels, uint64_t pixels)
{
    bool last = work->options.layout == 1 || pixels == 1;
    uint64_t run = last ? 1 : pixels;

    work->shape.rows = channels;
    work->shape.line = last ? channels : pixels;
    work->shape.statistics = work->shape.parameters;
    work->spec = (anynorm_spec){.columns = work->x.layout.shape[0] * pixels};
    work->spec.parameters.run = work->spec.columns;
    if (channels > 1) {
        work->spec.column_run = work->spec.x.row_stride = run;
        work->spec.x.column_stride = channels * run;
    }
}

static bool find_channels(struct norm *work)
{
    const struct tensor_layout *layout = &work->x.layout;
    bool last = work->options.layout == 1;
    uint32_t axis = last ? layout->rank - 1 : 1;
    char text[SHAPE_TEXT];
    uint64_t channels, groups, pixels, of_group;

    if (layout->rank < 2 || layout->shape[axis] == 0)
        return cli_fail(CLI_USAGE, work->x.path, "its shape %s has no channels; give %s",
                        shape_text(layout->rank, layout->shape, text),
                        last ? "(batch, ..., channels)" : "(batch, channels, ...)");
    channels = layout->shape[axis];
    groups = work->options.kind == NORM_GROUP ? (uint64_t)work->options.groups : channels;
    if (channels % groups != 0)
        return cli_fail(CLI_USAGE, "--groups",
                        "%" PRIu64 " does not divide the %" PRIu64 " channels of %.200s; give a "
                        "divisor of them",
                        groups, channels, work->x.path);
    of_group = channels / groups;
    pixels = product(layout->shape + (last ? 1 : 2), layout->rank - 2);
    work->shape = (struct norm_shape){
        .rows = layout->shape[0] * groups,
        .channel_axis = axis,
        .groups = groups,
        .line = last ? channels : of_group * pixels,
        .statistics = {2, {layout->shape[0], groups}},
        .parameters = {1, {channels}},
    };
    work->spec = (anynorm_spec){.columns = of_group * pixels, .parameters.run = pixels};
    if (work->options.kind == NORM_BATCH) {
        find_batch(work, channels, pixels);
    } else if (last) { /* a group is some channels of each pixel */
        work->spec.parameters.run = 1;
        work->spec.parameters.cycle = work->spec.column_run = of_group;
        work->spec.inner_rows = groups;
        work->spec.x.row_stride = of_group;
        work->spec.x.outer_stride = channels * pixels;
        work->spec.x.column_stride = channels;
    }
    return true;
}

bool norm_shape_find(struct norm *work)
{
    const struct tensor_file *x = &work->x;
    enum norm_kind kind = work->options.kind;
    bool channels = kind == NORM_GROUP || kind == NORM_INSTANCE || kind == NORM_BATCH;
    char text[SHAPE_TEXT];

    if (x->layout.rank == 0)
        return cli_fail(CLI_USAGE, x->path,
                        "holds a single number without an axis; give an array of 1 to %d axes",
                        ANYNORM_MAX_RANK);
    if (!(channels ? find_channels : find_rows)(work))
        return false;
    if (work->spec.columns == 0 || work->spec.columns > INT32_MAX)
        return cli_fail(CLI_USAGE, x->path,
                        "its shape %s has %" PRIu64 " elements to normalize over in a row; there "
                        "must be 1 to %" PRId32,
                        shape_text(x->layout.rank, x->layout.shape, text), work->spec.columns,
                        INT32_MAX);
    if (work->options.correction > (int64_t)work->spec.columns - 1)
        return cli_fail(CLI_USAGE, "--correction",
                        "1 needs rows of 2 elements or more, and those of %.200s have 1; give 0",
                        x->path);
    if (work->options.outputs[OUT_RUNNING_VARIANCE] && work->options.convention == BY_PYTORCH &&
        work->spec.columns == 1)
        return cli_fail(CLI_USAGE, "--running-var-output",
                        "divides by the elements of a channel less one, and those of %.200s have "
                        "1; give more, or --convention onnx or keras",
                        x->path);
    return true;
}

/* ---- Shapes of other tensors ---- */

static bool fail_shape(struct norm *work, const struct tensor_file *tensor, const char *option,
                       const char *wanted)
{
    char own[SHAPE_TEXT], x[SHAPE_TEXT];

    return cli_fail(CLI_USAGE, tensor->path,
                    "its shape %s does not fit %s; give %s, or what numpy broadcasts to the %s of "
                    "x",
                    shape_text(tensor->layout.rank, tensor->layout.shape, own), option, wanted,
                    shape_text(work->x.layout.rank, work->x.layout.shape, x));
}

static bool is_shape(const struct tensor_layout *layout, const struct shape_of *shape)
{
    return layout->rank == shape->rank &&
           memcmp(layout->shape, shape->sizes, shape->rank * sizeof *shape->sizes) == 0;
}

static bool is_one_axis(const struct tensor_layout *layout, uint64_t elements)
{
    return layout->rank == 1 && layout->shape[0] == elements;
}

static bool stretch(struct norm *work, const struct tensor_file *tensor, struct tensor_view *view)
{
    return view_stretch(&tensor->view, work->x.layout.shape, work->x.layout.rank, view);
}

/* ---- Parameters ---- */

static bool is_constant_beside(const struct tensor_view *view, uint32_t axis)
{
    for (uint32_t i = 0; i < view->rank; i++) {
        if (i != axis && view->steps[i] != 0)
            return false;
    }
    return true;
}

static bool fit_channels(struct norm *work, struct tensor_file *tensor, const char *option)
{
    const struct norm_shape *shape = &work->shape;
    uint64_t channels = shape->parameters.sizes[0];
    uint64_t groups = shape->groups;
    struct tensor_view view = {0};
    struct tensor_view stretched;
    char wanted[120];

    if (is_one_axis(&tensor->layout, channels))
        return true;
    if (is_one_axis(&tensor->layout, groups)) {
        view_axis(&view, groups, tensor->view.steps[0]);
        view_axis(&view, channels / groups, 0);
    } else if (stretch(work, tensor, &stretched) &&
               is_constant_beside(&stretched, shape->channel_axis)) {
        view_axis(&view, channels, stretched.steps[shape->channel_axis]);
    } else {
        snprintf(wanted, sizeof wanted,
                 "a number for each of %" PRIu64 " channels, (%" PRIu64 ",), or %" PRIu64 " groups",
                 channels, channels, groups);
        return fail_shape(work, tensor, option, wanted);
    }
    tensor_set_view(tensor, &view);
    return true;
}

static bool fit_parameter(struct norm *work, struct tensor_file *tensor, const char *option)
{
    const struct norm_shape *shape = &work->shape;
    struct tensor_view view = {0};
    char wanted[SHAPE_TEXT];

    if (shape->channel_axis)
        return fit_channels(work, tensor, option);
    if (is_one_axis(&tensor->layout, work->spec.columns)) {
        view_axis(&view, shape->rows, 0);
        view_axis(&view, work->spec.columns, tensor->view.steps[0]);
    } else if (!stretch(work, tensor, &view)) {
        return fail_shape(work, tensor, option,
                          shape_text(shape->parameters.rank, shape->parameters.sizes, wanted));
    }
    tensor_set_view(tensor, &view);
    return true;
}

/* ---- Samples ---- */

/* Whether the shape is (samples, columns), and then in *view each sample for its rows. */
static bool share_samples(const struct norm *work, const struct tensor_file *tensor,
                          struct tensor_view *view)
{
    const struct tensor_layout *layout = &tensor->layout;
    const struct shape_of *row = &work->shape.parameters;
    uint64_t samples = layout->shape[0];
    bool as_row = layout->rank == row->rank + 1 &&
                  memcmp(layout->shape + 1, row->sizes, row->rank * sizeof *row->sizes) == 0;

    if (!as_row && !(layout->rank == 2 && layout->shape[1] == work->spec.columns))
        return false;
    *view = (struct tensor_view){0};
    view_axis(view, samples, tensor->view.steps[0]);
    view_axis(view, samples ? work->shape.rows / samples : 0, 0);
    for (uint32_t i = 1; i < layout->rank; i++)
        view_axis(view, layout->shape[i], tensor->view.steps[i]);
    return true;
}

/* Whether so many samples are as many as one of the first axes of x have rows, or some. */
static bool divides_rows(const struct norm_shape *shape, uint64_t samples)
{
    const struct shape_of *axes = &shape->statistics;
    uint64_t rows = 1;

    if (samples == 0)
        return shape->rows == 0;
    if (axes->rank <= 1)
        return shape->rows % samples == 0;
    for (uint32_t i = 0; i < axes->rank && rows != samples; i++)
        rows *= axes->sizes[i];
    return rows == samples;
}

static bool fit_sample(struct norm *work, struct tensor_file *tensor, const char *option)
{
    const struct norm_shape *shape = &work->shape;
    uint64_t samples = tensor->layout.rank ? tensor->layout.shape[0] : 1;
    struct tensor_view view;
    struct tensor_view shared;
    bool stretched = stretch(work, tensor, &view);
    bool is_shared = share_samples(work, tensor, &shared);
    bool fits = is_shared && divides_rows(shape, samples);
    char own[SHAPE_TEXT], x[SHAPE_TEXT];
    char wanted[80];

    /* Numbers of rows that happen to be the same must not decide what a file means. */
    if (stretched && fits && samples > 1 && samples < shape->rows)
        return cli_fail(CLI_USAGE, tensor->path,
                        "its shape %s can stand for the first axes of x, of shape %s, or for the "
                        "last ones; give it all axes, of 1 where it is repeated",
                        shape_text(tensor->layout.rank, tensor->layout.shape, own),
                        shape_text(work->x.layout.rank, work->x.layout.shape, x));
    if (stretched || fits) {
        tensor_set_view(tensor, stretched ? &view : &shared);
        return true;
    }
    if (is_shared && shape->statistics.rank <= 1)
        return cli_fail(CLI_USAGE, tensor->path,
                        "its %" PRIu64 " samples do not divide the %" PRIu64 " rows of x; give as "
                        "many as leave each the same number of rows",
                        samples, shape->rows);
    snprintf(wanted, sizeof wanted, "(samples, %" PRIu64 ")", work->spec.columns);
    return fail_shape(work, tensor, option, wanted);
}

/* ---- Statistics ---- */

/* Of a view of x, that of its rows' first elements; false: not all elements of a row are the same.
 */
static bool take_rows(const struct norm_shape *shape, const struct tensor_view *view,
                      struct tensor_view *rows)
{
    bool by_channel = shape->channel_axis && shape->groups == shape->parameters.sizes[0];

    *rows = (struct tensor_view){0};
    for (uint32_t i = 0; i < view->rank; i++) {
        bool image = i == 0 && shape->statistics.rank > 1; /* else rows are of all images */
        bool before = shape->channel_axis ? image || (by_channel && i == shape->channel_axis)
                                          : i < shape->statistics.rank;

        if (before)
            view_axis(rows, view->sizes[i], view->steps[i]);
        else if (view->steps[i] != 0)
            return false;
    }
    if (shape->channel_axis && !by_channel)
        view_axis(rows, shape->groups, 0);
    return true;
}

static bool fit_statistic(struct norm *work, struct tensor_file *tensor, const char *option)
{
    const struct shape_of *wanted = &work->shape.statistics;
    struct tensor_view view;
    struct tensor_view rows;
    char text[SHAPE_TEXT];

    if (is_shape(&tensor->layout, wanted) || is_one_axis(&tensor->layout, work->shape.rows))
        return true;
    if (!stretch(work, tensor, &view) || !take_rows(&work->shape, &view, &rows))
        return fail_shape(work, tensor, option, shape_text(wanted->rank, wanted->sizes, text));
    tensor_set_view(tensor, &rows);
    return true;
}

/* ---- Whole ones ---- */

static bool fit_whole(const struct norm *work, const struct tensor_file *tensor, const char *option)
{
    const struct tensor_layout *own = &tensor->layout, *x = &work->x.layout;
    char own_text[SHAPE_TEXT], x_text[SHAPE_TEXT];

    return (own->rank == x->rank &&
            memcmp(own->shape, x->shape, x->rank * sizeof *x->shape) == 0) ||
           cli_fail(CLI_USAGE, tensor->path,
                    "its shape %s does not fit %s; give that of x, %s, as each element of x has a "
                    "gradient of its own",
                    shape_text(own->rank, own->shape, own_text), option,
                    shape_text(x->rank, x->shape, x_text));
}

/* ---- All of them ---- */

bool norm_fit(struct norm *work, enum norm_family family, struct tensor_file *tensor,
              const char *option)
{
    const struct tensor_layout *x = &work->x.layout;
    struct tensor_view view;
    char text[SHAPE_TEXT];

    switch (family) {
    case PARAMETER:
        return fit_parameter(work, tensor, option);
    case SAMPLE:
        return fit_sample(work, tensor, option);
    case STATISTIC:
    case RUNNING:
        return fit_statistic(work, tensor, option);
    case WHOLE:
        return fit_whole(work, tensor, option);
    case RESIDUAL:
        break;
    }
    if (!stretch(work, tensor, &view))
        return fail_shape(work, tensor, option, shape_text(x->rank, x->shape, text));
    tensor_set_view(tensor, &view);
    return true;
}
