#include "cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "platform/environment.h"
#include "platform/files.h"
#include "platform/system.h"
#include "base/status.h"

/* An entry is "0123456789abcdef.program", the hash of its key; while it is being written,
 * "0123456789abcdef.program.PROCESS-COUNTER". Nothing with another name is ever touched. */
#define SUFFIX ".program"
enum { HASH_DIGITS = 16, ENTRY_LENGTH = HASH_DIGITS + sizeof(SUFFIX) - 1, NAME_SIZE = 64 };

/* Nanoseconds after which what is still being written was left by a process that was killed. */
#define LEFTOVER_AGE (INT64_C(4) * 60 * 60 * 1000000000)

static void note(const char *what, const char *name, int error)
{
    an_log(ANYNORM_LOG_DEBUG, "cache: %s %s: %s", what, name, strerror(error));
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

/* Whether the variable has a folder; then `path`, of AN_PATH_SIZE bytes, has what lies below it.
 * Relative paths are not taken: what they mean depends on where a program happens to run. */
static bool try_path(const char *variable, const char *below, char *path)
{
    const char *base = an_environment(variable);
    if (!base)
        return false;
    int length = snprintf(path, AN_PATH_SIZE, "%s%s", base, below);
    if (an_path_is_absolute(base) && length < AN_PATH_SIZE)
        return true;
    an_log(ANYNORM_LOG_DEBUG, "cache: %s is not an absolute path of fewer than %d bytes", variable,
           (int)AN_PATH_SIZE);
    return false;
}

/* False where the environment names none. */
static bool find_path(char *path)
{
    if (an_environment("ANYNORM_CACHE_DIR")) /* and not another folder than the one asked for */
        return try_path("ANYNORM_CACHE_DIR", "", path);
    for (const struct an_place *at = an_cache_places; at->variable; at++) {
        if (try_path(at->variable, at->below, path))
            return true;
    }
    return false;
}

/* Makes the folders of `path` that are missing, for the user alone. */
static void make_folders(char *path)
{
    for (char *at = path + 1;; at++) {
        if (!an_path_is_separator(*at) && *at != 0)
            continue;
        char end = *at;
        *at = 0;
        if (!an_folder_make(path) && errno != EEXIST)
            note("cannot make", path, errno);
        *at = end;
        if (end == 0)
            return;
    }
}

bool an_cache_open(struct an_cache *cache)
{
    char path[AN_PATH_SIZE];
    struct an_status status;
    *cache = (struct an_cache){.folder = -1, .limit = AN_CACHE_LIMIT};
    if (an_rights_are_borrowed() || !find_path(path))
        return false;
    cache->folder = an_folder_open(path);
    if (cache->folder < 0 && errno == ENOENT) {
        make_folders(path);
        cache->folder = an_folder_open(path);
    }
    if (cache->folder < 0) {
        note("cannot open", path, errno);
        return false;
    }
    if (an_file_status(cache->folder, &status) && status.private)
        return true;
    an_log(ANYNORM_LOG_DEBUG, "cache: not used: %s is another user's or open to others (mode 0700)",
           path);
    an_cache_close(cache);
    return false;
}

void an_cache_close(struct an_cache *cache)
{
    if (cache->folder >= 0)
        an_file_close(cache->folder);
    cache->folder = -1;
}

/* ---- Loading ---- */

static void entry_name(const struct an_key *key, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%0*" PRIx64 SUFFIX, (int)HASH_DIGITS, an_key_hash(key));
}

static void delete_entry(const struct an_cache *cache, const char *name)
{
    if (!an_folder_delete(cache->folder, name) && errno != ENOENT)
        note("cannot delete", name, errno);
}

/* The file's bytes, if it is an intact entry; else it is bad. */
static void *read_entry(int file, uint64_t limit, bool *bad)
{
    struct an_status status;
    *bad = true;
    if (!an_file_status(file, &status) || status.kind != AN_KIND_FILE || !status.private ||
        status.size == 0 || status.size > limit)
        return NULL;
    size_t size = (size_t)status.size;
    void *packed = malloc(size);
    if (!packed) {
        *bad = false;
        return NULL;
    }
    if (an_file_read(file, packed, size) == (int64_t)size && an_binary_intact(packed, size)) {
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
    int file = an_folder_file(cache->folder, name, AN_OPEN_READ);
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
    if (packed && !an_file_touch(file))
        note("cannot touch", name, errno);
    an_file_close(file);
    return packed;
}

/* ---- Storing ---- */

/* Opens a new file beside the entry `name`; its own name goes to `beside`. */
static int create_beside(const struct an_cache *cache, const char *name, char beside[NAME_SIZE])
{
    static atomic_uint counter;
    int file = -1;
    /* What a killed process of our number has left may be in the way. */
    for (int attempt = 0; attempt < 16 && file < 0 && (attempt == 0 || errno == EEXIST);
         attempt++) {
        snprintf(beside, NAME_SIZE, "%.*s.%ld-%u", (int)ENTRY_LENGTH, name, an_process_number(),
                 atomic_fetch_add(&counter, 1));
        file = an_folder_file(cache->folder, beside, AN_OPEN_CREATE);
    }
    return file;
}

struct entry {
    char name[NAME_SIZE];
    uint64_t size;
    int64_t used;
};

struct entries {
    const struct an_cache *cache;
    struct entry *list;
    size_t count, room;
};

static bool is_entry(const char *name)
{
    return strspn(name, "0123456789abcdef") == HASH_DIGITS &&
           strncmp(name + HASH_DIGITS, SUFFIX, sizeof(SUFFIX) - 1) == 0;
}

static int by_use(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->used != b->used)
        return a->used < b->used ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Takes an entry into the list, or deletes an old leftover; false without memory: what is not
 * listed lives a little longer. */
static bool list_entry(void *user, const char *name)
{
    struct entries *entries = user;
    struct an_status status;
    size_t length = strlen(name);
    if (!is_entry(name) || length >= NAME_SIZE ||
        !an_folder_status(entries->cache->folder, name, &status))
        return true;
    if (length > ENTRY_LENGTH) {
        if (name[ENTRY_LENGTH] == '.' && status.changed < an_wall_clock() - LEFTOVER_AGE)
            delete_entry(entries->cache, name);
        return true;
    }
    if (entries->count == entries->room) {
        size_t room = entries->room ? 2 * entries->room : 64;
        struct entry *longer = realloc(entries->list, room * sizeof(*longer));
        if (!longer)
            return false;
        entries->list = longer;
        entries->room = room;
    }
    struct entry *entry = &entries->list[entries->count++];
    memcpy(entry->name, name, length + 1);
    entry->size = status.size;
    entry->used = status.changed;
    return true;
}

/* Deletes the least recently used entries past the limit, but never `newest`. */
static void tidy(const struct an_cache *cache, const char *newest)
{
    struct entries entries = {.cache = cache};
    uint64_t total = 0;
    an_folder_list(cache->folder, list_entry, &entries);
    for (size_t i = 0; i < entries.count; i++)
        total += entries.list[i].size;
    if (total > cache->limit)
        qsort(entries.list, entries.count, sizeof(*entries.list), by_use);
    for (size_t i = 0; i < entries.count && total > cache->limit; i++) {
        if (strcmp(entries.list[i].name, newest) == 0)
            continue;
        delete_entry(cache, entries.list[i].name);
        total -= entries.list[i].size;
    }
    free(entries.list);
}

void an_cache_store(const struct an_cache *cache, const struct an_key *key, const void *packed,
                    size_t size)
{
    char name[NAME_SIZE], beside[NAME_SIZE];
    entry_name(key, name);
    if (size > cache->limit || !an_file_size_allowed(size)) {
        an_log(ANYNORM_LOG_DEBUG, "cache: %s is too large to keep", name);
        return;
    }
    int file = create_beside(cache, name, beside);
    if (file < 0) {
        note("cannot create", beside, errno);
        return;
    }
    /* Without fsync: what a crash of the machine leaves half written, the checksum finds. */
    bool written = an_file_write(file, packed, size);
    int error = errno;
    if (!an_file_close(file) && written) {
        error = errno;
        written = false;
    }
    if (written && !an_folder_rename(cache->folder, beside, name)) {
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
