/* The timed calls of bench/peers.py: anynorm's and, where it is installed, oneDNN's, as a shared
 * library, so that all take turns in one process and no interpreter is inside the time measured.
 *
 * Every peer has `slots` copies of its tensors, so that a run can be on cold memory. Times are in
 * seconds, negative where a call failed: peer_message() then tells why. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <anynorm/anynorm.h>

#if HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

#define EXPORT __attribute__((visibility("default")))

enum { ALIGNMENT = 256, X = 0, Y, WEIGHT, BIAS, TENSORS };
/* The norm and the baselines, numbered as bench/peers.py names them. */
enum { NORM, EMPTY, COPY, COPY_STREAMING, SCHEDULES };

EXPORT const char *peer_message(void);
EXPORT struct anynorm_peer *peer_anynorm_make(const char *device, const char *spec,
                                              const char *schedule, uint64_t slots, const void *x,
                                              const float *weight, const float *bias);
EXPORT const char *peer_anynorm_choice(const struct anynorm_peer *peer);
EXPORT const char *peer_anynorm_device(const struct anynorm_peer *peer);
EXPORT double peer_anynorm_run(struct anynorm_peer *peer, int schedule, uint64_t slot);
EXPORT void peer_anynorm_free(struct anynorm_peer *peer);
EXPORT const char *peer_onednn_version(void);
EXPORT struct onednn_peer *peer_onednn_make(int64_t rows, int64_t columns, const char *type,
                                            float eps);
EXPORT double peer_onednn_run(struct onednn_peer *peer, void *x, void *y, float *weight,
                              float *bias);
EXPORT void peer_onednn_free(struct onednn_peer *peer);

static char message[256];

const char *peer_message(void)
{
    return message;
}

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- anynorm ---- */

struct anynorm_peer {
    anynorm_device *device;
    anynorm_device_info info;
    anynorm_spec spec;
    uint64_t rows;
    anynorm_plan *plans[SCHEDULES]; /* NULL: not on this device */
    anynorm_plan_info plan;
    anynorm_buffer buffers[TENSORS];
    uint64_t strides[TENSORS];
};

void peer_anynorm_free(struct anynorm_peer *peer)
{
    if (!peer)
        return;
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(peer->device, &peer->buffers[t]);
    for (int s = 0; s < SCHEDULES; s++)
        anynorm_plan_destroy(peer->plans[s]);
    anynorm_device_close(peer->device);
    free(peer);
}

static anynorm_status make_plans(struct anynorm_peer *peer, const char *schedule)
{
    const char *const schedules[SCHEDULES] = {
        [NORM] = schedule, [EMPTY] = "empty", [COPY] = "copy", [COPY_STREAMING] = "copy_streaming"};
    anynorm_status status = ANYNORM_OK;
    for (int s = 0; s < SCHEDULES && status == ANYNORM_OK; s++) {
        const anynorm_plan_options options = {.schedule = schedules[s]};
        status = anynorm_plan_create(peer->device, &peer->spec, &options, &peer->plans[s]);
        if (status == ANYNORM_UNSUPPORTED && s == COPY_STREAMING)
            status = ANYNORM_OK;
    }
    return status == ANYNORM_OK ? anynorm_plan_describe(peer->plans[NORM], &peer->plan) : status;
}

/* Every slot written, so that no page is touched for the first time while it is measured. */
static anynorm_status make_memory(struct anynorm_peer *peer, uint64_t slots, const void *x,
                                  const float *weight, const float *bias)
{
    const uint64_t x_bytes =
        peer->rows * peer->spec.columns * anynorm_dtype_size(peer->spec.x.type);
    const uint64_t parameter_bytes = peer->spec.columns * sizeof(float);
    const uint64_t sizes[TENSORS] = {x_bytes, x_bytes, parameter_bytes, parameter_bytes};
    const void *const data[TENSORS] = {x, x, weight, bias};
    anynorm_status status = ANYNORM_OK;
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        peer->strides[t] = (sizes[t] + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        status = anynorm_buffer_create(peer->device, slots * peer->strides[t], &peer->buffers[t]);
        for (uint64_t slot = 0; slot < slots && status == ANYNORM_OK; slot++) {
            anynorm_buffer at = peer->buffers[t];
            at.offset = slot * peer->strides[t];
            status = anynorm_buffer_write(peer->device, &at, data[t], sizes[t]);
        }
    }
    return status;
}

