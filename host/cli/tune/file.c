#include "file.h"

#include <anynorm/anynorm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool make_folder(const char *folder, struct cli_error *error)
{
    return mkdir(folder, 0700) == 0 || errno == EEXIST ||
           cli_fail(error, CLI_FAILED, folder, "cannot be made: %s; give -o FILE", strerror(errno));
}

/* Makes the folders of the default file where they are missing: two levels, as XDG has it. */
static bool make_folders(const char *path, struct cli_error *error)
{
    char inner[PATH_MAX], outer[PATH_MAX];

    snprintf(inner, sizeof inner, "%.*s", (int)(strrchr(path, '/') - path), path);
    snprintf(outer, sizeof outer, "%.*s", (int)(strrchr(inner, '/') - inner), inner);
    return make_folder(outer, error) && make_folder(inner, error);
}

bool tune_file_find(const char *given, char path[PATH_MAX], struct cli_error *error)
{
    const char *variable = getenv("ANYNORM_TUNING");
    bool named = variable && *variable;
    size_t length =
        given ? (size_t)snprintf(path, PATH_MAX, "%s", given) : anynorm_tuning_path(path, PATH_MAX);

    if (length >= PATH_MAX)
        return cli_fail(error, CLI_USAGE, "-o", "its path is too long; name another file");
    if (length > 0)
        return given || named || make_folders(path, error);
    return cli_fail(error, CLI_USAGE, named ? "ANYNORM_TUNING" : "HOME",
                    "%s, so the library reads no file of yours; give -o FILE to write one",
                    named ? "is \"off\"" : "is not set");
}

bool tune_file_is_read(const char *path)
{
    char used[PATH_MAX];
    struct stat a, b;

    return anynorm_tuning_path(used, sizeof used) > 0 && stat(used, &a) == 0 &&
           stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
