#include "platform/system.h"

#include <malloc.h>

#include "wide.h"

double an_clock_seconds(void)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    return (double)now.QuadPart / (double)frequency.QuadPart;
}

int64_t an_wall_clock(void)
{
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    return an_nanoseconds_of(now);
}

long an_process_number(void)
{
    return (long)GetCurrentProcessId();
}

/* The scheduler counts in milliseconds. */
void an_sleep_nanoseconds(long nanoseconds)
{
    Sleep((DWORD)((nanoseconds + 999999) / 1000000));
}

unsigned an_processor_count(void)
{
    DWORD count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return count > 0 ? count : 1;
}

uint64_t an_host_memory(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof(status)};
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : UINT64_MAX;
}

void *an_aligned_alloc(size_t alignment, size_t size)
{
    return _aligned_malloc(size, alignment);
}

void an_aligned_free(void *memory)
{
    _aligned_free(memory);
}

/* One that does as a terminal's control sequences say. */
bool an_stderr_is_terminal(void)
{
    HANDLE console = GetStdHandle(STD_ERROR_HANDLE);
    DWORD mode;
    return GetConsoleMode(console, &mode) &&
           SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}
