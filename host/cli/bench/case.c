#include "case.h"

#include "common/cli.h"
#include "platform/system.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { TILE = 1 << 20, STRIDE = 256 };
enum { BATCH = 100, LEAST_ROUNDS = 5, BATCH_ROUNDS = 25 };

/* Larger ones take so long that a launch does not show. */
static const uint64_t batched_up_to = UINT64_C(4) << 20;

static const char *const baselines[BENCH_KINDS] = {[BENCH_COPY] = "copy",
                                                   [BENCH_COPY_STREAMING] = "copy_streaming",
                                                   [BENCH_ADD] = "add",
                                                   [BENCH_EMPTY] = "empty"};

/* Drivers tell of a cache that is not the last level, or of none. */
static const uint64_t least_cache = UINT64_C(64) << 20;
/* Of the cache's size that all slots together have at least, and where one slot is enough. */
static const uint64_t past_cache = 4;

/* What one enqueue took, in seconds. */
struct turn {
    double host;  /* until the enqueue returned */
    double wall;  /* until the wait was over */
    double event; /* the device's own time; NaN where it does not measure */
};

/* No more are kept than the most. */
struct samples {
    double values[BENCH_SAMPLES_MOST];
    size_t count;
};

struct kind_samples {
    struct samples wall, event, host, batched;
};

const char *bench_baseline_name(enum bench_kind kind)
{
    return baselines[kind];
}

/* ---- What each is of ---- */

static bool is_back(const struct bench_case *bench)
{
    return bench->specs[BENCH_NORM].gradients.flags;
}

/* The tensor that the baselines of gradients read. */
static int source_of(const struct bench_case *bench)
{
    return bench->specs[BENCH_NORM].gradients.flags & ANYNORM_SAVED_SUM ? TENSOR_SUM : TENSOR_X;
}

/* The spec whose tensors there is memory for: gradients' with a dx, which their baselines write. */
static anynorm_spec spec_of_memory(const struct bench_case *bench)
{
    anynorm_spec spec = bench->specs[BENCH_NORM];

    if (is_back(bench) && !(spec.gradients.flags & ANYNORM_DX)) {
        spec.gradients.flags |= ANYNORM_DX;
        spec.gradients.dx.type = tensor_info(&spec, source_of(bench), 1).type;
    }
    return spec;
}

/* The same rows, one after the other: what baselines take. */
static anynorm_spec dense(const anynorm_spec *spec)
{
    anynorm_spec rows = {.columns = spec->columns,
                         .flags = spec->flags,
                         .sample_rows = spec->sample_rows,
                         .parameters = spec->parameters,
                         .statistic = spec->statistic,
                         .quantization = spec->quantization};

    rows.x.type = spec->x.type;
    rows.y.type = spec->y.type;
    rows.residual.type = spec->residual.type;
    rows.sum.type = spec->sum.type;
    rows.gate.type = spec->gate.type;
    rows.scale.type = spec->scale.type;
    rows.shift.type = spec->shift.type;
    return rows;
}

/* Baselines take the rows of the norm. Those of gradients, which have none, a spec of the same
 * tensors: x or the sum to dx, and for an addition x and dy to dx. */
static void make_specs(struct bench_case *bench, const anynorm_spec *spec)
{
    anynorm_spec memory, copy = {.columns = spec->columns}, *add = &bench->specs[BENCH_ADD];

    for (int kind = 0; kind < BENCH_KINDS; kind++)
        bench->specs[kind] = baselines[kind] ? dense(spec) : *spec;
    if (!is_back(bench))
        return;
    memory = spec_of_memory(bench);
    copy.x.type = tensor_info(&memory, source_of(bench), 1).type;
    copy.y.type = memory.gradients.dx.type;
    bench->specs[BENCH_COPY] = bench->specs[BENCH_COPY_STREAMING] = bench->specs[BENCH_EMPTY] =
        copy;
    *add = copy;
    add->flags = ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT;
    add->residual.type = memory.y.type;
    add->sum.type = copy.y.type;
    add->y.type = copy.x.type; /* y, which an addition leaves alone, is x */
}

/* Bytes that a baseline moves for each row. */
static uint64_t baseline_row_bytes(const struct bench_case *bench, enum bench_kind kind)
{
    const anynorm_spec *spec = &bench->specs[kind];
    uint64_t bytes = tensors_row_bytes(spec, 1);

    return kind == BENCH_ADD ? bytes - spec->columns * anynorm_dtype_size(spec->y.type) : bytes;
}

