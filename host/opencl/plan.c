/* Plans: build options, the kernel with its constant arguments, and the launch. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/checked.h"
#include "choice/grid.h"
#include "opencl/arguments.h"
#include "opencl/opencl_backend.h"
#include "spec/spec.h"
#include "base/status.h"

/* What a launch of row_split.cl does. */
enum stage { WHOLE, PARTIALS, FINISH };

/* Rows for each compute unit up to which they may be split: more fill the device as they are. */
#define SPLIT_ROWS_PER_UNIT 4

/* CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE, of OpenCL 2.1. */
#define AN_MAX_SUB_GROUP_SIZE_FOR_NDRANGE 0x2033

struct opencl_plan {
    anynorm_plan head;
    cl_kernel kernel;
    cl_uint numbers[AN_ARG_COUNT];
    uint64_t segments;   /* of a row; 0: the kernel knows none */
    uint64_t row_bytes;  /* of a row's moments */
    uint64_t split_rows; /* no more rows than these are split; their moments fit the scratch */
    bool in_pieces;      /* but all are, since no group could walk one as a whole */
    bool has_statistics; /* they are given: of rows that are split, only FINISH is launched */
    struct an_scratch scratch;
    /* A cl_kernel carries its arguments, so setting them and launching is one step for one thread.
     */
    an_mutex lock;
    /* The scalars the kernel has now: a launch that repeats them need not set them. */
    cl_ulong rows;
    cl_uint stage;
    cl_mem moments;
    cl_ulong offsets[AN_TENSOR_COUNT];
};

static struct opencl_plan *opencl_plan(anynorm_plan *plan)
{
    return (struct opencl_plan *)(void *)plan;
}

/* Sets an argument, remembering in *code the first failure of a series. Those that the kernel does
 * not have are no failure. */
static void set(const struct opencl_plan *plan, enum an_argument argument, size_t size,
                const void *value, cl_int *code)
{
    cl_uint number = plan->numbers[argument];
    if (*code == CL_SUCCESS && number != AN_NO_ARGUMENT)
        *code = an_opencl(plan->head.device)->cl->SetKernelArg(plan->kernel, number, size, value);
}

static void set_ulong(const struct opencl_plan *plan, enum an_argument argument, cl_ulong value,
                      cl_int *code)
{
    set(plan, argument, sizeof(value), &value, code);
}

/* In the arithmetic of the kernel. */
static void set_real(const struct opencl_plan *plan, const anynorm_spec *spec,
                     enum an_argument argument, cl_double value, cl_int *code)
{
    cl_float narrow = (cl_float)value;
    if (an_spec_double(spec))
        set(plan, argument, sizeof(value), &value, code);
    else
        set(plan, argument, sizeof(narrow), &narrow, code);
}

