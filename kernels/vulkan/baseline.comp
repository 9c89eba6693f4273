#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16
/* What a normalization is measured against: a copy of x to y (COPY), which moves the same bytes,
 * and a kernel that does nothing with the same arguments. Neighbouring lanes touch neighbouring
 * vectors. */
#include "types.glsl"

void copy(const uint elements)
{
    const uint items = gl_NumWorkGroups.x * GROUP, item = gl_GlobalInvocationID.x;
    const uint from = launch.offset[SLOT_X], to = launch.offset[SLOT_Y];
    const uint size = size_of(X_TYPE);
    const uint vectors = (from | to) % 16 == 0 ? elements / (16 / size) : 0;
    for (uint i = item; i < vectors; i += items)
        quads[SLOT_Y].q[to / 16 + i] = quads[SLOT_X].q[from / 16 + i];
    for (uint i = vectors * (16 / size) + item; i < elements; i += items) {
        if (size == 2) {
            put_half(SLOT_Y, to + i * size, half_at(SLOT_X, from + i * size));
        } else {
            put_word(SLOT_Y, to + i * size, word_at(SLOT_X, from + i * size));
            if (size == 8)
                put_word(SLOT_Y, to + i * size + 4, word_at(SLOT_X, from + i * size + 4));
        }
    }
}

void main()
{
    if (COPY != 0)
        copy(launch.rows * columns);
}
