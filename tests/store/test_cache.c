/* The cache's entries: damage, limits, and processes side by side. No device is needed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/mount.h>
#endif

#include "cache_folder.h"

/* ---- Entries ---- */

static void test_round_trip(void **state)
{
    struct stat status;
    (void)state;
    assert_null(an_cache_load(&cache, &key));
    store(&key, 1000, 1);
    assert_int_equal(lstat(path_of(&key), &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_true(has(&key, 1000, 1));
    assert_null(an_cache_load(&cache, &other_key));
    store(&key, 500, 2); /* replaces */
    assert_true(has(&key, 500, 2));
    an_cache_remove(&cache, &key);
    assert_null(an_cache_load(&cache, &key));
    an_cache_remove(&cache, &key);
    store(&key, 0, 0);
    assert_true(has(&key, 0, 0));
}

static void test_damaged_entries(void **state)
{
    size_t size;
    unsigned char *packed = pack(&key, 64, 1, &size);
    (void)state;
    for (size_t i = 0; i < size; i++) {
        packed[i] ^= 0x10;
        write_file(path_of(&key), packed, size);
        packed[i] ^= 0x10;
        assert_null(an_cache_load(&cache, &key));
        assert_false(exists(path_of(&key)));
    }
    for (size_t shorter = 0; shorter < size; shorter++) {
        write_file(path_of(&key), packed, shorter);
        assert_null(an_cache_load(&cache, &key));
        assert_false(exists(path_of(&key)));
    }
    write_file(path_of(&key), packed, size);
    assert_true(has(&key, 64, 1));
    free(packed);
}

static void test_strange_entries(void **state)
{
    char target[160];
    size_t size;
    void *packed = pack(&key, 64, 1, &size);
    (void)state;
    snprintf(target, sizeof(target), "%s/target", base);
    write_file(target, packed, size);
    assert_int_equal(symlink(target, path_of(&key)), 0);
    assert_null(an_cache_load(&cache, &key));
    assert_false(exists(path_of(&key)));
    assert_true(exists(target));

    assert_int_equal(mkfifo(path_of(&key), 0600), 0);
    assert_null(an_cache_load(&cache, &key)); /* and does not wait for a writer */
    assert_false(exists(path_of(&key)));

    write_file(path_of(&key), packed, size);
    assert_int_equal(chmod(path_of(&key), 0644), 0);
    assert_null(an_cache_load(&cache, &key));
    assert_false(exists(path_of(&key)));

    assert_int_equal(mkdir(path_of(&key), 0700), 0);
    assert_null(an_cache_load(&cache, &key));
    an_cache_store(&cache, &key, packed, size);
    assert_null(an_cache_load(&cache, &key));
    assert_int_equal(rmdir(path_of(&key)), 0);

    /* A symbolic link in the entry's place is replaced, not written through. */
    write_file(target, "precious", 8);
    assert_int_equal(symlink(target, path_of(&key)), 0);
    an_cache_store(&cache, &key, packed, size);
    assert_true(has(&key, 64, 1));
    struct stat status;
    assert_int_equal(stat(target, &status), 0);
    assert_int_equal(status.st_size, 8);
    free(packed);
}

/* The key of entry number `index`, valid until the next call. */
static const struct an_key *numbered(int index)
{
    static int number;
    static struct an_key_part part = {"number", &number, sizeof(number)};
    static const struct an_key made = {&part, 1};
    number = index;
    return &made;
}

static int count_entries(void)
{
    return count_files(folder, "", NULL, 0);
}

/* What a cache of another limit has kept is not read, however large it is. */
static void test_entry_past_the_limit(void **state)
{
    (void)state;
    store(&key, 1000, 1);
    cache.limit = 500;
    assert_null(an_cache_load(&cache, &key));
    assert_false(exists(path_of(&key)));
}

/* More entries than a list of them begins with. */
static void test_many_entries(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++)
        store(numbered(i), 1000, i);
    cache.limit = 100 * an_binary_size(numbered(0), 1000);
    store(numbered(150), 1000, 150);
    assert_int_equal(count_entries(), 100);
    assert_true(has(numbered(150), 1000, 150));
}

/* A process with no descriptor left loads nothing, and the entry is there for the next. */
static void test_out_of_descriptors(void **state)
{
    struct rlimit before, none;
    (void)state;
    store(&key, 64, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    void *packed = an_cache_load(&cache, &key);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(packed);
    assert_true(has(&key, 64, 1));
}

/* An entry whose file has the right name and another key, as if the hashes were equal. */
static void test_collision(void **state)
{
    size_t size;
    void *packed = pack(&other_key, 64, 1, &size);
    (void)state;
    write_file(path_of(&key), packed, size);
    assert_null(an_cache_load(&cache, &key));
    store(&key, 64, 9);
    assert_true(has(&key, 64, 9));
    free(packed);
}

/* ---- Limits ---- */

static void set_age(const char *path, time_t seconds)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    now.tv_sec -= seconds;
    const struct timespec times[2] = {now, now};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_least_recently_used_go(void **state)
{
    char foreign[160];
    (void)state;
    const size_t each = an_binary_size(numbered(0), 1000);
    snprintf(foreign, sizeof(foreign), "%s/0123456789abcdef.programs", folder);
    write_file(foreign, "not ours", 8);
    set_age(foreign, 1000000);
    cache.limit = 4 * each;
    for (int i = 0; i < 4; i++) {
        store(numbered(i), 1000, i);
        set_age(path_of(numbered(i)), 1000 - 100 * i);
    }
    for (int i = 0; i < 4; i++)
        assert_true(exists(path_of(numbered(i))));
    assert_true(has(numbered(0), 1000, 0)); /* used now */
    store(numbered(4), 1000, 4);
    assert_true(exists(path_of(numbered(0))));
    assert_false(exists(path_of(numbered(1))));
    assert_true(exists(path_of(numbered(2))));

    store(numbered(5), 2000, 5); /* needs the room of two */
    assert_false(exists(path_of(numbered(2))));
    assert_false(exists(path_of(numbered(3))));
    assert_true(has(numbered(5), 2000, 5));

    store(numbered(6), (size_t)cache.limit, 6); /* larger than all */
    assert_false(exists(path_of(numbered(6))));
    assert_true(has(numbered(5), 2000, 5));

    /* The newest stays even where every clock says that it is the oldest. */
    for (int i = 7; i < 10; i++) {
        store(numbered(i), 1000, i);
        set_age(path_of(numbered(i)), -1000);
    }
    store(numbered(10), 3000, 10);
    assert_true(has(numbered(10), 3000, 10));
    assert_true(exists(foreign));
}

static void test_leftovers(void **state)
{
    static const struct {
        const char *name;
        time_t age;
        bool stays;
    } files[] = {
        {"0123456789abcdef.program.77-0", 24 * 60 * 60, false},
        {"0123456789abcdef.program.77-1", 60, true},
        {"0123456789abcdef.programs", 24 * 60 * 60, true},
        {"0123456789abcde.program.77-1", 24 * 60 * 60, true},
        {"thesis.tex", 24 * 60 * 60, true},
        {"0123456789abcdef.binary", 24 * 60 * 60, true},
        {"0123456789abcdef.program.of-a-name-that-is-longer-than-any-file-of-ours-has",
         24 * 60 * 60, true},
    };
    char path[200];
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i].name);
        write_file(path, "x", 1);
        set_age(path, files[i].age);
    }
    store(&key, 100, 1);
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i].name);
        assert_int_equal(exists(path), files[i].stays);
    }
}

