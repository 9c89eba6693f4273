/* What described devices are offered: the order of the schedules, which of them fit and with what
 * numbers. No device is needed. */
#include "fits.h"

#include "choice/caps.h"
#include "spec/spec.h"

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
    uint64_t accumulator = an_spec_double(spec) ? 8 : 4;
    if (!fits(info, spec, &wish, &choice))
        return false;
    assert_int_equal(choice.schedule, schedule);
    assert_between(choice.group, 1, info->max_work_group_size);
    if (forced)
        assert_int_equal(choice.group, forced);
    if (schedule != AN_REFERENCE)
        assert_true(choice.vector == 4 || choice.vector == 8 || choice.vector == 16);
    if (schedule == AN_ROW_PER_SUBGROUP || schedule == AN_ROW_PER_GROUP ||
        schedule == AN_ROW_IN_LOCAL) {
        assert_between(choice.rows, 1, choice.group);
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
            assert_between(lanes, 1, choice.subgroup);
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
            anynorm_device_info info = whole_gpu;
            info.max_work_group_size = groups[i / 4 % COUNT(groups)];
            info.local_bytes = locals[i / 4 / COUNT(groups)];
            info.device_class = i % 2 ? ANYNORM_CLASS_GPU : ANYNORM_CLASS_CPU;
            info.vector_width = i % 2 ? 1 : 16;
            uint64_t kind = (i / 4 + columns) % 5;
            info.subgroup = kind > 0;
            info.subgroup_size = kind > 1 ? 8u << kind : 0;
            anynorm_spec spec = {.columns = columns, .x.type = i & 2 ? ANYNORM_F64 : ANYNORM_F32};
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

/* What a CPU of lanes gets: a lane for each row, or, where Vulkan has sub-groups, one of those for
 * each longer row; and never more columns to a lane than its loops may have rounds. */
static void test_select_on_lanes(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        uint64_t columns;
        const char *choice;
        const char *driver;
    } cases[] = {
        {"vulkan:0", 64, "row_per_item group=8 vector=4 rows=1", "Mesa 22.3.6 (LLVM 15.0.6)"},
        {"vulkan:0", 1024, "row_per_item group=8 vector=4 rows=1", "Mesa 22.3.6 (LLVM 15.0.6)"},
        {"vulkan:0", 1025, "row_split group=8 vector=4 segment=65536 subgroup=8",
         "Mesa 22.3.6 (LLVM 15.0.6)"},
        {"vulkan:0", 1048576, "row_split group=8 vector=4 segment=65536 subgroup=8",
         "Mesa 22.3.6 (LLVM 15.0.6)"},
        {"vulkan:0", 1048577, "row_split group=256 vector=4 segment=131072",
         "Mesa 22.3.6 (LLVM 15.0.6)"},
        {"vulkan:0", 1u << 26, "row_split group=512 vector=4 segment=4194304",
         "Mesa 22.3.6 (LLVM 15.0.6)"},
        {"opencl:0", 65536, "row_per_item group=8 vector=4 rows=1", "22.3.6"},
        {"opencl:0", 65537, "row_split group=256 vector=4 segment=65536", "22.3.6"},
        {"vulkan:0", 1u << 26, "row_split group=8 vector=4 segment=4194304 subgroup=8",
         "Mesa 25.0.7-2 (LLVM 19.1.7)"},
        {"vulkan:0", 1u << 26, "row_split group=512 vector=4 segment=4194304", "Mesa 24.3.4"},
        {"vulkan:0", 1u << 26, "row_split group=512 vector=4 segment=4194304", "unknown"},
        {"opencl:0", 1u << 26, "row_split group=256 vector=4 segment=4194304", "25.0.7-2"},
        {"opencl:0", 1u << 26, "row_split group=512 vector=4 segment=4194304", "24.3.4"},
    };
    anynorm_device_info info = {.device_class = ANYNORM_CLASS_CPU,
                                .name = "llvmpipe (LLVM 15.0.6, 256 bits)",
                                .compute_units = 2,
                                .vector_width = 1,
                                .max_work_group_size = 1024,
                                .local_bytes = 32768,
                                .subgroup = true,
                                .subgroup_size = 8};
    struct an_choice choice;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128];
        anynorm_spec spec = {.columns = cases[i].columns};
        snprintf(info.driver, sizeof(info.driver), "%s", cases[i].driver);
        snprintf(info.id, sizeof(info.id), "%s", cases[i].id);
        assert_true(first_that_fits(&info, &spec, &choice));
        an_choice_format(&choice, text, sizeof(text));
        assert_string_equal(text, cases[i].choice);
    }
    /* And a tuner tries no kernel twice by another name. */
    struct an_variants variants;
    const anynorm_spec spec = {.columns = 64};
    snprintf(info.id, sizeof(info.id), "vulkan:0");
    an_variants_list(&info, &spec, NULL, &variants);
    for (size_t i = 0; i < variants.count; i++) {
        bool items = variants.choices[i].schedule == AN_ROW_PER_ITEM;
        assert_true(!items || (variants.choices[i].vector == 4 && variants.choices[i].rows == 1));
    }
    char reason[200];
    snprintf(info.driver, sizeof(info.driver), "Mesa 22.3.6 (LLVM 15.0.6)");
    const struct an_choice alone = {.schedule = AN_ROW_REREAD, .group = 1};
    const anynorm_spec fits = {.columns = 131072}, long_row = {.columns = 131073};
    assert_true(an_select_fits(&info, &fits, &alone, &choice, reason));
    assert_false(an_select_fits(&info, &long_row, &alone, &choice, reason));
    assert_non_null(strstr(reason, "too many for 1 lanes"));
    const struct an_choice walk = {.schedule = AN_COLUMN_WALK, .slices = 1};
    assert_false(an_select_fits(&info, &long_row, &walk, &choice, reason));
    snprintf(info.driver, sizeof(info.driver), "Mesa 25.0.7-2 (LLVM 19.1.7)");
    assert_true(an_select_fits(&info, &long_row, &alone, &choice, reason));
    assert_true(an_select_fits(&info, &long_row, &walk, &choice, reason));
}

