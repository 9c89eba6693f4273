#include "report.h"

#include "common/json.h"
#include "common/library.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char *regime_of(const struct bench_result *result)
{
    return result->cold ? "cold" : "warm";
}

/* ---- The table ---- */

void bench_report_heading(const anynorm_device_info *info)
{
    cli_print_device(info);
    printf("Times in microseconds (host: nanoseconds). GB/s and share by %s.\n",
           info->device_class == ANYNORM_CLASS_GPU ? "the device's own time, if it measures"
                                                   : "wall time");
    printf("%-16s %-5s %-6s %-16s %10s %10s %10s %10s %10s %10s %7s %7s %6s %8s %8s %9s %9s %5s\n",
           "ROWSxCOLUMNS", "TYPE", "REGIME", "SCHEDULE", "WALL p50", "p10", "p90", "EVENT p50",
           "p10", "p90", "GB/s", "COPY", "SHARE", "LAUNCH", "HOST", "BATCHED", "UNFUSED", "GAIN");
}

static void print_cell(int width, int digits, double value)
{
    if (isfinite(value))
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s", width, "-");
}

static void print_spread(const struct bench_spread *spread)
{
    print_cell(10, 1, spread->p50);
    print_cell(10, 1, spread->p10);
    print_cell(10, 1, spread->p90);
}

void bench_report_op(const char *op)
{
    printf("%s:\n", op);
}

void bench_report_line(const struct bench_line *line)
{
    const struct bench_result *result = &line->result;
    char shape[48];

    snprintf(shape, sizeof shape, "%" PRIu64 "x%" PRIu64, line->rows, line->columns);
    printf("%-16s %-5s ", shape, anynorm_dtype_name(line->type));
    if (line->skipped[0]) {
        printf("skipped: %s\n", line->skipped);
        return;
    }
    printf("%-6s %-16s", regime_of(result), line->schedule);
    print_spread(&result->wall);
    print_spread(&result->event);
    print_cell(7, 2, result->gbps);
    print_cell(7, 2, result->copy_gbps);
    print_cell(6, 2, result->copy_share);
    print_cell(8, 1, result->launch_us);
    print_cell(8, 0, result->host_ns);
    print_cell(9, 2, result->batched_us);
    print_cell(9, 1, result->unfused_us);
    print_cell(5, 2, result->fused_gain);
    putchar('\n');
}

/* ---- JSON ---- */

static void print_number(const char *key, double value)
{
    if (isfinite(value))
        printf(", \"%s\": %.7g", key, value);
    else
        printf(", \"%s\": null", key);
}

static void print_three(const char *key, const struct bench_spread *spread)
{
    const struct {
        const char *suffix;
        double value;
    } parts[] = {{"p50", spread->p50}, {"p10", spread->p10}, {"p90", spread->p90}};
    char name[32];

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "%s_%s", key, parts[i].suffix);
        print_number(name, parts[i].value);
    }
}

static void print_problem(const struct bench_line *line)
{
    printf("{\"op\": \"%s\", \"dtype\": \"%s\", \"rows\": %" PRIu64 ", \"columns\": %" PRIu64,
           line->op, anynorm_dtype_name(line->type), line->rows, line->columns);
}

static void print_result(const struct bench_line *line)
{
    const struct bench_result *result = &line->result;

    print_problem(line);
    printf(", \"schedule\": \"%s\", \"regime\": \"%s\"", line->schedule, regime_of(result));
    print_three("wall_us", &result->wall);
    print_three("event_us", &result->event);
    print_number("gbps", result->gbps);
    print_number("copy_gbps", result->copy_gbps);
    print_number("copy_share", result->copy_share);
    print_number("launch_us", result->launch_us);
    print_number("host_ns", result->host_ns);
    print_number("batched_us", result->batched_us);
    print_number("batched_launch_us", result->batched_launch_us);
    print_number("copy_us", result->copy_us);
    print_number("unfused_us_p50", result->unfused_us);
    print_number("fused_gain", result->fused_gain);
    printf(", \"best_copy\": \"%s\", \"clock\": \"%s\", \"choice\": \"%s\", \"bytes\": %" PRIu64
           ", \"repetitions\": %" PRIu64 "}",
           result->best_copy == BENCH_COPY ? "copy" : "copy_streaming",
           result->by_event ? "event" : "wall", line->choice, line->bytes, result->rounds);
}

static void print_list(const struct bench_line *lines, size_t count, bool skipped)
{
    const char *separator = "\n  ";

    for (size_t i = 0; i < count; i++) {
        if ((lines[i].skipped[0] != '\0') != skipped)
            continue;
        fputs(separator, stdout);
        separator = ",\n  ";
        if (skipped) {
            print_problem(&lines[i]);
            fputs(", \"reason\": ", stdout);
            json_print_string(lines[i].skipped);
            putchar('}');
        } else {
            print_result(&lines[i]);
        }
    }
}

void bench_report_json(const anynorm_device_info *info, const struct bench_line *lines,
                       size_t count)
{
    fputs("{\"device\": ", stdout);
    json_print_string(info->name);
    fputs(", \"id\": ", stdout);
    json_print_string(info->id);
    fputs(", \"driver\": ", stdout);
    json_print_string(info->driver);
    fputs(", \"results\": [", stdout);
    print_list(lines, count, false);
    fputs("], \"skipped\": [", stdout);
    print_list(lines, count, true);
    puts("]}");
}
