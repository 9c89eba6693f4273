/* What `anynorm bench` was asked for. */
#ifndef ANYNORM_CLI_BENCH_OPTIONS_H
#define ANYNORM_CLI_BENCH_OPTIONS_H

#include "cases/norms.h"

#include <stdbool.h>
#include <stdint.h>

struct bench_options {
    const char *device;
    struct op_list ops;
    const char *spec;         /* the text of a spec to measure instead; NULL: none */
    const char *schedule;     /* NULL: the library's choice */
    struct shape_list shapes; /* empty: each op's own */
    struct dtype_list types;
    double seconds;       /* for each shape, type and regime; more where one round takes longer */
    uint64_t repetitions; /* 0: as many as fit into `seconds` */
    bool cold;
    bool warm;
    bool json;
};

/* The shapes for an op where none are given. */
void bench_default_shapes(const struct op *op, struct shape_list *list);

/* False: return *exit_status, the error or the help printed. */
bool bench_options_parse(int argc, char **argv, struct bench_options *options, int *exit_status);

#endif
