/* The norms of the network, all by anynorm on the caller's queue and buffers, and what they take of
 * the time. */
#ifndef ENCODER_NORMS_H
#define ENCODER_NORMS_H

#include "config.h"
#include "weights.h"

struct norms {
    const struct device *device;
    cl_mem weights_memory;
    anynorm_device *wrapped;
    anynorm_buffer weights;
    anynorm_plan *embedding; /* of x + pre_bias */
    anynorm_plan *fused;     /* of x + pre_bias + residual */
    anynorm_plan *plain;     /* of x */
    anynorm_plan *l2;        /* to length 1, as PyTorch's normalize */
};

/* The events between which time is counted. */
struct stopwatch {
    cl_event *of_norms; /* and of the kernels that add for those which do not add themselves */
    size_t count;
    cl_event first, last; /* of the whole network */
};

/* Where a norm's tensors begin in the weights. */
struct affine {
    cl_ulong pre_bias; /* the bias of the product before it, or what else is added to each row */
    cl_ulong weight;
    cl_ulong bias;
};

struct norms norms_create(const struct device *device, const struct weights *weights,
                          const struct config *config);
void norms_destroy(struct norms *norms);

/* x = norm(x + pre_bias). */
void norms_embedding(struct norms *norms, struct stopwatch *watch, const struct affine *affine,
                     cl_mem x, size_t rows);

/* x = norm(sublayer + pre_bias + x), fused into one kernel, or as one that adds, over sublayer, and
 * one that normalizes. */
void norms_residual(struct norms *norms, struct stopwatch *watch, const struct affine *affine,
                    bool fused, cl_mem sublayer, cl_mem x, size_t rows, size_t columns);

/* x = x / |x|. */
void norms_l2(struct norms *norms, struct stopwatch *watch, cl_mem x, size_t rows);

#endif
