/* What libanynorm_mpi tells of its failures, and how its ranks agree on them. */
#ifndef ANYNORM_MPI_INTERNAL_H
#define ANYNORM_MPI_INTERNAL_H

#include <anynorm/mpi.h>

#include "platform/printf.h"

/* Sets this thread's message and returns the status. */
AN_PRINTF(2, 3) anynorm_status an_mpi_fail(anynorm_status status, const char *format, ...);

/* The same for a call of libanynorm that failed: with its message. OK is passed on. */
anynorm_status an_mpi_pass(anynorm_status status);

/* The status of a call of MPI. */
anynorm_status an_mpi_status(int error, const char *call);

/* The status of the lowest rank whose own is none of OK, and its message, on all ranks. */
anynorm_status an_mpi_agree(MPI_Comm communicator, anynorm_status own);

#endif
