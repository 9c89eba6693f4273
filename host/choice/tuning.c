/* The tuning database's text: reading it, and finding the entry for a device and shape. */
#include "tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "spec/spec.h"
#include "base/status.h"
#include "base/text.h"

enum { MOST_LINE = 1000, SHOWN = 60 };

/* A word and what it stands for. */
struct word {
    const char *text;
    uint32_t value;
};

static const struct word levels[AN_TUNING_LEVELS] = {
    [AN_TUNING_CLASS] = {"class", AN_TUNING_CLASS},
    [AN_TUNING_VENDOR] = {"vendor", AN_TUNING_VENDOR},
    [AN_TUNING_ARCHITECTURE] = {"architecture", AN_TUNING_ARCHITECTURE},
    [AN_TUNING_DEVICE] = {"device", AN_TUNING_DEVICE},
};

static const struct word classes[] = {
    {"gpu", ANYNORM_CLASS_GPU},
    {"cpu", ANYNORM_CLASS_CPU},
    {"accelerator", ANYNORM_CLASS_ACCELERATOR},
};

static const struct word op_words[] = {
    {"layer-norm", AN_TUNING_LAYER_NORM},
    {"rms-norm", AN_TUNING_RMS_NORM},
    {"residual-layer-norm", AN_TUNING_RESIDUAL_LAYER_NORM},
    {"residual-rms-norm", AN_TUNING_RESIDUAL_RMS_NORM},
    {"adaptive", AN_TUNING_ADAPTIVE},
    {"group-norm", AN_TUNING_GROUP_NORM},
    {"quantized", AN_TUNING_QUANTIZED},
    {"batch-norm", AN_TUNING_BATCH_NORM},
    {"backward", AN_TUNING_BACKWARD},
    {"*", AN_TUNING_ANY_OP},
};

static const struct an_tuning_range any = {0, UINT64_MAX};

/* ---- Words ---- */

/* The next word of *at, its quotes taken off; "" at the end. The buffer is as long as the line. */
static void next_word(const char **at, char *word)
{
    bool quoted = false;
    const char *from = *at + strspn(*at, " ");
    for (; *from && (quoted || *from != ' '); from++) {
        if (*from == '"')
            quoted = !quoted;
        else
            *word++ = *from;
    }
    *word = 0;
    *at = from;
}

/* Copies the line without its comment, blanks made alike. False where a quote stays open. */
static bool copy_line(const char *line, size_t length, char *copy)
{
    bool quoted = false;
    for (size_t i = 0; i < length && (quoted || line[i] != '#'); i++) {
        quoted = quoted != (line[i] == '"');
        *copy++ = line[i] == '\t' || line[i] == '\r' ? ' ' : line[i];
    }
    *copy = 0;
    return !quoted;
}

/* Of the word KEY=TEXT. */
static anynorm_status parse_range(const char *word, const char *text, struct an_tuning_range *range)
{
    size_t length = strcspn(text, "-");
    const char *end = text[length] ? text + length + 1 : text;
    bool all = strcmp(text, "*") == 0;
    *range = any;
    if (all || (an_parse_count(text, length, &range->from) && range->from > 0 &&
                (strcmp(end, "*") == 0 || an_parse_count(end, strlen(end), &range->to)) &&
                range->from <= range->to))
        return ANYNORM_OK;
    return an_fail(ANYNORM_INVALID_ARGUMENT,
                   "\"%.*s\" has no range; give a number from 1, a range such as 1025-2048 or "
                   "4097-*, or *",
                   SHOWN, word);
}

/* What the text stands for among `count` words; else fails, as that is no what `wrong` tells. */
static anynorm_status find_word(const char *text, const struct word *words, size_t count,
                                const char *wrong, uint32_t *value)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i].text, text) == 0) {
            *value = words[i].value;
            return ANYNORM_OK;
        }
    }
    return an_fail(ANYNORM_INVALID_ARGUMENT, "\"%.*s\" is no %s", SHOWN, text, wrong);
}

