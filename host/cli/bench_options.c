#include "bench_options.h"

#include "bench_samples.h"
#include "options.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char notes[] =
    "For each shape and type, cold (buffers rotated past the last-level cache) and warm (the same\n"
    "buffers again): the time from enqueue to the end of the wait and the device's own, GB/s of "
    "x,\n"
    "y, weight and bias counted once, the share of the best copy of as many bytes, what an empty\n"
    "kernel takes, and the host's time for the enqueue alone. All take turns within one run. GB/s\n"
    "and share are by the device's time on a GPU and by wall time elsewhere. Shapes of up to 4 "
    "MiB\n"
    "are timed in batches of 100 enqueues, too. Shapes that do not fit the memory are skipped.\n";

/* Heads, hidden sizes of language and image models, vocabularies; from one token to a large batch.
 */
static const uint64_t default_columns[] = {64,   128,  384,  768,   1024,  2048, 3072,
                                           4096, 5120, 8192, 12288, 16384, 65536};
static const uint64_t default_rows[] = {1, 8, 32, 128, 512, 2048, 16384};
static const struct shape default_others[] = {{257, 768}, {1151, 8192}, {300000, 64}, {4, 1048576}};

static void default_shapes(struct shape_list *list)
{
    list->count = 0;
    for (size_t c = 0; c < COUNT(default_columns); c++) {
        for (size_t r = 0; r < COUNT(default_rows); r++)
            list->shapes[list->count++] = (struct shape){default_rows[r], default_columns[c]};
    }
    for (size_t i = 0; i < COUNT(default_others); i++)
        list->shapes[list->count++] = default_others[i];
}

static bool check(const char *shapes, const char *types, bool seconds_given, bool repetitions_given,
                  struct bench_options *o, struct cli_error *error)
{
    if (seconds_given && repetitions_given)
        return cli_fail(error, CLI_USAGE, "--seconds", "--repetitions is there, too; give one");
    if (!(o->seconds > 0) || o->seconds > 3600)
        return cli_fail(error, CLI_USAGE, "--seconds",
                        "%g is out of range; give more than 0, up to 3600", o->seconds);
    if (!shapes)
        default_shapes(&o->shapes);
    else if (!shapes_parse("--shapes", shapes, &o->shapes, error))
        return false;
    return dtypes_parse("--dtype", types, &o->types, error);
}

bool bench_options_parse(int argc, char **argv, struct bench_options *o, int *exit_status)
{
    static const char *const ops[] = {"layer-norm", NULL};
    const char *shapes = NULL, *types = "f32";
    size_t op = 0;
    int64_t repetitions = 0;
    bool cold = false, warm = false, seconds_given = false, repetitions_given = false;
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to measure (default: the best found)",
         .text = &o->device},
        {"shapes", 0, CLI_TEXT, "RxC,...", "rows x columns (default: 95 shapes of real models)",
         .text = &shapes},
        {"dtype", 0, CLI_TEXT, "T,...", "f32, f16, bf16, f64 (default f32)", .text = &types},
        {"op", 0, CLI_CHOICE, "OP", "layer-norm, with weight and bias (default)", .choice = &op,
         .choices = ops},
        {"schedule", 0, CLI_TEXT, "TEXT",
         "force a schedule, such as \"row_per_group group=128\" (default: the best)",
         .text = &o->schedule},
        {"cold", 0, CLI_FLAG, NULL, "cold only (default: cold and warm)", .flag = &cold},
        {"warm", 0, CLI_FLAG, NULL, "warm only", .flag = &warm},
        {"seconds", 0, CLI_NUMBER, "S",
         "time for each shape, type and regime (default 0.3), within 5 to 1000 rounds",
         .number = &o->seconds, .given = &seconds_given},
        {"repetitions", 0, CLI_INTEGER, "N", "rounds, however long they take",
         .integer = &repetitions, .least = 1, .most = BENCH_SAMPLES_MOST,
         .given = &repetitions_given},
        {"json", 0, CLI_FLAG, NULL, "one JSON document, at the end", .flag = &o->json},
    };
    const struct cli_command command = {
        .name = "bench",
        .summary = "Measures a device, next to copies of the same size.",
        .notes = notes,
        .options = options,
        .option_count = COUNT(options),
    };
    struct cli_error error;

    *o = (struct bench_options){.seconds = 0.3};
    if (!cli_parse(&command, argc, argv, exit_status))
        return false;
    if (!check(shapes, types, seconds_given, repetitions_given, o, &error)) {
        *exit_status = cli_error_print(&error);
        return false;
    }
    o->op = ops[op];
    o->repetitions = (uint64_t)repetitions;
    o->cold = cold || !warm;
    o->warm = warm || !cold;
    return true;
}
