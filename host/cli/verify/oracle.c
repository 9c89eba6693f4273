#include "oracle.h"

#include "bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Asking ---- */

anynorm_status verify_run(anynorm_device *device, anynorm_plan *plan, const anynorm_spec *spec,
                          uint64_t rows, uint64_t guard, const struct verify_images *before,
                          const struct verify_images *after)
{
    anynorm_tensors tensors = {0};
    anynorm_event event = {0};
    anynorm_status status = ANYNORM_OK;
    uint64_t sizes[TENSORS] = {0};

    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        struct cli_tensor_info info = tensor_info(spec, (enum cli_tensor)t, rows);
        anynorm_buffer *buffer = tensor_slot(&tensors, (enum cli_tensor)t);

        if (!info.present)
            continue;
        sizes[t] = tensor_bytes(&info) + guard;
        status = anynorm_buffer_create(device, sizes[t], buffer);
        if (status == ANYNORM_OK)
            status = anynorm_buffer_write(device, buffer, before->bytes[t], sizes[t]);
    }
    if (status == ANYNORM_OK)
        status = anynorm_enqueue(plan, &tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK)
        status = anynorm_event_wait(&event);
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        if (sizes[t] > 0 && after->bytes[t])
            status = anynorm_buffer_read(device, tensor_slot(&tensors, (enum cli_tensor)t),
                                         after->bytes[t], sizes[t]);
    }
    anynorm_event_release(&event);
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(device, tensor_slot(&tensors, (enum cli_tensor)t));
    return status;
}

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
    if (!(flags & (ANYNORM_GATE | ANYNORM_SCALE | ANYNORM_SHIFT))) {
        part.sample_type = (anynorm_dtype)0;
        part.sample_rows = 0;
    }
    return part;
}

/* Runs a part of the case's spec, with rstd from `rstd` where that is not NULL. */
static anynorm_status ask(anynorm_device *reference, const struct verify_case *c, uint32_t flags,
                          const struct verify_images *inputs, double *y, float *mean, float *rstd)
{
    anynorm_spec spec = only(&c->spec, flags);
    struct verify_images before = *inputs, after = {{NULL}};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(reference, &spec, NULL, &plan);

    before.bytes[TENSOR_Y] = after.bytes[TENSOR_Y] = (unsigned char *)y;
    if (flags & ANYNORM_MEAN_OUTPUT)
        before.bytes[TENSOR_MEAN] = after.bytes[TENSOR_MEAN] = (unsigned char *)mean;
    if (rstd)
        before.bytes[TENSOR_RSTD] = (unsigned char *)rstd;
    if (flags & ANYNORM_RSTD_OUTPUT)
        after.bytes[TENSOR_RSTD] = (unsigned char *)rstd;
    if (status == ANYNORM_OK)
        status = verify_run(reference, plan, &spec, c->rows, 0, &before, &after);
    anynorm_plan_destroy(plan);
    return status;
}

anynorm_status verify_oracle_ask(anynorm_device *reference, const struct verify_case *verify_case,
                                 const struct verify_images *inputs, struct verify_oracle *oracle)
{
    const anynorm_spec *spec = &verify_case->spec;
    const uint32_t statistics = ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT, flags = spec->flags;
    const uint32_t finish = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_ROUND_FIRST | ANYNORM_SCALE |
                            ANYNORM_SHIFT | ANYNORM_SILU;
    const uint32_t sums = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS;
    uint64_t rows = verify_case->rows, count = rows * spec->columns;
    bool given = flags & ANYNORM_RSTD_INPUT;
    /* A sum that is stored only may be all that STORED_SUM is about. */
    uint32_t written = statistics | (flags & ANYNORM_STORED_SUM ? 0 : ANYNORM_SUM_OUTPUT);
    uint32_t plain = flags & ~written;
    uint32_t found = given ? 0 : flags & ANYNORM_RMS ? ANYNORM_RSTD_OUTPUT : statistics;
    anynorm_status status;

    /* Not in a host of 32 bits. */
    if (count > SIZE_MAX / 2)
        return ANYNORM_OUT_OF_MEMORY;
    oracle->y = calloc((size_t)count, sizeof(double));
    oracle->n = calloc((size_t)count, sizeof(double));
    oracle->h = calloc((size_t)count, sizeof(double));
    oracle->mean = calloc((size_t)rows, sizeof(float));
    oracle->rstd = calloc((size_t)rows, sizeof(float));
    oracle->errors = calloc((size_t)(2 * spec->columns), sizeof(double));
    if (!oracle->y || !oracle->n || !oracle->h || !oracle->mean || !oracle->rstd || !oracle->errors)
        return ANYNORM_OUT_OF_MEMORY;

    /* With statistics of 0 and 1, what is normalized comes out. */
    for (uint64_t r = 0; r < rows; r++)
        oracle->rstd[r] = 1;
    status = ask(reference, verify_case, (flags & sums) | ANYNORM_RMS | ANYNORM_RSTD_INPUT, inputs,
                 oracle->h, NULL, oracle->rstd);
    for (uint64_t r = 0; given && r < rows; r++) {
        oracle->rstd[r] = (float)anynorm_dtype_load(ANYNORM_F32, inputs->bytes[TENSOR_RSTD], r);
        if (flags & ANYNORM_MEAN_INPUT)
            oracle->mean[r] = (float)anynorm_dtype_load(ANYNORM_F32, inputs->bytes[TENSOR_MEAN], r);
    }
    if (status == ANYNORM_OK)
        status = ask(reference, verify_case, plain, inputs, oracle->y, NULL, NULL);
    if (status == ANYNORM_OK)
        status = ask(reference, verify_case, (plain & ~finish) | found, inputs, oracle->n,
                     oracle->mean, given ? NULL : oracle->rstd);
    return status;
}

