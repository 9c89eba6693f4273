#include "turns.h"

#include <string.h>

#include "spec/spec.h"

bool is_simulator(const struct subject *subject)
{
    return strstr(subject->info.name, "Oclgrind");
}

bool few(const struct subject *subject)
{
    return reduced() || !is_reference(&subject->info);
}

void take(struct subject *subject, const struct problem *problem)
{
    if (!is_simulator(subject) || problem->rows * problem->spec.columns <= 1500)
        check(subject, problem);
}

size_t step(const struct subject *subject, size_t usual, size_t in_short)
{
    return !few(subject) ? 1 : reduced() ? in_short : usual;
}

enum an_schedule schedule_of(const struct subject *subject)
{
    enum an_schedule schedule = AN_SCHEDULE_COUNT;
    assert_true(an_schedule_find(subject->schedule, strlen(subject->schedule), &schedule));
    return schedule;
}

unsigned servers(const struct subject *subject, const anynorm_spec *spec)
{
    unsigned set = 0;
    anynorm_spec resolved;
    assert_ok(an_spec_resolve(spec, &resolved));
    for (struct an_choice wish = {0}, choice; !an_schedule_is_baseline(wish.schedule);
         wish.schedule++) {
        char reason[160];
        if (an_select_fits(&subject->info, &resolved, &wish, &choice, reason))
            set |= 1u << wish.schedule;
    }
    return set;
}

bool has_turn(const struct subject *subject, const anynorm_spec *spec, size_t i)
{
    const unsigned walk = 1u << AN_COLUMN_WALK, mine = 1u << schedule_of(subject);
    unsigned set = servers(subject, spec), before = 0, all = 0;
    if (set & ~walk)
        set &= ~walk;
    for (unsigned bit = 1; bit <= walk; bit *= 2) {
        before += (set & bit) && bit < mine;
        all += (set & bit) != 0;
    }
    return (set & mine) && i % all == before;
}
