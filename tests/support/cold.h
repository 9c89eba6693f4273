/* An OpenCL device whose driver has compiled nothing yet, as far as PoCL is concerned. */
#ifndef AN_TESTS_COLD_H
#define AN_TESTS_COLD_H

#include "opencl_support.h"

extern struct cold {
    char device_id[32];           /* "" where there is none */
    char base[FOLDER_BYTES];      /* a temporary folder, with: */
    char pocl[FOLDER_BYTES + 8];  /* what PoCL has compiled since */
    char cache[FOLDER_BYTES + 8]; /* ours, once the library has made it */
} cold;

/* Group setup and teardown. */
int make_cold(void **state);
int remove_cold(void **state);

/* The teardown of a test that has the fault table in, which it does where there is a device. */
int uninstall_faults(void **state);

bool is_pocl(anynorm_device *device);

#define REQUIRE_DEVICE                                                                             \
    (void)state;                                                                                   \
    if (!cold.device_id[0])                                                                        \
    return

#endif
