#include "tables.h"

void tables_write_curves(FILE *file, const struct study *study)
{
    fprintf(file, "placement,warmup,step,rate,loss,gradient_norm\n");
    for (int i = 0; i < study->curve_count; i++) {
        const struct curve *curve = &study->curves[i];
        for (int k = 0; k < curve->steps; k++)
            fprintf(file, "%s,%d,%d,%.9g,%.17g,%.17g\n", placement_names[curve->placement],
                    curve->warmup, k + 1, curve->rates[k], curve->losses[k], curve->norms[k]);
    }
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

void tables_write_gradients(FILE *file, const struct study *study)
{
    fprintf(file, "placement,layer,tensor,gradient_norm\n");
    for (int i = 0; i < PLACEMENTS; i++) {
        if (study->options->placements[i])
            write_profile(file, &study->profiles[i]);
    }
}