static void make_rows(struct bench_case *bench, uint64_t rows)
{
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        bench->rows[kind] = rows;
    for (int kind = BENCH_COPY; kind <= (is_back(bench) ? BENCH_ADD : BENCH_COPY_STREAMING);
         kind++) {
        uint64_t row = baseline_row_bytes(bench, (enum bench_kind)kind);

        bench->rows[kind] = bench->bytes / row + (bench->bytes % row > 0);
    }
}

/* ---- Plans ---- */

/* *plan stays NULL where it cannot be had and may be done without. */
static bool make_plan(struct bench_case *bench, enum bench_kind kind, const anynorm_spec *spec,
                      const char *schedule, anynorm_plan **plan, bool *skipped)
{
    const anynorm_plan_options options = {.schedule = schedule};
    bool optional = kind == BENCH_COPY_STREAMING || kind == BENCH_UNFUSED;
    anynorm_status status = anynorm_plan_create(bench->device, spec, &options, plan);

    if (status == ANYNORM_OK || (optional && status == ANYNORM_UNSUPPORTED))
        return true;
    *skipped = status == ANYNORM_UNSUPPORTED || status == ANYNORM_OUT_OF_MEMORY;
    if (*skipped)
        return cli_fail(CLI_FAILED, "bench", "%s", anynorm_message());
    return cli_fail_library(kind == BENCH_NORM && schedule ? "--schedule" : "bench", status);
}

/* The norm of what an addition wrote. */
static anynorm_spec unfused(const anynorm_spec *spec)
{
    anynorm_spec alone = *spec;

    alone.flags &= ~(uint32_t)(ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM);
    alone.x.type = spec->sum.type;
    alone.residual.type = alone.sum.type = (anynorm_dtype)0;
    return alone;
}

/* The two plans beside a norm that adds x and residual alone; none beside others. */
static bool make_unfused(struct bench_case *bench, const char *schedule, bool *skipped)
{
    const anynorm_spec *spec = &bench->specs[BENCH_UNFUSED], alone = unfused(spec);

    if (is_back(bench))
        return true;
    if (!make_plan(bench, BENCH_UNFUSED, spec, "add", &bench->add, skipped))
        return false;
    return !bench->add ||
           make_plan(bench, BENCH_UNFUSED, &alone, schedule, &bench->plans[BENCH_UNFUSED], skipped);
}

/* ---- Memory: the tensors, as often as it takes to get past the caches ---- */

static uint64_t cache_of(const anynorm_device_info *info)
{
    return info->cache_bytes > least_cache ? info->cache_bytes : least_cache;
}

/* Bytes that may be taken: a device that shares the host's memory leaves half of it to others. */
static uint64_t memory_limit(const anynorm_device_info *info)
{
    uint64_t host = an_host_memory();
    uint64_t device = info->global_bytes ? info->global_bytes : UINT64_MAX;

    if (info->unified_memory)
        return (host < device ? host : device) / 2;
    return device / 10 * 9;
}

static bool plan_slots(struct bench_case *bench)
{
    const anynorm_device_info *info = &bench->info;
    uint64_t total = 0, largest = bench->workspace, limit = memory_limit(info);
    const anynorm_spec spec = spec_of_memory(bench);

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info tensor = tensor_info(&spec, t, bench->rows[BENCH_COPY]);

        bench->strides[t] = (tensor_bytes(&tensor) + STRIDE - 1) / STRIDE * STRIDE;
        total += bench->strides[t];
        largest = bench->strides[t] > largest ? bench->strides[t] : largest;
    }
    if (largest > info->max_alloc_bytes || total + bench->workspace > limit)
        return cli_fail(CLI_FAILED, "bench",
                        "needs %" PRIu64 " MiB, %" PRIu64 " MiB in one piece; %" PRIu64
                        " MiB may be used, %" PRIu64 " MiB in one piece",
                        (total + bench->workspace) >> 20, largest >> 20, limit >> 20,
                        info->max_alloc_bytes >> 20);
    bench->slots = 1;
    while (total * bench->slots < past_cache * cache_of(info) &&
           2 * bench->slots * largest <= info->max_alloc_bytes &&
           2 * bench->slots * total + bench->workspace <= limit)
        bench->slots *= 2;
    bench->cold = total * bench->slots > past_cache / 2 * cache_of(info);
    return true;
}

