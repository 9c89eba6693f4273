/* Arguments of kernels. Numbering them needs no device. */
#include "base/checked.h"
#include "opencl/arguments.h"
#include "spec/spec.h"

static const enum an_argument of_tensor[AN_TENSOR_COUNT] = {
    [AN_X] = AN_ARG_X,
    [AN_Y] = AN_ARG_Y,
    [AN_WEIGHT] = AN_ARG_WEIGHT,
    [AN_BIAS] = AN_ARG_BIAS,
    [AN_MEAN] = AN_ARG_MEAN,
    [AN_RSTD] = AN_ARG_RSTD,
    [AN_RESIDUAL] = AN_ARG_RESIDUAL,
    [AN_SUM] = AN_ARG_SUM,
    [AN_PRE_BIAS] = AN_ARG_PRE_BIAS,
    [AN_GATE] = AN_ARG_GATE,
    [AN_SCALE] = AN_ARG_SCALE,
    [AN_SHIFT] = AN_ARG_SHIFT,
    [AN_PARTIALS] = AN_ARG_PARTIALS,
    [AN_Y_SCALE] = AN_ARG_Y_SCALE,
};

enum an_argument an_opencl_tensor_argument(enum an_tensor tensor)
{
    return of_tensor[tensor];
}

void an_opencl_number_arguments(const anynorm_spec *spec, bool split, cl_uint numbers[AN_ARG_COUNT])
{
    /* Each from its first argument up to the next: as the conditions of kernels/params.def. */
    const struct {
        enum an_argument first;
        bool present;
    } groups[] = {
        {AN_ARG_X, true},
        {AN_ARG_RESIDUAL, spec->flags & ANYNORM_RESIDUAL},
        {AN_ARG_SUM, spec->flags & ANYNORM_SUM_OUTPUT},
        {AN_ARG_PRE_BIAS, spec->flags & ANYNORM_PRE_BIAS},
        {AN_ARG_GATE, spec->flags & ANYNORM_GATE},
        {AN_ARG_GATE_COLUMN_STRIDE, an_spec_apart(spec, &spec->gate)},
        {AN_ARG_SCALE, spec->flags & ANYNORM_SCALE},
        {AN_ARG_SCALE_COLUMN_STRIDE, an_spec_apart(spec, &spec->scale)},
        {AN_ARG_SHIFT, spec->flags & ANYNORM_SHIFT},
        {AN_ARG_SHIFT_COLUMN_STRIDE, an_spec_apart(spec, &spec->shift)},
        {AN_ARG_SAMPLE_ROWS, spec->flags & AN_SAMPLES},
        {AN_ARG_PARAMETER_ROWS, spec->parameters.rows > 1},
        {AN_ARG_PARAMETER_RUN, spec->parameters.run > 1},
        {AN_ARG_PARAMETER_CYCLE, spec->parameters.cycle != 0},
        {AN_ARG_WEIGHT_PLUS, spec->parameters.weight_offset != 0},
        {AN_ARG_PARTIALS, spec->flags & (ANYNORM_PARTIALS_OUTPUT | ANYNORM_PARTIALS_INPUT)},
        {AN_ARG_SHARDS, spec->flags & ANYNORM_PARTIALS_INPUT},
        {AN_ARG_COLUMN_RUN, spec->column_run > 1},
        {AN_ARG_Y_SCALE, spec->flags & AN_Y_SCALES},
        {AN_ARG_Y_BOUND, spec->quantization.bound != 0},
        {AN_ARG_MOMENTS, split},
        {AN_ARG_COUNT, false},
    };
    cl_uint count = 0;
    for (int i = 0, group = 0; i < AN_ARG_COUNT; i++) {
        group += i == (int)groups[group + 1].first;
        numbers[i] = groups[group].present ? count++ : AN_NO_ARGUMENT;
    }
}

/* ---- Setting ---- */

/* Sets an argument, remembering in *code the first failure of a series. Those that the kernel does
 * not have are no failure. */
static void set(const struct an_arguments *a, enum an_argument argument, size_t size,
                const void *value, cl_int *code)
{
    if (*code == CL_SUCCESS && a->numbers[argument] != AN_NO_ARGUMENT)
        *code = a->cl->SetKernelArg(a->kernel, a->numbers[argument], size, value);
}

static void set_ulong(const struct an_arguments *a, enum an_argument argument, cl_ulong value,
                      cl_int *code)
{
    set(a, argument, sizeof(value), &value, code);
}

/* Of no tensor at all. */
static void clear_tensors(const struct an_arguments *a, cl_int *code)
{
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        set(a, of_tensor[i], sizeof(cl_mem), NULL, code);
}

