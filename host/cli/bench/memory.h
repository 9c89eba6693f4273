/* The tensors of one shape, as often as it takes to get past the caches. */
#ifndef ANYNORM_CLI_BENCH_MEMORY_H
#define ANYNORM_CLI_BENCH_MEMORY_H

#include "common/error.h"
#include "cases/tensors.h"

struct bench_memory {
    anynorm_device *device;
    anynorm_buffer buffers[TENSORS]; /* each has all slots of its tensor; none where it is not */
    uint64_t strides[TENSORS];       /* bytes from slot to slot */
    uint64_t slots;                  /* a power of two */
    uint64_t next;
    bool cold; /* whether a round through the slots leaves nothing in the caches */
};

/* Room for `rows` rows, random data in it, every page touched. False with *error; where the device
 * or the host has not the memory, *skipped is set and the error's text says why. */
bool bench_memory_make(struct bench_memory *memory, anynorm_device *device,
                       const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows,
                       bool *skipped, struct cli_error *error);
void bench_memory_free(struct bench_memory *memory);

/* The tensors of the first slot, or of another one each time, not the neighbour of the one before,
 * which a prefetcher might have begun to load. */
anynorm_tensors bench_memory_first(const struct bench_memory *memory);
anynorm_tensors bench_memory_next(struct bench_memory *memory);

#endif