static anynorm_status fill(anynorm_device *device, const anynorm_buffer *buffer, const void *tile,
                           uint64_t tile_bytes)
{
    anynorm_buffer at = *buffer;
    anynorm_status status = ANYNORM_OK;

    for (; status == ANYNORM_OK && at.offset < buffer->bytes; at.offset += tile_bytes) {
        uint64_t rest = buffer->bytes - at.offset;

        status = anynorm_buffer_write(device, &at, tile, rest < tile_bytes ? rest : tile_bytes);
    }
    return status;
}

static anynorm_status make_tensors(struct bench_case *bench)
{
    const anynorm_spec spec = spec_of_memory(bench);
    anynorm_status status = ANYNORM_OK;
    void *tile = malloc(TILE * sizeof(double));

    if (!tile)
        return ANYNORM_OUT_OF_MEMORY;
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        struct cli_tensor_info tensor = tensor_info(&spec, t, 1);

        if (!tensor.present)
            continue;
        random_fill_tensor(&spec, t, tile, TILE);
        status = anynorm_buffer_create(bench->device,
                                       t == TENSOR_WORKSPACE ? bench->workspace
                                                             : bench->slots * bench->strides[t],
                                       &bench->buffers[t]);
        if (status == ANYNORM_OK)
            status = fill(bench->device, &bench->buffers[t], tile,
                          TILE * anynorm_dtype_size(tensor.type));
    }
    free(tile);
    return status;
}

/* Every page touched. */
static bool make_memory(struct bench_case *bench, bool *skipped)
{
    anynorm_status status;

    *skipped = true;
    if (!plan_slots(bench))
        return false;
    status = make_tensors(bench);
    *skipped = status == ANYNORM_OUT_OF_MEMORY;
    if (*skipped)
        return cli_fail(CLI_FAILED, "bench", "the memory could not be had");
    return status == ANYNORM_OK || cli_fail_library("bench", status);
}

/* Of the first slot, or where it is to be cold of another one each time, not the neighbour of the
 * one before, which a prefetcher might have begun to load: a step of about 0.618 of a power of two,
 * made odd, meets every slot before one comes again. */
static anynorm_tensors tensors_of(struct bench_case *bench, enum bench_kind kind, bool cold)
{
    anynorm_tensors tensors = {0}, all = {0};
    const anynorm_spec *spec = &bench->specs[kind];

    if (cold)
        bench->next = (bench->next + (bench->slots / 8 * 5 | 1)) & (bench->slots - 1);
    for (int t = 0; t < TENSORS; t++) {
        anynorm_buffer *at = tensor_slot(&all, t);

        *at = bench->buffers[t];
        at->offset = (cold ? bench->next : 0) * bench->strides[t];
        if (tensor_info(spec, t, 1).present)
            *tensor_slot(&tensors, t) = *at;
    }
    if (!is_back(bench) || kind == BENCH_NORM)
        return tensors;
    tensors.x = *tensor_slot(&all, source_of(bench));
    tensors.y = kind == BENCH_ADD ? tensors.x : all.dx;
    if (kind == BENCH_ADD) {
        tensors.residual = all.dy;
        tensors.sum = all.dx;
    }
    return tensors;
}

static bool find_workspace(struct bench_case *bench)
{
    anynorm_status status = anynorm_plan_workspace(bench->plans[BENCH_NORM],
                                                   bench->rows[BENCH_NORM], &bench->workspace);

    return status == ANYNORM_OK || cli_fail_library("bench", status);
}

bool bench_case_make(struct bench_case *bench, anynorm_device *device, const char *schedule,
                     const anynorm_spec *spec, uint64_t rows, bool *skipped)
{
    *skipped = false;
    *bench = (struct bench_case){.device = device, .bytes = tensors_bytes(spec, rows)};
    anynorm_device_describe(device, &bench->info);
    make_specs(bench, spec);
    make_rows(bench, rows);
    for (int kind = 0; kind < BENCH_UNFUSED; kind++) {
        if (kind == BENCH_ADD && !is_back(bench))
            continue;
        if (!make_plan(bench, (enum bench_kind)kind, &bench->specs[kind],
                       kind == BENCH_NORM ? schedule : baselines[kind], &bench->plans[kind],
                       skipped))
            goto fail;
    }
    if (!find_workspace(bench))
        goto fail;
    if (!make_unfused(bench, schedule, skipped))
        goto fail;
    anynorm_plan_describe(bench->plans[BENCH_NORM], &bench->plan);
    if (make_memory(bench, skipped))
        return true;
fail:
    bench_case_free(bench);
    return false;
}

