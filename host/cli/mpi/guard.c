/* What goes through the pipe are names, each with its zero; an empty one takes all of them back.
 * The end of the pipe, which the system closes for whoever is killed, is the end of the other. */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_FILES = 1024 /* that a launcher has left open: their numbers are the lowest */ };

/* Nothing of the launcher's is kept: it would wait for what is held open, or end this one too. */
static void leave(int pipe)
{
    int null = open("/dev/null", O_RDWR);

    (void)setsid();
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    for (int i = 0; i < 3 && null >= 0; i++)
        (void)dup2(null, i);
    for (int i = 3; i < MOST_FILES; i++) {
        if (i != pipe)
            (void)close(i);
    }
}

/* All that comes; NULL: it has no memory for it. */
static char *listen_to(int pipe, size_t *length)
{
    char *names = NULL, *grown;
    size_t room = 0;

    for (*length = 0;;) {
        ssize_t got;

        if (*length == room) {
            room = 2 * room + 256;
            grown = realloc(names, room);
            if (!grown)
                break;
            names = grown;
        }
        got = read(pipe, names + *length, room - *length);
        if (got > 0)
            *length += (size_t)got;
        else if (got == 0)
            return names;
        else if (errno != EINTR)
            break;
    }
    free(names);
    return NULL;
}

_Noreturn static void keep_guard(int pipe)
{
    size_t length, begin = 0;
    char *names;
    bool taken_back = false;

    leave(pipe);
    names = listen_to(pipe, &length);
    for (size_t i = 0; names && i < length; i++)
        taken_back = taken_back || (names[i] == 0 && (i == 0 || names[i - 1] == 0));
    for (size_t i = 0; names && !taken_back && i < length; i++) {
        if (names[i] != 0)
            continue;
        (void)unlink(names + begin);
        begin = i + 1;
    }
    _exit(0);
}

struct guard guard_start(void)
{
    int ends[2];
    pid_t process;

    if (pipe(ends) != 0)
        return (struct guard){-1, -1};
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    process = fork();
    if (process == 0) {
        (void)close(ends[1]);
        keep_guard(ends[0]);
    }
    (void)close(ends[0]);
    if (process < 0) {
        (void)close(ends[1]);
        return (struct guard){-1, -1};
    }
    return (struct guard){ends[1], (int)process};
}

/* The guard reads all, so that this waits for nothing, and it outlives this process, so that no
 * SIGPIPE is raised; were it killed, output_guard's handler would remove the files as ever. */
static void tell(const struct guard *guard, const char *name)
{
    size_t length = strlen(name) + 1;

    while (guard->pipe >= 0 && length > 0) {
        ssize_t written = write(guard->pipe, name, length);

        if (written < 0 && errno != EINTR)
            return;
        name += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

void guard_add(const struct guard *guard, const char *path)
{
    tell(guard, path);
}

void guard_end(struct guard *guard)
{
    if (guard->pipe < 0)
        return;
    tell(guard, "");
    (void)close(guard->pipe);
    while (waitpid((pid_t)guard->process, NULL, 0) < 0 && errno == EINTR)
        ;
    *guard = (struct guard){-1, -1};
}
