#include "platform/threads.h"

void an_mutex_init(an_mutex *mutex)
{
    pthread_mutex_init(mutex, NULL);
}

void an_mutex_destroy(an_mutex *mutex)
{
    pthread_mutex_destroy(mutex);
}

void an_mutex_lock(an_mutex *mutex)
{
    pthread_mutex_lock(mutex);
}

void an_mutex_unlock(an_mutex *mutex)
{
    pthread_mutex_unlock(mutex);
}

void an_once_call(an_once *once, void (*function)(void))
{
    pthread_once(once, function);
}
