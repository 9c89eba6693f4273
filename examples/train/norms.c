/* Where the norm stands decides what goes through it.
 *
 *     norm first    h_k = h_(k-1) + branch_k     y_k = norm(h_k)     branch_(k+1) = f(y_k)
 *     norm last     h_k = y_(k-1) + branch_k     y_k = norm(h_k)     branch_(k+1) = f(y_k)
 *
 * Either way a point is one enqueue: the branch is x, its bias pre_bias, what it is added to the
 * residual, h the sum. On the way back h is read from where it was written. With the norm first the
 * stream's gradient goes past the norm, and is handed over as dsum; with the norm last all of it
 * goes through the norm, as dy. */
#include "norms.h"

static int norm_first(const struct model *model)
{
    return layout_norm_first(&model->layout);
}

static void make_plans(struct model *model, int branch, int stream, struct norm_plans *plans)
{
    int rms = model->layout.placement == RMS_NORM;
    anynorm_device *device = model->machine->norms;
    anynorm_spec spec = {.columns = (uint64_t)model->layout.sizes.width,
                         .flags = ANYNORM_WEIGHT | ANYNORM_RSTD_OUTPUT | ANYNORM_SUM_OUTPUT,
                         .statistic.eps = ANYNORM_EPS_DEFAULT};
    spec.flags |= rms ? ANYNORM_RMS : ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT;
    if (branch)
        spec.flags |= ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS;
    machine_check_norm(anynorm_plan_create(device, &spec, NULL, &plans->forward));
    spec.gradients.flags = ANYNORM_DX | ANYNORM_DWEIGHT | ANYNORM_SAVED_SUM;
    if (!rms)
        spec.gradients.flags |= ANYNORM_DBIAS;
    if (branch)
        spec.gradients.flags |= ANYNORM_DPRE_BIAS;
    if (stream)
        spec.gradients.flags |= ANYNORM_DSUM;
    machine_check_norm(anynorm_plan_create(device, &spec, NULL, &plans->backward));

    uint64_t bytes;
    machine_check_norm(anynorm_plan_workspace(plans->backward, (uint64_t)model->rows, &bytes));
    size_t had = 0;
    if (model->workspace)
        machine_check(clGetMemObjectInfo(model->workspace, CL_MEM_SIZE, sizeof(had), &had, NULL),
                      "clGetMemObjectInfo");
    if (bytes <= had)
        return;
    if (model->workspace)
        clReleaseMemObject(model->workspace);
    model->workspace = machine_memory(model->machine, (size_t)bytes / sizeof(float) + 1);
}

void norms_open(struct model *model)
{
    if (model->layout.placement == NO_NORM)
        return;
    make_plans(model, 1, 0, &model->end);
    if (!norm_first(model))
        return;
    make_plans(model, 0, 1, &model->begin);
    make_plans(model, 1, 1, &model->middle);
}

void norms_close(struct model *model)
{
    const struct norm_plans *const all[] = {&model->begin, &model->middle, &model->end};
    for (int i = 0; i < 3; i++) {
        anynorm_plan_destroy(all[i]->forward);
        anynorm_plan_destroy(all[i]->backward);
    }
}

static const struct norm_plans *plans_of(const struct model *model, int k)
{
    if (k == 0)
        return &model->begin;
    int last = k == layout_points(&model->layout) - 1;
    return norm_first(model) && !last ? &model->middle : &model->end;
}

static anynorm_buffer wrap(const struct model *model, cl_mem memory)
{
    anynorm_buffer buffer;
    machine_check_norm(anynorm_opencl_buffer_wrap(model->machine->norms, memory, &buffer));
    return buffer;
}

static void enqueue(struct model *model, anynorm_plan *plan, const anynorm_tensors *tensors)
{
    machine_check_norm(anynorm_opencl_enqueue(plan, model->machine->queue, tensors,
                                              (uint64_t)model->rows, 0, NULL, NULL));
}

/* What both directions read. */
static anynorm_tensors shared_tensors(const struct model *model, int k)
{
    const struct activations *at = &model->points[k];
    const struct point *point = &model->layout.points[k];
    anynorm_tensors tensors = {.sum = wrap(model, at->sum),
                               .weight = wrap(model, model->values[point->weight]),
                               .rstd = wrap(model, at->rstd)};
    if (point->bias >= 0)
        tensors.mean = wrap(model, at->mean);
    return tensors;
}

void norms_forward(struct model *model, int k)
{
    const struct point *point = &model->layout.points[k];
    anynorm_tensors tensors = shared_tensors(model, k);
    tensors.y = wrap(model, model->points[k].normed);
    if (point->bias >= 0)
        tensors.bias = wrap(model, model->values[point->bias]);
    if (k > 0) {
        tensors.x = wrap(model, model->branch);
        tensors.pre_bias = wrap(model, model->values[point->branch_bias]);
        tensors.residual =
            wrap(model, norm_first(model) ? model->points[k - 1].sum : model_input(model, k - 1));
    } else {
        tensors.x = tensors.sum;
    }
    enqueue(model, plans_of(model, k)->forward, &tensors);
}

void norms_backward(struct model *model, int k)
{
    const struct point *point = &model->layout.points[k];
    const struct norm_plans *plans = plans_of(model, k);
    anynorm_tensors tensors = shared_tensors(model, k);
    tensors.dx = wrap(model, model->dstream);
    tensors.dy = norm_first(model) ? wrap(model, model->branch) : tensors.dx;
    if (plans != &model->end)
        tensors.dsum = tensors.dx;
    tensors.dweight = wrap(model, model->dvalues[point->weight]);
    if (point->bias >= 0)
        tensors.dbias = wrap(model, model->dvalues[point->bias]);
    if (k > 0)
        tensors.dpre_bias = wrap(model, model->dvalues[point->branch_bias]);
    tensors.workspace = wrap(model, model->workspace);
    enqueue(model, plans->backward, &tensors);
}
