/* The OpenCL backend: its table, and what its own files share. */
#ifndef AN_OPENCL_BACKEND_H
#define AN_OPENCL_BACKEND_H

#include <pthread.h>

#include "backend.h"
#include "opencl/library.h"

extern const struct an_backend an_opencl_backend;

struct an_program;

struct an_opencl_device {
    anynorm_device head;
    struct an_cl *cl;
    cl_context context;
    cl_device_id id;
    cl_command_queue queue; /* in order, profiled */
    bool svm;
    pthread_mutex_t programs_lock;
    struct an_program *programs; /* every program built so far; they live as long as the device */
};

static inline struct an_opencl_device *an_opencl(const anynorm_device *device)
{
    return (struct an_opencl_device *)(void *)device;
}

/* device.c */
size_t an_opencl_count(void);
anynorm_status an_opencl_list(size_t index, anynorm_device_info *info);
anynorm_status an_opencl_open(size_t index, anynorm_device **device);
void an_opencl_close(anynorm_device *device);
/* `context` NULL: makes one; else retains the caller's. */
anynorm_status an_opencl_device_make(struct an_cl *cl, cl_context context, cl_device_id id,
                                     const char *name, anynorm_device **device);

/* memory.c */
anynorm_status an_opencl_memory_create(anynorm_device *device, uint64_t bytes,
                                       anynorm_buffer *buffer);
void an_opencl_memory_destroy(anynorm_device *device, anynorm_buffer *buffer);
anynorm_status an_opencl_memory_write(anynorm_device *device, const anynorm_buffer *buffer,
                                      const void *host, uint64_t bytes);
anynorm_status an_opencl_memory_read(anynorm_device *device, const anynorm_buffer *buffer,
                                     void *host, uint64_t bytes);
anynorm_status an_opencl_wrap_host(anynorm_device *device, void *host, uint64_t bytes, bool written,
                                   anynorm_buffer *buffer);
anynorm_status an_opencl_unwrap_host(anynorm_device *device, anynorm_buffer *buffer, bool written);

/* program.c: the program of a schedule built with `options`, shared by all plans of the device. */
anynorm_status an_opencl_program(struct an_opencl_device *device, const char *schedule,
                                 const char *options, cl_program *program);
void an_opencl_programs_free(struct an_opencl_device *device);

/* plan.c */
anynorm_status an_opencl_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                     const struct an_choice *choice, anynorm_plan **plan,
                                     uint32_t *group_limit);
void an_opencl_plan_destroy(anynorm_plan *plan);
/* Sets the arguments and launches on `queue`; 0 rows: a marker. Checked arguments only. */
anynorm_status an_opencl_launch(anynorm_plan *plan, cl_command_queue queue,
                                const anynorm_tensors *tensors, uint64_t rows, cl_uint wait_count,
                                const cl_event *wait_list, cl_event *event);

/* event.c */
anynorm_status an_opencl_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows,
                                 uint32_t wait_count, const anynorm_event *wait_list,
                                 anynorm_event *event);
anynorm_status an_opencl_event_wait(const anynorm_event *event);
anynorm_status an_opencl_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds);
void an_opencl_event_release(anynorm_event *event);

#endif
