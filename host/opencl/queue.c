/* The device's own queue. Some drivers end a queue for good where a command's wait list fails
 * (rusticl since Mesa 25): every later command of it fails, too, while clFinish says success. So it
 * is made anew once a failure was seen and nothing of it is left. */

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

void an_opencl_queue_done(struct an_opencl_device *d, cl_event event)
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
