/* Small questions to the system. */
#ifndef AN_SYSTEM_H
#define AN_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a clock that only goes forward. */
double an_clock_seconds(void);

void an_sleep_nanoseconds(long nanoseconds); /* less than a second */

/* Nanoseconds since 1970. */
int64_t an_wall_clock(void);

long an_process_number(void);

/* At least 1. */
unsigned an_processor_count(void);

/* Bytes of the machine's memory; UINT64_MAX: not told. */
uint64_t an_host_memory(void);

/* `alignment` is a power of two. Freed by an_aligned_free alone. */
void *an_aligned_alloc(size_t alignment, size_t size);
void an_aligned_free(void *memory);

/* Whether what goes to stderr is seen by somebody. */
bool an_stderr_is_terminal(void);

#endif
