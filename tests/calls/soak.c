/* Memory over many enqueues, contexts and plans, beside a bare OpenCL program that makes the same
 * calls: what grows with ours must be the driver's own growth.
 *
 *     soak [ENQUEUES [CONTEXTS [PLANS]]]       (default 10000 100 20; $ANYNORM_TEST_DEVICE)
 *
 * Each figure is of a process of its own: the bytes that malloc has given out, the driver's too,
 * and those that are resident, after a tenth of the work and at its end.
 */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <anynorm/opencl.h>

#include "opencl/sources.h"

enum { TRIES = 3, COLUMNS = 64, BATCH = 32, BYTES = COLUMNS * (int)sizeof(float) };

struct memory {
    long heap, resident;
};

static void demand(bool held, const char *what)
{
    if (held)
        return;
    fprintf(stderr, "soak: %s failed: %s\n", what, anynorm_message());
    exit(2);
}

static struct memory measure(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    demand(file && fscanf(file, "%*d %ld", &pages) == 1, "reading /proc/self/statm");
    fclose(file);
    return (struct memory){(long)mallinfo2().uordblks, pages * sysconf(_SC_PAGESIZE)};
}

/* ---- Ours ---- */

static const anynorm_spec spec = {.columns = COLUMNS, .statistic.eps = ANYNORM_EPS_DEFAULT};
static const char *device_name;

struct ours {
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_tensors tensors;
};

static void open_ours(struct ours *o)
{
    const float values[COLUMNS] = {1};
    demand(anynorm_device_open(device_name, &o->device) == ANYNORM_OK, "opening");
    demand(anynorm_buffer_create(o->device, BYTES, &o->tensors.x) == ANYNORM_OK, "a buffer");
    demand(anynorm_buffer_create(o->device, BYTES, &o->tensors.y) == ANYNORM_OK, "a buffer");
    demand(anynorm_buffer_write(o->device, &o->tensors.x, values, BYTES) == ANYNORM_OK, "a write");
}

static void plan_ours(struct ours *o)
{
    demand(anynorm_plan_create(o->device, &spec, NULL, &o->plan) == ANYNORM_OK, "a plan");
}

static void close_ours(struct ours *o)
{
    anynorm_plan_destroy(o->plan);
    anynorm_buffer_destroy(o->device, &o->tensors.x);
    anynorm_buffer_destroy(o->device, &o->tensors.y);
    anynorm_device_close(o->device);
    *o = (struct ours){.device = NULL};
}

static void enqueue_ours(struct ours *o, long count)
{
    anynorm_event event;
    for (long i = 1; i <= count; i++) {
        demand(anynorm_enqueue(o->plan, &o->tensors, 1, 0, NULL, &event) == ANYNORM_OK, "enqueue");
        if (i % BATCH == 0 || i == count)
            demand(anynorm_event_wait(&event) == ANYNORM_OK, "a wait");
        anynorm_event_release(&event);
    }
}

static void check_ours(struct ours *o)
{
    float y[COLUMNS];
    demand(anynorm_buffer_read(o->device, &o->tensors.y, y, BYTES) == ANYNORM_OK, "a read");
    demand(y[0] > 7.9f && y[0] < 8 && y[1] < -0.12f, "the result");
}

/* ---- Bare ---- */

struct bare {
    cl_context context;
    cl_command_queue queue;
    cl_mem x, y;
    cl_program program;
    cl_kernel kernel;
};

static cl_device_id id;
static anynorm_plan_info info; /* of the same plan */

/* The device behind the name, and its plan, before all is measured. */
static void find_bare(void)
{
    struct ours o = {.device = NULL};
    open_ours(&o);
    plan_ours(&o);
    demand(anynorm_opencl_device_handles(o.device, NULL, &id) == ANYNORM_OK, "the device's handle");
    demand(anynorm_plan_describe(o.plan, &info) == ANYNORM_OK, "the plan");
    close_ours(&o);
}

static void open_bare(struct bare *b)
{
    const float values[COLUMNS] = {1};
    cl_int code;
    b->context = clCreateContext(NULL, 1, &id, NULL, NULL, &code);
    demand(b->context, "clCreateContext");
    b->queue = clCreateCommandQueue(b->context, id, CL_QUEUE_PROFILING_ENABLE, &code);
    b->x = clCreateBuffer(b->context, CL_MEM_READ_WRITE, BYTES, NULL, &code);
    b->y = clCreateBuffer(b->context, CL_MEM_READ_WRITE, BYTES, NULL, &code);
    demand(b->queue && b->x && b->y, "clCreateCommandQueue or clCreateBuffer");
    demand(clEnqueueWriteBuffer(b->queue, b->x, CL_TRUE, 0, BYTES, values, 0, NULL, NULL) ==
               CL_SUCCESS,
           "clEnqueueWriteBuffer");
}

static void build_bare(struct bare *b, const char *text, size_t length, const char *options,
                       const char *name)
{
    cl_int code;
    b->program = clCreateProgramWithSource(b->context, 1, &text, &length, &code);
    demand(b->program && clBuildProgram(b->program, 1, &id, options, NULL, NULL) == CL_SUCCESS,
           "clBuildProgram");
    b->kernel = clCreateKernel(b->program, name, &code);
    demand(b->kernel, "clCreateKernel");
}

/* The plan's own kernel, built from its source with its options. */
static void plan_bare(struct bare *b)
{
    const struct an_source *source = an_sources;
    while (source->name && strcmp(source->name, info.schedule) != 0)
        source++;
    demand(source->name, "finding the kernel's source");
    build_bare(b, source->text, source->length, info.options, "anynorm");
}

