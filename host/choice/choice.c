/* A schedule with its numbers as one line of text. */
#include "choice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/status.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const names[AN_SCHEDULE_COUNT] = {
    [AN_REFERENCE] = "reference",
    [AN_ROW_PER_ITEM] = "row_per_item",
    [AN_ROW_PER_SUBGROUP] = "row_per_subgroup",
    [AN_ROW_PER_GROUP] = "row_per_group",
    [AN_ROW_IN_LOCAL] = "row_in_local",
    [AN_ROW_REREAD] = "row_reread",
    [AN_ROW_SPLIT] = "row_split",
    [AN_COLUMN_WALK] = "column_walk",
    [AN_COPY] = "copy",
    [AN_COPY_STREAMING] = "copy_streaming",
    [AN_ADD] = "add",
    [AN_EMPTY] = "empty",
};

static const struct {
    const char *key;
    size_t field;
} numbers[] = {
    {"group", offsetof(struct an_choice, group)},
    {"vector", offsetof(struct an_choice, vector)},
    {"rows", offsetof(struct an_choice, rows)},
    {"held", offsetof(struct an_choice, held)},
    {"slices", offsetof(struct an_choice, slices)},
    {"segment", offsetof(struct an_choice, segment)},
    {"subgroup", offsetof(struct an_choice, subgroup)},
    {"stream", offsetof(struct an_choice, stream)},
};

static uint64_t number_of(const struct an_choice *choice, size_t index)
{
    uint64_t value;
    memcpy(&value, (const char *)choice + numbers[index].field, sizeof(value));
    return value;
}

static void set_number(struct an_choice *choice, size_t index, uint64_t value)
{
    memcpy((char *)choice + numbers[index].field, &value, sizeof(value));
}

const char *an_schedule_name(enum an_schedule schedule)
{
    return names[schedule];
}

bool an_schedule_find(const char *text, size_t length, enum an_schedule *schedule)
{
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
            *schedule = (enum an_schedule)i;
            return true;
        }
    }
    return false;
}

static anynorm_status no_such_schedule(const char *word, size_t length)
{
    char list[256] = "";
    for (size_t i = AN_REFERENCE + 1; i < COUNT(names); i++) {
        if (an_schedule_is_baseline((enum an_schedule)i))
            continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", names[i]);
    }
    return an_fail(ANYNORM_INVALID_ARGUMENT, "schedule \"%.*s\" does not exist; there are %s",
                   an_text_shown(length), word, list);
}

/* A number from 1, or "never". */
static bool parse_number(const char *text, size_t length, uint64_t *value)
{
    if (length == 5 && memcmp(text, "never", length) == 0) {
        *value = AN_NEVER;
        return true;
    }
    return an_parse_count(text, length, value) && *value > 0;
}

static bool parse_word(const char *word, size_t length, struct an_choice *choice)
{
    for (size_t i = 0; i < COUNT(numbers); i++) {
        size_t skip = strlen(numbers[i].key);
        uint64_t value;
        if (length <= skip || memcmp(word, numbers[i].key, skip) != 0 || word[skip] != '=')
            continue;
        if (number_of(choice, i) != 0 || !parse_number(word + skip + 1, length - skip - 1, &value))
            return false;
        set_number(choice, i, value);
        return true;
    }
    return false;
}

anynorm_status an_choice_parse(const char *text, struct an_choice *choice)
{
    struct an_choice result = {.schedule = AN_REFERENCE};
    const char *word = text + strspn(text, " ");
    size_t length = strcspn(word, " ");
    if (!an_schedule_find(word, length, &result.schedule))
        return no_such_schedule(word, length);
    for (word += length; *(word += strspn(word, " ")); word += length) {
        length = strcspn(word, " ");
        if (!parse_word(word, length, &result))
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "schedule: \"%.*s\" is no number of a schedule, given once, such as "
                           "group=64",
                           an_text_shown(length), word);
    }
    *choice = result;
    return ANYNORM_OK;
}

size_t an_choice_format(const struct an_choice *choice, char *text, size_t capacity)
{
    struct an_text result = {text, capacity, 0};
    an_text_put(&result, "%s", names[choice->schedule]);
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uint64_t value = number_of(choice, i);
        if (value == AN_NEVER)
            an_text_put(&result, " %s=never", numbers[i].key);
        else if (value > 0)
            an_text_put(&result, " %s=%" PRIu64, numbers[i].key, value);
    }
    return result.length;
}

const char *an_choice_unmet(const struct an_choice *wish, const struct an_choice *choice)
{
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uint64_t wanted = number_of(wish, i);
        if (wanted != 0 && wanted != number_of(choice, i))
            return numbers[i].key;
    }
    return NULL;
}
