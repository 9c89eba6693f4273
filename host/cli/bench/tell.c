#include "tell.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>

static const struct column {
    const char *heading; /* NULL: not in the table */
    int width;
    int digits;
    const char *key;
    size_t at; /* of a double in struct bench_result */
} columns[] = {
    {"WALL p50", 10, 1, "wall_us_p50", offsetof(struct bench_result, wall.p50)},
    {"p10", 10, 1, "wall_us_p10", offsetof(struct bench_result, wall.p10)},
    {"p90", 10, 1, "wall_us_p90", offsetof(struct bench_result, wall.p90)},
    {"EVENT p50", 10, 1, "event_us_p50", offsetof(struct bench_result, event.p50)},
    {"p10", 10, 1, "event_us_p10", offsetof(struct bench_result, event.p10)},
    {"p90", 10, 1, "event_us_p90", offsetof(struct bench_result, event.p90)},
    {"GB/s", 7, 2, "gbps", offsetof(struct bench_result, gbps)},
    {"COPY", 7, 2, "copy_gbps", offsetof(struct bench_result, copy_gbps)},
    {"SHARE", 6, 2, "copy_share", offsetof(struct bench_result, copy_share)},
    {"LAUNCH", 8, 1, "launch_us", offsetof(struct bench_result, launch_us)},
    {"HOST", 8, 0, "host_ns", offsetof(struct bench_result, host_ns)},
    {"BATCHED", 9, 2, "batched_us", offsetof(struct bench_result, batched_us)},
    {NULL, 0, 0, "batched_launch_us", offsetof(struct bench_result, batched_launch_us)},
    {NULL, 0, 0, "copy_us", offsetof(struct bench_result, copy_us)},
    {"UNFUSED", 9, 1, "unfused_us_p50", offsetof(struct bench_result, unfused_us)},
    {"GAIN", 5, 2, "fused_gain", offsetof(struct bench_result, fused_gain)},
};

static double value_of(const struct bench_line *line, const struct column *column)
{
    return *(const double *)(const void *)((const char *)&line->result + column->at);
}

static const char *regime_of(const struct bench_line *line)
{
    return line->result.cold ? "cold" : "warm";
}

void bench_heading_print(const anynorm_device_info *info)
{
    cli_print_device(info);
    printf("Times in microseconds (host: nanoseconds). GB/s and share by %s.\n",
           info->device_class == ANYNORM_CLASS_GPU ? "the device's own time, if it measures"
                                                   : "wall time");
    printf("%-16s %-5s %-6s %-16s", "ROWSxCOLUMNS", "TYPE", "REGIME", "SCHEDULE");
    for (const struct column *column = columns; column < columns + COUNT(columns); column++) {
        if (column->heading)
            printf(" %*s", column->width, column->heading);
    }
    putchar('\n');
}

void bench_line_print(const struct bench_line *line)
{
    char shape[48];

    snprintf(shape, sizeof shape, "%" PRIu64 "x%" PRIu64, line->rows, line->columns);
    printf("%-16s %-5s ", shape, anynorm_dtype_name(line->type));
    if (line->skipped[0]) {
        printf("skipped: %s\n", line->skipped);
        return;
    }
    printf("%-6s %-16s", regime_of(line), line->schedule);
    for (const struct column *column = columns; column < columns + COUNT(columns); column++) {
        double value = value_of(line, column);

        if (column->heading && isfinite(value))
            printf(" %*.*f", column->width, column->digits, value);
        else if (column->heading)
            printf(" %*s", column->width, "-");
    }
    putchar('\n');
}

static void add_result(struct json_text *json, const struct bench_line *line)
{
    const struct bench_result *result = &line->result;

    json_add(json, ", \"schedule\": \"%s\", \"regime\": \"%s\"", line->schedule, regime_of(line));
    for (const struct column *column = columns; column < columns + COUNT(columns); column++) {
        json_add(json, ", \"%s\": ", column->key);
        json_add_number(json, value_of(line, column), 7);
    }
    json_add(json,
             ", \"best_copy\": \"%s\", \"clock\": \"%s\", \"choice\": \"%s\", \"bytes\": %" PRIu64
             ", \"repetitions\": %" PRIu64 "}",
             bench_baseline_name(result->best_copy), result->by_event ? "event" : "wall",
             line->choice, line->bytes, result->rounds);
}

static void add_list(struct json_text *json, const struct bench_line *lines, size_t count,
                     bool skipped)
{
    const char *separator = "\n  ";

    for (const struct bench_line *line = lines; line < lines + count; line++) {
        if ((line->skipped[0] != '\0') != skipped)
            continue;
        json_add(json, "%s{\"op\": ", separator);
        json_add_string(json, line->op);
        json_add(json, ", \"dtype\": \"%s\", \"rows\": %" PRIu64 ", \"columns\": %" PRIu64,
                 anynorm_dtype_name(line->type), line->rows, line->columns);
        separator = ",\n  ";
        if (skipped) {
            json_add(json, ", \"reason\": ");
            json_add_string(json, line->skipped);
            json_add(json, "}");
        } else {
            add_result(json, line);
        }
    }
}

void bench_lines_add(struct json_text *json, const struct bench_line *lines, size_t count)
{
    json_add(json, "\"results\": [");
    add_list(json, lines, count, false);
    json_add(json, "], \"skipped\": [");
    add_list(json, lines, count, true);
    json_add(json, "]");
}
