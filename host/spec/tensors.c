#include "tensors.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/status.h"
#include "gradient.h"

/* Where a tensor lies: bytes [begin, end) of the memory `root`, buffers of one `kind`; all 0 of one
 * that is not there. */
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

/* In the order of enum an_tensor. */
static const struct {
    const char *name;
    enum an_shape shape;
    uint32_t flags; /* any of which names it; 0: it is always there */
    uint32_t output_flags;
    size_t type; /* in anynorm_spec; SIZE_MAX: f32 */
    size_t buffer;
    uint32_t gradients; /* any of which names it, in place of `flags` */
} table[AN_TENSOR_COUNT] = {
#define TENSOR(name, shape, flags, output_flags, type)                                             \
    {                                                                                              \
#name, shape, flags, output_flags, type, offsetof(anynorm_tensors, name), 0                \
    }
#define GRADIENT(name, shape, gradients, output_flags, type)                                       \
    {                                                                                              \
#name, shape, 0, output_flags, type, offsetof(anynorm_tensors, name), gradients            \
    }
#define TYPE(field) offsetof(anynorm_spec, field)
    TENSOR(x, AN_OF_ROWS, 0, 0, TYPE(x.type)),
    TENSOR(y, AN_OF_ROWS, 0, UINT32_MAX, TYPE(y.type)),
    TENSOR(weight, AN_OF_PARAMETERS, ANYNORM_WEIGHT, 0, TYPE(parameters.type)),
    TENSOR(bias, AN_OF_PARAMETERS, ANYNORM_BIAS, 0, TYPE(parameters.type)),
    TENSOR(mean, AN_OF_STATISTICS, ANYNORM_MEAN_OUTPUT | ANYNORM_MEAN_INPUT, ANYNORM_MEAN_OUTPUT,
           SIZE_MAX),
    TENSOR(rstd, AN_OF_STATISTICS, ANYNORM_RSTD_OUTPUT | ANYNORM_RSTD_INPUT, ANYNORM_RSTD_OUTPUT,
           SIZE_MAX),
    TENSOR(residual, AN_OF_ROWS, ANYNORM_RESIDUAL, 0, TYPE(residual.type)),
    TENSOR(sum, AN_OF_ROWS, ANYNORM_SUM_OUTPUT, ANYNORM_SUM_OUTPUT, TYPE(sum.type)),
    TENSOR(pre_bias, AN_OF_PARAMETERS, ANYNORM_PRE_BIAS, 0, TYPE(parameters.type)),
    TENSOR(gate, AN_OF_SAMPLES, ANYNORM_GATE, 0, TYPE(gate.type)),
    TENSOR(scale, AN_OF_SAMPLES, ANYNORM_SCALE, 0, TYPE(scale.type)),
    TENSOR(shift, AN_OF_SAMPLES, ANYNORM_SHIFT, 0, TYPE(shift.type)),
    TENSOR(partials, AN_OF_SHARDS, ANYNORM_PARTIALS_OUTPUT | ANYNORM_PARTIALS_INPUT,
           ANYNORM_PARTIALS_OUTPUT, SIZE_MAX),
    TENSOR(y_scale, AN_OF_STATISTICS, AN_Y_SCALES, ANYNORM_Y_SCALE_OUTPUT, SIZE_MAX),
    GRADIENT(dy, AN_OF_ROWS, UINT32_MAX, 0, TYPE(y.type)),
    GRADIENT(dsum, AN_OF_ROWS, ANYNORM_DSUM, 0, TYPE(sum.type)),
    GRADIENT(dx, AN_OF_ROWS, ANYNORM_DX, UINT32_MAX, TYPE(gradients.dx.type)),
    GRADIENT(dresidual, AN_OF_ROWS, ANYNORM_DRESIDUAL, UINT32_MAX, TYPE(gradients.dresidual.type)),
    GRADIENT(dweight, AN_OF_PARAMETERS, ANYNORM_DWEIGHT, UINT32_MAX, TYPE(gradients.parameters)),
    GRADIENT(dbias, AN_OF_PARAMETERS, ANYNORM_DBIAS, UINT32_MAX, TYPE(gradients.parameters)),
    GRADIENT(dpre_bias, AN_OF_PARAMETERS, ANYNORM_DPRE_BIAS, UINT32_MAX,
             TYPE(gradients.parameters)),
    GRADIENT(dgate, AN_OF_SAMPLES, ANYNORM_DGATE, UINT32_MAX, TYPE(gradients.samples)),
    GRADIENT(dscale, AN_OF_SAMPLES, ANYNORM_DSCALE, UINT32_MAX, TYPE(gradients.samples)),
    GRADIENT(dshift, AN_OF_SAMPLES, ANYNORM_DSHIFT, UINT32_MAX, TYPE(gradients.samples)),
    GRADIENT(workspace, AN_OF_CALL, AN_ROW_SUMS, UINT32_MAX, SIZE_MAX),
#undef GRADIENT
#undef TENSOR
#undef TYPE
};

