/* The tests share the bounds and the made data. Their oracle (tests/support/oracle.c) is another:
 * it asks the reference's own function for a row, of any strides, shards and quantized outputs;
 * this one has the public interface alone, by which whole tensors of dense rows are asked. */
#include "case.h"

#include "bounds.h"
#include "cases/tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };

/* A case with its memory. Tensors are whole device buffers, `GUARD` bytes longer than the tensor;
 * NULL where the spec does not name one. */
struct work {
    const struct verify_case *c;
    unsigned char *before[TENSORS];
    unsigned char *after[TENSORS];
    uint64_t size[TENSORS];
    double *y, *n, *h, *errors; /* the oracle's of all rows; h_error and n_error of one */
    float *mean, *rstd;
    uint64_t row; /* which is compared */
    struct bounds_row oracle;
    struct verify_result *result;
};

bool verify_is_plain(const anynorm_spec *spec)
{
    const uint32_t plain =
        ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;

    return !(spec->flags & ~plain) && spec->parameters.weight_offset == 0 &&
           spec->parameters.rows <= 1 && spec->parameters.run <= 1 && spec->parameters.cycle == 0;
}

/* ---- Data ---- */

static double make_x(enum verify_values values, uint64_t row, uint64_t column,
                     struct random *random)
{
    double value = random_normal(random);

    switch (values) {
    case VERIFY_MEAN_1E4:
        return 1e4 + value;
    case VERIFY_MEAN_1E7:
        return 1e7 + value;
    case VERIFY_CONSTANT:
        return 3.140625;
    case VERIFY_OUTLIER_FIRST:
        return column == 0 ? 1e4 : value;
    case VERIFY_ALTERNATING:
        return column % 2 ? -0.7 : 0.7;
    case VERIFY_NOT_NUMBERS:
        if (row == 1 && column == 0)
            return (double)NAN;
        return row == 3 && column == 0 ? (double)INFINITY : value;
    default:
        return column % 97 == 5 ? 30 * value : value;
    }
}

static void fill_inputs(struct work *w)
{
    const anynorm_spec *spec = &w->c->spec;
    uint64_t rows = w->c->rows, most = 0;
    struct random random = {RANDOM_SEED + spec->columns * 31 + rows};
    struct cli_tensor_info infos[TENSORS];

    for (int t = 0; t < TENSORS; t++) {
        infos[t] = tensor_info(spec, t, rows);
        if (infos[t].count > most)
            most = infos[t].count;
    }
    for (uint64_t i = 0; i < rows * spec->columns; i++)
        anynorm_dtype_store(spec->x.type, w->before[TENSOR_X], i,
                            make_x(w->c->values, i / spec->columns, i % spec->columns, &random));
    for (uint64_t i = 0; i < most; i++) {
        for (int t = TENSOR_X + 1; t < TENSORS; t++) {
            if (!infos[t].output && i < infos[t].count)
                anynorm_dtype_store(infos[t].type, w->before[t], i, random_input(spec, t, &random));
        }
    }
}

static bool make_memory(struct work *w)
{
    uint64_t rows = w->c->rows, columns = w->c->spec.columns, count = rows * columns;

    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info = tensor_info(&w->c->spec, t, rows);

        if (!info.present)
            continue;
        w->size[t] = tensor_bytes(&info) + GUARD;
        w->before[t] = malloc((size_t)w->size[t]);
        w->after[t] = malloc((size_t)w->size[t]);
        if (!w->before[t] || !w->after[t])
            return false;
        /* A NaN in every type: what is read past the end poisons, what is not written shows. */
        memset(w->before[t], 0xff, (size_t)w->size[t]);
    }
    fill_inputs(w);
    if (count > SIZE_MAX / 4) /* not in a host of 32 bits */
        return false;
    w->y = calloc((size_t)(3 * count), sizeof(double));
    w->errors = calloc((size_t)(2 * columns), sizeof(double));
    w->mean = calloc((size_t)(2 * rows), sizeof(float));
    if (!w->y || !w->errors || !w->mean)
        return false;
    w->n = w->y + count;
    w->h = w->n + count;
    w->rstd = w->mean + rows;
    return true;
}

