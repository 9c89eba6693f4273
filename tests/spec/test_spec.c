/* The spec, without a device: what is taken, what refused, and how it is resolved. */
#include "refused.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "spec/spec.h"
#include "spec_flags.h"

/* ---- Checking and resolving ---- */

static void test_spec_check_takes(void **state)
{
    (void)state;
    static const anynorm_spec good[] = {
        {.columns = 1},
        {.columns = 2147483647},
        {.columns = 4, .statistic.eps = ANYNORM_EPS_DEFAULT},
        {.columns = 4, .statistic.eps = DBL_MAX},
        {.columns = 4, .statistic.eps = 4.9e-324},
        {.columns = 4, .statistic.eps = -0.0},
        {.columns = 4, .flags = 31},
        {.columns = 4,
         .x.type = ANYNORM_F64,
         .y.type = ANYNORM_F16,
         .parameters.type = ANYNORM_BF16},
        {.columns = 4, .x.row_stride = 4, .y.row_stride = 5},
        {.columns = 4, .x.row_stride = UINT64_MAX, .y.row_stride = UINT64_MAX},
        {.columns = 4, .inner_rows = 3},
        {.columns = 4, .inner_rows = 3, .x.outer_stride = 4},
        {.columns = 4, .inner_rows = 3, .x.outer_stride = UINT64_MAX, .y.outer_stride = 12},
        {.columns = 4, .inner_rows = UINT64_MAX / 4},
        {.columns = 1, .inner_rows = UINT64_MAX},
        {.columns = 4, .x.column_stride = 1, .y.column_stride = 1},
        {.columns = 4, .x.column_stride = 9, .y.column_stride = UINT64_MAX},
        {.columns = 4, .inner_rows = 9, .x.column_stride = 9, .y.column_stride = 9},
        {.columns = 4, .inner_rows = 9, .x.column_stride = 9},
        {.columns = 4, .x.row_stride = 8, .x.column_stride = 2},
        {.columns = 4, .x.row_stride = 3, .x.column_stride = 2},
        {.columns = 4, .inner_rows = 1, .x.row_stride = 1, .x.outer_stride = 4},
        {.columns = 1, .x.row_stride = 1, .x.column_stride = UINT64_MAX},
        {.columns = 4, .flags = RMS, .statistic.eps = 1},
        {.columns = 1, .flags = RMS | L2 | EPS_OUTSIDE | RSTD_OUT},
        {.columns = 2, .flags = UNBIASED | MEAN_OUT | RSTD_OUT},
        {.columns = 4, .flags = MEAN_IN | RSTD_IN},
        {.columns = 4, .flags = RMS | RSTD_IN},
        {.columns = 4, .flags = RESIDUAL | GATE, .residual.type = ANYNORM_F64, .sample_rows = 9},
        {.columns = 4, .flags = RESIDUAL, .residual.row_stride = 9, .residual.column_stride = 2},
        {.columns = 4, .flags = PRE_BIAS | STORED_SUM, .sum.type = ANYNORM_BF16},
        {.columns = 4, .flags = RESIDUAL | STORED_SUM},
        {.columns = 4, .flags = SUM | STORED_SUM, .sum.type = ANYNORM_F16, .sum.row_stride = 7},
        {.columns = 4, .inner_rows = 2, .flags = SUM, .sum.row_stride = 8, .sum.outer_stride = 4},
        {.columns = 4, .flags = ROUND_FIRST | SILU},
        {.columns = 4, .flags = SCALE, .scale.type = ANYNORM_F16, .sample_rows = UINT64_MAX},
        {.columns = 4,
         .flags = SCALE | SHIFT,
         .scale.type = ANYNORM_F16,
         .shift.type = ANYNORM_F64,
         .scale.row_stride = 24,
         .shift.row_stride = 4},
        {.columns = 4, .flags = RESIDUAL | GATE, .inner_rows = 3, .gate.row_stride = 5},
        {.columns = 4, .flags = SHIFT, .shift.column_stride = 9, .shift.row_stride = 2},
        {.columns = 4, .flags = SHIFT, .shift.column_stride = UINT64_MAX},
        {.columns = 4, .flags = SCALE, .column_run = 2, .scale.column_stride = 3},
        {.columns = 4, .flags = SHIFT, .sample_rows = 1},
        {.columns = 4,
         .flags = WEIGHT,
         .parameters.weight_offset = -DBL_MAX,
         .parameters.rows = UINT64_MAX},
        {.columns = 4, .flags = BIAS, .parameters.run = 4},
        {.columns = 4, .flags = PRE_BIAS, .parameters.run = 2, .parameters.rows = 3},
        {.columns = 4,
         .sample_rows = 1,
         .parameters.rows = 1,
         .parameters.run = 1,
         .statistic.shards = 1},
        {.columns = 1, .flags = PARTIALS_IN | UNBIASED | EPS_OUTSIDE | MEAN_OUT | RSTD_OUT},
        {.columns = 4,
         .flags = RMS | PARTIALS_IN | L2 | WEIGHT | SILU,
         .statistic.shards = UINT64_MAX},
        {.columns = 4, .flags = RMS | PARTIALS_OUT | PRE_BIAS | SUM, .parameters.run = 2},
        {.columns = 4, .x.type = ANYNORM_F16, .flags = PARTIALS_OUT | RESIDUAL | GATE | STORED_SUM},
        {.columns = 4, .column_run = 1},
        {.columns = 4, .column_run = 2, .x.column_stride = 2, .y.column_stride = UINT64_MAX},
        {.columns = 4, .column_run = 4, .x.column_stride = 3},
        {.columns = 6, .column_run = 3, .x.column_stride = 5, .y.column_stride = 4},
        {.columns = 6, .column_run = 3, .inner_rows = 2, .x.column_stride = 5},
        {.columns = 6, .column_run = 3, .x.column_stride = 9, .x.row_stride = 6},
        {.columns = 6, .column_run = 3, .x.column_stride = 9, .x.row_stride = 12},
        {.columns = 4, .flags = SUM, .column_run = 2, .inner_rows = 3, .sum.column_stride = 6},
        {.columns = 12, .flags = WEIGHT, .parameters.cycle = 6, .parameters.run = 2},
        {.columns = 12, .flags = WEIGHT, .parameters.cycle = 12},
        {.columns = 12, .flags = BIAS, .parameters.cycle = 1, .parameters.rows = 2},
        {.columns = 4, .y.type = ANYNORM_I8},
        {.columns = 4, .x.type = ANYNORM_F64, .y.type = ANYNORM_F8E4M3},
        {.columns = 4, .flags = Y_SCALE_IN, .y.type = ANYNORM_F8E4M3},
        {.columns = 4, .flags = RMS | Y_SCALE_OUT, .y.type = ANYNORM_I8},
        {.columns = 4, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = DBL_MAX},
        {.columns = 4, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = 0x1p-100},
    };
    for (size_t i = 0; i < COUNT(good); i++)
        assert_ok(anynorm_spec_check(&good[i]));
}

