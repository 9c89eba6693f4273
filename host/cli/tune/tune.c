/* `anynorm tune`: measures on the user's own device which choice is the fastest, and writes down
 * where that is not the one the library would take. */
#include "common/commands.h"
#include "common/library.h"
#include "common/options.h"
#include "files/output.h"
#include "file.h"
#include "job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char shapes_full[] =
    "8x128,512x128,8192x128,8x768,512x768,8192x768,8x1024,512x1024,8192x1024,8x2048,512x2048,"
    "8192x2048,8x4096,512x4096,8192x4096,8x5120,512x5120,8192x5120,8x8192,512x8192,4096x8192,"
    "8x16384,512x16384,2048x16384";
static const char shapes_quick[] = "512x768,512x4096";

static int by_columns(const void *a, const void *b)
{
    const struct shape *left = a, *right = b;

    if (left->columns != right->columns)
        return left->columns < right->columns ? -1 : 1;
    return left->rows < right->rows ? -1 : left->rows > right->rows;
}

/* What was asked for. */
struct wanted {
    struct op_list ops;
    struct shape_list shapes; /* sorted; for an op that has its own, only where they are given */
    bool shapes_given;
    struct dtype_list types;
};

/* The shapes of an op, sorted. False where they cannot be its. */
static bool find_shapes(const struct wanted *wanted, const struct op *op, struct shape_list *shapes,
                        struct cli_error *error)
{
    anynorm_spec spec;

    *shapes = wanted->shapes;
    if (op->shapes && !wanted->shapes_given && !shapes_parse("--op", op->shapes, shapes, error))
        return false;
    qsort(shapes->shapes, shapes->count, sizeof *shapes->shapes, by_columns);
    for (size_t i = 0; i < shapes->count; i++) {
        if (!spec_of_words(op->spec, ANYNORM_F32, &shapes->shapes[i], &spec))
            return cli_fail(error, CLI_USAGE, "--shapes",
                            "%s cannot be %" PRIu64 "x%" PRIu64 ": %s", op->name,
                            shapes->shapes[i].rows, shapes->shapes[i].columns, anynorm_message());
    }
    return true;
}

static bool check_shapes(const struct wanted *wanted, struct cli_error *error)
{
    struct shape_list shapes;
    bool fine = true;

    for (size_t i = 0; fine && i < wanted->ops.count; i++)
        fine = find_shapes(wanted, wanted->ops.ops[i], &shapes, error);
    return fine;
}

/* As many as there are jobs, and one for each shape. */
static uint64_t count_stages(const struct shape_list *shapes)
{
    uint64_t stages = shapes->count;

    for (size_t i = 0; i < shapes->count; i++)
        stages += i == 0 || shapes->shapes[i].columns != shapes->shapes[i - 1].columns;
    return stages;
}

static bool run_op(struct tune *tune, const struct wanted *wanted, const struct op *op,
                   struct cli_error *error)
{
    struct shape_list list;
    const struct shape *shapes = list.shapes;

    if (!find_shapes(wanted, op, &list, error))
        return false;
    tune_print_op(op);
    for (size_t t = 0; t < wanted->types.count; t++) {
        size_t count;

        for (size_t i = 0; i < list.count; i += count) {
            count = 1;
            while (i + count < list.count && shapes[i + count].columns == shapes[i].columns)
                count++;
            if (!tune_job_run(tune, op, wanted->types.types[t], shapes + i, count, error))
                return false;
        }
    }
    return true;
}

static bool run_all(struct tune *tune, const struct wanted *wanted, struct cli_error *error)
{
    struct shape_list shapes;
    uint64_t stages = 0;
    bool done = true;

    for (size_t i = 0; i < wanted->ops.count; i++) {
        if (!find_shapes(wanted, wanted->ops.ops[i], &shapes, error))
            return false;
        stages += count_stages(&shapes) * wanted->types.count;
    }
    progress_start(&tune->progress, stages * TUNE_STEPS);
    tune_print_heading();
    for (size_t i = 0; done && i < wanted->ops.count; i++)
        done = run_op(tune, wanted, wanted->ops.ops[i], error);
    progress_end(&tune->progress);
    return done;
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
        printf("\nTo contribute them, append these to host/choice/tunings (docs/tuning.md):\n%s",
               tune->lines.added);
    return cli_flush_stdout(error);
}

static const char notes_format[] =
    "Up to 24 choices of each op, type and number of columns are checked against the oracle and\n"
    "then timed. One that gains 3 %% or more over what the library would choose goes into the\n"
    "user's tuning database: $ANYNORM_TUNING, else anynorm/tuning in $XDG_CONFIG_HOME or\n"
    "~/.config. Lines that were not measured anew stay. Takes minutes; nothing is written before\n"
    "the end.\n"
    "Exit status: 0 done, 1 failed, or done but some choice gave wrong results, 2 bad usage.\n\n"
    "ops:\n%s";

static bool tune_device(struct tune *tune, const struct wanted *wanted, const char *given,
                        struct cli_error *error)
{
    struct output output = {.path = NULL};
    char path[AN_PATH_SIZE];
    /* What can fail without measuring fails before. */
    bool done = tune_file_find(given, path, error) && output_prepare(&output, path, error) &&
                tune_lines_check(path, error) && output_create(&output, error) &&
                tune_lines_open(&tune->lines, error) && cli_open_oracle(&tune->reference, error);

    if (done) {
        cli_print_device(&tune->info);
        done = run_all(tune, wanted, error);
        progress_end(&tune->progress);
    }
    done = done && tune_lines_close(&tune->lines, error) &&
           tune_lines_write(&tune->lines, &output, error) &&
           tell_result(tune, path, !tune_file_is_read(path), error);
    output_discard(&output);
    tune_lines_free(&tune->lines);
    anynorm_device_close(tune->reference);
    return done;
}

int cli_tune(int argc, char **argv)
{
    const char *device = NULL, *ops = "layer-norm", *shapes = NULL, *dtypes = NULL, *file = NULL;
    struct tune tune = {.quick = false};
    struct wanted wanted;
    char notes[2048];
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to tune (default: the best found)",
         .text = &device},
        {"op", 0, CLI_TEXT, "OP,...", "the norms below (default layer-norm)", .text = &ops},
        {"shapes", 0, CLI_TEXT, "RxC,...",
         "rows x columns to measure (default: 24 usual ones, or the op's own)", .text = &shapes,
         .given = &wanted.shapes_given},
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
    struct cli_error error;
    int exit_status;
    bool done;

    wanted.shapes_given = false;
    snprintf(notes, sizeof notes, notes_format, ops_help());
    if (!cli_parse(&command, argc, argv, &exit_status))
        return exit_status;
    if (!ops_parse("--op", ops, &wanted.ops, &error) ||
        !shapes_parse("--shapes",
                      shapes       ? shapes
                      : tune.quick ? shapes_quick
                                   : shapes_full,
                      &wanted.shapes, &error) ||
        !dtypes_parse("--dtype",
                      dtypes       ? dtypes
                      : tune.quick ? "f32"
                                   : "f32,f16,bf16",
                      &wanted.types, &error) ||
        !check_shapes(&wanted, &error) || !cli_open_device(device, &tune.device, &error))
        return cli_error_print(&error);
    anynorm_device_describe(tune.device, &tune.info);
    if (tune.info.device_class == ANYNORM_CLASS_REFERENCE)
        done = cli_fail(&error, CLI_USAGE, "--device",
                        "%s has one schedule, so there is nothing to tune; name another device",
                        tune.info.id);
    else
        done = tune_device(&tune, &wanted, file, &error);
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
