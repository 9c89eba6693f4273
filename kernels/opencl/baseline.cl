/* What a normalization is measured against: a copy of x to y (COPY), which moves the same bytes, and
 * a kernel that does nothing with the same arguments.
 *
 * On a CPU (VECTOR 16) each work-item streams through its own part; elsewhere neighbouring lanes
 * touch neighbouring vectors. STREAM_BYTES: stores go past the caches; a compiler that has no such
 * store gets a program without the kernel. */
#include "row.clh"

/* Vectors that the prefetch of a streaming copy runs ahead: a few percent past the cache. */
#define AHEAD 32

#if COPY
inline void copy(const __global uchar *x, __global uchar *y, const ulong bytes)
{
    const ulong items = get_global_size(0), item = get_global_id(0);
    const __global uintv *from = (const __global uintv *)x;
    __global uintv *to = (__global uintv *)y;
    const bool aligned = (((size_t)x | (size_t)y) & (sizeof(uintv) - 1)) == 0;
    const ulong vectors = aligned ? bytes / sizeof(uintv) : 0;
#if VECTOR == 16
    const ulong end = vectors * (item + 1) / items;
    for (ulong i = vectors * item / items; i < end; i++) {
#else
    for (ulong i = item; i < vectors; i += items) {
#endif
#if STREAMS
        fetch((const __global uchar *)(from + i + AHEAD));
        __builtin_nontemporal_store(from[i], to + i);
#else
        to[i] = from[i];
#endif
    }
    for (ulong i = vectors * sizeof(uintv) + item; i < bytes; i += items)
        y[i] = x[i];
}
#endif

#if defined(STREAM_BYTES) && !STREAMS
__kernel void no_streaming_stores(__global uchar *nothing)
{
}
#else
__kernel void anynorm(
#include "params.def"
)
{
#if COPY
    copy(x + x_offset, y + y_offset, rows * columns * size_of(X_TYPE));
#endif
}
#endif
