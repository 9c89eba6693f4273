/* What host/platform promises, on whatever system this is: the same text of names, bytes and
 * errors. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/environment.h"
#include "platform/files.h"
#include "platform/libraries.h"
#include "platform/system.h"
#include "platform/threads.h"

/* Neither ASCII nor Latin-1. */
static const char name[] = "anynorm-test-\xc3\xbc\xe2\x82\xac.tmp",
                  other[] = "anynorm-test-other.tmp";
static const char text[] = "a line\nand \r\n another\x1a, with a zero";

static void clear(void)
{
    (void)an_path_delete(name);
    (void)an_path_delete(other);
}

static void write_new(const char *path)
{
    int file = an_file_open(path, AN_OPEN_CREATE, 0600);
    assert_true(file >= 0);
    assert_true(an_file_write(file, text, sizeof(text)));
    assert_true(an_file_close(file));
}

static void assert_text_in(const char *path)
{
    char bytes[2 * sizeof(text)];
    int file = an_file_open(path, AN_OPEN_READ, 0);
    assert_true(file >= 0);
    assert_int_equal(an_file_read(file, bytes, sizeof(bytes)), sizeof(text));
    assert_memory_equal(bytes, text, sizeof(text));
    assert_true(an_file_close(file));
}

static void test_bytes_come_back(void **state)
{
    (void)state;
    struct an_status by_path, by_file;
    clear();
    write_new(name);
    assert_text_in(name);
    int file = an_file_open(name, AN_OPEN_READ, 0);
    assert_true(an_file_status(file, &by_file) && an_path_status(name, true, &by_path));
    assert_int_equal(by_file.kind, AN_KIND_FILE);
    assert_int_equal(by_file.size, sizeof(text));
    assert_true(by_file.device == by_path.device && by_file.number == by_path.number);
    assert_true(by_file.changed == by_path.changed);
    int64_t age = an_wall_clock() - by_file.changed;
    assert_true(age > -INT64_C(60000000000) && age < INT64_C(3600000000000));
    const char *mapped = an_file_map(file, sizeof(text));
    assert_true(an_file_close(file)); /* the map lives on */
    assert_non_null(mapped);
    assert_memory_equal(mapped, text, sizeof(text));
    an_file_unmap((void *)(uintptr_t)mapped, sizeof(text));
    clear();
}

/* More than one call of the system takes at once. */
static void test_many_bytes(void **state)
{
    (void)state;
    enum { SIZE = (5 << 20) + 3 };
    unsigned char *wrote = malloc(SIZE), *came = malloc(SIZE);
    assert_true(wrote && came);
    for (size_t i = 0; i < SIZE; i++)
        wrote[i] = (unsigned char)(i % 251);
    clear();
    int file = an_file_open(name, AN_OPEN_CREATE, 0600);
    assert_true(file >= 0 && an_file_write(file, wrote, SIZE) && an_file_close(file));
    file = an_file_open(name, AN_OPEN_READ, 0);
    assert_true(file >= 0);
    assert_int_equal(an_file_read(file, came, SIZE), SIZE);
    assert_true(an_file_close(file));
    assert_memory_equal(came, wrote, SIZE);
    free(wrote);
    free(came);
    clear();
}

static void test_errors_have_reasons(void **state)
{
    (void)state;
    struct an_status status;
    clear();
    errno = 0;
    assert_int_equal(an_file_open(name, AN_OPEN_READ, 0), -1);
    assert_int_equal(errno, ENOENT);
    errno = 0;
    assert_false(an_path_status(name, true, &status));
    assert_int_equal(errno, ENOENT);
    errno = 0;
    assert_false(an_path_delete(name));
    assert_int_equal(errno, ENOENT);
    write_new(name);
    errno = 0;
    assert_int_equal(an_file_open(name, AN_OPEN_CREATE, 0600), -1);
    assert_int_equal(errno, EEXIST);
    errno = 0;
    assert_false(an_folder_make(name));
    assert_int_equal(errno, EEXIST);
    errno = 0;
    assert_int_equal(an_folder_open(name), -1);
    assert_int_equal(errno, ENOTDIR);
    clear();
}

