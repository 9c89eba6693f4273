#define _POSIX_C_SOURCE 200809L
#include "mapped_file.h"

#include "open_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool mapped_file_open(const char *path, struct mapped_file *file, struct cli_error *error)
{
    struct stat status;
    /* Not blocking: a named pipe without a writer is refused below instead of waited for. */
    int descriptor = cli_open_file(path, O_RDONLY | O_NONBLOCK, 0);
    void *mapping;
    bool done = false;

    *file = (struct mapped_file){0};
    if (descriptor < 0)
        return cli_fail(error, cli_exit_of(errno), path,
                        "cannot be opened: %s; name a readable .npy or .safetensors file",
                        strerror(errno));
    if (fstat(descriptor, &status) != 0) {
        cli_fail(error, cli_exit_of(errno), path, "cannot be examined: %s", strerror(errno));
        goto out;
    }
    if (!S_ISREG(status.st_mode)) {
        cli_fail(error, CLI_USAGE, path, "is %s; name a .npy or .safetensors file",
                 S_ISDIR(status.st_mode) ? "a folder" : "no regular file");
        goto out;
    }
    if (status.st_size == 0) {
        done = true;
        goto out;
    }
    if ((uintmax_t)status.st_size > SIZE_MAX) {
        cli_fail(error, CLI_USAGE, path, "is too large for this machine's address space");
        goto out;
    }
    mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapping == MAP_FAILED) {
        cli_fail(error, CLI_FAILED, path, "cannot be mapped into memory: %s", strerror(errno));
        goto out;
    }
    *file = (struct mapped_file){mapping, (size_t)status.st_size};
    done = true;
out:
    close(descriptor);
    return done;
}

void mapped_file_close(struct mapped_file *file)
{
    if (file->bytes)
        munmap((void *)(uintptr_t)file->bytes, file->size);
    *file = (struct mapped_file){0};
}
