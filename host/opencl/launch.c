/* Launches of a plan's kernel: one for all rows, or two where rows are split; and those that only
 * make a driver compile. */
#include <inttypes.h>
#include <stdlib.h>

#include "opencl/opencl_backend.h"
#include "base/status.h"

/* Work-groups for `rows` rows, or pieces of rows. */
static uint64_t group_count(const anynorm_plan *plan, uint64_t rows)
{
    return an_grid_groups(&plan->device->info, &plan->spec, &plan->choice, rows);
}

/* Whether `rows` rows, as they are, would leave much of the device idle. A core walks its rows one
 * after the other, so what counts there is how many cores have none in the last round; lanes want
 * more rows than there are units. */
static bool is_worth_splitting(const struct an_opencl_plan *plan, uint64_t rows)
{
    uint64_t units = plan->head.device->info.compute_units;
    uint64_t idle = (units - rows % units) % units;
    if (plan->in_pieces)
        return true;
    return rows <= plan->split_rows && (plan->head.choice.group > 1 || idle * 2 > rows);
}

/* Launches the kernel with its present arguments on so many groups. */
static anynorm_status launch_kernel(struct an_opencl_plan *plan, cl_command_queue queue,
                                    uint64_t groups, cl_uint wait_count, const cl_event *wait_list,
                                    cl_event *event)
{
    size_t group = (size_t)plan->head.choice.group, global = (size_t)groups * group;
    return an_cl_check(plan->arguments.cl->EnqueueNDRangeKernel(queue, plan->arguments.kernel, 1,
                                                                NULL, &global, &group, wait_count,
                                                                wait_list, event),
                       "clEnqueueNDRangeKernel");
}

/* Scratch for the rows: a slot of the plan's; else, where no launch does without, one of their own,
 * *own. Else *slot is NULL. */
static anynorm_status take_scratch(struct an_opencl_plan *plan, struct an_opencl_device *d,
                                   cl_command_queue queue, uint64_t rows, cl_uint wait_count,
                                   struct an_scratch_slot *own, struct an_scratch_slot **slot)
{
    anynorm_status status = ANYNORM_OK;
    *slot = NULL;
    if (rows <= plan->split_rows && wait_count <= ANYNORM_MAX_WAIT)
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
static anynorm_status launch_finish(struct an_opencl_plan *plan, cl_command_queue queue,
                                    uint64_t groups, cl_uint wait_count, const cl_event *wait_list,
                                    cl_event partials, cl_event *finish)
{
    cl_event few[ANYNORM_MAX_WAIT + 1], *waits = few;
    if (wait_count > ANYNORM_MAX_WAIT)
        waits = malloc(((size_t)wait_count + 1) * sizeof(*waits));
    if (!waits)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a wait list");
    for (cl_uint i = 0; i < wait_count; i++)
        waits[i] = wait_list[i];
    waits[wait_count] = partials;
    anynorm_status status = launch_kernel(plan, queue, groups, wait_count + 1, waits, finish);
    if (waits != few)
        free(waits);
    return status;
}

/* The rows in two launches. */
static anynorm_status launch_split(struct an_opencl_plan *plan, struct an_opencl_device *d,
                                   cl_command_queue queue, uint64_t rows,
                                   struct an_scratch_slot *slot, cl_uint wait_count,
                                   const cl_event *wait_list, cl_event *event, cl_event *first)
{
    uint64_t groups = group_count(&plan->head, rows * plan->segments);
    cl_event partials, finish;
    anynorm_status status = an_opencl_set_stage(&plan->arguments, AN_CL_PARTIALS, slot->memory);
    if (status == ANYNORM_OK)
        status = launch_kernel(plan, queue, groups, wait_count, wait_list, &partials);
    if (status != ANYNORM_OK)
        return status;
    status = an_opencl_set_stage(&plan->arguments, AN_CL_FINISH, slot->memory);
    if (status == ANYNORM_OK)
        status = launch_finish(plan, queue, groups, wait_count, wait_list, partials, &finish);
    /* The work is under way: better a time too short, or a slot less, than an error now. The slot
     * keeps the first event, too: PoCL 3.1 aborts where one fails that nobody holds. */
    if (first && d->cl->RetainEvent(partials) == CL_SUCCESS)
        *first = partials;
    if (status != ANYNORM_OK) {
        an_opencl_scratch_used(d, slot, queue, NULL, partials);
        return status;
    }
    if (event) {
        *event = finish;
        if (d->cl->RetainEvent(finish) != CL_SUCCESS)
            finish = NULL;
    }
    an_opencl_scratch_used(d, slot, queue, partials, finish);
    return ANYNORM_OK;
}

/* Gradients: the rows, then the sums that end with them, where there are any that the first launch
 * has not finished. */
static anynorm_status launch_backward(struct an_opencl_plan *plan, struct an_opencl_device *d,
                                      cl_command_queue queue, const struct an_stretch *stretch,
                                      const struct an_parts *parts, cl_uint wait_count,
                                      const cl_event *wait_list, cl_event *event, cl_event *first)
{
    bool finishes = an_gradient_finishes(&plan->head.spec, parts, stretch);
    uint64_t parts_here = an_gradient_parts_within(parts, stretch);
    cl_event of_rows;
    anynorm_status status = an_opencl_set_stage(&plan->arguments, AN_CL_ROWS_OF_PARTS, NULL);
    if (status == ANYNORM_OK)
        status = launch_kernel(plan, queue,
                               an_part_groups(&d->head.info, &plan->head.choice, parts_here),
                               wait_count, wait_list, finishes ? &of_rows : event);
    if (status != ANYNORM_OK || !finishes)
        return status;
    status = an_opencl_set_stage(&plan->arguments, AN_CL_SUMS_OF_PARTS, NULL);
    uint64_t groups = an_sum_groups(&d->head.info, &plan->head.spec, &plan->head.choice, parts);
    if (status == ANYNORM_OK)
        status = launch_finish(plan, queue, groups, wait_count, wait_list, of_rows, event);
    if (first &&
        d->cl->RetainEvent(of_rows) == CL_SUCCESS) /* else the plan alone, as a slot does */
        *first = of_rows;
    if (plan->of_rows)
        d->cl->ReleaseEvent(plan->of_rows);
    plan->of_rows = of_rows;
    return status;
}

/* Those that gradients use: the others, which may be there, share arguments with them. */
static anynorm_tensors used_tensors(const anynorm_spec *spec, const anynorm_tensors *tensors)
{
    anynorm_tensors used = *tensors;
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!an_tensor_expect(spec, (enum an_tensor)t).present)
            *an_tensor_slot(&used, (enum an_tensor)t) = (anynorm_buffer){.kind = AN_BUFFER_NONE};
    }
    return used;
}

