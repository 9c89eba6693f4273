/* The gradient of one row in plain C. */
#ifndef AN_REFERENCE_BACKWARD_H
#define AN_REFERENCE_BACKWARD_H

#include "statistic.h"

/* Sums over rows, of those that the spec names; NULL for the others. Those of parameters begin at
 * the row of parameters that the row of x takes. */
struct an_row_sums {
    struct an_sum *dweight;
    struct an_sum *dbias;
    struct an_sum *dpre_bias;
    struct an_sum *dgate;
    struct an_sum *dscale;
    struct an_sum *dshift;
};

/* A column on its way forward, and what comes back as far as n. */
struct an_column {
    double n; /* as it was rounded */
    double z;
    double dshift;
    double dz;
    double g; /* dn */
};
struct an_column an_reference_trace(const anynorm_spec *spec, const struct an_row *row, uint64_t c,
                                    double n);

/* Finds the gradients of a row of the resolved spec, everything in double: writes dx and dresidual,
 * or partials, each rounded once, and adds to the sums. */
void an_reference_backward(const anynorm_spec *spec, const struct an_row *row,
                           const struct an_row_sums *sums);

#endif
