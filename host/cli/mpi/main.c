/* anynorm-mpi: a norm of anynorm whose rows, or their columns, are divided over the ranks of an MPI
 * run. Each rank reads its own part, normalizes it on a device and writes it into the one file. */
#include "columns.h"
#include "rows.h"

#include "platform/files.h"
#include "platform/program.h"
#include "platform/system.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const commands[] = {"layer-norm", "rms-norm", "group-norm", "instance-norm"};

static const char help[] =
    "usage: mpirun -n N anynorm-mpi COMMAND INPUT -o OUTPUT [options]\n"
    "\n"
    "Does what anynorm COMMAND does, with the rows divided over N ranks: the files have the same\n"
    "bits where the ranks' devices are of a kind. Every rank must see the files. COMMAND is\n"
    "layer-norm, rms-norm, group-norm or instance-norm, with all options of anynorm but those "
    "that\n"
    "print numbers (--stats, or no output); anynorm COMMAND --help tells them.\n"
    "\n"
    "Where no device is named, by --device or ANYNORM_DEVICE, the ranks of a machine share those\n"
    "that are like its best one. With --timing rank 0 tells of the slowest and the fastest rank.\n"
    "What is summed over rows, as dweight is, has the bits of one process, too: ranks add up rows\n"
    "in parts, and the last rank the parts of all.\n"
    "\n"
    "--shard columns is for rows that are too long for a device: each rank has some columns of "
    "all\n"
    "rows of layer-norm or rms-norm. Their statistics are merged from the ranks', so that the "
    "last\n"
    "bits depend on the number of ranks, by a bound that the manual gives. No gradients. Without\n"
    "--block-bytes CPUs take blocks that their caches hold.\n"
    "\n"
    "exit status, on every rank: 0 done, 1 the work failed, 2 bad usage or bad input";

/* All ranks are given the same, so one of them tells what is wrong with it. */
static bool parse(const struct ranks *ranks, int argc, char **argv, struct norm_options *options,
                  int *exit_status)
{
    int kept[2] = {-1, -1}, sink = -1;
    bool good;

    if (ranks->rank > 0) {
        fflush(NULL);
        sink = an_file_open("/dev/null", AN_OPEN_WRITE, 0);
        for (int i = 0; i < 2; i++) {
            kept[i] = dup(i + 1);
            (void)dup2(sink, i + 1);
        }
    }
    good = norm_options_parse(true, argc, argv, options, exit_status);
    if (ranks->rank > 0) {
        fflush(NULL);
        for (int i = 0; i < 2; i++) {
            (void)dup2(kept[i], i + 1);
            (void)close(kept[i]);
        }
        (void)an_file_close(sink);
    }
    return good;
}

static bool check(const struct norm_options *options)
{
    bool writes = false;

    for (int i = 0; i < OUTPUTS; i++)
        writes = writes || options->outputs[i];
    if (options->stats)
        return cli_fail(CLI_USAGE, "--stats",
                        "prints numbers of all rows, which no rank has; leave it "
                        "out, or write --mean-output and --rstd-output");
    return writes || cli_fail(CLI_USAGE, "OUTPUT", "missing; give -o FILE");
}

/* `elements`: the rank's, of x. */
static void print_timing(struct ranks *ranks, const struct norm *work, double elements,
                         double total)
{
    double bytes = elements * (double)norm_element_bytes(work);
    /* The greatest of each; and of the negated, so the least. */
    double own[] = {work->seconds, -work->seconds, total, ranks->waited}, most[4] = {0}, sum = 0;
    double speed = work->seconds > 0 ? bytes / work->seconds : 0;

    (void)MPI_Reduce(own, most, 4, MPI_DOUBLE, MPI_MAX, 0, ranks->all);
    (void)MPI_Reduce(&speed, &sum, 1, MPI_DOUBLE, MPI_SUM, 0, ranks->all);
    if (ranks->rank > 0)
        return;
    fprintf(stderr, "ranks      %d\n", ranks->size);
    fprintf(stderr, "shape      %" PRIu64 " rows x %" PRIu64 " columns, %s\n", work->shape.rows,
            work->spec.columns, anynorm_dtype_name(work->x.type));
    fprintf(stderr, "normalize  %.3f ms the slowest rank, %.3f ms the fastest, %.2f GB/s in sum\n",
            most[0] * 1e3, -most[1] * 1e3, sum * 1e-9);
    fprintf(stderr, "total      %.3f ms, of which at most %.1f %% waiting for other ranks\n",
            most[2] * 1e3, most[2] > 0 ? 100 * most[3] / most[2] : 0.0);
}

