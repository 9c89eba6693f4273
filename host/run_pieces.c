#include "run_pieces.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* ---- Laying out ---- */

/* True if the elements of `rows` rows are all there is between the first and the last. */
static bool is_dense(const anynorm_spec *spec, enum an_tensor tensor, uint64_t rows)
{
    uint64_t elements = 0;
    struct an_layout layout = an_tensor_layout(spec, tensor);
    return an_tensor_shape(tensor) != AN_OF_ROWS ||
           (an_layout_extent(&layout, rows, &elements) && elements == rows * spec->columns);
}

/* A kernel without ANYNORM_ANY_ALIGNMENT needs elements at multiples of their size. */
static bool is_aligned(const anynorm_spec *spec, enum an_tensor tensor, uint64_t at)
{
    return (spec->flags & ANYNORM_ANY_ALIGNMENT) ||
           at % anynorm_dtype_size(an_tensor_expect(spec, tensor).type) == 0;
}

static struct an_piece piece_of(const anynorm_spec *spec, enum an_tensor tensor, char *host,
                                uint64_t first, uint64_t rows)
{
    bool output = an_tensor_expect(spec, tensor).output;
    struct an_piece piece = {.host = host + an_tensor_start(spec, tensor, first),
                             .fill = !output || !is_dense(spec, tensor, rows),
                             .read = output,
                             .copied = !is_aligned(spec, tensor, (uintptr_t)host)};
    (void)an_tensor_extent(spec, tensor, rows, &piece.bytes);
    return piece;
}

struct an_piece an_piece_of_parameters(const anynorm_spec *spec, enum an_tensor tensor, char *host)
{
    return piece_of(spec, tensor, host, 0, 1);
}

/* Partials that are an input: each shard has those of all rows of the call, `of_rows`. No output
 * lies between them, as the check of overlaps lets none. */
static void part_shards(const anynorm_spec *spec, uint64_t of_rows, uint64_t rows,
                        struct an_piece *piece)
{
    if (piece->read || spec->statistic.shards == 1 || rows == of_rows)
        return;
    piece->copied = true;
    piece->parts = spec->statistic.shards;
    piece->apart = an_tensor_start(spec, AN_PARTIALS, of_rows);
}

/* Where the tensor begins in its block. */
static char *start(const struct an_block *block, int tensor)
{
    return block->host[tensor] + an_tensor_start(block->spec, (enum an_tensor)tensor, block->first);
}

static bool has(const struct an_block *block, int tensor)
{
    return block->host[tensor] && an_tensor_shape((enum an_tensor)tensor) != AN_OF_PARAMETERS;
}

/* Whether what is written to one would be written over the other. */
static bool meet(const struct an_piece *a, const struct an_piece *b)
{
    return (a->read || b->read) && a->host < b->host + b->bytes && b->host < a->host + a->bytes;
}

/* One piece for both, which is filled as a copy of it keeps what lies between their elements. */
static struct an_piece unite(const struct an_piece *a, const struct an_piece *b)
{
    char *begin = a->host < b->host ? a->host : b->host;
    char *a_end = a->host + a->bytes, *b_end = b->host + b->bytes;
    return (struct an_piece){.host = begin,
                             .bytes = (uint64_t)((a_end > b_end ? a_end : b_end) - begin),
                             .fill = true,
                             .read = true,
                             .copied = a->copied || b->copied,
                             .scattered = a->scattered || b->scattered};
}

/* Whether pieces a and b may be one: a copy of it begins at an aligned byte and keeps the distances
 * within it, which must then be whole elements. */
static bool may_unite(const struct an_block *block, int a, int b)
{
    struct an_piece whole = unite(&block->pieces[a], &block->pieces[b]);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        bool member = has(block, t) && (block->piece_of[t] == a || block->piece_of[t] == b);
        if (member &&
            !is_aligned(block->spec, (enum an_tensor)t, (uint64_t)(start(block, t) - whole.host)))
            return false;
    }
    return true;
}

/* Puts piece b, the later one, into piece a; the last piece takes its place. */
static void join(struct an_block *block, int a, int b)
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
static bool join_some(struct an_block *block)
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

void an_block_lay_out(const anynorm_spec *spec, char *const host[AN_TENSOR_COUNT], uint64_t of_rows,
                      uint64_t first, uint64_t rows, struct an_block *block)
{
    *block = (struct an_block){.spec = spec, .host = host, .first = first, .rows = rows};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        block->piece_of[t] = -1;
        if (!has(block, t))
            continue;
        block->piece_of[t] = block->count;
        block->pieces[block->count++] = piece_of(spec, (enum an_tensor)t, host[t], first, rows);
        if (t == AN_PARTIALS)
            part_shards(spec, of_rows, rows, &block->pieces[block->count - 1]);
    }
    while (join_some(block))
        ;
}

/* ---- To the device and back ---- */

static anynorm_status fill_piece(anynorm_device *device, const struct an_piece *piece)
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

anynorm_status an_piece_open(anynorm_device *device, struct an_piece *piece)
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
        status = fill_piece(device, piece);
    return status;
}

anynorm_status an_block_open(anynorm_device *device, struct an_block *block,
                             anynorm_tensors *tensors)
{
    for (int i = 0; i < block->count; i++) {
        anynorm_status status = an_piece_open(device, &block->pieces[i]);
        if (status != ANYNORM_OK)
            return status;
    }
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!has(block, t))
            continue;
        const struct an_piece *piece = &block->pieces[block->piece_of[t]];
        anynorm_buffer *slot = an_tensor_slot(tensors, (enum an_tensor)t);
        *slot = piece->buffer;
        slot->offset = (uint64_t)(start(block, t) - piece->host);
    }
    return ANYNORM_OK;
}

/* Copies the elements of a tensor AN_OF_ROWS from a copy of its piece to the host. */
static void scatter(const struct an_block *block, int tensor, const char *copy)
{
    const struct an_piece *piece = &block->pieces[block->piece_of[tensor]];
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

static anynorm_status read_scattered(anynorm_device *device, const struct an_block *block,
                                     int index)
{
    const struct an_piece *piece = &block->pieces[index];
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

static anynorm_status read_piece(anynorm_device *device, const struct an_block *block, int index)
{
    const struct an_piece *piece = &block->pieces[index];
    if (!piece->read || piece->wrapped || piece->buffer.kind == AN_BUFFER_NONE)
        return ANYNORM_OK;
    if (piece->scattered)
        return read_scattered(device, block, index);
    return device->backend->memory_read(device, &piece->buffer, piece->host, piece->bytes);
}

static anynorm_status drop_piece(anynorm_device *device, struct an_piece *piece)
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

anynorm_status an_pieces_drop(anynorm_device *device, struct an_piece *pieces, int count,
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

anynorm_status an_block_close(anynorm_device *device, struct an_block *block, anynorm_status status)
{
    for (int i = 0; i < block->count && status == ANYNORM_OK; i++)
        status = read_piece(device, block, i);
    return an_pieces_drop(device, block->pieces, block->count, status);
}
