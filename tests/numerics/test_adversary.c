/* Rows made to be summed badly: a hill climb for each schedule, type and statistic, which keeps
 * what errs the most. A chain of additions errs the most where few numbers, each repeated, round
 * the same way in every lane, as no random row does; here the numbers, how often each stands in a
 * row, and what stands before them (a poor guess of the mean) are what is climbed over.
 *
 *     ANYNORM_TEST_SEARCH=N          N generations for each climb, not the usual few
 *     ANYNORM_TEST_SEED=N            begins elsewhere
 *     ANYNORM_TEST_REDUCED=1         f32 and f64 alone, each at one number of columns, not RMS
 */
#include <math.h>

#include "climb.h"
#include "spec_flags.h"

static void test_search(void **state)
{
    static const uint32_t flags[] = {MEAN_OUT | RSTD_OUT, RMS | RSTD_OUT, PARTIALS_OUT};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F64, ANYNORM_F16, ANYNORM_BF16};
    struct subject *subject = *state;

    for (size_t f = 0; f < COUNT(flags); f++) {
        for (size_t t = 0; t < (reduced() ? 2 : COUNT(types)); t++) {
            struct climb climb = {.subject = subject};

            if (!climb_specify(&climb, types[t], flags[f]) || (reduced() && (flags[f] & RMS)))
                continue;
            for (size_t c = 0; c < CLIMB_LENGTHS; c++) {
                if (!reduced() || (f + t) % CLIMB_LENGTHS == c)
                    climb_with(&climb, climb_lengths[c], 8);
            }
        }
    }
    assert_true(subject->worst.y <= 1);
}

/* Rows in range whose squares overflow about their first elements: these lie far off, or all others
 * do, side by side. */
static void test_overflow(void **state)
{
    static const struct {
        anynorm_dtype type;
        double first;
        double others;
        double apart; /* as a share of them */
    } cases[] = {{ANYNORM_F32, 6e17, 1e15, 2},
                 {ANYNORM_BF16, -6e17, 1e15, 2},
                 {ANYNORM_F32, 0, 1e18, 0x1p-16},
                 {ANYNORM_F64, 6e152, 1e150, 2}};
    static const uint32_t flags[] = {0, PARTIALS_OUT};
    struct subject *subject = *state;

    for (size_t i = 0; i < 2 * COUNT(cases); i++) {
        struct climb climb = {.subject = subject};
        struct pattern patterns[CANDIDATES];

        if (!climb_specify(&climb, cases[i / 2].type, flags[i % 2]) ||
            (reduced() && cases[i / 2].type == ANYNORM_BF16))
            continue;
        climb.spec.columns = climb_lengths[0];
        climb.plan = offered_plan(subject, &climb.spec);
        if (!climb.plan)
            continue;
        climb_make(&climb);
        for (size_t k = 0; k < CANDIDATES; k++) {
            patterns[k] =
                (struct pattern){.times = 1u << k % 8, .leading = 16, .first = cases[i / 2].first};
            for (size_t v = 0; v < VALUES; v++)
                patterns[k].values[v] =
                    cases[i / 2].others * (1 + cases[i / 2].apart * (double)(v % 4));
        }
        climb_measure(&climb, patterns);
        for (size_t k = 0; k < CANDIDATES; k++) {
            if (!(patterns[k].share <= 1))
                climb_print(&climb, &patterns[k]);
            assert_true(patterns[k].share <= 1);
        }
        climb_free(&climb);
        anynorm_plan_destroy(climb.plan);
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"rows made to be summed badly", test_search},
        {"squares that overflow about the first elements", test_overflow}};
    return run_on_schedules("adversary", tests, COUNT(tests));
}
