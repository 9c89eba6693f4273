/* The cache among damage, strangers and crowds: 10 000 damaged entries, entries and programs of
 * other users, and 800 cold starts at once in a folder that is too small for them. No device is
 * needed.
 *
 *     ANYNORM_TEST_SEED=N   other damage
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#include "store/cache.h"

enum { DAMAGED = 10000, MOST_BYTES = 4096 };
enum { SKIPPED = 77, STRANGER = 12345 };

static char base[FOLDER_BYTES], folder[FOLDER_BYTES + 8];

static int make_base(void **state)
{
    (void)state;
    make_folder(base);
    snprintf(folder, sizeof(folder), "%s/cache", base);
    return setenv("ANYNORM_CACHE_DIR", folder, 1);
}

static int remove_base(void **state)
{
    (void)state;
    remove_folder(base);
    return 0;
}

/* ---- Entries ---- */

/* A key of its own for each number, and a program that tells of which key and version it is. */
static const struct an_key *numbered(int number)
{
    static char digits[16];
    static struct an_key_part parts[] = {{"device", "cpu", 3}, {"number", digits, 0}};
    static const struct an_key made = {parts, COUNT(parts)};
    parts[1].size = (size_t)snprintf(digits, sizeof(digits), "%d", number);
    return &made;
}

static size_t program_bytes(int number)
{
    return 300 + 37 * (size_t)(number % 16);
}

static size_t pack(int number, int version, unsigned char packed[MOST_BYTES])
{
    unsigned char program[MOST_BYTES];
    size_t size = program_bytes(number);
    for (size_t i = 0; i < size; i++)
        program[i] = (unsigned char)((int)i * 7 + number + 16 * version);
    assert_between(an_binary_size(numbered(number), size), 1, MOST_BYTES);
    an_binary_pack(numbered(number), "a label", program, size, packed);
    return an_binary_size(numbered(number), size);
}

static void store(const struct an_cache *cache, int number, int version)
{
    unsigned char packed[MOST_BYTES];
    size_t size = pack(number, version, packed);
    an_cache_store(cache, numbered(number), packed, size);
}

/* -1: there is no entry; -2: it is wrong; else its version. */
static int load(const struct an_cache *cache, int number)
{
    unsigned char *loaded = an_cache_load(cache, numbered(number)), expected[MOST_BYTES];
    size_t size;
    if (!loaded)
        return -1;
    const unsigned char *program = an_binary_program(loaded, &size);
    int version = (unsigned char)(program[0] - number) / 16;
    bool right = size == program_bytes(number) &&
                 memcmp(loaded, expected, pack(number, version, expected)) == 0;
    free(loaded);
    return right ? version : -2;
}

static const char *path_of(int number)
{
    static char path[sizeof(folder) + 40];
    snprintf(path, sizeof(path), "%s/%016llx.program", folder,
             (unsigned long long)an_key_hash(numbered(number)));
    return path;
}

static bool write_file(const char *path, const void *bytes, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool written = file >= 0 && write(file, bytes, size) == (ssize_t)size;
    return file >= 0 && close(file) == 0 && written;
}

/* ---- Damage ---- */

struct bytes {
    size_t size;
    unsigned char at[2 * MOST_BYTES];
};

static size_t below(struct random *random, size_t limit)
{
    return (size_t)random_below(random, limit);
}

static void flip_bits(struct random *random, struct bytes *entry)
{
    for (size_t count = 1 + below(random, 8); count > 0; count--)
        entry->at[below(random, entry->size)] ^= (unsigned char)(1u << below(random, 8));
}

static void cut(struct random *random, struct bytes *entry)
{
    entry->size = below(random, entry->size);
}

static void extend(struct random *random, struct bytes *entry)
{
    for (size_t count = 1 + below(random, 600); count > 0; count--)
        entry->at[entry->size++] = count % 2 ? 0 : (unsigned char)random_bits(random);
}

/* The four numbers at the head, the bytes of the magic among them. */
static void swap_fields(struct random *random, struct bytes *entry)
{
    unsigned char field[8];
    size_t a = 8 * below(random, 4), b = 8 * below(random, 4);
    memcpy(field, entry->at + a, 8);
    memmove(entry->at + a, entry->at + b, 8);
    memcpy(entry->at + b, field, 8);
}

static void set_field(struct random *random, struct bytes *entry)
{
    static const uint64_t values[] = {
        0, 1, 160, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 159};
    uint64_t value = values[below(random, COUNT(values))];
    size_t at = 8 * below(random, entry->size / 8);
    for (size_t i = 0; i < 8; i++)
        entry->at[at + i] = (unsigned char)(value >> 8 * i);
}

static void zero_block(struct random *random, struct bytes *entry)
{
    size_t from = below(random, entry->size), size = 1 + below(random, entry->size - from);
    memset(entry->at + from, 0, size);
}