/* Where a compiled kernel takes few lanes, as on rusticl, rows that these cannot walk whole are
 * split whatever else there is to do; and where that is not enough, the reason is its limit. */
static void test_select_in_pieces(void **state)
{
    (void)state;
    static const struct {
        uint64_t columns;
        const char *choice;
        bool in_pieces;
    } cases[] = {
        {4194304, "row_split group=32 vector=4 segment=65536", false},
        {4194305, "row_split group=32 vector=4 segment=131072", true},
        {4410000, "row_split group=32 vector=4 segment=131072", true},
        {300000001, "row_split group=32 vector=4 segment=4194304", true},
        {1u << 29, "row_split group=32 vector=4 segment=4194304", true},
    };
    anynorm_device_info info = {.id = "opencl:0",
                                .name = "llvmpipe (LLVM 15.0.6, 256 bits)",
                                .driver = "22.3.6",
                                .device_class = ANYNORM_CLASS_CPU,
                                .compute_units = 8,
                                .vector_width = 1,
                                .max_work_group_size = 32,
                                .local_bytes = 32768};
    struct an_choice choice;
    char text[160];
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec spec = {.columns = cases[i].columns};
        assert_true(first_that_fits(&info, &spec, &choice));
        an_choice_format(&choice, text, sizeof(text));
        assert_string_equal(text, cases[i].choice);
        assert_int_equal(an_select_in_pieces(&info, &spec, &choice), cases[i].in_pieces);
        /* Nothing else is: a Vulkan launch may always walk rows whole, and so may row_reread. */
        struct an_choice reread = choice;
        reread.schedule = AN_ROW_REREAD;
        assert_false(an_select_in_pieces(&info, &spec, &reread));
    }
    static const struct {
        anynorm_spec spec;
        const char *id;
        enum an_schedule widest;
        const char *reason;
    } none[] = {
        {{.columns = (1u << 29) + 1},
         "opencl:0",
         AN_ROW_SPLIT,
         "8388608 columns of a segment are too many for 32 lanes of a CPU"},
        {{.columns = 4194305},
         "vulkan:0",
         AN_ROW_SPLIT,
         "4194305 columns are too many for 32 lanes of a CPU"},
        {{.columns = 4194305, .y.type = ANYNORM_I8, .flags = ANYNORM_Y_SCALE_OUTPUT},
         "opencl:0",
         AN_ROW_REREAD,
         "4194305 columns are too many for 32 lanes of a CPU"},
        {{.columns = 4194305, .x.column_stride = 2, .y.column_stride = 2},
         "opencl:0",
         AN_COLUMN_WALK,
         "4194305 columns are too many for 16 lanes of a device that has many"},
    };
    for (size_t i = 0; i < COUNT(none); i++) {
        snprintf(info.id, sizeof(info.id), "%s", none[i].id);
        assert_false(first_that_fits(&info, &none[i].spec, &choice));
        const struct an_choice widest = {.schedule = an_select_widest(&info, &none[i].spec)};
        assert_int_equal(widest.schedule, none[i].widest);
        assert_false(an_select_fits(&info, &none[i].spec, &widest, &choice, text));
        assert_string_equal(text, none[i].reason);
    }
}