void verify_oracle_free(struct verify_oracle *oracle)
{
    free(oracle->y);
    free(oracle->n);
    free(oracle->h);
    free(oracle->mean);
    free(oracle->rstd);
    free(oracle->errors);
}

/* ---- Comparing ---- */

/* A row of the case. */
struct frame {
    const struct verify_case *c;
    const struct verify_images *inputs;
    const struct verify_images *outputs;
    uint64_t row;
    struct bounds_row oracle;
    struct verify_result *result;
};

static uint64_t or_one(uint64_t count)
{
    return count ? count : 1;
}

/* An input's element for a column; `missing` where there is no such tensor. */
static double input_at(const struct frame *f, enum cli_tensor tensor, uint64_t column,
                       double missing)
{
    const anynorm_spec *spec = &f->c->spec;
    struct cli_tensor_info info = tensor_info(spec, tensor, f->c->rows);
    uint64_t index = f->row * spec->columns + column;

    if (!info.present || info.output)
        return missing;
    if (info.shape == OF_PARAMETERS)
        index = f->row % or_one(spec->parameters.rows) * info.period +
                (spec->parameters.cycle ? column % spec->parameters.cycle : column) /
                    or_one(spec->parameters.run);
    else if (info.shape == OF_SAMPLES)
        index = f->row / or_one(spec->sample_rows) * spec->columns + column;
    return anynorm_dtype_load(info.type, f->inputs->bytes[tensor], index);
}

static void tell(const struct frame *f, enum cli_tensor tensor, uint64_t column, double got,
                 double expected, double share)
{
    char place[48] = "";

    if (f->result->wrong[0])
        return;
    if (tensor != TENSOR_MEAN && tensor != TENSOR_RSTD)
        snprintf(place, sizeof place, ", column %llu", (unsigned long long)column);
    snprintf(f->result->wrong, sizeof f->result->wrong,
             "%s of row %llu%s is %.9g, not %.9g: error %.3g times the bound",
             tensor_info(&f->c->spec, tensor, 1).name, (unsigned long long)f->row, place, got,
             expected, share);
}

static double share_of(double got, double expected, double bound)
{
    return got == expected ? 0 : fabs(got - expected) / bound;
}

/* Counts an error that is a share of what is allowed. */
static void count(const struct frame *f, enum cli_tensor tensor, uint64_t column, double got,
                  double expected, double share)
{
    if (isnan(share))
        share = (double)INFINITY;
    f->result->share = fmax(f->result->share, share);
    if (share > 1)
        tell(f, tensor, column, got, expected, share);
}

/* What is no number must not be one. */
static void demand(const struct frame *f, bool right, enum cli_tensor tensor, uint64_t column,
                   double got, double expected)
{
    if (right)
        return;
    f->result->error = f->result->share = (double)INFINITY;
    tell(f, tensor, column, got, expected, (double)INFINITY);
}

static void find_bounds(struct frame *f)
{
    const anynorm_spec *spec = &f->c->spec;
    bool adds = spec->flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS);

    for (uint64_t c = 0; c < spec->columns; c++)
        bounds_find_sum(
            spec, &f->oracle, c,
            adds ? fabs(input_at(f, TENSOR_X, c, 0)) + fabs(input_at(f, TENSOR_PRE_BIAS, c, 0)) +
                       fabs(input_at(f, TENSOR_RESIDUAL, c, 0) * input_at(f, TENSOR_GATE, c, 1))
                 : 0);
    bounds_find_statistics(spec, &f->oracle);
}

