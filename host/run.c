/* anynorm_run: the synchronous call on host pointers, which travel in blocks of rows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "base/checked.h"
#include "base/status.h"
#include "spec/gradient.h"

/* Host memory of one tensor, or of several that share it: either itself, wrapped, where the device
 * can reach it, or a device buffer that is filled before and read after the kernel. */
struct piece {
    char *host;
    uint64_t bytes;
    bool fill; /* the device reads it, or must hand back what it does not write */
    bool read; /* the device writes it */
    bool copied;
    bool scattered; /* only the elements of outputs may be written back */
    bool wrapped;
    /* Where the host has it in `parts` equal parts (0: it is whole) so many bytes apart; only an
     * input is. */
    uint64_t parts;
    uint64_t apart;
    anynorm_buffer buffer;
};

/* Rows [first, first + rows) of the tensors at host[], parameters left out. */
struct block {
    const anynorm_spec *spec;
    char *const *host; /* by tensor; NULL for those that are not there */
    uint64_t first;
    uint64_t rows;
    struct piece pieces[AN_TENSOR_COUNT];
    int count;
    int piece_of[AN_TENSOR_COUNT]; /* index into pieces */
};

/* ---- Laying out ---- */

/* True if the elements of `rows` rows are all there is between the first and the last. */
static bool is_dense(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows)
{
    enum an_shape shape = an_tensor_shape(tensor);
    uint64_t elements = 0, own = an_tensor_rows(spec, tensor, rows);
    struct an_layout layout = an_tensor_layout(spec, tensor);
    return (shape != AN_OF_ROWS && shape != AN_OF_SAMPLES) ||
           (an_layout_extent(&layout, own, &elements) && elements == own * spec->columns);
}

/* A kernel without ANYNORM_ANY_ALIGNMENT needs elements at multiples of their size. */
static bool is_aligned(const anynorm_spec *spec, enum an_tensor tensor, uint64_t at)
{
    return (spec->flags & ANYNORM_ANY_ALIGNMENT) ||
           at % anynorm_dtype_size(an_tensor_expect(spec, tensor).type) == 0;
}

static struct piece piece_of(const anynorm_spec *spec, enum an_tensor tensor, char *host,
                             uint64_t first, uint64_t rows)
{
    bool output = an_tensor_expect(spec, tensor).output;
    struct piece piece = {.host = host + an_tensor_start(spec, tensor, first),
                          .fill = !output || !is_dense(spec, tensor, rows) ||
                                  (spec->gradients.flags & ANYNORM_ACCUMULATE),
                          .read = output,
                          .copied = !is_aligned(spec, tensor, (uintptr_t)host)};
    (void)an_tensor_extent(spec, tensor, rows, &piece.bytes);
    return piece;
}

/* Partials that are an input: each shard has those of all rows of the call, `of_rows`. No output
 * lies between them, as the check of overlaps lets none. */
static void part_shards(const anynorm_spec *spec, uint64_t of_rows, uint64_t rows,
                        struct piece *piece)
{
    if (piece->read || spec->statistic.shards == 1 || rows == of_rows)
        return;
    piece->copied = true;
    piece->parts = spec->statistic.shards;
    piece->apart = an_tensor_start(spec, AN_PARTIALS, of_rows);
}

/* Where the tensor begins in its block. */
static char *start(const struct block *block, int tensor)
{
    return block->host[tensor] + an_tensor_start(block->spec, (enum an_tensor)tensor, block->first);
}

static bool has(const struct block *block, int tensor)
{
    enum an_shape shape = an_tensor_shape((enum an_tensor)tensor);
    return block->host[tensor] && shape != AN_OF_PARAMETERS && shape != AN_OF_CALL;
}

/* Whether what is written to one would be written over the other. */
static bool meet(const struct piece *a, const struct piece *b)
{
    return (a->read || b->read) && a->host < b->host + b->bytes && b->host < a->host + a->bytes;
}