/* The device's own size, but no more than registers allow where lanes share them. */
static void test_subgroup_sizes(void **state)
{
    (void)state;
    static const struct {
        uint32_t usual, least, most, size;
    } cases[] = {
        {8, 8, 8, 8},      /* llvmpipe */
        {32, 32, 32, 32},  /* NVIDIA */
        {64, 32, 64, 64},  /* AMD */
        {32, 8, 32, 16},   /* Intel */
        {32, 16, 32, 16},  /* Intel from Xe2 on */
        {16, 16, 16, 16},  /* Mali */
        {64, 64, 128, 64}, /* Adreno */
        {128, 64, 128, 128}, {256, 64, 256, 0}, {1, 1, 1, 0},  {24, 1, 32, 16}, {24, 16, 32, 16},
        {24, 24, 32, 0},     {64, 1, 8, 0},     {4, 8, 16, 0}, {0, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(an_caps_subgroup_size(cases[i].usual, cases[i].least, cases[i].most),
                         cases[i].size);
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
        anynorm_device_info info = whole_gpu;
        struct an_choice choice;
        char text[128];
        anynorm_spec spec = {.columns = cases[i].columns, .x.type = cases[i].type};
        info.subgroup = cases[i].subgroup_size > 0;
        info.subgroup_size = cases[i].subgroup_size;
        assert_true(first_that_fits(&info, &spec, &choice));
        an_choice_format(&choice, text, sizeof(text));
        assert_string_equal(text, cases[i].choice);
    }
    /* Between registers and memory lies local memory, where it is memory of its own. */
    anynorm_device_info info = whole_gpu;
    info.max_work_group_size = 256;
    info.local_bytes = 65536;
    struct an_choice wish = {.schedule = AN_ROW_PER_GROUP}, choice;
    anynorm_spec spec = {.columns = 12288};
    assert_false(fits(&info, &spec, &wish, &choice));
    wish.schedule = AN_ROW_IN_LOCAL;
    assert_true(fits(&info, &spec, &wish, &choice));
    spec.columns = 16384;
    assert_false(fits(&info, &spec, &wish, &choice));
    /* Where sub-groups are of 16, some specs take the registers that filling it needs. */
    spec.columns = 8256;
    info.subgroup_size = 16;
    assert_true(fits(&info, &spec, &wish, &choice));
    spec.flags = ANYNORM_RESIDUAL;
    assert_true(fits(&info, &spec, &wish, &choice));
    spec.flags = ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT;
    assert_false(fits(&info, &spec, &wish, &choice));
    spec.flags = ANYNORM_RESIDUAL | ANYNORM_GATE;
    assert_false(fits(&info, &spec, &wish, &choice));
    info.subgroup_size = 32;
    assert_true(fits(&info, &spec, &wish, &choice));
    wish = (struct an_choice){.schedule = AN_ROW_PER_SUBGROUP};
    spec = (anynorm_spec){.columns = 132, .y.type = ANYNORM_I8, .flags = ANYNORM_Y_SCALE_OUTPUT};
    assert_true(fits(&info, &spec, &wish, &choice));
    info.subgroup_size = 16;
    assert_false(fits(&info, &spec, &wish, &choice));
    spec.columns = 66;
    assert_true(fits(&info, &spec, &wish, &choice));
}

/* On a core rows of bytes are walked one at a time by vectors twice its own, short ones four at a
 * time, and y is held while it waits for its scale, in a power of two of vectors, if it has room
 * there. */
static void test_select_for_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t columns;
        anynorm_dtype type;
        uint32_t flags;
        const char *choice;
    } cases[] = {
        {48, ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, "row_per_item group=1 vector=8 rows=4 held=8"},
        {128, ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, "row_per_item group=1 vector=16 rows=4 held=8"},
        {768, ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, "row_per_item group=1 vector=16 rows=1 held=64"},
        {8192, ANYNORM_F8E4M3, ANYNORM_Y_SCALE_OUTPUT,
         "row_per_item group=1 vector=16 rows=1 held=512"},
        {8193, ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, "row_per_item group=1 vector=16 rows=1"},
        {768, ANYNORM_I8, ANYNORM_Y_SCALE_INPUT, "row_per_item group=1 vector=16 rows=1"},
        {129, ANYNORM_F16, 0, "row_per_item group=1 vector=16 rows=1"},
        {128, ANYNORM_F16, 0, "row_per_item group=1 vector=8 rows=4"},
    };
    const anynorm_device_info info = {.id = "opencl:0",
                                      .platform = "Portable Computing Language",
                                      .device_class = ANYNORM_CLASS_CPU,
                                      .compute_units = 2,
                                      .vector_width = 8,
                                      .max_work_group_size = 4096,
                                      .local_bytes = 524288};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const anynorm_spec spec = {.columns = cases[i].columns,
                                   .x.type = ANYNORM_F16,
                                   .y.type = cases[i].type,
                                   .flags = cases[i].flags};
        const struct an_choice wish = {.schedule = AN_ROW_PER_ITEM};
        struct an_choice choice;
        char text[160], expected[160];
        assert_true(fits(&info, &spec, &wish, &choice));
        an_choice_format(&choice, text, sizeof(text));
        snprintf(expected, sizeof(expected), "%s stream=never", cases[i].choice);
        assert_string_equal(text, expected);
    }
}

