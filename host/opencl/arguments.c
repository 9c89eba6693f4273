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
    [AN_DY] = AN_ARG_Y,
    [AN_DSUM] = AN_ARG_DSUM,
    [AN_DX] = AN_ARG_DX,
    [AN_DRESIDUAL] = AN_ARG_DRESIDUAL,
    [AN_DWEIGHT] = AN_ARG_DWEIGHT,
    [AN_DBIAS] = AN_ARG_DBIAS,
    [AN_DPRE_BIAS] = AN_ARG_DPRE_BIAS,
    [AN_DGATE] = AN_ARG_DGATE,
    [AN_DSCALE] = AN_ARG_DSCALE,
    [AN_DSHIFT] = AN_ARG_DSHIFT,
    [AN_WORKSPACE] = AN_ARG_WORKSPACE,
};

enum an_argument an_opencl_tensor_argument(enum an_tensor tensor)
{
    return of_tensor[tensor];
}

void an_opencl_number_arguments(const anynorm_spec *spec, bool split, cl_uint numbers[AN_ARG_COUNT])
{
    const uint32_t used = an_spec_flags_used(spec), gradients = spec->gradients.flags;
    /* Each from its first argument up to the next: as the conditions of kernels/params.def. */
    const struct {
        enum an_argument first;
        bool present;
    } groups[] = {
        {AN_ARG_X, true},
        {AN_ARG_RESIDUAL, used & ANYNORM_RESIDUAL},
        {AN_ARG_SUM, used & ANYNORM_SUM_OUTPUT},
        {AN_ARG_PRE_BIAS, used & ANYNORM_PRE_BIAS},
        {AN_ARG_GATE, used & ANYNORM_GATE},
        {AN_ARG_GATE_COLUMN_STRIDE, (used & ANYNORM_GATE) && an_spec_apart(spec, &spec->gate)},
        {AN_ARG_SCALE, used & ANYNORM_SCALE},
        {AN_ARG_SCALE_COLUMN_STRIDE, (used & ANYNORM_SCALE) && an_spec_apart(spec, &spec->scale)},
        {AN_ARG_SHIFT, used & ANYNORM_SHIFT},
        {AN_ARG_SHIFT_COLUMN_STRIDE, (used & ANYNORM_SHIFT) && an_spec_apart(spec, &spec->shift)},
        {AN_ARG_SAMPLE_ROWS, used & AN_SAMPLES},
        {AN_ARG_PARAMETER_ROWS, spec->parameters.rows > 1},
        {AN_ARG_PARAMETER_RUN, spec->parameters.run > 1},
        {AN_ARG_PARAMETER_CYCLE, spec->parameters.cycle != 0},
        {AN_ARG_WEIGHT_PLUS, spec->parameters.weight_offset != 0},
        {AN_ARG_PARTIALS, (spec->flags & (ANYNORM_PARTIALS_OUTPUT | ANYNORM_PARTIALS_INPUT)) ||
                              (gradients & AN_DPARTIALS)},
        {AN_ARG_SHARDS,
         (spec->flags & ANYNORM_PARTIALS_INPUT) || (gradients & ANYNORM_DPARTIALS_INPUT)},
        {AN_ARG_COLUMN_RUN, an_spec_in_runs(spec)},
        {AN_ARG_Y_SCALE, spec->flags & AN_Y_SCALES},
        {AN_ARG_Y_BOUND, spec->quantization.bound != 0},
        {AN_ARG_DX, gradients & ANYNORM_DX},
        {AN_ARG_DRESIDUAL, gradients & ANYNORM_DRESIDUAL},
        {AN_ARG_DSUM, gradients & ANYNORM_DSUM},
        {AN_ARG_DWEIGHT, gradients & ANYNORM_DWEIGHT},
        {AN_ARG_DBIAS, gradients & ANYNORM_DBIAS},
        {AN_ARG_DPRE_BIAS, gradients & ANYNORM_DPRE_BIAS},
        {AN_ARG_DGATE, gradients & ANYNORM_DGATE},
        {AN_ARG_DSCALE, gradients & ANYNORM_DSCALE},
        {AN_ARG_DSHIFT, gradients & ANYNORM_DSHIFT},
        {AN_ARG_WORKSPACE, gradients},
        {AN_ARG_MOMENTS, split},
        {AN_ARG_STAGE, split || gradients},
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
            {AN_ARG_DX_COLUMN_STRIDE, spec->gradients.dx.column_stride},
            {AN_ARG_DX_ROW_STRIDE, spec->gradients.dx.row_stride},
            {AN_ARG_DX_OUTER_STRIDE, spec->gradients.dx.outer_stride},
            {AN_ARG_DRESIDUAL_COLUMN_STRIDE, spec->gradients.dresidual.column_stride},
            {AN_ARG_DRESIDUAL_ROW_STRIDE, spec->gradients.dresidual.row_stride},
            {AN_ARG_DRESIDUAL_OUTER_STRIDE, spec->gradients.dresidual.outer_stride},
            {AN_ARG_DSUM_COLUMN_STRIDE, spec->sum.column_stride},
            {AN_ARG_DSUM_ROW_STRIDE, spec->sum.row_stride},
            {AN_ARG_DSUM_OUTER_STRIDE, spec->sum.outer_stride},
            {AN_ARG_DGATE_COLUMN_STRIDE, spec->gate.column_stride},
            {AN_ARG_DGATE_ROW_STRIDE, spec->gate.row_stride},
            {AN_ARG_DSCALE_COLUMN_STRIDE, spec->scale.column_stride},
            {AN_ARG_DSCALE_ROW_STRIDE, spec->scale.row_stride},
            {AN_ARG_DSHIFT_COLUMN_STRIDE, spec->shift.column_stride},
            {AN_ARG_DSHIFT_ROW_STRIDE, spec->shift.row_stride},
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
    anynorm_status status = an_cl_check(code, "clSetKernelArg");
    return status == ANYNORM_OK ? an_opencl_set_no_parts(a) : status;
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

anynorm_status an_opencl_set_no_parts(struct an_arguments *a)
{
    const struct an_parts none = {.rows = 1, .span = 1, .classes = 1, .parts_of_class = 1};
    const struct an_stretch no_rows = {0, 0, 0};
    a->stretch.of_rows = UINT64_MAX;
    return an_opencl_set_parts(a, &none, &no_rows);
}

anynorm_status an_opencl_set_parts(struct an_arguments *a, const struct an_parts *parts,
                                   const struct an_stretch *stretch)
{
    const struct {
        enum an_argument argument;
        cl_ulong value;
    } numbers[] = {
        {AN_ARG_PARTS, parts->count},
        {AN_ARG_PART_ROWS, parts->rows},
        {AN_ARG_SPAN, parts->span},
        {AN_ARG_CLASSES, parts->classes},
        {AN_ARG_PARTS_OF_CLASS, parts->parts_of_class},
        {AN_ARG_WHOLE_SAMPLE, parts->sample_rows},
        {AN_ARG_COMPENSATED, parts->compensated},
        {AN_ARG_FIRST_ROW, stretch->first},
        {AN_ARG_ALL_ROWS, stretch->of_rows},
    };
    const struct an_stretch *is = &a->stretch;
    cl_int code = CL_SUCCESS;
    if (is->first == stretch->first && is->rows == stretch->rows && is->of_rows == stretch->of_rows)
        return ANYNORM_OK;
    a->stretch.of_rows = UINT64_MAX; /* until it is known to be set */
    for (size_t i = 0; i < COUNT(numbers); i++)
        set_ulong(a, numbers[i].argument, numbers[i].value, &code);
    if (code == CL_SUCCESS)
        a->stretch = *stretch;
    return an_cl_check(code, "clSetKernelArg");
}

anynorm_status an_opencl_set_stage(struct an_arguments *a, cl_uint value, cl_mem moments)
{
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
