/* The lines of a tuning database: making them, and putting them into a file that has others. */
#ifndef ANYNORM_CLI_TUNE_LINES_H
#define ANYNORM_CLI_TUNE_LINES_H

#include "common/error.h"
#include "files/output.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What a run adds to a database, and what it makes stale there. Both texts are malloc'ed by their
 * streams; zeroed before tune_lines_open. */
struct tune_lines {
    FILE *added_stream;
    FILE *measured_stream;
    char *added;    /* whole lines */
    char *measured; /* a line for each head (what stands before ->) whose old lines go */
    size_t added_length;
    size_t measured_length;
    size_t count; /* of lines added */
};

bool tune_lines_open(struct tune_lines *lines, struct cli_error *error);

/* Notes that this was measured, so that the old lines for it go. A line is for the bucket that
 * `rows` lies in, or for any number where it is 0; and for an op, or where that is NULL for those
 * that need not be named. */
void tune_lines_measured(struct tune_lines *lines, const anynorm_device_info *info, const char *op,
                         anynorm_dtype type, uint64_t columns, uint64_t rows);

/* Adds a line; `comment` goes behind it. */
void tune_lines_add(struct tune_lines *lines, const anynorm_device_info *info, const char *op,
                    anynorm_dtype type, uint64_t columns, uint64_t rows, const char *choice,
                    const char *comment);

/* Ends adding: the texts are complete. */
bool tune_lines_close(struct tune_lines *lines, struct cli_error *error);
void tune_lines_free(struct tune_lines *lines);

/* CLI_USAGE where there is a file at `path` that is no database. */
bool tune_lines_check(const char *path, struct cli_error *error);

/* Puts the lines into the created output: what the file has now, without the lines that were
 * measured anew, then these. On failure the file is as before. */
bool tune_lines_write(const struct tune_lines *lines, struct output *output,
                      struct cli_error *error);

#endif
