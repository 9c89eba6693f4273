#include "opencl/library.h"

#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "platform/libraries.h"
#include "platform/threads.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define REQUIRED(entry)                                                                            \
    {                                                                                              \
        "cl" #entry, offsetof(struct an_cl, entry), true                                           \
    }
#define OPTIONAL(entry)                                                                            \
    {                                                                                              \
        "cl" #entry, offsetof(struct an_cl, entry), false                                          \
    }

static const struct {
    const char *symbol;
    size_t offset;
    bool required;
} entries[] = {
    REQUIRED(GetPlatformIDs),
    REQUIRED(GetPlatformInfo),
    REQUIRED(GetDeviceIDs),
    REQUIRED(GetDeviceInfo),
    REQUIRED(CreateContext),
    REQUIRED(RetainContext),
    REQUIRED(ReleaseContext),
    REQUIRED(GetContextInfo),
    REQUIRED(CreateCommandQueue),
    REQUIRED(RetainCommandQueue),
    REQUIRED(ReleaseCommandQueue),
    REQUIRED(GetCommandQueueInfo),
    REQUIRED(CreateBuffer),
    REQUIRED(ReleaseMemObject),
    REQUIRED(GetMemObjectInfo),
    REQUIRED(CreateProgramWithSource),
    REQUIRED(CreateProgramWithBinary),
    REQUIRED(BuildProgram),
    REQUIRED(GetProgramInfo),
    REQUIRED(GetProgramBuildInfo),
    REQUIRED(ReleaseProgram),
    REQUIRED(CreateKernel),
    REQUIRED(ReleaseKernel),
    REQUIRED(GetKernelWorkGroupInfo),
    REQUIRED(SetKernelArg),
    REQUIRED(EnqueueNDRangeKernel),
    REQUIRED(EnqueueMarkerWithWaitList),
    REQUIRED(EnqueueReadBuffer),
    REQUIRED(EnqueueWriteBuffer),
    REQUIRED(EnqueueMapBuffer),
    REQUIRED(EnqueueUnmapMemObject),
    REQUIRED(WaitForEvents),
    REQUIRED(GetEventInfo),
    REQUIRED(GetEventProfilingInfo),
    REQUIRED(RetainEvent),
    REQUIRED(ReleaseEvent),
    REQUIRED(Flush),
    REQUIRED(Finish),
    OPTIONAL(SetKernelArgSVMPointer),
    OPTIONAL(EnqueueSVMMemcpy),
    OPTIONAL(GetKernelSubGroupInfo),
};

static an_once once = AN_ONCE_READY;
static struct an_cl table;
static bool loaded;
static char failure[256];

static void note_failure(const char *what, const char *why)
{
    size_t length = strlen(what);
    if (length > 100)
        length = 100;
    memcpy(failure, what, length);
    strncat(failure, why, sizeof(failure) - length - 1);
}

static void load_once(void)
{
    void *library = an_library_open(AN_LIBRARY_OPENCL);
    if (!library) {
        note_failure(an_library_name(AN_LIBRARY_OPENCL),
                     " cannot be loaded; install an OpenCL loader");
        return;
    }
    for (size_t i = 0; i < COUNT(entries); i++) {
        an_function function = an_library_find(library, entries[i].symbol);
        if (!function && entries[i].required) {
            note_failure(entries[i].symbol, " is missing: libOpenCL is older than OpenCL 1.2");
            an_library_close(library);
            return;
        }
        memcpy((char *)&table + entries[i].offset, &function, sizeof(function));
    }
    loaded = true;
}

anynorm_status an_cl_load(struct an_cl **cl)
{
    an_once_call(&once, load_once);
    if (!loaded) {
        an_log(ANYNORM_LOG_INFO, "OpenCL: %s", failure);
        return an_fail(ANYNORM_UNSUPPORTED, "%s", failure);
    }
    *cl = &table;
    return ANYNORM_OK;
}

static const char *code_name(cl_int code)
{
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
        {CL_DEVICE_NOT_FOUND, "device not found"},
        {CL_DEVICE_NOT_AVAILABLE, "device not available"},
        {CL_COMPILER_NOT_AVAILABLE, "no compiler"},
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, "memory object allocation failure"},
        {CL_OUT_OF_RESOURCES, "out of resources"},
        {CL_OUT_OF_HOST_MEMORY, "out of host memory"},
        {CL_BUILD_PROGRAM_FAILURE, "build failure"},
        {CL_MAP_FAILURE, "map failure"},
        {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, "a command it waited for failed"},
        {CL_INVALID_VALUE, "invalid value"},
        {CL_INVALID_DEVICE, "invalid device"},
        {CL_INVALID_CONTEXT, "invalid context"},
        {CL_INVALID_QUEUE_PROPERTIES, "invalid queue properties"},
        {CL_INVALID_COMMAND_QUEUE, "invalid command queue"},
        {CL_INVALID_MEM_OBJECT, "invalid memory object"},
        {CL_INVALID_KERNEL_ARGS, "invalid kernel arguments"},
        {CL_INVALID_ARG_VALUE, "invalid argument value"},
        {CL_INVALID_WORK_GROUP_SIZE, "invalid work-group size"},
        {CL_INVALID_EVENT_WAIT_LIST, "invalid wait list"},
        {CL_INVALID_EVENT, "invalid event"},
        {CL_INVALID_OPERATION, "invalid operation"},
        {CL_INVALID_BUFFER_SIZE, "invalid buffer size"},
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        if (names[i].code == code)
            return names[i].name;
    }
    return "see CL/cl.h";
}

anynorm_status an_cl_fail(cl_int code, const char *call)
{
    anynorm_status status;
    switch (code) {
    case CL_OUT_OF_RESOURCES:
    case CL_OUT_OF_HOST_MEMORY:
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_INVALID_BUFFER_SIZE:
        status = ANYNORM_OUT_OF_MEMORY;
        break;
    case CL_COMPILER_NOT_AVAILABLE:
        status = ANYNORM_UNSUPPORTED;
        break;
    case CL_INVALID_VALUE:
    case CL_INVALID_DEVICE:
    case CL_INVALID_CONTEXT:
    case CL_INVALID_COMMAND_QUEUE:
    case CL_INVALID_MEM_OBJECT:
    case CL_INVALID_EVENT:
    case CL_INVALID_EVENT_WAIT_LIST:
        status = ANYNORM_INVALID_ARGUMENT;
        break;
    default:
        status = ANYNORM_DEVICE_LOST;
    }
    return an_fail(status, "%s failed with %d (%s)", call, (int)code, code_name(code));
}
