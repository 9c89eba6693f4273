/* The JSON that the program writes: strings, of which what no device's name has had yet is escaped,
 * too, and reads back as it was; texts of any length; numbers. */
#include <math.h>
#include <string.h>

#include "support.h"

#include "common/cli.h"

enum { MOST = 64 };

/* What json_add_string makes of it. */
static void print(const char *text, char printed[MOST])
{
    struct json_text json = {.text = NULL};

    json_add_string(&json, text);
    assert_true(json_is_whole(&json, "test") && json.length < MOST);
    memcpy(printed, json.text, json.length + 1);
    json_free(&json);
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
        {"</script><!--", "\"\\u003c/script>\\u003c!--\""},
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

static void texts_grow(void **state)
{
    struct json_text json = {.text = NULL};
    (void)state;
    for (int i = 0; i < 10000; i++)
        json_add(&json, "%d,", i % 10);
    assert_int_equal(json.length, 20000);
    for (size_t i = 0; i < 10000; i++)
        assert_true(json.text[2 * i] == (char)('0' + i % 10) && json.text[2 * i + 1] == ',');
    assert_int_equal(json.text[json.length], 0);
    json_free(&json);
}

static void numbers_are_finite(void **state)
{
    struct json_text json = {.text = NULL};
    const double values[] = {0, -1.5, 0.1, 1e300, (double)NAN, (double)INFINITY, -(double)INFINITY};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_add(&json, " ");
        json_add_number(&json, values[i], 7);
    }
    assert_string_equal(json.text, " 0 -1.5 0.1 1e+300 null null null");
    json_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(texts_grow),
        cmocka_unit_test(numbers_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
