#include "mapped_file.h"

#include "platform/files.h"

#include <errno.h>
#include <string.h>

bool mapped_file_open(const char *path, struct mapped_file *file, struct cli_error *error)
{
    struct an_status status;
    int descriptor = an_file_open(path, AN_OPEN_READ, 0);
    void *mapping;
    bool done = false;

    *file = (struct mapped_file){0};
    if (descriptor < 0)
        return cli_fail(error, cli_exit_of(errno), path,
                        "cannot be opened: %s; name a readable .npy or .safetensors file",
                        strerror(errno));
    if (!an_file_status(descriptor, &status)) {
        cli_fail(error, cli_exit_of(errno), path, "cannot be examined: %s", strerror(errno));
        goto out;
    }
    if (status.kind != AN_KIND_FILE) {
        cli_fail(error, CLI_USAGE, path, "is %s; name a .npy or .safetensors file",
                 status.kind == AN_KIND_FOLDER ? "a folder" : "no regular file");
        goto out;
    }
    if (status.size == 0) {
        done = true;
        goto out;
    }
    if (status.size > SIZE_MAX) {
        cli_fail(error, CLI_USAGE, path, "is too large for this machine's address space");
        goto out;
    }
    mapping = an_file_map(descriptor, (size_t)status.size);
    if (!mapping) {
        cli_fail(error, CLI_FAILED, path, "cannot be mapped into memory: %s", strerror(errno));
        goto out;
    }
    *file = (struct mapped_file){mapping, (size_t)status.size};
    done = true;
out:
    an_file_close(descriptor);
    return done;
}

void mapped_file_close(struct mapped_file *file)
{
    if (file->bytes)
        an_file_unmap((void *)(uintptr_t)file->bytes, file->size);
    *file = (struct mapped_file){0};
}
