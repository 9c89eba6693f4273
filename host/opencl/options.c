/* The build options of a kernel: what it is, as -D. No handle of OpenCL here. */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "choice/caps.h"
#include "opencl/opencl_backend.h"
#include "spec/spec.h"
#include "base/text.h"

/* How the lanes of a row meet; the numbers are those of kernels/opencl/reduce.clh. */
enum { REDUCE_SERIAL, REDUCE_LOCAL, REDUCE_SHUFFLE, REDUCE_SUBGROUP };

static bool has_vendor_words(const anynorm_device_info *info)
{
    return info->shuffle == ANYNORM_SHUFFLE_PTX || info->shuffle == ANYNORM_SHUFFLE_AMD;
}

static int reduction(const anynorm_device_info *info, const struct an_choice *choice)
{
    uint64_t lanes = choice->group / choice->rows;
    if (lanes == 1)
        return REDUCE_SERIAL;
    if (choice->subgroup == 0)
        return REDUCE_LOCAL;
    if (choice->subgroup > 1 && (lanes < choice->subgroup || has_vendor_words(info)))
        return REDUCE_SHUFFLE;
    return REDUCE_SUBGROUP;
}

/* Sub-groups came into OpenCL C with 2.0 and became optional in 3.0; Intel's own words, and those
 * of vendors without, are there in 1.2, which compiles to less. */
static const char *standard(const anynorm_device_info *info, const struct an_choice *choice)
{
    bool in_1_2 =
        info->shuffle == ANYNORM_SHUFFLE_INTEL || (has_vendor_words(info) && choice->subgroup > 1);
    if (choice->subgroup == 0 || in_1_2)
        return "CL1.2";
    return strncmp(info->version, "OpenCL 2", 8) == 0 ? "CL2.0" : "CL3.0";
}

#define ALWAYS_SAID                                                                                \
    (ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT |                   \
     ANYNORM_ANY_ALIGNMENT)

/* What the spec names beyond plain LayerNorm: nothing else is written, so that plain kernels keep
 * their text, by which caches know them. */
static void put_family(struct an_text *options, const anynorm_spec *spec)
{
    const uint32_t used = an_spec_flags_used(spec), gradients = spec->gradients.flags;
    for (size_t i = 0; i < AN_FLAG_COUNT; i++) {
        if (used & ~(uint32_t)ALWAYS_SAID & an_flags[i].flag)
            an_text_put(options, " -D%s=1", an_flags[i].name);
    }
    for (size_t i = 0; i < AN_GRADIENT_COUNT; i++) {
        if (gradients & an_gradient_flags[i].flag)
            an_text_put(options, " -D%s=1", an_gradient_flags[i].name);
    }
    const struct {
        const char *name;
        bool defined;
        int value;
    } words[] = {
        {"EPS_INVERSE", an_spec_eps_inverse(spec), 1},
        {"R_TYPE", used & ANYNORM_RESIDUAL, (int)spec->residual.type},
        {"S_TYPE", spec->flags & AN_SUMS, (int)spec->sum.type},
        {"HAS_SAMPLES", used & AN_SAMPLES, 1},
        {"GATE_TYPE", used & ANYNORM_GATE, (int)spec->gate.type},
        {"SCALE_TYPE", used & ANYNORM_SCALE, (int)spec->scale.type},
        {"SHIFT_TYPE", used & ANYNORM_SHIFT, (int)spec->shift.type},
        {"GATE_APART", (used & ANYNORM_GATE) && an_spec_apart(spec, &spec->gate), 1},
        {"SCALE_APART", (used & ANYNORM_SCALE) && an_spec_apart(spec, &spec->scale), 1},
        {"SHIFT_APART", (used & ANYNORM_SHIFT) && an_spec_apart(spec, &spec->shift), 1},
        {"PARAMETER_ROWS", spec->parameters.rows > 1, 1},
        {"PARAMETER_RUN", spec->parameters.run > 1, 1},
        {"PARAMETER_CYCLE", spec->parameters.cycle, 1},
        {"HAS_WEIGHT_PLUS", spec->parameters.weight_offset != 0, 1},
        {"COLUMN_RUN", an_spec_in_runs(spec), 1},
        {"HAS_Y_SCALE", spec->flags & AN_Y_SCALES, 1},
        {"HAS_Y_BOUND", spec->quantization.bound != 0, 1},
        {"BACKWARD", gradients, 1},
        {"DX_TYPE", gradients & ANYNORM_DX, (int)spec->gradients.dx.type},
        {"DR_TYPE", gradients & ANYNORM_DRESIDUAL, (int)spec->gradients.dresidual.type},
        {"DP_TYPE", gradients & AN_PARAMETER_SUMS, (int)spec->gradients.parameters},
        {"DS_TYPE", gradients & AN_SAMPLE_SUMS, (int)spec->gradients.samples},
    };
    for (size_t i = 0; i < COUNT(words); i++) {
        if (words[i].defined)
            an_text_put(options, " -D%s=%d", words[i].name, words[i].value);
    }
}

