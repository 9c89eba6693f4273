#include "job.h"

#include "common/library.h"
#include "measure.h"
#include "verify/case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a choice must gain before it replaces the library's own: less may be the weather. */
static const double gain_wanted = 1.03;

enum { VERIFY_ROWS = 5, EVERY_SHAPE = SHAPES_MOST };

/* The shapes of one number of columns, and what their measurements gave. */
struct job {
    const struct op *op;
    struct tune_measure measure;
    struct tune_variant variants[ANYNORM_MAX_VARIANTS];
    const struct shape *shapes;
    size_t shape_count;
    size_t own; /* the variant that the library takes without tuning */
    double shares[SHAPES_MOST][ANYNORM_MAX_VARIANTS];
    bool measured[SHAPES_MOST];
};

/* ---- Telling ---- */

static void take_step(void *user)
{
    struct tune *tune = user;

    tune->step++;
    progress_update(&tune->progress,
                    tune->stages_done * TUNE_STEPS + tune->step * TUNE_STEPS / (tune->steps + 1));
}

static void end_stage(struct tune *tune)
{
    tune->step = 0;
    progress_update(&tune->progress, ++tune->stages_done * TUNE_STEPS);
}

static void tell_wrong(struct tune *tune, const struct job *job, const char *choice,
                       const char *what)
{
    char text[200];

    progress_end(&tune->progress);
    anynorm_spec_format(&job->measure.spec, 0, text, sizeof text);
    fprintf(stderr, "anynorm: %s: %s is WRONG for %s: %s; it will not be chosen\n", tune->info.id,
            choice, text, what);
    if (tune->wrong++ == 0)
        snprintf(tune->first_wrong, sizeof tune->first_wrong, "%.400s for %s", choice, text);
}

void tune_print_op(const struct op *op)
{
    printf("%s:\n", op->name);
}

void tune_print_heading(void)
{
    printf("%-5s  %8s  %8s  %5s  %5s  %s\n", "TYPE", "COLUMNS", "ROWS", "TRIED", "GAIN", "FASTEST");
}

/* ---- Verifying ---- */

/* False, with *error, where the work itself fails. */
static bool verify_variant(struct tune *tune, struct job *job, struct tune_variant *variant,
                           struct cli_error *error)
{
    const anynorm_plan_options options = {.schedule = variant->choice};
    anynorm_status status = ANYNORM_OK;

    for (int values = 0; values < VERIFY_VALUES && !*variant->wrong; values++) {
        const struct verify_case c = {
            .spec = job->measure.spec, .rows = VERIFY_ROWS, .values = (enum verify_values)values};
        struct verify_result result;

        if (!verify_case_has_meaning(&c))
            continue;
        status = verify_case_run(tune->device, tune->reference, variant->choice, &c, &result);
        if (status == ANYNORM_UNSUPPORTED)
            return true; /* the compiled kernel's own limits */
        if (status == ANYNORM_BUILD_FAILED)
            snprintf(variant->wrong, sizeof variant->wrong, "%.190s", anynorm_message());
        else if (status == ANYNORM_OUT_OF_MEMORY) /* the library's, or the program's own */
            return cli_fail(error, CLI_FAILED, "tune", "the memory for a case could not be had");
        else if (status != ANYNORM_OK)
            return cli_fail_library(error, "tune", status);
        else if (*result.wrong)
            snprintf(variant->wrong, sizeof variant->wrong, "%s (values %d)", result.wrong, values);
    }
    if (*variant->wrong) {
        tell_wrong(tune, job, variant->choice, variant->wrong);
        return true;
    }
    status = anynorm_plan_create(tune->device, &job->measure.spec, &options, &variant->plan);
    return status == ANYNORM_OK || cli_fail_library(error, "tune", status);
}

static bool is_refused(const struct tune_variant *variant)
{
    return !variant->plan && !*variant->wrong;
}

