/* The SPIR-V modules, embedded at build time by kernels/embed_spirv.py. */
#ifndef AN_VULKAN_MODULES_H
#define AN_VULKAN_MODULES_H

#include <stddef.h>
#include <stdint.h>

/* What a module was compiled with; embed_spirv.py has the same names. */
enum an_module_variant {
    AN_MODULE_STORAGE16 = 1, /* needs 16-bit storage */
    AN_MODULE_ACC_DOUBLE = 2,
    AN_MODULE_SUBGROUPS = 4,
};

struct an_module {
    const char *name; /* of the kernel's file; NULL ends the table */
    uint32_t variant; /* bits of enum an_module_variant */
    uint32_t known;   /* those that its file makes a difference of */
    const uint32_t *words;
    size_t bytes;
};

extern const struct an_module an_modules[];

#endif
