#include "case.h"

#include "common/library.h"
#include "common/progress.h"

#include <math.h>
#include <stdlib.h>

enum { BATCH = 100, LEAST_ROUNDS = 5, BATCH_ROUNDS = 25 };

/* Larger ones take so long that a launch does not show. */
static const uint64_t batched_up_to = UINT64_C(4) << 20;

static const char *const baselines[BENCH_KINDS] = {
    [BENCH_COPY] = "copy", [BENCH_COPY_STREAMING] = "copy_streaming", [BENCH_EMPTY] = "empty"};

/* What one enqueue took, in seconds. */
struct turn {
    double host;  /* until the enqueue returned */
    double wall;  /* until the wait was over */
    double event; /* the device's own time; NaN where it does not measure */
};

struct kind_samples {
    struct bench_samples wall, event, host, batched;
};

/* ---- Plans ---- */

/* *plan stays NULL where it cannot be had and may be done without. */
static bool make_plan(struct bench_case *bench, enum bench_kind kind, const anynorm_spec *spec,
                      const char *schedule, anynorm_plan **plan, bool *skipped,
                      struct cli_error *error)
{
    const anynorm_plan_options options = {.schedule = schedule};
    bool optional = kind == BENCH_COPY_STREAMING || kind == BENCH_UNFUSED;
    anynorm_status status = anynorm_plan_create(bench->device, spec, &options, plan);

    if (status == ANYNORM_OK || (optional && status == ANYNORM_UNSUPPORTED))
        return true;
    *skipped = status == ANYNORM_UNSUPPORTED || status == ANYNORM_OUT_OF_MEMORY;
    if (*skipped)
        return cli_fail(error, CLI_FAILED, "bench", "%s", anynorm_message());
    return cli_fail_library(error, kind == BENCH_NORM && schedule ? "--schedule" : "bench", status);
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
static bool make_unfused(struct bench_case *bench, const char *schedule, bool *skipped,
                         struct cli_error *error)
{
    const anynorm_spec alone = unfused(&bench->spec);

    if (!make_plan(bench, BENCH_UNFUSED, &bench->spec, "add", &bench->add, skipped, error))
        return false;
    return !bench->add || make_plan(bench, BENCH_UNFUSED, &alone, schedule,
                                    &bench->plans[BENCH_UNFUSED], skipped, error);
}

bool bench_case_make(struct bench_case *bench, anynorm_device *device, const char *schedule,
                     const anynorm_spec *spec, uint64_t rows, bool *skipped,
                     struct cli_error *error)
{
    uint64_t row = tensors_row_bytes(spec, 1);

    *skipped = false;
    *bench = (struct bench_case){
        .device = device, .spec = *spec, .bytes = tensors_bytes(spec, rows), .row_bytes = row};
    anynorm_device_describe(device, &bench->info);
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        bench->rows[kind] = rows;
    bench->rows[BENCH_COPY] = bench->bytes / row + (bench->bytes % row > 0);
    bench->rows[BENCH_COPY_STREAMING] = bench->rows[BENCH_COPY];
    for (int kind = 0; kind < BENCH_UNFUSED; kind++) {
        if (!make_plan(bench, (enum bench_kind)kind, spec,
                       kind == BENCH_NORM ? schedule : baselines[kind], &bench->plans[kind],
                       skipped, error))
            goto fail;
    }
    if (!make_unfused(bench, schedule, skipped, error))
        goto fail;
    anynorm_plan_describe(bench->plans[BENCH_NORM], &bench->plan);
    if (bench_memory_make(&bench->memory, device, &bench->info, &bench->spec,
                          bench->rows[BENCH_COPY], skipped, error))
        return true;
fail:
    bench_case_free(bench);
    return false;
}

void bench_case_free(struct bench_case *bench)
{
    bench_memory_free(&bench->memory);
    for (int kind = 0; kind < BENCH_KINDS; kind++) {
        anynorm_plan_destroy(bench->plans[kind]);
        bench->plans[kind] = NULL;
    }
    anynorm_plan_destroy(bench->add);
    bench->add = NULL;
}

/* ---- Timing ---- */

static anynorm_tensors tensors_of(struct bench_case *bench, bool cold)
{
    return cold ? bench_memory_next(&bench->memory) : bench_memory_first(&bench->memory);
}

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
    anynorm_tensors tensors = tensors_of(bench, cold);
    anynorm_event first = {0}, event = {0};
    anynorm_status status = ANYNORM_OK;
    double begin = clock_seconds(), before = 0;

