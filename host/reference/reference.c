/* The reference backend: plain C on the calling thread, always there; the oracle of the tests. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "choice/caps.h"
#include "backward.h"
#include "base/checked.h"
#include "spec/gradient.h"
#include "base/status.h"

static size_t reference_count(void)
{
    return 1;
}

static anynorm_status reference_list(size_t index, anynorm_device_info *info)
{
    (void)index;
    *info = (anynorm_device_info){.id = "reference",
                                  .name = "C on the calling thread, sums in double",
                                  .vendor = "anynorm",
                                  .platform = "anynorm",
                                  .driver = ANYNORM_VERSION,
                                  .version = "C11",
                                  .device_class = ANYNORM_CLASS_REFERENCE,
                                  .compute_units = 1,
                                  .vector_width = 1,
                                  .max_work_group_size = 1,
                                  .max_groups = 1,
                                  .max_alloc_bytes = SIZE_MAX / 2,
                                  .fp64 = true,
                                  .storage16 = true,
                                  .unified_memory = true};
    return an_quirks_mask_device(info);
}

static anynorm_status reference_open(size_t index, anynorm_device **device)
{
    anynorm_device_info info;
    anynorm_status status = reference_list(index, &info);
    if (status != ANYNORM_OK)
        return status;
    anynorm_device *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a device");
    opened->backend = &an_reference_backend;
    opened->info = info;
    opened->owner = &an_reference_backend;
    atomic_init(&opened->references, 1);
    atomic_init(&opened->warned, false);
    *device = opened;
    return ANYNORM_OK;
}

static void reference_close(anynorm_device *device)
{
    free(device);
}

static anynorm_buffer describe(void *host, uint64_t bytes)
{
    return (anynorm_buffer){.bytes = bytes,
                            .handle = host,
                            .root_offset = (uint64_t)(uintptr_t)host,
                            .owner = &an_reference_backend,
                            .kind = AN_BUFFER_HOST};
}

static anynorm_status reference_memory_create(anynorm_device *device, uint64_t bytes,
                                              anynorm_buffer *buffer)
{
    (void)device;
    void *host = bytes <= SIZE_MAX ? malloc((size_t)bytes) : NULL;
    if (!host)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for %" PRIu64 " bytes", bytes);
    *buffer = describe(host, bytes);
    return ANYNORM_OK;
}

static void reference_memory_destroy(anynorm_device *device, anynorm_buffer *buffer)
{
    (void)device;
    free(buffer->handle);
}

static char *address(const anynorm_buffer *buffer)
{
    return buffer->handle ? (char *)buffer->handle + buffer->offset : NULL;
}

static anynorm_status reference_memory_write(anynorm_device *device, const anynorm_buffer *buffer,
                                             const void *host, uint64_t bytes)
{
    (void)device;
    memcpy(address(buffer), host, (size_t)bytes);
    return ANYNORM_OK;
}

static anynorm_status reference_memory_read(anynorm_device *device, const anynorm_buffer *buffer,
                                            void *host, uint64_t bytes)
{
    (void)device;
    memcpy(host, address(buffer), (size_t)bytes);
    return ANYNORM_OK;
}

static anynorm_status reference_wrap_host(anynorm_device *device, void *host, uint64_t bytes,
                                          bool written, anynorm_buffer *buffer)
{
    (void)device;
    (void)written;
    *buffer = describe(host, bytes);
    return ANYNORM_OK;
}

static anynorm_status reference_unwrap_host(anynorm_device *device, anynorm_buffer *buffer,
                                            bool written)
{
    (void)device;
    (void)buffer;
    (void)written;
    return ANYNORM_OK;
}

static anynorm_status reference_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                            const struct an_choice *choice, const void *binary,
                                            anynorm_plan **plan, uint64_t *group_limit)
{
    (void)device;
    (void)spec;
    (void)choice;
    (void)binary;
    *group_limit = 0;
    anynorm_plan *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a plan");
    *plan = made;
    return ANYNORM_OK;
}

static void reference_plan_destroy(anynorm_plan *plan)
{
    free(plan);
}

/* Where the tensor has what it has for the row; NULL if the spec does not name it. */
static void *at_row(const anynorm_spec *spec, const anynorm_tensors *tensors, enum an_tensor tensor,
                    uint64_t row)
{
    if (!an_tensor_expect(spec, tensor).present)
        return NULL;
    return address(an_tensor_buffer(tensors, tensor)) + an_tensor_start(spec, tensor, row);
}

/* All tensors at row `r` of `rows`. */
static struct an_row find_row(const anynorm_spec *spec, const anynorm_tensors *tensors,
                              uint64_t rows, uint64_t r)
{
    void *at[AN_TENSOR_COUNT];
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        at[t] = at_row(spec, tensors, (enum an_tensor)t, r);
    struct an_row row = an_row_at(at);
    row.rows = rows;
    return row;
}