/* One piece for both, which is filled as a copy of it keeps what lies between their elements. */
static struct piece unite(const struct piece *a, const struct piece *b)
{
    char *begin = a->host < b->host ? a->host : b->host;
    char *a_end = a->host + a->bytes, *b_end = b->host + b->bytes;
    return (struct piece){.host = begin,
                          .bytes = (uint64_t)((a_end > b_end ? a_end : b_end) - begin),
                          .fill = true,
                          .read = true,
                          .copied = a->copied || b->copied,
                          .scattered = a->scattered || b->scattered};
}

/* Whether pieces a and b may be one: a copy of it begins at an aligned byte and keeps the distances
 * within it, which must then be whole elements. */
static bool may_unite(const struct block *block, int a, int b)
{
    struct piece whole = unite(&block->pieces[a], &block->pieces[b]);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        bool member = has(block, t) && (block->piece_of[t] == a || block->piece_of[t] == b);
        if (member &&
            !is_aligned(block->spec, (enum an_tensor)t, (uint64_t)(start(block, t) - whole.host)))
            return false;
    }
    return true;
}

/* Puts piece b, the later one, into piece a; the last piece takes its place. */
static void join(struct block *block, int a, int b)
{
    int last = --block->count;
    block->pieces[a] = unite(&block->pieces[a], &block->pieces[b]);
    block->pieces[b] = block->pieces[last];
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (block->piece_of[t] == b)
            block->piece_of[t] = a;
        else if (block->piece_of[t] == last)
            block->piece_of[t] = b;
    }
}

/* Joins two pieces that share memory; false where there are none, or none that may be joined. Those
 * are all copied, and only elements written back: between them lie the other's, out of date. */
static bool join_some(struct block *block)
{
    for (int b = 1; b < block->count; b++) {
        for (int a = 0; a < b; a++) {
            if (!meet(&block->pieces[a], &block->pieces[b]))
                continue;
            if (may_unite(block, a, b)) {
                join(block, a, b);
                return true;
            }
            block->pieces[a].copied = block->pieces[b].copied = true;
            block->pieces[a].scattered = block->pieces[b].scattered = true;
        }
    }
    return false;
}

/* Whether a sample goes on after these rows of the call: its sums are not written yet. */
static bool leaves_sample(const anynorm_spec *spec, const struct an_stretch *call, uint64_t first,
                          uint64_t rows)
{
    uint64_t end = call->first + first + rows;
    return end < call->of_rows && end % spec->sample_rows != 0;
}

/* The block's pieces; no buffers yet. `first` counts from the call's first row. */
static void lay_out(const anynorm_spec *spec, char *const host[AN_TENSOR_COUNT],
                    const struct an_stretch *call, uint64_t first, uint64_t rows,
                    struct block *block)
{
    *block = (struct block){.spec = spec, .host = host, .first = first, .rows = rows};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        block->piece_of[t] = -1;
        if (!has(block, t))
            continue;
        block->piece_of[t] = block->count;
        struct piece *piece = &block->pieces[block->count++];
        *piece = piece_of(spec, (enum an_tensor)t, host[t], first, rows);
        if (an_tensor_shape((enum an_tensor)t) == AN_OF_SAMPLES)
            piece->fill = piece->fill || leaves_sample(spec, call, first, rows);
        if (t == AN_PARTIALS)
            part_shards(spec, call->rows, rows, piece);
    }
    while (join_some(block))
        ;
}

/* ---- To the device and back ---- */

static anynorm_status fill_piece(anynorm_device *device, const struct piece *piece)
{
    uint64_t parts = piece->parts ? piece->parts : 1, bytes = piece->bytes / parts;
    anynorm_status status = ANYNORM_OK;
    for (uint64_t k = 0; k < parts && status == ANYNORM_OK; k++) {
        anynorm_buffer part = piece->buffer;
        part.offset += k * bytes;
        status =
            device->backend->memory_write(device, &part, piece->host + k * piece->apart, bytes);
    }
    return status;
}

