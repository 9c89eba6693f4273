/* `anynorm tune`: measures on the user's own device which choice is the fastest, and writes down
 * where that is not the one the library would take. */
#include "commands.h"
#include "library.h"
#include "lists.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "tune_lines.h"
#include "tune_measure.h"
#include "verify_case.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a choice must gain before it replaces the library's own: less may be the weather. */
static const double gain_wanted = 1.03;

static const char shapes_full[] =
    "8x128,512x128,8192x128,8x768,512x768,8192x768,8x1024,512x1024,8192x1024,8x2048,512x2048,"
    "8192x2048,8x4096,512x4096,8192x4096,8x5120,512x5120,8192x5120,8x8192,512x8192,4096x8192,"
    "8x16384,512x16384,2048x16384";
static const char shapes_quick[] = "512x768,512x4096";

enum { VERIFY_ROWS = 5, STEPS = 1000 };

struct tune {
    anynorm_device *device;
    anynorm_device *reference;
    anynorm_device_info info;
    struct shape_list shapes;
    struct dtype_list dtypes;
    bool quick;
    struct tune_lines lines;
    uint64_t wrong; /* variants with wrong results */
    char first_wrong[640];
    struct progress progress;
    uint64_t stages_done; /* a stage verifies the variants of one spec, or times them */
    size_t step, steps;   /* within a stage */
};

/* The shapes of one number of columns, and what their measurements gave. */
struct job {
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
                    tune->stages_done * STEPS + tune->step * STEPS / (tune->steps + 1));
}

static void end_stage(struct tune *tune)
{
    tune->step = 0;
    progress_update(&tune->progress, ++tune->stages_done * STEPS);
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
        snprintf(tune->first_wrong, sizeof tune->first_wrong, "%s for %s", choice, text);
}

static void print_heading(void)
{
    printf("%-5s  %8s  %8s  %5s  %5s  %s\n", "TYPE", "COLUMNS", "ROWS", "TRIED", "GAIN", "FASTEST");
}

static void print_shape(struct tune *tune, const struct job *job, uint64_t rows, size_t best)
{
    size_t tried = 0;

    progress_end(&tune->progress);
    printf("%-5s  %8" PRIu64 "  %8" PRIu64 "  ", anynorm_dtype_name(job->measure.spec.x_type),
           job->measure.spec.columns, rows);
    for (size_t v = 0; v < job->measure.count; v++)
        tried += job->variants[v].plan != NULL;
    if (best < job->measure.count)
        printf("%5zu  %5.2f  %s%s\n", tried, 1 / job->variants[best].share,
               job->variants[best].choice, best == job->own ? " (as without tuning)" : "");
    else
        printf("%5s  %5s  skipped: too large for the device\n", "-", "-");
    fflush(stdout);
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
        double worst = 0;
        bool stray = false;

        if (!verify_case_has_meaning(&c))
            continue;
        status =
            verify_case_run(tune->device, tune->reference, variant->choice, &c, &worst, &stray);
        if (status == ANYNORM_UNSUPPORTED)
            return true; /* the compiled kernel's own limits */
        if (status == ANYNORM_BUILD_FAILED)
            snprintf(variant->wrong, sizeof variant->wrong, "%.190s", anynorm_message());
        else if (status != ANYNORM_OK)
            return cli_fail_library(error, "tune", status);
        else if (stray)
            snprintf(variant->wrong, sizeof variant->wrong,
                     "memory outside the outputs was written");
        else if (worst > verify_bound(c.spec.y_type))
            snprintf(variant->wrong, sizeof variant->wrong,
                     "error %.3g, the bound is %g (values %d)", worst, verify_bound(c.spec.y_type),
                     values);
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
                    measure->spec.columns, anynorm_dtype_name(measure->spec.x_type));
}

/* ---- Deciding ---- */

/* The geometric mean of a variant's shares over all shapes. */
static double overall(const struct job *job, size_t variant)
{
    double sum = 0;
    int count = 0;

    for (size_t s = 0; s < job->shape_count; s++) {
        if (job->measured[s]) {
            sum += log(job->shares[s][variant]);
            count++;
        }
    }
    return count ? exp(sum / count) : INFINITY;
}

/* The right variant with the least overall share. */
static size_t best_overall(const struct job *job)
{
    size_t best = job->measure.count;

    for (size_t v = 0; v < job->measure.count; v++) {
        if (job->variants[v].plan &&
            (best == job->measure.count || overall(job, v) < overall(job, best)))
            best = v;
    }
    return best;
}

