/* Layer normalization of one row in plain C: the oracle, and the device of last resort. */
#ifndef AN_REFERENCE_ROW_H
#define AN_REFERENCE_ROW_H

#include <anynorm/anynorm.h>

/* Normalizes spec->columns elements, spec's column strides apart, from `x` to `y` (which may be
 * `x`), both at any alignment. The spec is resolved. NULL for the tensors that the spec does not
 * name; mean and rstd point to this row's element. Statistics in double by compensated sums; y is
 * rounded once. */
void an_reference_row(const anynorm_spec *spec, const void *x, void *y, const void *weight,
                      const void *bias, void *mean, void *rstd);

#endif
