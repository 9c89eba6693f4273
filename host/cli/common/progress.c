#include "cli.h"

#include "platform/system.h"

#include <stdio.h>

enum { BAR = 40 };

static const double wait_seconds = 0.5;
static const double step_seconds = 0.1;

void progress_start(struct progress *progress, uint64_t total)
{
    *progress = (struct progress){
        .total = total,
        .terminal = an_stderr_is_terminal(),
        .started = an_clock_seconds(),
    };
    progress->last = progress->started;
}

void progress_update(struct progress *progress, uint64_t done)
{
    static const char full[] = "########################################";
    double now;
    double part;
    int filled;

    if (!progress->terminal || progress->total == 0)
        return;
    now = an_clock_seconds();
    if (now - progress->started < wait_seconds || now - progress->last < step_seconds)
        return;
    part = (double)done / (double)progress->total;
    filled = (int)(part * (double)BAR);
    fprintf(stderr, "\r[%.*s%*s] %3.0f %%", filled, full, BAR - filled, "", part * 100.0);
    progress->last = now;
    progress->drawn = true;
}

void progress_end(struct progress *progress)
{
    if (progress->drawn) {
        fputs("\r\033[K", stderr);
        progress->drawn = false;
    }
}
