/* The host's parts that need no device: storage types, the capability mask, the selection of a
 * schedule, the check of tensors, status and log. */
#include "refused.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caps.h"
#include "dtype.h"
#include "log.h"
#include "select.h"
#include "spec.h"
#include "status.h"
#include "tensors.h"

/* ---- Storage types ---- */

static const struct {
    anynorm_dtype type;
    uint16_t infinity;
} halves[] = {{ANYNORM_F16, 0x7c00}, {ANYNORM_BF16, 0x7f80}};

/* At an odd address, as the bytes of a packed file may lie. */
static double load16(anynorm_dtype type, uint16_t bits)
{
    unsigned char at[3];
    memcpy(at + 1, &bits, sizeof(bits));
    return anynorm_dtype_load(type, at + 1, 0);
}

static uint16_t store16(anynorm_dtype type, double value)
{
    unsigned char at[3];
    uint16_t bits;
    anynorm_dtype_store(type, at + 1, 0, value);
    memcpy(&bits, at + 1, sizeof(bits));
    return bits;
}

static double decode_by_hand(anynorm_dtype type, uint16_t bits)
{
    if (type == ANYNORM_BF16) {
        uint32_t upper = (uint32_t)bits << 16;
        float value;
        memcpy(&value, &upper, sizeof(value));
        return (double)value;
    }
    double fraction = (bits & 0x3ff) / 1024.0, sign = bits & 0x8000 ? -1 : 1;
    int exponent = (bits >> 10) & 31;
    if (exponent == 31)
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * fraction * 0x1p-14;
    return sign * (1 + fraction) * pow(2, exponent - 15);
}

static void test_every_half_round_trips(void **state)
{
    (void)state;
    for (size_t h = 0; h < COUNT(halves); h++) {
        for (uint32_t bits = 0; bits < 65536; bits++) {
            double value = load16(halves[h].type, (uint16_t)bits);
            double by_hand = decode_by_hand(halves[h].type, (uint16_t)bits);
            uint16_t back = store16(halves[h].type, value);
            if ((bits & 0x7fff) > halves[h].infinity) {
                assert_true(isnan(value) && isnan(by_hand));
                assert_true((back & 0x7fff) > halves[h].infinity);
            } else {
                assert_memory_equal(&value, &by_hand, sizeof(value));
                assert_int_equal(back, bits);
            }
        }
    }
}

static void assert_rounds(anynorm_dtype type, double value, uint16_t expected)
{
    uint16_t up = store16(type, value), down = store16(type, -value);
    if (up != expected || down != (expected | 0x8000))
        fprintf(stderr, "%s: %a gives %#x and %#x, not %#x\n", anynorm_dtype_name(type), value, up,
                down, expected);
    assert_int_equal(up, expected);
    assert_int_equal(down, expected | 0x8000);
}

/* Each number, the tie between it and the next, and the doubles on both sides of the tie. */
static void test_halves_round_to_nearest_even(void **state)
{
    (void)state;
    for (size_t h = 0; h < COUNT(halves); h++) {
        anynorm_dtype type = halves[h].type;
        for (uint16_t bits = 0; bits < halves[h].infinity; bits++) {
            uint16_t next = (uint16_t)(bits + 1);
            double value = load16(type, bits);
            double above = next < halves[h].infinity
                               ? load16(type, next)
                               : 2 * value - load16(type, (uint16_t)(bits - 1));
            double tie = value + (above - value) / 2;
            assert_rounds(type, value, bits);
            assert_rounds(type, nextafter(value, INFINITY), bits);
            assert_rounds(type, nextafter(tie, 0), bits);
            assert_rounds(type, tie, bits % 2 ? next : bits);
            assert_rounds(type, nextafter(tie, INFINITY), next);
            assert_rounds(type, nextafter(above, 0), next);
        }
        assert_rounds(type, DBL_MAX, halves[h].infinity);
        assert_rounds(type, (double)INFINITY, halves[h].infinity);
        assert_rounds(type, DBL_MIN, 0);
        assert_rounds(type, 4.9e-324, 0);
        assert_true((store16(type, (double)NAN) & 0x7fff) > halves[h].infinity);
        assert_true((store16(type, -(double)NAN) & 0x7fff) > halves[h].infinity);
    }
}

