/* Which fields of a spec may stand together. */
#include "spec.h"

#include <inttypes.h>
#include <math.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/status.h"

#define MAX_COLUMNS UINT64_C(0x7fffffff)
#define KNOWN_FLAGS ((UINT32_C(1) << AN_FLAG_COUNT) - 1)

/* A spec with one of `flags` must have one of `needs`, where there are any, and none of `excludes`.
 */
static const struct {
    uint32_t flags;
    uint32_t needs;
    uint32_t excludes;
    const char *why;
} rules[] = {
    {ANYNORM_L2, ANYNORM_RMS, 0, "ANYNORM_L2 needs ANYNORM_RMS"},
    {ANYNORM_RMS, 0, ANYNORM_UNBIASED,
     "ANYNORM_UNBIASED is not for ANYNORM_RMS, which takes no mean off"},
    {ANYNORM_RMS, 0, ANYNORM_MEAN_OUTPUT | ANYNORM_MEAN_INPUT,
     "ANYNORM_RMS has no mean, so it is neither an output nor an input"},
    {ANYNORM_MEAN_INPUT, ANYNORM_RSTD_INPUT, 0, "ANYNORM_MEAN_INPUT needs ANYNORM_RSTD_INPUT"},
    {ANYNORM_RSTD_INPUT, ANYNORM_MEAN_INPUT | ANYNORM_RMS, 0,
     "ANYNORM_RSTD_INPUT needs ANYNORM_MEAN_INPUT, or ANYNORM_RMS"},
    {ANYNORM_MEAN_INPUT, 0, ANYNORM_MEAN_OUTPUT, "mean is an input and an output"},
    {ANYNORM_RSTD_INPUT, 0, ANYNORM_RSTD_OUTPUT, "rstd is an input and an output"},
    {ANYNORM_EPS_FLOOR, 0, ANYNORM_EPS_OUTSIDE,
     "ANYNORM_EPS_FLOOR and ANYNORM_EPS_OUTSIDE each say what eps is for"},
    {ANYNORM_RSTD_INPUT, 0, AN_OF_RSTD,
     "ANYNORM_L2, ANYNORM_UNBIASED, ANYNORM_EPS_OUTSIDE and ANYNORM_EPS_FLOOR say how rstd is "
     "found; ANYNORM_RSTD_INPUT has it given"},
    {ANYNORM_GATE, ANYNORM_RESIDUAL, 0, "ANYNORM_GATE needs ANYNORM_RESIDUAL"},
    {ANYNORM_STORED_SUM, ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT, 0,
     "ANYNORM_STORED_SUM needs ANYNORM_RESIDUAL, ANYNORM_PRE_BIAS or ANYNORM_SUM_OUTPUT"},
    {ANYNORM_PARTIALS_INPUT, 0, ANYNORM_PARTIALS_OUTPUT, "partials is an input and an output"},
    {ANYNORM_PARTIALS_INPUT, 0, ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT,
     "ANYNORM_PARTIALS_INPUT finds mean and rstd; ANYNORM_MEAN_INPUT and ANYNORM_RSTD_INPUT have "
     "them given"},
    {ANYNORM_PARTIALS_OUTPUT, 0, ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT,
     "ANYNORM_PARTIALS_OUTPUT is there to find a statistic; ANYNORM_MEAN_INPUT and "
     "ANYNORM_RSTD_INPUT have it given"},
    {ANYNORM_PARTIALS_OUTPUT, 0, ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT,
     "ANYNORM_PARTIALS_OUTPUT has no whole row's mean and rstd; the plan with "
     "ANYNORM_PARTIALS_INPUT has"},
    {ANYNORM_PARTIALS_OUTPUT, 0, AN_OF_RSTD,
     "ANYNORM_L2, ANYNORM_UNBIASED, ANYNORM_EPS_OUTSIDE and ANYNORM_EPS_FLOOR say how rstd is "
     "found, which the plan with ANYNORM_PARTIALS_INPUT does, not that with "
     "ANYNORM_PARTIALS_OUTPUT"},
    {ANYNORM_PARTIALS_OUTPUT, 0,
     ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_ROUND_FIRST | ANYNORM_SCALE | ANYNORM_SHIFT |
         ANYNORM_SILU,
     "ANYNORM_PARTIALS_OUTPUT has no y, so no weight, bias, scale, shift, ANYNORM_ROUND_FIRST or "
     "ANYNORM_SILU; the plan with ANYNORM_PARTIALS_INPUT has"},
    {ANYNORM_Y_SCALE_INPUT, 0, ANYNORM_Y_SCALE_OUTPUT, "y_scale is an input and an output"},
};

