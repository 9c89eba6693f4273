#include "norm_sum.h"

double norm_sum_at(const anynorm_spec *spec, const anynorm_host_tensors *tensors, uint64_t row,
                   uint64_t column)
{
    uint64_t at = row * spec->columns + column;
    double sum = anynorm_dtype_load(spec->x_type, tensors->x, at);

    if (spec->flags & ANYNORM_PRE_BIAS) {
        uint64_t run = spec->parameter_run ? spec->parameter_run : 1;
        uint64_t rows = spec->parameter_rows ? spec->parameter_rows : 1;
        uint64_t parameter = row % rows * (spec->columns / run) + column / run;

        sum += anynorm_dtype_load(spec->parameter_type, tensors->pre_bias, parameter);
    }
    if (spec->flags & ANYNORM_RESIDUAL) {
        double residual = anynorm_dtype_load(spec->residual_type, tensors->residual, at);

        if (spec->flags & ANYNORM_GATE) {
            uint64_t sample = row / (spec->sample_rows ? spec->sample_rows : 1);

            residual *= anynorm_dtype_load(spec->sample_type, tensors->gate,
                                           sample * spec->columns + column);
        }
        sum += residual;
    }
    return sum;
}
