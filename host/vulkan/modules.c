/* A module out of its pieces. */
#include "modules.h"

#include <string.h>

void an_module_write(const struct an_module *module, uint32_t *words)
{
    for (size_t i = 0; i < module->piece_count; i++) {
        const struct an_module_piece piece = module->pieces[i];
        memcpy(words, an_module_pool + piece.from, piece.count * sizeof(*words));
        words += piece.count;
    }
}

/* Of the SPIR-V specification, section 3. */
enum {
    HEADER_WORDS = 5,
    OP_EXTENSION = 10,
    OP_ENTRY_POINT = 15,
    OP_EXECUTION_MODE = 16,
    OP_CAPABILITY = 17,
    MODE_ROUNDING_RTE = 4462,
    CAPABILITY_ROUNDING_RTE = 4467
};

static uint32_t opcode(uint32_t word)
{
    return word & 0xffff;
}

static void insert(uint32_t *words, size_t *count, size_t at, const uint32_t *added, size_t length)
{
    memmove(words + at + length, words + at, (*count - at) * sizeof(*words));
    memcpy(words + at, added, length * sizeof(*words));
    *count += length;
}

void an_module_round_halves(uint32_t *words, size_t count)
{
    static const uint32_t capability[] = {2 << 16 | OP_CAPABILITY, CAPABILITY_ROUNDING_RTE};
    static const uint32_t extension[] = {7 << 16 | OP_EXTENSION, /* "SPV_KHR_float_controls" */
                                         0x5f565053,
                                         0x5f52484b,
                                         0x616f6c66,
                                         0x6f635f74,
                                         0x6f72746e,
                                         0x0000736c};
    size_t at = HEADER_WORDS;
    insert(words, &count, at, capability, 2);
    while (opcode(words[at]) == OP_CAPABILITY)
        at += words[at] >> 16;
    insert(words, &count, at, extension, 7);
    while (opcode(words[at]) != OP_ENTRY_POINT)
        at += words[at] >> 16;
    const uint32_t mode[] = {4 << 16 | OP_EXECUTION_MODE, words[at + 2], MODE_ROUNDING_RTE, 16};
    insert(words, &count, at + (words[at] >> 16), mode, 4);
}
