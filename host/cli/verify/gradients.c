#include "gradients.h"

#include "gradient_bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is compared with: each gradient in double; of sums, the squares of their terms; and what is
 * given for the columns of a row. */
struct exact {
    double *of[TENSORS];
    double *squares[TENSORS];
    struct gradient_column *columns;
};

static bool is_saved(const struct work *w, enum cli_tensor tensor, uint32_t flag)
{
    return tensor_info(&w->c->spec, (int)tensor, 1).present && (w->c->spec.flags & flag);
}

void gradients_save(struct work *w)
{
    const anynorm_spec *spec = &w->c->spec;
    size_t bytes = (size_t)w->c->rows * sizeof(float);

    if (is_saved(w, TENSOR_MEAN, ANYNORM_MEAN_OUTPUT))
        memcpy(w->before[TENSOR_MEAN], w->mean, bytes);
    if (is_saved(w, TENSOR_RSTD, ANYNORM_RSTD_OUTPUT))
        memcpy(w->before[TENSOR_RSTD], w->rstd, bytes);
    if (!is_saved(w, TENSOR_SUM, ANYNORM_SUM_OUTPUT))
        return;
    for (uint64_t i = 0; i < w->c->rows * spec->columns; i++)
        anynorm_dtype_store(spec->sum.type, w->before[TENSOR_SUM],
                            tensor_element(spec, TENSOR_SUM, i / spec->columns, i % spec->columns),
                            w->h[i]);
}

/* ---- Asking the reference ---- */

/* The spec with each gradient in double. */
static anynorm_spec in_double(const anynorm_spec *spec)
{
    anynorm_spec exact = *spec;
    anynorm_dtype *const types[] = {
        [TENSOR_DX] = &exact.gradients.dx.type,
        [TENSOR_DRESIDUAL] = &exact.gradients.dresidual.type,
        [TENSOR_DWEIGHT] = &exact.gradients.parameters,
        [TENSOR_DBIAS] = &exact.gradients.parameters,
        [TENSOR_DPRE_BIAS] = &exact.gradients.parameters,
        [TENSOR_DGATE] = &exact.gradients.samples,
        [TENSOR_DSCALE] = &exact.gradients.samples,
        [TENSOR_DSHIFT] = &exact.gradients.samples,
    };

    for (int t = TENSOR_DX; t <= TENSOR_DSHIFT; t++) {
        if (tensor_info(spec, t, 1).present)
            *types[t] = ANYNORM_F64;
    }
    return exact;
}

static bool make_memory(const struct work *w, struct exact *exact)
{
    exact->columns = calloc((size_t)w->c->spec.columns, sizeof *exact->columns);
    for (int t = TENSOR_DX; t <= TENSOR_DSHIFT; t++) {
        struct cli_tensor_info info = tensor_info(&w->c->spec, t, w->c->rows);

        if (!info.present)
            continue;
        exact->of[t] = calloc((size_t)info.count, sizeof(double));
        exact->squares[t] = calloc((size_t)info.count, sizeof(double));
        if (!exact->of[t] || !exact->squares[t])
            return false;
        for (uint64_t i = 0; i < info.count; i++) /* what is accumulated begins alike */
            exact->of[t][i] = anynorm_dtype_load(info.type, w->before[t], i);
    }
    return exact->columns;
}

static void free_memory(struct exact *exact)
{
    for (int t = 0; t < TENSORS; t++) {
        free(exact->of[t]);
        free(exact->squares[t]);
    }
    free(exact->columns);
}

static anynorm_status ask(anynorm_device *reference, const struct work *w, struct exact *exact)
{
    const anynorm_spec spec = in_double(&w->c->spec);
    unsigned char *before[TENSORS], *after[TENSORS] = {NULL};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(reference, &spec, NULL, &plan);

    memcpy(before, w->before, sizeof before);
    before[TENSOR_WORKSPACE] = NULL; /* this plan's is of another size */
    for (int t = TENSOR_DX; t <= TENSOR_DSHIFT; t++)
        before[t] = after[t] = (unsigned char *)exact->of[t];
    if (status == ANYNORM_OK)
        status = work_run(reference, plan, &spec, w->c->rows, 0, before, after);
    anynorm_plan_destroy(plan);
    return status;
}

