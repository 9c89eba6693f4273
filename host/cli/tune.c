/* `anynorm tune`: measures on the user's own device which choice is the fastest, and writes down
 * where that is not the one the library would take. */
#include "commands.h"
#include "library.h"
#include "options.h"
#include "output.h"
#include "tune_file.h"
#include "tune_job.h"

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

static bool run_all(struct tune *tune, struct shape_list *list, const struct dtype_list *dtypes,
                    struct cli_error *error)
{
    struct shape *shapes = list->shapes;
    uint64_t stages = list->count;

    qsort(shapes, list->count, sizeof *shapes, by_columns);
    for (size_t i = 0; i < list->count; i++)
        stages += i == 0 || shapes[i].columns != shapes[i - 1].columns;
    progress_start(&tune->progress, stages * dtypes->count * TUNE_STEPS);
    tune_print_heading();
    for (size_t t = 0; t < dtypes->count; t++) {
        size_t count;

        for (size_t i = 0; i < list->count; i += count) {
            count = 1;
            while (i + count < list->count && shapes[i + count].columns == shapes[i].columns)
                count++;
            if (!tune_job_run(tune, dtypes->types[t], shapes + i, count, error))
                return false;
        }
    }
    progress_end(&tune->progress);
    return true;
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

static bool tune_device(struct tune *tune, struct shape_list *shapes,
                        const struct dtype_list *dtypes, const char *given, struct cli_error *error)
{
    struct output output = {.path = NULL};
    char path[PATH_MAX];
    /* What can fail without measuring fails before. */
    bool done = tune_file_find(given, path, error) && output_prepare(&output, path, error) &&
                tune_lines_check(path, error) && output_create(&output, error) &&
                tune_lines_open(&tune->lines, error) &&
                cli_open_device("reference", &tune->reference, error);

    if (done) {
        cli_print_device(&tune->info);
        done = run_all(tune, shapes, dtypes, error);
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
    const char *device = NULL, *shapes = NULL, *dtypes = NULL, *file = NULL;
    struct tune tune = {.quick = false};
    struct shape_list shape_list;
    struct dtype_list dtype_list;
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
                      &shape_list, &error) ||
        !dtypes_parse("--dtype",
                      dtypes       ? dtypes
                      : tune.quick ? "f32"
                                   : "f32,f16,bf16",
                      &dtype_list, &error) ||
        !cli_open_device(device, &tune.device, &error))
        return cli_error_print(&error);
    anynorm_device_describe(tune.device, &tune.info);
    if (tune.info.device_class == ANYNORM_CLASS_REFERENCE)
        done = cli_fail(&error, CLI_USAGE, "--device",
                        "%s has one schedule, so there is nothing to tune; name another device",
                        tune.info.id);
    else
        done = tune_device(&tune, &shape_list, &dtype_list, file, &error);
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