/* The streams of tensors that a copy moves, as kernels/opencl/baseline.cl has them. */
static size_t add_streams(const anynorm_spec *spec, const anynorm_tensors *tensors,
                          enum an_tensor tensor, uint64_t bytes, size_t count, char **streams)
{
    struct an_expectation expected = an_tensor_expect(spec, tensor);
    uint64_t parts = anynorm_dtype_size(expected.type) / an_tensor_narrowest(spec);
    for (uint64_t k = 0; expected.present && k < parts; k++)
        streams[count++] = address(an_tensor_buffer(tensors, tensor)) + k * bytes;
    return count;
}

/* Of dense tensors; an output may be one of the inputs. */
static void copy(const anynorm_spec *spec, const anynorm_tensors *tensors, uint64_t rows)
{
    char *input[2 * sizeof(double)], *output[2 * sizeof(double)], value[2 * sizeof(double)];
    uint64_t bytes = rows * spec->columns * an_tensor_narrowest(spec);
    size_t inputs = add_streams(spec, tensors, AN_X, bytes, 0, input);
    size_t outputs = add_streams(spec, tensors, AN_Y, bytes, 0, output);
    inputs = add_streams(spec, tensors, AN_RESIDUAL, bytes, inputs, input);
    outputs = add_streams(spec, tensors, AN_SUM, bytes, outputs, output);
    for (uint64_t i = 0; i < bytes; i++) {
        for (size_t o = 0; o < outputs; o++) {
            value[o] = input[o % inputs][i];
            for (size_t k = o % inputs + outputs; k < inputs; k += outputs)
                value[o] = (char)(value[o] ^ input[k][i]);
        }
        for (size_t o = 0; o < outputs; o++)
            output[o][i] = value[o];
    }
}

static void add(const anynorm_spec *spec, const anynorm_tensors *tensors, uint64_t rows)
{
    for (uint64_t i = 0; i < rows * spec->columns; i++)
        anynorm_dtype_store(
            spec->sum.type, address(&tensors->sum), i,
            anynorm_dtype_load(spec->x.type, address(&tensors->x), i) +
                anynorm_dtype_load(spec->residual.type, address(&tensors->residual), i));
}

/* What is summed over rows, in the order of an_row_sums. */
static const enum an_tensor summed[] = {AN_DWEIGHT, AN_DBIAS,  AN_DPRE_BIAS,
                                        AN_DGATE,   AN_DSCALE, AN_DSHIFT};
enum { SUMMED = COUNT(summed) };

static bool is_of_samples(enum an_tensor tensor)
{
    return an_tensor_shape(tensor) == AN_OF_SAMPLES;
}

/* Writes the sums of a row of parameters, or of a sample. */
static void hand_out(const anynorm_spec *spec, enum an_tensor tensor, char *row,
                     const struct an_sum *sums)
{
    anynorm_dtype type = an_tensor_expect(spec, tensor).type;
    struct an_layout layout = an_tensor_layout(spec, tensor);
    uint64_t count = is_of_samples(tensor) ? spec->columns : an_spec_parameters_per_row(spec);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = is_of_samples(tensor) ? an_layout_column(&layout, i) : i;
        double value = an_sum_total(&sums[i]);
        if (spec->gradients.flags & ANYNORM_ACCUMULATE)
            value += anynorm_dtype_load(type, row, at);
        anynorm_dtype_store(type, row, at, value);
    }
}

/* Of gradients: the sums of a call's rows in its workspace, as spec/gradient.c has it. Those of
 * samples are of the one that is not done yet, those of parameters of each block of rows. */
struct sums {
    struct an_sum *of[SUMMED]; /* NULL: it is not wanted */
    uint64_t each;             /* of a row of parameters */
    uint64_t of_block;
    uint64_t block; /* rows */
    uint64_t blocks;
};

static struct sums find_sums(const anynorm_spec *spec, const anynorm_tensors *tensors,
                             uint64_t of_rows)
{
    struct sums sums = {.each = an_gradient_pitch(spec), .block = an_gradient_block(spec, of_rows)};
    struct an_sum *next = (struct an_sum *)(void *)address(&tensors->workspace);
    sums.of_block = sums.each * spec->parameters.rows;
    sums.blocks = an_divide_up(of_rows, sums.block);
    for (int i = 0; i < SUMMED; i++) {
        if (an_tensor_expect(spec, summed[i]).present) {
            sums.of[i] = next;
            next += sums.blocks * sums.of_block;
        }
    }
    return sums;
}

static void clear_sums(struct an_sum *sums, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        sums[i] = (struct an_sum){0, 0};
}

