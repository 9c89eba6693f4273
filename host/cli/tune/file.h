/* Where the lines of `anynorm tune` go. */
#ifndef ANYNORM_CLI_TUNE_FILE_H
#define ANYNORM_CLI_TUNE_FILE_H

#include "common/error.h"
#include "platform/files.h"

#include <stdbool.h>

/* The file that was given with -o, or else (NULL) the one that the library reads, whose folders are
 * made where it is not one that the user names. */
bool tune_file_find(const char *given, char path[AN_PATH_SIZE], struct cli_error *error);

/* Whether the library reads this file. */
bool tune_file_is_read(const char *path);

#endif
