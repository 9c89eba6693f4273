/* The head of a safetensors file, held to the rules of its format:
 * https://github.com/huggingface/safetensors#format */
#ifndef ANYNORM_CLI_SAFETENSORS_HEADER_H
#define ANYNORM_CLI_SAFETENSORS_HEADER_H

#include "common/error.h"
#include "tensor_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Checks the header of a whole file of `size` bytes, every tensor of it, and finds the one called
 * `name`, which may be NULL: that is an error that tells what names there are. The layout's type is
 * one of the format's words, such as F32 or I64; item_size is 0 for types smaller than a byte.
 * Reads nothing outside of the bytes. Errors name `subject`, the file. */
bool safetensors_header_parse(const char *subject, const uint8_t *bytes, size_t size,
                              const char *name, struct tensor_layout *layout,
                              struct cli_error *error);

#endif
