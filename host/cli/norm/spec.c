#include "norm.h"

static uint32_t flag(bool wanted, uint32_t bit)
{
    return wanted ? bit : 0;
}

anynorm_spec norm_spec(const struct norm_options *o, const struct norm *work)
{
    const struct norm_inputs *inputs = &work->inputs;
    bool rms = o->kind == NORM_RMS;
    bool weight = norm_inputs_have(inputs, IN_WEIGHT);
    bool bias = norm_inputs_have(inputs, IN_BIAS);
    bool pre_bias = norm_inputs_have(inputs, IN_PRE_BIAS);
    bool residual = norm_inputs_have(inputs, IN_RESIDUAL);
    bool mean = norm_inputs_have(inputs, IN_MEAN);
    bool rstd = norm_inputs_have(inputs, IN_RSTD);
    anynorm_spec spec = {
        .columns = work->shape.columns,
        .x.type = work->x.type,
        .y.type = o->output_dtype_given ? o->output_dtype : work->x.type,
        .statistic.eps = rstd ? 0.0 : o->eps,
        .parameters.weight_offset = o->weight_offset,
        .inner_rows = work->shape.inner_rows,
        .x.row_stride = work->shape.row_stride,
        .x.outer_stride = work->shape.outer_stride,
        .y.row_stride = work->shape.row_stride,
        .y.outer_stride = work->shape.outer_stride,
        .x.column_stride = work->shape.column_stride,
        .y.column_stride = work->shape.column_stride,
        .column_run = work->shape.column_run,
        .quantization.bound = o->quantize_bound,
    };

    spec.flags =
        flag(rms, ANYNORM_RMS) | flag(o->l2, ANYNORM_L2) | flag(o->correction, ANYNORM_UNBIASED) |
        flag(o->eps_outside, ANYNORM_EPS_OUTSIDE) | flag(o->round_first, ANYNORM_ROUND_FIRST) |
        flag(o->silu, ANYNORM_SILU) | flag(weight, ANYNORM_WEIGHT) | flag(bias, ANYNORM_BIAS) |
        flag(pre_bias, ANYNORM_PRE_BIAS) | flag(residual, ANYNORM_RESIDUAL) |
        flag(norm_inputs_have(inputs, IN_GATE), ANYNORM_GATE) |
        flag(norm_inputs_have(inputs, IN_SCALE), ANYNORM_SCALE) |
        flag(norm_inputs_have(inputs, IN_SHIFT), ANYNORM_SHIFT) | flag(mean, ANYNORM_MEAN_INPUT) |
        flag(rstd, ANYNORM_RSTD_INPUT) | flag(o->sum_output, ANYNORM_SUM_OUTPUT) |
        flag(o->mean_output || (o->stats && !rms && !mean), ANYNORM_MEAN_OUTPUT) |
        flag(o->quantize_scale != 0.0, ANYNORM_Y_SCALE_INPUT) |
        flag(o->scale_output, ANYNORM_Y_SCALE_OUTPUT) |
        flag(o->rstd_output || (o->stats && !rstd), ANYNORM_RSTD_OUTPUT);
    if (weight || bias || pre_bias) {
        spec.parameters.type = inputs->all[IN_WEIGHT].type; /* they share it */
        spec.parameters.rows = inputs->own_parameters ? norm_block_rows(work, o->block_bytes)
                                                      : work->shape.parameter_rows;
        spec.parameters.run = work->shape.parameter_run;
        spec.parameters.cycle = work->shape.parameter_cycle;
    }
    if (inputs->sample_rows) {
        spec.sample_type = inputs->all[IN_SCALE].type; /* likewise */
        spec.sample_rows = inputs->sample_rows;
    }
    if (residual) {
        spec.residual.type = inputs->all[IN_RESIDUAL].type;
        spec.residual.row_stride = work->shape.row_stride;
        spec.residual.outer_stride = work->shape.outer_stride;
        spec.residual.column_stride = work->shape.column_stride;
    }
    if (o->sum_output) {
        spec.sum.type = work->x.type;
        spec.sum.row_stride = work->shape.row_stride;
        spec.sum.outer_stride = work->shape.outer_stride;
        spec.sum.column_stride = work->shape.column_stride;
    }
    return spec;
}
