/* What the command line asks for. */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

enum { MOST_WARMUPS = 4, MOST_STEPS = 100000 };

struct options {
    bool check;
    bool placements[PLACEMENTS];
    int warmups[MOST_WARMUPS]; /* steps each, one run of every placement for each */
    int warmup_count;
    struct sizes sizes;
    int deep; /* layers of the models whose gradients are looked at before training */
    int steps;
    double rate;
    uint64_t seed;
    const char *folder;
};

/* Misuse is one line on stderr, and the end with status 2. */
void options_read(struct options *options, int argc, char **argv);

#endif
