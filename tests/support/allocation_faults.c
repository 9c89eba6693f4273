#include "allocation_faults.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail_call(const char *call, anynorm_status status, const char *why)
{
    const struct allocations *now = allocations_now();
    fprintf(stderr, "allocation %lu%s, in %s: %s; status \"%s\", message: %s\n", now->at,
            now->sticky ? " on" : "", call, why, anynorm_status_name(status), anynorm_message());
    fail();
}

enum verdict judge_allocations(const char *call, anynorm_status status, bool untouched,
                               unsigned long fired)
{
    const struct allocations *now = allocations_now();
    if (status == ANYNORM_OK)
        return WENT_WELL;
    if (now->fired == fired)
        fail_call(call, status, "fails without a fault");
    if (status != ANYNORM_OUT_OF_MEMORY)
        fail_call(call, status, "it was memory that it lacked");
    if (!strstr(anynorm_message(), "memory"))
        fail_call(call, status, "the message does not say so");
    if (!untouched)
        fail_call(call, status, "an output was written");
    return now->sticky ? GIVE_UP : TRY_AGAIN;
}

void check_without(anynorm_status status, const char *call)
{
    static unsigned long before;
    allocations_leave();
    unsigned long calls = allocations_now()->calls;
    if (status != ANYNORM_OK)
        fail_call(call, status, "failed");
    if (calls != before)
        fail_call(call, status, "it allocates");
    before = calls;
}

static void play(const char *name, void (*scenario)(void *user), void *user, unsigned long at,
                 bool sticky)
{
    size_t live = allocations_live();
    allocations_start(at, sticky);
    scenario(user);
    allocations_stop();
    if (allocations_live() == live)
        return;
    fprintf(stderr, "%s: allocation %lu%s failed: %zu were alive, then %zu\n", name, at,
            sticky ? " and all later" : "", live, allocations_live());
    fail();
}

void fail_each_allocation(const char *name, void (*scenario)(void *user), void *user,
                          unsigned long least)
{
    unsigned long runs = 0, before = allocations_injected();
    allocations_start(0, false);
    scenario(user); /* what is kept for the process or the scene's device is made here */
    for (int sticky = 0; sticky < 2; sticky++) {
        bool fired = true;
        for (unsigned long at = 1; fired; at++) {
            play(name, scenario, user, at, sticky != 0);
            fired = allocations_now()->fired > 0;
            runs += fired;
            assert_true(at < 2000);
        }
    }
    fprintf(stderr, "%s: %lu runs, in which %lu allocations failed\n", name, runs,
            allocations_injected() - before);
    assert_true(runs >= 2 * least);
}

void print_allocations(void)
{
    extern const char __executable_start;
    fprintf(stderr, "%lu allocations failed, in %zu places\n", allocations_injected(),
            allocations_sites());
    for (size_t i = 0; i < allocations_sites() && getenv("ANYNORM_TEST_SITES"); i++)
        fprintf(stderr, "site 0x%" PRIxPTR "\n",
                (uintptr_t)allocations_site(i) - (uintptr_t)&__executable_start - 1);
}
