/* A study as CSV. */
#ifndef TRAIN_TABLES_H
#define TRAIN_TABLES_H

#include <stdio.h>

#include "study.h"

void tables_write_curves(FILE *file, const struct study *study);
void tables_write_gradients(FILE *file, const struct study *study);

#endif
