/* Specs few in number of which every two levels of every two factors of a spec, that may stand
 * together, do so in one: a covering array. A factor is a flag, a count, a type, the layout of the
 * rows, or their length; a capability that is absent is a level, too. */
#ifndef AN_TESTS_PAIRS_H
#define AN_TESTS_PAIRS_H

#include "support.h"

enum { PAIR_FACTORS = 32, PAIR_LEVELS = 6, PAIR_CELLS = 91, MOST_PAIR_SPECS = 256 };

/* The level of each factor. */
struct levels {
    unsigned char of[PAIR_FACTORS];
};

/* Whether specs are wanted: beside being legal, that a schedule serves them, or a device has their
 * types. */
typedef bool pairs_wanted(void *context, const anynorm_spec *spec);

struct pairs {
    size_t count;
    struct levels specs[MOST_PAIR_SPECS];
    size_t alone_count; /* specs of one level alone, beside what it needs, all others at their first
                         */
    struct levels alone[PAIR_CELLS];
    size_t possible; /* pairs of levels that a wanted spec can have */
    size_t missing;  /* those of them that none of `specs` has */
};

/* Finds them; the same ones each time. */
void pairs_find(struct pairs *pairs, pairs_wanted *wanted, void *context);

/* Numbers of a spec that are compiled into no kernel: its columns and strides, its counts, eps.
 * Each spec has PAIR_WAYS ways of them. */
enum { PAIR_WAYS = 3 };
anynorm_spec pairs_spec(const struct levels *levels, int way);

#endif