/* Takes the names of the files that this process is to write for other_key, of which it has not
 * yet used as many: all, or all but each tenth. */
static void take_names(bool all)
{
    char path[200];
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof(path), "%s.%ld-%d", path_of(&other_key), (long)getpid(), i);
        if (all || i % 10 != 0)
            write_file(path, "x", 1);
    }
}

/* A killed process of the same number may have left the very names that are next: some are passed
 * over. */
static void test_names_that_are_taken(void **state)
{
    (void)state;
    take_names(false);
    store(&other_key, 100, 1);
    assert_true(has(&other_key, 100, 1));
    take_names(true);
    store(&other_key, 100, 2);
    assert_true(has(&other_key, 100, 1));
}

/* A write past this limit raises SIGXFSZ, whose default is to kill. */
static int use_limited_files(void)
{
    const struct rlimit limit = {4096, 4096};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 77;
    store(&key, 5000, 1);
    if (count_entries() != 0)
        return 1;
    store(&key, 1000, 1);
    return has(&key, 1000, 1) ? 0 : 2;
}

static int use_full_disk(void)
{
#if defined(__linux__)
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=16k,mode=0700") != 0)
        return 77;
    an_cache_close(&cache);
    if (!an_cache_open(&cache))
        return 77;
    store(&key, 4000, 1);
    store(&other_key, 100000, 1);
    if (count_entries() != 1 || !has(&key, 4000, 1))
        return 1;
    if (mount("tmpfs", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=16k,mode=0700") != 0)
        return 77;
    store(&other_key, 100, 1);
    an_cache_remove(&cache, &key);
    return has(&key, 4000, 1) && count_entries() == 1
               ? 0
               : 2; /* a hit, although it cannot be touched */
#else
    return 77;
#endif
}

static int use_lost_folder(void)
{
    if (rmdir(folder) != 0)
        return 77;
    store(&key, 100, 1);
    an_cache_remove(&cache, &key);
    return an_cache_load(&cache, &key) ? 1 : 0;
}

static void test_no_room(void **state)
{
    (void)state;
    assert_child(use_limited_files);
    an_cache_remove(&cache, &key);
    assert_child(use_full_disk);
    assert_child(use_lost_folder);
}

/* ---- Side by side ---- */

static int store_and_load(void)
{
    for (int i = 0; i < 200; i++) {
        store(&key, 20000, i % 7);
        size_t size;
        void *packed = an_cache_load(&cache, &key);
        if (!packed)
            return 1; /* replaced as a whole, so it is never missing */
        const char *program = an_binary_program(packed, &size);
        for (size_t k = 0; k < size; k++) {
            if (program[k] != (char)(program[0] + (int)k * 7))
                return 2;
        }
        free(packed);
    }
    return 0;
}

static void test_processes(void **state)
{
    pid_t children[6];
    (void)state;
    for (size_t i = 0; i < COUNT(children); i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(store_and_load());
        assert_true(children[i] > 0);
    }
    for (size_t i = 0; i < COUNT(children); i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_entries(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(test_round_trip),      ALONE(test_damaged_entries),
        ALONE(test_strange_entries), ALONE(test_entry_past_the_limit),
        ALONE(test_many_entries),    ALONE(test_out_of_descriptors),
        ALONE(test_collision),       ALONE(test_least_recently_used_go),
        ALONE(test_leftovers),       ALONE(test_names_that_are_taken),
        ALONE(test_no_room),         ALONE(test_processes),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
