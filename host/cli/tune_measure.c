#include "tune_measure.h"

#include "bench_samples.h"
#include "library.h"
#include "progress.h"
#include "random_values.h"

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

struct set {
    anynorm_buffer x;
    anynorm_buffer y;
};

struct stage {
    struct tune_measure *measure;
    uint64_t rows;
    uint64_t row_bytes; /* of x, and of y, which has its type */
    struct set sets[SETS_MOST];
    size_t set_count;
    anynorm_buffer weight;
    anynorm_buffer bias;
    size_t next;          /* of the sets, in turn */
    uint64_t launches;    /* in a batch */
    unsigned char *block; /* the rows that x repeats */
    unsigned char *small; /* what a launch of these alone gives */
    unsigned char *read;  /* and what as many rows of a full one give */
};

bool tune_has_room(const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows)
{
    uint64_t row = spec->columns * anynorm_dtype_size(spec->x_type);

    return rows <= info->max_alloc_bytes / row && rows <= info->global_bytes / 4 / row;
}

/* ---- Data ---- */

/* x holds the same block of rows over and over. */
static anynorm_status write_x(struct stage *stage, anynorm_buffer x)
{
    anynorm_status status = ANYNORM_OK;

    for (uint64_t row = 0; row < stage->rows && status == ANYNORM_OK; row += BLOCK_ROWS) {
        uint64_t rows = stage->rows - row < BLOCK_ROWS ? stage->rows - row : BLOCK_ROWS;

        x.offset = row * stage->row_bytes;
        status =
            anynorm_buffer_write(stage->measure->device, &x, stage->block, rows * stage->row_bytes);
    }
    return status;
}

static anynorm_status write_parameter(struct stage *stage, anynorm_buffer *buffer)
{
    const anynorm_spec *spec = &stage->measure->spec;
    uint64_t bytes = spec->columns * anynorm_dtype_size(spec->parameter_type);
    anynorm_status status = anynorm_buffer_create(stage->measure->device, bytes, buffer);

    if (status != ANYNORM_OK)
        return status;
    /* It has room for many rows of x, and nothing in it yet. */
    random_fill(spec->parameter_type, stage->small, spec->columns, 0);
    return anynorm_buffer_write(stage->measure->device, buffer, stage->small, bytes);
}

/* More than one pair of x and y where a pair could stay in the cache without being meant to: then
 * the pairs take turns, and together outgrow it. */
static size_t count_sets(const struct stage *stage)
{
    anynorm_device_info info;
    uint64_t bytes = 2 * stage->rows * stage->row_bytes;
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
    size_t bytes = (size_t)(BLOCK_ROWS * stage->row_bytes);

    stage->block = malloc(bytes);
    stage->small = malloc(bytes);
    stage->read = malloc(bytes);
    return stage->block && stage->small && stage->read;
}

static anynorm_status stage_open(struct stage *stage)
{
    anynorm_device *device = stage->measure->device;
    const anynorm_spec *spec = &stage->measure->spec;
    uint64_t bytes = stage->rows * stage->row_bytes;
    anynorm_status status = ANYNORM_OK;

    random_fill(spec->x_type, stage->block, BLOCK_ROWS * spec->columns, 0);
    stage->set_count = count_sets(stage);
    for (size_t i = 0; i < stage->set_count && status == ANYNORM_OK; i++) {
        status = anynorm_buffer_create(device, bytes, &stage->sets[i].x);
        if (status == ANYNORM_OK)
            status = anynorm_buffer_create(device, bytes, &stage->sets[i].y);
        if (status == ANYNORM_OK)
            status = write_x(stage, stage->sets[i].x);
    }
    if (status == ANYNORM_OK)
        status = write_parameter(stage, &stage->weight);
    if (status == ANYNORM_OK)
        status = write_parameter(stage, &stage->bias);
    return status;
}

static void stage_close(struct stage *stage)
{
    anynorm_device *device = stage->measure->device;

    for (size_t i = 0; i < SETS_MOST; i++) {
        anynorm_buffer_destroy(device, &stage->sets[i].x);
        anynorm_buffer_destroy(device, &stage->sets[i].y);
    }
    anynorm_buffer_destroy(device, &stage->weight);
    anynorm_buffer_destroy(device, &stage->bias);
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
        const struct set *set = &stage->sets[stage->next++ % stage->set_count];
        const anynorm_tensors tensors = {
            .x = set->x, .y = set->y, .weight = stage->weight, .bias = stage->bias};

        status = anynorm_enqueue(plan, &tensors, rows, 0, NULL, &events[begun]);
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

/* Whether every row of a full launch has the bits that it has in a small one. What the small one's
 * rows are worth, verification has told before. */
static anynorm_status check_rows(struct stage *stage, struct tune_variant *variant)
{
    anynorm_device *device = stage->measure->device;
    uint64_t block_rows = stage->rows < BLOCK_ROWS ? stage->rows : BLOCK_ROWS;
    anynorm_buffer y = stage->sets[0].y;
    anynorm_status status;
    double unused;

    stage->next = 0;
    status = launch(stage, variant->plan, block_rows, 1, &unused);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_read(device, &y, stage->small, block_rows * stage->row_bytes);
    stage->next = 0;
    if (status == ANYNORM_OK)
        status = launch(stage, variant->plan, stage->rows, 1, &unused);
    for (uint64_t row = 0; row < stage->rows && status == ANYNORM_OK && !*variant->wrong;
         row += block_rows) {
        uint64_t rows = stage->rows - row < block_rows ? stage->rows - row : block_rows;

        y.offset = row * stage->row_bytes;
        status = anynorm_buffer_read(device, &y, stage->read, rows * stage->row_bytes);
        if (status == ANYNORM_OK && memcmp(stage->read, stage->small, rows * stage->row_bytes) != 0)
            snprintf(variant->wrong, sizeof variant->wrong,
                     "rows of a launch of %llu differ from the same rows in a small one",
                     (unsigned long long)stage->rows);
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
    struct bench_samples shares = {.count = 0};

    for (int r = 0; r < rounds; r++)
        bench_samples_add(&shares, race->times[r][variant] / race->times[r][baseline]);
    return bench_samples_spread(&shares).p50;
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
        stage->launches = most < 1 ? 1 : most > LAUNCHES_MOST ? LAUNCHES_MOST : (uint64_t)most;
    }
    return status;
}

bool tune_measure(struct tune_measure *measure, uint64_t rows, void (*step)(void *user), void *user,
                  struct cli_error *error)
{
    const anynorm_spec *spec = &measure->spec;
    struct race race = {.runs = {false}};
    struct stage stage = {.measure = measure,
                          .rows = rows,
                          .row_bytes = spec->columns * anynorm_dtype_size(spec->x_type)};
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
