/* What a user writes to name a tensor: FILE.npy, FILE.npy:TYPE or FILE.safetensors:NAME. */
#ifndef ANYNORM_CLI_TENSOR_PATH_H
#define ANYNORM_CLI_TENSOR_PATH_H

#include <stdbool.h>
#include <stddef.h>

struct tensor_path {
    size_t file; /* how many characters name the file */
    bool safetensors;
    const char *name; /* behind the colon of a safetensors file; or NULL */
    const char *type; /* behind the colon of a npy file; or NULL */
};

struct tensor_path tensor_path_split(const char *path);

#endif
