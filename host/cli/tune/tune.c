/* `anynorm tune`: measures on the user's own device which choice is the fastest, and writes down
 * where that is not the one the library would take. */
#include "cases/norms.h"
#include "common/cli.h"
#include "lines.h"
#include "race.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char shapes_full[] =
    "8x128,512x128,8192x128,8x768,512x768,8192x768,8x1024,512x1024,8192x1024,8x2048,512x2048,"
    "8192x2048,8x4096,512x4096,8192x4096,8x5120,512x5120,8192x5120,8x8192,512x8192,4096x8192,"
    "8x16384,512x16384,2048x16384";
static const char shapes_quick[] = "512x768,512x4096";

/* What a choice must gain before it replaces the library's own: less may be the weather. */
static const double gain_wanted = 1.03;

enum { EVERY_SHAPE = SHAPES_MOST };

/* What a stage counts for in `progress`. */
enum { STEPS = 1000 };

struct tune {
    anynorm_device *device;
    anynorm_device *reference;
    anynorm_device_info info;
    struct op_list ops;
    struct shape_list shapes; /* sorted; for an op that has its own, only where they are given */
    bool shapes_given;
    struct dtype_list types;
    bool quick;
    struct tune_lines lines;
    uint64_t wrong; /* variants with wrong results */
    char first_wrong[640];
    struct progress progress;
    uint64_t stages; /* of all; each verifies the variants of one spec, or times them at a shape */
    uint64_t stages_done;
    size_t step; /* within a stage */
};

/* One op, type and number of columns: how fast its variants are at each shape. */
struct job {
    struct tune *tune;
    struct tune_head head;
    struct tune_race race;
    const struct shape *shapes;
    size_t shape_count;
    bool told[ANYNORM_MAX_VARIANTS]; /* that it is wrong */
    double shares[SHAPES_MOST][ANYNORM_MAX_VARIANTS];
    bool measured[SHAPES_MOST];
};

/* ---- Telling ---- */

static void take_step(void *user)
{
    struct job *job = user;
    struct tune *tune = job->tune;

    tune->step++;
    progress_update(&tune->progress,
                    tune->stages_done * STEPS + tune->step * STEPS / (job->race.count + 1));
}

static void end_stage(struct tune *tune)
{
    tune->step = 0;
    progress_update(&tune->progress, ++tune->stages_done * STEPS);
}

/* Of those that have proved wrong since this was called last. */
static void tell_wrong(struct job *job)
{
    struct tune *tune = job->tune;
    char text[200];

    anynorm_spec_format(&job->race.spec, 0, text, sizeof text);
    for (size_t v = 0; v < job->race.count; v++) {
        const struct tune_variant *variant = &job->race.variants[v];

        if (!*variant->wrong || job->told[v])
            continue;
        job->told[v] = true;
        progress_end(&tune->progress);
        fprintf(stderr, "anynorm: %s: %s is WRONG for %s: %s; it will not be chosen\n",
                tune->info.id, variant->choice, text, variant->wrong);
        if (tune->wrong++ == 0)
            snprintf(tune->first_wrong, sizeof tune->first_wrong, "%.400s for %s", variant->choice,
                     text);
    }
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
    size_t best = job->race.count;

    for (size_t v = 0; v < job->race.count; v++) {
        if (job->race.variants[v].plan &&
            (best == job->race.count || share_at(job, shape, v) < share_at(job, shape, best)))
            best = v;
    }
    return best;
}

static void add_line(const struct job *job, uint64_t rows, size_t winner, double gain, size_t over)
{
    char comment[320];

    snprintf(comment, sizeof comment, "%.2f x %.127s, driver %.63s", gain,
             job->race.variants[over].choice, job->tune->info.driver);
    tune_lines_add(&job->tune->lines, &job->head, rows, job->race.variants[winner].choice, comment);
}

/* One choice for any number of rows, where one gains clearly over all shapes; and one for each
 * bucket in which another gains clearly over that. */
static void decide(const struct job *job)
{
    size_t general = best_at(job, EVERY_SHAPE);
    double gain;

    if (general == job->race.count)
        return;
    /* Without plan, what the library would take is wrong here: anything right gains over it. */
    if (job->race.variants[job->race.own].plan) {
        gain = share_at(job, EVERY_SHAPE, job->race.own) / share_at(job, EVERY_SHAPE, general);
        if (gain < gain_wanted)
            general = job->race.own;
    } else {
        gain = INFINITY;
    }
    tune_lines_measured(&job->tune->lines, &job->head, 0);
    if (general != job->race.own)
        add_line(job, 0, general, gain, job->race.own);
    for (size_t s = 0; s < job->shape_count; s++) {
        size_t best;

        if (!job->measured[s])
            continue;
        best = best_at(job, s);
        tune_lines_measured(&job->tune->lines, &job->head, job->shapes[s].rows);
        gain = job->shares[s][general] / job->shares[s][best];
        if (gain >= gain_wanted)
            add_line(job, job->shapes[s].rows, best, gain, general);
    }
}

