/* The page of anynorm explain: the numbers that a device finds, and the text around them. */
#ifndef ANYNORM_CLI_EXPLAIN_H
#define ANYNORM_CLI_EXPLAIN_H

#include "common/cli.h"
#include "files/output.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a page can show and a reader can take in. */
enum { EXPLAIN_MOST = 1024 };

/* x as a matrix [samples, channels], or as images [samples, channels, height, width]. */
struct explain_set {
    const char *name;
    uint64_t samples;
    uint64_t channels;
    uint64_t height;
    uint64_t width;
    float x[EXPLAIN_MOST];
};

enum explain_norm {
    EXPLAIN_LAYER,
    EXPLAIN_RMS,
    EXPLAIN_BATCH,
    EXPLAIN_INSTANCE,
    EXPLAIN_GROUP,
    EXPLAIN_NORMS
};

/* What a device finds, weight 1 and bias 0. */
struct explain_numbers {
    uint64_t rows; /* of the norm: each has a statistic */
    float y[EXPLAIN_MOST];
    float mean[EXPLAIN_MOST];
    float rstd[EXPLAIN_MOST];
    float dx[EXPLAIN_MOST]; /* of the first element of y in each row: what changes it */
};

#define EXPLAIN_EPS 1e-5

/* In how many groups the channels of a set are normalized by GroupNorm. */
uint64_t explain_groups(const struct explain_set *set);

/* Whether the norm is one of the set's: a matrix has no pixels for groups and instances. */
bool explain_has(const struct explain_set *set, enum explain_norm norm);

bool explain_find(anynorm_device *device, const struct explain_set *set, enum explain_norm norm,
                  struct explain_numbers *numbers);

/* Writes the whole page. */
bool explain_page_write(struct output *output, anynorm_device *device,
                        const struct explain_set *sets, size_t count);

#endif
