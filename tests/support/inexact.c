#include "inexact.h"

#include <string.h>

#include "inexact_kinds.h"
#include "support.h"

static const char *const names[] = {
    [INEXACT_UP] = "up",          [INEXACT_DOWN] = "down",
    [INEXACT_TURNS] = "by turns", [INEXACT_OTHER_TURNS] = "by the other turns",
    [INEXACT_HASHED] = "by hash", [INEXACT_GROSSLY] = "grossly",
};

static struct inexact_count count;

static bool is_of(const char *id, const char *backend)
{
    return strncmp(id, backend, strlen(backend)) == 0;
}

bool inexact_serves(const char *id)
{
    return is_of(id, "opencl:") || is_of(id, "vulkan:");
}

anynorm_device *inexact_open(const char *id, enum inexact way)
{
    inexact_drop();
    count = (struct inexact_count){0};
#ifdef AN_HAVE_OPENCL
    if (is_of(id, "opencl:"))
        inexact_opencl_begin(way, &count);
#endif
    anynorm_device *device = open_device(id);
#ifdef AN_HAVE_VULKAN
    if (is_of(id, "vulkan:"))
        inexact_vulkan_begin(device, way, &count);
#endif
    return device;
}

void inexact_end(void)
{
    inexact_drop();
    assert_true(count.made > 0);
    assert_int_equal(count.unlike, 0);
}

void inexact_drop(void)
{
#ifdef AN_HAVE_OPENCL
    inexact_opencl_drop();
#endif
}

const char *inexact_name(enum inexact way)
{
    return names[way];
}
