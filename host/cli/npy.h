/* Reading a npy file through a mapping, so that files larger than memory work. */
#ifndef ANYNORM_CLI_NPY_H
#define ANYNORM_CLI_NPY_H

#include "error.h"
#include "npy_header.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct npy {
    const char *path; /* the caller's string */
    anynorm_dtype type;
    struct npy_header header;
    const uint8_t *data; /* the first element in the file; any byte alignment */
    bool direct;         /* data is in C order and native byte order */
    void *mapping;
    size_t mapping_size;
};

/* Opens and checks the whole file. With `two_bytes_are_bf16`, 2-byte types other than f2 are bf16
 * (else they are refused). `path` must outlive *npy. Close with npy_close; a zeroed one is fine. */
bool npy_open(const char *path, bool two_bytes_are_bf16, struct npy *npy, struct cli_error *error);
void npy_close(struct npy *npy);

/* Copies `count` elements from `first` on, counted in C order, in native byte order. */
void npy_read(const struct npy *npy, uint64_t first, uint64_t count, void *out);

/* The elements from `first` on where they lie in the file as npy_read would deliver them (in C
 * order, native byte order), at any byte alignment; else NULL. */
const void *npy_direct(const struct npy *npy, uint64_t first);

/* The head of a npy file of version 1.0: little-endian on little-endian machines, C order, padded
 * so that the data begin at a multiple of 64 bytes. bf16 is written as u2. Returns its size. */
enum { NPY_HEAD_MAX = 512 };
size_t npy_head(anynorm_dtype type, uint32_t rank, const uint64_t *shape,
                uint8_t head[NPY_HEAD_MAX]);

#endif
