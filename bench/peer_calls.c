/* anynorm's calls of bench/peers.py. */
#include "peer_calls.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <anynorm/anynorm.h>

enum { ALIGNMENT = 256, WORKSPACE = GIVEN, TENSORS }; /* what is given, and a workspace */
/* The norm and the baselines, numbered as bench/peers.py names them: of gradients the copy is an
 * addition, which reads two tensors and writes one as they do. */
enum { NORM, EMPTY, COPY, COPY_STREAMING, SCHEDULES };

static char message[256];

const char *peer_message(void)
{
    return message;
}

void peer_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
}

struct anynorm_peer {
    anynorm_device *device;
    anynorm_device_info info;
    anynorm_spec spec;
    uint64_t rows;
    bool backward;
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
    const char *const schedules[SCHEDULES] = {[NORM] = schedule,
                                              [EMPTY] = "empty",
                                              [COPY] = peer->backward ? "add" : "copy",
                                              [COPY_STREAMING] = "copy_streaming"};
    anynorm_spec addition;
    uint64_t rows;
    char text[128];
    snprintf(text, sizeof(text), "layer-norm %" PRIu64 "x%" PRIu64 " %s residual sum", peer->rows,
             peer->spec.columns, anynorm_dtype_name(peer->spec.x.type));
    anynorm_status status = anynorm_spec_parse(text, &addition, &rows);
    for (int s = 0; s < SCHEDULES && status == ANYNORM_OK; s++) {
        const anynorm_plan_options options = {.schedule = schedules[s]};
        const anynorm_spec *spec = peer->backward && s != NORM ? &addition : &peer->spec;
        if (peer->backward && s == COPY_STREAMING)
            continue;
        status = anynorm_plan_create(peer->device, spec, &options, &peer->plans[s]);
        if (status == ANYNORM_UNSUPPORTED && s == COPY_STREAMING)
            status = ANYNORM_OK;
    }
    return status == ANYNORM_OK ? anynorm_plan_describe(peer->plans[NORM], &peer->plan) : status;
}

/* Every slot written, so that no page is touched for the first time while it is measured. */
static anynorm_status make_memory(struct anynorm_peer *peer, uint64_t slots,
                                  const void *const *given)
{
    const uint64_t x_bytes =
        peer->rows * peer->spec.columns * anynorm_dtype_size(peer->spec.x.type);
    const uint64_t parameter_bytes = peer->spec.columns * sizeof(float);
    const uint64_t statistic_bytes = peer->rows * sizeof(float);
    uint64_t sizes[TENSORS] = {[X] = x_bytes,
                               [Y] = x_bytes,
                               [WEIGHT] = parameter_bytes,
                               [BIAS] = parameter_bytes,
                               [MEAN] = statistic_bytes,
                               [RSTD] = statistic_bytes,
                               [DX] = x_bytes,
                               [DWEIGHT] = parameter_bytes,
                               [DBIAS] = parameter_bytes};
    anynorm_status status = ANYNORM_OK;
    if (peer->backward)
        status = anynorm_plan_workspace(peer->plans[NORM], peer->rows, &sizes[WORKSPACE]);
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        const void *data = t < GIVEN ? given[t] : NULL;
        peer->strides[t] = (sizes[t] + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (sizes[t] == 0 || (t < GIVEN && !data))
            continue;
        status = anynorm_buffer_create(peer->device, slots * peer->strides[t], &peer->buffers[t]);
        for (uint64_t slot = 0; data && slot < slots && status == ANYNORM_OK; slot++) {
            anynorm_buffer at = peer->buffers[t];
            at.offset = slot * peer->strides[t];
            status = anynorm_buffer_write(peer->device, &at, data, sizes[t]);
        }
    }
    return status;
}

struct anynorm_peer *peer_anynorm_make(const char *device, const char *spec, const char *schedule,
                                       uint64_t slots, const void *const *given)
{
    struct anynorm_peer *peer = calloc(1, sizeof(*peer));
    if (!peer) {
        peer_fail("out of memory");
        return NULL;
    }
    anynorm_status status = anynorm_spec_parse(spec, &peer->spec, &peer->rows);
    peer->backward = peer->spec.gradients.flags != 0;
    if (status == ANYNORM_OK)
        status = anynorm_device_open(device, &peer->device);
    if (status == ANYNORM_OK)
        status = anynorm_device_describe(peer->device, &peer->info);
    if (status == ANYNORM_OK)
        status = make_plans(peer, schedule);
    if (status == ANYNORM_OK)
        status = make_memory(peer, slots, given);
    if (status != ANYNORM_OK) {
        peer_fail("%s: %.200s", anynorm_status_name(status), anynorm_message());
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

/* A slot's tensors, in the roles that a schedule has for them. */
static anynorm_tensors tensors_of(const struct anynorm_peer *peer, int schedule, uint64_t slot)
{
    anynorm_buffer at[TENSORS];
    for (int t = 0; t < TENSORS; t++) {
        at[t] = peer->buffers[t];
        at[t].offset = slot * peer->strides[t];
    }
    if (peer->backward && schedule != NORM) /* which leaves its y alone */
        return (anynorm_tensors){.x = at[X], .residual = at[Y], .sum = at[DX], .y = at[X]};
    if (peer->backward)
        return (anynorm_tensors){.x = at[X],
                                 .dy = at[Y],
                                 .weight = at[WEIGHT],
                                 .mean = at[MEAN],
                                 .rstd = at[RSTD],
                                 .dx = at[DX],
                                 .dweight = at[DWEIGHT],
                                 .dbias = at[DBIAS],
                                 .workspace = at[WORKSPACE]};
    return (anynorm_tensors){.x = at[X], .y = at[Y], .weight = at[WEIGHT], .bias = at[BIAS]};
}

double peer_anynorm_run(struct anynorm_peer *peer, int schedule, uint64_t slot)
{
    const anynorm_tensors tensors = tensors_of(peer, schedule, slot);
    anynorm_event event;
    if (!peer->plans[schedule]) {
        peer_fail("the device has no such copy");
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
    peer_fail("%s: %.200s", anynorm_status_name(status), anynorm_message());
    return -1;
}
