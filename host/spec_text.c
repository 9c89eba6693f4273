/* A spec as one line of text: test lists, `anynorm verify` and bug reports share it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "dtype.h"
#include "spec.h"
#include "status.h"

static const struct {
    const char *word;
    uint32_t flag;
} flag_words[] = {
    {"weight", ANYNORM_WEIGHT},
    {"bias", ANYNORM_BIAS},
    {"mean", ANYNORM_MEAN_OUTPUT},
    {"rstd", ANYNORM_RSTD_OUTPUT},
    {"any-alignment", ANYNORM_ANY_ALIGNMENT},
};

/* Words of the form KEY=COUNT and the field each fills. */
static const struct {
    const char *key;
    size_t field;
} count_words[] = {
    {"inner=", offsetof(anynorm_spec, inner_rows)},
    {"x-stride=", offsetof(anynorm_spec, x_row_stride)},
    {"x-outer=", offsetof(anynorm_spec, x_outer_stride)},
    {"y-stride=", offsetof(anynorm_spec, y_row_stride)},
    {"y-outer=", offsetof(anynorm_spec, y_outer_stride)},
    {"x-column=", offsetof(anynorm_spec, x_column_stride)},
    {"y-column=", offsetof(anynorm_spec, y_column_stride)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Bits of "seen" for the words that are in no table. */
enum { SEEN_X = 0, SEEN_Y, SEEN_PARAMETERS, SEEN_EPS, SEEN_FLAGS, SEEN_COUNTS = SEEN_FLAGS + 5 };

static uint64_t *count_field(anynorm_spec *spec, size_t index)
{
    return (uint64_t *)(void *)((char *)spec + count_words[index].field);
}

static bool parse_eps(const char *text, size_t length, double *value)
{
    char copy[64];
    if (length == 0 || length >= sizeof(copy))
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    char *end;
    *value = strtod(copy, &end);
    return *end == 0;
}

static bool starts(const char *word, size_t length, const char *prefix, size_t *prefix_length)
{
    *prefix_length = strlen(prefix);
    return length > *prefix_length && memcmp(word, prefix, *prefix_length) == 0;
}

/* Reads one word into the spec; returns the bit of `seen` it takes, or -1 if it is no word. */
static int parse_word(const char *word, size_t length, anynorm_spec *spec)
{
    size_t skip;
    if (an_dtype_parse(word, length, &spec->x_type))
        return SEEN_X;
    if (starts(word, length, "y=", &skip))
        return an_dtype_parse(word + skip, length - skip, &spec->y_type) ? SEEN_Y : -1;
    if (starts(word, length, "parameters=", &skip))
        return an_dtype_parse(word + skip, length - skip, &spec->parameter_type) ? SEEN_PARAMETERS
                                                                                 : -1;
    if (starts(word, length, "eps=", &skip))
        return parse_eps(word + skip, length - skip, &spec->eps) ? SEEN_EPS : -1;
    for (size_t i = 0; i < COUNT(flag_words); i++) {
        if (strlen(flag_words[i].word) == length && !memcmp(word, flag_words[i].word, length)) {
            spec->flags |= flag_words[i].flag;
            return SEEN_FLAGS + (int)i;
        }
    }
    for (size_t i = 0; i < COUNT(count_words); i++) {
        if (starts(word, length, count_words[i].key, &skip))
            return an_parse_count(word + skip, length - skip, count_field(spec, i))
                       ? SEEN_COUNTS + (int)i
                       : -1;
    }
    return -1;
}

anynorm_status anynorm_spec_parse(const char *text, anynorm_spec *spec, uint64_t *rows)
{
    if (!text || !spec || !rows)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "text, spec or rows is NULL");
    anynorm_spec result = {.eps = ANYNORM_EPS_DEFAULT};
    uint64_t row_count = 0;
    uint32_t seen = 0;
    int position = 0;
    for (const char *word = text + strspn(text, " "); *word; position++) {
        size_t length = strcspn(word, " ");
        int shown = length > 60 ? 60 : (int)length;
        if (position == 0) {
            if (length != 10 || memcmp(word, "layer-norm", 10) != 0)
                return an_fail(ANYNORM_INVALID_ARGUMENT,
                               "spec text: starts with \"%.*s\", must be \"layer-norm\"", shown,
                               word);
        } else if (position == 1) {
            const char *cross = memchr(word, 'x', length);
            size_t before = cross ? (size_t)(cross - word) : 0;
            if (!cross || !an_parse_count(word, before, &row_count) ||
                !an_parse_count(cross + 1, length - before - 1, &result.columns))
                return an_fail(ANYNORM_INVALID_ARGUMENT,
                               "spec text: \"%.*s\" is no ROWSxCOLUMNS such as 512x768", shown,
                               word);
        } else {
            int bit = parse_word(word, length, &result);
            if (bit < 0)
                return an_fail(ANYNORM_INVALID_ARGUMENT,
                               "spec text: \"%.*s\" is no known word or has a bad value", shown,
                               word);
            if (seen & (1u << bit))
                return an_fail(ANYNORM_INVALID_ARGUMENT, "spec text: \"%.*s\" says something twice",
                               shown, word);
            seen |= 1u << bit;
        }
        word += length;
        word += strspn(word, " ");
    }
    if (position < 2)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec text: ends before ROWSxCOLUMNS; \"layer-norm 512x768\" is the least");
    if (!(seen & (1u << SEEN_Y)))
        result.y_type = result.x_type;
    anynorm_status status = anynorm_spec_check(&result);
    if (status != ANYNORM_OK)
        return status;
    *spec = result;
    *rows = row_count;
    return ANYNORM_OK;
}

/* Appends to a text of `capacity` bytes as snprintf would, whether or not it still fits. */
struct writer {
    char *text;
    size_t capacity;
    size_t length;
};

static void put(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct writer *writer, const char *format, ...)
{
    size_t room = writer->length < writer->capacity ? writer->capacity - writer->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(room ? writer->text + writer->length : NULL, room, format, arguments);
    va_end(arguments);
    writer->length += written > 0 ? (size_t)written : 0;
}

size_t anynorm_spec_format(const anynorm_spec *spec, uint64_t rows, char *text, size_t capacity)
{
    struct writer writer = {text, text ? capacity : 0, 0};
    if (writer.capacity)
        text[0] = 0;
    if (!spec)
        return 0;
    put(&writer, "layer-norm %" PRIu64 "x%" PRIu64 " %s", rows, spec->columns,
        anynorm_dtype_name(spec->x_type));
    if (spec->y_type != spec->x_type)
        put(&writer, " y=%s", anynorm_dtype_name(spec->y_type));
    if (spec->parameter_type != ANYNORM_F32)
        put(&writer, " parameters=%s", anynorm_dtype_name(spec->parameter_type));
    for (size_t i = 0; i < COUNT(flag_words); i++) {
        if (spec->flags & flag_words[i].flag)
            put(&writer, " %s", flag_words[i].word);
    }
    /* The shortest form that reads back as the same number. */
    char eps[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(eps, sizeof(eps), "%.*g", digits, spec->eps);
        if (strtod(eps, NULL) == spec->eps)
            break;
    }
    put(&writer, " eps=%s", eps);
    anynorm_spec copy = *spec;
    for (size_t i = 0; i < COUNT(count_words); i++) {
        uint64_t value = *count_field(&copy, i);
        if (value)
            put(&writer, " %s%" PRIu64, count_words[i].key, value);
    }
    return writer.length;
}
