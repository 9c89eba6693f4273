#define _POSIX_C_SOURCE 200809L
#include "layer_norm.h"
#include "library.h"
#include "progress.h"

#include <stdlib.h>

enum { ALIGNMENT = 4096 }; /* lets a device that shares our memory use it without a copy */

/* Memory for one block of rows; what is not needed is NULL. */
struct block {
    uint64_t rows;
    void *x;
    void *y;
    float *mean;
    float *rstd;
};

static void *allocate(uint64_t count, uint64_t size)
{
    if (count > (SIZE_MAX - ALIGNMENT) / size)
        return NULL;
    /* aligned_alloc demands a multiple of the alignment. */
    return aligned_alloc(ALIGNMENT, (count * size / ALIGNMENT + 1) * ALIGNMENT);
}

static bool block_init(struct block *block, const struct layer_norm *work, uint64_t block_bytes,
                       struct cli_error *error)
{
    uint64_t row_bytes = work->columns * work->x.layout.item_size;
    bool stage = work->timing || !work->x.direct;

    *block = (struct block){.rows = block_bytes / row_bytes};
    if (block->rows > work->rows)
        block->rows = work->rows;
    if (block->rows == 0)
        block->rows = 1;
    block->x = stage ? allocate(block->rows, row_bytes) : NULL;
    block->y = allocate(block->rows, row_bytes);
    block->mean = allocate(block->rows, sizeof *block->mean);
    block->rstd = allocate(block->rows, sizeof *block->rstd);
    if ((block->x || !stage) && block->y && block->mean && block->rstd)
        return true;
    return cli_fail(error, CLI_FAILED, work->x.path,
                    "out of memory for %s; a smaller --block-bytes may help",
                    block->rows == 1 ? "one row" : "a block of rows");
}

static void block_free(struct block *block)
{
    free(block->x);
    free(block->y);
    free(block->mean);
    free(block->rstd);
}

/* With --timing, the first block runs once unmeasured: that pays what only a first launch costs. */
static bool run(struct layer_norm *work, const anynorm_host_tensors *tensors, uint64_t first,
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

static bool deliver(struct layer_norm *work, const anynorm_host_tensors *tensors, uint64_t first,
                    uint64_t count, struct cli_error *error)
{
    const void *data[OUTPUTS] = {tensors->y, tensors->mean, tensors->rstd};
    uint64_t sizes[OUTPUTS] = {work->columns * work->x.layout.item_size, sizeof *tensors->mean,
                               sizeof *tensors->rstd};

    for (int i = 0; i < OUTPUTS; i++) {
        if (work->outputs[i].path &&
            !output_write(&work->outputs[i], data[i], count * sizes[i], error))
            return false;
    }
    if (work->want_stats)
        row_table_take(&work->table, work->x.type, tensors->x, tensors->mean, tensors->rstd, first,
                       count);
    if (work->want_preview)
        preview_take(&work->preview, work->x.type, tensors->y, first, count);
    return true;
}

bool layer_norm_blocks(struct layer_norm *work, uint64_t block_bytes, struct cli_error *error)
{
    struct block block;
    struct progress progress;
    bool done = false;

    if (work->rows == 0)
        return true;
    progress_start(&progress, work->rows);
    if (!block_init(&block, work, block_bytes, error))
        goto out;
    for (uint64_t first = 0; first < work->rows; first += block.rows) {
        uint64_t count = work->rows - first < block.rows ? work->rows - first : block.rows;
        anynorm_host_tensors tensors = {
            .x = block.x,
            .y = block.y,
            .weight = work->parameters.weight,
            .bias = work->parameters.bias,
            .mean = work->want_stats || work->outputs[OUTPUT_MEAN].path ? block.mean : NULL,
            .rstd = work->want_stats || work->outputs[OUTPUT_RSTD].path ? block.rstd : NULL,
        };

        if (block.x) {
            tensor_read(&work->x, first * work->columns, count * work->columns, block.x);
        } else {
            tensors.x = tensor_direct(&work->x, first * work->columns);
        }
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
