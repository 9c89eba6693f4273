#include "platform/threads.h"

#include "wide.h"

void an_mutex_init(an_mutex *mutex)
{
    InitializeSRWLock((SRWLOCK *)(void *)mutex);
}

void an_mutex_destroy(an_mutex *mutex)
{
    (void)mutex;
}

void an_mutex_lock(an_mutex *mutex)
{
    AcquireSRWLockExclusive((SRWLOCK *)(void *)mutex);
}

void an_mutex_unlock(an_mutex *mutex)
{
    ReleaseSRWLockExclusive((SRWLOCK *)(void *)mutex);
}

struct call {
    void (*function)(void);
};

static BOOL WINAPI call_it(INIT_ONCE *once, void *call, void **context)
{
    (void)once;
    (void)context;
    ((struct call *)call)->function();
    return TRUE;
}

void an_once_call(an_once *once, void (*function)(void))
{
    struct call call = {function};
    InitOnceExecuteOnce((INIT_ONCE *)(void *)once, call_it, &call, NULL);
}
