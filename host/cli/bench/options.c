#include "options.h"

#include "samples.h"
#include "common/library.h"
#include "common/options.h"
#include "cases/tensors.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char notes[] =
    "For each op, shape and type, cold (buffers rotated past the last-level cache) and warm (the\n"
    "same buffers again): the time from enqueue to the end of the wait and the device's own, GB/s\n"
    "of all tensors counted once, the share of the best copy of as many bytes, read and written\n"
    "alike, what an empty kernel takes, and the host's time for the enqueue alone. Ops that add x\n"
    "and residual are timed unfused, too: a kernel that adds, and the norm of the sum; gain is "
    "how\n"
    "many times as long that takes. All take turns within one run. GB/s, share and gain are by "
    "the\n"
    "device's time on a GPU and by wall time elsewhere. Shapes of up to 4 MiB are timed in "
    "batches\n"
    "of 100 enqueues, too. Shapes that do not fit the memory, or the op, are skipped.\n\nops:\n%s";

/* Heads, hidden sizes of language and image models, vocabularies; from one token to a large batch.
 */
static const uint64_t default_columns[] = {64,   128,  384,  768,   1024,  2048, 3072,
                                           4096, 5120, 8192, 12288, 16384, 65536};
static const uint64_t default_rows[] = {1, 8, 32, 128, 512, 2048, 16384};
static const struct shape default_others[] = {{257, 768}, {1151, 8192}, {300000, 64}, {4, 1048576}};

void bench_default_shapes(const struct op *op, struct shape_list *list)
{
    struct cli_error unused;

    list->count = 0;
    if (op->shapes) {
        shapes_parse(op->name, op->shapes, list, &unused);
        return;
    }
    for (size_t c = 0; c < COUNT(default_columns); c++) {
        for (size_t r = 0; r < COUNT(default_rows); r++)
            list->shapes[list->count++] = (struct shape){default_rows[r], default_columns[c]};
    }
    for (size_t i = 0; i < COUNT(default_others); i++)
        list->shapes[list->count++] = default_others[i];
}

/* --spec says all that the others would say. */
static bool check_spec(const struct bench_options *o, const char *ops, const char *shapes,
                       const char *types, struct cli_error *error)
{
    const char *other = ops ? "--op" : shapes ? "--shapes" : types ? "--dtype" : NULL;
    anynorm_spec spec;
    uint64_t rows;

    if (other)
        return cli_fail(error, CLI_USAGE, "--spec", "%s is there, too; give one", other);
    if (anynorm_spec_parse(o->spec, &spec, &rows) != ANYNORM_OK)
        return cli_fail_library(error, "--spec", ANYNORM_INVALID_ARGUMENT);
    if (rows == 0 || rows > SHAPE_ELEMENTS_MOST / spec.columns || !spec_is_dense(&spec))
        return cli_fail(
            error, CLI_USAGE, "--spec",
            "\"%.200s\" has strides, any-alignment, no rows or more than 2^58 elements; "
            "dense rows can be measured",
            o->spec);
    return true;
}

static bool check(const char *ops, const char *shapes, const char *types, bool seconds_given,
                  bool repetitions_given, struct bench_options *o, struct cli_error *error)
{
    if (seconds_given && repetitions_given)
        return cli_fail(error, CLI_USAGE, "--seconds", "--repetitions is there, too; give one");
    if (!(o->seconds > 0) || o->seconds > 3600)
        return cli_fail(error, CLI_USAGE, "--seconds",
                        "%g is out of range; give more than 0, up to 3600", o->seconds);
    if (o->spec)
        return check_spec(o, ops, shapes, types, error);
    if (shapes && !shapes_parse("--shapes", shapes, &o->shapes, error))
        return false;
    return ops_parse("--op", ops ? ops : "layer-norm", &o->ops, error) &&
           dtypes_parse("--dtype", types ? types : "f32", &o->types, error);
}

bool bench_options_parse(int argc, char **argv, struct bench_options *o, int *exit_status)
{
    const char *ops = NULL, *shapes = NULL, *types = NULL;
    int64_t repetitions = 0;
    bool cold = false, warm = false, seconds_given = false, repetitions_given = false;
    char text[sizeof notes + 1024];
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to measure (default: the best found)",
         .text = &o->device},
        {"shapes", 0, CLI_TEXT, "RxC,...",
         "rows x columns (default: 95 shapes of real models, or the op's own)", .text = &shapes},
        {"dtype", 0, CLI_TEXT, "T,...", "f32, f16, bf16, f64 (default f32)", .text = &types},
        {"op", 0, CLI_TEXT, "OP,...", "the norms below (default layer-norm)", .text = &ops},
        {"spec", 0, CLI_TEXT, "TEXT", "any norm, such as \"rms-norm 512x768 f16 l2\", instead",
         .text = &o->spec},
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
        .notes = text,
        .options = options,
        .option_count = COUNT(options),
    };
    struct cli_error error;

    *o = (struct bench_options){.seconds = 0.3};
    snprintf(text, sizeof text, notes, ops_help());
    if (!cli_parse(&command, argc, argv, exit_status))
        return false;
    if (!check(ops, shapes, types, seconds_given, repetitions_given, o, &error)) {
        *exit_status = cli_error_print(&error);
        return false;
    }
    o->repetitions = (uint64_t)repetitions;
    o->cold = cold || !warm;
    o->warm = warm || !cold;
    return true;
}