static size_t best_at(const struct job *job, size_t shape)
{
    size_t best = job->measure.count;

    for (size_t v = 0; v < job->measure.count; v++) {
        if (job->variants[v].plan &&
            (best == job->measure.count || job->shares[shape][v] < job->shares[shape][best]))
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
    tune_lines_add(&tune->lines, &tune->info, job->measure.spec.x_type, job->measure.spec.columns,
                   rows, job->variants[winner].choice, comment);
}

/* One choice for any number of rows, where one gains clearly over all shapes; and one for each
 * bucket in which another gains clearly over that. */
static void decide(struct tune *tune, const struct job *job)
{
    const anynorm_spec *spec = &job->measure.spec;
    size_t general = best_overall(job);
    double gain;

    if (general == job->measure.count)
        return;
    /* Without plan, what the library would take is wrong here: anything right gains over it. */
    if (job->variants[job->own].plan) {
        gain = overall(job, job->own) / overall(job, general);
        if (gain < gain_wanted)
            general = job->own;
    } else {
        gain = INFINITY;
    }
    tune_lines_measured(&tune->lines, &tune->info, spec->x_type, spec->columns, 0);
    if (general != job->own)
        add_line(tune, job, 0, general, gain, job->own);
    for (size_t s = 0; s < job->shape_count; s++) {
        size_t best = best_at(job, s);

        if (!job->measured[s])
            continue;
        tune_lines_measured(&tune->lines, &tune->info, spec->x_type, spec->columns,
                            job->shapes[s].rows);
        gain = job->shares[s][general] / job->shares[s][best];
        if (gain >= gain_wanted)
            add_line(tune, job, job->shapes[s].rows, best, gain, general);
    }
}

/* ---- Going through them ---- */

static bool measure_shapes(struct tune *tune, struct job *job, struct cli_error *error)
{
    struct tune_measure *measure = &job->measure;

    for (size_t s = 0; s < job->shape_count; s++) {
        uint64_t rows = job->shapes[s].rows;
        bool was_right[ANYNORM_MAX_VARIANTS];

        if (!tune_has_room(&tune->info, &measure->spec, rows)) {
            print_shape(tune, job, rows, measure->count);
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
        print_shape(tune, job, rows, best_at(job, s));
    }
    return true;
}

/* All shapes of one type and number of columns, which begin at `shapes`. */
static bool run_job(struct tune *tune, anynorm_dtype type, const struct shape *shapes, size_t count,
                    struct cli_error *error)
{
    struct job *job = calloc(1, sizeof *job);
    bool done;

    if (!job)
        return cli_fail(error, CLI_FAILED, "tune", "out of memory");
    job->shapes = shapes;
    job->shape_count = count;
    job->measure = (struct tune_measure){.device = tune->device,
                                         .spec = {.columns = shapes->columns,
                                                  .x_type = type,
                                                  .y_type = type,
                                                  .flags = ANYNORM_WEIGHT | ANYNORM_BIAS,
                                                  .eps = ANYNORM_EPS_DEFAULT},
                                         .variants = job->variants,
                                         .quick = tune->quick};
    done = prepare(tune, job, error) && measure_shapes(tune, job, error);
    if (done)
        decide(tune, job);
    for (size_t v = 0; v < job->measure.count; v++)
        anynorm_plan_destroy(job->variants[v].plan);
    free(job);
    return done;
}

static int by_columns(const void *a, const void *b)
{
    const struct shape *left = a, *right = b;

    if (left->columns != right->columns)
        return left->columns < right->columns ? -1 : 1;
    return left->rows < right->rows ? -1 : left->rows > right->rows;
}

static bool run_all(struct tune *tune, struct cli_error *error)
{
    struct shape *shapes = tune->shapes.shapes;
    uint64_t stages = tune->shapes.count;

    qsort(shapes, tune->shapes.count, sizeof *shapes, by_columns);
    for (size_t i = 0; i < tune->shapes.count; i++)
        stages += i == 0 || shapes[i].columns != shapes[i - 1].columns;
    progress_start(&tune->progress, stages * tune->dtypes.count * STEPS);
    print_heading();
    for (size_t t = 0; t < tune->dtypes.count; t++) {
        size_t count;

        for (size_t i = 0; i < tune->shapes.count; i += count) {
            count = 1;
            while (i + count < tune->shapes.count && shapes[i + count].columns == shapes[i].columns)
                count++;
            if (!run_job(tune, tune->dtypes.types[t], shapes + i, count, error))
                return false;
        }
    }
    progress_end(&tune->progress);
    return true;
}

/* ---- The file ---- */

/* Makes the folders of the default file where they are missing: two levels, as XDG has it. */
static bool make_folders(const char *path, struct cli_error *error)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof folder, "%s", path);
    for (int level = 2; level >= 1; level--) {
        size_t length = strlen(path);

        for (int k = 0; k < level; k++) {
            while (length > 0 && path[length - 1] != '/')
                length--;
            length -= length > 0;
        }
        folder[length] = '\0';
        if (length > 0 && mkdir(folder, 0700) != 0 && errno != EEXIST)
            return cli_fail(error, CLI_FAILED, folder, "cannot be made: %s; give -o FILE",
                            strerror(errno));
        memcpy(folder, path, strlen(path) + 1);
    }
    return true;
}

