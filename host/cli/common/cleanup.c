#define _POSIX_C_SOURCE 200809L
#include "cleanup.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* `used` is set after the path is complete, as a handler may run on any thread at any time; so none
 * is ever freed, but used again. */
struct cleanup {
    struct cleanup *next;
    size_t capacity;
    atomic_bool used;
    char path[];
};

static struct cleanup *_Atomic list;

static void remove_all(void)
{
    for (struct cleanup *c = atomic_load(&list); c; c = c->next) {
        if (atomic_load(&c->used))
            unlink(c->path);
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

struct cleanup *cleanup_add(const char *path)
{
    size_t size = strlen(path) + 1;
    struct cleanup *c = atomic_load(&list);

    while (c && (atomic_load(&c->used) || c->capacity < size))
        c = c->next;
    if (!c) {
        c = malloc(sizeof *c + size);
        if (!c)
            return NULL;
        c->next = atomic_load(&list);
        c->capacity = size;
        atomic_init(&c->used, false);
        atomic_store(&list, c);
    }
    memcpy(c->path, path, size);
    atomic_store(&c->used, true);
    return c;
}

void cleanup_remove(struct cleanup *cleanup)
{
    if (cleanup)
        atomic_store(&cleanup->used, false);
}
