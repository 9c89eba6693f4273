/* Device memory: ours, and host memory wrapped without a copy. */
#include <inttypes.h>

#include "opencl/opencl_backend.h"
#include "status.h"

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

/* Shared pointers are copied by their own command; cl_mem by reads and writes. Both blocking. */
static anynorm_status copy_shared(struct an_opencl_device *d, void *to, const void *from,
                                  uint64_t bytes)
{
    if (!d->cl->EnqueueSVMMemcpy)
        return an_fail(ANYNORM_UNSUPPORTED, "libOpenCL cannot copy shared virtual memory");
    cl_int code =
        d->cl->EnqueueSVMMemcpy(d->queue, CL_TRUE, to, from, (size_t)bytes, 0, NULL, NULL);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clEnqueueSVMMemcpy");
}

anynorm_status an_opencl_memory_write(anynorm_device *device, const anynorm_buffer *buffer,
                                      const void *host, uint64_t bytes)
{
    struct an_opencl_device *d = an_opencl(device);
    if (buffer->kind == AN_BUFFER_CL_SVM)
        return copy_shared(d, (char *)buffer->handle + buffer->offset, host, bytes);
    cl_int code =
        d->cl->EnqueueWriteBuffer(d->queue, buffer->handle, CL_TRUE, (size_t)buffer->offset,
                                  (size_t)bytes, host, 0, NULL, NULL);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clEnqueueWriteBuffer");
}

anynorm_status an_opencl_memory_read(anynorm_device *device, const anynorm_buffer *buffer,
                                     void *host, uint64_t bytes)
{
    struct an_opencl_device *d = an_opencl(device);
    if (buffer->kind == AN_BUFFER_CL_SVM)
        return copy_shared(d, host, (char *)buffer->handle + buffer->offset, bytes);
    cl_int code =
        d->cl->EnqueueReadBuffer(d->queue, buffer->handle, CL_TRUE, (size_t)buffer->offset,
                                 (size_t)bytes, host, 0, NULL, NULL);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clEnqueueReadBuffer");
}

anynorm_status an_opencl_wrap_host(anynorm_device *device, void *host, uint64_t bytes, bool written,
                                   anynorm_buffer *buffer)
{
    /* Read-only where it can be: the pages may be a file mapped without write permission. */
    cl_mem_flags access = written ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY;
    return create(device, access | CL_MEM_USE_HOST_PTR, bytes, host, AN_BUFFER_CL_MEM, buffer);
}

anynorm_status an_opencl_unwrap_host(anynorm_device *device, anynorm_buffer *buffer, bool written)
{
    struct an_opencl_device *d = an_opencl(device);
    anynorm_status status = ANYNORM_OK;
    cl_mem memory = buffer->handle;
    if (written) {
        cl_int code = CL_SUCCESS;
        void *mapped = d->cl->EnqueueMapBuffer(d->queue, memory, CL_TRUE, CL_MAP_READ, 0,
                                               (size_t)buffer->bytes, 0, NULL, NULL, &code);
        cl_event unmapped;
        if (!mapped) {
            status = an_cl_fail(code, "clEnqueueMapBuffer");
        } else if ((code = d->cl->EnqueueUnmapMemObject(d->queue, memory, mapped, 0, NULL,
                                                        &unmapped)) != CL_SUCCESS) {
            status = an_cl_fail(code, "clEnqueueUnmapMemObject");
        } else {
            if ((code = d->cl->WaitForEvents(1, &unmapped)) != CL_SUCCESS)
                status = an_cl_fail(code, "clWaitForEvents");
            d->cl->ReleaseEvent(unmapped);
        }
    }
    d->cl->ReleaseMemObject(memory);
    return status;
}
