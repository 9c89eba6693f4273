#include "page.h"

#include <math.h>

#include "chart.h"

static const char head[] =
    "<!doctype html><html lang=en><meta charset=utf-8>\n"
    "<meta name=viewport content='width=device-width, initial-scale=1'>\n"
    "<title>Where the norm stands</title>\n<style>\n"
    ":root { color-scheme: light dark; --paper: #fff; --ink: #1c2126; --faint: #d8dde2;\n"
    "  --a: #b3361e; --b: #1660a8; --c: #1e7a3c; --d: #7a5a00 }\n"
    "@media (prefers-color-scheme: dark) { :root { --paper: #15191d; --ink: #e3e7ea;\n"
    "  --faint: #394047; --a: #ff8c73; --b: #7ab8f5; --c: #74d393; --d: #e6c35c } }\n"
    "body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;\n"
    "  max-width: 60rem; margin: 0 auto; padding: 1rem }\n"
    "h1, h2 { line-height: 1.2 } figure { margin: 0 } figcaption span { white-space: nowrap }\n"
    ".charts { display: grid; gap: 1.5rem;\n"
    "  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)) }\n"
    "svg { width: 100%; height: auto; fill: currentColor; font-size: 12px }\n"
    "svg.key { width: 22px; height: 8px } .grid { stroke: var(--faint) }\n"
    ".line { fill: none; stroke-width: 2; stroke-linejoin: round }\n"
    ".post-norm { stroke: var(--a) } .pre-norm { stroke: var(--b) }\n"
    ".rms-norm { stroke: var(--c) } .no-norm { stroke: var(--d) }\n"
    ".bare { stroke-dasharray: 5 3; stroke-width: 1.5 }\n"
    ".scroll { overflow-x: auto } table { border-collapse: collapse }\n"
    "td, th { padding: .3rem .8rem .3rem 0; text-align: right; vertical-align: bottom;\n"
    "  border-bottom: 1px solid var(--faint) }\n"
    "td:first-child, th:first-child { text-align: left }\n</style>\n";

static void write_setup(FILE *file, const struct study *study)
{
    const struct options *options = study->options;
    const struct sizes *sizes = &options->sizes;
    fprintf(file,
            "<h1>Where the norm stands</h1>\n<p>Transformers on characters: %d layers of width %d, "
            "%d heads, sequences of %d, %d in a batch, up to %zu parameters. Adam with a rate of "
            "%g, reached in a straight line where there is warm-up, and kept. Seed %llu. "
            "Device: %s.</p>\n",
            sizes->layers, sizes->width, sizes->heads, sizes->context, sizes->batch,
            study->parameters, options->rate, (unsigned long long)options->seed, study->device);
}

/* One tensor's gradient in each layer. */
static void pick(const struct profile *profile, int index_of_layer(const struct layer *),
                 double *values)
{
    for (int l = 0; l < profile->layout.sizes.layers; l++)
        values[l] = profile->tensors[index_of_layer(&profile->layout.layers[l])];
}

static int contract_of(const struct layer *layer)
{
    return layer->contract;
}

/* The vertical axis reaches from the 1, 2 or 5 below all values to the one above. */
static void widen(struct chart *chart)
{
    static const double down[] = {1, 2, 5}, up[] = {2, 5, 10};
    double least = INFINITY, most = 0;
    for (int i = 0; i < chart->count; i++) {
        for (int k = 0; k < chart->series[i].count; k++) {
            double value = chart->series[i].values[k];
            if (isfinite(value) && value > 0) {
                least = fmin(least, value);
                most = fmax(most, value);
            }
        }
    }
    if (!(least <= most))
        least = most = 1;
    double low = pow(10, floor(log10(least))), high = pow(10, floor(log10(most)));
    int below = least >= 5 * low ? 2 : least >= 2 * low ? 1 : 0;
    int above = most < 2 * high ? 0 : most < 5 * high ? 1 : 2;
    chart->low = log10(low * down[below]);
    chart->high = log10(high * up[above]);
}

