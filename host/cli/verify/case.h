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

/* Rows are dense: the strided layouts are the test suite's. */
struct verify_case {
    anynorm_spec spec;
    uint64_t rows;
    enum verify_values values;
};

/* False where the values are none of the type's: in half, numbers of 1e7 are infinities. */
bool verify_case_has_meaning(const struct verify_case *verify_case);

/* Whether the spec is LayerNorm with weight, bias and statistics at most, of which y's error is
 * told in a unit; of others, as a share of what it may be. */
bool verify_is_plain(const anynorm_spec *spec);

/* The error allowed of a plain case's y, in units of 2^-23, or with f64 x and y of 2^-52, of
 * max(|w| max(1, |n|), |y|): n the value before weight w and bias. Of f16 and bf16 it is what an
 * error has beyond the half place of y that rounding may take. */
#define VERIFY_BOUND 8.0

struct verify_result {
    double error;    /* the largest of a plain case's y, in that unit */
    double share;    /* the largest of any output, as a share of what it may be */
    char wrong[160]; /* the first thing that is wrong; "": all is right */
};

/* Runs the case on `device` with `schedule`. ANYNORM_OK: it ran, and *result says how well.
 * UNSUPPORTED: the schedule does not serve it. */
anynorm_status verify_case_run(anynorm_device *device, anynorm_device *reference,
                               const char *schedule, const struct verify_case *verify_case,
                               struct verify_result *result);

#endif
