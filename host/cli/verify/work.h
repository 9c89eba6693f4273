/* A case of `anynorm verify` at work: its memory, what the reference says, and what is wrong.
 *
 * The tests share the bounds and the made data. Their oracle (tests/support/oracle.c) is another:
 * it asks the reference's own function for a row, of any strides, shards and quantized outputs;
 * this one has the public interface alone, by which whole tensors of packed rows are asked. */
#ifndef ANYNORM_CLI_VERIFY_WORK_H
#define ANYNORM_CLI_VERIFY_WORK_H

#include "bounds.h"
#include "case.h"

enum { WORK_GUARD = 64 };

/* Tensors are whole device buffers, `WORK_GUARD` bytes longer than the tensor; NULL where there is
 * none. Beside those of the spec there are, for gradients, those that the norm itself has. */
struct work {
    const struct verify_case *c;
    anynorm_spec forward; /* the case's without gradients */
    unsigned char *before[TENSORS];
    unsigned char *after[TENSORS];
    uint64_t size[TENSORS];
    double *y, *n, *h, *errors; /* the oracle's of all rows; h_error and n_error of one */
    float *mean, *rstd;
    uint64_t row; /* which is compared */
    struct bounds_row oracle;
    struct verify_result *result;
};

/* Memory with inputs made; `plan` is of the case's spec. To be freed whatever the status is. */
anynorm_status work_make(struct work *w, const struct verify_case *c, anynorm_plan *plan);
void work_free(struct work *w);

/* A tensor of the case. */
struct cli_tensor_info work_tensor(const struct work *w, int tensor);

/* Runs a plan of the spec on `device`: inputs from `before`, outputs into `after` where that is not
 * NULL, in buffers that are `guard` bytes longer than the tensors, which travel, too. */
anynorm_status work_run(anynorm_device *device, anynorm_plan *plan, const anynorm_spec *spec,
                        uint64_t rows, uint64_t guard, unsigned char *const before[TENSORS],
                        unsigned char *const after[TENSORS]);

/* Asks the reference for y, n, h, mean and rstd of the norm. */
anynorm_status work_ask(anynorm_device *reference, struct work *w);

/* An input's element for a column of the row; `missing` where there is no such tensor. */
double work_input(const struct work *w, enum cli_tensor tensor, uint64_t column, double missing);

/* Fills in `oracle` for the row. */
void work_find_row(struct work *w);

/* Counts an error that is a share of what is allowed, and tells of the first that is more. */
void work_count(const struct work *w, enum cli_tensor tensor, uint64_t column, double got,
                double expected, double share);

#endif
