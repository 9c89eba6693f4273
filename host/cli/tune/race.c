#include "race.h"

#include "bench/case.h"
#include "common/cli.h"
#include "platform/system.h"
#include "cases/tensors.h"
#include "verify/case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VERIFY_ROWS = 5,
    VERIFY_ROWS_BACK = 150, /* of one case of gradients: so many that a part has several of them */
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

/* ---- Who takes part ---- */

/* False where the work itself fails. */
static bool verify_variant(const struct tune_race *race, struct tune_variant *variant)
{
    const anynorm_plan_options options = {.schedule = variant->choice};
    anynorm_status status = ANYNORM_OK;

    int cases = VERIFY_VALUES + (race->spec.gradients.flags != 0);

    for (int i = 0; i < cases && !*variant->wrong; i++) {
        int values = i % VERIFY_VALUES;
        struct verify_case c = {.spec = race->spec,
                                .rows = i < VERIFY_VALUES ? VERIFY_ROWS : VERIFY_ROWS_BACK,
                                .values = (enum verify_values)values};
        struct verify_result result;

        if (race->run > 0)
            spec_interleave(&c.spec, c.rows, race->run);
        if (!verify_case_has_meaning(&c))
            continue;
        status = verify_case_run(race->device, race->reference, variant->choice, &c, &result);
        if (status == ANYNORM_UNSUPPORTED)
            return true; /* the compiled kernel's own limits */
        if (status == ANYNORM_BUILD_FAILED)
            snprintf(variant->wrong, sizeof variant->wrong, "%.190s", anynorm_message());
        else if (status == ANYNORM_OUT_OF_MEMORY) /* the library's, or the program's own */
            return cli_fail(CLI_FAILED, "tune", "the memory for a case could not be had");
        else if (status != ANYNORM_OK)
            return cli_fail_library("tune", status);
        else if (*result.wrong)
            snprintf(variant->wrong, sizeof variant->wrong, "%s (values %d)", result.wrong, values);
    }
    if (*variant->wrong)
        return true;
    status = anynorm_plan_create(race->device, &race->spec, &options, &variant->plan);
    return status == ANYNORM_OK || cli_fail_library("tune", status);
}

static bool is_refused(const struct tune_variant *variant)
{
    return !variant->plan && !*variant->wrong;
}

/* Where the compiled kernel refuses the group, the library takes what it does not refuse. */
static void let_shrink(const struct tune_race *race, struct tune_variant *variant)
{
    char name[sizeof variant->choice];
    const anynorm_plan_options options = {.schedule = name};
    anynorm_plan_info info;
    anynorm_plan *plan;

    snprintf(name, sizeof name, "%.*s", (int)strcspn(variant->choice, " "), variant->choice);
    if (anynorm_plan_create(race->device, &race->spec, &options, &plan) != ANYNORM_OK)
        return;
    if (anynorm_plan_describe(plan, &info) == ANYNORM_OK)
        memcpy(variant->choice, info.choice, sizeof variant->choice);
    anynorm_plan_destroy(plan);
}

bool tune_race_enter(struct tune_race *race)
{
    anynorm_variant variant;

    for (size_t i = 0; i == 0 || i < race->count; i++) {
        anynorm_status status =
            anynorm_plan_variant(race->device, &race->spec, i, &variant, &race->count);

        if (status != ANYNORM_OK)
            return cli_fail_library(race->info->id, status);
        memcpy(race->variants[i].choice, variant.choice, sizeof variant.choice);
    }
    for (size_t i = 0; i < race->count; i++) {
        struct tune_variant *v = &race->variants[i];
        bool found = race->own < i;

        race->step(race->user);
        if (found && strcmp(v->choice, race->variants[race->own].choice) == 0)
            continue; /* what the library's own has shrunk to */
        if (!verify_variant(race, v))
            return false;
        if (found || !is_refused(v))
            continue;
        let_shrink(race, v);
        if (!verify_variant(race, v))
            return false;
        race->own += is_refused(v);
    }
    while (race->baseline < race->count && !race->variants[race->baseline].plan)
        race->baseline++;
    return race->baseline < race->count ||
           cli_fail(CLI_FAILED, race->info->id,
                    "no schedule gives right results at %" PRIu64 " columns of %s",
                    race->spec.columns, anynorm_dtype_name(race->spec.x.type));
}

void tune_race_free(struct tune_race *race)
{
    for (size_t v = 0; v < race->count; v++)
        anynorm_plan_destroy(race->variants[v].plan);
}

