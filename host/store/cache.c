#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "platform/rights.h"
#include "base/shortage.h"
#include "base/status.h"

/* An entry is "0123456789abcdef.program", the hash of its key; while it is being written,
 * "0123456789abcdef.program.PROCESS-COUNTER". Nothing with another name is ever touched. */
#define SUFFIX ".program"
enum { HASH_DIGITS = 16, ENTRY_LENGTH = HASH_DIGITS + sizeof(SUFFIX) - 1, NAME_SIZE = 64 };

#if defined(__APPLE__)
#define LAST_USE st_mtimespec
#else
#define LAST_USE st_mtim
#endif

/* Seconds after which what is still being written was left by a process that was killed. */
#define LEFTOVER_AGE (4 * 60 * 60)

static void note(const char *what, const char *name, int error)
{
    an_log(ANYNORM_LOG_DEBUG, "cache: %s %s: %s", what, name, strerror(error));
}

/* Opens a file, however often a signal interrupts it, as it may on a network's file system. */
static int open_at(int folder, const char *path, int flags)
{
    int file;
    do
        file = openat(folder, path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    while (file < 0 && errno == EINTR);
    return file;
}

/* ---- The folder ---- */

anynorm_status an_cache_wanted(bool has_own, bool *wanted)
{
    const char *word = getenv("ANYNORM_CACHE");
    if (!word || !*word || strcmp(word, "auto") == 0)
        *wanted = !has_own;
    else if (strcmp(word, "on") == 0)
        *wanted = true;
    else if (strcmp(word, "off") == 0)
        *wanted = false;
    else
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "ANYNORM_CACHE: \"%.60s\" is none of auto, on, off", word);
    return ANYNORM_OK;
}

/* The folder's path, of PATH_SIZE bytes; false where the environment names none. Relative paths are
 * not taken: what they mean depends on where a program happens to run. */
enum { PATH_SIZE = 4096 };
static bool find_path(char *path)
{
    static const struct {
        const char *variable, *below;
    } places[] = {
        {"ANYNORM_CACHE_DIR", ""}, {"XDG_CACHE_HOME", "/anynorm"}, {"HOME", "/.cache/anynorm"}};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        const char *base = getenv(places[i].variable);
        if (!base || !*base)
            continue;
        int length = snprintf(path, PATH_SIZE, "%s%s", base, places[i].below);
        if (base[0] == '/' && length < PATH_SIZE)
            return true;
        an_log(ANYNORM_LOG_DEBUG, "cache: %s is not an absolute path of fewer than %d bytes",
               places[i].variable, (int)PATH_SIZE);
        if (i == 0)
            return false; /* not another folder than the one asked for */
    }
    return false;
}

/* Makes the folders of `path` that are missing, for the user alone. */
static void make_folders(char *path)
{
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != 0)
            continue;
        char end = *at;
        *at = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            note("cannot make", path, errno);
        *at = end;
        if (end == 0)
            return;
    }
}

