/* A model on the device: parameters, their gradients, and what a step leaves between its parts. */
#ifndef TRAIN_MODEL_H
#define TRAIN_MODEL_H

#include "layout.h"
#include "machine.h"

/* What a point of the residual stream keeps for the way back. */
struct activations {
    cl_mem sum;    /* the stream: the branch added to what came before */
    cl_mem normed; /* of points that have a norm */
    cl_mem mean, rstd;
};

/* The same of a layer's two sub-layers. */
struct kept {
    cl_mem qkv, weights, attended, expanded, activated;
};

/* Norms differ by what goes into them: a branch beside the stream, and on the way back the
 * stream's own gradient. */
struct norm_plans {
    anynorm_plan *forward, *backward;
};

struct model {
    struct machine *machine;
    struct layout layout;
    int rows;                                           /* characters of a batch */
    cl_mem parameters, gradients, first, second;        /* Adam's moments are the last two */
    cl_mem values[MOST_TENSORS], dvalues[MOST_TENSORS]; /* parts of the first two */
    cl_mem characters, targets, logits, losses;
    struct activations points[MOST_POINTS];
    struct kept layers[MOST_LAYERS];
    cl_mem branch;               /* what a sub-layer gives, and the gradient of what it takes */
    cl_mem dstream;              /* gradient of the residual stream where the way back stands */
    cl_mem dqkv, dscores, dwide; /* dwide: rows of the perceptron's width */
    cl_mem workspace;            /* anynorm's */
    struct norm_plans begin, middle, end; /* see norms.c */
    int step;                             /* that Adam has taken */
};

void model_open(struct model *model, struct machine *machine, const struct sizes *sizes,
                enum placement placement);
void model_close(struct model *model);
void model_set(struct model *model, const float *values); /* and forgets the steps taken */
/* Characters and their followers, model.rows of each. */
void model_set_batch(struct model *model, const int *characters, const int *targets);

/* What the sub-layer behind a point takes. */
cl_mem model_input(const struct model *model, int point);

/* The way to the logits; and, back, to the gradients of all parameters. backward returns the mean
 * loss, and needs the forward pass of the same batch before it. */
void model_forward(struct model *model);
double model_backward(struct model *model);
void model_adam(struct model *model, double rate);

#endif