static void move_block(struct random *random, struct bytes *entry)
{
    size_t from = below(random, entry->size), to = below(random, entry->size);
    size_t room = entry->size - (from > to ? from : to);
    memmove(entry->at + to, entry->at + from, 1 + below(random, room));
}

static void drop_bytes(struct random *random, struct bytes *entry)
{
    size_t from = below(random, entry->size), size = 1 + below(random, entry->size - from);
    memmove(entry->at + from, entry->at + from + size, entry->size - from - size);
    entry->size -= size;
}

/* The beginning of one entry, with its checksum, and the end of another, of this key or another. */
static void join(struct random *random, struct bytes *entry)
{
    unsigned char other[MOST_BYTES];
    size_t size = pack((int)below(random, 3), 1 + (int)below(random, 2), other);
    size_t from = 24 + below(random, size - 24);
    size_t to = below(random, 2) ? from : 24 + below(random, entry->size - 24);
    if (to > entry->size)
        to = entry->size;
    memcpy(entry->at + to, other + from, size - from);
    entry->size = to + size - from;
}

static void (*const damages[])(struct random *, struct bytes *) = {
    flip_bits, cut, extend, swap_fields, set_field, zero_block, move_block, drop_bytes, join};

/* None is served, unless it came out as it was; all are made anew. */
static void test_damage(void **state)
{
    static struct bytes entry;
    const char *given = getenv("ANYNORM_TEST_SEED");
    struct random random = {given ? strtoull(given, NULL, 0) | 1 : 20261122};
    unsigned intact = 0, refused = 0, rebuilt = 0;
    struct an_cache cache;
    (void)state;
    assert_true(an_cache_open(&cache));
    for (unsigned i = 0; refused < DAMAGED; i++) {
        struct stat status;
        unsigned char before[MOST_BYTES];
        size_t size = entry.size = pack(0, 0, before);
        memcpy(entry.at, before, size);
        damages[i % COUNT(damages)](&random, &entry);
        bool same = entry.size == size && memcmp(entry.at, before, size) == 0;
        assert_true(write_file(path_of(0), entry.at, entry.size));
        int version = load(&cache, 0);
        if (same) {
            assert_int_equal(version, 0);
            intact++;
            continue;
        }
        if (version != -1)
            fail_msg("damage %u of kind %zu was served", i, (size_t)(i % COUNT(damages)));
        assert_int_not_equal(lstat(path_of(0), &status), 0);
        refused++;
        store(&cache, 0, 3);
        rebuilt += load(&cache, 0) == 3;
    }
    an_cache_close(&cache);
    fprintf(stderr, "# %u damaged entries: 0 served, %u made anew (%u came out as they were)\n",
            refused, rebuilt, intact);
    assert_int_equal(rebuilt, refused);
}

/* ---- Strangers ---- */

static int in_child(int (*body)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(body());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int load_foreign_entry(void)
{
    struct an_cache cache;
    struct stat status;
    if (geteuid() != 0)
        return SKIPPED;
    if (!an_cache_open(&cache))
        return 1;
    store(&cache, 0, 1);
    if (load(&cache, 0) != 1 || chown(path_of(0), STRANGER, STRANGER) != 0)
        return 2;
    if (load(&cache, 0) != -1)
        return 3;
    return lstat(path_of(0), &status) != 0 ? 0 : 4;
}

static void test_modes_of_entries(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602,  0610, 0601,
                                   0660, 0666, 0777, 04755, 02750};
    struct an_cache cache;
    struct stat status;
    (void)state;
    assert_true(an_cache_open(&cache));
    for (size_t i = 0; i < COUNT(modes); i++) {
        store(&cache, 0, 1);
        assert_int_equal(chmod(path_of(0), modes[i]), 0);
        assert_int_equal(load(&cache, 0), -1);
        assert_int_not_equal(lstat(path_of(0), &status), 0);
    }
    an_cache_close(&cache);
}

static char program[sizeof(base) + 16];

/* What a copy of this program says that is not its caller's: 0 where it trusts no path. */
static int run_as_another(void)
{
    struct an_cache cache;
    char path[256];
    if (getuid() == geteuid() && getgid() == getegid())
        return SKIPPED; /* the folder's file system gives no rights */
    if (an_cache_open(&cache))
        return 1;
    return anynorm_tuning_path(path, sizeof(path)) == 0 ? 0 : 2;
}

static int execute(void)
{
    char *const arguments[] = {program, (char *)"--as-another", NULL};
    execv(program, arguments);
    return SKIPPED;
}

static int execute_as_stranger(void)
{
    if (setgid(STRANGER) != 0 || setuid(STRANGER) != 0)
        return SKIPPED;
    return execute();
}