enum an_shape an_tensor_shape(enum an_tensor tensor)
{
    return table[tensor].shape;
}

struct an_expectation an_tensor_expect(const anynorm_spec *spec, enum an_tensor tensor)
{
    struct an_expectation result = {true, false, ANYNORM_F32};
    uint32_t gradients = spec->gradients.flags;
    if (table[tensor].gradients)
        result.present = gradients & table[tensor].gradients;
    else if (table[tensor].flags)
        result.present = an_spec_flags_used(spec) & table[tensor].flags;
    if (tensor == AN_X)
        result.present = !(gradients & ANYNORM_SAVED_SUM);
    if (tensor == AN_Y)
        result.present = !gradients && !(spec->flags & ANYNORM_PARTIALS_OUTPUT);
    result.output = result.present && (table[tensor].output_flags == UINT32_MAX ||
                                       (!gradients && (spec->flags & table[tensor].output_flags)));
    if (tensor == AN_PARTIALS && gradients) {
        result.present = gradients & AN_DPARTIALS;
        result.output = gradients & ANYNORM_DPARTIALS_OUTPUT;
    }
    if (tensor == AN_WORKSPACE)
        result.type = ANYNORM_F64; /* the alignment that it takes */
    if (table[tensor].type != SIZE_MAX)
        memcpy(&result.type, (const char *)spec + table[tensor].type, sizeof(result.type));
    return result;
}

const anynorm_buffer *an_tensor_buffer(const anynorm_tensors *tensors, enum an_tensor tensor)
{
    return (const anynorm_buffer *)(const void *)((const char *)tensors + table[tensor].buffer);
}

anynorm_buffer *an_tensor_slot(anynorm_tensors *tensors, enum an_tensor tensor)
{
    return (anynorm_buffer *)an_tensor_buffer(tensors, tensor);
}

const char *an_tensor_name(enum an_tensor tensor)
{
    return table[tensor].name;
}

uint64_t an_tensor_narrowest(const anynorm_spec *spec)
{
    uint64_t narrowest = UINT64_MAX;
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        struct an_expectation expected = an_tensor_expect(spec, (enum an_tensor)t);
        uint64_t size = anynorm_dtype_size(expected.type);
        if (expected.present && table[t].shape == AN_OF_ROWS && size < narrowest)
            narrowest = size;
    }
    return narrowest;
}

struct an_layout an_tensor_layout(const anynorm_spec *spec, enum an_tensor tensor)
{
    static const size_t rows[AN_TENSOR_COUNT] = {
        [AN_X] = offsetof(anynorm_spec, x),
        [AN_Y] = offsetof(anynorm_spec, y),
        [AN_RESIDUAL] = offsetof(anynorm_spec, residual),
        [AN_SUM] = offsetof(anynorm_spec, sum),
        [AN_GATE] = offsetof(anynorm_spec, gate),
        [AN_SCALE] = offsetof(anynorm_spec, scale),
        [AN_SHIFT] = offsetof(anynorm_spec, shift),
        [AN_DY] = offsetof(anynorm_spec, y),
        [AN_DSUM] = offsetof(anynorm_spec, sum),
        [AN_DX] = offsetof(anynorm_spec, gradients.dx),
        [AN_DRESIDUAL] = offsetof(anynorm_spec, gradients.dresidual),
        [AN_DGATE] = offsetof(anynorm_spec, gate),
        [AN_DSCALE] = offsetof(anynorm_spec, scale),
        [AN_DSHIFT] = offsetof(anynorm_spec, shift),
    };
    const size_t of = rows[tensor] ? rows[tensor] : offsetof(anynorm_spec, x);
    struct an_layout layout =
        an_spec_layout(spec, (const anynorm_rows *)(const void *)((const char *)spec + of));
    if (table[tensor].shape == AN_OF_SAMPLES)
        layout.inner_rows = 0;
    return layout;
}

