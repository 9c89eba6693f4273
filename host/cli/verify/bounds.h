/* How far results may be from the oracle's: the bounds of docs/numerics.md, for all that a spec
 * names. `anynorm verify` and the tests share them. */
#ifndef ANYNORM_CLI_BOUNDS_H
#define ANYNORM_CLI_BOUNDS_H

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

/* The oracle's row, and what it may differ by where sums were formed in less than double. */
struct bounds_row {
    double *y;       /* in double and unrounded */
    double *n;       /* normalized values, before they are rounded first or become y */
    double *h;       /* what is normalized, before it is rounded to sum.type */
    double *h_error; /* of h as added up in the kernels' arithmetic */
    double *n_error; /* of h as normalized: rounded where STORED_SUM says so */
    double mean;
    double rstd;
    double mean_error;
    double rstd_error; /* as a share of rstd */
};

/* What becomes of n in one column; what the spec does not name is as if it were not there: weight
 * 1, the others 0. */
struct bounds_factors {
    double weight;
    double bias;
    double scale;
    double shift;
};

/* The distance between neighbouring numbers of a type near `value`; and the number of the type that
 * `value` is rounded to. */
double bounds_unit(anynorm_dtype type, double value);
double bounds_rounded(anynorm_dtype type, double value);

/* The distance between 1 and its neighbour in the kernels' arithmetic, which is double where a
 * tensor is. */
double bounds_epsilon(const anynorm_spec *spec);

/* Fills in h_error and n_error of a column, `magnitude` the sizes of what its h is added up from,
 * together; 0 where nothing is added. */
void bounds_find_sum(const anynorm_spec *spec, struct bounds_row *row, uint64_t column,
                     double magnitude);
/* And then, from all columns' n_error, mean_error and rstd_error. */
void bounds_find_statistics(const anynorm_spec *spec, struct bounds_row *row);

/* What n of a column, rounded where that comes first, may differ by. */
double bounds_of_n(const anynorm_spec *spec, const struct bounds_row *row, uint64_t column);

/* What y of a column may differ by, where the row is one of numbers, before it is rounded and
 * rounded; likewise mean and rstd. */
double bounds_of_unrounded_y(const anynorm_spec *spec, const struct bounds_row *row,
                             uint64_t column, const struct bounds_factors *factors);
double bounds_of_y(const anynorm_spec *spec, const struct bounds_row *row, uint64_t column,
                   const struct bounds_factors *factors);
double bounds_of_mean(const struct bounds_row *row);
double bounds_of_rstd(const struct bounds_row *row);

/* An error as a share of what it may be; NaN where what was got is no number. */
double bounds_share(double got, double expected, double bound);

/* Whether y of a column whose n is no number may be `got`. */
bool bounds_hold_no_number(const anynorm_spec *spec, double expected, double got);

/* Of sums that are formed within h_error of the oracle's, rounding makes one of few numbers:
 * whether `got` is one of them. */
bool bounds_hold_sum(const anynorm_spec *spec, const struct bounds_row *row, uint64_t column,
                     double got);

#endif