/* How many times as wide as the narrowest the elements of each tensor are that a copy moves. */
static void put_parts(struct an_text *options, const anynorm_spec *spec)
{
    static const struct {
        enum an_tensor tensor;
        const char *name;
    } tensors[] = {{AN_X, "X"}, {AN_Y, "Y"}, {AN_RESIDUAL, "R"}, {AN_SUM, "S"}};
    for (size_t i = 0; i < COUNT(tensors); i++) {
        struct an_expectation expected = an_tensor_expect(spec, tensors[i].tensor);
        uint64_t parts = anynorm_dtype_size(expected.type) / an_tensor_narrowest(spec);
        if (expected.present && parts > 1)
            an_text_put(options, " -D%s_PARTS=%" PRIu64, tensors[i].name, parts);
    }
}

/* Threads with twice the registers, and half as many of them, for the doubles of Intel's from Xe2
 * and Ponte Vecchio on, of gradients and of columns that lie apart: with the usual 128 ocloc 26.27
 * puts 2 to 8 KB into memory. The word is Intel's own driver's; another's compiler may refuse it.
 */
static void put_registers(struct an_text *options, const anynorm_device_info *info,
                          const anynorm_spec *spec, const struct an_choice *choice)
{
    bool twice = an_spec_backward(spec) || choice->schedule == AN_COLUMN_WALK;
    if (twice && an_spec_double(spec) && an_info_wide_registers(info) &&
        info->device_class == ANYNORM_CLASS_GPU &&
        an_text_match("Intel(R) OpenCL*", info->platform))
        an_text_put(options, " -cl-intel-256-GRF-per-thread");
}

/* The work-items that Intel's compiler makes a sub-group of where a kernel leaves it the choice.
 * From Xe2 and Ponte Vecchio on it takes 32 and spills; on those before it knows best. */
static void put_width(struct an_text *options, const anynorm_device_info *info)
{
    if (info->shuffle == ANYNORM_SHUFFLE_INTEL && info->device_class == ANYNORM_CLASS_GPU &&
        info->subgroup_least == 16)
        an_text_put(options, " -DWIDTH=16");
}

/* A part has a work-item, which walks some rows side by side, or as many lanes as leave the group's
 * to some parts. */
static void put_backward(struct an_text *options, const anynorm_device_info *info,
                         const struct an_choice *choice)
{
    bool alone = choice->schedule == AN_ROW_PER_ITEM && choice->group == 1;
    struct an_choice of_group = *choice;
    if (alone)
        of_group.rows = 1;
    an_text_put(options,
                " -DGROUP=%" PRIu64 " -DROWS=%" PRIu64 " -DSIDE=%" PRIu64 " -DSLICES=%" PRIu64
                " -DREDUCE=%d -DSUBGROUP=%" PRIu64 " -DSHUFFLE=%d",
                choice->group, of_group.rows, alone ? choice->rows : 1, an_sum_slices(choice),
                reduction(info, &of_group), choice->subgroup, (int)info->shuffle);
    if (choice->subgroup == 0)
        put_width(options, info);
    if (choice->stream)
        an_text_put(options, " -DSTREAM_BYTES=%" PRIu64 "ul", choice->stream);
}

/* Of vectors wider than a CPU's registers compilers warn that functions of them have another ABI
 * where the registers are wider; nobody else calls these functions, and PoCL writes how many
 * warnings there were to the process's stderr. */
static void put_quiet(struct an_text *options, const anynorm_device_info *info,
                      const anynorm_spec *spec, const struct an_choice *choice)
{
    uint64_t bytes = choice->vector * (an_spec_double(spec) ? sizeof(double) : sizeof(float));
    if (info->device_class == ANYNORM_CLASS_CPU && info->vector_width >= 4 &&
        bytes > info->vector_width * sizeof(float))
        an_text_put(options, " -w");
}

