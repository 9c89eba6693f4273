/* SPIR-V in which inexact operations are off by what Vulkan allows: its table of the precision of
 * single operations has 2.5 units of the last place for a division, 2 for a reciprocal root, both
 * for a root, which is made of them, 3 + 2|x| for an exponential, and a product and a sum, each
 * rounded, for an fma. All of it comes on top of the device's own error. */
#include <stdlib.h>
#include <string.h>

#include "inexact_kinds.h"
#include "support.h"
#include "vulkan/spirv.h"
#include "vulkan/vulkan_backend.h"

/* Of the SPIR-V specification, beyond what the library uses of it, and of that of GLSL.std.450. */
enum {
    OP_EXT_INST_IMPORT = 11,
    OP_EXT_INST = 12,
    OP_TYPE_FIRST = 19,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_LAST = 39,
    OP_CONVERT_F_TO_U = 109,
    OP_BITCAST = 124,
    OP_F_ADD = 129,
    OP_F_MUL = 133,
    OP_F_DIV = 136,
    OP_F_REM = 140,
    OP_F_MOD = 141,
    NO_CONTRACTION = 42,
    ROUND_EVEN = 2,
    F_ABS = 4,
    EXP = 27,
    SQRT = 31,
    INVERSE_SQRT = 32,
    F_MIN = 37,
    U_MIN = 38,
    F_MAX = 40,
    U_MAX = 41,
    F_CLAMP = 43,
    FMA = 50,
    LDEXP = 53,
    PACK_HALF_2X16 = 58,
    PACK_DOUBLE_2X32 = 59,
    UNPACK_HALF_2X16 = 62,
    UNPACK_DOUBLE_2X32 = 65,
    FIND_U_MSB = 75
};

struct words {
    uint32_t *at;
    size_t count, room;
};

enum scalar { FLOAT, UINT, BOOL, SCALARS };
enum { COMPONENTS = 4, MOST_CONSTANTS = 128 };

struct constant {
    enum scalar scalar;
    uint32_t components, bits, id;
};

/* A module being changed: what comes in front of its types, ahead of its functions, and they. */
struct changes {
    enum inexact way;
    struct words decorations, globals, functions;
    uint32_t bound, glsl;
    uint32_t types[SCALARS][COMPONENTS + 1]; /* ids by components; 0: there is none */
    struct constant constants[MOST_CONSTANTS];
    size_t constant_count;
    unsigned divisions;
    bool unlike;
};

static void append(struct words *words, const uint32_t *from, size_t count)
{
    if (words->room - words->count < count) {
        words->room = 2 * (words->count + count);
        words->at = realloc(words->at, words->room * sizeof(*words->at));
        assert_non_null(words->at);
    }
    memcpy(words->at + words->count, from, count * sizeof(*from));
    words->count += count;
}

static void append_instruction(struct words *words, uint32_t opcode, const uint32_t *operands,
                               size_t count)
{
    const uint32_t first = (uint32_t)(count + 1) << 16 | opcode;
    append(words, &first, 1);
    append(words, operands, count);
}

static uint32_t type_of(struct changes *m, enum scalar scalar, uint32_t components)
{
    uint32_t *type = &m->types[scalar][components];
    if (*type)
        return *type;
    if (components > 1) {
        const uint32_t element = type_of(m, scalar, 1);
        *type = m->bound++;
        append_instruction(&m->globals, OP_TYPE_VECTOR,
                           (const uint32_t[]){*type, element, components}, 3);
    } else {
        *type = m->bound++;
        const uint32_t operands[] = {*type, 32, 0}; /* without a sign */
        append_instruction(&m->globals, scalar == BOOL ? SPIRV_TYPE_BOOL : SPIRV_TYPE_INT, operands,
                           scalar == BOOL ? 1 : 3);
    }
    return *type;
}

