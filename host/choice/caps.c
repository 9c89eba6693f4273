#include "caps.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *word;
    size_t field;
} features[] = {
    {"no-fp64", offsetof(anynorm_device_info, fp64)},
    {"no-fp16", offsetof(anynorm_device_info, fp16)},
    {"no-subgroup", offsetof(anynorm_device_info, subgroup)},
    {"no-unified", offsetof(anynorm_device_info, unified_memory)},
    {"no-storage16", offsetof(anynorm_device_info, storage16)},
    {"no-push-descriptors", offsetof(anynorm_device_info, push_descriptors)},
};

static const struct {
    const char *key;
    size_t field;
} limits[] = {
    {"max-wg=", offsetof(anynorm_device_info, max_work_group_size)},
    {"max-local=", offsetof(anynorm_device_info, local_bytes)},
    {"max-groups=", offsetof(anynorm_device_info, max_groups)},
    {"max-alloc=", offsetof(anynorm_device_info, max_alloc_bytes)},
    {"max-range=", offsetof(anynorm_device_info, max_range_bytes)},
    {"max-buffers=", offsetof(anynorm_device_info, max_buffers)},
};

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(word, text, length) == 0;
}

/* Sub-groups, if there are any, are then of a size that kernels do not know. */
static void forget_subgroup_size(anynorm_device_info *info)
{
    info->subgroup_size = 0;
    info->shuffle = ANYNORM_SHUFFLE_NONE;
}

static bool apply_feature(anynorm_device_info *info, const char *word, size_t length)
{
    if (is_word(word, length, "no-subgroup-size")) {
        forget_subgroup_size(info);
        return true;
    }
    for (size_t i = 0; i < COUNT(features); i++) {
        if (is_word(word, length, features[i].word)) {
            *(bool *)(void *)((char *)info + features[i].field) = false;
            if (features[i].field == offsetof(anynorm_device_info, subgroup))
                forget_subgroup_size(info);
            return true;
        }
    }
    return false;
}

static bool apply_limit(anynorm_device_info *info, const char *word, size_t length)
{
    for (size_t i = 0; i < COUNT(limits); i++) {
        size_t skip = strlen(limits[i].key);
        if (length <= skip || memcmp(limits[i].key, word, skip) != 0)
            continue;
        uint64_t value;
        if (!an_parse_count(word + skip, length - skip, &value) || value == 0)
            return false;
        uint64_t *field = (uint64_t *)(void *)((char *)info + limits[i].field);
        if (value < *field)
            *field = value;
        return true;
    }
    return false;
}

anynorm_status an_caps_mask(anynorm_device_info *info, const char *list)
{
    anynorm_device_info masked = *info;
    const char *word = list;
    while (*word) {
        size_t length = strcspn(word, ",");
        if (length > 0 && !apply_feature(&masked, word, length) &&
            !apply_limit(&masked, word, length))
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

anynorm_status an_caps_mask_environment(anynorm_device_info *info)
{
    const char *list = getenv("ANYNORM_CAPS");
    if (!list || !*list)
        return ANYNORM_OK;
    an_log(ANYNORM_LOG_INFO, "%s: masked by ANYNORM_CAPS=%s", info->id, list);
    return an_caps_mask(info, list);
}