static void test_spec_check_refuses(void **state)
{
    (void)state;
    static const anynorm_spec bad[] = {
        {.columns = 0},
        {.columns = 2147483648},
        {.columns = UINT64_MAX},
        {.columns = 4, .x.type = (anynorm_dtype)6},
        {.columns = 4, .x.type = (anynorm_dtype)-1},
        {.columns = 4, .y.type = (anynorm_dtype)6},
        {.columns = 4, .y.type = (anynorm_dtype)INT32_MAX},
        {.columns = 4, .parameters.type = (anynorm_dtype)6},
        {.columns = 4, .parameters.type = (anynorm_dtype)INT32_MIN},
        {.columns = 4, .flags = 1u << 25},
        {.columns = 4, .flags = 1u << 31},
        {.columns = 4, .flags = UINT32_MAX},
        {.columns = 4, .statistic.eps = -1e-9},
        {.columns = 4, .statistic.eps = -4.9e-324},
        {.columns = 4, .statistic.eps = (double)INFINITY},
        {.columns = 4, .statistic.eps = -(double)INFINITY},
        {.columns = 4, .statistic.eps = (double)NAN},
        {.columns = 4, .x.row_stride = 3},
        {.columns = 4, .y.row_stride = 3},
        {.columns = 4, .y.row_stride = 1},
        {.columns = 4, .x.outer_stride = 8},
        {.columns = 4, .y.outer_stride = 8},
        {.columns = 4, .inner_rows = 2, .x.row_stride = 3},
        {.columns = 4, .inner_rows = 2, .x.outer_stride = 3},
        {.columns = 4, .inner_rows = 2, .y.outer_stride = 3},
        {.columns = 4, .inner_rows = UINT64_MAX / 4 + 1},
        {.columns = 4, .inner_rows = 2, .x.row_stride = UINT64_C(1) << 63},
        {.columns = 4, .inner_rows = 2, .y.row_stride = UINT64_C(1) << 63},
        {.columns = 4, .x.row_stride = 6, .x.column_stride = 2},
        {.columns = 4, .y.row_stride = 2, .y.column_stride = 2},
        {.columns = 4, .inner_rows = 2, .x.outer_stride = 4, .x.column_stride = 2},
        {.columns = 4, .inner_rows = 2, .y.outer_stride = 9, .y.column_stride = 9},
        {.columns = 4, .inner_rows = 2, .x.column_stride = UINT64_C(1) << 62},
        {.columns = 4, .inner_rows = 1, .x.row_stride = 9, .x.outer_stride = 3},
        {.columns = 4, .column_run = 3},
        {.columns = 4, .column_run = 8},
        {.columns = 4, .column_run = UINT64_MAX},
        {.columns = 4, .column_run = 2, .x.column_stride = 1},
        {.columns = 4, .column_run = 2, .y.column_stride = 1},
        {.columns = 4, .column_run = 2, .x.row_stride = 3},
        {.columns = 4, .column_run = 2, .y.column_stride = 8, .x.row_stride = 3},
        {.columns = 6, .column_run = 3, .x.column_stride = 9, .x.row_stride = 2},
        {.columns = 6, .column_run = 3, .x.column_stride = 9, .x.row_stride = 7},
        {.columns = 6, .column_run = 3, .x.column_stride = 9, .x.row_stride = 9},
        {.columns = 6, .column_run = 3, .x.column_stride = 9, .x.row_stride = 11},
        {.columns = 6, .column_run = 3, .inner_rows = 2, .y.column_stride = 9, .y.outer_stride = 8},
        {.columns = 4, .column_run = 2, .inner_rows = 2, .x.column_stride = UINT64_C(1) << 63},
    };
    anynorm_spec resolved, before;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_refused(anynorm_spec_check(&bad[i]), ANYNORM_INVALID_ARGUMENT);
        memset(&resolved, 0x5a, sizeof(resolved));
        before = resolved;
        assert_refused(an_spec_resolve(&bad[i], &resolved), ANYNORM_INVALID_ARGUMENT);
        assert_memory_equal(&resolved, &before, sizeof(before));
    }
    assert_refused(anynorm_spec_check(NULL), ANYNORM_INVALID_ARGUMENT);
}

