#include "norms.h"

#include "common/cli.h"
#include "tensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Lists on a command line ---- */

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

/* ---- Measured ---- */

/* Weight, bias, scale and shift are f32, all else is of the type that is asked for. */
static const struct op table[] = {
    {"layer-norm", "layer-norm weight bias", NULL, NULL, "weight and bias", 0},
    {"rms-norm", "rms-norm weight", NULL, "rms-norm", "weight", 0},
    {"residual-layer-norm", "layer-norm weight bias residual sum", NULL, "residual-layer-norm",
     "the sum of x and residual is written, and normalized", 0},
    {"residual-rms-norm", "rms-norm weight residual sum", NULL, "residual-rms-norm",
     "likewise, with weight", 0},
    {"adaptive", "layer-norm scale shift sample-rows=256 eps=1e-6", "8192x1152,16384x3072",
     "adaptive", "scale and shift for each sample of 256 rows", 0},
    {"group-norm", "layer-norm weight bias parameter-rows=32 parameter-run=4096", "64x40960",
     "group-norm", "an image 2x320x64x64 in 32 groups", 0},
    {"rms-norm-int8", "rms-norm weight y=i8 y-scale", NULL, "quantized",
     "rms-norm to int8, with a scale for each row", 0},
    {"per-head", "rms-norm weight", "65536x128", "rms-norm", "rms-norm of heads", 0},
    {"batch-norm", "layer-norm weight bias", "64x200704", "batch-norm",
     "in training, of images 64x64x56x56 or others of 3136 pixels", 56 * 56},
    {"batch-norm-1d", "layer-norm weight bias", "512x4096", "batch-norm",
     "likewise, of a matrix 4096x512, transposed here", 1},
    {"layer-norm-backward", "layer-norm weight bias mean rstd backward", NULL, "backward",
     "dx, dweight and dbias of layer-norm, which wrote mean and rstd", 0},
    {"rms-norm-backward", "rms-norm weight rstd backward", NULL, "backward",
     "likewise, of rms-norm", 0},
    {"residual-layer-norm-backward",
     "layer-norm weight bias residual sum mean rstd backward dsum saved-sum", NULL, "backward",
     "likewise, from the sum that was written and a gradient of it", 0},
    {"residual-rms-norm-backward", "rms-norm weight residual sum rstd backward dsum saved-sum",
     NULL, "backward", "likewise", 0},
    {"adaptive-backward", "layer-norm scale shift sample-rows=256 eps=1e-6 mean rstd backward",
     "8192x1152,16384x3072", "backward", "gradients of adaptive", 0},
    {"group-norm-backward",
     "layer-norm weight bias parameter-rows=32 parameter-run=4096 mean rstd backward", "64x40960",
     "backward", "gradients of group-norm", 0},
};
_Static_assert(COUNT(table) <= OPS_MOST, "a list has room for all");

static bool fail_unknown(const char *subject, const char *word, size_t length)
{
    char names[512] = "";

    for (size_t i = 0; i < COUNT(table); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                 i == 0                  ? ""
                 : i + 1 == COUNT(table) ? " or "
                                         : ", ",
                 table[i].name);
    return cli_fail(CLI_USAGE, subject, "there is no '%.*s'; give %s, or several with commas",
                    (int)(length > 60 ? 60 : length), word, names);
}

bool ops_parse(const char *subject, const char *text, struct op_list *list)
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
            return fail_unknown(subject, at, length);
        while (twice < list->count && list->ops[twice] != &table[op])
            twice++;
        if (twice == list->count)
            list->ops[list->count++] = &table[op];
        if (!at[length])
            return true;
    }
}

static bool spec_of_words(const char *words, anynorm_dtype type, const struct shape *shape,
                          anynorm_spec *spec)
{
    char text[256];
    uint64_t rows;
    int kind = (int)strcspn(words, " ");

    snprintf(text, sizeof text, "%.*s %" PRIu64 "x%" PRIu64 " %s%s", kind, words, shape->rows,
             shape->columns, anynorm_dtype_name(type), words + kind);
    return anynorm_spec_parse(text, spec, &rows) == ANYNORM_OK;
}

bool spec_of_op(const struct op *op, anynorm_dtype type, const struct shape *shape,
                anynorm_spec *spec)
{
    if (!spec_of_words(op->spec, type, shape, spec))
        return false;
    if (op->run > 0)
        spec_interleave(spec, shape->rows, op->run);
    return anynorm_spec_check(spec) == ANYNORM_OK;
}

