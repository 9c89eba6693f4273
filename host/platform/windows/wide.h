/* Between the system's UTF-16 and our UTF-8, and between its errors and C's. */
#ifndef AN_WIDE_H
#define AN_WIDE_H

#include <stdbool.h>
#include <stddef.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "platform/files.h"

/* False, with errno, where it is no UTF-8 or too long. */
bool an_widen(const char *text, wchar_t wide[AN_PATH_SIZE]);
/* To be freed; NULL, with errno. */
char *an_narrow(const wchar_t *wide);

/* Since 1970. */
int64_t an_nanoseconds_of(FILETIME time);

/* Sets errno by what the system's last error was; false. */
bool an_windows_failed(void);

#endif
