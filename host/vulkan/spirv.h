/* Words of SPIR-V: what section 3 of its specification numbers, as far as the library reads or
 * writes modules. */
#ifndef AN_VULKAN_SPIRV_H
#define AN_VULKAN_SPIRV_H

#include <stdbool.h>
#include <stdint.h>

enum { SPIRV_BOUND_AT = 3, SPIRV_HEADER_WORDS = 5 };

enum spirv_opcode {
    SPIRV_EXTENSION = 10,
    SPIRV_ENTRY_POINT = 15,
    SPIRV_EXECUTION_MODE = 16,
    SPIRV_CAPABILITY = 17,
    SPIRV_TYPE_BOOL = 20,
    SPIRV_TYPE_INT = 21,
    SPIRV_CONSTANT_TRUE = 41,
    SPIRV_CONSTANT_FALSE = 42,
    SPIRV_CONSTANT = 43,
    SPIRV_CONSTANT_COMPOSITE = 44,
    SPIRV_SPEC_CONSTANT = 50,
    SPIRV_SPEC_CONSTANT_COMPOSITE = 51,
    SPIRV_SPEC_CONSTANT_OP = 52,
    SPIRV_FUNCTION = 54,
    SPIRV_FUNCTION_END = 56,
    SPIRV_FUNCTION_CALL = 57,
    SPIRV_STORE = 62,
    SPIRV_DECORATE = 71,
    SPIRV_I_ADD = 128,
    SPIRV_I_SUB = 130,
    SPIRV_I_MUL = 132,
    SPIRV_U_DIV = 134,
    SPIRV_U_MOD = 137,
    SPIRV_LOGICAL_EQUAL = 164,
    SPIRV_LOGICAL_NOT_EQUAL = 165,
    SPIRV_LOGICAL_OR = 166,
    SPIRV_LOGICAL_AND = 167,
    SPIRV_LOGICAL_NOT = 168,
    SPIRV_SELECT = 169,
    SPIRV_I_EQUAL = 170,
    SPIRV_I_NOT_EQUAL = 171,
    SPIRV_U_GREATER_THAN = 172,
    SPIRV_U_GREATER_THAN_EQUAL = 174,
    SPIRV_U_LESS_THAN = 176,
    SPIRV_U_LESS_THAN_EQUAL = 178,
    SPIRV_SHIFT_RIGHT_LOGICAL = 194,
    SPIRV_SHIFT_LEFT_LOGICAL = 196,
    SPIRV_BITWISE_OR = 197,
    SPIRV_BITWISE_AND = 199,
    SPIRV_CONTROL_BARRIER = 224,
    SPIRV_MEMORY_BARRIER = 225,
    SPIRV_PHI = 245,
    SPIRV_LOOP_MERGE = 246,
    SPIRV_SELECTION_MERGE = 247,
    SPIRV_LABEL = 248,
    SPIRV_BRANCH = 249,
    SPIRV_BRANCH_CONDITIONAL = 250,
    SPIRV_RETURN = 253,
    SPIRV_RETURN_VALUE = 254,
    SPIRV_UNREACHABLE = 255
};

enum {
    SPIRV_DECORATION_SPEC_ID = 1,
    SPIRV_CAPABILITY_ROUNDING_RTE = 4467,
    SPIRV_MODE_ROUNDING_RTE = 4462
};

/* The first word of an instruction. */
#define SPIRV_FIRST(opcode, length) ((uint32_t)(length) << 16 | (uint32_t)(opcode))

static inline uint32_t spirv_opcode(uint32_t word)
{
    return word & 0xffff;
}

static inline uint32_t spirv_length(uint32_t word)
{
    return word >> 16;
}

/* What the operation finds of unsigned integers of 32 bits, and of truths, which are 0 and 1; false
 * where that is not defined, or it is another operation than those that kernels branch by. */
bool spirv_compute(uint32_t opcode, const uint32_t v[3], uint32_t *value);

#endif
