/* A spec as one line of text: test lists, `anynorm verify` and bug reports share it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "platform/numbers.h"
#include "spec.h"
#include "base/status.h"
#include "base/text.h"

/* Words of the form KEY=TYPE, beside that of x which has no key. */
static const struct {
    const char *key;
    size_t field;
    bool as_x;          /* the default; else f32 */
    uint32_t flags;     /* one of which it takes to have the field; 0: it is always there */
    uint32_t not_with;  /* with one of which there is no such field after all */
    uint32_t gradients; /* one of which it takes, too */
} type_words[] = {
    {"y=", offsetof(anynorm_spec, y.type), true, 0, ANYNORM_PARTIALS_OUTPUT, 0},
    {"residuals=", offsetof(anynorm_spec, residual.type), true, ANYNORM_RESIDUAL, 0, 0},
    {"sums=", offsetof(anynorm_spec, sum.type), true, AN_SUMS, 0, 0},
    {"parameters=", offsetof(anynorm_spec, parameters.type), false, 0, 0, 0},
    {"gates=", offsetof(anynorm_spec, gate.type), false, ANYNORM_GATE, 0, 0},
    {"scales=", offsetof(anynorm_spec, scale.type), false, ANYNORM_SCALE, 0, 0},
    {"shifts=", offsetof(anynorm_spec, shift.type), false, ANYNORM_SHIFT, 0, 0},
    {"dx=", offsetof(anynorm_spec, gradients.dx.type), true, 0, 0, ANYNORM_DX},
    {"dresidual=", offsetof(anynorm_spec, gradients.dresidual.type), true, 0, 0, ANYNORM_DRESIDUAL},
    {"dparameters=", offsetof(anynorm_spec, gradients.parameters), false, 0, 0, AN_PARAMETER_SUMS},
    {"dsamples=", offsetof(anynorm_spec, gradients.samples), false, 0, 0, AN_SAMPLE_SUMS},
};

/* For those of AN_SAMPLES that have no word of their own. */
static const char samples_key[] = "samples=";

/* All gradients that there are of the spec; "dx dweight dbias", say, where it has weight and bias.
 */
static const char backward_word[] = "backward";

/* Words of the form KEY=COUNT and the field each fills. */
static const struct {
    const char *key;
    size_t field;
    uint64_t unsaid; /* the values up to this one mean the same and are not written */
} count_words[] = {
    {"inner=", offsetof(anynorm_spec, inner_rows), 0},
    {"x-stride=", offsetof(anynorm_spec, x.row_stride), 0},
    {"x-outer=", offsetof(anynorm_spec, x.outer_stride), 0},
    {"y-stride=", offsetof(anynorm_spec, y.row_stride), 0},
    {"y-outer=", offsetof(anynorm_spec, y.outer_stride), 0},
    {"x-column=", offsetof(anynorm_spec, x.column_stride), 0},
    {"y-column=", offsetof(anynorm_spec, y.column_stride), 0},
    {"residual-stride=", offsetof(anynorm_spec, residual.row_stride), 0},
    {"residual-outer=", offsetof(anynorm_spec, residual.outer_stride), 0},
    {"residual-column=", offsetof(anynorm_spec, residual.column_stride), 0},
    {"sum-stride=", offsetof(anynorm_spec, sum.row_stride), 0},
    {"sum-outer=", offsetof(anynorm_spec, sum.outer_stride), 0},
    {"sum-column=", offsetof(anynorm_spec, sum.column_stride), 0},
    {"gate-stride=", offsetof(anynorm_spec, gate.row_stride), 0},
    {"gate-column=", offsetof(anynorm_spec, gate.column_stride), 0},
    {"scale-stride=", offsetof(anynorm_spec, scale.row_stride), 0},
    {"scale-column=", offsetof(anynorm_spec, scale.column_stride), 0},
    {"shift-stride=", offsetof(anynorm_spec, shift.row_stride), 0},
    {"shift-column=", offsetof(anynorm_spec, shift.column_stride), 0},
    {"run=", offsetof(anynorm_spec, column_run), 1},
    {"sample-rows=", offsetof(anynorm_spec, sample_rows), 1},
    {"parameter-rows=", offsetof(anynorm_spec, parameters.rows), 1},
    {"parameter-run=", offsetof(anynorm_spec, parameters.run), 1},
    {"shards=", offsetof(anynorm_spec, statistic.shards), 1},
    {"parameter-cycle=", offsetof(anynorm_spec, parameters.cycle), 0},
    {"dx-stride=", offsetof(anynorm_spec, gradients.dx.row_stride), 0},
    {"dx-outer=", offsetof(anynorm_spec, gradients.dx.outer_stride), 0},
    {"dx-column=", offsetof(anynorm_spec, gradients.dx.column_stride), 0},
    {"dresidual-stride=", offsetof(anynorm_spec, gradients.dresidual.row_stride), 0},
    {"dresidual-outer=", offsetof(anynorm_spec, gradients.dresidual.outer_stride), 0},
    {"dresidual-column=", offsetof(anynorm_spec, gradients.dresidual.column_stride), 0},
};