/* Where the compiled kernel refuses the group, the library takes what it does not refuse. */
static void let_shrink(struct tune *tune, const struct job *job, struct tune_variant *variant)
{
    char name[sizeof variant->choice];
    const anynorm_plan_options options = {.schedule = name};
    anynorm_plan_info info;
    anynorm_plan *plan;

    snprintf(name, sizeof name, "%.*s", (int)strcspn(variant->choice, " "), variant->choice);
    if (anynorm_plan_create(tune->device, &job->measure.spec, &options, &plan) != ANYNORM_OK)
        return;
    if (anynorm_plan_describe(plan, &info) == ANYNORM_OK)
        memcpy(variant->choice, info.choice, sizeof variant->choice);
    anynorm_plan_destroy(plan);
}

/* Lists the variants of the job's spec, and makes plans of those that are right. */
static bool prepare(struct tune *tune, struct job *job, struct cli_error *error)
{
    struct tune_measure *measure = &job->measure;
    anynorm_variant variant;

    for (size_t i = 0; i == 0 || i < measure->count; i++) {
        anynorm_status status =
            anynorm_plan_variant(tune->device, &measure->spec, i, &variant, &measure->count);

        if (status != ANYNORM_OK)
            return cli_fail_library(error, tune->info.id, status);
        memcpy(job->variants[i].choice, variant.choice, sizeof variant.choice);
    }
    tune->steps = measure->count;
    for (size_t i = 0; i < measure->count; i++) {
        struct tune_variant *v = &job->variants[i];
        bool found = job->own < i;

        take_step(tune);
        if (found && strcmp(v->choice, job->variants[job->own].choice) == 0)
            continue; /* what the library's own has shrunk to */
        if (!verify_variant(tune, job, v, error))
            return false;
        if (found || !is_refused(v))
            continue;
        let_shrink(tune, job, v);
        if (!verify_variant(tune, job, v, error))
            return false;
        job->own += is_refused(v);
    }
    end_stage(tune);
    while (measure->baseline < measure->count && !job->variants[measure->baseline].plan)
        measure->baseline++;
    return measure->baseline < measure->count ||
           cli_fail(error, CLI_FAILED, tune->info.id,
                    "no schedule gives right results at %" PRIu64 " columns of %s",
                    measure->spec.columns, anynorm_dtype_name(measure->spec.x.type));
}

/* ---- Deciding ---- */

/* A variant's share at a shape, or the geometric mean of its shares at every one measured. */
static double share_at(const struct job *job, size_t shape, size_t variant)
{
    double sum = 0;
    int count = 0;

    if (shape != EVERY_SHAPE)
        return job->shares[shape][variant];
    for (size_t s = 0; s < job->shape_count; s++) {
        if (job->measured[s]) {
            sum += log(job->shares[s][variant]);
            count++;
        }
    }
    return count ? exp(sum / count) : INFINITY;
}

/* The right variant with the least share; the count of all where none is right. */
static size_t best_at(const struct job *job, size_t shape)
{
    size_t best = job->measure.count;

    for (size_t v = 0; v < job->measure.count; v++) {
        if (job->variants[v].plan &&
            (best == job->measure.count || share_at(job, shape, v) < share_at(job, shape, best)))
            best = v;
    }
    return best;
}

static void add_line(struct tune *tune, const struct job *job, uint64_t rows, size_t winner,
                     double gain, size_t over)
{
    char comment[320];

    snprintf(comment, sizeof comment, "%.2f x %.127s, driver %.63s", gain,
             job->variants[over].choice, tune->info.driver);
    tune_lines_add(&tune->lines, &tune->info, job->op->tuning, job->measure.spec.x.type,
                   job->measure.spec.columns, rows, job->variants[winner].choice, comment);
}

/* One choice for any number of rows, where one gains clearly over all shapes; and one for each
 * bucket in which another gains clearly over that. */
