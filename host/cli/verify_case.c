#include "verify_case.h"

#include "random_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, X = 0, Y, WEIGHT, BIAS, MEAN, RSTD, TENSORS };

/* A case with its memory: images are whole device buffers, `GUARD` bytes longer than the tensor. */
struct work {
    const struct verify_case *c;
    unsigned char *image[TENSORS];
    unsigned char *result[TENSORS];
    uint64_t size[TENSORS];
    double *y; /* the reference's, before it is rounded to y's type */
    double *n; /* and before weight and bias */
};

static double normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(1 - random_uniform(state)));

    return radius * cos(6.283185307179586 * random_uniform(state));
}

static double make_x(enum verify_values values, uint64_t row, uint64_t column, uint64_t *state)
{
    double value = normal(state);

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

/* Rows are dense: the strided layouts are the test suite's. */
static bool make_images(struct work *work)
{
    const anynorm_spec *spec = &work->c->spec;
    uint64_t rows = work->c->rows;
    uint64_t state = RANDOM_SEED + spec->columns * 31 + rows;
    const struct {
        bool present;
        uint64_t count;
        anynorm_dtype type;
    } tensors[TENSORS] = {
        [X] = {true, rows * spec->columns, spec->x_type},
        [Y] = {true, rows * spec->columns, spec->y_type},
        [WEIGHT] = {spec->flags & ANYNORM_WEIGHT, spec->columns, spec->parameter_type},
        [BIAS] = {spec->flags & ANYNORM_BIAS, spec->columns, spec->parameter_type},
        [MEAN] = {spec->flags & ANYNORM_MEAN_OUTPUT, rows, ANYNORM_F32},
        [RSTD] = {spec->flags & ANYNORM_RSTD_OUTPUT, rows, ANYNORM_F32},
    };

    for (int t = 0; t < TENSORS; t++) {
        if (!tensors[t].present)
            continue;
        work->size[t] = tensors[t].count * anynorm_dtype_size(tensors[t].type) + GUARD;
        work->image[t] = malloc((size_t)work->size[t]);
        work->result[t] = malloc((size_t)work->size[t]);
        if (!work->image[t] || !work->result[t])
            return false;
        /* A NaN in every type: what is read past the end poisons, what is not written shows. */
        memset(work->image[t], 0xff, (size_t)work->size[t]);
    }
    work->y = malloc((size_t)(rows * spec->columns) * sizeof(double));
    work->n = malloc((size_t)(rows * spec->columns) * sizeof(double));
    if (!work->y || !work->n)
        return false;

    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t c = 0; c < spec->columns; c++)
            anynorm_dtype_store(spec->x_type, work->image[X], r * spec->columns + c,
                                make_x(work->c->values, r, c, &state));
    }
    for (uint64_t c = 0; c < spec->columns; c++) {
        if (work->image[WEIGHT])
            anynorm_dtype_store(spec->parameter_type, work->image[WEIGHT], c,
                                0.5 + 1.5 * random_uniform(&state));
        if (work->image[BIAS])
            anynorm_dtype_store(spec->parameter_type, work->image[BIAS], c,
                                4 * random_uniform(&state) - 2);
    }
    return true;
}

static void free_images(struct work *work)
{
    for (int t = 0; t < TENSORS; t++) {
        free(work->image[t]);
        free(work->result[t]);
    }
    free(work->y);
    free(work->n);
}

static anynorm_status run_once(anynorm_device *device, const anynorm_spec *spec,
                               const anynorm_host_tensors *tensors, uint64_t rows)
{
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(device, spec, NULL, &plan);

    if (status == ANYNORM_OK)
        status = anynorm_run(plan, tensors, rows);
    anynorm_plan_destroy(plan);
    return status;
}

static anynorm_status run_reference(anynorm_device *reference, struct work *work)
{
    const anynorm_host_tensors affine = {.x = work->image[X],
                                         .y = work->y,
                                         .weight = work->image[WEIGHT],
                                         .bias = work->image[BIAS]};
    const anynorm_host_tensors plain = {.x = work->image[X], .y = work->n};
    anynorm_spec spec = work->c->spec;
    anynorm_status status;

    spec.y_type = ANYNORM_F64;
    spec.flags &= (uint32_t)(ANYNORM_WEIGHT | ANYNORM_BIAS);
    status = run_once(reference, &spec, &affine, work->c->rows);
    if (status != ANYNORM_OK)
        return status;
    spec.flags = 0;
    return run_once(reference, &spec, &plain, work->c->rows);
}