/* Each with the field, or the flag, that its message must name. */
static void test_spec_names_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        const char *named;
    } bad[] = {
        {{.columns = 4, .flags = L2}, "ANYNORM_L2"},
        {{.columns = 4, .flags = RMS | UNBIASED}, "ANYNORM_UNBIASED"},
        {{.columns = 1, .flags = UNBIASED}, "columns"},
        {{.columns = 4, .flags = RMS | MEAN_OUT}, "mean"},
        {{.columns = 4, .flags = RMS | RSTD_IN | MEAN_IN}, "mean"},
        {{.columns = 4, .flags = MEAN_IN}, "ANYNORM_MEAN_INPUT"},
        {{.columns = 4, .flags = RSTD_IN}, "ANYNORM_RSTD_INPUT"},
        {{.columns = 4, .flags = MEAN_IN | RSTD_IN | MEAN_OUT}, "mean"},
        {{.columns = 4, .flags = MEAN_IN | RSTD_IN | RSTD_OUT}, "rstd"},
        {{.columns = 4, .flags = RMS | RSTD_IN | RSTD_OUT}, "rstd"},
        {{.columns = 4, .flags = MEAN_IN | RSTD_IN, .statistic.eps = 1e-5}, "eps"},
        {{.columns = 4, .flags = MEAN_IN | RSTD_IN | UNBIASED}, "ANYNORM_UNBIASED"},
        {{.columns = 4, .flags = RMS | RSTD_IN | L2}, "ANYNORM_L2"},
        {{.columns = 4, .flags = RMS | RSTD_IN | EPS_OUTSIDE}, "ANYNORM_EPS_OUTSIDE"},
        {{.columns = 4, .flags = GATE}, "ANYNORM_GATE"},
        {{.columns = 4, .flags = STORED_SUM}, "ANYNORM_STORED_SUM"},
        {{.columns = 4, .residual.type = ANYNORM_F16}, "residual.type"},
        {{.columns = 4, .sum.type = ANYNORM_F16}, "sum.type"},
        {{.columns = 4, .flags = SHIFT, .gate.type = ANYNORM_F16}, "gate.type"},
        {{.columns = 4, .flags = RESIDUAL, .scale.type = ANYNORM_F16}, "scale.type"},
        {{.columns = 4, .flags = SCALE, .shift.type = ANYNORM_F16}, "shift.type"},
        {{.columns = 4, .flags = RESIDUAL, .residual.type = (anynorm_dtype)6}, "residual.type"},
        {{.columns = 4, .flags = SUM, .sum.type = (anynorm_dtype)-1}, "sum.type"},
        {{.columns = 4, .flags = RESIDUAL | GATE, .gate.type = (anynorm_dtype)6}, "gate.type"},
        {{.columns = 4, .flags = SHIFT, .shift.type = (anynorm_dtype)9}, "shift.type"},
        {{.columns = 4, .scale.type = (anynorm_dtype)6}, "scale.type"},
        {{.columns = 4, .gate.row_stride = 4}, "gate.row_stride"},
        {{.columns = 4, .flags = SHIFT, .scale.row_stride = 4}, "scale.row_stride"},
        {{.columns = 4, .flags = SCALE, .shift.row_stride = 4}, "shift.row_stride"},
        {{.columns = 4, .flags = SCALE, .gate.column_stride = 1}, "gate.column_stride"},
        {{.columns = 4, .scale.column_stride = 1}, "scale.column_stride"},
        {{.columns = 4, .shift.column_stride = 1}, "shift.column_stride"},
        {{.columns = 4, .flags = RESIDUAL | GATE, .gate.outer_stride = 8},
         "gate.outer_stride is 8, must be 0, as samples have one level"},
        {{.columns = 4, .inner_rows = 2, .flags = SCALE, .scale.outer_stride = 8},
         "scale.outer_stride"},
        {{.columns = 4, .inner_rows = 2, .shift.outer_stride = 8}, "shift.outer_stride"},
        {{.columns = 4, .flags = RESIDUAL | GATE, .gate.row_stride = 3}, "gate.row_stride"},
        {{.columns = 4, .flags = SCALE, .scale.row_stride = 2, .scale.column_stride = 2},
         "scale.row_stride"},
        {{.columns = 4, .flags = SHIFT, .column_run = 2, .shift.column_stride = 1},
         "shift.column_stride"},
        {{.columns = 4, .residual.row_stride = 4}, "residual.row_stride"},
        {{.columns = 4, .inner_rows = 2, .residual.outer_stride = 8}, "residual.outer_stride"},
        {{.columns = 4, .residual.column_stride = 1}, "residual.column_stride"},
        {{.columns = 4, .flags = RESIDUAL | STORED_SUM, .sum.row_stride = 4}, "sum.row_stride"},
        {{.columns = 4, .inner_rows = 2, .sum.outer_stride = 8}, "sum.outer_stride"},
        {{.columns = 4, .sum.column_stride = 1}, "sum.column_stride"},
        {{.columns = 4, .flags = RESIDUAL, .residual.row_stride = 3}, "residual.row_stride"},
        {{.columns = 4, .flags = RESIDUAL, .residual.outer_stride = 8}, "residual.outer_stride"},
        {{.columns = 4, .inner_rows = 2, .flags = SUM, .sum.outer_stride = 3}, "sum.outer_stride"},
        {{.columns = 4, .flags = SUM, .sum.row_stride = 2, .sum.column_stride = 2},
         "sum.row_stride"},
        {{.columns = 4, .parameters.weight_offset = 1}, "parameters.weight_offset"},
        {{.columns = 4, .flags = WEIGHT, .parameters.weight_offset = (double)INFINITY},
         "parameters.weight_offset"},
        {{.columns = 4, .flags = WEIGHT, .parameters.weight_offset = (double)NAN},
         "parameters.weight_offset"},
        {{.columns = 4, .flags = WEIGHT, .sample_rows = 2}, "sample_rows"},
        {{.columns = 4, .flags = SCALE, .parameters.rows = 2}, "parameters.rows"},
        {{.columns = 4, .flags = SCALE, .parameters.run = 2}, "parameters.run"},
        {{.columns = 4, .flags = WEIGHT, .parameters.run = 3}, "parameters.run"},
        {{.columns = 4, .flags = WEIGHT, .parameters.run = 8}, "parameters.run"},
        {{.columns = 4, .flags = PARTIALS_IN | PARTIALS_OUT}, "partials"},
        {{.columns = 4, .flags = PARTIALS_IN | MEAN_IN | RSTD_IN}, "ANYNORM_PARTIALS_INPUT"},
        {{.columns = 4, .flags = PARTIALS_IN | RMS | RSTD_IN}, "ANYNORM_RSTD_INPUT"},
        {{.columns = 4, .flags = PARTIALS_IN | RMS | MEAN_OUT}, "mean"},
        {{.columns = 4, .flags = PARTIALS_OUT | MEAN_IN | RSTD_IN}, "ANYNORM_PARTIALS_OUTPUT"},
        {{.columns = 4, .flags = PARTIALS_OUT | RMS | RSTD_IN}, "ANYNORM_RSTD_INPUT"},
        {{.columns = 4, .flags = PARTIALS_OUT | MEAN_OUT}, "ANYNORM_PARTIALS_OUTPUT"},
        {{.columns = 4, .flags = PARTIALS_OUT | RSTD_OUT}, "ANYNORM_PARTIALS_OUTPUT"},
        {{.columns = 4, .flags = PARTIALS_OUT | RMS | L2}, "ANYNORM_L2"},
        {{.columns = 4, .flags = PARTIALS_OUT | UNBIASED}, "ANYNORM_UNBIASED"},
        {{.columns = 4, .flags = PARTIALS_OUT | EPS_OUTSIDE}, "ANYNORM_EPS_OUTSIDE"},
        {{.columns = 4, .flags = PARTIALS_OUT | EPS_FLOOR}, "ANYNORM_EPS_FLOOR"},
        {{.columns = 4, .flags = RMS | RSTD_IN | EPS_FLOOR}, "ANYNORM_EPS_FLOOR"},
        {{.columns = 4, .flags = EPS_FLOOR | EPS_OUTSIDE}, "ANYNORM_EPS_FLOOR"},
        {{.columns = 4, .flags = PARTIALS_OUT | WEIGHT}, "weight"},
        {{.columns = 4, .flags = PARTIALS_OUT | BIAS}, "bias"},
        {{.columns = 4, .flags = PARTIALS_OUT | ROUND_FIRST}, "ANYNORM_ROUND_FIRST"},
        {{.columns = 4, .flags = PARTIALS_OUT | SCALE}, "scale"},
        {{.columns = 4, .flags = PARTIALS_OUT | SHIFT}, "shift"},
        {{.columns = 4, .flags = PARTIALS_OUT | SILU}, "ANYNORM_SILU"},
        {{.columns = 4, .flags = PARTIALS_OUT, .statistic.eps = 1e-5}, "eps"},
        {{.columns = 4, .flags = PARTIALS_OUT, .y.type = ANYNORM_F16}, "y.type"},
        {{.columns = 4, .flags = PARTIALS_OUT, .y.row_stride = 4}, "y.row_stride"},
        {{.columns = 4, .flags = PARTIALS_OUT, .inner_rows = 2, .y.outer_stride = 8},
         "y.outer_stride"},
        {{.columns = 4, .flags = PARTIALS_OUT, .y.column_stride = 1}, "y.column_stride"},
        {{.columns = 4, .flags = PARTIALS_OUT, .parameters.weight_offset = 1},
         "parameters.weight_offset"},
        {{.columns = 4, .statistic.shards = 2}, "shards"},
        {{.columns = 4, .flags = PARTIALS_OUT, .statistic.shards = 2}, "shards"},
        {{.columns = 4, .flags = SCALE, .parameters.cycle = 2}, "parameters.cycle"},
        {{.columns = 4, .flags = WEIGHT, .parameters.cycle = 3}, "parameters.cycle"},
        {{.columns = 4, .flags = WEIGHT, .parameters.cycle = 8}, "parameters.cycle"},
        {{.columns = 12, .flags = WEIGHT, .parameters.cycle = 6, .parameters.run = 4},
         "parameters.run is 4, which does not divide the 6 columns of the parameters.cycle"},
        {{.columns = 4, .column_run = 3}, "column_run"},
        {{.columns = 4, .column_run = 2, .x.column_stride = 1}, "x.column_stride"},
        {{.columns = 4, .column_run = 2, .y.column_stride = 1}, "y.column_stride"},
        {{.columns = 4, .flags = RESIDUAL, .column_run = 2, .residual.column_stride = 1},
         "residual.column_stride"},
        {{.columns = 4, .flags = SUM, .column_run = 2, .sum.column_stride = 1},
         "sum.column_stride"},
        {{.columns = 4, .column_run = 2, .x.column_stride = 4, .x.row_stride = 3}, "x.row_stride"},
        {{.columns = 4, .column_run = 2, .inner_rows = 2, .y.column_stride = UINT64_C(1) << 63},
         "columns / column_run times y.column_stride"},
        {{.columns = 4, .x.type = ANYNORM_I8, .y.type = ANYNORM_I8}, "x.type is i8"},
        {{.columns = 4, .x.type = ANYNORM_F8E4M3}, "x.type is f8e4m3"},
        {{.columns = 4, .parameters.type = ANYNORM_I8}, "parameters.type"},
        {{.columns = 4, .flags = RESIDUAL, .residual.type = ANYNORM_I8}, "residual.type"},
        {{.columns = 4, .flags = SUM, .sum.type = ANYNORM_F8E4M3}, "sum.type"},
        {{.columns = 4, .flags = SCALE, .scale.type = ANYNORM_I8}, "scale.type"},
        {{.columns = 4, .flags = Y_SCALE_IN}, "ANYNORM_Y_SCALE_INPUT"},
        {{.columns = 4, .flags = Y_SCALE_OUT, .y.type = ANYNORM_F16}, "ANYNORM_Y_SCALE_OUTPUT"},
        {{.columns = 4, .flags = Y_SCALE_IN | Y_SCALE_OUT, .y.type = ANYNORM_I8}, "y_scale"},
        {{.columns = 4, .y.type = ANYNORM_I8, .quantization.bound = 1}, "quantization.bound"},
        {{.columns = 4, .flags = Y_SCALE_IN, .y.type = ANYNORM_I8, .quantization.bound = 1},
         "quantization.bound"},
        {{.columns = 4, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = -1},
         "quantization.bound"},
        {{.columns = 4, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = 7e-31},
         "quantization.bound"},
        {{.columns = 4,
          .flags = Y_SCALE_OUT,
          .y.type = ANYNORM_I8,
          .quantization.bound = (double)INFINITY},
         "quantization.bound"},
        {{.columns = 4,
          .flags = Y_SCALE_OUT,
          .y.type = ANYNORM_I8,
          .quantization.bound = (double)NAN},
         "quantization.bound"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_refused(anynorm_spec_check(&bad[i].spec), ANYNORM_INVALID_ARGUMENT);
        if (!strstr(anynorm_message(), bad[i].named))
            fail_msg("\"%s\" does not name %s", anynorm_message(), bad[i].named);
    }
}

