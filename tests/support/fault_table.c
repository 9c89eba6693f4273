#include "fault_table.h"

#include <stdio.h>
#include <string.h>

#include "support.h"

static struct an_cl *table;
static struct an_cl real;
static struct fault fault;
static struct live live;
static cl_command_queue last_queue;
static unsigned long struck[2], struck_calls; /* runs with a fault that is not, and is, sticky */

/* The code to fail the present call with, or CL_SUCCESS. */
static cl_int strike(const char *call)
{
    if (!fault.armed)
        return CL_SUCCESS;
    fault.calls++;
    if (fault.at == 0 || fault.calls < fault.at || (fault.calls > fault.at && !fault.sticky))
        return CL_SUCCESS;
    if (fault.fired++ == 0)
        fault.call = call;
    return fault.code;
}

/* A function that returns a code. */
#define CODE(name, parameters, arguments)                                                          \
    static cl_int CL_API_CALL faulty_##name parameters                                             \
    {                                                                                              \
        cl_int code = strike("cl" #name);                                                          \
        return code != CL_SUCCESS ? code : real.name arguments;                                    \
    }

/* One that makes an object and writes the code to *error. */
#define MAKE(type, name, parameters, arguments, counter)                                           \
    static type CL_API_CALL faulty_##name parameters                                               \
    {                                                                                              \
        cl_int code = strike("cl" #name);                                                          \
        if (code != CL_SUCCESS) {                                                                  \
            *error = code;                                                                         \
            return NULL;                                                                           \
        }                                                                                          \
        type made = real.name arguments;                                                           \
        live.counter += made != NULL;                                                              \
        return made;                                                                               \
    }

/* One that makes an event where *event is asked for. */
#define ENQUEUE(name, parameters, arguments)                                                       \
    static cl_int CL_API_CALL faulty_##name parameters                                             \
    {                                                                                              \
        cl_int code = strike("cl" #name);                                                          \
        fault.in_unmap = fault.in_unmap && fault.fired > 0;                                        \
        if (code == CL_SUCCESS)                                                                    \
            code = real.name arguments;                                                            \
        live.events += code == CL_SUCCESS && event;                                                \
        return code;                                                                               \
    }

/* One that adds a reference, and one that gives it back, which never fails. */
#define RETAIN(name, type, counter)                                                                \
    static cl_int CL_API_CALL faulty_##name(type object)                                           \
    {                                                                                              \
        cl_int code = strike("cl" #name);                                                          \
        if (code == CL_SUCCESS)                                                                    \
            code = real.name(object);                                                              \
        live.counter += code == CL_SUCCESS;                                                        \
        return code;                                                                               \
    }
#define RELEASE(name, type, counter)                                                               \
    static cl_int CL_API_CALL faulty_##name(type object)                                           \
    {                                                                                              \
        live.counter--;                                                                            \
        return real.name(object);                                                                  \
    }

CODE(GetPlatformInfo, (cl_platform_id a, cl_platform_info b, size_t c, void *d, size_t *e),
     (a, b, c, d, e))
CODE(GetDeviceInfo, (cl_device_id a, cl_device_info b, size_t c, void *d, size_t *e),
     (a, b, c, d, e))
CODE(GetContextInfo, (cl_context a, cl_context_info b, size_t c, void *d, size_t *e),
     (a, b, c, d, e))
CODE(GetCommandQueueInfo,
     (cl_command_queue a, cl_command_queue_info b, size_t c, void *d, size_t *e), (a, b, c, d, e))
CODE(GetMemObjectInfo, (cl_mem a, cl_mem_info b, size_t c, void *d, size_t *e), (a, b, c, d, e))
CODE(BuildProgram,
     (cl_program a, cl_uint b, const cl_device_id *c, const char *d,
      void(CL_CALLBACK *e)(cl_program, void *), void *f),
     (a, b, c, d, e, f))
CODE(GetProgramBuildInfo,
     (cl_program a, cl_device_id b, cl_program_build_info c, size_t d, void *e, size_t *f),
     (a, b, c, d, e, f))
CODE(GetProgramInfo, (cl_program a, cl_program_info b, size_t c, void *d, size_t *e),
     (a, b, c, d, e))
CODE(GetKernelWorkGroupInfo,
     (cl_kernel a, cl_device_id b, cl_kernel_work_group_info c, size_t d, void *e, size_t *f),
     (a, b, c, d, e, f))
CODE(SetKernelArg, (cl_kernel a, cl_uint b, size_t c, const void *d), (a, b, c, d))
CODE(GetEventInfo, (cl_event a, cl_event_info b, size_t c, void *d, size_t *e), (a, b, c, d, e))
CODE(GetEventProfilingInfo, (cl_event a, cl_profiling_info b, size_t c, void *d, size_t *e),
     (a, b, c, d, e))
CODE(Flush, (cl_command_queue a), (a))
CODE(Finish, (cl_command_queue a), (a))

MAKE(cl_context, CreateContext,
     (const cl_context_properties *a, cl_uint b, const cl_device_id *c,
      void(CL_CALLBACK *d)(const char *, const void *, size_t, void *), void *e, cl_int *error),
     (a, b, c, d, e, error), contexts)
MAKE(cl_mem, CreateBuffer, (cl_context a, cl_mem_flags b, size_t c, void *d, cl_int *error),
     (a, b, c, d, error), memory)
MAKE(cl_program, CreateProgramWithSource,
     (cl_context a, cl_uint b, const char **c, const size_t *d, cl_int *error), (a, b, c, d, error),
     programs)
MAKE(cl_program, CreateProgramWithBinary,
     (cl_context a, cl_uint b, const cl_device_id *c, const size_t *d, const unsigned char **e,
      cl_int *f, cl_int *error),
     (a, b, c, d, e, f, error), programs)
MAKE(cl_kernel, CreateKernel, (cl_program a, const char *b, cl_int *error), (a, b, error), kernels)

ENQUEUE(EnqueueNDRangeKernel,
        (cl_command_queue a, cl_kernel b, cl_uint c, const size_t *d, const size_t *e,
         const size_t *f, cl_uint g, const cl_event *h, cl_event *event),
        (a, b, c, d, e, f, g, h, event))
ENQUEUE(EnqueueMarkerWithWaitList,
        (cl_command_queue a, cl_uint b, const cl_event *c, cl_event *event), (a, b, c, event))
ENQUEUE(EnqueueReadBuffer,
        (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, void *f, cl_uint g,
         const cl_event *h, cl_event *event),
        (a, b, c, d, e, f, g, h, event))
ENQUEUE(EnqueueWriteBuffer,
        (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, const void *f, cl_uint g,
         const cl_event *h, cl_event *event),
        (a, b, c, d, e, f, g, h, event))
RETAIN(RetainContext, cl_context, contexts)
RETAIN(RetainEvent, cl_event, events)
RETAIN(RetainCommandQueue, cl_command_queue, queues)
RELEASE(ReleaseContext, cl_context, contexts)
RELEASE(ReleaseCommandQueue, cl_command_queue, queues)
RELEASE(ReleaseMemObject, cl_mem, memory)
RELEASE(ReleaseProgram, cl_program, programs)
RELEASE(ReleaseKernel, cl_kernel, kernels)
RELEASE(ReleaseEvent, cl_event, events)

static cl_command_queue CL_API_CALL faulty_CreateCommandQueue(cl_context a, cl_device_id b,
                                                              cl_command_queue_properties c,
                                                              cl_int *error)
{
    cl_int code = strike("clCreateCommandQueue");
    if (code != CL_SUCCESS) {
        *error = code;
        return NULL;
    }
    last_queue = real.CreateCommandQueue(a, b, c, error);
    live.queues += last_queue != NULL;
    return last_queue;
}

static void *CL_API_CALL faulty_EnqueueMapBuffer(cl_command_queue a, cl_mem b, cl_bool c,
                                                 cl_map_flags d, size_t e, size_t f, cl_uint g,
                                                 const cl_event *h, cl_event *i, cl_int *error)
{
    void *mapped = NULL;
    *error = strike("clEnqueueMapBuffer");
    if (*error == CL_SUCCESS)
        mapped = real.EnqueueMapBuffer(a, b, c, d, e, f, g, h, i, error);
    live.mappings += mapped != NULL;
    return mapped;
}

/* Unmaps, whatever it tells: PoCL never frees a memory object that stays mapped. */
static cl_int CL_API_CALL faulty_EnqueueUnmapMemObject(cl_command_queue a, cl_mem b, void *c,
                                                       cl_uint d, const cl_event *e,
                                                       cl_event *event)
{
    cl_int code = strike("clEnqueueUnmapMemObject");
    fault.in_unmap = true;
    cl_int unmapped = real.EnqueueUnmapMemObject(a, b, c, d, e, code == CL_SUCCESS ? event : NULL);
    live.mappings -= unmapped == CL_SUCCESS;
    if (code == CL_SUCCESS)
        code = unmapped;
    live.events += code == CL_SUCCESS && event;
    return code;
}

/* Waits, whatever it tells: the test frees the memory afterwards. */
static cl_int CL_API_CALL faulty_WaitForEvents(cl_uint count, const cl_event *events)
{
    cl_int code = strike("clWaitForEvents"), waited = real.WaitForEvents(count, events);
    return code == CL_SUCCESS ? waited : code;
}

void fault_install(void)
{
    if (table) /* a failed test did not take them out */
        *table = real;
    assert_ok(an_cl_load(&table));
    real = *table;
    live = (struct live){0};
#define REPLACE(name) table->name = faulty_##name
    REPLACE(GetPlatformInfo);
    REPLACE(GetDeviceInfo);
    REPLACE(CreateContext);
    REPLACE(RetainContext);
    REPLACE(ReleaseContext);
    REPLACE(GetContextInfo);
    REPLACE(CreateCommandQueue);
    REPLACE(RetainCommandQueue);
    REPLACE(ReleaseCommandQueue);
    REPLACE(GetCommandQueueInfo);
    REPLACE(CreateBuffer);
    REPLACE(ReleaseMemObject);
    REPLACE(GetMemObjectInfo);
    REPLACE(CreateProgramWithSource);
    REPLACE(CreateProgramWithBinary);
    REPLACE(BuildProgram);
    REPLACE(GetProgramInfo);
    REPLACE(GetProgramBuildInfo);
    REPLACE(ReleaseProgram);
    REPLACE(CreateKernel);
    REPLACE(ReleaseKernel);
    REPLACE(GetKernelWorkGroupInfo);
    REPLACE(SetKernelArg);
    REPLACE(EnqueueNDRangeKernel);
    REPLACE(EnqueueMarkerWithWaitList);
    REPLACE(EnqueueReadBuffer);
    REPLACE(EnqueueWriteBuffer);
    REPLACE(EnqueueMapBuffer);
    REPLACE(EnqueueUnmapMemObject);
    REPLACE(WaitForEvents);
    REPLACE(GetEventInfo);
    REPLACE(GetEventProfilingInfo);
    REPLACE(RetainEvent);
    REPLACE(ReleaseEvent);
    REPLACE(Flush);
    REPLACE(Finish);
#undef REPLACE
}

void fault_uninstall(void)
{
    *table = real;
}

static void count_struck(void)
{
    struck[fault.sticky] += fault.fired > 0;
    struck_calls += fault.fired;
    fault.fired = 0;
}

void fault_print(const char *what)
{
    count_struck();
    fprintf(stderr, "%s: faults injected: %lu once, %lu sticky; calls failed: %lu\n", what,
            struck[false], struck[true], struck_calls);
}

struct live fault_start(unsigned long at, bool sticky, cl_int code)
{
    count_struck();
    fault = (struct fault){.at = at, .sticky = sticky, .code = code, .call = "", .step = ""};
    return live;
}

void fault_arm(void)
{
    fault.armed = true;
}

void fault_stop(void)
{
    fault.armed = false;
}

void fault_check_live(const struct live *before)
{
    if (memcmp(before, &live, sizeof(live)) == 0)
        return;
    fprintf(stderr,
            "after call %lu%s (%s) failed: %+ld contexts, %+ld queues, %+ld memory, %+ld programs, "
            "%+ld kernels, %+ld events, %+ld mappings left\n",
            fault.at, fault.sticky ? " and all later" : "", fault.call,
            live.contexts - before->contexts, live.queues - before->queues,
            live.memory - before->memory, live.programs - before->programs,
            live.kernels - before->kernels, live.events - before->events,
            live.mappings - before->mappings);
    fail();
}

struct fault *fault_now(void)
{
    return &fault;
}

struct an_cl *fault_table(void)
{
    return table;
}

const struct an_cl *fault_real(void)
{
    return &real;
}

cl_command_queue fault_queue(void)
{
    return last_queue;
}
