#include "vulkan/interface.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "choice/caps.h"
#include "spec/spec.h"
#include "base/text.h"

/* How the lanes of a row meet; the numbers are those of kernels/vulkan/reduce.glsl. */
enum { REDUCE_SERIAL, REDUCE_LOCAL, REDUCE_SHUFFLE, REDUCE_SUBGROUP };

struct an_choice an_choice_of_fours(const struct an_choice *choice)
{
    struct an_choice fours = *choice;
    if (choice->vector > 4) {
        if (choice->schedule != AN_COLUMN_WALK || choice->group == 1)
            fours.held *= choice->vector / 4;
        fours.vector = 4;
    }
    return fours;
}

bool an_interface_has(const anynorm_spec *spec, anynorm_dtype type)
{
    bool has = false;
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        const struct an_expectation e = an_tensor_expect(spec, (enum an_tensor)i);
        has = has || (e.present && e.type == type && i != AN_WORKSPACE);
    }
    return has;
}

static uint32_t reduction(const struct an_choice *choice)
{
    uint64_t lanes = choice->group / (choice->rows ? choice->rows : 1);
    if (lanes == 1)
        return REDUCE_SERIAL;
    if (choice->subgroup == 0)
        return REDUCE_LOCAL;
    return choice->subgroup > 1 && lanes < choice->subgroup ? REDUCE_SHUFFLE : REDUCE_SUBGROUP;
}

static const char *const names[AN_CONSTANT_COUNT] = {
#define AN_CONSTANT(id, name) [id] = #name,
#include "vulkan/constants.def"
#undef AN_CONSTANT
};

/* Sets the constants of the flags' names. */
static void fill_flags(uint32_t flags, const struct an_flag *known, size_t count,
                       uint32_t *constants)
{
    for (size_t i = 0; i < count; i++) {
        for (int c = 0; c < AN_CONSTANT_COUNT; c++) {
            if ((flags & known[i].flag) && strcmp(names[c], known[i].name) == 0)
                constants[c] = 1;
        }
    }
}

static void fill_family(const anynorm_spec *spec, uint32_t *constants)
{
    fill_flags(an_spec_flags_used(spec), an_flags, AN_FLAG_COUNT, constants);
    fill_flags(spec->gradients.flags, an_gradient_flags, AN_GRADIENT_COUNT, constants);
    constants[AN_CONSTANT_HAS_Y_SCALE] = !!(spec->flags & AN_Y_SCALES);
    constants[AN_CONSTANT_TWO_LEVELS] = spec->inner_rows != 0;
    constants[AN_CONSTANT_EPS_INVERSE] = an_spec_eps_inverse(spec);
    constants[AN_CONSTANT_X_TYPE] = (uint32_t)spec->x.type;
    constants[AN_CONSTANT_Y_TYPE] = (uint32_t)spec->y.type;
    if (spec->flags & AN_PARAMETERS)
        constants[AN_CONSTANT_P_TYPE] = (uint32_t)spec->parameters.type;
    if (spec->flags & ANYNORM_RESIDUAL)
        constants[AN_CONSTANT_R_TYPE] = (uint32_t)spec->residual.type;
    if (spec->flags & AN_SUMS)
        constants[AN_CONSTANT_S_TYPE] = (uint32_t)spec->sum.type;
    constants[AN_CONSTANT_GATE_TYPE] = (uint32_t)spec->gate.type;
    constants[AN_CONSTANT_SCALE_TYPE] = (uint32_t)spec->scale.type;
    constants[AN_CONSTANT_SHIFT_TYPE] = (uint32_t)spec->shift.type;
    constants[AN_CONSTANT_DX_TYPE] = (uint32_t)spec->gradients.dx.type;
    constants[AN_CONSTANT_DR_TYPE] = (uint32_t)spec->gradients.dresidual.type;
    constants[AN_CONSTANT_DP_TYPE] = (uint32_t)spec->gradients.parameters;
    constants[AN_CONSTANT_DS_TYPE] = (uint32_t)spec->gradients.samples;
}

/* How many times as wide as the narrowest the elements of each tensor are that a copy moves. */
static void fill_parts(const anynorm_spec *spec, uint32_t *constants)
{
    static const struct {
        enum an_tensor tensor;
        enum an_constant constant;
    } tensors[] = {{AN_X, AN_CONSTANT_X_PARTS},
                   {AN_Y, AN_CONSTANT_Y_PARTS},
                   {AN_RESIDUAL, AN_CONSTANT_R_PARTS},
                   {AN_SUM, AN_CONSTANT_S_PARTS}};
    for (size_t i = 0; i < COUNT(tensors); i++) {
        struct an_expectation expected = an_tensor_expect(spec, tensors[i].tensor);
        if (expected.present)
            constants[tensors[i].constant] =
                (uint32_t)(anynorm_dtype_size(expected.type) / an_tensor_narrowest(spec));
    }
}

/* Room for the segments of a row, in steps. */
static uint32_t segments_of(const anynorm_spec *spec, const struct an_choice *choice)
{
    const uint64_t step = 16;
    uint64_t segments = choice->segment ? an_divide_up(spec->columns, choice->segment) : 1;
    return (uint32_t)(an_divide_up(segments, step) * step);
}