static uint32_t constant(struct changes *m, enum scalar scalar, uint32_t components, uint32_t bits)
{
    for (size_t i = 0; i < m->constant_count; i++) {
        const struct constant *c = &m->constants[i];
        if (c->scalar == scalar && c->components == components && c->bits == bits)
            return c->id;
    }
    const uint32_t type = type_of(m, scalar, components);
    const uint32_t element = components > 1 ? constant(m, scalar, 1, bits) : bits;
    const uint32_t id = m->bound++;
    const uint32_t operands[] = {type, id, element, element, element, element};
    append_instruction(&m->globals, components > 1 ? SPIRV_CONSTANT_COMPOSITE : SPIRV_CONSTANT,
                       operands, 2 + (size_t)components);
    assert_true(m->constant_count < MOST_CONSTANTS);
    m->constants[m->constant_count++] = (struct constant){scalar, components, bits, id};
    return id;
}

/* An instruction with a result, that id or, if 0, a new one; its operands end at the first 0. */
static uint32_t make(struct changes *m, uint32_t id, uint32_t opcode, uint32_t type,
                     const uint32_t operands[4])
{
    uint32_t words[6] = {type, id ? id : m->bound++};
    size_t count = 2;
    for (int i = 0; i < 4 && operands[i]; i++)
        words[count++] = operands[i];
    append_instruction(&m->functions, opcode, words, count);
    return words[1];
}

static uint32_t uints(struct changes *m, uint32_t components, uint32_t opcode, uint32_t a,
                      uint32_t b)
{
    return make(m, 0, opcode, type_of(m, UINT, components), (const uint32_t[4]){a, b});
}

static uint32_t least(struct changes *m, enum scalar scalar, uint32_t components, uint32_t a,
                      uint32_t b)
{
    const uint32_t which = scalar == FLOAT ? F_MIN : U_MIN;
    return make(m, 0, OP_EXT_INST, type_of(m, scalar, components),
                (const uint32_t[4]){m->glsl, which, a, b});
}

/* `result` is `value` moved by so many units of the last place, `units`, of one that is correctly
 * rounded. Numbers are in the order of their bits; beyond the next power of two units are twice as
 * large, and half as many go there. (Below one they are half as large.) Zero, infinities and NaN
 * are left alone, and what is below 2^-100, whose units may be denormal. */
static void move(struct changes *m, uint32_t n, uint32_t value, uint32_t units, bool up,
                 uint32_t result)
{
    const uint32_t bits = uints(m, n, OP_BITCAST, value, 0), one = constant(m, UINT, n, 1);
    const uint32_t size = uints(m, n, SPIRV_BITWISE_AND, bits, constant(m, UINT, n, 0x7fffffff));
    const uint32_t sign = uints(m, n, SPIRV_BITWISE_AND, bits, constant(m, UINT, n, 0x80000000));
    const uint32_t power = uints(m, n, SPIRV_BITWISE_AND, bits, constant(m, UINT, n, 0x7f800000));
    const uint32_t next = uints(m, n, SPIRV_I_ADD, power, constant(m, UINT, n, 0x00800000));
    const uint32_t far = uints(m, n, SPIRV_I_ADD, size, units);
    const uint32_t beyond = uints(m, n, SPIRV_I_SUB, far, least(m, UINT, n, far, next));
    const uint32_t half =
        uints(m, n, SPIRV_SHIFT_RIGHT_LOGICAL, uints(m, n, SPIRV_I_ADD, beyond, one), one);
    const uint32_t more = uints(m, n, SPIRV_I_SUB, far, half);
    const uint32_t less = uints(m, n, SPIRV_I_SUB, size, units);
    uint32_t moved = up ? more : less;
    if (m->way == INEXACT_HASHED) {
        const uint32_t mixed = uints(m, n, SPIRV_I_MUL, bits, constant(m, UINT, n, 0x9e3779b1));
        const uint32_t away =
            uints(m, n, SPIRV_SHIFT_RIGHT_LOGICAL, mixed, constant(m, UINT, n, 31));
        const uint32_t width = uints(m, n, SPIRV_I_SUB, more, less);
        moved = uints(m, n, SPIRV_I_ADD, less, uints(m, n, SPIRV_I_MUL, away, width));
    }
    const uint32_t place = uints(m, n, SPIRV_I_SUB, size, constant(m, UINT, n, 0x0d800000));
    const uint32_t usual = make(m, 0, SPIRV_U_LESS_THAN, type_of(m, BOOL, n),
                                (const uint32_t[4]){place, constant(m, UINT, n, 0x71800000)});
    const uint32_t there =
        make(m, 0, SPIRV_SELECT, type_of(m, UINT, n), (const uint32_t[4]){usual, moved, size});
    make(m, result, OP_BITCAST, type_of(m, FLOAT, n),
         (const uint32_t[4]){uints(m, n, SPIRV_BITWISE_OR, there, sign)});
}