anynorm_status an_opencl_set_constants(struct an_arguments *a, const anynorm_spec *spec, bool split)
{
    const struct {
        enum an_argument argument;
        cl_ulong value;
    } counts[] =
        {
            {AN_ARG_ROWS, 0},
            {AN_ARG_INNER_ROWS, spec->inner_rows},
            {AN_ARG_X_COLUMN_STRIDE, spec->x.column_stride},
            {AN_ARG_X_ROW_STRIDE, spec->x.row_stride},
            {AN_ARG_X_OUTER_STRIDE, spec->x.outer_stride},
            {AN_ARG_Y_COLUMN_STRIDE, spec->y.column_stride},
            {AN_ARG_Y_ROW_STRIDE, spec->y.row_stride},
            {AN_ARG_Y_OUTER_STRIDE, spec->y.outer_stride},
            {AN_ARG_RESIDUAL_COLUMN_STRIDE, spec->residual.column_stride},
            {AN_ARG_RESIDUAL_ROW_STRIDE, spec->residual.row_stride},
            {AN_ARG_RESIDUAL_OUTER_STRIDE, spec->residual.outer_stride},
            {AN_ARG_SUM_COLUMN_STRIDE, spec->sum.column_stride},
            {AN_ARG_SUM_ROW_STRIDE, spec->sum.row_stride},
            {AN_ARG_SUM_OUTER_STRIDE, spec->sum.outer_stride},
            {AN_ARG_GATE_ROW_STRIDE, spec->gate.row_stride},
            {AN_ARG_GATE_COLUMN_STRIDE, spec->gate.column_stride},
            {AN_ARG_SCALE_ROW_STRIDE, spec->scale.row_stride},
            {AN_ARG_SCALE_COLUMN_STRIDE, spec->scale.column_stride},
            {AN_ARG_SHIFT_ROW_STRIDE, spec->shift.row_stride},
            {AN_ARG_SHIFT_COLUMN_STRIDE, spec->shift.column_stride},
            {AN_ARG_SAMPLE_ROWS, spec->sample_rows},
            {AN_ARG_PARAMETER_ROWS, spec->parameters.rows},
            {AN_ARG_SHARDS, spec->statistic.shards},
        },
      narrow_counts[] = {
          {AN_ARG_COLUMNS, spec->columns},
          {AN_ARG_PARAMETER_RUN, spec->parameters.run},
          {AN_ARG_PARAMETER_CYCLE, spec->parameters.cycle},
          {AN_ARG_COLUMN_RUN, spec->column_run},
      };
    const struct {
        enum an_argument argument;
        cl_double value;
    } reals[] = {
        {AN_ARG_EPS, an_spec_kernel_eps(spec)},
        {AN_ARG_WEIGHT_PLUS, spec->parameters.weight_offset},
        {AN_ARG_Y_BOUND, spec->quantization.bound},
    };
    cl_int code = CL_SUCCESS;
    an_opencl_number_arguments(spec, split, a->numbers);
    clear_tensors(a, &code);
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        set_ulong(a, of_tensor[i] + 1, 0, &code);
    for (size_t i = 0; i < COUNT(counts); i++)
        set_ulong(a, counts[i].argument, counts[i].value, &code);
    for (size_t i = 0; i < COUNT(narrow_counts); i++) {
        cl_uint narrow = (cl_uint)narrow_counts[i].value;
        set(a, narrow_counts[i].argument, sizeof(narrow), &narrow, &code);
    }
    for (size_t i = 0; i < COUNT(reals); i++) {
        cl_float narrow = (cl_float)reals[i].value;
        if (an_spec_double(spec)) /* the arithmetic of the kernel */
            set(a, reals[i].argument, sizeof(reals[i].value), &reals[i].value, &code);
        else
            set(a, reals[i].argument, sizeof(narrow), &narrow, &code);
    }
    set(a, AN_ARG_MOMENTS, sizeof(cl_mem), NULL, &code);
    set(a, AN_ARG_STAGE, sizeof(a->stage), &a->stage, &code);
    return an_cl_check(code, "clSetKernelArg");
}

/* On failure the remembered scalars are void. */
anynorm_status an_opencl_set_tensors(struct an_arguments *a, const anynorm_tensors *tensors,
                                     uint64_t rows)
{
    cl_int code = CL_SUCCESS;
    if (!tensors)
        clear_tensors(a, &code);
    for (int i = 0; i < AN_TENSOR_COUNT && tensors && code == CL_SUCCESS; i++) {
        const anynorm_buffer *buffer = an_tensor_buffer(tensors, (enum an_tensor)i);
        if (buffer->kind == AN_BUFFER_NONE)
            continue;
        enum an_argument argument = of_tensor[i];
        if (buffer->kind == AN_BUFFER_CL_SVM)
            code = a->cl->SetKernelArgSVMPointer(a->kernel, a->numbers[argument], buffer->handle);
        else
            set(a, argument, sizeof(cl_mem), &buffer->handle, &code);
        if (code == CL_SUCCESS && a->offsets[i] != buffer->offset) {
            a->offsets[i] = buffer->offset;
            set_ulong(a, argument + 1, buffer->offset, &code);
        }
    }
    if (code == CL_SUCCESS && a->rows != rows) {
        a->rows = rows;
        set_ulong(a, AN_ARG_ROWS, rows, &code);
    }
    if (code == CL_SUCCESS)
        return ANYNORM_OK;
    a->rows = UINT64_MAX;
    for (int i = 0; i < AN_TENSOR_COUNT; i++)
        a->offsets[i] = UINT64_MAX;
    return an_cl_fail(code, "clSetKernelArg");
}

anynorm_status an_opencl_set_stage(struct an_arguments *a, enum an_opencl_stage stage,
                                   cl_mem moments)
{
    cl_uint value = stage;
    cl_int code = CL_SUCCESS;
    if (moments && a->moments != moments) {
        a->moments = NULL; /* until it is known to be set */
        set(a, AN_ARG_MOMENTS, sizeof(moments), &moments, &code);
        if (code == CL_SUCCESS)
            a->moments = moments;
    }
    if (a->stage != value) {
        a->stage = UINT32_MAX;
        set(a, AN_ARG_STAGE, sizeof(value), &value, &code);
        if (code == CL_SUCCESS)
            a->stage = value;
    }
    return an_cl_check(code, "clSetKernelArg");
}
