/* anynorm_run: the synchronous call on host pointers, which travel in blocks of rows. */
#include <inttypes.h>

#include "base/checked.h"
#include "run_pieces.h"
#include "base/status.h"

enum { PARAMETERS = 3 };

struct run {
    anynorm_plan *plan;
    char *host[AN_TENSOR_COUNT];
    uint64_t rows; /* of the call */
    struct an_piece parameters[PARAMETERS];
    anynorm_tensors tensors; /* the parameters set, for every block */
};

static const enum an_tensor parameters[PARAMETERS] = {AN_WEIGHT, AN_BIAS, AN_PRE_BIAS};

static const void *const host_owner = &host_owner;

/* The pointers to inputs lose their const: only what is an output is ever written. */
static void list_pointers(const anynorm_host_tensors *tensors, char *pointers[AN_TENSOR_COUNT])
{
    pointers[AN_X] = (char *)tensors->x;
    pointers[AN_Y] = tensors->y;
    pointers[AN_WEIGHT] = (char *)tensors->weight;
    pointers[AN_BIAS] = (char *)tensors->bias;
    pointers[AN_MEAN] = (char *)tensors->mean;
    pointers[AN_RSTD] = (char *)tensors->rstd;
    pointers[AN_RESIDUAL] = (char *)tensors->residual;
    pointers[AN_SUM] = tensors->sum;
    pointers[AN_PRE_BIAS] = (char *)tensors->pre_bias;
    pointers[AN_GATE] = (char *)tensors->gate;
    pointers[AN_SCALE] = (char *)tensors->scale;
    pointers[AN_SHIFT] = (char *)tensors->shift;
    pointers[AN_PARTIALS] = (char *)tensors->partials;
    pointers[AN_Y_SCALE] = (char *)tensors->y_scale;
}

static bool fits(const struct run *run, uint64_t rows)
{
    struct an_block block;
    const anynorm_spec *spec = &run->plan->spec;
    const anynorm_device_info *info = &run->plan->device->info;
    uint64_t limit = info->max_alloc_bytes, bytes;
    an_block_lay_out(spec, run->host, run->rows, 0, rows, &block);
    /* A kernel reaches all shards of a row at once. */
    if (spec->statistic.shards > 1 && info->max_range_bytes > 0 &&
        block.pieces[block.piece_of[AN_PARTIALS]].bytes > info->max_range_bytes)
        return false;
    for (int i = 0; i < block.count; i++) {
        if (block.pieces[i].bytes > limit)
            return false;
    }
    (void)an_tensor_extent(spec, AN_WEIGHT, rows, &bytes);
    for (int i = 0; i < PARAMETERS; i++) {
        if (run->host[parameters[i]] && bytes > limit)
            return false;
    }
    return true;
}

/* The least common multiple, or UINT64_MAX where it is no less. */
static uint64_t common_multiple(uint64_t a, uint64_t b)
{
    uint64_t x = a, y = b, multiple;
    while (y > 0) {
        uint64_t rest = x % y;
        x = y;
        y = rest;
    }
    return an_mul(a / x, b, &multiple) ? multiple : UINT64_MAX;
}

/* A block but the last must have a multiple of so many of the `rows` rows: a kernel counts groups
 * of rows from the block's first, and there a group must begin. */
static uint64_t unit_of_block(const anynorm_spec *spec, uint64_t rows)
{
    uint64_t unit = spec->parameters.rows;
    if (spec->inner_rows > 0 && spec->inner_rows < rows)
        unit = common_multiple(unit, spec->inner_rows);
    if (spec->sample_rows < rows)
        unit = common_multiple(unit, spec->sample_rows);
    return unit;
}

/* The most rows that one block can have; 0: none. */
static uint64_t rows_per_block(const struct run *run, uint64_t rows)
{
    if (fits(run, rows))
        return rows;
    uint64_t unit = unit_of_block(&run->plan->spec, rows);
    uint64_t low = 0, high = (rows - 1) / unit + 1; /* low units fit, high do not */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (fits(run, middle * unit))
            low = middle;
        else
            high = middle;
    }
    return low * unit;
}

static anynorm_status run_block(struct run *run, uint64_t first, uint64_t rows)
{
    anynorm_device *device = run->plan->device;
    anynorm_tensors tensors = run->tensors;
    struct an_block block;
    an_block_lay_out(&run->plan->spec, run->host, run->rows, first, rows, &block);
    anynorm_status status = an_block_open(device, &block, &tensors);
    anynorm_event event;
    if (status == ANYNORM_OK)
        status = device->backend->enqueue(run->plan, &tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK) {
        status = device->backend->event_wait(&event);
        device->backend->event_release(&event);
    }
    return an_block_close(device, &block, status);
}

/* Checks the pointers as if they were buffers of exactly the right size at any alignment. */
static anynorm_status check_host(const anynorm_plan *plan, char *const host[AN_TENSOR_COUNT],
                                 uint64_t rows)
{
    anynorm_spec spec = plan->spec;
    spec.flags |= ANYNORM_ANY_ALIGNMENT;
    anynorm_tensors tensors = {0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!host[t])
            continue;
        *an_tensor_slot(&tensors, (enum an_tensor)t) =
            (anynorm_buffer){.bytes = UINT64_MAX,
                             .root_offset = (uint64_t)(uintptr_t)host[t],
                             .owner = host_owner,
                             .kind = AN_BUFFER_HOST};
    }
    return an_tensors_check(&spec, &tensors, rows, host_owner);
}

anynorm_status anynorm_run(anynorm_plan *plan, const anynorm_host_tensors *host, uint64_t rows)
{
    if (!plan || !host)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or tensors is NULL");
    if (rows == 0)
        return ANYNORM_OK;
    struct run run = {.plan = plan, .rows = rows};
    list_pointers(host, run.host);
    anynorm_status status = check_host(plan, run.host, rows);
    if (status != ANYNORM_OK)
        return status;

    uint64_t block_rows = rows_per_block(&run, rows);
    if (block_rows == 0)
        return an_fail(ANYNORM_OUT_OF_MEMORY,
                       "one group of rows, or a parameter, is larger than one allocation of %s can "
                       "be: %" PRIu64 " bytes",
                       plan->device->info.id, plan->device->info.max_alloc_bytes);
    for (int i = 0; i < PARAMETERS && status == ANYNORM_OK; i++) {
        enum an_tensor t = parameters[i];
        if (!run.host[t])
            continue;
        run.parameters[i] = an_piece_of_parameters(&plan->spec, t, run.host[t]);
        status = an_piece_open(plan->device, &run.parameters[i]);
        *an_tensor_slot(&run.tensors, t) = run.parameters[i].buffer;
    }
    for (uint64_t first = 0; first < rows && status == ANYNORM_OK; first += block_rows)
        status = run_block(&run, first, rows - first < block_rows ? rows - first : block_rows);

    return an_pieces_drop(plan->device, run.parameters, PARAMETERS, status);
}
