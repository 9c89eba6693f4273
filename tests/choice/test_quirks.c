/* The table of drivers' known faults: versions, what an entry applies to, what is masked, told and
 * logged, the switch, and every entry of ours. No device is needed. */
#include "refused.h"

#include <stdlib.h>

#include "choice/caps.h"
#include "base/text.h"

/* ---- Versions ---- */

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int order;
    } pairs[] = {
        {"1", "1", 0},
        {"1.2", "1.2.0", 0},
        {"1.2.0.0", "1.2", 0},
        {"1.2", "1.2.1", -1},
        {"1.9", "1.10", -1}, /* by number, not by letter */
        {"9", "10", -1},
        {"10.0", "9.99.99", 1},
        {"22.3", "22.3.6", -1},
        {"22.3.6", "23.1", -1},
        {"01.08", "1.8", 0},
        {"1.2.3-rc1", "1.2.3", 0}, /* only numbers count */
        {"1.2 (git-abcdef)", "1.2", 0},
        {"1.2.", "1.2", 0},
        {"1..3", "1", 0},
        {"18446744073709551615", "18446744073709551614", 1},
        {"99999999999999999999999", "18446744073709551614", 1},
        {"99999999999999999999999.1", "99999999999999999999999.2", -1},
        {"", "0", 0},
        {"", "0.1", -1},
        {"x", "1", -1},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        assert_int_equal(an_version_compare(pairs[i].a, pairs[i].b), pairs[i].order);
        assert_int_equal(an_version_compare(pairs[i].b, pairs[i].a), -pairs[i].order);
    }
}

/* ---- What an entry applies to ---- */

static const anynorm_device_info device = {.id = "vulkan:3",
                                           .name = "Chips Fast 9000 (rev 2)",
                                           .platform = "Chips driver",
                                           .driver = "build 77, Chips 4.10.2-rc1"};

