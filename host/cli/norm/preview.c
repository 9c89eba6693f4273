#include "preview.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE_ROWS = 10, EDGE_ROWS = 4, WHOLE_COLUMNS = 8, EDGE_COLUMNS = 4 };

const char *number_text(double value, char text[NUMBER_TEXT])
{
    snprintf(text, NUMBER_TEXT, "%.6g", isnan(value) ? fabs(value) : value);
    return text;
}

bool preview_init(struct preview *preview, uint64_t rows, uint64_t columns, struct cli_error *error)
{
    preview->rows = shown_of(rows, WHOLE_ROWS, EDGE_ROWS);
    preview->columns = shown_of(columns, WHOLE_COLUMNS, EDGE_COLUMNS);
    /* One more, as malloc(0) may return NULL. */
    uint64_t count = shown_count(preview->rows) * shown_count(preview->columns) + 1;
    preview->values = malloc((size_t)count * sizeof *preview->values);
    return preview->values || cli_fail(error, CLI_FAILED, "standard output", "out of memory");
}

void preview_free(struct preview *preview)
{
    free(preview->values);
    preview->values = NULL;
}

void preview_take(struct preview *preview, anynorm_dtype type, const void *data, uint64_t first,
                  uint64_t count)
{
    uint64_t rows = shown_count(preview->rows);
    uint64_t columns = shown_count(preview->columns);

    for (uint64_t r = 0; r < rows; r++) {
        uint64_t row = shown_index(preview->rows, r);

        if (row < first || row - first >= count)
            continue;
        for (uint64_t c = 0; c < columns; c++) {
            uint64_t at = (row - first) * preview->columns.total + shown_index(preview->columns, c);

            preview->values[r * columns + c] = anynorm_dtype_load(type, data, at);
        }
    }
}

static int widest(const double *values, uint64_t count)
{
    char text[NUMBER_TEXT];
    size_t width = 1;

    for (uint64_t i = 0; i < count; i++) {
        size_t length = strlen(number_text(values[i], text));

        width = length > width ? length : width;
    }
    return (int)width;
}

void preview_print(const struct preview *preview)
{
    uint64_t rows = shown_count(preview->rows);
    uint64_t columns = shown_count(preview->columns);
    int width = widest(preview->values, rows * columns);
    char text[NUMBER_TEXT];

    for (uint64_t r = 0; r < rows; r++) {
        if (shown_gap(preview->rows, r))
            puts("...");
        for (uint64_t c = 0; c < columns; c++) {
            const char *number = number_text(preview->values[r * columns + c], text);

            printf("%s%s%*s", c ? " " : "", shown_gap(preview->columns, c) ? "... " : "", width,
                   number);
        }
        putchar('\n');
    }
}
