/* How far gradients may be from the oracle's: the bounds of docs/numerics.md. `anynorm verify` and
 * the tests share them.
 *
 * An error is what a result has beyond half a place of its type, in units of 2^-23 (2^-52 where the
 * arithmetic is double) of a scale: of dx and dresidual what their row is made of, of a sum over
 * rows the root of the sum of the squares of its terms. */
#ifndef ANYNORM_CLI_GRADIENT_BOUNDS_H
#define ANYNORM_CLI_GRADIENT_BOUNDS_H

#include "bounds.h"
#include "cases/tensors.h"

#define GRADIENT_BOUND 8.0

/* What is given for a column. What the spec does not name is as if it were not there: weight and
 * gate 1, the others 0. */
struct gradient_column {
    struct bounds_factors factors;
    double gate;
    double residual;
    double dy;
    double dsum;
};

/* The size of what the row's dh is made of, `columns` being all of its columns. `row` has n,
 * n_error and what belongs to the row; n_error, mean_error and rstd_error say what sums of x and
 * others lose before anything is normalized. */
double gradient_row_scale(const anynorm_spec *spec, const struct bounds_row *row,
                          const struct gradient_column *columns);

/* The scale of an element of dx or dresidual; of the others the term that the column adds to the
 * sum. `row_scale` is that of the row. */
double gradient_scale(const anynorm_spec *spec, enum cli_tensor tensor,
                      const struct bounds_row *row, uint64_t column,
                      const struct gradient_column *given, double row_scale);

/* The scale of a sum, from the sum of the squares of its terms. */
double gradient_sum_scale(double squares, double sum);

/* The error of a result, in units; HUGE_VAL where one of the two alone is a number. */
double gradient_error(const anynorm_spec *spec, anynorm_dtype type, double got, double expected,
                      double scale);

#endif
