/* The tuning database: its lines, which of them applies, the user's file, the built-in one. No
 * device is needed. */
#include "refused.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "choice/choice.h"
#include "spec_flags.h"
#include "choice/tuning.h"

/* As far as lines ask for it. */
static const anynorm_device_info gpu = {.name = "Fast Chip 9000 (rev 2)",
                                        .vendor = "Chips & Co",
                                        .platform = "Chip OpenCL",
                                        .device_class = ANYNORM_CLASS_GPU};

/* ---- Lines ---- */

static struct an_tuning parse_good(const char *line)
{
    struct an_tuning tuning;
    bool blank = true;
    assert_ok(an_tuning_parse(line, strlen(line), &tuning, &blank));
    assert_false(blank);
    return tuning;
}

static void test_a_full_line(void **state)
{
    (void)state;
    struct an_tuning t =
        parse_good("  device \"Fast * (rev 2)\"\tplatform=\"Chip OpenCL\" type=bf16 "
                   "columns=4096 rows=513-4096 -> row_per_group group=128 held=8"
                   " # 1.2 x \"\r");
    assert_int_equal(t.level, AN_TUNING_DEVICE);
    assert_string_equal(t.pattern, "Fast * (rev 2)");
    assert_string_equal(t.platform, "Chip OpenCL");
    assert_false(t.any_type);
    assert_int_equal(t.type, ANYNORM_BF16);
    assert_true(t.columns.from == 4096 && t.columns.to == 4096);
    assert_true(t.rows.from == 513 && t.rows.to == 4096);
    assert_int_equal(t.ops, AN_TUNING_LAYER_NORM | AN_TUNING_RMS_NORM);
    assert_int_equal(t.choice.schedule, AN_ROW_PER_GROUP);
    assert_true(t.choice.group == 128 && t.choice.held == 8 && t.choice.vector == 0);
}

static void test_a_short_line(void **state)
{
    (void)state;
    struct an_tuning t = parse_good("class gpu -> row_reread");
    assert_int_equal(t.level, AN_TUNING_CLASS);
    assert_true(t.any_type);
    assert_true(t.columns.from == 0 && t.columns.to == UINT64_MAX);
    assert_true(t.rows.from == 0 && t.rows.to == UINT64_MAX);
    t = parse_good("vendor Chips*Co rows=7-* columns=* platform=* -> row_per_item stream=never");
    assert_int_equal(t.level, AN_TUNING_VENDOR);
    assert_true(t.rows.from == 7 && t.rows.to == UINT64_MAX && t.columns.from == 0);
    assert_true(t.choice.stream == AN_NEVER);
    assert_int_equal(parse_good("architecture gfx* -> row_reread").level, AN_TUNING_ARCHITECTURE);
    assert_int_equal(parse_good("class gpu op=adaptive -> row_reread").ops, AN_TUNING_ADAPTIVE);
    assert_int_equal(parse_good("class gpu op=* -> row_reread").ops, AN_TUNING_ANY_OP);
}

static void test_blank_lines(void **state)
{
    (void)state;
    static const char *const lines[] = {"", " ", "\t\r", "# class gpu", "   # -> \""};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct an_tuning tuning;
        bool blank = false;
        assert_ok(an_tuning_parse(lines[i], strlen(lines[i]), &tuning, &blank));
        assert_true(blank);
    }
}

