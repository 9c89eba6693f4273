/* The sizes of a network, from its config.json. */
#ifndef ENCODER_CONFIG_H
#define ENCODER_CONFIG_H

#include <stddef.h>

struct config {
    size_t hidden; /* columns of a token's vector */
    size_t layers;
    size_t heads;
    size_t intermediate; /* columns between the two matrices of the feed-forward network */
    size_t positions;    /* the most tokens of a sentence */
    double eps;
};

struct config config_read(const char *folder);

#endif
