/* The statistic of a row in plain C, and what it is found from. */
#ifndef AN_REFERENCE_STATISTIC_H
#define AN_REFERENCE_STATISTIC_H

#include "row.h"

/* A sum and the rounding error it has left behind (Neumaier 1974): good to the last place of double
 * whatever the order and number of terms. */
struct an_sum {
    double value;
    double error;
};
void an_sum_add(struct an_sum *sum, double term);
double an_sum_total(const struct an_sum *sum);

double an_round_to(anynorm_dtype type, double value);

/* Column c of a row of gate, scale or shift. */
double an_load_sample(const anynorm_spec *spec, const anynorm_rows *rows, const void *row,
                      uint64_t c);

/* What is normalized of column c. */
double an_load_h(const anynorm_spec *spec, const struct an_row *row, uint64_t c);

/* n = (h - pivot - correction) * rstd: the mean is kept in two parts. */
struct an_statistic {
    double count;
    double pivot;
    double correction;
    double squares; /* of the deviations from the mean, added up */
    double rstd;
};
struct an_statistic an_statistic_of(const anynorm_spec *spec, const struct an_row *row);

/* That which the forward pass has written, for its gradients: the mean as far as it was rounded
 * away is found again, but of a shard, which has not all of the row. `squares` are not known. */
struct an_statistic an_saved_statistic_of(const anynorm_spec *spec, const struct an_row *row);

/* The root of the variance, of a statistic that was not saved. */
double an_deviation_of(const anynorm_spec *spec, const struct an_statistic *s);

/* rstd as it is written: of a row without a variance what eps makes of it, and never an infinity,
 * by which the row's zeros would become NaN where it is read again. */
double an_written_rstd(const anynorm_spec *spec, double rstd);

#endif
