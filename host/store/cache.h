/* The folder of compiled programs. It knows no compiler and no device: it keeps packed binaries
 * (binary.h) under their keys.
 *
 * Whatever goes wrong with it costs nothing but the cache: no function here fails or waits for
 * another process, a file that is not whole is deleted, and each reason goes to the debug log. The
 * folder and its files must belong to the user and be closed to everybody else, because the bytes
 * are code: a checksum stops damage, only the owner stops intent. Any thread, any process. */
#ifndef AN_CACHE_H
#define AN_CACHE_H

#include <anynorm/anynorm.h>

#include "binary.h"

/* Bytes of all entries together; past it the least recently used go. */
#define AN_CACHE_LIMIT (UINT64_C(64) << 20)

struct an_cache {
    int folder; /* a descriptor; -1: closed */
    uint64_t limit;
};

/* Whether ANYNORM_CACHE wants a cache: "on", "off", or "auto" (also where it is not set), which is
 * off for an implementation that `has_own`. INVALID_ARGUMENT for any other word. */
anynorm_status an_cache_wanted(bool has_own, bool *wanted);

/* Opens ANYNORM_CACHE_DIR, else $XDG_CACHE_HOME/anynorm, else $HOME/.cache/anynorm, making what is
 * missing. False where there is none to trust, or the process runs with another's rights. */
bool an_cache_open(struct an_cache *cache);
void an_cache_close(struct an_cache *cache);

/* The intact entry of this very key, to be freed, its time of last use now; NULL: none. */
void *an_cache_load(const struct an_cache *cache, const struct an_key *key);

/* Keeps a packed binary, replacing an entry of the same name; then sees to the limit and to what
 * processes that were killed have left. */
void an_cache_store(const struct an_cache *cache, const struct an_key *key, const void *packed,
                    size_t size);

/* Deletes the key's entry. */
void an_cache_remove(const struct an_cache *cache, const struct an_key *key);

#endif
