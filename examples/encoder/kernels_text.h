/* kernels.cl, which the build makes part of the program. */
#ifndef ENCODER_KERNELS_TEXT_H
#define ENCODER_KERNELS_TEXT_H

#include <stddef.h>

extern const char kernels_text[];
extern const size_t kernels_length;

#endif
