/* What is measured: the gradients of models that have learned nothing yet, and how they learn. */
#ifndef TRAIN_STUDY_H
#define TRAIN_STUDY_H

#include "model.h"
#include "options.h"

/* Norms of gradients before the first step, means over some initial values and batches. */
struct profile {
    struct layout layout;
    double tensors[MOST_TENSORS];
    double layers[MOST_LAYERS]; /* of all tensors of a layer together */
};

/* One training run, an element for each step. */
struct curve {
    enum placement placement;
    int warmup, steps;
    double *rates, *losses, *norms; /* norms: of all gradients together */
};

enum { MOST_CURVES = PLACEMENTS * MOST_WARMUPS };

struct study {
    const struct options *options;
    char device[512];
    size_t parameters; /* of a trained model, of that with the most norms */
    struct profile profiles[PLACEMENTS];
    struct curve curves[MOST_CURVES];
    int curve_count;
};

/* Prints a line for each run when it is done. */
void study_run(struct study *study, struct machine *machine, const struct options *options);
void study_free(struct study *study);
/* The mean loss of a run's last steps, a tenth of all. */
double curve_end(const struct curve *curve);

#endif
