/* How the elements of one tensor lie in a file, whatever the file's format. */
#ifndef ANYNORM_CLI_TENSOR_LAYOUT_H
#define ANYNORM_CLI_TENSOR_LAYOUT_H

#include "error.h"

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

/* Sets `elements` from the shape and the item size; refuses a shape that overflows. */
bool tensor_layout_count(const char *subject, struct tensor_layout *layout,
                         struct cli_error *error);

/* The shape as Python writes it, (3,) or (3, 4), into SHAPE_TEXT bytes. Returns `text`. */
const char *shape_text(uint32_t rank, const uint64_t *shape, char *text);

/* What the first `count` bytes, 8 at most, are as a number. */
uint64_t little_endian(const uint8_t *bytes, size_t count);

bool host_is_big_endian(void);

#endif
