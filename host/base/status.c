#include "status.h"

#include <stdarg.h>
#include <stdio.h>

/* Fixed, so that reporting "out of memory" needs none; the size is part of the header's promise. */
static _Thread_local char message[4096];

const char *anynorm_status_name(anynorm_status status)
{
    static const char *const names[] = {
        [ANYNORM_OK] = "ok",
        [ANYNORM_INVALID_ARGUMENT] = "invalid argument",
        [ANYNORM_UNSUPPORTED] = "unsupported",
        [ANYNORM_BUILD_FAILED] = "build failed",
        [ANYNORM_OUT_OF_MEMORY] = "out of memory",
        [ANYNORM_DEVICE_LOST] = "device lost",
        [ANYNORM_IO] = "input/output error",
    };
    return (size_t)status < sizeof(names) / sizeof(names[0]) ? names[status] : "unknown status";
}

const char *anynorm_message(void)
{
    return message;
}

anynorm_status an_fail(anynorm_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    /* The caller's own words, which messages quote, may hold line ends. */
    for (char *at = message; *at && status != ANYNORM_BUILD_FAILED; at++) {
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    }
    return status;
}
