#include "norm.h"

#include "common/cli.h"
#include "platform/system.h"

#include <stdlib.h>

enum { ALIGNMENT = 4096 }; /* lets a device that shares our memory use it without a copy */

/* Memory for one block of rows; what is not needed is NULL. */
struct block {
    void *x;
    void *inputs[INPUTS];
    void *outputs[OUTPUTS];
};

/* Sets *out to memory for the rows of a block, NULL where they have no bytes; false: out of memory.
 */
static bool allocate(const struct norm *work, uint64_t row_bytes, void **out)
{
    uint64_t rows = work->block_rows;

    *out = NULL;
    if (row_bytes == 0)
        return true;
    if (rows > (SIZE_MAX - ALIGNMENT) / row_bytes)
        return false;
    *out = an_aligned_alloc(ALIGNMENT, (size_t)(rows * row_bytes));
    return *out;
}

/* Whether an input needs memory in the block. */
static bool is_staged(const struct norm *work, enum norm_input_name name)
{
    const struct norm_input *input = &work->inputs[name];
    bool lies_right = name == IN_RESIDUAL && input->file.direct;

    return input->file.path && !input->data && (work->options.timing || !lies_right);
}

static bool block_init(struct block *block, struct norm *work)
{
    uint64_t columns = work->spec.columns;
    bool stage_x = work->options.timing || !work->x.direct;
    bool done = allocate(work, stage_x ? columns * anynorm_dtype_size(work->x.type) : 0, &block->x);

    for (int i = 0; i < OUTPUTS && done; i++)
        done =
            allocate(work, norm_output_bytes(work, (enum norm_output_name)i), &block->outputs[i]);
    for (int i = 0; i < INPUTS && done; i++) {
        bool staged = is_staged(work, (enum norm_input_name)i);

        done = allocate(work, staged ? columns * anynorm_dtype_size(work->inputs[i].type) : 0,
                        &block->inputs[i]);
    }
    return done || cli_fail(CLI_FAILED, work->x.path,
                            "out of memory for %s; a smaller --block-bytes may help",
                            work->block_rows == 1 ? "one row" : "a block of rows");
}

static void block_free(struct block *block)
{
    an_aligned_free(block->x);
    for (int i = 0; i < INPUTS; i++)
        an_aligned_free(block->inputs[i]);
    for (int i = 0; i < OUTPUTS; i++)
        an_aligned_free(block->outputs[i]);
}

/* How many rows go next: samples, too, go by the number of a row within the block, so it either
 * begins and ends with samples or stays within one. */
static uint64_t next_rows(const struct norm *work, uint64_t first)
{
    uint64_t left = work->shape.rows - first;
    uint64_t rows = left < work->block_rows ? left : work->block_rows;
    uint64_t period = work->spec.sample_rows;
    uint64_t within;

    if (period <= 1)
        return rows;
    within = first % period;
    if (within == 0 && rows >= period)
        return rows - rows % period;
    return rows < period - within ? rows : period - within;
}

/* `count` elements of a file as `type`, in `memory`, or where they lie if that is NULL. */
static const void *fetch(const struct tensor_file *file, anynorm_dtype type, void *memory,
                         uint64_t first, uint64_t count)
{
    if (!memory)
        return tensor_direct(file, first);
    tensor_read_as(file, type, first, count, memory);
    return memory;
}

/* What an input has for `count` rows; NULL: it is not given. */
static const void *rows_of(const struct norm *work, const struct block *block,
                           enum norm_input_name name, uint64_t first, uint64_t count)
{
    const struct norm_input *input = &work->inputs[name];
    uint64_t columns = work->spec.columns;
    uint64_t at = 0; /* in data */

    if (!input->file.path)
        return NULL;
    if (!input->data)
        return fetch(&input->file, input->type, block->inputs[name], first * columns,
                     count * columns);
    if (name == IN_MEAN || name == IN_RSTD)
        at = first;
    if (name == IN_GATE || name == IN_SCALE || name == IN_SHIFT)
        at = first / work->spec.sample_rows * columns;
    return (const uint8_t *)input->data + at * anynorm_dtype_size(input->type);
}

static anynorm_host_tensors tensors_of(struct norm *work, const struct block *block, uint64_t first,
                                       uint64_t count)
{
    uint64_t columns = work->spec.columns;
    bool one_scale = work->spec.flags & ANYNORM_Y_SCALE_INPUT;
    const void *inputs[INPUTS];

    for (int i = 0; i < INPUTS; i++)
        inputs[i] = rows_of(work, block, (enum norm_input_name)i, first, count);
    return (anynorm_host_tensors){
        .x = fetch(&work->x, work->x.type, block->x, first * columns, count * columns),
        .y = block->outputs[OUT_Y],
        .weight = inputs[IN_WEIGHT],
        .bias = inputs[IN_BIAS],
        /* Only read where they are inputs. */
        .mean = inputs[IN_MEAN] ? (float *)(uintptr_t)inputs[IN_MEAN] : block->outputs[OUT_MEAN],
        .rstd = inputs[IN_RSTD] ? (float *)(uintptr_t)inputs[IN_RSTD] : block->outputs[OUT_RSTD],
        .residual = inputs[IN_RESIDUAL],
        .sum = block->outputs[OUT_SUM],
        .pre_bias = inputs[IN_PRE_BIAS],
        .gate = inputs[IN_GATE],
        .scale = inputs[IN_SCALE],
        .shift = inputs[IN_SHIFT],
        .y_scale = one_scale ? &work->y_scale : block->outputs[OUT_Y_SCALE],
    };
}

/* With --timing, the first block runs once unmeasured: that pays what only a first launch costs. */
static bool run(struct norm *work, const anynorm_host_tensors *tensors, uint64_t first,
                uint64_t count)
{
    anynorm_status status = ANYNORM_OK;
    double started;

    if (work->options.timing && first == 0)
        status = anynorm_run(work->plan, tensors, count);
    started = an_clock_seconds();
    if (status == ANYNORM_OK)
        status = anynorm_run(work->plan, tensors, count);
    work->seconds += an_clock_seconds() - started;
    return status == ANYNORM_OK || cli_fail_library(work->x.path, status);
}

bool norm_blocks(struct norm *work)
{
    struct block block = {0};
    struct progress progress;
    uint64_t rows = work->shape.rows, count;
    bool done;

    if (rows == 0)
        return true;
    progress_start(&progress, rows);
    done = block_init(&block, work);
    for (uint64_t first = 0; first < rows && done; first += count) {
        anynorm_host_tensors tensors;

        count = next_rows(work, first);
        tensors = tensors_of(work, &block, first, count);
        done = run(work, &tensors, first, count) && norm_outputs_write(work, block.outputs, count);
        if (done)
            norm_print_take(work, &tensors, first, count);
        progress_update(&progress, first + count);
    }
    progress_end(&progress);
    block_free(&block);
    return done;
}
