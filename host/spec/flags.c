#include "spec.h"

const struct an_flag an_flags[AN_FLAG_COUNT] = {
    {ANYNORM_WEIGHT, "weight", "HAS_WEIGHT"},
    {ANYNORM_BIAS, "bias", "HAS_BIAS"},
    {ANYNORM_MEAN_OUTPUT, "mean", "HAS_MEAN"},
    {ANYNORM_RSTD_OUTPUT, "rstd", "HAS_RSTD"},
    {ANYNORM_ANY_ALIGNMENT, "any-alignment", "ANY_ALIGNMENT"},
    {ANYNORM_RMS, NULL, "RMS"}, /* the text's first word */
    {ANYNORM_L2, "l2", "L2"},
    {ANYNORM_UNBIASED, "unbiased", "UNBIASED"},
    {ANYNORM_EPS_OUTSIDE, "eps-outside", "EPS_OUTSIDE"},
    {ANYNORM_EPS_FLOOR, "eps-floor", "EPS_FLOOR"},
    {ANYNORM_MEAN_INPUT, "mean-input", "MEAN_INPUT"},
    {ANYNORM_RSTD_INPUT, "rstd-input", "RSTD_INPUT"},
    {ANYNORM_RESIDUAL, "residual", "HAS_RESIDUAL"},
    {ANYNORM_GATE, "gate", "HAS_GATE"},
    {ANYNORM_PRE_BIAS, "pre-bias", "HAS_PRE_BIAS"},
    {ANYNORM_SUM_OUTPUT, "sum", "HAS_SUM"},
    {ANYNORM_STORED_SUM, "stored-sum", "STORED_SUM"},
    {ANYNORM_ROUND_FIRST, "round-first", "ROUND_FIRST"},
    {ANYNORM_SCALE, "scale", "HAS_SCALE"},
    {ANYNORM_SHIFT, "shift", "HAS_SHIFT"},
    {ANYNORM_SILU, "silu", "SILU"},
    {ANYNORM_PARTIALS_OUTPUT, "partials", "PARTIALS_OUTPUT"},
    {ANYNORM_PARTIALS_INPUT, "partials-input", "PARTIALS_INPUT"},
    {ANYNORM_Y_SCALE_INPUT, "y-scale-input", "Y_SCALE_INPUT"},
    {ANYNORM_Y_SCALE_OUTPUT, "y-scale", "Y_SCALE_OUTPUT"},
};
