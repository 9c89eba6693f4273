/* An output file that is there complete or not at all: written beside its place, then renamed. */
#ifndef ANYNORM_CLI_OUTPUT_H
#define ANYNORM_CLI_OUTPUT_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

struct output {
    const char *path; /* as the user wrote it; the caller's string. NULL: no output */
    char *target;     /* with symbolic links followed */
    char *folder;
    const char *base; /* within target */
    char *temporary;  /* NULL: not created, or no longer there */
    int file;
    int slot;
    int mode;    /* permissions of the file that will be replaced, -1: there is none */
    bool direct; /* /dev/null */
};

/* In this order; *output zeroed before. A failing one leaves everything as it was on the disk but
 * the temporary file, which output_discard removes. output_discard ends it in every case. */
bool output_prepare(struct output *output, const char *path, struct cli_error *error);
bool output_create(struct output *output, struct cli_error *error);
bool output_write(struct output *output, const void *data, size_t size, struct cli_error *error);
bool output_close(struct output *output, struct cli_error *error);
bool output_commit(struct output *output, struct cli_error *error);
void output_discard(struct output *output);

/* Whether two prepared outputs are one file. /dev/null may be named twice. */
bool output_same(const struct output *a, const struct output *b);

#endif