/* Of gradients: one of these flags needs all of some of the spec's own and all of some of the
 * gradients', and excludes any of some others of each. */
static const struct {
    uint32_t flags;
    uint32_t needs;
    uint32_t excludes;
    uint32_t excludes_gradients;
    const char *why;
} gradient_rules[] = {
    {UINT32_MAX, 0, AN_Y_SCALES | ANYNORM_PARTIALS_OUTPUT | ANYNORM_PARTIALS_INPUT, 0,
     "no gradients with Y_SCALE_INPUT, Y_SCALE_OUTPUT, PARTIALS_OUTPUT or PARTIALS_INPUT in flags; "
     "of a sharded row they are found from its mean and rstd, with DPARTIALS_OUTPUT and "
     "DPARTIALS_INPUT"},
    {ANYNORM_DRESIDUAL, ANYNORM_GATE, 0, 0,
     "DRESIDUAL needs ANYNORM_GATE in flags: without a gate it is dx"},
    {ANYNORM_DWEIGHT, ANYNORM_WEIGHT, 0, 0, "DWEIGHT needs ANYNORM_WEIGHT in flags"},
    {ANYNORM_DBIAS, ANYNORM_BIAS, 0, 0, "DBIAS needs ANYNORM_BIAS in flags"},
    {ANYNORM_DPRE_BIAS, ANYNORM_PRE_BIAS, 0, 0, "DPRE_BIAS needs ANYNORM_PRE_BIAS in flags"},
    {ANYNORM_DGATE, ANYNORM_GATE, 0, 0, "DGATE needs ANYNORM_GATE in flags"},
    {ANYNORM_DSCALE, ANYNORM_SCALE, 0, 0, "DSCALE needs ANYNORM_SCALE in flags"},
    {ANYNORM_DSHIFT, ANYNORM_SHIFT, 0, 0, "DSHIFT needs ANYNORM_SHIFT in flags"},
    {ANYNORM_DSUM | ANYNORM_SAVED_SUM, ANYNORM_SUM_OUTPUT, 0, 0,
     "DSUM and SAVED_SUM need ANYNORM_SUM_OUTPUT in flags"},
    {AN_DPARTIALS, ANYNORM_RSTD_OUTPUT, 0, 0,
     "DPARTIALS_OUTPUT and DPARTIALS_INPUT need the mean and rstd of the whole row: "
     "ANYNORM_MEAN_OUTPUT and ANYNORM_RSTD_OUTPUT in flags"},
    {ANYNORM_DPARTIALS_INPUT, 0, 0, ANYNORM_DPARTIALS_OUTPUT, "partials is an input and an output"},
    {ANYNORM_DPARTIALS_OUTPUT, 0, 0, AN_GRADIENTS | ANYNORM_DSUM | ANYNORM_ACCUMULATE,
     "DPARTIALS_OUTPUT finds two sums and no gradient; the plan with DPARTIALS_INPUT does"},
};

