#include "variants.h"

#include <stdint.h>
#include <string.h>

#include "select.h"
#include "select_fit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Which numbers of which schedule are worth changing, and to what; those that a device or a row
 * does not take fall out by themselves. The most promising first, as the list has an end. A new
 * schedule or number is a line here. */
static const struct {
    enum an_schedule schedule;
    size_t field;
    uint64_t values[8]; /* up to the first 0 */
} axes[] = {
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, stream), {1, AN_NEVER}},
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, rows), {4, 1}},
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, vector), {16, 8, 4}},
    {AN_ROW_PER_ITEM, offsetof(struct an_choice, group), {1, 32, 64, 128, 256}},
    {AN_ROW_PER_GROUP, offsetof(struct an_choice, group), {128, 256, 64, 512, 32, 1024, 16}},
    {AN_ROW_PER_GROUP, offsetof(struct an_choice, rows), {1, 2, 4, 8, 16}},
    {AN_ROW_PER_SUBGROUP, offsetof(struct an_choice, group), {128, 64, 256, 32}},
    {AN_ROW_PER_SUBGROUP, offsetof(struct an_choice, rows), {4, 8, 16, 2, 32}},
    {AN_ROW_IN_LOCAL, offsetof(struct an_choice, group), {256, 128, 512, 64, 1024}},
    {AN_ROW_REREAD, offsetof(struct an_choice, group), {256, 128, 512, 64, 1024, 32}},
    {AN_ROW_SPLIT, offsetof(struct an_choice, segment), {16384, 8192, 32768, 65536}},
    {AN_ROW_SPLIT, offsetof(struct an_choice, stream), {1, AN_NEVER}},
};

/* In each turn every schedule, the preferred first, adds up to `most` variants that have so many
 * numbers changed from the closed form's: all get a say before the list is full. */
static const struct {
    int changes;
    size_t most;
} turns[] = {{0, 1}, {1, 6}, {1, ANYNORM_MAX_VARIANTS}, {2, ANYNORM_MAX_VARIANTS}};

/* The wish that `code` spells, with a digit for each axis of the schedule, 0 leaving the number
 * open. Returns how many are not 0; -1 where the code is past the last. */
static int spell(enum an_schedule schedule, size_t code, struct an_choice *wish)
{
    int changes = 0;
    *wish = (struct an_choice){.schedule = schedule};
    for (size_t a = 0; a < COUNT(axes); a++) {
        size_t states = 1, digit;
        if (axes[a].schedule != schedule)
            continue;
        while (states <= COUNT(axes[a].values) && axes[a].values[states - 1])
            states++;
        digit = code % states;
        code /= states;
        if (digit > 0) {
            memcpy((char *)wish + axes[a].field, &axes[a].values[digit - 1], sizeof(uint64_t));
            changes++;
        }
    }
    return code == 0 ? changes : -1;
}

static bool same(const struct an_choice *a, const struct an_choice *b)
{
    return a->schedule == b->schedule && !an_choice_unmet(a, b) && !an_choice_unmet(b, a);
}

/* Adds what the wish comes to; false where it does not fit, is there already, or finds no room. */
static bool add(const anynorm_device_info *info, const anynorm_spec *spec,
                const struct an_choice *wish, struct an_variants *variants)
{
    struct an_choice choice;
    char reason[sizeof(((anynorm_candidate *)0)->reason)];
    if (variants->count == COUNT(variants->choices) ||
        !an_select_fits(info, spec, wish, &choice, reason, sizeof(reason)))
        return false;
    for (size_t i = 0; i < variants->count; i++) {
        if (same(&variants->choices[i], &choice))
            return false;
    }
    variants->choices[variants->count++] = choice;
    return true;
}

static void add_changed(const anynorm_device_info *info, const anynorm_spec *spec,
                        enum an_schedule schedule, int changes, size_t most,
                        struct an_variants *variants)
{
    struct an_choice wish;
    int found;
    for (size_t code = 0; most > 0 && (found = spell(schedule, code, &wish)) >= 0; code++) {
        if (found == changes && add(info, spec, &wish, variants))
            most--;
    }
}

void an_variants_list(const anynorm_device_info *info, const anynorm_spec *spec,
                      const struct an_choice *first, struct an_variants *variants)
{
    enum an_schedule schedule;
    variants->count = 0;
    if (first)
        add(info, spec, first, variants);
    for (size_t t = 0; t < COUNT(turns); t++) {
        for (size_t i = 0; an_select_order(info, spec, i, &schedule); i++)
            add_changed(info, spec, schedule, turns[t].changes, turns[t].most, variants);
    }
}