static void fill_choice(const anynorm_device_info *info, const anynorm_spec *spec,
                        const struct an_choice *choice, uint32_t *constants)
{
    constants[AN_CONSTANT_GROUP] = (uint32_t)choice->group;
    constants[AN_CONSTANT_ROWS] = choice->rows ? (uint32_t)choice->rows : 1;
    constants[AN_CONSTANT_HELD] = (uint32_t)choice->held;
    constants[AN_CONSTANT_SLICES] = choice->slices ? (uint32_t)choice->slices : 1;
    if (an_spec_backward(spec))
        constants[AN_CONSTANT_SLICES] = (uint32_t)an_sum_slices(choice);
    constants[AN_CONSTANT_SEGMENT] = (uint32_t)choice->segment;
    constants[AN_CONSTANT_SEGMENTS] = segments_of(spec, choice);
    constants[AN_CONSTANT_REDUCE] = reduction(choice);
    constants[AN_CONSTANT_SUBGROUP] = choice->subgroup ? (uint32_t)choice->subgroup : 1;
    constants[AN_CONSTANT_PRELOAD] = an_choice_preloads(spec, choice, an_info_few_registers(info));
    constants[AN_CONSTANT_COPY] = choice->schedule == AN_COPY;
    constants[AN_CONSTANT_ADD] = choice->schedule == AN_ADD;
    if (choice->schedule == AN_COPY)
        fill_parts(spec, constants);
}

static void fill_float(double value, uint32_t *bits)
{
    float narrow = (float)value;
    memcpy(bits, &narrow, sizeof(narrow));
}

/* A float's bits, and those of a double in two words. */
static void fill_real(double value, uint32_t *bits, uint32_t *low, uint32_t *high)
{
    uint64_t wide;
    fill_float(value, bits);
    memcpy(&wide, &value, sizeof(value));
    *low = (uint32_t)wide;
    *high = (uint32_t)(wide >> 32);
}

/* Of gate, scale or shift: 0 where its columns lie side by side. */
static uint64_t column_stride(const anynorm_spec *spec, const anynorm_rows *rows)
{
    return an_spec_apart(spec, rows) ? rows->column_stride : 0;
}

/* A number of more than 32 bits is none that a launch needs: no buffer that is bound spans such a
 * stride, and launches end where so many rows would (commands.c). */
static void fill_numbers(const anynorm_spec *spec, uint32_t *constants)
{
    const anynorm_rows *x = spec->gradients.flags & ANYNORM_SAVED_SUM ? &spec->sum : &spec->x;
    const struct {
        enum an_constant constant;
        uint64_t value;
    } numbers[] = {
        {AN_CONSTANT_columns, spec->columns},
        {AN_CONSTANT_x_row_stride, x->row_stride},
        {AN_CONSTANT_x_outer_stride, x->outer_stride},
        {AN_CONSTANT_x_column_stride, x->column_stride},
        {AN_CONSTANT_y_row_stride, spec->y.row_stride},
        {AN_CONSTANT_y_outer_stride, spec->y.outer_stride},
        {AN_CONSTANT_y_column_stride, spec->y.column_stride},
        {AN_CONSTANT_residual_row_stride, spec->residual.row_stride},
        {AN_CONSTANT_residual_outer_stride, spec->residual.outer_stride},
        {AN_CONSTANT_residual_column_stride, spec->residual.column_stride},
        {AN_CONSTANT_sum_row_stride, spec->sum.row_stride},
        {AN_CONSTANT_sum_outer_stride, spec->sum.outer_stride},
        {AN_CONSTANT_sum_column_stride, spec->sum.column_stride},
        {AN_CONSTANT_gate_row_stride, spec->gate.row_stride},
        {AN_CONSTANT_gate_column_stride, column_stride(spec, &spec->gate)},
        {AN_CONSTANT_scale_row_stride, spec->scale.row_stride},
        {AN_CONSTANT_scale_column_stride, column_stride(spec, &spec->scale)},
        {AN_CONSTANT_shift_row_stride, spec->shift.row_stride},
        {AN_CONSTANT_shift_column_stride, column_stride(spec, &spec->shift)},
        {AN_CONSTANT_inner_rows, spec->inner_rows},
        {AN_CONSTANT_sample_rows, spec->sample_rows},
        {AN_CONSTANT_parameter_rows, spec->parameters.rows},
        {AN_CONSTANT_parameter_run, spec->parameters.run},
        {AN_CONSTANT_parameter_cycle, spec->parameters.cycle},
        {AN_CONSTANT_column_run, an_spec_in_runs(spec) ? spec->column_run : 0},
        {AN_CONSTANT_dx_row_stride, spec->gradients.dx.row_stride},
        {AN_CONSTANT_dx_outer_stride, spec->gradients.dx.outer_stride},
        {AN_CONSTANT_dx_column_stride, spec->gradients.dx.column_stride},
        {AN_CONSTANT_dresidual_row_stride, spec->gradients.dresidual.row_stride},
        {AN_CONSTANT_dresidual_outer_stride, spec->gradients.dresidual.outer_stride},
        {AN_CONSTANT_dresidual_column_stride, spec->gradients.dresidual.column_stride},
        {AN_CONSTANT_shards, spec->statistic.shards},
    };
    for (size_t i = 0; i < COUNT(numbers); i++)
        constants[numbers[i].constant] = (uint32_t)an_least(numbers[i].value, UINT32_MAX);
    fill_real(an_spec_kernel_eps(spec), &constants[AN_CONSTANT_eps_bits],
              &constants[AN_CONSTANT_eps_low], &constants[AN_CONSTANT_eps_high]);
    fill_real(spec->parameters.weight_offset, &constants[AN_CONSTANT_weight_plus_bits],
              &constants[AN_CONSTANT_weight_plus_low], &constants[AN_CONSTANT_weight_plus_high]);
    if (spec->flags & ANYNORM_Y_SCALE_OUTPUT)
        fill_float(spec->quantization.bound != 0 ? spec->quantization.bound : (double)INFINITY,
                   &constants[AN_CONSTANT_y_bound_bits]);
    constants[AN_CONSTANT_HAS_WEIGHT_PLUS] = spec->parameters.weight_offset != 0;
}