/* The formula of the header, with its defaults, on an unresolved spec. */
static uint64_t start_by_header(const anynorm_spec *spec, bool of_y, uint64_t row)
{
    uint64_t row_stride = of_y ? spec->y.row_stride : spec->x.row_stride;
    uint64_t outer_stride = of_y ? spec->y.outer_stride : spec->x.outer_stride;
    uint64_t column_stride = of_y ? spec->y.column_stride : spec->x.column_stride;
    uint64_t run = spec->column_run ? spec->column_run : 1;
    if (column_stride == 0)
        column_stride = run;
    uint64_t span = spec->columns / run * column_stride;
    bool between = column_stride >= 2 * run;
    if (run == spec->columns) {
        span = spec->columns;
        between = false;
    }
    if (row_stride == 0)
        row_stride = between ? run : span;
    if (spec->inner_rows == 0)
        return row * row_stride;
    if (outer_stride == 0)
        outer_stride = between ? span : spec->inner_rows * row_stride;
    return (row / spec->inner_rows) * outer_stride + (row % spec->inner_rows) * row_stride;
}

static uint64_t some_stride(struct random *random, uint64_t columns)
{
    return random_below(random, 3) == 0 ? 0 : columns + random_below(random, 3);
}

/* A row stride of 1 to 3 more columns, or such that rows lie between the columns. */
static uint64_t some_row_stride(struct random *random, uint64_t columns, uint64_t column_stride)
{
    if (column_stride < 2)
        return some_stride(random, columns);
    return random_below(random, 2) ? random_below(random, column_stride)
                                   : columns * column_stride + random_below(random, 3);
}

