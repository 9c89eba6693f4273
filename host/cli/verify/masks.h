/* What a device that failed `anynorm verify` is right without. */
#ifndef ANYNORM_CLI_VERIFY_MASKS_H
#define ANYNORM_CLI_VERIFY_MASKS_H

#include "case.h"

#include <stddef.h>

/* Cases that failed, with the schedules that failed at them; those that do not fit are left out. */
struct verify_failures {
    struct {
        const char *schedule;
        struct verify_case c;
    } list[40];
    size_t count;
};

void verify_failures_add(struct verify_failures *failures, const char *schedule,
                         const struct verify_case *c);

struct verify_masks {
    char caps[512]; /* the value of ANYNORM_CAPS; "": none was found */
    size_t right;   /* how many of the failures are right with it */
    size_t refused; /* and how many are then neither right nor wrong, but refused */
};

/* Tries masks of ANYNORM_CAPS, on top of `caps`, until all failures are gone: each by itself, those
 * that take the least away first; then all together, less whatever is not needed; and no local
 * memory at the very last. Each failure is run with its schedule and with the library's own choice.
 * The environment's ANYNORM_CAPS is unset afterwards. False where none was found and a want of
 * memory may be why. */
bool verify_find_masks(const anynorm_device_info *info, anynorm_device *reference, const char *caps,
                       const struct verify_failures *failures, struct verify_masks *found);

#endif