static void decide(struct tune *tune, const struct job *job)
{
    const anynorm_spec *spec = &job->measure.spec;
    size_t general = best_at(job, EVERY_SHAPE);
    double gain;

    if (general == job->measure.count)
        return;
    /* Without plan, what the library would take is wrong here: anything right gains over it. */
    if (job->variants[job->own].plan) {
        gain = share_at(job, EVERY_SHAPE, job->own) / share_at(job, EVERY_SHAPE, general);
        if (gain < gain_wanted)
            general = job->own;
    } else {
        gain = INFINITY;
    }
    tune_lines_measured(&tune->lines, &tune->info, job->op->tuning, spec->x.type, spec->columns, 0);
    if (general != job->own)
        add_line(tune, job, 0, general, gain, job->own);
    for (size_t s = 0; s < job->shape_count; s++) {
        size_t best;

        if (!job->measured[s])
            continue;
        best = best_at(job, s);
        tune_lines_measured(&tune->lines, &tune->info, job->op->tuning, spec->x.type, spec->columns,
                            job->shapes[s].rows);
        gain = job->shares[s][general] / job->shares[s][best];
        if (gain >= gain_wanted)
            add_line(tune, job, job->shapes[s].rows, best, gain, general);
    }
}

/* ---- Going through them ---- */

static void print_shape(struct tune *tune, const struct job *job, size_t shape)
{
    size_t best = job->measured[shape] ? best_at(job, shape) : job->measure.count;
    size_t tried = 0;

    progress_end(&tune->progress);
    printf("%-5s  %8" PRIu64 "  %8" PRIu64 "  ", anynorm_dtype_name(job->measure.spec.x.type),
           job->measure.spec.columns, job->shapes[shape].rows);
    for (size_t v = 0; v < job->measure.count; v++)
        tried += job->variants[v].plan != NULL;
    if (best < job->measure.count)
        printf("%5zu  %5.2f  %s%s\n", tried, 1 / job->shares[shape][best],
               job->variants[best].choice, best == job->own ? " (as without tuning)" : "");
    else
        printf("%5s  %5s  skipped: %s\n", "-", "-",
               job->measured[shape] ? "no choice is right" : "too large for the device");
    fflush(stdout);
}

static bool measure_shapes(struct tune *tune, struct job *job, struct cli_error *error)
{
    struct tune_measure *measure = &job->measure;

    for (size_t s = 0; s < job->shape_count; s++) {
        uint64_t rows = job->shapes[s].rows;
        bool was_right[ANYNORM_MAX_VARIANTS];

        if (!tune_has_room(&tune->info, &measure->spec, rows)) {
            print_shape(tune, job, s);
            end_stage(tune);
            continue;
        }
        for (size_t v = 0; v < measure->count; v++)
            was_right[v] = job->variants[v].plan != NULL;
        if (!tune_measure(measure, rows, take_step, tune, error))
            return false;
        for (size_t v = 0; v < measure->count; v++) {
            job->shares[s][v] = job->variants[v].share;
            if (was_right[v] && !job->variants[v].plan)
                tell_wrong(tune, job, job->variants[v].choice, job->variants[v].wrong);
        }
        job->measured[s] = true;
        end_stage(tune);
        print_shape(tune, job, s);
    }
    return true;
}

bool tune_job_run(struct tune *tune, const struct op *op, anynorm_dtype type,
                  const struct shape *shapes, size_t count, struct cli_error *error)
{
    struct job *job = calloc(1, sizeof *job);
    bool done;

    if (!job)
        return cli_fail(error, CLI_FAILED, "tune", "out of memory");
    job->op = op;
    job->shapes = shapes;
    job->shape_count = count;
    job->measure = (struct tune_measure){
        .device = tune->device, .variants = job->variants, .quick = tune->quick};
    done = spec_of_words(op->spec, type, shapes, &job->measure.spec) ||
           cli_fail_library(error, op->name, ANYNORM_INVALID_ARGUMENT);
    done = done && prepare(tune, job, error) && measure_shapes(tune, job, error);
    if (done)
        decide(tune, job);
    for (size_t v = 0; v < job->measure.count; v++)
        anynorm_plan_destroy(job->variants[v].plan);
    free(job);
    return done;
}