static bool copy_program(void)
{
    char bytes[65536];
    ssize_t got = 0;
    snprintf(program, sizeof(program), "%s/program", base);
    int from = open("/proc/self/exe", O_RDONLY), to = open(program, O_WRONLY | O_CREAT, 0755);
    bool copied = from >= 0 && to >= 0;
    while (copied && (got = read(from, bytes, sizeof(bytes))) > 0)
        copied = write(to, bytes, (size_t)got) == got;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return copied && got == 0;
}

/* A program with more rights than who started it believes no path of the environment: setuid and
 * setgid, up to root and down from it. */
static void test_strangers(void **state)
{
    static const struct {
        uid_t owner;
        mode_t mode;
        int (*body)(void);
    } runs[] = {{STRANGER, 04755, execute},
                {STRANGER, 02755, execute},
                {0, 04755, execute_as_stranger},
                {0, 02755, execute_as_stranger}};
    (void)state;
    int result = in_child(load_foreign_entry);
    if (result == SKIPPED || geteuid() != 0 || !copy_program()) {
        fprintf(stderr, "# skipped: no right to arrange other users\n");
        return;
    }
    assert_int_equal(result, 0);
    assert_int_equal(chmod(base, 0755), 0);
    assert_int_equal(setenv("ANYNORM_TUNING", "/tmp/tuning", 1), 0);
    for (size_t i = 0; i < COUNT(runs); i++) {
        assert_int_equal(chown(program, runs[i].owner, (gid_t)runs[i].owner), 0);
        assert_int_equal(chmod(program, runs[i].mode), 0);
        result = in_child(runs[i].body);
        if (result == SKIPPED)
            fprintf(stderr, "# skipped: no rights are lent here\n");
        else
            assert_int_equal(result, 0);
    }
    assert_int_equal(unsetenv("ANYNORM_TUNING"), 0);
}

/* ---- Crowds ---- */

enum { PROCESSES = 16, STARTS = 50, KEYS = 12, ROOM = 5 };

static size_t room(void)
{
    unsigned char packed[MOST_BYTES];
    return ROOM * pack(15, 0, packed);
}

/* One cold start: takes what is there of one key all want and of one of its own choice, and makes
 * what is not. Every tenth leaves half an entry behind, as a machine that crashed. */
static int start(int process, int count)
{
    const int wanted[] = {0, 1 + (process * 7 + count * 5) % (KEYS - 1)};
    struct an_cache cache;
    if (!an_cache_open(&cache))
        return 1;
    cache.limit = room();
    for (size_t i = 0; i < COUNT(wanted); i++) {
        int version = load(&cache, wanted[i]);
        if (version == -2)
            return 2;
        if (version == -1 || count % 3 == 0)
            store(&cache, wanted[i], (process + count) % 4);
        if (load(&cache, wanted[i]) == -2)
            return 3;
    }
    if (count % 10 == 9) {
        unsigned char packed[MOST_BYTES];
        size_t size = pack(wanted[1], 1, packed);
        if (!write_file(path_of(wanted[1]), packed, size / 2))
            return 4;
    }
    an_cache_close(&cache);
    return 0;
}

static int start_often(int process)
{
    for (int count = 0; count < STARTS; count++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(start(process, count));
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
            return 90;
        if (WEXITSTATUS(status) != 0)
            return WEXITSTATUS(status);
    }
    return 0;
}

static void test_crowd(void **state)
{
    pid_t children[PROCESSES];
    struct an_cache cache;
    off_t total = 0;
    int left = 0;
    (void)state;
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(start_often(i));
        assert_true(children[i] > 0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_true(an_cache_open(&cache));
    cache.limit = room();
    store(&cache, 0, 1); /* and sees to the limit */
    assert_int_equal(load(&cache, 0), 1);
    for (int i = 0; i < KEYS; i++) {
        struct stat status;
        if (lstat(path_of(i), &status) == 0) {
            total += status.st_size;
            left++;
        }
        assert_int_not_equal(load(&cache, i), -2);
    }
    an_cache_close(&cache);
    fprintf(stderr, "# %d processes x %d cold starts: no wrong entry; %d left, of %lld bytes\n",
            (int)PROCESSES, (int)STARTS, left, (long long)total);
    assert_true((size_t)total <= room());
    /* Nothing else is there: no file that was being written. */
    assert_between(count_files(folder, "", NULL, 0), 1, left);
    assert_int_equal(count_files(folder, ".program", NULL, 0), count_files(folder, "", NULL, 0));
}

int main(int argc, char **argv)
{
#define ALONE(test) cmocka_unit_test_setup_teardown(test, make_base, remove_base)
    const struct CMUnitTest tests[] = {
        ALONE(test_damage),
        ALONE(test_modes_of_entries),
        ALONE(test_strangers),
        ALONE(test_crowd),
    };
    if (argc == 2 && strcmp(argv[1], "--as-another") == 0)
        _exit(run_as_another()); /* a leak checker may not look into such a process */
    return cmocka_run_group_tests_name("cache safety", tests, NULL, NULL);
}
