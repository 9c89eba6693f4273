/* Numbers at random that a seed alone decides. */
#ifndef TRAIN_RANDOM_H
#define TRAIN_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state; /* the seed, to begin with */
};

uint64_t random_bits(struct random *random);
int random_below(struct random *random, int bound);
double random_uniform(struct random *random); /* in [0, 1) */
double random_normal(struct random *random);

#endif