/* The error of a plain case's y, in the unit that its bound is in. */
static double plain_error(const struct frame *f, uint64_t column, double got)
{
    const anynorm_spec *spec = &f->c->spec;
    double y = f->oracle.y[column], difference = fabs(got - y);
    double scale = fabs(input_at(f, TENSOR_WEIGHT, column, 1));

    scale = fmax(scale * fmax(1, fabs(f->oracle.n[column])), fabs(y));
    if (!isfinite(difference))
        return (double)INFINITY;
    if (spec->y.type == ANYNORM_F16 || spec->y.type == ANYNORM_BF16)
        difference = fmax(0, difference - 0.5 * bounds_unit(spec->y.type, y));
    if (difference == 0)
        return 0;
    return difference /
           (scale *
            (spec->x.type == ANYNORM_F64 && spec->y.type == ANYNORM_F64 ? 0x1p-52 : 0x1p-23));
}

static void compare_y(const struct frame *f, uint64_t column)
{
    const anynorm_spec *spec = &f->c->spec;
    double expected = f->oracle.y[column];
    double got = anynorm_dtype_load(spec->y.type, f->outputs->bytes[TENSOR_Y],
                                    f->row * spec->columns + column);

    if (!isfinite(f->oracle.n[column])) {
        /* Statistics that are given make no NaN of an infinity. */
        bool given = spec->flags & ANYNORM_RSTD_INPUT;

        demand(f, given ? !isfinite(got) || !isnan(expected) : isnan(got), TENSOR_Y, column, got,
               expected);
        return;
    }
    if (verify_is_plain(spec)) {
        double error = plain_error(f, column, got);

        f->result->error = fmax(f->result->error, error);
        count(f, TENSOR_Y, column, got, expected, error / VERIFY_BOUND);
    } else {
        const struct bounds_factors factors = {.weight = input_at(f, TENSOR_WEIGHT, column, 1),
                                               .bias = input_at(f, TENSOR_BIAS, column, 0),
                                               .scale = input_at(f, TENSOR_SCALE, column, 0),
                                               .shift = input_at(f, TENSOR_SHIFT, column, 0)};

        count(f, TENSOR_Y, column, got, expected,
              share_of(got, expected, bounds_of_y(spec, &f->oracle, column, &factors)));
    }
}

static void compare_statistic(const struct frame *f, enum cli_tensor tensor)
{
    double expected = tensor == TENSOR_MEAN ? f->oracle.mean : f->oracle.rstd;
    double got = anynorm_dtype_load(ANYNORM_F32, f->outputs->bytes[tensor], f->row);

    if (isfinite(f->oracle.mean) && isfinite(f->oracle.rstd))
        count(f, tensor, 0, got, expected,
              share_of(got, expected,
                       tensor == TENSOR_MEAN ? bounds_of_mean(&f->oracle)
                                             : bounds_of_rstd(&f->oracle)));
    else
        demand(f, !isfinite(got), tensor, 0, got, expected);
}

static void compare_row(struct frame *f)
{
    const anynorm_spec *spec = &f->c->spec;

    find_bounds(f);
    for (uint64_t c = 0; c < spec->columns; c++) {
        compare_y(f, c);
        if (spec->flags & ANYNORM_SUM_OUTPUT) {
            double got = anynorm_dtype_load(spec->sum.type, f->outputs->bytes[TENSOR_SUM],
                                            f->row * spec->columns + c);

            demand(f, bounds_hold_sum(spec, &f->oracle, c, got), TENSOR_SUM, c, got,
                   f->oracle.h[c]);
        }
    }
    if (spec->flags & ANYNORM_MEAN_OUTPUT)
        compare_statistic(f, TENSOR_MEAN);
    if (spec->flags & ANYNORM_RSTD_OUTPUT)
        compare_statistic(f, TENSOR_RSTD);
}

void verify_oracle_compare(const struct verify_oracle *oracle,
                           const struct verify_case *verify_case,
                           const struct verify_images *inputs, const struct verify_images *outputs,
                           struct verify_result *result)
{
    uint64_t columns = verify_case->spec.columns;

    for (uint64_t r = 0; r < verify_case->rows; r++) {
        struct frame frame = {.c = verify_case,
                              .inputs = inputs,
                              .outputs = outputs,
                              .row = r,
                              .oracle = {.y = oracle->y + r * columns,
                                         .n = oracle->n + r * columns,
                                         .h = oracle->h + r * columns,
                                         .h_error = oracle->errors,
                                         .n_error = oracle->errors + columns,
                                         .mean = (double)oracle->mean[r],
                                         .rstd = (double)oracle->rstd[r]},
                              .result = result};

        compare_row(&frame);
    }
}
