/* What --help says of the norms, beside their options. */
#ifndef ANYNORM_CLI_NORM_TEXT_H
#define ANYNORM_CLI_NORM_TEXT_H

#include "options.h"

struct norm_text {
    const char *name; /* the command */
    const char *summary;
    const char *notes;
};

extern const struct norm_text norm_texts[NORM_KINDS];

#endif
