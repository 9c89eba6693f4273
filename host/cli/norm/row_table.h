/* What --stats prints: mean, variance and rstd of each row, shortened. */
#ifndef ANYNORM_CLI_ROW_TABLE_H
#define ANYNORM_CLI_ROW_TABLE_H

#include "common/error.h"
#include "shown.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stdint.h>

struct row_stats {
    double mean;
    double variance; /* or what takes its place, see row_table.what */
    double rstd;
};

struct row_table {
    struct shown rows;
    bool centred;            /* else there is no mean */
    const char *what;        /* variance, mean-square or square-sum */
    struct row_stats *stats; /* of the rows that are shown */
};

/* Free with row_table_free, also after a failure; a zeroed one is fine. */
bool row_table_init(struct row_table *table, uint64_t rows, const anynorm_spec *spec,
                    struct cli_error *error);
void row_table_free(struct row_table *table);

/* Takes what is shown of `count` dense rows from row `first` on, with which the tensors begin. Mean
 * and rstd are theirs; the variance is computed here in double from what is normalized, since
 * 1/rstd^2 - eps loses all digits of a variance that is small beside eps. */
void row_table_take(struct row_table *table, const anynorm_spec *spec,
                    const anynorm_host_tensors *tensors, uint64_t first, uint64_t count);

void row_table_print(const struct row_table *table);

#endif
