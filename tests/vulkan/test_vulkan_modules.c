/* The embedded SPIR-V modules, put together. Needs no device. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "vulkan/modules.h"

enum { MAGIC = 0x07230203, HEADER = 5, BOUND_AT = 3, WORDS_PER_ID = 2, FEW_IDS = 8192 };

static uint32_t *written(const struct an_module *module)
{
    size_t count = 0;
    for (size_t i = 0; i < module->piece_count; i++)
        count += module->pieces[i].count;
    assert_int_equal(count * sizeof(uint32_t), module->bytes);
    uint32_t *words = malloc(module->bytes);
    assert_non_null(words);
    an_module_write(module, words);
    return words;
}

/* One instruction after another to the very end, and no id so high that a table of ids is large. */
static void test_whole(void **state)
{
    (void)state;
    int modules = 0;
    for (const struct an_module *module = an_modules; module->name; module++, modules++) {
        uint32_t *words = written(module);
        size_t count = module->bytes / sizeof(*words), at = HEADER;
        size_t most = count / WORDS_PER_ID > FEW_IDS ? count / WORDS_PER_ID : FEW_IDS;
        assert_int_equal(words[0], MAGIC);
        assert_between(words[BOUND_AT], 2, most);
        while (at < count) {
            assert_int_not_equal(words[at] >> 16, 0);
            at += words[at] >> 16;
        }
        assert_int_equal(at, count);
        free(words);
    }
    assert_true(modules > 1);
}

/* Caches know a module by its hash alone. */
static void test_hashes(void **state)
{
    (void)state;
    for (const struct an_module *a = an_modules; a->name; a++) {
        uint32_t *words = written(a);
        for (const struct an_module *b = an_modules; b != a; b++) {
            uint32_t *others = written(b);
            bool same = a->bytes == b->bytes && memcmp(words, others, a->bytes) == 0;
            assert_int_equal(same, a->hash == b->hash);
            free(others);
        }
        free(words);
    }
}

/* The three instructions are where SPIR-V's order has them, and nothing else is changed. */
static void test_rounding(void **state)
{
    (void)state;
    enum { EXTENSION = 10, ENTRY_POINT = 15, MODE = 16, CAPABILITY = 17 };
    for (const struct an_module *module = an_modules; module->name; module++) {
        uint32_t *words = written(module);
        size_t count = module->bytes / sizeof(*words);
        size_t whole = count + AN_MODULE_ROUNDING_WORDS, same = HEADER;
        uint32_t *rounding = malloc(whole * sizeof(*words)), before = CAPABILITY, entry = 0;
        int added = 0;
        assert_non_null(rounding);
        memcpy(rounding, words, module->bytes);
        an_module_round_halves(rounding, count);
        assert_memory_equal(rounding, words, HEADER * sizeof(*words));
        for (size_t at = HEADER; at < whole; at += rounding[at] >> 16) {
            uint32_t length = rounding[at] >> 16, code = rounding[at] & 0xffff;
            if (code == ENTRY_POINT)
                entry = rounding[at + 2];
            if (same + length <= count &&
                memcmp(words + same, rounding + at, length * sizeof(*words)) == 0) {
                same += length;
            } else {
                assert_true(
                    (code == CAPABILITY && before == CAPABILITY && rounding[at + 1] == 4467) ||
                    (code == EXTENSION && before == CAPABILITY &&
                     strcmp((char *)&rounding[at + 1], "SPV_KHR_float_controls") == 0) ||
                    (code == MODE && before == ENTRY_POINT && rounding[at + 1] == entry &&
                     rounding[at + 2] == 4462 && rounding[at + 3] == 16));
                added++;
            }
            before = code;
        }
        assert_int_equal(same, count);
        assert_int_equal(added, 3);
        free(rounding);
        free(words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_rounding),
    };
    return cmocka_run_group_tests_name("Vulkan modules", tests, NULL, NULL);
}
