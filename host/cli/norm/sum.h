/* What a norm normalizes, on the host in double. */
#ifndef ANYNORM_CLI_NORM_SUM_H
#define ANYNORM_CLI_NORM_SUM_H

#include <anynorm/anynorm.h>

#include <stdint.h>

/* x with the pre-bias and the gated residual added, for tensors that are dense. */
double norm_sum_at(const anynorm_spec *spec, const anynorm_host_tensors *tensors, uint64_t row,
                   uint64_t column);

#endif
