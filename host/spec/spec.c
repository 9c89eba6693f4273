#include "spec.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "base/checked.h"
#include "base/status.h"

/* The rows of one tensor, whose strides are to be filled in. */
struct strides {
    const char *tensor;
    anynorm_rows *rows;
    uint64_t inner_rows; /* the spec's; 0 of samples, which have one level */
};

enum { MOST_STRIDED = 9 };

/* Those that the spec names. */
static int list_strides(anynorm_spec *spec, struct strides tensors[MOST_STRIDED])
{
    const struct {
        struct strides strides;
        bool named;
    } all[MOST_STRIDED] = {
        {{"x", &spec->x, spec->inner_rows}, true},
        {{"y", &spec->y, spec->inner_rows}, !(spec->flags & ANYNORM_PARTIALS_OUTPUT)},
        {{"residual", &spec->residual, spec->inner_rows}, spec->flags & ANYNORM_RESIDUAL},
        {{"sum", &spec->sum, spec->inner_rows}, spec->flags & ANYNORM_SUM_OUTPUT},
        {{"gate", &spec->gate, 0}, spec->flags & ANYNORM_GATE},
        {{"scale", &spec->scale, 0}, spec->flags & ANYNORM_SCALE},
        {{"shift", &spec->shift, 0}, spec->flags & ANYNORM_SHIFT},
        {{"gradients.dx", &spec->gradients.dx, spec->inner_rows},
         spec->gradients.flags & ANYNORM_DX},
        {{"gradients.dresidual", &spec->gradients.dresidual, spec->inner_rows},
         spec->gradients.flags & ANYNORM_DRESIDUAL},
    };
    int count = 0;
    for (int i = 0; i < MOST_STRIDED; i++) {
        if (all[i].named)
            tensors[count++] = all[i].strides;
    }
    return count;
}

/* A step from a row to another must not end on another column of the same row: as many runs
 * further on, and less than a run before or behind. */
static anynorm_status check_step(const struct strides *s, const char *name, uint64_t stride,
                                 uint64_t columns, uint64_t run)
{
    uint64_t runs = columns / run, ahead = stride / s->rows->column_stride,
             past = stride % s->rows->column_stride;
    if ((ahead >= runs || past >= run) &&
        (runs - 1 <= ahead || s->rows->column_stride - past >= run))
        return ANYNORM_OK;
    if (s->rows->column_stride == run)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: %s.%s_stride is %" PRIu64 ", less than the %" PRIu64 " columns",
                       s->tensor, name, stride, columns);
    return an_fail(ANYNORM_INVALID_ARGUMENT,
                   "spec: %s.%s_stride is %" PRIu64 ", which leads from one of the %" PRIu64
                   " columns, %" PRIu64 " apart, to another",
                   s->tensor, name, stride, columns, s->rows->column_stride);
}

static anynorm_status resolve_column(const struct strides *s, uint64_t columns, uint64_t run)
{
    if (s->rows->column_stride == 0 || columns == run)
        s->rows->column_stride = run;
    if (s->rows->column_stride >= run)
        return ANYNORM_OK;
    return an_fail(ANYNORM_INVALID_ARGUMENT,
                   "spec: %s.column_stride is %" PRIu64 ", less than the column_run of %" PRIu64,
                   s->tensor, s->rows->column_stride, run);
}

static anynorm_status resolve_strides(const struct strides *s, uint64_t columns, uint64_t run)
{
    uint64_t inner_rows = s->inner_rows;
    bool between = s->rows->column_stride / 2 >= run; /* another row fits between the runs of one */
    if (s->rows->row_stride == 0)
        s->rows->row_stride = between ? run : columns / run * s->rows->column_stride;
    if (inner_rows == 0 && s->rows->outer_stride != 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: %s.outer_stride is set but inner_rows is 0",
                       s->tensor);
    /* The stride between the rows of a group of one is of no account. */
    anynorm_status status =
        inner_rows == 1 ? ANYNORM_OK : check_step(s, "row", s->rows->row_stride, columns, run);
    if (status != ANYNORM_OK || inner_rows == 0)
        return status;
    if (s->rows->outer_stride == 0 &&
        !(between ? an_mul(columns / run, s->rows->column_stride, &s->rows->outer_stride)
                  : an_mul(inner_rows, s->rows->row_stride, &s->rows->outer_stride)))
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: %s times %s.%s_stride is above 2^64",
                       !between  ? "inner_rows"
                       : run > 1 ? "columns / column_run"
                                 : "columns",
                       s->tensor, between ? "column" : "row");
    status = check_step(s, "outer", s->rows->outer_stride, columns, run);
    if (status == ANYNORM_OK && inner_rows == 1)
        s->rows->row_stride = s->rows->outer_stride;
    return status;
}

/* Whether the tensor has the same rows without the inner level. */
static bool level_is_dense(const struct strides *s)
{
    uint64_t inner_extent;
    return s->inner_rows == 0 || (an_mul(s->inner_rows, s->rows->row_stride, &inner_extent) &&
                                  inner_extent == s->rows->outer_stride);
}

static void default_to_one(uint64_t *count)
{
    if (*count == 0)
        *count = 1;
}

