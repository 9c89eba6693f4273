/* What `anynorm bench` was asked for. */
#ifndef ANYNORM_CLI_BENCH_OPTIONS_H
#define ANYNORM_CLI_BENCH_OPTIONS_H

#include "lists.h"

#include <stdbool.h>
#include <stdint.h>

struct bench_options {
    const char *device;
    const char *op;
    const char *schedule; /* NULL: the library's choice */
    struct shape_list shapes;
    struct dtype_list types;
    double seconds;       /* for each shape, type and regime; more where one round takes longer */
    uint64_t repetitions; /* 0: as many as fit into `seconds` */
    bool cold;
    bool warm;
    bool json;
};

/* False: return *exit_status, the error or the help printed. */
bool bench_options_parse(int argc, char **argv, struct bench_options *options, int *exit_status);

#endif
