/* A hill climb towards the rows that a schedule errs on the most: what test_adversary.c is about.
 */
#ifndef AN_TESTS_CLIMB_H
#define AN_TESTS_CLIMB_H

#include "schedules.h"

enum { VALUES = 16, CANDIDATES = 32, KEPT = 4 };

struct pattern {
    double values[VALUES];
    uint32_t times;   /* that each value stands in a row before the next */
    uint32_t leading; /* elements at the beginning that are `first` instead */
    double first;
    double share; /* of the bound: its largest error */
};

/* What is climbed for, as a share of its bound: the largest of y, mean and rstd, or of the numbers
 * of a shard. */
struct climb {
    struct subject *subject;
    anynorm_spec spec;
    anynorm_plan *plan;
    anynorm_buffer x, y, mean, rstd, partials;
    void *bytes;
    double *h, *got;
    float *means, *rstds, *shards;
    struct random random;
};

/* Columns of the rows that are climbed with. */
enum { CLIMB_LENGTHS = 3 };
extern const uint64_t climb_lengths[CLIMB_LENGTHS];

/* The climb's spec but for its columns, or false where the device has not its type, or there is
 * nothing to see: f32, which partials are, hides the errors of f64. */
bool climb_specify(struct climb *climb, anynorm_dtype type, uint32_t flags);

/* Climbs with rows of so many columns for `usual` generations, or $ANYNORM_TEST_SEARCH; what is
 * found goes to stderr, and into the subject's worst. */
void climb_with(struct climb *climb, uint64_t columns, uint64_t usual);

/* By hand: room for CANDIDATES rows, whose shares the second finds. */
void climb_make(struct climb *climb);
void climb_measure(struct climb *climb, struct pattern *patterns);
void climb_free(struct climb *climb);
void climb_print(const struct climb *climb, const struct pattern *p);

#endif
