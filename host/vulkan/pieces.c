/* The part of the tensors that one dispatch reaches: a buffer is bound from an aligned byte on, and
 * no further than the device's limit; kernels count its rows from 0. */
#include <inttypes.h>

#include "base/checked.h"
#include "spec/spec.h"
#include "base/status.h"
#include "vulkan/vulkan_backend.h"

/* Rows that a kernel's loops count without wrapping. */
#define MOST_ROWS ((uint64_t)1 << 30)

/* Bytes that a kernel's sums of offsets may add to a range without wrapping. */
#define SLACK_BYTES 4096

static uint64_t most_range(const struct an_vulkan_device *d)
{
    return an_least(d->head.info.max_range_bytes, UINT32_MAX - SLACK_BYTES) & ~(uint64_t)3;
}

/* Rows of an enqueue. */
struct stretch {
    uint64_t of_rows; /* all of the enqueue's */
    uint64_t first;
    uint64_t rows;
};

/* Bytes from where the part of a tensor begins to the end of its last row; false where that is more
 * than 64 bits. */
static bool find_extent(const anynorm_spec *spec, enum an_tensor tensor, const struct stretch *part,
                        uint64_t *bytes)
{
    uint64_t rows = part->rows;
    if (an_tensor_shape(tensor) == AN_OF_SAMPLES)
        rows += part->first % spec->sample_rows; /* of its first sample, which came before */
    if (!an_tensor_extent(spec, tensor, rows, bytes))
        return false;
    if (an_tensor_shape(tensor) == AN_OF_SHARDS) /* each of which has the other rows, too */
        *bytes +=
            (spec->statistic.shards - 1) * an_tensor_start(spec, tensor, part->of_rows - rows);
    return true;
}

/* Where in the memory the part's first element lies. Parameters have all their rows in each. */
static uint64_t start_of(const anynorm_spec *spec, const anynorm_tensors *tensors,
                         enum an_tensor tensor, uint64_t first)
{
    uint64_t offset = an_tensor_buffer(tensors, tensor)->offset;
    bool parameters = an_tensor_shape(tensor) == AN_OF_PARAMETERS;
    return parameters ? offset : offset + an_tensor_start(spec, tensor, first);
}

/* Bytes to bind for a part, whole words; false where that is too far. */
static bool find_range(const struct an_vulkan_device *d, const anynorm_spec *spec,
                       enum an_tensor tensor, uint64_t start, const struct stretch *part,
                       uint64_t *bytes)
{
    uint64_t extent, lead = start % d->features.offset_alignment;
    if (!find_extent(spec, tensor, part, &extent) || extent > most_range(d))
        return false;
    *bytes = (lead + extent + 3) & ~(uint64_t)3;
    return *bytes <= most_range(d);
}

/* The part of `rows` rows; false where one of its tensors reaches too far. */
static bool fill(const struct an_vulkan_device *d, const anynorm_spec *spec,
                 const anynorm_tensors *tensors, const struct stretch *left, uint64_t rows,
                 struct an_part *part)
{
    const struct stretch stretch = {left->of_rows, left->first, rows};
    part->rows = rows;
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor tensor = (enum an_tensor)i;
        if (!an_tensor_expect(spec, tensor).present)
            continue;
        uint64_t start = start_of(spec, tensors, tensor, left->first), bytes;
        uint64_t lead = start % d->features.offset_alignment;
        if (!find_range(d, spec, tensor, start, &stretch, &bytes))
            return false;
        VkBuffer memory = an_vulkan_buffer(an_tensor_buffer(tensors, tensor));
        part->buffers[i] = (VkDescriptorBufferInfo){memory, start - lead, bytes};
        part->offset[i] = (uint32_t)lead;
    }
    return true;
}

/* The most of `rows` rows that are within reach, where not all are: whole outer rows from the start
 * of one on, or rows of one. */
static uint64_t count_rows(const struct an_vulkan_device *d, const anynorm_spec *spec,
                           const anynorm_tensors *tensors, const struct stretch *left,
                           uint64_t rows)
{
    struct an_part tried;
    uint64_t inner = spec->inner_rows, unit = 1;
    if (inner > 0 && rows > inner) {
        if (inner <= MOST_ROWS && fill(d, spec, tensors, left, inner, &tried))
            unit = inner;
        else
            rows = inner;
    }
    uint64_t low = 0, high = an_least(rows, MOST_ROWS) / unit + 1; /* low units fit, high do not */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (fill(d, spec, tensors, left, middle * unit, &tried))
            low = middle;
        else
            high = middle;
    }
    return low * unit;
}

anynorm_status an_vulkan_part(const struct an_vulkan_device *d, const anynorm_spec *spec,
                              const anynorm_tensors *tensors, uint64_t first, uint64_t rows,
                              struct an_part *part)
{
    const struct stretch left = {first + rows, first, rows};
    uint64_t inner = spec->inner_rows;
    if (spec->sample_rows > MOST_ROWS) /* more than 32 bits may hold */
        rows = an_least(rows, spec->sample_rows - first % spec->sample_rows);
    if (inner > 0 && first % inner != 0)
        rows = an_least(rows, inner - first % inner);
    if (rows <= MOST_ROWS && fill(d, spec, tensors, &left, rows, part))
        return ANYNORM_OK;
    uint64_t fewer = count_rows(d, spec, tensors, &left, rows);
    if (fewer > 0 && fill(d, spec, tensors, &left, fewer, part))
        return ANYNORM_OK;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "%s: a row, the parameters, or the partials of all shards reach further than "
                   "the %" PRIu64 " bytes that a kernel reaches of a buffer",
                   d->head.info.id, most_range(d));
}

anynorm_status an_vulkan_row_check(const struct an_vulkan_device *d, const anynorm_spec *spec)
{
    const struct stretch row = {1, 0, 1};
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor tensor = (enum an_tensor)i;
        uint64_t bytes;
        if (an_tensor_expect(spec, tensor).present && !find_range(d, spec, tensor, 0, &row, &bytes))
            return an_fail(ANYNORM_UNSUPPORTED,
                           "a row of %s reaches further than the %" PRIu64
                           " bytes that a kernel reaches of a buffer",
                           an_tensor_name(tensor), most_range(d));
    }
    return ANYNORM_OK;
}
