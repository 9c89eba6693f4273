#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(char *text, size_t capacity, const char *separator, const char *word)
{
    size_t used = strlen(text);

    snprintf(text + used, capacity - used, "%s%s", used ? separator : "", word);
}

static bool unknown_option(const struct cli_command *command, const char *argument)
{
    char known[600] = "";
    char name[40];

    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];

        if (option->letter) {
            snprintf(name, sizeof name, "-%c", option->letter);
            append(known, sizeof known, " ", name);
        }
        snprintf(name, sizeof name, "--%s", option->name);
        append(known, sizeof known, " ", name);
    }
    append(known, sizeof known, " ", "--help");
    return cli_fail(CLI_USAGE, argument, "no option of anynorm %s; there are %s", command->name,
                    known);
}

static bool parse_integer(const struct cli_option *option, const char *subject, const char *value)
{
    char *end = NULL;
    long long number;

    errno = 0;
    number = strtoll(value, &end, 10);
    if (end == value || *end || isspace((unsigned char)*value))
        return cli_fail(CLI_USAGE, subject, "'%.100s' is no integer; give one, such as 1", value);
    if (errno == ERANGE || number < option->least || number > option->most)
        return cli_fail(CLI_USAGE, subject, "%.100s is out of range; give %" PRId64 " to %" PRId64,
                        value, option->least, option->most);
    *option->integer = number;
    return true;
}

static bool parse_number(const struct cli_option *option, const char *subject, const char *value)
{
    char *end = NULL;
    double number;

    errno = 0;
    number = strtod(value, &end);
    if (end == value || *end || isspace((unsigned char)*value))
        return cli_fail(CLI_USAGE, subject, "'%.100s' is no number; give one, such as 1e-5", value);
    /* Subnormal numbers set ERANGE too, and are fine. */
    if (!isfinite(number) || (errno == ERANGE && number == 0.0))
        return cli_fail(CLI_USAGE, subject,
                        "'%.100s' is no finite number within the range of a double; give one, "
                        "such as 1e-5",
                        value);
    *option->number = number;
    return true;
}

static bool parse_choice(const struct cli_option *option, const char *subject, const char *value)
{
    char known[300] = "";

    for (size_t i = 0; option->choices[i]; i++) {
        if (strcmp(value, option->choices[i]) == 0) {
            *option->choice = i;
            return true;
        }
        append(known, sizeof known, ", ", option->choices[i]);
    }
    return cli_fail(CLI_USAGE, subject, "there is no '%.100s'; give one of %s", value, known);
}

static bool parse_value(const struct cli_option *option, const char *subject, const char *value)
{
    switch (option->kind) {
    case CLI_FLAG:
        *option->flag = true;
        return true;
    case CLI_TEXT:
        if (!*value)
            return cli_fail(CLI_USAGE, subject, "its value is empty; give a %s", option->value);
        *option->text = value;
        return true;
    case CLI_INTEGER:
        return parse_integer(option, subject, value);
    case CLI_NUMBER:
        return parse_number(option, subject, value);
    case CLI_CHOICE:
        return parse_choice(option, subject, value);
    }
    return false;
}

/* Index of the option `argument` names, or option_count; *value is what is written behind the name
 * in the same argument, or NULL. */
static size_t find_option(const struct cli_command *command, const char *argument,
                          const char **value)
{
    *value = NULL;
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];

        if (argument[1] == '-') {
            size_t length = strlen(option->name);

            if (strncmp(argument + 2, option->name, length) == 0 &&
                (argument[2 + length] == '\0' || argument[2 + length] == '=')) {
                *value = argument[2 + length] ? argument + 2 + length + 1 : NULL;
                return i;
            }
        } else if (option->letter && argument[1] == option->letter) {
            *value = argument[2] ? argument + 2 : NULL;
            return i;
        }
    }
    return command->option_count;
}

