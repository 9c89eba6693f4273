/* Errors of the program: one line each, "anynorm: SUBJECT: what is wrong; what would be right". */
#ifndef ANYNORM_CLI_ERROR_H
#define ANYNORM_CLI_ERROR_H

#include <stdbool.h>

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1, /* the work failed: device, writing, memory */
    CLI_USAGE = 2   /* bad usage or bad input */
};

/* There is one, the last: what fails returns false and has filled it in, and the command tells it
 * and ends. */
extern struct cli_error {
    int exit_status;
    char text[1024]; /* without "anynorm: " */
} cli_error;

/* Fills in the error. `subject` is the file or option it is about; a long one loses its beginning.
 * Returns false, so that a function can end in `return cli_fail(...)`. */
__attribute__((format(printf, 3, 4))) bool cli_fail(int exit_status, const char *subject,
                                                    const char *format, ...);

/* Whose affair it is that a call on a file failed with this errno: CLI_FAILED where it is the
 * machine's, which lacks something or whose disk fails, else CLI_USAGE. */
int cli_exit_of(int number);

/* Prints the error on stderr as one line, control characters replaced; returns its exit status. */
int cli_error_print(void);

/* Flushes stdout; false with CLI_FAILED where something printed there could not be written. */
bool cli_flush_stdout(void);

#endif
