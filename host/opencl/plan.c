/* Plans: build options, the kernel with its constant arguments, and the launch. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl/opencl_backend.h"
#include "spec.h"
#include "status.h"

/* The numbers of the arguments, from the list that the kernels' parameters come from. */
enum argument {
#define AN_INPUT(id, offset_id, name, offset) id, offset_id,
#define AN_OUTPUT(id, offset_id, name, offset) id, offset_id,
#define AN_SCALAR(id, type, name) id,
#define AN_LAST_SCALAR(id, type, name) id
#include "params.def"
};

/* Work-groups for each core of a CPU device: enough to even out cores that are not equally free,
 * few enough that handing them out costs nothing. */
#define GROUPS_PER_UNIT 32

struct opencl_plan {
    anynorm_plan head;
    cl_kernel kernel;
    /* A cl_kernel carries its arguments, so setting them and launching is one step for one thread.
     */
    pthread_mutex_t lock;
    /* The scalars the kernel has now: a launch that repeats them need not set them. */
    cl_ulong rows;
    cl_ulong offsets[AN_TENSOR_COUNT];
};

static struct opencl_plan *opencl_plan(anynorm_plan *plan)
{
    return (struct opencl_plan *)(void *)plan;
}

static cl_uint tensor_argument(enum an_tensor tensor)
{
    static const cl_uint arguments[AN_TENSOR_COUNT] = {
        [AN_X] = AN_ARG_X,       [AN_Y] = AN_ARG_Y,       [AN_WEIGHT] = AN_ARG_WEIGHT,
        [AN_BIAS] = AN_ARG_BIAS, [AN_MEAN] = AN_ARG_MEAN, [AN_RSTD] = AN_ARG_RSTD,
    };
    return arguments[tensor];
}

static void write_options(const anynorm_spec *spec, const struct an_choice *choice, char *options,
                          size_t capacity)
{
    /* Types by their number in anynorm_dtype, which kernels/opencl/types.clh repeats. */
    int length = snprintf(
        options, capacity,
        "-cl-std=CL1.2 -DX_TYPE=%d -DY_TYPE=%d -DP_TYPE=%d -DACC_DOUBLE=%d "
        "-DVECTOR=%" PRIu32 " -DANY_ALIGNMENT=%d -DTWO_LEVELS=%d -DHAS_WEIGHT=%d "
        "-DHAS_BIAS=%d -DHAS_MEAN=%d -DHAS_RSTD=%d",
        (int)spec->x_type, (int)spec->y_type,
        spec->flags & (ANYNORM_WEIGHT | ANYNORM_BIAS) ? (int)spec->parameter_type
                                                      : (int)ANYNORM_F32,
        an_spec_double(spec), choice->vector, !!(spec->flags & ANYNORM_ANY_ALIGNMENT),
        spec->inner_rows != 0, !!(spec->flags & ANYNORM_WEIGHT), !!(spec->flags & ANYNORM_BIAS),
        !!(spec->flags & ANYNORM_MEAN_OUTPUT), !!(spec->flags & ANYNORM_RSTD_OUTPUT));
    char *rest = options + length;
    size_t room = capacity - (size_t)length;
    switch (choice->schedule) {
    case AN_ROW_PER_ITEM:
        if (choice->stream_bytes)
            snprintf(rest, room, " -DSTREAM_BYTES=%" PRIu64 "ul", choice->stream_bytes);
        break;
    case AN_ROW_PER_GROUP:
        snprintf(rest, room, " -DGROUP=%" PRIu32 " -DHELD=%" PRIu32, choice->group_size,
                 choice->vectors_per_item);
        break;
    default:
        snprintf(rest, room, " -DGROUP=%" PRIu32, choice->group_size);
    }
}

/* Sets argument `index`, remembering in *code the first failure of a series. */
static void set(struct an_cl *cl, cl_kernel kernel, cl_uint index, size_t size, const void *value,
                cl_int *code)
{
    if (*code == CL_SUCCESS)
        *code = cl->SetKernelArg(kernel, index, size, value);
}

static void set_ulong(struct an_cl *cl, cl_kernel kernel, cl_uint index, cl_ulong value,
                      cl_int *code)
{
    set(cl, kernel, index, sizeof(value), &value, code);
}

static anynorm_status set_constants(struct opencl_plan *plan, struct an_cl *cl,
                                    const anynorm_spec *spec)
{
    cl_int code = CL_SUCCESS;
    cl_kernel k = plan->kernel;
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        cl_uint argument = tensor_argument((enum an_tensor)i);
        if (!an_tensor_expect(spec, (enum an_tensor)i).present)
            set(cl, k, argument, sizeof(cl_mem), NULL, &code);
        set_ulong(cl, k, argument + 1, 0, &code);
    }
    set_ulong(cl, k, AN_ARG_ROWS, 0, &code);
    cl_uint columns = (cl_uint)spec->columns;
    set(cl, k, AN_ARG_COLUMNS, sizeof(columns), &columns, &code);
    cl_float narrow = (cl_float)spec->eps;
    cl_double wide = spec->eps;
    if (an_spec_double(spec))
        set(cl, k, AN_ARG_EPS, sizeof(wide), &wide, &code);
    else
        set(cl, k, AN_ARG_EPS, sizeof(narrow), &narrow, &code);
    set_ulong(cl, k, AN_ARG_INNER_ROWS, spec->inner_rows, &code);
    set_ulong(cl, k, AN_ARG_X_ROW_STRIDE, spec->x_row_stride, &code);
    set_ulong(cl, k, AN_ARG_X_OUTER_STRIDE, spec->x_outer_stride, &code);
    set_ulong(cl, k, AN_ARG_Y_ROW_STRIDE, spec->y_row_stride, &code);
    set_ulong(cl, k, AN_ARG_Y_OUTER_STRIDE, spec->y_outer_stride, &code);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clSetKernelArg");
}

