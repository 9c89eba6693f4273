/* A rank that fails says so in the next gather and takes part in all that are left, with nothing:
 * so none waits for it, and each rank fails with a later step than the one that it hears of. */
#include "columns.h"

#include "common/cli.h"
#include "platform/system.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    OF_X = INPUTS, /* beside the other inputs */
    LEAST_BYTES = 1 << 20,
    MOST_ROWS = INT32_MAX / 4 /* at a time: a pair sends 3 numbers of each and a status */
};

bool columns_check(const struct ranks *ranks, const struct norm *work)
{
    const struct norm_options *o = &work->options;
    const char *text = NULL;

    if (o->kind != NORM_LAYER && o->kind != NORM_RMS)
        text = "columns divides rows of layer-norm and rms-norm; leave it out";
    else if (norm_is_backward(o))
        text = "columns finds no gradients, as --backward does; leave one out";
    else if (o->inputs[IN_RSTD])
        text = "columns finds statistics, and --rstd gives them; leave one out";
    else if (o->outputs[OUT_Y_SCALE])
        text = "columns has no rank that sees the largest of a row, as --scale-output must; give "
               "--quantize-scale";
    if (text)
        return cli_fail(CLI_USAGE, "--shard", "%s", text);
    return work->spec.columns >= (uint64_t)ranks->size ||
           cli_fail(CLI_USAGE, "--shard",
                    "columns of %.200s are %" PRIu64 ", fewer than the %d ranks; start as many at "
                    "most",
                    o->x, work->spec.columns, ranks->size);
}

/* ---- The tensors ---- */

static anynorm_buffer *input_buffer(anynorm_tensors *tensors, int input)
{
    switch (input) {
    case IN_WEIGHT:
        return &tensors->weight;
    case IN_BIAS:
        return &tensors->bias;
    case IN_PRE_BIAS:
        return &tensors->pre_bias;
    case IN_GATE:
        return &tensors->gate;
    case IN_SCALE:
        return &tensors->scale;
    case IN_SHIFT:
        return &tensors->shift;
    case IN_RESIDUAL:
        return &tensors->residual;
    default:
        return &tensors->x; /* OF_X; columns_check has refused all others */
    }
}

static anynorm_buffer *output_buffer(anynorm_tensors *tensors, int output)
{
    switch (output) {
    case OUT_SUM:
        return &tensors->sum;
    case OUT_MEAN:
        return &tensors->mean;
    case OUT_RSTD:
        return &tensors->rstd;
    default:
        return &tensors->y; /* likewise */
    }
}

static bool is_there(const struct norm *work, int input)
{
    return input == OF_X || work->options.inputs[input];
}

static anynorm_dtype input_type(const struct norm *work, int input)
{
    return input == OF_X ? work->x.type : work->inputs[input].type;
}

/* The lines of a tensor that go with some rows of x: one for each, or for a sample of them, or the
 * one that parameters have for all. */
struct lines {
    uint64_t first, count;
    bool always; /* the same for all rows */
};

static struct lines lines_of(const struct norm *work, int input, uint64_t first, uint64_t rows)
{
    uint64_t period = work->spec.sample_rows;

    if (input == OF_X || !work->inputs[input].data)
        return (struct lines){first, rows, false};
    if (input == IN_GATE || input == IN_SCALE || input == IN_SHIFT)
        return (struct lines){first / period, (rows + period - 1) / period, false};
    return (struct lines){0, 1, true};
}

/* The rank's columns of the lines, into the block's memory. */
static void read_lines(const struct columns *c, int input, struct lines lines)
{
    const struct norm *work = c->work;
    const uint8_t *data = input == OF_X ? NULL : work->inputs[input].data;
    const struct tensor_file *file = input == OF_X ? &work->x : &work->inputs[input].file;
    anynorm_dtype type = input_type(work, input);
    size_t size = anynorm_dtype_size(type), bytes = (size_t)c->count * size;

    for (uint64_t i = 0; i < lines.count; i++) {
        uint64_t at = (lines.first + i) * work->spec.columns + c->first;
        uint8_t *to = (uint8_t *)c->memory + i * bytes;

        if (data)
            memcpy(to, data + at * size, bytes);
        else
            tensor_read_as(file, type, at, c->count, to);
    }
}