/* 3 + 2|x|, of an x whose exponential is an ordinary number. */
static uint32_t units_of_exp(struct changes *m, uint32_t n, uint32_t x)
{
    const uint32_t type = type_of(m, FLOAT, n);
    const uint32_t size = make(m, 0, OP_EXT_INST, type, (const uint32_t[4]){m->glsl, F_ABS, x});
    const uint32_t most = constant(m, FLOAT, n, 0x43000000); /* 128 */
    const uint32_t held = least(m, FLOAT, n, size, most);
    const uint32_t twice = make(m, 0, OP_F_ADD, type, (const uint32_t[4]){held, held});
    return uints(m, n, SPIRV_I_ADD, uints(m, n, OP_CONVERT_F_TO_U, twice, 0),
                 constant(m, UINT, n, 3));
}

/* The product and the sum may not become one operation again. */
static void round_twice(struct changes *m, const uint32_t *fma)
{
    const uint32_t product = make(m, 0, OP_F_MUL, fma[1], (const uint32_t[4]){fma[5], fma[6]});
    make(m, fma[2], OP_F_ADD, fma[1], (const uint32_t[4]){product, fma[7]});
    append_instruction(&m->decorations, SPIRV_DECORATE, (const uint32_t[]){product, NO_CONTRACTION},
                       2);
    append_instruction(&m->decorations, SPIRV_DECORATE, (const uint32_t[]){fma[2], NO_CONTRACTION},
                       2);
}

/* The components of a type of f32; 0 for any other. */
static uint32_t floats_in(const struct changes *m, uint32_t type)
{
    for (uint32_t n = COMPONENTS; n > 0; n--) {
        if (m->types[FLOAT][n] == type)
            return n;
    }
    return 0;
}

/* Whether an instruction of GLSL.std.450 rounds correctly, or not at all, wherever it is. */
static bool is_exact(uint32_t number)
{
    static const uint32_t exact[] = {ROUND_EVEN,
                                     F_ABS,
                                     F_MIN,
                                     U_MIN,
                                     F_MAX,
                                     U_MAX,
                                     F_CLAMP,
                                     LDEXP,
                                     FIND_U_MSB,
                                     PACK_HALF_2X16,
                                     UNPACK_HALF_2X16,
                                     PACK_DOUBLE_2X32,
                                     UNPACK_DOUBLE_2X32};
    for (size_t i = 0; i < COUNT(exact); i++) {
        if (exact[i] == number)
            return true;
    }
    return false;
}

