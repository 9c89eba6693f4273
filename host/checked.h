/* Unsigned arithmetic that tells when it wraps: shapes come from files and from strangers. */
#ifndef AN_CHECKED_H
#define AN_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* False, with *result untouched or wrapped, where the true result needs more than 64 bits. */
static inline bool an_add(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

static inline bool an_mul(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

#endif
