/* libFuzzer target of ANYNORM_CAPS; ci/fuzz builds and runs it. Beside memory errors it checks what
 * callers rely on: a mask takes away and never adds, and a bad one changes nothing. */
#include "choice/caps.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const anynorm_device_info whole = {
    .id = "test:0",
    .name = "a device of all abilities",
    .fp64 = true,
    .fp16 = true,
    .subgroup = true,
    .unified_memory = true,
    .storage16 = true,
    .push_descriptors = true,
    .subgroup_size = 32,
    .max_work_group_size = 1024,
    .local_bytes = 65536,
    .max_groups = UINT64_C(1) << 31,
    .max_alloc_bytes = UINT64_C(1) << 40,
    .max_range_bytes = UINT64_C(1) << 32,
    .max_buffers = 16,
};

/* Whether b can no more than a; 0 is no limit that a mask may set. */
static bool is_lower(uint64_t a, uint64_t b)
{
    return b >= 1 && b <= a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    anynorm_device_info masked = whole, twice;
    char *list = malloc(size + 1);
    if (!list)
        return 0;
    memcpy(list, data, size);
    list[size] = 0;
    anynorm_status status = an_caps_mask(&masked, list);
    if (status == ANYNORM_OK) {
        if (!is_lower(whole.max_work_group_size, masked.max_work_group_size) ||
            !is_lower(whole.local_bytes, masked.local_bytes) ||
            !is_lower(whole.max_groups, masked.max_groups) ||
            !is_lower(whole.max_alloc_bytes, masked.max_alloc_bytes) ||
            !is_lower(whole.max_range_bytes, masked.max_range_bytes) ||
            !is_lower(whole.max_buffers, masked.max_buffers) ||
            (masked.subgroup_size != 0 && masked.subgroup_size != 32) ||
            (!masked.subgroup && masked.subgroup_size != 0))
            abort();
        twice = masked;
        if (an_caps_mask(&twice, list) != ANYNORM_OK || memcmp(&twice, &masked, sizeof(twice)) != 0)
            abort();
    } else if (status != ANYNORM_INVALID_ARGUMENT ||
               strncmp(anynorm_message(), "ANYNORM_CAPS: ", 14) != 0 ||
               memcmp(&masked, &whole, sizeof(whole)) != 0) {
        abort();
    }
    free(list);
    return 0;
}