static anynorm_status open_piece(anynorm_device *device, struct piece *piece)
{
    const struct an_backend *backend = device->backend;
    if (!piece->copied && device->info.unified_memory && backend->wrap_host &&
        backend->wrap_host(device, piece->host, piece->bytes, piece->read, &piece->buffer) ==
            ANYNORM_OK) {
        piece->wrapped = true;
        return ANYNORM_OK;
    }
    anynorm_status status = backend->memory_create(device, piece->bytes, &piece->buffer);
    if (status == ANYNORM_OK && piece->fill)
        status = fill_piece(device, piece);
    return status;
}

/* Makes the buffers, and those of the block's tensors in *tensors. On failure some are made. */
static anynorm_status open_block(anynorm_device *device, struct block *block,
                                 anynorm_tensors *tensors)
{
    for (int i = 0; i < block->count; i++) {
        anynorm_status status = open_piece(device, &block->pieces[i]);
        if (status != ANYNORM_OK)
            return status;
    }
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!has(block, t))
            continue;
        const struct piece *piece = &block->pieces[block->piece_of[t]];
        anynorm_buffer *slot = an_tensor_slot(tensors, (enum an_tensor)t);
        *slot = piece->buffer;
        slot->offset = (uint64_t)(start(block, t) - piece->host);
    }
    return ANYNORM_OK;
}

/* Copies the elements of a tensor AN_OF_ROWS from a copy of its piece to the host. */
static void scatter(const struct block *block, int tensor, const char *copy)
{
    const struct piece *piece = &block->pieces[block->piece_of[tensor]];
    struct an_layout layout = an_tensor_layout(block->spec, (enum an_tensor)tensor);
    size_t size = anynorm_dtype_size(an_tensor_expect(block->spec, (enum an_tensor)tensor).type);
    for (uint64_t r = 0; r < block->rows; r++) {
        char *row = start(block, tensor) + an_layout_start(&layout, r) * size;
        for (uint64_t c = 0; c < layout.columns; c++) {
            char *to = row + an_layout_column(&layout, c) * size;
            memcpy(to, copy + (to - piece->host), size);
        }
    }
}

static anynorm_status read_scattered(anynorm_device *device, const struct block *block, int index)
{
    const struct piece *piece = &block->pieces[index];
    char *copy = piece->bytes <= SIZE_MAX ? malloc((size_t)piece->bytes) : NULL;
    if (!copy)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for %" PRIu64 " bytes", piece->bytes);
    anynorm_status status =
        device->backend->memory_read(device, &piece->buffer, copy, piece->bytes);
    for (int t = 0; t < AN_TENSOR_COUNT && status == ANYNORM_OK; t++) {
        if (block->piece_of[t] == index && an_tensor_expect(block->spec, (enum an_tensor)t).output)
            scatter(block, t, copy);
    }
    free(copy);
    return status;
}

/* Whether the device has in a buffer of its own what the host is to get. */
static bool is_to_read(const struct piece *piece)
{
    return piece->read && !piece->wrapped && piece->buffer.kind != AN_BUFFER_NONE;
}

static anynorm_status read_whole(anynorm_device *device, const struct piece *piece)
{
    if (!is_to_read(piece))
        return ANYNORM_OK;
    return device->backend->memory_read(device, &piece->buffer, piece->host, piece->bytes);
}

static anynorm_status read_piece(anynorm_device *device, const struct block *block, int index)
{
    const struct piece *piece = &block->pieces[index];
    if (is_to_read(piece) && piece->scattered)
        return read_scattered(device, block, index);
    return read_whole(device, piece);
}

static anynorm_status drop_piece(anynorm_device *device, struct piece *piece)
{
    anynorm_status status = ANYNORM_OK;
    if (piece->wrapped)
        status = device->backend->unwrap_host(device, &piece->buffer, piece->read);
    else if (piece->buffer.kind != AN_BUFFER_NONE)
        device->backend->memory_destroy(device, &piece->buffer);
    piece->buffer = (anynorm_buffer){0};
    piece->wrapped = false;
    return status;
}