static void free_memory(struct work *w)
{
    for (int t = 0; t < TENSORS; t++) {
        free(w->before[t]);
        free(w->after[t]);
    }
    free(w->y);
    free(w->errors);
    free(w->mean);
}

/* Runs a plan of the spec on `device`: inputs from `before`, outputs into `after` where that is not
 * NULL, in buffers that are `guard` bytes longer than the tensors, which travel, too. */
static anynorm_status run(anynorm_device *device, anynorm_plan *plan, const anynorm_spec *spec,
                          uint64_t rows, uint64_t guard, unsigned char *const before[TENSORS],
                          unsigned char *const after[TENSORS])
{
    anynorm_tensors tensors = {0};
    anynorm_event event = {0};
    anynorm_status status = ANYNORM_OK;
    uint64_t sizes[TENSORS] = {0};

    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        struct cli_tensor_info info = tensor_info(spec, t, rows);

        if (!info.present)
            continue;
        sizes[t] = tensor_bytes(&info) + guard;
        status = anynorm_buffer_create(device, sizes[t], tensor_slot(&tensors, t));
        if (status == ANYNORM_OK)
            status = anynorm_buffer_write(device, tensor_slot(&tensors, t), before[t], sizes[t]);
    }
    if (status == ANYNORM_OK)
        status = anynorm_enqueue(plan, &tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK)
        status = anynorm_event_wait(&event);
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        if (sizes[t] > 0 && after[t])
            status = anynorm_buffer_read(device, tensor_slot(&tensors, t), after[t], sizes[t]);
    }
    anynorm_event_release(&event);
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(device, tensor_slot(&tensors, t));
    return status;
}

/* ---- Asking the reference ---- */

/* The spec with `flags` alone, y in double, and nothing said of tensors that it then has not. */
static anynorm_spec only(const anynorm_spec *spec, uint32_t flags)
{
    const uint32_t parameters = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_PRE_BIAS;
    anynorm_spec part = *spec;

    part.y.type = ANYNORM_F64;
    part.flags = flags;
    if (flags & ANYNORM_RSTD_INPUT)
        part.statistic.eps = 0;
    if (!(flags & ANYNORM_WEIGHT))
        part.parameters.weight_offset = 0;
    if (!(flags & parameters))
        part.parameters.rows = part.parameters.run = part.parameters.cycle = 0;
    if (!(flags & ANYNORM_RESIDUAL))
        part.residual.type = (anynorm_dtype)0;
    if (!(flags & (ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM)))
        part.sum.type = (anynorm_dtype)0;
    if (!(flags & ANYNORM_GATE))
        part.gate.type = (anynorm_dtype)0;
    if (!(flags & ANYNORM_SCALE))
        part.scale.type = (anynorm_dtype)0;
    if (!(flags & ANYNORM_SHIFT))
        part.shift.type = (anynorm_dtype)0;
    if (!(flags & (ANYNORM_GATE | ANYNORM_SCALE | ANYNORM_SHIFT)))
        part.sample_rows = 0;
    return part;
}

/* Runs a part of the case's spec, with rstd from `rstd` where that is not NULL. */
static anynorm_status ask(anynorm_device *reference, const struct work *w, uint32_t flags,
                          double *y, float *rstd)
{
    anynorm_spec spec = only(&w->c->spec, flags);
    unsigned char *before[TENSORS], *after[TENSORS] = {NULL};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(reference, &spec, NULL, &plan);

    memcpy(before, w->before, sizeof before);
    before[TENSOR_Y] = after[TENSOR_Y] = (unsigned char *)y;
    if (flags & ANYNORM_MEAN_OUTPUT)
        before[TENSOR_MEAN] = after[TENSOR_MEAN] = (unsigned char *)w->mean;
    if (rstd)
        before[TENSOR_RSTD] = (unsigned char *)rstd;
    if (flags & ANYNORM_RSTD_OUTPUT)
        after[TENSOR_RSTD] = (unsigned char *)rstd;
    if (status == ANYNORM_OK)
        status = run(reference, plan, &spec, w->c->rows, 0, before, after);
    anynorm_plan_destroy(plan);
    return status;
}

