/* The cache and the user's tuning file while each of their system calls fails, is interrupted,
 * moves less than it was asked to, or is the last before a SIGKILL. No device is needed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file_faults.h"
#include "support.h"

#include "store/cache.h"
#include "choice/tuning.h"

enum { OLD_BYTES = 3000, NEW_BYTES = 2500, OTHERS = 4 };
enum { OLD = 1, NEW = 2, OTHER = 3 };

static char base[FOLDER_BYTES], work[FOLDER_BYTES + 8], folder[FOLDER_BYTES + 32];

/* What a process learned. */
enum outcome { DONE = 0, NOT_OPEN, NOTHING, WRONG };

static const struct an_key *numbered(int index)
{
    static int number;
    static struct an_key_part part = {"number", &number, sizeof(number)};
    static const struct an_key made = {&part, 1};
    number = index;
    return &made;
}

static void *pack(int index, size_t program_size, int seed, size_t *size)
{
    char *program = malloc(program_size);
    assert_non_null(program);
    for (size_t i = 0; i < program_size; i++)
        program[i] = (char)((int)i * 7 + seed);
    *size = an_binary_size(numbered(index), program_size);
    void *packed = malloc(*size);
    assert_non_null(packed);
    an_binary_pack(numbered(index), "a label", program, program_size, packed);
    free(program);
    return packed;
}

static void store(const struct an_cache *cache, int index, size_t program_size, int seed)
{
    size_t size;
    void *packed = pack(index, program_size, seed, &size);
    an_cache_store(cache, numbered(index), packed, size);
    free(packed);
}

/* Whether what was loaded is the very entry. */
static bool is(const void *packed, int index, size_t program_size, int seed)
{
    size_t size;
    void *expected = pack(index, program_size, seed, &size);
    bool same = memcmp(packed, expected, size) == 0;
    free(expected);
    return same;
}

/* Entry 0: DONE where it is the new one, or where it is the old one and that may be. */
static enum outcome load(const struct an_cache *cache, bool may_be_old)
{
    char *packed = an_cache_load(cache, numbered(0));
    if (!packed)
        return NOTHING;
    /* Only an intact one may be looked into. */
    size_t bytes;
    (void)an_binary_program(packed, &bytes);
    bool right = (bytes == NEW_BYTES && is(packed, 0, NEW_BYTES, NEW)) ||
                 (may_be_old && bytes == OLD_BYTES && is(packed, 0, OLD_BYTES, OLD));
    free(packed);
    return right ? DONE : WRONG;
}

/* ---- What is there before ---- */

static void open_cache(struct an_cache *cache)
{
    fault_expect(an_cache_open(cache), "the cache does not open any more");
}

static void prepare_nothing(void)
{
}

static void prepare_folder(void)
{
    struct an_cache cache;
    open_cache(&cache);
    an_cache_close(&cache);
}

static void prepare_old(void)
{
    struct an_cache cache;
    open_cache(&cache);
    store(&cache, 0, OLD_BYTES, OLD);
    an_cache_close(&cache);
}

static void make_file(const char *name, const char *bytes, size_t size, time_t age)
{
    char path[sizeof(folder) + 64];
    struct timespec now;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    now.tv_sec -= age;
    const struct timespec times[2] = {now, now};
    assert_int_equal(futimens(file, times), 0);
    assert_int_equal(close(file), 0);
}

static void prepare_damaged(void)
{
    char name[64];
    prepare_folder();
    snprintf(name, sizeof(name), "%016llx.program", (unsigned long long)an_key_hash(numbered(0)));
    make_file(name, "half of an entry", 16, 10);
}

/* What a process that was killed long ago has left. */
static const char leftover[] = "0123456789abcdef.program.77-0";

/* As many as fit, and a leftover. */
static void prepare_full(void)
{
    struct an_cache cache;
    open_cache(&cache);
    for (int i = 1; i <= OTHERS; i++)
        store(&cache, i, NEW_BYTES, OTHER);
    an_cache_close(&cache);
    make_file(leftover, "x", 1, 24 * 60 * 60);
}

/* ---- What a process does ---- */

static int act_cold_start(void)
{
    struct an_cache cache;
    if (!an_cache_open(&cache))
        return NOT_OPEN;
    enum outcome first = load(&cache, true), second = WRONG;
    if (first != WRONG) {
        store(&cache, 0, NEW_BYTES, NEW);
        second = load(&cache, true);
    }
    an_cache_close(&cache);
    return (int)second;
}

static int act_store_into_full(void)
{
    struct an_cache cache;
    if (!an_cache_open(&cache))
        return NOT_OPEN;
    cache.limit = OTHERS * an_binary_size(numbered(0), NEW_BYTES);
    store(&cache, 0, NEW_BYTES, NEW);
    enum outcome outcome = load(&cache, false);
    an_cache_close(&cache);
    return (int)outcome;
}

