/* Every schedule, at its smallest, with each thing that a spec can name: short rows in small groups
 * against the oracle, few enough for a simulator to look at each kernel for races. Other tests have
 * longer rows, more types and all that may stand together.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 */
#include <stdio.h>
#include <string.h>

#include "schedules.h"
#include "spec_flags.h"

enum { ROWS = 5, COLUMNS = 100 };

static const anynorm_spec specs[] = {
    {.flags = ALL_FLAGS | UNBIASED | EPS_OUTSIDE, .statistic.eps = 1e-3},
    {.flags = RMS | L2 | WEIGHT | RSTD_OUT,
     .x.type = ANYNORM_F16,
     .y.type = ANYNORM_F16,
     .statistic.eps = 1e-5},
    {.flags = MEAN_IN | RSTD_IN | WEIGHT | BIAS},
    {.flags = RMS | RSTD_IN | Y_SCALE_OUT, .y.type = ANYNORM_I8},
    {.flags = RESIDUAL | GATE | PRE_BIAS | SUM | STORED_SUM | MEAN_OUT,
     .statistic.eps = 1e-5,
     .sum.type = ANYNORM_BF16,
     .sample_rows = 2},
    {.flags = SCALE | SHIFT | SILU | ROUND_FIRST | WEIGHT,
     .x.type = ANYNORM_BF16,
     .y.type = ANYNORM_BF16,
     .statistic.eps = 1e-5,
     .parameters.weight_offset = 1,
     .sample_rows = 3,
     .parameters.rows = 2},
    /* Slices of one tensor, and columns apart. */
    {.flags = RESIDUAL | GATE | SCALE | SHIFT,
     .statistic.eps = 1e-5,
     .scale.type = ANYNORM_F16,
     .gate.row_stride = 6 * COLUMNS,
     .scale.row_stride = 6 * COLUMNS,
     .shift.column_stride = 4,
     .sample_rows = 2},
    {.flags = BIAS | RSTD_OUT, .statistic.eps = 1e39},
    {.flags = PARTIALS_OUT | RESIDUAL | SUM},
    {.flags = RMS | PARTIALS_OUT, .x.type = ANYNORM_F16},
    {.flags = PARTIALS_IN | WEIGHT | BIAS | MEAN_OUT | RSTD_OUT,
     .statistic.eps = 1e-5,
     .statistic.shards = 3},
    {.flags = RMS | PARTIALS_IN | Y_SCALE_OUT,
     .y.type = ANYNORM_F8E4M3,
     .statistic.eps = 1e-5,
     .statistic.shards = 2},
    {.flags = WEIGHT | Y_SCALE_IN, .y.type = ANYNORM_I8, .statistic.eps = 1e-5},
    {.flags = RMS | WEIGHT | RESIDUAL | SUM | Y_SCALE_OUT,
     .y.type = ANYNORM_I8,
     .statistic.eps = 1e-5},
    {.flags = BIAS | Y_SCALE_OUT,
     .y.type = ANYNORM_F8E4M3,
     .statistic.eps = 1e-5,
     .quantization.bound = 1.5},
    /* Columns in runs, whose parameters come again; and apart. */
    {.flags = WEIGHT | BIAS,
     .statistic.eps = 1e-5,
     .inner_rows = ROWS,
     .column_run = 5,
     .x.column_stride = 5 * ROWS,
     .y.column_stride = 5 * ROWS,
     .parameters.run = 4,
     .parameters.cycle = 20},
    {.flags = ALL_FLAGS,
     .statistic.eps = 1e-5,
     .inner_rows = ROWS,
     .x.column_stride = ROWS,
     .y.column_stride = ROWS},
    {.flags = Y_SCALE_OUT | PRE_BIAS,
     .y.type = ANYNORM_I8,
     .statistic.eps = 1e-5,
     .inner_rows = ROWS,
     .x.column_stride = ROWS,
     .y.column_stride = ROWS},
    {.flags = ALL_FLAGS | ANYNORM_ANY_ALIGNMENT, .x.type = ANYNORM_F16, .statistic.eps = 1e-5},
    {.flags = WEIGHT | RSTD_OUT,
     .x.type = ANYNORM_F64,
     .y.type = ANYNORM_F64,
     .statistic.eps = 1e-5},
};

/* Numbers that make each schedule sum in another way: groups of many lanes, several rows to a
 * group, segments that meet. */
static const char *const numbers[] = {"row_per_item",
                                      "row_per_item rows=4",
                                      "row_per_subgroup",
                                      "row_per_subgroup group=64 rows=4",
                                      "row_per_group rows=1 group=32",
                                      "row_per_group rows=4 group=32",
                                      "row_in_local group=16",
                                      "row_in_local group=7",
                                      "row_reread group=16 segment=64",
                                      "row_split group=16 segment=64",
                                      "column_walk",
                                      "column_walk slices=4 group=32",
                                      "reference"};

static void test_each_spec(void **state)
{
    struct subject *subject = *state;
    size_t length = strlen(subject->schedule);
    int checked = 0;
    for (size_t n = 0; n < COUNT(numbers); n++) {
        if (strncmp(numbers[n], subject->schedule, length) != 0)
            continue;
        for (size_t s = 0; s < COUNT(specs); s++) {
            struct problem problem = {.spec = specs[s], .rows = ROWS, .seed = 300 + s};
            problem.spec.columns = COLUMNS;
            if (problem.spec.flags & ANYNORM_ANY_ALIGNMENT) {
                for (int t = 0; t < AN_TENSOR_COUNT; t++)
                    problem.offset[t] = (uint64_t)(2 * t + 1);
            }
            if (problem.spec.x.type == ANYNORM_F64 && !subject->info.fp64)
                continue;
            checked += check_problem(subject->device, &problem, numbers[n], 0, &subject->worst);
        }
    }
    fprintf(stderr, "# %s: %d kernels\n", subject->name, checked);
    /* Only sub-groups may be missing altogether. */
    assert_true(checked >= 10 || strcmp(subject->schedule, "row_per_subgroup") == 0);
}

int main(void)
{
    static const struct device_test tests[] = {{"each spec", test_each_spec}};
    return run_on_schedules("each", tests, COUNT(tests));
}
