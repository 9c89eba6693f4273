/* Two plans and the gather between them. What a rank sends are its partial statistics and, behind
 * them, a status: so that the others hear of a failure where they would wait for its numbers. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

enum { NUMBERS = 3 /* of a row's partials */ };

/* What of a norm says how h is made; all else belongs to the second plan. */
#define OF_H                                                                                       \
    (ANYNORM_RMS | ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT |       \
     ANYNORM_STORED_SUM | ANYNORM_ANY_ALIGNMENT)
#define NOT_OF_A_PAIR                                                                              \
    (ANYNORM_PARTIALS_OUTPUT | ANYNORM_PARTIALS_INPUT | ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT)

struct anynorm_mpi_pair {
    anynorm_device *device;
    MPI_Comm communicator;
    int size;
    uint64_t most;
    anynorm_spec first, second;
    anynorm_plan *finds, *finishes;
    anynorm_buffer own, all; /* partials, of this rank and of all */
    float *sent, *received;  /* [most * NUMBERS + 1], of each rank */
    double waited;           /* seconds */
    /* Between begin and end: */
    bool begun;
    anynorm_status status; /* this rank's */
    anynorm_tensors tensors;
    uint64_t rows;
    MPI_Request request;
};

static anynorm_status check(const anynorm_spec *spec, uint64_t rows)
{
    if (!spec || rows == 0)
        return an_mpi_fail(ANYNORM_INVALID_ARGUMENT, "spec is NULL, or rows is 0");
    if (spec->flags & NOT_OF_A_PAIR)
        return an_mpi_fail(
            ANYNORM_INVALID_ARGUMENT,
            "the spec of a pair is that of the norm: it finds mean and rstd, and has "
            "no partials, mean or rstd as inputs");
    if (spec->gradients.flags)
        return an_mpi_fail(ANYNORM_INVALID_ARGUMENT, "a pair finds no gradients");
    if (rows > (INT32_MAX / NUMBERS) - 1)
        return an_mpi_fail(ANYNORM_INVALID_ARGUMENT, "more rows than MPI counts at a time");
    return ANYNORM_OK;
}

static anynorm_spec first_of(const anynorm_spec *spec)
{
    anynorm_spec first = {.columns = spec->columns,
                          .flags = (spec->flags & OF_H) | ANYNORM_PARTIALS_OUTPUT,
                          .inner_rows = spec->inner_rows,
                          .column_run = spec->column_run,
                          .x = spec->x,
                          .residual = spec->residual,
                          .sum = spec->sum,
                          .gate = spec->gate};
    if (spec->flags & ANYNORM_GATE)
        first.sample_rows = spec->sample_rows;
    if (spec->flags & ANYNORM_PRE_BIAS)
        first.parameters = spec->parameters;
    first.parameters.weight_offset = 0;
    return first;
}

/* Everything but the communicator. */
static anynorm_status make(anynorm_mpi_pair *pair, const anynorm_spec *spec)
{
    const size_t numbers = (size_t)pair->most * NUMBERS, ranks = (size_t)pair->size;
    pair->first = first_of(spec);
    pair->second = *spec;
    pair->second.flags |= ANYNORM_PARTIALS_INPUT;
    pair->second.statistic.shards = ranks;
    anynorm_status status = anynorm_plan_create(pair->device, &pair->first, NULL, &pair->finds);
    if (status == ANYNORM_OK)
        status = anynorm_plan_create(pair->device, &pair->second, NULL, &pair->finishes);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_create(pair->device, numbers * sizeof(float), &pair->own);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_create(pair->device, numbers * ranks * sizeof(float), &pair->all);
    if (status != ANYNORM_OK)
        return an_mpi_pass(status);
    pair->sent = malloc((numbers + 1) * sizeof(float));
    pair->received = malloc((numbers + 1) * ranks * sizeof(float));
    if (!pair->sent || !pair->received)
        return an_mpi_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for partial statistics");
    return ANYNORM_OK;
}

anynorm_status anynorm_mpi_pair_create(anynorm_device *device, const anynorm_spec *spec,
                                       MPI_Comm communicator, uint64_t rows, anynorm_mpi_pair **out)
{
    *out = NULL;
    anynorm_mpi_pair *pair = calloc(1, sizeof(*pair));
    anynorm_status status = check(spec, rows);
    if (!pair)
        status = an_mpi_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for a pair");
    if (pair) {
        pair->device = device;
        pair->communicator = MPI_COMM_NULL;
        pair->most = rows;
        (void)MPI_Comm_size(communicator, &pair->size);
    }
    if (status == ANYNORM_OK)
        status = make(pair, spec);
    status = an_mpi_agree(communicator, status);
    if (status == ANYNORM_OK)
        status = an_mpi_agree(
            communicator,
            an_mpi_status(MPI_Comm_dup(communicator, &pair->communicator), "MPI_Comm_dup"));
    if (status == ANYNORM_OK)
        (void)MPI_Comm_set_errhandler(pair->communicator, MPI_ERRORS_RETURN);
    if (status == ANYNORM_OK)
        *out = pair;
    else
        anynorm_mpi_pair_destroy(pair);
    return status;
}

