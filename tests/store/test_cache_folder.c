/* Packed binaries, and the folder they are kept in: where it is, and whose it may be. No device is
 * needed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache_folder.h"

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
    check_mismatch(key.parts, 1, "layout");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_damage_shows),
        cmocka_unit_test(test_mismatch_is_named),
        cmocka_unit_test(test_words),
        ALONE(test_places),
        ALONE(test_folders_refused),
        ALONE(test_other_users),
    };
    return cmocka_run_group_tests_name("cache_folder", tests, NULL, NULL);
}
