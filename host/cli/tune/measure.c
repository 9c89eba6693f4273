#include "measure.h"

#include "bench/case.h"
#include "common/library.h"
#include "common/progress.h"
#include "cases/tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_ROWS = 61, /* different rows in x; a prime, so that no schedule's period meets it */
    SETS_MOST = 8,
    LAUNCHES_MOST = 64,
    ROUNDS = 9,
    ROUNDS_QUICK = 5,
    ROUNDS_BEFORE_DROPPING = 3,
    FINALISTS = 4 /* the baseline among them or beside them */
};

/* A batch that lasts so long is more than the clock and the scheduler blur. */
static const double batch_seconds = 3e-3;
/* One that takes so many times as long as the best is not worth another second. */
static const double hopeless = 1.4;

/* The tensors of rows, of which there are several sets, and all others in each of these alike. */
struct stage {
    struct tune_measure *measure;
    uint64_t rows;
    struct cli_tensor_info infos[TENSORS]; /* of so many rows */
    anynorm_tensors sets[SETS_MOST];
    size_t set_count;
    size_t next;          /* of the sets, in turn */
    uint64_t launches;    /* in a batch */
    unsigned char *block; /* the rows that inputs repeat */
    unsigned char *small; /* what a launch of these alone gives */
    unsigned char *read;  /* and what as many rows of a full one give */
};

/* Bytes of a row of the tensor: what it repeats, or a multiple of that. */
static uint64_t row_bytes(const struct stage *stage, int tensor)
{
    return stage->infos[tensor].period * anynorm_dtype_size(stage->infos[tensor].type);
}

bool tune_has_room(const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows)
{
    uint64_t widest = 1;

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info tensor = tensor_info(spec, t, 1);
        uint64_t bytes = tensor_bytes(&tensor);

        widest = bytes > widest ? bytes : widest;
    }
    return rows <= info->max_alloc_bytes / widest &&
           rows <= info->global_bytes / 2 / tensors_row_bytes(spec, 1);
}

/* ---- Data ---- */

/* Fills an input with the same rows over and over: of those of x, with a block; of parameters and
 * samples, with one, so that where a row stands changes nothing. */
static anynorm_status write_input(struct stage *stage, int tensor, anynorm_buffer buffer)
{
    const struct cli_tensor_info *info = &stage->infos[tensor];
    uint64_t bytes = tensor_bytes(info), rows = info->shape == OF_ROWS ? BLOCK_ROWS : 1;
    uint64_t block = rows * row_bytes(stage, tensor);
    anynorm_status status = ANYNORM_OK;

    random_fill(info->type, stage->block, rows * info->period, 0);
    for (uint64_t at = 0; at < bytes && status == ANYNORM_OK; at += block) {
        buffer.offset = at;
        status = anynorm_buffer_write(stage->measure->device, &buffer, stage->block,
                                      bytes - at < block ? bytes - at : block);
    }
    return status;
}

/* More than one set of tensors where a set could stay in the cache without being meant to: then the
 * sets take turns, and together outgrow it. */
static size_t count_sets(const struct stage *stage)
{
    anynorm_device_info info;
    uint64_t bytes = tensors_row_bytes(&stage->measure->spec, stage->rows);
    uint64_t sets = 1;

    if (anynorm_device_describe(stage->measure->device, &info) != ANYNORM_OK ||
        bytes <= info.cache_bytes / 2)
        return 1;
    sets += 2 * info.cache_bytes / bytes;
    while (sets > 1 && (sets > SETS_MOST || sets * bytes > info.global_bytes / 2))
        sets--;
    return (size_t)sets;
}

static bool stage_allocate(struct stage *stage)
{
    uint64_t widest = 0;

    for (int t = 0; t < TENSORS; t++) {
        stage->infos[t] = tensor_info(&stage->measure->spec, t, stage->rows);
        widest = row_bytes(stage, t) > widest ? row_bytes(stage, t) : widest;
    }
    stage->block = malloc((size_t)(BLOCK_ROWS * widest));
    stage->small = malloc((size_t)(BLOCK_ROWS * widest));
    stage->read = malloc((size_t)(BLOCK_ROWS * widest));
    return stage->block && stage->small && stage->read;
}

static anynorm_status make_tensor(struct stage *stage, int tensor, size_t set)
{
    anynorm_buffer *buffer = tensor_slot(&stage->sets[set], tensor);
    const struct cli_tensor_info *info = &stage->infos[tensor];
    anynorm_status status;

    if (!info->present)
        return ANYNORM_OK;
    if (set > 0 && info->shape != OF_ROWS) {
        *buffer = *tensor_slot(&stage->sets[0], tensor);
        return ANYNORM_OK;
    }
    status = anynorm_buffer_create(stage->measure->device, tensor_bytes(info), buffer);
    return status == ANYNORM_OK && !info->output ? write_input(stage, tensor, *buffer) : status;
}

