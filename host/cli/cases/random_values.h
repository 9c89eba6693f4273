/* Made data: the same in every run, like what a model normalizes. */
#ifndef ANYNORM_CLI_RANDOM_VALUES_H
#define ANYNORM_CLI_RANDOM_VALUES_H

#include <anynorm/anynorm.h>

#include <stdint.h>

/* A state to begin with, to which a little may be added. */
#define RANDOM_SEED UINT64_C(88172645463325252)

/* Evenly from 0 up to 1. */
double random_uniform(uint64_t *state);

/* `count` values within 1 of `middle`, with outliers, as activations have them: zeros would flatter
 * the memory and the arithmetic. */
void random_fill(anynorm_dtype type, void *data, uint64_t count, double middle);

#endif