static anynorm_status drop_pieces(anynorm_device *device, struct piece *pieces, int count,
                                  anynorm_status status)
{
    char cause[512];
    snprintf(cause, sizeof(cause), "%s", anynorm_message());
    for (int i = 0; i < count; i++) {
        anynorm_status dropped = drop_piece(device, &pieces[i]);
        if (status == ANYNORM_OK && dropped != ANYNORM_OK) {
            status = dropped;
            snprintf(cause, sizeof(cause), "%s", anynorm_message());
        }
    }
    return status == ANYNORM_OK ? status : an_fail(status, "%s", cause);
}

/* Hands what was written to the host if `status`, that of the work so far, is OK, and drops the
 * buffers. Returns `status`, with the message that came with it, if it is a failure; else the first
 * failure of these steps. */
static anynorm_status close_block(anynorm_device *device, struct block *block,
                                  anynorm_status status)
{
    for (int i = 0; i < block->count && status == ANYNORM_OK; i++)
        status = read_piece(device, block, i);
    return drop_pieces(device, block->pieces, block->count, status);
}

/* ---- The call, block by block ---- */

enum { PARAMETERS = 6 };

struct run {
    anynorm_plan *plan;
    char *host[AN_TENSOR_COUNT];
    struct an_stretch stretch; /* its rows */
    struct piece parameters[PARAMETERS];
    anynorm_tensors tensors; /* the parameters set, for every block */
};

static const enum an_tensor parameters[PARAMETERS] = {AN_WEIGHT,  AN_BIAS,  AN_PRE_BIAS,
                                                      AN_DWEIGHT, AN_DBIAS, AN_DPRE_BIAS};

static const void *const host_owner = &host_owner;

static bool fits(const struct run *run, uint64_t rows)
{
    struct block block;
    const anynorm_spec *spec = &run->plan->spec;
    const anynorm_device_info *info = &run->plan->device->info;
    uint64_t limit = info->max_alloc_bytes, bytes;
    lay_out(spec, run->host, &run->stretch, 0, rows, &block);
    /* A kernel reaches all shards of a row at once. */
    if (spec->statistic.shards > 1 && info->max_range_bytes > 0 &&
        block.pieces[block.piece_of[AN_PARTIALS]].bytes > info->max_range_bytes)
        return false;
    for (int i = 0; i < block.count; i++) {
        if (block.pieces[i].bytes > limit)
            return false;
    }
    const struct an_stretch stretch = {run->stretch.first, rows, run->stretch.of_rows};
    if (an_spec_backward(spec) && !an_backward_walk_ends(info, spec, &run->plan->choice, &stretch))
        return false;
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
    return unit;
}

