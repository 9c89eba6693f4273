/* Reading one tensor of a file through a mapping, so that files larger than memory work. */
#ifndef ANYNORM_CLI_TENSOR_FILE_H
#define ANYNORM_CLI_TENSOR_FILE_H

#include "common/error.h"
#include "mapped_file.h"
#include "tensor_layout.h"
#include "tensor_view.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct tensor_file {
    const char *path; /* the caller's string */
    anynorm_dtype type;
    struct tensor_layout layout;
    const uint8_t *data;     /* the first element in the file; any byte alignment */
    struct tensor_view view; /* the order in which it is read, as it lies there at first */
    bool direct;             /* that is the order of data, which has this machine's byte order */
    struct mapped_file file;
};

/* `path` is as tensor_path.h has it. Opens and checks the whole file. With `two_bytes_are_bf16`, or
 * as its TYPE says, u2 and i2 of a npy file are bf16 (else they are refused); V2 always is. `path`
 * must outlive *tensor. Close with tensor_close; a zeroed one is fine. */
bool tensor_open(const char *path, bool two_bytes_are_bf16, struct tensor_file *tensor,
                 struct cli_error *error);
void tensor_close(struct tensor_file *tensor);

/* From now on it is read in another order. */
void tensor_set_view(struct tensor_file *tensor, const struct tensor_view *view);

/* Copies `count` elements from `first` on, counted in the order of the view, in native byte order.
 */
void tensor_read(const struct tensor_file *tensor, uint64_t first, uint64_t count, void *out);
/* Likewise, each as `type`: rounded, where that is narrower. */
void tensor_read_as(const struct tensor_file *tensor, anynorm_dtype type, uint64_t first,
                    uint64_t count, void *out);

/* The elements from `first` on where they lie in the file as tensor_read would deliver them, at any
 * byte alignment; else NULL. */
const void *tensor_direct(const struct tensor_file *tensor, uint64_t first);

#endif
