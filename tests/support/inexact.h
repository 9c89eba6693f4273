/* Devices whose arithmetic is as inexact as OpenCL lets it be, played by one that rounds correctly:
 * in the text of each kernel every f32 division that a result is made of is made to be off by up
 * to 2.5 units of the last place, reciprocal roots by 2 and exponentials by 2 more than their own.
 */
#ifndef AN_TESTS_INEXACT_H
#define AN_TESTS_INEXACT_H

/* Which way they are off. */
enum inexact {
    INEXACT_UP,          /* away from 0 */
    INEXACT_DOWN,        /* towards it */
    INEXACT_TURNS,       /* each division of the text the other way than the one before */
    INEXACT_OTHER_TURNS, /* the same from the other end */
    INEXACT_HASHED,      /* by a hash of the bits of each result */
    INEXACT_WAYS,
    /* Divisions alone, by a share of 2^-7: what no test may pass that sees a division's result. */
    INEXACT_GROSSLY = INEXACT_WAYS
};

/* Programs made from now on are made so, until inexact_end; an open device keeps those it has. */
void inexact_begin(enum inexact way);
/* Fails the test unless programs were made, in each of which what is replaced was there. */
void inexact_end(void);
/* For a teardown: as inexact_end, but after a test that failed. */
void inexact_drop(void);

const char *inexact_name(enum inexact way);

#endif
