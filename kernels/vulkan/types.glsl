/* Storage types: loading any of them into the arithmetic type, and storing it rounded.
 *
 * Chosen by -D at build: STORAGE16 (buffers have elements of 16 bits; else these are halves of
 * words), ACC_DOUBLE (arithmetic in double). Constants: X_TYPE, Y_TYPE (also I8, F8E4M3, which are
 * only stored, as bytes of words), P_TYPE ..., ANY_ALIGNMENT.
 *
 * Every function takes the storage type and the slot first, always constants, so that one body
 * serves all tensors; the driver's compiler keeps one branch of each. Until then every branch is
 * there at every call, so that calls are few, and a loop over elements is better than one call for
 * each. `index` counts elements from the tensor's first. Conversions are in integers, since the language
 * leaves to a device how it rounds halves, and whether it knows their denormals; but with HALF_LOADS and
 * HALF_STORES the device's own, which halves.comp has found to be right. */
#include "interface.glsl"

#define F32 0
#define F16 1
#define BF16 2
#define F64 3
#define I8 4
#define F8E4M3 5

#define VECTOR 4

#if ACC_DOUBLE
#define acc_t double
#define accv_t dvec4
#define floats_of(value) vec4(value)
#else
#define acc_t float
#define accv_t vec4
#define floats_of(value) (value)
#endif

bool is_quantized(const uint type)
{
    return type == I8 || type == F8E4M3;
}

uint size_of(const uint type)
{
    return type == F64 ? 8 : type == F32 ? 4 : is_quantized(type) ? 1 : 2;
}

/* ---- Bytes ---- */

/* Where an element lies, in bytes from the start of the slot's buffer. */
uint byte_of(const uint type, const uint slot, const uint index)
{
    return launch.offset[slot] + index * size_of(type);
}

uint word_at(const uint slot, const uint at)
{
    const uint low = words[slot].w[at / 4];
    const uint shift = ANY_ALIGNMENT != 0 ? at % 4 * 8 : 0;
    if (shift == 0)
        return low;
    return low >> shift | words[slot].w[at / 4 + 1] << (32 - shift);
}

/* Four words from `at` on. */
uvec4 words_at(const uint slot, const uint at)
{
    const uint i = at / 4, shift = ANY_ALIGNMENT != 0 ? at % 4 * 8 : 0;
    const uvec4 low =
        uvec4(words[slot].w[i], words[slot].w[i + 1], words[slot].w[i + 2], words[slot].w[i + 3]);
    if (shift == 0)
        return low;
    return low >> shift | uvec4(low.yzw, words[slot].w[i + 4]) << (32 - shift);
}

/* The bits of an element of 16. */
uint half_at(const uint slot, const uint at)
{
    if (ANY_ALIGNMENT != 0) {
        const uint bits = words[slot].w[at / 4] >> at % 4 * 8;
        return (at % 4 < 3 ? bits : bits | words[slot].w[at / 4 + 1] << 8) & 0xffff;
    }
#if STORAGE16
    return uint(halfwords[slot].h[at / 2]);
#else
    return words[slot].w[at / 4] >> at % 4 * 8 & 0xffff;
#endif
}

/* The bits of four such, in pairs. */
uvec2 pairs_at(const uint slot, const uint at)
{
#if STORAGE16
    if (ANY_ALIGNMENT == 0) {
        const uint h = at / 2;
        return uvec2(uint(halfwords[slot].h[h]) | uint(halfwords[slot].h[h + 1]) << 16,
                     uint(halfwords[slot].h[h + 2]) | uint(halfwords[slot].h[h + 3]) << 16);
    }
#endif
    const uint i = at / 4, shift = at % 4 * 8;
    const uvec2 low = uvec2(words[slot].w[i], words[slot].w[i + 1]);
    if (shift == 0)
        return low;
    return low >> shift | uvec2(low.y, words[slot].w[i + 2]) << (32 - shift);
}

/* Stores the bits of a word that are in `mask`. The others may be another work-item's. */
void put_bits(const uint slot, const uint word, const uint value, const uint mask)
{
    atomicAnd(words[slot].w[word], ~mask);
    atomicOr(words[slot].w[word], value & mask);
}

