/* The lines of a tuning database: making them, the file they go to, and putting them where it has
 * others. */
#ifndef ANYNORM_CLI_TUNE_LINES_H
#define ANYNORM_CLI_TUNE_LINES_H

#include "files/output.h"
#include "platform/files.h"

#include <anynorm/anynorm.h>

/* What a run adds to a database, and what it makes stale there. Zeroed before. */
struct tune_lines {
    char *added;    /* whole lines; NULL: none */
    char *measured; /* a line for each head (what stands before ->) whose old lines go */
    size_t count;   /* of lines added */
    bool lost;      /* some of it, for want of memory */
};

/* What lines are for, but for the rows. */
struct tune_head {
    const anynorm_device_info *device;
    const char *op; /* NULL: those that need not be named */
    anynorm_dtype type;
    uint64_t columns;
};

/* Notes that this was measured, so that the old lines for it go. A line is for the bucket that
 * `rows` lies in, or for any number where it is 0. */
void tune_lines_measured(struct tune_lines *lines, const struct tune_head *head, uint64_t rows);

/* Adds a line; `comment` goes behind it. */
void tune_lines_add(struct tune_lines *lines, const struct tune_head *head, uint64_t rows,
                    const char *choice, const char *comment);

void tune_lines_free(struct tune_lines *lines);

/* The file that was given with -o, or else (NULL) the one that the library reads, whose folders are
 * made where it is not one that the user names. */
bool tune_file_find(const char *given, char path[AN_PATH_SIZE]);

/* Whether the library reads this file. */
bool tune_file_is_read(const char *path);

/* CLI_USAGE where there is a file at `path` that is no database. */
bool tune_lines_check(const char *path);

/* Puts the lines into the created output: what the file has now, without the lines that were
 * measured anew, then these. On failure the file is as before. */
bool tune_lines_write(const struct tune_lines *lines, struct output *output);

#endif