static anynorm_status parse_pattern(const char *word, struct an_tuning *tuning)
{
    uint32_t device_class;
    if (!*word || strcmp(word, "->") == 0 || strlen(word) >= sizeof(tuning->pattern))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "%s wants a pattern of 1 to %zu characters after it, such as "
                       "device \"gfx11*\" or class gpu",
                       levels[tuning->level].text, sizeof(tuning->pattern) - 1);
    snprintf(tuning->pattern, sizeof(tuning->pattern), "%s", word);
    return tuning->level != AN_TUNING_CLASS
               ? ANYNORM_OK
               : find_word(word, classes, COUNT(classes),
                           "class of devices; there are gpu, cpu and accelerator", &device_class);
}

enum { PLATFORM, TYPE, OP, COLUMNS, ROWS, KEYS };

static const char *const keys[KEYS] = {"platform=", "type=", "op=", "columns=", "rows="};

static anynorm_status parse_key(const char *word, bool seen[KEYS], struct an_tuning *tuning)
{
    int key = 0;
    while (key < KEYS && strncmp(word, keys[key], strlen(keys[key])) != 0)
        key++;
    if (key == KEYS || seen[key])
        return an_fail(
            ANYNORM_INVALID_ARGUMENT,
            "\"%.*s\" is none of platform=, type=, op=, columns= and rows=, each once, or "
            "->",
            SHOWN, word);
    seen[key] = true;
    const char *value = word + strlen(keys[key]);
    switch (key) {
    case PLATFORM:
        if (!*value || strlen(value) >= sizeof(tuning->platform))
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "platform= wants a pattern of 1 to %zu characters, such as \"AMD *\"",
                           sizeof(tuning->platform) - 1);
        snprintf(tuning->platform, sizeof(tuning->platform), "%s", value);
        return ANYNORM_OK;
    case TYPE:
        tuning->any_type = false;
        if (!an_dtype_parse(value, strlen(value), &tuning->type) ||
            an_dtype_quantized(tuning->type)) /* which x never is */
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "\"%.*s\" is no type; there are f32, f16, bf16 and f64", SHOWN, value);
        return ANYNORM_OK;
    case OP:
        return find_word(
            value, op_words, COUNT(op_words),
            "op; there are layer-norm, rms-norm, residual-layer-norm, "
            "residual-rms-norm, adaptive, group-norm, quantized, batch-norm, backward and *",
            &tuning->ops);
    case COLUMNS:
        return parse_range(word, value, &tuning->columns);
    default:
        return parse_range(word, value, &tuning->rows);
    }
}

anynorm_status an_tuning_parse(const char *line, size_t length, struct an_tuning *tuning,
                               bool *blank)
{
    char copy[MOST_LINE + 1], word[MOST_LINE + 1];
    bool seen[KEYS] = {false};
    struct an_tuning result = {.platform = "*",
                               .any_type = true,
                               .ops = AN_TUNING_LAYER_NORM | AN_TUNING_RMS_NORM,
                               .columns = any,
                               .rows = any};
    *blank = false;
    if (length > MOST_LINE)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "it is longer than %d characters", MOST_LINE);
    if (memchr(line, 0, length))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "it holds a zero byte; give a line of text");
    if (!copy_line(line, length, copy))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "a quote is opened and not closed");
    const char *at = copy;
    next_word(&at, word);
    if (!*word) {
        *blank = true;
        return ANYNORM_OK;
    }
    uint32_t level = 0;
    anynorm_status status =
        find_word(word, levels, COUNT(levels),
                  "beginning of an entry; that is device, architecture, vendor or class", &level);
    if (status == ANYNORM_OK) {
        result.level = (enum an_tuning_level)level;
        next_word(&at, word);
        status = parse_pattern(word, &result);
    }
    for (next_word(&at, word); status == ANYNORM_OK && *word && strcmp(word, "->") != 0;
         next_word(&at, word))
        status = parse_key(word, seen, &result);
    if (status != ANYNORM_OK)
        return status;
    if (!*word)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "it has no choice; end it as in -> row_per_group group=128");
    status = an_choice_parse(at, &result.choice);
    if (status == ANYNORM_OK && result.choice.schedule == AN_REFERENCE)
        status = an_fail(ANYNORM_INVALID_ARGUMENT, "reference is no schedule of such a device");
    if (status == ANYNORM_OK)
        *tuning = result;
    return status;
}