/* ---- Going through them ---- */

static void print_shape(const struct job *job, size_t shape)
{
    size_t best = job->measured[shape] ? best_at(job, shape) : job->race.count;
    size_t tried = 0;

    progress_end(&job->tune->progress);
    printf("%-5s  %8" PRIu64 "  %8" PRIu64 "  ", anynorm_dtype_name(job->head.type),
           job->head.columns, job->shapes[shape].rows);
    for (size_t v = 0; v < job->race.count; v++)
        tried += job->race.variants[v].plan != NULL;
    if (best < job->race.count)
        printf("%5zu  %5.2f  %s%s\n", tried, 1 / job->shares[shape][best],
               job->race.variants[best].choice,
               best == job->race.own ? " (as without tuning)" : "");
    else
        printf("%5s  %5s  skipped: %s\n", "-", "-",
               job->measured[shape] ? "no choice is right" : "too large for the device");
    fflush(stdout);
}

static bool measure_shapes(struct job *job)
{
    struct tune_race *race = &job->race;

    for (size_t s = 0; s < job->shape_count; s++) {
        uint64_t rows = job->shapes[s].rows;

        if (!tune_race_has_room(race, rows)) {
            print_shape(job, s);
            end_stage(job->tune);
            continue;
        }
        if (!tune_race_run(race, rows))
            return false;
        tell_wrong(job);
        for (size_t v = 0; v < race->count; v++)
            job->shares[s][v] = race->variants[v].share;
        job->measured[s] = true;
        end_stage(job->tune);
        print_shape(job, s);
    }
    return true;
}

/* For `count` shapes of one number of columns: one stage, and one for each shape. */
static bool run_job(struct tune *tune, const struct op *op, anynorm_dtype type,
                    const struct shape *shapes, size_t count)
{
    struct job *job = calloc(1, sizeof *job);
    bool done;

    if (!job)
        return cli_fail(CLI_FAILED, "tune", "out of memory");
    job->tune = tune;
    job->head = (struct tune_head){&tune->info, op->tuning, type, shapes->columns};
    job->shapes = shapes;
    job->shape_count = count;
    job->race.device = tune->device;
    job->race.reference = tune->reference;
    job->race.info = &tune->info;
    job->race.run = op->run;
    job->race.quick = tune->quick;
    job->race.step = take_step;
    job->race.user = job;
    done = spec_of_op(op, type, shapes, &job->race.spec) ||
           cli_fail_library(op->name, ANYNORM_INVALID_ARGUMENT);
    done = done && tune_race_enter(&job->race);
    tell_wrong(job);
    end_stage(tune);
    done = done && measure_shapes(job);
    if (done)
        decide(job);
    tune_race_free(&job->race);
    free(job);
    return done;
}

/* ---- The command ---- */

static int by_columns(const void *a, const void *b)
{
    const struct shape *left = a, *right = b;

    if (left->columns != right->columns)
        return left->columns < right->columns ? -1 : 1;
    return left->rows < right->rows ? -1 : left->rows > right->rows;
}

/* The shapes of an op, sorted. False where they cannot be its. */
static bool find_shapes(const struct tune *tune, const struct op *op, struct shape_list *shapes)
{
    anynorm_spec spec;

    *shapes = tune->shapes;
    if (op->shapes && !tune->shapes_given && !shapes_parse("--op", op->shapes, shapes))
        return false;
    qsort(shapes->shapes, shapes->count, sizeof *shapes->shapes, by_columns);
    for (size_t i = 0; i < shapes->count; i++) {
        if (!spec_of_op(op, ANYNORM_F32, &shapes->shapes[i], &spec))
            return cli_fail(CLI_USAGE, "--shapes", "%s cannot be %" PRIu64 "x%" PRIu64 ": %s",
                            op->name, shapes->shapes[i].rows, shapes->shapes[i].columns,
                            anynorm_message());
        if (op->run > 0 && i > 0 && shapes->shapes[i].columns == shapes->shapes[i - 1].columns)
            return cli_fail(CLI_USAGE, "--shapes",
                            "%s, whose rows are channels, of which a spec has so many, is tuned "
                            "for one number of rows for each of columns; leave out all but one "
                            "with %" PRIu64 " columns",
                            op->name, shapes->shapes[i].columns);
    }
    return true;
}

/* As many stages as there are jobs, and one for each shape. */
static bool count_stages(struct tune *tune)
{
    struct shape_list list;

    for (size_t o = 0; o < tune->ops.count; o++) {
        if (!find_shapes(tune, tune->ops.ops[o], &list))
            return false;
        for (size_t i = 0; i < list.count; i++) {
            bool first = i == 0 || list.shapes[i].columns != list.shapes[i - 1].columns;

            tune->stages += tune->types.count * (first ? 2 : 1);
        }
    }
    return true;
}