static int act_remove(void)
{
    struct an_cache cache;
    if (!an_cache_open(&cache))
        return NOT_OPEN;
    an_cache_remove(&cache, numbered(0));
    enum outcome outcome = load(&cache, true);
    an_cache_close(&cache);
    return (int)outcome;
}

/* ---- What is there afterwards ---- */

/* Of files that are being written, but not of one; makes them old. */
static int count_leftovers(const char *but)
{
    DIR *listed = opendir(folder);
    int count = 0;
    if (!listed)
        return 0;
    for (struct dirent *item = readdir(listed); item; item = readdir(listed)) {
        if (strstr(item->d_name, ".program.") && strcmp(item->d_name, but) != 0) {
            make_file(item->d_name, "x", 1, 24 * 60 * 60);
            count++;
        }
    }
    assert_int_equal(closedir(listed), 0);
    return count;
}

/* Old, new or none of entry 0; whole ones of the others, or none; and a later process is right. */
static void check_cache(const struct file_fault *fault, int outcome, bool left)
{
    struct an_cache cache;
    fault_expect(outcome != WRONG, "the process read a wrong entry");
    if (outcome >= 0 && !left)
        fault_expect(count_leftovers(leftover) == 0, "a file that was being written is left");
    (void)count_leftovers("");
    (void)fault;
    open_cache(&cache);
    fault_expect(load(&cache, true) != WRONG, "a wrong entry is left");
    for (int i = 1; i <= OTHERS; i++) {
        void *packed = an_cache_load(&cache, numbered(i));
        fault_expect(!packed || is(packed, i, NEW_BYTES, OTHER), "another entry is wrong");
        free(packed);
    }
    store(&cache, 0, NEW_BYTES, NEW);
    fault_expect(load(&cache, false) == DONE, "a later process cannot store");
    fault_expect(count_leftovers("") == 0, "a later process leaves what a killed one left");
    an_cache_close(&cache);
}

static void check_store(const struct file_fault *fault, int outcome, bool left)
{
    if (fault_is_harmless(fault))
        fault_expect(outcome == DONE, "a harmless fault was not got over");
    check_cache(fault, outcome, left);
}

static void check_removal(const struct file_fault *fault, int outcome, bool left)
{
    if (fault_is_harmless(fault))
        fault_expect(outcome == NOTHING, "a harmless fault was not got over");
    check_cache(fault, outcome, left);
}

/* ---- The tuning file ---- */

/* The line that counts is the last: half a file would give the first one's choice. */
static void prepare_tuning(void)
{
    FILE *file = fopen("tuning", "w");
    assert_non_null(file);
    fputs("class gpu -> row_in_local group=64\n", file);
    for (int i = 0; i < 20; i++)
        fprintf(file, "device \"other %d\" -> row_reread group=64\n", i);
    fputs("device \"a gpu\" -> row_per_group group=128\n", file);
    assert_int_equal(fclose(file), 0);
}

static int act_tuning(void)
{
    static const anynorm_device_info info = {.name = "a gpu", .device_class = ANYNORM_CLASS_GPU};
    const anynorm_spec spec = {.columns = 4096};
    struct an_choice wish;
    char source[256];
    if (!an_tuning_ask(&info, &spec, 1, true, &wish, source, sizeof(source)))
        return NOTHING;
    return wish.schedule == AN_ROW_PER_GROUP && wish.group == 128 ? DONE : WRONG;
}

static void check_tuning(const struct file_fault *fault, int outcome, bool left)
{
    (void)left;
    fault_expect(outcome != WRONG, "half of the file was taken for the whole");
    if (fault_is_harmless(fault))
        fault_expect(outcome == DONE, "a harmless fault was not got over");
}

/* ---- */

static void test_scenarios(void **state)
{
    static const struct fault_scenario scenarios[] = {
        {"a first start", prepare_nothing, act_cold_start, check_store},
        {"an empty folder", prepare_folder, act_cold_start, check_store},
        {"an entry replaced", prepare_old, act_cold_start, check_store},
        {"a damaged entry", prepare_damaged, act_cold_start, check_store},
        {"a full folder", prepare_full, act_store_into_full, check_store},
        {"an entry removed", prepare_old, act_remove, check_removal},
        {"a tuning file", prepare_tuning, act_tuning, check_tuning},
    };
    (void)state;
    make_folder(base);
    snprintf(work, sizeof(work), "%s/work", base);
    snprintf(folder, sizeof(folder), "%s/a/b/cache", work);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", folder, 1), 0);
    assert_int_equal(setenv("ANYNORM_TUNING", "tuning", 1), 0);
    assert_int_equal(setenv("ANYNORM_LOG", "error", 1), 0);
    run_fault_scenarios(scenarios, COUNT(scenarios), work);
    remove_folder(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenarios)};
    return cmocka_run_group_tests_name("cache faults", tests, NULL, NULL);
}
