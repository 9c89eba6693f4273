/* A process beside this one that removes unfinished files where this one is killed: no signal
 * handler is called then, and some launchers kill all ranks where one has died. */
#ifndef ANYNORM_MPI_GUARD_H
#define ANYNORM_MPI_GUARD_H

/* -1 where there is none: then files may be left, and the functions do nothing. */
struct guard {
    int pipe;
    int process;
};

/* Before MPI_Init, after which a process should not be forked any more. */
struct guard guard_start(void);

/* From now on a file of this name is removed when this process ends, until guard_end. */
void guard_add(const struct guard *guard, const char *path);

/* Removes nothing, and waits for the process beside. */
void guard_end(struct guard *guard);

#endif