static float stored32(double value)
{
    unsigned char at[5];
    float result;
    anynorm_dtype_store(ANYNORM_F32, at + 1, 0, value);
    memcpy(&result, at + 1, sizeof(result));
    return result;
}

static void test_f32_rounds_to_nearest_even(void **state)
{
    (void)state;
    struct random random = {21};
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)random_bits(&random) & 0x7fffffff, loaded;
        float value, next;
        memcpy(&value, &bits, sizeof(value));
        if (bits >= 0x7f7fffff)
            continue;
        next = nextafterf(value, INFINITY);
        double tie = ((double)value + (double)next) / 2;
        assert_true(stored32((double)value) == value);
        assert_true(stored32(nextafter(tie, 0)) == value);
        assert_true(stored32(tie) == (bits % 2 ? next : value));
        assert_true(stored32(nextafter(tie, INFINITY)) == next);
        double exact = anynorm_dtype_load(ANYNORM_F32, &bits, 0);
        value = (float)exact;
        memcpy(&loaded, &value, sizeof(loaded));
        assert_int_equal(loaded, bits);
    }
    assert_true(isinf(stored32(DBL_MAX)) && isnan(stored32((double)NAN)));
    assert_true(signbit(stored32(-0.0)));
}

static void test_f64_is_copied(void **state)
{
    (void)state;
    struct random random = {22};
    for (int i = 0; i < 10000; i++) {
        uint64_t bits = random_bits(&random), back[2] = {0, 0};
        double value = anynorm_dtype_load(ANYNORM_F64, &bits, 0);
        anynorm_dtype_store(ANYNORM_F64, back, 1, value);
        if (!isnan(value))
            assert_int_equal(back[1], bits);
        assert_int_equal(back[0], 0);
    }
}

static void test_dtype_names(void **state)
{
    (void)state;
    static const char *const names[] = {"f32", "f16", "bf16", "f64"};
    static const size_t sizes[] = {4, 2, 2, 8};
    static const int none[] = {4, 5, -1, INT32_MAX, INT32_MIN};
    anynorm_dtype type;
    for (int i = 0; i < 4; i++) {
        assert_string_equal(anynorm_dtype_name((anynorm_dtype)i), names[i]);
        assert_int_equal(anynorm_dtype_size((anynorm_dtype)i), sizes[i]);
        assert_true(an_dtype_parse(names[i], strlen(names[i]), &type));
        assert_int_equal(type, i);
        assert_false(an_dtype_parse(names[i], strlen(names[i]) - 1, &type));
        assert_false(an_dtype_parse(names[i], strlen(names[i]) + 1, &type));
    }
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_string_equal(anynorm_dtype_name((anynorm_dtype)none[i]), "?");
        assert_int_equal(anynorm_dtype_size((anynorm_dtype)none[i]), 0);
    }
    assert_false(an_dtype_parse("", 0, &type));
}

/* ---- The capability mask ---- */

static const anynorm_device_info whole = {.id = "opencl:0",
                                          .device_class = ANYNORM_CLASS_GPU,
                                          .vector_width = 1,
                                          .max_work_group_size = 1024,
                                          .max_groups = 65535,
                                          .local_bytes = 32768,
                                          .max_alloc_bytes = 1 << 30,
                                          .fp16 = true,
                                          .fp64 = true,
                                          .subgroup = true,
                                          .subgroup_size = 32,
                                          .shuffle = ANYNORM_SHUFFLE_KHR,
                                          .own_local_memory = true,
                                          .unified_memory = true};

