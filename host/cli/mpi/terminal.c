#include "terminal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_ABOVE = 32, PATH_SIZE = 300 };

/* 0: there is none, or none that is told. */
static long parent_of(long process)
{
    char path[PATH_SIZE], line[512];
    const char *name_end = NULL;
    long parent = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/stat", process);
    file = fopen(path, "r");
    if (!file)
        return 0;
    if (fgets(line, sizeof(line), file))
        name_end = strrchr(line, ')'); /* a name may hold anything */
    if (!name_end || sscanf(name_end, ") %*c %ld", &parent) != 1)
        parent = 0;
    (void)fclose(file);
    return parent;
}

/* Whether one of its descriptors is the end of a pipe that is read: a shell may hold the other. */
static bool is_read_end(long process, const char *descriptor)
{
    char path[PATH_SIZE], line[128];
    unsigned long flags = O_WRONLY;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/fdinfo/%.20s", process, descriptor);
    file = fopen(path, "r");
    if (!file)
        return false;
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, "flags:", 6) == 0)
            flags = strtoul(line + 6, NULL, 8);
    }
    (void)fclose(file);
    return (flags & O_ACCMODE) == O_RDONLY;
}

static bool reads(long process, const struct stat *wanted)
{
    char path[PATH_SIZE];
    struct dirent *entry;
    bool found = false;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%ld/fd", process);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        struct stat it;

        snprintf(path, sizeof(path), "/proc/%ld/fd/%.20s", process, entry->d_name);
        found = stat(path, &it) == 0 && it.st_dev == wanted->st_dev &&
                it.st_ino == wanted->st_ino && is_read_end(process, entry->d_name);
    }
    if (folder)
        (void)closedir(folder);
    return found;
}

static bool is_terminal(const char *path)
{
    int file = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    bool is = file >= 0 && isatty(file);

    if (file >= 0)
        (void)close(file);
    return is;
}

bool terminal_shows(void)
{
    struct stat errors;
    long process = (long)getpid();

    if (isatty(STDERR_FILENO))
        return true;
    if (fstat(STDERR_FILENO, &errors) != 0 || !S_ISFIFO(errors.st_mode))
        return false;
    for (int above = 0; above < MOST_ABOVE && (process = parent_of(process)) > 0; above++) {
        char path[PATH_SIZE];

        if (!reads(process, &errors))
            continue;
        snprintf(path, sizeof(path), "/proc/%ld/fd/%d", process, STDERR_FILENO);
        if (stat(path, &errors) != 0 || !S_ISFIFO(errors.st_mode))
            return is_terminal(path);
    }
    return false;
}
