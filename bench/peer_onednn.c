/* oneDNN's calls of bench/peers.py, where the build found it. */
#include "peer_calls.h"

#if HAVE_ONEDNN

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

enum { MOST_ARGUMENTS = 9, FLAGS = dnnl_use_scale | dnnl_use_shift };

struct onednn_peer {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    int count; /* of arguments */
    const struct argument *arguments;
    dnnl_memory_t memories[MOST_ARGUMENTS];
};

enum shape { OF_X, OF_COLUMNS, OF_ROWS, SHAPES };

struct argument {
    int number; /* DNNL_ARG_... */
    int tensor; /* of those that are given */
    enum shape shape;
};

static const struct argument forward_arguments[] = {{DNNL_ARG_SRC, X, OF_X},
                                                    {DNNL_ARG_DST, Y, OF_X},
                                                    {DNNL_ARG_SCALE, WEIGHT, OF_COLUMNS},
                                                    {DNNL_ARG_SHIFT, BIAS, OF_COLUMNS}},
                             backward_arguments[] = {
                                 {DNNL_ARG_SRC, X, OF_X},
                                 {DNNL_ARG_DIFF_DST, Y, OF_X},
                                 {DNNL_ARG_SCALE, WEIGHT, OF_COLUMNS},
                                 {DNNL_ARG_SHIFT, BIAS, OF_COLUMNS}, /* which version 2 asks for */
                                 {DNNL_ARG_MEAN, MEAN, OF_ROWS},
                                 {DNNL_ARG_VARIANCE, VARIANCE, OF_ROWS},
                                 {DNNL_ARG_DIFF_SRC, DX, OF_X},
                                 {DNNL_ARG_DIFF_SCALE, DWEIGHT, OF_COLUMNS},
                                 {DNNL_ARG_DIFF_SHIFT, DBIAS, OF_COLUMNS}};

const char *peer_onednn_version(void)
{
    static char text[32];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof(text), "%d.%d.%d", version->major, version->minor, version->patch);
    return text;
}

void peer_onednn_free(struct onednn_peer *peer)
{
    if (!peer)
        return;
    for (int i = 0; i < peer->count; i++) {
        if (peer->memories[i])
            dnnl_memory_destroy(peer->memories[i]);
    }
    if (peer->primitive)
        dnnl_primitive_destroy(peer->primitive);
    if (peer->stream)
        dnnl_stream_destroy(peer->stream);
    if (peer->engine)
        dnnl_engine_destroy(peer->engine);
    free(peer);
}

/* Version 3 made descriptions opaque and dropped the step between them and a primitive. Gradients,
 * which are chosen where `forward` is given, take a description of the forward pass, too. */
#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t description_t; /* a pointer */

#define describe dnnl_memory_desc_create_with_tag
#define POINTER_TO(description) (description)

static dnnl_status_t choose(struct onednn_peer *peer, const description_t *of, float eps,
                            dnnl_prop_kind_t kind, dnnl_primitive_desc_t forward,
                            dnnl_primitive_desc_t *made)
{
    if (forward)
        return dnnl_layer_normalization_backward_primitive_desc_create(
            made, peer->engine, kind, of[OF_X], of[OF_X], of[OF_X], of[OF_ROWS], eps, FLAGS,
            forward, NULL);
    return dnnl_layer_normalization_forward_primitive_desc_create(
        made, peer->engine, kind, of[OF_X], of[OF_X],
        kind == dnnl_forward_training ? of[OF_ROWS] : NULL, eps, FLAGS, NULL);
}

static void forget(description_t *of)
{
    for (int i = 0; i < SHAPES; i++)
        dnnl_memory_desc_destroy(of[i]);
}

#else

typedef dnnl_memory_desc_t description_t;

#define describe dnnl_memory_desc_init_by_tag
#define POINTER_TO(description) (&(description))

static dnnl_status_t choose(struct onednn_peer *peer, const description_t *of, float eps,
                            dnnl_prop_kind_t kind, dnnl_primitive_desc_t forward,
                            dnnl_primitive_desc_t *made)
{
    dnnl_layer_normalization_desc_t wanted;
    dnnl_status_t status;
    if (forward)
        status = dnnl_layer_normalization_backward_desc_init(&wanted, kind, &of[OF_X], &of[OF_X],
                                                             &of[OF_ROWS], eps, FLAGS);
    else
        status = dnnl_layer_normalization_forward_desc_init(
            &wanted, kind, &of[OF_X], kind == dnnl_forward_training ? &of[OF_ROWS] : NULL, eps,
            FLAGS);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(made, &wanted, NULL, peer->engine, forward);
}

