#include "schedules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash(uint64_t seed, const char *text)
{
    for (; *text; text++) /* FNV-1a */
        seed = (seed ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return seed ^ seed >> 32;
}

/* Programs of which one is in the sample. */
static uint64_t sample_step(void)
{
    const char *text = getenv("ANYNORM_TEST_SAMPLE");
    return text ? strtoull(text, NULL, 10) : 0;
}

bool is_sampled(void)
{
    return sample_step() > 1;
}

bool in_sample(const anynorm_device_info *info, const char *choice, const anynorm_spec *spec,
               uint32_t group_size)
{
    uint64_t each = sample_step(), program = hash(0, choice);
    char words[1024];
    if (!is_sampled())
        return true;
    (void)anynorm_spec_format(spec, group_size, words, sizeof(words));
    return hash(program, words) % each == hash(0, info->platform) % each;
}

bool fits(const struct subject *subject, const anynorm_spec *spec)
{
    anynorm_candidate candidate;
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        assert_ok(anynorm_plan_candidate(subject->device, spec, i, &candidate, &count));
        if (strcmp(candidate.schedule, subject->schedule) == 0)
            return candidate.fits;
    }
    return false;
}

void check_offered(struct subject *subject, anynorm_device *device, const struct problem *problem,
                   uint32_t group_size)
{
    if (!in_sample(&subject->info, subject->schedule, &problem->spec, group_size))
        return;
    subject->offered++;
    subject->refused +=
        !check_problem(device, problem, subject->schedule, group_size, &subject->worst);
}

void check(struct subject *subject, const struct problem *problem)
{
    if (!fits(subject, &problem->spec))
        return;
    check_offered(subject, subject->device, problem, 0);
}

anynorm_plan *offered_plan(struct subject *subject, const anynorm_spec *spec)
{
    if (!fits(subject, spec) || !in_sample(&subject->info, subject->schedule, spec, 0))
        return NULL;
    anynorm_plan *plan = plan_if_fits(subject->device, spec, subject->schedule);
    subject->offered++;
    subject->refused += !plan;
    return plan;
}

void assert_same_bits(const void *batch, const void *alone, uint64_t bytes, const char *what)
{
    if (memcmp(batch, alone, (size_t)bytes) != 0) {
        fprintf(stderr, "the bits of a row changed with %s, %" PRIu64 " bytes\n", what, bytes);
        fail();
    }
}

/* ---- Running all of them on all devices ---- */

/* All tests of a schedule, which follow one another, have one device: a program that several of
 * them want is compiled once. */
static const struct subject *opened;

static int close_opened(void **state)
{
    (void)state;
    if (opened)
        anynorm_device_close(opened->device);
    opened = NULL;
    return 0;
}

static int open_subject(void **state)
{
    struct subject *subject = *state;
    if (opened && opened->schedule == subject->schedule &&
        strcmp(opened->device_id, subject->device_id) == 0) {
        subject->device = opened->device;
    } else {
        close_opened(NULL);
        subject->device = open_device(subject->device_id);
        opened = subject;
    }
    assert_ok(anynorm_device_describe(subject->device, &subject->info));
    return 0;
}

static void run_subject(void **state)
{
    const struct subject *subject = *state;
    let_crashes_kill();
    subject->function(state);
}

/* Tells what was seen; the device stays open for the next. */
static int leave_subject(void **state)
{
    const struct subject *subject = *state;
    fprintf(stderr,
            "# %s: largest error as a share of its bound: y %.3f, mean %.3f, rstd %.3f; "
            "%d problems, %d refused by the compiled kernel\n",
            subject->name, subject->worst.y, subject->worst.mean, subject->worst.rstd,
            subject->offered, subject->refused);
    return subject->offered > 100 && subject->offered == subject->refused;
}

enum { MOST_DEVICES = 16, MOST_TESTS = 1024 };

static struct subject subjects[MOST_TESTS];
static struct CMUnitTest units[MOST_TESTS];
static size_t unit_count;

static void add_tests(const char *id, const char *schedule, const struct device_test *tests,
                      size_t count)
{
    for (size_t t = 0; t < count && unit_count < MOST_TESTS; t++) {
        struct subject *subject = &subjects[unit_count];
        subject->schedule = schedule;
        subject->function = tests[t].function;
        snprintf(subject->device_id, sizeof(subject->device_id), "%s", id);
        snprintf(subject->name, sizeof(subject->name), "%s %s: %s", id, schedule, tests[t].name);
        units[unit_count++] =
            (struct CMUnitTest){subject->name, run_subject, open_subject, leave_subject, subject};
    }
}

int run_on_schedules(const char *group, const struct device_test *tests, size_t count)
{
    static const char *const schedules[] = {"row_per_item", "row_per_subgroup", "row_per_group",
                                            "row_in_local", "row_reread",       "row_split",
                                            "column_walk"};
    char ids[MOST_DEVICES][32];
    size_t devices = device_ids(ids, MOST_DEVICES);
    for (size_t d = 0; d < devices; d++) {
        bool reference = strcmp(ids[d], "reference") == 0;
        for (size_t s = 0; s < COUNT(schedules) && !reference; s++)
            add_tests(ids[d], schedules[s], tests, count);
        if (reference)
            add_tests(ids[d], "reference", tests, count);
    }
    return _cmocka_run_group_tests(group, units, unit_count, NULL, close_opened);
}

int run_on_choices(const char *group, const struct device_test *tests, size_t count)
{
    char ids[MOST_DEVICES][32];
    size_t devices = device_ids(ids, MOST_DEVICES);
    for (size_t d = 0; d < devices; d++)
        add_tests(ids[d], "chosen", tests, count);
    return _cmocka_run_group_tests(group, units, unit_count, NULL, close_opened);
}
