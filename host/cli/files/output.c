#include "output.h"

#include "platform/files.h"
#include "platform/program.h"
#include "platform/system.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_KEPT = 200, /* of the name in the temporary's, so that it fits 255 with what is added */
    NAME_TRIES = 100 /* a temporary of a killed run with our process number may lie there */
};

/* ---- When a signal ends the program ---- */

/* A file to be removed should a signal end the program. `used` is set after the path is complete,
 * as a handler may run on any thread at any time; so none is ever freed, but used again. */
struct cleanup {
    struct cleanup *next;
    size_t capacity;
    atomic_bool used;
    char path[];
};

static struct cleanup *_Atomic list;

static void remove_all(void)
{
    for (struct cleanup *c = atomic_load(&list); c; c = c->next) {
        if (atomic_load(&c->used))
            an_path_delete(c->path);
    }
}

void output_guard(void)
{
    an_signals_catch(remove_all, "anynorm: input: could not be read to its end; it was cut or its "
                                 "disk failed meanwhile\n");
}

/* Adds a path; NULL: out of memory. */
static struct cleanup *cleanup_add(const char *path)
{
    size_t size = strlen(path) + 1;
    struct cleanup *c = atomic_load(&list);

    while (c && (atomic_load(&c->used) || c->capacity < size))
        c = c->next;
    if (!c) {
        c = malloc(sizeof *c + size);
        if (!c)
            return NULL;
        c->next = atomic_load(&list);
        c->capacity = size;
        atomic_init(&c->used, false);
        atomic_store(&list, c);
    }
    memcpy(c->path, path, size);
    atomic_store(&c->used, true);
    return c;
}

/* NULL does nothing. */
static void cleanup_remove(struct cleanup *cleanup)
{
    if (cleanup)
        atomic_store(&cleanup->used, false);
}

/* ---- From its name to its place ---- */

static bool no_memory(const struct output *output)
{
    return cli_fail(CLI_FAILED, output->path, "out of memory");
}

/* Follows symbolic links, so that a link stays a link and its target is replaced. */
static bool find_target(struct output *output)
{
    struct an_status status;
    bool there = an_path_status(output->path, false, &status);

    if (!there && errno != ENOENT && errno != ENOTDIR)
        return cli_fail(cli_exit_of(errno), output->path,
                        "cannot be written: %s; name another file", strerror(errno));
    if (there && status.kind == AN_KIND_LINK) {
        output->target = an_path_resolve(output->path);
        if (!output->target)
            return cli_fail(cli_exit_of(errno), output->path,
                            "is a symbolic link that leads nowhere (%s); name a file",
                            strerror(errno));
    } else {
        output->target = strdup(output->path);
    }
    return output->target || no_memory(output);
}

static bool check_existing(struct output *output)
{
    struct an_status status;

    output->mode = -1;
    if (!an_path_status(output->target, true, &status))
        return errno == ENOENT || errno == ENOTDIR ||
               cli_fail(cli_exit_of(errno), output->path,
                        "cannot be written: %s; name another file", strerror(errno));
    if (status.kind == AN_KIND_FOLDER)
        return cli_fail(CLI_USAGE, output->path, "is a folder; name a file");
    if (status.kind == AN_KIND_SINK) {
        output->direct = true;
        return true;
    }
    if (status.kind != AN_KIND_FILE)
        return cli_fail(CLI_USAGE, output->path,
                        "is no regular file; name a file, or /dev/null to drop the result");
    if (!an_path_writable(output->target, false))
        return cli_fail(cli_exit_of(errno), output->path,
                        "may not be replaced: %s; name another file", strerror(errno));
    output->mode = status.mode;
    return true;
}

static bool check_folder(struct output *output)
{
    struct an_status status;
    bool there;

    output->base = an_path_base(output->target);
    output->folder = an_path_folder(output->target);
    if (!output->folder)
        return no_memory(output);
    if (!*output->base)
        return cli_fail(CLI_USAGE, output->path, "names a folder; name a file");
    there = an_path_status(output->folder, true, &status);
    if (!there && errno != ENOENT && errno != ENOTDIR)
        return cli_fail(cli_exit_of(errno), output->path,
                        "its folder '%.300s' cannot be examined: %s", output->folder,
                        strerror(errno));
    if (!there || status.kind != AN_KIND_FOLDER)
        return cli_fail(CLI_USAGE, output->path,
                        "there is no folder '%.300s'; make it first or name another",
                        output->folder);
    if (!an_path_writable(output->folder, true))
        return cli_fail(cli_exit_of(errno), output->path,
                        "nothing may be written into the folder '%.300s' (%s); name another",
                        output->folder, strerror(errno));
    output->folder_device = status.device;
    output->folder_number = status.number;
    return true;
}

