/* Temporary folders, and what lies in them. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

void make_folder(char path[FOLDER_BYTES])
{
    snprintf(path, FOLDER_BYTES, "/tmp/anynorm-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

void remove_folder(const char *path)
{
    assert_true(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT);
}

/* What count_files is asked, and its answer so far: nftw hands nothing through. */
static struct {
    const char *ending;
    char *last;
    size_t room;
    int found;
} counting;

static int count_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    size_t length = strlen(path), ending = strlen(counting.ending);
    (void)status, (void)walk;
    if (type != FTW_F || length < ending || strcmp(path + length - ending, counting.ending) != 0)
        return 0;
    counting.found++;
    if (counting.last)
        snprintf(counting.last, counting.room, "%s", path);
    return 0;
}

int count_files(const char *folder, const char *ending, char *last, size_t room)
{
    counting.ending = ending;
    counting.last = last;
    counting.room = room;
    counting.found = 0;
    return nftw(folder, count_one, 16, FTW_PHYS) == 0 ? counting.found : -1;
}
