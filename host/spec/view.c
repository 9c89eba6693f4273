/* From a tensor with shape and strides (ONNX, PyTorch, numpy) to the rows of a spec. */
#include <inttypes.h>

#include "base/checked.h"
#include "spec.h"
#include "base/status.h"

/* One axis that matters: its size and how far apart its elements lie in x and in y. */
struct axis {
    uint64_t size;
    int64_t x_stride;
    int64_t y_stride;
};

static anynorm_status check_view(const anynorm_view *view, char tensor)
{
    if (view->rank < 1 || view->rank > ANYNORM_MAX_RANK)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "%c: rank is %" PRIu32 ", must be 1 to %d", tensor,
                       view->rank, ANYNORM_MAX_RANK);
    if (!view->shape)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "%c: shape is NULL", tensor);
    return ANYNORM_OK;
}

/* The view's strides, or the dense ones. False where a dense stride needs more than 63 bits. */
static bool strides_of(const anynorm_view *view, int64_t strides[ANYNORM_MAX_RANK])
{
    uint64_t dense = 1;
    for (uint32_t i = view->rank; i-- > 0;) {
        strides[i] = view->strides ? view->strides[i] : (int64_t)dense;
        if (!view->strides && view->shape[i] > 0 &&
            (!an_mul(dense, view->shape[i], &dense) || dense > INT64_MAX))
            return false;
    }
    return true;
}

/* Puts axis `next` (further out) onto axis `into` if both tensors can walk them as one. */
static bool merge(struct axis *into, const struct axis *next)
{
    uint64_t x_step, y_step;
    if (!an_mul(into->size, (uint64_t)into->x_stride, &x_step) ||
        !an_mul(into->size, (uint64_t)into->y_stride, &y_step))
        return false;
    if (x_step != (uint64_t)next->x_stride || y_step != (uint64_t)next->y_stride)
        return false;
    return an_mul(into->size, next->size, &into->size);
}

/* Merges axes[begin..end), innermost first, into at most `capacity` levels; axes of size 1 vanish.
 * Returns the levels needed (which may be more than were written) or -1 for a negative stride. */
static int collapse(const struct axis *axes, uint32_t begin, uint32_t end, struct axis *levels,
                    int capacity)
{
    int count = 0;
    for (uint32_t i = end; i-- > begin;) {
        if (axes[i].size == 1)
            continue;
        if (axes[i].x_stride < 0 || axes[i].y_stride < 0)
            return -1;
        if (count > 0 && count <= capacity && merge(&levels[count - 1], &axes[i]))
            continue;
        if (count < capacity)
            levels[count] = axes[i];
        count++;
    }
    return count;
}

/* Whether the columns of a row can have the levels that the normalized axes collapsed into. */
static anynorm_status check_normalized(const struct axis inner[2], int levels)
{
    if (levels < 0)
        return an_fail(ANYNORM_UNSUPPORTED, "a normalized axis has a negative stride");
    if (levels > 2 || (levels == 2 && (inner[0].x_stride != 1 || inner[0].y_stride != 1)))
        return an_fail(ANYNORM_UNSUPPORTED,
                       "the normalized axes need %d strides; one can be had, or one beside a "
                       "stride of 1 for the last of them",
                       levels);
    for (int i = 0; i < 2; i++) {
        if (inner[i].x_stride == 0 || inner[i].y_stride == 0)
            return an_fail(ANYNORM_UNSUPPORTED, "a normalized axis has a stride of 0");
    }
    if (levels == 2 && ((uint64_t)inner[1].x_stride < inner[0].size ||
                        (uint64_t)inner[1].y_stride < inner[0].size))
        return an_fail(ANYNORM_UNSUPPORTED,
                       "normalized elements that lie in the same place cannot be had");
    return ANYNORM_OK;
}

