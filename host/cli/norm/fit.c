#include "fit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool fail_shape(const struct norm_frame *frame, const struct tensor_file *tensor,
                       const char *option, const char *wanted)
{
    char own[SHAPE_TEXT], x[SHAPE_TEXT];

    return cli_fail(frame->error, CLI_USAGE, tensor->path,
                    "its shape %s does not fit %s; give %s, or what numpy broadcasts to the %s of "
                    "x",
                    shape_text(tensor->layout.rank, tensor->layout.shape, own), option, wanted,
                    shape_text(frame->x->rank, frame->x->shape, x));
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

static bool stretch(const struct norm_frame *frame, const struct tensor_file *tensor,
                    struct tensor_view *view)
{
    return view_stretch(&tensor->view, frame->x->shape, frame->x->rank, view);
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

static bool fit_channels(const struct norm_frame *frame, struct tensor_file *tensor,
                         const char *option)
{
    const struct norm_shape *shape = frame->shape;
    uint64_t channels = shape->parameters.sizes[0];
    uint64_t groups = shape->parameter_rows;
    struct tensor_view view = {0};
    struct tensor_view stretched;
    char wanted[120];

    if (is_one_axis(&tensor->layout, channels))
        return true;
    if (is_one_axis(&tensor->layout, groups)) {
        view_axis(&view, groups, tensor->view.steps[0]);
        view_axis(&view, channels / groups, 0);
    } else if (stretch(frame, tensor, &stretched) &&
               is_constant_beside(&stretched, shape->channel_axis)) {
        view_axis(&view, channels, stretched.steps[shape->channel_axis]);
    } else {
        snprintf(wanted, sizeof wanted,
                 "a number for each of %" PRIu64 " channels, (%" PRIu64 ",), or %" PRIu64 " groups",
                 channels, channels, groups);
        return fail_shape(frame, tensor, option, wanted);
    }
    tensor_set_view(tensor, &view);
    return true;
}

bool norm_fit_parameter(const struct norm_frame *frame, struct tensor_file *tensor,
                        const char *option)
{
    const struct norm_shape *shape = frame->shape;
    struct tensor_view view = {0};
    char wanted[SHAPE_TEXT];

    if (shape->channel_axis)
        return fit_channels(frame, tensor, option);
    if (is_one_axis(&tensor->layout, shape->columns)) {
        view_axis(&view, shape->rows, 0);
        view_axis(&view, shape->columns, tensor->view.steps[0]);
    } else if (!stretch(frame, tensor, &view)) {
        return fail_shape(frame, tensor, option,
                          shape_text(shape->parameters.rank, shape->parameters.sizes, wanted));
    }
    tensor_set_view(tensor, &view);
    return true;
}

/* ---- Samples ---- */

/* Whether the shape is (samples, columns), and then in *view each sample for its rows. */
static bool share_samples(const struct norm_shape *shape, const struct tensor_file *tensor,
                          struct tensor_view *view)
{
    const struct tensor_layout *layout = &tensor->layout;
    struct shape_of row = {.rank = layout->rank - 1};
    uint64_t samples = layout->shape[0];

    if (layout->rank < 2)
        return false;
    memcpy(row.sizes, layout->shape + 1, row.rank * sizeof *row.sizes);
    if (!(row.rank == 1 && row.sizes[0] == shape->columns) &&
        !(row.rank == shape->parameters.rank && shape_elements(&row) == shape->columns &&
          memcmp(row.sizes, shape->parameters.sizes, row.rank * sizeof *row.sizes) == 0))
        return false;
    *view = (struct tensor_view){0};
    view_axis(view, samples, tensor->view.steps[0]);
    view_axis(view, samples ? shape->rows / samples : 0, 0);
    for (uint32_t i = 0; i < row.rank; i++)
        view_axis(view, row.sizes[i], tensor->view.steps[i + 1]);
    return true;
}

/* Whether so many samples are as many as one of the first axes of x have rows, or some. */
static bool divides_rows(const struct norm_shape *shape, uint64_t samples)
{
    const struct shape_of *axes = &shape->statistics;
    uint64_t product = 1;

    if (samples == 0)
        return shape->rows == 0;
    if (axes->rank <= 1)
        return shape->rows % samples == 0;
    for (uint32_t i = 0; i < axes->rank && product != samples; i++)
        product *= axes->sizes[i];
    return product == samples;
}

bool norm_fit_sample(const struct norm_frame *frame, struct tensor_file *tensor, const char *option)
{
    const struct norm_shape *shape = frame->shape;
    uint64_t samples = tensor->layout.rank ? tensor->layout.shape[0] : 1;
    struct tensor_view view;
    struct tensor_view shared;
    bool stretched = stretch(frame, tensor, &view);
    bool is_shared = share_samples(shape, tensor, &shared);
    bool fits = is_shared && divides_rows(shape, samples);
    char own[SHAPE_TEXT], x[SHAPE_TEXT];
    char wanted[80];

    /* Numbers of rows that happen to be the same must not decide what a file means. */
    if (stretched && fits && samples > 1 && samples < shape->rows)
        return cli_fail(frame->error, CLI_USAGE, tensor->path,
                        "its shape %s can stand for the first axes of x, of shape %s, or for the "
                        "last ones; give it all axes, of 1 where it is repeated",
                        shape_text(tensor->layout.rank, tensor->layout.shape, own),
                        shape_text(frame->x->rank, frame->x->shape, x));
    if (stretched || fits) {
        tensor_set_view(tensor, stretched ? &view : &shared);
        return true;
    }
    if (is_shared && shape->statistics.rank <= 1)
        return cli_fail(frame->error, CLI_USAGE, tensor->path,
                        "its %" PRIu64 " samples do not divide the %" PRIu64 " rows of x; give as "
                        "many as leave each the same number of rows",
                        samples, shape->rows);
    snprintf(wanted, sizeof wanted, "(samples, %" PRIu64 ")", shape->columns);
    return fail_shape(frame, tensor, option, wanted);
}

/* ---- Statistics ---- */

/* Of a view of x, that of its rows' first elements; false: not all elements of a row are the same.
 */
static bool take_rows(const struct norm_shape *shape, const struct tensor_view *view,
                      struct tensor_view *rows)
{
    bool by_channel = shape->channel_axis && shape->parameter_rows == shape->parameters.sizes[0];

    *rows = (struct tensor_view){0};
    for (uint32_t i = 0; i < view->rank; i++) {
        bool before = shape->channel_axis ? i == 0 || (by_channel && i == shape->channel_axis)
                                          : i < shape->statistics.rank;

        if (before)
            view_axis(rows, view->sizes[i], view->steps[i]);
        else if (view->steps[i] != 0)
            return false;
    }
    if (shape->channel_axis && !by_channel)
        view_axis(rows, shape->parameter_rows, 0);
    return true;
}

bool norm_fit_statistic(const struct norm_frame *frame, struct tensor_file *tensor,
                        const char *option)
{
    const struct shape_of *wanted = &frame->shape->statistics;
    struct tensor_view view;
    struct tensor_view rows;
    char text[SHAPE_TEXT];

    if (is_shape(&tensor->layout, wanted) || is_one_axis(&tensor->layout, frame->shape->rows))
        return true;
    if (!stretch(frame, tensor, &view) || !take_rows(frame->shape, &view, &rows))
        return fail_shape(frame, tensor, option, shape_text(wanted->rank, wanted->sizes, text));
    tensor_set_view(tensor, &rows);
    return true;
}

/* ---- What has the shape of x ---- */

bool norm_fit_residual(const struct norm_frame *frame, struct tensor_file *tensor,
                       const char *option)
{
    struct tensor_view view;
    char text[SHAPE_TEXT];

    if (!stretch(frame, tensor, &view))
        return fail_shape(frame, tensor, option, shape_text(frame->x->rank, frame->x->shape, text));
    tensor_set_view(tensor, &view);
    return true;
}
