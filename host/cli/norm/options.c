/* The arguments of the norms, what --help says, and what makes no sense together. */
#include "norm.h"

#include "common/cli.h"

#include <string.h>

/* ---- What --help says beside the options ---- */

#define ROWS_FORMULA                                                                               \
    "In full: h = x + pre-bias + gate * residual, n = (h - mean) * rstd,\n"                        \
    "y = activation((n * (weight + V) + bias) * (1 + scale) + shift).\n"

#define CHANNELS_FORMULA                                                                           \
    "In full: h = x + pre-bias + residual, n = (h - mean) * rstd,\n"                               \
    "y = activation(n * (weight + V) + bias).\n"

#define FILES_NOTE                                                                                 \
    "x is INPUT; the result has its shape, in C order. INPUT and every FILE that is read is\n"     \
    "a npy file, versions 1.0 to 3.0, f2 f4 f8 of either byte order, C or Fortran order, or\n"     \
    "FILE.safetensors:NAME, the tensor NAME of a safetensors file, F16 BF16 F32 F64. Each file\n"  \
    "may have a type of its own. numpy has no bf16, so a npy file has it as V2, or as u2 or i2\n"  \
    "where that is said: FILE.npy:bf16 says it of one file, --dtype bf16 or an x of bf16 of "      \
    "all.\n"                                                                                       \
    "It is written as u2. FILE.npy:f16, :f32 and :f64 demand these types.\n"

#define ROWS_NOTE                                                                                  \
    "FILE of every tensor beside x is broadcast to the shape of x as numpy does it, that of "      \
    "mean\n"                                                                                       \
    "or rstd where it has one number for a row. Beside that, weight, bias and pre-bias may be "    \
    "one\n"                                                                                        \
    "axis of the columns; mean and rstd may have the shape of the axes before N, or one axis of\n" \
    "all rows; gate, scale and shift may be (samples, columns), where consecutive rows share a\n"  \
    "sample: as many samples as the first axis of x has, or the first two, and so on; of a "       \
    "matrix\n"                                                                                     \
    "x any number that divides its rows. What could be both is refused.\n"                         \
    "Sum has the shape of x, statistics (mean and rstd) that of the axes before N.\n"

#define CHANNELS_NOTE                                                                              \
    "x is (batch, channels, ...), or (batch, ..., channels) with --layout nhwc; a row is a\n"      \
    "group of channels with all its pixels. With nhwc a pixel is printed as a line, not a row.\n"  \
    "FILE of --weight, --bias and --pre-bias is (channels,), or (groups,), or what numpy\n"        \
    "broadcasts to the shape of x with one number for a channel; that of --residual any that it\n" \
    "broadcasts. Sum has the shape of x, statistics (mean and rstd) the shape (batch, groups);\n"  \
    "those that are given may also be one axis of all, or be broadcast, one number for a group.\n"

#define BATCH_NOTE                                                                                 \
    "x is (batch, channels, ...), or (batch, ..., channels) with --layout nhwc; a row is a\n"      \
    "channel, of all images. All of x is taken at once, in memory.\n"                              \
    "FILE of --weight, --bias and --pre-bias, and of all statistics, given and written, is\n"      \
    "(channels,); what is read may also be what numpy broadcasts to the shape of x with one\n"     \
    "number for a channel, FILE of --residual any that it broadcasts. Sum has the shape of x.\n"   \
    "With --training, mean and rstd are the batch's; else they are given: by --mean and --rstd,\n" \
    "or as --running-mean and --running-var, with rstd = 1 / sqrt(var + eps). With --training,\n"  \
    "running statistics are updated and written, each in the shape and the type of its file,\n"    \
    "which the update may replace. With the momentum M and the batch's B they become\n"            \
    "    (1 - M) * running + M * B    by pytorch, where var divides by the elements less one\n"    \
    "    M * running + (1 - M) * B    by onnx and keras, where it divides by the elements\n"       \
    "B is an f4. eps and how y is found are the same by each convention.\n"

