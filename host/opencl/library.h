/* libOpenCL, loaded at run time through a table of functions.
 *
 * One binary runs with and without OpenCL; and a test can replace an entry to make a call fail. */
#ifndef AN_OPENCL_LIBRARY_H
#define AN_OPENCL_LIBRARY_H

#define CL_TARGET_OPENCL_VERSION 210
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include <anynorm/anynorm.h>

/* Those past OpenCL 1.2 may be NULL. */
struct an_cl {
#define AN_FUNCTION(name, symbol, required) __typeof__(symbol) *name;
#include "opencl/functions.def"
#undef AN_FUNCTION
};

/* The process's table, loaded on the first call; UNSUPPORTED, with the reason, where there is no
 * libOpenCL. Never unloaded: drivers do not survive it. Any thread. */
anynorm_status an_cl_load(struct an_cl **cl);

/* A status and message for an OpenCL error code that `call` returned. Codes that tell of resources
 * become OUT_OF_MEMORY, of the device DEVICE_LOST, of a handle or value INVALID_ARGUMENT. */
anynorm_status an_cl_fail(cl_int code, const char *call);

/* The same, or OK where `code` is of success. */
static inline anynorm_status an_cl_check(cl_int code, const char *call)
{
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, call);
}

#endif
