/* The gradients of a whole small model beside differences of its loss in double. */
#ifndef TRAIN_CHECK_H
#define TRAIN_CHECK_H

#include "machine.h"

/* Prints a line for each tensor of each placement, and returns how many are out of bounds. */
int check_gradients(struct machine *machine);

#endif
