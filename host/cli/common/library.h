/* The library's statuses as errors of the program. */
#ifndef ANYNORM_CLI_LIBRARY_H
#define ANYNORM_CLI_LIBRARY_H

#include "error.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>

/* Fails with the library's message for the failed call; returns false. What the user asked
 * for wrongly (invalid argument, unsupported) is CLI_USAGE, all else CLI_FAILED. */
bool cli_fail_library(const char *subject, anynorm_status status);

/* Opens the device of --device, or the default one where `name` is NULL. */
bool cli_open_device(const char *name, anynorm_device **device);

/* Opens the reference, against which a device that was opened before is checked: what masks that
 * device is not to mask its oracle. */
bool cli_open_oracle(anynorm_device **oracle);

/* One line on stdout: which device a table is about. */
void cli_print_device(const anynorm_device_info *info);

/* Sends the library's log to stderr at the level of $ANYNORM_LOG. */
bool cli_start_log(void);

#endif
