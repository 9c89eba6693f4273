#include "sum.h"

/* Where an element of x lies, and of the residual, which has its layout. */
static uint64_t place(const anynorm_spec *spec, uint64_t row, uint64_t column)
{
    if (spec->inner_rows == 0)
        return row * spec->columns + column;
    return row / spec->inner_rows * spec->x.outer_stride +
           row % spec->inner_rows * spec->x.row_stride +
           column / spec->column_run * spec->x.column_stride + column % spec->column_run;
}

double norm_sum_at(const anynorm_spec *spec, const anynorm_host_tensors *tensors, uint64_t row,
                   uint64_t column)
{
    uint64_t at = place(spec, row, column);
    double sum = anynorm_dtype_load(spec->x.type, tensors->x, at);

    if (spec->flags & ANYNORM_PRE_BIAS) {
        uint64_t run = spec->parameters.run ? spec->parameters.run : 1;
        uint64_t rows = spec->parameters.rows ? spec->parameters.rows : 1;
        uint64_t cycle = spec->parameters.cycle ? spec->parameters.cycle : spec->columns;
        uint64_t parameter = row % rows * (cycle / run) + column % cycle / run;

        sum += anynorm_dtype_load(spec->parameters.type, tensors->pre_bias, parameter);
    }
    if (spec->flags & ANYNORM_RESIDUAL) {
        double residual = anynorm_dtype_load(spec->residual.type, tensors->residual, at);

        if (spec->flags & ANYNORM_GATE) {
            uint64_t sample = row / (spec->sample_rows ? spec->sample_rows : 1);

            residual *= anynorm_dtype_load(spec->sample_type, tensors->gate,
                                           sample * spec->columns + column);
        }
        sum += residual;
    }
    return sum;
}
