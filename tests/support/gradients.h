/* Gradients against the reference: check_against_oracle's part for plans that find them. */
#ifndef AN_TESTS_GRADIENTS_H
#define AN_TESTS_GRADIENTS_H

#include "cli/verify/gradient_bounds.h"
#include "support.h"

/* As check_against_oracle; in worst[tensor] the largest error so far, in units. */
void check_gradients(const struct problem *problem, const struct images *before,
                     const struct images *after, const char *label, double worst[AN_TENSOR_COUNT]);

/* Puts what the forward pass leaves where gradients read it: mean, rstd, and the sum. */
void make_saved(const struct problem *problem, struct images *images);

#endif
