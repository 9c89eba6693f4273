/* Each row of docs/conventions.md: what another library computes, by a formula of its own, against
 * the spec that the row names. */
#ifndef AN_TESTS_CONVENTIONS_H
#define AN_TESTS_CONVENTIONS_H

#include "schedules.h"

#define ROWS 12
#define COLUMNS 60
#define COUNT_OF_X (ROWS * COLUMNS)
#define EPS 1e-3
#define SHARDS 3

/* Tensors of distinct values, so that a formula that takes the wrong one fails. */
struct room {
    float x[COUNT_OF_X], residual[COUNT_OF_X], gate[COUNT_OF_X], scale[COUNT_OF_X],
        shift[COUNT_OF_X];
    float weight[COUNT_OF_X], bias[COUNT_OF_X], pre_bias[COLUMNS];
    float y[COUNT_OF_X], sum[COUNT_OF_X], mean[ROWS], rstd[ROWS];
    float partials[SHARDS][ROWS][3], shard_of_x[COUNT_OF_X];
    double expected[COUNT_OF_X];
};

/* To be freed. */
struct room *make_room(void);

/* Puts each tensor of the spec into a buffer of its own, but where two are one, as `host` has them.
 * False where the schedule does not serve the spec; in the short form each spec is for one. */
bool run(struct subject *subject, const anynorm_spec *spec, uint64_t rows,
         const anynorm_host_tensors *host);

/* Runs the spec in f32 and compares y with v->expected. */
bool expect(void **state, const anynorm_spec *spec, struct room *v, uint64_t rows,
            const anynorm_host_tensors *tensors);

/* Of `count` numbers that lie `step` apart. */
double mean_of(const double *h, size_t count, size_t step);
double variance_of(const double *h, size_t count, size_t step, double about, size_t over);

/* expected = h of each row, to be normalized in place. */
void expect_values(struct room *v, const float *x);
void layer_norm(struct room *v, double eps);
void rms_norm(struct room *v, double eps);
void affine(struct room *v, const float *weight, double plus, const float *bias);

#endif
