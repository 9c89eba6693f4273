/* How near LayerNorm comes to a copy: GB/s of x + y, as a share of a copy kernel of the same bytes.
 *
 *     copy_share [ROWSxCOLUMNS [f32|f16|bf16 [REPETITIONS]]]      ($ANYNORM_DEVICE names the
 * device)
 *
 * Two copies are timed, one with plain stores and one with stores that go past the caches, and the
 * share is given of both. Copies and norm take turns, so that a noisy neighbour meets all three;
 * the figures are medians of wall time from enqueue to the end of the wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <anynorm/opencl.h>

enum { PLAIN, STREAMING, NORM, KINDS };

static const char *const copy_source =
    "#if VECTOR == 16\n"
    "typedef float16 vector_t;\n"
    "#else\n"
    "typedef float4 vector_t;\n"
    "#endif\n"
    "__kernel void copy(const __global vector_t *x, __global vector_t *y, const ulong count)\n"
    "{\n"
    "#if VECTOR == 16\n" /* a core streams through its own part */
    "    const ulong items = get_global_size(0), item = get_global_id(0);\n"
    "    const ulong end = count * (item + 1) / items;\n"
    "    for (ulong i = count * item / items; i < end; i++)\n"
    "#else\n" /* neighbouring lanes touch neighbouring vectors */
    "    for (ulong i = get_global_id(0); i < count; i += get_global_size(0))\n"
    "#endif\n"
    "#if STREAM\n"
    "        __builtin_nontemporal_store(x[i], y + i);\n"
    "#else\n"
    "        y[i] = x[i];\n"
    "#endif\n"
    "}\n";

static void demand(int held, const char *what)
{
    if (held)
        return;
    fprintf(stderr, "copy_share: %s: %s\n", what, anynorm_message());
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(double), by_size);
    return values[count / 2];
}

struct bench {
    anynorm_device *device;
    anynorm_device_info info;
    cl_context context;
    cl_device_id id;
    cl_command_queue queue;
    cl_kernel copies[2]; /* NULL: the compiler has no such store */
    size_t global, local;
    anynorm_plan *plan;
    anynorm_tensors tensors;
    cl_mem memory[4];
    uint64_t rows;
    cl_ulong vectors;
};

static int is_cpu(const struct bench *b)
{
    return b->info.device_class == ANYNORM_CLASS_CPU && b->info.vector_width >= 4;
}

static cl_kernel build_copy(struct bench *b, int stream)
{
    char options[64];
    cl_int code;
    snprintf(options, sizeof(options), "-DVECTOR=%d -DSTREAM=%d", is_cpu(b) ? 16 : 4, stream);
    cl_program program =
        clCreateProgramWithSource(b->context, 1, (const char **)&copy_source, NULL, &code);
    if (!program || clBuildProgram(program, 1, &b->id, options, NULL, NULL) != CL_SUCCESS)
        return NULL;
    cl_kernel kernel = clCreateKernel(program, "copy", &code);
    demand(kernel != NULL, "copy kernel");
    clReleaseProgram(program);
    demand(clSetKernelArg(kernel, 0, sizeof(cl_mem), &b->memory[0]) == CL_SUCCESS &&
               clSetKernelArg(kernel, 1, sizeof(cl_mem), &b->memory[1]) == CL_SUCCESS &&
               clSetKernelArg(kernel, 2, sizeof(b->vectors), &b->vectors) == CL_SUCCESS,
           "copy arguments");
    return kernel;
}

/* Random data with outliers: zeros would flatter the memory and the arithmetic. */
static void fill(struct bench *b, const anynorm_spec *spec)
{
    uint64_t count = b->rows * spec->columns, state = 88172645463325252u;
    size_t bytes = (size_t)(count * anynorm_dtype_size(spec->x_type));
    void *host = malloc(bytes);
    demand(host != NULL, "host memory");
    for (uint64_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        double value = (double)(state >> 11) * 0x1p-52 - 1;
        anynorm_dtype_store(spec->x_type, host, i, i % 97 == 5 ? 30 * value : value);
    }
    demand(clEnqueueWriteBuffer(b->queue, b->memory[0], CL_TRUE, 0, bytes, host, 0, NULL, NULL) ==
                   CL_SUCCESS &&
               clEnqueueWriteBuffer(b->queue, b->memory[1], CL_TRUE, 0, bytes, host, 0, NULL,
                                    NULL) == CL_SUCCESS,
           "write");
    float *parameters = malloc((size_t)spec->columns * sizeof(float));
    demand(parameters != NULL, "host memory");
    for (uint64_t c = 0; c < spec->columns; c++)
        parameters[c] = 0.5f + (float)c / (float)spec->columns;
    for (int i = 2; i < 4; i++)
        demand(clEnqueueWriteBuffer(b->queue, b->memory[i], CL_TRUE, 0,
                                    (size_t)spec->columns * sizeof(float), parameters, 0, NULL,
                                    NULL) == CL_SUCCESS,
               "write");
    free(parameters);
    free(host);
}

