/* The memory of a batch, and where in it each head of each sentence begins. */
#include "model.h"

#include "common.h"

#include <math.h>
#include <stdlib.h>

/* The places of the matrices that are multiplied for each sentence and head. */
static void place_heads(struct batch *batch, const struct config *config)
{
    size_t count = batch->sentences * config->heads, width = config->hidden / config->heads;
    size_t **const offsets[] = {&batch->score_offsets, &batch->query_offsets, &batch->key_offsets,
                                &batch->value_offsets, &batch->context_offsets};

    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        *offsets[i] = take_memory(count, sizeof(size_t));
    batch->scales = take_memory(count, sizeof(float));
    batch->ones = take_memory(count, sizeof(float));
    batch->zeros = take_memory(count, sizeof(float));
    for (size_t i = 0; i < count; i++) {
        size_t token = i / config->heads * batch->length, column = i % config->heads * width;

        batch->query_offsets[i] = token * 3 * config->hidden + column;
        batch->key_offsets[i] = batch->query_offsets[i] + config->hidden;
        batch->value_offsets[i] = batch->key_offsets[i] + config->hidden;
        batch->context_offsets[i] = token * config->hidden + column;
        batch->score_offsets[i] = i * batch->length * batch->length;
        batch->scales[i] = 1 / sqrtf((float)width);
        batch->ones[i] = 1;
    }
}

/* Tokens, padded with token 0, which no mask lets through, and their numbers. */
static void write_tokens(const struct batch *batch, const struct device *device,
                         const struct sentence *sentences)
{
    size_t rows = batch->sentences * batch->length;
    cl_int *tokens = take_memory(rows, sizeof(cl_int));
    cl_int *counts = take_memory(batch->sentences, sizeof(cl_int));

    for (size_t i = 0; i < batch->sentences; i++) {
        counts[i] = (cl_int)sentences[i].count;
        for (size_t k = 0; k < sentences[i].count; k++)
            tokens[i * batch->length + k] = sentences[i].tokens[k];
    }
    check_cl(clEnqueueWriteBuffer(device->queue, batch->tokens, CL_TRUE, 0, rows * sizeof(cl_int),
                                  tokens, 0, NULL, NULL),
             "clEnqueueWriteBuffer");
    check_cl(clEnqueueWriteBuffer(device->queue, batch->counts, CL_TRUE, 0,
                                  batch->sentences * sizeof(cl_int), counts, 0, NULL, NULL),
             "clEnqueueWriteBuffer");
    free(tokens);
    free(counts);
}

struct batch batch_create(const struct model *model, const struct sentence *sentences, size_t count)
{
    const struct device *device = model->device;
    const struct config *config = &model->config;
    struct batch batch = {.sentences = count};
    size_t rows, columns;

    for (size_t i = 0; i < count; i++) {
        if (sentences[i].count > batch.length)
            batch.length = sentences[i].count;
    }
    rows = count * batch.length;
    columns = config->heads * batch.length;
    columns = columns > 3 * config->hidden ? columns : 3 * config->hidden;
    columns = columns > config->intermediate ? columns : config->intermediate;
    if (rows > INT32_MAX / columns)
        fail("%zu sentences of up to %zu tokens are more than 2^31 numbers; give fewer", count,
             batch.length);
    place_heads(&batch, config);
    batch.tokens = device_memory(device, rows * sizeof(cl_int));
    batch.counts = device_memory(device, count * sizeof(cl_int));
    batch.x = device_memory(device, rows * config->hidden * sizeof(float));
    batch.qkv = device_memory(device, rows * 3 * config->hidden * sizeof(float));
    batch.scores = device_memory(device, rows * config->heads * batch.length * sizeof(float));
    batch.context = device_memory(device, rows * config->hidden * sizeof(float));
    batch.sublayer = device_memory(device, rows * config->hidden * sizeof(float));
    batch.inner = device_memory(device, rows * config->intermediate * sizeof(float));
    batch.pooled = device_memory(device, count * config->hidden * sizeof(float));
    write_tokens(&batch, device, sentences);
    return batch;
}

void batch_destroy(struct batch *batch)
{
    const cl_mem memories[] = {batch->tokens,   batch->counts, batch->x,
                               batch->qkv,      batch->scores, batch->context,
                               batch->sublayer, batch->inner,  batch->pooled};

    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        clReleaseMemObject(memories[i]);
    free(batch->score_offsets);
    free(batch->query_offsets);
    free(batch->key_offsets);
    free(batch->value_offsets);
    free(batch->context_offsets);
    free(batch->scales);
    free(batch->ones);
    free(batch->zeros);
}
