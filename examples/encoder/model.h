/* The network: sentences to vectors of length 1. */
#ifndef ENCODER_MODEL_H
#define ENCODER_MODEL_H

#include "norms.h"
#include "tokenizer.h"

struct layer;

struct model {
    const struct device *device;
    struct config config;
    struct weights weights;
    struct norms norms;
    cl_ulong word, position; /* where these tables begin */
    struct affine embedding;
    struct layer *layers;
};

/* How long a run took, in nanoseconds on the device's clock. */
struct times {
    double all;   /* from the start of its first kernel to the end of its last */
    double norms; /* in norms, and in adding what they do not add themselves */
};

/* Reads model.safetensors. The vocabulary has `words`. */
struct model model_read(const struct device *device, const char *folder,
                        const struct config *config, size_t words);
void model_destroy(struct model *model);

/* Buffers for a batch of sentences, padded to the longest of them. */
struct batch {
    size_t sentences;
    size_t length; /* tokens of each, with padding */
    size_t *score_offsets, *query_offsets, *key_offsets, *value_offsets, *context_offsets;
    float *scales, *ones, *zeros; /* of each sentence and head */
    cl_mem tokens, counts;
    cl_mem x;        /* [sentences][length][hidden]; so sublayer */
    cl_mem qkv;      /* [sentences][length][3][hidden] */
    cl_mem scores;   /* [sentences][heads][length][length] */
    cl_mem context;  /* as x */
    cl_mem sublayer; /* what a norm takes in */
    cl_mem inner;    /* [sentences][length][intermediate] */
    cl_mem pooled;   /* [sentences][hidden] */
};

struct batch batch_create(const struct model *model, const struct sentence *sentences,
                          size_t count);
void batch_destroy(struct batch *batch);

/* Runs the network and writes [sentences][hidden] to `vectors`. */
struct times model_run(struct model *model, const struct batch *batch, bool fused, float *vectors);

#endif
