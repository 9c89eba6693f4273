#include "norm.h"

#include "common/cli.h"
#include "platform/system.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 4096 }; /* lets a device that shares our memory use it without a copy */

/* Memory for one block of rows; what is not needed is NULL. */
struct block {
    void *x;
    void *inputs[INPUTS];
    void *outputs[OUTPUTS];
    void *workspace; /* of what is summed over rows, for all blocks */
};

/* Sets *out to memory for so many elements, NULL where they are none; false: out of memory. */
static bool allocate(uint64_t count, anynorm_dtype type, void **out)
{
    size_t size = anynorm_dtype_size(type);

    *out = NULL;
    if (count == 0)
        return true;
    if (count > (SIZE_MAX - ALIGNMENT) / size)
        return false;
    *out = an_aligned_alloc(ALIGNMENT, (size_t)count * size);
    return *out;
}

/* Whether an input needs memory in the block. */
static bool is_staged(const struct norm *work, enum norm_input_name name)
{
    const struct norm_input *input = &work->inputs[name];
    bool lies_right = norm_input_is_as_x(name) && input->file.direct;

    return input->file.path && !input->data && (work->options.timing || !lies_right);
}

static bool fail_memory(const struct norm *work)
{
    if (norm_is_whole(&work->options))
        return cli_fail(CLI_FAILED, work->x.path,
                        "out of memory for all its rows, which must be there at once");
    return cli_fail(CLI_FAILED, work->x.path,
                    "out of memory for %s; a smaller --block-bytes may help",
                    work->largest_block == 1 ? "one row" : "a block of rows");
}

static bool allocate_workspace(const struct norm *work, void **workspace)
{
    uint64_t bytes = 0;

    if (anynorm_plan_workspace(work->plan, work->shape.rows, &bytes) != ANYNORM_OK ||
        !allocate((bytes + 7) / 8, ANYNORM_F64, workspace))
        return false;
    if (*workspace) /* what lies between sums travels with them */
        memset(*workspace, 0, (size_t)bytes);
    return true;
}

static bool block_init(struct block *block, struct norm *work)
{
    uint64_t elements = work->largest_block * work->spec.columns;
    bool stage_x = work->options.timing || !work->x.direct;
    bool done = allocate(stage_x ? elements : 0, work->x.type, &block->x);

    for (int i = 0; i < OUTPUTS && done; i++) {
        enum norm_output_name name = (enum norm_output_name)i;

        done = allocate(norm_output_count(work, name, work->largest_block),
                        norm_output_type(work, name), &block->outputs[i]);
    }
    for (int i = 0; i < INPUTS && done; i++) {
        bool staged = is_staged(work, (enum norm_input_name)i);

        done = allocate(staged ? elements : 0, work->inputs[i].type, &block->inputs[i]);
    }
    done = done && allocate_workspace(work, &block->workspace);
    return done || fail_memory(work);
}

static void block_free(struct block *block)
{
    an_aligned_free(block->x);
    an_aligned_free(block->workspace);
    for (int i = 0; i < INPUTS; i++)
        an_aligned_free(block->inputs[i]);
    for (int i = 0; i < OUTPUTS; i++)
        an_aligned_free(block->outputs[i]);
}

/* Whether what is summed over rows may be cut at a row. */
static bool may_cut(const struct norm *work, uint64_t row)
{
    uint64_t inner = work->spec.inner_rows, cut = row;

    return (inner == 0 || row % inner == 0) &&
           anynorm_plan_cut(work->plan, work->shape.rows, &cut) == ANYNORM_OK && cut == row;
}

/* Whether a block of gradients from row `first` on may end at a row: with a sample, or within the
 * one that it begins in, if another block can take the rest. */
static bool may_end(const struct norm *work, uint64_t first, uint64_t end)
{
    uint64_t rows = work->shape.rows, period = work->spec.sample_rows ? work->spec.sample_rows : 1;
    uint64_t next = rows - first < period - first % period ? rows : first + period - first % period;

    if (end != rows && !may_cut(work, end))
        return false;
    if (end <= next)
        return end == next || next == rows || may_cut(work, next);
    return first % period == 0 && (end % period == 0 || end == rows);
}

