#include "model.h"
#include "norms.h"
#include "text.h"

/* Ends a sub-layer: its branch is added to the stream, and normalized where there is a norm. */
static void arrive(struct model *model, int k)
{
    const struct point *point = &model->layout.points[k];
    int width = model->layout.sizes.width;
    if (point->weight >= 0) {
        norms_forward(model, k);
    } else if (k > 0) {
        machine_launch(
            model->machine, ADD, width, model->rows,
            &(struct arguments){.memory = {model->branch, model->values[point->branch_bias],
                                           model->points[k - 1].sum, model->points[k].sum},
                                .integers = {width}});
    }
}

static void attend(struct model *model, int l)
{
    struct machine *machine = model->machine;
    const struct sizes *sizes = &model->layout.sizes;
    const struct layer *layer = &model->layout.layers[l];
    const struct kept *kept = &model->layers[l];
    int rows = model->rows, width = sizes->width;
    machine_multiply(machine, PLAIN, rows, 3 * width, width, model_input(model, 2 * l),
                     model->values[layer->qkv], kept->qkv);
    machine_launch(
        machine, ATTEND, rows, sizes->heads,
        &(struct arguments){.memory = {kept->qkv, kept->weights, kept->attended},
                            .integers = {width / sizes->heads, sizes->heads, sizes->context}});
    machine_multiply(machine, PLAIN, rows, width, width, kept->attended,
                     model->values[layer->project], model->branch);
}

static void perceive(struct model *model, int l)
{
    struct machine *machine = model->machine;
    const struct layer *layer = &model->layout.layers[l];
    const struct kept *kept = &model->layers[l];
    int rows = model->rows, width = model->layout.sizes.width;
    machine_multiply(machine, PLAIN, rows, 4 * width, width, model_input(model, 2 * l + 1),
                     model->values[layer->expand], kept->expanded);
    machine_launch(machine, GELU, 4 * width, rows,
                   &(struct arguments){.memory = {kept->expanded, model->values[layer->expand_bias],
                                                  kept->activated},
                                       .integers = {4 * width}});
    machine_multiply(machine, PLAIN, rows, width, 4 * width, kept->activated,
                     model->values[layer->contract], model->branch);
}

void model_forward(struct model *model)
{
    const struct layout *layout = &model->layout;
    int width = layout->sizes.width, last = 2 * layout->sizes.layers;
    machine_launch(
        model->machine, EMBED, width, model->rows,
        &(struct arguments){.memory = {model->characters, model->values[layout->embedding],
                                       model->values[layout->positions], model->points[0].sum},
                            .integers = {width, layout->sizes.context}});
    arrive(model, 0);
    for (int l = 0; l < layout->sizes.layers; l++) {
        attend(model, l);
        arrive(model, 2 * l + 1);
        perceive(model, l);
        arrive(model, 2 * l + 2);
    }
    machine_multiply(model->machine, PLAIN, model->rows, VOCABULARY, width,
                     model_input(model, last), model->values[layout->output], model->logits);
}
