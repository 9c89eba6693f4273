/* What the programs share that time short calls in turns. */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <anynorm/anynorm.h>

/* Ends the program with `what`, and the library's last message, where it does not hold. */
static inline void demand(int held, const char *what)
{
    if (held)
        return;
    fprintf(stderr, "%s: %s\n", what, anynorm_message());
    exit(1);
}

/* `count` values of about one, to be freed. */
static inline float *make_values(size_t count)
{
    float *values = malloc(count * sizeof(float));
    demand(values != NULL, "host memory");
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(i * 7919 % 1009) / 500 - 1;
    return values;
}

static inline double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline int rounds_by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(double), rounds_by_size);
    return values[count / 2];
}

/* In a new order each time: what one leaves behind, its follower finds. */
static inline void shuffle(int *order, int count, uint64_t *state)
{
    for (int k = count - 1; k > 0; k--) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        int other = (int)((*state >> 33) % (uint64_t)(k + 1)), kept = order[k];
        order[k] = order[other];
        order[other] = kept;
    }
}

#endif
