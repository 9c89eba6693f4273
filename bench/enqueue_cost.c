/* What anynorm adds to a kernel launch: the host time of anynorm_opencl_enqueue beside that of bare
 * OpenCL calls for the same kernel, and one row's enqueue-and-wait beside an empty kernel's.
 *
 *     enqueue_cost [ROWSxCOLUMNS [REPETITIONS]]       (default 1x4096 1001; $ANYNORM_DEVICE)
 *
 * The bare launch is of the plan's own kernel, built once more from the library's source with the
 * plan's options. Once it sets the buffers only, which is the least a program with changing tensors
 * does, and once every argument. All take turns in a new order each round; the figures are medians.
 */
#include <string.h>

#include <anynorm/opencl.h>

#include "opencl/sources.h"
#include "rounds.h"

enum { ANYNORM, BARE, BARE_ALL, EMPTY, KINDS };
enum { ALONE, WAITED, BATCHED, MEASURES };
enum { TENSORS = 4, BATCH = 32 };

/* The numbers of the arguments, from the list that the kernels' parameters come from. */
enum argument_number {
#define AN_INPUT(id, offset_id, name, offset) id, offset_id,
#define AN_OUTPUT(id, offset_id, name, offset) id, offset_id,
#define AN_SCALAR(id, type, name) id,
#define AN_LAST_SCALAR(id, type, name) id,
#include "params.def"
    ARGUMENTS
};

static const char *const names[KINDS] = {
    "anynorm_opencl_enqueue", "clSetKernelArg of 4 buffers, launch",
    "clSetKernelArg of all arguments, launch", "anynorm_opencl_enqueue of an empty kernel"};

struct bench {
    anynorm_device *device;
    cl_context context;
    cl_device_id id;
    cl_command_queue queue;
    anynorm_spec spec;
    uint64_t rows;
    anynorm_plan *plans[2]; /* the norm, the empty kernel */
    anynorm_plan_info plan;
    anynorm_tensors tensors;
    cl_mem memory[TENSORS];
    cl_kernel kernel;
};

/* One argument of the bare kernel, in the order of kernels/params.def. */
struct argument {
    size_t size;
    union {
        cl_mem memory;
        cl_ulong wide;
        cl_uint narrow;
        cl_float real;
    } value;
    int is_null;
};

static void list_arguments(const struct bench *b, struct argument arguments[ARGUMENTS])
{
    static const int tensors[TENSORS] = {AN_ARG_X, AN_ARG_Y, AN_ARG_WEIGHT, AN_ARG_BIAS};
    const cl_ulong columns = b->spec.columns;
    memset(arguments, 0, ARGUMENTS * sizeof(*arguments));
    for (int i = 0; i < ARGUMENTS; i++)
        arguments[i].size = sizeof(cl_ulong);
    for (int t = 0; t < TENSORS; t++) {
        arguments[tensors[t]].size = sizeof(cl_mem);
        arguments[tensors[t]].value.memory = b->memory[t];
    }
    arguments[AN_ARG_MEAN].is_null = arguments[AN_ARG_RSTD].is_null = 1;
    arguments[AN_ARG_MEAN].size = arguments[AN_ARG_RSTD].size = sizeof(cl_mem);
    arguments[AN_ARG_ROWS].value.wide = b->rows;
    arguments[AN_ARG_COLUMNS].size = sizeof(cl_uint);
    arguments[AN_ARG_COLUMNS].value.narrow = (cl_uint)columns;
    arguments[AN_ARG_EPS].size = sizeof(cl_float);
    arguments[AN_ARG_EPS].value.real = (cl_float)b->spec.statistic.eps;
    arguments[AN_ARG_X_COLUMN_STRIDE].value.wide = arguments[AN_ARG_Y_COLUMN_STRIDE].value.wide = 1;
    arguments[AN_ARG_X_ROW_STRIDE].value.wide = arguments[AN_ARG_Y_ROW_STRIDE].value.wide = columns;
}

/* `step` 1: all arguments; 2, up to the bias: the buffers. */
static void set_arguments(cl_kernel kernel, const struct argument *arguments, int step, int count)
{
    for (int i = 0; i < count; i += step)
        demand(clSetKernelArg(kernel, (cl_uint)i, arguments[i].size,
                              arguments[i].is_null ? NULL : &arguments[i].value) == CL_SUCCESS,
               "clSetKernelArg");
}

static void build_kernel(struct bench *b)
{
    cl_int code;
    const struct an_source *source = an_sources;
    while (source->name && strcmp(source->name, b->plan.schedule) != 0)
        source++;
    demand(source->name != NULL, "the plan's kernel has no source of its name");
    const char *text = source->text;
    cl_program program = clCreateProgramWithSource(b->context, 1, &text, &source->length, &code);
    demand(program && clBuildProgram(program, 1, &b->id, b->plan.options, NULL, NULL) == CL_SUCCESS,
           "program");
    b->kernel = clCreateKernel(program, "anynorm", &code);
    demand(b->kernel != NULL, "kernel");
    clReleaseProgram(program);
}

