#include "platform/program.h"

#include <stdlib.h>
#include <string.h>

#include "wide.h"

#include <shellapi.h>

static void (*at_end)(void);
static const char *lost_text;

char **an_program_arguments(int *argc, char **argv)
{
    int count;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &count);
    char **list = wide ? calloc((size_t)count + 1, sizeof(*list)) : NULL;
    for (int i = 0; list && i < count; i++) {
        list[i] = an_narrow(wide[i]);
        if (!list[i])
            list = NULL;
    }
    LocalFree(wide);
    if (!list)
        return argv;
    (void)SetConsoleOutputCP(CP_UTF8);
    *argc = count;
    return list;
}

static BOOL WINAPI end_program(DWORD event)
{
    (void)event;
    at_end();
    return FALSE; /* and then as without us */
}

static LONG WINAPI lose_mapping(EXCEPTION_POINTERS *what)
{
    DWORD written;
    at_end();
    if (what->ExceptionRecord->ExceptionCode != EXCEPTION_IN_PAGE_ERROR)
        return EXCEPTION_CONTINUE_SEARCH;
    (void)WriteFile(GetStdHandle(STD_ERROR_HANDLE), lost_text, (DWORD)strlen(lost_text), &written,
                    NULL);
    TerminateProcess(GetCurrentProcess(), 1);
    return EXCEPTION_EXECUTE_HANDLER;
}

void an_signals_catch(void (*end)(void), const char *lost)
{
    at_end = end;
    lost_text = lost;
    SetConsoleCtrlHandler(end_program, TRUE);
    SetUnhandledExceptionFilter(lose_mapping);
}
