#include "masks.h"

#include "common/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void verify_failures_add(struct verify_failures *failures, const char *schedule,
                         const struct verify_case *c)
{
    if (failures->count == COUNT(failures->list))
        return;
    failures->list[failures->count].schedule = schedule;
    failures->list[failures->count++].c = *c;
}

/* ---- Masks ---- */

enum { MOST_MASKS = 16 };

/* What is tried, and which of it at present. */
struct search {
    const anynorm_device_info *info;
    anynorm_device *reference;
    const char *caps; /* what the user masks */
    const struct verify_failures *failures;
    const char *words[MOST_MASKS];
    size_t count;
    bool on[MOST_MASKS];
    bool lacks_memory; /* what failed then says nothing of a mask */
};

/* Words that change something on the device, from the one that takes the least away. Not among them
 * are no-fp16, since no kernel computes in half, and limits of what is launched and allocated,
 * since the cases are small. */
static void list_words(struct search *search)
{
    const anynorm_device_info *info = search->info;
    const struct {
        const char *word;
        bool changes;
    } all[] = {
        {"no-push-descriptors", info->push_descriptors},
        {"no-storage16", info->storage16},
        {"no-unified", info->unified_memory},
        {"max-wg=256", info->max_work_group_size > 256},
        {"no-subgroup-size", info->subgroup_size > 0},
        {"no-subgroup", info->subgroup},
        {"max-wg=64", info->max_work_group_size > 64},
        {"max-local=8192", info->local_bytes > 8192},
        {"no-fp64", info->fp64},
    };

    for (size_t i = 0; i < COUNT(all) && search->count < MOST_MASKS - 1; i++) {
        if (all[i].changes)
            search->words[search->count++] = all[i].word;
    }
}

/* False where it does not fit. */
static bool write_caps(const struct search *search, struct verify_masks *found)
{
    size_t length = (size_t)snprintf(found->caps, sizeof found->caps, "%s", search->caps);

    for (size_t i = 0; i < search->count && length < sizeof found->caps; i++) {
        if (search->on[i])
            length += (size_t)snprintf(found->caps + length, sizeof found->caps - length, "%s%s",
                                       length ? "," : "", search->words[i]);
    }
    return length < sizeof found->caps;
}

/* ---- Trying ---- */

/* Whether the case is not wrong; *right: it ran. */
static bool is_not_wrong(struct search *search, anynorm_device *device, const char *schedule,
                         const struct verify_case *c, bool *right)
{
    struct verify_result result;
    anynorm_status status = verify_case_run(device, search->reference, schedule, c, &result);

    search->lacks_memory |= status == ANYNORM_OUT_OF_MEMORY;
    if (status == ANYNORM_UNSUPPORTED)
        return true;
    if (status != ANYNORM_OK || *result.wrong)
        return false;
    *right = true;
    return true;
}

/* Whether no failure is left with the masks that are on. */
static bool try_masks(struct search *search, struct verify_masks *found)
{
    anynorm_device *device = NULL;
    anynorm_status status = ANYNORM_INVALID_ARGUMENT;
    size_t i = 0;

    *found = (struct verify_masks){.right = 0};
    if (write_caps(search, found) && setenv("ANYNORM_CAPS", found->caps, 1) == 0)
        status = anynorm_device_open(search->info->id, &device);
    unsetenv("ANYNORM_CAPS");
    search->lacks_memory |= status == ANYNORM_OUT_OF_MEMORY;
    if (status != ANYNORM_OK)
        return false;
    for (; i < search->failures->count; i++) {
        const struct verify_case *c = &search->failures->list[i].c;
        bool right = false;

        if (!is_not_wrong(search, device, search->failures->list[i].schedule, c, &right) ||
            !is_not_wrong(search, device, NULL, c, &right))
            break;
        if (right)
            found->right++;
        else
            found->refused++;
    }
    anynorm_device_close(device);
    return i == search->failures->count;
}

static bool try_each(struct search *search, size_t first, struct progress *progress,
                     struct verify_masks *found)
{
    memset(search->on, false, sizeof search->on);
    for (size_t i = first; i < search->count; i++) {
        search->on[i] = true;
        if (try_masks(search, found))
            return true;
        search->on[i] = false;
        progress_update(progress, i + 1);
    }
    return false;
}

/* All of them; then without one after the other, from the one that takes the most away, where it
 * can be done without. */
static bool try_together(struct search *search, struct progress *progress,
                         struct verify_masks *found)
{
    struct verify_masks fewer;

    memset(search->on, true, search->count * sizeof *search->on);
    if (!try_masks(search, found))
        return false;
    for (size_t i = search->count; i-- > 0;) {
        search->on[i] = false;
        if (try_masks(search, &fewer))
            *found = fewer;
        else
            search->on[i] = true;
        progress_update(progress, 2 * search->count - i);
    }
    return true;
}

bool verify_find_masks(const anynorm_device_info *info, anynorm_device *reference, const char *caps,
                       const struct verify_failures *failures, struct verify_masks *found)
{
    struct search search = {
        .info = info, .reference = reference, .caps = caps, .failures = failures};
    struct progress progress = {.total = 0};

    list_words(&search);
    progress_start(&progress, 2 * (search.count + 1));
    bool done = try_each(&search, 0, &progress, found) || try_together(&search, &progress, found);
    if (!done && info->local_bytes > 1) {
        /* The last resort: work-items that share nothing. */
        search.words[search.count++] = "max-local=1";
        done = try_each(&search, search.count - 1, &progress, found) ||
               try_together(&search, &progress, found);
    }
    if (!done)
        *found = (struct verify_masks){.right = 0};
    progress_end(&progress);
    return done || !search.lacks_memory;
}
