/* How the program opens files. */
#ifndef ANYNORM_CLI_OPEN_FILE_H
#define ANYNORM_CLI_OPEN_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>

/* open, however often a signal interrupts it, as it may on a network's file system. `mode` is that
 * of a file it makes. */
static inline int cli_open_file(const char *path, int flags, mode_t mode)
{
    int file;

    do
        file = open(path, flags | O_CLOEXEC, mode);
    while (file < 0 && errno == EINTR);
    return file;
}

#endif
