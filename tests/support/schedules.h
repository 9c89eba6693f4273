/* What the tests of every schedule on every device share. */
#ifndef AN_TESTS_SCHEDULES_H
#define AN_TESTS_SCHEDULES_H

#include "support.h"

/* What a test finds in *state. */
struct subject {
    char name[96];
    char device_id[32];
    const char *schedule;
    CMUnitTestFunction function;
    anynorm_device *device;
    anynorm_device_info info;
    struct errors worst;
    int offered; /* problems that the selection says the schedule serves */
    int refused; /* those that a compiled kernel then did not */
};

/* Whether the schedule serves the spec on this device, as the library sees it. */
bool fits(const struct subject *subject, const anynorm_spec *spec);

/* Whether a sample is run, by $ANYNORM_TEST_SAMPLE. */
bool is_sampled(void);

/* Whether a program is in the sample that is run: all are, but with $ANYNORM_TEST_SAMPLE=N each
 * N-th, on each kind of device others. Compiling is what takes the time of these tests, so what
 * follows, too, takes only those. */
bool in_sample(const anynorm_device_info *info, const char *choice, const anynorm_spec *spec,
               uint32_t group_size);

/* The problem against the oracle, where the schedule serves it. */
void check(struct subject *subject, const struct problem *problem);

/* The same on a device of the subject's kind, with a group size; 0: the library's. The schedule is
 * taken to serve it. */
void check_offered(struct subject *subject, anynorm_device *device, const struct problem *problem,
                   uint32_t group_size);

/* A plan of the schedule, or NULL where it does not serve the spec, where the compiled kernel's own
 * limits rule it out, or where it is not in the sample. */
anynorm_plan *offered_plan(struct subject *subject, const anynorm_spec *spec);

/* Of one row. */
void assert_same_bits(const void *batch, const void *alone, uint64_t bytes, const char *what);

/* Runs every test on each device, with every schedule it has, or once with "chosen" for a schedule;
 * returns what main does. */
int run_on_schedules(const char *group, const struct device_test *tests, size_t count);
int run_on_choices(const char *group, const struct device_test *tests, size_t count);

#endif
