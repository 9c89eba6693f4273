/* Scenarios of calls in which every allocation of the library's fails, once and from some on. */
#ifndef AN_TESTS_ALLOCATION_FAULTS_H
#define AN_TESTS_ALLOCATION_FAULTS_H

#include "support.h"

#include "allocations.h"

enum verdict { WENT_WELL, TRY_AGAIN, GIVE_UP };

/* What to do after a call that gave `status` while `fired` allocations had failed before it. A call
 * that fails says "out of memory" and leaves its outputs; one without a fault does not fail. */
enum verdict judge_allocations(const char *call, anynorm_status status, bool untouched,
                               unsigned long fired);

/* Makes a call with the fault; after one that strikes once, makes it again, which must then
 * succeed. Jumps to `out` where the call cannot succeed. */
#define STEP(call, untouched)                                                                      \
    do {                                                                                           \
        enum verdict verdict_;                                                                     \
        do {                                                                                       \
            unsigned long fired_ = allocations_now()->fired;                                       \
            allocations_enter();                                                                   \
            anynorm_status status_ = (call);                                                       \
            allocations_leave();                                                                   \
            verdict_ = judge_allocations(#call, status_, (untouched), fired_);                     \
        } while (verdict_ == TRY_AGAIN);                                                           \
        if (verdict_ == GIVE_UP)                                                                   \
            goto out;                                                                              \
    } while (0)

/* The same with no fault and no allocation: the call must not ask for memory at all. */
#define WITHOUT(call) check_without((allocations_enter(), (call)), #call)
void check_without(anynorm_status status, const char *call);

/* Plays the scenario without a fault, and then with each of its allocations failing; what it makes
 * must be gone at its end. Says how many faults that were; `least` or more. */
void fail_each_allocation(const char *name, void (*scenario)(void *user), void *user,
                          unsigned long least);

/* Prints how many faults struck in how many places; with $ANYNORM_TEST_SITES set each place, too,
 * as addr2line takes it. */
void print_allocations(void);

#endif
