/* A file to be read, as memory: files larger than memory work. */
#ifndef ANYNORM_CLI_MAPPED_FILE_H
#define ANYNORM_CLI_MAPPED_FILE_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapped_file {
    const uint8_t *bytes; /* NULL: not open, or an empty file */
    size_t size;
};

/* Regular files only. Close with mapped_file_close; a zeroed one is fine. */
bool mapped_file_open(const char *path, struct mapped_file *file, struct cli_error *error);
void mapped_file_close(struct mapped_file *file);

#endif
