/* The bad files of tests/corpus: each is refused with the very message that messages.txt beside
 * them has for it. No device is needed. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#include "store/binary.h"
#include "choice/caps.h"
#include "files/tensor_file.h"
#include "choice/tuning.h"

enum { MOST = 400, LINE_BYTES = 1200, TEXT_BYTES = 8192 };

/* What the parser of a kind of file says of one; *told stays empty where it takes it. */
typedef void parser(const char *path, char told[LINE_BYTES]);

/* The file with a zero behind it. */
static size_t read_text(const char *path, char text[TEXT_BYTES])
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(text, 1, TEXT_BYTES, file);
    assert_int_equal(fclose(file), 0);
    assert_between(length, 0, TEXT_BYTES - 1);
    text[length] = 0;
    return length;
}

static void tell_library(anynorm_status status, char told[LINE_BYTES])
{
    if (status == ANYNORM_OK)
        return;
    assert_int_equal(status, ANYNORM_INVALID_ARGUMENT);
    snprintf(told, LINE_BYTES, "%s", anynorm_message());
}

/* The program's, without the path that it begins with. */
static void tell_program(const char *path, char told[LINE_BYTES])
{
    size_t skip = strlen(path);
    assert_int_equal(cli_error.exit_status, CLI_USAGE);
    assert_memory_equal(cli_error.text, path, skip);
    assert_memory_equal(cli_error.text + skip, ": ", 2);
    snprintf(told, LINE_BYTES, "%s", cli_error.text + skip + 2);
}

static void open_tensor(const char *path, const char *name, char told[LINE_BYTES])
{
    struct tensor_file tensor;
    char argument[LINE_BYTES];
    snprintf(argument, sizeof(argument), "%s%s", path, name);
    if (tensor_open(argument, false, &tensor))
        tensor_close(&tensor);
    else
        tell_program(path, told);
}

static void parse_npy(const char *path, char told[LINE_BYTES])
{
    open_tensor(path, "", told);
}

static void parse_safetensors(const char *path, char told[LINE_BYTES])
{
    open_tensor(path, ":x", told);
}

static void parse_spec(const char *path, char told[LINE_BYTES])
{
    char text[TEXT_BYTES];
    anynorm_spec spec;
    uint64_t rows;
    (void)read_text(path, text);
    tell_library(anynorm_spec_parse(text, &spec, &rows), told);
}

static void parse_caps(const char *path, char told[LINE_BYTES])
{
    char text[TEXT_BYTES];
    anynorm_device_info info = whole_gpu;
    (void)read_text(path, text);
    tell_library(an_caps_mask(&info, text), told);
}

static void complain(void *told, size_t line)
{
    assert_string_equal(told, ""); /* one bad line in each file */
    snprintf(told, LINE_BYTES, "%zu: %s", line, anynorm_message());
}

static void parse_tuning(const char *path, char told[LINE_BYTES])
{
    char text[TEXT_BYTES];
    struct an_tunings tunings = {NULL, 0};
    size_t length = read_text(path, text);
    assert_ok(an_tuning_parse_all(text, length, complain, told, &tunings));
    free(tunings.entries);
}

/* Of the key that an intact one should have; what the cache logs has the same words. */
static void parse_entry(const char *path, char told[LINE_BYTES])
{
    static const struct an_key_part parts[] = {{"device", "cpu", 3}, {"options", "-DX=1", 5}};
    static const struct an_key key = {parts, COUNT(parts)};
    char packed[TEXT_BYTES];
    size_t size = read_text(path, packed);
    if (!an_binary_intact(packed, size))
        snprintf(told, LINE_BYTES, "damaged");
    else if (an_binary_mismatch(packed, &key))
        snprintf(told, LINE_BYTES, "of another %s", an_binary_mismatch(packed, &key));
}

static const struct {
    const char *folder;
    parser *parse;
} kinds[] = {{"npy", parse_npy},     {"safetensors", parse_safetensors},
             {"spec", parse_spec},   {"tuning", parse_tuning},
             {"cache", parse_entry}, {"caps", parse_caps}};

static parser *find_parser(const char *path)
{
    for (size_t i = 0; i < COUNT(kinds); i++) {
        size_t length = strlen(kinds[i].folder);
        if (strncmp(path, kinds[i].folder, length) == 0 && path[length] == '/')
            return kinds[i].parse;
    }
    fail_msg("%s lies in no folder of the corpus", path);
    return NULL;
}

/* The lines of messages.txt, each a path, a bar and a message; control characters in a message
 * stand there as "?". */
static char lines[MOST][LINE_BYTES];
static size_t count;

static void read_lines(void)
{
    FILE *table = fopen("messages.txt", "r");
    assert_non_null(table);
    for (count = 0; count < MOST && fgets(lines[count], LINE_BYTES, table); count++)
        lines[count][strcspn(lines[count], "\n")] = 0;
    assert_true(feof(table));
    assert_int_equal(fclose(table), 0);
}

static void make_printable(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            *text = '?';
    }
}

static void test_messages(void **state)
{
    size_t wrong = 0;
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char path[LINE_BYTES], told[LINE_BYTES] = "";
        char *bar = strstr(lines[i], " | ");
        assert_non_null(bar);
        snprintf(path, sizeof(path), "%.*s", (int)(bar - lines[i]), lines[i]);
        find_parser(path)(path, told);
        make_printable(told);
        if (!*told || strcmp(told, bar + 3) != 0) {
            fprintf(stderr, "%s | %s\n", path, *told ? told : "(it is taken)");
            wrong++;
        }
    }
    fprintf(stderr, "# %zu bad files, each with the message it gets\n", count);
    assert_int_equal(wrong, 0);
    assert_between(count, 200, MOST);
}

static bool has_line(const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(lines[i], path, length) == 0 && strncmp(lines[i] + length, " | ", 3) == 0)
            return true;
    }
    return false;
}

/* A file without a line would be tested by nobody. */
static void test_every_file_has_a_line(void **state)
{
    size_t found = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        DIR *folder = opendir(kinds[i].folder);
        assert_non_null(folder);
        for (struct dirent *item = readdir(folder); item; item = readdir(folder)) {
            char path[LINE_BYTES];
            if (item->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", kinds[i].folder, item->d_name);
            if (!has_line(path))
                fail_msg("%s has no line in messages.txt", path);
            found++;
        }
        assert_int_equal(closedir(folder), 0);
    }
    assert_int_equal(found, count);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_every_file_has_a_line),
    };
    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "usage: test_corpus FOLDER (tests/corpus)\n");
        return 2;
    }
    read_lines();
    return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