/* Parses the option at argv[*at]; *at then is the last argument it took. */
static bool parse_option(const struct cli_command *command, int argc, char **argv, int *at,
                         uint64_t *seen)
{
    const char *value;
    size_t index = find_option(command, argv[*at], &value);
    const struct cli_option *option = &command->options[index];
    char subject[48];

    if (index == command->option_count)
        return unknown_option(command, argv[*at]);
    if (argv[*at][1] == '-') {
        snprintf(subject, sizeof subject, "--%s", option->name);
    } else {
        snprintf(subject, sizeof subject, "-%c", option->letter);
    }
    /* As "--name=VALUE" is right, this is a slip sooner than a value that begins so. */
    if (argv[*at][1] != '-' && option->kind != CLI_FLAG && value && *value == '=')
        return cli_fail(CLI_USAGE, subject,
                        "no '=' comes between it and its value; write %s %s or --%s=%s", subject,
                        option->value, option->name, option->value);
    if (*seen & (uint64_t)1 << index)
        return cli_fail(CLI_USAGE, subject, "given twice; give it once");
    *seen |= (uint64_t)1 << index;
    if (option->kind == CLI_FLAG && value)
        return cli_fail(CLI_USAGE, subject, "takes no value; leave out '%.100s'", value);
    if (option->kind != CLI_FLAG && !value) {
        /* A forgotten value must not swallow the next option; "-1" is a value. */
        if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
            return cli_fail(CLI_USAGE, subject, "its value is missing; write %s %s", subject,
                            option->value);
        value = argv[++*at];
    }
    if (option->given)
        *option->given = true;
    return parse_value(option, subject, value);
}

static bool parse_operand(const struct cli_command *command, char *argument)
{
    if (!command->operand_name)
        return cli_fail(CLI_USAGE, argument, "anynorm %s takes options only; leave it out",
                        command->name);
    if (*command->operand)
        return cli_fail(CLI_USAGE, argument,
                        "one %s only, and '%.200s' is there already; leave one out",
                        command->operand_name, *command->operand);
    if (!*argument)
        return cli_fail(CLI_USAGE, command->operand_name, "it is empty; name a file");
    *command->operand = argument;
    return true;
}

enum { HELP_COLUMN = 29 };

static void print_option(char letter, const char *name, const char *value, const char *help)
{
    char left[80];
    int used;

    if (letter) {
        used = snprintf(left, sizeof left, "  -%c, --%s", letter, name);
    } else {
        used = snprintf(left, sizeof left, "      --%s", name);
    }
    if (value)
        snprintf(left + used, sizeof left - (size_t)used, " %s", value);
    printf("%-*s  %s\n", HELP_COLUMN, left, help);
}

static void print_help(const struct cli_command *command)
{
    printf("usage: anynorm %s", command->name);
    if (command->operand_name)
        printf(command->operand_optional ? " [%s]" : " %s", command->operand_name);
    printf("%s\n\n%s\n\noptions:\n", command->option_count ? " [options]" : "", command->summary);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];

        print_option(option->letter, option->name, option->kind == CLI_FLAG ? NULL : option->value,
                     option->help);
    }
    print_option('h', "help", NULL, "print this text");
    if (command->notes)
        printf("\n%s", command->notes);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static bool parse_all(const struct cli_command *command, int argc, char **argv)
{
    uint64_t seen = 0;
    bool options_ended = false;

    for (int i = 1; i < argc; i++) {
        if (!options_ended && strcmp(argv[i], "--") == 0) {
            options_ended = true;
        } else if (!options_ended && argv[i][0] == '-' && argv[i][1]) {
            if (!parse_option(command, argc, argv, &i, &seen))
                return false;
        } else if (!parse_operand(command, argv[i])) {
            return false;
        }
    }
    if (command->operand_name && !command->operand_optional && !*command->operand)
        return cli_fail(CLI_USAGE, command->operand_name,
                        "missing; write anynorm %s %s, or anynorm %s --help for the options",
                        command->name, command->operand_name, command->name);
    return true;
}

bool cli_parse(const struct cli_command *command, int argc, char **argv, int *exit_status)
{
    if (wants_help(argc, argv)) {
        print_help(command);
        *exit_status = cli_flush_stdout() ? CLI_DONE : cli_error_print();
        return false;
    }
    if (!parse_all(command, argc, argv)) {
        *exit_status = cli_error_print();
        return false;
    }
    return true;
}
