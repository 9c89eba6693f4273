/* What `anynorm bench` prints: a table as it goes, or one JSON document at the end. */
#ifndef ANYNORM_CLI_BENCH_REPORT_H
#define ANYNORM_CLI_BENCH_REPORT_H

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

void bench_report_heading(const anynorm_device_info *info);
/* Before the lines of one op. */
void bench_report_op(const char *op);
void bench_report_line(const struct bench_line *line);
void bench_report_json(const anynorm_device_info *info, const struct bench_line *lines,
                       size_t count);

#endif
