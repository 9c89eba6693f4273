/* The kernel sources, embedded at build time by kernels/embed.py. */
#ifndef AN_OPENCL_SOURCES_H
#define AN_OPENCL_SOURCES_H

#include <stddef.h>

struct an_source {
    const char *name; /* of the schedule; NULL ends the table */
    const char *text;
    size_t length;
};

extern const struct an_source an_sources[];

#endif
