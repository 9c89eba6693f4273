#include "layout.h"

#include <math.h>
#include <stdio.h>

#include "random.h"
#include "text.h"

const char *const placement_names[PLACEMENTS] = {"post-norm", "pre-norm", "rms-norm", "no-norm"};

static int add(struct layout *layout, const char *name, enum role role, int layer, int rows,
               int columns)
{
    struct tensor *tensor = &layout->tensors[layout->count];
    *tensor = (struct tensor){.role = role,
                              .layer = layer,
                              .rows = (size_t)rows,
                              .columns = (size_t)columns,
                              .offset = layout->numbers};
    snprintf(tensor->name, sizeof(tensor->name), "%s", name);
    size_t numbers = tensor->rows * tensor->columns;
    layout->parameters += numbers;
    layout->numbers += (numbers + TENSOR_ALIGNMENT - 1) / TENSOR_ALIGNMENT * TENSOR_ALIGNMENT;
    return layout->count++;
}

/* The norm at a point is the attention's, the perceptron's, or, of neither, the last one. */
static void add_norm(struct layout *layout, int k, int layer, const char *whose)
{
    int width = layout->sizes.width;
    char name[24];
    struct point *point = &layout->points[k];
    *point = (struct point){-1, -1, -1};
    if (layout->placement == NO_NORM || (layout->placement == POST_NORM && k == 0))
        return;
    snprintf(name, sizeof(name), "%snorm_weight", whose);
    point->weight = add(layout, name, NORM_WEIGHT, layer, 1, width);
    snprintf(name, sizeof(name), "%snorm_bias", whose);
    if (layout->placement != RMS_NORM)
        point->bias = add(layout, name, BIAS, layer, 1, width);
}

static void add_layer(struct layout *layout, int l)
{
    int width = layout->sizes.width, first = layout_norm_first(layout);
    struct layer *layer = &layout->layers[l];
    layer->qkv = add(layout, "qkv", MATRIX, l, width, 3 * width);
    layer->project = add(layout, "project", MATRIX, l, width, width);
    add_norm(layout, 2 * l + 1, l, first ? "perceptron_" : "attention_");
    layout->points[2 * l + 1].branch_bias = add(layout, "project_bias", BIAS, l, 1, width);
    layer->expand = add(layout, "expand", MATRIX, l, width, 4 * width);
    layer->expand_bias = add(layout, "expand_bias", BIAS, l, 1, 4 * width);
    layer->contract = add(layout, "contract", MATRIX, l, 4 * width, width);
    if (!first)
        add_norm(layout, 2 * l + 2, l, "perceptron_");
    else if (l == layout->sizes.layers - 1)
        add_norm(layout, 2 * l + 2, -1, "");
    else
        add_norm(layout, 2 * l + 2, l + 1, "attention_");
    layout->points[2 * l + 2].branch_bias = add(layout, "contract_bias", BIAS, l, 1, width);
}

void layout_make(struct layout *layout, const struct sizes *sizes, enum placement placement)
{
    *layout = (struct layout){.sizes = *sizes, .placement = placement};
    layout->embedding = add(layout, "embedding", EMBEDDING, -1, VOCABULARY, sizes->width);
    layout->positions = add(layout, "positions", EMBEDDING, -1, sizes->context, sizes->width);
    add_norm(layout, 0, 0, "attention_");
    for (int l = 0; l < sizes->layers; l++)
        add_layer(layout, l);
    layout->output = add(layout, "output", MATRIX, -1, sizes->width, VOCABULARY);
}

int layout_points(const struct layout *layout)
{
    return 2 * layout->sizes.layers + 1;
}

int layout_norm_first(const struct layout *layout)
{
    return layout->placement == PRE_NORM || layout->placement == RMS_NORM;
}

static double initial(const struct tensor *tensor, struct random *random)
{
    switch (tensor->role) {
    case EMBEDDING: /* two of them are added to a variance of 1 */
        return random_normal(random) * sqrt(0.5);
    case MATRIX:
        return (2 * random_uniform(random) - 1) * sqrt(3 / (double)tensor->rows);
    case NORM_WEIGHT:
        return 1;
    default:
        return 0;
    }
}

void layout_initialize(const struct layout *layout, unsigned long seed, float *values)
{
    struct random random = {seed};
    for (size_t i = 0; i < layout->numbers; i++)
        values[i] = 0;
    for (int i = 0; i < layout->count; i++) {
        const struct tensor *tensor = &layout->tensors[i];
        for (size_t k = 0; k < tensor->rows * tensor->columns; k++)
            values[tensor->offset + k] = (float)initial(tensor, &random);
    }
}