static anynorm_status stage_open(struct stage *stage)
{
    anynorm_status status = ANYNORM_OK;

    stage->set_count = count_sets(stage);
    for (size_t i = 0; i < stage->set_count; i++) {
        for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++)
            status = make_tensor(stage, t, i);
    }
    return status;
}

static void stage_close(struct stage *stage)
{
    for (size_t i = 0; i < SETS_MOST; i++) {
        for (int t = 0; t < TENSORS; t++) {
            if (i == 0 || stage->infos[t].shape == OF_ROWS)
                anynorm_buffer_destroy(stage->measure->device, tensor_slot(&stage->sets[i], t));
        }
    }
    free(stage->block);
    free(stage->small);
    free(stage->read);
}

/* ---- Launching ---- */

/* Runs the plan `launches` times and waits; *seconds is what one took. */
static anynorm_status launch(struct stage *stage, anynorm_plan *plan, uint64_t rows,
                             uint64_t launches, double *seconds)
{
    anynorm_event events[LAUNCHES_MOST];
    anynorm_status status = ANYNORM_OK;
    uint64_t begun = 0;
    double started = clock_seconds();

    for (; begun < launches; begun++) {
        const anynorm_tensors *tensors = &stage->sets[stage->next++ % stage->set_count];

        status = anynorm_enqueue(plan, tensors, rows, 0, NULL, &events[begun]);
        if (status != ANYNORM_OK)
            break;
    }
    for (uint64_t i = begun; i-- > 0;) {
        anynorm_status done = anynorm_event_wait(&events[i]);

        if (status == ANYNORM_OK)
            status = done;
        if (i + 1 == begun)
            *seconds = (clock_seconds() - started) / (double)launches;
        anynorm_event_release(&events[i]);
    }
    return status;
}

/* Whether every row of an output has the bits, after a full launch, that it has after a small one.
 * What the small one's rows are worth, verification has told before. */
static anynorm_status check_rows_of(struct stage *stage, int tensor, struct tune_variant *variant)
{
    anynorm_device *device = stage->measure->device;
    uint64_t block_rows = stage->rows < BLOCK_ROWS ? stage->rows : BLOCK_ROWS;
    uint64_t row = row_bytes(stage, tensor);
    anynorm_buffer output = *tensor_slot(&stage->sets[0], tensor);
    anynorm_status status;
    double unused;

    stage->next = 0;
    status = launch(stage, variant->plan, block_rows, 1, &unused);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_read(device, &output, stage->small, block_rows * row);
    stage->next = 0;
    if (status == ANYNORM_OK)
        status = launch(stage, variant->plan, stage->rows, 1, &unused);
    for (uint64_t at = 0; at < stage->rows && status == ANYNORM_OK && !*variant->wrong;
         at += block_rows) {
        uint64_t bytes = (stage->rows - at < block_rows ? stage->rows - at : block_rows) * row;

        output.offset = at * row;
        status = anynorm_buffer_read(device, &output, stage->read, bytes);
        if (status == ANYNORM_OK && memcmp(stage->read, stage->small, (size_t)bytes) != 0)
            snprintf(variant->wrong, sizeof variant->wrong,
                     "rows of %s, of a launch of %llu, differ from the same rows in a small one",
                     stage->infos[tensor].name, (unsigned long long)stage->rows);
    }
    return status;
}

static anynorm_status check_rows(struct stage *stage, struct tune_variant *variant)
{
    anynorm_status status = ANYNORM_OK;

    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        if (stage->infos[t].output && stage->infos[t].shape == OF_ROWS)
            status = check_rows_of(stage, t, variant);
    }
    return status;
}

/* ---- Timing ---- */

struct race {
    double times[ROUNDS * 2][ANYNORM_MAX_VARIANTS]; /* of a launch, by round and variant */
    bool runs[ANYNORM_MAX_VARIANTS];                /* which variants are still in it */
};

/* The median of a variant's times, each as a share of the baseline's in the same round. */
static double median_share(const struct race *race, int rounds, size_t variant, size_t baseline)
{
    double shares[ROUNDS * 2];

    for (int r = 0; r < rounds; r++)
        shares[r] = race->times[r][variant] / race->times[r][baseline];
    return bench_spread_of(shares, (size_t)rounds).p50;
}

static void set_shares(struct tune_measure *measure, const struct race *race, int rounds)
{
    for (size_t v = 0; v < measure->count; v++) {
        if (race->runs[v])
            measure->variants[v].share = median_share(race, rounds, v, measure->baseline);
    }
}