/* Which of a tensor's rows is that of row `row` of x. */
static uint64_t own_row(const anynorm_spec *spec, enum an_tensor tensor, uint64_t row)
{
    return table[tensor].shape == AN_OF_SAMPLES ? row / spec->sample_rows : row;
}

uint64_t an_tensor_rows(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows)
{
    return own_row(spec, tensor, rows - 1) + 1;
}

/* Of a tensor AN_OF_STATISTICS. */
static bool is_one_for_all(const anynorm_spec *spec, enum an_tensor tensor)
{
    return tensor == AN_Y_SCALE && (spec->flags & ANYNORM_Y_SCALE_INPUT);
}

uint64_t an_tensor_start(const anynorm_spec *spec, enum an_tensor tensor, uint64_t row)
{
    struct an_layout layout;
    uint64_t element = row;
    switch (table[tensor].shape) {
    case AN_OF_ROWS:
    case AN_OF_SAMPLES:
        layout = an_tensor_layout(spec, tensor);
        element = an_layout_start(&layout, own_row(spec, tensor, row));
        break;
    case AN_OF_PARAMETERS:
        element = row % spec->parameters.rows * an_spec_parameters_per_row(spec);
        break;
    case AN_OF_SHARDS:
        element = row * AN_PARTIAL_NUMBERS;
        break;
    case AN_OF_STATISTICS:
        element = is_one_for_all(spec, tensor) ? 0 : row;
        break;
    case AN_OF_CALL:
        element = 0;
        break;
    }
    return element * anynorm_dtype_size(an_tensor_expect(spec, tensor).type);
}

bool an_tensor_extent(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows,
                      uint64_t *bytes)
{
    uint64_t elements = rows;
    struct an_layout layout;
    bool fits = true;
    switch (table[tensor].shape) {
    case AN_OF_ROWS:
    case AN_OF_SAMPLES:
        layout = an_tensor_layout(spec, tensor);
        fits = an_layout_extent(&layout, an_tensor_rows(spec, tensor, rows), &elements);
        break;
    case AN_OF_PARAMETERS:
        fits = an_mul(spec->parameters.rows, an_spec_parameters_per_row(spec), &elements);
        break;
    case AN_OF_SHARDS:
        fits = an_mul(rows, spec->statistic.shards, &elements) &&
               an_mul(elements, AN_PARTIAL_NUMBERS, &elements);
        break;
    case AN_OF_STATISTICS:
        elements = is_one_for_all(spec, tensor) ? 1 : rows;
        break;
    case AN_OF_CALL:
        return an_gradient_workspace(spec, rows, bytes);
    }
    return fits && an_mul(elements, anynorm_dtype_size(an_tensor_expect(spec, tensor).type), bytes);
}

/* Whether gradients let a tensor be there that they do not use: one of the forward pass, or a
 * workspace. */
