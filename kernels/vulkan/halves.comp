#version 450
#extension GL_GOOGLE_include_directive : require
/* Whether the device's own conversions between halves and floats are those in integers, bit for bit but for a
 * NaN's: of every half, and of every float at which rounding to one changes. One work-group writes what it
 * found into the first word of the only buffer. */
#include "types.glsl"

/* host/vulkan/halves.c has these, too. */
#define LOADS_DIFFER 1
#define STORES_DIFFER 2
#define ALL_TRIED 4

bool differ(const vec4 found, const vec4 right)
{
    const bvec4 nans = are_nan(right);
    const uvec4 bits = floatBitsToUint(found), wanted = floatBitsToUint(right);
    return any(notEqual(mix(bits, uvec4(0), nans), mix(wanted, uvec4(0), nans))) ||
           any(notEqual(are_nan(found), nans));
}

/* As halves: a half is a NaN where its float is. */
bool stored_differ(const vec4 value)
{
    const uvec2 found = uvec2(packHalf2x16(value.xy), packHalf2x16(value.zw));
    return differ(half_floatv(bits_of_pairs(found)), half_floatv(half_bits_of(value)));
}

/* The float of a half that is not negative; beyond the largest, what would come next. */
float float_of(const uint bits)
{
    return bits == 0x7c00 ? 65536.0 : half_floatv(uvec4(bits)).x;
}

void main()
{
    uint found = 0;
    for (uint i = gl_LocalInvocationID.x; i < 0x8000; i += GROUP) {
        const uvec4 bits = uvec4(i, i | 0x8000, 0x7fff - i, 0x8000 | (i ^ 0x555));
        const uvec2 pairs = pairs_of_bits(bits);
        if (differ(vec4(unpackHalf2x16(pairs.x), unpackHalf2x16(pairs.y)), half_floatv(bits)))
            found |= LOADS_DIFFER;

        /* A number, and beside it the two at which it and its neighbours meet: on the tie and next to it. */
        const float value = half_floatv(uvec4(i)).x;
        if (stored_differ(vec4(value, -value, uintBitsToFloat(uvec2(i << 8, i << 16 | 0x80000000)))))
            found |= STORES_DIFFER;
        if (i < 0x7c00) {
            const uint tie = floatBitsToUint(0.5 * float_of(i) + 0.5 * float_of(i + 1));
            const vec4 near = uintBitsToFloat(uvec4(tie - 1, tie, tie + 1, tie + 0x123));
            if (stored_differ(near) || stored_differ(-near))
                found |= STORES_DIFFER;
        }
    }
    atomicOr(words[0].w[0], found);
    atomicAdd(words[0].w[0], ALL_TRIED);
}
