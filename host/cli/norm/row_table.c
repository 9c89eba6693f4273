#include "row_table.h"

#include "sum.h"
#include "preview.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHOLE = 20, EDGE = 8 };

bool row_table_init(struct row_table *table, uint64_t rows, const anynorm_spec *spec,
                    struct cli_error *error)
{
    table->rows = shown_of(rows, WHOLE, EDGE);
    table->centred = !(spec->flags & ANYNORM_RMS);
    table->what = table->centred             ? "variance"
                  : spec->flags & ANYNORM_L2 ? "square-sum"
                                             : "mean-square";
    table->stats = malloc((size_t)(shown_count(table->rows) + 1) * sizeof *table->stats);
    return table->stats || cli_fail(error, CLI_FAILED, "--stats", "out of memory");
}

void row_table_free(struct row_table *table)
{
    free(table->stats);
    table->stats = NULL;
}

/* By two passes; what rounding left in the mean is taken out again. Without a mean, the mean
 * square, or the sum of squares. */
static double variance_of(const anynorm_spec *spec, const anynorm_host_tensors *tensors,
                          uint64_t row)
{
    bool centred = !(spec->flags & ANYNORM_RMS);
    double origin = centred ? norm_sum_at(spec, tensors, row, 0) : 0.0;
    double count = (double)spec->columns;
    double divisor = spec->flags & ANYNORM_L2         ? 1.0
                     : spec->flags & ANYNORM_UNBIASED ? count - 1.0
                                                      : count;
    double sum = 0.0;
    double squares = 0.0;
    double mean = 0.0;

    if (centred) {
        for (uint64_t c = 0; c < spec->columns; c++)
            sum += norm_sum_at(spec, tensors, row, c) - origin;
        mean = origin + sum / count;
        sum = 0.0;
    }
    for (uint64_t c = 0; c < spec->columns; c++) {
        double off = norm_sum_at(spec, tensors, row, c) - mean;

        sum += centred ? off : 0.0;
        squares += off * off;
    }
    return (squares - sum / count * sum) / divisor;
}

void row_table_take(struct row_table *table, const anynorm_spec *spec,
                    const anynorm_host_tensors *tensors, uint64_t first, uint64_t count)
{
    for (uint64_t k = 0; k < shown_count(table->rows); k++) {
        uint64_t row = shown_index(table->rows, k);
        uint64_t at = row - first;

        if (row < first || at >= count)
            continue;
        table->stats[k].mean = table->centred ? (double)tensors->mean[at] : 0.0;
        table->stats[k].variance = variance_of(spec, tensors, at);
        table->stats[k].rstd = (double)tensors->rstd[at];
    }
}

void row_table_print(const struct row_table *table)
{
    uint64_t rows = shown_count(table->rows);
    char text[NUMBER_TEXT];
    char last[24];
    int width;

    snprintf(last, sizeof last, "%" PRIu64, table->rows.total ? table->rows.total - 1 : 0);
    width = (int)strlen(last) > 3 ? (int)strlen(last) : 3;
    printf("%*s", width, "row");
    if (table->centred)
        printf(" %13s", "mean");
    printf(" %13s %13s\n", table->what, "rstd");
    for (uint64_t k = 0; k < rows; k++) {
        const struct row_stats *row = &table->stats[k];

        if (shown_gap(table->rows, k))
            puts("...");
        printf("%*" PRIu64, width, shown_index(table->rows, k));
        if (table->centred)
            printf(" %13s", number_text(row->mean, text));
        printf(" %13s", number_text(row->variance, text));
        printf(" %13s\n", number_text(row->rstd, text));
    }
}