static void assert_masked(const char *list, anynorm_device_info expected)
{
    anynorm_device_info info = whole;
    assert_ok(an_caps_mask(&info, list));
    assert_int_equal(info.fp64, expected.fp64);
    assert_int_equal(info.fp16, expected.fp16);
    assert_int_equal(info.subgroup, expected.subgroup);
    assert_int_equal(info.subgroup_size, expected.subgroup_size);
    assert_int_equal(info.shuffle, expected.shuffle);
    assert_int_equal(info.unified_memory, expected.unified_memory);
    assert_int_equal(info.max_work_group_size, expected.max_work_group_size);
    assert_int_equal(info.local_bytes, expected.local_bytes);
    assert_int_equal(info.max_groups, expected.max_groups);
    assert_int_equal(info.max_alloc_bytes, expected.max_alloc_bytes);
    assert_string_equal(info.id, whole.id);
}

static void test_caps_words(void **state)
{
    (void)state;
    anynorm_device_info no_fp64 = whole, no_fp16 = whole, no_subgroup = whole, no_unified = whole;
    anynorm_device_info group = whole, local = whole, groups = whole, alloc = whole, all = whole;
    all.fp64 = no_fp64.fp64 = false;
    all.fp16 = no_fp16.fp16 = false;
    all.subgroup = no_subgroup.subgroup = false;
    all.subgroup_size = no_subgroup.subgroup_size = 0;
    all.shuffle = no_subgroup.shuffle = ANYNORM_SHUFFLE_NONE;
    all.unified_memory = no_unified.unified_memory = false;
    all.max_work_group_size = group.max_work_group_size = 64;
    all.local_bytes = local.local_bytes = 1;
    all.max_groups = groups.max_groups = 7;
    all.max_alloc_bytes = alloc.max_alloc_bytes = 4096;
    assert_masked("", whole);
    assert_masked(",", whole);
    assert_masked("no-fp64", no_fp64);
    assert_masked("no-fp16", no_fp16);
    assert_masked("no-subgroup,no-subgroup", no_subgroup);
    assert_masked("no-unified,", no_unified);
    assert_masked("max-wg=64", group);
    assert_masked("max-wg=100,max-wg=64,max-wg=200", group);
    assert_masked("max-local=1", local);
    assert_masked("max-groups=007", groups);
    assert_masked("max-alloc=4096", alloc);
    assert_masked("max-alloc=4096,no-fp64,max-groups=7,no-unified,max-local=1,no-fp16,max-wg=64,"
                  "no-subgroup",
                  all);
    assert_masked("max-wg=1025,max-local=999999999999999999,max-groups=65536,max-alloc=1073741825",
                  whole);
    anynorm_device_info none = {0};
    assert_ok(an_caps_mask(&none, "max-wg=5,max-local=5,max-groups=5,max-alloc=5,no-fp64"));
    assert_int_equal(none.max_work_group_size + none.local_bytes + none.max_groups, 0);
}

static void test_caps_bad_words(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "fp64",
        "no-fp",
        "no-fp640",
        "NO-FP64",
        "no_fp64",
        "no-fp64 ",
        " no-fp64",
        "no-fp64;no-fp16",
        "no-fp64=1",
        "max-wg",
        "max-wg=",
        "max-wg=0",
        "max-wg=-1",
        "max-wg=+1",
        "max-wg= 1",
        "max-wg=x",
        "max-wg=1k",
        "max-wg=0x10",
        "max-wg=1.5",
        "max-wg=99999999999999999999",
        "max-local=",
        "max-local=0",
        "max-groups=0",
        "max-alloc=0",
        "max-alloc=1G",
        "max=1",
        "no-fp64,max-wg=64,zzz",
        "max-wg=64,no-fp64,max-alloc=",
        "no-fp64\nno-fp16",
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        anynorm_device_info info = whole;
        assert_refused(an_caps_mask(&info, lists[i]), ANYNORM_INVALID_ARGUMENT);
        assert_memory_equal(&info, &whole, sizeof(info));
    }
}

/* ---- Selection ---- */

