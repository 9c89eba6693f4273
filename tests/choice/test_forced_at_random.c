/* Schedules with numbers drawn at random, forced on norms drawn at random whose tensors lie at odd
 * elements, against the oracle, each few in a process of their own: a driver's compiler, or what it
 * made, may end one. Drawn anew from a number that a failure prints.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a few instead of hundreds
 *     test_forced_at_random DEVICE SEED CASES   what a process does
 */
#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/dtype.h"
#include "spec_flags.h"
#include "support.h"

extern char **environ;

enum { CASES_OF_PROCESS = 8 };

static const char *const schedules[] = {"row_per_item", "row_per_subgroup", "row_per_group",
                                        "row_in_local", "row_reread",       "row_split",
                                        "column_walk"};
static const char *const names[] = {"rows", "group", "vector", "held", "segment", "slices"};
static const uint64_t numbers[] = {1, 2, 3, 4, 5, 7, 8, 16, 24, 32, 64, 100, 128, 256};

/* Most such numbers do not stand together: then the schedule alone is forced. */
static void draw_schedule(struct random *random, char *text, size_t capacity)
{
    size_t length =
        (size_t)snprintf(text, capacity, "%s", schedules[random_below(random, COUNT(schedules))]);
    for (size_t i = 0; i < COUNT(names); i++) {
        uint64_t number = numbers[random_below(random, COUNT(numbers))];
        if (random_below(random, 4) == 0)
            length += (size_t)snprintf(text + length, capacity - length, " %s=%" PRIu64, names[i],
                                       number);
    }
}

static struct problem draw_problem(struct random *random, const anynorm_device_info *info)
{
    static const anynorm_dtype types[] = {ANYNORM_F16,  ANYNORM_F16, ANYNORM_F16,
                                          ANYNORM_BF16, ANYNORM_F32, ANYNORM_F64};
    size_t count = COUNT(types) - (info->fp64 ? 0 : 1);
    uint64_t most = random_below(random, 8) ? 300 : 5000;
    struct problem problem = {.rows = 1 + random_below(random, 9),
                              .spec = {.columns = 1 + random_below(random, most),
                                       .x.type = types[random_below(random, count)],
                                       .y.type = types[random_below(random, count)],
                                       .parameters.type = types[random_below(random, count)],
                                       .statistic.eps = 1e-5},
                              .seed = 1 + random_bits(random) / 2};
    if (random_below(random, 2))
        make_family(random, &problem.spec);
    else
        problem.spec.flags = (uint32_t)random_bits(random) & ALL_FLAGS;
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        struct an_expectation expected = an_tensor_expect(&problem.spec, (enum an_tensor)t);
        if (expected.present)
            problem.offset[t] =
                (1 + 2 * random_below(random, 8)) * anynorm_dtype_size(expected.type);
    }
    return problem;
}

/* In a process of its own. What it is about to do is printed, as it may be the last. */
static int run_cases(const char *id, uint64_t seed, int cases)
{
    struct random random = {seed};
    struct errors worst = {0, 0, 0};
    anynorm_device_info info;
    anynorm_device *device = open_device(id);
    int forced = 0;
    assert_ok(anynorm_device_describe(device, &info));
    for (int i = 0; i < cases; i++) {
        char text[160];
        struct problem problem = draw_problem(&random, &info);
        for (int tries = 0; tries < 40; tries++) {
            anynorm_plan *plan = NULL;
            draw_schedule(&random, text, sizeof(text));
            anynorm_plan_options options = {.schedule = text};
            fprintf(stderr, "# %s: %s\n", text, problem_text(&problem));
            anynorm_status status = anynorm_plan_create(device, &problem.spec, &options, &plan);
            if (status == ANYNORM_UNSUPPORTED)
                continue;
            assert_ok(status);
            check_plan(device, plan, &problem, text, &worst);
            anynorm_plan_destroy(plan);
            forced++;
            break;
        }
    }
    anynorm_device_close(device);
    return printf("%d\n", forced) < 0 || fflush(stdout) == EOF;
}

static const char *program;
static int checked;

/* What the child says on stderr goes to a file, which is printed where it failed. */
static void run_process(const char *id, uint64_t seed)
{
    char folder[FOLDER_BYTES], said[64], counted[64], seed_text[24], cases_text[8], line[64] = "";
    int status;
    pid_t child;
    posix_spawn_file_actions_t actions;
    make_folder(folder);
    snprintf(said, sizeof(said), "%s/said", folder);
    snprintf(counted, sizeof(counted), "%s/counted", folder);
    snprintf(seed_text, sizeof(seed_text), "%" PRIu64, seed);
    snprintf(cases_text, sizeof(cases_text), "%d", CASES_OF_PROCESS);
    char *const arguments[] = {(char *)program, (char *)id, seed_text, cases_text, NULL};
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, said, 01101, 0600), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, counted, 01101, 0600), 0);
    assert_int_equal(posix_spawn(&child, program, &actions, NULL, arguments, environ), 0);
    assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    FILE *file = fopen(status == 0 ? counted : said, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (status != 0)
            fputs(line, stderr);
    }
    (void)fclose(file);
    remove_folder(folder);
    if (status != 0)
        fail_msg("%s %s %s ended with status %d", id, seed_text, cases_text, status);
    checked += atoi(line);
}

static void test_processes(void **state)
{
    const char *id = *state;
    for (uint64_t seed = 1; seed <= (reduced() ? 2 : 100); seed++)
        run_process(id, seed);
    assert_true(checked > 0 || strcmp(id, "reference") == 0); /* which has no schedules to force */
}

static int leave(void **state)
{
    (void)state;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct device_test tests[] = {{"in processes of their own", test_processes}};
    program = argv[0];
    if (argc == 4)
        return run_cases(argv[1], strtoull(argv[2], NULL, 10), atoi(argv[3]));
    int result = run_on_devices("forced at random", tests, COUNT(tests), leave, leave);
    fprintf(stderr, "# forced at random: %d norms right\n", checked);
    return result != 0;
}
