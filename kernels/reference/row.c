#include "row.h"

#include <math.h>

#include "dtype.h"

/* A sum and the rounding error it has left behind (Neumaier 1974): good to the last place of double
 * whatever the order and number of terms. */
struct sum {
    double value;
    double error;
};

static void add(struct sum *sum, double term)
{
    double total = sum->value + term;
    sum->error +=
        fabs(sum->value) >= fabs(term) ? (sum->value - total) + term : (term - total) + sum->value;
    sum->value = total;
}

/* An infinite sum has no error to speak of, only inf - inf. */
static double total(const struct sum *sum)
{
    return isfinite(sum->value) ? sum->value + sum->error : sum->value;
}

void an_reference_row(const anynorm_spec *spec, const void *x, void *y, const void *weight,
                      const void *bias, void *mean, void *rstd)
{
    double columns = (double)spec->columns;
    uint64_t x_stride = spec->x_column_stride, y_stride = spec->y_column_stride;
    double first = anynorm_dtype_load(spec->x_type, x, 0);
    struct sum shifted = {0, 0};
    for (uint64_t c = 1; c < spec->columns; c++)
        add(&shifted, anynorm_dtype_load(spec->x_type, x, c * x_stride) - first);
    double pivot = first + total(&shifted) / columns;

    struct sum deviation = {0, 0}, squares = {0, 0};
    for (uint64_t c = 0; c < spec->columns; c++) {
        double a = anynorm_dtype_load(spec->x_type, x, c * x_stride) - pivot;
        add(&deviation, a);
        add(&squares, a * a);
    }
    double correction = total(&deviation) / columns;
    double variance = total(&squares) / columns - correction * correction;
    if (variance < 0)
        variance = 0; /* rounding may leave less than nothing of nothing */
    double root = sqrt(variance + spec->eps);
    double scale = root == 0 ? 0 : 1 / root;
    if (isinf(root))
        scale = (double)NAN; /* the squares overflowed: no number stands for this row */

    for (uint64_t c = 0; c < spec->columns; c++) {
        double value =
            (anynorm_dtype_load(spec->x_type, x, c * x_stride) - pivot - correction) * scale;
        if (weight)
            value *= anynorm_dtype_load(spec->parameter_type, weight, c);
        if (bias)
            value += anynorm_dtype_load(spec->parameter_type, bias, c);
        anynorm_dtype_store(spec->y_type, y, c * y_stride, value);
    }
    if (mean)
        anynorm_dtype_store(ANYNORM_F32, mean, 0, pivot + correction);
    if (rstd)
        anynorm_dtype_store(ANYNORM_F32, rstd, 0, scale);
}
