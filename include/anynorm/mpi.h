/* anynorm over MPI: norms of rows whose columns are divided over processes (tensor parallelism),
 * and the sum of gradients that processes have found of their own rows (data parallelism).
 *
 * This is libanynorm_mpi, built where MPI is there (Open MPI or MPICH; it must be the MPI that the
 * program is built with). libanynorm itself knows nothing of MPI. Communication is MPI's alone, and
 * through host memory: OpenCL's and Vulkan's buffers are no pointers that an MPI could take.
 *
 * Every function here but the message and the seconds waited is collective: all processes of the
 * communicator call it, in the same order. Where one of them fails, all are told, by the status of
 * the first that failed; none waits for another that has given up. Threads: one call at a time for
 * a communicator, as MPI_THREAD_SERIALIZED allows; from one thread MPI_THREAD_FUNNELED does. */
#ifndef ANYNORM_MPI_H
#define ANYNORM_MPI_H

#include <anynorm/anynorm.h>

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What went wrong in the last call of this header that failed on this thread, with its reason; of
 * another process where that is where it failed. Valid until the thread's next call. */
ANYNORM_API const char *anynorm_mpi_message(void);

/* ---- Rows whose columns are divided ---------------------------------------------------------- */

/* The two plans of a rank, and the gather between them: see "Rows that are sharded over devices" in
 * anynorm.h, whose bound holds. */
typedef struct anynorm_mpi_pair anynorm_mpi_pair;

/* A pair for at most `rows` rows (1 or more) at a time. `spec` is that of the norm of the rank's
 * own columns, as if they were all there are: weight, bias, y and whatever else it names are the
 * rank's part. Ranks may differ in columns, strides and tensors, but not in whether it is RMS or
 * L2. Its sums of squares are f32, and it finds no gradients. `device` must outlive the pair; the
 * communicator is duplicated. *pair is NULL where it fails. INVALID_ARGUMENT: also a spec with
 * partials, with statistics that are given, or with gradients. As anynorm_plan_create, for either
 * plan; OUT_OF_MEMORY. */
ANYNORM_API anynorm_status anynorm_mpi_pair_create(anynorm_device *device, const anynorm_spec *spec,
                                                   MPI_Comm communicator, uint64_t rows,
                                                   anynorm_mpi_pair **pair);

/* Finds the partial statistics of `rows` rows, the same number on all ranks, and starts gathering
 * those of all ranks. `tensors` are copied; the buffers must stay as they are until
 * anynorm_mpi_pair_end has returned. What is enqueued on the device meanwhile, and what another
 * pair begins, overlaps with the communication. A pair that was begun must be ended before it is
 * begun again. INVALID_ARGUMENT: more rows than the pair was made for, or it has begun. As
 * anynorm_enqueue. */
ANYNORM_API anynorm_status anynorm_mpi_pair_begin(anynorm_mpi_pair *pair,
                                                  const anynorm_tensors *tensors, uint64_t rows);

/* Waits for the partial statistics of all ranks, normalizes and returns when y is there. It must be
 * called after each begin, also one that has failed on this rank, whose status it then has.
 * INVALID_ARGUMENT: it has not begun. As anynorm_event_wait. */
ANYNORM_API anynorm_status anynorm_mpi_pair_end(anynorm_mpi_pair *pair);

/* Seconds that the ends of the pair have waited for other ranks' numbers; not collective. NULL: 0.
 */
ANYNORM_API double anynorm_mpi_pair_waited(const anynorm_mpi_pair *pair);

/* Collective, as the communicator is given back. NULL does nothing. Not between begin and end. */
ANYNORM_API void anynorm_mpi_pair_destroy(anynorm_mpi_pair *pair);

/* ---- Gradients of rows that are divided -------------------------------------------------------
 */

/* values[0..count) becomes the sum over all ranks of what each has there: of dweight, say, after
 * each rank has found its own rows' (of a mean over all rows, each by its own share). Unlike
 * MPI_Allreduce's the order is fixed: the values of ranks 0, 1, 2 ... are added in this order in
 * f64 and rounded once, to the nearest number of `type` (f16, bf16, f32, f64). So the bits are the
 * same on all ranks and in all runs, whatever the network; they depend on the number of ranks and
 * on which has which rows. Each rank adds up a part of the values: it sends and receives about
 * twice the values, and needs memory for them once more. INVALID_ARGUMENT: another type, or ranks
 * that differ in type or count. OUT_OF_MEMORY. */
ANYNORM_API anynorm_status anynorm_mpi_sum(MPI_Comm communicator, anynorm_dtype type, void *values,
                                           uint64_t count);

#ifdef __cplusplus
}
#endif

#endif
