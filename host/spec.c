#include "spec.h"

#include <inttypes.h>
#include <math.h>

#include "checked.h"
#include "dtype.h"
#include "status.h"

#define MAX_COLUMNS UINT64_C(0x7fffffff)

static const uint32_t known_flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT |
                                    ANYNORM_RSTD_OUTPUT | ANYNORM_ANY_ALIGNMENT;

static anynorm_status resolve_strides(char tensor, uint64_t columns, uint64_t inner_rows,
                                      uint64_t *row_stride, uint64_t *outer_stride)
{
    if (*row_stride == 0)
        *row_stride = columns;
    if (*row_stride < columns)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: %c_row_stride is %" PRIu64 ", less than the %" PRIu64 " columns",
                       tensor, *row_stride, columns);
    if (inner_rows == 0) {
        if (*outer_stride != 0)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: %c_outer_stride is set but inner_rows is 0", tensor);
        return ANYNORM_OK;
    }
    if (*outer_stride == 0 && !an_mul(inner_rows, *row_stride, outer_stride))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: inner_rows times %c_row_stride is above 2^64", tensor);
    if (*outer_stride < columns)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: %c_outer_stride is %" PRIu64 ", less than the %" PRIu64 " columns",
                       tensor, *outer_stride, columns);
    return ANYNORM_OK;
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

    anynorm_status status =
        resolve_strides('x', s.columns, s.inner_rows, &s.x_row_stride, &s.x_outer_stride);
    if (status == ANYNORM_OK)
        status = resolve_strides('y', s.columns, s.inner_rows, &s.y_row_stride, &s.y_outer_stride);
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
                              spec->x_outer_stride};
}

struct an_layout an_spec_y_layout(const anynorm_spec *spec)
{
    return (struct an_layout){spec->columns, spec->inner_rows, spec->y_row_stride,
                              spec->y_outer_stride};
}

bool an_spec_double(const anynorm_spec *spec)
{
    bool has_parameters = spec->flags & (ANYNORM_WEIGHT | ANYNORM_BIAS);
    return spec->x_type == ANYNORM_F64 || spec->y_type == ANYNORM_F64 ||
           (has_parameters && spec->parameter_type == ANYNORM_F64);
}

/* a * i + b * j + c */
static bool sum_of_products(uint64_t a, uint64_t i, uint64_t b, uint64_t j, uint64_t c,
                            uint64_t *result)
{
    uint64_t first, second;
    return an_mul(a, i, &first) && an_mul(b, j, &second) && an_add(first, second, &first) &&
           an_add(first, c, result);
}

bool an_layout_extent(const struct an_layout *layout, uint64_t rows, uint64_t *elements)
{
    *elements = 0;
    if (rows == 0)
        return true;
    uint64_t last = rows - 1;
    if (layout->inner_rows == 0)
        return sum_of_products(last, layout->row_stride, 0, 0, layout->columns, elements);

    uint64_t outer = last / layout->inner_rows;
    uint64_t inner = last % layout->inner_rows;
    if (!sum_of_products(outer, layout->outer_stride, inner, layout->row_stride, layout->columns,
                         elements))
        return false;
    /* The last full group may reach further than a short one after it. */
    uint64_t full;
    if (outer > 0) {
        if (!sum_of_products(outer - 1, layout->outer_stride, layout->inner_rows - 1,
                             layout->row_stride, layout->columns, &full))
            return false;
        if (full > *elements)
            *elements = full;
    }
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
    if (rows < 2 || layout->inner_rows == 0)
        return true; /* a row stride is at least the columns */
    uint64_t outer = (rows - 1) / layout->inner_rows;
    uint64_t inner = rows < layout->inner_rows ? rows - 1 : layout->inner_rows - 1;
    uint64_t inner_extent, outer_extent;
    bool inner_within =
        sum_of_products(inner, layout->row_stride, 0, 0, layout->columns, &inner_extent) &&
        inner_extent <= layout->outer_stride;
    bool outer_within =
        sum_of_products(outer, layout->outer_stride, 0, 0, layout->columns, &outer_extent) &&
        outer_extent <= layout->row_stride;
    return outer == 0 || inner_within || outer_within;
}
