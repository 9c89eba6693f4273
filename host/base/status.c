#include "status.h"

#include <stdarg.h>
#include <stdio.h>

/* Fixed, so that reporting "out of memory" needs none; the size is part of the header's promise. */
static _Thread_local char message[4096];

const char *anynorm_status_name(anynorm_status status)
{
    switch (status) {
    case ANYNORM_OK:
        return "ok";
    case ANYNORM_INVALID_ARGUMENT:
        return "invalid argument";
    case ANYNORM_UNSUPPORTED:
        return "unsupported";
    case ANYNORM_BUILD_FAILED:
        return "build failed";
    case ANYNORM_OUT_OF_MEMORY:
        return "out of memory";
    case ANYNORM_DEVICE_LOST:
        return "device lost";
    case ANYNORM_IO:
        return "input/output error";
    }
    return "unknown status";
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
