/* What `anynorm bench` tells of the cases that it measured: as a table, and as JSON. */
#ifndef ANYNORM_CLI_BENCH_TELL_H
#define ANYNORM_CLI_BENCH_TELL_H

#include "case.h"

/* A measured case, or, where `skipped` is not "", why there is none. */
struct bench_line {
    const char *op; /* its name, or the text of its spec */
    anynorm_dtype type;
    uint64_t rows;
    uint64_t columns;
    uint64_t bytes;
    const char *schedule; /* static */
    char choice[sizeof(((anynorm_plan_info *)0)->choice)];
    struct bench_result result;
    char skipped[200];
};

/* On stdout. */
void bench_heading_print(const anynorm_device_info *info);
void bench_line_print(const struct bench_line *line);

/* The members "results" and "skipped" of an object. */
void bench_lines_add(struct json_text *json, const struct bench_line *lines, size_t count);

#endif
