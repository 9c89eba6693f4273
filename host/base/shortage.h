/* Errors that say nothing of a file, only that the process or machine is short of something now. */
#ifndef AN_SHORTAGE_H
#define AN_SHORTAGE_H

#include <errno.h>
#include <stdbool.h>

static inline bool an_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

#endif
