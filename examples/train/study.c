#include "study.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "batch.h"

/* Runs of one seed see the same text, which no run sees twice, so that the loss is always that of
 * text the model does not know. */
#define PROFILE_SEEDS 4

struct workshop {
    struct model model;
    struct text text;
    int *characters, *targets;
    float *numbers; /* parameters or gradients on the host */
};

static void *memory(size_t count, size_t size)
{
    void *result = calloc(count, size);
    if (!result)
        machine_check(CL_OUT_OF_HOST_MEMORY, "calloc");
    return result;
}

static struct workshop *begin(struct machine *machine, const struct sizes *sizes,
                              enum placement placement)
{
    struct workshop *shop = memory(1, sizeof(*shop));
    model_open(&shop->model, machine, sizes, placement);
    shop->characters = memory((size_t)shop->model.rows, sizeof(int));
    shop->targets = memory((size_t)shop->model.rows, sizeof(int));
    shop->numbers = memory(shop->model.layout.numbers, sizeof(float));
    return shop;
}

static void finish(struct workshop *shop)
{
    model_close(&shop->model);
    free(shop->characters);
    free(shop->targets);
    free(shop->numbers);
    free(shop);
}

static void restart(struct workshop *shop, uint64_t seed)
{
    layout_initialize(&shop->model.layout, seed, shop->numbers);
    model_set(&shop->model, shop->numbers);
    text_begin(&shop->text, seed);
}

/* The loss of the next batch; its gradients are left in shop->numbers. */
static double next_loss(struct workshop *shop)
{
    struct model *model = &shop->model;
    batch_fill(&model->layout.sizes, &shop->text, shop->characters, shop->targets);
    model_set_batch(model, shop->characters, shop->targets);
    model_forward(model);
    double loss = model_backward(model);
    machine_read(model->machine, model->gradients, model->layout.numbers * sizeof(float),
                 shop->numbers);
    return loss;
}

static double squares(const float *numbers, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)numbers[i] * (double)numbers[i];
    return sum;
}

static void add_profile(const struct workshop *shop, struct profile *profile)
{
    double layers[MOST_LAYERS] = {0};
    for (int i = 0; i < profile->layout.count; i++) {
        const struct tensor *tensor = &profile->layout.tensors[i];
        double sum = squares(shop->numbers + tensor->offset, tensor->rows * tensor->columns);
        profile->tensors[i] += sqrt(sum) / PROFILE_SEEDS;
        if (tensor->layer >= 0)
            layers[tensor->layer] += sum;
    }
    for (int l = 0; l < profile->layout.sizes.layers; l++)
        profile->layers[l] += sqrt(layers[l]) / PROFILE_SEEDS;
}

static void make_profile(struct study *study, struct machine *machine, enum placement placement)
{
    struct profile *profile = &study->profiles[placement];
    struct sizes sizes = study->options->sizes;
    sizes.layers = study->options->deep;
    struct workshop *shop = begin(machine, &sizes, placement);
    profile->layout = shop->model.layout;
    for (int i = 0; i < PROFILE_SEEDS; i++) {
        restart(shop, study->options->seed + (uint64_t)i);
        (void)next_loss(shop);
        add_profile(shop, profile);
    }
    finish(shop);
    printf("%s, %d layers: gradient norm %.3g in the first, %.3g in the last\n",
           placement_names[placement], sizes.layers, profile->layers[0],
           profile->layers[sizes.layers - 1]);
    fflush(stdout);
}

static void train(struct workshop *shop, const struct options *options, struct curve *curve)
{
    restart(shop, options->seed);
    for (int i = 0; i < curve->steps; i++) {
        double part = i + 1 < curve->warmup ? (double)(i + 1) / curve->warmup : 1;
        curve->rates[i] = options->rate * part;
        curve->losses[i] = next_loss(shop);
        curve->norms[i] = sqrt(squares(shop->numbers, shop->model.layout.numbers));
        model_adam(&shop->model, curve->rates[i]);
    }
    printf("%s, warm-up %d: loss %.4f at first, %.4f at last\n", placement_names[curve->placement],
           curve->warmup, curve->losses[0], curve_end(curve));
    fflush(stdout);
}

static void make_curves(struct study *study, struct machine *machine, enum placement placement)
{
    const struct options *options = study->options;
    struct workshop *shop = begin(machine, &options->sizes, placement);
    size_t steps = (size_t)options->steps;
    for (int i = 0; i < options->warmup_count; i++) {
        struct curve *curve = &study->curves[study->curve_count++];
        *curve = (struct curve){.placement = placement,
                                .warmup = options->warmups[i],
                                .steps = options->steps,
                                .rates = memory(steps, sizeof(double)),
                                .losses = memory(steps, sizeof(double)),
                                .norms = memory(steps, sizeof(double))};
        train(shop, options, curve);
    }
    if (shop->model.layout.parameters > study->parameters)
        study->parameters = shop->model.layout.parameters;
    finish(shop);
}

void study_run(struct study *study, struct machine *machine, const struct options *options)
{
    *study = (struct study){.options = options};
    machine_describe(machine, study->device, sizeof(study->device));
    for (int i = 0; i < PLACEMENTS; i++) {
        if (options->placements[i])
            make_profile(study, machine, (enum placement)i);
    }
    for (int i = 0; i < PLACEMENTS; i++) {
        if (options->placements[i])
            make_curves(study, machine, (enum placement)i);
    }
}

void study_free(struct study *study)
{
    for (int i = 0; i < study->curve_count; i++) {
        free(study->curves[i].rates);
        free(study->curves[i].losses);
        free(study->curves[i].norms);
    }
}

double curve_end(const struct curve *curve)
{
    int count = curve->steps < 10 ? 1 : curve->steps / 10;
    double sum = 0;
    for (int i = curve->steps - count; i < curve->steps; i++)
        sum += curve->losses[i];
    return sum / count;
}
