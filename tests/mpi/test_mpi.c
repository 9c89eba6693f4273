/* What a rank of `mpirun -n N test_mpi` checks; rank 0 tells. Each test compares with one process:
 * the sum with a plain one in the same order, the pair with a plan of whole rows. The device is
 * $ANYNORM_TEST_DEVICE, or the reference. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <anynorm/mpi.h>

static int rank, size, failed;
static anynorm_device *device;

static void expect(bool good, const char *what)
{
    if (good)
        return;
    failed++;
    fprintf(stderr, "rank %d of %d: not so: %s (%s)\n", rank, size, what, anynorm_mpi_message());
}

/* The same numbers on all ranks. */
static double number(uint64_t of)
{
    uint64_t x = of * UINT64_C(0x9e3779b97f4a7c15) + 12345;
    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return (double)((x ^ x >> 32) % 2000) / 1000 - 1;
}

/* ---- The sum ---- */

static void test_sum(anynorm_dtype type, uint64_t count)
{
    const size_t bytes = (size_t)(count + 1) * anynorm_dtype_size(type);
    unsigned char *values = calloc(1, bytes), *wanted = calloc(1, bytes);
    if (!values || !wanted)
        exit(1);
    for (uint64_t i = 0; i < count; i++) {
        double total = 0;
        for (int r = 0; r < size; r++) {
            anynorm_dtype_store(type, values, i, number(i * 7 + (uint64_t)r) * exp2(3 * r));
            total += anynorm_dtype_load(type, values, i);
        }
        anynorm_dtype_store(type, wanted, i, total);
        anynorm_dtype_store(type, values, i, number(i * 7 + (uint64_t)rank) * exp2(3 * rank));
    }
    expect(anynorm_mpi_sum(MPI_COMM_WORLD, type, values, count) == ANYNORM_OK, "a sum succeeds");
    expect(memcmp(values, wanted, bytes) == 0, "a sum has the bits of one in order");
    free(values);
    free(wanted);
}

static void test_refused_sums(void)
{
    float values[4] = {0};
    expect(anynorm_mpi_sum(MPI_COMM_WORLD, ANYNORM_I8, values, 4) == ANYNORM_INVALID_ARGUMENT,
           "i8 is not summed");
    if (size > 1)
        expect(anynorm_mpi_sum(MPI_COMM_WORLD, ANYNORM_F32, values, rank == 0 ? 3 : 4) ==
                   ANYNORM_INVALID_ARGUMENT,
               "counts that differ are refused");
    expect(anynorm_mpi_sum(MPI_COMM_WORLD, ANYNORM_F32, rank == size - 1 ? NULL : values, 4) ==
               ANYNORM_INVALID_ARGUMENT,
           "all ranks hear of one without values");
}

/* ---- The pair ---- */

enum { ROWS = 13, COLUMNS = 101 };

struct part {
    uint64_t first, columns; /* of this rank */
};

static struct part part_of_rank(void)
{
    const uint64_t first = (uint64_t)COLUMNS * (uint64_t)rank / (uint64_t)size;
    const uint64_t end = (uint64_t)COLUMNS * ((uint64_t)rank + 1) / (uint64_t)size;
    return (struct part){first, end - first};
}

static anynorm_buffer upload(const float *from, uint64_t rows, struct part part)
{
    anynorm_buffer buffer;
    float *own = malloc((size_t)(rows * part.columns) * sizeof(float));
    if (!own || anynorm_buffer_create(device, rows * part.columns * sizeof(float), &buffer))
        exit(1);
    for (uint64_t r = 0; r < rows; r++)
        memcpy(own + r * part.columns, from + r * COLUMNS + part.first,
               (size_t)part.columns * sizeof(float));
    if (anynorm_buffer_write(device, &buffer, own, rows * part.columns * sizeof(float)))
        exit(1);
    free(own);
    return buffer;
}

