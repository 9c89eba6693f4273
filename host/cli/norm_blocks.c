#define _POSIX_C_SOURCE 200809L
#include "library.h"
#include "norm.h"
#include "progress.h"

#include <stdlib.h>

enum { ALIGNMENT = 4096 }; /* lets a device that shares our memory use it without a copy */

/* Memory for one block of rows; what is not needed is NULL. */
struct block {
    uint64_t rows;
    void *x;
    void *residual;
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
    *out = aligned_alloc(ALIGNMENT, (count * size / ALIGNMENT + 1) * ALIGNMENT);
    return *out;
}

/* The rows of a block: parameters go by the number of a row within it. */
static uint64_t block_rows(const struct norm *work, uint64_t block_bytes)
{
    uint64_t row_bytes = work->shape.columns * work->x.layout.item_size;
    uint64_t period = work->shape.parameter_rows;
    uint64_t rows = block_bytes / row_bytes / period * period;

    if (rows == 0)
        rows = period;
    return rows < work->shape.rows ? rows : work->shape.rows;
}

static bool block_init(struct block *block, const struct norm *work, uint64_t block_bytes,
                       struct cli_error *error)
{
    const anynorm_spec *spec = &work->spec;
    uint64_t columns = spec->columns;
    const struct tensor_file *residual = &work->inputs.residual;
    bool stage_x = work->timing || !work->x.direct;
    bool stage_residual = residual->path && (work->timing || !residual->direct);
    uint64_t rows = block_rows(work, block_bytes);
    void *mean = NULL;
    void *rstd = NULL;
    void *y_scale = NULL;
    bool done;

    *block = (struct block){.rows = rows};
    done = allocate(stage_x, rows, columns * anynorm_dtype_size(spec->x_type), &block->x) &&
           allocate(stage_residual, rows, columns * anynorm_dtype_size(spec->residual_type),
                    &block->residual) &&
           allocate(true, rows, columns * anynorm_dtype_size(spec->y_type), &block->y) &&
           allocate(spec->flags & ANYNORM_SUM_OUTPUT, rows,
                    columns * anynorm_dtype_size(spec->sum_type), &block->sum) &&
           allocate(spec->flags & ANYNORM_MEAN_OUTPUT, rows, sizeof *block->mean, &mean) &&
           allocate(spec->flags & ANYNORM_RSTD_OUTPUT, rows, sizeof *block->rstd, &rstd) &&
           allocate(spec->flags & (ANYNORM_Y_SCALE_INPUT | ANYNORM_Y_SCALE_OUTPUT), rows,
                    sizeof *block->y_scale, &y_scale);
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
    free(block->residual);
    free(block->y);
    free(block->sum);
    free(block->mean);
    free(block->rstd);
    free(block->y_scale);
}

/* How many rows go next: samples, too, go by the number of a row within the block, so it either
 * begins and ends with samples or stays within one. Only norms of parameter_rows 1 have samples. */
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

/* The row of an array of `columns` elements; NULL where there is no array. */
static const void *row_of(const void *data, anynorm_dtype type, uint64_t columns, uint64_t row)
{
    return data ? (const uint8_t *)data + row * columns * anynorm_dtype_size(type) : NULL;
}

/* `count` rows of a file, in `memory`, or where they lie if that is NULL. */
static const void *fetch(const struct tensor_file *file, void *memory, uint64_t first,
                         uint64_t count)
{
    if (!memory)
        return tensor_direct(file, first);
    tensor_read(file, first, count, memory);
    return memory;
}

static anynorm_host_tensors tensors_of(const struct norm *work, const struct block *block,
                                       uint64_t first, uint64_t count)
{
    const struct norm_inputs *inputs = &work->inputs;
    const anynorm_spec *spec = &work->spec;
    uint64_t columns = spec->columns;
    uint64_t sample = spec->sample_rows ? first / spec->sample_rows : 0;
    anynorm_host_tensors tensors = {
        .x = fetch(&work->x, block->x, first * columns, count * columns),
        .y = block->y,
        .weight = inputs->weight,
        .bias = inputs->bias,
        .mean = inputs->mean ? inputs->mean + first : block->mean,
        .rstd = inputs->rstd ? inputs->rstd + first : block->rstd,
        .sum = block->sum,
        .pre_bias = inputs->pre_bias,
        .gate = row_of(inputs->gate, spec->sample_type, columns, sample),
        .scale = row_of(inputs->scale, spec->sample_type, columns, sample),
        .shift = row_of(inputs->shift, spec->sample_type, columns, sample),
        .y_scale = block->y_scale,
    };

    if (inputs->residual.path)
        tensors.residual =
            fetch(&inputs->residual, block->residual, first * columns, count * columns);
    return tensors;
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
        preview_take(&work->preview, work->spec.y_type, tensors->y, lines(work, first),
                     lines(work, count));
    return true;
}

bool norm_blocks(struct norm *work, uint64_t block_bytes, struct cli_error *error)
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