static anynorm_spec random_small_spec(struct random *random)
{
    anynorm_spec spec = {.columns = 1 + random_below(random, 4),
                         .inner_rows = random_below(random, 5)};
    if (random_below(random, 3) == 0) { /* in runs, with defaults, or rows that lie between */
        spec.column_run = 1 + random_below(random, 3);
        spec.columns *= spec.column_run;
        spec.x.column_stride =
            random_below(random, 3) ? spec.column_run + random_below(random, 9) : 0;
        spec.y.column_stride =
            random_below(random, 3) ? spec.column_run + random_below(random, 9) : 0;
        return spec;
    }
    if (spec.columns > 1 && random_below(random, 2)) {
        spec.x.column_stride = random_below(random, 4);
        spec.y.column_stride = random_below(random, 4);
    }
    spec.x.row_stride = some_row_stride(random, spec.columns, spec.x.column_stride);
    spec.y.row_stride = some_row_stride(random, spec.columns, spec.y.column_stride);
    if (spec.inner_rows > 0 && (spec.x.column_stride > 1 || spec.y.column_stride > 1)) {
        spec.x.outer_stride = random_below(random, 2) ? 0 : 64 + random_below(random, 3);
        spec.y.outer_stride = random_below(random, 2) ? 0 : 64 + random_below(random, 3);
        return spec;
    }
    if (spec.inner_rows > 0) {
        spec.x.outer_stride = some_stride(random, spec.columns * (1 + random_below(random, 5)));
        spec.y.outer_stride = some_stride(random, spec.columns * (1 + random_below(random, 5)));
    }
    return spec;
}

