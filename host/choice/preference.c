#include "preference.h"

#include <string.h>
#include <strings.h>

#include "select.h"
#include "base/text.h"

/* Makers whose OpenCL is missing on many of their devices, or behind their Vulkan. */
static bool is_mobile(const anynorm_device_info *info)
{
    static const char *const vendors[] = {"ARM", "Broadcom", "Imagination", "Qualcomm"};
    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        if (strncasecmp(info->vendor, vendors[i], strlen(vendors[i])) == 0)
            return true;
    }
    return false;
}

bool an_emulates(const char *name, const char *platform)
{
    static const char *const words[] = {"emulat", "simulat"};
    bool emulates = false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        emulates =
            emulates || an_text_contains(name, words[i]) || an_text_contains(platform, words[i]);
    return emulates;
}

static uint64_t class_rank(const anynorm_device_info *info)
{
    switch (info->device_class) {
    case ANYNORM_CLASS_REFERENCE:
        break;
    case ANYNORM_CLASS_CPU:
        return info->emulated ? 1 : 2;
    case ANYNORM_CLASS_ACCELERATOR:
        return info->emulated ? 1 : 3;
    case ANYNORM_CLASS_GPU:
        return info->emulated ? 1 : 4;
    }
    return 0;
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
