/* Allocations of the library that fail. The linker sends every one of its archive's here (--wrap);
 * those of drivers and of libc, which are shared libraries, go their own way. What the test itself
 * allocates is told apart by when: the library's are between enter and leave. */
#ifndef AN_TESTS_ALLOCATIONS_H
#define AN_TESTS_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

struct allocations {
    unsigned long at; /* this allocation fails, counted from 1; 0: none */
    bool sticky;      /* and every later one */
    unsigned long calls;
    unsigned long fired; /* how many failed */
};

/* Sets what is to fail; what is alive stays counted. */
void allocations_start(unsigned long at, bool sticky);
void allocations_stop(void);
const struct allocations *allocations_now(void);

void allocations_enter(void);
void allocations_leave(void);

/* How many were made inside, and not freed. Files and folders that are open count, too. */
size_t allocations_live(void);

/* Over all that was started: the faults that struck, and the places in the program that they
 * struck at. Place `index` as an address. */
unsigned long allocations_injected(void);
size_t allocations_sites(void);
const void *allocations_site(size_t index);

#endif
