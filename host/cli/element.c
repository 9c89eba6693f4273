#include "element.h"

#include <math.h>
#include <string.h>

static double from_f16(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    int fraction = bits & 1023;
    double value;

    if (exponent == 31) {
        value = fraction ? (double)NAN : (double)INFINITY;
    } else if (exponent == 0) {
        value = ldexp(fraction, -24);
    } else {
        value = ldexp(1024 + fraction, exponent - 25);
    }
    return bits & 0x8000 ? -value : value;
}

static double from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;

    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

double element_read(anynorm_dtype type, const void *data, uint64_t index)
{
    const uint8_t *at = (const uint8_t *)data + index * anynorm_dtype_size(type);
    uint16_t bits;
    float single;
    double value;

    switch (type) {
    case ANYNORM_F16:
        memcpy(&bits, at, sizeof bits);
        return from_f16(bits);
    case ANYNORM_BF16:
        memcpy(&bits, at, sizeof bits);
        return from_bf16(bits);
    case ANYNORM_F32:
        memcpy(&single, at, sizeof single);
        return (double)single;
    default:
        memcpy(&value, at, sizeof value);
        return value;
    }
}
