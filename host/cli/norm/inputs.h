/* What a norm reads beside x. */
#ifndef ANYNORM_CLI_NORM_INPUTS_H
#define ANYNORM_CLI_NORM_INPUTS_H

#include "common/error.h"
#include "options.h"
#include "shape.h"
#include "files/tensor_file.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

enum norm_input_name {
    IN_WEIGHT,
    IN_BIAS,
    IN_PRE_BIAS,
    IN_GATE,
    IN_SCALE,
    IN_SHIFT,
    IN_MEAN,
    IN_RSTD,
    IN_RESIDUAL,
    INPUTS
};

struct norm_input {
    struct tensor_file file; /* path NULL: not given */
    anynorm_dtype type;      /* as which its elements are read */
    /* All that there is of it: parameters of one row, or of all channels; samples [samples]
     * [columns]; statistics [rows]. NULL: it is read, as x is, for each block of rows. */
    void *data;
};

struct norm_inputs {
    struct norm_input all[INPUTS];
    bool own_parameters;  /* each row has its own: those are not in memory */
    uint64_t sample_rows; /* as in anynorm_spec, 0 without samples; of 1 these are not in memory */
};

/* Opens all that the options name, holds the shapes against that of x, and loads what is small.
 * Tensors that share a type and come in two both become f64 if one is f64, else f32, exactly;
 * statistics become f32. Free with norm_inputs_free, also after a failure; a zeroed one is fine. */
bool norm_inputs_read(const struct norm_options *options, const struct tensor_file *x,
                      const struct norm_shape *shape, struct norm_inputs *inputs,
                      struct cli_error *error);
void norm_inputs_free(struct norm_inputs *inputs);

bool norm_inputs_have(const struct norm_inputs *inputs, enum norm_input_name name);

#endif
