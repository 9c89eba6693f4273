/* One case of `anynorm verify`: made data through a plan, compared with the reference. */
#ifndef ANYNORM_CLI_VERIFY_CASE_H
#define ANYNORM_CLI_VERIFY_CASE_H

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

/* How x is made. */
enum verify_values {
    VERIFY_ACTIVATIONS, /* normal, with outlier columns of 30 times the spread */
    VERIFY_MEAN_1E4,    /* spread 1 beside a large mean */
    VERIFY_MEAN_1E7,
    VERIFY_CONSTANT,
    VERIFY_OUTLIER_FIRST, /* the first element 1e4 times the others: a bad guess of the mean */
    VERIFY_ALTERNATING,   /* +c, -c: equal squares, whose rounding errors all fall the same way */
    VERIFY_NOT_NUMBERS,   /* NaN in one row, infinity in another */
    VERIFY_VALUES         /* how many there are */
};

struct verify_case {
    anynorm_spec spec;
    uint64_t rows;
    enum verify_values values;
};

/* False where the values are none of the type's: in half, numbers of 1e7 are infinities. */
bool verify_case_has_meaning(const struct verify_case *verify_case);

/* The error allowed, in the unit that the case's y is measured in: f32 and f64 in 2^-23 and 2^-52
 * of max(1, |n|), n the value before the weight; f16 and bf16 in places of y itself. */
double verify_bound(anynorm_dtype y_type);

/* Runs the case on `device` with `schedule`. ANYNORM_OK: it ran; then *error is the largest error
 * in that unit (infinite: a NaN where there must be none, or none where there must), and *stray
 * tells whether memory outside the outputs was written. UNSUPPORTED: the schedule does not serve
 * it. */
anynorm_status verify_case_run(anynorm_device *device, anynorm_device *reference,
                               const char *schedule, const struct verify_case *verify_case,
                               double *error, bool *stray);

#endif