void put_word(const uint slot, const uint at, const uint value)
{
    const uint shift = ANY_ALIGNMENT != 0 ? at % 4 * 8 : 0;
    if (shift == 0) {
        words[slot].w[at / 4] = value;
    } else {
        put_bits(slot, at / 4, value << shift, ~0u << shift);
        put_bits(slot, at / 4 + 1, value >> (32 - shift), ~0u >> (32 - shift));
    }
}

void put_words(const uint slot, const uint at, const uvec4 value)
{
    const uint i = at / 4, shift = ANY_ALIGNMENT != 0 ? at % 4 * 8 : 0;
    uvec4 shifted = value;
    if (shift == 0) {
        words[slot].w[i] = value.x;
    } else {
        put_bits(slot, i, value.x << shift, ~0u << shift);
        put_bits(slot, i + 4, value.w >> (32 - shift), ~0u >> (32 - shift));
        shifted.yzw = value.xyz >> (32 - shift) | value.yzw << shift;
    }
    words[slot].w[i + 1] = shifted.y;
    words[slot].w[i + 2] = shifted.z;
    words[slot].w[i + 3] = shifted.w;
}

void put_half(const uint slot, const uint at, const uint bits)
{
#if STORAGE16
    if (ANY_ALIGNMENT == 0) {
        halfwords[slot].h[at / 2] = uint16_t(bits);
        return;
    }
#endif
    const uint shift = at % 4 * 8;
    put_bits(slot, at / 4, bits << shift, 0xffffu << shift);
    if (shift == 24)
        put_bits(slot, at / 4 + 1, bits >> 8, 0xff);
}

void put_pairs(const uint slot, const uint at, const uvec2 pairs)
{
#if STORAGE16
    if (ANY_ALIGNMENT == 0) {
        const uint h = at / 2;
        halfwords[slot].h[h] = uint16_t(pairs.x & 0xffff);
        halfwords[slot].h[h + 1] = uint16_t(pairs.x >> 16);
        halfwords[slot].h[h + 2] = uint16_t(pairs.y & 0xffff);
        halfwords[slot].h[h + 3] = uint16_t(pairs.y >> 16);
        return;
    }
#endif
    const uint i = at / 4, shift = at % 4 * 8;
    if (shift == 0) {
        words[slot].w[i] = pairs.x;
        words[slot].w[i + 1] = pairs.y;
    } else {
        put_bits(slot, i, pairs.x << shift, ~0u << shift);
        words[slot].w[i + 1] = pairs.x >> (32 - shift) | pairs.y << shift;
        put_bits(slot, i + 2, pairs.y >> (32 - shift), ~0u >> (32 - shift));
    }
}

/* The first `count` bytes of a word, to any byte. */
void put_bytes(const uint slot, const uint at, const uint bytes, const uint count)
{
    const uint i = at / 4, shift = at % 4 * 8, mask = ~0u >> (VECTOR - count) * 8;
    if (shift == 0 && count == VECTOR) {
        words[slot].w[i] = bytes;
        return;
    }
    put_bits(slot, i, bytes << shift, mask << shift);
    if (at % 4 + count > 4)
        put_bits(slot, i + 1, bytes >> (32 - shift), mask >> (32 - shift));
}

/* ---- Numbers of 16 bits ---- */

#define NAN_BITS 0x7f800000 /* those of a float above these, its sign left out, are a NaN's */

/* By their bits: a compiler may take it that no value is a NaN. */
bvec4 are_nan(const vec4 value)
{
    return greaterThan(floatBitsToUint(value) & 0x7fffffff, uvec4(NAN_BITS));
}

uvec4 bits_of_pairs(const uvec2 pairs)
{
    return uvec4(pairs.x & 0xffff, pairs.x >> 16, pairs.y & 0xffff, pairs.y >> 16);
}

uvec2 pairs_of_bits(const uvec4 bits)
{
    return bits.xz | bits.yw << 16;
}

vec4 half_floatv(const uvec4 bits)
{
    const uvec4 magnitude = bits & 0x7fff;
    uvec4 wide = (magnitude << 13) + 0x38000000; /* the exponents are 112 apart */
    wide += mix(uvec4(0), uvec4(0x38000000), greaterThanEqual(magnitude, uvec4(0x7c00)));
    const uvec4 small = floatBitsToUint(vec4(magnitude) * 5.9604644775390625e-8); /* 2^-24 */
    wide = mix(wide, small, lessThan(magnitude, uvec4(0x400)));
    return uintBitsToFloat(wide | (bits & 0x8000) << 16);
}

