/* `anynorm bench`: how fast a device normalizes, next to how fast it copies. */
#include "case.h"
#include "tell.h"

#include "cases/norms.h"
#include "common/cli.h"
#include "files/output.h"
#include "pages/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was asked for. */
struct options {
    const char *device;
    struct op_list ops;
    const char *spec_text; /* of a norm to measure instead; NULL: none */
    anynorm_spec spec;     /* that norm */
    uint64_t rows;
    const char *schedule;     /* NULL: the library's choice */
    struct shape_list shapes; /* empty: each op's own */
    struct dtype_list types;
    double seconds;      /* for each shape, type and regime; more where one round takes longer */
    int64_t repetitions; /* 0: as many as fit into `seconds` */
    bool cold;
    bool warm;
    bool json;
    const char *html; /* NULL: none */
};

struct bench {
    int argc;
    char **argv;
    struct options options;
    anynorm_device *device;
    anynorm_device_info info;
    struct bench_line *lines; /* one for each op, shape, type and regime */
    size_t count;
    size_t measured;
    struct progress progress;
    struct output page;
};

/* ---- Telling: a table as it goes, or documents at the end ---- */

/* The documents that are asked for, of one content. What stdout did not take is known before the
 * page is put in its place. */
static bool tell_all(struct bench *bench)
{
    struct json_text json = {.text = NULL};
    bool done = true;

    if (!bench->options.json && !bench->options.html)
        return true;
    json_add(&json, "{");
    page_add_device(&json, &bench->info);
    page_add_run(&json, bench->argc, bench->argv);
    bench_lines_add(&json, bench->lines, bench->count);
    json_add(&json, "}\n");
    if (bench->options.json)
        done = json_print(&json, "bench");
    if (bench->options.html)
        done = done && cli_flush_stdout() && page_write(&bench->page, &page_of_bench, &json);
    json_free(&json);
    return done;
}

static void tell(struct bench *bench, const struct bench_line *line)
{
    bench->lines[bench->count++] = *line;
    if (bench->options.json)
        return;
    progress_end(&bench->progress);
    bench_line_print(line);
    fflush(stdout);
}

/* ---- Measuring ---- */

static void skip(struct bench *bench, struct bench_line *line, const char *reason)
{
    snprintf(line->skipped, sizeof line->skipped, "%.190s", reason);
    tell(bench, line);
    line->skipped[0] = '\0';
}

static bool run_regime(struct bench *bench, struct bench_case *c, struct bench_line *line,
                       bool cold)
{
    if (cold && !c->cold) {
        skip(bench, line, "cold: the memory to get past the cache cannot be had");
        return true;
    }
    if (!bench_case_run(c, cold, bench->options.seconds, (uint64_t)bench->options.repetitions,
                        &line->result))
        return false;
    bench->measured++;
    tell(bench, line);
    return true;
}

static bool run_case(struct bench *bench, const char *op, const anynorm_spec *spec, uint64_t rows)
{
    struct bench_line line = {
        .op = op, .type = spec->x.type, .rows = rows, .columns = spec->columns};
    struct bench_case c;
    bool skipped = false, ran = true;

    if (!bench_case_make(&c, bench->device, bench->options.schedule, spec, rows, &skipped)) {
        if (skipped)
            skip(bench, &line, strstr(cli_error.text, ": ") + 2); /* behind its subject */
        return skipped;
    }
    line.bytes = c.bytes;
    line.schedule = c.plan.schedule;
    snprintf(line.choice, sizeof line.choice, "%s", c.plan.choice);
    if (bench->options.cold)
        ran = run_regime(bench, &c, &line, true);
    if (ran && bench->options.warm)
        ran = run_regime(bench, &c, &line, false);
    bench_case_free(&c);
    return ran;
}

static bool run_shape(struct bench *bench, const struct op *op, anynorm_dtype type,
                      const struct shape *shape)
{
    struct bench_line line = {
        .op = op->name, .type = type, .rows = shape->rows, .columns = shape->columns};
    anynorm_spec spec;

    if (spec_of_op(op, type, shape, &spec))
        return run_case(bench, op->name, &spec, shape->rows);
    skip(bench, &line, anynorm_message());
    return true;
}

/* Heads, hidden sizes of language and image models, vocabularies; from one token to a large batch.
 */
static const uint64_t default_columns[] = {64,   128,  384,  768,   1024,  2048, 3072,
                                           4096, 5120, 8192, 12288, 16384, 65536};
static const uint64_t default_rows[] = {1, 8, 32, 128, 512, 2048, 16384};
static const struct shape default_others[] = {{257, 768}, {1151, 8192}, {300000, 64}, {4, 1048576}};

