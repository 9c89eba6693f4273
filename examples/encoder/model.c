/* BERT's encoder, post-norm: x = norm(x + sublayer(x)), twice a layer. Products of matrices are
 * CLBlast's, norms anynorm's, and the rest is kernels.cl, all on one queue in its order. */
#include "model.h"

#include "common.h"

#include <clblast_c.h>
#include <stdlib.h>

/* Where the tensors of a layer begin. */
struct layer {
    cl_ulong query, query_bias, key, key_bias, value, value_bias;
    cl_ulong output;
    struct affine attention; /* the output's bias, and the norm */
    cl_ulong inner, inner_bias;
    cl_ulong outer;
    struct affine feed_forward; /* likewise */
};

/* ---- The weights ---- */

static cl_ulong find_in_layer(const struct model *model, size_t layer, const char *name,
                              size_t rows, size_t columns)
{
    char path[sizeof((struct tensor *)0)->name];

    snprintf(path, sizeof path, "encoder.layer.%zu.%s", layer, name);
    return weights_find(&model->weights, path, rows, columns)->at;
}

static struct layer find_layer(const struct model *model, size_t i)
{
    size_t hidden = model->config.hidden, inner = model->config.intermediate;

    return (struct layer){
        .query = find_in_layer(model, i, "attention.self.query.weight", hidden, hidden),
        .query_bias = find_in_layer(model, i, "attention.self.query.bias", 1, hidden),
        .key = find_in_layer(model, i, "attention.self.key.weight", hidden, hidden),
        .key_bias = find_in_layer(model, i, "attention.self.key.bias", 1, hidden),
        .value = find_in_layer(model, i, "attention.self.value.weight", hidden, hidden),
        .value_bias = find_in_layer(model, i, "attention.self.value.bias", 1, hidden),
        .output = find_in_layer(model, i, "attention.output.dense.weight", hidden, hidden),
        .attention = {find_in_layer(model, i, "attention.output.dense.bias", 1, hidden),
                      find_in_layer(model, i, "attention.output.LayerNorm.weight", 1, hidden),
                      find_in_layer(model, i, "attention.output.LayerNorm.bias", 1, hidden)},
        .inner = find_in_layer(model, i, "intermediate.dense.weight", inner, hidden),
        .inner_bias = find_in_layer(model, i, "intermediate.dense.bias", 1, inner),
        .outer = find_in_layer(model, i, "output.dense.weight", hidden, inner),
        .feed_forward = {find_in_layer(model, i, "output.dense.bias", 1, hidden),
                         find_in_layer(model, i, "output.LayerNorm.weight", 1, hidden),
                         find_in_layer(model, i, "output.LayerNorm.bias", 1, hidden)},
    };
}

struct model model_read(const struct device *device, const char *folder,
                        const struct config *config, size_t words)
{
    struct model model = {.device = device, .config = *config};
    const struct weights *weights = &model.weights;
    const struct tensor *vocabulary;

    model.weights = weights_read(device, folder);
    vocabulary = weights_find(weights, "embeddings.word_embeddings.weight", 0, config->hidden);
    if (vocabulary->rows < words)
        fail("vocab.txt: it has %zu words, and model.safetensors vectors for %llu", words,
             (unsigned long long)vocabulary->rows);
    model.word = vocabulary->at;
    model.position = weights_find(weights, "embeddings.position_embeddings.weight",
                                  config->positions, config->hidden)
                         ->at;
    /* Of the two types of token a sentence alone has the first. */
    model.embedding.pre_bias =
        weights_find(weights, "embeddings.token_type_embeddings.weight", 0, config->hidden)->at;
    model.embedding.weight =
        weights_find(weights, "embeddings.LayerNorm.weight", 1, config->hidden)->at;
    model.embedding.bias =
        weights_find(weights, "embeddings.LayerNorm.bias", 1, config->hidden)->at;
    model.layers = take_memory(config->layers, sizeof *model.layers);
    for (size_t i = 0; i < config->layers; i++)
        model.layers[i] = find_layer(&model, i);
    model.norms = norms_create(device, weights, config);
    return model;
}

void model_destroy(struct model *model)
{
    norms_destroy(&model->norms);
    weights_destroy(&model->weights);
    free(model->layers);
}

/* ---- The pieces ---- */

static void check_blast(CLBlastStatusCode code)
{
    if (code != CLBlastSuccess)
        fail("CLBlast failed with %d", (int)code);
}

/* y = x times the transposed matrix at `matrix`, which has as many rows as y has columns. `y_at` is
 * where y begins, and y_stride how far its rows are apart. */
static void multiply(struct model *model, cl_mem x, size_t rows, size_t x_columns, cl_ulong matrix,
                     size_t y_columns, cl_mem y, size_t y_at, size_t y_stride)
{
    cl_command_queue queue = model->device->queue;

    check_blast(CLBlastSgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, rows,
                             y_columns, x_columns, 1, x, 0, x_columns, model->weights.memory,
                             (size_t)matrix, x_columns, 0, y, y_at, y_stride, &queue, NULL));
}