static anynorm_status set_constants(struct opencl_plan *plan, const anynorm_spec *spec)
{
    const struct {
        enum an_argument argument;
        cl_ulong value;
    } counts[] = {
        {AN_ARG_ROWS, 0},
        {AN_ARG_INNER_ROWS, spec->inner_rows},
        {AN_ARG_X_COLUMN_STRIDE, spec->x.column_stride},
        {AN_ARG_X_ROW_STRIDE, spec->x.row_stride},
        {AN_ARG_X_OUTER_STRIDE, spec->x.outer_stride},
        {AN_ARG_Y_COLUMN_STRIDE, spec->y.column_stride},
        {AN_ARG_Y_ROW_STRIDE, spec->y.row_stride},
        {AN_ARG_Y_OUTER_STRIDE, spec->y.outer_stride},
        {AN_ARG_RESIDUAL_COLUMN_STRIDE, spec->residual.column_stride},
        {AN_ARG_RESIDUAL_ROW_STRIDE, spec->residual.row_stride},
        {AN_ARG_RESIDUAL_OUTER_STRIDE, spec->residual.outer_stride},
        {AN_ARG_SUM_COLUMN_STRIDE, spec->sum.column_stride},
        {AN_ARG_SUM_ROW_STRIDE, spec->sum.row_stride},
        {AN_ARG_SUM_OUTER_STRIDE, spec->sum.outer_stride},
        {AN_ARG_SAMPLE_ROWS, spec->sample_rows},
        {AN_ARG_PARAMETER_ROWS, spec->parameters.rows},
        {AN_ARG_SHARDS, spec->statistic.shards},
    };
    cl_int code = CL_SUCCESS;
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_argument argument = an_opencl_tensor_argument((enum an_tensor)i);
        if (!an_tensor_expect(spec, (enum an_tensor)i).present)
            set(plan, argument, sizeof(cl_mem), NULL, &code);
        set_ulong(plan, argument + 1, 0, &code);
    }
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        set_ulong(plan, counts[i].argument, counts[i].value, &code);
    const struct {
        enum an_argument argument;
        cl_uint value;
    } narrow_counts[] = {
        {AN_ARG_COLUMNS, (cl_uint)spec->columns},
        {AN_ARG_PARAMETER_RUN, (cl_uint)spec->parameters.run},
        {AN_ARG_PARAMETER_CYCLE, (cl_uint)spec->parameters.cycle},
        {AN_ARG_COLUMN_RUN, (cl_uint)spec->column_run},
    };
    for (size_t i = 0; i < sizeof(narrow_counts) / sizeof(narrow_counts[0]); i++)
        set(plan, narrow_counts[i].argument, sizeof(cl_uint), &narrow_counts[i].value, &code);
    set_real(plan, spec, AN_ARG_EPS, an_spec_kernel_eps(spec), &code);
    set_real(plan, spec, AN_ARG_WEIGHT_PLUS, spec->parameters.weight_offset, &code);
    set_real(plan, spec, AN_ARG_Y_BOUND, spec->quantization.bound, &code);
    set(plan, AN_ARG_MOMENTS, sizeof(cl_mem), NULL, &code);
    set(plan, AN_ARG_STAGE, sizeof(plan->stage), &plan->stage, &code);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clSetKernelArg");
}

/* What the compiled kernel itself can take may be less than what its device can. */
static anynorm_status check_group(const struct an_opencl_device *d, cl_kernel kernel,
                                  const struct an_choice *choice, uint64_t *group_limit)
{
    size_t limit = 0;
    cl_int code = d->cl->GetKernelWorkGroupInfo(kernel, d->id, CL_KERNEL_WORK_GROUP_SIZE,
                                                sizeof(limit), &limit, NULL);
    if (code != CL_SUCCESS)
        return an_cl_fail(code, "clGetKernelWorkGroupInfo");
    if (limit >= choice->group)
        return ANYNORM_OK;
    *group_limit = limit;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "the compiled kernel takes %zu work-items per group, not %" PRIu64, limit,
                   choice->group);
}

/* How many rows may be split, and the scratch for these where one is needed. */
static anynorm_status prepare_split(struct opencl_plan *plan, struct an_opencl_device *d,
                                    const anynorm_spec *spec)
{
    const anynorm_device_info *info = &d->head.info;
    uint64_t row_bytes = plan->segments * 4 * (an_spec_double(spec) ? 8 : 4);
    uint64_t rows = (uint64_t)info->compute_units * SPLIT_ROWS_PER_UNIT;
    plan->row_bytes = row_bytes;
    plan->has_statistics = spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_INPUT);
    if (plan->has_statistics) {
        plan->split_rows = rows;
        return ANYNORM_OK;
    }
    if (rows > info->max_alloc_bytes / row_bytes)
        rows = info->max_alloc_bytes / row_bytes;
    if (rows == 0)
        return ANYNORM_OK;
    anynorm_status status = an_opencl_scratch_create(d, (size_t)(rows * row_bytes), &plan->scratch);
    if (status == ANYNORM_OK)
        plan->split_rows = rows;
    return status;
}

/* The file of a schedule's kernel. */
static const char *source_of(enum an_schedule schedule)
{
    if (an_schedule_is_baseline(schedule))
        return "baseline";
    return an_schedule_name(schedule == AN_ROW_REREAD ? AN_ROW_SPLIT : schedule);
}