/* Where the lines go: -o, or the file that the library reads. */
static bool find_file(const char *given, char path[PATH_MAX], struct cli_error *error)
{
    const char *named = getenv("ANYNORM_TUNING");
    size_t length =
        given ? (size_t)snprintf(path, PATH_MAX, "%s", given) : anynorm_tuning_path(path, PATH_MAX);

    if (length >= PATH_MAX)
        return cli_fail(error, CLI_USAGE, "-o", "its path is too long; name another file");
    if (length > 0)
        return given || (named && *named) || make_folders(path, error);
    return cli_fail(error, CLI_USAGE, named ? "ANYNORM_TUNING" : "HOME",
                    "%s, so the library reads no file of yours; give -o FILE to write one",
                    named ? "is \"off\"" : "is not set");
}

/* What was found, for a person and for who wants to contribute it. */
static bool tell_result(const struct tune *tune, const char *path, bool kept_aside,
                        struct cli_error *error)
{
    if (tune->lines.count == 0)
        printf("\n%s: no line is needed, the library's own choices are the best\n", path);
    else
        printf("\n%s: %zu line%s written%s\n", path, tune->lines.count,
               tune->lines.count == 1 ? "" : "s",
               kept_aside ? "; the library uses it where ANYNORM_TUNING names it" : "");
    if (tune->lines.count > 0)
        printf("\nTo contribute them, append these to host/tunings (docs/tuning.md):\n%s",
               tune->lines.added);
    return cli_flush_stdout(error);
}

static bool is_librarys(const char *path)
{
    char used[PATH_MAX];
    struct stat a, b;

    return anynorm_tuning_path(used, sizeof used) > 0 && stat(used, &a) == 0 &&
           stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static bool tune_device(struct tune *tune, const char *given, struct cli_error *error)
{
    struct output output = {.path = NULL};
    char path[PATH_MAX];
    /* What can fail without measuring fails before. */
    bool done = find_file(given, path, error) && output_prepare(&output, path, error) &&
                tune_lines_check(path, error) && output_create(&output, error) &&
                tune_lines_open(&tune->lines, error) &&
                cli_open_device("reference", &tune->reference, error);

    if (done) {
        cli_print_device(&tune->info);
        done = run_all(tune, error);
        progress_end(&tune->progress);
    }
    done = done && tune_lines_close(&tune->lines, error) &&
           tune_lines_write(&tune->lines, &output, error) &&
           tell_result(tune, path, !is_librarys(path), error);
    output_discard(&output);
    tune_lines_free(&tune->lines);
    anynorm_device_close(tune->reference);
    return done;
}

int cli_tune(int argc, char **argv)
{
    const char *device = NULL, *shapes = NULL, *dtypes = NULL, *file = NULL;
    struct tune tune = {.quick = false};
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to tune (default: the best found)",
         .text = &device},
        {"shapes", 0, CLI_TEXT, "RxC,...", "rows x columns to measure (default: 24 usual ones)",
         .text = &shapes},
        {"dtype", 0, CLI_TEXT, "TYPE,...", "storage types to measure (default: f32,f16,bf16)",
         .text = &dtypes},
        {"output", 'o', CLI_TEXT, "FILE", "the database to write (default: the one that is read)",
         .text = &file},
        {"quick", 0, CLI_FLAG, NULL, "f32 of two shapes, fewer rounds; what is given goes first",
         .flag = &tune.quick},
    };
    const struct cli_command command = {
        .name = "tune",
        .summary = "Measures which schedules are the fastest on a device, for the library to use.",
        .notes =
            "Up to 24 choices of each type and number of columns are checked against the oracle\n"
            "and then timed. One that gains 3 % or more over what the library would choose goes\n"
            "into the user's tuning database: $ANYNORM_TUNING, else anynorm/tuning in\n"
            "$XDG_CONFIG_HOME or ~/.config. Lines that were not measured anew stay. Takes "
            "minutes;\n"
            "nothing is written before the end.\n"
            "Exit status: 0 done, 1 failed, or done but some choice gave wrong results, 2 bad "
            "usage.\n",
        .options = options,
        .option_count = COUNT(options),
    };
    struct cli_error error;
    int exit_status;
    bool done;

    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    if (!shapes_parse("--shapes",
                      shapes       ? shapes
                      : tune.quick ? shapes_quick
                                   : shapes_full,
                      &tune.shapes, &error) ||
        !dtypes_parse("--dtype",
                      dtypes       ? dtypes
                      : tune.quick ? "f32"
                                   : "f32,f16,bf16",
                      &tune.dtypes, &error) ||
        !cli_open_device(device, &tune.device, &error))
        return cli_error_print(&error);
    anynorm_device_describe(tune.device, &tune.info);
    if (tune.info.device_class == ANYNORM_CLASS_REFERENCE)
        done = cli_fail(&error, CLI_USAGE, "--device",
                        "%s has one schedule, so there is nothing to tune; name another device",
                        tune.info.id);
    else
        done = tune_device(&tune, file, &error);
    anynorm_device_close(tune.device);
    if (!done)
        return cli_error_print(&error);
    if (tune.wrong > 0) {
        cli_fail(&error, CLI_FAILED, tune.info.id,
                 "%" PRIu64 " wrong, first %s; the lines written avoid them, and anynorm verify "
                 "tells more",
                 tune.wrong, tune.first_wrong);
        return cli_error_print(&error);
    }
    return CLI_DONE;
}
