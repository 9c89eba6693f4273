#include "model.h"

#include <stdlib.h>

#include "norms.h"
#include "text.h"

/* c = a b of the forward pass: the gradients of b and, into `da`, of a. */
static void unmultiply(struct model *model, int flags, int columns, int inner, cl_mem a, int b,
                       cl_mem dc, cl_mem da)
{
    machine_multiply(model->machine, A_TRANSPOSED, inner, columns, model->rows, a, dc,
                     model->dvalues[b]);
    machine_multiply(model->machine, B_TRANSPOSED | flags, model->rows, inner, columns, dc,
                     model->values[b], da);
}

/* As unmultiply, where a is what the sub-layer behind point k takes. With the norm first its
 * gradient has that norm to go through; else it is the stream's, and is added to that. */
static void leave(struct model *model, int k, int columns, int b, cl_mem dc)
{
    int first = layout_norm_first(&model->layout);
    unmultiply(model, first ? PLAIN : ADD_TO_C, columns, model->layout.sizes.width,
               model_input(model, k), b, dc, first ? model->branch : model->dstream);
}

static void sum_columns(struct model *model, cl_mem x, int columns, int tensor)
{
    machine_launch(model->machine, SUM_COLUMNS, columns, 1,
                   &(struct arguments){.memory = {x, model->dvalues[tensor]},
                                       .integers = {columns, model->rows}});
}

/* From here on dstream is the gradient of point k's sum. */
static void depart(struct model *model, int k)
{
    const struct point *point = &model->layout.points[k];
    if (point->weight >= 0)
        norms_backward(model, k);
    else if (k > 0)
        sum_columns(model, model->dstream, model->layout.sizes.width, point->branch_bias);
}

static void attend_back(struct model *model, int l)
{
    const struct sizes *sizes = &model->layout.sizes;
    const struct layer *layer = &model->layout.layers[l];
    const struct kept *kept = &model->layers[l];
    int width = sizes->width;
    cl_mem dattended = model->branch; /* nobody needs the branch any more */
    unmultiply(model, PLAIN, width, width, kept->attended, layer->project, model->dstream,
               dattended);
    const struct arguments arguments = {
        .memory = {kept->qkv, kept->weights, dattended, model->dscores, model->dqkv},
        .integers = {width / sizes->heads, sizes->heads, sizes->context}};
    machine_launch(model->machine, ATTEND_GRADIENT_QUERIES, model->rows, sizes->heads, &arguments);
    machine_launch(model->machine, ATTEND_GRADIENT_KEYS, model->rows, sizes->heads, &arguments);
    leave(model, 2 * l, 3 * width, layer->qkv, model->dqkv);
}

static void perceive_back(struct model *model, int l)
{
    const struct layer *layer = &model->layout.layers[l];
    const struct kept *kept = &model->layers[l];
    int width = model->layout.sizes.width;
    unmultiply(model, PLAIN, width, 4 * width, kept->activated, layer->contract, model->dstream,
               model->dwide);
    machine_launch(model->machine, GELU_GRADIENT, 4 * width, model->rows,
                   &(struct arguments){
                       .memory = {kept->expanded, model->values[layer->expand_bias], model->dwide},
                       .integers = {4 * width}});
    sum_columns(model, model->dwide, 4 * width, layer->expand_bias);
    leave(model, 2 * l + 1, 4 * width, layer->expand, model->dwide);
}

static void embed_back(struct model *model)
{
    const struct layout *layout = &model->layout;
    int width = layout->sizes.width, context = layout->sizes.context;
    machine_launch(model->machine, EMBED_GRADIENT, width, VOCABULARY,
                   &(struct arguments){.memory = {model->characters, model->dstream,
                                                  model->dvalues[layout->embedding]},
                                       .integers = {width, model->rows}});
    machine_launch(
        model->machine, POSITIONS_GRADIENT, width, context,
        &(struct arguments){.memory = {model->dstream, model->dvalues[layout->positions]},
                            .integers = {width, context, model->rows}});
}

static double mean_loss(struct model *model)
{
    float *losses = malloc((size_t)model->rows * sizeof(float));
    double sum = 0;
    if (!losses)
        machine_check(CL_OUT_OF_HOST_MEMORY, "malloc");
    machine_read(model->machine, model->losses, (size_t)model->rows * sizeof(float), losses);
    for (int r = 0; r < model->rows; r++)
        sum += (double)losses[r];
    free(losses);
    return sum / model->rows;
}

double model_backward(struct model *model)
{
    const struct layout *layout = &model->layout;
    int last = 2 * layout->sizes.layers;
    machine_launch(model->machine, CROSS_ENTROPY, model->rows, 1,
                   &(struct arguments){.memory = {model->targets, model->logits, model->losses},
                                       .integers = {VOCABULARY, model->rows}});
    cl_mem begin = layout_norm_first(layout) ? model->branch : model->dstream;
    unmultiply(model, PLAIN, VOCABULARY, layout->sizes.width, model_input(model, last),
               layout->output, model->logits, begin);
    depart(model, last);
    for (int l = layout->sizes.layers - 1; l >= 0; l--) {
        perceive_back(model, l);
        depart(model, 2 * l + 1);
        attend_back(model, l);
        depart(model, 2 * l);
    }
    embed_back(model);
    return mean_loss(model);
}
