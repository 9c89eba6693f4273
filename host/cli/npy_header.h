/* The head of a npy file: numpy's format, versions 1.0, 2.0 and 3.0, see
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef ANYNORM_CLI_NPY_HEADER_H
#define ANYNORM_CLI_NPY_HEADER_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NPY_MAX_RANK = 16, NPY_SHAPE_TEXT = 400 };

struct npy_header {
    char type[8]; /* f2 f4 f8 u2 i2 V2: those that parsing accepts */
    uint32_t item_size;
    bool swapped; /* not in this machine's byte order */
    bool fortran;
    uint32_t rank;
    uint64_t shape[NPY_MAX_RANK];
    uint64_t elements;    /* their bytes fit int64_t, a zero in the shape or not */
    uint64_t data_offset; /* in the file; any value, often no multiple of anything */
};

/* Parses the first bytes of a file, `size` of them: as many as there are, or at least the whole
 * head. Reads nothing outside of them. Errors name `subject`. */
bool npy_header_parse(const char *subject, const uint8_t *bytes, size_t size,
                      struct npy_header *header, struct cli_error *error);

/* The shape as Python writes it, (3,) or (3, 4), into NPY_SHAPE_TEXT bytes. Returns `text`. */
const char *npy_shape_text(uint32_t rank, const uint64_t *shape, char *text);

bool npy_host_is_big_endian(void);

#endif