static anynorm_status check_gradient_flags(const anynorm_spec *spec)
{
    uint32_t flags = spec->flags, gradients = spec->gradients.flags;
    uint32_t known = (UINT32_C(1) << AN_GRADIENT_COUNT) - 1;
    if (gradients & ~known)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: gradients.flags has unknown bits 0x%" PRIx32, gradients & ~known);
    for (size_t i = 0; i < COUNT(gradient_rules); i++) {
        bool lacks = (flags & gradient_rules[i].needs) != gradient_rules[i].needs;
        if ((gradients & gradient_rules[i].flags) &&
            (lacks || (flags & gradient_rules[i].excludes) ||
             (gradients & gradient_rules[i].excludes_gradients)))
            return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: gradients.flags: %s",
                           gradient_rules[i].why);
    }
    if (gradients && !(gradients & (AN_GRADIENTS | ANYNORM_DPARTIALS_OUTPUT)))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: gradients.flags says how, but names no gradient to find");
    if ((gradients & ANYNORM_ACCUMULATE) && !(gradients & AN_ROW_SUMS))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: gradients.flags: ACCUMULATE adds to sums over rows; it names none");
    bool saved = flags & (ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT), rms = flags & ANYNORM_RMS;
    bool both = (flags & ANYNORM_RSTD_OUTPUT) && (rms || (flags & ANYNORM_MEAN_OUTPUT));
    if (gradients && saved && !both)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: gradients are found from both mean and rstd of the forward pass, or "
                       "from neither; flags has one of MEAN_OUTPUT and RSTD_OUTPUT");
    return ANYNORM_OK;
}

/* What is left zero by a spec that does not name the gradients it is about. */
static anynorm_status check_gradient_fields(const anynorm_spec *spec)
{
    const anynorm_gradients *g = &spec->gradients;
    const struct {
        const char *field;
        uint64_t value;
        uint32_t flags;
        const char *named;
    } fields[] = {
        {"dx.type", (uint64_t)g->dx.type, ANYNORM_DX, "DX"},
        {"dx.row_stride", g->dx.row_stride, ANYNORM_DX, "DX"},
        {"dx.outer_stride", g->dx.outer_stride, ANYNORM_DX, "DX"},
        {"dx.column_stride", g->dx.column_stride, ANYNORM_DX, "DX"},
        {"dresidual.type", (uint64_t)g->dresidual.type, ANYNORM_DRESIDUAL, "DRESIDUAL"},
        {"dresidual.row_stride", g->dresidual.row_stride, ANYNORM_DRESIDUAL, "DRESIDUAL"},
        {"dresidual.outer_stride", g->dresidual.outer_stride, ANYNORM_DRESIDUAL, "DRESIDUAL"},
        {"dresidual.column_stride", g->dresidual.column_stride, ANYNORM_DRESIDUAL, "DRESIDUAL"},
        {"parameters", (uint64_t)g->parameters, AN_PARAMETER_SUMS, "DWEIGHT, DBIAS or DPRE_BIAS"},
        {"samples", (uint64_t)g->samples, AN_SAMPLE_SUMS, "DGATE, DSCALE or DSHIFT"},
    };
    const struct {
        const char *field;
        anynorm_dtype type;
    } types[] = {{"dx.type", g->dx.type},
                 {"dresidual.type", g->dresidual.type},
                 {"parameters", g->parameters},
                 {"samples", g->samples}};
    for (size_t i = 0; i < COUNT(fields); i++) {
        if (!(g->flags & fields[i].flags) && fields[i].value != 0)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: gradients.%s is %" PRIu64
                           ", must be 0 without %s in gradients.flags",
                           fields[i].field, fields[i].value, fields[i].named);
    }
    for (size_t i = 0; i < COUNT(types); i++) {
        if (!an_dtype_valid(types[i].type) || an_dtype_quantized(types[i].type))
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: gradients.%s is %d; gradients are f32, f16, bf16 or f64",
                           types[i].field, (int)types[i].type);
    }
    if (an_spec_backward(spec) && an_dtype_quantized(spec->y.type))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: y.type is %s, which has no gradient: it is that of dy, and f32, f16, "
                       "bf16 or f64",
                       anynorm_dtype_name(spec->y.type));
    return ANYNORM_OK;
}

static anynorm_status check_flags(const anynorm_spec *spec)
{
    uint32_t flags = spec->flags;
    if (flags & ~KNOWN_FLAGS)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: flags has unknown bits 0x%" PRIx32,
                       flags & ~KNOWN_FLAGS);
    for (size_t i = 0; i < COUNT(rules); i++) {
        bool lacks = rules[i].needs && !(flags & rules[i].needs);
        if ((flags & rules[i].flags) && (lacks || (flags & rules[i].excludes)))
            return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: flags: %s", rules[i].why);
    }
    return ANYNORM_OK;
}