/* About as many rows of gradients as a block has; more where they cannot be cut there. */
static uint64_t next_gradients(const struct norm *work, uint64_t first)
{
    uint64_t rows = work->shape.rows, end = rows;

    if (rows - first <= work->block_rows)
        return may_end(work, first, rows) ? rows - first
                                          : work->spec.sample_rows - first % work->spec.sample_rows;
    for (end = first + work->block_rows; end > first; end--) {
        if (may_end(work, first, end))
            return end - first;
    }
    for (end = first + work->block_rows + 1; end < rows; end++) {
        if (may_end(work, first, end))
            return end - first;
    }
    return rows - first;
}

static uint64_t first_row(const struct norm *work)
{
    return work->share ? work->share->first : 0;
}

static uint64_t end_row(const struct norm *work)
{
    return work->share ? work->share->end : work->shape.rows;
}

/* Whether sums over rows need those that other processes have found. */
static bool is_merged(const struct norm *work)
{
    uint32_t sums = ANYNORM_DWEIGHT | ANYNORM_DBIAS | ANYNORM_DPRE_BIAS;

    return work->share && (work->spec.gradients.flags & sums);
}

/* Of `rows` rows from `first` on, those ahead of the last ones where sums may be cut: the block
 * with all rows' last ones waits for other processes, so there should be little in it. */
static uint64_t leave_last(const struct norm *work, uint64_t first, uint64_t rows)
{
    for (uint64_t end = first + rows - 1; end > first; end--) {
        if (may_end(work, first, end))
            return end - first;
    }
    return rows;
}

/* How many rows go next: samples, too, go by the number of a row within the block, so it either
 * begins and ends with samples or stays within one. */
uint64_t norm_next_rows(const struct norm *work, uint64_t first)
{
    uint64_t left = end_row(work) - first;
    uint64_t rows = left < work->block_rows ? left : work->block_rows;
    uint64_t period = work->spec.sample_rows;
    uint64_t within;

    if (norm_is_backward(&work->options)) {
        rows = next_gradients(work, first);
        rows = rows < left ? rows : left;
        return is_merged(work) && first + rows == work->shape.rows ? leave_last(work, first, rows)
                                                                   : rows;
    }
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

    if (!input->data && !input->file.path)
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
    void *outputs[OUTPUTS];

    for (int i = 0; i < INPUTS; i++)
        inputs[i] = rows_of(work, block, (enum norm_input_name)i, first, count);
    for (int i = 0; i < OUTPUTS; i++) {
        enum norm_output_name name = (enum norm_output_name)i;
        uint64_t at = norm_output_start(work, name, first);

        outputs[i] = block->outputs[i];
        if (outputs[i])
            outputs[i] =
                (uint8_t *)outputs[i] + at * anynorm_dtype_size(norm_output_type(work, name));
    }
    return (anynorm_host_tensors){
        .x = fetch(&work->x, work->x.type, block->x, first * columns, count * columns),
        .y = outputs[OUT_Y],
        .weight = inputs[IN_WEIGHT],
        .bias = inputs[IN_BIAS],
        /* Only read where they are inputs. */
        .mean = inputs[IN_MEAN] ? (float *)(uintptr_t)inputs[IN_MEAN] : outputs[OUT_MEAN],
        .rstd = inputs[IN_RSTD] ? (float *)(uintptr_t)inputs[IN_RSTD] : outputs[OUT_RSTD],
        .residual = inputs[IN_RESIDUAL],
        .sum = outputs[OUT_SUM],
        .pre_bias = inputs[IN_PRE_BIAS],
        .gate = inputs[IN_GATE],
        .scale = inputs[IN_SCALE],
        .shift = inputs[IN_SHIFT],
        .y_scale = one_scale ? &work->y_scale : outputs[OUT_Y_SCALE],
        .dy = inputs[IN_DY],
        .dsum = inputs[IN_DSUM],
        .dx = outputs[OUT_DX],
        .dresidual = outputs[OUT_DRESIDUAL],
        .dweight = outputs[OUT_DWEIGHT],
        .dbias = outputs[OUT_DBIAS],
        .dpre_bias = outputs[OUT_DPRE_BIAS],
        .dgate = outputs[OUT_DGATE],
        .dscale = outputs[OUT_DSCALE],
        .dshift = outputs[OUT_DSHIFT],
        .workspace = block->workspace,
    };
}