/* Kernels that count on the size of a sub-group compute nonsense with any other. */
static anynorm_status check_subgroup(const struct an_opencl_device *d, cl_kernel kernel,
                                     const struct an_choice *choice)
{
    size_t local = (size_t)choice->group, size = 0;
    cl_int code;
    if (choice->subgroup <= 1)
        return ANYNORM_OK;
    if (d->cl->GetKernelSubGroupInfo && an_opencl_version(&d->head.info) >= 21)
        code = d->cl->GetKernelSubGroupInfo(kernel, d->id, AN_MAX_SUB_GROUP_SIZE_FOR_NDRANGE,
                                            sizeof(local), &local, sizeof(size), &size, NULL);
    else /* what every driver means by it */
        code = d->cl->GetKernelWorkGroupInfo(
            kernel, d->id, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, sizeof(size), &size, NULL);
    if (code != CL_SUCCESS)
        return an_fail(ANYNORM_UNSUPPORTED, "the driver does not tell a kernel's sub-groups (%d)",
                       (int)code);
    if (size == choice->subgroup)
        return ANYNORM_OK;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "the compiled kernel has sub-groups of %zu, not of %" PRIu64, size,
                   choice->subgroup);
}

anynorm_status an_opencl_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                     const struct an_choice *choice, const void *binary,
                                     anynorm_plan **plan, uint64_t *group_limit)
{
    struct an_opencl_device *d = an_opencl(device);
    *group_limit = 0;
    struct opencl_plan *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a plan");
    made->head.device = device;
    made->in_pieces = an_select_in_pieces(&device->info, spec, choice);
    an_opencl_options(&device->info, spec, choice, made->head.options, sizeof(made->head.options));

    anynorm_status status =
        an_opencl_kernel(d, source_of(choice->schedule), made->head.options, binary, &made->kernel);
    if (status != ANYNORM_OK)
        goto fail;
    if (choice->segment > 0)
        made->segments = an_divide_up(spec->columns, choice->segment);
    an_opencl_number_arguments(spec, made->segments > 0, made->numbers);
    status = check_group(d, made->kernel, choice, group_limit);
    if (status == ANYNORM_OK)
        status = check_subgroup(d, made->kernel, choice);
    if (status == ANYNORM_OK)
        status = set_constants(made, spec);
    if (status == ANYNORM_OK && choice->schedule == AN_ROW_SPLIT && made->segments > 1)
        status = prepare_split(made, d, spec);
    if (status != ANYNORM_OK)
        goto fail;
    an_mutex_init(&made->lock);
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
    an_opencl_scratch_free(an_opencl(plan->device), &p->scratch);
    an_opencl(plan->device)->cl->ReleaseKernel(p->kernel);
    an_mutex_destroy(&p->lock);
    free(p);
}

anynorm_status an_opencl_plan_binary(anynorm_plan *plan, void **packed, size_t *size)
{
    char label[AN_BINARY_LABEL];
    an_choice_format(&plan->choice, label, sizeof(label));
    return an_opencl_program_binary(an_opencl(plan->device), source_of(plan->choice.schedule),
                                    plan->options, label, packed, size);
}

/* ---- Launching ---- */

/* Work-groups for `rows` rows, or pieces of rows. */
static uint64_t group_count(const anynorm_plan *plan, uint64_t rows)
{
    return an_grid_groups(&plan->device->info, &plan->spec, &plan->choice, rows);
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
        enum an_argument argument = an_opencl_tensor_argument((enum an_tensor)i);
        if (buffer->kind == AN_BUFFER_CL_SVM)
            code =
                cl->SetKernelArgSVMPointer(plan->kernel, plan->numbers[argument], buffer->handle);
        else
            set(plan, argument, sizeof(cl_mem), &buffer->handle, &code);
        if (code == CL_SUCCESS && plan->offsets[i] != buffer->offset) {
            plan->offsets[i] = buffer->offset;
            set_ulong(plan, argument + 1, buffer->offset, &code);
        }
    }
    if (code == CL_SUCCESS && plan->rows != rows) {
        plan->rows = rows;
        set_ulong(plan, AN_ARG_ROWS, rows, &code);
    }
    if (code == CL_SUCCESS)
        return ANYNORM_OK;
    plan->rows = UINT64_MAX;
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        plan->offsets[i] = UINT64_MAX;
    return an_cl_fail(code, "clSetKernelArg");
}

/* Whether `rows` rows, as they are, would leave much of the device idle. A core walks its rows one
 * after the other, so what counts there is how many cores have none in the last round; lanes want
 * more rows than there are units. */
static bool is_worth_splitting(const struct opencl_plan *plan, uint64_t rows)
{
    uint64_t units = plan->head.device->info.compute_units;
    uint64_t idle = (units - rows % units) % units;
    if (plan->in_pieces)
        return true;
    return rows <= plan->split_rows && (plan->head.choice.group > 1 || idle * 2 > rows);
}

