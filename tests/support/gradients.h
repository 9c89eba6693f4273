/* Gradients against the reference: check_against_oracle's part for plans that find them. */
#ifndef AN_TESTS_GRADIENTS_H
#define AN_TESTS_GRADIENTS_H

#include "support.h"

/* What docs/numerics.md says, in units of 2^-23 (2^-52 in f64): of dx, of |rstd * g| * max(1, |n|),
 * the largest of its row; of sums over rows, of the root of the sum of the squares of their terms,
 * or of the sum if it is more. */
#define GRADIENT_BOUND 8.0

/* As check_against_oracle; in worst[tensor] the largest error so far, in units. */
void check_gradients(const struct problem *problem, const struct images *before,
                     const struct images *after, const char *label, double worst[AN_TENSOR_COUNT]);

/* Puts what the forward pass leaves where gradients read it: mean, rstd, and the sum. */
void make_saved(const struct problem *problem, struct images *images);

#endif
