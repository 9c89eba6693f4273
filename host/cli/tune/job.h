/* Tuning one op, type and number of columns: the choices there are, which of them are right, how
 * fast they are, and what that says. */
#ifndef ANYNORM_CLI_TUNE_JOB_H
#define ANYNORM_CLI_TUNE_JOB_H

#include "cases/norms.h"
#include "common/progress.h"
#include "lines.h"

/* What the jobs of one run share. */
struct tune {
    anynorm_device *device;
    anynorm_device *reference;
    anynorm_device_info info;
    bool quick;
    struct tune_lines lines;
    uint64_t wrong; /* variants with wrong results */
    char first_wrong[640];
    struct progress progress;
    uint64_t stages_done; /* a stage verifies the variants of one spec, or times them at a shape */
    size_t step, steps;   /* within a stage */
};

/* What a stage counts for in `progress`. */
enum { TUNE_STEPS = 1000 };

/* Of the table that jobs print, and of an op's part of it. */
void tune_print_heading(void);
void tune_print_op(const struct op *op);

/* Tunes for `count` shapes of one number of columns and adds to the lines: in one stage, and one
 * for each shape. False, with *error, where the work itself fails; wrong results are counted. */
bool tune_job_run(struct tune *tune, const struct op *op, anynorm_dtype type,
                  const struct shape *shapes, size_t count, struct cli_error *error);

#endif
