/* Where what a rank writes to stderr ends up. */
#ifndef ANYNORM_MPI_TERMINAL_H
#define ANYNORM_MPI_TERMINAL_H

#include <stdbool.h>

/* Whether it is seen on a terminal: stderr is one, or a pipe that a process above this one reads,
 * as mpirun does, whose own stderr is seen on one. Of what /proc does not tell it is not. */
bool terminal_shows(void);

#endif
