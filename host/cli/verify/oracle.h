/* What the reference has of a case of `anynorm verify`, and the comparison with it. */
#ifndef ANYNORM_CLI_VERIFY_ORACLE_H
#define ANYNORM_CLI_VERIFY_ORACLE_H

#include "cases/spec_tensors.h"
#include "case.h"

/* Tensors in host memory; NULL where the spec does not name one. */
struct verify_images {
    unsigned char *bytes[TENSORS];
};

/* Of all rows. Zeroed before verify_oracle_ask. */
struct verify_oracle {
    double *y;
    double *n;
    double *h;
    float *mean;
    float *rstd;
    double *errors; /* h_error and n_error of a row */
};

anynorm_status verify_oracle_ask(anynorm_device *reference, const struct verify_case *verify_case,
                                 const struct verify_images *inputs, struct verify_oracle *oracle);
void verify_oracle_free(struct verify_oracle *oracle);

/* Compares the outputs with the oracle's. */
void verify_oracle_compare(const struct verify_oracle *oracle,
                           const struct verify_case *verify_case,
                           const struct verify_images *inputs, const struct verify_images *outputs,
                           struct verify_result *result);

/* Runs a plan of the spec on `device`: inputs from the images, outputs into them, in buffers that
 * are `guard` bytes longer than the tensors, which travel, too. */
anynorm_status verify_run(anynorm_device *device, anynorm_plan *plan, const anynorm_spec *spec,
                          uint64_t rows, uint64_t guard, const struct verify_images *before,
                          const struct verify_images *after);

#endif
