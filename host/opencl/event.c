/* The device's own queue, and events: every kernel's execution status is looked at. */
#include "opencl/opencl_backend.h"
#include "base/status.h"

anynorm_status an_opencl_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows,
                                 uint32_t wait_count, const anynorm_event *wait_list,
                                 anynorm_event *event)
{
    cl_event waits[ANYNORM_MAX_WAIT];
    for (uint32_t i = 0; i < wait_count; i++)
        waits[i] = wait_list[i].handle;
    struct an_opencl_device *d = an_opencl(plan->device);
    cl_command_queue queue;
    cl_event done, first;
    anynorm_status status = an_opencl_queue_take(d, &queue);
    if (status != ANYNORM_OK)
        return status;
    status = an_opencl_launch(plan, queue, tensors, rows, wait_count, wait_count ? waits : NULL,
                              &done, &first);
    if (status == ANYNORM_OK) {
        *event =
            (anynorm_event){.device = plan->device, .handle = done, .first = first, .valid = true};
        if (wait_count > 0)
            an_opencl_queue_doubt(d, queue, done);
    }
    an_opencl_queue_give(d, queue);
    return status;
}

/* clWaitForEvents reports a failure without its cause, and some drivers not at all: the event's own
 * status decides. */
static anynorm_status wait_for(const anynorm_event *event)
{
    struct an_cl *cl = an_opencl(event->device)->cl;
    cl_event handle = event->handle;
    cl_int waited = cl->WaitForEvents(1, &handle);
    cl_int state = CL_COMPLETE;
    cl_int asked =
        cl->GetEventInfo(handle, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(state), &state, NULL);
    if (asked == CL_SUCCESS && state < 0)
        return an_fail(ANYNORM_DEVICE_LOST,
                       "%s: a kernel failed on the device with %d; its outputs are undefined",
                       event->device->info.id, (int)state);
    if (waited != CL_SUCCESS || asked != CL_SUCCESS || state != CL_COMPLETE)
        return an_fail(ANYNORM_DEVICE_LOST,
                       "%s: the wait for a kernel failed (clWaitForEvents %d, clGetEventInfo %d, "
                       "state %d)",
                       event->device->info.id, (int)waited, (int)asked, (int)state);
    return ANYNORM_OK;
}

anynorm_status an_opencl_event_wait(const anynorm_event *event)
{
    struct an_opencl_device *d = an_opencl(event->device);
    cl_command_queue queue = NULL; /* the caller's, or none, of an event that was wrapped */
    anynorm_status status = wait_for(event);
    if (status == ANYNORM_OK)
        an_opencl_queue_done(d, event->handle);
    else if (d->cl->GetEventInfo(event->handle, CL_EVENT_COMMAND_QUEUE, sizeof(queue), &queue,
                                 NULL) == CL_SUCCESS)
        an_opencl_queue_failed(d, queue);
    return status;
}

anynorm_status an_opencl_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds)
{
    struct an_cl *cl = an_opencl(event->device)->cl;
    cl_ulong begin = 0, end = 0;
    cl_int state = CL_QUEUED;
    cl_int code = cl->GetEventInfo(event->handle, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(state),
                                   &state, NULL);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetEventInfo");
    if (state != CL_COMPLETE)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "the event is not done, or it failed");
    code = cl->GetEventProfilingInfo(event->first ? event->first : event->handle,
                                     CL_PROFILING_COMMAND_START, sizeof(begin), &begin, NULL);
    if (code == CL_SUCCESS)
        code = cl->GetEventProfilingInfo(event->handle, CL_PROFILING_COMMAND_END, sizeof(end), &end,
                                         NULL);
    if (code == CL_PROFILING_INFO_NOT_AVAILABLE)
        return an_fail(ANYNORM_UNSUPPORTED, "the event's queue does not measure time");
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetEventProfilingInfo");
    *nanoseconds = end - begin;
    return ANYNORM_OK;
}

void an_opencl_event_release(anynorm_event *event)
{
    if (event->first)
        an_opencl(event->device)->cl->ReleaseEvent(event->first);
    an_opencl(event->device)->cl->ReleaseEvent(event->handle);
}