static void test_select_order(void **state)
{
    (void)state;
    static const char of_cpu[] = "row_per_item row_per_group row_reread row_split row_in_local "
                                 "row_per_subgroup column_walk ";
    static const char of_gpu[] = "row_per_subgroup row_per_group row_in_local row_split "
                                 "row_reread row_per_item column_walk ";
    static const struct {
        anynorm_device_class device_class;
        uint32_t vector_width;
        uint64_t columns;
        bool own_local_memory;
        const char *order;
    } devices[] = {
        {ANYNORM_CLASS_REFERENCE, 1, 64, false, "reference "},
        {ANYNORM_CLASS_CPU, 16, 64, false, of_cpu},
        {ANYNORM_CLASS_CPU, 4, 4096, true, of_cpu},
        {ANYNORM_CLASS_CPU, 16, 1048576, false,
         "row_split row_per_item row_per_group row_reread row_in_local row_per_subgroup "
         "column_walk "},
        {ANYNORM_CLASS_CPU, 1, 64, true,
         "row_per_item row_per_group row_in_local row_split row_reread row_per_subgroup "
         "column_walk "},
        {ANYNORM_CLASS_GPU, 1, 64, true, of_gpu},
        {ANYNORM_CLASS_GPU, 4, 1048576, false,
         "row_per_subgroup row_per_group row_split row_reread row_in_local row_per_item "
         "column_walk "},
        {ANYNORM_CLASS_ACCELERATOR, 8, 64, true, of_gpu},
    };
    for (size_t i = 0; i < COUNT(devices); i++) {
        anynorm_device_info info = {.device_class = devices[i].device_class,
                                    .vector_width = devices[i].vector_width,
                                    .own_local_memory = devices[i].own_local_memory};
        anynorm_spec spec = {.columns = devices[i].columns};
        char order[160] = "";
        enum an_schedule schedule, found;
        size_t k;
        for (k = 0; an_select_order(&info, &spec, k, &schedule); k++) {
            const char *name = an_schedule_name(schedule);
            strcat(strcat(order, name), " ");
            assert_true(an_schedule_find(name, strlen(name), &found));
            assert_int_equal(found, schedule);
        }
        assert_string_equal(order, devices[i].order);
        assert_false(an_select_order(&info, &spec, SIZE_MAX, &schedule));
    }
    enum an_schedule schedule;
    assert_false(an_schedule_find("", 0, &schedule));
    assert_false(an_schedule_find("row_per", 7, &schedule));
    assert_false(an_schedule_find("row_reread ", 11, &schedule));
}

/* What the kernels rely on. Returns whether the schedule fits. */
static bool check_choice(const anynorm_device_info *info, const anynorm_spec *spec,
                         enum an_schedule schedule, uint64_t forced)
{
    struct an_choice choice;
    const struct an_choice wish = {.schedule = schedule, .group = forced};
    char reason[160] = "";
    uint64_t accumulator = an_spec_double(spec) ? 8 : 4;
    bool fits = an_select_fits(info, spec, &wish, &choice, reason, sizeof(reason));
    assert_true(*reason && !strchr(reason, '\n'));
    if (!fits)
        return false;
    assert_int_equal(choice.schedule, schedule);
    assert_in_range(choice.group, 1, info->max_work_group_size);
    if (forced)
        assert_int_equal(choice.group, forced);
    if (schedule != AN_REFERENCE)
        assert_true(choice.vector == 4 || choice.vector == 8 || choice.vector == 16);
    if (schedule == AN_ROW_PER_SUBGROUP || schedule == AN_ROW_PER_GROUP ||
        schedule == AN_ROW_IN_LOCAL) {
        assert_in_range(choice.rows, 1, choice.group);
        assert_int_equal(choice.group % choice.rows, 0);
        uint64_t lanes = choice.group / choice.rows, held = choice.held * choice.vector;
        uint64_t local = 4 * choice.group * accumulator;
        assert_true(choice.vector == 4 || choice.vector == 8);
        assert_true(held * lanes > spec->columns - choice.vector || spec->columns < choice.vector);
        if (schedule == AN_ROW_IN_LOCAL)
            local += held * lanes * accumulator;
        else
            assert_true(held * accumulator <= 128);
        assert_true(local <= info->local_bytes);
        /* Whole sub-groups in a group; of a row in sub-groups, or of rows in one. */
        if (choice.subgroup > 1) {
            assert_int_equal(choice.subgroup, info->subgroup_size);
            assert_int_equal(choice.group % choice.subgroup, 0);
            assert_true(lanes % choice.subgroup == 0 || choice.subgroup % lanes == 0);
        } else if (choice.subgroup == 1) {
            assert_true(info->subgroup);
        }
        if (schedule == AN_ROW_PER_SUBGROUP)
            assert_in_range(lanes, 1, choice.subgroup);
        else if (choice.rows > 1)
            assert_int_equal(choice.subgroup, 0);
    } else if (schedule == AN_ROW_REREAD || schedule == AN_ROW_SPLIT) {
        uint64_t shared = 2 * choice.group + 4 * AN_MOST_SEGMENTS;
        assert_true(choice.group == 1 || shared * accumulator <= info->local_bytes);
        assert_true(choice.segment > 0 && choice.segment % choice.vector == 0);
        assert_true((spec->columns - 1) / choice.segment < AN_MOST_SEGMENTS);
    } else if (schedule == AN_COLUMN_WALK) {
        assert_true(choice.slices > 0 && choice.group % choice.slices == 0);
        assert_true(choice.held > 0 && (choice.group == 1 || choice.held == 1));
        assert_true(choice.slices == 1 ||
                    2 * choice.vector * choice.group * accumulator <= info->local_bytes);
    }
    return true;
}