/* ---- Data ---- */

/* The tensors of rows, of which there are several sets, and all others in each of these alike. */
struct stage {
    struct tune_race *race;
    uint64_t rows;
    struct cli_tensor_info infos[TENSORS]; /* of so many rows */
    uint64_t workspace;                    /* bytes, for these or for a block of rows */
    anynorm_tensors sets[SETS_MOST];
    size_t set_count;
    size_t next;       /* of the sets, in turn */
    uint64_t launches; /* in a batch */
    uint64_t piece;    /* rows that are written and read together: BLOCK_ROWS, or all where they lie
                          between each other's columns */
    unsigned char *block; /* so many, of which BLOCK_ROWS differ: what inputs repeat */
    unsigned char *small; /* what a launch of BLOCK_ROWS gives */
    unsigned char *read;  /* and what as many rows as a piece of a full one give */
    double times[ROUNDS * 2][ANYNORM_MAX_VARIANTS]; /* of a launch, by round and variant */
    bool runs[ANYNORM_MAX_VARIANTS];                /* which variants are still in the race */
};

/* Bytes of a row of the tensor: what it repeats, or a multiple of that. */
static uint64_t row_bytes(const struct stage *stage, int tensor)
{
    return stage->infos[tensor].period * anynorm_dtype_size(stage->infos[tensor].type);
}

bool tune_race_has_room(const struct tune_race *race, uint64_t rows)
{
    const anynorm_device_info *info = race->info;
    uint64_t widest = 1;

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info tensor = tensor_info(&race->spec, t, 1);
        uint64_t bytes = tensor_bytes(&tensor);

        widest = bytes > widest ? bytes : widest;
    }
    return rows <= info->max_alloc_bytes / widest &&
           rows <= info->global_bytes / 2 / tensors_row_bytes(&race->spec, 1);
}

/* Where the columns of a row of a piece begin that lie side by side from `column` on. */
static uint64_t byte_of(const struct stage *stage, int tensor, uint64_t row, uint64_t column)
{
    return tensor_element(&stage->race->spec, tensor, row, column) *
           anynorm_dtype_size(stage->infos[tensor].type);
}

/* Columns that lie side by side in a tensor of rows. */
static uint64_t run_of(const struct stage *stage)
{
    return stage->race->run > 0 ? stage->race->run : stage->race->spec.columns;
}

/* Has the rows of a piece from BLOCK_ROWS on repeat those before. */
static void repeat_rows(const struct stage *stage, int tensor, unsigned char *piece)
{
    uint64_t run = run_of(stage), size = run * anynorm_dtype_size(stage->infos[tensor].type);

    for (uint64_t row = BLOCK_ROWS; row < stage->piece; row++) {
        for (uint64_t c = 0; c < stage->race->spec.columns; c += run)
            memcpy(piece + byte_of(stage, tensor, row, c),
                   piece + byte_of(stage, tensor, row % BLOCK_ROWS, c), (size_t)size);
    }
}

/* Fills an input with the same rows over and over: of those of x, with a piece; of parameters and
 * samples, with one, so that where a row stands changes nothing. */
static anynorm_status write_input(struct stage *stage, int tensor, anynorm_buffer buffer)
{
    const struct cli_tensor_info *info = &stage->infos[tensor];
    uint64_t bytes = tensor_bytes(info), rows = info->shape == OF_ROWS ? stage->piece : 1;
    uint64_t block = rows * row_bytes(stage, tensor);
    anynorm_status status = ANYNORM_OK;

    random_fill_tensor(&stage->race->spec, tensor, stage->block, rows * info->period);
    if (info->shape == OF_ROWS)
        repeat_rows(stage, tensor, stage->block);
    for (uint64_t at = 0; at < bytes && status == ANYNORM_OK; at += block) {
        buffer.offset = at;
        status = anynorm_buffer_write(stage->race->device, &buffer, stage->block,
                                      bytes - at < block ? bytes - at : block);
    }
    return status;
}

/* More than one set of tensors where a set could stay in the cache without being meant to: then the
 * sets take turns, and together outgrow it. */
static size_t count_sets(const struct stage *stage)
{
    const anynorm_device_info *info = stage->race->info;
    uint64_t bytes = tensors_row_bytes(&stage->race->spec, stage->rows);
    uint64_t sets = 1;

    if (bytes <= info->cache_bytes / 2)
        return 1;
    sets += 2 * info->cache_bytes / bytes;
    while (sets > 1 && (sets > SETS_MOST || sets * bytes > info->global_bytes / 2))
        sets--;
    return (size_t)sets;
}