anynorm_status anynorm_spec_from_view(anynorm_spec *spec, const anynorm_view *x,
                                      const anynorm_view *y, int axis, uint64_t *rows)
{
    if (!spec || !x || !rows)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec, x or rows is NULL");
    anynorm_status status = check_view(x, 'x');
    if (status == ANYNORM_OK && y)
        status = check_view(y, 'y');
    if (status != ANYNORM_OK)
        return status;
    int rank = (int)x->rank;
    if (axis < -rank || axis >= rank)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "axis is %d, must be %d to %d for rank %d", axis,
                       -rank, rank - 1, rank);
    uint32_t first = (uint32_t)(axis < 0 ? axis + rank : axis);

    anynorm_view dense = {x->rank, x->shape, NULL};
    const anynorm_view *target = y ? y : &dense;
    if (target->rank != x->rank)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "y has rank %" PRIu32 " but x has %" PRIu32,
                       target->rank, x->rank);

    int64_t x_strides[ANYNORM_MAX_RANK], y_strides[ANYNORM_MAX_RANK];
    if (!strides_of(x, x_strides) || !strides_of(target, y_strides))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the shape has more than 2^63 elements");

    struct axis axes[ANYNORM_MAX_RANK];
    uint64_t columns = 1, row_count = 1;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (target->shape[i] != x->shape[i])
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "axis %" PRIu32 ": y has size %" PRIu64 " but x has %" PRIu64, i,
                           target->shape[i], x->shape[i]);
        axes[i] = (struct axis){x->shape[i], x_strides[i], y_strides[i]};
        if (!an_mul(i < first ? row_count : columns, x->shape[i],
                    i < first ? &row_count : &columns))
            return an_fail(ANYNORM_INVALID_ARGUMENT, "the shape has more than 2^64 elements");
    }
    if (columns == 0 || columns > INT32_MAX)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "axes %" PRIu32 " to %d hold %" PRIu64
                       " elements to normalize over, must be 1 to 2147483647",
                       first, rank - 1, columns);

    struct axis inner[2] = {{1, 1, 1}, {1, 1, 1}};
    int levels = collapse(axes, first, x->rank, inner, 2);
    status = check_normalized(inner, levels);
    if (status != ANYNORM_OK)
        return status;
    bool runs = levels == 2;

    struct axis outer[2] = {{1, 0, 0}, {1, 0, 0}};
    levels = row_count == 0 ? 0 : collapse(axes, 0, first, outer, 2);
    if (levels < 0)
        return an_fail(ANYNORM_UNSUPPORTED, "a leading axis has a negative stride");
    if (levels > 2)
        return an_fail(ANYNORM_UNSUPPORTED,
                       "the leading axes need %d levels of strides; two can be had", levels);

    anynorm_spec result = *spec;
    result.columns = columns;
    result.inner_rows = levels == 2 ? outer[0].size : 0;
    result.x.row_stride = levels >= 1 ? (uint64_t)outer[0].x_stride : 0;
    result.y.row_stride = levels >= 1 ? (uint64_t)outer[0].y_stride : 0;
    result.x.outer_stride = levels == 2 ? (uint64_t)outer[1].x_stride : 0;
    result.y.outer_stride = levels == 2 ? (uint64_t)outer[1].y_stride : 0;
    result.x.column_stride = (uint64_t)inner[runs].x_stride;
    result.y.column_stride = (uint64_t)inner[runs].y_stride;
    result.column_run = runs ? inner[0].size : 0;
    bool broadcast = (levels >= 1 && (!outer[0].x_stride || !outer[0].y_stride)) ||
                     (levels == 2 && (!outer[1].x_stride || !outer[1].y_stride));
    anynorm_spec resolved;
    if (broadcast || (status = an_spec_resolve(&result, &resolved)) == ANYNORM_INVALID_ARGUMENT) {
        anynorm_spec own = result;
        own.x.row_stride = own.x.outer_stride = own.x.column_stride = 0;
        own.y.row_stride = own.y.outer_stride = own.y.column_stride = own.column_run = 0;
        if (an_spec_resolve(&own, &resolved) != ANYNORM_OK)
            return ANYNORM_INVALID_ARGUMENT; /* the spec's own fields are at fault, and say so */
        return an_fail(ANYNORM_UNSUPPORTED,
                       "rows that share elements (a leading stride within the %" PRIu64
                       " normalized elements) cannot be had",
                       columns);
    }
    *spec = result;
    *rows = row_count;
    return ANYNORM_OK;
}
