/* What the commands share: errors, the library's devices, options, JSON, a bar of progress. */
#ifndef ANYNORM_CLI_CLI_H
#define ANYNORM_CLI_CLI_H

#include <anynorm/anynorm.h>

#include "platform/printf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Elements of an array. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Commands ---- */

/* Each gets the arguments from its own name on (argv[0] is "devices") and returns the exit status,
 * its error already printed. */
int cli_bench(int argc, char **argv);
int cli_devices(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_norm(int argc, char **argv); /* layer-norm and its family */
int cli_tune(int argc, char **argv);
int cli_verify(int argc, char **argv);

/* ---- Errors: one line each, "anynorm: SUBJECT: what is wrong; what would be right" ---- */

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1, /* the work failed: device, writing, memory */
    CLI_USAGE = 2   /* bad usage or bad input */
};

/* There is one, the last: what fails returns false and has filled it in, and the command tells it
 * and ends. */
extern struct cli_error {
    int exit_status;
    char text[1024]; /* without "anynorm: " */
} cli_error;

/* Fills in the error. `subject` is the file or option it is about; a long one loses its beginning.
 * Returns false, so that a function can end in `return cli_fail(...)`. */
AN_PRINTF(3, 4) bool cli_fail(int exit_status, const char *subject, const char *format, ...);

/* Whose affair it is that a call on a file failed with this errno: CLI_FAILED where it is the
 * machine's, which lacks something or whose disk fails, else CLI_USAGE. */
int cli_exit_of(int number);

/* Prints the error on stderr as one line, control characters replaced; returns its exit status. */
int cli_error_print(void);

/* Flushes stdout; false with CLI_FAILED where something printed there could not be written. */
bool cli_flush_stdout(void);

/* ---- The library ---- */

/* Fails with the library's message for the failed call; returns false. What the user asked for
 * wrongly (invalid argument, unsupported) is CLI_USAGE, all else CLI_FAILED. */
bool cli_fail_library(const char *subject, anynorm_status status);

/* Opens the device of --device, or the default one where `name` is NULL. */
bool cli_open_device(const char *name, anynorm_device **device);

/* Opens the reference, against which a device that was opened before is checked: what masks that
 * device is not to mask its oracle. */
bool cli_open_oracle(anynorm_device **oracle);

/* One line on stdout: which device a table is about. */
void cli_print_device(const anynorm_device_info *info);

/* Sends the library's log to stderr at the level of $ANYNORM_LOG. */
bool cli_start_log(void);

/* ---- Options ---- */

/* Options of a command, as a table: what is parsed and what --help prints come from the same row.
 * Accepted: --name VALUE, --name=VALUE, -x VALUE, -xVALUE (but not -x=VALUE), flags without a
 * value; "--" ends the options. Every command has --help and -h. */
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
    unsigned commands; /* where some share a table: bits of those that have it, 0: all; not read */
};

struct cli_command {
    const char *name;
    const char *summary;      /* one sentence */
    const char *notes;        /* lines after the options, each with its newline; or NULL */
    const char *operand_name; /* such as INPUT; NULL: the command takes none */
    const char **operand;     /* NULL before; exactly one is demanded where there is a name */
    bool operand_optional;    /* or one at most */
    const struct cli_option *options;
    size_t option_count; /* 64 at most */
};

/* True: go on. False: return *exit_status, as the help or the error has been printed. */
bool cli_parse(const struct cli_command *command, int argc, char **argv, int *exit_status);

/* ---- JSON ---- */

/* Strict JSON (RFC 8259), in UTF-8 as RFC 3629 has it. It is read piece by piece: the caller says
 * what has to come next, so a text cannot nest deeper than the caller's own functions do. */

/* What is left of the text. */
struct json_reader {
    const char *at;
    const char *end;
};

/* Takes `c`, and the white space before it, if it comes next. */
bool json_take(struct json_reader *reader, char c);

/* Takes a string and decodes it into `out`, which must have room for what is left of the text;
 * *length bytes, without a zero. False: none comes next, or it is malformed. */
bool json_string(struct json_reader *reader, char *out, size_t *length);

/* Takes an integer of 0 to 2^64 - 1 without a fraction or an exponent. */
bool json_count(struct json_reader *reader, uint64_t *value);

/* JSON that is written: a text that grows, zeroed at first. Once memory lacked nothing is added any
 * more, which json_is_whole tells. */
struct json_text {
    FILE *stream; /* where it goes at once, and takes no memory; NULL: it is kept */
    char *text;   /* NULL: nothing yet */
    size_t length;
    size_t capacity;
    bool lacks_memory;
};

/* Adds what printf would print. */
AN_PRINTF(2, 3) void json_add(struct json_text *json, const char *format, ...);

/* In quotes, escaped; bytes that are no UTF-8 become U+FFFD, and what could end a script that the
 * text is put into is escaped, too. */
void json_add_string(struct json_text *json, const char *text);

/* With so many digits at most; null where it is no finite number, which JSON has not. */
void json_add_number(struct json_text *json, double value, int digits);

/* False, CLI_FAILED, where memory lacked. */
bool json_is_whole(const struct json_text *json, const char *subject);

/* Puts it on stdout, likewise. */
bool json_print(const struct json_text *json, const char *subject);

void json_free(struct json_text *json);

/* ---- Progress ---- */

/* A bar on stderr for work that lasts: only on a terminal, only after half a second. */
struct progress {
    uint64_t total;
    bool terminal;
    bool drawn;
    double started; /* seconds */
    double last;
};

void progress_start(struct progress *progress, uint64_t total);
void progress_update(struct progress *progress, uint64_t done);
/* Erases the bar. Before anything else goes to the terminal. */
void progress_end(struct progress *progress);

#endif
