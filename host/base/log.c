#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "platform/threads.h"

static an_mutex lock = AN_MUTEX_READY;
static anynorm_log_callback sink;
static void *sink_user;
static atomic_int threshold = ANYNORM_LOG_NONE;

void anynorm_log_set(anynorm_log_callback callback, void *user, anynorm_log_level level)
{
    an_mutex_lock(&lock);
    sink = callback;
    sink_user = user;
    atomic_store(&threshold, callback ? (int)level : ANYNORM_LOG_NONE);
    an_mutex_unlock(&lock);
}

void an_log(anynorm_log_level level, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (char *at = line; *at; at++) {
        if (*at == '\n' || *at == '\r')
            *at = ' ';
    }

    an_mutex_lock(&lock);
    if (sink)
        sink(sink_user, level, line);
    an_mutex_unlock(&lock);
}
