/* The same input gives the same bits: each schedule many times in one process, and in processes of
 * their own, while other threads keep the processors busy.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         10 times instead of 100
 */
#include <inttypes.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "schedules.h"
#include "spec_flags.h"

#define BUSY_THREADS 3
#define MOST_TEXT 1024

extern char **environ;

/* ---- What is run ---- */

static const struct {
    const char *name;
    anynorm_spec spec;
    uint64_t rows;
} cases[] = {
    {"many rows", {.columns = 1023, .flags = ALL_FLAGS, .statistic.eps = 1e-5}, 37},
    {"quantized",
     {.columns = 257,
      .x.type = ANYNORM_BF16,
      .y.type = ANYNORM_I8,
      .flags = RMS | WEIGHT | RESIDUAL | SUM | Y_SCALE_OUT,
      .statistic.eps = 1e-6},
     50},
    {"a long row",
     {.columns = 20000, .x.type = ANYNORM_F16, .flags = ALL_FLAGS, .statistic.eps = 1e-5},
     2},
    {"a part of a row", {.columns = 9000, .flags = PARTIALS_OUT}, 3},
    {"columns apart",
     {.columns = 70,
      .flags = WEIGHT | BIAS,
      .statistic.eps = 1e-5,
      .inner_rows = 41,
      .x.column_stride = 41,
      .y.column_stride = 41},
     82},
};

static struct problem problem_of(size_t number)
{
    return (struct problem){
        .spec = cases[number].spec, .rows = cases[number].rows, .seed = 4000 + number};
}

/* ---- Busy threads ---- */

static atomic_bool stop;

/* Arithmetic and memory by turns, so that the driver's own threads are moved about. */
static void *keep_busy(void *unused)
{
    static _Thread_local uint64_t memory[1 << 16];
    struct random random = {1};
    (void)unused;
    while (!atomic_load(&stop)) {
        for (size_t i = 0; i < COUNT(memory); i++)
            memory[i] ^= random_bits(&random);
        usleep((useconds_t)(random_bits(&random) % 2000));
    }
    return NULL;
}

static void make_busy(pthread_t threads[BUSY_THREADS])
{
    atomic_store(&stop, false);
    for (int i = 0; i < BUSY_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_busy, NULL), 0);
}

static void make_idle(const pthread_t threads[BUSY_THREADS])
{
    atomic_store(&stop, true);
    for (int i = 0; i < BUSY_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- Digests ---- */

static uint64_t digest(const struct images *images)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        for (uint64_t i = 0; images->bytes[t] && i < images->size[t]; i++)
            hash = (hash ^ images->bytes[t][i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void run_once(anynorm_device *device, size_t number, anynorm_plan *plan,
                     struct images *after)
{
    struct problem problem = problem_of(number);
    struct images before;
    images_make(&problem, &before);
    run_on_device(device, plan, &problem, &before, after);
    images_free(&before);
}

static void put_digest(char text[MOST_TEXT], size_t number, const struct images *after)
{
    size_t length = strlen(text);
    int more = snprintf(text + length, MOST_TEXT - length, "%s: %016" PRIx64 "\n",
                        cases[number].name, digest(after));
    assert_true(more > 0 && length + (size_t)more < MOST_TEXT);
}

/* What a process of its own says. */
static void put_all(anynorm_device *device, const char *schedule, char text[MOST_TEXT])
{
    *text = '\0';
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct problem problem = problem_of(i);
        struct images after;
        anynorm_plan *plan = plan_if_fits(device, &problem.spec, schedule);
        if (!plan)
            continue;
        run_once(device, i, plan, &after);
        put_digest(text, i, &after);
        images_free(&after);
        anynorm_plan_destroy(plan);
    }
}

/* ---- In one process ---- */

static int times;

static void test_one_process(void **state)
{
    struct subject *subject = *state;
    const int repeats = reduced() ? 10 : 100;
    pthread_t threads[BUSY_THREADS];
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct problem problem = problem_of(i);
        struct images first, after;
        anynorm_plan *plan = plan_if_fits(subject->device, &problem.spec, subject->schedule);
        if (!plan)
            continue;
        subject->offered++;
        run_once(subject->device, i, plan, &first); /* and compiles, where it is quiet */
        make_busy(threads);
        for (int n = 1; n < repeats; n++) {
            run_once(subject->device, i, plan, &after);
            for (int t = 0; t < AN_TENSOR_COUNT; t++) {
                if (first.bytes[t])
                    assert_same_bits(first.bytes[t], after.bytes[t], first.size[t], cases[i].name);
            }
            images_free(&after);
        }
        make_idle(threads);
        times += repeats;
        images_free(&first);
        anynorm_plan_destroy(plan);
    }
}

/* ---- In processes of their own ---- */

static const char *program;
static int processes;

/* This program again, which then only prints its digests. */
static void ask_another(const struct subject *subject, char text[MOST_TEXT])
{
    int ends[2], status;
    pid_t child;
    posix_spawn_file_actions_t actions;
    char *const arguments[] = {(char *)program, (char *)subject->device_id,
                               (char *)subject->schedule, NULL};
    size_t length = 0;
    ssize_t got;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO), 0);
    assert_int_equal(posix_spawn_file_actions_addclose(&actions, ends[0]), 0);
    assert_int_equal(posix_spawn(&child, program, &actions, NULL, arguments, environ), 0);
    assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
    close(ends[1]);
    while ((got = read(ends[0], text + length, MOST_TEXT - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_processes(void **state)
{
    struct subject *subject = *state;
    char mine[MOST_TEXT], others[MOST_TEXT];
    pthread_t threads[BUSY_THREADS];
    put_all(subject->device, subject->schedule, mine);
    make_busy(threads);
    for (int i = 0; i < (reduced() ? 1 : 10) && *mine; i++) {
        ask_another(subject, others);
        assert_string_equal(others, mine);
        processes++;
    }
    make_idle(threads);
}

static int print_digests(const char *id, const char *schedule)
{
    char text[MOST_TEXT];
    anynorm_device *device = open_device(id);
    put_all(device, schedule, text);
    anynorm_device_close(device);
    return fputs(text, stdout) == EOF || fflush(stdout) == EOF;
}

int main(int argc, char **argv)
{
    static const struct device_test tests[] = {
        {"in one process", test_one_process},
        {"in processes of their own", test_processes},
    };
    program = argv[0];
    if (argc == 3)
        return print_digests(argv[1], argv[2]);
    int result = run_on_schedules("repeat", tests, COUNT(tests));
    fprintf(stderr, "# repeat: %d enqueues in this process and %d other processes%s\n", times,
            processes, result == 0 ? ", the same bits" : "");
    return result;
}
