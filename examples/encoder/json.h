/* As much of JSON as config.json and the header of a safetensors file need. A text that is no JSON
 * ends the program. */
#ifndef ENCODER_JSON_H
#define ENCODER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    const char *at;
    const char *end;
    const char *subject; /* for messages: the file */
};

/* Takes the character if it comes next, past white space. */
bool json_take(struct json *json, char character);

/* The same where it must. */
void json_need(struct json *json, char character);

/* Between the elements of an object or array that `close` ends: whether another one comes. */
bool json_more(struct json *json, char close, bool *first);

/* A string, its escapes left as they are, cut to what `capacity` holds with a zero. */
void json_string(struct json *json, char *text, size_t capacity);

double json_number(struct json *json);

/* A number that is an integer of 0 or more. */
uint64_t json_count(struct json *json);

/* Any value, left out. */
void json_skip(struct json *json);

#endif