struct anynorm_peer *peer_anynorm_make(const char *device, const char *spec, const char *schedule,
                                       uint64_t slots, const void *x, const float *weight,
                                       const float *bias)
{
    struct anynorm_peer *peer = calloc(1, sizeof(*peer));
    if (!peer) {
        fail("out of memory");
        return NULL;
    }
    anynorm_status status = anynorm_spec_parse(spec, &peer->spec, &peer->rows);
    if (status == ANYNORM_OK)
        status = anynorm_device_open(device, &peer->device);
    if (status == ANYNORM_OK)
        status = anynorm_device_describe(peer->device, &peer->info);
    if (status == ANYNORM_OK)
        status = make_plans(peer, schedule);
    if (status == ANYNORM_OK)
        status = make_memory(peer, slots, x, weight, bias);
    if (status != ANYNORM_OK) {
        fail("%s: %.200s", anynorm_status_name(status), anynorm_message());
        peer_anynorm_free(peer);
        return NULL;
    }
    return peer;
}

const char *peer_anynorm_choice(const struct anynorm_peer *peer)
{
    return peer->plan.choice;
}

const char *peer_anynorm_device(const struct anynorm_peer *peer)
{
    return peer->info.name;
}

double peer_anynorm_run(struct anynorm_peer *peer, int schedule, uint64_t slot)
{
    anynorm_tensors tensors = {.x = peer->buffers[X],
                               .y = peer->buffers[Y],
                               .weight = peer->buffers[WEIGHT],
                               .bias = peer->buffers[BIAS]};
    anynorm_event event;
    tensors.x.offset = slot * peer->strides[X];
    tensors.y.offset = slot * peer->strides[Y];
    tensors.weight.offset = slot * peer->strides[WEIGHT];
    tensors.bias.offset = slot * peer->strides[BIAS];
    if (!peer->plans[schedule]) {
        fail("the device has no such copy");
        return -1;
    }
    double begin = seconds();
    anynorm_status status =
        anynorm_enqueue(peer->plans[schedule], &tensors, peer->rows, 0, NULL, &event);
    if (status == ANYNORM_OK) {
        status = anynorm_event_wait(&event);
        double end = seconds();
        anynorm_event_release(&event);
        if (status == ANYNORM_OK)
            return end - begin;
    }
    fail("%s: %.200s", anynorm_status_name(status), anynorm_message());
    return -1;
}

/* ---- oneDNN ---- */

#if HAVE_ONEDNN

enum { MEMORIES = 4 };

struct onednn_peer {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t memories[MEMORIES];
};