/* Those that are asked for, or else an op's, which are then put into *own. */
static const struct shape_list *shapes_of(const struct options *o, const struct op *op,
                                          struct shape_list *own)
{
    if (o->shapes.count > 0)
        return &o->shapes;
    own->count = 0;
    if (op->shapes) {
        shapes_parse(op->name, op->shapes, own);
        return own;
    }
    for (size_t c = 0; c < COUNT(default_columns); c++) {
        for (size_t r = 0; r < COUNT(default_rows); r++)
            own->shapes[own->count++] = (struct shape){default_rows[r], default_columns[c]};
    }
    for (size_t i = 0; i < COUNT(default_others); i++)
        own->shapes[own->count++] = default_others[i];
    return own;
}

static bool run_op(struct bench *bench, const struct op *op, size_t *done)
{
    const struct options *o = &bench->options;
    struct shape_list own;
    const struct shape_list *shapes = shapes_of(o, op, &own);

    if (!o->json)
        printf("%s:\n", op->name);
    for (size_t t = 0; t < o->types.count; t++) {
        for (size_t s = 0; s < shapes->count; s++) {
            if (!run_shape(bench, op, o->types.types[t], &shapes->shapes[s]))
                return false;
            progress_update(&bench->progress, ++*done);
        }
    }
    return true;
}

static bool run_all(struct bench *bench)
{
    const struct options *o = &bench->options;
    struct shape_list own;
    size_t cases = o->spec_text != NULL, done = 0;

    for (size_t i = 0; i < o->ops.count; i++)
        cases += shapes_of(o, o->ops.ops[i], &own)->count * o->types.count;
    bench->lines = calloc(2 * cases, sizeof *bench->lines);
    if (!bench->lines)
        return cli_fail(CLI_FAILED, "bench", "out of memory");
    if (!o->json)
        bench_heading_print(&bench->info);
    progress_start(&bench->progress, cases);
    if (o->spec_text && !o->json)
        printf("%s:\n", o->spec_text);
    if (o->spec_text && !run_case(bench, o->spec_text, &o->spec, o->rows))
        return false;
    for (size_t i = 0; i < o->ops.count; i++) {
        if (!run_op(bench, o->ops.ops[i], &done))
            return false;
    }
    progress_end(&bench->progress);
    if (!tell_all(bench))
        return false;
    return bench->measured > 0 ||
           cli_fail(CLI_FAILED, "bench", "nothing was measured; the last reason: %s",
                    bench->lines[bench->count - 1].skipped);
}

/* ---- Options ---- */

/* --spec says all that the others would say. */
static bool check_spec(struct options *o, const char *ops, const char *shapes, const char *types)
{
    const char *other = ops ? "--op" : shapes ? "--shapes" : types ? "--dtype" : NULL;

    if (other)
        return cli_fail(CLI_USAGE, "--spec", "%s is there, too; give one", other);
    if (anynorm_spec_parse(o->spec_text, &o->spec, &o->rows) != ANYNORM_OK)
        return cli_fail_library("--spec", ANYNORM_INVALID_ARGUMENT);
    if (o->rows == 0 || o->rows > SHAPE_ELEMENTS_MOST / o->spec.columns ||
        !spec_is_packed(&o->spec, o->rows))
        return cli_fail(CLI_USAGE, "--spec",
                        "\"%.200s\" has gaps, any-alignment, no rows or more than 2^58 elements; "
                        "rows that are dense, or all between each other's columns, can be measured",
                        o->spec_text);
    if (o->spec.gradients.flags && tensor_info(&o->spec, TENSOR_PARTIALS, 1).present)
        return cli_fail(CLI_USAGE, "--spec",
                        "\"%.200s\" has partials, a part of gradients; whole ones can be measured",
                        o->spec_text);
    return true;
}

static bool check(const char *ops, const char *shapes, const char *types, bool seconds_given,
                  bool repetitions_given, struct options *o)
{
    if (seconds_given && repetitions_given)
        return cli_fail(CLI_USAGE, "--seconds", "--repetitions is there, too; give one");
    if (!(o->seconds > 0) || o->seconds > 3600)
        return cli_fail(CLI_USAGE, "--seconds", "%g is out of range; give more than 0, up to 3600",
                        o->seconds);
    if (o->spec_text)
        return check_spec(o, ops, shapes, types);
    if (shapes && !shapes_parse("--shapes", shapes, &o->shapes))
        return false;
    return ops_parse("--op", ops ? ops : "layer-norm", &o->ops) &&
           dtypes_parse("--dtype", types ? types : "f32", &o->types);
}