#define BATCH_GRADIENTS_NOTE                                                                       \
    "--backward finds gradients instead: what a loss changes by with x, by -o, and with other\n"   \
    "tensors, by the options that begin with a d, from what it changes by with the result. All\n"  \
    "else is said as for the norm: with --training the batch's statistics change with x (--mean\n" \
    "and --rstd are then those that the norm wrote, which saves some work, and for f64 loses\n"    \
    "some digits), else they are constants. Each gradient has the shape of its tensor's file.\n"

#define GRADIENTS_NOTE                                                                             \
    "--backward finds gradients instead: what a loss changes by with x, by -o, and with other\n"   \
    "tensors, by the options that begin with a d, from what it changes by with the result. All\n"  \
    "else is said as for the norm. Each gradient has the shape of its tensor's file; only what "   \
    "is\n"                                                                                         \
    "repeated for rows (of a sample, or for all) is added up, so a tensor that is repeated in\n"   \
    "another way has none. Statistics that are given are\n"                                        \
    "those that the norm wrote: that saves some work, and for f64 it loses some digits.\n"

#define QUANTIZED_NOTE                                                                             \
    "--quantize rounds to nearest even and saturates: int8 is written as i1, -128 to 127, and\n"   \
    "fp8-e4m3 (of the OCP specification, up to 448), which numpy has not, as u1, its bits. The\n"  \
    "result is about the numbers written (or printed) times their row's scale. The scale of a\n"   \
    "row of zeros is 0.\n"

#define OUTPUT_NOTE                                                                                \
    "Without -o the result is printed, shortened; without shortening numpy.loadtxt can read it.\n" \
    "--stats: mean and rstd are the device's, the variance is computed on the host in double.\n"   \
    "An output file appears complete or not at all, and may replace INPUT.\n"

static const struct {
    const char *name; /* the command */
    const char *summary;
    const char *notes;
} texts[NORM_KINDS] = {
    [NORM_LAYER] =
        {
            "layer-norm",
            "Layer normalization: y = (x - mean) / sqrt(variance + eps) * weight + bias.",
            ROWS_FORMULA FILES_NOTE ROWS_NOTE GRADIENTS_NOTE QUANTIZED_NOTE OUTPUT_NOTE,
        },
    [NORM_RMS] =
        {
            "rms-norm",
            "RMS normalization: y = x / sqrt(mean of x^2 + eps) * weight + bias (--l2: sum of "
            "x^2).",
            ROWS_FORMULA FILES_NOTE ROWS_NOTE GRADIENTS_NOTE QUANTIZED_NOTE OUTPUT_NOTE,
        },
    [NORM_GROUP] =
        {
            "group-norm",
            "Group normalization: layer normalization of each group of channels.",
            CHANNELS_FORMULA FILES_NOTE CHANNELS_NOTE GRADIENTS_NOTE QUANTIZED_NOTE OUTPUT_NOTE,
        },
    [NORM_INSTANCE] =
        {
            "instance-norm",
            "Instance normalization: layer normalization of each channel.",
            CHANNELS_FORMULA FILES_NOTE CHANNELS_NOTE GRADIENTS_NOTE QUANTIZED_NOTE OUTPUT_NOTE,
        },
    [NORM_BATCH] =
        {
            "batch-norm",
            "Batch normalization: each channel of all images, by their statistics or given ones.",
            CHANNELS_FORMULA FILES_NOTE BATCH_NOTE BATCH_GRADIENTS_NOTE QUANTIZED_NOTE OUTPUT_NOTE,
        },
};

/* ---- What is parsed ---- */

/* Which commands have an option that not all have. */
enum {
    LAYER = 1 << NORM_LAYER,
    RMS = 1 << NORM_RMS,
    GROUP = 1 << NORM_GROUP,
    INSTANCE = 1 << NORM_INSTANCE,
    BATCH = 1 << NORM_BATCH,
    RANKS = 1 << NORM_KINDS, /* in anynorm-mpi */
    ROWS = LAYER | RMS,
    CHANNELS = GROUP | INSTANCE | BATCH,
    CENTRED = LAYER | CHANNELS
};

