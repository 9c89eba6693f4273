#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16 ACC_DOUBLE
/* What a normalization is measured against: a copy, which moves the same bytes (COPY), the addition
 * of x and residual by a kernel of its own (ADD), and a kernel that does nothing with the same
 * arguments. Neighbouring lanes touch neighbouring vectors. */
#include "types.glsl"

uint item()
{
    return gl_GlobalInvocationID.x;
}

uint items()
{
    return gl_NumWorkGroups.x * GROUP;
}

/* ---- The copy ---- */

/* A tensor of elements that are X_PARTS times as wide as the narrowest there are is so many
 * streams, one behind the other, all of one length. Output o is the input of its number where there
 * are as many; else every OUTPUTS-th input from o on, by exclusive or, or an input that another
 * output is, too. */
const uint INPUTS = COPY != 0 ? X_PARTS + R_PARTS : 1;
const uint OUTPUTS = COPY != 0 ? Y_PARTS + S_PARTS : 1;
uvec4 inputs[INPUTS];

uvec4 find_output(const uint o)
{
    uvec4 value = inputs[o % INPUTS];
    for (uint k = o % INPUTS + OUTPUTS; k < INPUTS; k += OUTPUTS)
        value ^= inputs[k];
    return value;
}

/* Bytes of an element of the narrowest tensor; of those of 8 the words are moved one by one. */
uint narrowest()
{
    return size_of(X_TYPE) / max(X_PARTS, 1);
}

/* A vector of words, or (not `whole`) the first of them: an element. */
uvec4 bits_at(const bool whole, const uint slot, const uint at)
{
    if (whole)
        return quads[slot].q[at / 16];
    if (narrowest() == 1)
        return uvec4(words[slot].w[at / 4] >> at % 4 * 8 & 0xff);
    return uvec4(narrowest() == 2 ? half_at(slot, at) : word_at(slot, at));
}

void put_bits_at(const bool whole, const uint slot, const uint at, const uvec4 bits)
{
    if (whole)
        quads[slot].q[at / 16] = bits;
    else if (narrowest() == 1)
        put_bytes(slot, at, bits.x, 1);
    else if (narrowest() == 2)
        put_half(slot, at, bits.x);
    else
        put_word(slot, at, bits.x);
}

/* The streams of `bytes` bytes that begin `done` bytes of the narrowest tensor in; `whole`, a
 * constant: by vectors. */
void copy_streams(const bool whole, const uint done, const uint bytes)
{
    const uint size = whole ? 16 : min(narrowest(), 4);
    for (uint i = item(); i < bytes / size; i += items()) {
        const uint at = i * size;
        [[unroll]] for (uint k = 0; k < X_PARTS; k++)
            inputs[k] = bits_at(whole, SLOT_X,
                                launch.offset[SLOT_X] + done * X_PARTS + bytes * k + at);
        [[unroll]] for (uint k = 0; k < R_PARTS; k++)
            inputs[X_PARTS + k] =
                bits_at(whole, SLOT_RESIDUAL,
                        launch.offset[SLOT_RESIDUAL] + done * R_PARTS + bytes * k + at);
        [[unroll]] for (uint k = 0; k < Y_PARTS; k++)
            put_bits_at(whole, SLOT_Y,
                        launch.offset[SLOT_Y] + done * Y_PARTS + bytes * k + at, find_output(k));
        [[unroll]] for (uint k = 0; k < S_PARTS; k++)
            put_bits_at(whole, SLOT_SUM,
                        launch.offset[SLOT_SUM] + done * S_PARTS + bytes * k + at,
                        find_output(Y_PARTS + k));
    }
}

/* ---- The addition ---- */

/* Of dense tensors, with the plain stores that engines' additions have. */
void add_vectors(const uint part, const uint vectors)
{
    for (uint i = item(); i < vectors; i += items())
        store_line(part, S_TYPE, SLOT_SUM, i * VECTOR,
                   load_line(part, X_TYPE, SLOT_X, i * VECTOR) +
                       load_line(part, R_TYPE, SLOT_RESIDUAL, i * VECTOR));
}

void add(const bool aligned, const uint elements)
{
    const uint vectors = elements / VECTOR;
    if (aligned)
        add_vectors(ALIGNED_PART, vectors);
    else
        add_vectors(1, vectors);
    for (uint i = vectors * VECTOR + item(); i < elements; i += items())
        store(S_TYPE, SLOT_SUM, i, load(X_TYPE, SLOT_X, i) + load(R_TYPE, SLOT_RESIDUAL, i));
}

void main()
{
    const uint elements = launch.rows * columns;
    uint places = launch.offset[SLOT_X] | launch.offset[SLOT_Y];
    if (HAS_RESIDUAL != 0)
        places |= launch.offset[SLOT_RESIDUAL];
    if (HAS_SUM != 0)
        places |= launch.offset[SLOT_SUM];
    const bool aligned = places % 16 == 0;
    if (COPY != 0) {
        const uint bytes = elements * narrowest(), done = aligned ? bytes / 16 * 16 : 0;
        copy_streams(true, 0, done);
        copy_streams(false, done, bytes - done);
    }
    if (ADD != 0)
        add(aligned, elements);
}
