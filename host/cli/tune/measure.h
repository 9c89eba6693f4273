/* Timing the variants of one spec against each other. */
#ifndef ANYNORM_CLI_TUNE_MEASURE_H
#define ANYNORM_CLI_TUNE_MEASURE_H

#include "common/error.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct tune_variant {
    char choice[sizeof(((anynorm_variant *)0)->choice)];
    anynorm_plan *plan; /* NULL: not in the race, as it cannot be had or is wrong */
    char wrong[200];    /* what is wrong with its results; "": nothing */
    double share;       /* its time as a share of the baseline's; INFINITY: far behind */
};

struct tune_measure {
    anynorm_device *device;
    anynorm_spec spec;
    struct tune_variant *variants;
    size_t count;
    size_t baseline; /* the variant that the others are compared with */
    bool quick;
};

/* Whether the tensors of so many rows find room on the device. */
bool tune_has_room(const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows);

/* Runs every variant that has a plan on `rows` rows. One whose rows then differ from those of a
 * small launch is wrong: its plan is destroyed. Then times what is left, taking turns; warm where
 * the tensors fit the cache, cold beyond. `step` is called `count` times. */
bool tune_measure(struct tune_measure *measure, uint64_t rows, void (*step)(void *user), void *user,
                  struct cli_error *error);

#endif
