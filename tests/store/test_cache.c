/* Packed binaries and their folder: whose it may be, damage, limits, and processes side by side. No
 * device is needed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/mount.h>
#endif

#include "support.h"

#include "store/cache.h"

/* A temporary folder, its path, and a cache within it. */
static char base[FOLDER_BYTES];
static char folder[FOLDER_BYTES + 8];
static struct an_cache cache;

static const struct an_key_part parts[] = {{"device", "cpu", 3}, {"options", "-DX=1", 5}};
static const struct an_key key = {parts, COUNT(parts)};
static const struct an_key_part other_parts[] = {{"device", "cpu", 3}, {"options", "-DX=2", 5}};
static const struct an_key other_key = {other_parts, COUNT(other_parts)};

static int make_base(void **state)
{
    (void)state;
    make_folder(base);
    snprintf(folder, sizeof(folder), "%s/cache", base);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", folder, 1), 0);
    assert_true(an_cache_open(&cache));
    return 0;
}

static int remove_base(void **state)
{
    (void)state;
    an_cache_close(&cache);
    remove_folder(base);
    return 0;
}

static void *pack(const struct an_key *of, size_t program_size, int seed, size_t *size)
{
    char *program = malloc(program_size + 1);
    assert_non_null(program);
    for (size_t i = 0; i < program_size; i++)
        program[i] = (char)((int)i * 7 + seed);
    *size = an_binary_size(of, program_size);
    void *packed = malloc(*size);
    assert_non_null(packed);
    an_binary_pack(of, "a label", program, program_size, packed);
    free(program);
    return packed;
}

static void store(const struct an_key *of, size_t program_size, int seed)
{
    size_t size;
    void *packed = pack(of, program_size, seed, &size);
    an_cache_store(&cache, of, packed, size);
    free(packed);
}

/* Whether the cache has the very bytes of pack(of, program_size, seed). */
static bool has(const struct an_key *of, size_t program_size, int seed)
{
    size_t size;
    void *expected = pack(of, program_size, seed, &size);
    void *packed = an_cache_load(&cache, of);
    bool same = packed && memcmp(packed, expected, size) == 0;
    free(packed);
    free(expected);
    return same;
}

static const char *path_of(const struct an_key *of)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/%016llx.program", folder, (unsigned long long)an_key_hash(of));
    return path;
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    assert_int_equal(close(file), 0);
}

/* Runs `body` in a process of its own and returns its exit status; 77: it could not do its part. */
static int in_child(int (*body)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(body());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        fprintf(stderr, "skipped: no right to arrange it\n");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define assert_child(body)                                                                         \
    do {                                                                                           \
        int result_ = in_child(body);                                                              \
        if (result_ != 77)                                                                         \
            assert_int_equal(result_, 0);                                                          \
    } while (0)

/* ---- Packed binaries ---- */

static void test_pack(void **state)
{
    (void)state;
    for (size_t program_size = 0; program_size < 40; program_size += 13) {
        size_t size, got;
        unsigned char *packed = pack(&key, program_size, 5, &size);
        assert_true(an_binary_intact(packed, size));
        assert_string_equal(an_binary_label(packed), "a label");
        const char *program = an_binary_program(packed, &got);
        assert_int_equal(got, program_size);
        for (size_t i = 0; i < got; i++)
            assert_int_equal(program[i], (char)((int)i * 7 + 5));
        assert_null(an_binary_mismatch(packed, &key));
        free(packed);
    }
    char label[300];
    memset(label, 'x', sizeof(label) - 1);
    label[sizeof(label) - 1] = 0;
    size_t size = an_binary_size(&key, 1);
    void *packed = malloc(size);
    assert_non_null(packed);
    an_binary_pack(&key, label, "p", 1, packed);
    assert_true(an_binary_intact(packed, size));
    assert_int_equal(strlen(an_binary_label(packed)), AN_BINARY_LABEL - 1);
    free(packed);
}

static void test_damage_shows(void **state)
{
    (void)state;
    size_t size;
    unsigned char *packed = pack(&key, 100, 1, &size);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            packed[i] ^= (unsigned char)(1 << bit);
            assert_false(an_binary_intact(packed, size));
            packed[i] ^= (unsigned char)(1 << bit);
        }
    }
    for (size_t shorter = 0; shorter < size; shorter++)
        assert_false(an_binary_intact(packed, shorter));
    unsigned char *longer = calloc(1, size + 1);
    assert_non_null(longer);
    memcpy(longer, packed, size);
    assert_false(an_binary_intact(longer, size + 1));
    assert_true(an_binary_intact(longer, size));
    free(longer);
    free(packed);
}

static void check_mismatch(const struct an_key_part *of, size_t count, const char *expected)
{
    size_t size;
    const struct an_key asked = {of, count};
    void *packed = pack(&key, 10, 1, &size);
    const char *name = an_binary_mismatch(packed, &asked);
    assert_non_null(name);
    assert_string_equal(name, expected);
    assert_true(an_key_hash(&key) != an_key_hash(&asked));
    free(packed);
}

static void test_mismatch_is_named(void **state)
{
    (void)state;
    const struct an_key_part device[] = {{"device", "gpu", 3}, {"options", "-DX=2", 5}};
    const struct an_key_part options[] = {{"device", "cpu", 3}, {"options", "-DX=2", 5}};
    const struct an_key_part shorter[] = {{"device", "cpu", 3}, {"options", "-DX=", 4}};
    const struct an_key_part longer[] = {{"device", "cpu", 3}, {"options", "-DX=1 ", 6}};
    const struct an_key_part moved[] = {{"device", "cpu-", 4}, {"options", "DX=1", 4}};
    const struct an_key_part more[] = {{"device", "cpu", 3}, {"options", "-DX=1", 5}, {"n", "", 0}};
    check_mismatch(device, 2, "device");
    check_mismatch(options, 2, "options");
    check_mismatch(shorter, 2, "options");
    check_mismatch(longer, 2, "options");
    check_mismatch(moved, 2, "device");
    check_mismatch(more, 3, "n");
    check_mismatch(parts, 1, "layout");
}