static anynorm_status ask_all(anynorm_device *reference, struct work *w)
{
    const uint32_t statistics = ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;
    const uint32_t finish = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_ROUND_FIRST | ANYNORM_SCALE |
                            ANYNORM_SHIFT | ANYNORM_SILU;
    const uint32_t sums = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS;
    uint32_t flags = w->c->spec.flags;
    bool given = flags & ANYNORM_RSTD_INPUT;
    /* A sum that is stored only may be all that STORED_SUM is about. */
    uint32_t written = statistics | (flags & ANYNORM_STORED_SUM ? 0 : ANYNORM_SUM_OUTPUT);
    uint32_t plain = flags & ~written;
    uint32_t found = given ? 0 : flags & ANYNORM_RMS ? ANYNORM_RSTD_OUTPUT : statistics;
    size_t bytes = (size_t)w->c->rows * sizeof(float);
    anynorm_status status;

    /* With statistics of 0 and 1, what is normalized comes out. */
    for (uint64_t r = 0; r < w->c->rows; r++)
        w->rstd[r] = 1;
    status = ask(reference, w, (flags & sums) | ANYNORM_RMS | ANYNORM_RSTD_INPUT, w->h, w->rstd);
    if (given)
        memcpy(w->rstd, w->before[TENSOR_RSTD], bytes);
    if (flags & ANYNORM_MEAN_INPUT)
        memcpy(w->mean, w->before[TENSOR_MEAN], bytes);
    if (status == ANYNORM_OK)
        status = ask(reference, w, plain, w->y, NULL);
    if (status == ANYNORM_OK)
        status = ask(reference, w, (plain & ~finish) | found, w->n, given ? NULL : w->rstd);
    return status;
}

/* ---- Comparing ---- */

static uint64_t or_one(uint64_t count)
{
    return count ? count : 1;
}

/* An input's element for a column; `missing` where there is no such tensor. */
static double input_at(const struct work *w, enum cli_tensor tensor, uint64_t column,
                       double missing)
{
    const anynorm_spec *spec = &w->c->spec;
    struct cli_tensor_info info = tensor_info(spec, (int)tensor, w->c->rows);
    uint64_t index = w->row * spec->columns + column;

    if (!info.present || info.output)
        return missing;
    if (info.shape == OF_PARAMETERS)
        index = w->row % or_one(spec->parameters.rows) * info.period +
                (spec->parameters.cycle ? column % spec->parameters.cycle : column) /
                    or_one(spec->parameters.run);
    else if (info.shape == OF_SAMPLES)
        index = w->row / or_one(spec->sample_rows) * spec->columns + column;
    return anynorm_dtype_load(info.type, w->before[tensor], index);
}

/* Counts an error that is a share of what is allowed, and tells of the first that is more. */
static void count(const struct work *w, enum cli_tensor tensor, uint64_t column, double got,
                  double expected, double share)
{
    char place[48] = "";

    if (isnan(share))
        share = (double)INFINITY;
    w->result->share = fmax(w->result->share, share);
    if (share <= 1 || w->result->wrong[0])
        return;
    if (tensor != TENSOR_MEAN && tensor != TENSOR_RSTD)
        snprintf(place, sizeof place, ", column %llu", (unsigned long long)column);
    snprintf(w->result->wrong, sizeof w->result->wrong,
             "%s of row %llu%s is %.9g, not %.9g: error %.3g times the bound",
             tensor_info(&w->c->spec, (int)tensor, 1).name, (unsigned long long)w->row, place, got,
             expected, share);
}

