#include "row.h"

#include <math.h>

#include "statistic.h"

/* What becomes of the normalized value of column c. */
static double finish(const anynorm_spec *spec, const struct an_row *row, uint64_t c, double n)
{
    uint64_t k = an_spec_parameter(spec, c);
    double z = spec->flags & ANYNORM_ROUND_FIRST ? an_round_to(spec->x.type, n) : n;
    if (row->weight)
        z *= anynorm_dtype_load(spec->parameters.type, row->weight, k) +
             spec->parameters.weight_offset;
    if (row->bias)
        z += anynorm_dtype_load(spec->parameters.type, row->bias, k);
    if (row->scale)
        z *= 1 + an_load_sample(spec, &spec->scale, row->scale, c);
    if (row->shift)
        z += an_load_sample(spec, &spec->shift, row->shift, c);
    return spec->flags & ANYNORM_SILU ? z / (1 + exp(-z)) : z;
}

/* What becomes of column c before it is quantized. */
static double find_z(const anynorm_spec *spec, const struct an_row *row, uint64_t c,
                     const struct an_statistic *s)
{
    double h = an_load_h(spec, row, c);
    return finish(spec, row, c, (h - s->pivot - s->correction) * s->rstd);
}

/* Rows whose largest magnitude is less have the scale 0: its inverse would leave f32. */
#define LEAST_MAGNITUDE 0x1p-100f

/* What the row is divided by before it is rounded. */
static double find_y_scale(const anynorm_spec *spec, const struct an_row *row,
                           const struct an_statistic *s)
{
    if (spec->flags & ANYNORM_Y_SCALE_INPUT)
        return anynorm_dtype_load(ANYNORM_F32, row->y_scale, 0);
    if (!(spec->flags & ANYNORM_Y_SCALE_OUTPUT))
        return 1;
    float largest = 0, bound = (float)spec->quantization.bound;
    for (uint64_t c = 0; c < spec->columns; c++) {
        float magnitude = fabsf((float)find_z(spec, row, c, s));
        if (isnan(magnitude))
            return (double)NAN;
        if (magnitude > largest)
            largest = magnitude;
    }
    if (spec->quantization.bound > 0 && largest > bound)
        largest = bound;
    return largest < LEAST_MAGNITUDE ? 0
                                     : (double)(largest / (spec->y.type == ANYNORM_I8 ? 127 : 448));
}

struct an_row an_row_at(void *const at[AN_TENSOR_COUNT])
{
    return (struct an_row){.x = at[AN_X],
                           .y = at[AN_Y],
                           .weight = at[AN_WEIGHT],
                           .bias = at[AN_BIAS],
                           .mean = at[AN_MEAN],
                           .rstd = at[AN_RSTD],
                           .residual = at[AN_RESIDUAL],
                           .sum = at[AN_SUM],
                           .pre_bias = at[AN_PRE_BIAS],
                           .gate = at[AN_GATE],
                           .scale = at[AN_SCALE],
                           .shift = at[AN_SHIFT],
                           .partials = at[AN_PARTIALS],
                           .y_scale = at[AN_Y_SCALE],
                           .dy = at[AN_DY],
                           .dsum = at[AN_DSUM],
                           .dx = at[AN_DX],
                           .dresidual = at[AN_DRESIDUAL]};
}

void an_reference_row(const anynorm_spec *spec, const struct an_row *row)
{
    struct an_statistic s = an_statistic_of(spec, row);
    double y_scale = row->y ? find_y_scale(spec, row, &s) : 1;
    bool zero = (spec->flags & ANYNORM_Y_SCALE_OUTPUT) && y_scale == 0;
    /* Where y and sum are x and residual, an element of both is read before either is written. */
    for (uint64_t c = 0; c < spec->columns; c++) {
        double h = an_load_h(spec, row, c);
        double y = zero ? 0 : row->y ? find_z(spec, row, c, &s) / y_scale : (double)NAN;
        if (row->sum)
            anynorm_dtype_store(spec->sum.type, row->sum,
                                an_spec_column(spec, spec->sum.column_stride, c), h);
        if (row->y)
            anynorm_dtype_store(spec->y.type, row->y,
                                an_spec_column(spec, spec->y.column_stride, c), y);
    }
    if (spec->flags & ANYNORM_MEAN_OUTPUT)
        anynorm_dtype_store(ANYNORM_F32, row->mean, 0, s.pivot + s.correction);
    if (spec->flags & ANYNORM_RSTD_OUTPUT)
        anynorm_dtype_store(ANYNORM_F32, row->rstd, 0, an_written_rstd(spec, s.rstd));
    if (spec->flags & ANYNORM_PARTIALS_OUTPUT) {
        anynorm_dtype_store(ANYNORM_F32, row->partials, 0, s.count);
        anynorm_dtype_store(ANYNORM_F32, row->partials, 1, s.pivot + s.correction);
        anynorm_dtype_store(ANYNORM_F32, row->partials, 2, s.squares);
    }
    if (spec->flags & ANYNORM_Y_SCALE_OUTPUT)
        anynorm_dtype_store(ANYNORM_F32, row->y_scale, 0, y_scale);
}
