/* A study as CSV files. */
#ifndef TRAIN_TABLES_H
#define TRAIN_TABLES_H

#include "study.h"

/* curves.csv and gradients.csv in the folder of the study's options. */
void tables_write(const struct study *study);

#endif