/* What is no number must not be one. */
static void demand(const struct work *w, bool right, enum cli_tensor tensor, uint64_t column,
                   double got, double expected)
{
    if (right)
        return;
    w->result->error = (double)INFINITY;
    count(w, tensor, column, got, expected, (double)INFINITY);
}

static void find_bounds(struct work *w)
{
    const anynorm_spec *spec = &w->c->spec;
    bool adds = spec->flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS);

    for (uint64_t c = 0; c < spec->columns; c++)
        bounds_find_sum(
            spec, &w->oracle, c,
            adds ? fabs(input_at(w, TENSOR_X, c, 0)) + fabs(input_at(w, TENSOR_PRE_BIAS, c, 0)) +
                       fabs(input_at(w, TENSOR_RESIDUAL, c, 0) * input_at(w, TENSOR_GATE, c, 1))
                 : 0);
    bounds_find_statistics(spec, &w->oracle);
}

/* The error of a plain case's y, in the unit that its bound is in. */
static double plain_error(const struct work *w, uint64_t column, double got)
{
    const anynorm_spec *spec = &w->c->spec;
    bool wide = spec->x.type == ANYNORM_F64 && spec->y.type == ANYNORM_F64;
    double y = w->oracle.y[column], difference = fabs(got - y);
    double scale = fabs(input_at(w, TENSOR_WEIGHT, column, 1));

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
    double got =
        anynorm_dtype_load(spec->y.type, w->after[TENSOR_Y], w->row * spec->columns + column);

    if (!isfinite(w->oracle.n[column])) {
        demand(w, bounds_hold_no_number(spec, expected, got), TENSOR_Y, column, got, expected);
    } else if (verify_is_plain(spec)) {
        double error = plain_error(w, column, got);

        w->result->error = fmax(w->result->error, error);
        count(w, TENSOR_Y, column, got, expected, error / VERIFY_BOUND);
    } else {
        const struct bounds_factors factors = {.weight = input_at(w, TENSOR_WEIGHT, column, 1),
                                               .bias = input_at(w, TENSOR_BIAS, column, 0),
                                               .scale = input_at(w, TENSOR_SCALE, column, 0),
                                               .shift = input_at(w, TENSOR_SHIFT, column, 0)};

        count(w, TENSOR_Y, column, got, expected,
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
        count(w, tensor, 0, got, expected, bounds_share(got, expected, bound));
    else
        demand(w, !isfinite(got), tensor, 0, got, expected);
}

static void compare_row(struct work *w)
{
    const anynorm_spec *spec = &w->c->spec;
    uint64_t begin = w->row * spec->columns;

    w->oracle = (struct bounds_row){.y = w->y + begin,
                                    .n = w->n + begin,
                                    .h = w->h + begin,
                                    .h_error = w->errors,
                                    .n_error = w->errors + spec->columns,
                                    .mean = (double)w->mean[w->row],
                                    .rstd = (double)w->rstd[w->row]};
    find_bounds(w);
    for (uint64_t c = 0; c < spec->columns; c++) {
        compare_y(w, c);
        if (spec->flags & ANYNORM_SUM_OUTPUT) {
            double got = anynorm_dtype_load(spec->sum.type, w->after[TENSOR_SUM], begin + c);

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
        uint64_t begin = info.output ? w->size[t] - GUARD : 0;

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
    struct work w = {.c = verify_case, .result = result};
    const anynorm_plan_options options = {.schedule = schedule};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(device, &verify_case->spec, &options, &plan);

    *result = (struct verify_result){.error = 0};
    if (status != ANYNORM_OK)
        return status;
    status = make_memory(&w) ? ask_all(reference, &w) : ANYNORM_OUT_OF_MEMORY;
    if (status == ANYNORM_OK)
        status = run(device, plan, &verify_case->spec, verify_case->rows, GUARD, w.before, w.after);
    if (status == ANYNORM_OK) {
        for (; w.row < verify_case->rows; w.row++)
            compare_row(&w);
        check_tails(&w);
    }
    free_memory(&w);
    anynorm_plan_destroy(plan);
    return status;
}
