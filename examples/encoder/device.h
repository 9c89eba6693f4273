/* One OpenCL device with one queue, and the kernels of kernels.cl. */
#ifndef ENCODER_DEVICE_H
#define ENCODER_DEVICE_H

#include <anynorm/opencl.h>

enum kernel {
    KERNEL_EMBED,
    KERNEL_ADD_BIASES,
    KERNEL_SOFTMAX,
    KERNEL_GELU,
    KERNEL_ADD,
    KERNEL_POOL
};
enum { KERNEL_COUNT = KERNEL_POOL + 1 };

struct device {
    cl_context context;
    cl_device_id id;
    cl_command_queue queue; /* in order, with times */
    cl_program program;
    cl_kernel kernels[KERNEL_COUNT];
};

/* Ends the program, naming `what`, where OpenCL's code is no success. */
void check_cl(cl_int code, const char *what);

/* The first device of the first platform that has one. */
struct device device_open(void);
void device_close(struct device *device);

cl_mem device_memory(const struct device *device, size_t bytes);

/* Enqueues a kernel of `items` work-items with its buffers and then its numbers as arguments.
 * *event, where `event` is not NULL, is to be released. */
void device_launch(const struct device *device, enum kernel kernel, size_t items,
                   size_t memory_count, const cl_mem *memories, size_t number_count,
                   const cl_ulong *numbers, cl_event *event);

#endif