/* Round to nearest even by carrying into the upper half; a NaN keeps its upper part, made quiet. */
uvec4 half_bits_of(const vec4 value)
{
    const uvec4 bits = floatBitsToUint(value), magnitude = bits & 0x7fffffff;
    uvec4 result = magnitude + (0xfff + (magnitude >> 13 & 1)) - 0x38000000 >> 13;
    const uvec4 small = uvec4(roundEven(uintBitsToFloat(magnitude) * 16777216.0));
    result = mix(result, small, lessThan(magnitude, uvec4(0x38800000)));
    result = mix(result, uvec4(0x7c00), greaterThanEqual(magnitude, uvec4(0x477ff000)));
    result = mix(result, magnitude >> 13 & 0x3ff | 0x7e00, are_nan(value));
    return result | (bits >> 16 & 0x8000);
}

#if ACC_DOUBLE
/* ---- Rounding doubles on their own bits: Mesa's optimizer (since version 25) takes a double that is made
 * a float and a double again for the first one, precise or not ---- */

#define LEAST_BITS 0x38100000 /* the upper ones of what is normal in f32 */
#define BEYOND_BITS 0x47f00000
#define INFINITE_BITS 0x7ff00000
#define LOST_BITS 0x1fffffff /* of the lower ones, that f32 does not have */

/* The lower and the upper bits of doubles; and doubles of these. */
void take_bits(const dvec4 value, out uvec4 low, out uvec4 high)
{
    const uvec4 one = uvec4(unpackDouble2x32(value.x), unpackDouble2x32(value.y));
    const uvec4 two = uvec4(unpackDouble2x32(value.z), unpackDouble2x32(value.w));
    low = uvec4(one.xz, two.xz);
    high = uvec4(one.yw, two.yw);
}

dvec4 doubles_of_bits(const uvec4 low, const uvec4 high)
{
    return dvec4(packDouble2x32(uvec2(low.x, high.x)), packDouble2x32(uvec2(low.y, high.y)),
                 packDouble2x32(uvec2(low.z, high.z)), packDouble2x32(uvec2(low.w, high.w)));
}

/* By their bits; those of magnitudes. */
bvec4 are_nan(const uvec4 low, const uvec4 high)
{
    return greaterThan(high | uvec4(notEqual(low, uvec4(0))), uvec4(INFINITE_BITS));
}

/* Rounded to f32; still doubles. */
dvec4 single_precisionv(const dvec4 value)
{
    uvec4 low, high, number, small_low, small_high;
    take_bits(value, low, high);
    const uvec4 sign = high & 0x80000000, magnitude = high ^ sign;
    uvec4 rounded = low + (LOST_BITS / 2 + (low >> 29 & 1));
    uvec4 upper = magnitude + uvec4(lessThan(rounded, low)); /* the carry */
    rounded &= ~LOST_BITS;
    const bvec4 beyond = greaterThanEqual(upper, uvec4(BEYOND_BITS)),
                nan = are_nan(low, magnitude);
    rounded = mix(rounded, uvec4(0), beyond);
    upper = mix(mix(upper, uvec4(INFINITE_BITS), beyond), uvec4(INFINITE_BITS | 0x80000), nan);
    /* How many of the smallest denormal, which lie as far apart as doubles from 2^-97 on do. */
    take_bits(abs(value) + packDouble2x32(uvec2(0, 0x39e00000)), number, small_high);
    take_bits(dvec4(number) * packDouble2x32(uvec2(0, 0x36a00000)), small_low, small_high);
    const bvec4 is_small = lessThan(magnitude, uvec4(LEAST_BITS));
    return doubles_of_bits(mix(rounded, small_low, is_small),
                           mix(upper, small_high, is_small) | sign);
}

/* Floats that round to half as the doubles do: cut off, and odd where something was lost. */
vec4 for_halfv(const dvec4 value)
{
    uvec4 low, high;
    take_bits(value, low, high);
    const uvec4 sign = high & 0x80000000, magnitude = high ^ sign;
    uvec4 cut = magnitude - (1023 - 127 << 20) << 3 | low >> 29;
    cut |= uvec4(notEqual(low & LOST_BITS, uvec4(0)));
    cut = mix(cut, uvec4(0), lessThan(magnitude, uvec4(LEAST_BITS)));
    cut = mix(cut, uvec4(NAN_BITS), greaterThanEqual(magnitude, uvec4(BEYOND_BITS)));
    cut = mix(cut, uvec4(NAN_BITS | 0x400000), are_nan(low, magnitude));
    return uintBitsToFloat(cut | sign);
}
#else
#define for_halfv(value) (value)
#endif