/* The most rows that one block can have; 0: none. */
static uint64_t rows_per_block(const struct run *run)
{
    uint64_t rows = run->stretch.rows;
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

/* Whether rows [first, end) of those that samples count lie in one. */
static bool in_one_sample(const anynorm_spec *spec, uint64_t first, uint64_t end)
{
    return first / spec->sample_rows == (end - 1) / spec->sample_rows;
}

/* Whether a block of `rows` rows from the call's row `first` on may end there, before the call
 * does: it begins and ends with samples or stays within one, and sums over rows may be cut there.
 */
static bool may_end(const struct run *run, uint64_t first, uint64_t rows)
{
    const anynorm_spec *spec = &run->plan->spec;
    uint64_t begin = run->stretch.first + first, end = begin + rows;
    bool samples = begin % spec->sample_rows == 0 && end % spec->sample_rows == 0;
    return (samples || in_one_sample(spec, begin, end)) &&
           an_gradient_cut(spec, run->stretch.of_rows, end) == end;
}

/* Rows of the block from row `first` on, `most` or fewer; 0: none may end it. */
static uint64_t next_rows(const struct run *run, uint64_t most, uint64_t first)
{
    const anynorm_spec *spec = &run->plan->spec;
    uint64_t unit = unit_of_block(spec, run->stretch.rows), left = run->stretch.rows - first;
    uint64_t rows = an_least(left, most), begin = run->stretch.first + first;
    if (rows == left &&
        (begin % spec->sample_rows == 0 || in_one_sample(spec, begin, begin + left)))
        return left;
    rows -= rows % unit;
    while (rows > 0 && !may_end(run, first, rows))
        rows -= unit;
    return rows;
}

/* Whether the call can be cut into blocks of `most` rows or fewer. */
static bool has_blocks(const struct run *run, uint64_t most)
{
    uint64_t first = 0, rows = most;
    while (rows > 0 && first < run->stretch.rows) {
        rows = next_rows(run, most, first);
        first += rows;
    }
    return rows > 0;
}

/* Whether sums over rows go on in another call. */
static bool goes_on(const struct run *run)
{
    return run->stretch.first + run->stretch.rows < run->stretch.of_rows;
}

/* Hands parameters' gradients to the host, once they are there. */
static anynorm_status read_parameters(const struct run *run)
{
    anynorm_status status = ANYNORM_OK;
    if (goes_on(run))
        return status;
    for (int i = 0; i < PARAMETERS && status == ANYNORM_OK; i++)
        status = read_whole(run->plan->device, &run->parameters[i]);
    return status;
}

static anynorm_status run_block(struct run *run, uint64_t first, uint64_t rows)
{
    anynorm_device *device = run->plan->device;
    anynorm_tensors tensors = run->tensors;
    struct an_stretch stretch = {run->stretch.first + first, rows, run->stretch.of_rows};
    struct block block;
    if (!(run->plan->spec.gradients.flags & AN_ROW_SUMS))
        stretch = an_stretch_whole(rows);
    lay_out(&run->plan->spec, run->host, &run->stretch, first, rows, &block);
    anynorm_status status = open_block(device, &block, &tensors);
    anynorm_event event = {.valid = false};
    if (status == ANYNORM_OK)
        status = device->backend->enqueue(run->plan, &tensors, &stretch, 0, NULL, &event);
    if (event.valid) { /* also of what failed midway: kernels may read the host's memory */
        anynorm_status waited = device->backend->event_wait(&event);
        device->backend->event_release(&event);
        status = status == ANYNORM_OK ? waited : status;
    }
    return close_block(device, &block, status);
}

/* Checks the pointers as if they were buffers of exactly the right size at any alignment. */
static anynorm_status check_host(const anynorm_plan *plan, char *const host[AN_TENSOR_COUNT],
                                 uint64_t rows)
{
    anynorm_spec spec = plan->spec;
    spec.flags |= ANYNORM_ANY_ALIGNMENT;
    anynorm_tensors tensors = {0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!host[t] && !(t == AN_WORKSPACE && an_tensor_expect(&spec, AN_WORKSPACE).present))
            continue;
        *an_tensor_slot(&tensors, (enum an_tensor)t) =
            (anynorm_buffer){.bytes = UINT64_MAX,
                             .root_offset = (uint64_t)(uintptr_t)host[t],
                             .owner = host_owner,
                             .kind = AN_BUFFER_HOST};
    }
    return an_tensors_check(&spec, &tensors, rows, host_owner);
}

/* The sums of parts: of an earlier call, and for a later one, where the call is not the whole. */
static anynorm_status open_workspace(const struct run *run, void *host, struct piece *workspace)
{
    anynorm_status status =
        anynorm_plan_workspace(run->plan, run->stretch.of_rows, &workspace->bytes);
    if (status != ANYNORM_OK || workspace->bytes == 0)
        return status;
    bool whole = run->stretch.rows == run->stretch.of_rows;
    if (!whole && !host)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "workspace is missing: sums over rows go on from call to call in it");
    if (whole)
        return run->plan->device->backend->memory_create(run->plan->device, workspace->bytes,
                                                         &workspace->buffer);
    workspace->host = host;
    workspace->fill = run->stretch.first > 0;
    workspace->read = true;
    workspace->copied = !is_aligned(&run->plan->spec, AN_WORKSPACE, (uintptr_t)host);
    return open_piece(run->plan->device, workspace);
}