void bench_case_free(struct bench_case *bench)
{
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(bench->device, &bench->buffers[t]);
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        anynorm_plan_destroy(bench->plans[kind]);
    anynorm_plan_destroy(bench->add);
}

/* ---- Timing ---- */

/* Waits for the work; its time on the device, NaN where a driver tells of none at all (Mesa's
 * llvmpipe), which does not measure. */
static anynorm_status finish(anynorm_event *event, double *seconds)
{
    uint64_t nanoseconds;
    anynorm_status status = anynorm_event_wait(event);

    *seconds = anynorm_event_elapsed(event, &nanoseconds) == ANYNORM_OK && nanoseconds > 0
                   ? (double)nanoseconds * 1e-9
                   : (double)NAN;
    return status;
}

static anynorm_status time_one(struct bench_case *bench, enum bench_kind kind, bool cold,
                               struct turn *turn)
{
    anynorm_tensors tensors = tensors_of(bench, kind, cold);
    anynorm_event first = {0}, event = {0};
    anynorm_status status = ANYNORM_OK;
    double begin = an_clock_seconds(), before = 0;

    if (kind == BENCH_UNFUSED) {
        status = anynorm_enqueue(bench->add, &tensors, bench->rows[kind], 0, NULL, &first);
        tensors.x = tensors.sum;
        tensors.sum = tensors.residual = (anynorm_buffer){0};
    }
    if (status == ANYNORM_OK)
        status = anynorm_enqueue(bench->plans[kind], &tensors, bench->rows[kind], 0, NULL, &event);
    turn->host = an_clock_seconds() - begin;
    if (status == ANYNORM_OK)
        status = finish(&event, &turn->event);
    turn->wall = an_clock_seconds() - begin;
    if (status == ANYNORM_OK && kind == BENCH_UNFUSED)
        status = finish(&first, &before);
    turn->event += before;
    anynorm_event_release(&first);
    anynorm_event_release(&event);
    return status;
}

/* Seconds for each of 100 enqueues with one wait; a wait for each afterwards tells of failures. */
static anynorm_status time_batch(struct bench_case *bench, enum bench_kind kind, bool cold,
                                 double *seconds)
{
    anynorm_event events[BATCH] = {{0}};
    anynorm_status status = ANYNORM_OK;
    int count = 0;
    double begin = an_clock_seconds();

    for (; count < BATCH && status == ANYNORM_OK; count += status == ANYNORM_OK) {
        const anynorm_tensors tensors = tensors_of(bench, kind, cold);

        status = anynorm_enqueue(bench->plans[kind], &tensors, bench->rows[kind], 0, NULL,
                                 &events[count]);
    }
    if (status == ANYNORM_OK)
        status = anynorm_event_wait(&events[BATCH - 1]);
    *seconds = (an_clock_seconds() - begin) / (double)BATCH;
    for (int i = 0; i < count; i++) {
        anynorm_status one = anynorm_event_wait(&events[i]);

        status = status == ANYNORM_OK ? one : status;
        anynorm_event_release(&events[i]);
    }
    return status;
}

static void add(struct samples *samples, double value)
{
    if (samples->count < BENCH_SAMPLES_MOST)
        samples->values[samples->count++] = value;
}

/* One turn of each. A warm turn is run once before it is timed: what the one before left in the
 * caches is not its own. */
static anynorm_status round_of_turns(struct bench_case *bench, bool cold,
                                     struct kind_samples *samples)
{
    anynorm_status status = ANYNORM_OK;

    for (int k = 0; k < BENCH_KINDS && status == ANYNORM_OK; k++) {
        enum bench_kind kind = (enum bench_kind)k;
        struct turn turn;

        if (!bench->plans[kind])
            continue;
        if (!cold)
            status = time_one(bench, kind, cold, &turn);
        if (status == ANYNORM_OK)
            status = time_one(bench, kind, cold, &turn);
        if (status != ANYNORM_OK || !samples)
            continue;
        add(&samples[kind].wall, turn.wall);
        add(&samples[kind].host, turn.host);
        if (isfinite(turn.event))
            add(&samples[kind].event, turn.event);
    }
    return status;
}

static anynorm_status run_rounds(struct bench_case *bench, bool cold, double seconds,
                                 uint64_t repetitions, struct kind_samples *samples,
                                 uint64_t *rounds)
{
    /* Unmeasured: compilers at a first launch, and page faults. */
    anynorm_status status = round_of_turns(bench, cold, NULL);
    double end = an_clock_seconds() + seconds;

    for (*rounds = 0; status == ANYNORM_OK; ++*rounds) {
        bool enough = repetitions > 0 ? *rounds == repetitions
                                      : *rounds == BENCH_SAMPLES_MOST ||
                                            (*rounds >= LEAST_ROUNDS && an_clock_seconds() >= end);
        if (enough)
            break;
        status = round_of_turns(bench, cold, samples);
    }
    return status;
}