static void test_resolve_keeps_every_row(void **state)
{
    (void)state;
    struct random random = {1};
    int merged = 0, kept = 0, runs = 0;
    for (int i = 0; i < 20000; i++) {
        anynorm_spec spec = random_small_spec(&random), resolved, again;
        assert_ok(an_spec_resolve(&spec, &resolved));
        uint64_t run = spec.column_run ? spec.column_run : 1;
        assert_true(resolved.column_run == run || resolved.column_run == 1);
        struct an_layout x = an_spec_layout(&resolved, &resolved.x),
                         y = an_spec_layout(&resolved, &resolved.y);
        for (uint64_t r = 0; r < 12; r++) {
            assert_int_equal(an_layout_start(&x, r), start_by_header(&spec, false, r));
            assert_int_equal(an_layout_start(&y, r), start_by_header(&spec, true, r));
        }
        for (uint64_t c = 0; c < spec.columns; c++) {
            assert_int_equal(an_layout_column(&x, c),
                             c / run * (spec.x.column_stride ? spec.x.column_stride : run) +
                                 c % run);
            assert_int_equal(an_layout_column(&y, c),
                             c / run * (spec.y.column_stride ? spec.y.column_stride : run) +
                                 c % run);
        }
        runs += resolved.column_run > 1;
        assert_true(resolved.inner_rows == 0 || resolved.inner_rows == spec.inner_rows);
        merged += spec.inner_rows > 1 && resolved.inner_rows == 0;
        kept += spec.inner_rows > 1 && resolved.inner_rows > 0;
        assert_ok(an_spec_resolve(&resolved, &again));
        assert_true(same_spec(&again, &resolved));
    }
    assert_true(merged > 100 && kept > 100 && runs > 100);
}

static void test_two_dense_levels_become_one(void **state)
{
    (void)state;
    anynorm_spec spec = {.columns = 64, .inner_rows = 12}, resolved;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.inner_rows, 0);
    assert_int_equal(resolved.x.row_stride, 64);
    assert_int_equal(resolved.x.outer_stride, 0);
    assert_int_equal(resolved.y.outer_stride, 0);
    spec.x.outer_stride = 3 * 12 * 64;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.inner_rows, 12);
    assert_int_equal(resolved.x.outer_stride, 3 * 12 * 64);
    assert_int_equal(resolved.y.outer_stride, 12 * 64);
}