/* Whether sums over rows, and samples, let a call begin and end where it does. */
static anynorm_status check_stretch(const anynorm_spec *spec, const struct an_stretch *stretch)
{
    const uint64_t end = stretch->first + stretch->rows, ends[] = {stretch->first, end};
    for (int i = 0; i < 2; i++) {
        if (ends[i] < stretch->of_rows &&
            an_gradient_cut(spec, stretch->of_rows, ends[i]) != ends[i])
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "row %" PRIu64 " of %" PRIu64
                           " is none where sums over rows may be cut; anynorm_plan_cut finds one",
                           ends[i], stretch->of_rows);
    }
    uint64_t within = stretch->first % spec->sample_rows;
    if (within != 0 && stretch->rows > spec->sample_rows - within)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "rows from %" PRIu64 " on, within a sample of %" PRIu64
                       ", reach into the next sample",
                       stretch->first, spec->sample_rows);
    return ANYNORM_OK;
}

anynorm_status anynorm_run_stretch(anynorm_plan *plan, const anynorm_host_tensors *host,
                                   uint64_t first, uint64_t rows, uint64_t of_rows)
{
    if (!plan || !host)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan or tensors is NULL");
    struct run run = {.plan = plan, .stretch = {first, rows, of_rows}};
    anynorm_status status = an_stretch_check(&run.stretch);
    if (status != ANYNORM_OK || rows == 0)
        return status;
    _Static_assert(sizeof(run.host) == sizeof(*host), "both in the order of enum an_tensor");
    memcpy(run.host, host, sizeof(run.host)); /* without const: only what is an output is written */
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        bool unused =
            t < AN_FORWARD_COUNT && !an_tensor_expect(&plan->spec, (enum an_tensor)t).present;
        /* What gradients do not use is not looked at; the workspace is ours, or no matter yet. */
        if (an_spec_backward(&plan->spec) && (unused || t == AN_WORKSPACE))
            run.host[t] = NULL;
    }
    status = check_stretch(&plan->spec, &run.stretch);
    if (status == ANYNORM_OK)
        status = check_host(plan, run.host, rows);
    if (status != ANYNORM_OK)
        return status;

    uint64_t block_rows = rows_per_block(&run);
    if (!has_blocks(&run, block_rows))
        return an_fail(ANYNORM_OUT_OF_MEMORY,
                       "one group of rows, or a parameter, is larger than one allocation of %s "
                       "can be: %" PRIu64 " bytes",
                       plan->device->info.id, plan->device->info.max_alloc_bytes);
    struct piece workspace = {.host = NULL};
    status = open_workspace(&run, host->workspace, &workspace);
    run.tensors.workspace = workspace.buffer;
    for (int i = 0; i < PARAMETERS && status == ANYNORM_OK; i++) {
        enum an_tensor t = parameters[i];
        if (!run.host[t])
            continue;
        run.parameters[i] = piece_of(&plan->spec, t, run.host[t], 0, 1);
        status = open_piece(plan->device, &run.parameters[i]);
        *an_tensor_slot(&run.tensors, t) = run.parameters[i].buffer;
    }
    for (uint64_t done = 0, next; done < rows && status == ANYNORM_OK; done += next) {
        next = next_rows(&run, block_rows, done);
        status = run_block(&run, done, next);
    }
    if (status == ANYNORM_OK)
        status = read_parameters(&run);
    if (status == ANYNORM_OK && goes_on(&run))
        status = read_whole(plan->device, &workspace);

    status = drop_pieces(plan->device, run.parameters, PARAMETERS, status);
    return drop_pieces(plan->device, &workspace, 1, status);
}

anynorm_status anynorm_run(anynorm_plan *plan, const anynorm_host_tensors *host, uint64_t rows)
{
    return anynorm_run_stretch(plan, host, 0, rows, rows);
}
