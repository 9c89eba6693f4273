#include "rows.h"

#include "platform/system.h"

enum { MOST_AT_ONCE = 1 << 30, SUMS = 1 /* a tag */ };

/* Between this rank and the one that is `other`, bytes of the workspace. */
static void move(const struct ranks *ranks, bool here, int other, char *at, uint64_t bytes)
{
    while (bytes > 0) {
        int count = bytes < MOST_AT_ONCE ? (int)bytes : MOST_AT_ONCE;

        if (here)
            (void)MPI_Recv(at, count, MPI_BYTE, other, SUMS, ranks->all, MPI_STATUS_IGNORE);
        else
            (void)MPI_Send(at, count, MPI_BYTE, other, SUMS, ranks->all);
        at += count;
        bytes -= (uint64_t)count;
    }
}

/* What the rows of rank `from` have left for the last rows' rank, from the one to the other. */
static bool move_sums(struct rows *rows, int from, char *workspace)
{
    const struct norm *work = rows->work;
    struct norm_share share = rows_share(rows, from);
    bool here = rows->ranks->rank != from;
    size_t count = 1;

    for (size_t i = 0; i < count; i++) {
        anynorm_range range;
        anynorm_status status = anynorm_plan_sums(work->plan, share.first, share.end - share.first,
                                                  work->shape.rows, i, &range, &count);

        if (status != ANYNORM_OK)
            return cli_fail_library(work->x.path, status);
        move(rows->ranks, here, here ? from : rows->ranks->size - 1, workspace + range.offset,
             range.bytes);
    }
    return true;
}

static bool write(void *context, enum norm_output_name output, uint64_t at, const void *data,
                  size_t bytes)
{
    return ranks_write(((struct rows *)context)->ranks, output, at, data, bytes);
}

static void progress(void *context, uint64_t done)
{
    watch_update(&((struct rows *)context)->ranks->watch, done);
}

/* All must have done well before any sends: so none waits for one that has failed. */
static bool merge(void *context, bool done, void *workspace)
{
    struct rows *rows = context;
    struct ranks *ranks = rows->ranks;
    double started = an_clock_seconds();
    int last = ranks->size - 1;
    bool moved;

    watch_end(&ranks->watch); /* but for a few rows all is done */
    ranks->waited += an_clock_seconds() - started;
    moved = ranks_all(ranks, done);
    started = an_clock_seconds();

    for (int from = 0; from < last && moved; from++) {
        if (ranks->rank == from || ranks->rank == last)
            moved = move_sums(rows, from, workspace);
    }
    ranks->waited += an_clock_seconds() - started;
    return moved;
}

struct norm_share rows_share(struct rows *rows, int rank)
{
    const struct norm *work = rows->work;
    uint64_t all = work->shape.rows, size = (uint64_t)rows->ranks->size, number = (uint64_t)rank;
    struct norm_share share = {.first = all / size * number + all % size * number / size,
                               .end = all / size * (number + 1) + all % size * (number + 1) / size,
                               .context = rows,
                               .write = write,
                               .progress = progress,
                               .merge = merge};

    norm_divide(work, &share.first);
    if (share.end < all)
        norm_divide(work, &share.end);
    return share;
}
