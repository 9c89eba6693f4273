/* How a norm takes a tensor apart into rows, and what shapes its other tensors then have. */
#ifndef ANYNORM_CLI_NORM_SHAPE_H
#define ANYNORM_CLI_NORM_SHAPE_H

#include "common/error.h"
#include "options.h"
#include "files/tensor_file.h"

#include <stdbool.h>
#include <stdint.h>

struct shape_of {
    uint32_t rank;
    uint64_t sizes[TENSOR_MAX_RANK];
};

struct norm_shape {
    uint64_t rows;
    uint64_t columns;
    uint32_t channel_axis;   /* of x; 0: rows are its last axes */
    uint64_t parameter_rows; /* as in anynorm_spec: the groups of the channels */
    uint64_t parameter_run;
    uint64_t parameter_cycle;
    uint64_t inner_rows; /* 0: rows are dense, and so what follows; of channels-last images: */
    uint64_t row_stride;
    uint64_t outer_stride;
    uint64_t column_stride;
    uint64_t column_run;
    uint64_t line;              /* elements of a line of print, as they lie in memory */
    struct shape_of statistics; /* `rows` elements */
    struct shape_of parameters;
};

/* Errors name the file or the option. */
bool norm_shape_find(const struct norm_options *options, const struct tensor_file *x,
                     struct norm_shape *shape, struct cli_error *error);

uint64_t shape_elements(const struct shape_of *shape);

#endif
