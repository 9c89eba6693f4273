#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of the subject, so that a path of 4 KiB leaves room for the sentence. */
enum { SUBJECT_MAX = 300 };

bool cli_fail(struct cli_error *error, int exit_status, const char *subject, const char *format,
              ...)
{
    size_t length = strlen(subject);
    bool cut = length > SUBJECT_MAX;
    int used = snprintf(error->text, sizeof error->text, "%s%s: ", cut ? "..." : "",
                        cut ? subject + length - SUBJECT_MAX : subject);
    va_list list;

    va_start(list, format);
    vsnprintf(error->text + used, sizeof error->text - (size_t)used, format, list);
    va_end(list);
    error->exit_status = exit_status;
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

int cli_error_print(const struct cli_error *error)
{
    char line[sizeof error->text];
    size_t length = 0;

    for (; error->text[length]; length++) {
        unsigned char c = (unsigned char)error->text[length];

        line[length] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    fprintf(stderr, "anynorm: %.*s\n", (int)length, line);
    return error->exit_status;
}

bool cli_flush_stdout(struct cli_error *error)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    return cli_fail(error, CLI_FAILED, "standard output", "cannot be written: %s",
                    errno ? strerror(errno) : "an earlier write failed");
}
