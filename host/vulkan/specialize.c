/* Modules with their specialization constants filled in, by one pass over each function in the
 * order of its text: SPIR-V has blocks after those that dominate them, and kernels/spirv_buffers.py
 * sees to it that only the ends of loops branch back, so when a block's turn comes it is known
 * whether anything reaches it. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan/modules.h"
#include "vulkan/spirv.h"

/* What is known of an id. */
struct fact {
    uint32_t value; /* of a constant */
    uint32_t at;    /* of a function or a label: where it is */
    uint32_t taken; /* of a label: the one block that follows; 0: several, or none */
    uint32_t loop;  /* of a label: the loop, by its first label, whose next round begins here */
    bool constant;  /* has a value: an unsigned integer or a truth */
    enum { OTHER, NUMBER, TRUTH } kind; /* of a type: whether it is of these */
    bool runs;                          /* a function or label that can be reached */
    bool named;                         /* a label that ends a construct which is kept */
    bool gone;                          /* made by what cannot be reached */
};

struct module {
    uint32_t *words;
    size_t count;
    struct fact *facts; /* by id */
    const uint32_t *values;
    uint32_t *waiting; /* functions that are called and not looked at yet */
    size_t waits;
};

/* ---- Values ---- */

/* Gives the result of an operation its value, if that follows from the operands'. */
static void evaluate(struct module *m, const uint32_t *result, uint32_t opcode,
                     const uint32_t *operands, uint32_t count)
{
    struct fact *fact = &m->facts[result[1]];
    uint32_t v[3] = {0};
    bool all = true;
    if (m->facts[result[0]].kind == OTHER || count > 3)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct fact *operand = &m->facts[operands[i]];
        bool decides = operand->constant && ((opcode == SPIRV_LOGICAL_AND && !operand->value) ||
                                             (opcode == SPIRV_LOGICAL_OR && operand->value));
        if (decides) {
            fact->constant = true;
            fact->value = operand->value;
            return;
        }
        all = all && operand->constant;
        v[i] = operand->value;
    }
    fact->constant = all && spirv_compute(opcode, v, &fact->value);
}

static void set(struct module *m, uint32_t id, uint32_t value)
{
    m->facts[id].constant = true;
    m->facts[id].value = value;
}

/* Ahead of the functions: types and constants, which become plain ones. What is not computed here
 * stays an operation on constants, as the driver computes it. */
static void specialize_global(struct module *m, uint32_t *word)
{
    const uint32_t length = spirv_length(word[0]);
    struct fact *facts = m->facts;
    switch (spirv_opcode(word[0])) {
    case SPIRV_DECORATE:
        if (word[2] == SPIRV_DECORATION_SPEC_ID)
            facts[word[1]].value = m->values[word[3]];
        break;
    case SPIRV_TYPE_BOOL:
        facts[word[1]].kind = TRUTH;
        break;
    case SPIRV_TYPE_INT:
        facts[word[1]].kind = word[2] == 32 && word[3] == 0 ? NUMBER : OTHER;
        break;
    case SPIRV_CONSTANT_TRUE:
        set(m, word[2], 1);
        break;
    case SPIRV_CONSTANT_FALSE:
        set(m, word[2], 0);
        break;
    case SPIRV_CONSTANT:
        if (facts[word[1]].kind == NUMBER)
            set(m, word[2], word[3]);
        break;
    case SPIRV_SPEC_CONSTANT:
        word[0] = SPIRV_FIRST(SPIRV_CONSTANT, length);
        word[3] = facts[word[2]].value;
        set(m, word[2], word[3]);
        break;
    case SPIRV_SPEC_CONSTANT_COMPOSITE:
        word[0] = SPIRV_FIRST(SPIRV_CONSTANT_COMPOSITE, length);
        break;
    case SPIRV_SPEC_CONSTANT_OP:
        evaluate(m, word + 1, word[3], word + 4, length - 4);
        break;
    default:
        break;
    }
}

/* ---- What can be reached ---- */

static void reach_function(struct module *m, uint32_t function)
{
    if (!m->facts[function].runs)
        m->waiting[m->waits++] = function;
    m->facts[function].runs = true;
}

/* Whether a block's branch goes to the other. */
static bool leads(const struct module *m, uint32_t from, uint32_t to)
{
    const struct fact *label = &m->facts[from];
    return label->runs && (!label->taken || label->taken == to);
}

/* A value that is the same whichever way the block is reached. None of a loop's, whose second way
 * comes later. */
static void evaluate_phi(struct module *m, const uint32_t *word, uint32_t label)
{
    struct fact *fact = &m->facts[word[2]];
    bool any = false;
    if (m->facts[word[1]].kind == OTHER)
        return;
    for (uint32_t i = 3; i < spirv_length(word[0]); i += 2) {
        const struct fact *value = &m->facts[word[i]];
        if (m->facts[word[i + 1]].at >= m->facts[label].at) {
            fact->constant = false;
            return;
        }
        if (!leads(m, word[i + 1], label))
            continue;
        fact->constant =
            value->constant && (!any || (fact->constant && fact->value == value->value));
        fact->value = value->value;
        any = true;
        if (!fact->constant)
            return;
    }
}

