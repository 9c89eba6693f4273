#include "safetensors_entries.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SHOWN = 80 };

bool safetensors_entries_add(const char *subject, struct safetensors_entries *entries,
                             struct safetensors_entry entry, struct cli_error *error)
{
    if (entries->count == entries->capacity) {
        size_t capacity = entries->capacity ? entries->capacity * 2 : 64;
        void *grown = realloc(entries->at, capacity * sizeof *entries->at);

        if (!grown)
            return cli_fail(error, CLI_FAILED, subject, "out of memory for its header");
        entries->at = grown;
        entries->capacity = capacity;
    }
    entries->at[entries->count++] = entry;
    return true;
}

void safetensors_entries_free(struct safetensors_entries *entries)
{
    free(entries->at);
    *entries = (struct safetensors_entries){0};
}

static int by_name(const void *left, const void *right)
{
    const struct safetensors_entry *a = left;
    const struct safetensors_entry *b = right;
    int order = memcmp(a->name, b->name, a->length < b->length ? a->length : b->length);

    return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Empty tensors come before the one that begins where they lie. */
static int by_place(const void *left, const void *right)
{
    const struct safetensors_entry *a = left;
    const struct safetensors_entry *b = right;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static void sort(struct safetensors_entries *entries, int (*order)(const void *, const void *))
{
    if (entries->count > 1)
        qsort(entries->at, entries->count, sizeof *entries->at, order);
}

bool safetensors_check_names(const char *subject, struct safetensors_entries *entries,
                             struct cli_error *error)
{
    sort(entries, by_name);
    for (size_t i = 1; i < entries->count; i++) {
        const struct safetensors_entry *entry = &entries->at[i];

        if (by_name(entry - 1, entry) == 0)
            return cli_fail(error, CLI_USAGE, subject,
                            "its safetensors header has the key '%.*s' twice; write the file again",
                            safetensors_name_length(entry), entry->name);
    }
    return true;
}

bool safetensors_check_places(const char *subject, struct safetensors_entries *entries,
                              uint64_t size, struct cli_error *error)
{
    uint64_t end = 0;

    sort(entries, by_place);
    for (size_t i = 0; i < entries->count; i++) {
        const struct safetensors_entry *entry = &entries->at[i];
        int length = safetensors_name_length(entry);

        if (entry->end > size)
            return cli_fail(error, CLI_USAGE, subject,
                            "its tensor '%.*s' ends at byte %" PRIu64 " of the data and there are "
                            "%" PRIu64 "; the file is cut, copy it again",
                            length, entry->name, entry->end, size);
        if (entry->begin < end)
            return cli_fail(error, CLI_USAGE, subject,
                            "its tensors '%.*s' and '%.*s' overlap; write the file again",
                            safetensors_name_length(entry - 1), entry[-1].name, length,
                            entry->name);
        if (entry->begin > end)
            return cli_fail(error, CLI_USAGE, subject,
                            "there is a hole of %" PRIu64 " bytes before its tensor '%.*s'; write "
                            "the file again",
                            entry->begin - end, length, entry->name);
        end = entry->end;
    }
    if (end < size)
        return cli_fail(error, CLI_USAGE, subject,
                        "%" PRIu64 " bytes at its end belong to no tensor; something was added, "
                        "write the file again",
                        size - end);
    return true;
}

int safetensors_name_length(const struct safetensors_entry *entry)
{
    return entry->length < NAME_SHOWN ? (int)entry->length : NAME_SHOWN;
}
