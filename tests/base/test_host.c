/* The host's parts that need no device: storage types, the capability mask, status and log. */
#include "refused.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choice/caps.h"
#include "base/dtype.h"
#include "base/log.h"
#include "spec/spec.h"
#include "base/status.h"

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

/* ---- Of 8 bits ---- */

static uint8_t store8(anynorm_dtype type, double value)
{
    uint8_t at[3] = {1, 2, 3};
    anynorm_dtype_store(type, at, 1, value);
    assert_true(at[0] == 1 && at[2] == 3);
    return at[1];
}

static double load8(anynorm_dtype type, uint8_t bits)
{
    const uint8_t at[2] = {0x55, bits};
    return anynorm_dtype_load(type, at, 1);
}

/* By the tables of the OCP 8-bit Floating Point Specification. */
static double e4m3_by_hand(uint8_t bits)
{
    double fraction = (bits & 7) / 8.0, sign = bits & 0x80 ? -1 : 1;
    int exponent = bits >> 3 & 15;
    if ((bits & 0x7f) == 0x7f)
        return (double)NAN;
    return sign * (exponent == 0 ? fraction * 0x1p-6 : (1 + fraction) * pow(2, exponent - 7));
}

static void test_every_byte_round_trips(void **state)
{
    (void)state;
    for (int bits = 0; bits < 256; bits++) {
        double value = load8(ANYNORM_F8E4M3, (uint8_t)bits), by_hand = e4m3_by_hand((uint8_t)bits);
        if ((bits & 0x7f) == 0x7f)
            assert_true(isnan(value));
        else
            assert_memory_equal(&value, &by_hand, sizeof(value));
        assert_int_equal(store8(ANYNORM_F8E4M3, value), isnan(value) ? bits | 0x7f : bits);
        value = load8(ANYNORM_I8, (uint8_t)bits);
        assert_true(value == (bits < 128 ? bits : bits - 256));
        assert_int_equal(store8(ANYNORM_I8, value), bits);
    }
    assert_true(load8(ANYNORM_F8E4M3, 0x7e) == 448 && load8(ANYNORM_F8E4M3, 1) == 0x1p-9);
}

/* The nearest number of all there are, of two as near that whose bits are even. */
static double nearest(anynorm_dtype type, double value)
{
    double best = (double)NAN;
    int best_bits = 0;
    for (int bits = 0; bits < 256; bits++) {
        double number = type == ANYNORM_I8 ? bits - 128 : e4m3_by_hand((uint8_t)bits);
        double off = fabs(number - value), best_off = fabs(best - value);
        if (isnan(best) || off < best_off || (off == best_off && bits % 2 < best_bits % 2)) {
            best = number;
            best_bits = bits;
        }
    }
    return best;
}

static void test_bytes_round_to_nearest_even(void **state)
{
    (void)state;
    static const anynorm_dtype types[] = {ANYNORM_I8, ANYNORM_F8E4M3};
    struct random random = {8};
    for (size_t t = 0; t < COUNT(types); t++) {
        anynorm_dtype type = types[t];
        for (int bits = 0; bits < 256; bits++) {
            double value = load8(type, (uint8_t)bits);
            double next = load8(type, (uint8_t)(bits + 1)), tie = (value + next) / 2;
            const double tried[] = {value, tie, nextafter(tie, -INFINITY),
                                    nextafter(tie, INFINITY)};
            for (size_t i = 0; i < COUNT(tried) && isfinite(tie); i++)
                assert_true(load8(type, store8(type, tried[i])) == nearest(type, tried[i]));
        }
        for (int i = 0; i < 20000; i++) {
            double value = ldexp(random_normal(&random), (int)(random_bits(&random) % 22) - 12);
            assert_true(load8(type, store8(type, value)) == nearest(type, value));
        }
    }
}