/* A kernel of two arguments, both set before each launch. */
static void copy_bare(struct bare *b)
{
    static const char text[] = "__kernel void copy(__global const float *x, __global float *y)"
                               "{ y[get_global_id(0)] = x[get_global_id(0)]; }";
    build_bare(b, text, sizeof(text) - 1, "", "copy");
}

static void enqueue_bare(struct bare *b, long count)
{
    const size_t global = COLUMNS, local = 1;
    cl_event event;
    for (long i = 1; i <= count; i++) {
        demand(clSetKernelArg(b->kernel, 0, sizeof(cl_mem), &b->x) == CL_SUCCESS &&
                   clSetKernelArg(b->kernel, 1, sizeof(cl_mem), &b->y) == CL_SUCCESS &&
                   clEnqueueNDRangeKernel(b->queue, b->kernel, 1, NULL, &global, &local, 0, NULL,
                                          &event) == CL_SUCCESS,
               "clEnqueueNDRangeKernel");
        if (i % BATCH == 0 || i == count)
            demand(clWaitForEvents(1, &event) == CL_SUCCESS, "clWaitForEvents");
        clReleaseEvent(event);
    }
}

static void close_bare(struct bare *b)
{
    if (b->kernel)
        clReleaseKernel(b->kernel);
    if (b->program)
        clReleaseProgram(b->program);
    clReleaseMemObject(b->x);
    clReleaseMemObject(b->y);
    clReleaseCommandQueue(b->queue);
    clReleaseContext(b->context);
    *b = (struct bare){.context = NULL};
}

/* ---- The parts ---- */

enum part { ENQUEUES, CONTEXTS, PLANS, PARTS };
static const char *const part_names[PARTS] = {"enqueues", "contexts", "plans"};

static void work_ours(enum part part, struct ours *o, long count)
{
    if (part == ENQUEUES)
        enqueue_ours(o, count);
    for (long i = 0; part != ENQUEUES && i < count; i++) {
        struct ours one = {.device = NULL};
        open_ours(&one);
        if (part == PLANS)
            plan_ours(&one);
        close_ours(&one);
    }
}

static void work_bare(enum part part, struct bare *b, long count)
{
    if (part == ENQUEUES)
        enqueue_bare(b, count);
    for (long i = 0; part != ENQUEUES && i < count; i++) {
        struct bare one = {.context = NULL};
        open_bare(&one);
        if (part == PLANS)
            plan_bare(&one);
        close_bare(&one);
    }
}

/* What `count` more of the part's calls add after a tenth as many. */
static struct memory grow(enum part part, bool ours, long count)
{
    struct ours o = {.device = NULL};
    struct bare b = {.context = NULL};
    struct memory before = {0}, after = {0};
    find_bare();
    open_ours(&o);
    plan_ours(&o);
    open_bare(&b);
    copy_bare(&b);
    for (int round = 0; round < 2; round++) {
        long share = round == 0 ? count / 10 + 1 : count;
        if (ours)
            work_ours(part, &o, share);
        else
            work_bare(part, &b, share);
        *(round == 0 ? &before : &after) = measure();
    }
    if (part == ENQUEUES && ours)
        check_ours(&o);
    close_bare(&b);
    close_ours(&o);
    return (struct memory){after.heap - before.heap, after.resident - before.resident};
}

static struct memory grow_apart(enum part part, bool ours, long count)
{
    struct memory grown;
    int ends[2], status;
    demand(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    demand(child >= 0, "fork");
    if (child == 0) {
        grown = grow(part, ours, count);
        demand(write(ends[1], &grown, sizeof(grown)) == sizeof(grown), "writing a figure");
        _exit(0);
    }
    demand(read(ends[0], &grown, child > 0 ? sizeof(grown) : 0) == sizeof(grown), "a part");
    demand(waitpid(child, &status, 0) == child && status == 0, "a part");
    close(ends[0]);
    close(ends[1]);
    return grown;
}

/* Ours may hold a little more, but not something of each call: the least of malloc's is 32 bytes. A
 * driver's compiler does not grow by the same every time. */
static bool is_fine(enum part part, long ours, long bare, long count)
{
    return ours - bare < (part == PLANS ? 32768 : 4096) + 8 * count;
}

int main(int argc, char **argv)
{
    long counts[PARTS] = {10000, 100, 20};
    int failed = 0;
    device_name = getenv("ANYNORM_TEST_DEVICE");
    device_name = device_name ? device_name : "opencl";
    if (strncmp(device_name, "opencl", 6) != 0) {
        printf("skipped: no OpenCL device\n");
        return 0;
    }
    if (measure().heap == 0) {
        printf("skipped: this malloc (a sanitizer's?) does not say what it has given out\n");
        return 0;
    }
    for (int part = 0; part < PARTS; part++) {
        if (argc > part + 1)
            counts[part] = atol(argv[part + 1]);
        if (counts[part] <= 0)
            continue;
        /* What leaks does so each time; what a driver keeps of its threads does not. */
        bool fine = false;
        for (int i = 0; i < TRIES && !fine; i++) {
            struct memory ours = grow_apart((enum part)part, true, counts[part]);
            struct memory bare = grow_apart((enum part)part, false, counts[part]);
            fine = is_fine((enum part)part, ours.heap, bare.heap, counts[part]);
            printf("%ld %s: heap %+ld bytes, bare %+ld; resident %+ld KiB, bare %+ld KiB: %s\n",
                   counts[part], part_names[part], ours.heap, bare.heap, ours.resident / 1024,
                   bare.resident / 1024, fine ? "ok" : "ours grows more");
        }
        failed |= !fine;
    }
    return failed;
}
