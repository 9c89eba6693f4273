/* Where one tensor lies in a safetensors file. */
#ifndef ANYNORM_CLI_SAFETENSORS_H
#define ANYNORM_CLI_SAFETENSORS_H

#include "common/error.h"
#include "mapped_file.h"
#include "tensor_layout.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>

/* Checks the whole file and finds the tensor called `name`, which must be of a type that the
 * library has; NULL is an error that tells the names. Errors name `subject`. */
bool safetensors_locate(const char *subject, const struct mapped_file *file, const char *name,
                        struct tensor_layout *layout, anynorm_dtype *dtype,
                        struct cli_error *error);

#endif
