/* A safetensors file as one OpenCL buffer, in which its tensors are found by name. */
#ifndef ENCODER_WEIGHTS_H
#define ENCODER_WEIGHTS_H

#include "device.h"

struct tensor {
    char name[96]; /* a longer one is cut, and so not found */
    cl_ulong rows; /* 1 where the shape has one size */
    cl_ulong columns;
    cl_ulong at; /* elements before it */
};

struct weights {
    cl_mem memory;
    struct tensor *tensors; /* those of F32 with one or two sizes; the network has no others */
    size_t count;
};

/* Reads model.safetensors, its data straight into the buffer. */
struct weights weights_read(const struct device *device, const char *folder);
void weights_destroy(struct weights *weights);

/* The named tensor, which must have so many columns, and so many rows unless `rows` is 0. */
const struct tensor *weights_find(const struct weights *weights, const char *name, size_t rows,
                                  size_t columns);

#endif
