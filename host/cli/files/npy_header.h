/* The head of a npy file: numpy's format, versions 1.0, 2.0 and 3.0, see
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef ANYNORM_CLI_NPY_HEADER_H
#define ANYNORM_CLI_NPY_HEADER_H

#include "common/error.h"
#include "tensor_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses the first bytes of a file, `size` of them: as many as there are, or at least the whole
 * head. Reads nothing outside of them. The layout's type is one of f2 f4 f8 u2 i2 V2. Errors name
 * `subject`. */
bool npy_header_parse(const char *subject, const uint8_t *bytes, size_t size,
                      struct tensor_layout *layout, struct cli_error *error);

#endif
