/* How the elements of one tensor lie in a file, and the formats that tell: npy and safetensors. */
#ifndef ANYNORM_CLI_TENSOR_LAYOUT_H
#define ANYNORM_CLI_TENSOR_LAYOUT_H

#include "common/cli.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_MAX_RANK = 16, SHAPE_TEXT = 400 };

struct tensor_layout {
    const char *type;    /* the format's own word; static */
    anynorm_dtype dtype; /* what that is */
    uint32_t item_size;
    bool swapped; /* not in this machine's byte order */
    bool fortran;
    uint32_t rank;
    uint64_t shape[TENSOR_MAX_RANK];
    uint64_t elements;    /* their bytes fit int64_t, a zero in the shape or not */
    uint64_t data_offset; /* in the file; any value, often no multiple of anything */
};

/* The elements of a shape, axis by axis, from 1, or from the bytes of an element: then they are
 * what is counted. Zeros are left out of the product: a reader that
 * multiplies in another order, or drops an axis, must not wrap either. */
struct element_count {
    uint64_t product; /* fits int64_t */
    bool empty;       /* there was a zero */
};

/* False: it overflows. */
bool element_count_axis(struct element_count *count, uint64_t size);

/* Sets `elements` from the shape and the item size; refuses a shape that overflows. */
bool tensor_layout_count(const char *subject, struct tensor_layout *layout);

/* The shape as Python writes it, (3,) or (3, 4), into SHAPE_TEXT bytes. Returns `text`. */
const char *shape_text(uint32_t rank, const uint64_t *shape, char *text);

/* What the first `count` bytes, 8 at most, are as a number. */
uint64_t little_endian(const uint8_t *bytes, size_t count);

bool host_is_big_endian(void);

/* ---- Formats. Errors name `subject`, the file; nothing outside of its `size` bytes is read. ----
 */

/* The first bytes of a npy file, as many as there are, or at least the whole head: numpy's format,
 * versions 1.0, 2.0 and 3.0, see
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 * The layout's type is one of f2 f4 f8 u2 i2 V2, its dtype is left out. */
bool npy_header_parse(const char *subject, const uint8_t *bytes, size_t size,
                      struct tensor_layout *layout);

/* Checks the whole npy file. With `two_bytes_are_bf16`, u2 and i2 are bf16 (else they are refused);
 * V2 always is, as numpy has no 2-byte type that it could stand for. */
bool npy_locate(const char *subject, const uint8_t *bytes, size_t size, bool two_bytes_are_bf16,
                struct tensor_layout *layout);

/* The head of a npy file of version 1.0: little-endian on little-endian machines, C order, padded
 * so that the data begin at a multiple of 64 bytes. bf16 is written as u2, f8e4m3 as u1. Returns
 * its size. */
enum { NPY_HEAD_MAX = 512 };
size_t npy_head(anynorm_dtype type, uint32_t rank, const uint64_t *shape,
                uint8_t head[NPY_HEAD_MAX]);

/* Holds the head of a whole safetensors file, every tensor of it, to the rules of its format,
 * https://github.com/huggingface/safetensors#format, and finds the tensor called `name`, which must
 * be of a type that the library has; NULL is an error that tells what names there are. */
bool safetensors_locate(const char *subject, const uint8_t *bytes, size_t size, const char *name,
                        struct tensor_layout *layout);

#endif