static const struct {
    const char *line;
    const char *message; /* part of it */
} bad_lines[] = {
    {"gpu -> row_reread", "\"gpu\" is no beginning of an entry"},
    {"Device x -> row_reread", "device, architecture, vendor or class"},
    {"->", "\"->\" is no beginning"},
    {"device", "device wants a pattern"},
    {"device -> row_reread", "device wants a pattern"},
    {"vendor \"\" -> row_reread", "vendor wants a pattern"},
    {"class tpu -> row_reread", "\"tpu\" is no class of devices; there are gpu, cpu"},
    {"class * -> row_reread", "no class"},
    {"class gpu type=f8 -> row_reread", "\"f8\" is no type; there are f32"},
    {"class gpu type=i8 -> row_reread", "\"i8\" is no type; there are f32"},
    {"class gpu type= -> row_reread", "no type"},
    {"class gpu op=softmax -> row_reread", "\"softmax\" is no op; there are layer-norm, rms-norm"},
    {"class gpu op= -> row_reread", "\"\" is no op"},
    {"class gpu op=rms-norm op=rms-norm -> row_reread", "none of"},
    {"class gpu columns=0 -> row_reread", "\"columns=0\" has no range"},
    {"class gpu columns= -> row_reread", "no range"},
    {"class gpu columns=9-8 -> row_reread", "no range"},
    {"class gpu columns=8- -> row_reread", "no range"},
    {"class gpu columns=-8 -> row_reread", "no range"},
    {"class gpu columns=*-8 -> row_reread", "no range"},
    {"class gpu columns=1-2-3 -> row_reread", "no range"},
    {"class gpu columns=1k -> row_reread", "no range"},
    {"class gpu rows=+1 -> row_reread", "\"rows=+1\" has no range"},
    {"class gpu rows=18446744073709551616 -> row_reread", "no range"},
    {"class gpu rows=1 rows=2 -> row_reread", "\"rows=2\" is none of"},
    {"class gpu depth=1 -> row_reread", "\"depth=1\" is none of platform=, type="},
    {"class gpu f32 -> row_reread", "\"f32\" is none of"},
    {"class gpu platform= -> row_reread", "platform= wants a pattern"},
    {"class gpu", "no choice"},
    {"class gpu ->", "does not exist"},
    {"class gpu -> row_reraed", "\"row_reraed\" does not exist; there are"},
    {"class gpu -> a_schedule_of_a_name_that_goes_on_and_on_and_on_for_more_than_is_shown_of_it",
     "on_for_more_tha\" does not exist"},
    {"class gpu -> row_reread "
     "a_number_of_a_name_that_goes_on_and_on_and_on_for_more_than_is_shown=1",
     "nd_on_for_more_than_\" is no number"},
    {"class gpu -> row_reread group=0", "\"group=0\" is no number"},
    {"class gpu -> row_reread -> row_reread", "\"->\" is no number"},
    {"class gpu -> reference", "reference is no schedule of such a device"},
    {"device \"Fast -> row_reread", "a quote is opened and not closed"},
};

static void test_bad_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_lines); i++) {
        struct an_tuning tuning, before;
        bool blank;
        memset(&tuning, 0x5a, sizeof(tuning));
        before = tuning;
        assert_refused(
            an_tuning_parse(bad_lines[i].line, strlen(bad_lines[i].line), &tuning, &blank),
            ANYNORM_INVALID_ARGUMENT);
        if (!strstr(anynorm_message(), bad_lines[i].message))
            fprintf(stderr, "%s: %s\n", bad_lines[i].line, anynorm_message());
        assert_non_null(strstr(anynorm_message(), bad_lines[i].message));
        assert_memory_equal(&tuning, &before, sizeof(tuning));
    }
}