anynorm_status an_spec_resolve(const anynorm_spec *spec, anynorm_spec *resolved)
{
    anynorm_status status = an_spec_check_fields(spec);
    if (status != ANYNORM_OK)
        return status;
    anynorm_spec s = *spec;
    default_to_one(&s.sample_rows);
    default_to_one(&s.parameters.rows);
    default_to_one(&s.parameters.run);
    default_to_one(&s.statistic.shards);
    default_to_one(&s.column_run);
    if (s.parameters.cycle == s.parameters.run)
        s.parameters.run = s.parameters.cycle = s.columns;
    if (s.parameters.cycle == s.columns)
        s.parameters.cycle = 0;

    struct strides tensors[MOST_STRIDED];
    int count = list_strides(&s, tensors);
    bool runs = false;
    for (int i = 0; i < count; i++) {
        status = resolve_column(&tensors[i], s.columns, s.column_run);
        if (status != ANYNORM_OK)
            return status;
        runs = runs || tensors[i].rows->column_stride > s.column_run;
    }
    if (!runs) {
        s.column_run = 1;
        for (int i = 0; i < count; i++)
            tensors[i].rows->column_stride = 1;
    }
    bool one_level = s.inner_rows != 0;
    for (int i = 0; i < count; i++) {
        status = resolve_strides(&tensors[i], s.columns, s.column_run);
        if (status != ANYNORM_OK)
            return status;
        one_level = one_level && level_is_dense(&tensors[i]);
    }
    if (one_level) {
        s.inner_rows = 0;
        for (int i = 0; i < count; i++)
            tensors[i].rows->outer_stride = 0;
    }
    *resolved = s;
    return ANYNORM_OK;
}

anynorm_status anynorm_spec_check(const anynorm_spec *spec)
{
    anynorm_spec resolved;
    return an_spec_resolve(spec, &resolved);
}

bool an_spec_side_by_side(const anynorm_spec *spec)
{
    return spec->column_run <= 1 && spec->x.column_stride <= 1 && spec->y.column_stride <= 1 &&
           spec->residual.column_stride <= 1 && spec->sum.column_stride <= 1 &&
           spec->gradients.dx.column_stride <= 1 && spec->gradients.dresidual.column_stride <= 1;
}

bool an_spec_in_runs(const anynorm_spec *spec)
{
    return spec->column_run > 1 || (an_spec_backward(spec) && !an_spec_side_by_side(spec));
}

uint32_t an_spec_flags_used(const anynorm_spec *spec)
{
    uint32_t gradients = spec->gradients.flags, unused = 0;
    if (!gradients)
        return spec->flags;
    if (!(spec->flags & ANYNORM_SILU))
        unused |= ANYNORM_SHIFT | (gradients & ANYNORM_DSCALE ? 0 : ANYNORM_BIAS);
    if (!(gradients & ANYNORM_SAVED_SUM))
        return spec->flags & ~(unused | ANYNORM_SUM_OUTPUT);
    unused |= ANYNORM_PRE_BIAS | ANYNORM_STORED_SUM;
    if (!(gradients & ANYNORM_DGATE))
        unused |= ANYNORM_RESIDUAL;
    if (!(gradients & ANYNORM_DRESIDUAL))
        unused |= ANYNORM_GATE;
    return spec->flags & ~unused;
}

bool an_spec_double(const anynorm_spec *spec)
{
    const struct {
        bool named;
        anynorm_dtype type;
    } types[] = {
        {true, spec->x.type},
        {true, spec->y.type},
        {spec->flags & AN_PARAMETERS, spec->parameters.type},
        {spec->flags & ANYNORM_RESIDUAL, spec->residual.type},
        {spec->flags & AN_SUMS, spec->sum.type},
        {spec->flags & ANYNORM_GATE, spec->gate.type},
        {spec->flags & ANYNORM_SCALE, spec->scale.type},
        {spec->flags & ANYNORM_SHIFT, spec->shift.type},
        {true, spec->gradients.dx.type},
        {true, spec->gradients.dresidual.type},
        {true, spec->gradients.parameters},
        {true, spec->gradients.samples},
    };
    bool any = false;
    for (size_t i = 0; i < COUNT(types); i++)
        any = any || (types[i].named && types[i].type == ANYNORM_F64);
    return any;
}

uint64_t an_spec_parameters_per_row(const anynorm_spec *spec)
{
    uint64_t columns = spec->parameters.cycle ? spec->parameters.cycle : spec->columns;
    return columns / spec->parameters.run;
}

/* Denormals may count as 0 on a device. Above the limit some variance, and eps, may add up to more
 * than there is; below it, no eps is lost in the division of its inverse. */
bool an_spec_eps_inverse(const anynorm_spec *spec)
{
    bool wide = an_spec_double(spec);
    return spec->statistic.eps > 0 && (spec->statistic.eps < (wide ? DBL_MIN : (double)FLT_MIN) ||
                                       spec->statistic.eps > (wide ? 0x1p970 : 0x1p100));
}

double an_spec_kernel_eps(const anynorm_spec *spec)
{
    if (!an_spec_eps_inverse(spec))
        return spec->statistic.eps;
    double inverse =
        1 / (spec->flags & AN_EPS_OF_DEVIATION ? spec->statistic.eps : sqrt(spec->statistic.eps));
    return fmin(inverse, an_spec_double(spec) ? DBL_MAX : (double)FLT_MAX);
}