/* From which output on a core streams rows of each length: from three eighths of the cache, long
 * ones from a quarter, unless it is said; and never where nothing is known of a cache. */
static void test_select_streams(void **state)
{
    (void)state;
    static const struct {
        uint64_t columns, cache, wish, stream;
    } cases[] = {
        {16384, 1u << 25, 0, ((1u << 25) - 1) / 8 * 3},
        {16385, 1u << 25, 0, 1u << 23},
        {16385, 1u << 25, 7, 7},
        {16385, 0, 0, AN_NEVER},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const anynorm_device_info info = {.id = "opencl:0",
                                          .device_class = ANYNORM_CLASS_CPU,
                                          .compute_units = 2,
                                          .vector_width = 8,
                                          .max_work_group_size = 4096,
                                          .cache_bytes = cases[i].cache};
        const anynorm_spec spec = {.columns = cases[i].columns};
        const struct an_choice wish = {.schedule = AN_ROW_PER_ITEM, .stream = cases[i].wish};
        struct an_choice choice;
        assert_true(fits(&info, &spec, &wish, &choice));
        assert_int_equal(choice.stream, cases[i].stream);
    }
}

static void test_select_forced_groups(void **state)
{
    (void)state;
    static const uint64_t columns[] = {1, 100, 1024, 4097, 100000};
    for (size_t c = 0; c < COUNT(columns); c++) {
        for (uint32_t forced = 1; forced <= 1100; forced++) {
            anynorm_device_info info = whole_gpu;
            anynorm_spec spec = {.columns = columns[c]};
            for (enum an_schedule s = AN_ROW_PER_ITEM; s <= AN_ROW_SPLIT; s++)
                assert_false(check_choice(&info, &spec, s, forced) && forced > 1024);
            assert_int_equal(check_choice(&info, &spec, AN_ROW_REREAD, forced), forced <= 1024);
        }
    }
}

/* A Vulkan device has no compiled kernel to ask: the local memory that is declared must be counted
 * to the last byte, flags and all. */