static void test_bytes_saturate(void **state)
{
    (void)state;
    static const double large[] = {448.1, 464, 465, 1e9, DBL_MAX, (double)INFINITY};
    for (size_t i = 0; i < COUNT(large); i++) {
        assert_int_equal(store8(ANYNORM_F8E4M3, large[i]), 0x7e);
        assert_int_equal(store8(ANYNORM_F8E4M3, -large[i]), 0xfe);
        assert_int_equal((int8_t)store8(ANYNORM_I8, large[i]), 127);
        assert_int_equal((int8_t)store8(ANYNORM_I8, -large[i]), -128);
    }
    assert_int_equal((int8_t)store8(ANYNORM_I8, -127.5), -128);
    assert_int_equal((int8_t)store8(ANYNORM_I8, 127.4), 127);
    assert_int_equal((int8_t)store8(ANYNORM_I8, 0.5), 0);
    assert_int_equal((int8_t)store8(ANYNORM_I8, -1.5), -2);
    assert_int_equal(store8(ANYNORM_I8, (double)NAN), 0);
    assert_int_equal(store8(ANYNORM_F8E4M3, (double)NAN) & 0x7f, 0x7f);
    assert_int_equal(store8(ANYNORM_F8E4M3, -0.0), 0x80);
    assert_int_equal(store8(ANYNORM_F8E4M3, 4.9e-324), 0);
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
    static const char *const names[] = {"f32", "f16", "bf16", "f64", "i8", "f8e4m3"};
    static const size_t sizes[] = {4, 2, 2, 8, 1, 1};
    static const int none[] = {6, 7, -1, INT32_MAX, INT32_MIN};
    anynorm_dtype type;
    for (int i = 0; i < (int)COUNT(names); i++) {
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

static void assert_masked(const char *list, anynorm_device_info expected)
{
    anynorm_device_info info = whole_gpu;
    assert_ok(an_caps_mask(&info, list));
    assert_int_equal(info.fp64, expected.fp64);
    assert_int_equal(info.fp16, expected.fp16);
    assert_int_equal(info.subgroup, expected.subgroup);
    assert_int_equal(info.subgroup_size, expected.subgroup_size);
    assert_int_equal(info.shuffle, expected.shuffle);
    assert_int_equal(info.unified_memory, expected.unified_memory);
    assert_int_equal(info.storage16, expected.storage16);
    assert_int_equal(info.push_descriptors, expected.push_descriptors);
    assert_int_equal(info.max_work_group_size, expected.max_work_group_size);
    assert_int_equal(info.local_bytes, expected.local_bytes);
    assert_int_equal(info.max_groups, expected.max_groups);
    assert_int_equal(info.max_alloc_bytes, expected.max_alloc_bytes);
    assert_int_equal(info.max_range_bytes, expected.max_range_bytes);
    assert_int_equal(info.max_buffers, expected.max_buffers);
    assert_string_equal(info.id, whole_gpu.id);
}

static void test_caps_words(void **state)
{
    (void)state;
    anynorm_device_info no_fp64 = whole_gpu, no_fp16 = whole_gpu, no_subgroup = whole_gpu,
                        no_size = whole_gpu, no_unified = whole_gpu, no_storage16 = whole_gpu,
                        no_push = whole_gpu;
    anynorm_device_info group = whole_gpu, local = whole_gpu, groups = whole_gpu, alloc = whole_gpu,
                        range = whole_gpu, buffers = whole_gpu, all = whole_gpu;
    all.fp64 = no_fp64.fp64 = false;
    all.fp16 = no_fp16.fp16 = false;
    all.subgroup = no_subgroup.subgroup = false;
    all.subgroup_size = no_subgroup.subgroup_size = no_size.subgroup_size = 0;
    all.shuffle = no_subgroup.shuffle = no_size.shuffle = ANYNORM_SHUFFLE_NONE;
    all.unified_memory = no_unified.unified_memory = false;
    all.storage16 = no_storage16.storage16 = false;
    all.push_descriptors = no_push.push_descriptors = false;
    all.max_work_group_size = group.max_work_group_size = 64;
    all.local_bytes = local.local_bytes = 1;
    all.max_groups = groups.max_groups = 7;
    all.max_alloc_bytes = alloc.max_alloc_bytes = 4096;
    all.max_range_bytes = range.max_range_bytes = 1 << 20;
    all.max_buffers = buffers.max_buffers = 4;
    assert_masked("", whole_gpu);
    assert_masked(",", whole_gpu);
    assert_masked("no-fp64", no_fp64);
    assert_masked("no-fp16", no_fp16);
    assert_masked("no-subgroup,no-subgroup", no_subgroup);
    assert_masked("no-subgroup-size", no_size);
    assert_masked("no-unified,", no_unified);
    assert_masked("no-storage16", no_storage16);
    assert_masked("no-push-descriptors", no_push);
    assert_masked("max-wg=64", group);
    assert_masked("max-wg=100,max-wg=64,max-wg=200", group);
    assert_masked("max-local=1", local);
    assert_masked("max-groups=007", groups);
    assert_masked("max-alloc=4096", alloc);
    assert_masked("max-range=1048576", range);
    assert_masked("max-buffers=4,max-buffers=5", buffers);
    assert_masked("max-alloc=4096,no-fp64,max-groups=7,no-unified,max-local=1,no-fp16,max-wg=64,"
                  "no-subgroup,no-storage16,no-push-descriptors,max-range=1048576,max-buffers=4",
                  all);
    assert_masked("max-wg=1025,max-local=999999999999999999,max-groups=65536,max-alloc=1073741825",
                  whole_gpu);
    anynorm_device_info none = {0};
    assert_ok(an_caps_mask(&none, "max-wg=5,max-local=5,max-groups=5,max-alloc=5,max-range=5,"
                                  "max-buffers=5,no-fp64"));
    assert_int_equal(none.max_work_group_size + none.local_bytes + none.max_groups, 0);
    assert_int_equal(none.max_range_bytes + none.max_buffers, 0); /* which is no limit */
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
        "a-word-that-goes-on-and-on-and-on-for-more-than-the-sixty-characters-shown-of-it",
        "no-fp64,max-wg=64,zzz",
        "max-wg=64,no-fp64,max-alloc=",
        "no-fp64\nno-fp16",
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        anynorm_device_info info = whole_gpu;
        assert_refused(an_caps_mask(&info, lists[i]), ANYNORM_INVALID_ARGUMENT);
        assert_memory_equal(&info, &whole_gpu, sizeof(info));
    }
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

/* ---- The default device ---- */

static void test_preference(void **state)
{
    (void)state;
    static const struct {
        const char *id, *vendor;
        anynorm_device_class device_class;
        uint32_t vector_width;
        bool unified_memory;
        uint32_t compute_units;
        bool emulated;
    } better_first[][4] = {
        /* Memory before all but the class; units where nothing else differs, which two APIs may
         * count differently. */
        {{"opencl:2", "NVIDIA Corporation", ANYNORM_CLASS_GPU, 1, false, 64, false},
         {"opencl:1", "AMD", ANYNORM_CLASS_GPU, 1, false, 32, false},
         {"vulkan:0", "AMD", ANYNORM_CLASS_GPU, 1, false, 64, false},
         {"opencl:0", "Intel(R) Corporation", ANYNORM_CLASS_GPU, 1, true, 100, false}},
        {{"vulkan:1", "NVIDIA", ANYNORM_CLASS_GPU, 1, false, 46, false},
         {"vulkan:0", "Intel", ANYNORM_CLASS_GPU, 1, true, 16, false},
         {"opencl:0", "Intel(R) FPGA", ANYNORM_CLASS_ACCELERATOR, 1, true, 1, false},
         {"opencl:1", "GenuineIntel", ANYNORM_CLASS_CPU, 8, true, 128, false}},
        /* What a processor says of its memory is nothing; what is emulated comes after it. */
        {{"opencl:0", "GenuineIntel", ANYNORM_CLASS_CPU, 8, true, 8, false},
         {"opencl:1", "GenuineIntel", ANYNORM_CLASS_CPU, 8, false, 4, false},
         {"opencl:2", "Intel(R) Corporation", ANYNORM_CLASS_ACCELERATOR, 8, false, 64, true},
         {"reference", "anynorm", ANYNORM_CLASS_REFERENCE, 1, true, 1, false}},
        {{"opencl:0", "NVIDIA Corporation", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"vulkan:0", "NVIDIA", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"opencl:1", "Xilinx", ANYNORM_CLASS_ACCELERATOR, 1, false, 0, false},
         {"opencl:2", "AuthenticAMD", ANYNORM_CLASS_CPU, 16, false, 0, false}},
        {{"vulkan:1", "ARM", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"opencl:0", "ARM", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"opencl:1", "Intel(R) Corporation", ANYNORM_CLASS_CPU, 8, false, 0, false},
         {"vulkan:0", "Mesa", ANYNORM_CLASS_CPU, 1, false, 0, false}},
        {{"vulkan:0", "Qualcomm", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"opencl:0", "QUALCOMM", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"vulkan:1", "Mesa", ANYNORM_CLASS_CPU, 1, false, 0, false},
         {"opencl:1", "Mesa/X.org", ANYNORM_CLASS_CPU, 1, false, 0, false}},
        {{"opencl:0", "Intel(R) Corporation", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"vulkan:0", "Intel", ANYNORM_CLASS_GPU, 1, false, 0, false},
         {"opencl:1", "Mesa/X.org", ANYNORM_CLASS_CPU, 1, false, 0, false},
         {"reference", "anynorm", ANYNORM_CLASS_REFERENCE, 1, false, 0, false}},
    };
    for (size_t i = 0; i < COUNT(better_first); i++) {
        uint64_t before = 0;
        for (size_t k = 0; k < COUNT(better_first[i]); k++) {
            anynorm_device_info info = {.device_class = better_first[i][k].device_class,
                                        .vector_width = better_first[i][k].vector_width,
                                        .unified_memory = better_first[i][k].unified_memory,
                                        .compute_units = better_first[i][k].compute_units,
                                        .emulated = better_first[i][k].emulated};
            snprintf(info.id, sizeof(info.id), "%s", better_first[i][k].id);
            snprintf(info.vendor, sizeof(info.vendor), "%s", better_first[i][k].vendor);
            uint64_t grade = an_preference(&info);
            assert_true(k == 0 || grade < before);
            before = grade;
        }
    }
}

static void test_emulators(void **state)
{
    (void)state;
    static const struct {
        const char *name, *platform;
        bool emulates;
    } cases[] = {
        {"Intel(R) FPGA Emulation Device", "Intel(R) FPGA Emulation Platform for OpenCL(TM)", true},
        {"EmulatorDevice : Emulated Device", "Intel(R) FPGA SDK for OpenCL(TM)", true},
        {"Oclgrind Simulator", "Oclgrind", true},
        {"a device", "A SIMULATOR", true},
        {"pac_a10 : Intel PAC Platform", "Intel(R) FPGA SDK for OpenCL(TM)", false},
        {"llvmpipe (LLVM 15.0.6, 256 bits)", "rusticl", false},
        {"emula", "te", false},
        {"", "", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(an_emulates(cases[i].name, cases[i].platform), cases[i].emulates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half_round_trips),
        cmocka_unit_test(test_halves_round_to_nearest_even),
        cmocka_unit_test(test_f32_rounds_to_nearest_even),
        cmocka_unit_test(test_f64_is_copied),
        cmocka_unit_test(test_every_byte_round_trips),
        cmocka_unit_test(test_bytes_round_to_nearest_even),
        cmocka_unit_test(test_bytes_saturate),
        cmocka_unit_test(test_dtype_names),
        cmocka_unit_test(test_caps_words),
        cmocka_unit_test(test_caps_bad_words),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_message_is_of_the_thread),
        cmocka_unit_test(test_message_is_cut),
        cmocka_unit_test(test_log_levels),
        cmocka_unit_test(test_log_line_is_cut),
        cmocka_unit_test(test_preference),
        cmocka_unit_test(test_emulators),
    };
    return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