/* ---- The environment and the folder ---- */

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        bool with_own, without;
    } words[] = {
        {"", false, true}, {"auto", false, true}, {"on", true, true}, {"off", false, false}};
    for (size_t i = 0; i < COUNT(words); i++) {
        bool wanted;
        assert_int_equal(setenv("ANYNORM_CACHE", words[i].word, 1), 0);
        assert_ok(an_cache_wanted(true, &wanted));
        assert_int_equal(wanted, words[i].with_own);
        assert_ok(an_cache_wanted(false, &wanted));
        assert_int_equal(wanted, words[i].without);
    }
    bool wanted = true;
    assert_int_equal(setenv("ANYNORM_CACHE", "yes", 1), 0);
    assert_status(an_cache_wanted(false, &wanted), ANYNORM_INVALID_ARGUMENT);
    assert_non_null(strstr(anynorm_message(), "ANYNORM_CACHE: \"yes\""));
    assert_true(wanted);
    assert_int_equal(unsetenv("ANYNORM_CACHE"), 0);
    assert_ok(an_cache_wanted(true, &wanted));
    assert_false(wanted);
}

static bool opens(void)
{
    struct an_cache opened;
    bool result = an_cache_open(&opened);
    assert_int_equal(result, opened.folder >= 0);
    an_cache_close(&opened);
    return result;
}

static void check_made(const char *path)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void test_places(void **state)
{
    char path[160];
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    (void)state;
    check_made(folder);
    snprintf(path, sizeof(path), "%s/a/b//c", base);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", path, 1), 0);
    assert_true(opens());
    check_made(path);

    /* A relative path, or one that is too long, is no reason to go elsewhere. */
    char endless[5000];
    memset(endless, 'x', sizeof(endless));
    endless[0] = '/';
    endless[sizeof(endless) - 1] = 0;
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", "relative", 1), 0);
    assert_false(opens());
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", endless, 1), 0);
    assert_false(opens());

    assert_int_equal(unsetenv("ANYNORM_CACHE_DIR"), 0);
    snprintf(path, sizeof(path), "%s/xdg", base);
    assert_int_equal(setenv("XDG_CACHE_HOME", path, 1), 0);
    assert_true(opens());
    snprintf(path, sizeof(path), "%s/xdg/anynorm", base);
    check_made(path);

    assert_int_equal(setenv("XDG_CACHE_HOME", "relative", 1), 0);
    assert_int_equal(setenv("HOME", base, 1), 0);
    assert_true(opens());
    snprintf(path, sizeof(path), "%s/.cache/anynorm", base);
    check_made(path);
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_true(opens());
    assert_int_equal(setenv("XDG_CACHE_HOME", "", 1), 0); /* which is as if it were not set */
    assert_true(opens());
    assert_int_equal(setenv("HOME", "", 1), 0);
    assert_false(opens());
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(unsetenv("HOME"), 0);
    assert_false(opens());
    if (home)
        assert_int_equal(setenv("HOME", home, 1), 0);
    free(home);
}

static void test_folders_refused(void **state)
{
    char link[160];
    (void)state;
    static const mode_t open_modes[] = {0755, 0711, 0770, 0702, 0701};
    for (size_t i = 0; i < COUNT(open_modes); i++) {
        assert_int_equal(chmod(folder, open_modes[i]), 0);
        assert_false(opens());
    }
    assert_int_equal(chmod(folder, 0700), 0);
    assert_true(opens());

    snprintf(link, sizeof(link), "%s/link", base);
    assert_int_equal(symlink(folder, link), 0);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", link, 1), 0);
    assert_false(opens());
    snprintf(link, sizeof(link), "%s/file", base);
    write_file(link, "x", 1);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", link, 1), 0);
    assert_false(opens());
    strcat(link, "/below");
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", link, 1), 0);
    assert_false(opens());
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", "/proc/self/anynorm", 1), 0);
    assert_false(opens());
}

static int use_foreign_folder(void)
{
    if (geteuid() != 0 || chown(folder, 12345, 12345) != 0)
        return 77;
    return opens() ? 1 : 0;
}

static int use_borrowed_rights(void)
{
    if (geteuid() != 0 || setreuid(12345, 0) != 0)
        return 77;
    return opens() ? 1 : 0;
}

static int use_borrowed_group(void)
{
    if (geteuid() != 0 || setregid(12345, 0) != 0)
        return 77;
    return opens() ? 1 : 0;
}

static void test_other_users(void **state)
{
    (void)state;
    assert_child(use_borrowed_group);
    assert_child(use_borrowed_rights);
    assert_child(use_foreign_folder);
}

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
#define ALONE(test) cmocka_unit_test_setup_teardown(test, make_base, remove_base)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_damage_shows),
        cmocka_unit_test(test_mismatch_is_named),
        cmocka_unit_test(test_words),
        ALONE(test_places),
        ALONE(test_folders_refused),
        ALONE(test_other_users),
        ALONE(test_round_trip),
        ALONE(test_damaged_entries),
        ALONE(test_strange_entries),
        ALONE(test_entry_past_the_limit),
        ALONE(test_many_entries),
        ALONE(test_out_of_descriptors),
        ALONE(test_collision),
        ALONE(test_least_recently_used_go),
        ALONE(test_leftovers),
        ALONE(test_names_that_are_taken),
        ALONE(test_no_room),
        ALONE(test_processes),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
