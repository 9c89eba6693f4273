#include "output.h"

#include "open_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAME_KEPT = 200,  /* of the name in the temporary's, so that it fits 255 with what is added */
    NAME_TRIES = 100, /* a temporary of a killed run with our process number may lie there */
    WRITE_MOST = 1 << 30
};

static bool no_memory(const struct output *output, struct cli_error *error)
{
    return cli_fail(error, CLI_FAILED, output->path, "out of memory");
}

/* Follows symbolic links, so that a link stays a link and its target is replaced. */
static bool find_target(struct output *output, struct cli_error *error)
{
    struct stat status;
    bool there = lstat(output->path, &status) == 0;

    if (!there && errno != ENOENT && errno != ENOTDIR)
        return cli_fail(error, cli_exit_of(errno), output->path,
                        "cannot be written: %s; name another file", strerror(errno));
    if (there && S_ISLNK(status.st_mode)) {
        output->target = realpath(output->path, NULL);
        if (!output->target)
            return cli_fail(error, cli_exit_of(errno), output->path,
                            "is a symbolic link that leads nowhere (%s); name a file",
                            strerror(errno));
    } else {
        output->target = strdup(output->path);
    }
    return output->target || no_memory(output, error);
}

static bool check_existing(struct output *output, struct cli_error *error)
{
    struct stat status;
    struct stat null;

    output->mode = -1;
    if (stat(output->target, &status) != 0)
        return errno == ENOENT || errno == ENOTDIR ||
               cli_fail(error, cli_exit_of(errno), output->path,
                        "cannot be written: %s; name another file", strerror(errno));
    if (S_ISDIR(status.st_mode))
        return cli_fail(error, CLI_USAGE, output->path, "is a folder; name a file");
    if (S_ISCHR(status.st_mode) && stat("/dev/null", &null) == 0 &&
        null.st_rdev == status.st_rdev) {
        output->direct = true;
        return true;
    }
    if (!S_ISREG(status.st_mode))
        return cli_fail(error, CLI_USAGE, output->path,
                        "is no regular file; name a file, or /dev/null to drop the result");
    if (access(output->target, W_OK) != 0)
        return cli_fail(error, cli_exit_of(errno), output->path,
                        "may not be replaced: %s; name another file", strerror(errno));
    output->mode = (int)(status.st_mode & 0777);
    return true;
}

static bool check_folder(struct output *output, struct cli_error *error)
{
    const char *slash = strrchr(output->target, '/');
    struct stat status;
    bool there;

    output->base = slash ? slash + 1 : output->target;
    output->folder = !slash ? strdup(".")
                     : slash == output->target
                         ? strdup("/")
                         : strndup(output->target, (size_t)(slash - output->target));
    if (!output->folder)
        return no_memory(output, error);
    if (!*output->base)
        return cli_fail(error, CLI_USAGE, output->path, "names a folder; name a file");
    there = stat(output->folder, &status) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR)
        return cli_fail(error, cli_exit_of(errno), output->path,
                        "its folder '%.300s' cannot be examined: %s", output->folder,
                        strerror(errno));
    if (!there || !S_ISDIR(status.st_mode))
        return cli_fail(error, CLI_USAGE, output->path,
                        "there is no folder '%.300s'; make it first or name another",
                        output->folder);
    if (access(output->folder, W_OK | X_OK) != 0)
        return cli_fail(error, cli_exit_of(errno), output->path,
                        "nothing may be written into the folder '%.300s' (%s); name another",
                        output->folder, strerror(errno));
    output->folder_device = status.st_dev;
    output->folder_inode = status.st_ino;
    return true;
}

bool output_prepare(struct output *output, const char *path, struct cli_error *error)
{
    *output = (struct output){.path = path, .file = -1};
    return find_target(output, error) && check_existing(output, error) &&
           (output->direct || check_folder(output, error));
}

bool output_same(const struct output *a, const struct output *b)
{
    return a->path && b->path && !a->direct && !b->direct && strcmp(a->base, b->base) == 0 &&
           a->folder_device == b->folder_device && a->folder_inode == b->folder_inode;
}