static const char notes[] =
    "For each op, shape and type, cold (buffers rotated past the last-level cache) and warm (the\n"
    "same buffers again): the time from enqueue to the end of the wait and the device's own, GB/s\n"
    "of all tensors counted once, the share of the best copy of as many bytes, read and written\n"
    "alike, what an empty kernel takes, and the host's time for the enqueue alone. Beside\n"
    "gradients (backward) stands the best of the copies of x to dx and the addition of x and dy\n"
    "to dx, each of as many bytes as the gradients' tensors have, workspace aside. Ops that add x\n"
    "and residual are timed unfused, too: a kernel that adds, and the norm of the sum; gain is "
    "how\n"
    "many times as long that takes. All take turns within one run. GB/s, share and gain are by "
    "the\n"
    "device's time on a GPU and by wall time elsewhere. Shapes of up to 4 MiB are timed in "
    "batches\n"
    "of 100 enqueues, too. Shapes that do not fit the memory, or the op, are skipped.\n\nops:\n%s";

/* False: return *exit_status, the error or the help printed. */
static bool parse(int argc, char **argv, struct options *o, int *exit_status)
{
    const char *ops = NULL, *shapes = NULL, *types = NULL;
    bool seconds_given = false, repetitions_given = false;
    char text[sizeof notes + 2048];
    const struct cli_option options[] = {
        {"device", 0, CLI_TEXT, "NAME", "the device to measure (default: the best found)",
         .text = &o->device},
        {"shapes", 0, CLI_TEXT, "RxC,...",
         "rows x columns (default: 95 shapes of real models, or the op's own)", .text = &shapes},
        {"dtype", 0, CLI_TEXT, "T,...", "f32, f16, bf16, f64 (default f32)", .text = &types},
        {"op", 0, CLI_TEXT, "OP,...", "the norms and gradients below (default layer-norm)",
         .text = &ops},
        {"spec", 0, CLI_TEXT, "TEXT",
         "any norm, such as \"rms-norm 512x768 f16 l2\", or its gradients, instead",
         .text = &o->spec_text},
        {"schedule", 0, CLI_TEXT, "TEXT",
         "force a schedule, such as \"row_per_group group=128\" (default: the best)",
         .text = &o->schedule},
        {"cold", 0, CLI_FLAG, NULL, "cold only (default: cold and warm)", .flag = &o->cold},
        {"warm", 0, CLI_FLAG, NULL, "warm only", .flag = &o->warm},
        {"seconds", 0, CLI_NUMBER, "S",
         "time for each shape, type and regime (default 0.3), within 5 to 1000 rounds",
         .number = &o->seconds, .given = &seconds_given},
        {"repetitions", 0, CLI_INTEGER, "N", "rounds, however long they take",
         .integer = &o->repetitions, .least = 1, .most = BENCH_SAMPLES_MOST,
         .given = &repetitions_given},
        {"json", 0, CLI_FLAG, NULL, "one JSON document, at the end", .flag = &o->json},
        {"html", 0, CLI_TEXT, "FILE",
         "write a page with the numbers, the options and a chart to FILE, too", .text = &o->html},
    };
    const struct cli_command command = {
        .name = "bench",
        .summary = "Measures a device, next to copies of the same size.",
        .notes = text,
        .options = options,
        .option_count = COUNT(options),
    };

    *o = (struct options){.seconds = 0.3};
    snprintf(text, sizeof text, notes, ops_help());
    if (!cli_parse(&command, argc, argv, exit_status))
        return false;
    if (!check(ops, shapes, types, seconds_given, repetitions_given, o)) {
        *exit_status = cli_error_print();
        return false;
    }
    if (o->cold == o->warm)
        o->cold = o->warm = true;
    return true;
}

int cli_bench(int argc, char **argv)
{
    struct bench bench = {.argc = argc, .argv = argv};
    int exit_status;
    bool ran = false;

    if (!parse(argc, argv, &bench.options, &exit_status))
        return exit_status;
    if ((!bench.options.html || output_prepare(&bench.page, bench.options.html)) &&
        cli_open_device(bench.options.device, &bench.device)) {
        anynorm_device_describe(bench.device, &bench.info);
        ran = run_all(&bench);
        progress_end(&bench.progress);
    }
    anynorm_device_close(bench.device);
    free(bench.lines);
    output_discard(&bench.page);
    if (!ran || !cli_flush_stdout())
        return cli_error_print();
    return CLI_DONE;
}