/* The tensors of the first plan: those that h is made of. */
static anynorm_tensors tensors_of_first(const anynorm_mpi_pair *pair)
{
    const anynorm_tensors *t = &pair->tensors;
    return (anynorm_tensors){.x = t->x,
                             .residual = t->residual,
                             .sum = t->sum,
                             .pre_bias = t->pre_bias,
                             .gate = t->gate,
                             .partials = pair->own};
}

static anynorm_status run(anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows)
{
    anynorm_event event;
    anynorm_status status = anynorm_enqueue(plan, tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK) {
        status = anynorm_event_wait(&event);
        anynorm_event_release(&event);
    }
    return an_mpi_pass(status);
}

/* This rank's partials of the rows, into what is sent. */
static anynorm_status find(anynorm_mpi_pair *pair)
{
    const anynorm_tensors tensors = tensors_of_first(pair);
    anynorm_status status = run(pair->finds, &tensors, pair->rows);
    if (status == ANYNORM_OK)
        status = an_mpi_pass(anynorm_buffer_read(pair->device, &pair->own, pair->sent,
                                                 pair->rows * NUMBERS * sizeof(float)));
    return status;
}

anynorm_status anynorm_mpi_pair_begin(anynorm_mpi_pair *pair, const anynorm_tensors *tensors,
                                      uint64_t rows)
{
    if (!pair || !tensors || pair->begun || rows > pair->most)
        return an_mpi_fail(
            ANYNORM_INVALID_ARGUMENT,
            "no pair or tensors, a pair that has begun, or more rows than it is for");
    const int count = (int)(rows * NUMBERS) + 1;
    pair->tensors = *tensors;
    pair->rows = rows;
    pair->status = find(pair);
    pair->sent[count - 1] = (float)pair->status;
    const int error = MPI_Iallgather(pair->sent, count, MPI_FLOAT, pair->received, count, MPI_FLOAT,
                                     pair->communicator, &pair->request);
    if (error != MPI_SUCCESS)
        return an_mpi_status(error, "MPI_Iallgather");
    pair->begun = true;
    return pair->status;
}

/* The partials of all ranks, one behind the other, and the status that came with them. */
static anynorm_status take(anynorm_mpi_pair *pair)
{
    const size_t numbers = (size_t)pair->rows * NUMBERS;
    anynorm_status status = pair->status;
    for (int rank = 0; rank < pair->size; rank++) {
        const float *from = pair->received + (size_t)rank * (numbers + 1);
        if (from[numbers] != (float)ANYNORM_OK && status == ANYNORM_OK)
            status = an_mpi_fail((anynorm_status)from[numbers],
                                 "rank %d could not find its partial statistics: %s", rank,
                                 anynorm_status_name((anynorm_status)from[numbers]));
        memmove(pair->received + (size_t)rank * numbers, from, numbers * sizeof(float));
    }
    if (status != ANYNORM_OK)
        return status;
    return an_mpi_pass(anynorm_buffer_write(pair->device, &pair->all, pair->received,
                                            numbers * (size_t)pair->size * sizeof(float)));
}

anynorm_status anynorm_mpi_pair_end(anynorm_mpi_pair *pair)
{
    if (!pair || !pair->begun)
        return an_mpi_fail(ANYNORM_INVALID_ARGUMENT, "no pair that has begun");
    pair->begun = false;
    const double started = MPI_Wtime();
    anynorm_status status = an_mpi_status(MPI_Wait(&pair->request, MPI_STATUS_IGNORE), "MPI_Wait");
    pair->waited += MPI_Wtime() - started;
    if (status == ANYNORM_OK && pair->rows > 0)
        status = take(pair);
    if (status == ANYNORM_OK) {
        anynorm_tensors tensors = pair->tensors;
        tensors.partials = pair->all;
        status = run(pair->finishes, &tensors, pair->rows);
    }
    return status;
}

double anynorm_mpi_pair_waited(const anynorm_mpi_pair *pair)
{
    return pair ? pair->waited : 0;
}

void anynorm_mpi_pair_destroy(anynorm_mpi_pair *pair)
{
    if (!pair)
        return;
    anynorm_plan_destroy(pair->finds);
    anynorm_plan_destroy(pair->finishes);
    anynorm_buffer_destroy(pair->device, &pair->own);
    anynorm_buffer_destroy(pair->device, &pair->all);
    if (pair->communicator != MPI_COMM_NULL)
        (void)MPI_Comm_free(&pair->communicator);
    free(pair->sent);
    free(pair->received);
    free(pair);
}