/* Which options are there, of those whose values do not tell. */
struct given {
    bool quantize;
    bool quantize_scale;
    bool quantize_bound;
    bool eps;
    bool eps_mode;
    bool correction;
    bool weight_offset;
    bool momentum;
    bool convention;
};

/* An option whose presence, beside others, makes no sense. */
struct fault {
    bool there;
    const char *option;
    const char *text;
};

/* A float whose inverse is one, too, neither of them denormal. */
static bool is_scale(double value)
{
    return value >= 0x1p-126 && value <= 0x1p126;
}

static bool check_faults(const struct fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (faults[i].there)
            return cli_fail(CLI_USAGE, faults[i].option, "%s", faults[i].text);
    }
    return true;
}

static bool check_gradients(const struct norm_options *o, const struct given *given)
{
    static const char forward[] = "is for the norm, and --backward finds gradients; leave one out";
    const char *const *out = o->outputs;
    bool backward = norm_is_backward(o), any = false;
    bool summed = out[OUT_DWEIGHT] || out[OUT_DBIAS] || out[OUT_DPRE_BIAS] || out[OUT_DGATE] ||
                  out[OUT_DSCALE] || out[OUT_DSHIFT];
    const struct fault faults[] = {
        {backward && o->stats, "--stats", forward},
        {backward && given->quantize, "--quantize", forward},
        {backward && given->quantize_scale, "--quantize-scale", forward},
        {backward && given->quantize_bound, "--quantize-bound", forward},
        {!backward && o->inputs[IN_DSUM], "--dsum",
         "is a gradient that others are found from; give --backward too"},
        {o->gradient_dtype_given && !summed, "--gradient-dtype",
         "is the type of what is summed over rows; give --dweight-output or another of these too"},
        {out[OUT_DRESIDUAL] && !o->inputs[IN_GATE], "--dresidual-output",
         "is the same as the gradient of x where there is no gate; take -o, or give --gate too"},
    };

    for (int i = 0; i < OUTPUTS; i++)
        any = any || out[i];
    if (backward && o->output_dtype_given && any && !out[OUT_DX])
        return cli_fail(CLI_USAGE, "--output-dtype",
                        "is the type of the gradient of x, which is not wanted; give -o too");
    return norm_outputs_check(o) && check_faults(faults, COUNT(faults));
}

static bool check_batch(const struct norm_options *o, const struct given *given)
{
    static const char update[] = "says how running statistics are updated; give "
                                 "--running-mean-output or --running-var-output too";
    static const char untrained[] =
        "is for the update that --training makes of running statistics; give that too";
    static const char not_gradients[] =
        "has no part in the gradients of --training; leave one of the two out";
    const char *const *in = o->inputs, *const *out = o->outputs;
    bool mean = in[IN_RUNNING_MEAN], variance = in[IN_RUNNING_VARIANCE];
    bool new_mean = out[OUT_RUNNING_MEAN], new_variance = out[OUT_RUNNING_VARIANCE];
    bool fixed = in[IN_MEAN] || in[IN_RSTD], training = o->training;
    const struct fault faults[] = {
        {!training && !mean && !variance && !fixed, "--training",
         "missing; give it, or --running-mean and --running-var, or --mean and --rstd"},
        {training && fixed && !norm_is_backward(o), "--training",
         "finds mean and rstd, and --mean and --rstd give them; leave it or these out"},
        {mean && fixed, "--running-mean",
         "is what --mean and --rstd say, too; leave it or these out"},
        {variance && fixed, "--running-var",
         "is what --mean and --rstd say, too; leave it or these out"},
        {!training && new_mean, "--running-mean-output", untrained},
        {!training && new_variance, "--running-var-output", untrained},
        {!training && mean && !variance, "--running-mean",
         "is taken together with --running-var; give that too"},
        {!training && variance && !mean, "--running-var",
         "is taken together with --running-mean; give that too"},
        {training && mean && norm_is_backward(o), "--running-mean", not_gradients},
        {training && variance && norm_is_backward(o), "--running-var", not_gradients},
        {new_mean && !mean, "--running-mean-output",
         "is for the update of --running-mean; give that too"},
        {new_variance && !variance, "--running-var-output",
         "is for the update of --running-var; give that too"},
        {training && mean && !new_mean, "--running-mean",
         "is what --training updates; give --running-mean-output too"},
        {training && variance && !new_variance, "--running-var",
         "is what --training updates; give --running-var-output too"},
        {given->convention && !new_mean && !new_variance, "--convention", update},
        {given->momentum && !new_mean && !new_variance, "--momentum", update},
        {o->momentum < 0.0 || o->momentum > 1.0, "--momentum", "is out of range; give 0 to 1"},
    };

    return o->kind != NORM_BATCH || check_faults(faults, COUNT(faults));
}

