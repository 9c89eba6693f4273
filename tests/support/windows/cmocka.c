#include "cmocka.h"

#include <stdbool.h>

jmp_buf cmocka_back;

static bool fixture(CMFixtureFunction function, void **state)
{
    return !function || function(state) == 0;
}

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown)
{
    void *group = NULL;
    volatile int failed = 0;
    printf("TAP version 13\n1..%d # %s\n", (int)count, name);
    if (!fixture(setup, &group))
        return (int)count;
    for (volatile size_t i = 0; i < count; i++) {
        void *state = tests[i].initial_state ? tests[i].initial_state : group;
        int verdict = setjmp(cmocka_back);
        if (verdict == 0) {
            cmocka_check(fixture(tests[i].setup_func, &state), "setup", tests[i].name, 0);
            tests[i].test_func(&state);
            cmocka_check(fixture(tests[i].teardown_func, &state), "teardown", tests[i].name, 0);
        }
        failed += verdict == CMOCKA_FAILED;
        printf("%sok %d - %s%s\n", verdict == CMOCKA_FAILED ? "not " : "", (int)i + 1,
               tests[i].name, verdict == CMOCKA_SKIPPED ? " # SKIP" : "");
        fflush(stdout);
    }
    return failed + !fixture(teardown, &group);
}
