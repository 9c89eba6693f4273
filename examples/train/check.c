#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "batch.h"
#include "model.h"
#include "random.h"
#include "reference.h"

static const struct sizes small = {.layers = 2, .width = 16, .heads = 2, .context = 5, .batch = 2};
enum { ROWS = 10 };

/* Half the distance of two losses. What the difference leaves out is of the order of its square,
 * what the subtraction loses of 2^-53 over it: both are below 1e-7 of a gradient. */
static const double step = 1e-4;
/* A gradient's largest error beside the tensor's largest gradient: f32 has 2^-24 = 6e-8 at each of
 * some hundred operations in a row. */
static const double bound = 1e-5;

struct sample {
    const struct layout *layout;
    int characters[ROWS], targets[ROWS];
    double *values;
    float *rounded, *gradients; /* values as the device has them; what it gives */
};

/* Norms' weights that are all 1, and biases that are all 0, would hide what is wrong about them. */
static void make_values(struct sample *sample)
{
    struct random random = {7};
    layout_initialize(sample->layout, 3, sample->rounded);
    for (int i = 0; i < sample->layout->count; i++) {
        const struct tensor *tensor = &sample->layout->tensors[i];
        for (size_t k = 0; k < tensor->rows * tensor->columns; k++)
            sample->rounded[tensor->offset + k] += (float)(0.2 * random_normal(&random));
    }
    for (size_t i = 0; i < sample->layout->numbers; i++)
        sample->values[i] = (double)sample->rounded[i];
}

static double loss_of(const struct sample *sample)
{
    return reference_loss(sample->layout, sample->values, sample->characters, sample->targets);
}

static double difference(const struct sample *sample, size_t i)
{
    double value = sample->values[i];
    sample->values[i] = value + step;
    double above = loss_of(sample);
    sample->values[i] = value - step;
    double below = loss_of(sample);
    sample->values[i] = value;
    return (above - below) / (2 * step);
}

static int report(const struct layout *layout, int layer, const char *name, double error)
{
    int good = error <= bound; /* no NaN is */
    char place[16] = "-";
    if (layer >= 0)
        snprintf(place, sizeof(place), "%d", layer);
    printf("%s layer %s %s: %.1e%s\n", placement_names[layout->placement], place, name, error,
           good ? "" : " OUT OF BOUNDS");
    return !good;
}

static int check_tensor(const struct sample *sample, const struct tensor *tensor)
{
    double error = 0, most = 0;
    for (size_t i = 0; i < tensor->rows * tensor->columns; i++) {
        double expected = difference(sample, tensor->offset + i);
        double off = fabs((double)sample->gradients[tensor->offset + i] - expected);
        most = fmax(most, fabs(expected));
        error = off <= error ? error : off; /* a NaN stays */
    }
    return report(sample->layout, tensor->layer, tensor->name, error / most);
}

static void *memory(size_t bytes)
{
    void *result = calloc(1, bytes);
    if (!result)
        machine_check(CL_OUT_OF_HOST_MEMORY, "calloc");
    return result;
}

static int check_placement(struct machine *machine, enum placement placement)
{
    static struct model model; /* larger than some stacks */
    struct text text;
    model_open(&model, machine, &small, placement);
    const struct layout *layout = &model.layout;
    struct sample sample = {.layout = layout,
                            .values = memory(layout->numbers * sizeof(double)),
                            .rounded = memory(layout->numbers * sizeof(float)),
                            .gradients = memory(layout->numbers * sizeof(float))};
    make_values(&sample);
    text_begin(&text, 5);
    batch_fill(&small, &text, sample.characters, sample.targets);
    model_set(&model, sample.rounded);
    model_set_batch(&model, sample.characters, sample.targets);
    model_forward(&model);
    double loss = model_backward(&model), expected = loss_of(&sample);
    machine_read(machine, model.gradients, layout->numbers * sizeof(float), sample.gradients);
    int bad = report(layout, -1, "loss", fabs(loss - expected) / expected);
    for (int i = 0; i < layout->count; i++)
        bad += check_tensor(&sample, &layout->tensors[i]);
    free(sample.values);
    free(sample.rounded);
    free(sample.gradients);
    model_close(&model);
    return bad;
}

int check_gradients(struct machine *machine)
{
    int bad = 0;
    for (int i = 0; i < PLACEMENTS; i++)
        bad += check_placement(machine, (enum placement)i);
    return bad;
}
