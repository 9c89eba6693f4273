#include "lists.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A number of digits alone, from 1, at *at, which then stands behind it; 0 where there is none. */
static uint64_t parse_count(const char **at, uint64_t most)
{
    char *end = NULL;
    unsigned long long value;

    if (**at < '0' || **at > '9')
        return 0;
    errno = 0;
    value = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0 && value <= most ? value : 0;
}

static bool same_shape(const struct shape *a, const struct shape *b)
{
    return a->rows == b->rows && a->columns == b->columns;
}

bool shapes_parse(const char *subject, const char *text, struct shape_list *list)
{
    list->count = 0;
    for (const char *at = text;; at++) {
        const char *word = at;
        int length = (int)strcspn(word, ",");
        struct shape shape = {.rows = parse_count(&at, INT64_MAX)};
        size_t twice = 0;

        length = length > 100 ? 100 : length;
        if (shape.rows > 0 && *at == 'x') {
            at++;
            shape.columns = parse_count(&at, INT32_MAX);
        }
        if (shape.columns == 0 || (*at && *at != ','))
            return cli_fail(CLI_USAGE, subject,
                            "'%.*s' is no ROWSxCOLUMNS; give two counts from 1, columns up to "
                            "2147483647, such as 512x4096,8x768",
                            length, word);
        if (shape.rows > SHAPE_ELEMENTS_MOST / shape.columns)
            return cli_fail(CLI_USAGE, subject,
                            "'%.*s' has more than 2^58 elements; give a smaller one", length, word);
        while (twice < list->count && !same_shape(&list->shapes[twice], &shape))
            twice++;
        if (twice == SHAPES_MOST)
            return cli_fail(CLI_USAGE, subject, "holds more than %d shapes; give fewer",
                            SHAPES_MOST);
        if (twice == list->count)
            list->shapes[list->count++] = shape;
        if (!*at)
            return true;
    }
}

bool dtypes_parse(const char *subject, const char *text, struct dtype_list *list)
{
    static const anynorm_dtype all[DTYPES] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};
    size_t length;

    list->count = 0;
    for (const char *at = text;; at += length + 1) {
        size_t type = 0, twice = 0;

        length = strcspn(at, ",");
        while (type < DTYPES && (strlen(anynorm_dtype_name(all[type])) != length ||
                                 strncmp(at, anynorm_dtype_name(all[type]), length) != 0))
            type++;
        if (type == DTYPES)
            return cli_fail(CLI_USAGE, subject,
                            "'%.*s' is no type; give f32, f16, bf16 or f64, or several with commas",
                            (int)(length > 60 ? 60 : length), at);
        while (twice < list->count && list->types[twice] != all[type])
            twice++;
        if (twice == list->count)
            list->types[list->count++] = all[type];
        if (!at[length])
            return true;
    }
}
