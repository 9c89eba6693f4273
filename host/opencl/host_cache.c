/* The last-level cache of the machine's own processor, by what Linux tells of it. */
#include <inttypes.h>
#include <stdio.h>

#include "opencl/opencl_backend.h"

#define MOST_LEVELS 8

/* "32768K" */
static uint64_t read_size(const char *path)
{
    uint64_t size = 0;
    char unit = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    int fields = fscanf(file, "%" SCNu64 "%c", &size, &unit);
    fclose(file);
    unsigned shift = unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
    return fields >= 1 && size <= UINT64_MAX >> shift ? size << shift : 0;
}

uint64_t an_opencl_host_cache(void)
{
    uint64_t largest = 0;
    for (int level = 0; level < MOST_LEVELS; level++) {
        char path[80];
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
        uint64_t size = read_size(path);
        if (size > largest)
            largest = size;
    }
    return largest;
}
