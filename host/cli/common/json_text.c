#include "cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Room for `more` bytes and a zero behind them. */
static bool make_room(struct json_text *json, size_t more)
{
    size_t capacity = json->capacity ? json->capacity : 1024;
    char *text;

    while (capacity - json->length <= more)
        capacity *= 2;
    if (capacity == json->capacity)
        return true;
    text = realloc(json->text, capacity);
    json->lacks_memory = !text;
    if (!text)
        return false;
    json->text = text;
    json->capacity = capacity;
    return true;
}

void json_add(struct json_text *json, const char *format, ...)
{
    va_list list, again;
    int length;

    if (json->lacks_memory)
        return;
    va_start(list, format);
    va_copy(again, list);
    length = json->stream ? vfprintf(json->stream, format, list) : vsnprintf(NULL, 0, format, list);
    if (!json->stream && length >= 0 && make_room(json, (size_t)length)) {
        vsnprintf(json->text + json->length, (size_t)length + 1, format, again);
        json->length += (size_t)length;
    }
    va_end(again);
    va_end(list);
}

void json_add_number(struct json_text *json, double value, int digits)
{
    if (isfinite(value))
        json_add(json, "%.*g", digits, value);
    else
        json_add(json, "null");
}

bool json_is_whole(const struct json_text *json, const char *subject)
{
    return !json->lacks_memory || cli_fail(CLI_FAILED, subject, "out of memory");
}

bool json_print(const struct json_text *json, const char *subject)
{
    if (!json_is_whole(json, subject))
        return false;
    fwrite(json->text, 1, json->length, stdout);
    return true;
}

void json_free(struct json_text *json)
{
    free(json->text);
    *json = (struct json_text){.text = NULL};
}
