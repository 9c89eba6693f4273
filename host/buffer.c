/* Buffers: argument checks in front of the backends. */
#include <inttypes.h>

#include "backend.h"
#include "base/status.h"

anynorm_status anynorm_buffer_create(anynorm_device *device, uint64_t bytes, anynorm_buffer *buffer)
{
    if (!device || !buffer)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device or buffer is NULL");
    if (bytes == 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "a buffer of 0 bytes cannot be made");
    if (bytes > device->info.max_alloc_bytes)
        return an_fail(ANYNORM_OUT_OF_MEMORY,
                       "%" PRIu64 " bytes are more than one allocation of %s can be: %" PRIu64,
                       bytes, device->info.id, device->info.max_alloc_bytes);
    anynorm_buffer made = {0};
    anynorm_status status = device->backend->memory_create(device, bytes, &made);
    if (status == ANYNORM_OK)
        *buffer = made;
    return status;
}

void anynorm_buffer_destroy(anynorm_device *device, anynorm_buffer *buffer)
{
    if (!device || !buffer || buffer->kind == AN_BUFFER_NONE || buffer->owner != device->owner)
        return;
    device->backend->memory_destroy(device, buffer);
    *buffer = (anynorm_buffer){0};
}

static anynorm_status check_range(const anynorm_device *device, const anynorm_buffer *buffer,
                                  const void *host, uint64_t bytes)
{
    if (!device || !buffer || (!host && bytes > 0))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "device, buffer or host pointer is NULL");
    if (buffer->kind == AN_BUFFER_NONE)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the buffer is empty");
    if (buffer->owner != device->owner)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the buffer is of another device");
    if (buffer->offset > buffer->bytes || bytes > buffer->bytes - buffer->offset)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%" PRIu64 " bytes at offset %" PRIu64
                       " pass the end of a buffer of %" PRIu64,
                       bytes, buffer->offset, buffer->bytes);
    return ANYNORM_OK;
}

anynorm_status anynorm_buffer_write(anynorm_device *device, const anynorm_buffer *buffer,
                                    const void *host, uint64_t bytes)
{
    anynorm_status status = check_range(device, buffer, host, bytes);
    if (status != ANYNORM_OK || bytes == 0)
        return status;
    return device->backend->memory_write(device, buffer, host, bytes);
}

anynorm_status anynorm_buffer_read(anynorm_device *device, const anynorm_buffer *buffer, void *host,
                                   uint64_t bytes)
{
    anynorm_status status = check_range(device, buffer, host, bytes);
    if (status != ANYNORM_OK || bytes == 0)
        return status;
    return device->backend->memory_read(device, buffer, host, bytes);
}