static void open_bench(struct bench *b, const anynorm_spec *spec)
{
    cl_int code;
    demand(anynorm_device_open(NULL, &b->device) == ANYNORM_OK, "device");
    demand(anynorm_device_describe(b->device, &b->info) == ANYNORM_OK, "device");
    demand(anynorm_opencl_device_handles(b->device, &b->context, &b->id) == ANYNORM_OK, "device");
    b->queue = clCreateCommandQueue(b->context, b->id, 0, &code);
    demand(b->queue != NULL, "queue");
    demand(anynorm_plan_create(b->device, spec, NULL, &b->plan) == ANYNORM_OK, "plan");

    size_t bytes = (size_t)(b->rows * spec->columns * anynorm_dtype_size(spec->x_type));
    const size_t sizes[4] = {bytes, bytes, (size_t)spec->columns * sizeof(float),
                             (size_t)spec->columns * sizeof(float)};
    anynorm_buffer *const slots[4] = {&b->tensors.x, &b->tensors.y, &b->tensors.weight,
                                      &b->tensors.bias};
    for (int i = 0; i < 4; i++) {
        b->memory[i] = clCreateBuffer(b->context, CL_MEM_READ_WRITE, sizes[i], NULL, &code);
        demand(b->memory[i] != NULL, "buffer");
        demand(anynorm_opencl_buffer_wrap(b->device, b->memory[i], slots[i]) == ANYNORM_OK,
               "buffer");
    }
    b->vectors = bytes / (is_cpu(b) ? 64 : 16);
    b->local = is_cpu(b) ? 1 : 64;
    b->global = is_cpu(b) ? b->info.compute_units * 32 : b->info.compute_units * 64 * 32;
    fill(b, spec);
    b->copies[PLAIN] = build_copy(b, 0);
    demand(b->copies[PLAIN] != NULL, "copy kernel");
    b->copies[STREAMING] = is_cpu(b) ? build_copy(b, 1) : NULL;
}

static double time_once(struct bench *b, int kind)
{
    cl_event event;
    double begin = seconds();
    if (kind == NORM)
        demand(anynorm_opencl_enqueue(b->plan, b->queue, &b->tensors, b->rows, 0, NULL, &event) ==
                   ANYNORM_OK,
               "enqueue");
    else
        demand(clEnqueueNDRangeKernel(b->queue, b->copies[kind], 1, NULL, &b->global, &b->local, 0,
                                      NULL, &event) == CL_SUCCESS,
               "copy");
    demand(clWaitForEvents(1, &event) == CL_SUCCESS, "wait");
    double end = seconds();
    clReleaseEvent(event);
    return end - begin;
}

int main(int argc, char **argv)
{
    char text[128];
    anynorm_spec spec;
    struct bench b = {0};
    snprintf(text, sizeof(text), "layer-norm %s %s weight bias", argc > 1 ? argv[1] : "16384x4096",
             argc > 2 ? argv[2] : "f32");
    demand(anynorm_spec_parse(text, &spec, &b.rows) == ANYNORM_OK, "arguments");
    int repetitions = argc > 3 ? atoi(argv[3]) : 31;
    demand(repetitions > 0 && b.rows > 0, "arguments");
    open_bench(&b, &spec);

    double *times[KINDS];
    for (int kind = 0; kind < KINDS; kind++) {
        times[kind] = malloc((size_t)repetitions * sizeof(double));
        demand(times[kind] != NULL, "host memory");
    }
    for (int i = -2; i < repetitions; i++) { /* two rounds unmeasured: compilers and page faults */
        for (int kind = 0; kind < KINDS; kind++) {
            if (kind != NORM && !b.copies[kind])
                continue;
            double time = time_once(&b, kind);
            if (i >= 0)
                times[kind][i] = time;
        }
    }

    double moved =
        2 * (double)b.rows * (double)spec.columns * (double)anynorm_dtype_size(spec.x_type);
    double norm = median(times[NORM], repetitions);
    anynorm_plan_info plan;
    anynorm_plan_describe(b.plan, &plan);
    printf("%s on %s (%s), %s, medians of %d\n", text, b.info.name, b.info.id, plan.schedule,
           repetitions);
    printf("anynorm         %9.1f us  %7.2f GB/s\n", norm * 1e6, moved / norm * 1e-9);
    for (int kind = 0; kind < NORM; kind++) {
        if (!b.copies[kind])
            continue;
        double copy = median(times[kind], repetitions);
        printf("%s %9.1f us  %7.2f GB/s  anynorm reaches %.2f of it\n",
               kind == PLAIN ? "copy           " : "copy, streaming", copy * 1e6,
               moved / copy * 1e-9, copy / norm);
        clReleaseKernel(b.copies[kind]);
    }
    for (int kind = 0; kind < KINDS; kind++)
        free(times[kind]);
    for (int i = 0; i < 4; i++)
        clReleaseMemObject(b.memory[i]);
    anynorm_plan_destroy(b.plan);
    clReleaseCommandQueue(b.queue);
    anynorm_device_close(b.device);
    return 0;
}