/* The end of a block, whose merge instruction is given or NULL. */
static void follow(struct module *m, uint32_t label, const uint32_t *merge, const uint32_t *word)
{
    struct fact *facts = m->facts;
    const bool loop = merge && spirv_opcode(merge[0]) == SPIRV_LOOP_MERGE;
    if (spirv_opcode(word[0]) == SPIRV_BRANCH) {
        facts[word[1]].runs = true;
    } else if (spirv_opcode(word[0]) == SPIRV_BRANCH_CONDITIONAL) {
        const struct fact *condition = &facts[word[1]];
        const bool ahead =
            facts[word[2]].at > facts[label].at && facts[word[3]].at > facts[label].at;
        if (!loop && ahead && condition->constant) { /* a loop keeps its form */
            facts[label].taken = word[condition->value ? 2 : 3];
            facts[facts[label].taken].runs = true;
            return;
        }
        facts[word[2]].runs = facts[word[3]].runs = true;
    }
    if (merge)
        facts[merge[1]].named = true;
    if (loop)
        facts[merge[2]].loop = label;
}

static bool ends_block(uint32_t opcode)
{
    return opcode == SPIRV_BRANCH || opcode == SPIRV_BRANCH_CONDITIONAL || opcode == SPIRV_RETURN ||
           opcode == SPIRV_RETURN_VALUE || opcode == SPIRV_UNREACHABLE;
}

static bool has_result(uint32_t opcode)
{
    return !ends_block(opcode) && opcode != SPIRV_STORE && opcode != SPIRV_LOOP_MERGE &&
           opcode != SPIRV_SELECTION_MERGE && opcode != SPIRV_CONTROL_BARRIER &&
           opcode != SPIRV_MEMORY_BARRIER && opcode != SPIRV_FUNCTION_END && opcode != SPIRV_LABEL;
}

static void look_at(struct module *m, uint32_t function)
{
    const uint32_t *merge = NULL;
    uint32_t label = 0;
    bool runs = true; /* so that the first block does */
    for (size_t at = m->facts[function].at;; at += spirv_length(m->words[at])) {
        const uint32_t *word = &m->words[at];
        const uint32_t opcode = spirv_opcode(word[0]), length = spirv_length(word[0]);
        if (opcode == SPIRV_FUNCTION_END)
            return;
        if (opcode == SPIRV_LABEL) {
            runs = m->facts[word[1]].runs = m->facts[word[1]].runs || !label;
            label = word[1];
            merge = NULL;
        }
        if (!runs || !label)
            continue;
        if (opcode == SPIRV_LOOP_MERGE || opcode == SPIRV_SELECTION_MERGE)
            merge = word;
        else if (ends_block(opcode))
            follow(m, label, merge, word);
        else if (opcode == SPIRV_FUNCTION_CALL)
            reach_function(m, word[3]);
        else if (opcode == SPIRV_PHI)
            evaluate_phi(m, word, label);
        else if (opcode >= SPIRV_I_ADD && opcode <= SPIRV_BITWISE_AND) /* whose operands are ids */
            evaluate(m, word + 1, opcode, word + 3, length - 3);
    }
}

/* ---- What is left ---- */

static size_t write_word(uint32_t *out, uint32_t first, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t words[] = {first, a, b, c};
    memcpy(out, words, spirv_length(first) * sizeof(*out));
    return spirv_length(first);
}

static size_t write_phi(const struct module *m, const uint32_t *word, uint32_t label, uint32_t *out)
{
    const uint32_t whole = spirv_length(word[0]), type = word[1], id = word[2];
    size_t length = 3;
    uint32_t first = 0; /* a value that comes in */
    for (uint32_t i = 3; i < whole && !first; i += 2)
        first = leads(m, word[i + 1], label) ? word[i] : 0;
    for (uint32_t i = 3; i < whole; i += 2) {
        const uint32_t value = word[i], from = word[i + 1];
        const bool comes = leads(m, from, label);
        if (!comes && m->facts[from].loop != label)
            continue;
        out[length] = comes ? value : first; /* a round that never comes has no value of its own */
        out[length + 1] = from;
        length += 2;
    }
    out[0] = SPIRV_FIRST(SPIRV_PHI, (uint32_t)length);
    out[1] = type;
    out[2] = id;
    return length;
}

/* Where a kept construct ends, though nothing gets there: it must still be there. */
static size_t write_stub(const struct fact *fact, uint32_t label, uint32_t *out)
{
    if (!fact->loop && !fact->named)
        return 0;
    size_t length = write_word(out, SPIRV_FIRST(SPIRV_LABEL, 2), label, 0, 0);
    return length + (fact->loop
                         ? write_word(out + length, SPIRV_FIRST(SPIRV_BRANCH, 2), fact->loop, 0, 0)
                         : write_word(out + length, SPIRV_FIRST(SPIRV_UNREACHABLE, 1), 0, 0, 0));
}