static anynorm_status check_types(const anynorm_spec *spec)
{
    const struct {
        const char *field;
        anynorm_dtype type;
        uint32_t flags; /* those that name a tensor of it; 0: it may be set without */
        const char *tensors;
    } types[] = {
        {"x.type", spec->x.type, 0, NULL},
        {"y.type", spec->y.type, 0, NULL},
        {"parameters.type", spec->parameters.type, 0, NULL},
        {"residual.type", spec->residual.type, ANYNORM_RESIDUAL, "ANYNORM_RESIDUAL"},
        {"sum.type", spec->sum.type, AN_SUMS, "ANYNORM_SUM_OUTPUT or ANYNORM_STORED_SUM"},
        {"gate.type", spec->gate.type, ANYNORM_GATE, "ANYNORM_GATE"},
        {"scale.type", spec->scale.type, ANYNORM_SCALE, "ANYNORM_SCALE"},
        {"shift.type", spec->shift.type, ANYNORM_SHIFT, "ANYNORM_SHIFT"},
    };
    const size_t y = 1;
    for (size_t i = 0; i < COUNT(types); i++) {
        if (!an_dtype_valid(types[i].type))
            return an_fail(ANYNORM_INVALID_ARGUMENT, "spec: %s is %d, which is no anynorm_dtype",
                           types[i].field, (int)types[i].type);
        if (types[i].flags && !(spec->flags & types[i].flags) && (int)types[i].type != 0)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: %s is %s, must be 0 without %s in flags", types[i].field,
                           anynorm_dtype_name(types[i].type), types[i].tensors);
        if (an_dtype_quantized(types[i].type) && i != y)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: %s is %s, which only y.type may be; f32, f16, bf16 or f64",
                           types[i].field, anynorm_dtype_name(types[i].type));
    }
    if ((spec->flags & AN_Y_SCALES) && !an_dtype_quantized(spec->y.type))
        return an_fail(
            ANYNORM_INVALID_ARGUMENT,
            "spec: flags: ANYNORM_Y_SCALE_INPUT and ANYNORM_Y_SCALE_OUTPUT need a y.type "
            "of i8 or f8e4m3, not %s",
            anynorm_dtype_name(spec->y.type));
    return ANYNORM_OK;
}

