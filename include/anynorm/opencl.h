/* anynorm in a program that has its own OpenCL context, queue and buffers.
 *
 * Include after nothing: this header brings in <CL/cl.h> and uses only types of OpenCL 1.2. The
 * library itself does not link against libOpenCL but loads it at run time; the handles passed here
 * must come from that same libOpenCL (the system's loader), as they do in any ordinary program.
 * anynorm keeps no reference to a queue, cl_mem or SVM pointer beyond a call; the caller keeps them
 * alive until the work that uses them is done. Of enqueues that took two kernels a plan keeps the
 * last few events, until later ones replace them or it is destroyed. anynorm never calls clFinish,
 * and never flushes or waits on a queue of the caller. A build of the library with
 * -Dopencl=disabled does not have these functions.
 */
#ifndef ANYNORM_OPENCL_H
#define ANYNORM_OPENCL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include <anynorm/anynorm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes a device of the caller's context and one device of it. Both are retained until the device
 * is closed. Any thread.
 * INVALID_ARGUMENT: `id` is not of `context`, or a bad ANYNORM_CAPS, ANYNORM_QUIRKS or
 * ANYNORM_CACHE. UNSUPPORTED: no libOpenCL, or a device older than OpenCL 1.2 or without a
 * compiler. OUT_OF_MEMORY, DEVICE_LOST.
 */
ANYNORM_API anynorm_status anynorm_opencl_device_wrap(cl_context context, cl_device_id id,
                                                      anynorm_device **device);

/* The context and device behind a device that anynorm_device_open opened, for programs that start
 * from there. Not retained for the caller: valid until the device is closed. Either pointer may be
 * NULL. INVALID_ARGUMENT: not an OpenCL device. Any thread. */
ANYNORM_API anynorm_status anynorm_opencl_device_handles(const anynorm_device *device,
                                                         cl_context *context, cl_device_id *id);

/* Describes the caller's cl_mem (a sub-buffer too) as a buffer with offset 0. Does not retain it
 * and allocates nothing; there is nothing to destroy. Any thread. INVALID_ARGUMENT: no buffer
 * object, or of another context. */
ANYNORM_API anynorm_status anynorm_opencl_buffer_wrap(anynorm_device *device, cl_mem memory,
                                                      anynorm_buffer *buffer);

/* Describes `bytes` of shared virtual memory at `pointer` (from clSVMAlloc, or any memory where the
 * device has fine-grained system SVM) as a buffer. Coarse-grained memory must be unmapped while the
 * device uses it, as the API says. Any thread.
 * UNSUPPORTED: the device has no SVM. INVALID_ARGUMENT: NULL, or bytes that are none or pass the
 * end of the address space. */
ANYNORM_API anynorm_status anynorm_opencl_svm_wrap(anynorm_device *device, void *pointer,
                                                   uint64_t bytes, anynorm_buffer *buffer);

/* anynorm_enqueue on the caller's queue, in-order or out-of-order, with OpenCL's own events:
 * `wait_list` holds `wait_count` events of the queue's context (NULL if 0); *event, where `event`
 * is not NULL, receives an event that the caller releases with clReleaseEvent. One kernel is
 * enqueued, or two of which the second waits for the first (few long rows; *event and its
 * profiling times are then the second's), or, for 0 rows, one marker; nothing is flushed, allocated
 * or waited for by this library. (But where rows are longer than a work-group of the device can
 * walk, as on rusticl from 4194305 columns on, always two are enqueued, and memory for what the
 * first hands to the second is allocated where the plan's own is in use.)
 * Plans and buffers must be of the queue's context and device. Any thread.
 * Statuses as anynorm_enqueue; INVALID_ARGUMENT also for a queue of another context or a bad wait
 * list, of which the driver judges whether its events are of the context. A kernel that fails
 * later, or whose wait list failed, shows where the event is waited for: clWaitForEvents fails, or
 * the event's execution status is negative; drivers differ in which, and anynorm_event_wait looks
 * at both. Such a failure may leave the queue of no use: Mesa's rusticl, from version 25 on, lets
 * every later command of it fail, too, while clFinish says success. So a program makes a queue of
 * its own anew once an event of it has failed.
 */
ANYNORM_API anynorm_status anynorm_opencl_enqueue(anynorm_plan *plan, cl_command_queue queue,
                                                  const anynorm_tensors *tensors, uint64_t rows,
                                                  cl_uint wait_count, const cl_event *wait_list,
                                                  cl_event *event);

/* A cl_event as an anynorm_event, for wait lists and anynorm_event_wait. Takes a reference of its
 * own: release the result with anynorm_event_release. INVALID_ARGUMENT: an event of another context
 * too. Any thread. */
ANYNORM_API anynorm_status anynorm_opencl_event_wrap(anynorm_device *device, cl_event event,
                                                     anynorm_event *wrapped);

/* The cl_event inside, not retained for the caller; NULL if it is not OpenCL's or holds none.
 * Flushes the device's own queue, so that a command of another queue may wait for the event. Any
 * thread. */
ANYNORM_API cl_event anynorm_opencl_event_get(const anynorm_event *event);

#ifdef __cplusplus
}
#endif

#endif
