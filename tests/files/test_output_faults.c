/* The program's files while each of their system calls fails, is interrupted, moves less than it
 * was asked to, or is the last before a SIGKILL: each output is the old file or the new one, and
 * all are old where the program says that it failed. It runs on the reference device. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_faults.h"
#include "support.h"

#include "common/cli.h"
#include "tune/lines.h"

enum { ROWS = 4, COLUMNS = 6, FILE_BYTES = 4096 };

static char base[FOLDER_BYTES], work[FOLDER_BYTES + 8];

/* ---- Files ---- */

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* -1 where there is none. */
static long read_file(const char *path, char bytes[FILE_BYTES])
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    size_t size = fread(bytes, 1, FILE_BYTES, file);
    assert_int_equal(fclose(file), 0);
    return (long)size;
}

static void write_array(const char *path, size_t rows, size_t columns, float first)
{
    char bytes[1024];
    int head =
        snprintf(bytes + 10, sizeof(bytes) - 10,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu)}", rows, columns);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (char)head;
    bytes[9] = 0;
    for (size_t i = 0; i < rows * columns; i++) {
        float value = first + (float)(i % 5);
        memcpy(bytes + 10 + head + i * sizeof(value), &value, sizeof(value));
    }
    write_file(path, bytes, 10 + (size_t)head + rows * columns * sizeof(float));
}

static const char old_text[] = "the old file";

