#include "spec.h"

#include <inttypes.h>
#include <math.h>

#include "checked.h"
#include "dtype.h"
#include "status.h"

#define MAX_COLUMNS UINT64_C(0x7fffffff)

static const uint32_t known_flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT |
                                    ANYNORM_RSTD_OUTPUT | ANYNORM_ANY_ALIGNMENT;

/* The strides of one tensor, to be filled in. */
struct strides {
    char tensor;
    uint64_t *row;
    uint64_t *outer;
    uint64_t *column;
};

/* A step from a row to another must not end on another column of the same row. */
static anynorm_status check_step(const struct strides *s, const char *name, uint64_t stride,
                                 uint64_t columns)
{
    if (stride % *s->column != 0 || stride / *s->column >= columns)
        return ANYNORM_OK;
    if (*s->column == 1)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: %c_%s_stride is %" PRIu64 ", less than the %" PRIu64 " columns",
                       s->tensor, name, stride, columns);
    return an_fail(ANYNORM_INVALID_ARGUMENT,
                   "spec: %c_%s_stride is %" PRIu64 ", which leads from one of the %" PRIu64
                   " columns, %" PRIu64 " apart, to another",
                   s->tensor, name, stride, columns, *s->column);
}

static anynorm_status resolve_strides(const struct strides *s, uint64_t columns,
                                      uint64_t inner_rows)
{
    if (*s->column == 0 || columns == 1)
        *s->column = 1;
    bool side_by_side = *s->column == 1;
    if (*s->row == 0)
        *s->row = side_by_side ? columns : 1;
    if (inner_rows == 0 && *s->outer != 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: %c_outer_stride is set but inner_rows is 0",
                       s->tensor);
    /* The stride between the rows of a group of one is of no account. */
    anynorm_status status = inner_rows == 1 ? ANYNORM_OK : check_step(s, "row", *s->row, columns);
    if (status != ANYNORM_OK || inner_rows == 0)
        return status;
    if (*s->outer == 0 && !(side_by_side ? an_mul(inner_rows, *s->row, s->outer)
                                         : an_mul(columns, *s->column, s->outer)))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: %s times %c_%s_stride is above 2^64",
                       side_by_side ? "inner_rows" : "columns", s->tensor,
                       side_by_side ? "row" : "column");
    status = check_step(s, "outer", *s->outer, columns);
    if (status == ANYNORM_OK && inner_rows == 1)
        *s->row = *s->outer;
    return status;
}

static bool level_is_dense(uint64_t inner_rows, uint64_t row_stride, uint64_t outer_stride)
{
    uint64_t inner_extent;
    return an_mul(inner_rows, row_stride, &inner_extent) && inner_extent == outer_stride;
}

anynorm_status an_spec_resolve(const anynorm_spec *spec, anynorm_spec *resolved)
{
    if (!spec)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec is NULL");
    anynorm_spec s = *spec;
    if (s.columns == 0 || s.columns > MAX_COLUMNS)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: columns is %" PRIu64 ", must be 1 to 2147483647", s.columns);
    if (!an_dtype_valid(s.x_type) || !an_dtype_valid(s.y_type) || !an_dtype_valid(s.parameter_type))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: x_type, y_type or parameter_type is %d, "
                       "which is no anynorm_dtype",
                       !an_dtype_valid(s.x_type)   ? (int)s.x_type
                       : !an_dtype_valid(s.y_type) ? (int)s.y_type
                                                   : (int)s.parameter_type);
    if (s.flags & ~known_flags)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: flags has unknown bits 0x%" PRIx32,
                       s.flags & ~known_flags);
    if (!isfinite(s.eps) || s.eps < 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: eps is %g, must be finite and not negative",
                       s.eps);

    const struct strides x = {'x', &s.x_row_stride, &s.x_outer_stride, &s.x_column_stride};
    const struct strides y = {'y', &s.y_row_stride, &s.y_outer_stride, &s.y_column_stride};
    anynorm_status status = resolve_strides(&x, s.columns, s.inner_rows);
    if (status == ANYNORM_OK)
        status = resolve_strides(&y, s.columns, s.inner_rows);
    if (status != ANYNORM_OK)
        return status;

    if (s.inner_rows != 0 && level_is_dense(s.inner_rows, s.x_row_stride, s.x_outer_stride) &&
        level_is_dense(s.inner_rows, s.y_row_stride, s.y_outer_stride)) {
        s.inner_rows = 0;
        s.x_outer_stride = 0;
        s.y_outer_stride = 0;
    }
    *resolved = s;
    return ANYNORM_OK;
}

anynorm_status anynorm_spec_check(const anynorm_spec *spec)
{
    anynorm_spec resolved;
    return an_spec_resolve(spec, &resolved);
}

struct an_layout an_spec_x_layout(const anynorm_spec *spec)
{
    return (struct an_layout){spec->columns, spec->inner_rows, spec->x_row_stride,
                              spec->x_outer_stride, spec->x_column_stride};
}

struct an_layout an_spec_y_layout(const anynorm_spec *spec)
{
    return (struct an_layout){spec->columns, spec->inner_rows, spec->y_row_stride,
                              spec->y_outer_stride, spec->y_column_stride};
}

bool an_spec_side_by_side(const anynorm_spec *spec)
{
    return spec->x_column_stride <= 1 && spec->y_column_stride <= 1;
}

bool an_spec_double(const anynorm_spec *spec)
{
    bool has_parameters = spec->flags & (ANYNORM_WEIGHT | ANYNORM_BIAS);
    return spec->x_type == ANYNORM_F64 || spec->y_type == ANYNORM_F64 ||
           (has_parameters && spec->parameter_type == ANYNORM_F64);
}

void an_layout_axes(const struct an_layout *layout, uint64_t rows, struct an_axis axes[3])
{
    uint64_t last = rows - 1, inner_rows = layout->inner_rows;
    axes[0] = (struct an_axis){layout->column_stride, layout->columns - 1};
    axes[1] = (struct an_axis){layout->row_stride, last};
    axes[2] = (struct an_axis){layout->outer_stride, 0};
    if (inner_rows > 0) {
        axes[1].steps = last < inner_rows ? last : inner_rows - 1;
        axes[2].steps = last / inner_rows;
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
    struct an_axis axes[3];
    an_layout_axes(layout, rows, axes);
    uint64_t span = 1;
    if (!advance(axes[0].stride, axes[0].steps, &span))
        return false;
    /* The last full group of inner rows may reach further than a short one after it. */
    uint64_t last = span, full = span, inner = axes[1].steps;
    if (layout->inner_rows > 0)
        inner = (rows - 1) % layout->inner_rows;
    if (!advance(axes[1].stride, inner, &last) || !advance(axes[2].stride, axes[2].steps, &last))
        return false;
    if (axes[2].steps > 0 && (!advance(axes[1].stride, axes[1].steps, &full) ||
                              !advance(axes[2].stride, axes[2].steps - 1, &full)))
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

bool an_layout_disjoint(const struct an_layout *layout, uint64_t rows)
{
    if (rows < 2)
        return true;
    struct an_axis axes[3];
    an_layout_axes(layout, rows, axes);
    uint64_t span = 1;
    for (int placed = 0; placed < 3; placed++) {
        int next = placed;
        for (int i = placed + 1; i < 3; i++) {
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