static void open_bench(struct bench *b)
{
    static const anynorm_plan_options empty = {.schedule = "empty"};
    cl_int code;
    demand(anynorm_device_open(NULL, &b->device) == ANYNORM_OK, "device");
    demand(anynorm_opencl_device_handles(b->device, &b->context, &b->id) == ANYNORM_OK, "device");
    b->queue = clCreateCommandQueue(b->context, b->id, 0, &code);
    demand(b->queue != NULL, "queue");
    demand(anynorm_plan_create(b->device, &b->spec, NULL, &b->plans[0]) == ANYNORM_OK &&
               anynorm_plan_create(b->device, &b->spec, &empty, &b->plans[1]) == ANYNORM_OK &&
               anynorm_plan_describe(b->plans[0], &b->plan) == ANYNORM_OK,
           "plan");
    anynorm_buffer *const slots[TENSORS] = {&b->tensors.x, &b->tensors.y, &b->tensors.weight,
                                            &b->tensors.bias};
    for (int t = 0; t < TENSORS; t++) {
        size_t count = (size_t)(b->spec.columns * (t < 2 ? b->rows : 1));
        float *data = make_values(count);
        b->memory[t] = clCreateBuffer(b->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                                      count * sizeof(float), data, &code);
        free(data);
        demand(b->memory[t] &&
                   anynorm_opencl_buffer_wrap(b->device, b->memory[t], slots[t]) == ANYNORM_OK,
               "buffer");
    }
    build_kernel(b);
}

static void launch(struct bench *b, int kind, const struct argument *arguments, cl_event *event)
{
    /* One row's groups: a schedule that takes more of them for a row is not launched bare so. */
    const size_t local = (size_t)b->plan.work_group_size, global = local * (size_t)b->rows;
    if (kind == ANYNORM || kind == EMPTY) {
        demand(anynorm_opencl_enqueue(b->plans[kind == EMPTY], b->queue, &b->tensors, b->rows, 0,
                                      NULL, event) == ANYNORM_OK,
               "enqueue");
    } else {
        set_arguments(b->kernel, arguments, kind == BARE ? 2 : 1,
                      kind == BARE ? 2 * TENSORS : ARGUMENTS);
        demand(clEnqueueNDRangeKernel(b->queue, b->kernel, 1, NULL, &global, &local, 0, NULL,
                                      event) == CL_SUCCESS,
               "clEnqueueNDRangeKernel");
    }
}

static void finish(cl_event *events, int count)
{
    demand(clWaitForEvents((cl_uint)count, events) == CL_SUCCESS, "wait");
    for (int i = 0; i < count; i++)
        clReleaseEvent(events[i]);
}

/* Into what[...][at]: a launch alone, with its wait, and each of BATCH launches without a wait. */
static void time_turn(struct bench *b, int kind, const struct argument *arguments,
                      double *what[MEASURES], int at)
{
    cl_event events[BATCH];
    double begin = seconds();
    launch(b, kind, arguments, &events[0]);
    what[ALONE][at] = seconds() - begin;
    demand(clWaitForEvents(1, events) == CL_SUCCESS, "wait");
    what[WAITED][at] = seconds() - begin;
    clReleaseEvent(events[0]);
    begin = seconds();
    for (int i = 0; i < BATCH; i++)
        launch(b, kind, arguments, &events[i]);
    what[BATCHED][at] = (seconds() - begin) / (double)BATCH;
    finish(events, BATCH);
}

int main(int argc, char **argv)
{
    char text[128];
    struct bench b = {0};
    struct argument arguments[ARGUMENTS];
    snprintf(text, sizeof(text), "layer-norm %s f32 weight bias", argc > 1 ? argv[1] : "1x4096");
    demand(anynorm_spec_parse(text, &b.spec, &b.rows) == ANYNORM_OK, "arguments");
    int repetitions = argc > 2 ? atoi(argv[2]) : 1001;
    demand(repetitions > 0 && b.rows > 0, "arguments");
    open_bench(&b);
    list_arguments(&b, arguments);
    set_arguments(b.kernel, arguments, 1, ARGUMENTS);

    double *times[KINDS][MEASURES];
    for (int i = 0; i < KINDS * MEASURES; i++) {
        times[i / MEASURES][i % MEASURES] = malloc((size_t)repetitions * sizeof(double));
        demand(times[i / MEASURES][i % MEASURES] != NULL, "host memory");
    }
    int order[KINDS] = {ANYNORM, BARE, BARE_ALL, EMPTY};
    uint64_t state = 1607;
    for (int i = -20; i < repetitions; i++) { /* twenty rounds that the later ones overwrite */
        shuffle(order, KINDS, &state);
        for (int k = 0; k < KINDS; k++)
            time_turn(&b, order[k], arguments, times[order[k]], i < 0 ? 0 : i);
    }

    double us[KINDS][MEASURES];
    printf("%s, %s, medians of %d, microseconds\n", text, b.plan.choice, repetitions);
    printf("%-42s %10s %10s %12s\n", "", "enqueue", "and wait", "one of many");
    for (int kind = 0; kind < KINDS; kind++) {
        for (int m = 0; m < MEASURES; m++)
            us[kind][m] = median(times[kind][m], repetitions) * 1e6;
        printf("%-42s %10.2f %10.2f %12.2f\n", names[kind], us[kind][ALONE], us[kind][WAITED],
               us[kind][BATCHED]);
    }
    printf("anynorm adds %+.2f us to the bare enqueue, %+.2f us to one of many (goal: at most 1)\n",
           us[ANYNORM][ALONE] - us[BARE][ALONE], us[ANYNORM][BATCHED] - us[BARE][BATCHED]);
    printf("the norm with its wait takes %.2f times the empty kernel (goal: at most 1.10)\n",
           us[ANYNORM][WAITED] / us[EMPTY][WAITED]);

    for (int i = 0; i < KINDS * MEASURES; i++)
        free(times[i / MEASURES][i % MEASURES]);
    clReleaseKernel(b.kernel);
    for (int t = 0; t < TENSORS; t++)
        clReleaseMemObject(b.memory[t]);
    anynorm_plan_destroy(b.plans[0]);
    anynorm_plan_destroy(b.plans[1]);
    clReleaseCommandQueue(b.queue);
    anynorm_device_close(b.device);
    return 0;
}
