/* A choice as one line of text, and the size of its launch. */
#include "choice.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/status.h"
#include "base/text.h"
#include "caps.h"
#include "spec/gradient.h"
#include "spec/tensors.h"

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
    return *(const uint64_t *)(const void *)((const char *)choice + numbers[index].field);
}

const char *an_schedule_name(enum an_schedule schedule)
{
    return names[schedule];
}

const char *an_schedule_file(enum an_schedule schedule, const anynorm_spec *spec)
{
    if (an_spec_backward(spec))
        return "backward";
    if (an_schedule_is_baseline(schedule))
        return "baseline";
    return an_schedule_name(schedule == AN_ROW_REREAD ? AN_ROW_SPLIT : schedule);
}

bool an_schedule_find(const char *text, size_t length, enum an_schedule *schedule)
{
    for (size_t i = 0; i < COUNT(names); i++) {
        if (an_text_is(text, length, names[i])) {
            *schedule = (enum an_schedule)i;
            return true;
        }
    }
    return false;
}

static anynorm_status no_such_schedule(const char *word, size_t length)
{
    char list[256] = "";
    struct an_text text = {list, sizeof(list), 0};
    for (size_t i = AN_REFERENCE + 1; i < AN_COPY; i++)
        an_text_put(&text, "%s%s", text.length ? ", " : "", names[i]);
    return an_fail(ANYNORM_INVALID_ARGUMENT, "schedule \"%.*s\" does not exist; there are %s",
                   an_text_shown(length), word, list);
}

/* A number from 1, or "never". */
static bool parse_number(const char *text, size_t length, uint64_t *value)
{
    if (an_text_is(text, length, "never")) {
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
        *(uint64_t *)(void *)((char *)choice + numbers[i].field) = value;
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

/* ---- The launch: every kernel loops over the rows that are more than it has groups for ---- */

/* Work-groups for each core of a CPU device: enough to even out cores that are not equally free,
 * few enough that handing them out costs nothing. */
#define GROUPS_PER_UNIT 32

/* Bytes that a work-item of a copy has to do at least, so that a small copy takes few. */
#define COPY_BYTES 64

/* Rows side by side only where that leaves no core without work. */
static uint64_t item_groups(const anynorm_device_info *info, const struct an_choice *choice,
                            uint64_t rows)
{
    uint64_t together = choice->group * choice->rows;
    if (rows < together * info->compute_units)
        together = choice->group;
    return an_divide_up(rows, together);
}

/* One for each set of strips (as kernels/opencl/column_walk.cl has them) that its work-items walk
 * side by side; on a CPU not fewer than keep all of its cores busy. */
static uint64_t walk_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                            const struct an_choice *choice, uint64_t rows)
{
    uint64_t neighbours = choice->group / choice->slices, length = neighbours * choice->vector;
    uint64_t strips = an_divide_up(rows, length);
    if (neighbours == 1 && spec->inner_rows > 0)
        strips = rows / spec->inner_rows * an_divide_up(spec->inner_rows, length) +
                 an_divide_up(rows % spec->inner_rows, length);
    uint64_t groups = an_divide_up(strips, choice->held), cores = info->compute_units;
    return choice->group == 1 && groups < cores ? an_least(strips, cores) : groups;
}

/* Within what the device takes; where work-items are a core's whole vector unit, few enough. */
static uint64_t bounded(const anynorm_device_info *info, uint64_t groups, bool evened)
{
    if (evened)
        groups = an_least(groups, (uint64_t)info->compute_units * GROUPS_PER_UNIT);
    return an_least(groups, info->max_groups);
}

uint64_t an_part_groups(const anynorm_device_info *info, const struct an_choice *choice,
                        uint64_t parts)
{
    bool alone = choice->group == 1;
    return bounded(info, an_divide_up(parts, alone ? 1 : choice->rows), alone);
}

uint64_t an_grid_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                        const struct an_choice *choice, uint64_t rows)
{
    bool evened = choice->group == 1;
    if (an_spec_backward(spec))
        return an_part_groups(info, choice, an_gradient_parts(spec, rows).count);
    uint64_t groups;
    switch (choice->schedule) {
    case AN_COPY:
    case AN_COPY_STREAMING:
    case AN_ADD:
        groups = an_divide_up(rows * spec->columns * an_tensor_narrowest(spec),
                              COPY_BYTES * choice->group);
        evened = true;
        break;
    case AN_ROW_PER_ITEM:
        groups = item_groups(info, choice, rows);
        break;
    case AN_COLUMN_WALK:
        groups = walk_groups(info, spec, choice, rows);
        break;
    default:
        groups = an_divide_up(rows, choice->rows ? choice->rows : 1);
    }
    return bounded(info, groups, evened);
}

uint64_t an_sum_slices(const struct an_choice *choice)
{
    return choice->group >= 64 ? 16 : 1;
}

uint64_t an_sum_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                       const struct an_choice *choice, const struct an_parts *parts)
{
    uint64_t lanes = choice->group / an_sum_slices(choice);
    uint64_t groups = an_gradient_sums(spec) * an_divide_up(spec->columns, lanes * choice->vector) *
                      (parts->count / parts->parts_of_class);
    return bounded(info, groups, choice->group == 1);
}

/* Rounds of all loops that a work-item takes for a row of which it has so many vectors, and beside
 * them: two attempts at the sums in chains, a pass of g's own with SILU, and the way back. */
#define ROUNDS_OF_VECTOR 6
#define ROUNDS_OF_ROW 24
#define MOST_ROUNDS 65535

static bool walk_ends(const anynorm_spec *spec, const struct an_choice *choice,
                      const struct an_parts *parts, const struct an_stretch *stretch)
{
    uint64_t lanes = choice->schedule == AN_ROW_PER_ITEM ? 1 : choice->group / choice->rows;
    uint64_t vectors = an_divide_up(spec->columns, lanes * choice->vector);
    uint64_t rows = an_least(parts->rows, an_divide_up(stretch->rows, parts->classes));
    return rows <= MOST_ROUNDS / (vectors * ROUNDS_OF_VECTOR + ROUNDS_OF_ROW);
}

bool an_backward_walk_ends(const anynorm_device_info *info, const anynorm_spec *spec,
                           const struct an_choice *choice, const struct an_stretch *stretch)
{
    if (!an_quirks_end_loops(info))
        return true;
    const struct an_parts parts = an_gradient_parts(spec, stretch->of_rows);
    return walk_ends(spec, choice, &parts, stretch);
}

anynorm_status an_backward_check(const anynorm_device_info *info, const anynorm_spec *spec,
                                 const struct an_choice *choice, const struct an_parts *parts,
                                 const struct an_stretch *stretch)
{
    if (!an_quirks_end_loops(info))
        return ANYNORM_OK;
    bool sums_end = !an_gradient_finishes(spec, parts, stretch) ||
                    parts->count / an_sum_slices(choice) <= MOST_ROUNDS;
    if (sums_end && walk_ends(spec, choice, parts, stretch))
        return ANYNORM_OK;
    return an_fail(ANYNORM_UNSUPPORTED,
                   "%s: gradients of %" PRIu64 " rows: its driver ends loops after %d rounds, and "
                   "they take more; fewer rows, and ACCUMULATE, do",
                   info->id, stretch->rows, MOST_ROUNDS);
}
