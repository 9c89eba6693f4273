/* As much of cmocka's interface as the tests of the lowest floors take, for Windows, where Debian
 * has no cmocka to link: the same words, so that the tests are the same files. */
#ifndef AN_TESTS_WINDOWS_CMOCKA_H
#define AN_TESTS_WINDOWS_CMOCKA_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

#define cmocka_unit_test(function)                                                                 \
    {                                                                                              \
#function, function, NULL, NULL, NULL                                                      \
    }

enum { CMOCKA_FAILED = 1, CMOCKA_SKIPPED = 2 };

/* Where a test goes back to that failed or was skipped; one program has one. */
extern jmp_buf cmocka_back;

static inline void _fail(const char *file, int line)
{
    fprintf(stderr, "%s:%d: failed\n", file, line);
    longjmp(cmocka_back, CMOCKA_FAILED);
}

static inline void cmocka_check(int holds, const char *text, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", text);
    _fail(file, line);
}

#define CMOCKA_CHECK(holds, text) cmocka_check((holds), (text), __FILE__, __LINE__)
#define fail() _fail(__FILE__, __LINE__)
#define fail_msg(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), fail())
#define skip() longjmp(cmocka_back, CMOCKA_SKIPPED)

#define assert_true(c) CMOCKA_CHECK(!!(c), #c)
#define assert_false(c) CMOCKA_CHECK(!(c), "not: " #c)
#define assert_null(p) CMOCKA_CHECK((p) == NULL, #p " == NULL")
#define assert_non_null(p) CMOCKA_CHECK((p) != NULL, #p " != NULL")
#define assert_int_equal(a, b) CMOCKA_CHECK((uintmax_t)(a) == (uintmax_t)(b), #a " == " #b)
#define assert_int_not_equal(a, b) CMOCKA_CHECK((uintmax_t)(a) != (uintmax_t)(b), #a " != " #b)
#define assert_string_equal(a, b) CMOCKA_CHECK(strcmp((a), (b)) == 0, #a " is " #b)
#define assert_string_not_equal(a, b) CMOCKA_CHECK(strcmp((a), (b)) != 0, #a " is not " #b)
#define assert_memory_equal(a, b, size) CMOCKA_CHECK(memcmp((a), (b), (size)) == 0, #a " is " #b)
#define assert_in_range(a, least, most)                                                            \
    CMOCKA_CHECK((uintmax_t)(a) >= (least) && (uintmax_t)(a) <= (most), #a " in " #least "-" #most)

#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
    _cmocka_run_group_tests((name), (tests), sizeof(tests) / sizeof((tests)[0]), (setup),          \
                            (teardown))

/* How many failed. */
int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown);

#endif
