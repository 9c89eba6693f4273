/* A bar of the progress of all ranks, which rank 0 draws where it is seen. */
#ifndef ANYNORM_MPI_WATCH_H
#define ANYNORM_MPI_WATCH_H

#include "common/cli.h"

#include <mpi.h>

struct watch {
    MPI_Comm all;
    int rank;
    bool seen;           /* by somebody: else nothing is sent */
    int at_work;         /* rank 0: others that have not ended */
    uint64_t done;       /* of this rank; rank 0: of all, as far as it has heard */
    uint64_t own;        /* rank 0: of these its own; others: what has been sent of theirs */
    uint64_t message[2]; /* what is new, and whether it is the last message */
    MPI_Request sending; /* it */
    double last;
    struct progress bar;
};

/* `total`: of all ranks together. Collective; it must be ended, whatever happens. */
void watch_start(struct watch *watch, MPI_Comm all, uint64_t total);

/* How much this rank has done so far. Waits for nobody. */
void watch_update(struct watch *watch, uint64_t done);

/* When it has no more to do; on rank 0, which draws meanwhile, it returns when all have ended. Once
 * more does nothing. */
void watch_end(struct watch *watch);

#endif
