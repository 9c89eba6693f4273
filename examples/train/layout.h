/* What a model is: its sizes, where its norms stand, and its parameters, which lie one after
 * another in one piece of memory. */
#ifndef TRAIN_LAYOUT_H
#define TRAIN_LAYOUT_H

#include <stddef.h>

enum placement { POST_NORM, PRE_NORM, RMS_NORM, NO_NORM, PLACEMENTS };
extern const char *const placement_names[PLACEMENTS];

struct sizes {
    int layers, width, heads, context, batch;
};

enum { MOST_LAYERS = 24, MOST_TENSORS = 8 + 12 * MOST_LAYERS };
/* A layer is two sub-layers, attention and perceptron. Point 0 of the residual stream is before
 * the first of them, point k after the k-th. */
enum { MOST_POINTS = 2 * MOST_LAYERS + 1 };
/* Tensors begin at multiples of this many numbers, so that each can be a sub-buffer. */
enum { TENSOR_ALIGNMENT = 128 };

enum role { EMBEDDING, MATRIX, NORM_WEIGHT, BIAS };

struct tensor {
    char name[24];
    enum role role;
    int layer; /* from 0; -1: of none */
    size_t rows, columns;
    size_t offset; /* numbers from the begin of all parameters */
};

/* Indices into layout.tensors, -1 for what the model does not have. */
struct layer {
    int qkv, project, expand, expand_bias, contract;
};
struct point {
    int branch_bias;  /* added to what the sub-layer before the point gives */
    int weight, bias; /* of the norm */
};

struct layout {
    struct sizes sizes;
    enum placement placement;
    int count;
    size_t numbers;    /* of all tensors, with the gaps between them */
    size_t parameters; /* without */
    struct tensor tensors[MOST_TENSORS];
    int embedding, positions, output;
    struct layer layers[MOST_LAYERS];
    struct point points[MOST_POINTS];
};

void layout_make(struct layout *layout, const struct sizes *sizes, enum placement placement);
int layout_points(const struct layout *layout);
/* Whether the norms stand on the branches, and the stream runs beside them. */
int layout_norm_first(const struct layout *layout);

/* Values to begin with, of layout.numbers numbers: matrices uniform with a variance of 1 over their
 * rows, so that what is multiplied by them keeps its own (Xavier's values, Glorot and Bengio 2010,
 * where a matrix is square); embeddings normal; the norms' weights 1, every bias 0. */
void layout_initialize(const struct layout *layout, unsigned long seed, float *values);

#endif