static bool check_together(const struct norm_options *o, const struct given *given)
{
    static const char found[] = "says how rstd is found, and --rstd gives it; leave one out";
    const char *const *in = o->inputs;
    bool rstd = in[IN_RSTD], fixed = rstd && !norm_is_saved(o);
    const struct fault faults[] = {
        {o->eps < 0.0, "--eps", "is negative; give 0 or more"},
        {o->kind == NORM_GROUP && o->groups == 0, "--groups",
         "missing; give how many groups the channels make, such as 32"},
        {in[IN_GATE] && !in[IN_RESIDUAL], "--gate",
         "is what the residual is multiplied by, and there is none; give --residual too"},
        {given->weight_offset && !in[IN_WEIGHT], "--weight-offset",
         "is added to the weight, and there is none; give --weight too"},
        {in[IN_MEAN] && !rstd, "--mean", "is taken together with --rstd; give that too"},
        {rstd && !in[IN_MEAN] && o->kind != NORM_RMS, "--rstd",
         "is taken together with --mean; give that too"},
        {fixed && given->eps, "--eps", found},
        {fixed && given->eps_mode, "--eps-mode", found},
        {fixed && given->correction, "--correction", found},
        {fixed && o->l2, "--l2", found},
        {rstd && o->outputs[OUT_MEAN], "--mean-output",
         "would write what --mean gives; leave one out"},
        {rstd && o->outputs[OUT_RSTD], "--rstd-output",
         "would write what --rstd gives; leave one out"},
        {given->quantize && o->output_dtype_given, "--quantize",
         "and --output-dtype both say what the result is; leave one out"},
        {given->quantize_scale && !given->quantize, "--quantize-scale",
         "is what the result is divided by to be quantized; give --quantize too"},
        {o->outputs[OUT_Y_SCALE] && !given->quantize, "--scale-output",
         "is for the scales of a quantized result; give --quantize too"},
        {given->quantize_scale && o->outputs[OUT_Y_SCALE], "--scale-output",
         "is for scales that are found, and --quantize-scale gives one; leave one out"},
        {given->quantize_bound && !o->outputs[OUT_Y_SCALE], "--quantize-bound",
         "limits the scales that are found for --scale-output; give that too"},
        {given->quantize_scale && !is_scale(o->quantize_scale), "--quantize-scale",
         "must be above 0 and within the normal range of f32; give such as 0.05"},
        {given->quantize_bound && o->quantize_bound < 1e-30, "--quantize-bound",
         "must be 1e-30 or more; give such as 1200"},
    };

    return check_gradients(o, given) && check_batch(o, given) &&
           check_faults(faults, COUNT(faults));
}

