#include "caps.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"

/* ---- ANYNORM_CAPS ---- */

static const struct {
    const char *word; /* of a limit, which a number follows, with = */
    size_t field;     /* a bool, or a limit's uint64_t */
} words[] = {
    {"no-fp64", offsetof(anynorm_device_info, fp64)},
    {"no-fp16", offsetof(anynorm_device_info, fp16)},
    {"no-subgroup", offsetof(anynorm_device_info, subgroup)},
    {"no-unified", offsetof(anynorm_device_info, unified_memory)},
    {"no-storage16", offsetof(anynorm_device_info, storage16)},
    {"no-push-descriptors", offsetof(anynorm_device_info, push_descriptors)},
    {"max-wg=", offsetof(anynorm_device_info, max_work_group_size)},
    {"max-local=", offsetof(anynorm_device_info, local_bytes)},
    {"max-groups=", offsetof(anynorm_device_info, max_groups)},
    {"max-alloc=", offsetof(anynorm_device_info, max_alloc_bytes)},
    {"max-range=", offsetof(anynorm_device_info, max_range_bytes)},
    {"max-buffers=", offsetof(anynorm_device_info, max_buffers)},
};

static bool lower_limit(uint64_t *limit, const char *number, size_t length)
{
    uint64_t value;
    if (!an_parse_count(number, length, &value) || value == 0)
        return false;
    *limit = an_least(*limit, value);
    return true;
}

static bool apply(anynorm_device_info *info, const char *word, size_t length)
{
    bool without_size = an_text_is(word, length, "no-subgroup-size"), found = without_size;
    for (size_t i = 0; i < COUNT(words) && !found; i++) {
        size_t size = strlen(words[i].word);
        void *field = (char *)info + words[i].field;
        if (length < size || memcmp(words[i].word, word, size) != 0)
            continue;
        if (word[size - 1] == '=')
            return lower_limit(field, word + size, length - size);
        found = length == size;
        if (found)
            *(bool *)field = false;
    }
    /* Sub-groups, if there are any, are then of a size that kernels do not know. */
    if (without_size || an_text_is(word, length, "no-subgroup")) {
        info->subgroup_size = 0;
        info->shuffle = ANYNORM_SHUFFLE_NONE;
    }
    return found;
}

anynorm_status an_caps_mask(anynorm_device_info *info, const char *list)
{
    anynorm_device_info masked = *info;
    const char *word = list;
    while (*word) {
        size_t length = strcspn(word, ",");
        if (length > 0 && !apply(&masked, word, length))
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "ANYNORM_CAPS: \"%.*s\" is none of no-fp64, no-fp16, no-subgroup, "
                           "no-subgroup-size, no-unified, no-storage16, no-push-descriptors, "
                           "max-wg=N, max-local=N, max-groups=N, max-alloc=N, max-range=N, "
                           "max-buffers=N (N from 1)",
                           an_text_shown(length), word);
        word += length;
        word += *word == ',';
    }
    *info = masked;
    return ANYNORM_OK;
}

/* ---- Known faults ---- */

/* An entry is welcome where a public report establishes it (docs/adding.md): it names the versions
 * that have the fault as exactly as the report does, so that a driver that was repaired keeps its
 * speed. */
const struct an_quirk an_quirks[] = {
    /* The compiler crashes on sub_group_reduce_add, and the process with it (Adreno 660). */
    {.api = "opencl",
     .name = "*Adreno*",
     .version_after = "Compiler E031.",
     .before = "38.11",
     .caps = "no-subgroup",
     .reference = "https://github.com/ggml-org/llama.cpp/pull/22006"},

    /* The size of a kernel's sub-groups is told as the whole work-group's, whatever size it was
     * compiled for, so that none of a size that counts can be trusted; repaired by pull request
     * 2195, in 7.2. */
    {.api = "opencl",
     .platform = "Portable Computing Language",
     .version_after = "",
     .from = "6.0",
     .before = "7.2",
     .caps = "no-subgroup-size",
     .reference = "https://github.com/pocl/pocl/issues/2181"},

    /* Sums and shuffles of sub-groups are wrong where a size of 64 is told and 32 is meant; since
     * KhronosGroup/MoltenVK pull request 2755 a size of 32 is told. */
    {.api = "vulkan",
     .platform = "MoltenVK",
     .name = "*AMD*",
     .version_after = "",
     .before = "1.4.2",
     .caps = "no-subgroup",
     .reference = "https://github.com/ggml-org/llama.cpp/issues/15846"},

    /* Pushed descriptors name wrong buffers where a command buffer also binds descriptor sets, as
     * the caller's may; repaired by the new descriptors of pull request 2572. */
    {.api = "vulkan",
     .platform = "MoltenVK",
     .version_after = "",
     .before = "1.4.1",
     .caps = "no-push-descriptors",
     .reference = "https://github.com/KhronosGroup/MoltenVK/issues/2616"},

    /* Intel's push descriptors: broken by merge request 19050, in Mesa since 22.3; the repair is in
     * the release notes of 23.1.1, and never came to 22.3 or 23.0. */
    {.api = "vulkan",
     .platform = "Intel open-source Mesa driver",
     .version_after = "Mesa ",
     .from = "22.3",
     .before = "23.1.1",
     .caps = "no-push-descriptors",
     .reference = "https://gitlab.freedesktop.org/mesa/mesa/-/merge_requests/23156"},
};
const size_t an_quirks_count = COUNT(an_quirks);

