/* `anynorm bench`: how fast a device normalizes, next to how fast it copies. */
#include "bench_options.h"
#include "bench_report.h"
#include "commands.h"
#include "library.h"
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
    struct bench_options options;
    anynorm_device *device;
    anynorm_device_info info;
    struct bench_line *lines; /* one for each shape, type and regime */
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

static bool run_case(struct bench *bench, anynorm_dtype type, const struct shape *shape,
                     struct cli_error *error)
{
    struct bench_line line = {
        .op = bench->options.op, .type = type, .rows = shape->rows, .columns = shape->columns};
    struct bench_case c;
    bool skipped = false, ran = true;

    if (!bench_case_make(&c, bench->device, bench->options.schedule, type, shape->rows,
                         shape->columns, &skipped, error)) {
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

static bool run_all(struct bench *bench, struct cli_error *error)
{
    const struct bench_options *o = &bench->options;
    size_t cases = o->shapes.count * o->types.count;
    size_t done = 0;

    bench->lines = calloc(2 * cases, sizeof *bench->lines);
    if (!bench->lines)
        return cli_fail(error, CLI_FAILED, "bench", "out of memory");
    if (!o->json)
        bench_report_heading(&bench->info);
    progress_start(&bench->progress, cases);
    for (size_t t = 0; t < o->types.count; t++) {
        for (size_t s = 0; s < o->shapes.count; s++) {
            if (!run_case(bench, o->types.types[t], &o->shapes.shapes[s], error))
                return false;
            progress_update(&bench->progress, ++done);
        }
    }
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
