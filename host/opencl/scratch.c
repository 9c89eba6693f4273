/* Scratch memory of a plan, handed from enqueue to enqueue without ever waiting.
 *
 * Enqueues of one plan may be in flight on several queues at once, and must not share scratch. On
 * an in-order queue the next enqueue may have the memory of the last, because it runs after it; any
 * other queue may have it once that is done. No command waits for one of another queue, so that
 * none hangs on a queue that nobody flushes, or fails because another enqueue did. */
#include "opencl/opencl_backend.h"

anynorm_status an_opencl_scratch_create(struct an_opencl_device *device, size_t bytes,
                                        struct an_scratch *scratch)
{
    anynorm_status status = ANYNORM_OK;
    *scratch = (struct an_scratch){.slots = {{.memory = NULL}}};
    for (int i = 0; i < AN_SCRATCH_SLOTS && status == ANYNORM_OK; i++)
        status = an_opencl_scratch_make(device, bytes, &scratch->slots[i]);
    if (status != ANYNORM_OK)
        an_opencl_scratch_free(device, scratch);
    return status;
}

anynorm_status an_opencl_scratch_make(struct an_opencl_device *device, size_t bytes,
                                      struct an_scratch_slot *slot)
{
    cl_int code = CL_SUCCESS;
    *slot = (struct an_scratch_slot){
        .memory = device->cl->CreateBuffer(
            device->context, CL_MEM_READ_WRITE | CL_MEM_HOST_NO_ACCESS, bytes, NULL, &code)};
    return slot->memory ? ANYNORM_OK : an_cl_fail(code, "clCreateBuffer");
}

static void release_events(struct an_opencl_device *device, struct an_scratch_slot *slot)
{
    if (slot->first)
        device->cl->ReleaseEvent(slot->first);
    if (slot->last)
        device->cl->ReleaseEvent(slot->last);
}

void an_opencl_scratch_drop(struct an_opencl_device *device, struct an_scratch_slot *slot)
{
    release_events(device, slot);
    if (slot->memory)
        device->cl->ReleaseMemObject(slot->memory);
    *slot = (struct an_scratch_slot){.memory = NULL};
}

void an_opencl_scratch_free(struct an_opencl_device *device, struct an_scratch *scratch)
{
    for (int i = 0; i < AN_SCRATCH_SLOTS; i++)
        an_opencl_scratch_drop(device, &scratch->slots[i]);
}

anynorm_status an_opencl_scratch_take(struct an_opencl_device *device, struct an_scratch *scratch,
                                      cl_command_queue queue, struct an_scratch_slot **slot)
{
    struct an_cl *cl = device->cl;
    *slot = NULL;
    for (int i = 0; i < AN_SCRATCH_SLOTS; i++) {
        struct an_scratch_slot *s = &scratch->slots[i];
        if (!s->memory || s->queue != queue)
            continue;
        cl_command_queue_properties properties = 0;
        cl_int code = cl->GetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof(properties),
                                              &properties, NULL);
        if (code != CL_SUCCESS)
            return an_cl_fail(code, "clGetCommandQueueInfo");
        if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
            break;
        *slot = s;
        return ANYNORM_OK;
    }
    for (int i = 0; i < AN_SCRATCH_SLOTS && !*slot; i++) {
        struct an_scratch_slot *s = &scratch->slots[i];
        cl_int state = CL_COMPLETE;
        if (!s->memory)
            continue;
        if (s->last) {
            cl_int code = cl->GetEventInfo(s->last, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                           sizeof(state), &state, NULL);
            if (code != CL_SUCCESS)
                return an_cl_fail(code, "clGetEventInfo");
        }
        if (state <= CL_COMPLETE) /* below: it failed, and is as done as it will be */
            *slot = s;
    }
    return ANYNORM_OK;
}

void an_opencl_scratch_used(struct an_opencl_device *device, struct an_scratch_slot *slot,
                            cl_command_queue queue, cl_event first, cl_event last)
{
    release_events(device, slot);
    slot->first = first;
    slot->last = last;
    slot->queue = queue;
    if (!last)
        an_opencl_scratch_drop(device, slot);
}