/* Launches the kernel with its present arguments on so many groups. */
static anynorm_status launch_kernel(struct opencl_plan *plan, struct an_cl *cl,
                                    cl_command_queue queue, uint64_t groups, cl_uint wait_count,
                                    const cl_event *wait_list, cl_event *event)
{
    size_t group = (size_t)plan->head.choice.group, global = (size_t)groups * group;
    cl_int code = cl->EnqueueNDRangeKernel(queue, plan->kernel, 1, NULL, &global, &group,
                                           wait_count, wait_list, event);
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clEnqueueNDRangeKernel");
}

static anynorm_status set_stage(struct opencl_plan *plan, enum stage stage, cl_mem moments)
{
    cl_uint value = stage;
    cl_int code = CL_SUCCESS;
    if (moments && plan->moments != moments) {
        plan->moments = NULL; /* until it is known to be set */
        set(plan, AN_ARG_MOMENTS, sizeof(moments), &moments, &code);
        if (code == CL_SUCCESS)
            plan->moments = moments;
    }
    if (plan->stage != value) {
        plan->stage = UINT32_MAX;
        set(plan, AN_ARG_STAGE, sizeof(value), &value, &code);
        if (code == CL_SUCCESS)
            plan->stage = value;
    }
    return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clSetKernelArg");
}

/* Scratch for the rows: a slot of the plan's; else, where no launch does without, one of their own,
 * *own. Else *slot is NULL. */
static anynorm_status take_scratch(struct opencl_plan *plan, struct an_opencl_device *d,
                                   cl_command_queue queue, uint64_t rows, cl_uint wait_count,
                                   struct an_scratch_slot *own, struct an_scratch_slot **slot)
{
    bool of_plan = rows <= plan->split_rows && wait_count <= ANYNORM_MAX_WAIT;
    anynorm_status status = ANYNORM_OK;
    *slot = NULL;
    if (of_plan)
        status = an_opencl_scratch_take(d, &plan->scratch, queue, slot);
    if (status != ANYNORM_OK || *slot || !plan->in_pieces)
        return status;
    if (rows > SIZE_MAX / plan->row_bytes)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no memory for the sums of %" PRIu64 " rows", rows);
    *slot = own;
    return an_opencl_scratch_make(d, (size_t)(rows * plan->row_bytes), own);
}

/* The second of two launches: if the first fails, or anything it waits for, this one must not
 * write. So it waits for all of these itself, also on a queue in order. (For Intel's CPU runtime a
 * command is complete whose wait list has failed.) */
static anynorm_status launch_finish(struct opencl_plan *plan, struct an_cl *cl,
                                    cl_command_queue queue, uint64_t groups, cl_uint wait_count,
                                    const cl_event *wait_list, cl_event partials, cl_event *finish)
{
    cl_event few[ANYNORM_MAX_WAIT + 1], *waits = few;
    if (wait_count > ANYNORM_MAX_WAIT)
        waits = malloc(((size_t)wait_count + 1) * sizeof(*waits));
    if (!waits)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a wait list");
    for (cl_uint i = 0; i < wait_count; i++)
        waits[i] = wait_list[i];
    waits[wait_count] = partials;
    anynorm_status status = launch_kernel(plan, cl, queue, groups, wait_count + 1, waits, finish);
    if (waits != few)
        free(waits);
    return status;
}

/* The rows in two launches. */
static anynorm_status launch_split(struct opencl_plan *plan, struct an_opencl_device *d,
                                   cl_command_queue queue, uint64_t rows,
                                   struct an_scratch_slot *slot, cl_uint wait_count,
                                   const cl_event *wait_list, cl_event *event, cl_event *first)
{
    struct an_cl *cl = d->cl;
    uint64_t groups = group_count(&plan->head, rows * plan->segments);
    cl_event partials, finish;
    anynorm_status status = set_stage(plan, PARTIALS, slot->memory);
    if (status == ANYNORM_OK)
        status = launch_kernel(plan, cl, queue, groups, wait_count, wait_list, &partials);
    if (status != ANYNORM_OK)
        return status;
    status = set_stage(plan, FINISH, slot->memory);
    if (status == ANYNORM_OK)
        status = launch_finish(plan, cl, queue, groups, wait_count, wait_list, partials, &finish);
    if (status != ANYNORM_OK) {
        an_opencl_scratch_used(d, slot, queue, NULL, partials);
        return status;
    }
    /* The work is under way: better a time too short, or a slot less, than an error now. The slot
     * keeps the first event, too: PoCL 3.1 aborts where one fails that nobody holds. */
    if (first && cl->RetainEvent(partials) == CL_SUCCESS)
        *first = partials;
    if (event) {
        *event = finish;
        if (cl->RetainEvent(finish) != CL_SUCCESS)
            finish = NULL;
    }
    an_opencl_scratch_used(d, slot, queue, partials, finish);
    return ANYNORM_OK;
}

