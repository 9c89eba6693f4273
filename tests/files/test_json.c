/* Strings of the JSON that the program prints: what no device's name has had yet is escaped, too,
 * and reads back as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#include "common/cli.h"

enum { MOST = 64 };

/* What json_print_string puts on stdout. */
static void print(const char *text, char printed[MOST])
{
    int kept = dup(STDOUT_FILENO);
    FILE *file = tmpfile();
    size_t length;
    assert_non_null(file);
    assert_int_equal(fflush(stdout), 0);
    assert_return_code(dup2(fileno(file), STDOUT_FILENO), 0);
    json_print_string(text);
    assert_int_equal(fflush(stdout), 0);
    assert_return_code(dup2(kept, STDOUT_FILENO), 0);
    assert_int_equal(close(kept), 0);
    rewind(file);
    length = fread(printed, 1, MOST - 1, file);
    printed[length] = '\0';
    assert_int_equal(fclose(file), 0);
}

static void strings_are_escaped(void **state)
{
    static const struct {
        const char *text;
        const char *printed;
    } cases[] = {
        {"", "\"\""},
        {"Arc A770", "\"Arc A770\""},
        {"\"a\\b\"", "\"\\\"a\\\\b\\\"\""},
        {"one\ntwo\x1f\x7f", "\"one\\u000atwo\\u001f\\u007f\""},
        {"Gr\xc3\xa4\xc3\x9f", "\"Gr\xc3\xa4\xc3\x9f\""},
        {"\xe2\x82\xac \xf0\x9f\x99\x82", "\"\xe2\x82\xac \xf0\x9f\x99\x82\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char printed[MOST], again[MOST];
        size_t length;
        print(cases[i].text, printed);
        assert_string_equal(printed, cases[i].printed);
        struct json_reader reader = {printed, printed + strlen(printed)};
        assert_true(json_string(&reader, again, &length));
        assert_int_equal(length, strlen(cases[i].text));
        assert_memory_equal(again, cases[i].text, length);
        assert_ptr_equal(reader.at, reader.end);
    }
}

/* Each such byte becomes one U+FFFD. */
static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    static const struct {
        const char *text;
        const char *printed;
    } cases[] = {
        {"a\xff", "\"a\\ufffd\""},
        {"\x80", "\"\\ufffd\""},
        {"\xc3", "\"\\ufffd\""},                       /* cut */
        {"\xc3z", "\"\\ufffdz\""},                     /* likewise, by another character */
        {"\xc0\x80", "\"\\ufffd\\ufffd\""},            /* overlong */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char printed[MOST];
        print(cases[i].text, printed);
        assert_string_equal(printed, cases[i].printed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
