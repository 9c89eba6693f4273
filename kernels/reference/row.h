/* The norm of one row in plain C: the oracle, and the device of last resort. */
#ifndef AN_REFERENCE_ROW_H
#define AN_REFERENCE_ROW_H

#include "spec/tensors.h"

/* The tensors where they have what they have for the row, at any alignment; NULL for those that the
 * spec does not name. y and sum may each be x or residual. */
struct an_row {
    const void *x;
    void *y;
    const void *weight;
    const void *bias;
    void *mean; /* only read where it is an input; so rstd */
    void *rstd;
    const void *residual;
    void *sum; /* only read where it is an input */
    const void *pre_bias;
    const void *gate;
    const void *scale;
    const void *shift;
    void *partials; /* only read where it is an input */
    uint64_t rows;  /* of the whole call: partials of the next shard lie so many rows further on */
    void *y_scale;  /* only read where it is an input */
    const void *dy; /* and so on: of gradients */
    const void *dsum;
    void *dx; /* may each be an input of rows */
    void *dresidual;
};

/* From the same places by their numbers; `rows` is left 0. */
struct an_row an_row_at(void *const at[AN_TENSOR_COUNT]);

/* Normalizes a row of the resolved spec. Everything in double, statistics by compensated sums; what
 * is written is rounded once. */
void an_reference_row(const anynorm_spec *spec, const struct an_row *row);

#endif