static bool is_old(const char *path)
{
    char bytes[FILE_BYTES];
    return read_file(path, bytes) == sizeof(old_text) &&
           memcmp(bytes, old_text, sizeof(old_text)) == 0;
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

/* Hidden ones, which all temporary ones are. */
static int count_temporaries(void)
{
    DIR *folder = opendir(".");
    int count = 0;
    assert_non_null(folder);
    for (struct dirent *item = readdir(folder); item; item = readdir(folder))
        count += item->d_name[0] == '.' && strstr(item->d_name, ".tmp");
    assert_int_equal(closedir(folder), 0);
    return count;
}

/* ---- The program ---- */

/* One line that begins as all of the program's do. */
static bool is_message(void)
{
    char text[FILE_BYTES];
    long size = read_file(FAULT_MESSAGES, text);
    return size > 10 && strncmp(text, "anynorm: ", 9) == 0 &&
           memchr(text, '\n', (size_t)size) == text + size - 1;
}

/* Whether the fault is the machine's, not that of a file the user named. */
static bool is_machines(const struct file_fault *fault)
{
    return fault->error == EIO || fault->error == ENOMEM || fault->error == EMFILE ||
           fault->error == ENOSPC || fault->error == EINTR;
}

struct norm_case {
    const char *const *outputs; /* ended by NULL */
    bool were_there;
};

/* What the outputs are without a fault, of the last scenario's. */
static char right[4][FILE_BYTES];
static long right_size[4];

static bool is_right(int i, const char *path)
{
    char bytes[FILE_BYTES];
    return read_file(path, bytes) == right_size[i] &&
           memcmp(bytes, right[i], (size_t)right_size[i]) == 0;
}

static void check_norm(const struct norm_case *c, const struct file_fault *fault, int outcome,
                       bool left)
{
    /* What was put in its place cannot be taken back where no file can be renamed any more. */
    bool no_way_back = fault->manner == FAULT_STICKY && fault->call == CALL_RENAME;
    for (int i = 0; fault->manner == FAULT_NONE && c->outputs[i]; i++) {
        right_size[i] = read_file(c->outputs[i], right[i]);
        fault_expect(right_size[i] > 0, "there is no result");
    }
    for (int i = 0; c->outputs[i]; i++) {
        bool is_new = is_right(i, c->outputs[i]);
        bool as_before = c->were_there ? is_old(c->outputs[i]) : !exists(c->outputs[i]);
        fault_expect(is_new || as_before, "an output is neither the old nor the new one");
        if (outcome == CLI_DONE)
            fault_expect(is_new, "it says that it succeeded and an output is the old one");
        if (outcome > 0 && !left && !no_way_back)
            fault_expect(as_before, "it says that it failed and an output is the new one");
    }
    if (outcome >= 0 && !left)
        fault_expect(count_temporaries() == 0, "a temporary file is left");
    if (outcome == CLI_DONE || outcome < 0)
        return;
    fault_expect(outcome == CLI_FAILED || outcome == CLI_USAGE, "an unknown exit status");
    fault_expect(outcome == CLI_FAILED || !is_machines(fault), "a failure is told as bad usage");
    fault_expect(is_message(), "not one line of a message");
    fault_expect(!fault_is_harmless(fault), "a harmless fault was not got over");
}

static void prepare_input(void)
{
    write_array("x.npy", ROWS, COLUMNS, 1);
    write_array("r.npy", ROWS, COLUMNS, 7);
}

static void run_again(int (*act)(void))
{
    fault_expect(act() == CLI_DONE, "a later run fails");
}

/* ---- One output where there is none ---- */

static const char *const one_output[] = {"y.npy", NULL};

static int act_one(void)
{
    char *arguments[] = {(char *)"layer-norm", (char *)"x.npy",     (char *)"-o", (char *)"y.npy",
                         (char *)"--device",   (char *)"reference", NULL};
    return cli_norm(COUNT(arguments) - 1, arguments);
}

static void check_one(const struct file_fault *fault, int outcome, bool left)
{
    const struct norm_case c = {one_output, false};
    check_norm(&c, fault, outcome, left);
    run_again(act_one);
    fault_expect(is_right(0, "y.npy"), "a later run is wrong");
}

/* ---- An output that is there ---- */

static void prepare_old_output(void)
{
    prepare_input();
    write_file("y.npy", old_text, sizeof(old_text));
}

/* ---- One whose mode the umask keeps from a new file ---- */

static const mode_t old_mode = 0646;

static void prepare_old_mode(void)
{
    prepare_old_output();
    assert_int_equal(chmod("y.npy", old_mode), 0);
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 0777;
}

static void check_mode(const struct file_fault *fault, int outcome, bool left)
{
    const struct norm_case c = {one_output, true};
    bool refused = fault->call == CALL_CHMOD && fault->error;
    check_norm(&c, fault, outcome, left);
    fault_expect(mode_of("y.npy") == old_mode || (refused && (mode_of("y.npy") & ~old_mode) == 0),
                 "the mode is another");
}

static void check_replaced(const struct file_fault *fault, int outcome, bool left)
{
    const struct norm_case c = {one_output, true};
    check_norm(&c, fault, outcome, left);
    run_again(act_one);
    fault_expect(is_right(0, "y.npy"), "a later run is wrong");
}

/* ---- Behind a symbolic link ---- */

static const char *const behind_link[] = {"target.npy", NULL};

static void prepare_link(void)
{
    prepare_input();
    write_file("target.npy", old_text, sizeof(old_text));
    assert_int_equal(symlink("target.npy", "y.npy"), 0);
}

static void check_link(const struct file_fault *fault, int outcome, bool left)
{
    const struct norm_case c = {behind_link, true};
    struct stat status;
    check_norm(&c, fault, outcome, left);
    fault_expect(lstat("y.npy", &status) == 0 && S_ISLNK(status.st_mode), "the link is no link");
}

/* ---- Several outputs ---- */

static const char *const outputs[] = {"y.npy", "sum.npy", "mean.npy", "rstd.npy", NULL};

static int act_several(void)
{
    char *arguments[] = {(char *)"layer-norm",
                         (char *)"x.npy",
                         (char *)"--residual",
                         (char *)"r.npy",
                         (char *)"-o",
                         (char *)"y.npy",
                         (char *)"--sum-output",
                         (char *)"sum.npy",
                         (char *)"--mean-output",
                         (char *)"mean.npy",
                         (char *)"--rstd-output",
                         (char *)"rstd.npy",
                         (char *)"--device",
                         (char *)"reference",
                         NULL};
    return cli_norm(COUNT(arguments) - 1, arguments);
}

static void check_several(const struct file_fault *fault, int outcome, bool left)
{
    const struct norm_case c = {outputs, false};
    check_norm(&c, fault, outcome, left);
}

static void prepare_several_old(void)
{
    prepare_input();
    for (int i = 0; outputs[i]; i++)
        write_file(outputs[i], old_text, sizeof(old_text));
}

static void check_several_old(const struct file_fault *fault, int outcome, bool left)
{
    const struct norm_case c = {outputs, true};
    check_norm(&c, fault, outcome, left);
    run_again(act_several);
    for (int i = 0; outputs[i]; i++)
        fault_expect(is_right(i, outputs[i]), "a later run is wrong");
}

/* ---- Two names of one file, which must not both be written ---- */

static int act_same(void)
{
    char *arguments[] = {(char *)"layer-norm", (char *)"x.npy",         (char *)"-o",
                         (char *)"y.npy",      (char *)"--mean-output", (char *)"./y.npy",
                         (char *)"--device",   (char *)"reference",     NULL};
    return cli_norm(COUNT(arguments) - 1, arguments);
}

static void check_same(const struct file_fault *fault, int outcome, bool left)
{
    (void)fault, (void)left;
    fault_expect(is_old("y.npy"), "one file was taken for two");
    fault_expect(outcome != CLI_DONE, "one file was taken for two");
}

/* ---- The tuning file ---- */

/* As `anynorm tune` writes it, which measures in between. */
static int act_tune(void)
{
    const anynorm_device_info info = {.name = "a gpu", .platform = "a platform"};
    const struct tune_head head = {&info, NULL, ANYNORM_F32, 64};
    struct tune_lines lines = {.count = 0};
    struct output output = {.path = NULL};
    char path[PATH_MAX];
    bool done = tune_file_find(NULL, path) && output_prepare(&output, path) &&
                tune_lines_check(path) && output_create(&output);
    if (done) {
        tune_lines_measured(&lines, &head, 0);
        tune_lines_add(&lines, &head, 0, "row_per_group", "new");
        done = tune_lines_write(&lines, &output);
    }
    output_discard(&output);
    tune_lines_free(&lines);
    if (done)
        return CLI_DONE;
    return cli_error.exit_status == CLI_DONE || !*cli_error.text ? 90 : cli_error.exit_status;
}

static const char tuning_path[] = "config/anynorm/tuning";
static const char old_lines[] =
    "# mine\nclass gpu -> row_in_local\n"
    "device \"a gpu\" platform=\"a platform\" type=f32 columns=64 rows=* -> row_reread # old\n";
static const char new_lines[] =
    "# mine\nclass gpu -> row_in_local\n"
    "device \"a gpu\" platform=\"a platform\" type=f32 columns=64 rows=* -> row_per_group # new\n";

static bool is_text(const char *path, const char *text)
{
    char bytes[FILE_BYTES];
    return read_file(path, bytes) == (long)strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

static void prepare_old_lines(void)
{
    assert_int_equal(mkdir("config", 0700), 0);
    assert_int_equal(mkdir("config/anynorm", 0700), 0);
    write_file(tuning_path, old_lines, strlen(old_lines));
}

static void check_lines(const struct file_fault *fault, int outcome, bool left, bool was_there)
{
    bool is_new = is_text(tuning_path, was_there ? new_lines : strstr(new_lines, "device"));
    bool as_before = was_there ? is_text(tuning_path, old_lines) : !exists(tuning_path);
    fault_expect(is_new || as_before, "the file is neither the old nor the new one");
    if (outcome == CLI_DONE)
        fault_expect(is_new, "it says that it succeeded and the file is the old one");
    else if (outcome > 0)
        fault_expect(as_before, "it says that it failed and the file is the new one");
    fault_expect(outcome <= CLI_USAGE, "a failure without a message");
    fault_expect(outcome != CLI_USAGE || !is_machines(fault), "a failure is told as bad usage");
    if (fault_is_harmless(fault))
        fault_expect(outcome == CLI_DONE, "a harmless fault was not got over");
    if (outcome >= 0 && !left && chdir("config/anynorm") == 0) {
        fault_expect(count_temporaries() == 0, "a temporary file is left");
        assert_int_equal(chdir("../.."), 0);
    }
    fault_expect(act_tune() == CLI_DONE, "a later run fails");
}

static void prepare_nothing(void)
{
}

static void check_first_lines(const struct file_fault *fault, int outcome, bool left)
{
    check_lines(fault, outcome, left, false);
}

static void check_replaced_lines(const struct file_fault *fault, int outcome, bool left)
{
    check_lines(fault, outcome, left, true);
}

/* ---- */

static void test_scenarios(void **state)
{
    static const struct fault_scenario scenarios[] = {
        {"an output", prepare_input, act_one, check_one},
        {"an output replaced", prepare_old_output, act_one, check_replaced},
        {"an output replaced, mode and all", prepare_old_mode, act_one, check_mode},
        {"an output behind a link", prepare_link, act_one, check_link},
        {"four outputs", prepare_input, act_several, check_several},
        {"four outputs replaced", prepare_several_old, act_several, check_several_old},
        {"one file by two names", prepare_old_output, act_same, check_same},
        {"the first tuning file", prepare_nothing, act_tune, check_first_lines},
        {"a tuning file replaced", prepare_old_lines, act_tune, check_replaced_lines},
    };
    char config[sizeof(work) + 8];
    (void)state;
    umask(022);
    make_folder(base);
    snprintf(work, sizeof(work), "%s/work", base);
    snprintf(config, sizeof(config), "%s/config", work);
    assert_int_equal(setenv("XDG_CONFIG_HOME", config, 1), 0);
    assert_int_equal(unsetenv("ANYNORM_TUNING"), 0);
    assert_int_equal(setenv("ANYNORM_LOG", "error", 1), 0);
    run_fault_scenarios(scenarios, COUNT(scenarios), work);
    remove_folder(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenarios)};
    return cmocka_run_group_tests_name("output faults", tests, NULL, NULL);
}
