#include "watch.h"

#include "platform/system.h"
#include "terminal.h"

enum { NEWS = 2 /* a tag */ };

static const double step_seconds = 0.1;

void watch_start(struct watch *watch, MPI_Comm all, uint64_t total)
{
    int seen, size;

    *watch = (struct watch){.all = all, .sending = MPI_REQUEST_NULL};
    (void)MPI_Comm_rank(all, &watch->rank);
    (void)MPI_Comm_size(all, &size);
    seen = watch->rank == 0 && terminal_shows();
    (void)MPI_Bcast(&seen, 1, MPI_INT, 0, all);
    watch->seen = seen;
    watch->at_work = size - 1;
    watch->last = an_clock_seconds();
    if (watch->rank == 0) {
        progress_start(&watch->bar, total);
        watch->bar.terminal = seen;
    }
}

static void hear(struct watch *watch, int from)
{
    uint64_t news[2];

    (void)MPI_Recv(news, 2, MPI_UINT64_T, from, NEWS, watch->all, MPI_STATUS_IGNORE);
    watch->done += news[0];
    watch->at_work -= news[1] != 0;
}

static void draw(struct watch *watch)
{
    progress_update(&watch->bar, watch->done);
}

static void tell(struct watch *watch, bool is_last)
{
    watch->message[0] = watch->done - watch->own;
    watch->message[1] = is_last;
    watch->own = watch->done;
    watch->last = an_clock_seconds();
    (void)MPI_Isend(watch->message, 2, MPI_UINT64_T, 0, NEWS, watch->all, &watch->sending);
}

void watch_update(struct watch *watch, uint64_t done)
{
    MPI_Status status;
    int there = 1;

    if (!watch->seen)
        return;
    if (watch->rank > 0) {
        watch->done = done;
        if (an_clock_seconds() - watch->last < step_seconds)
            return;
        (void)MPI_Test(&watch->sending, &there, MPI_STATUS_IGNORE);
        if (there)
            tell(watch, false);
        return;
    }
    watch->done += done - watch->own;
    watch->own = done;
    while (watch->at_work > 0 && there) {
        (void)MPI_Iprobe(MPI_ANY_SOURCE, NEWS, watch->all, &there, &status);
        if (there)
            hear(watch, status.MPI_SOURCE);
    }
    draw(watch);
}

void watch_end(struct watch *watch)
{
    if (!watch->seen)
        return;
    watch->seen = false;
    if (watch->rank > 0) {
        (void)MPI_Wait(&watch->sending, MPI_STATUS_IGNORE);
        tell(watch, true);
        (void)MPI_Wait(&watch->sending, MPI_STATUS_IGNORE);
        return;
    }
    while (watch->at_work > 0) {
        hear(watch, MPI_ANY_SOURCE);
        draw(watch);
    }
    progress_end(&watch->bar);
}
