#include "cold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fault_table.h"

struct cold cold;

/* A cold PoCL's compiler leaks; that the library gives back what it makes of OpenCL is checked by
 * count. Read by LeakSanitizer, where it is there. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libpocl\n";
}

int make_cold(void **state)
{
    (void)state;
    make_folder(cold.base);
    snprintf(cold.pocl, sizeof(cold.pocl), "%s/pocl", cold.base);
    snprintf(cold.cache, sizeof(cold.cache), "%s/cache", cold.base);
    assert_int_equal(mkdir(cold.pocl, 0700), 0);
    assert_int_equal(setenv("POCL_CACHE_DIR", cold.pocl, 1), 0);
    assert_int_equal(setenv("ANYNORM_CACHE", "off", 1), 0);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", cold.cache, 1), 0);
    find_opencl_device(cold.device_id); /* only now: PoCL asks for its folder once */
    return 0;
}

int remove_cold(void **state)
{
    (void)state;
    remove_folder(cold.base);
    return 0;
}

int uninstall_faults(void **state)
{
    (void)state;
    if (cold.device_id[0])
        fault_uninstall();
    return 0;
}

bool is_pocl(anynorm_device *device)
{
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(device, &info));
    return strcmp(info.platform, "Portable Computing Language") == 0;
}