/* Whether nothing is loaded before it is used: also of f64 on Intel's Xe2, where ocloc 26.27 else
 * puts 256 bytes of two vectors into memory. */
static bool few_registers(const anynorm_spec *spec, const struct an_choice *choice,
                          const anynorm_device_info *info)
{
    return (choice->subgroup > 1 && an_info_few_registers(info)) ||
           (an_spec_double(spec) && an_info_wide_registers(info));
}

static void put_choice(struct an_text *options, const anynorm_device_info *info,
                       const anynorm_spec *spec, const struct an_choice *choice)
{
    if (an_spec_backward(spec)) {
        put_backward(options, info, choice);
        return;
    }
    switch (choice->schedule) {
    case AN_ROW_PER_ITEM:
        an_text_put(options, " -DROWS=%" PRIu64, choice->rows);
        if (choice->held)
            an_text_put(options, " -DHELD=%" PRIu64, choice->held);
        break;
    case AN_COPY:
    case AN_COPY_STREAMING:
        /* An output of more than no bytes is one to stream. */
        an_text_put(options, " -DCOPY=1%s",
                    choice->schedule == AN_COPY_STREAMING ? " -DSTREAM_BYTES=0ul" : "");
        put_parts(options, spec);
        break;
    case AN_ADD:
        an_text_put(options, " -DADD=1");
        break;
    case AN_EMPTY:
        break;
    case AN_COLUMN_WALK:
        an_text_put(options, " -DGROUP=%" PRIu64 " -DSLICES=%" PRIu64 " -DHELD=%" PRIu64,
                    choice->group, choice->slices, choice->held);
        put_width(options, info);
        break;
    case AN_ROW_PER_SUBGROUP:
    case AN_ROW_PER_GROUP:
    case AN_ROW_IN_LOCAL:
        an_text_put(options,
                    " -DGROUP=%" PRIu64 " -DROWS=%" PRIu64 " -DHELD=%" PRIu64
                    " -DPRELOAD=%d -DREDUCE=%d -DSUBGROUP=%" PRIu64 " -DSHUFFLE=%d",
                    choice->group, choice->rows, choice->held,
                    an_choice_preloads(spec, choice, few_registers(spec, choice, info)),
                    reduction(info, choice), choice->subgroup, (int)info->shuffle);
        break;
    case AN_ROW_REREAD:
    case AN_ROW_SPLIT:
        an_text_put(options, " -DGROUP=%" PRIu64 " -DSEGMENT=%" PRIu64 " -DSEGMENTS=%d",
                    choice->group, choice->segment, AN_MOST_SEGMENTS);
        put_width(options, info);
        break;
    case AN_REFERENCE:
    case AN_SCHEDULE_COUNT:
        break; /* no kernel of OpenCL */
    }
    if (choice->stream)
        an_text_put(options, " -DSTREAM_BYTES=%" PRIu64 "ul", choice->stream);
}

void an_opencl_options(const anynorm_device_info *info, const anynorm_spec *spec,
                       const struct an_choice *choice, char *options, size_t capacity)
{
    struct an_text text = {options, capacity, 0};
    /* Types by their number in anynorm_dtype, which kernels/opencl/arithmetic.clh repeats. */
    an_text_put(&text,
                "-cl-std=%s -DX_TYPE=%d -DY_TYPE=%d -DP_TYPE=%d -DACC_DOUBLE=%d "
                "-DVECTOR=%" PRIu64 " -DANY_ALIGNMENT=%d -DTWO_LEVELS=%d -DHAS_WEIGHT=%d "
                "-DHAS_BIAS=%d -DHAS_MEAN=%d -DHAS_RSTD=%d",
                standard(info, choice), (int)spec->x.type, (int)spec->y.type,
                spec->flags & AN_PARAMETERS ? (int)spec->parameters.type : (int)ANYNORM_F32,
                an_spec_double(spec), choice->vector, !!(spec->flags & ANYNORM_ANY_ALIGNMENT),
                spec->inner_rows != 0, !!(spec->flags & ANYNORM_WEIGHT),
                !!(an_spec_flags_used(spec) & ANYNORM_BIAS), !!(spec->flags & ANYNORM_MEAN_OUTPUT),
                !!(spec->flags & ANYNORM_RSTD_OUTPUT));
    put_choice(&text, info, spec, choice);
    put_family(&text, spec);
    put_registers(&text, info, spec, choice);
    put_quiet(&text, info, spec, choice);
}