/* With --timing, the first block runs once unmeasured: that pays what only a first launch costs. */
static bool run(struct norm *work, const anynorm_host_tensors *tensors, uint64_t first,
                uint64_t count)
{
    anynorm_status status = ANYNORM_OK;
    double started;

    if (work->options.timing && first == first_row(work))
        status = anynorm_run(work->plan, tensors, count);
    started = an_clock_seconds();
    if (status == ANYNORM_OK && !norm_is_backward(&work->options))
        status = anynorm_run(work->plan, tensors, count);
    else if (status == ANYNORM_OK)
        status = anynorm_run_stretch(work->plan, tensors, first, count, work->shape.rows);
    work->seconds += an_clock_seconds() - started;
    return status == ANYNORM_OK || cli_fail_library(work->x.path, status);
}

/* Of no rows, what is summed over them is there all the same: zeros. */
static void make_no_rows(const struct norm *work, const struct block *block)
{
    for (int i = 0; i < OUTPUTS; i++) {
        enum norm_output_name name = (enum norm_output_name)i;
        uint64_t count = norm_output_count(work, name, 0);

        for (uint64_t k = 0; k < count; k++)
            anynorm_dtype_store(norm_output_type(work, name), block->outputs[i], k, 0.0);
    }
}

/* Memory is for the largest block. Returns where the last one begins. */
static uint64_t find_largest(struct norm *work)
{
    uint64_t largest = 0, last = first_row(work), count;

    for (uint64_t first = last; first < end_row(work); first += count) {
        count = norm_next_rows(work, first);
        largest = count > largest ? count : largest;
        last = first;
    }
    work->largest_block = largest;
    return last;
}

/* Divided rows must begin with all that goes by the number of a row within a block. */
static bool may_divide(const struct norm *work, uint64_t row)
{
    const anynorm_spec *spec = &work->spec;
    uint64_t periods[] = {spec->sample_rows, spec->parameters.rows, spec->inner_rows}, cut = row;

    for (size_t i = 0; i < COUNT(periods); i++) {
        if (periods[i] > 1 && row % periods[i] != 0)
            return false;
    }
    return !norm_is_backward(&work->options) ||
           (anynorm_plan_divide(work->plan, work->shape.rows, &cut) == ANYNORM_OK && cut == row);
}

void norm_divide(const struct norm *work, uint64_t *row)
{
    while (*row > 0 && !may_divide(work, *row))
        --*row;
}

static bool run_block(struct norm *work, const struct block *block, uint64_t first, uint64_t count)
{
    anynorm_host_tensors tensors = tensors_of(work, block, first, count);

    if (!run(work, &tensors, first, count) ||
        !norm_running_update(work, &tensors, block->outputs) ||
        !norm_outputs_write(work, block->outputs, first, count))
        return false;
    norm_print_take(work, &tensors, first, count);
    return true;
}

static bool run_blocks(struct norm *work, const struct block *block, uint64_t first, uint64_t end,
                       struct progress *progress)
{
    for (uint64_t count; first < end; first += count) {
        count = norm_next_rows(work, first);
        if (!run_block(work, block, first, count))
            return false;
        if (work->share)
            work->share->progress(work->share->context, first + count - first_row(work));
        else
            progress_update(progress, first + count);
    }
    return true;
}

bool norm_blocks(struct norm *work)
{
    struct block block = {0};
    struct progress progress;
    uint64_t rows = end_row(work), last = find_largest(work);
    bool done;

    progress_start(&progress, rows);
    if (rows < work->shape.rows || !is_merged(work))
        last = rows;
    done = block_init(&block, work);
    if (done && work->shape.rows == 0)
        make_no_rows(work, &block);
    done = done && run_blocks(work, &block, first_row(work), last, &progress);
    if (is_merged(work))
        done = work->share->merge(work->share->context, done, block.workspace);
    done = done && run_blocks(work, &block, last, rows, &progress) &&
           norm_sums_write(work, block.outputs);
    progress_end(&progress);
    block_free(&block);
    return done;
}