static bool create_temporary(struct output *output, struct cli_error *error)
{
    /* Never open to more people than the file it replaces. */
    mode_t mode = output->mode < 0 ? 0666 : (mode_t)output->mode | S_IWUSR;
    size_t size = strlen(output->folder) + NAME_KEPT + 40;
    char *name = malloc(size);

    if (!name)
        return no_memory(output, error);
    for (int i = 0; i < NAME_TRIES; i++) {
        snprintf(name, size, "%s/.%.*s.%ld-%d.tmp", output->folder, NAME_KEPT, output->base,
                 (long)getpid(), i);
        /* Before the file is there, as a signal may come in between. */
        output->cleanup = cleanup_add(name);
        if (!output->cleanup) {
            no_memory(output, error);
            goto failed;
        }
        output->file = cli_open_file(name, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (output->file >= 0) {
            output->temporary = name;
            return true;
        }
        cleanup_remove(output->cleanup);
        output->cleanup = NULL;
        if (errno != EEXIST)
            break;
    }
    cli_fail(error, CLI_FAILED, output->path, "no file can be made beside it: %s", strerror(errno));
failed:
    free(name);
    return false;
}

/* A file that is replaced keeps who may read it, where its file system lets it: some refuse any
 * change of a mode, and give all files the same. */
static void keep_mode(const struct output *output)
{
    struct stat status;

    if (fstat(output->file, &status) != 0 || (int)(status.st_mode & 0777) != output->mode)
        (void)!fchmod(output->file, (mode_t)output->mode);
}

bool output_create(struct output *output, struct cli_error *error)
{
    if (output->direct) {
        output->file = cli_open_file(output->target, O_WRONLY, 0);
        return output->file >= 0 ||
               cli_fail(error, CLI_FAILED, output->path, "cannot be written: %s", strerror(errno));
    }
    if (!create_temporary(output, error))
        return false;
    if (output->mode >= 0)
        keep_mode(output);
    return true;
}

bool output_write(struct output *output, const void *data, size_t size, struct cli_error *error)
{
    const uint8_t *from = data;

    while (size > 0) {
        ssize_t written = write(output->file, from, size < WRITE_MOST ? size : WRITE_MOST);

        if (written == 0 || (written < 0 && errno != EINTR))
            return cli_fail(error, CLI_FAILED, output->path, "cannot be written: %s",
                            written < 0 ? strerror(errno) : "nothing of it was taken");
        if (written > 0) {
            from += written;
            size -= (size_t)written;
        }
    }
    return true;
}

bool output_close(struct output *output, struct cli_error *error)
{
    int file = output->file;

    output->file = -1;
    return file < 0 || close(file) == 0 ||
           cli_fail(error, CLI_FAILED, output->path, "cannot be written: %s", strerror(errno));
}

static void forget_temporary(struct output *output)
{
    cleanup_remove(output->cleanup);
    output->cleanup = NULL;
    free(output->temporary);
    output->temporary = NULL;
}

/* Puts the new file in place of the old one, which gets the temporary's name; false where this
 * system or the file system has no such call. */
static bool exchange(const struct output *output)
{
#if defined(RENAME_EXCHANGE)
    return renameat2(AT_FDCWD, output->temporary, AT_FDCWD, output->target, RENAME_EXCHANGE) == 0;
#else
    (void)output;
    return false;
#endif
}

bool output_commit(struct output *output, bool revocable, struct cli_error *error)
{
    if (!output->temporary)
        return true;
    output->exchanged = revocable && output->mode >= 0 && exchange(output);
    if (output->exchanged)
        return true;
    if (rename(output->temporary, output->target) != 0)
        return cli_fail(error, CLI_FAILED, output->path, "cannot be put in its place: %s",
                        strerror(errno));
    forget_temporary(output);
    output->made = output->mode < 0;
    return true;
}

void output_revoke(struct output *output)
{
    if (output->exchanged && rename(output->temporary, output->target) == 0)
        forget_temporary(output);
    if (output->made)
        unlink(output->target);
    output->exchanged = output->made = false;
}

void output_discard(struct output *output)
{
    if (!output->path)
        return;
    if (output->file >= 0)
        close(output->file);
    if (output->temporary) {
        unlink(output->temporary);
        forget_temporary(output);
    }
    free(output->target);
    free(output->folder);
    *output = (struct output){0};
}
