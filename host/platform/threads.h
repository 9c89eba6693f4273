/* Locks, and what is done once. C11's <threads.h> is not everywhere. */
#ifndef AN_THREADS_H
#define AN_THREADS_H

#if defined(_WIN32)
typedef struct {
    void *state;
} an_mutex, an_once; /* SRWLOCK and INIT_ONCE, both one pointer that begins as zero */
#define AN_MUTEX_READY                                                                             \
    {                                                                                              \
        0                                                                                          \
    }
#define AN_ONCE_READY                                                                              \
    {                                                                                              \
        0                                                                                          \
    }
#else
#include <pthread.h>
typedef pthread_mutex_t an_mutex;
typedef pthread_once_t an_once;
#define AN_MUTEX_READY PTHREAD_MUTEX_INITIALIZER
#define AN_ONCE_READY PTHREAD_ONCE_INIT
#endif

void an_mutex_init(an_mutex *mutex);
void an_mutex_destroy(an_mutex *mutex);
void an_mutex_lock(an_mutex *mutex);
void an_mutex_unlock(an_mutex *mutex);

void an_once_call(an_once *once, void (*function)(void));

#endif
