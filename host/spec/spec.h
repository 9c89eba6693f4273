/* The spec as every other room sees it: validated, with each default filled in. */
#ifndef AN_SPEC_H
#define AN_SPEC_H

#include <anynorm/anynorm.h>

/* Where the rows of one tensor lie, in elements. inner_rows == 0: one level. */
struct an_layout {
    uint64_t columns;
    uint64_t inner_rows;
    uint64_t row_stride;
    uint64_t outer_stride; /* 0 with one level */
    uint64_t column_stride;
    uint64_t column_run; /* 1: each column is a run of its own */
};

/* Flags of tensors that have something in common. */
enum {
    AN_PARAMETERS = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_PRE_BIAS,
    AN_SAMPLES = ANYNORM_GATE | ANYNORM_SCALE | ANYNORM_SHIFT,
    AN_SUMS = ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM,                /* what sum.type is for */
    AN_EPS_OF_DEVIATION = ANYNORM_EPS_OUTSIDE | ANYNORM_EPS_FLOOR,    /* not of the variance */
    AN_OF_RSTD = ANYNORM_L2 | ANYNORM_UNBIASED | AN_EPS_OF_DEVIATION, /* how rstd is found */
    AN_Y_SCALES = ANYNORM_Y_SCALE_INPUT | ANYNORM_Y_SCALE_OUTPUT
};

/* Those of gradients. */
enum {
    AN_PARAMETER_SUMS = ANYNORM_DWEIGHT | ANYNORM_DBIAS | ANYNORM_DPRE_BIAS,
    AN_SAMPLE_SUMS = ANYNORM_DGATE | ANYNORM_DSCALE | ANYNORM_DSHIFT,
    AN_ROW_SUMS = AN_PARAMETER_SUMS | AN_SAMPLE_SUMS, /* what is summed over rows */
    AN_GRADIENTS = ANYNORM_DX | ANYNORM_DRESIDUAL | AN_ROW_SUMS,
    AN_DPARTIALS = ANYNORM_DPARTIALS_OUTPUT | ANYNORM_DPARTIALS_INPUT
};

/* True if a plan of the spec finds gradients, or partials of them. */
static inline bool an_spec_backward(const anynorm_spec *spec)
{
    return spec->gradients.flags != 0;
}

/* Those of spec->flags that name a tensor which a plan of the spec reads or writes: all but what
 * the gradients have no use for. Of a resolved spec or not. */
uint32_t an_spec_flags_used(const anynorm_spec *spec);

/* rules.c: everything about a spec but its strides' values. INVALID_ARGUMENT names the field. */
anynorm_status an_spec_check_fields(const anynorm_spec *spec);

/* A flag in all its languages. */
struct an_flag {
    uint32_t flag;
    const char *word; /* of the text form; NULL: none of its own */
    const char *name; /* in kernels of every language: a -D, a specialization constant */
};

/* In the order in which the text form has them. */
#define AN_FLAG_COUNT 25
extern const struct an_flag an_flags[AN_FLAG_COUNT];

/* So those of gradients. */
#define AN_GRADIENT_COUNT 13
extern const struct an_flag an_gradient_flags[AN_GRADIENT_COUNT];

/* Validates `spec` and writes it to *resolved with its defaults filled in: strides of the tensors
 * that it names, and 1 for sample_rows, parameters.rows, parameters.run, column_run and shards. Two
 * levels that are really one become one: then inner_rows and the outer strides are 0. A single
 * column has stride 1; runs that lie side by side in each tensor are none. A parameters.cycle of
 * all columns is 0, and where one parameter is all of a cycle, it is that of all columns.
 * INVALID_ARGUMENT. */
anynorm_status an_spec_resolve(const anynorm_spec *spec, anynorm_spec *resolved);

/* Where the rows of one of a resolved spec's tensors lie. */
struct an_layout an_spec_layout(const anynorm_spec *spec, const anynorm_rows *rows);

/* Elements of a row of weight, bias and pre_bias, of a resolved spec. */
uint64_t an_spec_parameters_per_row(const anynorm_spec *spec);

/* Which of a row's parameters is that of a column, of a resolved spec. */
static inline uint64_t an_spec_parameter(const anynorm_spec *spec, uint64_t column)
{
    uint64_t within = spec->parameters.cycle ? column % spec->parameters.cycle : column;
    return within / spec->parameters.run;
}

/* Elements from the start of a row to a column of it, in a tensor with that column stride, of a
 * resolved spec. */
static inline uint64_t an_spec_column(const anynorm_spec *spec, uint64_t column_stride,
                                      uint64_t column)
{
    return column / spec->column_run * column_stride + column % spec->column_run;
}

/* True if the columns of a row lie side by side in each of x, y, residual and sum. Those of gate,
 * scale and shift, which any kernel can load one by one, may lie apart. */
bool an_spec_side_by_side(const anynorm_spec *spec);

/* True if kernels find columns by runs, be they of one, which those of gradients alone know. */
bool an_spec_in_runs(const anynorm_spec *spec);

/* True if those of gate, scale or shift, of a resolved spec, lie apart. */
static inline bool an_spec_apart(const anynorm_spec *spec, const anynorm_rows *rows)
{
    return rows->column_stride > spec->column_run;
}

/* True if any of the spec's tensors is f64: then statistics are, too. */
bool an_spec_double(const anynorm_spec *spec);

/* True if eps is beyond what the arithmetic of kernels can add to every variance, or divide by. */
bool an_spec_eps_inverse(const anynorm_spec *spec);

/* What kernels are given for eps: itself, or then its inverse: 1 / sqrt(eps), or 1 / eps with
 * EPS_OUTSIDE and EPS_FLOOR, no more than the arithmetic's largest number. */
double an_spec_kernel_eps(const anynorm_spec *spec);

/* Elements from the first of row 0 to the one past the last of `rows` rows; 0 for no rows. False
 * where that needs more than 64 bits. */
bool an_layout_extent(const struct an_layout *layout, uint64_t rows, uint64_t *elements);

/* The strides of a layout, each with how many steps of it `rows` rows (1 or more) take. */
#define AN_AXES 4
struct an_axis {
    uint64_t stride;
    uint64_t steps; /* one less than the count of elements along it */
};
void an_layout_axes(const struct an_layout *layout, uint64_t rows, struct an_axis axes[AN_AXES]);

/* The element where `row` starts. The caller knows that the extent does not overflow. */
uint64_t an_layout_start(const struct an_layout *layout, uint64_t row);

/* Elements from there to a column. */
uint64_t an_layout_column(const struct an_layout *layout, uint64_t column);

/* True if no two of `rows` rows share an element, because columns, their runs, inner and outer rows
 * nest: what the closer spaced of them span together fits into the stride of the next. (Other
 * disjoint patterns exist; no tensor library makes them.) */
bool an_layout_disjoint(const struct an_layout *layout, uint64_t rows);

#endif