static bool is_private(const struct stat *status, mode_t type)
{
    return (status->st_mode & S_IFMT) == type && status->st_uid == geteuid() &&
           (status->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static int open_folder(const char *path)
{
    return open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
}

bool an_cache_open(struct an_cache *cache)
{
    char path[PATH_SIZE];
    struct stat status;
    *cache = (struct an_cache){.folder = -1, .limit = AN_CACHE_LIMIT};
    if (an_rights_are_borrowed() || !find_path(path))
        return false;
    cache->folder = open_folder(path);
    if (cache->folder < 0 && errno == ENOENT) {
        make_folders(path);
        cache->folder = open_folder(path);
    }
    if (cache->folder < 0) {
        note("cannot open", path, errno);
        return false;
    }
    if (fstat(cache->folder, &status) == 0 && is_private(&status, S_IFDIR))
        return true;
    an_log(ANYNORM_LOG_DEBUG, "cache: not used: %s is another user's or open to others (mode 0700)",
           path);
    an_cache_close(cache);
    return false;
}

void an_cache_close(struct an_cache *cache)
{
    if (cache->folder >= 0)
        close(cache->folder);
    cache->folder = -1;
}

/* ---- Loading ---- */

static void entry_name(const struct an_key *key, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%0*" PRIx64 SUFFIX, (int)HASH_DIGITS, an_key_hash(key));
}

static void delete_entry(const struct an_cache *cache, const char *name)
{
    if (unlinkat(cache->folder, name, 0) != 0 && errno != ENOENT)
        note("cannot delete", name, errno);
}

static bool read_all(int file, void *bytes, size_t size)
{
    char *at = bytes;
    while (size > 0) {
        ssize_t got = read(file, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

/* The file's bytes, if it is an intact entry; else it is bad. */
static void *read_entry(int file, uint64_t limit, bool *bad)
{
    struct stat status;
    *bad = true;
    if (fstat(file, &status) != 0 || !is_private(&status, S_IFREG) || status.st_size <= 0 ||
        (uint64_t)status.st_size > limit)
        return NULL;
    size_t size = (size_t)status.st_size;
    void *packed = malloc(size);
    if (!packed) {
        *bad = false;
        return NULL;
    }
    if (read_all(file, packed, size) && an_binary_intact(packed, size)) {
        *bad = false;
        return packed;
    }
    free(packed);
    return NULL;
}

void *an_cache_load(const struct an_cache *cache, const struct an_key *key)
{
    char name[NAME_SIZE];
    bool bad = false;
    entry_name(key, name);
    /* Not to wait where somebody has put a pipe. */
    int file = open_at(cache->folder, name, O_RDONLY | O_NONBLOCK);
    if (file < 0) {
        int error = errno;
        if (error != ENOENT)
            note("cannot open", name, error);
        if (error != ENOENT && !an_is_shortage(error))
            delete_entry(cache, name); /* a symbolic link, say */
        return NULL;
    }
    void *packed = read_entry(file, cache->limit, &bad);
    if (bad) {
        an_log(ANYNORM_LOG_DEBUG, "cache: %s is damaged or not ours; deleted", name);
        delete_entry(cache, name);
    }
    if (packed && an_binary_mismatch(packed, key)) {
        an_log(ANYNORM_LOG_DEBUG, "cache: %s is of another %s", name,
               an_binary_mismatch(packed, key));
        free(packed);
        packed = NULL;
    }
    if (packed && futimens(file, NULL) != 0)
        note("cannot touch", name, errno);
    close(file);
    return packed;
}

/* ---- Storing ---- */

static bool write_all(int file, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t put = write(file, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

/* Past the process's limit a write would kill it, not fail. */
static bool exceeds_process_limit(size_t size)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           size > limit.rlim_cur;
}

/* Opens a new file beside the entry `name`; its own name goes to `beside`. */
static int create_beside(const struct an_cache *cache, const char *name, char beside[NAME_SIZE])
{
    static atomic_uint counter;
    int file = -1;
    /* What a killed process of our number has left may be in the way. */
    for (int attempt = 0; attempt < 16 && file < 0 && (attempt == 0 || errno == EEXIST);
         attempt++) {
        snprintf(beside, NAME_SIZE, "%.*s.%ld-%u", (int)ENTRY_LENGTH, name, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        file = open_at(cache->folder, beside, O_WRONLY | O_CREAT | O_EXCL);
    }
    return file;
}

struct entry {
    char name[NAME_SIZE];
    uint64_t size;
    struct timespec used;
};

static bool is_entry(const char *name)
{
    return strspn(name, "0123456789abcdef") == HASH_DIGITS &&
           strncmp(name + HASH_DIGITS, SUFFIX, sizeof(SUFFIX) - 1) == 0;
}

static int by_use(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->used.tv_sec != b->used.tv_sec)
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    if (a->used.tv_nsec != b->used.tv_nsec)
        return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Lists the entries, deleting old leftovers on the way. The list is to be freed. */
static struct entry *list_entries(const struct an_cache *cache, size_t *count)
{
    struct entry *list = NULL;
    size_t room = 0;
    *count = 0;
    int again = open_at(cache->folder, ".", O_RDONLY | O_DIRECTORY);
    DIR *folder = again >= 0 ? fdopendir(again) : NULL;
    if (!folder) {
        if (again >= 0)
            close(again);
        return NULL;
    }
    for (struct dirent *item = readdir(folder); item; item = readdir(folder)) {
        struct stat status;
        size_t length = strlen(item->d_name);
        if (!is_entry(item->d_name) || length >= NAME_SIZE ||
            fstatat(cache->folder, item->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (length > ENTRY_LENGTH) {
            if (item->d_name[ENTRY_LENGTH] == '.' && status.st_mtime < time(NULL) - LEFTOVER_AGE)
                delete_entry(cache, item->d_name);
            continue;
        }
        if (*count == room) {
            room = room ? 2 * room : 64;
            struct entry *longer = realloc(list, room * sizeof(*list));
            if (!longer)
                break; /* what is not listed lives a little longer */
            list = longer;
        }
        struct entry *entry = &list[(*count)++];
        memcpy(entry->name, item->d_name, length + 1);
        entry->size = status.st_size > 0 ? (uint64_t)status.st_size : 0;
        entry->used = status.LAST_USE;
    }
    closedir(folder);
    return list;
}

/* Deletes the least recently used entries past the limit, but never `newest`. */
static void tidy(const struct an_cache *cache, const char *newest)
{
    size_t count;
    uint64_t total = 0;
    struct entry *list = list_entries(cache, &count);
    for (size_t i = 0; i < count; i++)
        total += list[i].size;
    if (total > cache->limit)
        qsort(list, count, sizeof(*list), by_use);
    for (size_t i = 0; i < count && total > cache->limit; i++) {
        if (strcmp(list[i].name, newest) == 0)
            continue;
        delete_entry(cache, list[i].name);
        total -= list[i].size;
    }
    free(list);
}

void an_cache_store(const struct an_cache *cache, const struct an_key *key, const void *packed,
                    size_t size)
{
    char name[NAME_SIZE], beside[NAME_SIZE];
    entry_name(key, name);
    if (size > cache->limit || exceeds_process_limit(size)) {
        an_log(ANYNORM_LOG_DEBUG, "cache: %s is too large to keep", name);
        return;
    }
    int file = create_beside(cache, name, beside);
    if (file < 0) {
        note("cannot create", beside, errno);
        return;
    }
    /* Without fsync: what a crash of the machine leaves half written, the checksum finds. */
    bool written = write_all(file, packed, size);
    int error = errno;
    if (close(file) != 0 && written) {
        error = errno;
        written = false;
    }
    if (written && renameat(cache->folder, beside, cache->folder, name) != 0) {
        error = errno;
        written = false;
    }
    if (!written) {
        note("cannot write", beside, error);
        delete_entry(cache, beside);
        return;
    }
    tidy(cache, name);
}

void an_cache_remove(const struct an_cache *cache, const struct an_key *key)
{
    char name[NAME_SIZE];
    entry_name(key, name);
    delete_entry(cache, name);
}