/* Places of words in "seen". */
enum {
    SEEN_X = 0,
    SEEN_EPS,
    SEEN_WEIGHT_OFFSET,
    SEEN_Y_BOUND,
    SEEN_SAMPLES,
    SEEN_BACKWARD,
    SEEN_TYPES,
    SEEN_FLAGS = SEEN_TYPES + COUNT(type_words),
    SEEN_GRADIENTS = SEEN_FLAGS + AN_FLAG_COUNT,
    SEEN_COUNTS = SEEN_GRADIENTS + AN_GRADIENT_COUNT,
    SEEN_ALL = SEEN_COUNTS + COUNT(count_words)
};

static uint64_t *count_field(anynorm_spec *spec, size_t index)
{
    return (uint64_t *)(void *)((char *)spec + count_words[index].field);
}

static anynorm_dtype *type_field(anynorm_spec *spec, size_t index)
{
    return (anynorm_dtype *)(void *)((char *)spec + type_words[index].field);
}

/* False where the spec has no tensor of the type: then the field stays 0. */
static bool has_type(const anynorm_spec *spec, size_t index)
{
    uint32_t gradients = type_words[index].gradients;
    return (!type_words[index].flags || (spec->flags & type_words[index].flags)) &&
           !(spec->flags & type_words[index].not_with) &&
           (!gradients || (spec->gradients.flags & gradients));
}

static bool parse_number(const char *text, size_t length, double *value)
{
    char copy[64];
    if (length >= sizeof(copy))
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    char *end;
    struct an_numbers numbers = an_numbers_enter();
    *value = strtod(copy, &end);
    an_numbers_leave(numbers);
    return *end == 0;
}

static bool starts(const char *word, size_t length, const char *prefix, size_t *prefix_length)
{
    *prefix_length = strlen(prefix);
    return length > *prefix_length && memcmp(word, prefix, *prefix_length) == 0;
}

/* The flag of a word, and its number in the list; -1 if it is no word of it. */
static int find_flag(const struct an_flag *list, int count, const char *word, size_t length)
{
    for (int i = 0; i < count; i++) {
        if (list[i].word && an_text_is(word, length, list[i].word))
            return i;
    }
    return -1;
}

/* Reads one word into the spec, that of samples into *samples; returns its place in `seen`, or -1
 * if it is no word. */
static int parse_word(const char *word, size_t length, anynorm_spec *spec, anynorm_dtype *samples)
{
    size_t skip;
    if (an_dtype_parse(word, length, &spec->x.type))
        return SEEN_X;
    if (starts(word, length, "eps=", &skip))
        return parse_number(word + skip, length - skip, &spec->statistic.eps) ? SEEN_EPS : -1;
    if (starts(word, length, "weight-offset=", &skip))
        return parse_number(word + skip, length - skip, &spec->parameters.weight_offset)
                   ? SEEN_WEIGHT_OFFSET
                   : -1;
    if (starts(word, length, "y-bound=", &skip))
        return parse_number(word + skip, length - skip, &spec->quantization.bound) ? SEEN_Y_BOUND
                                                                                   : -1;
    if (starts(word, length, samples_key, &skip))
        return an_dtype_parse(word + skip, length - skip, samples) ? SEEN_SAMPLES : -1;
    for (size_t i = 0; i < COUNT(type_words); i++) {
        if (starts(word, length, type_words[i].key, &skip))
            return an_dtype_parse(word + skip, length - skip, type_field(spec, i))
                       ? (int)(SEEN_TYPES + i)
                       : -1;
    }
    if (an_text_is(word, length, backward_word))
        return SEEN_BACKWARD;
    int flag = find_flag(an_flags, AN_FLAG_COUNT, word, length);
    if (flag >= 0) {
        spec->flags |= an_flags[flag].flag;
        return (int)SEEN_FLAGS + flag;
    }
    flag = find_flag(an_gradient_flags, AN_GRADIENT_COUNT, word, length);
    if (flag >= 0) {
        spec->gradients.flags |= an_gradient_flags[flag].flag;
        return (int)SEEN_GRADIENTS + flag;
    }
    for (size_t i = 0; i < COUNT(count_words); i++) {
        if (starts(word, length, count_words[i].key, &skip))
            return an_parse_count(word + skip, length - skip, count_field(spec, i))
                       ? (int)(SEEN_COUNTS + i)
                       : -1;
    }
    return -1;
}

