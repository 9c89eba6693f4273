/* The device, its queue, and launching. */
#include "device.h"

#include "common.h"
#include "kernels_text.h"

static const char *const names[KERNEL_COUNT] = {
    [KERNEL_EMBED] = "embed",     [KERNEL_ADD_BIASES] = "add_biases",
    [KERNEL_SOFTMAX] = "softmax", [KERNEL_GELU] = "gelu",
    [KERNEL_ADD] = "add",         [KERNEL_POOL] = "pool",
};

void check_cl(cl_int code, const char *what)
{
    if (code != CL_SUCCESS)
        fail("%s failed with %d", what, (int)code);
}

static cl_device_id find_device(void)
{
    enum { MOST = 16 };
    cl_platform_id platforms[MOST];
    cl_uint count = 0;
    cl_device_id id;

    (void)clGetPlatformIDs(MOST, platforms, &count); /* fails where there is none */
    for (cl_uint i = 0; i < count && i < MOST; i++) {
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &id, NULL) == CL_SUCCESS)
            return id;
    }
    fail("no OpenCL device");
}

struct device device_open(void)
{
    struct device device = {.id = find_device()};
    const char *text = kernels_text;
    cl_int code;

    device.context = clCreateContext(NULL, 1, &device.id, NULL, NULL, &code);
    check_cl(code, "clCreateContext");
    device.queue =
        clCreateCommandQueue(device.context, device.id, CL_QUEUE_PROFILING_ENABLE, &code);
    check_cl(code, "clCreateCommandQueue");
    device.program = clCreateProgramWithSource(device.context, 1, &text, &kernels_length, &code);
    check_cl(code, "clCreateProgramWithSource");
    check_cl(clBuildProgram(device.program, 1, &device.id, "", NULL, NULL), "clBuildProgram");
    for (int i = 0; i < KERNEL_COUNT; i++) {
        device.kernels[i] = clCreateKernel(device.program, names[i], &code);
        check_cl(code, names[i]);
    }
    return device;
}

void device_close(struct device *device)
{
    for (int i = 0; i < KERNEL_COUNT; i++)
        clReleaseKernel(device->kernels[i]);
    clReleaseProgram(device->program);
    clReleaseCommandQueue(device->queue);
    clReleaseContext(device->context);
}

cl_mem device_memory(const struct device *device, size_t bytes)
{
    cl_int code;
    cl_mem memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes, NULL, &code);

    if (code != CL_SUCCESS)
        fail("the device has no %zu bytes in one piece (clCreateBuffer failed with %d)", bytes,
             (int)code);
    return memory;
}

void device_launch(const struct device *device, enum kernel kernel, size_t items,
                   size_t memory_count, const cl_mem *memories, size_t number_count,
                   const cl_ulong *numbers, cl_event *event)
{
    cl_kernel handle = device->kernels[kernel];
    cl_uint index = 0;

    for (size_t i = 0; i < memory_count; i++)
        check_cl(clSetKernelArg(handle, index++, sizeof(cl_mem), &memories[i]), names[kernel]);
    for (size_t i = 0; i < number_count; i++)
        check_cl(clSetKernelArg(handle, index++, sizeof(cl_ulong), &numbers[i]), names[kernel]);
    check_cl(clEnqueueNDRangeKernel(device->queue, handle, 1, NULL, &items, NULL, 0, NULL, event),
             names[kernel]);
}