static void test_lines_that_are_too_much(void **state)
{
    (void)state;
    static const char zero[] = "class gpu\0 -> row_reread";
    char line[1100], word[160];
    struct an_tuning tuning;
    bool blank;
    assert_refused(an_tuning_parse(zero, sizeof(zero) - 1, &tuning, &blank),
                   ANYNORM_INVALID_ARGUMENT);
    assert_non_null(strstr(anynorm_message(), "zero byte"));
    memset(line, ' ', sizeof(line));
    assert_ok(an_tuning_parse(line, 1000, &tuning, &blank));
    assert_refused(an_tuning_parse(line, 1001, &tuning, &blank), ANYNORM_INVALID_ARGUMENT);
    assert_non_null(strstr(anynorm_message(), "longer than 1000"));
    memset(word, 'x', sizeof(word));
    word[127] = 0;
    snprintf(line, sizeof(line), "device %s platform=%s -> row_reread", word, word);
    assert_string_equal(parse_good(line).platform, word);
    word[127] = 'x';
    word[128] = 0;
    snprintf(line, sizeof(line), "device %s -> row_reread", word);
    assert_refused(an_tuning_parse(line, strlen(line), &tuning, &blank), ANYNORM_INVALID_ARGUMENT);
    snprintf(line, sizeof(line), "device x platform=%s -> row_reread", word);
    assert_refused(an_tuning_parse(line, strlen(line), &tuning, &blank), ANYNORM_INVALID_ARGUMENT);
}

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"**", "abc", true},
        {"?", "", false},
        {"?", "a", true},
        {"??", "a", false},
        {"abc", "abc", true},
        {"abc", "ABC", true},
        {"abc", "abcd", false},
        {"abc", "ab", false},
        {"a*", "abc", true},
        {"*c", "abc", true},
        {"*b", "abc", false},
        {"a*c", "ac", true},
        {"a*c", "abcbc", true},
        {"a*bc*", "aXbXbcX", true},
        {"*a*a*a*", "aa", false},
        {"*a*a*a*", "xaxaxax", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"*?*", "", false},
        {"gfx11*", "gfx1100", true},
        {"gfx11*", "gfx1030", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(an_text_match(cases[i].pattern, cases[i].text), cases[i].matches);
    /* Nothing of exponential cost. */
    char text[128];
    memset(text, 'a', 127);
    text[127] = 0;
    assert_false(an_text_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

/* ---- Which line applies ---- */

static size_t complaints;

static void count_complaint(void *user, size_t line)
{
    (void)user;
    complaints += line;
}

static struct an_tunings parse_text(const char *text)
{
    struct an_tunings tunings = {NULL, 0};
    complaints = 0;
    assert_ok(an_tuning_parse_all(text, strlen(text), count_complaint, NULL, &tunings));
    return tunings;
}

/* The line that applies, 0 where none does. */
static size_t line_for(const char *text, const anynorm_device_info *info, anynorm_spec spec,
                       uint64_t rows)
{
    struct an_tunings tunings = parse_text(text);
    const struct an_tuning *found = an_tuning_find(&tunings, info, &spec, rows);
    size_t line = found ? found->line : 0;
    free(tunings.entries);
    return line;
}

static void test_bad_lines_are_left_out(void **state)
{
    (void)state;
    struct an_tunings tunings = parse_text(
        "class gpu -> row_reread\nnonsense\n\n# comment\n\nmore\nclass cpu -> row_reread");
    assert_int_equal(tunings.count, 2);
    assert_int_equal(tunings.entries[1].line, 7);
    assert_int_equal(complaints, 2 + 6);
    free(tunings.entries);
    tunings = parse_text("");
    assert_int_equal(tunings.count + complaints, 0);
    free(tunings.entries);
}

/* A line is of dense columns and of a known kind of device, and for nothing else. */
static void test_what_no_line_is_for(void **state)
{
    (void)state;
    static const char text[] = "class gpu -> row_reread\nclass cpu -> row_reread\n"
                               "class accelerator -> row_reread\n";
    anynorm_device_info info = gpu;
    assert_int_equal(line_for(text, &info, (anynorm_spec){.columns = 8}, 3), 1);
    assert_int_equal(line_for(text, &info, (anynorm_spec){.columns = 8, .x.column_stride = 3}, 3),
                     0);
    info.device_class = (anynorm_device_class)77;
    assert_int_equal(line_for(text, &info, (anynorm_spec){.columns = 8}, 3), 0);
}

static void test_levels(void **state)
{
    (void)state;
    static const char text[] = "device \"fast chip 9000*\" -> row_reread group=64\n"
                               "architecture \"Fast Chip*\" columns=8 -> row_reread group=64\n"
                               "vendor \"Chips*\" columns=8 rows=3 -> row_reread group=64\n"
                               "class gpu columns=8 rows=3 type=f32 -> row_reread group=64\n"
                               "class cpu -> row_reread\n";
    anynorm_device_info info = gpu;
    const anynorm_spec spec = {.columns = 8};
    assert_int_equal(line_for(text, &info, spec, 3), 1);
    snprintf(info.name, sizeof(info.name), "Fast Chip 8000");
    assert_int_equal(line_for(text, &info, spec, 3), 2);
    snprintf(info.name, sizeof(info.name), "Slow Chip");
    assert_int_equal(line_for(text, &info, spec, 3), 3);
    snprintf(info.vendor, sizeof(info.vendor), "Others");
    assert_int_equal(line_for(text, &info, spec, 3), 4);
    assert_int_equal(line_for(text, &info, spec, 2), 0);
    info.device_class = ANYNORM_CLASS_CPU;
    assert_int_equal(line_for(text, &info, spec, 3), 5);
    info.device_class = ANYNORM_CLASS_ACCELERATOR;
    assert_int_equal(line_for(text, &info, spec, 3), 0);
}

static void test_types_columns_rows(void **state)
{
    (void)state;
    static const char text[] = "class gpu type=f16 columns=9-16 rows=5-* -> row_reread\n"
                               "class gpu type=f32 columns=4-* rows=* -> row_reread\n";
    const anynorm_spec half = {.columns = 9, .x.type = ANYNORM_F16, .y.type = ANYNORM_F16};
    anynorm_spec spec = half;
    assert_int_equal(line_for(text, &gpu, spec, 5), 1);
    assert_int_equal(line_for(text, &gpu, spec, UINT64_MAX), 1);
    assert_int_equal(line_for(text, &gpu, spec, 4), 0);
    assert_int_equal(line_for(text, &gpu, spec, 0), 0);
    spec.columns = 16;
    assert_int_equal(line_for(text, &gpu, spec, 5), 1);
    spec.columns = 17;
    assert_int_equal(line_for(text, &gpu, spec, 5), 0);
    spec = half;
    spec.y.type = ANYNORM_F32;
    assert_int_equal(line_for(text, &gpu, spec, 5), 0);
    spec.x.type = ANYNORM_F32;
    assert_int_equal(line_for(text, &gpu, spec, 5), 2);
    assert_int_equal(line_for(text, &gpu, spec, 0), 2);
    spec.columns = 3;
    assert_int_equal(line_for(text, &gpu, spec, 0), 0);
    spec = half; /* without a y there is one type */
    spec.y.type = ANYNORM_F32;
    spec.flags = ANYNORM_PARTIALS_OUTPUT;
    assert_int_equal(line_for(text, &gpu, spec, 5), 1);
    assert_int_equal(line_for("class gpu rows=1-* -> row_reread", &gpu, spec, 0), 0);
}

static void test_the_narrower_line(void **state)
{
    (void)state;
    const anynorm_spec spec = {.columns = 8};
    assert_int_equal(
        line_for("class gpu rows=2-4 -> row_reread\nclass gpu -> row_reread\n", &gpu, spec, 3), 1);
    assert_int_equal(
        line_for("class gpu rows=2-4 -> row_reread\nclass gpu columns=8 -> row_reread\n", &gpu,
                 spec, 3),
        1);
    assert_int_equal(
        line_for("class gpu columns=8 -> row_reread\nclass gpu columns=8-9 -> row_reread\n", &gpu,
                 spec, 3),
        1);
    assert_int_equal(
        line_for("class gpu -> row_reread\nclass gpu -> row_per_item\n", &gpu, spec, 3), 2);
}

/* Which op each norm of the family is, and which lines are for it. */
static void test_ops(void **state)
{
    (void)state;
    static const char text[] = "class gpu -> row_reread\n"
                               "class gpu op=residual-rms-norm -> row_reread group=64\n"
                               "class gpu op=rms-norm -> row_reread group=128\n"
                               "class gpu op=adaptive columns=8 -> row_reread\n"
                               "class gpu op=group-norm -> row_reread\n"
                               "class gpu op=residual-layer-norm -> row_reread\n"
                               "class gpu op=quantized -> row_reread\n"
                               "class gpu op=backward -> row_reread\n"
                               "class gpu op=batch-norm -> row_reread\n";
    static const struct {
        uint32_t flags;
        uint64_t run;
        size_t line;
        anynorm_dtype y;
    } cases[] = {
        {WEIGHT | BIAS | MEAN_OUT | UNBIASED | SILU, 0, 1, ANYNORM_F32},
        {RMS | WEIGHT | ROUND_FIRST | L2, 0, 3, ANYNORM_F32},
        {RMS | RESIDUAL | SUM, 0, 2, ANYNORM_F32},
        {RMS | PRE_BIAS, 0, 2, ANYNORM_F32},
        {RESIDUAL | STORED_SUM, 0, 6, ANYNORM_F32},
        {SUM | WEIGHT, 0, 6, ANYNORM_F32},
        {SCALE | SHIFT, 0, 4, ANYNORM_F32},
        {RESIDUAL | GATE | RMS, 0, 4, ANYNORM_F32},
        {WEIGHT | BIAS, 4, 5, ANYNORM_F32},
        {WEIGHT | SCALE | RESIDUAL, 4, 5, ANYNORM_F32},
        {RMS | WEIGHT | Y_SCALE_OUT, 0, 7, ANYNORM_I8},
        {SCALE | RESIDUAL, 0, 7, ANYNORM_F8E4M3},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec spec = {.columns = 8,
                             .flags = cases[i].flags,
                             .y.type = cases[i].y,
                             .parameters.run = cases[i].run};
        assert_int_equal(line_for(text, &gpu, spec, 0), cases[i].line);
    }
    /* Gradients of whatever norm; what was measured of the norm is not for them. */
    anynorm_spec back = {.columns = 8, .flags = RMS | RESIDUAL, .gradients.flags = ANYNORM_DX};
    assert_int_equal(line_for(text, &gpu, back, 0), 8);
    back.flags = SCALE;
    assert_int_equal(line_for(text, &gpu, back, 0), 8);
    assert_int_equal(
        line_for("class gpu -> row_reread\nclass gpu op=adaptive -> row_reread\n", &gpu, back, 0),
        0);
    assert_int_equal(line_for("class gpu op=* -> row_reread\n", &gpu, back, 0), 1);
    /* Columns that lie apart, or in runs, of whatever norm; and of gradients nothing was measured.
     */
    anynorm_spec apart = {.columns = 8, .x.column_stride = 5};
    assert_int_equal(line_for(text, &gpu, apart, 0), 9);
    apart = (anynorm_spec){.columns = 8, .column_run = 4, .y = {.type = ANYNORM_I8}};
    apart.x.column_stride = apart.y.column_stride = 20;
    assert_int_equal(line_for(text, &gpu, apart, 0), 9);
    assert_int_equal(line_for("class gpu op=* -> row_reread\n", &gpu, apart, 0), 1);
    apart.y.type = ANYNORM_F32;
    apart.gradients = (anynorm_gradients){.flags = ANYNORM_DX, .dx.column_stride = 20};
    assert_int_equal(line_for("class gpu op=* -> row_reread\n", &gpu, apart, 0), 0);
    /* What is for fewer ops goes before what is for fewer rows; what is for any comes last. */
    const anynorm_spec rms = {.columns = 8, .flags = RMS}, sum = {.columns = 8, .flags = SUM};
    static const char nested[] = "class gpu rows=3 op=* -> row_reread\n"
                                 "class gpu op=rms-norm -> row_reread\n"
                                 "class gpu rows=3 -> row_reread\n";
    assert_int_equal(line_for(nested, &gpu, rms, 3), 2);
    assert_int_equal(line_for(nested, &gpu, (anynorm_spec){.columns = 8}, 3), 3);
    assert_int_equal(line_for(nested, &gpu, sum, 3), 1);
    assert_int_equal(line_for("class gpu -> row_reread", &gpu, sum, 3), 0);
}

static void test_platforms(void **state)
{
    (void)state;
    const anynorm_spec spec = {.columns = 8};
    assert_int_equal(line_for("device * platform=\"chip*\" -> row_reread", &gpu, spec, 0), 1);
    assert_int_equal(line_for("device * platform=PoCL -> row_reread", &gpu, spec, 0), 0);
}

/* ---- The databases of the process ---- */

struct log {
    int count;
    char text[4096];
};

static void collect(void *user, anynorm_log_level level, const char *line)
{
    struct log *log = user;
    size_t used = strlen(log->text);
    if (level != ANYNORM_LOG_WARN)
        return;
    log->count++;
    snprintf(log->text + used, sizeof(log->text) - used, "%s\n", line);
}

static char folder[FOLDER_BYTES];
static char file_path[FOLDER_BYTES + 8];

static int make_place(void **state)
{
    (void)state;
    make_folder(folder);
    snprintf(file_path, sizeof(file_path), "%s/tuning", folder);
    return 0;
}

static int remove_place(void **state)
{
    (void)state;
    unlink(file_path);
    return rmdir(folder);
}

static void write_file(const void *text, size_t length)
{
    FILE *file = fopen(file_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* Asks for 8 columns of f32; the group of the choice, 0 where there is none. */
static uint64_t ask(bool users, struct log *log)
{
    const anynorm_spec spec = {.columns = 8};
    struct an_choice wish = {.group = 0};
    char source[128] = "";
    *log = (struct log){.count = 0};
    anynorm_log_set(collect, log, ANYNORM_LOG_WARN);
    bool found = an_tuning_ask(&gpu, &spec, 0, users, &wish, source, sizeof(source));
    anynorm_log_set(NULL, NULL, ANYNORM_LOG_NONE);
    if (found)
        assert_non_null(strstr(source, ":"));
    return found ? wish.group : 0;
}

static void test_the_users_file(void **state)
{
    (void)state;
    static const char text[] = "class gpu columns=8 -> row_reread group=64\n"
                               "class gpu bad=1 -> row_reread\n";
    struct log log;
    setenv("ANYNORM_TUNING", file_path, 1);
    assert_int_equal(ask(true, &log), 0);
    assert_int_equal(log.count, 1); /* it was named, so its absence is a mistake */
    assert_non_null(strstr(log.text, file_path));
    assert_int_equal(ask(true, &log) + (uint64_t)log.count, 0);

    write_file(text, sizeof(text) - 1);
    assert_int_equal(ask(true, &log), 64);
    assert_int_equal(log.count, 1);
    char where[128];
    snprintf(where, sizeof(where), "%s:2: left out: \"bad=1\"", file_path);
    assert_non_null(strstr(log.text, where));
    assert_int_equal(ask(true, &log), 64);
    assert_int_equal(log.count, 0); /* read once, complained once */
    assert_int_equal(ask(false, &log), 0);

    write_file("class gpu -> row_reread group=128", 33);
    assert_int_equal(ask(true, &log), 128);
    setenv("ANYNORM_TUNING", "off", 1);
    assert_int_equal(ask(true, &log), 0);
    setenv("ANYNORM_TUNING", file_path, 1);
    unlink(file_path);
    assert_int_equal(ask(true, &log), 0);
    assert_int_equal(log.count, 1);
}

static void assert_not_used(const char *why)
{
    struct log log;
    assert_int_equal(ask(true, &log), 0);
    assert_int_equal(log.count, 1);
    assert_non_null(strstr(log.text, why));
    unlink(file_path);
}

static void test_unusable_files(void **state)
{
    (void)state;
    static const char good[] = "class gpu -> row_reread group=64\n";
    static char huge[AN_TUNING_MOST_BYTES + 1];
    struct log log;
    setenv("ANYNORM_TUNING", file_path, 1);
    for (size_t i = 0; i < sizeof(huge); i++)
        huge[i] = good[i % (sizeof(good) - 1)];
    write_file(huge, sizeof(huge));
    assert_not_used("larger than 1 MiB");
    write_file(huge, sizeof(huge) - 1);
    assert_int_equal(ask(true, &log), 64);
    unlink(file_path);

    write_file("class gpu -> row_reread group=64\n\0", 34);
    assert_not_used("no text");
    assert_int_equal(mkfifo(file_path, 0600), 0);
    assert_not_used("no regular file");
    setenv("ANYNORM_TUNING", folder, 1);
    assert_not_used("no regular file");
    setenv("ANYNORM_TUNING", file_path, 1);
    if (geteuid() != 0) { /* root reads everything */
        write_file(good, sizeof(good) - 1);
        assert_int_equal(chmod(file_path, 0), 0);
        assert_not_used("Permission denied");
    }
    /* Many bad lines are a few warnings. */
    memset(huge, 'x', 4000);
    for (size_t i = 1; i < 4000; i += 2)
        huge[i] = '\n';
    write_file(huge, 4000);
    assert_int_equal(ask(true, &log), 0);
    assert_int_equal(log.count, 11);
    assert_non_null(strstr(log.text, "1990 more lines"));
}

static void test_the_path(void **state)
{
    (void)state;
    char path[32];
    setenv("ANYNORM_TUNING", "some/file", 1);
    assert_int_equal(anynorm_tuning_path(path, sizeof(path)), 9);
    assert_string_equal(path, "some/file");
    assert_int_equal(anynorm_tuning_path(path, 5), 9);
    assert_string_equal(path, "some");
    assert_int_equal(anynorm_tuning_path(NULL, 0), 9);
    setenv("ANYNORM_TUNING", "off", 1);
    assert_int_equal(anynorm_tuning_path(path, sizeof(path)), 0);
    assert_string_equal(path, "");
    setenv("ANYNORM_TUNING", "", 1);
    setenv("XDG_CONFIG_HOME", "/config", 1);
    setenv("HOME", "/home/me", 1);
    anynorm_tuning_path(path, sizeof(path));
    assert_string_equal(path, "/config/anynorm/tuning");
    setenv("XDG_CONFIG_HOME", "config", 1);
    unsetenv("ANYNORM_TUNING");
    anynorm_tuning_path(path, sizeof(path));
    assert_string_equal(path, "/home/me/.config/anynorm/tuning");
    unsetenv("HOME");
    assert_int_equal(anynorm_tuning_path(path, sizeof(path)), 0);
}

/* A file that nobody named may well be missing. */
static void test_no_default_file(void **state)
{
    (void)state;
    struct log log;
    unsetenv("ANYNORM_TUNING");
    setenv("XDG_CONFIG_HOME", folder, 1);
    assert_int_equal(ask(true, &log) + (uint64_t)log.count, 0);
}

/* ---- The built-in database ---- */

static void complain_built_in(void *user, size_t line)
{
    (void)user;
    fprintf(stderr, "host/choice/tunings:%zu: %s\n", line, anynorm_message());
    complaints++;
}

/* A device of those that an entry is about, as far as its line tells. */
static anynorm_device_info some_device(const struct an_tuning *tuning)
{
    anynorm_device_info info = whole_gpu;
    bool cpu = tuning->choice.schedule == AN_ROW_PER_ITEM;
    if (tuning->level == AN_TUNING_CLASS)
        cpu = strcmp(tuning->pattern, "cpu") == 0;
    info.device_class = cpu ? ANYNORM_CLASS_CPU : ANYNORM_CLASS_GPU;
    info.vector_width = cpu ? 16 : 1;
    info.cache_bytes = 1 << 25;
    info.subgroup_size = 0;
    return info;
}

/* Every line is one, and is a choice that such a device can have. */
static void test_the_built_in_database(void **state)
{
    (void)state;
    struct an_tunings tunings = {NULL, 0};
    complaints = 0;
    assert_true(an_tunings_length > 0 && an_tunings_text[an_tunings_length] == 0);
    assert_ok(
        an_tuning_parse_all(an_tunings_text, an_tunings_length, complain_built_in, NULL, &tunings));
    assert_int_equal(complaints, 0);
    for (size_t i = 0; i < tunings.count; i++) {
        const struct an_tuning *tuning = &tunings.entries[i];
        anynorm_device_info info = some_device(tuning);
        anynorm_spec spec = {.columns = tuning->columns.from ? tuning->columns.from : 1};
        struct an_choice choice;
        char reason[160] = "";
        spec.x.type = spec.y.type = tuning->any_type ? ANYNORM_F32 : tuning->type;
        bool fits = an_select_fits(&info, &spec, &tuning->choice, &choice, reason);
        if (!fits)
            fprintf(stderr, "host/choice/tunings:%zu: %s\n", tuning->line, reason);
        assert_true(fits);
    }
    free(tunings.entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_line),
        cmocka_unit_test(test_a_short_line),
        cmocka_unit_test(test_blank_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_lines_that_are_too_much),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_bad_lines_are_left_out),
        cmocka_unit_test(test_what_no_line_is_for),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_types_columns_rows),
        cmocka_unit_test(test_the_narrower_line),
        cmocka_unit_test(test_ops),
        cmocka_unit_test(test_platforms),
        cmocka_unit_test(test_the_users_file),
        cmocka_unit_test(test_unusable_files),
        cmocka_unit_test(test_the_path),
        cmocka_unit_test(test_no_default_file),
        cmocka_unit_test(test_the_built_in_database),
    };
    return cmocka_run_group_tests_name("tuning", tests, make_place, remove_place);
}
