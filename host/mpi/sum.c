/* The sum over ranks in a fixed order: each rank gets all ranks' values of its own part, adds them
 * up, and gives the sums to all. */
#include <stdlib.h>
#include <string.h>

#include "message.h"

/* MPI counts in int: so many elements go at a time. */
enum { MOST = 1 << 24 };

struct sum {
    MPI_Comm communicator;
    int rank, size;
    anynorm_dtype type;
    size_t element;
    MPI_Datatype moved; /* an element, as bytes */
    int *counts, *places;
    unsigned char *parts; /* of each rank, this rank's part */
};

static int part_of(int count, int size, int rank)
{
    return count / size + (rank < count % size ? 1 : 0);
}

static void add_up(const struct sum *s, int part, unsigned char *sums)
{
    for (int i = 0; i < part; i++) {
        double total = 0;
        for (int rank = 0; rank < s->size; rank++) {
            double value = anynorm_dtype_load(s->type, s->parts,
                                              (uint64_t)rank * (uint64_t)part + (uint64_t)i);
            total = rank == 0 ? value : total + value;
        }
        anynorm_dtype_store(s->type, sums, (uint64_t)i, total);
    }
}

static anynorm_status sum_some(struct sum *s, unsigned char *values, int count)
{
    int own = part_of(count, s->size, s->rank), place = 0;
    int *receives = s->counts + s->size, *receive_places = s->places + s->size;
    for (int rank = 0; rank < s->size; rank++) {
        s->counts[rank] = part_of(count, s->size, rank);
        s->places[rank] = place;
        place += s->counts[rank];
        receives[rank] = own;
        receive_places[rank] = rank * own;
    }
    int error = MPI_Alltoallv(values, s->counts, s->places, s->moved, s->parts, receives,
                              receive_places, s->moved, s->communicator);
    if (error != MPI_SUCCESS)
        return an_mpi_status(error, "MPI_Alltoallv");
    add_up(s, own, values + (size_t)s->places[s->rank] * s->element);
    error = MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, s->counts, s->places,
                           s->moved, s->communicator);
    return an_mpi_status(error, "MPI_Allgatherv");
}

/* Whether the sums are of what all ranks have. */
static anynorm_status check(MPI_Comm communicator, anynorm_dtype type, uint64_t count)
{
    /* The least, and the least of the negated: so the greatest. */
    int64_t own[] = {(int64_t)type, -(int64_t)type, (int64_t)count, -(int64_t)count}, least[4];
    int error = MPI_Allreduce(own, least, 4, MPI_INT64_T, MPI_MIN, communicator);
    if (error != MPI_SUCCESS)
        return an_mpi_status(error, "MPI_Allreduce");
    if (least[0] != -least[1] || least[2] != -least[3])
        return an_mpi_fail(ANYNORM_INVALID_ARGUMENT, "the ranks' types or counts differ");
    if (type != ANYNORM_F32 && type != ANYNORM_F16 && type != ANYNORM_BF16 && type != ANYNORM_F64)
        return an_mpi_fail(ANYNORM_INVALID_ARGUMENT, "type is none of f32, f16, bf16 and f64");
    return ANYNORM_OK;
}

anynorm_status anynorm_mpi_sum(MPI_Comm communicator, anynorm_dtype type, void *values,
                               uint64_t count)
{
    anynorm_status status = check(communicator, type, count);
    if (status != ANYNORM_OK || count == 0)
        return status;
    struct sum s = {
        .communicator = communicator, .type = type, .element = anynorm_dtype_size(type)};
    int most = count < MOST ? (int)count : MOST;
    (void)MPI_Comm_rank(communicator, &s.rank);
    (void)MPI_Comm_size(communicator, &s.size);
    s.counts = calloc(2 * (size_t)s.size, sizeof(*s.counts));
    s.places = calloc(2 * (size_t)s.size, sizeof(*s.places));
    s.parts = malloc(((size_t)most / (size_t)s.size + 1) * (size_t)s.size * s.element);
    if (!values)
        status = an_mpi_fail(ANYNORM_INVALID_ARGUMENT, "values is NULL");
    else if (!s.counts || !s.places || !s.parts)
        status = an_mpi_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for the ranks' values");
    else
        status = an_mpi_status(MPI_Type_contiguous((int)s.element, MPI_BYTE, &s.moved),
                               "MPI_Type_contiguous");
    bool typed = status == ANYNORM_OK;
    if (typed)
        status = an_mpi_status(MPI_Type_commit(&s.moved), "MPI_Type_commit");
    status = an_mpi_agree(communicator, status);
    for (uint64_t done = 0; done < count && status == ANYNORM_OK; done += MOST) {
        int some = count - done < MOST ? (int)(count - done) : MOST;
        status = sum_some(&s, (unsigned char *)values + done * s.element, some);
    }
    if (typed)
        (void)MPI_Type_free(&s.moved);
    free(s.parts);
    free(s.places);
    free(s.counts);
    return status;
}
