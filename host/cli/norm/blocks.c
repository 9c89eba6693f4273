#define _POSIX_C_SOURCE 200809L
#include "common/library.h"
#include "norm.h"
#include "common/progress.h"

#include <stdlib.h>

enum { ALIGNMENT = 4096 }; /* lets a device that shares our memory use it without a copy */

/* Memory for one block of rows; what is not needed is NULL. */
struct block {
    uint64_t rows;
    void *x;
    void *inputs[INPUTS];
    void *y;
    void *sum;
    float *mean;
    float *rstd;
    float *y_scale;
};

/* Sets *out; false: out of memory. Nothing is allocated for what is not `needed`. */
static bool allocate(bool needed, uint64_t count, uint64_t size, void **out)
{
    *out = NULL;
    if (!needed)
        return true;
    if (count > (SIZE_MAX - ALIGNMENT) / size)
        return false;
    /* aligned_alloc demands a multiple of the alignment. */
    *out = aligned_alloc(ALIGNMENT, (size_t)((count * size / ALIGNMENT + 1) * ALIGNMENT));
    return *out;
}

/* Parameters go by the number of a row within the block. Those that each row has of its own are one
 * tensor, which may be larger than a device takes if their type is wider. */
uint64_t norm_block_rows(const struct norm *work, int64_t block_bytes)
{
    const struct norm_inputs *inputs = &work->inputs;
    uint64_t size = work->x.layout.item_size;
    uint64_t parameter_size = anynorm_dtype_size(inputs->all[IN_WEIGHT].type);
    uint64_t row_bytes = work->shape.columns *
                         (inputs->own_parameters && parameter_size > size ? parameter_size : size);
    uint64_t period = work->shape.parameter_rows;
    uint64_t rows = (uint64_t)block_bytes / row_bytes / period * period;

    if (rows == 0)
        rows = period;
    return rows < work->shape.rows ? rows : work->shape.rows;
}

/* Whether an input needs memory in the block. */
static bool is_staged(const struct norm *work, const struct norm_input *input)
{
    bool lies_right = input == &work->inputs.all[IN_RESIDUAL] && input->file.direct;

    return input->file.path && !input->data && (work->timing || !lies_right);
}

static bool block_init(struct block *block, const struct norm *work, int64_t block_bytes,
                       struct cli_error *error)
{
    const anynorm_spec *spec = &work->spec;
    uint64_t columns = spec->columns;
    bool stage_x = work->timing || !work->x.direct;
    uint64_t rows = norm_block_rows(work, block_bytes);
    void *mean = NULL;
    void *rstd = NULL;
    void *y_scale = NULL;
    bool done;

    *block = (struct block){.rows = rows};
    done = allocate(stage_x, rows, columns * anynorm_dtype_size(spec->x.type), &block->x) &&
           allocate(true, rows, columns * anynorm_dtype_size(spec->y.type), &block->y) &&
           allocate(spec->flags & ANYNORM_SUM_OUTPUT, rows,
                    columns * anynorm_dtype_size(spec->sum.type), &block->sum) &&
           allocate(spec->flags & ANYNORM_MEAN_OUTPUT, rows, sizeof *block->mean, &mean) &&
           allocate(spec->flags & ANYNORM_RSTD_OUTPUT, rows, sizeof *block->rstd, &rstd) &&
           allocate(spec->flags & (ANYNORM_Y_SCALE_INPUT | ANYNORM_Y_SCALE_OUTPUT), rows,
                    sizeof *block->y_scale, &y_scale);
    for (int i = 0; i < INPUTS && done; i++) {
        const struct norm_input *input = &work->inputs.all[i];

        done = allocate(is_staged(work, input), rows, columns * anynorm_dtype_size(input->type),
                        &block->inputs[i]);
    }
    block->mean = mean;
    block->rstd = rstd;
    block->y_scale = y_scale;
    if (y_scale)
        *block->y_scale = work->y_scale; /* which an output overwrites */
    return done || cli_fail(error, CLI_FAILED, work->x.path,
                            "out of memory for %s; a smaller --block-bytes may help",
                            rows == 1 ? "one row" : "a block of rows");
}

