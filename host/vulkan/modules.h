/* The SPIR-V modules, embedded at build time by kernels/embed_spirv.py. They differ little, so each
 * is a list of pieces, which are put together whenever the module is wanted. */
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

/* Words of an_module_pool. */
struct an_module_piece {
    uint32_t from, count;
};

struct an_module {
    const char *name; /* of the kernel's file; NULL ends the table */
    uint32_t variant; /* bits of enum an_module_variant */
    uint32_t known;   /* those that its file makes a difference of */
    const struct an_module_piece *pieces;
    size_t piece_count;
    size_t bytes;  /* of the whole module */
    uint64_t hash; /* of these bytes */
};

extern const struct an_module an_modules[];
extern const uint32_t an_module_pool[];

/* The whole module, to `words` of module->bytes. */
void an_module_write(const struct an_module *module, uint32_t *words);

/* Has a whole module of `count` words round halves to the nearest, ties to even, by the execution
 * mode of SPV_KHR_float_controls. Adds AN_MODULE_ROUNDING_WORDS. */
void an_module_round_halves(uint32_t *words, size_t count);
#define AN_MODULE_ROUNDING_WORDS 13

/* Gives a whole module of `count` words its specialization constants, `values` by their ids, and
 * leaves out what then never runs: branches that are not taken, functions that nobody calls.
 * Drivers do the same, but after they have parsed, inlined and simplified it all: with a twentieth
 * of the words their pipelines are made in a tenth of the time and less. The number of words that
 * are left, or 0 without memory. */
size_t an_module_specialize(uint32_t *words, size_t count, const uint32_t *values);

#endif
