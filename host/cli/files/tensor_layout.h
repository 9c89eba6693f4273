/* How the elements of one tensor lie in a file, whatever the file's format. */
#ifndef ANYNORM_CLI_TENSOR_LAYOUT_H
#define ANYNORM_CLI_TENSOR_LAYOUT_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_MAX_RANK = 16, SHAPE_TEXT = 400 };

struct tensor_layout {
    const char *type; /* the format's own word; static */
    uint32_t item_size;
    bool swapped; /* not in this machine's byte order */
    bool fortran;
    uint32_t rank;
    uint64_t shape[TENSOR_MAX_RANK];
    uint64_t elements;    /* their bytes fit int64_t, a zero in the shape or not */
    uint64_t data_offset; /* in the file; any value, often no multiple of anything */
};

/* The elements of a shape, axis by axis. Zeros are left out of the product: a reader that
 * multiplies in another order, or drops an axis, must not wrap either. */
struct element_count {
    uint64_t product; /* fits int64_t */
    bool empty;       /* there was a zero */
};

/* From 1, or from the bytes of an element: then they are what is counted. */
struct element_count element_count_start(uint64_t unit);
/* False: it overflows. */
bool element_count_axis(struct element_count *count, uint64_t size);

/* Sets `elements` from the shape and the item size; refuses a shape that overflows. */
bool tensor_layout_count(const char *subject, struct tensor_layout *layout,
                         struct cli_error *error);

/* The shape as Python writes it, (3,) or (3, 4), into SHAPE_TEXT bytes. Returns `text`. */
const char *shape_text(uint32_t rank, const uint64_t *shape, char *text);

/* What the first `count` bytes, 8 at most, are as a number. */
uint64_t little_endian(const uint8_t *bytes, size_t count);

bool host_is_big_endian(void);

#endif
