/* Operations of SPIR-V on unsigned integers and truths. */
#include "vulkan/spirv.h"

bool spirv_compute(uint32_t opcode, const uint32_t v[3], uint32_t *value)
{
    switch (opcode) {
    case SPIRV_I_ADD:
        *value = v[0] + v[1];
        return true;
    case SPIRV_I_SUB:
        *value = v[0] - v[1];
        return true;
    case SPIRV_I_MUL:
        *value = v[0] * v[1];
        return true;
    case SPIRV_U_DIV:
        *value = v[1] ? v[0] / v[1] : 0;
        return v[1] != 0;
    case SPIRV_U_MOD:
        *value = v[1] ? v[0] % v[1] : 0;
        return v[1] != 0;
    case SPIRV_LOGICAL_EQUAL:
    case SPIRV_I_EQUAL:
        *value = v[0] == v[1];
        return true;
    case SPIRV_LOGICAL_NOT_EQUAL:
    case SPIRV_I_NOT_EQUAL:
        *value = v[0] != v[1];
        return true;
    case SPIRV_LOGICAL_OR:
    case SPIRV_BITWISE_OR:
        *value = v[0] | v[1];
        return true;
    case SPIRV_LOGICAL_AND:
    case SPIRV_BITWISE_AND:
        *value = v[0] & v[1];
        return true;
    case SPIRV_LOGICAL_NOT:
        *value = !v[0];
        return true;
    case SPIRV_SELECT:
        *value = v[0] ? v[1] : v[2];
        return true;
    case SPIRV_U_GREATER_THAN:
        *value = v[0] > v[1];
        return true;
    case SPIRV_U_GREATER_THAN_EQUAL:
        *value = v[0] >= v[1];
        return true;
    case SPIRV_U_LESS_THAN:
        *value = v[0] < v[1];
        return true;
    case SPIRV_U_LESS_THAN_EQUAL:
        *value = v[0] <= v[1];
        return true;
    case SPIRV_SHIFT_RIGHT_LOGICAL:
        *value = v[1] < 32 ? v[0] >> v[1] : 0;
        return v[1] < 32;
    case SPIRV_SHIFT_LEFT_LOGICAL:
        *value = v[1] < 32 ? v[0] << v[1] : 0;
        return v[1] < 32;
    default:
        return false;
    }
}