/* context = softmax(query key^T / sqrt(width)) value, for each sentence and head by itself. */
static void attend(struct model *model, const struct batch *batch, const struct layer *layer,
                   size_t rows)
{
    const struct device *device = model->device;
    cl_command_queue queue = device->queue;
    size_t hidden = model->config.hidden, heads = model->config.heads, width = hidden / heads;
    size_t length = batch->length;

    multiply(model, batch->x, rows, hidden, layer->query, hidden, batch->qkv, 0, 3 * hidden);
    multiply(model, batch->x, rows, hidden, layer->key, hidden, batch->qkv, hidden, 3 * hidden);
    multiply(model, batch->x, rows, hidden, layer->value, hidden, batch->qkv, 2 * hidden,
             3 * hidden);
    device_launch(device, KERNEL_ADD_BIASES, rows * 3 * hidden, 2,
                  (cl_mem[]){model->weights.memory, batch->qkv}, 4,
                  (cl_ulong[]){layer->query_bias, layer->key_bias, layer->value_bias, hidden},
                  NULL);
    check_blast(CLBlastSgemmBatched(
        CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, length, length, width,
        batch->scales, batch->qkv, batch->query_offsets, 3 * hidden, batch->qkv, batch->key_offsets,
        3 * hidden, batch->zeros, batch->scores, batch->score_offsets, length,
        batch->sentences * heads, &queue, NULL));
    device_launch(device, KERNEL_SOFTMAX, rows * heads, 2, (cl_mem[]){batch->scores, batch->counts},
                  2, (cl_ulong[]){heads, length}, NULL);
    check_blast(CLBlastSgemmBatched(
        CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, length, width, length,
        batch->ones, batch->scores, batch->score_offsets, length, batch->qkv, batch->value_offsets,
        3 * hidden, batch->zeros, batch->context, batch->context_offsets, hidden,
        batch->sentences * heads, &queue, NULL));
}

static void run_layer(struct model *model, const struct batch *batch, const struct layer *layer,
                      bool fused, struct stopwatch *watch)
{
    size_t hidden = model->config.hidden, inner = model->config.intermediate;
    size_t rows = batch->sentences * batch->length;

    attend(model, batch, layer, rows);
    multiply(model, batch->context, rows, hidden, layer->output, hidden, batch->sublayer, 0,
             hidden);
    norms_residual(&model->norms, watch, &layer->attention, fused, batch->sublayer, batch->x, rows,
                   hidden);
    multiply(model, batch->x, rows, hidden, layer->inner, inner, batch->inner, 0, inner);
    device_launch(model->device, KERNEL_GELU, rows * inner, 2,
                  (cl_mem[]){model->weights.memory, batch->inner}, 2,
                  (cl_ulong[]){layer->inner_bias, inner}, NULL);
    multiply(model, batch->inner, rows, inner, layer->outer, hidden, batch->sublayer, 0, hidden);
    norms_residual(&model->norms, watch, &layer->feed_forward, fused, batch->sublayer, batch->x,
                   rows, hidden);
}

/* ---- Time ---- */

static double moment(cl_event event, cl_profiling_info which)
{
    cl_ulong nanoseconds;

    check_cl(clGetEventProfilingInfo(event, which, sizeof nanoseconds, &nanoseconds, NULL),
             "clGetEventProfilingInfo");
    return (double)nanoseconds;
}

static struct times read_times(struct stopwatch *watch)
{
    struct times times = {.all = moment(watch->last, CL_PROFILING_COMMAND_END) -
                                 moment(watch->first, CL_PROFILING_COMMAND_START)};

    for (size_t i = 0; i < watch->count; i++) {
        times.norms += moment(watch->of_norms[i], CL_PROFILING_COMMAND_END) -
                       moment(watch->of_norms[i], CL_PROFILING_COMMAND_START);
        clReleaseEvent(watch->of_norms[i]);
    }
    clReleaseEvent(watch->first);
    free(watch->of_norms);
    return times;
}

/* ---- All of it ---- */

struct times model_run(struct model *model, const struct batch *batch, bool fused, float *vectors)
{
    const struct device *device = model->device;
    size_t hidden = model->config.hidden, rows = batch->sentences * batch->length;
    struct stopwatch watch = {.of_norms =
                                  take_memory(4 * model->config.layers + 2, sizeof(cl_event))};

    device_launch(device, KERNEL_EMBED, rows * hidden, 3,
                  (cl_mem[]){model->weights.memory, batch->tokens, batch->x}, 4,
                  (cl_ulong[]){model->word, model->position, batch->length, hidden}, &watch.first);
    norms_embedding(&model->norms, &watch, &model->embedding, batch->x, rows);
    for (size_t i = 0; i < model->config.layers; i++)
        run_layer(model, batch, &model->layers[i], fused, &watch);
    device_launch(device, KERNEL_POOL, batch->sentences * hidden, 3,
                  (cl_mem[]){batch->x, batch->counts, batch->pooled}, 2,
                  (cl_ulong[]){batch->length, hidden}, NULL);
    norms_l2(&model->norms, &watch, batch->pooled, batch->sentences);
    watch.last = watch.of_norms[watch.count - 1];
    check_cl(clEnqueueReadBuffer(device->queue, batch->pooled, CL_TRUE, 0,
                                 batch->sentences * hidden * sizeof(float), vectors, 0, NULL, NULL),
             "clEnqueueReadBuffer");
    check_cl(clWaitForEvents((cl_uint)watch.count, watch.of_norms), "a norm");
    return read_times(&watch);
}
