/* Rows divided over the ranks: each has consecutive rows of all. */
#ifndef ANYNORM_MPI_ROWS_H
#define ANYNORM_MPI_ROWS_H

#include "ranks.h"

/* What the part of a rank in the run needs; both outlive the share. */
struct rows {
    struct ranks *ranks;
    const struct norm *work;
};

/* The rows of the rank with a number, with the plan made: begun where the run may be divided. */
struct norm_share rows_share(struct rows *rows, int rank);

#endif