/* What is left zero by a spec that does not name the tensors it is about. */
static anynorm_status check_counts(const anynorm_spec *spec)
{
    const struct {
        const char *field;
        uint64_t value;
        uint64_t most; /* without the tensors */
        uint32_t flags;
        const char *tensors;
    } counts[] = {
        {"residual.row_stride", spec->residual.row_stride, 0, ANYNORM_RESIDUAL, "ANYNORM_RESIDUAL"},
        {"residual.outer_stride", spec->residual.outer_stride, 0, ANYNORM_RESIDUAL,
         "ANYNORM_RESIDUAL"},
        {"residual.column_stride", spec->residual.column_stride, 0, ANYNORM_RESIDUAL,
         "ANYNORM_RESIDUAL"},
        {"sum.row_stride", spec->sum.row_stride, 0, ANYNORM_SUM_OUTPUT, "ANYNORM_SUM_OUTPUT"},
        {"sum.outer_stride", spec->sum.outer_stride, 0, ANYNORM_SUM_OUTPUT, "ANYNORM_SUM_OUTPUT"},
        {"sum.column_stride", spec->sum.column_stride, 0, ANYNORM_SUM_OUTPUT, "ANYNORM_SUM_OUTPUT"},
        {"gate.row_stride", spec->gate.row_stride, 0, ANYNORM_GATE, "ANYNORM_GATE"},
        {"gate.column_stride", spec->gate.column_stride, 0, ANYNORM_GATE, "ANYNORM_GATE"},
        {"scale.row_stride", spec->scale.row_stride, 0, ANYNORM_SCALE, "ANYNORM_SCALE"},
        {"scale.column_stride", spec->scale.column_stride, 0, ANYNORM_SCALE, "ANYNORM_SCALE"},
        {"shift.row_stride", spec->shift.row_stride, 0, ANYNORM_SHIFT, "ANYNORM_SHIFT"},
        {"shift.column_stride", spec->shift.column_stride, 0, ANYNORM_SHIFT, "ANYNORM_SHIFT"},
        {"sample_rows", spec->sample_rows, 1, AN_SAMPLES,
         "ANYNORM_GATE, ANYNORM_SCALE or ANYNORM_SHIFT"},
        {"parameters.rows", spec->parameters.rows, 1, AN_PARAMETERS,
         "ANYNORM_WEIGHT, ANYNORM_BIAS or ANYNORM_PRE_BIAS"},
        {"parameters.run", spec->parameters.run, 1, AN_PARAMETERS,
         "ANYNORM_WEIGHT, ANYNORM_BIAS or ANYNORM_PRE_BIAS"},
        {"parameters.cycle", spec->parameters.cycle, 0, AN_PARAMETERS,
         "ANYNORM_WEIGHT, ANYNORM_BIAS or ANYNORM_PRE_BIAS"},
        {"statistic.shards", spec->statistic.shards, 1, ANYNORM_PARTIALS_INPUT,
         "ANYNORM_PARTIALS_INPUT"},
    };
    bool merges = spec->gradients.flags & ANYNORM_DPARTIALS_INPUT;
    for (size_t i = 0; i < COUNT(counts); i++) {
        bool named = (spec->flags & counts[i].flags) ||
                     (merges && counts[i].flags == ANYNORM_PARTIALS_INPUT);
        if (!named && counts[i].value > counts[i].most)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: %s is %" PRIu64 ", must be 0 without %s in flags",
                           counts[i].field, counts[i].value, counts[i].tensors);
    }
    return ANYNORM_OK;
}

/* Samples follow each other in one level, unlike the rows of x that share them. */
static anynorm_status check_samples(const anynorm_spec *spec)
{
    const struct {
        const char *tensor;
        uint64_t outer_stride;
    } tensors[] = {{"gate", spec->gate.outer_stride},
                   {"scale", spec->scale.outer_stride},
                   {"shift", spec->shift.outer_stride}};
    for (size_t i = 0; i < COUNT(tensors); i++) {
        if (tensors[i].outer_stride != 0)
            return an_fail(
                ANYNORM_INVALID_ARGUMENT,
                "spec: %s.outer_stride is %" PRIu64
                ", must be 0, as samples have one level: row_stride from each to the next",
                tensors[i].tensor, tensors[i].outer_stride);
    }
    return ANYNORM_OK;
}

/* What cuts a row into equal parts. */
static anynorm_status check_divisors(const anynorm_spec *spec)
{
    const struct {
        const char *field;
        uint64_t value; /* 0: 1 */
        uint64_t of;
        const char *parts;
    } divisors[] = {
        {"column_run", spec->column_run, spec->columns, "columns"},
        {"parameters.run", spec->parameters.run, spec->columns, "columns"},
        {"parameters.cycle", spec->parameters.cycle, spec->columns, "columns"},
        {"parameters.run", spec->parameters.run, spec->parameters.cycle,
         "columns of the parameters.cycle"},
    };
    for (size_t i = 0; i < COUNT(divisors); i++) {
        if (divisors[i].value > 1 && divisors[i].of % divisors[i].value != 0)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: %s is %" PRIu64 ", which does not divide the %" PRIu64 " %s",
                           divisors[i].field, divisors[i].value, divisors[i].of, divisors[i].parts);
    }
    return ANYNORM_OK;
}

