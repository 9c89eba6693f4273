/* Rows whose columns are divided over the ranks: each has some columns of all rows. */
#ifndef ANYNORM_MPI_COLUMNS_H
#define ANYNORM_MPI_COLUMNS_H

#include "ranks.h"

#include <anynorm/mpi.h>

/* While one block's partial statistics are on their way, those of the next are found. */
enum { COLUMN_SLOTS = 2 };

struct column_slot {
    anynorm_mpi_pair *pair;
    anynorm_tensors tensors;
    uint64_t block, first, rows; /* of x, between begin and end */
};

struct columns {
    struct ranks *ranks;
    struct norm *work;
    uint64_t first, count; /* the rank's columns */
    struct column_slot slots[COLUMN_SLOTS];
    void *memory; /* a block of the widest tensor, on the host */
    bool failed;
    double unmeasured; /* seconds of waiting, in what only warms up */
};

/* After norm_find: refuses what the columns cannot be divided of. */
bool columns_check(const struct ranks *ranks, const struct norm *work);

/* With the device open; collective. In every case it ends with columns_free, collective too. */
bool columns_make(struct columns *columns, struct ranks *ranks, struct norm *work);
void columns_free(struct columns *columns);

/* Normalizes all rows into the files of the ranks; collective. */
bool columns_blocks(struct columns *columns);

/* Seconds that this rank has waited for partial statistics of others. */
double columns_waited(const struct columns *columns);

#endif