static uint64_t block_rows(const struct stage *stage)
{
    return stage->rows < BLOCK_ROWS ? stage->rows : BLOCK_ROWS;
}

/* Fewer rows may need more of it. That of all variants is the same. */
static anynorm_status find_workspace(struct stage *stage)
{
    const struct tune_race *race = stage->race;
    uint64_t bytes, few;

    stage->workspace = sizeof(double);
    if (race->baseline == race->count) /* nothing is left to be run */
        return ANYNORM_OK;
    const anynorm_plan *plan = race->variants[race->baseline].plan;
    anynorm_status status = anynorm_plan_workspace(plan, stage->rows, &bytes);

    if (status == ANYNORM_OK)
        status = anynorm_plan_workspace(plan, block_rows(stage), &few);
    if (status == ANYNORM_OK)
        stage->workspace = bytes > few ? bytes : few;
    return status;
}

static bool stage_allocate(struct stage *stage)
{
    uint64_t widest = 0;

    for (int t = 0; t < TENSORS; t++) {
        stage->infos[t] = tensor_info(&stage->race->spec, t, stage->rows);
        widest = row_bytes(stage, t) > widest ? row_bytes(stage, t) : widest;
    }
    stage->piece = stage->race->run > 0 ? stage->rows : BLOCK_ROWS;
    stage->block = malloc((size_t)(stage->piece * widest));
    stage->small = malloc((size_t)(stage->piece * widest));
    stage->read = malloc((size_t)(stage->piece * widest));
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
    status = anynorm_buffer_create(
        stage->race->device, tensor == TENSOR_WORKSPACE ? stage->workspace : tensor_bytes(info),
        buffer);
    return status == ANYNORM_OK && !info->output ? write_input(stage, tensor, *buffer) : status;
}

static anynorm_status stage_open(struct stage *stage)
{
    anynorm_status status = find_workspace(stage);

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
                anynorm_buffer_destroy(stage->race->device, tensor_slot(&stage->sets[i], t));
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
    double started = an_clock_seconds();

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
            *seconds = (an_clock_seconds() - started) / (double)launches;
        anynorm_event_release(&events[i]);
    }
    return status;
}

/* Whether each of `count` rows that were read has the bits of the same row of the small launch. */
static bool are_alike(const struct stage *stage, int tensor, uint64_t count)
{
    uint64_t run = run_of(stage), size = run * anynorm_dtype_size(stage->infos[tensor].type);

    for (uint64_t row = 0; row < count; row++) {
        for (uint64_t c = 0; c < stage->race->spec.columns; c += run) {
            if (memcmp(stage->read + byte_of(stage, tensor, row, c),
                       stage->small + byte_of(stage, tensor, row % BLOCK_ROWS, c),
                       (size_t)size) != 0)
                return false;
        }
    }
    return true;
}

/* Whether every row of an output has the bits, after a full launch, that it has after a small one.
 * What the small one's rows are worth, verification has told before. */