const char *ops_help(void)
{
    static char text[2048];

    text[0] = '\0';
    for (size_t i = 0; i < COUNT(table); i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "  %-28s %s%s%s%s\n",
                 table[i].name, table[i].help, table[i].shapes ? " (" : "",
                 table[i].shapes ? table[i].shapes : "", table[i].shapes ? ")" : "");
    return text;
}

/* ---- Cases of plain LayerNorm ---- */

/* The widest first, so that a mistake of scale shows at once; awkward to every width of vector,
 * sub-group and work-group. */
static const uint64_t columns_full[] = {16384, 7168, 5120, 4097, 4095, 1025, 1023, 769, 513, 511,
                                        300,   257,  255,  129,  127,  100,  65,   63,  33,  31,
                                        17,    16,   15,   8,    7,    5,    3,    2,   1};
static const uint64_t columns_quick[] = {4097, 768, 65, 3};
static const uint64_t rows_of[] = {5, 17, 8};

/* A norm but for its shape and type. */
struct words {
    const char *spec;
    uint64_t run;     /* which the columns are a multiple of */
    bool interleaved; /* whether rows are channels of batch normalization, of so many pixels */
};

/* Of so many columns or a few more. Words that cannot have the shape leave a spec that no plan
 * takes. */
static struct verify_case case_of(const struct words *words, anynorm_dtype type, uint64_t rows,
                                  uint64_t columns, size_t values)
{
    const struct shape shape = {.rows = rows,
                                .columns = (columns + words->run - 1) / words->run * words->run};
    struct verify_case c = {.rows = rows, .values = (enum verify_values)(values % VERIFY_VALUES)};

    if (spec_of_words(words->spec, type, &shape, &c.spec) && words->interleaved)
        spec_interleave(&c.spec, rows, words->run);
    return c;
}

bool verify_plain_case(bool quick, anynorm_dtype type, size_t index, struct verify_case *c)
{
    static const struct words words = {"layer-norm weight bias mean rstd", 1, false};
    size_t i = index / VERIFY_VALUES, values = index % VERIFY_VALUES;

    if (i >= (quick ? COUNT(columns_quick) : COUNT(columns_full)))
        return false;
    *c = case_of(&words, type, rows_of[(i + values) % COUNT(rows_of)],
                 quick ? columns_quick[i] : columns_full[i], values);
    return true;
}

/* ---- Cases of the family ---- */

/* Several words of a spec that models have together, and each by itself. */
static const struct words family[] = {
    {"rms-norm weight weight-offset=1 residual sum stored-sum rstd", 1, false},
    {"layer-norm residual gate sum scale shift sample-rows=3 mean rstd eps=1e-6", 1, false},
    {"layer-norm weight bias silu unbiased mean rstd parameter-rows=2 parameter-run=7", 7, false},
    {"rms-norm weight bias rstd-input pre-bias round-first sum y=f32 parameter-rows=3", 1, false},
    {"layer-norm weight bias mean rstd", 16, true},
    {"layer-norm weight bias mean-input rstd-input", 1, true},
    {"rms-norm weight rstd", 1, false},
    {"rms-norm l2 rstd eps=1e-12", 1, false},
    {"rms-norm l2 eps-outside eps=1e-3", 1, false},
    {"rms-norm l2 eps-floor eps=30", 1, false},
    {"rms-norm weight round-first parameters=f16", 1, false},
    {"rms-norm weight residual sum", 1, false},
    {"layer-norm weight bias eps-outside mean rstd eps=1e-3", 1, false},
    {"layer-norm weight bias unbiased mean rstd", 1, false},
    {"layer-norm weight bias mean-input rstd-input", 1, false},
    {"layer-norm weight bias residual mean rstd", 1, false},
    {"layer-norm weight bias residual sum stored-sum sums=bf16", 1, false},
    {"layer-norm residual pre-bias stored-sum residuals=f32", 1, false},
    {"layer-norm pre-bias sum bias parameters=bf16", 1, false},
    {"layer-norm sum stored-sum sums=f16 mean", 1, false},
    {"layer-norm scale shift sample-rows=4 samples=f16 eps=1e-6", 1, false},
    {"layer-norm weight bias silu y=f32", 1, false},
    {"layer-norm weight bias parameter-rows=3", 1, false},
    {"layer-norm weight bias parameter-run=9 parameter-rows=4", 9, false},
    {"layer-norm weight bias unbiased mean rstd", 1, true},
    {"layer-norm weight bias residual sum silu mean rstd", 49, true},
    {"layer-norm weight bias mean-input rstd-input", 49, true},
    {"layer-norm weight bias mean rstd", 64, true},
};
static const uint64_t columns_family[] = {4099, 1030, 769, 100, 17, 2};
static const uint64_t columns_family_quick[] = {2051, 67};
enum { FAMILY_QUICK = 6 }; /* the first of the words */

