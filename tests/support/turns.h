/* How the cases of a spec's whole family are shared out: each spec on each schedule is a program to
 * compile, which takes a third of a second to some seconds. */
#ifndef AN_TESTS_TURNS_H
#define AN_TESTS_TURNS_H

#include "choice/choice.h"
#include "schedules.h"

/* Whether only some cases are for the subject, as on all devices but the reference. */
bool few(const struct subject *subject);

/* From one case to the next: 1 on the reference. */
size_t step(const struct subject *subject, size_t usual, size_t in_short);

bool is_simulator(const struct subject *subject);

/* Checks the problem; on a simulator, which takes a thousand times as long, only where it is small.
 */
void take(struct subject *subject, const struct problem *problem);

enum an_schedule schedule_of(const struct subject *subject);

/* All schedules that serve the spec on the subject's device, as the library sees it: a set of bits.
 */
unsigned servers(const struct subject *subject, const anynorm_spec *spec);

/* Whether it is for the subject's schedule to take the spec of number `i`, of specs that only one
 * each takes: column_walk those that no other serves. */
bool has_turn(const struct subject *subject, const anynorm_spec *spec, size_t i);

#endif