    if (kind == BENCH_UNFUSED) {
        status = anynorm_enqueue(bench->add, &tensors, bench->rows[kind], 0, NULL, &first);
        tensors.x = tensors.sum;
        tensors.sum = tensors.residual = (anynorm_buffer){0};
    }
    if (status == ANYNORM_OK)
        status = anynorm_enqueue(bench->plans[kind], &tensors, bench->rows[kind], 0, NULL, &event);
    turn->host = clock_seconds() - begin;
    if (status == ANYNORM_OK)
        status = finish(&event, &turn->event);
    turn->wall = clock_seconds() - begin;
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
    double begin = clock_seconds();

    for (; count < BATCH && status == ANYNORM_OK; count += status == ANYNORM_OK) {
        const anynorm_tensors tensors = tensors_of(bench, cold);

        status = anynorm_enqueue(bench->plans[kind], &tensors, bench->rows[kind], 0, NULL,
                                 &events[count]);
    }
    if (status == ANYNORM_OK)
        status = anynorm_event_wait(&events[BATCH - 1]);
    *seconds = (clock_seconds() - begin) / (double)BATCH;
    for (int i = 0; i < count; i++) {
        anynorm_status one = anynorm_event_wait(&events[i]);

        status = status == ANYNORM_OK ? one : status;
        anynorm_event_release(&events[i]);
    }
    return status;
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
        bench_samples_add(&samples[kind].wall, turn.wall);
        bench_samples_add(&samples[kind].host, turn.host);
        if (isfinite(turn.event))
            bench_samples_add(&samples[kind].event, turn.event);
    }
    return status;
}

static anynorm_status run_rounds(struct bench_case *bench, bool cold, double seconds,
                                 uint64_t repetitions, struct kind_samples *samples,
                                 uint64_t *rounds)
{
    /* Unmeasured: compilers at a first launch, and page faults. */
    anynorm_status status = round_of_turns(bench, cold, NULL);
    double end = clock_seconds() + seconds;

    for (*rounds = 0; status == ANYNORM_OK; ++*rounds) {
        bool enough = repetitions > 0 ? *rounds == repetitions
                                      : *rounds == BENCH_SAMPLES_MOST ||
                                            (*rounds >= LEAST_ROUNDS && clock_seconds() >= end);
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
    double end = clock_seconds() + seconds;

    for (int round = 0; round < BATCH_ROUNDS && status == ANYNORM_OK; round++) {
        if (round > 2 && clock_seconds() >= end)
            break;
        for (int k = 0; k < 2 && status == ANYNORM_OK; k++) {
            double each;

            status = time_batch(bench, kinds[k], cold, &each);
            if (status == ANYNORM_OK && round > 0)
                bench_samples_add(&samples[kinds[k]].batched, each);
        }
    }
    return status;
}

/* ---- What is told of it ---- */

static struct bench_spread microseconds(struct bench_samples *samples)
{
    struct bench_spread spread = bench_samples_spread(samples);

    return (struct bench_spread){spread.p10 * 1e6, spread.p50 * 1e6, spread.p90 * 1e6};
}

static void sum_up(const struct bench_case *bench, struct kind_samples *samples,
                   struct bench_result *result)
{
    bool by_event = bench->info.device_class == ANYNORM_CLASS_GPU &&
                    samples[BENCH_NORM].event.count > 0 && samples[BENCH_COPY].event.count > 0;
    double copied = (double)(bench->row_bytes * bench->rows[BENCH_COPY]);
    double norm_us;

    result->by_event = by_event;
    result->wall = microseconds(&samples[BENCH_NORM].wall);
    result->event = microseconds(&samples[BENCH_NORM].event);
    norm_us = by_event ? result->event.p50 : result->wall.p50;
    result->gbps = (double)bench->bytes / norm_us * 1e-3;
    result->copy_us = (double)INFINITY;
    for (int k = BENCH_COPY; k <= BENCH_COPY_STREAMING; k++) {
        double us = microseconds(by_event ? &samples[k].event : &samples[k].wall).p50;

        if (us < result->copy_us) {
            result->copy_us = us;
            result->best_copy = (enum bench_kind)k;
        }
    }
    result->copy_gbps = copied / result->copy_us * 1e-3;
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
                    struct bench_result *result, struct cli_error *error)
{
    struct kind_samples *samples = calloc(BENCH_KINDS, sizeof *samples);
    anynorm_status status;

    if (!samples)
        return cli_fail(error, CLI_FAILED, "bench", "out of memory");
    *result = (struct bench_result){.cold = cold};
    status = run_rounds(bench, cold, seconds, repetitions, samples, &result->rounds);
    if (status == ANYNORM_OK && bench->bytes <= batched_up_to)
        status = run_batches(bench, cold, seconds / 2, samples);
    if (status == ANYNORM_OK)
        sum_up(bench, samples, result);
    free(samples);
    return status == ANYNORM_OK || cli_fail_library(error, "bench", status);
}