/* Every set of words in one type of 16 bits, in turn, and unless it is quick in f32, too; a
 * compiler takes its time for each. */
bool verify_family_case(bool quick, size_t index, struct verify_case *c)
{
    static const anynorm_dtype narrow[] = {ANYNORM_BF16, ANYNORM_F32, ANYNORM_F16};
    const uint64_t *columns = quick ? columns_family_quick : columns_family;
    size_t widths = quick ? COUNT(columns_family_quick) : COUNT(columns_family);
    size_t types = quick ? 1 : 2, words = index / (widths * types);

    if (words >= (quick ? FAMILY_QUICK : COUNT(family)))
        return false;
    anynorm_dtype type = index / widths % types == 0 ? narrow[words % COUNT(narrow)] : ANYNORM_F32;

    *c = case_of(&family[words], type, rows_of[index % COUNT(rows_of)], columns[index % widths],
                 index * 3);
    return true;
}

/* ---- Cases of gradients ---- */

static const struct words backward[] = {
    {"layer-norm weight bias backward", 1, false},
    {"rms-norm weight weight-offset=1 residual sum rstd backward dsum saved-sum", 1, false},
    {"layer-norm residual gate sum scale shift sample-rows=3 mean rstd eps=1e-6 backward dsum", 1,
     false},
    {"layer-norm weight bias silu unbiased parameter-rows=2 parameter-run=7 backward", 7, false},
    {"layer-norm weight bias pre-bias stored-sum mean rstd backward accumulate", 1, false},
    {"layer-norm scale shift silu sample-rows=40 samples=bf16 dsamples=bf16 backward", 1, false},
    {"rms-norm weight round-first rstd-input backward", 1, false},
    {"rms-norm weight l2 eps-floor eps=30 backward dparameters=f16", 1, false},
    {"layer-norm weight eps-outside eps=1e-3 dx dx=f32", 1, false},
    {"layer-norm weight bias parameter-run=9 parameter-rows=4 dweight dbias", 9, false},
    {"layer-norm weight bias mean rstd backward", 49, true},
    {"layer-norm weight bias mean-input rstd-input backward", 1, true},
};
/* Few long rows, and so many short ones that a part has several of them. */
static const struct shape shapes_backward[] = {{5, 4099}, {37, 1030}, {70, 257}, {300, 33}, {9, 2}};
static const struct shape shapes_backward_quick[] = {{9, 2051}, {150, 67}};
enum { BACKWARD_QUICK = 2 }; /* the first of the words */

bool verify_backward_case(bool quick, anynorm_dtype type, size_t index, struct verify_case *c)
{
    const struct shape *shapes = quick ? shapes_backward_quick : shapes_backward;
    size_t count = quick ? COUNT(shapes_backward_quick) : COUNT(shapes_backward);
    size_t words = index / count;

    if (words >= (quick ? BACKWARD_QUICK : COUNT(backward)))
        return false;
    const struct shape *shape = &shapes[index % count];

    *c = case_of(&backward[words], type, shape->rows, shape->columns, index * 3);
    return true;
}

bool verify_case_has_meaning(const struct verify_case *c)
{
    return c->values != VERIFY_MEAN_1E7 || c->spec.x.type != ANYNORM_F16;
}

const char *verify_values_name(enum verify_values values)
{
    static const char *const names[VERIFY_VALUES] = {
        [VERIFY_ACTIVATIONS] = "activations",     [VERIFY_MEAN_1E4] = "mean 1e4",
        [VERIFY_MEAN_1E7] = "mean 1e7",           [VERIFY_CONSTANT] = "constant",
        [VERIFY_OUTLIER_FIRST] = "outlier first", [VERIFY_ALTERNATING] = "alternating",
        [VERIFY_NOT_NUMBERS] = "NaN and infinity"};

    return names[values];
}
