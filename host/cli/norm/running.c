/* The statistics that batch normalization keeps from batch to batch. */
#include "norm.h"

#include "common/cli.h"

#include <math.h>
#include <stdlib.h>

enum { PARTIALS = 3 }; /* of each row: its columns, their mean, their squares about it */

/* ---- Used ---- */

/* In double, since the variance may be small beside eps; 0 for 1 / 0. */
static double rstd_of(const struct norm_options *o, double variance)
{
    double deviation = o->eps_mode == 1   ? sqrt(variance) + o->eps
                       : o->eps_mode == 2 ? fmax(sqrt(variance), o->eps)
                                          : sqrt(variance + o->eps);

    return deviation == 0.0 ? 0.0 : 1.0 / deviation;
}

bool norm_running_use(struct norm *work)
{
    const struct norm_input *mean = &work->inputs[IN_RUNNING_MEAN];
    const struct norm_input *variance = &work->inputs[IN_RUNNING_VARIANCE];
    uint64_t rows = work->shape.rows;
    float *means, *rstds;

    if (work->options.training || !mean->data)
        return true;
    means = work->inputs[IN_MEAN].data = malloc((size_t)rows * sizeof *means);
    rstds = work->inputs[IN_RSTD].data = malloc((size_t)rows * sizeof *rstds);
    if (!means || !rstds)
        return cli_fail(CLI_FAILED, mean->file.path, "out of memory");
    for (uint64_t c = 0; c < rows; c++) {
        anynorm_dtype_store(ANYNORM_F32, means, c, ((const double *)mean->data)[c]);
        anynorm_dtype_store(ANYNORM_F32, rstds, c,
                            rstd_of(&work->options, ((const double *)variance->data)[c]));
    }
    return true;
}

/* ---- Updated ---- */

/* From partials, as 1 / rstd^2 - eps has no digit left of a variance that is small beside eps. */
anynorm_status norm_running_plan(struct norm *work)
{
    anynorm_spec spec = work->spec;

    if (!work->options.outputs[OUT_RUNNING_MEAN] && !work->options.outputs[OUT_RUNNING_VARIANCE])
        return ANYNORM_OK;
    spec.flags = (spec.flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS)) | ANYNORM_PARTIALS_OUTPUT;
    spec.y = spec.sum = (anynorm_rows){0};
    spec.statistic.eps = 0.0;
    spec.quantization = (anynorm_quantization){0};
    if (spec.flags & ANYNORM_PRE_BIAS)
        spec.parameters.weight_offset = 0.0;
    else
        spec.parameters = (anynorm_parameters){0};
    return anynorm_plan_create(work->device, &spec, NULL, &work->batch);
}

/* One of the two: the `field`th of the partials, over `divisor`. */
static void update(const struct norm *work, enum norm_input_name old, enum norm_output_name name,
                   void *data, const float *partials, double divisor)
{
    double kept = work->options.convention == BY_PYTORCH ? 1.0 - work->options.momentum
                                                         : work->options.momentum;
    const double *running = work->inputs[old].data;

    for (uint64_t c = 0; data && c < work->shape.rows; c++)
        anynorm_dtype_store(norm_output_type(work, name), data, c,
                            kept * running[c] +
                                (1.0 - kept) * ((double)partials[c * PARTIALS] / divisor));
}

bool norm_running_update(const struct norm *work, const anynorm_host_tensors *tensors,
                         void *const outputs[OUTPUTS])
{
    double columns = (double)work->spec.columns;
    double divisor = work->options.convention == BY_PYTORCH ? columns - 1.0 : columns;
    anynorm_host_tensors batch = {
        .x = tensors->x, .residual = tensors->residual, .pre_bias = tensors->pre_bias};
    anynorm_status status;

    if (!work->batch)
        return true;
    batch.partials = malloc((size_t)work->shape.rows * PARTIALS * sizeof *batch.partials);
    if (!batch.partials)
        return cli_fail(CLI_FAILED, work->x.path, "out of memory");
    status = anynorm_run(work->batch, &batch, work->shape.rows);
    if (status == ANYNORM_OK) {
        update(work, IN_RUNNING_MEAN, OUT_RUNNING_MEAN, outputs[OUT_RUNNING_MEAN],
               batch.partials + 1, 1.0);
        update(work, IN_RUNNING_VARIANCE, OUT_RUNNING_VARIANCE, outputs[OUT_RUNNING_VARIANCE],
               batch.partials + 2, divisor);
    }
    free(batch.partials);
    return status == ANYNORM_OK || cli_fail_library(work->x.path, status);
}
