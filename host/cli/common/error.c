#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of the subject, so that a path of 4 KiB leaves room for the sentence. */
enum { SUBJECT_MAX = 300 };

struct cli_error cli_error;

bool cli_fail(int exit_status, const char *subject, const char *format, ...)
{
    size_t length = strlen(subject);
    bool cut = length > SUBJECT_MAX;
    int used = snprintf(cli_error.text, sizeof cli_error.text, "%s%s: ", cut ? "..." : "",
                        cut ? subject + length - SUBJECT_MAX : subject);
    va_list list;

    va_start(list, format);
    vsnprintf(cli_error.text + used, sizeof cli_error.text - (size_t)used, format, list);
    va_end(list);
    cli_error.exit_status = exit_status;
    return false;
}

int cli_exit_of(int number)
{
    static const int failures[] = {EIO, ENOMEM, EMFILE, ENFILE, ENOSPC, EINTR};

    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        if (number == failures[i])
            return CLI_FAILED;
    }
    return CLI_USAGE;
}

int cli_error_print(void)
{
    char line[sizeof cli_error.text];
    size_t length = 0;

    for (; cli_error.text[length]; length++) {
        unsigned char c = (unsigned char)cli_error.text[length];

        line[length] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    fprintf(stderr, "anynorm: %.*s\n", (int)length, line);
    return cli_error.exit_status;
}

bool cli_flush_stdout(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    return cli_fail(CLI_FAILED, "standard output", "cannot be written: %s",
                    errno ? strerror(errno) : "an earlier write failed");
}
