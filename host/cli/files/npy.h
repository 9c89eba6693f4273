/* The npy files of numpy: where the array lies in one, and the head of a new one. */
#ifndef ANYNORM_CLI_NPY_H
#define ANYNORM_CLI_NPY_H

#include "common/error.h"
#include "mapped_file.h"
#include "tensor_layout.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Checks the whole file. With `two_bytes_are_bf16`, u2 and i2 are bf16 (else they are refused); V2
 * always is, as numpy has no 2-byte type that it could stand for. Errors name `subject`. */
bool npy_locate(const char *subject, const struct mapped_file *file, bool two_bytes_are_bf16,
                struct tensor_layout *layout, anynorm_dtype *dtype, struct cli_error *error);

/* The head of a npy file of version 1.0: little-endian on little-endian machines, C order, padded
 * so that the data begin at a multiple of 64 bytes. bf16 is written as u2, f8e4m3 as u1. Returns
 * its size. */
enum { NPY_HEAD_MAX = 512 };
size_t npy_head(anynorm_dtype type, uint32_t rank, const uint64_t *shape,
                uint8_t head[NPY_HEAD_MAX]);

#endif
