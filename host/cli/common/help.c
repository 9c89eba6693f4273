#include "options.h"

#include <stdio.h>

enum { HELP_COLUMN = 26 };

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

void cli_help_print(const struct cli_command *command)
{
    printf("usage: anynorm %s%s%s%s\n\n%s\n\noptions:\n", command->name,
           command->operand_name ? " " : "", command->operand_name ? command->operand_name : "",
           command->option_count ? " [options]" : "", command->summary);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];

        print_option(option->letter, option->name, option->kind == CLI_FLAG ? NULL : option->value,
                     option->help);
    }
    print_option('h', "help", NULL, "print this text");
    if (command->notes)
        printf("\n%s", command->notes);
}