static const enum an_constant slot_constants[AN_BUFFER_COUNT] = {
    [AN_X] = AN_CONSTANT_SLOT_X,
    [AN_Y] = AN_CONSTANT_SLOT_Y,
    [AN_WEIGHT] = AN_CONSTANT_SLOT_WEIGHT,
    [AN_BIAS] = AN_CONSTANT_SLOT_BIAS,
    [AN_MEAN] = AN_CONSTANT_SLOT_MEAN,
    [AN_RSTD] = AN_CONSTANT_SLOT_RSTD,
    [AN_RESIDUAL] = AN_CONSTANT_SLOT_RESIDUAL,
    [AN_SUM] = AN_CONSTANT_SLOT_SUM,
    [AN_PRE_BIAS] = AN_CONSTANT_SLOT_PRE_BIAS,
    [AN_GATE] = AN_CONSTANT_SLOT_GATE,
    [AN_SCALE] = AN_CONSTANT_SLOT_SCALE,
    [AN_SHIFT] = AN_CONSTANT_SLOT_SHIFT,
    [AN_PARTIALS] = AN_CONSTANT_SLOT_PARTIALS,
    [AN_Y_SCALE] = AN_CONSTANT_SLOT_Y_SCALE,
    [AN_DY] = AN_CONSTANT_SLOT_Y,
    [AN_DSUM] = AN_CONSTANT_SLOT_DSUM,
    [AN_DX] = AN_CONSTANT_SLOT_DX,
    [AN_DRESIDUAL] = AN_CONSTANT_SLOT_DRESIDUAL,
    [AN_DWEIGHT] = AN_CONSTANT_SLOT_DWEIGHT,
    [AN_DBIAS] = AN_CONSTANT_SLOT_DBIAS,
    [AN_DPRE_BIAS] = AN_CONSTANT_SLOT_DPRE_BIAS,
    [AN_DGATE] = AN_CONSTANT_SLOT_DGATE,
    [AN_DSCALE] = AN_CONSTANT_SLOT_DSCALE,
    [AN_DSHIFT] = AN_CONSTANT_SLOT_DSHIFT,
    [AN_WORKSPACE] = AN_CONSTANT_SLOT_WORKSPACE,
    [AN_MOMENTS] = AN_CONSTANT_SLOT_MOMENTS,
};

static void fill_slots(const anynorm_spec *spec, bool moments, struct an_interface *interface)
{
    for (int i = 0; i < AN_BUFFER_COUNT; i++) {
        bool present =
            i == AN_MOMENTS ? moments : an_tensor_expect(spec, (enum an_tensor)i).present;
        interface->slot[i] = present ? interface->slots++ : UINT32_MAX;
        if (present) /* dy has the constant of y */
            interface->constants[slot_constants[i]] = interface->slot[i];
    }
    if (spec->gradients.flags &
        ANYNORM_SAVED_SUM) /* in the place of x, kernels/vulkan/elements.glsl */
        interface->constants[AN_CONSTANT_SLOT_X] = interface->slot[AN_SUM];
    interface->constants[AN_CONSTANT_SLOTS] = interface->slots;
}

void an_interface_fill(const anynorm_device_info *info, const anynorm_spec *spec,
                       const struct an_choice *choice, bool moments, struct an_interface *interface)
{
    const struct an_choice fours = an_choice_of_fours(choice);
    *interface = (struct an_interface){.slots = 0};
    fill_family(spec, interface->constants);
    fill_choice(info, spec, &fours, interface->constants);
    fill_slots(spec, moments, interface);
    fill_numbers(spec, interface->constants);
}

void an_interface_format(const struct an_interface *interface, char *text, size_t capacity)
{
    struct an_text out = {text, capacity, strlen(text)};
    for (int i = 0; i < AN_CONSTANT_COUNT; i++) {
        if (interface->constants[i] != 0)
            an_text_put(&out, " %s=%" PRIu32, names[i], interface->constants[i]);
    }
}
