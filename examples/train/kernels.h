/* kernels.cl as a text. */
#ifndef TRAIN_KERNELS_H
#define TRAIN_KERNELS_H

#include <stddef.h>

extern const char train_kernels_text[];
extern const size_t train_kernels_length;

#endif