anynorm_status an_opencl_launch(anynorm_plan *plan, cl_command_queue queue,
                                const anynorm_tensors *tensors, uint64_t rows, cl_uint wait_count,
                                const cl_event *wait_list, cl_event *event, cl_event *first)
{
    struct opencl_plan *p = opencl_plan(plan);
    struct an_opencl_device *d = an_opencl(plan->device);
    if (first)
        *first = NULL;
    if (rows == 0) {
        cl_int code = d->cl->EnqueueMarkerWithWaitList(queue, wait_count, wait_list, event);
        return code == CL_SUCCESS ? ANYNORM_OK : an_cl_fail(code, "clEnqueueMarkerWithWaitList");
    }
    an_mutex_lock(&p->lock);
    struct an_scratch_slot *slot = NULL, own = {.memory = NULL};
    anynorm_status status = set_tensors(p, d->cl, tensors, rows);
    bool split = is_worth_splitting(p, rows), finish = split && p->has_statistics;
    if (status == ANYNORM_OK && split && !finish)
        status = take_scratch(p, d, queue, rows, wait_count, &own, &slot);
    if (status == ANYNORM_OK && slot) {
        status = launch_split(p, d, queue, rows, slot, wait_count, wait_list, event, first);
    } else if (status == ANYNORM_OK) {
        uint64_t groups = group_count(plan, finish ? rows * p->segments : rows);
        if (p->segments > 0)
            status = set_stage(p, finish ? FINISH : WHOLE, NULL);
        if (status == ANYNORM_OK)
            status = launch_kernel(p, d->cl, queue, groups, wait_count, wait_list, event);
    }
    if (slot == &own)
        p->moments = NULL; /* the next memory may have its handle */
    an_opencl_scratch_drop(d, &own);
    an_mutex_unlock(&p->lock);
    return status;
}

/* Launches `groups` work-groups on no rows at all, so that they touch no memory and need none. */
static anynorm_status launch_empty(struct opencl_plan *p, uint64_t groups, cl_event *event)
{
    struct an_opencl_device *d = an_opencl(p->head.device);
    cl_int code = CL_SUCCESS;
    an_mutex_lock(&p->lock);
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        set(p, an_opencl_tensor_argument((enum an_tensor)i), sizeof(cl_mem), NULL, &code);
    p->rows = UINT64_MAX;
    set_ulong(p, AN_ARG_ROWS, 0, &code);
    cl_command_queue queue;
    anynorm_status status =
        code == CL_SUCCESS ? an_opencl_queue_take(d, &queue) : an_cl_fail(code, "clSetKernelArg");
    if (status == ANYNORM_OK) {
        status = launch_kernel(p, d->cl, queue, groups, 0, NULL, event);
        an_opencl_queue_give(d, queue);
    }
    an_mutex_unlock(&p->lock);
    return status;
}

/* Drivers compile anew, or load, at the first launch of a work-group size, and some (PoCL from
 * 65535 work-items) again for a large grid. */
anynorm_status an_opencl_plan_warm_up(anynorm_plan *plan, uint64_t rows)
{
    const uint64_t segments = opencl_plan(plan)->segments, pieces = segments ? segments : 1;
    const uint64_t most = rows > UINT64_MAX / pieces ? UINT64_MAX : rows * pieces;
    const uint64_t grids[] = {group_count(plan, 1), group_count(plan, most)};
    anynorm_status status = ANYNORM_OK;
    for (int i = 0; i < 2 && status == ANYNORM_OK && (i == 0 || grids[1] != grids[0]); i++) {
        cl_event done;
        status = launch_empty(opencl_plan(plan), grids[i], &done);
        if (status != ANYNORM_OK)
            break;
        anynorm_event event = {.device = plan->device, .handle = done, .valid = true};
        status = an_opencl_event_wait(&event);
        an_opencl_event_release(&event);
    }
    return status;
}
