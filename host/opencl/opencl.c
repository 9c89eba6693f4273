/* The backend's table, and <anynorm/opencl.h>: the caller's own context, queue, memory and events.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "opencl/opencl_backend.h" /* before opencl.h: it asks <CL/cl.h> for more */
#include <anynorm/opencl.h>

#include "base/status.h"

static anynorm_status own(anynorm_status status, anynorm_device **device)
{
    if (status == ANYNORM_OK)
        (*device)->backend = &an_opencl_backend;
    return status;
}

static anynorm_status open_device(size_t index, anynorm_device **device)
{
    return own(an_opencl_device_open(index, device), device);
}

const struct an_backend an_opencl_backend = {
    .name = "opencl",
    .count = an_opencl_count,
    .list = an_opencl_list,
    .open = open_device,
    .close = an_opencl_close,
    .memory_create = an_opencl_memory_create,
    .memory_destroy = an_opencl_memory_destroy,
    .memory_write = an_opencl_memory_write,
    .memory_read = an_opencl_memory_read,
    .wrap_host = an_opencl_wrap_host,
    .unwrap_host = an_opencl_unwrap_host,
    .plan_create = an_opencl_plan_create,
    .plan_destroy = an_opencl_plan_destroy,
    .plan_binary = an_opencl_plan_binary,
    .plan_warm_up = an_opencl_plan_warm_up,
    .enqueue = an_opencl_enqueue,
    .event_wait = an_opencl_event_wait,
    .event_elapsed = an_opencl_event_elapsed,
    .event_release = an_opencl_event_release,
};

static bool is_opencl(const anynorm_device *device)
{
    return device && device->backend == &an_opencl_backend;
}

static anynorm_status not_opencl(void)
{
    return an_fail(ANYNORM_INVALID_ARGUMENT, "device is NULL or not an OpenCL device");
}

static anynorm_status context_has(const struct an_cl *cl, cl_context context, cl_device_id id)
{
    size_t size = 0;
    cl_int code = cl->GetContextInfo(context, CL_CONTEXT_DEVICES, 0, NULL, &size);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetContextInfo");
    cl_device_id *ids = malloc(size ? size : 1);
    if (!ids)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a list of devices");
    code = cl->GetContextInfo(context, CL_CONTEXT_DEVICES, size, ids, NULL);
    bool has = false;
    for (size_t i = 0; code == CL_SUCCESS && i < size / sizeof(*ids); i++)
        has = has || ids[i] == id;
    free(ids);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetContextInfo");
    return has ? ANYNORM_OK
               : an_fail(ANYNORM_INVALID_ARGUMENT, "the device does not belong to the context");
}

anynorm_status anynorm_opencl_device_wrap(cl_context context, cl_device_id id,
                                          anynorm_device **device)
{
    if (!context || !id || !device)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "context, id or device is NULL");
    struct an_cl *cl;
    anynorm_status status = an_cl_load(&cl);
    if (status == ANYNORM_OK)
        status = context_has(cl, context, id);
    if (status != ANYNORM_OK)
        return status;
    return own(an_opencl_device_make(cl, context, id, "opencl:wrapped", device), device);
}

anynorm_status anynorm_opencl_device_handles(const anynorm_device *device, cl_context *context,
                                             cl_device_id *id)
{
    if (!is_opencl(device))
        return not_opencl();
    if (context)
        *context = an_opencl(device)->context;
    if (id)
        *id = an_opencl(device)->id;
    return ANYNORM_OK;
}

anynorm_status anynorm_opencl_buffer_wrap(anynorm_device *device, cl_mem memory,
                                          anynorm_buffer *buffer)
{
    if (!is_opencl(device))
        return not_opencl();
    if (!memory || !buffer)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "memory or buffer is NULL");
    struct an_opencl_device *d = an_opencl(device);
    cl_mem_object_type type = 0;
    cl_context context = NULL;
    cl_mem parent = NULL;
    size_t bytes = 0, origin = 0;
    const struct {
        cl_mem_info what;
        size_t size;
        void *answer;
    } questions[] = {
        {CL_MEM_TYPE, sizeof(type), &type},
        {CL_MEM_CONTEXT, sizeof(context), &context},
        {CL_MEM_SIZE, sizeof(bytes), &bytes},
        {CL_MEM_ASSOCIATED_MEMOBJECT, sizeof(parent), &parent},
        {CL_MEM_OFFSET, sizeof(origin), &origin}, /* in the parent, where there is one */
    };
    for (int i = 0; i < (parent ? 5 : 4); i++) {
        cl_int code = d->cl->GetMemObjectInfo(memory, questions[i].what, questions[i].size,
                                              questions[i].answer, NULL);
        if (code != CL_SUCCESS)
            return an_cl_fail(code, "clGetMemObjectInfo");
    }
    if (type != CL_MEM_OBJECT_BUFFER)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the memory object is no buffer");
    if (context != d->context)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the memory object is of another context");
    *buffer = (anynorm_buffer){.bytes = bytes,
                               .handle = memory,
                               .root = parent ? parent : memory,
                               .root_offset = origin,
                               .owner = context,
                               .kind = AN_BUFFER_CL_MEM};
    return ANYNORM_OK;
}

