#include "ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Weight, bias, scale and shift are f32, all else is of the type that is asked for. */
static const struct op table[] = {
    {"layer-norm", "layer-norm weight bias", NULL, NULL, "weight and bias"},
    {"rms-norm", "rms-norm weight", NULL, "rms-norm", "weight"},
    {"residual-layer-norm", "layer-norm weight bias residual sum", NULL, "residual-layer-norm",
     "the sum of x and residual is written, and normalized"},
    {"residual-rms-norm", "rms-norm weight residual sum", NULL, "residual-rms-norm",
     "likewise, with weight"},
    {"adaptive", "layer-norm scale shift sample-rows=256 eps=1e-6", "8192x1152,16384x3072",
     "adaptive", "scale and shift for each sample of 256 rows"},
    {"group-norm", "layer-norm weight bias parameter-rows=32 parameter-run=4096", "64x40960",
     "group-norm", "an image 2x320x64x64 in 32 groups"},
    {"rms-norm-int8", "rms-norm weight y=i8 y-scale", NULL, "quantized",
     "rms-norm to int8, with a scale for each row"},
    {"per-head", "rms-norm weight", "65536x128", "rms-norm", "rms-norm of heads"},
};
_Static_assert(COUNT(table) <= OPS_MOST, "a list has room for all");

static bool fail_unknown(const char *subject, const char *word, size_t length,
                         struct cli_error *error)
{
    char names[256] = "";

    for (size_t i = 0; i < COUNT(table); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                 i == 0                  ? ""
                 : i + 1 == COUNT(table) ? " or "
                                         : ", ",
                 table[i].name);
    return cli_fail(error, CLI_USAGE, subject,
                    "there is no '%.*s'; give %s, or several with commas",
                    (int)(length > 60 ? 60 : length), word, names);
}

bool ops_parse(const char *subject, const char *text, struct op_list *list, struct cli_error *error)
{
    size_t length;

    list->count = 0;
    for (const char *at = text;; at += length + 1) {
        size_t op = 0, twice = 0;

        length = strcspn(at, ",");
        while (op < COUNT(table) &&
               (strlen(table[op].name) != length || strncmp(at, table[op].name, length) != 0))
            op++;
        if (op == COUNT(table))
            return fail_unknown(subject, at, length, error);
        while (twice < list->count && list->ops[twice] != &table[op])
            twice++;
        if (twice == list->count)
            list->ops[list->count++] = &table[op];
        if (!at[length])
            return true;
    }
}

bool spec_of_words(const char *words, anynorm_dtype type, const struct shape *shape,
                   anynorm_spec *spec)
{
    char text[256];
    uint64_t rows;
    int kind = (int)strcspn(words, " ");

    snprintf(text, sizeof text, "%.*s %" PRIu64 "x%" PRIu64 " %s%s", kind, words, shape->rows,
             shape->columns, anynorm_dtype_name(type), words + kind);
    return anynorm_spec_parse(text, spec, &rows) == ANYNORM_OK;
}

const char *ops_help(void)
{
    static char text[1024];

    text[0] = '\0';
    for (size_t i = 0; i < COUNT(table); i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "  %-20s %s%s%s%s\n",
                 table[i].name, table[i].help, table[i].shapes ? " (" : "",
                 table[i].shapes ? table[i].shapes : "", table[i].shapes ? ")" : "");
    return text;
}