static anynorm_status run_device(anynorm_device *device, anynorm_plan *plan, struct work *work)
{
    anynorm_buffer buffers[TENSORS] = {{0}};
    anynorm_event event = {0};
    anynorm_status status = ANYNORM_OK;

    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        if (!work->image[t])
            continue;
        status = anynorm_buffer_create(device, work->size[t], &buffers[t]);
        if (status == ANYNORM_OK)
            status = anynorm_buffer_write(device, &buffers[t], work->image[t], work->size[t]);
    }
    if (status == ANYNORM_OK) {
        const anynorm_tensors tensors = {.x = buffers[X],
                                         .y = buffers[Y],
                                         .weight = buffers[WEIGHT],
                                         .bias = buffers[BIAS],
                                         .mean = buffers[MEAN],
                                         .rstd = buffers[RSTD]};
        status = anynorm_enqueue(plan, &tensors, work->c->rows, 0, NULL, &event);
    }
    if (status == ANYNORM_OK)
        status = anynorm_event_wait(&event);
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        if (work->image[t])
            status = anynorm_buffer_read(device, &buffers[t], work->result[t], work->size[t]);
    }
    anynorm_event_release(&event);
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(device, &buffers[t]);
    return status;
}

bool verify_case_has_meaning(const struct verify_case *verify_case)
{
    return verify_case->values != VERIFY_MEAN_1E7 || verify_case->spec.x_type != ANYNORM_F16;
}

double verify_bound(anynorm_dtype y_type)
{
    return y_type == ANYNORM_F16 || y_type == ANYNORM_BF16 ? 0.6 : 8;
}

/* The distance of two neighbours of a 16-bit type near `value`. */
static double place(anynorm_dtype type, double value)
{
    int least = type == ANYNORM_F16 ? -14 : -126;
    int exponent = value == 0 ? least : ilogb(value);

    return ldexp(1, (exponent < least ? least : exponent) - (type == ANYNORM_F16 ? 10 : 7));
}

static double error_at(const struct work *work, uint64_t index, uint64_t column)
{
    const anynorm_spec *spec = &work->c->spec;
    double got = anynorm_dtype_load(spec->y_type, work->result[Y], index);
    double scale = 1, difference, unit;

    if (!isfinite(work->n[index]))
        return isnan(got) ? 0 : (double)INFINITY;
    if (work->image[WEIGHT])
        scale = fabs(anynorm_dtype_load(spec->parameter_type, work->image[WEIGHT], column));
    scale = fmax(scale * fmax(1, fabs(work->n[index])), fabs(work->y[index]));
    difference = fabs(got - work->y[index]);
    if (!isfinite(difference))
        return (double)INFINITY;
    if (spec->y_type == ANYNORM_F32 || spec->y_type == ANYNORM_F64) {
        bool wide = spec->x_type == ANYNORM_F64 && spec->y_type == ANYNORM_F64;
        return difference / (scale * (wide ? 0x1p-52 : 0x1p-23));
    }
    /* Where weight and bias cancel, the places of y are finer than the arithmetic was. */
    unit = place(spec->y_type, work->y[index]);
    difference -= 8 * 0x1p-23 * scale;
    return difference > 0 ? difference / unit : 0;
}

static bool tail_changed(const struct work *work, int tensor)
{
    uint64_t begin =
        tensor == Y || tensor == MEAN || tensor == RSTD ? work->size[tensor] - GUARD : 0;

    return memcmp(work->image[tensor] + begin, work->result[tensor] + begin,
                  (size_t)(work->size[tensor] - begin)) != 0;
}

anynorm_status verify_case_run(anynorm_device *device, anynorm_device *reference,
                               const char *schedule, const struct verify_case *verify_case,
                               double *error, bool *stray)
{
    struct work work = {.c = verify_case};
    const anynorm_plan_options options = {.schedule = schedule};
    const anynorm_spec *spec = &verify_case->spec;
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(device, spec, &options, &plan);

    if (status != ANYNORM_OK)
        return status;
    status = make_images(&work) ? run_reference(reference, &work) : ANYNORM_OUT_OF_MEMORY;
    if (status == ANYNORM_OK)
        status = run_device(device, plan, &work);
    if (status == ANYNORM_OK) {
        *error = 0;
        *stray = false;
        for (uint64_t i = 0; i < verify_case->rows * spec->columns; i++)
            *error = fmax(*error, error_at(&work, i, i % spec->columns));
        for (int t = 0; t < TENSORS; t++)
            *stray = *stray || (work.image[t] && tail_changed(&work, t));
    }
    free_images(&work);
    anynorm_plan_destroy(plan);
    return status;
}
