#include "preference.h"

#include <string.h>
#include <strings.h>

#include "select.h"

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

int an_preference(const anynorm_device_info *info)
{
    bool vulkan = an_info_is_vulkan(info);
    int of_class = !vulkan;
    if (info->device_class == ANYNORM_CLASS_CPU) /* vectors before what emulates a GPU */
        of_class = info->vector_width > 1 ? 2 : vulkan;
    else if (is_mobile(info))
        of_class = vulkan;
    return 3 * (int)info->device_class + of_class;
}
