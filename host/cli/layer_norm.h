/* One run of `anynorm layer-norm`: what it was asked for and what it holds. */
#ifndef ANYNORM_CLI_LAYER_NORM_H
#define ANYNORM_CLI_LAYER_NORM_H

#include "error.h"
#include "tensor_file.h"
#include "output.h"
#include "parameters.h"
#include "preview.h"
#include "row_table.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct layer_norm_options {
    const char *input;
    const char *output;
    const char *weight;
    const char *bias;
    const char *mean_output;
    const char *rstd_output;
    const char *device;
    int64_t axis;
    int64_t block_bytes;
    double eps;
    anynorm_dtype dtype;
    bool dtype_given; /* else dtype is void */
    bool stats;
    bool timing;
};

enum { OUTPUT_Y, OUTPUT_MEAN, OUTPUT_RSTD, OUTPUTS };

struct layer_norm {
    struct tensor_file x;
    uint32_t axis; /* normalized are the axes axis .. rank-1 */
    uint64_t rows;
    uint64_t columns;
    struct parameters parameters;
    struct output outputs[OUTPUTS];
    anynorm_device *device;
    anynorm_plan *plan;
    bool want_stats;   /* the table */
    bool want_preview; /* y on stdout */
    bool timing;
    double seconds; /* in anynorm_run, with `timing` */
    struct row_table table;
    struct preview preview;
};

/* Parses the arguments. False: return *exit_status, as the help or the error has been printed. */
bool layer_norm_options(int argc, char **argv, struct layer_norm_options *options,
                        int *exit_status);

/* Normalizes all rows, `block_bytes` of x at a time but at least one row, into the outputs
 * (created, their heads written), the table and the preview. */
bool layer_norm_blocks(struct layer_norm *work, uint64_t block_bytes, struct cli_error *error);

#endif
