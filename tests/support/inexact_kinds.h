/* What inexact.c has of each kind of kernel. */
#ifndef AN_TESTS_INEXACT_KINDS_H
#define AN_TESTS_INEXACT_KINDS_H

#include "inexact.h"

/* Programs made since inexact_open; those in which what is replaced was not found, or more than
 * that would have to be. */
struct inexact_count {
    unsigned made, unlike;
};

/* For all programs made from text until the second is called. */
void inexact_opencl_begin(enum inexact way, struct inexact_count *count);
void inexact_opencl_drop(void);

/* For the modules of this device, until it is closed. */
void inexact_vulkan_begin(anynorm_device *device, enum inexact way, struct inexact_count *count);

#endif