static anynorm_status check_rows_of(struct stage *stage, int tensor, struct tune_variant *variant)
{
    anynorm_device *device = stage->race->device;
    uint64_t few = block_rows(stage), row = row_bytes(stage, tensor);
    uint64_t piece = stage->rows < stage->piece ? stage->rows : stage->piece;
    anynorm_buffer output = *tensor_slot(&stage->sets[0], tensor);
    anynorm_status status;
    double unused;

    stage->next = 0;
    status = launch(stage, variant->plan, few, 1, &unused);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_read(device, &output, stage->small, piece * row);
    stage->next = 0;
    if (status == ANYNORM_OK)
        status = launch(stage, variant->plan, stage->rows, 1, &unused);
    for (uint64_t at = 0; at < stage->rows && status == ANYNORM_OK && !*variant->wrong;
         at += piece) {
        uint64_t count = stage->rows - at < piece ? stage->rows - at : piece;

        output.offset = at * row;
        status = anynorm_buffer_read(device, &output, stage->read, count * row);
        if (status == ANYNORM_OK && !are_alike(stage, tensor, count))
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

/* The median of a variant's times, each as a share of the baseline's in the same round. */
static void set_shares(struct stage *stage, int rounds)
{
    struct tune_race *race = stage->race;
    double shares[ROUNDS * 2];

    for (size_t v = 0; v < race->count; v++) {
        for (int r = 0; r < rounds && stage->runs[v]; r++)
            shares[r] = stage->times[r][v] / stage->times[r][race->baseline];
        if (stage->runs[v])
            race->variants[v].share = bench_spread_of(shares, (size_t)rounds).p50;
    }
}

/* Takes from the race who is hopelessly behind the best. */
static void drop_slow(struct stage *stage)
{
    const struct tune_race *race = stage->race;
    double best = INFINITY;

    for (size_t v = 0; v < race->count; v++)
        best = stage->runs[v] ? fmin(best, race->variants[v].share) : best;
    for (size_t v = 0; v < race->count; v++) {
        if (race->variants[v].share > hopeless * best && v != race->baseline)
            stage->runs[v] = false;
    }
}

static anynorm_status run_rounds(struct stage *stage, int rounds)
{
    struct tune_race *race = stage->race;
    anynorm_status status = ANYNORM_OK;

    for (int r = 0; r < rounds && status == ANYNORM_OK; r++) {
        for (size_t i = 0; i < race->count && status == ANYNORM_OK; i++) {
            /* Not always in the same order: a neighbour warms the cache or heats the chip. */
            size_t v = r % 2 ? race->count - 1 - i : i;

            if (stage->runs[v])
                status = launch(stage, race->variants[v].plan, stage->rows, stage->launches,
                                &stage->times[r][v]);
        }
        if (r + 1 == ROUNDS_BEFORE_DROPPING && status == ANYNORM_OK) {
            set_shares(stage, r + 1);
            drop_slow(stage);
        }
    }
    if (status == ANYNORM_OK)
        set_shares(stage, rounds);
    return status;
}

/* Leaves the fastest few and the baseline in the race. */
static void keep_finalists(struct stage *stage)
{
    const struct tune_race *race = stage->race;
    bool stays[ANYNORM_MAX_VARIANTS] = {false};

    for (int k = 0; k < FINALISTS; k++) {
        size_t best = race->count;

        for (size_t v = 0; v < race->count; v++) {
            if (stage->runs[v] && !stays[v] &&
                (best == race->count || race->variants[v].share < race->variants[best].share))
                best = v;
        }
        if (best < race->count)
            stays[best] = true;
    }
    stays[race->baseline] = true;
    memcpy(stage->runs, stays, sizeof stays);
}

/* The least of many noisy medians is partly luck: the finalists run again, and that counts. */
static anynorm_status time_variants(struct stage *stage)
{
    int rounds = stage->race->quick ? ROUNDS_QUICK : ROUNDS;
    anynorm_status status = run_rounds(stage, rounds);

    if (status != ANYNORM_OK)
        return status;
    keep_finalists(stage);
    return run_rounds(stage, 2 * rounds);
}

/* Checks every variant, and has those take part that one launch does not rule out. */
static anynorm_status check_and_warm_up(struct stage *stage)
{
    struct tune_race *race = stage->race;
    double times[ANYNORM_MAX_VARIANTS] = {0}, best = INFINITY;
    anynorm_status status = ANYNORM_OK;

    for (size_t v = 0; v < race->count && status == ANYNORM_OK; v++) {
        struct tune_variant *variant = &race->variants[v];

        variant->share = INFINITY;
        race->step(race->user);
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
        stage->runs[v] = true;
        best = fmin(best, times[v]);
    }
    while (race->baseline < race->count && !stage->runs[race->baseline])
        race->baseline++; /* it has just proved wrong */
    for (size_t v = 0; v < race->count; v++) {
        if (stage->runs[v] && v != race->baseline && times[v] > 4 * best + 1e-4)
            stage->runs[v] = false;
    }
    if (race->baseline < race->count) {
        double most = batch_seconds / times[race->baseline];
        stage->launches = most < 1                       ? 1
                          : most > (double)LAUNCHES_MOST ? LAUNCHES_MOST
                                                         : (uint64_t)most;
    }
    return status;
}

bool tune_race_run(struct tune_race *race, uint64_t rows)
{
    struct stage stage = {.race = race, .rows = rows};
    bool done = stage_allocate(&stage) || cli_fail(CLI_FAILED, "tune", "out of memory");

    if (done) {
        anynorm_status status = stage_open(&stage);

        if (status == ANYNORM_OK)
            status = check_and_warm_up(&stage);
        if (status == ANYNORM_OK && race->baseline < race->count)
            status = time_variants(&stage);
        done = status == ANYNORM_OK || cli_fail_library("tune", status);
    }
    stage_close(&stage);
    return done;
}
