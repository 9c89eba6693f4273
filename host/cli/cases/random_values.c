#include "random_values.h"

/* xorshift64* (Vigna: "An experimental exploration of Marsaglia's xorshift generators, scrambled",
 * arXiv:1402.6246). */
static uint64_t next_bits(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

double random_uniform(uint64_t *state)
{
    return (double)(next_bits(state) >> 11) * 0x1p-53;
}

void random_fill(anynorm_dtype type, void *data, uint64_t count, double middle)
{
    uint64_t state = RANDOM_SEED;

    for (uint64_t i = 0; i < count; i++) {
        double value = 2 * random_uniform(&state) - 1;

        anynorm_dtype_store(type, data, i, i % 97 == 5 ? 30 * value : middle + value);
    }
}
