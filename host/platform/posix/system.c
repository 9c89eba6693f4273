#include "platform/system.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

double an_clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void an_sleep_nanoseconds(long nanoseconds)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

int64_t an_wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

long an_process_number(void)
{
    return (long)getpid();
}

unsigned an_processor_count(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (unsigned)cores : 1;
}

uint64_t an_host_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
}

void *an_aligned_alloc(size_t alignment, size_t size)
{
    if (size > SIZE_MAX - alignment)
        return NULL;
    return aligned_alloc(alignment, (size / alignment + 1) * alignment); /* it demands a multiple */
}

void an_aligned_free(void *memory)
{
    free(memory);
}

bool an_stderr_is_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}
