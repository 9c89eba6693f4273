/* The device's own queue, and events. Some drivers end a queue for good where a command's wait list
 * fails (rusticl since Mesa 25): every later command of it fails, too, while clFinish says success.
 * So it is made anew once a failure was seen and nothing of it is left. */
#include "opencl/opencl_backend.h"
#include "base/status.h"
#include "platform/system.h"

/* How often, and how long apart, the end of a queue is looked for: one that was ended tells so at
 * once, another is left as it is. */
enum { LOOKS = 50, NANOSECONDS_APART = 200000 };

cl_command_queue an_opencl_queue_make(struct an_opencl_device *d, cl_int *code)
{
    return d->cl->CreateCommandQueue(d->context, d->id, CL_QUEUE_PROFILING_ENABLE, code);
}

static cl_int state_of(struct an_opencl_device *d, cl_event event)
{
    cl_int state = CL_COMPLETE;
    cl_int code =
        d->cl->GetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(state), &state, NULL);
    return code == CL_SUCCESS ? state : CL_COMPLETE;
}

static void drop_doubt(struct an_opencl_device *d)
{
    if (d->doubt)
        d->cl->ReleaseEvent(d->doubt);
    d->doubt = NULL;
}

/* Makes the queue anew if it was ended: a command that waits for nothing fails on it. Its commands
 * are all done then, so that those of the new one come after them. Locked. */
static void replace_if_ended(struct an_opencl_device *d)
{
    cl_event end = NULL;
    drop_doubt(d);
    if (d->cl->EnqueueMarkerWithWaitList(d->queue, 0, NULL, &end) != CL_SUCCESS)
        return;
    d->cl->Flush(d->queue);
    cl_int state = state_of(d, end), code;
    for (int i = 0; i < LOOKS && state > CL_COMPLETE; i++) {
        an_sleep_nanoseconds(NANOSECONDS_APART);
        state = state_of(d, end);
    }
    if (state > CL_COMPLETE) { /* busy: looked at again at the next command */
        d->doubt = end;
        return;
    }
    d->cl->ReleaseEvent(end);
    cl_command_queue made = state < 0 ? an_opencl_queue_make(d, &code) : NULL;
    if (made) {
        d->cl->ReleaseCommandQueue(d->queue);
        d->queue = made;
    }
}

anynorm_status an_opencl_queue_take(struct an_opencl_device *d, cl_command_queue *queue)
{
    an_mutex_lock(&d->queue_lock);
    if (d->doubt) {
        cl_int state = state_of(d, d->doubt);
        if (state < 0)
            replace_if_ended(d);
        else if (state == CL_COMPLETE)
            drop_doubt(d);
    }
    *queue = d->queue;
    cl_int code = d->cl->RetainCommandQueue(*queue);
    an_mutex_unlock(&d->queue_lock);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clRetainCommandQueue");
}

void an_opencl_queue_give(struct an_opencl_device *d, cl_command_queue queue)
{
    d->cl->ReleaseCommandQueue(queue);
}

void an_opencl_queue_doubt(struct an_opencl_device *d, cl_command_queue queue, cl_event event)
{
    an_mutex_lock(&d->queue_lock);
    if (d->queue == queue && d->cl->RetainEvent(event) == CL_SUCCESS) {
        drop_doubt(d);
        d->doubt = event;
    }
    an_mutex_unlock(&d->queue_lock);
}

static void queue_done(struct an_opencl_device *d, cl_event event)
{
    an_mutex_lock(&d->queue_lock);
    if (d->doubt == event)
        drop_doubt(d);
    an_mutex_unlock(&d->queue_lock);
}

void an_opencl_queue_failed(struct an_opencl_device *d, cl_command_queue queue)
{
    an_mutex_lock(&d->queue_lock);
    if (d->queue == queue)
        replace_if_ended(d);
    an_mutex_unlock(&d->queue_lock);
}

void an_opencl_queue_flush(struct an_opencl_device *d)
{
    an_mutex_lock(&d->queue_lock);
    d->cl->Flush(d->queue);
    an_mutex_unlock(&d->queue_lock);
}

void an_opencl_queue_free(struct an_opencl_device *d)
{
    drop_doubt(d);
    if (d->queue)
        d->cl->ReleaseCommandQueue(d->queue);
    an_mutex_destroy(&d->queue_lock);
}

/* ---- Events: every command's execution status is looked at ---- */

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
        queue_done(d, event->handle);
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
