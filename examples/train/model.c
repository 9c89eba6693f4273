#include "model.h"

#include <stdlib.h>

#include "norms.h"
#include "text.h"

static cl_mem part(cl_mem memory, const struct tensor *tensor)
{
    cl_int code;
    cl_buffer_region region = {tensor->offset * sizeof(float),
                               tensor->rows * tensor->columns * sizeof(float)};
    cl_mem result =
        clCreateSubBuffer(memory, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    machine_check(code, "clCreateSubBuffer");
    return result;
}

static void open_parameters(struct model *model)
{
    struct machine *machine = model->machine;
    const struct layout *layout = &model->layout;
    model->parameters = machine_memory(machine, layout->numbers);
    model->gradients = machine_memory(machine, layout->numbers);
    model->first = machine_memory(machine, layout->numbers);
    model->second = machine_memory(machine, layout->numbers);
    for (int i = 0; i < layout->count; i++) {
        model->values[i] = part(model->parameters, &layout->tensors[i]);
        model->dvalues[i] = part(model->gradients, &layout->tensors[i]);
    }
}

static void open_point(struct model *model, int k)
{
    size_t rows = (size_t)model->rows, numbers = rows * (size_t)model->layout.sizes.width;
    struct activations *point = &model->points[k];
    point->sum = machine_memory(model->machine, numbers);
    if (model->layout.points[k].weight < 0)
        return;
    point->normed = machine_memory(model->machine, numbers);
    point->mean = machine_memory(model->machine, rows);
    point->rstd = machine_memory(model->machine, rows);
}

static void open_layer(struct model *model, struct kept *layer)
{
    const struct sizes *sizes = &model->layout.sizes;
    size_t rows = (size_t)model->rows, numbers = rows * (size_t)sizes->width;
    layer->qkv = machine_memory(model->machine, 3 * numbers);
    layer->weights = machine_memory(model->machine, rows * (size_t)(sizes->heads * sizes->context));
    layer->attended = machine_memory(model->machine, numbers);
    layer->expanded = machine_memory(model->machine, 4 * numbers);
    layer->activated = machine_memory(model->machine, 4 * numbers);
}

void model_open(struct model *model, struct machine *machine, const struct sizes *sizes,
                enum placement placement)
{
    *model = (struct model){.machine = machine, .rows = sizes->batch * sizes->context};
    layout_make(&model->layout, sizes, placement);
    size_t rows = (size_t)model->rows, numbers = rows * (size_t)sizes->width;
    open_parameters(model);
    for (int k = 0; k < layout_points(&model->layout); k++)
        open_point(model, k);
    for (int l = 0; l < sizes->layers; l++)
        open_layer(model, &model->layers[l]);
    model->characters = machine_memory(machine, rows);
    model->targets = machine_memory(machine, rows);
    model->logits = machine_memory(machine, rows * VOCABULARY);
    model->losses = machine_memory(machine, rows);
    model->branch = machine_memory(machine, numbers);
    model->dstream = machine_memory(machine, numbers);
    model->dqkv = machine_memory(machine, 3 * numbers);
    model->dscores = machine_memory(machine, rows * (size_t)(sizes->heads * sizes->context));
    model->dwide = machine_memory(machine, 4 * numbers);
    norms_open(model);
}

static void release(const cl_mem *memory, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memory[i])
            clReleaseMemObject(memory[i]);
    }
}

void model_close(struct model *model)
{
    norms_close(model);
    for (int k = 0; k < MOST_POINTS; k++) {
        const struct activations *point = &model->points[k];
        release((cl_mem[]){point->sum, point->normed, point->mean, point->rstd}, 4);
    }
    for (int l = 0; l < MOST_LAYERS; l++) {
        const struct kept *layer = &model->layers[l];
        release((cl_mem[]){layer->qkv, layer->weights, layer->attended, layer->expanded,
                           layer->activated},
                5);
    }
    release((cl_mem[]){model->characters, model->targets, model->logits, model->losses,
                       model->branch, model->dstream, model->dqkv, model->dscores, model->dwide,
                       model->workspace},
            10);
    release(model->values, MOST_TENSORS);
    release(model->dvalues, MOST_TENSORS);
    release((cl_mem[]){model->parameters, model->gradients, model->first, model->second}, 4);
}

void model_set(struct model *model, const float *values)
{
    size_t bytes = model->layout.numbers * sizeof(float);
    float *zeros = calloc(1, bytes);
    if (!zeros)
        machine_check(CL_OUT_OF_HOST_MEMORY, "calloc");
    machine_write(model->machine, model->parameters, bytes, values);
    machine_write(model->machine, model->gradients, bytes, zeros); /* the gaps, for good */
    machine_write(model->machine, model->first, bytes, zeros);
    machine_write(model->machine, model->second, bytes, zeros);
    free(zeros);
    model->step = 0;
}

void model_set_batch(struct model *model, const int *characters, const int *targets)
{
    size_t bytes = (size_t)model->rows * sizeof(cl_int);
    machine_write(model->machine, model->characters, bytes, characters);
    machine_write(model->machine, model->targets, bytes, targets);
}

cl_mem model_input(const struct model *model, int point)
{
    const struct activations *at = &model->points[point];
    return at->normed ? at->normed : at->sum;
}