/* What the compiled kernel itself can take may be less than what its device can. */
static anynorm_status check_group(const struct an_opencl_device *d, cl_kernel kernel,
                                  const struct an_choice *choice, uint32_t *group_limit)
{
    size_t limit = 0;
    cl_int code = d->cl->GetKernelWorkGroupInfo(kernel, d->id, CL_KERNEL_WORK_GROUP_SIZE,
                                                sizeof(limit), &limit, NULL);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetKernelWorkGroupInfo");
    if (limit >= choice->group_size)
        return ANYNORM_OK;
    *group_limit = (uint32_t)limit;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "the compiled kernel takes %zu work-items per group, not %" PRIu32, limit,
                   choice->group_size);
}

anynorm_status an_opencl_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                     const struct an_choice *choice, anynorm_plan **plan,
                                     uint32_t *group_limit)
{
    struct an_opencl_device *d = an_opencl(device);
    *group_limit = 0;
    struct opencl_plan *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a plan");
    made->head.device = device;
    write_options(spec, choice, made->head.options, sizeof(made->head.options));

    cl_program program;
    cl_int code = CL_SUCCESS;
    anynorm_status status =
        an_opencl_program(d, an_schedule_name(choice->schedule), made->head.options, &program);
    if (status != ANYNORM_OK)
        goto fail;
    made->kernel = d->cl->CreateKernel(program, "anynorm", &code);
    if (!made->kernel) {
        status = an_cl_fail(code, "clCreateKernel");
        goto fail;
    }
    status = check_group(d, made->kernel, choice, group_limit);
    if (status == ANYNORM_OK)
        status = set_constants(made, d->cl, spec);
    if (status != ANYNORM_OK)
        goto fail;
    pthread_mutex_init(&made->lock, NULL);
    *plan = &made->head;
    return ANYNORM_OK;

fail:
    if (made->kernel)
        d->cl->ReleaseKernel(made->kernel);
    free(made);
    return status;
}

void an_opencl_plan_destroy(anynorm_plan *plan)
{
    struct opencl_plan *p = opencl_plan(plan);
    an_opencl(plan->device)->cl->ReleaseKernel(p->kernel);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- Launching ---- */

/* Work-groups for `rows` rows; every kernel loops over the rows that are more. */
static uint64_t group_count(const anynorm_plan *plan, uint64_t rows)
{
    const anynorm_device_info *info = &plan->device->info;
    uint64_t groups = rows, most = info->max_groups;
    if (plan->choice.schedule == AN_ROW_PER_ITEM) {
        groups = (rows - 1) / plan->choice.group_size + 1;
        uint64_t useful = (uint64_t)info->compute_units * GROUPS_PER_UNIT;
        if (plan->choice.group_size == 1 && useful < most)
            most = useful;
    }
    return groups < most ? groups : most;
}

/* Sets what changes from launch to launch. On failure the remembered scalars are void. */
static anynorm_status set_tensors(struct opencl_plan *plan, struct an_cl *cl,
                                  const anynorm_tensors *tensors, uint64_t rows)
{
    cl_int code = CL_SUCCESS;
    for (int i = 0; i < AN_TENSOR_COUNT && code == CL_SUCCESS; i++) {
        const anynorm_buffer *buffer = an_tensor_buffer(tensors, (enum an_tensor)i);
        if (buffer->kind == AN_BUFFER_NONE)
            continue;
        cl_uint argument = tensor_argument((enum an_tensor)i);
        if (buffer->kind == AN_BUFFER_CL_SVM)
            code = cl->SetKernelArgSVMPointer(plan->kernel, argument, buffer->handle);
        else
            code = cl->SetKernelArg(plan->kernel, argument, sizeof(cl_mem), &buffer->handle);
        if (code == CL_SUCCESS && plan->offsets[i] != buffer->offset) {
            plan->offsets[i] = buffer->offset;
            set_ulong(cl, plan->kernel, argument + 1, buffer->offset, &code);
        }
    }
    if (code == CL_SUCCESS && plan->rows != rows) {
        plan->rows = rows;
        set_ulong(cl, plan->kernel, AN_ARG_ROWS, rows, &code);
    }
    if (code == CL_SUCCESS)
        return ANYNORM_OK;
    plan->rows = UINT64_MAX;
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        plan->offsets[i] = UINT64_MAX;
    return an_cl_fail(code, "clSetKernelArg");
}

anynorm_status an_opencl_launch(anynorm_plan *plan, cl_command_queue queue,
                                const anynorm_tensors *tensors, uint64_t rows, cl_uint wait_count,
                                const cl_event *wait_list, cl_event *event)
{
    struct opencl_plan *p = opencl_plan(plan);
    struct an_cl *cl = an_opencl(plan->device)->cl;
    cl_int code;
    if (rows == 0) {
        code = cl->EnqueueMarkerWithWaitList(queue, wait_count, wait_list, event);
        return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clEnqueueMarkerWithWaitList");
    }
    size_t group = plan->choice.group_size;
    size_t global = (size_t)group_count(plan, rows) * group;

    pthread_mutex_lock(&p->lock);
    anynorm_status status = set_tensors(p, cl, tensors, rows);
    if (status == ANYNORM_OK) {
        code = cl->EnqueueNDRangeKernel(queue, p->kernel, 1, NULL, &global, &group, wait_count,
                                        wait_list, event);
        if (code != CL_SUCCESS)
            status = an_cl_fail(code, "clEnqueueNDRangeKernel");
    }
    pthread_mutex_unlock(&p->lock);
    return status;
}
