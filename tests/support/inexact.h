/* Devices whose arithmetic is as inexact as OpenCL or Vulkan lets it be, played by one that rounds
 * correctly: in each kernel every f32 division that a result is made of is made to be off by up to
 * 2.5 units of the last place, reciprocal roots by 2 and exponentials by what the language allows.
 * Of OpenCL it is the kernel's text that is changed, of Vulkan its SPIR-V.
 */
#ifndef AN_TESTS_INEXACT_H
#define AN_TESTS_INEXACT_H

#include <anynorm/anynorm.h>

/* Which way they are off. */
enum inexact {
    INEXACT_UP,          /* away from 0 */
    INEXACT_DOWN,        /* towards it */
    INEXACT_TURNS,       /* each division of a kernel the other way than the one before */
    INEXACT_OTHER_TURNS, /* the same from the other end */
    INEXACT_HASHED,      /* by a hash of the bits of each result */
    INEXACT_WAYS,
    /* Divisions alone, by a share of about 2^-7: what no test may pass that sees a division's
     * result. */
    INEXACT_GROSSLY = INEXACT_WAYS
};

/* Whether a device has kernels that can be made so, by its id. */
bool inexact_serves(const char *id);

/* Opens the device for programs that are made so, until inexact_end. One at a time. */
anynorm_device *inexact_open(const char *id, enum inexact way);
/* Fails the test unless programs were made, in each of which what is replaced was there. */
void inexact_end(void);
/* For a teardown: as inexact_end, but after a test that failed. */
void inexact_drop(void);

const char *inexact_name(enum inexact way);

#endif
