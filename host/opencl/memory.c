/* Device memory: ours, and host memory wrapped without a copy. */
#include <inttypes.h>

#include "opencl/opencl_backend.h"
#include "base/status.h"

static anynorm_status create(anynorm_device *device, cl_mem_flags flags, uint64_t bytes, void *host,
                             uint32_t kind, anynorm_buffer *buffer)
{
    struct an_opencl_device *d = an_opencl(device);
    if (bytes > SIZE_MAX)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "%" PRIu64 " bytes are more than this host addresses",
                       bytes);
    cl_int code = CL_SUCCESS;
    cl_mem memory = d->cl->CreateBuffer(d->context, flags, (size_t)bytes, host, &code);
    if (!memory)
        return an_cl_fail(code, "clCreateBuffer");
    *buffer = (anynorm_buffer){
        .bytes = bytes, .handle = memory, .root = memory, .owner = d->context, .kind = kind};
    return ANYNORM_OK;
}

anynorm_status an_opencl_memory_create(anynorm_device *device, uint64_t bytes,
                                       anynorm_buffer *buffer)
{
    return create(device, CL_MEM_READ_WRITE, bytes, NULL, AN_BUFFER_CL_OWNED, buffer);
}

void an_opencl_memory_destroy(anynorm_device *device, anynorm_buffer *buffer)
{
    if (buffer->kind == AN_BUFFER_CL_OWNED)
        an_opencl(device)->cl->ReleaseMemObject(buffer->handle);
}

/* Between memory and `host`, blocking, on the device's own queue. Shared pointers are copied by
 * their own command; cl_mem by reads and writes. */
static anynorm_status copy(struct an_opencl_device *d, const anynorm_buffer *buffer, void *host,
                           const void *from, uint64_t bytes)
{
    const bool shared = buffer->kind == AN_BUFFER_CL_SVM;
    char *place = (char *)buffer->handle + buffer->offset; /* where it is shared */
    const char *call = shared ? "clEnqueueSVMMemcpy"
                       : from ? "clEnqueueWriteBuffer"
                              : "clEnqueueReadBuffer";
    size_t offset = (size_t)buffer->offset, size = (size_t)bytes;
    cl_command_queue queue;
    cl_int code;
    if (shared && !d->cl->EnqueueSVMMemcpy)
        return an_fail(ANYNORM_UNSUPPORTED, "libOpenCL cannot copy shared virtual memory");
    anynorm_status status = an_opencl_queue_take(d, &queue);
    if (status != ANYNORM_OK)
        return status;
    if (shared)
        code = d->cl->EnqueueSVMMemcpy(queue, CL_TRUE, from ? place : host, from ? from : place,
                                       size, 0, NULL, NULL);
    else if (from)
        code = d->cl->EnqueueWriteBuffer(queue, buffer->handle, CL_TRUE, offset, size, from, 0,
                                         NULL, NULL);
    else
        code = d->cl->EnqueueReadBuffer(queue, buffer->handle, CL_TRUE, offset, size, host, 0, NULL,
                                        NULL);
    if (code != CL_SUCCESS) {
        status = an_cl_fail(code, call);
        an_opencl_queue_failed(d, queue);
    }
    an_opencl_queue_give(d, queue);
    return status;
}

anynorm_status an_opencl_memory_write(anynorm_device *device, const anynorm_buffer *buffer,
                                      const void *host, uint64_t bytes)
{
    return copy(an_opencl(device), buffer, NULL, host, bytes);
}

anynorm_status an_opencl_memory_read(anynorm_device *device, const anynorm_buffer *buffer,
                                     void *host, uint64_t bytes)
{
    return copy(an_opencl(device), buffer, host, NULL, bytes);
}

anynorm_status an_opencl_wrap_host(anynorm_device *device, void *host, uint64_t bytes, bool written,
                                   anynorm_buffer *buffer)
{
    /* Read-only where it can be: the pages may be a file mapped without write permission. */
    cl_mem_flags access = written ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY;
    return create(device, access | CL_MEM_USE_HOST_PTR, bytes, host, AN_BUFFER_CL_MEM, buffer);
}

/* Maps and unmaps, so that the host sees what was written. */
static anynorm_status show_host(struct an_opencl_device *d, cl_mem memory, uint64_t bytes,
                                cl_command_queue queue)
{
    cl_int code = CL_SUCCESS;
    cl_event unmapped;
    void *mapped = d->cl->EnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_READ, 0, (size_t)bytes, 0,
                                           NULL, NULL, &code);
    if (!mapped)
        return an_cl_fail(code, "clEnqueueMapBuffer");
    code = d->cl->EnqueueUnmapMemObject(queue, memory, mapped, 0, NULL, &unmapped);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clEnqueueUnmapMemObject");
    code = d->cl->WaitForEvents(1, &unmapped);
    d->cl->ReleaseEvent(unmapped);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clWaitForEvents");
}

anynorm_status an_opencl_unwrap_host(anynorm_device *device, anynorm_buffer *buffer, bool written)
{
    struct an_opencl_device *d = an_opencl(device);
    anynorm_status status = ANYNORM_OK;
    cl_command_queue queue;
    if (written)
        status = an_opencl_queue_take(d, &queue);
    if (written && status == ANYNORM_OK) {
        status = show_host(d, buffer->handle, buffer->bytes, queue);
        if (status != ANYNORM_OK)
            an_opencl_queue_failed(d, queue);
        an_opencl_queue_give(d, queue);
    }
    d->cl->ReleaseMemObject(buffer->handle);
    return status;
}