static void block_free(struct block *block)
{
    free(block->x);
    for (int i = 0; i < INPUTS; i++)
        free(block->inputs[i]);
    free(block->y);
    free(block->sum);
    free(block->mean);
    free(block->rstd);
    free(block->y_scale);
}

/* How many rows go next: samples, too, go by the number of a row within the block, so it either
 * begins and ends with samples or stays within one. */
static uint64_t next_rows(const struct norm *work, const struct block *block, uint64_t first)
{
    uint64_t left = work->shape.rows - first;
    uint64_t rows = left < block->rows ? left : block->rows;
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
    const struct norm_input *input = &work->inputs.all[name];
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

static anynorm_host_tensors tensors_of(const struct norm *work, const struct block *block,
                                       uint64_t first, uint64_t count)
{
    uint64_t columns = work->spec.columns;
    const void *inputs[INPUTS];

    for (int i = 0; i < INPUTS; i++)
        inputs[i] = rows_of(work, block, (enum norm_input_name)i, first, count);
    return (anynorm_host_tensors){
        .x = fetch(&work->x, work->x.type, block->x, first * columns, count * columns),
        .y = block->y,
        .weight = inputs[IN_WEIGHT],
        .bias = inputs[IN_BIAS],
        /* Only read where they are inputs. */
        .mean = inputs[IN_MEAN] ? (float *)(uintptr_t)inputs[IN_MEAN] : block->mean,
        .rstd = inputs[IN_RSTD] ? (float *)(uintptr_t)inputs[IN_RSTD] : block->rstd,
        .residual = inputs[IN_RESIDUAL],
        .sum = block->sum,
        .pre_bias = inputs[IN_PRE_BIAS],
        .gate = inputs[IN_GATE],
        .scale = inputs[IN_SCALE],
        .shift = inputs[IN_SHIFT],
        .y_scale = block->y_scale,
    };
}

/* With --timing, the first block runs once unmeasured: that pays what only a first launch costs. */
static bool run(struct norm *work, const anynorm_host_tensors *tensors, uint64_t first,
                uint64_t count, struct cli_error *error)
{
    anynorm_status status = ANYNORM_OK;
    double started;

    if (work->timing && first == 0)
        status = anynorm_run(work->plan, tensors, count);
    started = clock_seconds();
    if (status == ANYNORM_OK)
        status = anynorm_run(work->plan, tensors, count);
    work->seconds += clock_seconds() - started;
    return status == ANYNORM_OK || cli_fail_library(error, work->x.path, status);
}

/* What rows are as lines of print: the rows of a block are whole images. */
static uint64_t lines(const struct norm *work, uint64_t rows)
{
    return rows * work->shape.columns / work->shape.line;
}

static bool deliver(struct norm *work, const anynorm_host_tensors *tensors, uint64_t first,
                    uint64_t count, struct cli_error *error)
{
    if (!norm_outputs_write(&work->outputs, &work->spec, tensors, count, error))
        return false;
    if (work->want_stats)
        row_table_take(&work->table, &work->spec, tensors, first, count);
    if (work->want_preview)
        preview_take(&work->preview, work->spec.y.type, tensors->y, lines(work, first),
                     lines(work, count));
    return true;
}

bool norm_blocks(struct norm *work, int64_t block_bytes, struct cli_error *error)
{
    struct block block;
    struct progress progress;
    uint64_t rows = work->shape.rows;
    bool done = false;
    uint64_t count;

    if (rows == 0)
        return true;
    progress_start(&progress, rows);
    if (!block_init(&block, work, block_bytes, error))
        goto out;
    for (uint64_t first = 0; first < rows; first += count) {
        anynorm_host_tensors tensors;

        count = next_rows(work, &block, first);
        tensors = tensors_of(work, &block, first, count);
        if (!run(work, &tensors, first, count, error) ||
            !deliver(work, &tensors, first, count, error))
            goto out;
        progress_update(&progress, first + count);
    }
    done = true;
out:
    progress_end(&progress);
    block_free(&block);
    return done;
}