/* An instruction ahead of the functions. */
static size_t write_global(const struct module *m, const uint32_t *word, uint32_t *out)
{
    const uint32_t length = spirv_length(word[0]), opcode = spirv_opcode(word[0]);
    if (opcode == SPIRV_DECORATE && (word[2] == SPIRV_DECORATION_SPEC_ID || m->facts[word[1]].gone))
        return 0;
    if (opcode == SPIRV_SPEC_CONSTANT_OP && m->facts[word[2]].constant) {
        const uint32_t value = m->facts[word[2]].value;
        if (m->facts[word[1]].kind == NUMBER)
            return write_word(out, SPIRV_FIRST(SPIRV_CONSTANT, 4), word[1], word[2], value);
        return write_word(out, SPIRV_FIRST(value ? SPIRV_CONSTANT_TRUE : SPIRV_CONSTANT_FALSE, 3),
                          word[1], word[2], 0);
    }
    memmove(out, word, length * sizeof(*out));
    return length;
}

/* An instruction of a block that runs. */
static size_t write_local(const struct module *m, const uint32_t *word, uint32_t label,
                          uint32_t *out)
{
    const uint32_t length = spirv_length(word[0]), opcode = spirv_opcode(word[0]);
    const uint32_t taken = m->facts[label].taken;
    if (opcode == SPIRV_PHI)
        return write_phi(m, word, label, out);
    if (taken && opcode == SPIRV_SELECTION_MERGE)
        return 0;
    if (taken && opcode == SPIRV_BRANCH_CONDITIONAL)
        return write_word(out, SPIRV_FIRST(SPIRV_BRANCH, 2), taken, 0, 0);
    memmove(out, word, length * sizeof(*out));
    return length;
}

/* Where an instruction of a function is: ahead of its first block, the label is 0. */
struct place {
    uint32_t function, label;
};

static void step(struct place *place, const uint32_t *word)
{
    if (spirv_opcode(word[0]) == SPIRV_FUNCTION)
        *place = (struct place){.function = word[2]};
    else if (spirv_opcode(word[0]) == SPIRV_FUNCTION_END)
        place->label = 0;
    else if (spirv_opcode(word[0]) == SPIRV_LABEL)
        place->label = word[1];
}

static bool place_runs(const struct module *m, const struct place *place)
{
    return m->facts[place->function].runs && (!place->label || m->facts[place->label].runs);
}

static void mark_gone(struct module *m, size_t at)
{
    struct place place = {0};
    for (; at < m->count; at += spirv_length(m->words[at])) {
        const uint32_t *word = &m->words[at];
        step(&place, word);
        if (!place_runs(m, &place) && has_result(spirv_opcode(word[0])) &&
            spirv_length(word[0]) > 2)
            m->facts[word[2]].gone = true;
    }
}

/* The module over itself: nothing gets longer, so what is written lies behind what is read. */
static void write(struct module *m, size_t functions)
{
    struct place place = {0};
    size_t to = SPIRV_HEADER_WORDS;
    for (size_t at = SPIRV_HEADER_WORDS, next; at < m->count; at = next) {
        const uint32_t *word = &m->words[at];
        uint32_t *out = &m->words[to];
        next = at + spirv_length(word[0]);
        if (at >= functions)
            step(&place, word);
        if (at < functions)
            to += write_global(m, word, out);
        else if (place_runs(m, &place))
            to += write_local(m, word, place.label, out);
        else if (m->facts[place.function].runs && spirv_opcode(word[0]) == SPIRV_LABEL)
            to += write_stub(&m->facts[word[1]], word[1], out);
    }
    m->count = to;
}

size_t an_module_specialize(uint32_t *words, size_t count, const uint32_t *values)
{
    const uint32_t bound = words[SPIRV_BOUND_AT];
    struct module m = {.words = words, .count = count, .values = values};
    size_t functions = 0;
    uint32_t entry = 0;
    m.facts = calloc(bound, sizeof(*m.facts) + sizeof(*m.waiting));
    if (!m.facts)
        return 0;
    m.waiting = (uint32_t *)(m.facts + bound);
    for (size_t at = SPIRV_HEADER_WORDS; at < count; at += spirv_length(words[at])) {
        const uint32_t opcode = spirv_opcode(words[at]);
        if (opcode == SPIRV_ENTRY_POINT)
            entry = words[at + 2];
        if (opcode == SPIRV_FUNCTION)
            m.facts[words[at + 2]].at = (uint32_t)at;
        if (opcode == SPIRV_LABEL)
            m.facts[words[at + 1]].at = (uint32_t)at;
        if (opcode == SPIRV_FUNCTION && !functions)
            functions = at;
        if (!functions)
            specialize_global(&m, &words[at]);
    }
    reach_function(&m, entry);
    while (m.waits)
        look_at(&m, m.waiting[--m.waits]);
    mark_gone(&m, functions);
    write(&m, functions);
    free(m.facts);
    return m.count;
}
