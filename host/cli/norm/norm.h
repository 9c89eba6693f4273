/* One run of anynorm layer-norm, rms-norm, group-norm or instance-norm, and what it holds. */
#ifndef ANYNORM_CLI_NORM_H
#define ANYNORM_CLI_NORM_H

#include "common/error.h"
#include "inputs.h"
#include "options.h"
#include "outputs.h"
#include "shape.h"
#include "preview.h"
#include "row_table.h"
#include "files/tensor_file.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct norm {
    struct tensor_file x;
    struct norm_shape shape;
    struct norm_inputs inputs;
    anynorm_spec spec; /* of dense tensors */
    float y_scale;     /* with ANYNORM_Y_SCALE_INPUT */
    struct norm_outputs outputs;
    anynorm_device *device;
    anynorm_plan *plan;
    bool want_stats;   /* the table */
    bool want_preview; /* y on stdout */
    bool timing;
    double seconds; /* in anynorm_run, with `timing` */
    struct row_table table;
    struct preview preview;
};

/* What the options, the shape and the types of the inputs come to. */
anynorm_spec norm_spec(const struct norm_options *options, const struct norm *work);

/* The rows of a block of about `block_bytes` of x: as many as must go together, at least. */
uint64_t norm_block_rows(const struct norm *work, int64_t block_bytes);

/* Normalizes all rows, about `block_bytes` of x at a time but as many as must go together, into the
 * outputs (created, their heads written), the table and the preview. */
bool norm_blocks(struct norm *work, int64_t block_bytes, struct cli_error *error);

#endif
