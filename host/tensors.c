#include "tensors.h"

#include <inttypes.h>

#include "checked.h"
#include "spec.h"
#include "status.h"

/* Where a tensor lies: bytes [begin, end) of the memory `root`, buffers of one `kind`. */
struct region {
    uint32_t kind;
    const void *root;
    uint64_t begin;
    uint64_t end;
};

bool an_buffer_is_pointer(const anynorm_buffer *buffer)
{
    return buffer->kind == AN_BUFFER_HOST || buffer->kind == AN_BUFFER_CL_SVM;
}

struct an_expectation an_tensor_expect(const anynorm_spec *spec, enum an_tensor tensor)
{
    switch (tensor) {
    case AN_X:
        return (struct an_expectation){true, spec->x_type};
    case AN_Y:
        return (struct an_expectation){true, spec->y_type};
    case AN_WEIGHT:
        return (struct an_expectation){spec->flags & ANYNORM_WEIGHT, spec->parameter_type};
    case AN_BIAS:
        return (struct an_expectation){spec->flags & ANYNORM_BIAS, spec->parameter_type};
    case AN_MEAN:
        return (struct an_expectation){spec->flags & ANYNORM_MEAN_OUTPUT, ANYNORM_F32};
    case AN_RSTD:
        return (struct an_expectation){spec->flags & ANYNORM_RSTD_OUTPUT, ANYNORM_F32};
    case AN_TENSOR_COUNT:
        break;
    }
    return (struct an_expectation){false, ANYNORM_F32};
}

const anynorm_buffer *an_tensor_buffer(const anynorm_tensors *tensors, enum an_tensor tensor)
{
    const anynorm_buffer *buffers[AN_TENSOR_COUNT] = {
        &tensors->x, &tensors->y, &tensors->weight, &tensors->bias, &tensors->mean, &tensors->rstd};
    return buffers[tensor];
}

anynorm_buffer *an_tensor_slot(anynorm_tensors *tensors, enum an_tensor tensor)
{
    return (anynorm_buffer *)an_tensor_buffer(tensors, tensor);
}

const char *an_tensor_name(enum an_tensor tensor)
{
    static const char *const names[AN_TENSOR_COUNT] = {"x", "y", "weight", "bias", "mean", "rstd"};
    return names[tensor];
}

bool an_tensor_extent(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows,
                      uint64_t *bytes)
{
    uint64_t elements = 0;
    struct an_layout layout;
    switch (tensor) {
    case AN_X:
    case AN_Y:
        layout = tensor == AN_X ? an_spec_x_layout(spec) : an_spec_y_layout(spec);
        if (!an_layout_extent(&layout, rows, &elements))
            return false;
        break;
    case AN_WEIGHT:
    case AN_BIAS:
        elements = spec->columns;
        break;
    default:
        elements = rows;
    }
    return an_mul(elements, anynorm_dtype_size(an_tensor_expect(spec, tensor).type), bytes);
}

/* Presence, size and alignment; *region where the tensor lies. */
static anynorm_status check_one(const anynorm_spec *spec, enum an_tensor tensor,
                                const anynorm_buffer *buffer, uint64_t rows, const void *owner,
                                struct region *region)
{
    const char *name = an_tensor_name(tensor);
    struct an_expectation expected = an_tensor_expect(spec, tensor);
    *region = (struct region){0};
    if (buffer->kind == AN_BUFFER_NONE && !expected.present)
        return ANYNORM_OK;
    if (buffer->kind == AN_BUFFER_NONE)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "%s is missing: the spec names it", name);
    if (!expected.present)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "%s is given but the spec does not name it", name);

    if (buffer->owner != owner)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "%s: the buffer is of another device", name);

    uint64_t extent, end, root_begin, root_end;
    if (!an_tensor_extent(spec, tensor, rows, &extent) || !an_add(buffer->offset, extent, &end) ||
        !an_add(buffer->root_offset, end, &root_end))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%s: %" PRIu64 " rows reach further than 2^64 bytes", name, rows);
    if (end > buffer->bytes)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%s: %" PRIu64 " rows need %" PRIu64 " bytes at offset %" PRIu64
                       ", its memory has %" PRIu64,
                       name, rows, extent, buffer->offset, buffer->bytes);
    root_begin = buffer->root_offset + buffer->offset;
    uint64_t size = anynorm_dtype_size(expected.type);
    uint64_t address = an_buffer_is_pointer(buffer) ? root_begin : buffer->offset;
    if (!(spec->flags & ANYNORM_ANY_ALIGNMENT) && address % size != 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%s: begins at byte %" PRIu64 ", no multiple of %" PRIu64
                       "; a spec with ANYNORM_ANY_ALIGNMENT takes it",
                       name, address, size);
    *region = (struct region){buffer->kind, buffer->root, root_begin, root_end};
    return ANYNORM_OK;
}

