/* The tensors that the header of a safetensors file lists, and what must hold of all together. */
#ifndef ANYNORM_CLI_SAFETENSORS_ENTRIES_H
#define ANYNORM_CLI_SAFETENSORS_ENTRIES_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct safetensors_entry {
    const char *name; /* `length` bytes of UTF-8, no zero behind it */
    size_t length;
    uint64_t begin; /* of its bytes, counted from the end of the header */
    uint64_t end;
};

struct safetensors_entries {
    struct safetensors_entry *at;
    size_t count;
    size_t capacity;
};

/* Free with safetensors_entries_free; start from zero. Errors name `subject`. */
bool safetensors_entries_add(const char *subject, struct safetensors_entries *entries,
                             struct safetensors_entry entry, struct cli_error *error);
void safetensors_entries_free(struct safetensors_entries *entries);

/* No name stands there twice. Sorts by name. */
bool safetensors_check_names(const char *subject, struct safetensors_entries *entries,
                             struct cli_error *error);

/* The tensors lie in bytes 0 to `size` without overlap or hole and end where those end. Sorts by
 * place. */
bool safetensors_check_places(const char *subject, struct safetensors_entries *entries,
                              uint64_t size, struct cli_error *error);

/* How a message names an entry: its name, shortened. For "%.*s". */
int safetensors_name_length(const struct safetensors_entry *entry);

#endif
