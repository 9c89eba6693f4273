#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

static _Thread_local char message[MESSAGE_BYTES];

const char *anynorm_mpi_message(void)
{
    return message;
}

anynorm_status an_mpi_fail(anynorm_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return status;
}

anynorm_status an_mpi_pass(anynorm_status status)
{
    return status == ANYNORM_OK ? status : an_mpi_fail(status, "%s", anynorm_message());
}

anynorm_status an_mpi_status(int error, const char *call)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    if (error == MPI_SUCCESS)
        return ANYNORM_OK;
    (void)MPI_Error_string(error, text, &length);
    return an_mpi_fail(ANYNORM_DEVICE_LOST, "%s failed: %s", call, text);
}

/* One text for each rank would be more than the ranks need: the first that failed sends its own. */
anynorm_status an_mpi_agree(MPI_Comm communicator, anynorm_status own)
{
    int rank, size, first;
    int error = MPI_Comm_rank(communicator, &rank);
    if (error == MPI_SUCCESS)
        error = MPI_Comm_size(communicator, &size);
    if (error != MPI_SUCCESS)
        return an_mpi_status(error, "MPI_Comm_rank");
    int failed = own == ANYNORM_OK ? size : rank;
    error = MPI_Allreduce(&failed, &first, 1, MPI_INT, MPI_MIN, communicator);
    if (error != MPI_SUCCESS)
        return an_mpi_status(error, "MPI_Allreduce");
    if (first == size)
        return ANYNORM_OK;
    struct {
        int status;
        char text[MESSAGE_BYTES];
    } told = {.status = (int)own};
    memcpy(told.text, message, sizeof(told.text));
    error = MPI_Bcast(&told, (int)sizeof(told), MPI_BYTE, first, communicator);
    if (error != MPI_SUCCESS)
        return an_mpi_status(error, "MPI_Bcast");
    if (first == rank)
        return own;
    return an_mpi_fail((anynorm_status)told.status, "rank %d of %d: %.900s", first, size,
                       told.text);
}