static void test_select_local_memory_of_vulkan(void **state)
{
    (void)state;
    static const struct {
        const char *wish;
        uint64_t local;
    } enough[] = {{"column_walk group=512 vector=4 slices=8", 512 * 32 + 32},
                  {"row_per_group group=256 rows=1", 257 * 16 + 8 + 32}};
    for (size_t i = 0; i < COUNT(enough); i++) {
        anynorm_device_info info = whole_gpu;
        const anynorm_spec spec = {.columns = 64};
        struct an_choice wish, choice;
        snprintf(info.id, sizeof(info.id), "vulkan:0");
        assert_ok(an_choice_parse(enough[i].wish, &wish));
        info.local_bytes = enough[i].local;
        assert_true(fits(&info, &spec, &wish, &choice));
        info.local_bytes--;
        assert_false(fits(&info, &spec, &wish, &choice));
    }
}

/* Columns that lie apart are column_walk's alone, on any device, with or without local memory. */
static void test_select_columns_apart(void **state)
{
    (void)state;
    static const uint64_t groups[] = {1, 3, 31, 32, 64, 100, 256, 1024};
    static const uint64_t locals[] = {0, 16, 1000, 65536};
    static const anynorm_spec apart[] = {
        {.x.column_stride = 49, .y.column_stride = 49, .inner_rows = 49},
        {.x.column_stride = 49, .y.column_stride = 1},
        {.x.column_stride = 1, .y.column_stride = 2},
    };
    for (size_t i = 0; i < COUNT(groups) * COUNT(locals) * COUNT(apart) * 4; i++) {
        anynorm_device_info info = whole_gpu;
        info.device_class = i % 2 ? ANYNORM_CLASS_GPU : ANYNORM_CLASS_CPU;
        info.vector_width = i % 4 / 2 ? 16 : 1;
        info.max_work_group_size = groups[i / 4 % COUNT(groups)];
        info.local_bytes = locals[i / 4 / COUNT(groups) % COUNT(locals)];
        anynorm_spec spec = apart[i / 4 / COUNT(groups) / COUNT(locals)];
        uint64_t most = i % 4 == 0 ? 4096 : 16384; /* of one lane of a CPU, and of others */
        for (spec.columns = 2; spec.columns <= most; spec.columns = spec.columns * 3 + 1) {
            for (enum an_schedule s = AN_ROW_PER_ITEM; s < AN_SCHEDULE_COUNT; s++)
                assert_int_equal(check_choice(&info, &spec, s, 0), s == AN_COLUMN_WALK);
            for (uint64_t forced = 1; forced <= info.max_work_group_size; forced = forced * 2 + 1)
                assert_true(check_choice(&info, &spec, AN_COLUMN_WALK, forced));
        }
    }
    /* The one lane that walks a row is not to walk forever. */
    anynorm_device_info info = whole_gpu;
    info.device_class = ANYNORM_CLASS_GPU;
    info.local_bytes = 0;
    anynorm_spec spec = {.columns = 1000000, .x.column_stride = 2, .y.column_stride = 2};
    assert_false(check_choice(&info, &spec, AN_COLUMN_WALK, 0));
    info.local_bytes = 65536;
    assert_false(check_choice(&info, &spec, AN_COLUMN_WALK, 1));
    struct an_choice wish, choice;
    assert_ok(an_choice_parse("column_walk group=60 slices=7", &wish));
    spec.columns = 70;
    assert_false(fits(&info, &spec, &wish, &choice));
    assert_ok(an_choice_parse("column_walk group=1 held=17", &wish));
    assert_false(fits(&info, &spec, &wish, &choice));
    /* But more lanes walk a longer one, up to all but one of each two neighbours; where that one is
     * missing, a lane has more to do for each column. */
    static const struct {
        const char *wish;
        uint64_t longest, slices;
    } long_rows[] = {
        {"column_walk group=32", 262144 + 15, 16},
        {"column_walk group=256", 2097152 + 127, 128},
        {"column_walk group=32 slices=16", 262144 + 15, 16},
        {"column_walk group=32 slices=32", 131072 + 31, 32},
        {"column_walk group=1", 4096, 1},
    };
    snprintf(info.id, sizeof(info.id), "opencl:0");
    snprintf(info.name, sizeof(info.name), "llvmpipe");
    snprintf(info.driver, sizeof(info.driver), "22.3.6");
    info.device_class = ANYNORM_CLASS_CPU;
    info.vector_width = 1;
    for (size_t i = 0; i < COUNT(long_rows); i++) {
        assert_ok(an_choice_parse(long_rows[i].wish, &wish));
        spec.columns = long_rows[i].longest;
        assert_true(fits(&info, &spec, &wish, &choice));
        assert_int_equal(choice.slices, long_rows[i].slices);
        spec.columns++;
        assert_false(fits(&info, &spec, &wish, &choice));
    }
    spec.columns = 70;
    assert_ok(an_choice_parse("column_walk group=60 slices=10", &wish));
    assert_true(fits(&info, &spec, &wish, &choice));
    assert_int_equal(choice.slices, 10);
}

