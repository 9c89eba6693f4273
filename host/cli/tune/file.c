#include "file.h"

#include <anynorm/anynorm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_folder(const char *folder, struct cli_error *error)
{
    return an_folder_make(folder) || errno == EEXIST ||
           cli_fail(error, CLI_FAILED, folder, "cannot be made: %s; give -o FILE", strerror(errno));
}

/* Makes the folders of the default file where they are missing: two levels, as XDG has it. */
static bool make_folders(const char *path, struct cli_error *error)
{
    char *inner = an_path_folder(path), *outer = inner ? an_path_folder(inner) : NULL;
    bool made = outer ? make_folder(outer, error) && make_folder(inner, error)
                      : cli_fail(error, CLI_FAILED, path, "out of memory");

    free(inner);
    free(outer);
    return made;
}

bool tune_file_find(const char *given, char path[AN_PATH_SIZE], struct cli_error *error)
{
    const char *variable = getenv("ANYNORM_TUNING");
    bool named = variable && *variable;
    size_t length = given ? (size_t)snprintf(path, AN_PATH_SIZE, "%s", given)
                          : anynorm_tuning_path(path, AN_PATH_SIZE);

    if (length >= AN_PATH_SIZE)
        return cli_fail(error, CLI_USAGE, "-o", "its path is too long; name another file");
    if (length > 0)
        return given || named || make_folders(path, error);
    return cli_fail(error, CLI_USAGE, named ? "ANYNORM_TUNING" : "HOME",
                    "%s, so the library reads no file of yours; give -o FILE to write one",
                    named ? "is \"off\"" : "is not set");
}

bool tune_file_is_read(const char *path)
{
    char used[AN_PATH_SIZE];
    struct an_status a, b;

    return anynorm_tuning_path(used, sizeof used) > 0 && an_path_status(used, true, &a) &&
           an_path_status(path, true, &b) && a.device == b.device && a.number == b.number;
}
