/* libOpenCL, loaded at run time through a table of functions.
 *
 * One binary runs with and without OpenCL; and a test can replace an entry to make a call fail. */
#ifndef AN_OPENCL_LIBRARY_H
#define AN_OPENCL_LIBRARY_H

#define CL_TARGET_OPENCL_VERSION 200
#include <CL/cl.h>

#include <anynorm/anynorm.h>

/* The entries are named after their functions, without "cl". Those past OpenCL 1.2 may be NULL. */
struct an_cl {
    cl_int(CL_API_CALL *GetPlatformIDs)(cl_uint, cl_platform_id *, cl_uint *);
    cl_int(CL_API_CALL *GetPlatformInfo)(cl_platform_id, cl_platform_info, size_t, void *,
                                         size_t *);
    cl_int(CL_API_CALL *GetDeviceIDs)(cl_platform_id, cl_device_type, cl_uint, cl_device_id *,
                                      cl_uint *);
    cl_int(CL_API_CALL *GetDeviceInfo)(cl_device_id, cl_device_info, size_t, void *, size_t *);
    cl_context(CL_API_CALL *CreateContext)(
        const cl_context_properties *, cl_uint, const cl_device_id *,
        void(CL_CALLBACK *)(const char *, const void *, size_t, void *), void *, cl_int *);
    cl_int(CL_API_CALL *RetainContext)(cl_context);
    cl_int(CL_API_CALL *ReleaseContext)(cl_context);
    cl_int(CL_API_CALL *GetContextInfo)(cl_context, cl_context_info, size_t, void *, size_t *);
    cl_command_queue(CL_API_CALL *CreateCommandQueue)(cl_context, cl_device_id,
                                                      cl_command_queue_properties, cl_int *);
    cl_int(CL_API_CALL *RetainCommandQueue)(cl_command_queue);
    cl_int(CL_API_CALL *ReleaseCommandQueue)(cl_command_queue);
    cl_int(CL_API_CALL *GetCommandQueueInfo)(cl_command_queue, cl_command_queue_info, size_t,
                                             void *, size_t *);
    cl_mem(CL_API_CALL *CreateBuffer)(cl_context, cl_mem_flags, size_t, void *, cl_int *);
    cl_int(CL_API_CALL *ReleaseMemObject)(cl_mem);
    cl_int(CL_API_CALL *GetMemObjectInfo)(cl_mem, cl_mem_info, size_t, void *, size_t *);
    cl_program(CL_API_CALL *CreateProgramWithSource)(cl_context, cl_uint, const char **,
                                                     const size_t *, cl_int *);
    cl_program(CL_API_CALL *CreateProgramWithBinary)(cl_context, cl_uint, const cl_device_id *,
                                                     const size_t *, const unsigned char **,
                                                     cl_int *, cl_int *);
    cl_int(CL_API_CALL *BuildProgram)(cl_program, cl_uint, const cl_device_id *, const char *,
                                      void(CL_CALLBACK *)(cl_program, void *), void *);
    cl_int(CL_API_CALL *GetProgramInfo)(cl_program, cl_program_info, size_t, void *, size_t *);
    cl_int(CL_API_CALL *GetProgramBuildInfo)(cl_program, cl_device_id, cl_program_build_info,
                                             size_t, void *, size_t *);
    cl_int(CL_API_CALL *ReleaseProgram)(cl_program);
    cl_kernel(CL_API_CALL *CreateKernel)(cl_program, const char *, cl_int *);
    cl_int(CL_API_CALL *ReleaseKernel)(cl_kernel);
    cl_int(CL_API_CALL *GetKernelWorkGroupInfo)(cl_kernel, cl_device_id, cl_kernel_work_group_info,
                                                size_t, void *, size_t *);
    cl_int(CL_API_CALL *SetKernelArg)(cl_kernel, cl_uint, size_t, const void *);
    cl_int(CL_API_CALL *EnqueueNDRangeKernel)(cl_command_queue, cl_kernel, cl_uint, const size_t *,
                                              const size_t *, const size_t *, cl_uint,
                                              const cl_event *, cl_event *);
    cl_int(CL_API_CALL *EnqueueMarkerWithWaitList)(cl_command_queue, cl_uint, const cl_event *,
                                                   cl_event *);
    cl_int(CL_API_CALL *EnqueueReadBuffer)(cl_command_queue, cl_mem, cl_bool, size_t, size_t,
                                           void *, cl_uint, const cl_event *, cl_event *);
    cl_int(CL_API_CALL *EnqueueWriteBuffer)(cl_command_queue, cl_mem, cl_bool, size_t, size_t,
                                            const void *, cl_uint, const cl_event *, cl_event *);
    void *(CL_API_CALL *EnqueueMapBuffer)(cl_command_queue, cl_mem, cl_bool, cl_map_flags, size_t,
                                          size_t, cl_uint, const cl_event *, cl_event *, cl_int *);
    cl_int(CL_API_CALL *EnqueueUnmapMemObject)(cl_command_queue, cl_mem, void *, cl_uint,
                                               const cl_event *, cl_event *);
    cl_int(CL_API_CALL *WaitForEvents)(cl_uint, const cl_event *);
    cl_int(CL_API_CALL *GetEventInfo)(cl_event, cl_event_info, size_t, void *, size_t *);
    cl_int(CL_API_CALL *GetEventProfilingInfo)(cl_event, cl_profiling_info, size_t, void *,
                                               size_t *);
    cl_int(CL_API_CALL *RetainEvent)(cl_event);
    cl_int(CL_API_CALL *ReleaseEvent)(cl_event);
    cl_int(CL_API_CALL *Flush)(cl_command_queue);
    cl_int(CL_API_CALL *Finish)(cl_command_queue);
    /* OpenCL 2.0 */
    cl_int(CL_API_CALL *SetKernelArgSVMPointer)(cl_kernel, cl_uint, const void *);
    cl_int(CL_API_CALL *EnqueueSVMMemcpy)(cl_command_queue, cl_bool, void *, const void *, size_t,
                                          cl_uint, const cl_event *, cl_event *);
    /* OpenCL 2.1 */
    cl_int(CL_API_CALL *GetKernelSubGroupInfo)(cl_kernel, cl_device_id, cl_uint, size_t,
                                               const void *, size_t, void *, size_t *);
};

/* The process's table, loaded on the first call; UNSUPPORTED, with the reason, where there is no
 * libOpenCL. Never unloaded: drivers do not survive it. Any thread. */
anynorm_status an_cl_load(struct an_cl **cl);

/* A status and message for an OpenCL error code that `call` returned. Codes that tell of resources
 * become OUT_OF_MEMORY, of the device DEVICE_LOST, of a handle or value INVALID_ARGUMENT. */
anynorm_status an_cl_fail(cl_int code, const char *call);

#endif
