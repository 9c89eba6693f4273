#include "tables.h"

#include "output.h"

static void write_curves(const struct study *study)
{
    struct output output;
    output_open(&output, study->options->folder, "curves.csv");
    fprintf(output.file, "placement,warmup,step,rate,loss,gradient_norm\n");
    for (int i = 0; i < study->curve_count; i++) {
        const struct curve *curve = &study->curves[i];
        for (int k = 0; k < curve->steps; k++)
            fprintf(output.file, "%s,%d,%d,%.9g,%.17g,%.17g\n", placement_names[curve->placement],
                    curve->warmup, k + 1, curve->rates[k], curve->losses[k], curve->norms[k]);
    }
    output_close(&output);
}

static void write_profile(FILE *file, const struct profile *profile)
{
    const struct layout *layout = &profile->layout;
    const char *placement = placement_names[layout->placement];
    for (int i = 0; i < layout->count; i++) {
        const struct tensor *tensor = &layout->tensors[i];
        if (tensor->layer >= 0)
            fprintf(file, "%s,%d,%s,%.9g\n", placement, tensor->layer + 1, tensor->name,
                    profile->tensors[i]);
        else
            fprintf(file, "%s,,%s,%.9g\n", placement, tensor->name, profile->tensors[i]);
    }
    for (int l = 0; l < layout->sizes.layers; l++)
        fprintf(file, "%s,%d,all,%.9g\n", placement, l + 1, profile->layers[l]);
}

static void write_gradients(const struct study *study)
{
    struct output output;
    output_open(&output, study->options->folder, "gradients.csv");
    fprintf(output.file, "placement,layer,tensor,gradient_norm\n");
    for (int i = 0; i < PLACEMENTS; i++) {
        if (study->options->placements[i])
            write_profile(output.file, &study->profiles[i]);
    }
    output_close(&output);
}

void tables_write(const struct study *study)
{
    write_curves(study);
    write_gradients(study);
}