uvec2 half_pairs(const vec4 value)
{
    if (HALF_STORES != 0)
        return uvec2(packHalf2x16(value.xy), packHalf2x16(value.zw));
    return pairs_of_bits(half_bits_of(value));
}

vec4 half_floats(const uvec2 pairs)
{
    if (HALF_LOADS != 0)
        return vec4(unpackHalf2x16(pairs.x), unpackHalf2x16(pairs.y));
    return half_floatv(bits_of_pairs(pairs));
}

uvec4 bfloat_bitsv(const vec4 value)
{
    const uvec4 bits = floatBitsToUint(value);
    return mix(bits + (0x7fff + (bits >> 16 & 1)) >> 16, bits >> 16 | 0x40, are_nan(value));
}

/* Of a type of 16 bits, in pairs. */
accv_t widev(const uint type, const uvec2 pairs)
{
    return accv_t(type == BF16 ? uintBitsToFloat(bits_of_pairs(pairs) << 16) : half_floats(pairs));
}

uvec2 narrowv(const uint type, const accv_t value)
{
    return type == BF16 ? pairs_of_bits(bfloat_bitsv(floats_of(value)))
                        : half_pairs(for_halfv(value));
}

/* ---- Numbers of 8 bits ---- */

uvec4 i8_bitsv(const accv_t value)
{
    const accv_t number = mix(value, accv_t(0), are_nan(vec4(value)));
    return uvec4(ivec4(roundEven(clamp(number, acc_t(-128), acc_t(127))))) & 0xff;
}

/* What is normal in e4m3 rounds by carrying into the upper bits; below 2^-6 numbers are 2^-9
 * apart. */
uvec4 e4m3_bitsv(const vec4 value)
{
    const uvec4 bits = floatBitsToUint(value), magnitude = bits & 0x7fffffff;
    const uvec4 bounded = min(magnitude, 0x43e00000); /* of 448 */
    uvec4 result = (bounded + (0x7ffff + (bounded >> 20 & 1)) >> 20) - (127 - 7 << 3);
    const uvec4 small = uvec4(roundEven(uintBitsToFloat(bounded) * 512.0));
    result = mix(result, small, lessThan(bounded, uvec4(0x3c800000))); /* of 2^-6 */
    result = mix(result, uvec4(0x7f), greaterThan(magnitude, uvec4(NAN_BITS)));
    return result | (bits >> 24 & 0x80);
}

/* A vector in a word. */
uint quantizedv(const uint type, const accv_t value)
{
    const uvec4 bytes = type == I8 ? i8_bitsv(value) : e4m3_bitsv(floats_of(value));
    return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}

/* ---- One element ---- */

acc_t load(const uint type, const uint slot, const uint index)
{
    const uint at = byte_of(type, slot, index);
    if (type == F32)
        return acc_t(uintBitsToFloat(word_at(slot, at)));
#if ACC_DOUBLE
    if (type == F64)
        return packDouble2x32(uvec2(word_at(slot, at),
                                    word_at(slot, at + 4)));
#endif
    return widev(type, uvec2(half_at(slot, at), 0)).x;
}

void store(const uint type, const uint slot, const uint index, const acc_t value)
{
    const uint at = byte_of(type, slot, index);
    if (type == F32) {
        put_word(slot, at, floatBitsToUint(float(value)));
#if ACC_DOUBLE
    } else if (type == F64) {
        const uvec2 bits = unpackDouble2x32(value);
        put_word(slot, at, bits.x);
        put_word(slot, at + 4, bits.y);
#endif
#if !BACKWARD /* gradients are not quantized */
    } else if (is_quantized(type)) {
        put_bytes(slot, at, quantizedv(type, accv_t(value)), 1);
#endif
    } else {
        put_half(slot, at, narrowv(type, accv_t(value)).x & 0xffff);
    }
}

/* ---- VECTOR elements from `index` on ---- */

