/* A matrix on the terminal, shortened: collected from the blocks as they pass, then printed. */
#ifndef ANYNORM_CLI_PREVIEW_H
#define ANYNORM_CLI_PREVIEW_H

#include "common/error.h"
#include "shown.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct preview {
    struct shown rows;
    struct shown columns;
    double *values; /* [shown rows][shown columns] */
};

/* Free with preview_free, also after a failure; a zeroed one is fine. */
bool preview_init(struct preview *preview, uint64_t rows, uint64_t columns,
                  struct cli_error *error);
void preview_free(struct preview *preview);

/* Takes what is shown of `count` dense rows at `data`, the first of which is row `first`. */
void preview_take(struct preview *preview, anynorm_dtype type, const void *data, uint64_t first,
                  uint64_t count);

/* One line per row on stdout, 6 significant digits, aligned; "..." where something is left out. */
void preview_print(const struct preview *preview);

/* %.6g, but never "-nan". */
enum { NUMBER_TEXT = 32 };
const char *number_text(double value, char text[NUMBER_TEXT]);

#endif
