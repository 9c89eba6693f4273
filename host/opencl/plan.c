/* Making plans: the kernel, checked, with its constant arguments and its scratch. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/checked.h"
#include "opencl/opencl_backend.h"
#include "spec/spec.h"
#include "base/status.h"

/* Rows for each compute unit up to which they may be split: more fill the device as they are. */
#define SPLIT_ROWS_PER_UNIT 4

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
static anynorm_status prepare_split(struct an_opencl_plan *plan, struct an_opencl_device *d,
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

/* Kernels that count on the size of a sub-group compute nonsense with any other. */
static anynorm_status check_subgroup(const struct an_opencl_device *d, cl_kernel kernel,
                                     const struct an_choice *choice)
{
    size_t local = (size_t)choice->group, size = 0;
    cl_int code;
    if (choice->subgroup <= 1)
        return ANYNORM_OK;
    if (d->cl->GetKernelSubGroupInfo && an_opencl_version(&d->head.info) >= 21)
        code = d->cl->GetKernelSubGroupInfo(kernel, d->id, CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE,
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
    struct an_opencl_plan *made = calloc(1, sizeof(*made));
    if (!made)
        return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a plan");
    made->head.device = device;
    made->in_pieces = an_select_in_pieces(&device->info, spec, choice);
    an_opencl_options(&device->info, spec, choice, made->head.options, sizeof(made->head.options));

    cl_kernel kernel = NULL;
    anynorm_status status = an_opencl_kernel(d, an_schedule_file(choice->schedule, spec),
                                             made->head.options, binary, &made->program, &kernel);
    if (status != ANYNORM_OK)
        goto fail;
    made->arguments.cl = d->cl;
    made->arguments.kernel = kernel;
    if (choice->segment > 0)
        made->segments = an_divide_up(spec->columns, choice->segment);
    status = check_group(d, kernel, choice, group_limit);
    if (status == ANYNORM_OK)
        status = check_subgroup(d, kernel, choice);
    if (status == ANYNORM_OK)
        status = an_opencl_set_constants(&made->arguments, spec, made->segments > 0);
    if (status == ANYNORM_OK && choice->schedule == AN_ROW_SPLIT && made->segments > 1)
        status = prepare_split(made, d, spec);
    if (status != ANYNORM_OK)
        goto fail;
    an_mutex_init(&made->lock);
    *plan = &made->head;
    return ANYNORM_OK;

fail:
    if (kernel)
        d->cl->ReleaseKernel(kernel);
    free(made);
    return status;
}

void an_opencl_plan_destroy(anynorm_plan *plan)
{
    struct an_opencl_plan *p = an_opencl_plan(plan);
    an_opencl_scratch_free(an_opencl(plan->device), &p->scratch);
    if (p->of_rows)
        an_opencl(plan->device)->cl->ReleaseEvent(p->of_rows);
    an_opencl(plan->device)->cl->ReleaseKernel(p->arguments.kernel);
    an_mutex_destroy(&p->lock);
    free(p);
}

anynorm_status an_opencl_plan_binary(anynorm_plan *plan, void **packed, size_t *size)
{
    char label[AN_BINARY_LABEL];
    an_choice_format(&plan->choice, label, sizeof(label));
    return an_opencl_program_binary(an_opencl(plan->device), an_opencl_plan(plan)->program, label,
                                    packed, size);
}
