#include "case.h"

#include "gradients.h"
#include "work.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool verify_is_plain(const anynorm_spec *spec)
{
    const uint32_t plain =
        ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;

    return !spec->gradients.flags && !(spec->flags & ~plain) &&
           spec->parameters.weight_offset == 0 && spec->parameters.rows <= 1 &&
           spec->parameters.run <= 1 && spec->parameters.cycle == 0;
}

/* ---- Comparing ---- */

/* What is no number must not be one. */
static void demand(const struct work *w, bool right, enum cli_tensor tensor, uint64_t column,
                   double got, double expected)
{
    if (right)
        return;
    w->result->error = (double)INFINITY;
    work_count(w, tensor, column, got, expected, (double)INFINITY);
}

/* The error of a plain case's y, in the unit that its bound is in. */
static double plain_error(const struct work *w, uint64_t column, double got)
{
    const anynorm_spec *spec = &w->c->spec;
    bool wide = spec->x.type == ANYNORM_F64 && spec->y.type == ANYNORM_F64;
    double y = w->oracle.y[column], difference = fabs(got - y);
    double scale = fabs(work_input(w, TENSOR_WEIGHT, column, 1));

    scale = fmax(scale * fmax(1, fabs(w->oracle.n[column])), fabs(y));
    if (!isfinite(difference))
        return (double)INFINITY;
    if (spec->y.type == ANYNORM_F16 || spec->y.type == ANYNORM_BF16)
        difference = fmax(0, difference - 0.5 * bounds_unit(spec->y.type, y));
    return bounds_share(difference, 0, scale * (wide ? 0x1p-52 : 0x1p-23));
}

static void compare_y(const struct work *w, uint64_t column)
{
    const anynorm_spec *spec = &w->c->spec;
    double expected = w->oracle.y[column];
    double got = anynorm_dtype_load(spec->y.type, w->after[TENSOR_Y],
                                    tensor_element(spec, TENSOR_Y, w->row, column));

    if (!isfinite(w->oracle.n[column])) {
        demand(w, bounds_hold_no_number(spec, expected, got), TENSOR_Y, column, got, expected);
    } else if (verify_is_plain(spec)) {
        double error = plain_error(w, column, got);

        w->result->error = fmax(w->result->error, error);
        work_count(w, TENSOR_Y, column, got, expected, error / VERIFY_BOUND);
    } else {
        const struct bounds_factors factors = {.weight = work_input(w, TENSOR_WEIGHT, column, 1),
                                               .bias = work_input(w, TENSOR_BIAS, column, 0),
                                               .scale = work_input(w, TENSOR_SCALE, column, 0),
                                               .shift = work_input(w, TENSOR_SHIFT, column, 0)};

        work_count(w, TENSOR_Y, column, got, expected,
                   bounds_share(got, expected, bounds_of_y(spec, &w->oracle, column, &factors)));
    }
}

static void compare_statistic(const struct work *w, enum cli_tensor tensor, double expected,
                              double bound)
{
    double got;

    if (!tensor_info(&w->c->spec, (int)tensor, 1).output)
        return;
    got = anynorm_dtype_load(ANYNORM_F32, w->after[tensor], w->row);
    if (isfinite(w->oracle.mean) && isfinite(w->oracle.rstd))
        work_count(w, tensor, 0, got, expected, bounds_share(got, expected, bound));
    else
        demand(w, !isfinite(got), tensor, 0, got, expected);
}

static void compare_row(struct work *w)
{
    const anynorm_spec *spec = &w->c->spec;

    work_find_row(w);
    for (uint64_t c = 0; c < spec->columns; c++) {
        compare_y(w, c);
        if (spec->flags & ANYNORM_SUM_OUTPUT) {
            double got = anynorm_dtype_load(spec->sum.type, w->after[TENSOR_SUM],
                                            tensor_element(spec, TENSOR_SUM, w->row, c));

            demand(w, bounds_hold_sum(spec, &w->oracle, c, got), TENSOR_SUM, c, got,
                   w->oracle.h[c]);
        }
    }
    compare_statistic(w, TENSOR_MEAN, w->oracle.mean, bounds_of_mean(&w->oracle));
    compare_statistic(w, TENSOR_RSTD, w->oracle.rstd, bounds_of_rstd(&w->oracle));
}

static void check_tails(const struct work *w)
{
    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info = tensor_info(&w->c->spec, t, 1);
        uint64_t begin = info.output ? w->size[t] - WORK_GUARD : 0;

        if (info.present && !w->result->wrong[0] &&
            memcmp(w->before[t] + begin, w->after[t] + begin, (size_t)(w->size[t] - begin)) != 0)
            snprintf(w->result->wrong, sizeof w->result->wrong,
                     "memory outside the outputs was written, in the buffer of %s", info.name);
    }
}

anynorm_status verify_case_run(anynorm_device *device, anynorm_device *reference,
                               const char *schedule, const struct verify_case *verify_case,
                               struct verify_result *result)
{
    struct work w;
    const anynorm_plan_options options = {.schedule = schedule};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(device, &verify_case->spec, &options, &plan);
    bool back = verify_case->spec.gradients.flags;

    *result = (struct verify_result){.error = 0};
    if (status != ANYNORM_OK)
        return status;
    status = work_make(&w, verify_case, plan);
    w.result = result;
    if (status == ANYNORM_OK)
        status = work_ask(reference, &w);
    if (status == ANYNORM_OK && back)
        gradients_save(&w);
    if (status == ANYNORM_OK)
        status = work_run(device, plan, &verify_case->spec, verify_case->rows, WORK_GUARD, w.before,
                          w.after);
    if (status == ANYNORM_OK && back)
        status = gradients_compare(reference, &w);
    for (; status == ANYNORM_OK && !back && w.row < verify_case->rows; w.row++)
        compare_row(&w);
    if (status == ANYNORM_OK)
        check_tails(&w);
    work_free(&w);
    anynorm_plan_destroy(plan);
    return status;
}