/* ---- Comparing ---- */

/* `column` of w->row, which are the tensor's own. */
static void compare(struct work *w, const struct exact *exact, int tensor, uint64_t column,
                    uint64_t element, double scale)
{
    struct cli_tensor_info info = tensor_info(&w->c->spec, tensor, 1);
    double got = anynorm_dtype_load(info.type, w->after[tensor], element);
    double expected = exact->of[tensor][element];
    double error = gradient_error(&w->c->spec, info.type, got, expected, scale);

    w->result->gradients[tensor] = fmax(w->result->gradients[tensor], error);
    w->result->error = fmax(w->result->error, error);
    work_count(w, (enum cli_tensor)tensor, column, got, expected, error / GRADIENT_BOUND);
}

static void find_columns(const struct work *w, struct gradient_column *columns)
{
    for (uint64_t c = 0; c < w->c->spec.columns; c++)
        columns[c] =
            (struct gradient_column){.factors = {.weight = work_input(w, TENSOR_WEIGHT, c, 1),
                                                 .bias = work_input(w, TENSOR_BIAS, c, 0),
                                                 .scale = work_input(w, TENSOR_SCALE, c, 0),
                                                 .shift = work_input(w, TENSOR_SHIFT, c, 0)},
                                     .gate = work_input(w, TENSOR_GATE, c, 1),
                                     .residual = work_input(w, TENSOR_RESIDUAL, c, 0),
                                     .dy = work_input(w, TENSOR_DY, c, 0),
                                     .dsum = work_input(w, TENSOR_DSUM, c, 0)};
}

/* Compares what belongs to the row, and adds the squares of its terms to those of the sums. */
static void compare_row(struct work *w, const struct exact *exact)
{
    const anynorm_spec *spec = &w->c->spec;
    double row_scale;

    work_find_row(w);
    if (spec->flags & ANYNORM_RSTD_OUTPUT) /* which was saved */
        w->oracle.rstd_error = 0;
    find_columns(w, exact->columns);
    row_scale = gradient_row_scale(spec, &w->oracle, exact->columns);
    for (int t = TENSOR_DX; t <= TENSOR_DSHIFT; t++) {
        for (uint64_t c = 0; exact->of[t] && c < spec->columns; c++) {
            uint64_t element = tensor_element(spec, t, w->row, c);
            double scale = gradient_scale(spec, (enum cli_tensor)t, &w->oracle, c,
                                          &exact->columns[c], row_scale);

            if (t >= TENSOR_DWEIGHT)
                exact->squares[t][element] += scale * scale;
            else
                compare(w, exact, t, c, element, scale);
        }
    }
}

static void compare_sums(struct work *w, const struct exact *exact)
{
    for (int t = TENSOR_DWEIGHT; t <= TENSOR_DSHIFT; t++) {
        struct cli_tensor_info info = tensor_info(&w->c->spec, t, w->c->rows);

        for (uint64_t i = 0; i < info.count; i++) {
            w->row = i / info.period;
            compare(w, exact, t, i % info.period, i,
                    gradient_sum_scale(exact->squares[t][i], exact->of[t][i]));
        }
    }
}

anynorm_status gradients_compare(anynorm_device *reference, struct work *w)
{
    struct exact exact = {.columns = NULL};
    anynorm_status status =
        make_memory(w, &exact) ? ask(reference, w, &exact) : ANYNORM_OUT_OF_MEMORY;

    if (status == ANYNORM_OK) {
        for (w->row = 0; w->row < w->c->rows; w->row++)
            compare_row(w, &exact);
        compare_sums(w, &exact);
    }
    free_memory(&exact);
    return status;
}
