/* The variants of one spec against each other: which there are, which are right, how fast they are.
 */
#ifndef ANYNORM_CLI_TUNE_RACE_H
#define ANYNORM_CLI_TUNE_RACE_H

#include "common/cli.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct tune_variant {
    char choice[sizeof(((anynorm_variant *)0)->choice)];
    anynorm_plan *plan; /* NULL: not in the race, as it cannot be had or is wrong */
    char wrong[200];    /* what is wrong with its results; "": nothing */
    double share;       /* its time as a share of the baseline's; INFINITY: far behind */
};

struct tune_race {
    anynorm_device *device;
    anynorm_device *reference;
    const anynorm_device_info *info; /* of the device */
    anynorm_spec spec;
    uint64_t run; /* of spec_interleave, by which the spec is of so many rows; 0: rows are dense */
    bool quick;
    void (*step)(void *user); /* called `count` times, by what takes long */
    void *user;
    /* The rest is found. */
    struct tune_variant variants[ANYNORM_MAX_VARIANTS];
    size_t count;
    size_t own;      /* the variant that the library takes without tuning */
    size_t baseline; /* the variant that the others are compared with */
};

/* Lists the variants of the spec, verifies each, and makes plans of those that are right. False
 * where none is, or the work itself fails. */
bool tune_race_enter(struct tune_race *race);
void tune_race_free(struct tune_race *race);

/* Whether the tensors of so many rows find room on the device. */
bool tune_race_has_room(const struct tune_race *race, uint64_t rows);

/* Runs every variant that has a plan on `rows` rows. One whose rows then differ from those of a
 * small launch is wrong: its plan is destroyed. Then times what is left, taking turns; warm where
 * the tensors fit the cache, cold beyond. */
bool tune_race_run(struct tune_race *race, uint64_t rows);

#endif
