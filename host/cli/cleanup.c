#define _POSIX_C_SOURCE 200809L
#include "cleanup.h"

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 4 }; /* a command has four outputs at most */

/* `used` is set after the path is complete, as a handler may run on any thread at any time. */
static struct {
    atomic_bool used;
    char path[PATH_MAX];
} slots[SLOTS];

static void remove_all(void)
{
    for (int i = 0; i < SLOTS; i++) {
        if (atomic_load(&slots[i].used))
            unlink(slots[i].path);
    }
}

static void end_program(int number)
{
    remove_all();
    raise(number); /* SA_RESETHAND gave it its default action back */
}

static void lost_mapping(int number, siginfo_t *info, void *context)
{
    static const char text[] =
        "anynorm: input: could not be read to its end; it was cut or its disk failed meanwhile\n";

    (void)context;
    remove_all();
    if (info->si_code != BUS_ADRERR) {
        raise(number);
        return;
    }
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
    _exit(1);
}

void cleanup_install(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_handler = end_program, .sa_flags = (int)SA_RESETHAND};
    struct sigaction bus = {.sa_sigaction = lost_mapping,
                            .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND)};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;

    sigemptyset(&action.sa_mask);
    sigemptyset(&bus.sa_mask);
    sigemptyset(&ignore.sa_mask);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    }
    sigaction(SIGBUS, &bus, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

int cleanup_add(const char *path)
{
    size_t size = strlen(path) + 1;

    for (int i = 0; i < SLOTS && size <= sizeof slots[i].path; i++) {
        if (!atomic_load(&slots[i].used)) {
            memcpy(slots[i].path, path, size);
            atomic_store(&slots[i].used, true);
            return i;
        }
    }
    return -1;
}

void cleanup_remove(int slot)
{
    if (slot >= 0)
        atomic_store(&slots[slot].used, false);
}
