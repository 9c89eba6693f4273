#include "platform/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__APPLE__)
#define CHANGED st_mtimespec
#else
#define CHANGED st_mtim
#endif

static enum an_kind kind_of(const struct stat *status)
{
    struct stat null = {.st_rdev = 0}; /* of no device, should there be none */
    if (S_ISREG(status->st_mode))
        return AN_KIND_FILE;
    if (S_ISDIR(status->st_mode))
        return AN_KIND_FOLDER;
    if (S_ISLNK(status->st_mode))
        return AN_KIND_LINK;
    (void)stat("/dev/null", &null);
    return S_ISCHR(status->st_mode) && null.st_rdev == status->st_rdev ? AN_KIND_SINK
                                                                       : AN_KIND_OTHER;
}

static bool fill(int result, const struct stat *from, struct an_status *status)
{
    if (result != 0)
        return false;
    *status = (struct an_status){
        .kind = kind_of(from),
        .mode = (int)(from->st_mode & 0777),
        .private = from->st_uid == geteuid() && (from->st_mode & (S_IRWXG | S_IRWXO)) == 0,
        .size = from->st_size > 0 ? (uint64_t)from->st_size : 0,
        .device = (uint64_t)from->st_dev,
        .number = (uint64_t)from->st_ino,
        .changed = (int64_t)from->CHANGED.tv_sec * 1000000000 + from->CHANGED.tv_nsec,
    };
    return true;
}

static int flags_of(enum an_open how)
{
    static const int flags[] = {[AN_OPEN_READ] = O_RDONLY | O_NONBLOCK,
                                [AN_OPEN_WRITE] = O_WRONLY,
                                [AN_OPEN_CREATE] = O_WRONLY | O_CREAT | O_EXCL};
    return flags[how] | O_CLOEXEC;
}

/* ---- By path ---- */

int an_file_open(const char *path, enum an_open how, int mode)
{
    int file;
    do
        file = open(path, flags_of(how), (mode_t)mode);
    while (file < 0 && errno == EINTR);
    return file;
}

bool an_path_status(const char *path, bool follow, struct an_status *status)
{
    struct stat from;
    return fill(follow ? stat(path, &from) : lstat(path, &from), &from, status);
}

bool an_path_writable(const char *path, bool folder)
{
    return access(path, folder ? W_OK | X_OK : W_OK) == 0;
}

char *an_path_resolve(const char *path)
{
    return realpath(path, NULL);
}

bool an_path_is_absolute(const char *path)
{
    return *path == '/';
}

bool an_path_is_separator(char c)
{
    return c == '/';
}

const char *an_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *an_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

bool an_path_delete(const char *path)
{
    return unlink(path) == 0;
}

bool an_path_rename(const char *from, const char *to)
{
    return rename(from, to) == 0;
}

bool an_path_exchange(const char *one, const char *other)
{
#if defined(RENAME_EXCHANGE)
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0;
#else
    (void)one;
    (void)other;
    return false;
#endif
}

bool an_folder_make(const char *path)
{
    return mkdir(path, 0700) == 0;
}

/* ---- By descriptor ---- */

bool an_file_close(int file)
{
    return close(file) == 0;
}

bool an_file_status(int file, struct an_status *status)
{
    struct stat from;
    return fill(fstat(file, &from), &from, status);
}

int64_t an_file_read(int file, void *bytes, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t part = read(file, (char *)bytes + length, size - length);
        if (part == 0)
            break;
        if (part > 0)
            length += (size_t)part;
        else if (errno != EINTR)
            return -1;
    }
    return (int64_t)length;
}

bool an_file_write(int file, const void *bytes, size_t size)
{
    enum { MOST = 1 << 20 }; /* some systems refuse what is 2 GiB or more */
    const char *from = bytes;
    while (size > 0) {
        errno = 0;
        ssize_t part = write(file, from, size < MOST ? size : MOST);
        if (part == 0 || (part < 0 && errno != EINTR))
            return false;
        if (part > 0) {
            from += part;
            size -= (size_t)part;
        }
    }
    return true;
}

bool an_file_touch(int file)
{
    return futimens(file, NULL) == 0;
}

void an_file_set_mode(int file, int mode)
{
    struct stat status;
    if (fstat(file, &status) != 0 || (int)(status.st_mode & 0777) != mode)
        (void)!fchmod(file, (mode_t)mode);
}

void *an_file_map(int file, size_t size)
{
    void *mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    return mapping == MAP_FAILED ? NULL : mapping;
}

void an_file_unmap(void *bytes, size_t size)
{
    munmap(bytes, size);
}

bool an_file_size_allowed(size_t size)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           size <= limit.rlim_cur;
}

/* ---- Within an open folder ---- */

static int open_at(int folder, const char *path, int flags)
{
    int file;
    do
        file = openat(folder, path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    while (file < 0 && errno == EINTR);
    return file;
}

int an_folder_open(const char *path)
{
    return open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
}

int an_folder_file(int folder, const char *name, enum an_open how)
{
    return open_at(folder, name, flags_of(how));
}

bool an_folder_status(int folder, const char *name, struct an_status *status)
{
    struct stat from;
    return fill(fstatat(folder, name, &from, AT_SYMLINK_NOFOLLOW), &from, status);
}

bool an_folder_delete(int folder, const char *name)
{
    return unlinkat(folder, name, 0) == 0;
}

bool an_folder_rename(int folder, const char *from, const char *to)
{
    return renameat(folder, from, folder, to) == 0;
}

void an_folder_list(int folder, bool (*each)(void *user, const char *name), void *user)
{
    int again = open_at(folder, ".", O_RDONLY | O_DIRECTORY);
    DIR *list = again >= 0 ? fdopendir(again) : NULL;
    if (!list) {
        if (again >= 0)
            close(again);
        return;
    }
    struct dirent *item = readdir(list);
    while (item && each(user, item->d_name))
        item = readdir(list);
    closedir(list);
}
