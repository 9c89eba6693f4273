#include "dtype.h"

#include <math.h>
#include <string.h>

/* The exponent bits and fraction bits of the two 16-bit formats; both have one sign bit. */
struct format16 {
    int exponent_bits;
    int fraction_bits;
};

static const struct format16 half_format = {5, 10};
static const struct format16 bfloat_format = {8, 7};

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [ANYNORM_F32] = {"f32", 4}, [ANYNORM_F16] = {"f16", 2}, [ANYNORM_BF16] = {"bf16", 2},
    [ANYNORM_F64] = {"f64", 8}, [ANYNORM_I8] = {"i8", 1},   [ANYNORM_F8E4M3] = {"f8e4m3", 1},
};

bool an_dtype_valid(anynorm_dtype type)
{
    return (size_t)type < sizeof(types) / sizeof(types[0]);
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
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strlen(types[i].name) == length && memcmp(types[i].name, text, length) == 0) {
            *type = (anynorm_dtype)i;
            return true;
        }
    }
    return false;
}

static double decode16(struct format16 format, uint16_t bits)
{
    int bias = (1 << (format.exponent_bits - 1)) - 1;
    int exponent = (bits >> format.fraction_bits) & ((1 << format.exponent_bits) - 1);
    int fraction = bits & ((1 << format.fraction_bits) - 1);
    double magnitude;
    if (exponent == (1 << format.exponent_bits) - 1)
        magnitude = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        magnitude = ldexp((double)fraction, 1 - bias - format.fraction_bits);
    else
        magnitude = ldexp((double)(fraction | (1 << format.fraction_bits)),
                          exponent - bias - format.fraction_bits);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/* Straight from double, because a stop at float on the way would round twice. */
static uint16_t encode16(struct format16 format, double value)
{
    int bias = (1 << (format.exponent_bits - 1)) - 1;
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    uint16_t infinity = (uint16_t)(((1 << format.exponent_bits) - 1) << format.fraction_bits);
    if (isnan(value))
        return (uint16_t)(sign | infinity | (1 << (format.fraction_bits - 1)));
    double magnitude = fabs(value);
    if (isinf(value) || magnitude >= ldexp(1.0, bias + 1))
        return sign | infinity;

    int exponent = 1 - bias;
    if (magnitude >= ldexp(1.0, 1 - bias))
        exponent = ilogb(magnitude);
    /* In units of the last place; nearbyint rounds ties to even in the default mode, and a carry
     * into the exponent (to infinity too) is what adding the integers does anyway. */
    double units = nearbyint(ldexp(magnitude, format.fraction_bits - exponent));
    int biased = exponent + bias - 1;
    return (uint16_t)(sign | ((biased << format.fraction_bits) + (int)units));
}

/* The OCP 8-bit Floating Point Specification, E4M3: 4 bits of exponent with a bias of 7, 3 of
 * fraction; where all are set is a NaN, and no infinity anywhere. */
#define E4M3_NAN 0x7f
#define E4M3_LARGEST 448.0

static double decode_e4m3(uint8_t bits)
{
    int exponent = bits >> 3 & 15, fraction = bits & 7;
    double magnitude =
        exponent == 0 ? ldexp((double)fraction, -9) : ldexp((double)(fraction | 8), exponent - 10);
    if ((bits & 0x7f) == E4M3_NAN)
        magnitude = (double)NAN;
    return bits & 0x80 ? -magnitude : magnitude;
}

static uint8_t encode_e4m3(double value)
{
    uint8_t sign = signbit(value) ? 0x80 : 0;
    if (isnan(value))
        return sign | E4M3_NAN;
    double magnitude = fmin(fabs(value), E4M3_LARGEST);
    int exponent = magnitude < 0x1p-6 ? -6 : ilogb(magnitude);
    /* In units of the last place, as encode16. */
    double units = nearbyint(ldexp(magnitude, 3 - exponent));
    return (uint8_t)(sign | (((exponent + 6) << 3) + (int)units));
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
        memcpy(&bits, at, sizeof(bits));
        return decode16(half_format, bits);
    case ANYNORM_BF16:
        memcpy(&bits, at, sizeof(bits));
        return decode16(bfloat_format, bits);
    case ANYNORM_F64:
        memcpy(&f64, at, sizeof(f64));
        break;
    case ANYNORM_I8:
        return (double)*(const int8_t *)at;
    case ANYNORM_F8E4M3:
        return decode_e4m3(*(const uint8_t *)at);
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
        bits = encode16(half_format, value);
        memcpy(at, &bits, sizeof(bits));
        break;
    case ANYNORM_BF16:
        bits = encode16(bfloat_format, value);
        memcpy(at, &bits, sizeof(bits));
        break;
    case ANYNORM_F64:
        memcpy(at, &value, sizeof(value));
        break;
    case ANYNORM_I8:
        *(int8_t *)at = round_to_i8(value);
        break;
    case ANYNORM_F8E4M3:
        *(uint8_t *)at = encode_e4m3(value);
    }
}
