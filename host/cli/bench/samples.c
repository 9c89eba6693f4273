#include "samples.h"

#include <math.h>
#include <stdlib.h>

void bench_samples_add(struct bench_samples *samples, double value)
{
    if (samples->count < BENCH_SAMPLES_MOST)
        samples->values[samples->count++] = value;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double at(const struct bench_samples *samples, double share)
{
    return samples->values[(size_t)((double)(samples->count - 1) * share + 0.5)];
}

struct bench_spread bench_samples_spread(struct bench_samples *samples)
{
    if (samples->count == 0)
        return (struct bench_spread){(double)NAN, (double)NAN, (double)NAN};
    qsort(samples->values, samples->count, sizeof(double), by_size);
    return (struct bench_spread){at(samples, 0.1), at(samples, 0.5), at(samples, 0.9)};
}