static bool upload(struct columns *c, struct column_slot *slot, int input, struct lines lines)
{
    uint64_t bytes = lines.count * c->count * anynorm_dtype_size(input_type(c->work, input));
    anynorm_status status;

    read_lines(c, input, lines);
    status = anynorm_buffer_write(c->work->device, input_buffer(&slot->tensors, input), c->memory,
                                  bytes);
    return status == ANYNORM_OK || cli_fail_library(c->work->x.path, status);
}

/* Elements of an output that the rank has of so many rows. */
static uint64_t output_count(const struct columns *c, int output, uint64_t rows)
{
    bool there = norm_output_count(c->work, (enum norm_output_name)output, 1) > 0;

    return !there ? 0 : norm_output_is_as_x((enum norm_output_name)output) ? rows * c->count : rows;
}

static size_t output_size(const struct columns *c, int output)
{
    return anynorm_dtype_size(norm_output_type(c->work, (enum norm_output_name)output));
}

/* ---- Making it ---- */

static bool allocate(struct columns *c, uint64_t bytes, anynorm_buffer *buffer)
{
    anynorm_status status = anynorm_buffer_create(c->work->device, bytes, buffer);

    return status == ANYNORM_OK || cli_fail_library(c->work->x.path, status);
}

/* Buffers for a block, and in them what is the same for all blocks. */
static bool fill_slot(struct columns *c, struct column_slot *slot)
{
    struct norm *work = c->work;
    anynorm_tensors *tensors = &slot->tensors;

    for (int i = 0; i <= OF_X; i++) {
        struct lines lines = lines_of(work, i, 0, work->block_rows);
        uint64_t bytes = lines.count * c->count * anynorm_dtype_size(input_type(work, i));

        if (is_there(work, i) && (!allocate(c, bytes, input_buffer(tensors, i)) ||
                                  (lines.always && !upload(c, slot, i, lines))))
            return false;
    }
    for (int i = 0; i < OUTPUTS; i++) {
        uint64_t bytes = output_count(c, i, work->block_rows) * output_size(c, i);

        if (bytes > 0 && !allocate(c, bytes, output_buffer(tensors, i)))
            return false;
    }
    if (work->spec.flags & ANYNORM_Y_SCALE_INPUT) {
        anynorm_status status;

        if (!allocate(c, sizeof(work->y_scale), &tensors->y_scale))
            return false;
        status = anynorm_buffer_write(work->device, &tensors->y_scale, &work->y_scale,
                                      sizeof(work->y_scale));
        return status == ANYNORM_OK || cli_fail_library(work->x.path, status);
    }
    return true;
}

static bool allocate_memory(struct columns *c)
{
    size_t widest = 1;

    for (int i = 0; i <= OF_X; i++) {
        size_t size = is_there(c->work, i) ? anynorm_dtype_size(input_type(c->work, i)) : 1;

        widest = size > widest ? size : widest;
    }
    for (int i = 0; i < OUTPUTS; i++) {
        if (output_count(c, i, 1) > 0 && output_size(c, i) > widest)
            widest = output_size(c, i);
    }
    if (c->work->block_rows <= SIZE_MAX / widest / c->count)
        c->memory = malloc((size_t)(c->work->block_rows * c->count) * widest);
    return c->memory || cli_fail(CLI_FAILED, c->work->x.path,
                                 "out of memory for a block of rows; a smaller --block-bytes may "
                                 "help");
}

static bool fail_pair(const struct columns *c, anynorm_status status)
{
    bool asked = status == ANYNORM_INVALID_ARGUMENT || status == ANYNORM_UNSUPPORTED;

    return cli_fail(asked ? CLI_USAGE : CLI_FAILED, c->work->x.path, "%s: %s",
                    anynorm_status_name(status), anynorm_mpi_message());
}

