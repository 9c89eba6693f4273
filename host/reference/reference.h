/* The reference backend: plain C on the calling thread, always there; the oracle of the tests. */
#ifndef AN_REFERENCE_H
#define AN_REFERENCE_H

#include "backend.h"

extern const struct an_backend an_reference_backend;

#endif