/* The next number of *at, with the point after it; 0 where there is none. One of more than 64 bits
 * is as good as infinite. */
static uint64_t next_number(const char **at)
{
    size_t length = strspn(*at, "0123456789");
    uint64_t value = 0;
    if (length > 0 && !an_parse_count(*at, length, &value))
        value = UINT64_MAX;
    *at += length;
    if (length > 0 && **at == '.')
        ++*at;
    return value;
}

static bool begins_with_number(const char *text)
{
    return *text >= '0' && *text <= '9';
}

int an_version_compare(const char *a, const char *b)
{
    while (begins_with_number(a) || begins_with_number(b)) {
        uint64_t x = next_number(&a), y = next_number(&b);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* Where the version begins in the driver's text; NULL: it tells none. */
static const char *find_version(const struct an_quirk *quirk, const char *driver)
{
    const char *found = *quirk->version_after ? strstr(driver, quirk->version_after) : driver;
    if (found)
        found += strlen(quirk->version_after);
    return found && begins_with_number(found) ? found : NULL;
}

static bool has_version(const struct an_quirk *quirk, const char *driver)
{
    if (!quirk->version_after)
        return true;
    const char *version = find_version(quirk, driver);
    return version && (!quirk->from || an_version_compare(version, quirk->from) >= 0) &&
           (!quirk->before || an_version_compare(version, quirk->before) < 0);
}

static bool is_of(const char *id, const char *api)
{
    size_t length = strlen(api);
    return strncmp(id, api, length) == 0 && id[length] == ':';
}

bool an_quirk_applies(const struct an_quirk *quirk, const anynorm_device_info *info)
{
    return is_of(info->id, quirk->api) &&
           (!quirk->platform || an_text_match(quirk->platform, info->platform)) &&
           (!quirk->name || an_text_match(quirk->name, info->name)) &&
           has_version(quirk, info->driver);
}

anynorm_status an_quirks_mask_by(anynorm_device_info *info, const struct an_quirk *table,
                                 size_t count)
{
    struct an_text told = {info->quirks, sizeof(info->quirks), 0};
    for (size_t i = 0; i < count; i++) {
        if (!an_quirk_applies(&table[i], info))
            continue;
        anynorm_status status = an_caps_mask(info, table[i].caps);
        if (status != ANYNORM_OK)
            return status;
        an_text_put(&told, "%s%s (%s)", told.length ? ", " : "", table[i].caps, table[i].reference);
        an_log(ANYNORM_LOG_INFO,
               "%s: masked by %s: driver %s is known to do this wrong, see %s "
               "(ANYNORM_QUIRKS=off leaves it)",
               info->id, table[i].caps, info->driver, table[i].reference);
    }
    return ANYNORM_OK;
}

anynorm_status an_quirks_mask(anynorm_device_info *info)
{
    const char *wanted = getenv("ANYNORM_QUIRKS");
    if (!wanted || !*wanted || strcmp(wanted, "on") == 0)
        return an_quirks_mask_by(info, an_quirks, an_quirks_count);
    if (strcmp(wanted, "off") == 0)
        return ANYNORM_OK;
    return an_fail(ANYNORM_INVALID_ARGUMENT, "ANYNORM_QUIRKS: \"%.60s\" is neither on nor off",
                   wanted);
}

anynorm_status an_quirks_mask_device(anynorm_device_info *info)
{
    const char *list = getenv("ANYNORM_CAPS");
    anynorm_status status = an_quirks_mask(info);
    if (status != ANYNORM_OK || !list || !*list)
        return status;
    an_log(ANYNORM_LOG_INFO, "%s: masked by ANYNORM_CAPS=%s", info->id, list);
    return an_caps_mask(info, list);
}

/* ---- Kinds ---- */

bool an_info_is_vulkan(const anynorm_device_info *info)
{
    return is_of(info->id, "vulkan");
}

bool an_quirks_end_loops(const anynorm_device_info *info)
{
    static const char mesa[] = "Mesa ";
    const char *version = info->driver;
    if (strncmp(info->name, "llvmpipe", 8) != 0)
        return false;
    if (strncmp(version, mesa, sizeof(mesa) - 1) == 0) /* as lavapipe tells it */
        version += sizeof(mesa) - 1;
    return an_version_compare(version, "25") < 0;
}

/* The largest sub-group that kernels know. */
#define MOST_SUBGROUP 128

/* Where sub-groups may be as small as 8, or 16 from Xe2 on, it is Intel's, whose lanes share the
 * registers of a thread: 32 of them have half of what 16 have, and what a row is held in would be
 * memory. */
uint32_t an_caps_subgroup_size(uint32_t usual, uint32_t least, uint32_t most)
{
    uint32_t size = least <= 16 && usual > 16 && most >= 16 ? 16 : usual;
    bool known = size > 1 && size <= MOST_SUBGROUP && (size & (size - 1)) == 0;
    return known && size >= least && size <= most ? size : 0;
}

bool an_info_is_of(const anynorm_device_info *info, const char *vendor)
{
    return strncasecmp(info->vendor, vendor, strlen(vendor)) == 0;
}

bool an_info_wide_registers(const anynorm_device_info *info)
{
    return info->subgroup_least == 16 && an_info_is_of(info, "Intel");
}

bool an_info_few_registers(const anynorm_device_info *info)
{
    return info->subgroup_size == 16 && info->device_class != ANYNORM_CLASS_CPU &&
           !an_info_wide_registers(info);
}

bool an_info_least_registers(const anynorm_device_info *info)
{
    return an_info_is_vulkan(info) && info->device_class == ANYNORM_CLASS_GPU && !info->subgroup &&
           info->max_work_group_size <= 256;
}

/* ---- Preference ---- */

/* Makers whose OpenCL is missing on many of their devices, or behind their Vulkan. */
static bool is_mobile(const anynorm_device_info *info)
{
    static const char *const vendors[] = {"ARM", "Broadcom", "Imagination", "Qualcomm"};
    for (size_t i = 0; i < COUNT(vendors); i++) {
        if (an_info_is_of(info, vendors[i]))
            return true;
    }
    return false;
}

bool an_emulates(const char *name, const char *platform)
{
    static const char *const signs[] = {"emulat", "simulat"};
    bool emulates = false;
    for (size_t i = 0; i < COUNT(signs); i++)
        emulates =
            emulates || an_text_contains(name, signs[i]) || an_text_contains(platform, signs[i]);
    return emulates;
}

/* What emulates a device is behind all others. */
static uint64_t class_rank(const anynorm_device_info *info)
{
    static const uint64_t ranks[] = {[ANYNORM_CLASS_REFERENCE] = 0,
                                     [ANYNORM_CLASS_CPU] = 2,
                                     [ANYNORM_CLASS_ACCELERATOR] = 3,
                                     [ANYNORM_CLASS_GPU] = 4};
    return an_least(ranks[info->device_class], info->emulated ? 1 : UINT64_MAX);
}

uint64_t an_preference(const anynorm_device_info *info)
{
    bool vulkan = an_info_is_vulkan(info), cpu = info->device_class == ANYNORM_CLASS_CPU;
    uint64_t own_memory = !info->unified_memory && !cpu; /* that of a CPU is the host's */
    uint64_t of_class = !vulkan;
    if (cpu) /* vectors before what emulates a GPU */
        of_class = info->vector_width > 1 ? 2 : vulkan;
    else if (is_mobile(info))
        of_class = vulkan;
    return class_rank(info) << 40 | own_memory << 36 | of_class << 32 | info->compute_units;
}
