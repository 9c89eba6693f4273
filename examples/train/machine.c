#include "machine.h"

#include <clblast_c.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

static const struct {
    const char *name;
    cl_uint memories, integers, floats;
} kernel_table[KERNELS] = {
    [EMBED] = {"embed", 4, 2, 0},
    [EMBED_GRADIENT] = {"embed_gradient", 3, 2, 0},
    [POSITIONS_GRADIENT] = {"positions_gradient", 2, 3, 0},
    [ADD] = {"add", 4, 1, 0},
    [SUM_COLUMNS] = {"sum_columns", 2, 2, 0},
    [GELU] = {"gelu", 3, 1, 0},
    [GELU_GRADIENT] = {"gelu_gradient", 3, 1, 0},
    [ATTEND] = {"attend", 3, 3, 0},
    [ATTEND_GRADIENT_QUERIES] = {"attend_gradient_queries", 5, 3, 0},
    [ATTEND_GRADIENT_KEYS] = {"attend_gradient_keys", 5, 3, 0},
    [CROSS_ENTROPY] = {"cross_entropy", 3, 2, 0},
    [ADAM] = {"adam", 4, 0, 5},
};

void machine_check(cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return;
    fprintf(stderr, "train: %s failed with %d\n", what, (int)code);
    exit(EXIT_FAILURE);
}

void machine_check_norm(anynorm_status status)
{
    if (status == ANYNORM_OK)
        return;
    fprintf(stderr, "train: %s: %s\n", anynorm_status_name(status), anynorm_message());
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
    fprintf(stderr, "train: no OpenCL device\n");
    exit(77); /* "skipped" to meson test */
}

void machine_open(struct machine *machine)
{
    cl_int code;
    const char *text = train_kernels_text;
    machine->id = find_device();
    machine->context = clCreateContext(NULL, 1, &machine->id, NULL, NULL, &code);
    machine_check(code, "clCreateContext");
    machine->queue = clCreateCommandQueue(machine->context, machine->id, 0, &code);
    machine_check(code, "clCreateCommandQueue");
    machine->program =
        clCreateProgramWithSource(machine->context, 1, &text, &train_kernels_length, &code);
    machine_check(code, "clCreateProgramWithSource");
    machine_check(clBuildProgram(machine->program, 1, &machine->id, "", NULL, NULL),
                  "clBuildProgram");
    for (int i = 0; i < KERNELS; i++) {
        machine->kernels[i] = clCreateKernel(machine->program, kernel_table[i].name, &code);
        machine_check(code, kernel_table[i].name);
    }
    machine_check_norm(anynorm_opencl_device_wrap(machine->context, machine->id, &machine->norms));
}

void machine_close(struct machine *machine)
{
    anynorm_device_close(machine->norms);
    for (int i = 0; i < KERNELS; i++)
        clReleaseKernel(machine->kernels[i]);
    clReleaseProgram(machine->program);
    CLBlastClearCache(); /* which holds on to the context */
    clReleaseCommandQueue(machine->queue);
    clReleaseContext(machine->context);
}

void machine_describe(const struct machine *machine, char *text, size_t capacity)
{
    anynorm_device_info info;
    machine_check_norm(anynorm_device_describe(machine->norms, &info));
    snprintf(text, capacity, "%s (%s, %s)", info.name, info.platform, info.driver);
}

cl_mem machine_memory(struct machine *machine, size_t numbers)
{
    cl_int code;
    cl_mem memory =
        clCreateBuffer(machine->context, CL_MEM_READ_WRITE, numbers * sizeof(float), NULL, &code);
    machine_check(code, "clCreateBuffer");
    return memory;
}

void machine_write(struct machine *machine, cl_mem memory, size_t bytes, const void *host)
{
    machine_check(
        clEnqueueWriteBuffer(machine->queue, memory, CL_TRUE, 0, bytes, host, 0, NULL, NULL),
        "clEnqueueWriteBuffer");
}

void machine_read(struct machine *machine, cl_mem memory, size_t bytes, void *host)
{
    machine_check(
        clEnqueueReadBuffer(machine->queue, memory, CL_TRUE, 0, bytes, host, 0, NULL, NULL),
        "clEnqueueReadBuffer");
}

void machine_launch(struct machine *machine, enum kernel which, int columns, int rows,
                    const struct arguments *arguments)
{
    cl_kernel kernel = machine->kernels[which];
    const char *name = kernel_table[which].name;
    size_t grid[2] = {(size_t)columns, (size_t)rows};
    cl_uint at = 0;
    for (cl_uint i = 0; i < kernel_table[which].memories; i++)
        machine_check(clSetKernelArg(kernel, at++, sizeof(cl_mem), &arguments->memory[i]), name);
    for (cl_uint i = 0; i < kernel_table[which].integers; i++)
        machine_check(clSetKernelArg(kernel, at++, sizeof(cl_int), &arguments->integers[i]), name);
    for (cl_uint i = 0; i < kernel_table[which].floats; i++)
        machine_check(clSetKernelArg(kernel, at++, sizeof(cl_float), &arguments->floats[i]), name);
    machine_check(
        clEnqueueNDRangeKernel(machine->queue, kernel, 2, NULL, grid, NULL, 0, NULL, NULL), name);
}

void machine_multiply(struct machine *machine, int flags, int rows, int columns, int inner,
                      cl_mem a, cl_mem b, cl_mem c)
{
    int a_turned = flags & A_TRANSPOSED, b_turned = flags & B_TRANSPOSED;
    CLBlastStatusCode code =
        CLBlastSgemm(CLBlastLayoutRowMajor, a_turned ? CLBlastTransposeYes : CLBlastTransposeNo,
                     b_turned ? CLBlastTransposeYes : CLBlastTransposeNo, (size_t)rows,
                     (size_t)columns, (size_t)inner, 1, a, 0, (size_t)(a_turned ? rows : inner), b,
                     0, (size_t)(b_turned ? inner : columns), flags & ADD_TO_C ? 1.0f : 0.0f, c, 0,
                     (size_t)columns, &machine->queue, NULL);
    machine_check((cl_int)code, "CLBlastSgemm");
}