static void test_pair(uint32_t flags)
{
    static float x[ROWS * COLUMNS], weight[COLUMNS], wanted[ROWS * COLUMNS], y[ROWS * COLUMNS];
    static float rstd[ROWS], wanted_rstd[ROWS];
    const struct part part = part_of_rank();
    anynorm_spec spec = {.columns = COLUMNS,
                         .flags = flags | ANYNORM_WEIGHT | ANYNORM_RSTD_OUTPUT,
                         .statistic.eps = 1e-5};
    anynorm_plan *plan;
    anynorm_mpi_pair *pair;
    for (uint64_t i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)(100 + number(i));
    for (uint64_t c = 0; c < COLUMNS; c++)
        weight[c] = (float)number(c + 5000);
    const anynorm_host_tensors host = {.x = x, .y = wanted, .weight = weight, .rstd = wanted_rstd};
    if (anynorm_plan_create(device, &spec, NULL, &plan) || anynorm_run(plan, &host, ROWS))
        exit(1);
    anynorm_plan_destroy(plan);
    spec.columns = part.columns;
    expect(anynorm_mpi_pair_create(device, &spec, MPI_COMM_WORLD, ROWS, &pair) == ANYNORM_OK,
           "a pair is made");
    if (!pair)
        return;
    anynorm_tensors tensors = {
        .x = upload(x, ROWS, part), .y = upload(x, ROWS, part), .weight = upload(weight, 1, part)};
    if (anynorm_buffer_create(device, sizeof(rstd), &tensors.rstd))
        exit(1);
    for (int again = 0; again < 2; again++) {
        expect(anynorm_mpi_pair_begin(pair, &tensors, ROWS) == ANYNORM_OK, "a pair begins");
        expect(anynorm_mpi_pair_begin(pair, &tensors, ROWS) == ANYNORM_INVALID_ARGUMENT,
               "a pair that has begun is not begun again");
        expect(anynorm_mpi_pair_end(pair) == ANYNORM_OK, "a pair ends");
    }
    expect(anynorm_mpi_pair_end(pair) == ANYNORM_INVALID_ARGUMENT,
           "what has not begun is not ended");
    expect(anynorm_mpi_pair_begin(pair, &tensors, ROWS + 1) == ANYNORM_INVALID_ARGUMENT,
           "more rows than it is for are refused");
    if (anynorm_buffer_read(device, &tensors.y, y, ROWS * part.columns * sizeof(float)) ||
        anynorm_buffer_read(device, &tensors.rstd, rstd, sizeof(rstd)))
        exit(1);
    /* The bound of sharded rows: the mean, 100 beside a spread of 0.6, is rounded to f32. */
    bool close = true;
    for (uint64_t r = 0; r < ROWS; r++) {
        close = close && fabsf(rstd[r] - wanted_rstd[r]) <= 1e-5f * wanted_rstd[r];
        for (uint64_t c = 0; c < part.columns; c++)
            close = close &&
                    fabsf(y[r * part.columns + c] - wanted[r * COLUMNS + part.first + c]) <= 6e-5f;
    }
    expect(close, "the ranks' columns are those of the whole rows");
    /* All ranks hear of one whose tensors are refused. */
    anynorm_tensors bad = tensors;
    if (rank == 0)
        bad.x = (anynorm_buffer){0};
    const anynorm_status begun = anynorm_mpi_pair_begin(pair, &bad, ROWS);
    expect(begun == (rank == 0 ? ANYNORM_INVALID_ARGUMENT : ANYNORM_OK), "a rank without x fails");
    expect(anynorm_mpi_pair_end(pair) == ANYNORM_INVALID_ARGUMENT, "all ranks are told");
    anynorm_buffer_destroy(device, &tensors.x);
    anynorm_buffer_destroy(device, &tensors.y);
    anynorm_buffer_destroy(device, &tensors.weight);
    anynorm_buffer_destroy(device, &tensors.rstd);
    anynorm_mpi_pair_destroy(pair);
}

static void test_refused_pairs(void)
{
    anynorm_mpi_pair *pair;
    anynorm_spec spec = {.columns = 8, .flags = ANYNORM_RSTD_INPUT | ANYNORM_MEAN_INPUT};
    expect(anynorm_mpi_pair_create(device, &spec, MPI_COMM_WORLD, 4, &pair) ==
                   ANYNORM_INVALID_ARGUMENT &&
               !pair,
           "statistics that are given are refused");
    spec.flags = 0;
    expect(anynorm_mpi_pair_create(device, &spec, MPI_COMM_WORLD, 0, &pair) ==
                   ANYNORM_INVALID_ARGUMENT &&
               !pair,
           "a pair for no rows is refused");
    spec.columns = rank == size - 1 ? 0 : 8;
    expect(anynorm_mpi_pair_create(device, &spec, MPI_COMM_WORLD, 4, &pair) ==
                   ANYNORM_INVALID_ARGUMENT &&
               !pair && strstr(anynorm_mpi_message(), "columns"),
           "all ranks hear of a spec that is refused on one");
}

int main(int argc, char **argv)
{
    const char *id = getenv("ANYNORM_TEST_DEVICE");
    int level, all = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (anynorm_device_open(id ? id : "reference", &device) != ANYNORM_OK) {
        fprintf(stderr, "%s\n", anynorm_message());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    test_sum(ANYNORM_F32, 1000);
    test_sum(ANYNORM_F16, 3);
    test_sum(ANYNORM_BF16, 1);
    test_sum(ANYNORM_F64, 0);
    test_refused_sums();
    test_pair(0);
    test_pair(ANYNORM_RMS);
    test_refused_pairs();
    anynorm_device_close(device);
    MPI_Allreduce(&failed, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%d ranks: %s\n", size, all ? "FAILED" : "passed");
    MPI_Finalize();
    return all != 0;
}