static const int arguments[MEMORIES] = {DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_SCALE, DNNL_ARG_SHIFT};

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
    for (int i = 0; i < MEMORIES; i++) {
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

/* Version 3 made descriptions opaque and dropped the step between them and a primitive. */
#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t make_primitive(struct onednn_peer *peer, const dnnl_dims_t dims,
                                    const dnnl_dims_t length, dnnl_data_type_t type, float eps)
{
    const unsigned flags = dnnl_use_scale | dnnl_use_shift;
    dnnl_memory_desc_t data = NULL, parameter = NULL;
    dnnl_primitive_desc_t made = NULL;
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(&data, 2, dims, type, dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_memory_desc_create_with_tag(&parameter, 1, length, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = dnnl_layer_normalization_forward_primitive_desc_create(
            &made, peer->engine, dnnl_forward_inference, data, data, NULL, eps, flags, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&peer->primitive, made);
    for (int i = 0; i < MEMORIES && status == dnnl_success; i++)
        status = dnnl_memory_create(&peer->memories[i], i < 2 ? data : parameter, peer->engine,
                                    DNNL_MEMORY_NONE);
    dnnl_primitive_desc_destroy(made);
    dnnl_memory_desc_destroy(data);
    dnnl_memory_desc_destroy(parameter);
    return status;
}

#else

static dnnl_status_t make_primitive(struct onednn_peer *peer, const dnnl_dims_t dims,
                                    const dnnl_dims_t length, dnnl_data_type_t type, float eps)
{
    const unsigned flags = dnnl_use_scale | dnnl_use_shift;
    dnnl_memory_desc_t data, parameter;
    dnnl_layer_normalization_desc_t wanted;
    dnnl_primitive_desc_t made = NULL;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&data, 2, dims, type, dnnl_ab);
    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&parameter, 1, length, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = dnnl_layer_normalization_forward_desc_init(&wanted, dnnl_forward_inference, &data,
                                                            NULL, eps, flags);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&made, &wanted, NULL, peer->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&peer->primitive, made);
    for (int i = 0; i < MEMORIES && status == dnnl_success; i++)
        status = dnnl_memory_create(&peer->memories[i], i < 2 ? &data : &parameter, peer->engine,
                                    DNNL_MEMORY_NONE);
    if (made)
        dnnl_primitive_desc_destroy(made);
    return status;
}

#endif

struct onednn_peer *peer_onednn_make(int64_t rows, int64_t columns, const char *type, float eps)
{
    const dnnl_dims_t dims = {rows, columns}, length = {columns};
    dnnl_data_type_t data_type = strcmp(type, "f32") == 0    ? dnnl_f32
                                 : strcmp(type, "bf16") == 0 ? dnnl_bf16
                                                             : dnnl_f16;
    struct onednn_peer *peer = calloc(1, sizeof(*peer));
    dnnl_status_t status = peer ? dnnl_success : dnnl_out_of_memory;
    if (status == dnnl_success)
        status = dnnl_engine_create(&peer->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&peer->stream, peer->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = make_primitive(peer, dims, length, data_type, eps);
    if (status == dnnl_success)
        return peer;
    fail("oneDNN has no layer normalization of %s here (status %d)", type, (int)status);
    peer_onednn_free(peer);
    return NULL;
}

double peer_onednn_run(struct onednn_peer *peer, void *x, void *y, float *weight, float *bias)
{
    void *const handles[MEMORIES] = {x, y, weight, bias};
    dnnl_exec_arg_t list[MEMORIES];
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < MEMORIES && status == dnnl_success; i++) {
        status = dnnl_memory_set_data_handle(peer->memories[i], handles[i]);
        list[i] = (dnnl_exec_arg_t){arguments[i], peer->memories[i]};
    }
    double begin = seconds();
    if (status == dnnl_success)
        status = dnnl_primitive_execute(peer->primitive, peer->stream, MEMORIES, list);
    if (status == dnnl_success)
        status = dnnl_stream_wait(peer->stream);
    double end = seconds();
    if (status == dnnl_success)
        return end - begin;
    fail("oneDNN failed with %d", (int)status);
    return -1;
}

#else

const char *peer_onednn_version(void)
{
    return NULL;
}

struct onednn_peer *peer_onednn_make(int64_t rows, int64_t columns, const char *type, float eps)
{
    (void)rows;
    (void)columns;
    (void)type;
    (void)eps;
    fail("built without oneDNN");
    return NULL;
}

double peer_onednn_run(struct onednn_peer *peer, void *x, void *y, float *weight, float *bias)
{
    (void)peer;
    (void)x;
    (void)y;
    (void)weight;
    (void)bias;
    fail("built without oneDNN");
    return -1;
}

void peer_onednn_free(struct onednn_peer *peer)
{
    (void)peer;
}

#endif
