/* anynorm_run: the synchronous call on host pointers.
 *
 * Rows travel in blocks. The host memory of a block is a few pieces (x, y, mean, rstd; x and y are
 * one piece where they share memory). A piece is either the host memory itself, wrapped, where the
 * device can reach it, or a device buffer that is filled before and read after the kernel. */
#include <inttypes.h>
#include <stdio.h>

#include "backend.h"
#include "spec.h"
#include "status.h"

struct piece {
    char *host;
    uint64_t bytes;
    bool fill; /* the device reads it, or must hand back what it does not write */
    bool read; /* the device writes it */
    bool copied;
    bool wrapped;
    anynorm_buffer buffer;
};

struct run {
    anynorm_plan *plan;
    char *host[AN_TENSOR_COUNT];
    struct piece parameters[2];
    anynorm_tensors tensors; /* weight and bias set, for every block */
};

/* What x, y, mean and rstd of one block are made of. */
struct block {
    struct piece pieces[4];
    int count;
    int piece_of[AN_TENSOR_COUNT]; /* index into pieces */
};

static const void *const host_owner = &host_owner;

static bool is_parameter(int tensor)
{
    return tensor == AN_WEIGHT || tensor == AN_BIAS;
}

static bool is_output(int tensor)
{
    return tensor == AN_Y || tensor == AN_MEAN || tensor == AN_RSTD;
}

/* True if the elements of `rows` rows are all there is between the first and the last. */
static bool is_dense(const anynorm_spec *spec, int tensor, uint64_t rows)
{
    uint64_t elements = 0;
    struct an_layout layout = an_spec_y_layout(spec);
    return tensor != AN_Y ||
           (an_layout_extent(&layout, rows, &elements) && elements == rows * spec->columns);
}

/* Bytes from the start of row 0 to that of `row`. Only called for rows whose extent was checked. */
static uint64_t start_of(const anynorm_spec *spec, int tensor, uint64_t row)
{
    struct an_layout layout = tensor == AN_X ? an_spec_x_layout(spec) : an_spec_y_layout(spec);
    uint64_t element = tensor == AN_X || tensor == AN_Y ? an_layout_start(&layout, row) : row;
    return element * anynorm_dtype_size(an_tensor_expect(spec, (enum an_tensor)tensor).type);
}

/* A kernel without ANYNORM_ANY_ALIGNMENT needs elements at multiples of their size. */
static bool is_aligned(const struct run *run, int tensor)
{
    const anynorm_spec *spec = &run->plan->spec;
    uint64_t size = anynorm_dtype_size(an_tensor_expect(spec, (enum an_tensor)tensor).type);
    return (spec->flags & ANYNORM_ANY_ALIGNMENT) || (uintptr_t)run->host[tensor] % size == 0;
}

/* Whether x and y may be one piece: a copy of it begins at an aligned byte and keeps their
 * distance, which must then be whole elements. */
static bool may_join(const struct run *run)
{
    const anynorm_spec *spec = &run->plan->spec;
    const char *x = run->host[AN_X], *y = run->host[AN_Y];
    uint64_t x_size = anynorm_dtype_size(spec->x_type), y_size = anynorm_dtype_size(spec->y_type);
    uint64_t apart = (uint64_t)(x > y ? x - y : y - x);
    return (spec->flags & ANYNORM_ANY_ALIGNMENT) ||
           apart % (x_size > y_size ? x_size : y_size) == 0;
}

/* The pieces of rows [first, first + rows); no buffers yet. */
static void lay_out(const struct run *run, uint64_t first, uint64_t rows, struct block *block)
{
    const anynorm_spec *spec = &run->plan->spec;
    *block = (struct block){0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!run->host[t] || is_parameter(t))
            continue;
        struct piece piece = {.host = run->host[t] + start_of(spec, t, first),
                              .fill = !is_output(t) || !is_dense(spec, t, rows),
                              .read = is_output(t),
                              .copied = !is_aligned(run, t)};
        (void)an_tensor_extent(spec, (enum an_tensor)t, rows, &piece.bytes);
        struct piece *x = &block->pieces[0];
        bool meets_x =
            t == AN_Y && piece.host < x->host + x->bytes && x->host < piece.host + piece.bytes;
        if (meets_x && may_join(run)) {
            char *begin = x->host < piece.host ? x->host : piece.host;
            char *x_end = x->host + x->bytes, *y_end = piece.host + piece.bytes;
            *x = (struct piece){.host = begin,
                                .bytes = (uint64_t)((x_end > y_end ? x_end : y_end) - begin),
                                .fill = true,
                                .read = true,
                                .copied = x->copied || piece.copied};
            block->piece_of[t] = 0;
            continue;
        }
        /* Else both are copied: writing y's copy back rewrites x with the values it has. */
        if (meets_x)
            x->copied = piece.copied = true;
        block->piece_of[t] = block->count;
        block->pieces[block->count++] = piece;
    }
}

static bool fits(const struct run *run, uint64_t rows)
{
    struct block block;
    uint64_t limit = run->plan->device->info.max_alloc_bytes, parameter;
    lay_out(run, 0, rows, &block);
    for (int i = 0; i < block.count; i++) {
        if (block.pieces[i].bytes > limit)
            return false;
    }
    (void)an_tensor_extent(&run->plan->spec, AN_WEIGHT, rows, &parameter);
    return (!run->host[AN_WEIGHT] && !run->host[AN_BIAS]) || parameter <= limit;
}