static void forget(description_t *of)
{
    (void)of;
}

#endif

static dnnl_status_t make_primitive(struct onednn_peer *peer, int64_t rows, int64_t columns,
                                    dnnl_data_type_t type, float eps, bool backward)
{
    const dnnl_dims_t x = {rows, columns}, of_columns = {columns}, of_rows = {rows};
    description_t of[SHAPES];
    dnnl_primitive_desc_t forward = NULL, made = NULL;
    memset(of, 0, sizeof(of));
    dnnl_status_t status = describe(&of[OF_X], 2, x, type, dnnl_ab);
    if (status == dnnl_success)
        status = describe(&of[OF_COLUMNS], 1, of_columns, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = describe(&of[OF_ROWS], 1, of_rows, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = choose(peer, of, eps, backward ? dnnl_forward_training : dnnl_forward_inference,
                        NULL, &forward);
    if (status == dnnl_success && backward)
        status = choose(peer, of, eps, dnnl_backward, forward, &made);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&peer->primitive, backward ? made : forward);
    for (int i = 0; i < peer->count && status == dnnl_success; i++)
        status = dnnl_memory_create(&peer->memories[i], POINTER_TO(of[peer->arguments[i].shape]),
                                    peer->engine, DNNL_MEMORY_NONE);
    if (made)
        dnnl_primitive_desc_destroy(made);
    if (forward)
        dnnl_primitive_desc_destroy(forward);
    forget(of);
    return status;
}

struct onednn_peer *peer_onednn_make(int64_t rows, int64_t columns, const char *type, float eps,
                                     int backward)
{
    dnnl_data_type_t data_type = strcmp(type, "f32") == 0    ? dnnl_f32
                                 : strcmp(type, "bf16") == 0 ? dnnl_bf16
                                                             : dnnl_f16;
    struct onednn_peer *peer = calloc(1, sizeof(*peer));
    dnnl_status_t status = peer ? dnnl_success : dnnl_out_of_memory;
    if (peer) {
        peer->arguments = backward ? backward_arguments : forward_arguments;
        peer->count = (int)(backward ? sizeof(backward_arguments) / sizeof(*backward_arguments)
                                     : sizeof(forward_arguments) / sizeof(*forward_arguments));
    }
    if (status == dnnl_success)
        status = dnnl_engine_create(&peer->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&peer->stream, peer->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = make_primitive(peer, rows, columns, data_type, eps, backward);
    if (status == dnnl_success)
        return peer;
    peer_fail("oneDNN has no layer normalization of %s here (status %d)", type, (int)status);
    peer_onednn_free(peer);
    return NULL;
}

double peer_onednn_run(struct onednn_peer *peer, void *const *given)
{
    dnnl_exec_arg_t list[MOST_ARGUMENTS];
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < peer->count && status == dnnl_success; i++) {
        const struct argument *argument = &peer->arguments[i];
        status = dnnl_memory_set_data_handle(peer->memories[i], given[argument->tensor]);
        list[i] = (dnnl_exec_arg_t){argument->number, peer->memories[i]};
    }
    double begin = seconds();
    if (status == dnnl_success)
        status = dnnl_primitive_execute(peer->primitive, peer->stream, peer->count, list);
    if (status == dnnl_success)
        status = dnnl_stream_wait(peer->stream);
    double end = seconds();
    if (status == dnnl_success)
        return end - begin;
    peer_fail("oneDNN failed with %d", (int)status);
    return -1;
}

#else

#include <stddef.h>

const char *peer_onednn_version(void)
{
    return NULL;
}

struct onednn_peer *peer_onednn_make(int64_t rows, int64_t columns, const char *type, float eps,
                                     int backward)
{
    (void)rows;
    (void)columns;
    (void)type;
    (void)eps;
    (void)backward;
    peer_fail("built without oneDNN");
    return NULL;
}

double peer_onednn_run(struct onednn_peer *peer, void *const *given)
{
    (void)peer;
    (void)given;
    peer_fail("built without oneDNN");
    return -1;
}

void peer_onednn_free(struct onednn_peer *peer)
{
    (void)peer;
}

#endif