static bool may_be_given(const anynorm_spec *spec, enum an_tensor tensor)
{
    anynorm_spec forward = *spec;
    forward.gradients = (anynorm_gradients){0};
    return an_spec_backward(spec) &&
           (tensor == AN_WORKSPACE || an_tensor_expect(&forward, tensor).present);
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
    if (!expected.present && may_be_given(spec, tensor))
        return ANYNORM_OK;
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
    return a->root == b->root && a->begin < b->end && b->begin < a->end;
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
 * counts: steps of whole periods lead nowhere. No more than the tensor spans in all, which
 * check_one has found to be less than 2^64; but a stride that is never taken may be anything. */
static uint64_t span_within(const struct an_axis axes[AN_AXES], uint64_t size, uint64_t stride)
{
    uint64_t bytes = size;
    for (int i = 0; i < AN_AXES; i++) {
        if (axes[i].steps > 0 && axes[i].stride * size % stride != 0)
            bytes += axes[i].stride * size * axes[i].steps;
    }
    return bytes;
}

/* The elements of a tensor that has a layout: their size and the steps between them. */
struct elements {
    uint64_t size;
    struct an_axis axes[AN_AXES];
};

static struct elements elements_of(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows)
{
    struct an_layout layout = an_tensor_layout(spec, tensor);
    struct elements elements = {anynorm_dtype_size(an_tensor_expect(spec, tensor).type), {{0, 0}}};
    an_layout_axes(&layout, an_tensor_rows(spec, tensor, rows), elements.axes);
    return elements;
}

/* Whether two tensors, whose regions meet, are slices of one wider tensor that share no element:
 * within one of the first's strides, they keep to different parts. */
static bool slices_are_apart(const struct elements *a, const struct region *at,
                             const struct elements *b, const struct region *other_at)
{
    for (int i = 0; i < AN_AXES; i++) {
        uint64_t period;
        if (a->axes[i].stride > 0 && an_mul(a->axes[i].stride, a->size, &period) &&
            interleave(at->begin, other_at->begin, period, span_within(a->axes, a->size, period),
                       span_within(b->axes, b->size, period)))
            return true;
    }
    return false;
}

static bool is_same_tensor(const anynorm_spec *spec, enum an_tensor a, enum an_tensor b)
{
    struct an_layout left = an_tensor_layout(spec, a), right = an_tensor_layout(spec, b);
    return an_tensor_expect(spec, a).type == an_tensor_expect(spec, b).type &&
           left.row_stride == right.row_stride && left.outer_stride == right.outer_stride &&
           left.column_stride == right.column_stride;
}

/* Whether `output` may share memory with `other` as it does. */
static bool may_meet(const anynorm_spec *spec, uint64_t rows, const struct region *regions,
                     enum an_tensor output, enum an_tensor other)
{
    const struct region *a = &regions[output], *b = &regions[other];
    enum an_shape shape = an_tensor_shape(other);
    if (an_tensor_shape(output) != AN_OF_ROWS || (shape != AN_OF_ROWS && shape != AN_OF_SAMPLES))
        return false;
    if (shape == AN_OF_ROWS && !an_tensor_expect(spec, other).output && a->begin == b->begin &&
        is_same_tensor(spec, output, other))
        return true;
    struct elements written = elements_of(spec, output, rows);
    struct elements others = elements_of(spec, other, rows);
    return slices_are_apart(&others, b, &written, a);
}

/* Whether `output` meets no other tensor where it may not. */
static anynorm_status check_output(const anynorm_spec *spec, uint64_t rows,
                                   const struct region *regions, enum an_tensor output)
{
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor other = (enum an_tensor)i;
        if (other == output || !share_memory(&regions[output], &regions[other]) ||
            may_meet(spec, rows, regions, output, other))
            continue;
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%s overlaps %s; only %s itself, with the same offset, type and strides",
                       an_tensor_name(output), an_tensor_name(other),
                       an_spec_backward(spec) ? "dx and dresidual may each be an input of rows"
                                              : "y and sum may each be x or residual");
    }
    return ANYNORM_OK;
}

static anynorm_status check_overlap(const anynorm_spec *spec, uint64_t rows,
                                    const struct region *regions)
{
    anynorm_status status = ANYNORM_OK;
    for (int i = 0; i < AN_TENSOR_COUNT && status == ANYNORM_OK; i++) {
        if (regions[i].kind != AN_BUFFER_NONE && an_tensor_expect(spec, (enum an_tensor)i).output)
            status = check_output(spec, rows, regions, (enum an_tensor)i);
    }
    return status;
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
    static const enum an_tensor written[] = {AN_Y,     AN_SUM,    AN_DX,    AN_DRESIDUAL,
                                             AN_DGATE, AN_DSCALE, AN_DSHIFT};
    for (size_t i = 0; i < COUNT(written); i++) {
        struct an_layout layout = an_tensor_layout(spec, written[i]);
        if (an_tensor_expect(spec, written[i]).output &&
            !an_layout_disjoint(&layout, an_tensor_rows(spec, written[i], rows)))
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "%s: with these strides, which do not nest, rows overlap or interleave "
                           "within %" PRIu64 " rows; each stride must be as much as all closer "
                           "ones span together, as only then rows are known to be apart",
                           an_tensor_name(written[i]), rows);
    }
    return check_overlap(spec, rows, regions);
}