/* Sets what changes from launch to launch; of gradients the parts, too, which are *parts. */
static anynorm_status set_arguments(struct an_opencl_plan *plan, const anynorm_tensors *tensors,
                                    const struct an_stretch *stretch, struct an_parts *parts)
{
    const anynorm_spec *spec = &plan->head.spec;
    if (!an_spec_backward(spec))
        return an_opencl_set_tensors(&plan->arguments, tensors, stretch->rows);
    const anynorm_tensors used = used_tensors(spec, tensors);
    *parts = an_gradient_parts(spec, stretch->of_rows);
    anynorm_status status =
        an_backward_check(&plan->head.device->info, spec, &plan->head.choice, parts, stretch);
    if (status == ANYNORM_OK)
        status = an_opencl_set_parts(&plan->arguments, parts, stretch);
    return status == ANYNORM_OK ? an_opencl_set_tensors(&plan->arguments, &used, stretch->rows)
                                : status;
}

anynorm_status an_opencl_launch(anynorm_plan *plan, cl_command_queue queue,
                                const anynorm_tensors *tensors, const struct an_stretch *stretch,
                                cl_uint wait_count, const cl_event *wait_list, cl_event *event,
                                cl_event *first)
{
    struct an_opencl_plan *p = an_opencl_plan(plan);
    struct an_opencl_device *d = an_opencl(plan->device);
    const uint64_t rows = stretch->rows;
    if (first)
        *first = NULL;
    if (rows == 0)
        return an_cl_check(d->cl->EnqueueMarkerWithWaitList(queue, wait_count, wait_list, event),
                           "clEnqueueMarkerWithWaitList");
    const bool back = an_spec_backward(&plan->spec);
    an_mutex_lock(&p->lock);
    struct an_scratch_slot *slot = NULL, own = {.memory = NULL};
    struct an_parts parts = {.count = 0};
    anynorm_status status = set_arguments(p, tensors, stretch, &parts);
    bool split = !back && is_worth_splitting(p, rows), finish = split && p->has_statistics;
    if (status == ANYNORM_OK && split && !finish)
        status = take_scratch(p, d, queue, rows, wait_count, &own, &slot);
    if (status == ANYNORM_OK && back) {
        status = launch_backward(p, d, queue, stretch, &parts, wait_count, wait_list, event, first);
    } else if (status == ANYNORM_OK && slot) {
        status = launch_split(p, d, queue, rows, slot, wait_count, wait_list, event, first);
    } else if (status == ANYNORM_OK) {
        uint64_t groups = group_count(plan, finish ? rows * p->segments : rows);
        if (p->segments > 0)
            status = an_opencl_set_stage(&p->arguments, finish ? AN_CL_FINISH : AN_CL_WHOLE, NULL);
        if (status == ANYNORM_OK)
            status = launch_kernel(p, queue, groups, wait_count, wait_list, event);
    }
    if (slot == &own)
        p->arguments.moments = NULL; /* the next memory may have its handle */
    an_opencl_scratch_drop(d, &own);
    an_mutex_unlock(&p->lock);
    return status;
}