/* Those of doubles are left as they are. */
static void change(struct changes *m, const uint32_t *words, uint32_t length)
{
    const uint32_t opcode = words[0] & 0xffff;
    const uint32_t number = opcode == OP_EXT_INST ? words[4] : 0;
    const bool up = m->way == INEXACT_UP || m->way == INEXACT_TURNS;
    const bool turns = m->way == INEXACT_TURNS || m->way == INEXACT_OTHER_TURNS;
    const bool gross = m->way == INEXACT_GROSSLY;
    const uint32_t n = opcode == OP_F_DIV || number ? floats_in(m, words[1]) : 0;
    const bool inexact =
        opcode == OP_F_DIV || number == EXP || number == SQRT || number == INVERSE_SQRT;

    m->unlike |= opcode == OP_F_REM || opcode == OP_F_MOD;
    m->unlike |= number && !inexact && number != FMA && !is_exact(number);
    if (number == FMA && n && (turns || m->way == INEXACT_HASHED)) {
        round_twice(m, words);
        return;
    }
    const size_t from = m->functions.count;
    append(&m->functions, words, length);
    if (!inexact || !n || (gross && opcode != OP_F_DIV))
        return;
    const uint32_t value = m->bound++;
    m->functions.at[from + 2] = value;
    const uint32_t units = number == EXP ? units_of_exp(m, n, words[5])
                                         : constant(m, UINT, n,
                                                    gross            ? 0x10000
                                                    : number == SQRT ? 4
                                                                     : 2);
    const bool turned = opcode == OP_F_DIV && turns && m->divisions++ % 2;
    move(m, n, value, units, up != turned, words[2]);
}

/* Notes what the module has in front of its functions. */
static void note(struct changes *m, const uint32_t *words)
{
    const uint32_t opcode = words[0] & 0xffff, id = words[1];
    if (opcode == OP_EXT_INST_IMPORT)
        m->glsl = id; /* the only set there is */
    else if (opcode == SPIRV_TYPE_BOOL)
        m->types[BOOL][1] = id;
    else if (opcode == SPIRV_TYPE_INT && words[2] == 32 && words[3] == 0)
        m->types[UINT][1] = id;
    else if (opcode == OP_TYPE_FLOAT && words[2] == 32)
        m->types[FLOAT][1] = id;
    for (int scalar = 0; opcode == OP_TYPE_VECTOR && scalar < SCALARS; scalar++) {
        if (words[2] == m->types[scalar][1])
            m->types[scalar][words[3]] = id;
    }
}

/* The whole module anew, to be freed. */
static struct words changed(struct changes *m, const uint32_t *words, size_t count)
{
    struct words whole = {0};
    size_t types = 0, functions = 0;
    m->bound = words[SPIRV_BOUND_AT];
    for (size_t at = SPIRV_HEADER_WORDS; at < count; at += words[at] >> 16) {
        const uint32_t opcode = words[at] & 0xffff;
        if (!types && opcode >= OP_TYPE_FIRST && opcode <= OP_TYPE_LAST)
            types = at;
        if (!functions && opcode == SPIRV_FUNCTION)
            functions = at;
        if (functions)
            change(m, words + at, words[at] >> 16);
        else
            note(m, words + at);
    }
    append(&whole, words, types);
    append(&whole, m->decorations.at, m->decorations.count);
    append(&whole, words + types, functions - types);
    append(&whole, m->globals.at, m->globals.count);
    append(&whole, m->functions.at, m->functions.count);
    whole.at[SPIRV_BOUND_AT] = m->bound;
    free(m->decorations.at);
    free(m->globals.at);
    free(m->functions.at);
    return whole;
}

static PFN_vkCreateShaderModule make_module;
static enum inexact present;
static struct inexact_count *counted;

static VKAPI_ATTR VkResult VKAPI_CALL make_inexact_module(VkDevice device,
                                                          const VkShaderModuleCreateInfo *info,
                                                          const VkAllocationCallbacks *allocator,
                                                          VkShaderModule *module)
{
    struct changes m = {.way = present};
    struct words words = changed(&m, info->pCode, info->codeSize / sizeof(uint32_t));
    VkShaderModuleCreateInfo inexact = *info;
    inexact.pCode = words.at;
    inexact.codeSize = words.count * sizeof(uint32_t);
    counted->made++;
    counted->unlike += m.unlike;
    VkResult result = make_module(device, &inexact, allocator, module);
    free(words.at);
    return result;
}

void inexact_vulkan_begin(anynorm_device *device, enum inexact way, struct inexact_count *count)
{
    struct an_vulkan_device *d = an_vulkan(device);
    d->cached = false; /* by what a module was before it was changed */
    make_module = d->vk.vkCreateShaderModule;
    d->vk.vkCreateShaderModule = make_inexact_module;
    present = way;
    counted = count;
}
