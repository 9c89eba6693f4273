/* A table of OpenCL functions of which one call, or all from one call on, fail. */
#ifndef AN_TESTS_FAULT_TABLE_H
#define AN_TESTS_FAULT_TABLE_H

#include <stdbool.h>

#include "opencl/library.h"

/* What is to fail, and what has. */
struct fault {
    unsigned long at; /* this call, counted from 1; 0: none */
    bool sticky;      /* and every later one */
    cl_int code;
    bool armed;
    unsigned long calls;
    unsigned long fired; /* how often it struck */
    const char *call;    /* the function it struck first in the present step */
    const char *step;    /* what the test is calling; the test sets it */
    bool in_unmap;       /* the last command enqueued before it struck was an unmap */
};

/* How many objects the library holds: made or retained, and not released; and mapped memory. */
struct live {
    long contexts, queues, memory, programs, kernels, events, mappings;
};

/* Puts the wrappers in, and the driver's functions back. */
void fault_install(void);
void fault_uninstall(void);

/* Sets the fault, not yet armed; returns what is alive now. */
struct live fault_start(unsigned long at, bool sticky, cl_int code);
void fault_arm(void);
void fault_stop(void);
/* Fails the test unless exactly `before` is alive. */
void fault_check_live(const struct live *before);

/* Prints how often a fault struck, over all that was started. */
void fault_print(const char *what);

struct fault *fault_now(void);
/* The table with the wrappers, to change it further; and the driver's own functions. */
struct an_cl *fault_table(void);
const struct an_cl *fault_real(void);
/* The queue that the last device opened made. */
cl_command_queue fault_queue(void);

#endif
