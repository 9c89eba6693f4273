/* The files that a norm writes. */
#ifndef ANYNORM_CLI_NORM_OUTPUTS_H
#define ANYNORM_CLI_NORM_OUTPUTS_H

#include "common/error.h"
#include "options.h"
#include "shape.h"
#include "files/output.h"
#include "files/tensor_file.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

enum { OUTPUT_Y, OUTPUT_SUM, OUTPUT_MEAN, OUTPUT_RSTD, OUTPUT_Y_SCALE, OUTPUTS };

struct norm_outputs {
    struct output files[OUTPUTS]; /* path NULL: not wanted */
};

/* In this order; *outputs zeroed before, norm_outputs_discard last in every case. */
bool norm_outputs_prepare(struct norm_outputs *outputs, const struct norm_options *options,
                          struct cli_error *error);
/* Creates the files and writes their heads. */
bool norm_outputs_create(struct norm_outputs *outputs, const anynorm_spec *spec,
                         const struct tensor_file *x, const struct norm_shape *shape,
                         struct cli_error *error);
/* Appends the next `count` rows. */
bool norm_outputs_write(struct norm_outputs *outputs, const anynorm_spec *spec,
                        const anynorm_host_tensors *tensors, uint64_t count,
                        struct cli_error *error);
bool norm_outputs_close(struct norm_outputs *outputs, struct cli_error *error);
bool norm_outputs_commit(struct norm_outputs *outputs, struct cli_error *error);
void norm_outputs_discard(struct norm_outputs *outputs);

#endif
