/* The shapes and types that a command is to go through, as lists on its command line. */
#ifndef ANYNORM_CLI_LISTS_H
#define ANYNORM_CLI_LISTS_H

#include "error.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHAPES_MOST = 256, DTYPES = 4 };

/* A tensor of the widest type, of x and y together, has fewer than 2^63 bytes. */
#define SHAPE_ELEMENTS_MOST (UINT64_C(1) << 58)

struct shape {
    uint64_t rows;
    uint64_t columns;
};

struct shape_list {
    struct shape shapes[SHAPES_MOST]; /* as given, none twice */
    size_t count;
};

struct dtype_list {
    anynorm_dtype types[DTYPES]; /* none twice */
    size_t count;
};

/* "512x4096,8x768": rows x columns. CLI_USAGE names the part that is wrong. */
bool shapes_parse(const char *subject, const char *text, struct shape_list *list);

/* "f32,bf16". */
bool dtypes_parse(const char *subject, const char *text, struct dtype_list *list);

#endif