static anynorm_status check_backward(const anynorm_device_info *info, const anynorm_spec *spec,
                                     const struct an_choice *choice,
                                     const struct an_stretch *stretch)
{
    const struct an_parts parts = an_gradient_parts(spec, stretch->of_rows);
    return an_backward_check(info, spec, choice, &parts, stretch);
}

/* A driver that ends loops has gradients of shorter rows, and of fewer rows in one launch. */
static void test_gradients_where_loops_end(void **state)
{
    (void)state;
    anynorm_device_info info = whole_gpu;
    snprintf(info.id, sizeof(info.id), "vulkan:0");
    snprintf(info.name, sizeof(info.name), "llvmpipe");
    info.device_class = ANYNORM_CLASS_CPU;
    info.vector_width = 1;
    anynorm_spec spec, resolved;
    uint64_t rows;
    struct an_choice wish, choice;
    assert_ok(anynorm_spec_parse("layer-norm 1x2048 weight bias backward", &spec, &rows));
    for (int newer = 0; newer < 2; newer++) {
        snprintf(info.driver, sizeof(info.driver), newer ? "Mesa 25.0.7" : "Mesa 22.3.6");
        spec.columns = 2048;
        assert_ok(an_spec_resolve(&spec, &resolved));
        assert_ok(an_choice_parse("row_per_item", &wish));
        assert_true(fits(&info, &resolved, &wish, &choice));
        const struct an_stretch many = an_stretch_whole(40000), few = {0, 16, 40000};
        assert_int_equal(an_backward_walk_ends(&info, &resolved, &choice, &many), newer);
        assert_true(an_backward_walk_ends(&info, &resolved, &choice, &few));
        assert_status(check_backward(&info, &resolved, &choice, &many),
                      newer ? ANYNORM_OK : ANYNORM_UNSUPPORTED);
        assert_status(check_backward(&info, &resolved, &choice, &few), ANYNORM_OK);
        spec.columns = 8192;
        assert_ok(an_spec_resolve(&spec, &resolved));
        assert_int_equal(fits(&info, &resolved, &wish, &choice), newer);
        assert_ok(an_choice_parse("row_reread", &wish)); /* whose lanes share a row */
        assert_true(fits(&info, &resolved, &wish, &choice));
        assert_true(an_backward_walk_ends(&info, &resolved, &choice, &few));
        assert_ok(an_choice_parse("row_per_item", &wish));
        /* Parts of one column each, which one work-item adds up. */
        spec.columns = 1;
        assert_ok(an_spec_resolve(&spec, &resolved));
        assert_true(fits(&info, &resolved, &wish, &choice));
        const struct an_stretch thin = an_stretch_whole(10000000);
        assert_status(check_backward(&info, &resolved, &choice, &thin),
                      newer ? ANYNORM_OK : ANYNORM_UNSUPPORTED);
    }
}

/* Columns in runs are for every schedule that walks rows, chosen before any that could not. */
static void test_select_column_runs(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        anynorm_device_info info = whole_gpu;
        info.device_class = i ? ANYNORM_CLASS_CPU : ANYNORM_CLASS_GPU;
        info.vector_width = i == 1 ? 16 : 1;
        for (uint64_t pixels = 2; pixels < 4096; pixels = pixels * 3 + 1) {
            anynorm_spec spec = {.columns = 10 * pixels,
                                 .inner_rows = 32,
                                 .column_run = 10,
                                 .x.column_stride = i % 2 ? 320 : 0,
                                 .y.column_stride = 320};
            anynorm_spec dense = {.columns = 10 * pixels};
            for (enum an_schedule s = AN_ROW_PER_ITEM; s <= AN_ROW_SPLIT; s++)
                assert_int_equal(check_choice(&info, &spec, s, 0),
                                 check_choice(&info, &dense, s, 0));
            for (enum an_schedule s = AN_COLUMN_WALK; s < AN_SCHEDULE_COUNT; s++)
                assert_false(check_choice(&info, &spec, s, 0));
        }
    }
}

