/* Options of a command, as a table: what is parsed and what --help prints come from the same row.
 * Accepted: --name VALUE, --name=VALUE, -x VALUE, -xVALUE (but not -x=VALUE), flags without a
 * value; "--" ends the options. Every command has --help and -h. */
#ifndef ANYNORM_CLI_OPTIONS_H
#define ANYNORM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_option_kind {
    CLI_FLAG,    /* sets *flag to true */
    CLI_TEXT,    /* *text points into argv */
    CLI_INTEGER, /* decimal, from `least` to `most` */
    CLI_NUMBER,  /* a finite double */
    CLI_CHOICE   /* index of one of the words of `choices` */
};

/* One option. The target that belongs to the kind is written only if the option is given, so it
 * holds the default before. `given`, which may be NULL for every kind, tells. */
struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* of the short form, or 0 */
    enum cli_option_kind kind;
    const char *value; /* what --help calls the value */
    const char *help;  /* one line, with the default */
    bool *flag;
    const char **text;
    int64_t *integer;
    int64_t least, most; /* of an integer */
    double *number;
    size_t *choice;
    const char *const *choices; /* NULL after the last */
    bool *given;
};

struct cli_command {
    const char *name;
    const char *summary;      /* one sentence */
    const char *notes;        /* lines after the options, each with its newline; or NULL */
    const char *operand_name; /* such as INPUT; NULL: the command takes none */
    const char **operand;     /* exactly one is demanded where there is a name */
    const struct cli_option *options;
    size_t option_count; /* 64 at most */
};

/* True: go on. False: return *exit_status, as the help or the error has been printed. */
bool cli_parse(const struct cli_command *command, int argc, char **argv, int *exit_status);

#endif
