/* Every norm: a plan each, enqueued between the program's own kernels. */
#include "norms.h"

#include "common.h"

static void check(anynorm_status status)
{
    if (status != ANYNORM_OK)
        fail("anynorm: %s: %s", anynorm_status_name(status), anynorm_message());
}

static anynorm_plan *make_plan(anynorm_device *device, const struct config *config, uint32_t flags,
                               double eps)
{
    anynorm_spec spec = {.columns = config->hidden, .flags = flags, .statistic.eps = eps};
    anynorm_plan *plan;

    check(anynorm_plan_create(device, &spec, NULL, &plan));
    return plan;
}

struct norms norms_create(const struct device *device, const struct weights *weights,
                          const struct config *config)
{
    const uint32_t affine = ANYNORM_WEIGHT | ANYNORM_BIAS;
    struct norms norms = {.device = device, .weights_memory = weights->memory};

    check(anynorm_opencl_device_wrap(device->context, device->id, &norms.wrapped));
    check(anynorm_opencl_buffer_wrap(norms.wrapped, weights->memory, &norms.weights));
    norms.embedding = make_plan(norms.wrapped, config, affine | ANYNORM_PRE_BIAS, config->eps);
    norms.fused =
        make_plan(norms.wrapped, config, affine | ANYNORM_PRE_BIAS | ANYNORM_RESIDUAL, config->eps);
    norms.plain = make_plan(norms.wrapped, config, affine, config->eps);
    norms.l2 =
        make_plan(norms.wrapped, config, ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_FLOOR, 1e-12);
    return norms;
}

void norms_destroy(struct norms *norms)
{
    anynorm_plan_destroy(norms->embedding);
    anynorm_plan_destroy(norms->fused);
    anynorm_plan_destroy(norms->plain);
    anynorm_plan_destroy(norms->l2);
    anynorm_device_close(norms->wrapped);
}

static anynorm_buffer wrap(const struct norms *norms, cl_mem memory)
{
    anynorm_buffer buffer;

    check(anynorm_opencl_buffer_wrap(norms->wrapped, memory, &buffer));
    return buffer;
}

static anynorm_buffer parameter(const struct norms *norms, cl_ulong at)
{
    anynorm_buffer buffer = norms->weights;

    buffer.offset = at * sizeof(float);
    return buffer;
}

static void enqueue(struct norms *norms, struct stopwatch *watch, anynorm_plan *plan,
                    const anynorm_tensors *tensors, size_t rows)
{
    check(anynorm_opencl_enqueue(plan, norms->device->queue, tensors, rows, 0, NULL,
                                 &watch->of_norms[watch->count++]));
}

void norms_embedding(struct norms *norms, struct stopwatch *watch, const struct affine *affine,
                     cl_mem x, size_t rows)
{
    anynorm_tensors tensors = {.x = wrap(norms, x),
                               .y = wrap(norms, x),
                               .pre_bias = parameter(norms, affine->pre_bias),
                               .weight = parameter(norms, affine->weight),
                               .bias = parameter(norms, affine->bias)};

    enqueue(norms, watch, norms->embedding, &tensors, rows);
}

void norms_residual(struct norms *norms, struct stopwatch *watch, const struct affine *affine,
                    bool fused, cl_mem sublayer, cl_mem x, size_t rows, size_t columns)
{
    anynorm_tensors tensors = {.x = wrap(norms, sublayer),
                               .y = wrap(norms, x),
                               .weight = parameter(norms, affine->weight),
                               .bias = parameter(norms, affine->bias)};

    if (fused) {
        tensors.pre_bias = parameter(norms, affine->pre_bias);
        tensors.residual = tensors.y;
        enqueue(norms, watch, norms->fused, &tensors, rows);
        return;
    }
    device_launch(norms->device, KERNEL_ADD, rows * columns, 4,
                  (cl_mem[]){norms->weights_memory, sublayer, x, sublayer}, 2,
                  (cl_ulong[]){affine->pre_bias, columns}, &watch->of_norms[watch->count++]);
    enqueue(norms, watch, norms->plain, &tensors, rows);
}

void norms_l2(struct norms *norms, struct stopwatch *watch, cl_mem x, size_t rows)
{
    anynorm_tensors tensors = {.x = wrap(norms, x), .y = wrap(norms, x)};

    enqueue(norms, watch, norms->l2, &tensors, rows);
}