anynorm_status an_tuning_parse_all(const char *text, size_t length, an_tuning_complaint *complain,
                                   void *user, struct an_tunings *tunings)
{
    struct an_tunings result = {NULL, 0};
    size_t room = 0, line = 1;
    for (const char *at = text, *end = text + length; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        struct an_tuning tuning;
        bool blank;
        anynorm_status status = an_tuning_parse(at, size, &tuning, &blank);
        at += size + 1;
        if (status != ANYNORM_OK)
            complain(user, line);
        if (status != ANYNORM_OK || blank)
            continue;
        if (result.count == room) {
            room = room ? 2 * room : 16;
            struct an_tuning *larger = realloc(result.entries, room * sizeof(*larger));
            if (!larger) {
                free(result.entries);
                return an_fail(ANYNORM_OUT_OF_MEMORY, "no host memory for the tuning database");
            }
            result.entries = larger;
        }
        tuning.line = line;
        result.entries[result.count++] = tuning;
    }
    *tunings = result;
    return ANYNORM_OK;
}

/* ---- Finding ---- */

static bool matches_device(const struct an_tuning *tuning, const anynorm_device_info *info)
{
    switch (tuning->level) {
    case AN_TUNING_DEVICE:
    case AN_TUNING_ARCHITECTURE:
        return an_text_match(tuning->pattern, info->name);
    case AN_TUNING_VENDOR:
        return an_text_match(tuning->pattern, info->vendor);
    default:
        for (size_t i = 0; i < COUNT(classes); i++) {
            if (classes[i].value == (uint32_t)info->device_class)
                return strcmp(classes[i].text, tuning->pattern) == 0;
        }
        return false;
    }
}

enum an_tuning_op an_tuning_op(const anynorm_spec *spec)
{
    bool rms = spec->flags & ANYNORM_RMS;
    if (an_spec_backward(spec))
        return AN_TUNING_BACKWARD;
    if (!an_spec_side_by_side(spec))
        return AN_TUNING_BATCH_NORM;
    if (an_dtype_quantized(spec->y.type))
        return AN_TUNING_QUANTIZED;
    if (spec->parameters.run > 1)
        return AN_TUNING_GROUP_NORM;
    if (spec->flags & AN_SAMPLES)
        return AN_TUNING_ADAPTIVE;
    if (spec->flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT))
        return rms ? AN_TUNING_RESIDUAL_RMS_NORM : AN_TUNING_RESIDUAL_LAYER_NORM;
    return rms ? AN_TUNING_RMS_NORM : AN_TUNING_LAYER_NORM;
}

static bool holds(struct an_tuning_range range, uint64_t value)
{
    return range.from <= value && value <= range.to;
}

static bool applies(const struct an_tuning *tuning, const anynorm_device_info *info,
                    const anynorm_spec *spec, uint64_t rows)
{
    /* Gradients were measured of dense columns. */
    bool measured = !an_spec_backward(spec) || an_spec_side_by_side(spec);
    return measured && (tuning->ops & an_tuning_op(spec)) &&
           holds(tuning->columns, spec->columns) && holds(tuning->rows, rows) &&
           (tuning->any_type ||
            (spec->x.type == tuning->type &&
             (spec->y.type == tuning->type || (spec->flags & ANYNORM_PARTIALS_OUTPUT)))) &&
           matches_device(tuning, info) && an_text_match(tuning->platform, info->platform);
}

static uint64_t width(struct an_tuning_range range)
{
    return range.to - range.from;
}

/* `later` stands after `earlier` in the text. */
static bool takes_over(const struct an_tuning *later, const struct an_tuning *earlier)
{
    if (later->level != earlier->level)
        return later->level > earlier->level;
    if (later->ops != earlier->ops) /* of two that hold the spec's, one holds the other, too */
        return later->ops < earlier->ops;
    if (width(later->rows) != width(earlier->rows))
        return width(later->rows) < width(earlier->rows);
    return width(later->columns) <= width(earlier->columns);
}

const struct an_tuning *an_tuning_find(const struct an_tunings *tunings,
                                       const anynorm_device_info *info, const anynorm_spec *spec,
                                       uint64_t rows)
{
    const struct an_tuning *found = NULL;
    for (size_t i = 0; i < tunings->count; i++) {
        const struct an_tuning *tuning = &tunings->entries[i];
        if (applies(tuning, info, spec, rows) && (!found || takes_over(tuning, found)))
            found = tuning;
    }
    return found;
}
