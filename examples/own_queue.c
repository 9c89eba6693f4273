/* LayerNorm between a program's own OpenCL commands: write, normalize, read, on one queue, with one
 * wait at the end. */
#include <stdio.h>
#include <stdlib.h>

#include <anynorm/opencl.h>

enum { ROWS = 4, COLUMNS = 8 };

static void check_cl(cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return;
    fprintf(stderr, "%s failed with %d\n", what, (int)code);
    exit(EXIT_FAILURE);
}

static void check(anynorm_status status)
{
    if (status == ANYNORM_OK)
        return;
    fprintf(stderr, "anynorm: %s: %s\n", anynorm_status_name(status), anynorm_message());
    exit(EXIT_FAILURE);
}

/* The first device of the first platform that has one. */
static cl_device_id find_device(void)
{
    cl_platform_id platforms[16];
    cl_uint count = 0;
    cl_device_id device;
    (void)clGetPlatformIDs(16, platforms, &count); /* fails where there is none */
    for (cl_uint i = 0; i < count && i < 16; i++) {
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &device, NULL) == CL_SUCCESS)
            return device;
    }
    fprintf(stderr, "no OpenCL device\n");
    exit(77); /* "skipped" to meson test */
}

static cl_mem make_memory(cl_context context, size_t bytes)
{
    cl_int code;
    cl_mem memory = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    check_cl(code, "clCreateBuffer");
    return memory;
}

int main(void)
{
    float x[ROWS][COLUMNS], y[ROWS][COLUMNS], weight[COLUMNS], bias[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) {
        weight[c] = 1 + 0.5f * (float)(c % 2);
        bias[c] = 0.25f;
        for (int r = 0; r < ROWS; r++)
            x[r][c] = (float)((r + 1) * c * c);
    }

    /* What the program has anyway. */
    cl_int code;
    cl_device_id id = find_device();
    cl_context context = clCreateContext(NULL, 1, &id, NULL, NULL, &code);
    check_cl(code, "clCreateContext");
    cl_command_queue queue = clCreateCommandQueue(context, id, 0, &code);
    check_cl(code, "clCreateCommandQueue");
    cl_mem x_memory = make_memory(context, sizeof(x)), y_memory = make_memory(context, sizeof(y));
    cl_mem weight_memory = make_memory(context, sizeof(weight));
    cl_mem bias_memory = make_memory(context, sizeof(bias));

    /* Once: the device, the plan, and the memory as tensors. */
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_tensors tensors = {.x = {0}};
    anynorm_spec spec = {.columns = COLUMNS,
                         .flags = ANYNORM_WEIGHT | ANYNORM_BIAS,
                         .statistic.eps = ANYNORM_EPS_DEFAULT};
    check(anynorm_opencl_device_wrap(context, id, &device));
    check(anynorm_plan_create(device, &spec, NULL, &plan));
    check(anynorm_opencl_buffer_wrap(device, x_memory, &tensors.x));
    check(anynorm_opencl_buffer_wrap(device, y_memory, &tensors.y));
    check(anynorm_opencl_buffer_wrap(device, weight_memory, &tensors.weight));
    check(anynorm_opencl_buffer_wrap(device, bias_memory, &tensors.bias));

    /* As often as needed: one kernel among the program's own commands, in the queue's order. */
    check_cl(clEnqueueWriteBuffer(queue, weight_memory, CL_FALSE, 0, sizeof(weight), weight, 0,
                                  NULL, NULL),
             "write weight");
    check_cl(
        clEnqueueWriteBuffer(queue, bias_memory, CL_FALSE, 0, sizeof(bias), bias, 0, NULL, NULL),
        "write bias");
    check_cl(clEnqueueWriteBuffer(queue, x_memory, CL_FALSE, 0, sizeof(x), x, 0, NULL, NULL),
             "write x");
    cl_event normalized;
    check(anynorm_opencl_enqueue(plan, queue, &tensors, ROWS, 0, NULL, &normalized));
    check_cl(clEnqueueReadBuffer(queue, y_memory, CL_FALSE, 0, sizeof(y), y, 0, NULL, NULL),
             "read y");
    check_cl(clFinish(queue), "clFinish");
    check_cl(clWaitForEvents(1, &normalized), "the kernel"); /* tells whether it succeeded */

    for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < COLUMNS; c++)
            printf("%9.5f", (double)y[r][c]);
        printf("\n");
    }

    clReleaseEvent(normalized);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    clReleaseMemObject(x_memory);
    clReleaseMemObject(y_memory);
    clReleaseMemObject(weight_memory);
    clReleaseMemObject(bias_memory);
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
    return EXIT_SUCCESS;
}
