/* One case of `anynorm verify`: made data through a plan, compared with the reference. */
#ifndef ANYNORM_CLI_VERIFY_CASE_H
#define ANYNORM_CLI_VERIFY_CASE_H

#include "cases/norms.h"
#include "cases/tensors.h"

/* Whether the spec is LayerNorm with weight, bias and statistics at most, of which y's error is
 * told in a unit; of others, as a share of what it may be. */
bool verify_is_plain(const anynorm_spec *spec);

/* The error allowed of a plain case's y, in units of 2^-23, or with f64 x and y of 2^-52, of
 * max(|w| max(1, |n|), |y|): n the value before weight w and bias. Of f16 and bf16 it is what an
 * error has beyond the half place of y that rounding may take. */
#define VERIFY_BOUND 8.0

struct verify_result {
    double error; /* the largest of a plain case's y, in that unit; or of any gradient, in that of
                     gradient_bounds.h */
    double gradients[TENSORS]; /* the largest of each */
    double share;              /* the largest of any output, as a share of what it may be */
    char wrong[160];           /* the first thing that is wrong; "": all is right */
};

/* Runs the case on `device` with `schedule`. ANYNORM_OK: it ran, and *result says how well.
 * UNSUPPORTED: the schedule does not serve it. */
anynorm_status verify_case_run(anynorm_device *device, anynorm_device *reference,
                               const char *schedule, const struct verify_case *verify_case,
                               struct verify_result *result);

#endif