/* Residual and sum count among the tensors whose levels must both be dense. */
static void test_every_tensor_keeps_two_levels(void **state)
{
    (void)state;
    anynorm_spec dense = {.columns = 64, .inner_rows = 12, .flags = RESIDUAL | SUM}, resolved;
    assert_ok(an_spec_resolve(&dense, &resolved));
    assert_int_equal(resolved.inner_rows, 0);
    assert_int_equal(resolved.residual.row_stride, 64);
    assert_int_equal(resolved.residual.outer_stride, 0);
    assert_int_equal(resolved.sum.row_stride, 64);
    assert_int_equal(resolved.sum.outer_stride, 0);
    assert_int_equal(resolved.sample_rows, 1);
    assert_int_equal(resolved.parameters.rows, 1);
    assert_int_equal(resolved.parameters.run, 1);
    for (int i = 0; i < 2; i++) {
        anynorm_spec spec = dense;
        *(i ? &spec.sum.outer_stride : &spec.residual.outer_stride) = 3 * 12 * 64;
        assert_ok(an_spec_resolve(&spec, &resolved));
        assert_int_equal(resolved.inner_rows, 12);
        struct an_layout layouts[2] = {an_spec_layout(&resolved, &resolved.residual),
                                       an_spec_layout(&resolved, &resolved.sum)};
        assert_int_equal(an_layout_start(&layouts[i], 13), 3 * 12 * 64 + 64);
        assert_int_equal(an_layout_start(&layouts[!i], 13), 13 * 64);
    }
    dense.sum.column_stride = 12;
    assert_ok(an_spec_resolve(&dense, &resolved));
    assert_int_equal(resolved.sum.row_stride, 1);
    assert_int_equal(resolved.sum.outer_stride, 64 * 12);
    assert_false(an_spec_side_by_side(&resolved));
}

/* Of gate, scale and shift: rows that are dense, or as they are said to lie; a level of x's rows
 * is none of theirs, and their columns may lie in runs where those of x do not. */
static void test_rows_of_samples(void **state)
{
    (void)state;
    anynorm_spec spec = {.columns = 12,
                         .inner_rows = 3,
                         .flags = RESIDUAL | GATE | SCALE | SHIFT,
                         .x.outer_stride = 50,
                         .gate.row_stride = 72,
                         .shift.column_stride = 5,
                         .sample_rows = 6},
                 resolved;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.inner_rows, 3);
    assert_int_equal(resolved.gate.row_stride, 72);
    assert_int_equal(resolved.gate.column_stride, 1);
    assert_int_equal(resolved.scale.row_stride, 12);
    assert_int_equal(resolved.scale.outer_stride, 0);
    assert_int_equal(resolved.shift.row_stride, 1);
    assert_int_equal(resolved.shift.outer_stride, 0);
    assert_true(an_spec_side_by_side(&resolved));
    assert_false(an_spec_apart(&resolved, &resolved.gate));
    assert_true(an_spec_apart(&resolved, &resolved.shift));
    spec.x.outer_stride = 0;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.inner_rows, 0);

    spec = (anynorm_spec){.columns = 12,
                          .column_run = 4,
                          .flags = SCALE | SHIFT,
                          .scale.column_stride = 6,
                          .scale.row_stride = 20};
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.column_run, 4);
    assert_int_equal(resolved.x.column_stride, 4);
    assert_int_equal(resolved.shift.column_stride, 4);
    assert_int_equal(resolved.shift.row_stride, 12);
    assert_true(an_spec_apart(&resolved, &resolved.scale));
    assert_false(an_spec_apart(&resolved, &resolved.shift));
    spec.scale.column_stride = 0; /* then there are no runs */
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.column_run, 1);
    assert_int_equal(resolved.scale.column_stride, 1);
}

static void test_double_if_any_tensor_is(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        bool is_double;
    } cases[] = {
        {{.columns = 4, .parameters.type = ANYNORM_F64}, false},
        {{.columns = 4, .flags = PRE_BIAS, .parameters.type = ANYNORM_F64}, true},
        {{.columns = 4, .flags = RESIDUAL, .residual.type = ANYNORM_F64}, true},
        {{.columns = 4, .flags = RESIDUAL | STORED_SUM, .sum.type = ANYNORM_F64}, true},
        {{.columns = 4, .flags = SUM, .sum.type = ANYNORM_F64}, true},
        {{.columns = 4, .flags = RESIDUAL | GATE, .gate.type = ANYNORM_F64}, true},
        {{.columns = 4, .flags = SCALE, .scale.type = ANYNORM_F64}, true},
        {{.columns = 4, .flags = SHIFT | SCALE, .shift.type = ANYNORM_F64}, true},
        {{.columns = 4, .flags = SHIFT | SUM | RESIDUAL}, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec resolved;
        assert_ok(an_spec_resolve(&cases[i].spec, &resolved));
        assert_int_equal(an_spec_double(&resolved), cases[i].is_double);
    }
}