/* Whether the word is a kind of norm, and which. */
static bool parse_kind(const char *word, size_t length, uint32_t *flags)
{
    *flags = length == 8 && memcmp(word, "rms-norm", 8) == 0 ? ANYNORM_RMS : 0;
    return *flags || (length == 10 && memcmp(word, "layer-norm", 10) == 0);
}

/* Whether the type is of gate, scale or shift. */
static bool is_of_samples(size_t index)
{
    return (type_words[index].flags & AN_SAMPLES) != 0;
}

/* All gradients that there are. */
static uint32_t all_gradients(const anynorm_spec *spec)
{
    static const struct {
        uint32_t flag;
        uint32_t gradients;
    } of[] = {
        {ANYNORM_WEIGHT, ANYNORM_DWEIGHT},     {ANYNORM_BIAS, ANYNORM_DBIAS},
        {ANYNORM_PRE_BIAS, ANYNORM_DPRE_BIAS}, {ANYNORM_GATE, ANYNORM_DGATE | ANYNORM_DRESIDUAL},
        {ANYNORM_SCALE, ANYNORM_DSCALE},       {ANYNORM_SHIFT, ANYNORM_DSHIFT}};
    uint32_t all = ANYNORM_DX;
    for (size_t i = 0; i < COUNT(of); i++)
        all |= spec->flags & of[i].flag ? of[i].gradients : 0;
    return all;
}

/* What the words leave open. */
static void fill_in(const bool seen[SEEN_ALL], anynorm_dtype samples, anynorm_spec *spec)
{
    if (seen[SEEN_BACKWARD])
        spec->gradients.flags |= all_gradients(spec);
    for (size_t i = 0; i < COUNT(type_words); i++) {
        if (seen[SEEN_TYPES + i])
            continue;
        if (type_words[i].as_x && has_type(spec, i))
            *type_field(spec, i) = spec->x.type;
        if (is_of_samples(i) && has_type(spec, i))
            *type_field(spec, i) = samples;
    }
    if (!seen[SEEN_EPS])
        spec->statistic.eps =
            spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_OUTPUT) ? 0 : ANYNORM_EPS_DEFAULT;
}

anynorm_status anynorm_spec_parse(const char *text, anynorm_spec *spec, uint64_t *rows)
{
    if (!text || !spec || !rows)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "text, spec or rows is NULL");
    anynorm_spec result = {0};
    anynorm_dtype samples = ANYNORM_F32;
    uint64_t row_count = 0;
    bool seen[SEEN_ALL] = {false};
    int position = 0;
    for (const char *word = text + strspn(text, " "); *word; position++) {
        size_t length = strcspn(word, " ");
        int shown = an_text_shown(length);
        if (position == 0) {
            if (!parse_kind(word, length, &result.flags))
                return an_fail(ANYNORM_INVALID_ARGUMENT,
                               "spec text: starts with \"%.*s\", must be \"layer-norm\" or "
                               "\"rms-norm\"",
                               shown, word);
        } else if (position == 1) {
            const char *cross = memchr(word, 'x', length);
            size_t before = cross ? (size_t)(cross - word) : 0;
            if (!cross || !an_parse_count(word, before, &row_count) ||
                !an_parse_count(cross + 1, length - before - 1, &result.columns))
                return an_fail(ANYNORM_INVALID_ARGUMENT,
                               "spec text: \"%.*s\" is no ROWSxCOLUMNS such as 512x768", shown,
                               word);
        } else {
            int place = parse_word(word, length, &result, &samples);
            if (place < 0)
                return an_fail(ANYNORM_INVALID_ARGUMENT,
                               "spec text: \"%.*s\" is no known word or has a bad value", shown,
                               word);
            if (seen[place])
                return an_fail(ANYNORM_INVALID_ARGUMENT, "spec text: \"%.*s\" says something twice",
                               shown, word);
            seen[place] = true;
        }
        word += length;
        word += strspn(word, " ");
    }
    if (position < 2)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec text: ends before ROWSxCOLUMNS; \"layer-norm 512x768\" is the least");
    if (samples != ANYNORM_F32 && !(result.flags & AN_SAMPLES))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec text: \"%s%s\" is of gate, scale and shift, of which there is none",
                       samples_key, anynorm_dtype_name(samples));
    fill_in(seen, samples, &result);
    anynorm_status status = anynorm_spec_check(&result);
    if (status != ANYNORM_OK)
        return status;
    *spec = result;
    *rows = row_count;
    return ANYNORM_OK;
}