static void test_select_fits_the_device(void **state)
{
    (void)state;
    static const uint64_t groups[] = {1,   2,   3,   7,   31,  32,   33,  64,
                                      100, 128, 255, 256, 512, 1000, 1024};
    static const uint64_t locals[] = {0, 16, 1000, 16384, 65536};
    for (uint64_t columns = 1; columns <= 100000; columns += columns < 600 ? 1 : 199) {
        for (size_t i = 0; i < COUNT(groups) * COUNT(locals) * 4; i++) {
            anynorm_device_info info = whole;
            info.max_work_group_size = groups[i / 4 % COUNT(groups)];
            info.local_bytes = locals[i / 4 / COUNT(groups)];
            info.device_class = i % 2 ? ANYNORM_CLASS_GPU : ANYNORM_CLASS_CPU;
            info.vector_width = i % 2 ? 1 : 16;
            uint64_t kind = (i / 4 + columns) % 5;
            info.subgroup = kind > 0;
            info.subgroup_size = kind > 1 ? 8u << kind : 0;
            anynorm_spec spec = {.columns = columns, .x_type = i & 2 ? ANYNORM_F64 : ANYNORM_F32};
            bool any = false;
            for (enum an_schedule s = AN_ROW_PER_ITEM; s <= AN_ROW_SPLIT; s++)
                any = check_choice(&info, &spec, s, 0) || any;
            if (columns <= 65536 || i % 2 == 0 ||
                info.local_bytes >= 8 * (2 * 256 + 4 * AN_MOST_SEGMENTS))
                assert_true(any);
            assert_false(check_choice(&info, &spec, AN_REFERENCE, 0));
        }
    }
}