/* Groups of 4 of the 32 channels of 49 pixels, and the defaults; then those of which nothing is
 * left. */
static void test_channels_last(void **state)
{
    (void)state;
    const anynorm_spec image = {.columns = 4 * 49,
                                .flags = WEIGHT,
                                .inner_rows = 8,
                                .column_run = 4,
                                .x.column_stride = 32,
                                .y.column_stride = 32,
                                .parameters.rows = 8,
                                .parameters.cycle = 4};
    anynorm_spec resolved, again, spec = image;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.column_run, 4);
    assert_int_equal(resolved.inner_rows, 8);
    assert_int_equal(resolved.x.row_stride, 4);
    assert_int_equal(resolved.y.outer_stride, 49 * 32);
    assert_int_equal(an_spec_parameters_per_row(&resolved), 4);
    assert_int_equal(an_spec_parameter(&resolved, 4 * 17 + 3), 3);
    assert_false(an_spec_side_by_side(&resolved));
    assert_ok(an_spec_resolve(&resolved, &again));
    assert_true(same_spec(&again, &resolved));

    spec.y.column_stride = 0; /* each group by itself */
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.column_run, 4);
    assert_int_equal(resolved.y.column_stride, 4);
    assert_int_equal(resolved.y.row_stride, 4 * 49);
    assert_int_equal(resolved.y.outer_stride, 49 * 32);
    assert_false(an_spec_side_by_side(&resolved));

    spec.x.column_stride = 4;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.column_run, 1);
    assert_int_equal(resolved.x.column_stride, 1);
    assert_int_equal(resolved.y.column_stride, 1);
    assert_int_equal(resolved.inner_rows, 0);
    assert_int_equal(resolved.x.row_stride, 4 * 49);
    assert_int_equal(resolved.parameters.cycle, 4);
    assert_true(an_spec_side_by_side(&resolved));

    spec = image; /* one pixel: the run is the row, and its parameters come once */
    spec.columns = 4;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.column_run, 1);
    assert_int_equal(resolved.x.column_stride, 1);
    assert_int_equal(resolved.x.row_stride, 4);
    assert_int_equal(resolved.inner_rows, 0);
    assert_int_equal(resolved.parameters.cycle, 0);

    spec = image; /* a channel for each group: columns one by one, of one parameter */
    spec.columns = 49;
    spec.inner_rows = spec.parameters.rows = 32;
    spec.column_run = spec.parameters.cycle = 1;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.column_run, 1);
    assert_int_equal(resolved.x.column_stride, 32);
    assert_int_equal(resolved.x.row_stride, 1);
    assert_int_equal(resolved.parameters.run, 49);
    assert_int_equal(resolved.parameters.cycle, 0);
    assert_int_equal(an_spec_parameters_per_row(&resolved), 1);
}

/* [N][C][H][W] over the channels, and its defaults; then into the channels-last order. */
static void test_channels_first(void **state)
{
    (void)state;
    anynorm_spec resolved, spec = {.columns = 96,
                                   .inner_rows = 56 * 56,
                                   .x.column_stride = 56 * 56,
                                   .y.column_stride = 56 * 56};
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.x.row_stride, 1);
    assert_int_equal(resolved.x.outer_stride, 96 * 56 * 56);
    assert_int_equal(resolved.y.row_stride, 1);
    assert_int_equal(resolved.y.outer_stride, 96 * 56 * 56);
    spec.y.column_stride = 0;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.y.column_stride, 1);
    assert_int_equal(resolved.y.row_stride, 96);
    assert_int_equal(resolved.y.outer_stride, 96 * 56 * 56);

    /* One pixel: the rows are dense, whatever the strides of an image say. */
    spec =
        (anynorm_spec){.columns = 96, .inner_rows = 1, .x.column_stride = 1, .x.outer_stride = 96};
    spec.x.row_stride = 1;
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.inner_rows, 0);
    assert_int_equal(resolved.x.row_stride, 96);
    assert_true(an_spec_side_by_side(&resolved));
    /* One channel: so are they. */
    spec = (anynorm_spec){
        .columns = 1, .inner_rows = 49, .x.column_stride = 49, .y.column_stride = 49};
    assert_ok(an_spec_resolve(&spec, &resolved));
    assert_int_equal(resolved.inner_rows, 0);
    assert_int_equal(resolved.x.row_stride, 1);
    assert_true(an_spec_side_by_side(&resolved));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec_check_takes),
        cmocka_unit_test(test_spec_check_refuses),
        cmocka_unit_test(test_spec_names_what_is_wrong),
        cmocka_unit_test(test_resolve_keeps_every_row),
        cmocka_unit_test(test_two_dense_levels_become_one),
        cmocka_unit_test(test_every_tensor_keeps_two_levels),
        cmocka_unit_test(test_rows_of_samples),
        cmocka_unit_test(test_double_if_any_tensor_is),
        cmocka_unit_test(test_channels_last),
        cmocka_unit_test(test_channels_first),
    };
    return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
