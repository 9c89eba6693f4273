/* Measured times and what is told of them. */
#ifndef ANYNORM_CLI_BENCH_SAMPLES_H
#define ANYNORM_CLI_BENCH_SAMPLES_H

#include <stddef.h>

enum { BENCH_SAMPLES_MOST = 1000 };

/* No more are kept than the most. */
struct bench_samples {
    double values[BENCH_SAMPLES_MOST];
    size_t count;
};

/* The values that a tenth, a half and nine tenths do not exceed; NaN where nothing was measured. */
struct bench_spread {
    double p10, p50, p90;
};

void bench_samples_add(struct bench_samples *samples, double value);

/* Sorts the samples. */
struct bench_spread bench_samples_spread(struct bench_samples *samples);

#endif