/* Takes from the race who is hopelessly behind the best. */
static void drop_slow(const struct tune_measure *measure, struct race *race)
{
    double best = INFINITY;

    for (size_t v = 0; v < measure->count; v++)
        best = race->runs[v] ? fmin(best, measure->variants[v].share) : best;
    for (size_t v = 0; v < measure->count; v++) {
        if (measure->variants[v].share > hopeless * best && v != measure->baseline)
            race->runs[v] = false;
    }
}

static anynorm_status run_rounds(struct stage *stage, struct race *race, int rounds)
{
    struct tune_measure *measure = stage->measure;
    anynorm_status status = ANYNORM_OK;

    for (int r = 0; r < rounds && status == ANYNORM_OK; r++) {
        for (size_t i = 0; i < measure->count && status == ANYNORM_OK; i++) {
            /* Not always in the same order: a neighbour warms the cache or heats the chip. */
            size_t v = r % 2 ? measure->count - 1 - i : i;

            if (race->runs[v])
                status = launch(stage, measure->variants[v].plan, stage->rows, stage->launches,
                                &race->times[r][v]);
        }
        if (r + 1 == ROUNDS_BEFORE_DROPPING && status == ANYNORM_OK) {
            set_shares(measure, race, r + 1);
            drop_slow(measure, race);
        }
    }
    if (status == ANYNORM_OK)
        set_shares(measure, race, rounds);
    return status;
}

/* Leaves the fastest few and the baseline in the race. */
static void keep_finalists(const struct tune_measure *measure, struct race *race)
{
    bool stays[ANYNORM_MAX_VARIANTS] = {false};

    for (int k = 0; k < FINALISTS; k++) {
        size_t best = measure->count;

        for (size_t v = 0; v < measure->count; v++) {
            if (race->runs[v] && !stays[v] &&
                (best == measure->count ||
                 measure->variants[v].share < measure->variants[best].share))
                best = v;
        }
        if (best < measure->count)
            stays[best] = true;
    }
    stays[measure->baseline] = true;
    memcpy(race->runs, stays, sizeof stays);
}

/* The least of many noisy medians is partly luck: the finalists run again, and that counts. */
static anynorm_status time_variants(struct stage *stage, struct race *race)
{
    struct tune_measure *measure = stage->measure;
    int rounds = measure->quick ? ROUNDS_QUICK : ROUNDS;
    anynorm_status status = run_rounds(stage, race, rounds);

    if (status != ANYNORM_OK)
        return status;
    keep_finalists(measure, race);
    return run_rounds(stage, race, 2 * rounds);
}

/* Checks every variant, and has those take part that one launch does not rule out. */
static anynorm_status check_and_warm_up(struct stage *stage, struct race *race,
                                        void (*step)(void *user), void *user)
{
    struct tune_measure *measure = stage->measure;
    double times[ANYNORM_MAX_VARIANTS] = {0}, best = INFINITY;
    anynorm_status status = ANYNORM_OK;

    for (size_t v = 0; v < measure->count && status == ANYNORM_OK; v++) {
        struct tune_variant *variant = &measure->variants[v];

        variant->share = INFINITY;
        step(user);
        if (!variant->plan)
            continue;
        status = check_rows(stage, variant);
        if (status == ANYNORM_OK && *variant->wrong) {
            anynorm_plan_destroy(variant->plan);
            variant->plan = NULL;
            continue;
        }
        if (status == ANYNORM_OK)
            status = launch(stage, variant->plan, stage->rows, 1, &times[v]);
        race->runs[v] = true;
        best = fmin(best, times[v]);
    }
    while (measure->baseline < measure->count && !race->runs[measure->baseline])
        measure->baseline++; /* it has just proved wrong */
    for (size_t v = 0; v < measure->count; v++) {
        if (race->runs[v] && v != measure->baseline && times[v] > 4 * best + 1e-4)
            race->runs[v] = false;
    }
    if (measure->baseline < measure->count) {
        double most = batch_seconds / times[measure->baseline];
        stage->launches = most < 1                       ? 1
                          : most > (double)LAUNCHES_MOST ? LAUNCHES_MOST
                                                         : (uint64_t)most;
    }
    return status;
}

bool tune_measure(struct tune_measure *measure, uint64_t rows, void (*step)(void *user), void *user,
                  struct cli_error *error)
{
    struct race race = {.runs = {false}};
    struct stage stage = {.measure = measure, .rows = rows};
    bool done = stage_allocate(&stage) || cli_fail(error, CLI_FAILED, "tune", "out of memory");

    if (done) {
        anynorm_status status = stage_open(&stage);

        if (status == ANYNORM_OK)
            status = check_and_warm_up(&stage, &race, step, user);
        if (status == ANYNORM_OK && measure->baseline < measure->count)
            status = time_variants(&stage, &race);
        done = status == ANYNORM_OK || cli_fail_library(error, "tune", status);
    }
    stage_close(&stage);
    return done;
}
