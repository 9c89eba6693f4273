/* The table of drivers' known faults, and finding what applies to a device. An entry is welcome
 * where a public report establishes it (docs/adding.md): it names the versions that have the fault
 * as exactly as the report does, so that a driver that was repaired keeps its speed. */
#include "quirks.h"

#include <stdlib.h>
#include <string.h>

#include "caps.h"
#include "base/checked.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "tuning.h"

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
const size_t an_quirks_count = sizeof(an_quirks) / sizeof(an_quirks[0]);

/* ---- Versions ---- */

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

/* ---- Masking ---- */

static bool is_of(const char *id, const char *api)
{
    size_t length = strlen(api);
    return strncmp(id, api, length) == 0 && id[length] == ':';
}

bool an_quirk_applies(const struct an_quirk *quirk, const anynorm_device_info *info)
{
    return is_of(info->id, quirk->api) &&
           (!quirk->platform || an_tuning_match(quirk->platform, info->platform)) &&
           (!quirk->name || an_tuning_match(quirk->name, info->name)) &&
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
    anynorm_status status = an_quirks_mask(info);
    return status == ANYNORM_OK ? an_caps_mask_environment(info) : status;
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
