/* An output file that is there complete or not at all: written beside its place, then renamed. */
#ifndef ANYNORM_CLI_OUTPUT_H
#define ANYNORM_CLI_OUTPUT_H

#include "common/cli.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file to be removed should a signal end the program. */
struct cleanup;

struct output {
    const char *path; /* as the user wrote it; the caller's string. NULL: no output */
    char *target;     /* with symbolic links followed */
    char *folder;
    uint64_t folder_device; /* and its number: which folder it is, whatever its name */
    uint64_t folder_number;
    const char *base; /* within target */
    char *temporary;  /* NULL: not created, or no longer there */
    int file;
    struct cleanup *cleanup; /* of the temporary file */
    int mode;                /* permissions of the file that will be replaced, -1: there is none */
    bool direct;             /* /dev/null */
    bool exchanged;          /* the new file is in place and the old one has the temporary's name */
    bool made;               /* the new file is in place and there was no old one */
};

/* In this order; *output zeroed before. A failing one leaves everything as it was on the disk but
 * the temporary file, which output_discard removes. output_discard ends it in every case. */
bool output_prepare(struct output *output, const char *path);
bool output_create(struct output *output);
bool output_write(struct output *output, const void *data, size_t size);
bool output_close(struct output *output);
/* With `revocable` the old file is kept until output_discard, on file systems that can exchange
 * two. */
bool output_commit(struct output *output, bool revocable);
/* Undoes output_commit, where another output could not be put in its place. */
void output_revoke(struct output *output);
void output_discard(struct output *output);

/* Whether two prepared outputs are one file. /dev/null may be named twice. */
bool output_same(const struct output *a, const struct output *b);

/* Before there is one: from now on SIGINT, SIGTERM, SIGHUP and SIGPIPE remove the temporary files
 * and then end the program as they would have; SIGBUS, which a mapped input raises when it was cut
 * meanwhile, says so and exits with 1. SIGXFSZ is ignored, so that writing reports the limit.
 * Signals the parent had set to be ignored, stay ignored. */
void output_guard(void);

#endif