static anynorm_status run_batches(struct bench_case *bench, bool cold, double seconds,
                                  struct kind_samples *samples)
{
    static const enum bench_kind kinds[] = {BENCH_NORM, BENCH_EMPTY};
    anynorm_status status = ANYNORM_OK;
    double end = an_clock_seconds() + seconds;

    for (int round = 0; round < BATCH_ROUNDS && status == ANYNORM_OK; round++) {
        if (round > 2 && an_clock_seconds() >= end)
            break;
        for (int k = 0; k < 2 && status == ANYNORM_OK; k++) {
            double each;

            status = time_batch(bench, kinds[k], cold, &each);
            if (status == ANYNORM_OK && round > 0)
                add(&samples[kinds[k]].batched, each);
        }
    }
    return status;
}

/* ---- What is told of it ---- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct bench_spread bench_spread_of(double *values, size_t count)
{
    double last = (double)count - 1;

    if (count == 0)
        return (struct bench_spread){(double)NAN, (double)NAN, (double)NAN};
    qsort(values, count, sizeof *values, by_size);
    return (struct bench_spread){values[(size_t)(last * 0.1 + 0.5)],
                                 values[(size_t)(last * 0.5 + 0.5)],
                                 values[(size_t)(last * 0.9 + 0.5)]};
}

static struct bench_spread microseconds(struct samples *samples)
{
    struct bench_spread spread = bench_spread_of(samples->values, samples->count);

    return (struct bench_spread){spread.p10 * 1e6, spread.p50 * 1e6, spread.p90 * 1e6};
}

static void sum_up(const struct bench_case *bench, struct kind_samples *samples,
                   struct bench_result *result)
{
    bool by_event = bench->info.device_class == ANYNORM_CLASS_GPU &&
                    samples[BENCH_NORM].event.count > 0 && samples[BENCH_COPY].event.count > 0;
    double norm_us;

    result->by_event = by_event;
    result->wall = microseconds(&samples[BENCH_NORM].wall);
    result->event = microseconds(&samples[BENCH_NORM].event);
    norm_us = by_event ? result->event.p50 : result->wall.p50;
    result->gbps = (double)bench->bytes / norm_us * 1e-3;
    result->copy_us = (double)INFINITY;
    for (int k = BENCH_COPY; k <= BENCH_ADD; k++) {
        double us = microseconds(by_event ? &samples[k].event : &samples[k].wall).p50;

        if (us < result->copy_us) {
            result->copy_us = us;
            result->best_copy = (enum bench_kind)k;
        }
    }
    result->copy_gbps =
        (double)(baseline_row_bytes(bench, result->best_copy) * bench->rows[result->best_copy]) /
        result->copy_us * 1e-3;
    result->copy_share = result->gbps / result->copy_gbps;
    result->launch_us = microseconds(&samples[BENCH_EMPTY].wall).p50;
    result->host_ns = microseconds(&samples[BENCH_NORM].host).p50 * 1e3;
    result->unfused_us =
        microseconds(by_event ? &samples[BENCH_UNFUSED].event : &samples[BENCH_UNFUSED].wall).p50;
    result->fused_gain = result->unfused_us / norm_us;
    result->batched_us = microseconds(&samples[BENCH_NORM].batched).p50;
    result->batched_launch_us = microseconds(&samples[BENCH_EMPTY].batched).p50;
}

bool bench_case_run(struct bench_case *bench, bool cold, double seconds, uint64_t repetitions,
                    struct bench_result *result)
{
    struct kind_samples *samples = calloc(BENCH_KINDS, sizeof *samples);
    anynorm_status status;

    if (!samples)
        return cli_fail(CLI_FAILED, "bench", "out of memory");
    *result = (struct bench_result){.cold = cold};
    status = run_rounds(bench, cold, seconds, repetitions, samples, &result->rounds);
    if (status == ANYNORM_OK && bench->bytes <= batched_up_to)
        status = run_batches(bench, cold, seconds / 2, samples);
    if (status == ANYNORM_OK)
        sum_up(bench, samples, result);
    free(samples);
    return status == ANYNORM_OK || cli_fail_library("bench", status);
}
