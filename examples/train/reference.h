/* The forward pass once more, in double on the host, with nothing of the device's in it. */
#ifndef TRAIN_REFERENCE_H
#define TRAIN_REFERENCE_H

#include "layout.h"

/* The mean loss of a batch, with layout.numbers parameters. */
double reference_loss(const struct layout *layout, const double *values, const int *characters,
                      const int *targets);

#endif