static bool run_op(struct tune *tune, const struct op *op)
{
    struct shape_list list;
    const struct shape *shapes = list.shapes;

    if (!find_shapes(tune, op, &list))
        return false;
    printf("%s:\n", op->name);
    for (size_t t = 0; t < tune->types.count; t++) {
        size_t count;

        for (size_t i = 0; i < list.count; i += count) {
            count = 1;
            while (i + count < list.count && shapes[i + count].columns == shapes[i].columns)
                count++;
            if (!run_job(tune, op, tune->types.types[t], shapes + i, count))
                return false;
        }
    }
    return true;
}

static bool run_all(struct tune *tune)
{
    bool done = true;

    cli_print_device(&tune->info);
    progress_start(&tune->progress, tune->stages * STEPS);
    printf("%-5s  %8s  %8s  %5s  %5s  %s\n", "TYPE", "COLUMNS", "ROWS", "TRIED", "GAIN", "FASTEST");
    for (size_t i = 0; done && i < tune->ops.count; i++)
        done = run_op(tune, tune->ops.ops[i]);
    progress_end(&tune->progress);
    return done;
}

/* What was found, for a person and for who wants to contribute it. */
static bool tell_result(const struct tune *tune, const char *path, bool kept_aside)
{
    if (tune->lines.count == 0)
        printf("\n%s: no line is needed, the library's own choices are the best\n", path);
    else
        printf("\n%s: %zu line%s written%s\n", path, tune->lines.count,
               tune->lines.count == 1 ? "" : "s",
               kept_aside ? "; the library uses it where ANYNORM_TUNING names it" : "");
    if (tune->lines.count > 0)
        printf("\nTo contribute them, append these to host/choice/tunings (docs/tuning.md):\n%s",
               tune->lines.added);
    return cli_flush_stdout();
}

static const char notes_format[] =
    "Up to 24 choices of each op, type and number of columns are checked against the oracle and\n"
    "then timed. One that gains 3 %% or more over what the library would choose goes into the\n"
    "user's tuning database: $ANYNORM_TUNING, else anynorm/tuning in $XDG_CONFIG_HOME or\n"
    "~/.config. Lines that were not measured anew stay. Takes minutes; nothing is written before\n"
    "the end.\n"
    "Exit status: 0 done, 1 failed, or done but some choice gave wrong results, 2 bad usage.\n\n"
    "ops:\n%s";

static bool tune_device(struct tune *tune, const char *given)
{
    struct output output = {.path = NULL};
    char path[AN_PATH_SIZE];
    /* What can fail without measuring fails before. */
    bool done = tune_file_find(given, path) && output_prepare(&output, path) &&
                tune_lines_check(path) && output_create(&output) &&
                cli_open_oracle(&tune->reference) && run_all(tune) &&
                tune_lines_write(&tune->lines, &output) &&
                tell_result(tune, path, !tune_file_is_read(path));

    output_discard(&output);
    tune_lines_free(&tune->lines);
    anynorm_device_close(tune->reference);
    return done;
}

int cli_tune(int argc, char **argv)
{
    const char *device = NULL, *ops = "layer-norm", *shapes = NULL, *dtypes = NULL, *file = NULL;
    struct tune tune = {.quick = false};
    char notes[4096];
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to tune (default: the best found)",
         .text = &device},
        {"op", 0, CLI_TEXT, "OP,...", "the norms below (default layer-norm)", .text = &ops},
        {"shapes", 0, CLI_TEXT, "RxC,...",
         "rows x columns to measure (default: 24 usual ones, or the op's own)", .text = &shapes,
         .given = &tune.shapes_given},
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
        .notes = notes,
        .options = options,
        .option_count = COUNT(options),
    };
    int exit_status;
    bool done;

    snprintf(notes, sizeof notes, notes_format, ops_help());
    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    if (!ops_parse("--op", ops, &tune.ops) ||
        !shapes_parse("--shapes",
                      shapes       ? shapes
                      : tune.quick ? shapes_quick
                                   : shapes_full,
                      &tune.shapes) ||
        !dtypes_parse("--dtype",
                      dtypes       ? dtypes
                      : tune.quick ? "f32"
                                   : "f32,f16,bf16",
                      &tune.types) ||
        !count_stages(&tune) || !cli_open_device(device, &tune.device))
        return cli_error_print();
    anynorm_device_describe(tune.device, &tune.info);
    if (tune.info.device_class == ANYNORM_CLASS_REFERENCE)
        done = cli_fail(CLI_USAGE, "--device",
                        "%s has one schedule, so there is nothing to tune; name another device",
                        tune.info.id);
    else
        done = tune_device(&tune, file);
    anynorm_device_close(tune.device);
    if (!done)
        return cli_error_print();
    if (tune.wrong > 0) {
        cli_fail(CLI_FAILED, tune.info.id,
                 "%" PRIu64 " wrong, first %s; the lines written avoid them, and anynorm verify "
                 "tells more",
                 tune.wrong, tune.first_wrong);
        return cli_error_print();
    }
    return CLI_DONE;
}