/* What a GPU's best choice is for rows of each length: with sub-groups, and without. */
static void test_select_on_gpus(void **state)
{
    (void)state;
    static const struct {
        uint64_t columns;
        anynorm_dtype type;
        uint32_t subgroup_size;
        const char *choice;
    } cases[] = {
        {1, ANYNORM_F32, 32, "row_per_subgroup group=128 vector=4 rows=128 held=1 subgroup=32"},
        {64, ANYNORM_F32, 32, "row_per_subgroup group=128 vector=4 rows=16 held=2 subgroup=32"},
        {64, ANYNORM_BF16, 32, "row_per_subgroup group=128 vector=8 rows=16 held=1 subgroup=32"},
        {128, ANYNORM_F16, 64, "row_per_subgroup group=128 vector=8 rows=8 held=1 subgroup=64"},
        {1024, ANYNORM_F32, 32, "row_per_subgroup group=128 vector=4 rows=4 held=8 subgroup=32"},
        {1025, ANYNORM_F32, 32, "row_per_subgroup group=128 vector=4 rows=4 held=8 subgroup=32"},
        {1028, ANYNORM_F32, 32, "row_per_group group=128 vector=4 rows=1 held=3 subgroup=32"},
        {4096, ANYNORM_F32, 32, "row_per_group group=256 vector=4 rows=1 held=4 subgroup=32"},
        {5120, ANYNORM_F16, 16, "row_per_group group=512 vector=4 rows=1 held=3 subgroup=16"},
        {64, ANYNORM_F32, 0, "row_per_group group=64 vector=4 rows=8 held=2"},
        {4096, ANYNORM_F32, 0, "row_per_group group=256 vector=4 rows=1 held=4"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_device_info info = whole;
        struct an_choice wish = {.schedule = AN_REFERENCE}, choice;
        char reason[160], text[128];
        anynorm_spec spec = {.columns = cases[i].columns, .x_type = cases[i].type};
        info.subgroup = cases[i].subgroup_size > 0;
        info.subgroup_size = cases[i].subgroup_size;
        for (size_t k = 0; an_select_order(&info, &spec, k, &wish.schedule); k++) {
            if (an_select_fits(&info, &spec, &wish, &choice, reason, sizeof(reason)))
                break;
        }
        an_choice_format(&choice, text, sizeof(text));
        assert_string_equal(text, cases[i].choice);
    }
    /* Between registers and memory lies local memory, where it is memory of its own. */
    anynorm_device_info info = whole;
    info.max_work_group_size = 256;
    info.local_bytes = 65536;
    struct an_choice wish = {.schedule = AN_ROW_PER_GROUP}, choice;
    char reason[160];
    anynorm_spec spec = {.columns = 12288};
    assert_false(an_select_fits(&info, &spec, &wish, &choice, reason, sizeof(reason)));
    wish.schedule = AN_ROW_IN_LOCAL;
    assert_true(an_select_fits(&info, &spec, &wish, &choice, reason, sizeof(reason)));
    spec.columns = 16384;
    assert_false(an_select_fits(&info, &spec, &wish, &choice, reason, sizeof(reason)));
}

static void test_select_forced_groups(void **state)
{
    (void)state;
    static const uint64_t columns[] = {1, 100, 1024, 4097, 100000};
    for (size_t c = 0; c < COUNT(columns); c++) {
        for (uint32_t forced = 1; forced <= 1100; forced++) {
            anynorm_device_info info = whole;
            anynorm_spec spec = {.columns = columns[c]};
            for (enum an_schedule s = AN_ROW_PER_ITEM; s <= AN_ROW_SPLIT; s++)
                assert_false(check_choice(&info, &spec, s, forced) && forced > 1024);
            assert_int_equal(check_choice(&info, &spec, AN_ROW_REREAD, forced), forced <= 1024);
        }
    }
}

/* Columns that lie apart are column_walk's alone, on any device, with or without local memory. */
static void test_select_columns_apart(void **state)
{
    (void)state;
    static const uint64_t groups[] = {1, 3, 31, 32, 64, 100, 256, 1024};
    static const uint64_t locals[] = {0, 16, 1000, 65536};
    static const anynorm_spec apart[] = {
        {.x_column_stride = 49, .y_column_stride = 49, .inner_rows = 49},
        {.x_column_stride = 49, .y_column_stride = 1},
        {.x_column_stride = 1, .y_column_stride = 2},
    };
    for (size_t i = 0; i < COUNT(groups) * COUNT(locals) * COUNT(apart) * 4; i++) {
        anynorm_device_info info = whole;
        info.device_class = i % 2 ? ANYNORM_CLASS_GPU : ANYNORM_CLASS_CPU;
        info.vector_width = i % 4 / 2 ? 16 : 1;
        info.max_work_group_size = groups[i / 4 % COUNT(groups)];
        info.local_bytes = locals[i / 4 / COUNT(groups) % COUNT(locals)];
        anynorm_spec spec = apart[i / 4 / COUNT(groups) / COUNT(locals)];
        for (spec.columns = 2; spec.columns < 16384; spec.columns = spec.columns * 3 + 1) {
            for (enum an_schedule s = AN_ROW_PER_ITEM; s < AN_SCHEDULE_COUNT; s++)
                assert_int_equal(check_choice(&info, &spec, s, 0), s == AN_COLUMN_WALK);
            for (uint64_t forced = 1; forced <= info.max_work_group_size; forced = forced * 2 + 1)
                assert_true(check_choice(&info, &spec, AN_COLUMN_WALK, forced));
        }
    }
    /* The one lane that walks a row is not to walk forever. */
    anynorm_device_info info = whole;
    info.device_class = ANYNORM_CLASS_GPU;
    info.local_bytes = 0;
    anynorm_spec spec = {.columns = 1000000, .x_column_stride = 2, .y_column_stride = 2};
    assert_false(check_choice(&info, &spec, AN_COLUMN_WALK, 0));
    info.local_bytes = 65536;
    assert_false(check_choice(&info, &spec, AN_COLUMN_WALK, 1));
    struct an_choice wish, choice;
    char reason[160];
    assert_ok(an_choice_parse("column_walk group=60 slices=7", &wish));
    spec.columns = 70;
    assert_false(an_select_fits(&info, &spec, &wish, &choice, reason, sizeof(reason)));
    assert_ok(an_choice_parse("column_walk group=1 held=17", &wish));
    assert_false(an_select_fits(&info, &spec, &wish, &choice, reason, sizeof(reason)));
    assert_ok(an_choice_parse("column_walk group=60 slices=10", &wish));
    assert_true(an_select_fits(&info, &spec, &wish, &choice, reason, sizeof(reason)));
    assert_int_equal(choice.slices, 10);
}

static void test_select_needs_doubles(void **state)
{
    (void)state;
    anynorm_device_info info = whole, reference = {.device_class = ANYNORM_CLASS_REFERENCE,
                                                   .max_work_group_size = 1,
                                                   .fp64 = true};
    info.fp64 = false;
    const anynorm_spec specs[] = {
        {.columns = 8, .x_type = ANYNORM_F64},
        {.columns = 8, .y_type = ANYNORM_F64},
        {.columns = 8, .parameter_type = ANYNORM_F64, .flags = ANYNORM_BIAS},
    };
    for (size_t i = 0; i < COUNT(specs); i++) {
        for (enum an_schedule s = AN_ROW_PER_ITEM; s <= AN_ROW_SPLIT; s++)
            assert_false(check_choice(&info, &specs[i], s, 0));
    }
    anynorm_spec unused = {.columns = 8, .parameter_type = ANYNORM_F64};
    assert_true(check_choice(&info, &unused, AN_ROW_REREAD, 0));
    assert_true(check_choice(&reference, &specs[0], AN_REFERENCE, 0));
    assert_true(check_choice(&reference, &specs[0], AN_REFERENCE, 1));
    assert_false(check_choice(&reference, &specs[0], AN_REFERENCE, 2));
    assert_false(check_choice(&reference, &specs[0], AN_ROW_REREAD, 0));
}

/* ---- Status, message, log ---- */

static void test_status_names(void **state)
{
    (void)state;
    static const int unknown[] = {ANYNORM_IO + 1, -1, INT32_MAX};
    for (int i = ANYNORM_OK; i <= ANYNORM_IO; i++) {
        const char *name = anynorm_status_name((anynorm_status)i);
        assert_true(*name && strcmp(name, "unknown status") != 0);
        for (int k = ANYNORM_OK; k < i; k++)
            assert_string_not_equal(name, anynorm_status_name((anynorm_status)k));
    }
    assert_string_equal(anynorm_status_name(ANYNORM_INVALID_ARGUMENT), "invalid argument");
    for (size_t i = 0; i < COUNT(unknown); i++)
        assert_non_null(anynorm_status_name((anynorm_status)unknown[i]));
}

struct thread {
    pthread_barrier_t *barrier;
    char before[16];
    char after[64];
};

static void *fail_in_thread(void *argument)
{
    struct thread *thread = argument;
    snprintf(thread->before, sizeof(thread->before), "%.15s", anynorm_message());
    anynorm_spec_check(&(anynorm_spec){.columns = 0});
    pthread_barrier_wait(thread->barrier);
    snprintf(thread->after, sizeof(thread->after), "%.63s", anynorm_message());
    return NULL;
}

static void test_message_is_of_the_thread(void **state)
{
    (void)state;
    pthread_barrier_t barrier;
    pthread_t id;
    struct thread thread = {.barrier = &barrier, .before = "?"};
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    an_fail(ANYNORM_IO, "of the first thread");
    assert_int_equal(pthread_create(&id, NULL, fail_in_thread, &thread), 0);
    pthread_barrier_wait(&barrier);
    assert_string_equal(anynorm_message(), "of the first thread");
    assert_int_equal(pthread_join(id, NULL), 0);
    pthread_barrier_destroy(&barrier);
    assert_string_equal(thread.before, "");
    assert_non_null(strstr(thread.after, "columns"));
    assert_ok(anynorm_spec_check(&(anynorm_spec){.columns = 1}));
    assert_string_equal(anynorm_message(), "of the first thread");
}

static void test_message_is_cut(void **state)
{
    (void)state;
    char *text = malloc(10001);
    assert_non_null(text);
    memset(text, 'a', 10000);
    text[10000] = 0;
    assert_int_equal(an_fail(ANYNORM_IO, "%s", text), ANYNORM_IO);
    assert_int_equal(strlen(anynorm_message()), 4095);
    an_fail(ANYNORM_BUILD_FAILED, "a\nb");
    assert_string_equal(anynorm_message(), "a\nb");
    free(text);
}

struct lines {
    int count[5];
    char last[2048];
};

static void collect(void *user, anynorm_log_level level, const char *line)
{
    struct lines *lines = user;
    lines->count[level]++;
    snprintf(lines->last, sizeof(lines->last), "%s", line);
}

static void test_log_levels(void **state)
{
    (void)state;
    for (int level = ANYNORM_LOG_NONE; level <= ANYNORM_LOG_DEBUG; level++) {
        struct lines lines = {.last = ""};
        anynorm_log_set(collect, &lines, (anynorm_log_level)level);
        for (int k = ANYNORM_LOG_ERROR; k <= ANYNORM_LOG_DEBUG; k++)
            an_log((anynorm_log_level)k, "line %d", k);
        for (int k = ANYNORM_LOG_ERROR; k <= ANYNORM_LOG_DEBUG; k++)
            assert_int_equal(lines.count[k], k <= level);
        char expected[16] = "";
        if (level > ANYNORM_LOG_NONE)
            snprintf(expected, sizeof(expected), "line %d", level);
        assert_string_equal(lines.last, expected);
        anynorm_log_set(NULL, &lines, ANYNORM_LOG_DEBUG);
        an_log(ANYNORM_LOG_ERROR, "dropped");
        assert_string_equal(lines.last, expected);
    }
}

static void test_log_line_is_cut(void **state)
{
    (void)state;
    struct lines lines = {.last = ""};
    char text[2000];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 0;
    anynorm_log_set(collect, &lines, ANYNORM_LOG_WARN);
    an_log(ANYNORM_LOG_WARN, "%s", text);
    assert_int_equal(strlen(lines.last), 1023);
    an_log(ANYNORM_LOG_WARN, "two\nlines");
    assert_null(strchr(lines.last, '\n'));
    anynorm_log_set(NULL, NULL, ANYNORM_LOG_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half_round_trips),
        cmocka_unit_test(test_halves_round_to_nearest_even),
        cmocka_unit_test(test_f32_rounds_to_nearest_even),
        cmocka_unit_test(test_f64_is_copied),
        cmocka_unit_test(test_dtype_names),
        cmocka_unit_test(test_caps_words),
        cmocka_unit_test(test_caps_bad_words),
        cmocka_unit_test(test_select_order),
        cmocka_unit_test(test_select_fits_the_device),
        cmocka_unit_test(test_select_on_gpus),
        cmocka_unit_test(test_select_forced_groups),
        cmocka_unit_test(test_select_columns_apart),
        cmocka_unit_test(test_select_needs_doubles),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_message_is_of_the_thread),
        cmocka_unit_test(test_message_is_cut),
        cmocka_unit_test(test_log_levels),
        cmocka_unit_test(test_log_line_is_cut),
    };
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