/* In the shortest form that reads back as the same number. */
static void put_number(struct an_text *writer, const char *key, double value)
{
    char number[32];
    struct an_numbers numbers = an_numbers_enter();
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(number, sizeof(number), "%.*g", digits, value);
        if (strtod(number, NULL) == value)
            break;
    }
    an_numbers_leave(numbers);
    an_text_put(writer, " %s=%s", key, number);
}

/* Those of gate, scale and shift in one word, if they agree. */
static void put_types(struct an_text *writer, const anynorm_spec *spec)
{
    anynorm_spec copy = *spec;
    anynorm_dtype samples = ANYNORM_F32;
    bool agree = true, any = false;
    for (size_t i = 0; i < COUNT(type_words); i++) {
        if (!is_of_samples(i) || !has_type(spec, i))
            continue;
        agree = agree && (!any || *type_field(&copy, i) == samples);
        samples = *type_field(&copy, i);
        any = true;
    }
    for (size_t i = 0; i < COUNT(type_words); i++) {
        anynorm_dtype type = *type_field(&copy, i);
        if (has_type(spec, i) && !(agree && is_of_samples(i)) &&
            type != (type_words[i].as_x ? spec->x.type : ANYNORM_F32))
            an_text_put(writer, " %s%s", type_words[i].key, anynorm_dtype_name(type));
    }
    if (agree && samples != ANYNORM_F32)
        an_text_put(writer, " %s%s", samples_key, anynorm_dtype_name(samples));
}

size_t anynorm_spec_format(const anynorm_spec *spec, uint64_t rows, char *text, size_t capacity)
{
    struct an_text writer = {text, text ? capacity : 0, 0};
    if (writer.capacity)
        text[0] = 0;
    if (!spec)
        return 0;
    an_text_put(&writer, "%s-norm %" PRIu64 "x%" PRIu64 " %s",
                spec->flags & ANYNORM_RMS ? "rms" : "layer", rows, spec->columns,
                anynorm_dtype_name(spec->x.type));
    anynorm_spec copy = *spec;
    put_types(&writer, spec);
    for (size_t i = 0; i < AN_FLAG_COUNT; i++) {
        if ((spec->flags & an_flags[i].flag) && an_flags[i].word)
            an_text_put(&writer, " %s", an_flags[i].word);
    }
    uint32_t gradients = spec->gradients.flags, all = all_gradients(spec);
    if (gradients && (gradients & AN_GRADIENTS) == all) {
        an_text_put(&writer, " %s", backward_word);
        gradients &= ~(uint32_t)AN_GRADIENTS;
    }
    for (size_t i = 0; i < AN_GRADIENT_COUNT; i++) {
        if (gradients & an_gradient_flags[i].flag)
            an_text_put(&writer, " %s", an_gradient_flags[i].word);
    }
    put_number(&writer, "eps", spec->statistic.eps);
    if (spec->parameters.weight_offset != 0)
        put_number(&writer, "weight-offset", spec->parameters.weight_offset);
    if (spec->quantization.bound != 0)
        put_number(&writer, "y-bound", spec->quantization.bound);
    for (size_t i = 0; i < COUNT(count_words); i++) {
        uint64_t value = *count_field(&copy, i);
        if (value > count_words[i].unsaid)
            an_text_put(&writer, " %s%" PRIu64, count_words[i].key, value);
    }
    return writer.length;
}
