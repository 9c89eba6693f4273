#include "row_table.h"

#include "preview.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE = 20, EDGE = 8 };

bool row_table_init(struct row_table *table, uint64_t rows, uint64_t columns,
                    struct cli_error *error)
{
    table->rows = shown_of(rows, WHOLE, EDGE);
    table->columns = columns;
    table->stats = malloc((shown_count(table->rows) + 1) * sizeof *table->stats);
    return table->stats || cli_fail(error, CLI_FAILED, "--stats", "out of memory");
}

void row_table_free(struct row_table *table)
{
    free(table->stats);
    table->stats = NULL;
}

/* The population variance, by two passes; what rounding left in the mean is taken out again. */
static double variance_of(anynorm_dtype type, const void *x, uint64_t begin, uint64_t columns)
{
    double origin = anynorm_dtype_load(type, x, begin);
    double count = (double)columns;
    double sum = 0.0;
    double squares = 0.0;
    double mean;

    for (uint64_t c = 0; c < columns; c++)
        sum += anynorm_dtype_load(type, x, begin + c) - origin;
    mean = origin + sum / count;
    sum = 0.0;
    for (uint64_t c = 0; c < columns; c++) {
        double off = anynorm_dtype_load(type, x, begin + c) - mean;

        sum += off;
        squares += off * off;
    }
    return squares / count - sum / count * (sum / count);
}

void row_table_take(struct row_table *table, anynorm_dtype type, const void *x, const float *mean,
                    const float *rstd, uint64_t first, uint64_t count)
{
    for (uint64_t k = 0; k < shown_count(table->rows); k++) {
        uint64_t row = shown_index(table->rows, k);
        uint64_t at = row - first;

        if (row < first || at >= count)
            continue;
        table->stats[k].mean = (double)mean[at];
        table->stats[k].variance = variance_of(type, x, at * table->columns, table->columns);
        table->stats[k].rstd = (double)rstd[at];
    }
}

void row_table_print(const struct row_table *table)
{
    uint64_t rows = shown_count(table->rows);
    char text[3][NUMBER_TEXT];
    char last[24];
    int width;

    snprintf(last, sizeof last, "%" PRIu64, table->rows.total ? table->rows.total - 1 : 0);
    width = (int)strlen(last) > 3 ? (int)strlen(last) : 3;
    printf("%*s %13s %13s %13s\n", width, "row", "mean", "variance", "rstd");
    for (uint64_t k = 0; k < rows; k++) {
        const struct row_stats *row = &table->stats[k];

        if (shown_gap(table->rows, k))
            puts("...");
        printf("%*" PRIu64 " %13s %13s %13s\n", width, shown_index(table->rows, k),
               number_text(row->mean, text[0]), number_text(row->variance, text[1]),
               number_text(row->rstd, text[2]));
    }
}
