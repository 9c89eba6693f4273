#include "platform/program.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static void (*at_end)(void);
static const char *lost_text;

static void end_program(int number)
{
    at_end();
    raise(number); /* SA_RESETHAND gave it its default action back */
}

static void lose_mapping(int number, siginfo_t *info, void *context)
{
    (void)context;
    at_end();
    if (info->si_code != BUS_ADRERR) {
        raise(number);
        return;
    }
    if (write(STDERR_FILENO, lost_text, strlen(lost_text)) < 0)
        _exit(1);
    _exit(1);
}

char **an_program_arguments(int *argc, char **argv)
{
    (void)argc;
    return argv;
}

void an_signals_catch(void (*end)(void), const char *lost)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction action = {.sa_handler = end_program, .sa_flags = (int)SA_RESETHAND};
    struct sigaction bus = {.sa_sigaction = lose_mapping,
                            .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND)};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;

    at_end = end;
    lost_text = lost;
    sigemptyset(&action.sa_mask);
    sigemptyset(&bus.sa_mask);
    sigemptyset(&ignore.sa_mask);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    }
    sigaction(SIGBUS, &bus, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}