/* Bytes of x in a block. A pair reads x twice. On a CPU the second time can be out of the last
 * cache, which holds the tensors of all blocks under way of all ranks of the machine, if these take
 * half of it. Less than LEAST_BYTES would cost more in launches and messages. */
static uint64_t block_bytes(const struct columns *c)
{
    const struct norm *work = c->work;
    uint64_t bytes = (uint64_t)work->options.block_bytes, least;
    anynorm_device_info info;
    MPI_Comm node;
    int ranks = 1;

    (void)MPI_Comm_split_type(c->ranks->all, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    (void)MPI_Comm_size(node, &ranks);
    (void)MPI_Comm_free(&node);
    if (!work->options.block_bytes_given &&
        anynorm_device_describe(work->device, &info) == ANYNORM_OK &&
        info.device_class == ANYNORM_CLASS_CPU && info.cache_bytes > 0) {
        bytes = info.cache_bytes / 2 / (uint64_t)ranks / COLUMN_SLOTS / norm_element_bytes(work) *
                work->x.layout.item_size;
        bytes = bytes > LEAST_BYTES ? bytes : LEAST_BYTES;
    }
    least = bytes;
    (void)MPI_Allreduce(&bytes, &least, 1, MPI_UINT64_T, MPI_MIN, c->ranks->all);
    return least;
}

/* As many rows as a block may have of the rank that has the most columns: the same on all. */
static uint64_t rows_of_block(const struct columns *c)
{
    const struct norm *work = c->work;
    uint64_t size = (uint64_t)c->ranks->size, most = (work->spec.columns + size - 1) / size;
    uint64_t rows = block_bytes(c) / (most * work->x.layout.item_size);

    if (rows > MOST_ROWS)
        rows = MOST_ROWS;
    if (rows > work->shape.rows)
        rows = work->shape.rows;
    return rows > 0 ? rows : 1;
}

bool columns_make(struct columns *c, struct ranks *ranks, struct norm *work)
{
    uint64_t rank = (uint64_t)ranks->rank, size = (uint64_t)ranks->size;
    anynorm_spec spec = work->spec;

    *c = (struct columns){.ranks = ranks, .work = work};
    c->first = spec.columns * rank / size;
    c->count = spec.columns * (rank + 1) / size - c->first;
    work->block_rows = rows_of_block(c);
    spec.columns = c->count;
    if (work->own_parameters)
        spec.parameters.rows = work->block_rows;
    for (int i = 0; i < COLUMN_SLOTS; i++) {
        anynorm_status status = anynorm_mpi_pair_create(work->device, &spec, ranks->all,
                                                        work->block_rows, &c->slots[i].pair);

        if (status != ANYNORM_OK)
            return fail_pair(c, status); /* on all ranks */
    }
    if (!allocate_memory(c))
        return false;
    for (int i = 0; i < COLUMN_SLOTS; i++) {
        if (!fill_slot(c, &c->slots[i]))
            return false;
    }
    return true;
}

void columns_free(struct columns *c)
{
    for (int k = 0; k < COLUMN_SLOTS && c->work; k++) {
        struct column_slot *slot = &c->slots[k];

        anynorm_mpi_pair_destroy(slot->pair);
        for (int i = 0; i <= OF_X; i++)
            anynorm_buffer_destroy(c->work->device, input_buffer(&slot->tensors, i));
        for (int i = 0; i < OUTPUTS; i++)
            anynorm_buffer_destroy(c->work->device, output_buffer(&slot->tensors, i));
        anynorm_buffer_destroy(c->work->device, &slot->tensors.y_scale);
    }
    free(c->memory);
    *c = (struct columns){.work = NULL};
}

double columns_waited(const struct columns *c)
{
    double seconds = -c->unmeasured;

    for (int i = 0; i < COLUMN_SLOTS; i++)
        seconds += anynorm_mpi_pair_waited(c->slots[i].pair);
    return seconds;
}

/* ---- The blocks ---- */

/* The error is there already. Only the first counts, with the step that it belongs to. */
static void note_failure(struct columns *c, uint64_t step)
{
    if (!c->failed)
        c->ranks->step = (int64_t)step;
    c->failed = true;
}

static bool fill(struct columns *c, struct column_slot *slot)
{
    for (int i = 0; i <= OF_X; i++) {
        struct lines lines;

        if (!is_there(c->work, i))
            continue;
        lines = lines_of(c->work, i, slot->first, slot->rows);
        if (!lines.always && !upload(c, slot, i, lines))
            return false;
    }
    return true;
}

/* With nothing it fails at once, which the other ranks hear of. */
static void begin(struct columns *c, struct column_slot *slot)
{
    const anynorm_tensors nothing = {.x = {0}};
    double started;
    anynorm_status status;

    if (!c->failed && !fill(c, slot))
        note_failure(c, 2 * slot->block);
    started = an_clock_seconds();
    status = anynorm_mpi_pair_begin(slot->pair, c->failed ? &nothing : &slot->tensors, slot->rows);
    c->work->seconds += an_clock_seconds() - started;
    if (status != ANYNORM_OK && !c->failed) {
        (void)fail_pair(c, status);
        note_failure(c, 2 * slot->block);
    }
}

static bool write_output(struct columns *c, struct column_slot *slot, int output)
{
    struct norm *work = c->work;
    enum norm_output_name name = (enum norm_output_name)output;
    bool whole = norm_output_is_as_x(name);
    size_t size = output_size(c, output);
    uint64_t count = output_count(c, output, slot->rows);
    uint64_t pieces = whole ? slot->rows : 1, bytes = count / pieces * size;
    anynorm_status status = anynorm_buffer_read(work->device, output_buffer(&slot->tensors, output),
                                                c->memory, count * size);

    if (status != ANYNORM_OK)
        return cli_fail_library(work->x.path, status);
    for (uint64_t i = 0; i < pieces; i++) {
        uint64_t at = whole ? (slot->first + i) * work->spec.columns + c->first : slot->first;

        if (!ranks_write(c->ranks, name, work->heads[output] + at * size,
                         (const uint8_t *)c->memory + i * bytes, (size_t)bytes))
            return false;
    }
    return true;
}

/* Statistics are of whole rows, and the same on all ranks. */
static bool write_outputs(struct columns *c, struct column_slot *slot)
{
    for (int i = 0; i < OUTPUTS; i++) {
        bool own = norm_output_is_as_x((enum norm_output_name)i) || c->ranks->rank == 0;

        if (own && c->work->options.outputs[i] && !write_output(c, slot, i))
            return false;
    }
    return true;
}

/* With `writes` what it has found goes into the files. */
static void end(struct columns *c, struct column_slot *slot, bool writes)
{
    double started = an_clock_seconds();
    anynorm_status status = anynorm_mpi_pair_end(slot->pair);

    c->work->seconds += an_clock_seconds() - started;
    if (c->failed)
        return;
    if (status == ANYNORM_OK ? writes && !write_outputs(c, slot) : !fail_pair(c, status))
        note_failure(c, 2 * slot->block + 1);
}

/* The first block once more ahead of all: that pays what only a pair's first launches cost. */
static void warm_up(struct columns *c)
{
    for (int i = 0; i < COLUMN_SLOTS && c->work->shape.rows > 0; i++) {
        struct column_slot *slot = &c->slots[i];

        slot->rows = norm_next_rows(c->work, 0);
        begin(c, slot);
        end(c, slot, false);
    }
    c->work->seconds = 0;
    c->unmeasured = columns_waited(c);
}

bool columns_blocks(struct columns *c)
{
    struct norm *work = c->work;
    struct column_slot *before = NULL;
    uint64_t block = 0;

    if (work->options.timing)
        warm_up(c);
    for (uint64_t first = 0; first < work->shape.rows; block++) {
        struct column_slot *slot = &c->slots[block % COLUMN_SLOTS];

        slot->block = block;
        slot->first = first;
        slot->rows = norm_next_rows(work, first);
        first += slot->rows;
        begin(c, slot);
        if (before)
            end(c, before, true);
        before = slot;
        watch_update(&c->ranks->watch, first);
    }
    if (before)
        end(c, before, true);
    return !c->failed;
}