static void write_gradients(FILE *file, const struct study *study)
{
    static double contract[PLACEMENTS][MOST_LAYERS];
    struct series whole[PLACEMENTS], second[PLACEMENTS];
    int count = 0, layers = study->options->deep;
    for (int i = 0; i < PLACEMENTS; i++) {
        if (!study->options->placements[i])
            continue;
        const char *name = placement_names[i];
        pick(&study->profiles[i], contract_of, contract[i]);
        whole[count] = (struct series){study->profiles[i].layers, layers, name, name};
        second[count++] = (struct series){contract[i], layers, name, name};
    }
    struct chart charts[] = {
        {.title = "All of a layer", .series = whole},
        {.title = "The perceptron's second matrix", .series = second},
    };
    fprintf(file,
            "<h2>Gradients before the first step</h2>\n<p>Norms of the gradients of models with %d "
            "layers, means over initial values and batches of 4 seeds.</p>\n<div class=charts>\n",
            layers);
    for (int i = 0; i < 2; i++) {
        charts[i].across = "layer";
        charts[i].up = "gradient norm";
        charts[i].logarithmic = true;
        charts[i].count = count;
        widen(&charts[i]);
        chart_write(file, &charts[i]);
    }
    fprintf(file, "</div>\n");
}

/* All losses share an axis up to the largest, but no further than a bad guess of every character
 * costs: a run that diverges leaves the chart at the top. */
static double highest_loss(const struct study *study)
{
    double high = 1;
    for (int i = 0; i < study->curve_count; i++) {
        for (int k = 0; k < study->curves[i].steps; k++)
            high = fmax(high, study->curves[i].losses[k]);
    }
    return fmin(ceil(high), 6);
}

static void write_losses_of(FILE *file, const struct study *study, int placement, double high)
{
    struct series series[MOST_WARMUPS];
    char labels[MOST_WARMUPS][64], styles[MOST_WARMUPS][32];
    int count = 0;
    for (int i = 0; i < study->curve_count; i++) {
        const struct curve *curve = &study->curves[i];
        if ((int)curve->placement != placement)
            continue;
        snprintf(labels[count], sizeof(labels[count]), "warm-up of %d steps", curve->warmup);
        snprintf(styles[count], sizeof(styles[count]), "%s%s", placement_names[placement],
                 curve->warmup ? "" : " bare");
        series[count] = (struct series){curve->losses, curve->steps, styles[count],
                                        curve->warmup ? labels[count] : "no warm-up"};
        count++;
    }
    const struct chart chart = {.title = placement_names[placement],
                                .across = "step",
                                .up = "loss (nats)",
                                .high = high,
                                .series = series,
                                .count = count};
    chart_write(file, &chart);
}

static void write_losses(FILE *file, const struct study *study)
{
    double high = highest_loss(study);
    fprintf(file, "<h2>Loss, with and without warm-up</h2>\n<p>Of each step's batch, which is text "
                  "that the model has not seen.</p>\n<div class=charts>\n");
    for (int i = 0; i < PLACEMENTS; i++) {
        if (study->options->placements[i])
            write_losses_of(file, study, i, high);
    }
    fprintf(file, "</div>\n");
}

static void write_table(FILE *file, const struct study *study)
{
    fprintf(file, "<h2>In numbers</h2>\n<div class=scroll><table><tr><th>placement<th>gradient "
                  "norm, first layer<th>last layer<th>last / first<th>warm-up<th>loss of the last "
                  "tenth of the steps<th>largest gradient norm\n");
    for (int i = 0; i < study->curve_count; i++) {
        const struct curve *curve = &study->curves[i];
        const struct profile *profile = &study->profiles[curve->placement];
        double first = profile->layers[0], last = profile->layers[study->options->deep - 1];
        double largest = 0;
        for (int k = 0; k < curve->steps; k++)
            largest = curve->norms[k] <= largest ? largest : curve->norms[k]; /* a NaN stays */
        fprintf(file, "<tr><td>%s<td>%.3g<td>%.3g<td>%.2f<td>%d<td>%.3f<td>%.3g\n",
                placement_names[curve->placement], first, last, last / first, curve->warmup,
                curve_end(curve), largest);
    }
    fprintf(file, "</table></div>\n");
}

void page_write(FILE *file, const struct study *study)
{
    fputs(head, file);
    write_setup(file, study);
    write_gradients(file, study);
    write_losses(file, study);
    write_table(file, study);
    fprintf(file, "</html>\n");
}
