/* Reading JSON. */
#include "json.h"

#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 32 };

static void skip_space(struct json *json)
{
    while (json->at < json->end && strchr(" \t\r\n", *json->at) && *json->at)
        json->at++;
}

bool json_take(struct json *json, char character)
{
    skip_space(json);
    if (json->at == json->end || *json->at != character)
        return false;
    json->at++;
    return true;
}

void json_need(struct json *json, char character)
{
    if (!json_take(json, character))
        fail("%s: no JSON: '%c' is missing", json->subject, character);
}

bool json_more(struct json *json, char close, bool *first)
{
    if (json_take(json, close))
        return false;
    if (!*first)
        json_need(json, ',');
    *first = false;
    return true;
}

void json_string(struct json *json, char *text, size_t capacity)
{
    size_t length = 0;

    json_need(json, '"');
    for (; json->at < json->end && *json->at != '"'; json->at++) {
        bool escape = *json->at == '\\' && json->end - json->at > 1;

        for (int i = 0; i <= escape; i++) {
            if (length + 1 < capacity)
                text[length++] = json->at[i];
        }
        json->at += escape;
    }
    text[length] = 0;
    if (json->at == json->end)
        fail("%s: no JSON: a string does not end", json->subject);
    json->at++;
}

double json_number(struct json *json)
{
    char text[64];
    size_t length = 0;
    char *end;
    double number;

    skip_space(json);
    while (json->at < json->end && length + 1 < sizeof text && *json->at &&
           strchr("+-.0123456789eE", *json->at))
        text[length++] = *json->at++;
    text[length] = 0;
    number = strtod(text, &end);
    if (length == 0 || *end || !isfinite(number))
        fail("%s: no JSON: a number is missing", json->subject);
    return number;
}

uint64_t json_count(struct json *json)
{
    double number = json_number(json);

    /* Beyond 2^53 a double does not tell integers apart. */
    if (!(number >= 0 && number <= 0x1p53) || number != floor(number))
        fail("%s: %g is no size", json->subject, number);
    return (uint64_t)number;
}

static void skip_value(struct json *json, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    char ignored[1];
    bool first = true;

    if (depth == DEEPEST)
        fail("%s: its JSON is nested too deeply", json->subject);
    skip_space(json);
    if (json_take(json, '{')) {
        while (json_more(json, '}', &first)) {
            json_string(json, ignored, sizeof ignored);
            json_need(json, ':');
            skip_value(json, depth + 1);
        }
        return;
    }
    if (json_take(json, '[')) {
        while (json_more(json, ']', &first))
            skip_value(json, depth + 1);
        return;
    }
    if (json->at < json->end && *json->at == '"') {
        json_string(json, ignored, sizeof ignored);
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);

        if ((size_t)(json->end - json->at) >= length && memcmp(json->at, words[i], length) == 0) {
            json->at += length;
            return;
        }
    }
    json_number(json);
}

void json_skip(struct json *json)
{
    skip_value(json, 0);
}
