/* The norms that are measured, by name: each a spec but for its shape and type. */
#ifndef ANYNORM_CLI_OPS_H
#define ANYNORM_CLI_OPS_H

#include "common/lists.h"

struct op {
    const char *name;
    const char *spec; /* the text of a spec; ROWSxCOLUMNS and the type come after the first word */
    const char *shapes; /* those that it is for; NULL: any */
    const char *tuning; /* the word of a tuning database for it; NULL: none is needed */
    const char *help;
};

enum { OPS_MOST = 16 };

struct op_list {
    const struct op *ops[OPS_MOST]; /* none twice */
    size_t count;
};

/* "rms-norm,adaptive". CLI_USAGE names the part that is wrong, and all names there are. */
bool ops_parse(const char *subject, const char *text, struct op_list *list,
               struct cli_error *error);

/* The spec of such words (the op's `spec`) in a shape and type; false, with the library's message,
 * where they cannot have that shape. */
bool spec_of_words(const char *words, anynorm_dtype type, const struct shape *shape,
                   anynorm_spec *spec);

/* The names and what they are, a line for each, for --help; static. */
const char *ops_help(void);

#endif
