/* What a norm reads beside x. */
#ifndef ANYNORM_CLI_NORM_INPUTS_H
#define ANYNORM_CLI_NORM_INPUTS_H

#include "error.h"
#include "norm_options.h"
#include "norm_shape.h"
#include "tensor_file.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

/* NULL, and a tensor file that is not open: not given. */
struct norm_inputs {
    anynorm_dtype parameter_type;
    void *weight; /* as many elements as the shape's parameters */
    void *bias;
    void *pre_bias;
    anynorm_dtype sample_type;
    uint64_t sample_rows; /* 0 without samples */
    void *gate;           /* [samples][columns] */
    void *scale;
    void *shift;
    float *mean; /* [rows] */
    float *rstd;
    struct tensor_file residual; /* large, so it stays in its file */
};

/* Reads all that the options name and checks the shapes against those of x. Tensors that share a
 * type and come in two both become f64 if one is f64, else f32, exactly; statistics become f32.
 * Free with norm_inputs_free, also after a failure; a zeroed one is fine. */
bool norm_inputs_read(const struct norm_options *options, const struct tensor_file *x,
                      const struct norm_shape *shape, struct norm_inputs *inputs,
                      struct cli_error *error);
void norm_inputs_free(struct norm_inputs *inputs);

#endif
