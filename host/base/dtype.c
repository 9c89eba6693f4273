#include "dtype.h"

#include <math.h>
#include <string.h>

#include "checked.h"
#include "text.h"

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [ANYNORM_F32] = {"f32", 4}, [ANYNORM_F16] = {"f16", 2}, [ANYNORM_BF16] = {"bf16", 2},
    [ANYNORM_F64] = {"f64", 8}, [ANYNORM_I8] = {"i8", 1},   [ANYNORM_F8E4M3] = {"f8e4m3", 1},
};

bool an_dtype_valid(anynorm_dtype type)
{
    return (size_t)type < COUNT(types);
}

bool an_dtype_quantized(anynorm_dtype type)
{
    return type == ANYNORM_I8 || type == ANYNORM_F8E4M3;
}

size_t anynorm_dtype_size(anynorm_dtype type)
{
    return an_dtype_valid(type) ? types[type].size : 0;
}

const char *anynorm_dtype_name(anynorm_dtype type)
{
    return an_dtype_valid(type) ? types[type].name : "?";
}

bool an_dtype_parse(const char *text, size_t length, anynorm_dtype *type)
{
    for (size_t i = 0; i < COUNT(types); i++) {
        if (an_text_is(text, length, types[i].name)) {
            *type = (anynorm_dtype)i;
            return true;
        }
    }
    return false;
}

/* The bits of a format below f32, beside one for the sign. */
struct format {
    int exponent;
    int fraction;
    bool
        finite; /* no infinity: where all of the exponent is set is a number, where all bits, NaN */
};

/* The last is E4M3 of the OCP 8-bit Floating Point Specification. */
static const struct format formats[] = {
    [ANYNORM_F16] = {5, 10, false},
    [ANYNORM_BF16] = {8, 7, false},
    [ANYNORM_F8E4M3] = {4, 3, true},
};

#define E4M3_LARGEST 448.0

static double decode(struct format format, uint32_t bits)
{
    int highest = (1 << format.exponent) - 1, ones = (1 << format.fraction) - 1;
    int exponent = (int)(bits >> format.fraction) & highest, fraction = (int)bits & ones;
    int bias = highest / 2;
    double magnitude;
    if (exponent == highest && (!format.finite || fraction == ones))
        magnitude = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        magnitude = ldexp((double)fraction, 1 - bias - format.fraction);
    else
        magnitude = ldexp((double)(fraction + ones + 1), exponent - bias - format.fraction);
    return bits >> (format.exponent + format.fraction) & 1 ? -magnitude : magnitude;
}

/* Straight from double, because a stop at float on the way would round twice. */
static uint32_t encode(struct format format, double value)
{
    int highest = (1 << format.exponent) - 1, ones = (1 << format.fraction) - 1;
    int bias = highest / 2, exponent = 1 - bias, infinity = highest << format.fraction;
    int bits = signbit(value) ? 1 << (format.exponent + format.fraction) : 0;
    if (isnan(value))
        return (uint32_t)(bits | infinity | (format.finite ? ones : 1 << (format.fraction - 1)));
    double magnitude = fabs(value);
    if (format.finite)
        magnitude = fmin(magnitude, E4M3_LARGEST);
    else if (magnitude >= ldexp(1.0, bias + 1))
        return (uint32_t)(bits | infinity);
    if (magnitude >= ldexp(1.0, exponent))
        exponent = ilogb(magnitude);
    /* In units of the last place; nearbyint rounds ties to even in the default mode, and a carry
     * into the exponent (to infinity too) is what adding the integers does anyway. */
    double units = nearbyint(ldexp(magnitude, format.fraction - exponent));
    return (uint32_t)(bits | (((exponent + bias - 1) << format.fraction) + (int)units));
}

static int8_t round_to_i8(double value)
{
    if (isnan(value))
        return 0;
    return (int8_t)nearbyint(fmax(-128, fmin(value, 127)));
}

double anynorm_dtype_load(anynorm_dtype type, const void *base, uint64_t index)
{
    const char *at = (const char *)base + index * types[type].size;
    double f64 = 0;
    float f32;
    uint16_t bits;
    switch (type) {
    case ANYNORM_F32:
        memcpy(&f32, at, sizeof(f32));
        return (double)f32;
    case ANYNORM_F16:
    case ANYNORM_BF16:
        memcpy(&bits, at, sizeof(bits));
        return decode(formats[type], bits);
    case ANYNORM_F64:
        memcpy(&f64, at, sizeof(f64));
        break;
    case ANYNORM_I8:
        return (double)*(const int8_t *)at;
    case ANYNORM_F8E4M3:
        return decode(formats[type], *(const uint8_t *)at);
    }
    return f64;
}

void anynorm_dtype_store(anynorm_dtype type, void *base, uint64_t index, double value)
{
    char *at = (char *)base + index * types[type].size;
    float f32;
    uint16_t bits;
    switch (type) {
    case ANYNORM_F32:
        f32 = (float)value;
        memcpy(at, &f32, sizeof(f32));
        break;
    case ANYNORM_F16:
    case ANYNORM_BF16:
        bits = (uint16_t)encode(formats[type], value);
        memcpy(at, &bits, sizeof(bits));
        break;
    case ANYNORM_F64:
        memcpy(at, &value, sizeof(value));
        break;
    case ANYNORM_I8:
        *(int8_t *)at = round_to_i8(value);
        break;
    case ANYNORM_F8E4M3:
        *(uint8_t *)at = (uint8_t)encode(formats[type], value);
    }
}
