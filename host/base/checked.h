/* Unsigned arithmetic that tells when it wraps, or cannot: shapes come from files and from
 * strangers.
 */
#ifndef AN_CHECKED_H
#define AN_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Elements of an array. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* False, with *result untouched or wrapped, where the true result needs more than 64 bits. */
static inline bool an_add(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

static inline bool an_mul(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

static inline uint64_t an_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t an_divide_up(uint64_t value, uint64_t by)
{
    return value / by + (value % by != 0);
}

/* The power of two that is no less than the value; that is no more (1 for 0). */
static inline uint64_t an_power_up(uint64_t value)
{
    uint64_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

static inline uint64_t an_power_down(uint64_t value)
{
    uint64_t power = 1;
    while (power <= value / 2)
        power *= 2;
    return power;
}

/* All of text[0..length) as a decimal count; false, with *value untouched, where it is none. */
static inline bool an_parse_count(const char *text, size_t length, uint64_t *value)
{
    uint64_t result = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || !an_mul(result, 10, &result) ||
            !an_add(result, (uint64_t)(text[i] - '0'), &result))
            return false;
    }
    if (length > 0)
        *value = result;
    return length > 0;
}

#endif
