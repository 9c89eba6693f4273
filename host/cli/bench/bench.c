/* `anynorm bench`: how fast a device normalizes, next to how fast it copies. */
#include "options.h"
#include "report.h"
#include "common/commands.h"
#include "common/library.h"
#include "common/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
    struct bench_options options;
    anynorm_device *device;
    anynorm_device_info info;
    struct bench_line *lines; /* one for each op, shape, type and regime */
    size_t count;
    size_t measured;
    struct progress progress;
};

static void tell(struct bench *bench, const struct bench_line *line)
{
    bench->lines[bench->count++] = *line;
    if (bench->options.json)
        return;
    progress_end(&bench->progress);
    bench_report_line(line);
    fflush(stdout);
}

static void skip(struct bench *bench, struct bench_line *line, const char *reason)
{
    snprintf(line->skipped, sizeof line->skipped, "%.190s", reason);
    tell(bench, line);
    line->skipped[0] = '\0';
}

static bool run_regime(struct bench *bench, struct bench_case *c, struct bench_line *line,
                       bool cold, struct cli_error *error)
{
    if (cold && !c->memory.cold) {
        skip(bench, line, "cold: the memory to get past the cache cannot be had");
        return true;
    }
    if (!bench_case_run(c, cold, bench->options.seconds, bench->options.repetitions, &line->result,
                        error))
        return false;
    bench->measured++;
    tell(bench, line);
    return true;
}

static bool run_case(struct bench *bench, const char *op, const anynorm_spec *spec, uint64_t rows,
                     struct cli_error *error)
{
    struct bench_line line = {
        .op = op, .type = spec->x.type, .rows = rows, .columns = spec->columns};
    struct bench_case c;
    bool skipped = false, ran = true;

    if (!bench_case_make(&c, bench->device, bench->options.schedule, spec, rows, &skipped, error)) {
        if (skipped)
            skip(bench, &line, strstr(error->text, ": ") + 2); /* behind its subject */
        return skipped;
    }
    line.bytes = c.bytes;
    line.schedule = c.plan.schedule;
    snprintf(line.choice, sizeof line.choice, "%s", c.plan.choice);
    if (bench->options.cold)
        ran = run_regime(bench, &c, &line, true, error);
    if (ran && bench->options.warm)
        ran = run_regime(bench, &c, &line, false, error);
    bench_case_free(&c);
    return ran;
}

static bool run_shape(struct bench *bench, const struct op *op, anynorm_dtype type,
                      const struct shape *shape, struct cli_error *error)
{
    struct bench_line line = {
        .op = op->name, .type = type, .rows = shape->rows, .columns = shape->columns};
    anynorm_spec spec;

    if (spec_of_words(op->spec, type, shape, &spec))
        return run_case(bench, op->name, &spec, shape->rows, error);
    skip(bench, &line, anynorm_message());
    return true;
}

static const struct shape_list *shapes_of(const struct bench_options *o, const struct op *op,
                                          struct shape_list *own)
{
    if (o->shapes.count > 0)
        return &o->shapes;
    bench_default_shapes(op, own);
    return own;
}

static bool run_op(struct bench *bench, const struct op *op, size_t *done, struct cli_error *error)
{
    const struct bench_options *o = &bench->options;
    struct shape_list own;
    const struct shape_list *shapes = shapes_of(o, op, &own);

    if (!o->json)
        bench_report_op(op->name);
    for (size_t t = 0; t < o->types.count; t++) {
        for (size_t s = 0; s < shapes->count; s++) {
            if (!run_shape(bench, op, o->types.types[t], &shapes->shapes[s], error))
                return false;
            progress_update(&bench->progress, ++*done);
        }
    }
    return true;
}

static bool run_ops(struct bench *bench, struct cli_error *error)
{
    bool ran = true;
    size_t done = 0;

    for (size_t i = 0; ran && i < bench->options.ops.count; i++)
        ran = run_op(bench, bench->options.ops.ops[i], &done, error);
    return ran;
}

static bool run_spec(struct bench *bench, struct cli_error *error)
{
    anynorm_spec spec;
    uint64_t rows;

    if (anynorm_spec_parse(bench->options.spec, &spec, &rows) != ANYNORM_OK)
        return cli_fail_library(error, "--spec", ANYNORM_INVALID_ARGUMENT);
    if (!bench->options.json)
        bench_report_op(bench->options.spec);
    return run_case(bench, bench->options.spec, &spec, rows, error);
}

static bool run_all(struct bench *bench, struct cli_error *error)
{
    const struct bench_options *o = &bench->options;
    struct shape_list own;
    size_t cases = o->spec != NULL;

    for (size_t i = 0; i < o->ops.count; i++)
        cases += shapes_of(o, o->ops.ops[i], &own)->count * o->types.count;
    bench->lines = calloc(2 * cases, sizeof *bench->lines);
    if (!bench->lines)
        return cli_fail(error, CLI_FAILED, "bench", "out of memory");
    if (!o->json)
        bench_report_heading(&bench->info);
    progress_start(&bench->progress, cases);
    if (!(o->spec ? run_spec(bench, error) : run_ops(bench, error)))
        return false;
    progress_end(&bench->progress);
    if (o->json)
        bench_report_json(&bench->info, bench->lines, bench->count);
    return bench->measured > 0 ||
           cli_fail(error, CLI_FAILED, "bench", "nothing was measured; the last reason: %s",
                    bench->lines[bench->count - 1].skipped);
}

int cli_bench(int argc, char **argv)
{
    struct bench bench = {.device = NULL};
    struct cli_error error;
    int exit_status;
    bool ran = false;

    if (!bench_options_parse(argc, argv, &bench.options, &exit_status))
        return exit_status;
    if (cli_open_device(bench.options.device, &bench.device, &error)) {
        anynorm_device_describe(bench.device, &bench.info);
        ran = run_all(&bench, &error);
        progress_end(&bench.progress);
    }
    anynorm_device_close(bench.device);
    free(bench.lines);
    if (!ran || !cli_flush_stdout(&error))
        return cli_error_print(&error);
    return CLI_DONE;
}