/* Ahead of a row of the call: the sums that begin with it. */
static void begin_sums(const anynorm_spec *spec, const struct sums *sums, uint64_t row)
{
    for (int i = 0; i < SUMMED; i++) {
        if (sums->of[i] && is_of_samples(summed[i]) && row % spec->sample_rows == 0)
            clear_sums(sums->of[i], sums->each);
        if (sums->of[i] && !is_of_samples(summed[i]) && row % sums->block == 0)
            clear_sums(sums->of[i] + row / sums->block * sums->of_block, sums->of_block);
    }
}

/* Adds those of all blocks to the first one's, in their order. */
static void unite_blocks(const struct sums *sums, struct an_sum *of)
{
    for (uint64_t i = sums->of_block; i < sums->blocks * sums->of_block; i++) {
        struct an_sum *to = &of[i % sums->of_block];
        an_sum_add(to, of[i].value);
        to->error += of[i].error;
    }
}

static void backward(const anynorm_spec *spec, const anynorm_tensors *tensors,
                     const struct an_stretch *stretch)
{
    uint64_t rows = stretch->rows, end = stretch->first + rows;
    const struct sums sums = find_sums(spec, tensors, stretch->of_rows);
    struct an_sum *const *of = sums.of;
    for (uint64_t r = 0; r < rows; r++) {
        const struct an_row row = find_row(spec, tensors, rows, r);
        uint64_t number = stretch->first + r, after = number + 1;
        uint64_t own = number / sums.block * sums.of_block + r % spec->parameters.rows * sums.each;
        const struct an_row_sums of_row = {.dweight = of[0] ? of[0] + own : NULL,
                                           .dbias = of[1] ? of[1] + own : NULL,
                                           .dpre_bias = of[2] ? of[2] + own : NULL,
                                           .dgate = of[3],
                                           .dscale = of[4],
                                           .dshift = of[5]};
        begin_sums(spec, &sums, number);
        an_reference_backward(spec, &row, &of_row);
        bool last = after % spec->sample_rows == 0 || after == stretch->of_rows;
        for (int i = 0; i < SUMMED && last; i++) {
            if (of[i] && is_of_samples(summed[i]))
                hand_out(spec, summed[i], at_row(spec, tensors, summed[i], r), of[i]);
        }
    }
    for (int i = 0; i < SUMMED && end == stretch->of_rows; i++) {
        if (!of[i] || is_of_samples(summed[i]))
            continue;
        unite_blocks(&sums, of[i]);
        for (uint64_t p = 0; p < spec->parameters.rows; p++)
            hand_out(spec, summed[i], at_row(spec, tensors, summed[i], p), of[i] + p * sums.each);
    }
}

/* Done before it returns, so the wait list (of events of this backend) is done already. */
static anynorm_status reference_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                        const struct an_stretch *stretch, uint32_t wait_count,
                                        const anynorm_event *wait_list, anynorm_event *event)
{
    (void)wait_count;
    (void)wait_list;
    const anynorm_spec *spec = &plan->spec;
    uint64_t rows = stretch->rows;
    *event = (anynorm_event){.device = plan->device, .valid = true};
    if (rows == 0) /* what has no rows may have no tensors, either */
        return ANYNORM_OK;
    if (plan->choice.schedule == AN_COPY)
        copy(spec, tensors, rows);
    if (plan->choice.schedule == AN_ADD)
        add(spec, tensors, rows);
    if (plan->choice.schedule != AN_REFERENCE)
        return ANYNORM_OK;
    if (an_spec_backward(spec)) {
        backward(spec, tensors, stretch);
        return ANYNORM_OK;
    }
    for (uint64_t r = 0; r < rows; r++) {
        const struct an_row row = find_row(spec, tensors, rows, r);
        an_reference_row(spec, &row);
    }
    return ANYNORM_OK;
}

static anynorm_status reference_event_wait(const anynorm_event *event)
{
    (void)event;
    return ANYNORM_OK;
}

static anynorm_status reference_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds)
{
    (void)event;
    (void)nanoseconds;
    return an_fail(ANYNORM_UNSUPPORTED, "the reference backend does not measure");
}

static void reference_event_release(anynorm_event *event)
{
    (void)event;
}

const struct an_backend an_reference_backend = {
    .name = "reference",
    .count = reference_count,
    .list = reference_list,
    .open = reference_open,
    .close = reference_close,
    .memory_create = reference_memory_create,
    .memory_destroy = reference_memory_destroy,
    .memory_write = reference_memory_write,
    .memory_read = reference_memory_read,
    .wrap_host = reference_wrap_host,
    .unwrap_host = reference_unwrap_host,
    .plan_create = reference_plan_create,
    .plan_destroy = reference_plan_destroy,
    .enqueue = reference_enqueue,
    .event_wait = reference_event_wait,
    .event_elapsed = reference_event_elapsed,
    .event_release = reference_event_release,
};
