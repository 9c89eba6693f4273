/* How the shape of a tensor beside x becomes that of x. */
#ifndef ANYNORM_CLI_NORM_FIT_H
#define ANYNORM_CLI_NORM_FIT_H

#include "common/error.h"
#include "shape.h"
#include "files/tensor_file.h"

#include <stdbool.h>

/* What the shapes are held against. */
struct norm_frame {
    const struct tensor_layout *x;
    const struct norm_shape *shape;
    struct cli_error *error;
};

/* Each sets the order in which the tensor is read, or refuses its shape. All take what numpy
 * broadcasts to the shape of x, if the norm can be had, and:
 *
 * a parameter   one axis of the columns, or of the channels or groups of channels
 * a sample      (samples, columns), where consecutive rows share a sample; and the normalized axes
 *               for the columns
 * a statistic   the shape of the axes before the normalized ones, or one axis of all rows
 */
typedef bool norm_fit(const struct norm_frame *frame, struct tensor_file *tensor,
                      const char *option);

norm_fit norm_fit_parameter; /* to the elements of x; of images to the channels */
norm_fit norm_fit_sample;    /* to the elements of x */
norm_fit norm_fit_statistic; /* to the rows */
norm_fit norm_fit_residual;  /* to the elements of x */

#endif
