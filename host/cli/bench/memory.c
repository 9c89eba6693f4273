#include "memory.h"

#include "common/library.h"
#include "cases/tensors.h"
#include "platform/system.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TILE = 1 << 20, STRIDE = 256 };

/* Drivers tell of a cache that is not the last level, or of none. */
static const uint64_t least_cache = UINT64_C(64) << 20;
/* Of the cache's size that all slots together have at least, and where one slot is enough. */
static const uint64_t past_cache = 4;

static uint64_t cache_of(const anynorm_device_info *info)
{
    return info->cache_bytes > least_cache ? info->cache_bytes : least_cache;
}

/* Bytes that may be taken: a device that shares the host's memory leaves half of it to others. */
static uint64_t memory_limit(const anynorm_device_info *info)
{
    uint64_t host = an_host_memory();
    uint64_t device = info->global_bytes ? info->global_bytes : UINT64_MAX;

    if (info->unified_memory)
        return (host < device ? host : device) / 2;
    return device / 10 * 9;
}

static bool plan_slots(struct bench_memory *memory, const anynorm_device_info *info,
                       const anynorm_spec *spec, uint64_t rows, struct cli_error *error)
{
    uint64_t total = 0, largest = 0, limit = memory_limit(info);

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info tensor = tensor_info(spec, t, rows);

        memory->strides[t] = (tensor_bytes(&tensor) + STRIDE - 1) / STRIDE * STRIDE;
        total += memory->strides[t];
        largest = memory->strides[t] > largest ? memory->strides[t] : largest;
    }
    if (largest > info->max_alloc_bytes || total > limit)
        return cli_fail(error, CLI_FAILED, "bench",
                        "needs %" PRIu64 " MiB, %" PRIu64 " MiB in one piece; %" PRIu64
                        " MiB may be used, %" PRIu64 " MiB in one piece",
                        total >> 20, largest >> 20, limit >> 20, info->max_alloc_bytes >> 20);
    memory->slots = 1;
    while (total * memory->slots < past_cache * cache_of(info) &&
           2 * memory->slots * largest <= info->max_alloc_bytes &&
           2 * memory->slots * total <= limit)
        memory->slots *= 2;
    memory->cold = total * memory->slots > past_cache / 2 * cache_of(info);
    return true;
}

static anynorm_status fill(anynorm_device *device, const anynorm_buffer *buffer, const void *tile,
                           uint64_t tile_bytes)
{
    anynorm_buffer at = *buffer;
    anynorm_status status = ANYNORM_OK;

    for (; status == ANYNORM_OK && at.offset < buffer->bytes; at.offset += tile_bytes) {
        uint64_t rest = buffer->bytes - at.offset;

        status = anynorm_buffer_write(device, &at, tile, rest < tile_bytes ? rest : tile_bytes);
    }
    return status;
}

static anynorm_status make_tensors(struct bench_memory *memory, const anynorm_spec *spec)
{
    anynorm_status status = ANYNORM_OK;
    void *tile = malloc(TILE * sizeof(double));

    if (!tile)
        return ANYNORM_OUT_OF_MEMORY;
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        struct cli_tensor_info tensor = tensor_info(spec, t, 1);
        double middle = t == TENSOR_WEIGHT || t == TENSOR_RSTD || t == TENSOR_Y_SCALE ? 1 : 0;

        if (!tensor.present)
            continue;
        random_fill(tensor.type, tile, TILE, middle);
        status = anynorm_buffer_create(memory->device, memory->slots * memory->strides[t],
                                       &memory->buffers[t]);
        if (status == ANYNORM_OK)
            status = fill(memory->device, &memory->buffers[t], tile,
                          TILE * anynorm_dtype_size(tensor.type));
    }
    free(tile);
    return status;
}

bool bench_memory_make(struct bench_memory *memory, anynorm_device *device,
                       const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows,
                       bool *skipped, struct cli_error *error)
{
    anynorm_status status;

    *memory = (struct bench_memory){.device = device};
    *skipped = true;
    if (!plan_slots(memory, info, spec, rows, error))
        return false;
    status = make_tensors(memory, spec);
    if (status == ANYNORM_OK)
        return true;
    bench_memory_free(memory);
    *skipped = status == ANYNORM_OUT_OF_MEMORY;
    return *skipped ? cli_fail(error, CLI_FAILED, "bench", "the memory could not be had")
                    : cli_fail_library(error, "bench", status);
}

void bench_memory_free(struct bench_memory *memory)
{
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(memory->device, &memory->buffers[t]);
}

static anynorm_tensors tensors_at(const struct bench_memory *memory, uint64_t slot)
{
    anynorm_tensors tensors = {0};

    for (int t = 0; t < TENSORS; t++) {
        anynorm_buffer *at = tensor_slot(&tensors, t);

        *at = memory->buffers[t];
        at->offset = slot * memory->strides[t];
    }
    return tensors;
}

anynorm_tensors bench_memory_first(const struct bench_memory *memory)
{
    return tensors_at(memory, 0);
}

/* A step of about 0.618 of a power of two, made odd: it meets every slot before one comes again. */
anynorm_tensors bench_memory_next(struct bench_memory *memory)
{
    uint64_t step = memory->slots / 8 * 5 | 1;

    memory->next = (memory->next + step) & (memory->slots - 1);
    return tensors_at(memory, memory->next);
}