bool output_prepare(struct output *output, const char *path)
{
    *output = (struct output){.path = path, .file = -1};
    return find_target(output) && check_existing(output) &&
           (output->direct || check_folder(output));
}

bool output_same(const struct output *a, const struct output *b)
{
    return a->path && b->path && !a->direct && !b->direct && strcmp(a->base, b->base) == 0 &&
           a->folder_device == b->folder_device && a->folder_number == b->folder_number;
}

static bool create_temporary(struct output *output)
{
    /* Never open to more people than the file it replaces. */
    int mode = output->mode < 0 ? 0666 : output->mode | 0200;
    size_t size = strlen(output->folder) + NAME_KEPT + 40;
    char *name = malloc(size);

    if (!name)
        return no_memory(output);
    for (int i = 0; i < NAME_TRIES; i++) {
        snprintf(name, size, "%s/.%.*s.%ld-%d.tmp", output->folder, NAME_KEPT, output->base,
                 an_process_number(), i);
        /* Before the file is there, as a signal may come in between. */
        output->cleanup = cleanup_add(name);
        if (!output->cleanup) {
            no_memory(output);
            goto failed;
        }
        output->file = an_file_open(name, AN_OPEN_CREATE, mode);
        if (output->file >= 0) {
            output->temporary = name;
            return true;
        }
        cleanup_remove(output->cleanup);
        output->cleanup = NULL;
        if (errno != EEXIST)
            break;
    }
    cli_fail(CLI_FAILED, output->path, "no file can be made beside it: %s", strerror(errno));
failed:
    free(name);
    return false;
}

bool output_create(struct output *output)
{
    if (output->direct) {
        output->file = an_file_open(output->target, AN_OPEN_WRITE, 0);
        return output->file >= 0 ||
               cli_fail(CLI_FAILED, output->path, "cannot be written: %s", strerror(errno));
    }
    if (!create_temporary(output))
        return false;
    if (output->mode >= 0)
        an_file_set_mode(output->file, output->mode);
    return true;
}

bool output_write(struct output *output, const void *data, size_t size)
{
    return an_file_write(output->file, data, size) ||
           cli_fail(CLI_FAILED, output->path, "cannot be written: %s",
                    errno ? strerror(errno) : "nothing of it was taken");
}

bool output_close(struct output *output)
{
    int file = output->file;

    output->file = -1;
    return file < 0 || an_file_close(file) ||
           cli_fail(CLI_FAILED, output->path, "cannot be written: %s", strerror(errno));
}

static void forget_temporary(struct output *output)
{
    cleanup_remove(output->cleanup);
    output->cleanup = NULL;
    free(output->temporary);
    output->temporary = NULL;
}

bool output_commit(struct output *output, bool revocable)
{
    if (!output->temporary)
        return true;
    output->exchanged =
        revocable && output->mode >= 0 && an_path_exchange(output->temporary, output->target);
    if (output->exchanged)
        return true;
    if (!an_path_rename(output->temporary, output->target))
        return cli_fail(CLI_FAILED, output->path, "cannot be put in its place: %s",
                        strerror(errno));
    forget_temporary(output);
    output->made = output->mode < 0;
    return true;
}

void output_revoke(struct output *output)
{
    if (output->exchanged && an_path_rename(output->temporary, output->target))
        forget_temporary(output);
    if (output->made)
        an_path_delete(output->target);
    output->exchanged = output->made = false;
}

void output_discard(struct output *output)
{
    if (!output->path)
        return;
    if (output->file >= 0)
        an_file_close(output->file);
    if (output->temporary) {
        an_path_delete(output->temporary);
        forget_temporary(output);
    }
    free(output->target);
    free(output->folder);
    *output = (struct output){0};
}
