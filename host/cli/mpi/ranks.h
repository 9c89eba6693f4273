/* The ranks of one run of anynorm-mpi: how they agree, share devices and write one file. */
#ifndef ANYNORM_MPI_RANKS_H
#define ANYNORM_MPI_RANKS_H

#include "guard.h"
#include "norm/norm.h"
#include "watch.h"

#include <mpi.h>

struct ranks {
    MPI_Comm all;
    int rank, size;
    struct guard guard; /* of rank 0's unfinished files */
    struct watch watch;
    MPI_File files[OUTPUTS];
    bool opened[OUTPUTS];
    double waited; /* seconds, for other ranks */
    int64_t step;  /* at which this rank has failed, where there are several */
};

/* Whether all ranks have done well. Else the one that failed at the first step, the lowest of
 * several, tells why, and all return false. */
bool ranks_agree(struct ranks *ranks, bool done, int *exit_status);

/* The same in the midst of work, with nothing told yet: a rank that has done well itself may fail
 * for it, at a later step. */
bool ranks_all(struct ranks *ranks, bool done);

/* One of the machine's devices for this rank, in `id`, where the user names none: its ranks share
 * those that are like the best one. NULL: leave it to the library. */
const char *ranks_device(const struct ranks *ranks, char id[32]);

/* Refuses ranks of different versions of anynorm, and says where they have other devices or
 * kernels. */
bool ranks_compare(struct ranks *ranks, const struct norm *work);

/* Opens the files that rank 0 has made, and puts bytes into that of an output. */
bool ranks_open(struct ranks *ranks, const struct norm *work);
bool ranks_write(struct ranks *ranks, enum norm_output_name output, uint64_t at, const void *data,
                 size_t bytes);
bool ranks_close(struct ranks *ranks);

#endif