/* Files that are opened, written and closed by all ranks, and put in their places by rank 0. */
static bool write_files(struct ranks *ranks, struct norm *work, struct columns *columns,
                        int *exit_status)
{
    double started;
    bool written;

    if (!ranks_agree(ranks, ranks_open(ranks, work), exit_status)) {
        (void)ranks_close(ranks);
        return false;
    }
    watch_start(&ranks->watch, ranks->all,
                columns ? work->shape.rows * (uint64_t)ranks->size : work->shape.rows);
    written = columns ? columns_blocks(columns) : norm_blocks(work);
    started = an_clock_seconds();
    watch_end(&ranks->watch);
    ranks->waited += an_clock_seconds() - started;
    written = ranks_close(ranks) && written;
    return ranks_agree(ranks, written, exit_status) &&
           ranks_agree(ranks,
                       ranks->rank > 0 || (norm_outputs_close(work) && norm_outputs_commit(work)),
                       exit_status);
}

/* With the outputs created by rank 0. */
static void run_rows(struct ranks *ranks, struct norm *work, double started, int *exit_status)
{
    struct rows rows = {.ranks = ranks, .work = work};
    struct norm_share share = rows_share(&rows, ranks->rank);

    work->share = &share;
    if (write_files(ranks, work, NULL, exit_status) && work->options.timing)
        print_timing(ranks, work, (double)(share.end - share.first) * (double)work->spec.columns,
                     an_clock_seconds() - started);
    work->share = NULL;
}

static void run_columns(struct ranks *ranks, struct norm *work, double started, int *exit_status)
{
    struct columns columns;

    if (ranks_agree(ranks, columns_make(&columns, ranks, work), exit_status) &&
        write_files(ranks, work, &columns, exit_status) && work->options.timing) {
        ranks->waited += columns_waited(&columns);
        print_timing(ranks, work, (double)work->shape.rows * (double)columns.count,
                     an_clock_seconds() - started);
    }
    columns_free(&columns);
}

static bool create_files(struct ranks *ranks, struct norm *work)
{
    bool created = norm_outputs_prepare(work) && norm_outputs_create(work);

    for (int i = 0; i < OUTPUTS; i++) {
        if (work->outputs[i].temporary)
            guard_add(&ranks->guard, work->outputs[i].temporary);
    }
    return created;
}

static int run(struct ranks *ranks, struct norm *work, double started)
{
    char id[32];
    bool own_device = !work->options.device && !getenv("ANYNORM_DEVICE");
    bool by_columns = work->options.shard == 1, found;
    int exit_status = CLI_DONE;

    if (own_device)
        work->options.device = ranks_device(ranks, id);
    found = check(&work->options) && norm_find(work);
    if (by_columns) /* its plans are a pair's: one of whole rows may be too much for the device */
        found = found && columns_check(ranks, work) &&
                cli_open_device(work->options.device, &work->device);
    else
        found = found && norm_plan_make(work);
    if (!ranks_agree(ranks, found, &exit_status) ||
        !ranks_agree(ranks, ranks_compare(ranks, work), &exit_status) ||
        !ranks_agree(ranks, ranks->rank > 0 || create_files(ranks, work), &exit_status))
        return exit_status;
    (void)MPI_Bcast(work->heads, sizeof(work->heads), MPI_BYTE, 0, ranks->all);
    (by_columns ? run_columns : run_rows)(ranks, work, started, &exit_status);
    return exit_status;
}

static bool known(const char *command)
{
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (strcmp(command, commands[i]) == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    double started = an_clock_seconds();
    struct ranks ranks = {.all = MPI_COMM_WORLD, .guard = guard_start()};
    struct norm work = {.seconds = 0};
    int exit_status = CLI_USAGE, level;

    (void)MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    (void)MPI_Comm_rank(ranks.all, &ranks.rank);
    (void)MPI_Comm_size(ranks.all, &ranks.size);
    if (ranks.rank > 0)
        guard_end(&ranks.guard);
    argv = an_program_arguments(&argc, argv);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        if (ranks.rank == 0)
            puts(help);
        exit_status = CLI_DONE;
    } else if (argc < 2 || !known(argv[1])) {
        if (ranks.rank == 0) {
            cli_fail(
                CLI_USAGE, argc < 2 ? "COMMAND" : argv[1],
                "no norm whose rows can be divided; there are layer-norm, rms-norm, group-norm "
                "and instance-norm, and --help");
            cli_error_print();
        }
    } else if (!cli_start_log()) {
        exit_status = ranks.rank == 0 ? cli_error_print() : cli_error.exit_status;
    } else {
        output_guard();
        if (parse(&ranks, argc - 1, argv + 1, &work.options, &exit_status))
            exit_status = run(&ranks, &work, started);
        norm_free(&work);
    }
    guard_end(&ranks.guard);
    MPI_Finalize();
    return exit_status;
}