bool norm_options_parse(bool ranks, int argc, char **argv, struct norm_options *o, int *exit_status)
{
    static const char *const dtypes[] = {"bf16", "f16", "f32", "f64", NULL};
    static const anynorm_dtype dtype_values[] = {ANYNORM_BF16, ANYNORM_F16, ANYNORM_F32,
                                                 ANYNORM_F64};
    static const char *const codes[] = {"int8", "fp8-e4m3", NULL};
    static const anynorm_dtype code_values[] = {ANYNORM_I8, ANYNORM_F8E4M3};
    static const char *const eps_modes[] = {"inside", "outside", "floor", NULL};
    static const char *const activations[] = {"none", "silu", NULL};
    static const char *const layouts[] = {"nchw", "nhwc", NULL};
    static const char *const conventions[] = {"pytorch", "onnx", "keras", NULL};
    static const double momenta[CONVENTIONS] = {0.1, 0.9, 0.99};
    static const char *const shards[] = {"rows", "columns", NULL};
    struct given given = {0};
    size_t dtype = 0, output_dtype = 0, gradient_dtype = 0, quantize = 0;
    struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "FILE",
         "write the result to FILE, a npy file (default: print it)", .text = &o->outputs[OUT_Y]},
        {"output-dtype", 0, CLI_CHOICE, "TYPE",
         "of the result: bf16, f16, f32 or f64 (default: that of x)", .choice = &output_dtype,
         .choices = dtypes, .given = &o->output_dtype_given},
        {"axis", 0, CLI_INTEGER, "N",
         "normalize over axes N to the last; negative: from the end (default -1)",
         .integer = &o->axis, .least = -ANYNORM_MAX_RANK, .most = ANYNORM_MAX_RANK - 1,
         .commands = ROWS},
        {"groups", 0, CLI_INTEGER, "N", "of the channels; must divide their number",
         .integer = &o->groups, .least = 1, .most = INT64_MAX, .commands = GROUP},
        {"layout", 0, CLI_CHOICE, "ORDER",
         "nchw: the channels are axis 1 (default); nhwc: they are the last axis",
         .choice = &o->layout, .choices = layouts, .commands = CHANNELS},
        {"weight", 0, CLI_TEXT, "FILE", "multiply by it after normalizing (gamma)",
         .text = &o->inputs[IN_WEIGHT]},
        {"weight-offset", 0, CLI_NUMBER, "V",
         "add V to the weight first; 1 for weights stored about zero (default 0)",
         .number = &o->weight_offset, .given = &given.weight_offset},
        {"bias", 0, CLI_TEXT, "FILE", "add it after the weight (beta)",
         .text = &o->inputs[IN_BIAS]},
        {"eps", 0, CLI_NUMBER, "E", "keeps the root from being zero (default 1e-5)",
         .number = &o->eps, .given = &given.eps},
        {"eps-mode", 0, CLI_CHOICE, "MODE",
         "inside: added inside the root (default); outside: to the root; floor: its least",
         .choice = &o->eps_mode, .choices = eps_modes, .given = &given.eps_mode},
        {"l2", 0, CLI_FLAG, NULL, "take the sum of squares, not their mean: L2 normalization",
         .flag = &o->l2, .commands = RMS},
        {"correction", 0, CLI_INTEGER, "0|1",
         "1: divide the variance by the columns less one (default 0)", .integer = &o->correction,
         .least = 0, .most = 1, .given = &given.correction, .commands = CENTRED & ~BATCH},
        {"residual", 0, CLI_TEXT, "FILE", "add it to x before normalizing",
         .text = &o->inputs[IN_RESIDUAL]},
        {"gate", 0, CLI_TEXT, "FILE", "multiply the residual by it first",
         .text = &o->inputs[IN_GATE], .commands = ROWS},
        {"pre-bias", 0, CLI_TEXT, "FILE", "add it to x before normalizing",
         .text = &o->inputs[IN_PRE_BIAS]},
        {"sum-output", 0, CLI_TEXT, "FILE", "write what is normalized, in the type of x",
         .text = &o->outputs[OUT_SUM]},
        {"scale", 0, CLI_TEXT, "FILE", "multiply by 1 + it, after weight and bias",
         .text = &o->inputs[IN_SCALE], .commands = ROWS},
        {"shift", 0, CLI_TEXT, "FILE", "add it, after the scale", .text = &o->inputs[IN_SHIFT],
         .commands = ROWS},
        {"activation", 0, CLI_CHOICE, "NAME", "silu: z * sigmoid(z) at the end (default none)",
         .choice = &o->activation, .choices = activations},
        {"quantize", 0, CLI_CHOICE, "TYPE",
         "int8 or fp8-e4m3: write the result divided by a scale, which is 1, or that of",
         .choice = &quantize, .choices = codes, .given = &given.quantize},
        {"quantize-scale", 0, CLI_NUMBER, "S", "the scale, one for all rows",
         .number = &o->quantize_scale, .given = &given.quantize_scale},
        {"scale-output", 0, CLI_TEXT, "FILE",
         "find a scale for each row, largest magnitude / 127 or 448, and write them, f4",
         .text = &o->outputs[OUT_Y_SCALE]},
        {"quantize-bound", 0, CLI_NUMBER, "B",
         "of a row's largest magnitude for its scale; larger values saturate",
         .number = &o->quantize_bound, .given = &given.quantize_bound},
        {"round-first", 0, CLI_FLAG, NULL,
         "round to the type of x before the weight, as the code of LLaMA does",
         .flag = &o->round_first},
        {"mean", 0, CLI_TEXT, "FILE", "take each row's mean from it, as f4; with --rstd",
         .text = &o->inputs[IN_MEAN], .commands = CENTRED},
        {"rstd", 0, CLI_TEXT, "FILE", "take each row's rstd from it, as f4",
         .text = &o->inputs[IN_RSTD]},
        {"mean-output", 0, CLI_TEXT, "FILE", "write each row's mean, f4",
         .text = &o->outputs[OUT_MEAN], .commands = CENTRED},
        {"rstd-output", 0, CLI_TEXT, "FILE", "write each row's rstd, f4",
         .text = &o->outputs[OUT_RSTD]},
        {"training", 0, CLI_FLAG, NULL, "take mean and rstd of the batch", .flag = &o->training,
         .commands = BATCH},
        {"running-mean", 0, CLI_TEXT, "FILE",
         "the mean over many batches: is used, or with --training updated",
         .text = &o->inputs[IN_RUNNING_MEAN], .commands = BATCH},
        {"running-var", 0, CLI_TEXT, "FILE", "the variance over many batches, likewise",
         .text = &o->inputs[IN_RUNNING_VARIANCE], .commands = BATCH},
        {"running-mean-output", 0, CLI_TEXT, "FILE", "write the updated mean; may be its old file",
         .text = &o->outputs[OUT_RUNNING_MEAN], .commands = BATCH},
        {"running-var-output", 0, CLI_TEXT, "FILE", "write the updated variance, likewise",
         .text = &o->outputs[OUT_RUNNING_VARIANCE], .commands = BATCH},
        {"convention", 0, CLI_CHOICE, "NAME",
         "how they are updated: pytorch (default), onnx or keras; see below",
         .choice = &o->convention, .choices = conventions, .given = &given.convention,
         .commands = BATCH},
        {"momentum", 0, CLI_NUMBER, "M",
         "of the update (default: pytorch 0.1, onnx 0.9, keras 0.99)", .number = &o->momentum,
         .given = &given.momentum, .commands = BATCH},
        {"stats", 0, CLI_FLAG, NULL, "print a table of each row's mean, variance and rstd",
         .flag = &o->stats, .commands = CENTRED},
        {"stats", 0, CLI_FLAG, NULL,
         "print a table of each row's mean square (with --l2 their sum) and rstd",
         .flag = &o->stats, .commands = RMS},
        {"backward", 0, CLI_TEXT, "FILE",
         "find gradients from it, that of the result, shaped as x; -o writes that of x",
         .text = &o->inputs[IN_DY]},
        {"dsum", 0, CLI_TEXT, "FILE",
         "gradient of what --sum-output writes, shaped as x: is added to that of x",
         .text = &o->inputs[IN_DSUM]},
        {"dweight-output", 0, CLI_TEXT, "FILE", "write the gradient of the weight",
         .text = &o->outputs[OUT_DWEIGHT]},
        {"dbias-output", 0, CLI_TEXT, "FILE", "write that of the bias",
         .text = &o->outputs[OUT_DBIAS]},
        {"dpre-bias-output", 0, CLI_TEXT, "FILE", "write that of the pre-bias",
         .text = &o->outputs[OUT_DPRE_BIAS]},
        {"dresidual-output", 0, CLI_TEXT, "FILE",
         "write that of the residual, in its type; only with --gate: else it is that of x",
         .text = &o->outputs[OUT_DRESIDUAL], .commands = ROWS},
        {"dgate-output", 0, CLI_TEXT, "FILE", "write that of the gate",
         .text = &o->outputs[OUT_DGATE], .commands = ROWS},
        {"dscale-output", 0, CLI_TEXT, "FILE", "write that of the scale",
         .text = &o->outputs[OUT_DSCALE], .commands = ROWS},
        {"dshift-output", 0, CLI_TEXT, "FILE", "write that of the shift",
         .text = &o->outputs[OUT_DSHIFT], .commands = ROWS},
        {"gradient-dtype", 0, CLI_CHOICE, "TYPE",
         "of what is summed over rows: bf16, f16, f32, f64 (default f32; f64 if x is)",
         .choice = &gradient_dtype, .choices = dtypes, .given = &o->gradient_dtype_given},
        {"dtype", 0, CLI_CHOICE, "TYPE",
         "bf16: npy files of u2 and i2 are bf16; f16, f32, f64: demand this type of x",
         .choice = &dtype, .choices = dtypes, .given = &o->dtype_given},
        {"device", 0, CLI_TEXT, "NAME",
         "opencl, opencl:0, opencl:TEXT, reference (default: $ANYNORM_DEVICE or best)",
         .text = &o->device},
        {"block-bytes", 0, CLI_INTEGER, "N",
         "bytes of x normalized at a time, one row at least (default 67108864)",
         .integer = &o->block_bytes, .least = 1, .most = INT64_MAX, .given = &o->block_bytes_given,
         .commands = ROWS | GROUP | INSTANCE},
        {"shard", 0, CLI_CHOICE, "WHAT",
         "divide rows among the ranks (default), or columns of all rows", .choice = &o->shard,
         .choices = shards, .commands = RANKS},
        {"timing", 0, CLI_FLAG, NULL, "tell on stderr what was used and how fast it was",
         .flag = &o->timing},
    };
    enum norm_kind kind = NORM_LAYER;
    struct cli_command command;

    while (strcmp(argv[0], texts[kind].name) != 0)
        kind++;
    command = (struct cli_command){
        .name = texts[kind].name,
        .summary = texts[kind].summary,
        .notes = texts[kind].notes,
        .operand_name = "INPUT",
        .operand = &o->x,
        .options = options,
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (!options[i].commands || options[i].commands & (1u << kind | (ranks ? RANKS : 0u)))
            options[command.option_count++] = options[i];
    }
    *o = (struct norm_options){
        .kind = kind,
        .axis = -1,
        .eps = ANYNORM_EPS_DEFAULT,
        .block_bytes = 64 << 20,
    };
    if (!cli_parse(&command, argc, argv, exit_status))
        return false;
    o->dtype = dtype_values[dtype];
    o->output_dtype = dtype_values[output_dtype];
    o->gradient_dtype = dtype_values[gradient_dtype];
    if (!given.momentum)
        o->momentum = momenta[o->convention];
    if (norm_is_backward(o)) {
        o->outputs[OUT_DX] = o->outputs[OUT_Y];
        o->outputs[OUT_Y] = NULL;
    }
    if (!check_together(o, &given)) {
        *exit_status = cli_error_print();
        return false;
    }
    if (given.quantize) {
        o->output_dtype = code_values[quantize];
        o->output_dtype_given = true;
    }
    return true;
}