/* The most rows that one block can have, whole outer groups where there are several; 0: none. */
static uint64_t rows_per_block(const struct run *run, uint64_t rows)
{
    if (fits(run, rows))
        return rows;
    uint64_t inner_rows = run->plan->spec.inner_rows;
    uint64_t unit = rows > inner_rows && inner_rows > 0 ? inner_rows : 1;
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

static anynorm_status open_piece(anynorm_device *device, struct piece *piece)
{
    const struct an_backend *backend = device->backend;
    if (!piece->copied && device->info.unified_memory &&
        backend->wrap_host(device, piece->host, piece->bytes, piece->read, &piece->buffer) ==
            ANYNORM_OK) {
        piece->wrapped = true;
        return ANYNORM_OK;
    }
    anynorm_status status = backend->memory_create(device, piece->bytes, &piece->buffer);
    if (status == ANYNORM_OK && piece->fill)
        status = backend->memory_write(device, &piece->buffer, piece->host, piece->bytes);
    return status;
}

static anynorm_status close_piece(anynorm_device *device, struct piece *piece, bool succeeded)
{
    const struct an_backend *backend = device->backend;
    anynorm_status status = ANYNORM_OK;
    if (piece->buffer.kind == AN_BUFFER_NONE)
        return ANYNORM_OK;
    if (piece->wrapped) {
        status = backend->unwrap_host(device, &piece->buffer, piece->read);
    } else {
        if (succeeded && piece->read)
            status = backend->memory_read(device, &piece->buffer, piece->host, piece->bytes);
        backend->memory_destroy(device, &piece->buffer);
    }
    piece->buffer = (anynorm_buffer){0};
    return status;
}

/* Closes them all. Returns `status`, with the message that came with it, if it is a failure; else
 * that of the first piece that could not be read. */
static anynorm_status close_pieces(anynorm_device *device, struct piece *pieces, int count,
                                   anynorm_status status)
{
    bool succeeded = status == ANYNORM_OK;
    char cause[512];
    snprintf(cause, sizeof(cause), "%s", anynorm_message());
    for (int i = 0; i < count; i++) {
        anynorm_status closed = close_piece(device, &pieces[i], succeeded);
        if (status == ANYNORM_OK && closed != ANYNORM_OK) {
            status = closed;
            snprintf(cause, sizeof(cause), "%s", anynorm_message());
        }
    }
    return status == ANYNORM_OK ? status : an_fail(status, "%s", cause);
}

static anynorm_status run_block(struct run *run, uint64_t first, uint64_t rows)
{
    anynorm_device *device = run->plan->device;
    struct block block;
    lay_out(run, first, rows, &block);
    anynorm_status status = ANYNORM_OK;
    for (int i = 0; i < block.count && status == ANYNORM_OK; i++)
        status = open_piece(device, &block.pieces[i]);
    if (status != ANYNORM_OK)
        goto out;

    anynorm_tensors tensors = run->tensors;
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!run->host[t] || is_parameter(t))
            continue;
        const struct piece *piece = &block.pieces[block.piece_of[t]];
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        *slot = piece->buffer;
        slot->offset =
            (uint64_t)(run->host[t] + start_of(&run->plan->spec, t, first) - piece->host);
    }
    anynorm_event event;
    status = device->backend->enqueue(run->plan, &tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK) {
        status = device->backend->event_wait(&event);
        device->backend->event_release(&event);
    }
out:
    return close_pieces(device, block.pieces, block.count, status);
}

/* Checks the pointers as if they were buffers of exactly the right size at any alignment. */
static anynorm_status check_host(const anynorm_plan *plan, const anynorm_host_tensors *host,
                                 uint64_t rows)
{
    const void *pointers[AN_TENSOR_COUNT] = {host->x,    host->y,    host->weight,
                                             host->bias, host->mean, host->rstd};
    anynorm_spec spec = plan->spec;
    spec.flags |= ANYNORM_ANY_ALIGNMENT;
    anynorm_tensors tensors = {0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!pointers[t])
            continue;
        *an_tensor_slot(&tensors, (enum an_tensor)t) =
            (anynorm_buffer){.bytes = UINT64_MAX,
                             .root_offset = (uint64_t)(uintptr_t)pointers[t],
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
    anynorm_status status = check_host(plan, host, rows);
    if (status != ANYNORM_OK)
        return status;

    /* The pointers to inputs lose their const: only pieces marked `read` are ever written. */
    struct run run = {.plan = plan,
                      .host = {(char *)host->x, host->y, (char *)host->weight, (char *)host->bias,
                               (char *)host->mean, (char *)host->rstd}};
    uint64_t block_rows = rows_per_block(&run, rows);
    if (block_rows == 0)
        return an_fail(ANYNORM_OUT_OF_MEMORY,
                       "one group of rows, or a parameter, is larger than one allocation of %s can "
                       "be: %" PRIu64 " bytes",
                       plan->device->info.id, plan->device->info.max_alloc_bytes);
    for (int i = 0; i < 2 && status == ANYNORM_OK; i++) {
        enum an_tensor t = i == 0 ? AN_WEIGHT : AN_BIAS;
        if (!run.host[t])
            continue;
        struct piece *piece = &run.parameters[i];
        *piece =
            (struct piece){.host = run.host[t], .fill = true, .copied = !is_aligned(&run, (int)t)};
        (void)an_tensor_extent(&plan->spec, t, rows, &piece->bytes);
        status = open_piece(plan->device, piece);
        *an_tensor_slot(&run.tensors, t) = piece->buffer;
    }
    for (uint64_t first = 0; first < rows && status == ANYNORM_OK; first += block_rows)
        status = run_block(&run, first, rows - first < block_rows ? rows - first : block_rows);

    return close_pieces(plan->device, run.parameters, 2, status);
}
