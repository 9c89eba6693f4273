#include "opencl/library.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/status.h"
#include "platform/libraries.h"
#include "platform/threads.h"

static const struct {
    const char *symbol;
    size_t offset;
    bool required;
} entries[] = {
#define AN_FUNCTION(name, symbol, required) {#symbol, offsetof(struct an_cl, name), required},
#include "opencl/functions.def"
#undef AN_FUNCTION
};

static an_once once = AN_ONCE_READY;
static struct an_cl table;
static bool loaded;
static char failure[256];

static void load_once(void)
{
    void *library = an_library_open(AN_LIBRARY_OPENCL);
    if (!library) {
        snprintf(failure, sizeof(failure), "%s cannot be loaded; install an OpenCL loader",
                 an_library_name(AN_LIBRARY_OPENCL));
        return;
    }
    for (size_t i = 0; i < COUNT(entries); i++) {
        an_function function = an_library_find(library, entries[i].symbol);
        if (!function && entries[i].required) {
            snprintf(failure, sizeof(failure), "%s is missing: libOpenCL is older than OpenCL 1.2",
                     entries[i].symbol);
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

anynorm_status an_cl_fail(cl_int code, const char *call)
{
    static const struct {
        cl_int code;
        anynorm_status status;
        const char *name;
    } known[] = {
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, ANYNORM_OUT_OF_MEMORY,
         "memory object allocation failure"},
        {CL_OUT_OF_RESOURCES, ANYNORM_OUT_OF_MEMORY, "out of resources"},
        {CL_OUT_OF_HOST_MEMORY, ANYNORM_OUT_OF_MEMORY, "out of host memory"},
        {CL_INVALID_BUFFER_SIZE, ANYNORM_OUT_OF_MEMORY, "invalid buffer size"},
        {CL_COMPILER_NOT_AVAILABLE, ANYNORM_UNSUPPORTED, "no compiler"},
        {CL_INVALID_VALUE, ANYNORM_INVALID_ARGUMENT, "invalid value"},
        {CL_INVALID_DEVICE, ANYNORM_INVALID_ARGUMENT, "invalid device"},
        {CL_INVALID_CONTEXT, ANYNORM_INVALID_ARGUMENT, "invalid context"},
        {CL_INVALID_COMMAND_QUEUE, ANYNORM_INVALID_ARGUMENT, "invalid command queue"},
        {CL_INVALID_MEM_OBJECT, ANYNORM_INVALID_ARGUMENT, "invalid memory object"},
        {CL_INVALID_EVENT_WAIT_LIST, ANYNORM_INVALID_ARGUMENT, "invalid wait list"},
        {CL_INVALID_EVENT, ANYNORM_INVALID_ARGUMENT, "invalid event"},
        {CL_DEVICE_NOT_FOUND, ANYNORM_DEVICE_LOST, "device not found"},
        {CL_DEVICE_NOT_AVAILABLE, ANYNORM_DEVICE_LOST, "device not available"},
        {CL_BUILD_PROGRAM_FAILURE, ANYNORM_DEVICE_LOST, "build failure"},
        {CL_MAP_FAILURE, ANYNORM_DEVICE_LOST, "map failure"},
        {CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, ANYNORM_DEVICE_LOST,
         "a command it waited for failed"},
        {CL_INVALID_QUEUE_PROPERTIES, ANYNORM_DEVICE_LOST, "invalid queue properties"},
        {CL_INVALID_KERNEL_ARGS, ANYNORM_DEVICE_LOST, "invalid kernel arguments"},
        {CL_INVALID_ARG_VALUE, ANYNORM_DEVICE_LOST, "invalid argument value"},
        {CL_INVALID_WORK_GROUP_SIZE, ANYNORM_DEVICE_LOST, "invalid work-group size"},
        {CL_INVALID_OPERATION, ANYNORM_DEVICE_LOST, "invalid operation"},
    };
    anynorm_status status = ANYNORM_DEVICE_LOST;
    const char *name = "see CL/cl.h";
    for (size_t i = 0; i < COUNT(known); i++) {
        if (known[i].code == code) {
            status = known[i].status;
            name = known[i].name;
        }
    }
    return an_fail(status, "%s failed with %d (%s)", call, (int)code, name);
}
