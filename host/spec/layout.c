/* Where the rows of a tensor lie. */
#include "base/checked.h"
#include "spec.h"

struct an_layout an_spec_layout(const anynorm_spec *spec, const anynorm_rows *rows)
{
    return (struct an_layout){spec->columns,      spec->inner_rows,    rows->row_stride,
                              rows->outer_stride, rows->column_stride, spec->column_run};
}

void an_layout_axes(const struct an_layout *layout, uint64_t rows, struct an_axis axes[AN_AXES])
{
    uint64_t last = rows - 1, inner_rows = layout->inner_rows;
    axes[0] = (struct an_axis){1, layout->column_run - 1};
    axes[1] = (struct an_axis){layout->column_stride, layout->columns / layout->column_run - 1};
    axes[2] = (struct an_axis){layout->row_stride, last};
    axes[3] = (struct an_axis){layout->outer_stride, 0};
    if (inner_rows > 0) {
        axes[2].steps = last < inner_rows ? last : inner_rows - 1;
        axes[3].steps = last / inner_rows;
    }
}

/* Adds `steps` strides to *at. */
static bool advance(uint64_t stride, uint64_t steps, uint64_t *at)
{
    uint64_t distance;
    return an_mul(stride, steps, &distance) && an_add(*at, distance, at);
}

bool an_layout_extent(const struct an_layout *layout, uint64_t rows, uint64_t *elements)
{
    *elements = 0;
    if (rows == 0)
        return true;
    struct an_axis axes[AN_AXES];
    an_layout_axes(layout, rows, axes);
    uint64_t span = layout->column_run;
    if (!advance(axes[1].stride, axes[1].steps, &span))
        return false;
    /* The last full group of inner rows may reach further than a short one after it. */
    uint64_t last = span, full = span, inner = axes[2].steps;
    if (layout->inner_rows > 0)
        inner = (rows - 1) % layout->inner_rows;
    if (!advance(axes[2].stride, inner, &last) || !advance(axes[3].stride, axes[3].steps, &last))
        return false;
    if (axes[3].steps > 0 && (!advance(axes[2].stride, axes[2].steps, &full) ||
                              !advance(axes[3].stride, axes[3].steps - 1, &full)))
        return false;
    *elements = full > last ? full : last;
    return true;
}

uint64_t an_layout_start(const struct an_layout *layout, uint64_t row)
{
    if (layout->inner_rows == 0)
        return row * layout->row_stride;
    return row / layout->inner_rows * layout->outer_stride +
           row % layout->inner_rows * layout->row_stride;
}

uint64_t an_layout_column(const struct an_layout *layout, uint64_t column)
{
    return column / layout->column_run * layout->column_stride + column % layout->column_run;
}

bool an_layout_disjoint(const struct an_layout *layout, uint64_t rows)
{
    if (rows < 2)
        return true;
    struct an_axis axes[AN_AXES];
    an_layout_axes(layout, rows, axes);
    uint64_t span = 1;
    for (int placed = 0; placed < AN_AXES; placed++) {
        int next = placed;
        for (int i = placed + 1; i < AN_AXES; i++) {
            if (axes[i].stride < axes[next].stride)
                next = i;
        }
        struct an_axis axis = axes[next];
        axes[next] = axes[placed];
        if (axis.steps > 0 && (axis.stride < span || !advance(axis.stride, axis.steps, &span)))
            return false;
    }
    return true;
}
