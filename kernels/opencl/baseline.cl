/* What a normalization is measured against: a copy, which moves the same bytes (COPY), the addition of
 * x and residual by a kernel of its own (ADD), and a kernel that does nothing with the same arguments.
 *
 * On a CPU (VECTOR 16) each work-item streams through its own part; elsewhere neighbouring lanes
 * touch neighbouring vectors. STREAM_BYTES: a copy's stores go past the caches; a compiler that has no
 * such store gets a program without the kernel. */
#include "row.clh"

/* Vectors that the prefetch of a streaming copy runs ahead: a few percent past the cache. */
#define AHEAD 32

/* The vectors, of so many, of this work-item: from one, up to another, in steps. */
inline ulong first_of(const ulong vectors)
{
    return VECTOR == 16 ? vectors * get_global_id(0) / get_global_size(0) : get_global_id(0);
}

inline ulong end_of(const ulong vectors)
{
    return VECTOR == 16 ? vectors * (get_global_id(0) + 1) / get_global_size(0) : vectors;
}

inline ulong step(void)
{
    return VECTOR == 16 ? 1 : get_global_size(0);
}

/* ---- The copy ---- */

#if COPY
/* A tensor of elements that are X_PARTS times as wide as the narrowest there are is so many streams, one
 * behind the other, all of one length. Output o is the input of its number where there are as many;
 * else every OUTPUTS-th input from o on, by exclusive or, or an input that another output is, too. */
#ifndef X_PARTS
#define X_PARTS 1
#endif
#ifndef Y_PARTS
#define Y_PARTS 1
#endif
#if !HAS_RESIDUAL
#define R_PARTS 0
#elif !defined(R_PARTS)
#define R_PARTS 1
#endif
#if !HAS_SUM
#define S_PARTS 0
#elif !defined(S_PARTS)
#define S_PARTS 1
#endif
#define INPUTS (X_PARTS + R_PARTS)
#define OUTPUTS (Y_PARTS + S_PARTS)

typedef struct {
    const __global uchar *input[INPUTS];
    __global uchar *output[OUTPUTS];
} streams_t;

inline void copy_vectors(const streams_t *s, const ulong vectors)
{
    const ulong end = end_of(vectors);
    for (ulong i = first_of(vectors); i < end; i += step()) {
        uintv of[INPUTS];
#pragma unroll
        for (uint k = 0; k < INPUTS; k++) {
            const __global uintv *from = (const __global uintv *)s->input[k] + i;
            fetch((const __global uchar *)(from + AHEAD));
            of[k] = *from;
        }
#pragma unroll
        for (uint o = 0; o < OUTPUTS; o++) {
            __global uintv *to = (__global uintv *)s->output[o] + i;
            uintv value = of[o % INPUTS];
            for (uint k = o % INPUTS + OUTPUTS; k < INPUTS; k += OUTPUTS)
                value ^= of[k];
#if STREAMS
            __builtin_nontemporal_store(value, to);
#else
            *to = value;
#endif
        }
    }
}

inline void copy_bytes(const streams_t *s, const ulong bytes)
{
    for (ulong i = get_global_id(0); i < bytes; i += get_global_size(0)) {
        uchar of[INPUTS];
        for (uint k = 0; k < INPUTS; k++)
            of[k] = s->input[k][i];
        for (uint o = 0; o < OUTPUTS; o++) {
            uchar value = of[o % INPUTS];
            for (uint k = o % INPUTS + OUTPUTS; k < INPUTS; k += OUTPUTS)
                value ^= of[k];
            s->output[o][i] = value;
        }
    }
}

/* The streams of `bytes` bytes that begin `done` bytes of the narrowest tensor in. */
inline void find_streams(const streams_t *tensors, const ulong done, const ulong bytes, streams_t *s)
{
    for (uint k = 0; k < X_PARTS; k++)
        s->input[k] = tensors->input[0] + done * X_PARTS + bytes * k;
    for (uint k = 0; k < R_PARTS; k++)
        s->input[X_PARTS + k] = tensors->input[INPUTS - 1] + done * R_PARTS + bytes * k;
    for (uint k = 0; k < Y_PARTS; k++)
        s->output[k] = tensors->output[0] + done * Y_PARTS + bytes * k;
    for (uint k = 0; k < S_PARTS; k++)
        s->output[Y_PARTS + k] = tensors->output[OUTPUTS - 1] + done * S_PARTS + bytes * k;
}

/* `tensors`: the first input and output are x and y, the last ones residual and sum, if they are there;
 * `bytes`: of the narrowest tensor. */
inline void copy(const streams_t *tensors, const ulong bytes)
{
    streams_t s;
    size_t places = (size_t)tensors->input[0] | (size_t)tensors->output[0];
    places |= (size_t)tensors->input[INPUTS - 1] | (size_t)tensors->output[OUTPUTS - 1];
    const ulong vectors = places & (sizeof(uintv) - 1) ? 0 : bytes / sizeof(uintv);
    const ulong done = vectors * sizeof(uintv);
    find_streams(tensors, 0, done, &s);
    copy_vectors(&s, vectors);
    find_streams(tensors, done, bytes - done, &s);
    copy_bytes(&s, bytes - done);
}
#endif

/* ---- The addition ---- */

#if ADD
/* Of dense tensors, with the plain stores that engines' additions have. */
inline void add(const __global uchar *x, const __global uchar *residual, __global uchar *sum,
                const ulong elements)
{
    const ulong vectors = elements / VECTOR, end = end_of(vectors);
    for (ulong i = first_of(vectors); i < end; i += step())
        storev(S_TYPE, sum, i * VECTOR,
               loadv(X_TYPE, x, i * VECTOR) + loadv(R_TYPE, residual, i * VECTOR));
    for (ulong i = vectors * VECTOR + get_global_id(0); i < elements; i += get_global_size(0))
        store(S_TYPE, sum, i, load(X_TYPE, x, i) + load(R_TYPE, residual, i));
}
#endif

#if COPY && defined(STREAM_BYTES) && !STREAMS
__kernel void no_streaming_stores(__global uchar *nothing)
{
}
#else
__kernel void anynorm(
#include "params.def"
)
{
#if COPY
    streams_t tensors;
    tensors.input[INPUTS - 1] = tensors.input[0] = x + x_offset;
    tensors.output[OUTPUTS - 1] = tensors.output[0] = y + y_offset;
#if HAS_RESIDUAL
    tensors.input[INPUTS - 1] = residual + residual_offset;
#endif
#if HAS_SUM
    tensors.output[OUTPUTS - 1] = sum + sum_offset;
#endif
    copy(&tensors, rows * columns * size_of(X_TYPE) / X_PARTS);
#elif ADD
    add(x + x_offset, residual + residual_offset, sum + sum_offset, rows * columns);
#endif
}
#endif