#if ACC_DOUBLE
accv_t doubles_of(const uvec4 low, const uvec4 high)
{
    return accv_t(packDouble2x32(low.xy), packDouble2x32(low.zw), packDouble2x32(high.xy),
                  packDouble2x32(high.zw));
}
#endif

accv_t loadv(const uint type, const uint slot, const uint index)
{
    const uint at = byte_of(type, slot, index);
    if (type == F32)
        return accv_t(uintBitsToFloat(words_at(slot, at)));
#if ACC_DOUBLE
    if (type == F64)
        return doubles_of(words_at(slot, at), words_at(slot, at + 16));
#endif
    return widev(type, pairs_at(slot, at));
}

void storev(const uint type, const uint slot, const uint index, const accv_t value)
{
    const uint at = byte_of(type, slot, index);
    if (type == F32) {
        put_words(slot, at, floatBitsToUint(floats_of(value)));
#if ACC_DOUBLE
    } else if (type == F64) {
        put_words(slot, at, uvec4(unpackDouble2x32(value.x), unpackDouble2x32(value.y)));
        put_words(slot, at + 16, uvec4(unpackDouble2x32(value.z), unpackDouble2x32(value.w)));
#endif
#if !BACKWARD
    } else if (is_quantized(type)) {
        put_bytes(slot, at, quantizedv(type, value), VECTOR);
#endif
    } else {
        put_pairs(slot, at, narrowv(type, value));
    }
}

/* The first `count` (1 to VECTOR) elements from `index` on, the rest of the vector `fill`. */
accv_t loadv_part(const uint type, const uint slot, const uint index, const uint count,
                  const acc_t fill)
{
    accv_t result = accv_t(fill);
    for (uint i = 0; i < count; i++)
        result[i] = load(type, slot, index + i);
    return result;
}

/* The first, or the last, `count` elements of a vector, the others made 0. */
accv_t keep(const accv_t value, const uint count)
{
    return mix(accv_t(0), value, lessThan(uvec4(0, 1, 2, 3), uvec4(count)));
}

accv_t keep_last(const accv_t value, const uint count)
{
    return mix(accv_t(0), value, greaterThanEqual(uvec4(0, 1, 2, 3), uvec4(VECTOR - count)));
}

/* ---- VECTOR elements from `index` on, which lie at a multiple of 16 bytes or of their own size,
 * whichever is less ---- */

/* As whole vectors of words: not every compiler puts single ones together. */
accv_t loadv_aligned(const uint type, const uint slot, const uint index)
{
    const uint at = byte_of(type, slot, index);
    if (type == F32)
        return accv_t(uintBitsToFloat(quads[slot].q[at / 16]));
#if ACC_DOUBLE
    if (type == F64)
        return doubles_of(quads[slot].q[at / 16], quads[slot].q[at / 16 + 1]);
#endif
    return widev(type, pairs[slot].p[at / 8]);
}

void storev_aligned(const uint type, const uint slot, const uint index, const accv_t value)
{
    const uint at = byte_of(type, slot, index);
    if (type == F32) {
        quads[slot].q[at / 16] = floatBitsToUint(floats_of(value));
#if ACC_DOUBLE
    } else if (type == F64) {
        quads[slot].q[at / 16] = uvec4(unpackDouble2x32(value.x), unpackDouble2x32(value.y));
        quads[slot].q[at / 16 + 1] = uvec4(unpackDouble2x32(value.z), unpackDouble2x32(value.w));
#endif
#if !BACKWARD
    } else if (is_quantized(type)) {
        words[slot].w[at / 4] = quantizedv(type, value);
#endif
    } else {
        pairs[slot].p[at / 8] = narrowv(type, value);
    }
}

/* ---- A line: one vector here ---- */

/* `part`, a constant, is 1, or ALIGNED_PART for one that lies where loadv_aligned may load it. */
#define ALIGNED_PART 0

accv_t load_line(const uint part, const uint type, const uint slot, const uint index)
{
    return part == ALIGNED_PART ? loadv_aligned(type, slot, index) : loadv(type, slot, index);
}

void store_line(const uint part, const uint type, const uint slot, const uint index,
                const accv_t value)
{
    if (part == ALIGNED_PART)
        storev_aligned(type, slot, index, value);
    else
        storev(type, slot, index, value);
}