/* What is left zero by a spec that has no y. */
static anynorm_status check_without_y(const anynorm_spec *spec)
{
    const struct {
        const char *field;
        uint64_t value;
    } fields[] = {
        {"y.type", (uint64_t)spec->y.type},
        {"y.row_stride", spec->y.row_stride},
        {"y.outer_stride", spec->y.outer_stride},
        {"y.column_stride", spec->y.column_stride},
    };
    if (!(spec->flags & ANYNORM_PARTIALS_OUTPUT))
        return ANYNORM_OK;
    for (size_t i = 0; i < COUNT(fields); i++) {
        if (fields[i].value != 0)
            return an_fail(ANYNORM_INVALID_ARGUMENT,
                           "spec: %s is %" PRIu64
                           ", must be 0 with ANYNORM_PARTIALS_OUTPUT, which has no y",
                           fields[i].field, fields[i].value);
    }
    return ANYNORM_OK;
}

static anynorm_status check_numbers(const anynorm_spec *spec)
{
    if (!isfinite(spec->statistic.eps) || spec->statistic.eps < 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: statistic.eps is %g, must be finite and not negative",
                       spec->statistic.eps);
    if ((spec->flags & ANYNORM_RSTD_INPUT) && spec->statistic.eps != 0)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: statistic.eps is %g, must be 0 with ANYNORM_RSTD_INPUT",
                       spec->statistic.eps);
    if ((spec->flags & ANYNORM_PARTIALS_OUTPUT) && spec->statistic.eps != 0)
        return an_fail(
            ANYNORM_INVALID_ARGUMENT,
            "spec: statistic.eps is %g, must be 0 with ANYNORM_PARTIALS_OUTPUT; the plan with "
            "ANYNORM_PARTIALS_INPUT adds it",
            spec->statistic.eps);
    bool whole_rows = !(spec->flags & ANYNORM_PARTIALS_INPUT);
    if ((spec->flags & ANYNORM_UNBIASED) && whole_rows && spec->columns < 2)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: columns is 1, must be 2 or more with ANYNORM_UNBIASED");
    if (!isfinite(spec->parameters.weight_offset))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: parameters.weight_offset is %g, must be finite",
                       spec->parameters.weight_offset);
    if (!(spec->flags & ANYNORM_WEIGHT) && spec->parameters.weight_offset != 0)
        return an_fail(
            ANYNORM_INVALID_ARGUMENT,
            "spec: parameters.weight_offset is %g, must be 0 without ANYNORM_WEIGHT in flags",
            spec->parameters.weight_offset);
    if (!isfinite(spec->quantization.bound) ||
        (spec->quantization.bound != 0 && spec->quantization.bound < 0x1p-100))
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: quantization.bound is %g, must be 0, or finite and 2^-100 or more",
                       spec->quantization.bound);
    if (!(spec->flags & ANYNORM_Y_SCALE_OUTPUT) && spec->quantization.bound != 0)
        return an_fail(
            ANYNORM_INVALID_ARGUMENT,
            "spec: quantization.bound is %g, must be 0 without ANYNORM_Y_SCALE_OUTPUT in flags",
            spec->quantization.bound);
    return ANYNORM_OK;
}

anynorm_status an_spec_check_fields(const anynorm_spec *spec)
{
    if (!spec)
        return an_fail(ANYNORM_INVALID_ARGUMENT, "spec is NULL");
    if (spec->columns == 0 || spec->columns > MAX_COLUMNS)
        return an_fail(ANYNORM_INVALID_ARGUMENT,
                       "spec: columns is %" PRIu64 ", must be 1 to 2147483647", spec->columns);
    anynorm_status status = check_flags(spec);
    if (status == ANYNORM_OK)
        status = check_gradient_flags(spec);
    if (status == ANYNORM_OK)
        status = check_gradient_fields(spec);
    if (status == ANYNORM_OK)
        status = check_types(spec);
    if (status == ANYNORM_OK)
        status = check_counts(spec);
    if (status == ANYNORM_OK)
        status = check_samples(spec);
    if (status == ANYNORM_OK)
        status = check_divisors(spec);
    if (status == ANYNORM_OK)
        status = check_without_y(spec);
    if (status == ANYNORM_OK)
        status = check_numbers(spec);
    return status;
}