static bool share_memory(const struct region *a, const struct region *b)
{
    if (a->kind == AN_BUFFER_NONE || b->kind == AN_BUFFER_NONE || a->root != b->root)
        return false;
    return a->begin < b->end && b->begin < a->end;
}

/* Blocks of `length` bytes at begin + i * stride and other + j * stride never meet if they fit into
 * one stride side by side. */
static bool interleave(uint64_t begin, uint64_t other, uint64_t stride, uint64_t length,
                       uint64_t other_length)
{
    uint64_t apart =
        begin <= other ? (other - begin) % stride : (stride - (begin - other) % stride) % stride;
    return length <= apart && other_length <= stride && apart <= stride - other_length;
}

/* Bytes that a tensor's elements span when only their place within a period of `stride` bytes
 * counts: steps of whole periods lead nowhere. False where that is more than 64 bits. */
static bool span_within(const struct an_axis axes[3], uint64_t size, uint64_t stride,
                        uint64_t *bytes)
{
    *bytes = size;
    for (int i = 0; i < 3; i++) {
        uint64_t step, distance;
        if (!an_mul(axes[i].stride, size, &step))
            return false;
        if (step % stride != 0 &&
            (!an_mul(step, axes[i].steps, &distance) || !an_add(*bytes, distance, bytes)))
            return false;
    }
    return true;
}

/* Whether x and y, whose regions meet, are slices of one wider tensor that share no element: within
 * one of x's strides, they keep to different parts. */
static bool slices_are_apart(const anynorm_spec *spec, uint64_t rows, const struct region *x,
                             const struct region *y)
{
    const struct an_layout x_layout = an_spec_x_layout(spec), y_layout = an_spec_y_layout(spec);
    uint64_t x_size = anynorm_dtype_size(spec->x_type), y_size = anynorm_dtype_size(spec->y_type);
    struct an_axis x_axes[3], y_axes[3];
    an_layout_axes(&x_layout, rows, x_axes);
    an_layout_axes(&y_layout, rows, y_axes);
    for (int i = 0; i < 3; i++) {
        uint64_t period, x_span, y_span;
        if (x_axes[i].stride > 0 && an_mul(x_axes[i].stride, x_size, &period) &&
            span_within(x_axes, x_size, period, &x_span) &&
            span_within(y_axes, y_size, period, &y_span) &&
            interleave(x->begin, y->begin, period, x_span, y_span))
            return true;
    }
    return false;
}

static bool y_is_x(const anynorm_spec *spec, const struct region *x, const struct region *y)
{
    return x->begin == y->begin && spec->x_type == spec->y_type &&
           spec->x_row_stride == spec->y_row_stride &&
           spec->x_outer_stride == spec->y_outer_stride &&
           spec->x_column_stride == spec->y_column_stride;
}

static anynorm_status check_overlap(const anynorm_spec *spec, uint64_t rows,
                                    const struct region *regions)
{
    static const enum an_tensor outputs[] = {AN_Y, AN_MEAN, AN_RSTD};
    for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
        enum an_tensor output = outputs[i];
        for (int other = 0; other < AN_TENSOR_COUNT; other++) {
            const struct region *a = &regions[output], *b = &regions[other];
            if (other == (int)output || !share_memory(a, b))
                continue;
            if (output == AN_Y && other == AN_X &&
                (y_is_x(spec, b, a) || slices_are_apart(spec, rows, b, a)))
                continue;
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "%s overlaps %s; only y may be x itself, with the same offset, type and "
                           "strides",
                           an_tensor_name(output), an_tensor_name((enum an_tensor)other));
        }
    }
    return ANYNORM_OK;
}

anynorm_status an_tensors_check(const anynorm_spec *spec, const anynorm_tensors *tensors,
                                uint64_t rows, const void *owner)
{
    struct region regions[AN_TENSOR_COUNT];
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor tensor = (enum an_tensor)i;
        anynorm_status status =
            check_one(spec, tensor, an_tensor_buffer(tensors, tensor), rows, owner, &regions[i]);
        if (status != ANYNORM_OK)
            return status;
    }
    struct an_layout y_layout = an_spec_y_layout(spec);
    if (!an_layout_disjoint(&y_layout, rows))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "y: with these strides, rows overlap each other within %" PRIu64 " rows",
                       rows);
    return check_overlap(spec, rows, regions);
}
