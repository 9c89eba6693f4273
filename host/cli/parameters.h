/* Weight and bias, read from npy files and brought to one type. */
#ifndef ANYNORM_CLI_PARAMETERS_H
#define ANYNORM_CLI_PARAMETERS_H

#include "error.h"
#include "tensor_file.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct parameters {
    anynorm_dtype type;
    void *weight; /* [columns] of `type`; NULL where there is none */
    void *bias;
};

/* Reads those whose path is not NULL. Each must have the shape of x's axes from `axis` on, or be
 * one axis of `columns`. Of two types, both become f64 if one is f64, else f32, exactly. Free with
 * parameters_free, also after a failure; a zeroed one is fine. */
bool parameters_read(const char *weight_path, const char *bias_path, const struct tensor_file *x,
                     uint32_t axis, uint64_t columns, bool two_bytes_are_bf16,
                     struct parameters *parameters, struct cli_error *error);
void parameters_free(struct parameters *parameters);

#endif