anynorm_status an_opencl_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                 const struct an_stretch *stretch, uint32_t wait_count,
                                 const anynorm_event *wait_list, anynorm_event *event)
{
    cl_event waits[ANYNORM_MAX_WAIT];
    for (uint32_t i = 0; i < wait_count; i++)
        waits[i] = wait_list[i].handle;
    struct an_opencl_device *d = an_opencl(plan->device);
    cl_command_queue queue;
    cl_event done, first;
    anynorm_status status = an_opencl_queue_take(d, &queue);
    if (status != ANYNORM_OK)
        return status;
    status = an_opencl_launch(plan, queue, tensors, stretch, wait_count, wait_count ? waits : NULL,
                              &done, &first);
    if (status == ANYNORM_OK) {
        *event =
            (anynorm_event){.device = plan->device, .handle = done, .first = first, .valid = true};
        if (wait_count > 0)
            an_opencl_queue_doubt(d, queue, done);
    } else if (first) { /* the second of two launches failed */
        *event = (anynorm_event){.device = plan->device, .handle = first, .valid = true};
    }
    an_opencl_queue_give(d, queue);
    return status;
}

/* Launches `groups` work-groups on no rows at all, so that they touch no memory and need none. */
static anynorm_status launch_empty(struct an_opencl_plan *p, uint64_t groups, cl_event *event)
{
    struct an_opencl_device *d = an_opencl(p->head.device);
    cl_command_queue queue;
    an_mutex_lock(&p->lock);
    anynorm_status status = an_opencl_set_tensors(&p->arguments, NULL, 0);
    if (status == ANYNORM_OK && an_spec_backward(&p->head.spec))
        status = an_opencl_set_no_parts(&p->arguments);
    if (status == ANYNORM_OK)
        status = an_opencl_queue_take(d, &queue);
    if (status == ANYNORM_OK) {
        status = launch_kernel(p, queue, groups, 0, NULL, event);
        an_opencl_queue_give(d, queue);
    }
    an_mutex_unlock(&p->lock);
    return status;
}

/* Drivers compile anew, or load, at the first launch of a work-group size, and some (PoCL from
 * 65535 work-items) again for a large grid. */
anynorm_status an_opencl_plan_warm_up(anynorm_plan *plan, uint64_t rows)
{
    const uint64_t segments = an_opencl_plan(plan)->segments, pieces = segments ? segments : 1;
    const uint64_t most = rows > UINT64_MAX / pieces ? UINT64_MAX : rows * pieces;
    const uint64_t grids[] = {group_count(plan, 1), group_count(plan, most)};
    anynorm_status status = ANYNORM_OK;
    for (int i = 0; i < 2 && status == ANYNORM_OK && (i == 0 || grids[1] != grids[0]); i++) {
        cl_event done;
        status = launch_empty(an_opencl_plan(plan), grids[i], &done);
        if (status != ANYNORM_OK)
            break;
        anynorm_event event = {.device = plan->device, .handle = done, .valid = true};
        status = an_opencl_event_wait(&event);
        an_opencl_event_release(&event);
    }
    return status;
}