anynorm_status anynorm_opencl_svm_wrap(anynorm_device *device, void *pointer, uint64_t bytes,
                                       anynorm_buffer *buffer)
{
    if (!is_opencl(device))
        return not_opencl();
    if (!pointer || !buffer || bytes == 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "pointer or buffer is NULL, or bytes is 0");
    if (bytes - 1 > UINTPTR_MAX - (uintptr_t)pointer)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "bytes is %" PRIu64 ", which from the pointer on passes the end of all "
                       "memory",
                       bytes);
    struct an_opencl_device *d = an_opencl(device);
    if (!d->svm)
        return an_fail(ANYNORM_UNSUPPORTED, "%s has no shared virtual memory", device->info.id);
    *buffer = (anynorm_buffer){.bytes = bytes,
                               .handle = pointer,
                               .root_offset = (uint64_t)(uintptr_t)pointer,
                               .owner = d->context,
                               .kind = AN_BUFFER_CL_SVM};
    return ANYNORM_OK;
}

anynorm_status anynorm_opencl_enqueue(anynorm_plan *plan, cl_command_queue queue,
                                      const anynorm_tensors *tensors, uint64_t rows,
                                      cl_uint wait_count, const cl_event *wait_list,
                                      cl_event *event)
{
    if (!plan || !queue || !tensors)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "plan, queue or tensors is NULL");
    if (!is_opencl(plan->device))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the plan is not of an OpenCL device");
    if ((wait_count > 0) != (wait_list != NULL))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "wait_list and wait_count do not agree");
    /* Not every driver looks: PoCL 3.1 starts a kernel without waiting. */
    for (cl_uint i = 0; i < wait_count; i++) {
        if (!wait_list[i])
            return an_fail(ANYNORM_INVALID_ARGUMENT, "wait_list[%u] is NULL", (unsigned)i);
    }
    struct an_opencl_device *d = an_opencl(plan->device);
    if (rows > 0) {
        anynorm_status status = an_tensors_check(&plan->spec, tensors, rows, plan->device->owner);
        if (status != ANYNORM_OK)
            return status;
    }
    cl_context context = NULL;
    cl_device_id id = NULL;
    cl_int code =
        d->cl->GetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof(context), &context, NULL);
    if (code == CL_SUCCESS)
        code = d->cl->GetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof(id), &id, NULL);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetCommandQueueInfo");
    if (context != d->context || id != d->id)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "the queue is of another context or device than the plan");
    const struct an_stretch stretch = an_stretch_whole(rows);
    return an_opencl_launch(plan, queue, tensors, &stretch, wait_count, wait_list, event, NULL);
}

anynorm_status anynorm_opencl_event_wrap(anynorm_device *device, cl_event event,
                                         anynorm_event *wrapped)
{
    if (!is_opencl(device))
        return not_opencl();
    if (!event || !wrapped)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "event or wrapped is NULL");
    struct an_opencl_device *d = an_opencl(device);
    cl_context context = NULL;
    cl_int code = d->cl->GetEventInfo(event, CL_EVENT_CONTEXT, sizeof(context), &context, NULL);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetEventInfo");
    if (context != d->context)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the event is of another context");
    code = d->cl->RetainEvent(event);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clRetainEvent");
    *wrapped = (anynorm_event){.device = device, .handle = event, .valid = true};
    return ANYNORM_OK;
}

cl_event anynorm_opencl_event_get(const anynorm_event *event)
{
    if (!event || !event->valid || !is_opencl(event->device))
        return NULL;
    /* So that a command of another queue may wait for it, as OpenCL demands. */
    struct an_opencl_device *d = an_opencl(event->device);
    an_opencl_queue_flush(d);
    return event->handle;
}
