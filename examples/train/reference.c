#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* Matrices of a row for each character. */
struct pass {
    const struct layout *layout;
    const double *values;
    int rows, width;
    double *stream, *normed, *branch, *wide;
};

static const double *tensor(const struct pass *pass, int index)
{
    return pass->values + pass->layout->tensors[index].offset;
}

static void multiply(const double *a, const double *b, double *c, int rows, int columns, int inner)
{
    for (int r = 0; r < rows; r++) {
        double *out = c + r * columns;
        memset(out, 0, (size_t)columns * sizeof(double));
        for (int k = 0; k < inner; k++) {
            for (int j = 0; j < columns; j++)
                out[j] += a[r * inner + k] * b[k * columns + j];
        }
    }
}

/* normed = the norm of a row of the stream at point k. */
static void normalize(const struct pass *pass, int k, const double *x, double *y)
{
    const struct point *point = &pass->layout->points[k];
    const double *weight = tensor(pass, point->weight);
    double mean = 0, squares = 0;
    if (point->bias >= 0) {
        for (int c = 0; c < pass->width; c++)
            mean += x[c] / pass->width;
    }
    for (int c = 0; c < pass->width; c++)
        squares += (x[c] - mean) * (x[c] - mean);
    double deviation = sqrt(squares / pass->width + 1e-5);
    for (int c = 0; c < pass->width; c++)
        y[c] = (x[c] - mean) / deviation * weight[c] +
               (point->bias >= 0 ? tensor(pass, point->bias)[c] : 0);
}

/* The stream with a branch added, and what the next branch begins with. */
static void arrive(struct pass *pass, int k)
{
    const struct point *point = &pass->layout->points[k];
    size_t bytes = (size_t)(pass->rows * pass->width) * sizeof(double);
    for (int i = 0; k > 0 && i < pass->rows * pass->width; i++)
        pass->stream[i] += pass->branch[i] + tensor(pass, point->branch_bias)[i % pass->width];
    if (point->weight < 0) {
        memcpy(pass->normed, pass->stream, bytes);
        return;
    }
    for (int r = 0; r < pass->rows; r++)
        normalize(pass, k, pass->stream + r * pass->width, pass->normed + r * pass->width);
    if (pass->layout->placement == POST_NORM)
        memcpy(pass->stream, pass->normed, bytes);
}

/* One character's share of one head: qkv of its sequence's begin, and its place t in it. */
static void attend_row(const double *qkv, int t, int width, int at, int size, double *y)
{
    const double *q = qkv + t * 3 * width + at;
    double scores[1024], sum = 0, most = -INFINITY;
    for (int j = 0; j <= t; j++) {
        const double *k = qkv + j * 3 * width + width + at;
        scores[j] = 0;
        for (int c = 0; c < size; c++)
            scores[j] += q[c] * k[c] / sqrt(size);
        most = fmax(most, scores[j]);
    }
    for (int j = 0; j <= t; j++)
        sum += scores[j] = exp(scores[j] - most);
    for (int c = 0; c < size; c++) {
        y[c] = 0;
        for (int j = 0; j <= t; j++)
            y[c] += scores[j] / sum * qkv[j * 3 * width + 2 * width + at + c];
    }
}

static void attend(struct pass *pass, const struct layer *layer)
{
    const struct sizes *sizes = &pass->layout->sizes;
    int width = pass->width, size = width / sizes->heads;
    double *qkv = pass->wide, *attended = pass->wide + 3 * pass->rows * width;
    multiply(pass->normed, tensor(pass, layer->qkv), qkv, pass->rows, 3 * width, width);
    for (int r = 0; r < pass->rows; r++) {
        int t = r % sizes->context;
        for (int at = 0; at < width; at += size)
            attend_row(qkv + (r - t) * 3 * width, t, width, at, size, attended + r * width + at);
    }
    multiply(attended, tensor(pass, layer->project), pass->branch, pass->rows, width, width);
}

static void perceive(struct pass *pass, const struct layer *layer)
{
    int width = pass->width;
    const double *bias = tensor(pass, layer->expand_bias);
    multiply(pass->normed, tensor(pass, layer->expand), pass->wide, pass->rows, 4 * width, width);
    for (int i = 0; i < pass->rows * 4 * width; i++) {
        double z = pass->wide[i] + bias[i % (4 * width)];
        pass->wide[i] = z * 0.5 * erfc(-z / sqrt(2));
    }
    multiply(pass->wide, tensor(pass, layer->contract), pass->branch, pass->rows, width, 4 * width);
}

static double cross_entropy(const double *logits, int target)
{
    double sum = 0;
    for (int c = 0; c < VOCABULARY; c++)
        sum += exp(logits[c]);
    return log(sum) - logits[target];
}

static double run(struct pass *pass, const int *characters, const int *targets)
{
    const struct layout *layout = pass->layout;
    int width = pass->width, context = layout->sizes.context;
    for (int i = 0; i < pass->rows * width; i++) {
        int r = i / width, c = i % width;
        pass->stream[i] = tensor(pass, layout->embedding)[characters[r] * width + c] +
                          tensor(pass, layout->positions)[r % context * width + c];
    }
    arrive(pass, 0);
    for (int l = 0; l < layout->sizes.layers; l++) {
        attend(pass, &layout->layers[l]);
        arrive(pass, 2 * l + 1);
        perceive(pass, &layout->layers[l]);
        arrive(pass, 2 * l + 2);
    }
    double *logits = pass->wide, loss = 0;
    multiply(pass->normed, tensor(pass, layout->output), logits, pass->rows, VOCABULARY, width);
    for (int r = 0; r < pass->rows; r++)
        loss += cross_entropy(logits + r * VOCABULARY, targets[r]) / pass->rows;
    return loss;
}

double reference_loss(const struct layout *layout, const double *values, const int *characters,
                      const int *targets)
{
    int rows = layout->sizes.batch * layout->sizes.context, width = layout->sizes.width;
    size_t numbers = (size_t)(rows * width);
    size_t wide = 4 * numbers > (size_t)rows * VOCABULARY ? 4 * numbers : (size_t)rows * VOCABULARY;
    double *memory = malloc((3 * numbers + wide) * sizeof(double));
    if (!memory) {
        fprintf(stderr, "train: out of memory\n");
        exit(EXIT_FAILURE);
    }
    struct pass pass = {layout,
                        values,
                        rows,
                        width,
                        memory,
                        memory + numbers,
                        memory + 2 * numbers,
                        memory + 3 * numbers};
    double loss = run(&pass, characters, targets);
    free(memory);
    return loss;
}