static void test_what_applies(void **state)
{
    (void)state;
    static const struct {
        struct an_quirk quirk;
        bool applies;
    } cases[] = {
        {{.api = "vulkan"}, true},
        {{.api = "opencl"}, false},
        {{.api = "vulka"}, false},
        {{.api = "vulkan:3"}, false},
        {{.api = "vulkan", .platform = "chips DRIVER"}, true},
        {{.api = "vulkan", .platform = "Chips"}, false}, /* the whole text */
        {{.api = "vulkan", .platform = "Chips*", .name = "*Fast ????*"}, true},
        {{.api = "vulkan", .platform = "Chips*", .name = "*Slow*"}, false},
        {{.api = "vulkan", .platform = "", .name = "*"}, false},
        /* The version is 4.10.2. */
        {{.api = "vulkan", .version_after = "Chips "}, true},
        {{.api = "vulkan", .version_after = "Chips ", .before = "4.10.2"}, false},
        {{.api = "vulkan", .version_after = "Chips ", .before = "4.10.3"}, true},
        {{.api = "vulkan", .version_after = "Chips ", .before = "4.11"}, true},
        {{.api = "vulkan", .version_after = "Chips ", .before = "4.9"}, false},
        {{.api = "vulkan", .version_after = "Chips ", .from = "4.10.2"}, true},
        {{.api = "vulkan", .version_after = "Chips ", .from = "4.9", .before = "5"}, true},
        {{.api = "vulkan", .version_after = "Chips ", .from = "4.10.3", .before = "5"}, false},
        {{.api = "vulkan", .version_after = "Chips 4.", .from = "10", .before = "10.3"}, true},
        /* A driver that tells no version there is left alone. */
        {{.api = "vulkan", .version_after = "", .before = "999"}, false},
        {{.api = "vulkan", .version_after = "build", .before = "999"}, false},
        {{.api = "vulkan", .version_after = "chips ", .before = "999"}, false},
        {{.api = "vulkan", .version_after = "rc1", .before = "999"}, false},
        {{.api = "vulkan", .version_after = "build ", .before = "78"}, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (an_quirk_applies(&cases[i].quirk, &device) != cases[i].applies)
            fail_msg("case %zu applies, or not, wrongly", i);
    }
}

/* ---- Masking, telling, logging ---- */

static void collect(void *user, anynorm_log_level level, const char *line)
{
    struct an_text *log = user;
    an_text_put(log, "%d %s\n", (int)level, line);
}

static const struct an_quirk two_and_one[] = {
    {.api = "opencl", .caps = "no-subgroup,max-wg=64", .reference = "https://a.example/1"},
    {.api = "vulkan", .caps = "no-fp16", .reference = "https://a.example/2"},
    {.api = "opencl", .caps = "no-fp64", .reference = "https://a.example/3"},
};

static void test_masking(void **state)
{
    (void)state;
    anynorm_device_info info = whole_gpu;
    char lines[2000] = "";
    struct an_text log = {lines, sizeof(lines), 0};
    snprintf(info.driver, sizeof(info.driver), "7.5");
    anynorm_log_set(collect, &log, ANYNORM_LOG_INFO);
    assert_ok(an_quirks_mask_by(&info, two_and_one, COUNT(two_and_one)));
    anynorm_log_set(NULL, NULL, ANYNORM_LOG_NONE);
    assert_false(info.subgroup);
    assert_false(info.fp64);
    assert_true(info.fp16);
    assert_int_equal(info.max_work_group_size, 64);
    assert_string_equal(info.quirks, "no-subgroup,max-wg=64 (https://a.example/1), "
                                     "no-fp64 (https://a.example/3)");
    assert_string_equal(
        lines, "3 opencl:0: masked by no-subgroup,max-wg=64: driver 7.5 is known to do this wrong, "
               "see https://a.example/1 (ANYNORM_QUIRKS=off leaves it)\n"
               "3 opencl:0: masked by no-fp64: driver 7.5 is known to do this wrong, "
               "see https://a.example/3 (ANYNORM_QUIRKS=off leaves it)\n");
}

static void test_nothing_applies(void **state)
{
    (void)state;
    anynorm_device_info info = whole_gpu;
    assert_ok(an_quirks_mask_by(&info, two_and_one, 0));
    assert_ok(an_quirks_mask_by(&info, two_and_one + 1, 1));
    assert_memory_equal(&info, &whole_gpu, sizeof(info));
}

/* What does not fit is masked all the same, and the text ends. */
static void test_more_than_fits(void **state)
{
    (void)state;
    struct an_quirk many[64];
    anynorm_device_info info = whole_gpu;
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = two_and_one[i + 1 < COUNT(many) ? 2 : 0];
    assert_ok(an_quirks_mask_by(&info, many, COUNT(many)));
    assert_false(info.subgroup);
    assert_int_equal(strlen(info.quirks), sizeof(info.quirks) - 1);
}

static void test_bad_words(void **state)
{
    (void)state;
    static const struct an_quirk bad[] = {
        {.api = "opencl", .caps = "no-sense", .reference = "https://a.example/1"}};
    anynorm_device_info info = whole_gpu;
    assert_refused(an_quirks_mask_by(&info, bad, 1), ANYNORM_INVALID_ARGUMENT);
    assert_memory_equal(&info, &whole_gpu, sizeof(info));
}

/* ---- The table ---- */

static bool is_version(const char *text)
{
    return *text && strspn(text, "0123456789.") == strlen(text);
}

static bool has_limit(const struct an_quirk *quirk)
{
    return quirk->from || quirk->before;
}

/* Each is well-formed, masks something, and has a reference that can be read up. */
static void test_every_entry(void **state)
{
    (void)state;
    char all[2][4096];
    size_t length[2] = {0, 0};
    for (size_t i = 0; i < an_quirks_count; i++) {
        const struct an_quirk *quirk = &an_quirks[i];
        anynorm_device_info info = whole_gpu;
        bool opencl = strcmp(quirk->api, "opencl") == 0;
        assert_true(opencl || strcmp(quirk->api, "vulkan") == 0);
        assert_true(quirk->platform || quirk->name); /* an API alone is no driver */
        assert_true(!has_limit(quirk) || quirk->version_after);
        assert_true(!quirk->from || is_version(quirk->from));
        assert_true(!quirk->before || is_version(quirk->before));
        assert_true(!quirk->from || !quirk->before ||
                    an_version_compare(quirk->from, quirk->before) < 0);
        assert_ok(an_caps_mask(&info, quirk->caps));
        assert_memory_not_equal(&info, &whole_gpu, sizeof(info));
        assert_int_equal(strncmp(quirk->reference, "https://", 8), 0);
        assert_null(strpbrk(quirk->reference, " ,()"));
        for (size_t k = 0; k < i; k++)
            assert_false(strcmp(quirk->reference, an_quirks[k].reference) == 0 &&
                         strcmp(quirk->caps, an_quirks[k].caps) == 0);
        length[opencl] += (size_t)snprintf(all[opencl], sizeof(all[opencl]), ", %s (%s)",
                                           quirk->caps, quirk->reference);
    }
    /* A device to which all of an API's apply is told all of them. */
    assert_between(length[0], 1, sizeof(whole_gpu.quirks) + 1);
    assert_between(length[1], 1, sizeof(whole_gpu.quirks) + 1);
}

/* Texts as drivers tell them, most from reports. */
static void test_known_drivers(void **state)
{
    (void)state;
    static const struct {
        const char *id, *platform, *name, *driver;
        const char *masks; /* in order */
    } drivers[] = {
        {"opencl:0", "QUALCOMM Snapdragon(TM)", "QUALCOMM Adreno(TM)",
         "OpenCL 2.0 QUALCOMM build: commit #272cf717f5 changeid #Iee40f504b5 Date: 10/05/21 Tue "
         "Local Branch:  Remote Branch:  Compiler E031.38.01.08",
         "no-subgroup"},
        {"opencl:wrapped", "QUALCOMM Snapdragon(TM)", "QUALCOMM Adreno(TM) 660",
         "OpenCL 2.0 QUALCOMM build: commit unknown Compiler E031.37.12.12", "no-subgroup"},
        {"opencl:0", "QUALCOMM Snapdragon(TM)", "QUALCOMM Adreno(TM) 730",
         "OpenCL 3.0 QUALCOMM build: commit unknown Compiler E031.38.11.11", ""},
        {"opencl:0", "QUALCOMM Snapdragon(TM)", "QUALCOMM Adreno(TM) 830",
         "OpenCL 3.0 QUALCOMM build: 0800.40 Compiler E031.47.18.30", ""},
        {"opencl:0", "QUALCOMM Snapdragon(TM)", "QUALCOMM Adreno(TM) 850",
         "OpenCL 3.0 QUALCOMM build: 0900.1 Compiler E17.51.00.00", ""},
        {"opencl:0", "rusticl", "FD660 (Adreno)", "23.3.0", ""},
        {"vulkan:0", "Qualcomm Technologies Inc. Adreno Vulkan Driver", "Adreno (TM) 660",
         "Driver Build: 85da404, I46ff5fc46f Compiler Version: EV031.31.04.01", ""},
        {"vulkan:0", "MoltenVK", "AMD Radeon Pro 5500M", "1.4.0",
         "no-subgroup, no-push-descriptors"},
        {"vulkan:0", "MoltenVK", "AMD Radeon RX 6650 XT", "1.4.1", "no-subgroup"},
        {"vulkan:0", "MoltenVK", "AMD Radeon RX 6650 XT", "1.4.2", ""},
        {"vulkan:0", "MoltenVK", "Apple M4", "1.2.11", "no-push-descriptors"},
        {"vulkan:0", "MoltenVK", "Apple M4", "1.4.10", ""},
        {"vulkan:0", "AMD open-source driver", "AMD Radeon RX 6600", "2022.Q2.2 (LLPC)", ""},
        {"vulkan:0", "radv", "AMD Radeon RX 6600 (RADV NAVI23)", "Mesa 22.3.6", ""},
        {"vulkan:0", "Intel open-source Mesa driver", "Intel(R) UHD Graphics 620 (KBL GT2)",
         "Mesa 22.2.5", ""},
        {"vulkan:1", "Intel open-source Mesa driver", "Intel(R) UHD Graphics 620 (KBL GT2)",
         "Mesa 22.3.0", "no-push-descriptors"},
        {"vulkan:wrapped", "Intel open-source Mesa driver", "Intel(R) Xe Graphics (TGL GT2)",
         "Mesa 22.3.6", "no-push-descriptors"},
        {"vulkan:0", "Intel open-source Mesa driver", "Intel(R) Arc(tm) A770 Graphics (DG2)",
         "Mesa 23.0.4-0ubuntu1~22.04.1", "no-push-descriptors"},
        {"vulkan:0", "Intel open-source Mesa driver", "Intel(R) Xe Graphics (TGL GT2)",
         "Mesa 23.1.0", "no-push-descriptors"},
        {"vulkan:0", "Intel open-source Mesa driver", "Intel(R) Xe Graphics (TGL GT2)",
         "Mesa 23.1.1", ""},
        {"vulkan:0", "Intel open-source Mesa driver", "Intel(R) Xe Graphics (TGL GT2)",
         "Mesa 25.0.0-devel (git-59b552c765)", ""},
        {"vulkan:0", "llvmpipe", "llvmpipe (LLVM 15.0.6, 256 bits)", "Mesa 22.3.6 (LLVM 15.0.6)",
         ""},
        {"opencl:0", "Portable Computing Language", "pthread-haswell", "3.1", ""},
        {"opencl:0", "Portable Computing Language", "cpu-skylake-avx512-Intel(R) Xeon(R)",
         "6.0+debian", "no-subgroup-size"},
        {"opencl:0", "Portable Computing Language", "cpu-haswell", "7.1", "no-subgroup-size"},
        {"opencl:0", "Portable Computing Language", "cpu-haswell", "7.2", ""},
        {"opencl:0", "rusticl", "llvmpipe (LLVM 15.0.6, 256 bits)", "22.3.6", ""},
        {"reference", "anynorm", "C on the calling thread, sums in double", "0.2.0", ""},
    };
    for (size_t i = 0; i < COUNT(drivers); i++) {
        anynorm_device_info info = whole_gpu;
        char masks[100] = "";
        struct an_text text = {masks, sizeof(masks), 0};
        snprintf(info.id, sizeof(info.id), "%s", drivers[i].id);
        snprintf(info.platform, sizeof(info.platform), "%s", drivers[i].platform);
        snprintf(info.name, sizeof(info.name), "%s", drivers[i].name);
        snprintf(info.driver, sizeof(info.driver), "%s", drivers[i].driver);
        for (size_t k = 0; k < an_quirks_count; k++) {
            if (an_quirk_applies(&an_quirks[k], &info))
                an_text_put(&text, "%s%s", text.length ? ", " : "", an_quirks[k].caps);
        }
        if (strcmp(masks, drivers[i].masks) != 0)
            fail_msg("%s, %s: masked by \"%s\", not by \"%s\"", drivers[i].name, drivers[i].driver,
                     masks, drivers[i].masks);
    }
    fprintf(stderr, "quirks: %zu entries, %zu drivers told apart\n", an_quirks_count,
            COUNT(drivers));
}

/* ---- The switch ---- */

static anynorm_device_info broken_device(void)
{
    anynorm_device_info info = whole_gpu;
    snprintf(info.id, sizeof(info.id), "vulkan:0");
    snprintf(info.platform, sizeof(info.platform), "Intel open-source Mesa driver");
    snprintf(info.driver, sizeof(info.driver), "Mesa 22.3.6");
    return info;
}

static void test_the_switch(void **state)
{
    (void)state;
    static const char *const on[] = {NULL, "", "on"}, *const bad[] = {"OFF", "no", "0", "off "};
    anynorm_device_info broken = broken_device(), info;
    for (size_t i = 0; i < COUNT(on); i++) {
        info = broken;
        assert_int_equal(on[i] ? setenv("ANYNORM_QUIRKS", on[i], 1) : unsetenv("ANYNORM_QUIRKS"),
                         0);
        assert_ok(an_quirks_mask(&info));
        assert_false(info.push_descriptors);
        assert_non_null(strstr(info.quirks, "no-push-descriptors (https://gitlab.freedesktop"));
    }
    info = broken;
    assert_int_equal(setenv("ANYNORM_QUIRKS", "off", 1), 0);
    assert_ok(an_quirks_mask_device(&info));
    assert_memory_equal(&info, &broken, sizeof(info));
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(setenv("ANYNORM_QUIRKS", bad[i], 1), 0);
        assert_refused(an_quirks_mask_device(&info), ANYNORM_INVALID_ARGUMENT);
        assert_non_null(strstr(anynorm_message(), "ANYNORM_QUIRKS"));
        assert_memory_equal(&info, &broken, sizeof(info));
    }
    assert_int_equal(unsetenv("ANYNORM_QUIRKS"), 0);
}

/* The user's masks come on top. */
static void test_with_masks_of_the_user(void **state)
{
    (void)state;
    anynorm_device_info info = broken_device();
    assert_int_equal(setenv("ANYNORM_CAPS", "no-fp16", 1), 0);
    assert_ok(an_quirks_mask_device(&info));
    assert_int_equal(unsetenv("ANYNORM_CAPS"), 0);
    assert_false(info.push_descriptors);
    assert_false(info.fp16);
    assert_null(strstr(info.quirks, "no-fp16"));
}

int main(void)
{
    unsetenv("ANYNORM_CAPS");
    unsetenv("ANYNORM_QUIRKS");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),       cmocka_unit_test(test_what_applies),
        cmocka_unit_test(test_masking),        cmocka_unit_test(test_nothing_applies),
        cmocka_unit_test(test_more_than_fits), cmocka_unit_test(test_bad_words),
        cmocka_unit_test(test_every_entry),    cmocka_unit_test(test_known_drivers),
        cmocka_unit_test(test_the_switch),     cmocka_unit_test(test_with_masks_of_the_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
