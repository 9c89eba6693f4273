/* A module out of its pieces. */
#include "vulkan/modules.h"

#include <string.h>

#include "vulkan/spirv.h"

void an_module_write(const struct an_module *module, uint32_t *words)
{
    for (size_t i = 0; i < module->piece_count; i++) {
        const struct an_module_piece piece = module->pieces[i];
        memcpy(words, an_module_pool + piece.from, piece.count * sizeof(*words));
        words += piece.count;
    }
}

static void insert(uint32_t *words, size_t *count, size_t at, const uint32_t *added, size_t length)
{
    memmove(words + at + length, words + at, (*count - at) * sizeof(*words));
    memcpy(words + at, added, length * sizeof(*words));
    *count += length;
}

void an_module_round_halves(uint32_t *words, size_t count)
{
    static const uint32_t capability[] = {SPIRV_FIRST(SPIRV_CAPABILITY, 2),
                                          SPIRV_CAPABILITY_ROUNDING_RTE};
    static const uint32_t extension[] = {
        SPIRV_FIRST(SPIRV_EXTENSION, 7), /* "SPV_KHR_float_controls" */
        0x5f565053,
        0x5f52484b,
        0x616f6c66,
        0x6f635f74,
        0x6f72746e,
        0x0000736c};
    size_t at = SPIRV_HEADER_WORDS;
    insert(words, &count, at, capability, 2);
    while (spirv_opcode(words[at]) == SPIRV_CAPABILITY)
        at += spirv_length(words[at]);
    insert(words, &count, at, extension, 7);
    while (spirv_opcode(words[at]) != SPIRV_ENTRY_POINT)
        at += spirv_length(words[at]);
    const uint32_t mode[] = {SPIRV_FIRST(SPIRV_EXECUTION_MODE, 4), words[at + 2],
                             SPIRV_MODE_ROUNDING_RTE, 16};
    insert(words, &count, at + spirv_length(words[at]), mode, 4);
}
