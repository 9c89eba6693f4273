/* A cache in a temporary folder, and packed binaries for it. */
#ifndef AN_TESTS_CACHE_FOLDER_H
#define AN_TESTS_CACHE_FOLDER_H

#include "support.h"

#include "store/cache.h"

/* Between make_base and remove_base, cmocka's setup and teardown of a test: a temporary folder, a
 * path in it, and the cache there. */
extern char base[FOLDER_BYTES];
extern char folder[FOLDER_BYTES + 8];
extern struct an_cache cache;
int make_base(void **state);
int remove_base(void **state);
#define ALONE(test) cmocka_unit_test_setup_teardown(test, make_base, remove_base)

extern const struct an_key key, other_key; /* of two parts; they differ in the second */

/* A program of bytes that follow from `seed`, packed; to be freed. */
void *pack(const struct an_key *of, size_t program_size, int seed, size_t *size);
void store(const struct an_key *of, size_t program_size, int seed);
/* Whether the cache has the very bytes of pack(of, program_size, seed). */
bool has(const struct an_key *of, size_t program_size, int seed);

/* The file of a key, until the next call. */
const char *path_of(const struct an_key *of);
bool exists(const char *path);
void write_file(const char *path, const void *bytes, size_t size);

/* Runs `body` in a process of its own and returns its exit status; 77: it could not do its part. */
int in_child(int (*body)(void));

#define assert_child(body)                                                                         \
    do {                                                                                           \
        int result_ = in_child(body);                                                              \
        if (result_ != 77)                                                                         \
            assert_int_equal(result_, 0);                                                          \
    } while (0)

#endif