static void test_select_needs_doubles(void **state)
{
    (void)state;
    anynorm_device_info info = whole_gpu, reference = {.device_class = ANYNORM_CLASS_REFERENCE,
                                                       .max_work_group_size = 1,
                                                       .fp64 = true};
    info.fp64 = false;
    const anynorm_spec specs[] = {
        {.columns = 8, .x.type = ANYNORM_F64},
        {.columns = 8, .y.type = ANYNORM_F64},
        {.columns = 8, .parameters.type = ANYNORM_F64, .flags = ANYNORM_BIAS},
    };
    for (size_t i = 0; i < COUNT(specs); i++) {
        for (enum an_schedule s = AN_ROW_PER_ITEM; s <= AN_ROW_SPLIT; s++)
            assert_false(check_choice(&info, &specs[i], s, 0));
    }
    anynorm_spec unused = {.columns = 8, .parameters.type = ANYNORM_F64};
    assert_true(check_choice(&info, &unused, AN_ROW_REREAD, 0));
    assert_true(check_choice(&reference, &specs[0], AN_REFERENCE, 0));
    assert_true(check_choice(&reference, &specs[0], AN_REFERENCE, 1));
    assert_false(check_choice(&reference, &specs[0], AN_REFERENCE, 2));
    assert_false(check_choice(&reference, &specs[0], AN_ROW_REREAD, 0));
}

/* Pieces of a row know nothing of its largest magnitude: where a row is cut into them, its scale
 * cannot be found, and another schedule finds it. */
static void test_scales_need_whole_rows(void **state)
{
    (void)state;
    for (int cpu = 0; cpu < 2; cpu++) {
        anynorm_device_info info = whole_gpu;
        if (cpu) {
            info.device_class = ANYNORM_CLASS_CPU;
            info.vector_width = 8;
            info.compute_units = 4;
        }
        for (uint64_t columns = 1000; columns <= 3000000; columns += 2999000) {
            anynorm_spec spec = {.columns = columns, .y.type = ANYNORM_I8}, resolved;
            struct an_choice split = {.schedule = AN_ROW_SPLIT},
                             reread = {.schedule = AN_ROW_REREAD};
            struct an_choice choice;
            char reason[160];
            assert_ok(an_spec_resolve(&spec, &resolved));
            assert_true(fits(&info, &resolved, &split, &choice));
            resolved.flags |= ANYNORM_Y_SCALE_OUTPUT;
            bool whole = choice.segment >= columns;
            assert_int_equal(whole, columns == 1000);
            assert_int_equal(an_select_fits(&info, &resolved, &split, &choice, reason), whole);
            assert_true(whole || strstr(reason, "quantized row needs all of it"));
            assert_true(fits(&info, &resolved, &reread, &choice));
            assert_true(first_that_fits(&info, &resolved, &choice));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select_order),
        cmocka_unit_test(test_select_fits_the_device),
        cmocka_unit_test(test_select_on_lanes),
        cmocka_unit_test(test_select_in_pieces),
        cmocka_unit_test(test_subgroup_sizes),
        cmocka_unit_test(test_select_on_gpus),
        cmocka_unit_test(test_select_for_bytes),
        cmocka_unit_test(test_select_streams),
        cmocka_unit_test(test_select_forced_groups),
        cmocka_unit_test(test_select_local_memory_of_vulkan),
        cmocka_unit_test(test_select_columns_apart),
        cmocka_unit_test(test_select_column_runs),
        cmocka_unit_test(test_gradients_where_loops_end),
        cmocka_unit_test(test_select_needs_doubles),
        cmocka_unit_test(test_scales_need_whole_rows),
    };
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