static void test_a_file_takes_anothers_place(void **state)
{
    (void)state;
    struct an_status before, after;
    clear();
    write_new(name);
    write_new(other);
    assert_true(an_path_status(name, true, &before));
    assert_true(an_path_rename(name, other));
    assert_true(an_path_status(other, true, &after));
    assert_true(before.number == after.number && before.device == after.device);
    assert_false(an_path_status(name, true, &after));
    assert_text_in(other);
    clear();
}

static bool count_it(void *user, const char *found)
{
    *(int *)user += strcmp(found, name) == 0;
    return true;
}

static void test_within_a_folder(void **state)
{
    (void)state;
    struct an_status status;
    int found = 0, folder = an_folder_open("."), file;
    clear();
    assert_true(folder >= 0 && an_file_status(folder, &status));
    assert_int_equal(status.kind, AN_KIND_FOLDER);
    file = an_folder_file(folder, other, AN_OPEN_CREATE);
    assert_true(file >= 0 && an_file_write(file, text, sizeof(text)) && an_file_close(file));
    assert_true(an_folder_rename(folder, other, name));
    assert_true(an_folder_status(folder, name, &status));
    assert_int_equal(status.size, sizeof(text));
    an_folder_list(folder, count_it, &found);
    assert_int_equal(found, 1);
    file = an_folder_file(folder, name, AN_OPEN_READ);
    assert_true(file >= 0 && an_file_touch(file) && an_file_close(file));
    assert_true(an_folder_delete(folder, name));
    assert_int_equal(an_folder_file(folder, name, AN_OPEN_READ), -1);
    assert_int_equal(errno, ENOENT);
    assert_true(an_file_close(folder));
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *folder, *base;
    } cases[] = {
        {"a", ".", "a"},
        {"a/b", "a", "b"},
        {"/a", "/", "a"},
        {"/a/b.c", "/a", "b.c"},
        {"a/b/", "a/b", ""},
#if defined(_WIN32)
        {"C:\\a", "C:\\", "a"},
        {"C:a", "C:", "a"},
        {"a\\b/c", "a\\b", "c"},
        {"C:\\a\\b", "C:\\a", "b"},
#endif
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *folder = an_path_folder(cases[i].path);
        assert_string_equal(folder, cases[i].folder);
        assert_string_equal(an_path_base(cases[i].path), cases[i].base);
        free(folder);
    }
    assert_false(an_path_is_absolute("a/b"));
    assert_false(an_path_is_absolute(""));
#if defined(_WIN32)
    assert_true(an_path_is_absolute("c:/a") && an_path_is_absolute("\\\\machine\\share"));
    assert_false(an_path_is_absolute("\\a"));
#else
    assert_true(an_path_is_absolute("/a"));
#endif
}

static void test_environment(void **state)
{
    (void)state;
    assert_true(an_environment_set("ANYNORM_TEST_WORD", "one"));
    assert_string_equal(an_environment("ANYNORM_TEST_WORD"), "one");
    assert_string_equal(getenv("ANYNORM_TEST_WORD"), "one");
    assert_true(an_environment_set("ANYNORM_TEST_WORD", NULL));
    assert_null(an_environment("ANYNORM_TEST_WORD"));
    assert_null(getenv("ANYNORM_TEST_WORD"));
    assert_false(an_rights_are_borrowed());
}

static int times;
static void count_call(void)
{
    times++;
}

static void test_the_rest(void **state)
{
    (void)state;
    static an_once once = AN_ONCE_READY;
    static an_mutex lock = AN_MUTEX_READY;
    double before = an_clock_seconds();
    an_once_call(&once, count_call);
    an_once_call(&once, count_call);
    assert_int_equal(times, 1);
    an_mutex_lock(&lock);
    an_mutex_unlock(&lock);
    an_mutex_lock(&lock);
    an_mutex_unlock(&lock);
    an_sleep_nanoseconds(1000000);
    assert_true(an_clock_seconds() > before);
    assert_true(an_processor_count() >= 1 && an_host_memory() > 1 << 20);
    void *memory = an_aligned_alloc(4096, 5);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 4096, 0);
    an_aligned_free(memory);
    assert_non_null(strstr(an_library_name(AN_LIBRARY_VULKAN), "ulkan"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_many_bytes),
        cmocka_unit_test(test_errors_have_reasons),
        cmocka_unit_test(test_a_file_takes_anothers_place),
        cmocka_unit_test(test_within_a_folder),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_the_rest),
    };
    return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
