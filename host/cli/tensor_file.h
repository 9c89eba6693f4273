/* Reading one tensor of a file through a mapping, so that files larger than memory work. */
#ifndef ANYNORM_CLI_TENSOR_FILE_H
#define ANYNORM_CLI_TENSOR_FILE_H

#include "error.h"
#include "mapped_file.h"
#include "tensor_layout.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct tensor_file {
    const char *path; /* the caller's string */
    anynorm_dtype type;
    struct tensor_layout layout;
    const uint8_t *data; /* the first element in the file; any byte alignment */
    bool direct;         /* data is in C order and native byte order */
    struct mapped_file file;
};

/* `path` is that of a npy file, or FILE.safetensors:NAME. Opens and checks the whole file. With
 * `two_bytes_are_bf16`, 2-byte types of a npy file other than f2 are bf16 (else they are refused).
 * `path` must outlive *tensor. Close with tensor_close; a zeroed one is fine. */
bool tensor_open(const char *path, bool two_bytes_are_bf16, struct tensor_file *tensor,
                 struct cli_error *error);
void tensor_close(struct tensor_file *tensor);

/* Copies `count` elements from `first` on, counted in C order, in native byte order. */
void tensor_read(const struct tensor_file *tensor, uint64_t first, uint64_t count, void *out);

/* The elements from `first` on where they lie in the file as tensor_read would deliver them (in C
 * order, native byte order), at any byte alignment; else NULL. */
const void *tensor_direct(const struct tensor_file *tensor, uint64_t first);

#endif
