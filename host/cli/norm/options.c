#include "options.h"

#include "common/error.h"
#include "text.h"
#include "common/options.h"

#include <string.h>

/* Which commands have an option. */
enum {
    LAYER = 1 << NORM_LAYER,
    RMS = 1 << NORM_RMS,
    GROUP = 1 << NORM_GROUP,
    INSTANCE = 1 << NORM_INSTANCE,
    ROWS = LAYER | RMS,
    CHANNELS = GROUP | INSTANCE,
    CENTRED = LAYER | CHANNELS,
    ALL = ROWS | CHANNELS
};

/* What is parsed beside the options themselves. */
struct words {
    size_t dtype;
    size_t output_dtype;
    size_t eps_mode;
    size_t activation;
    size_t layout;
    size_t quantize;
    bool quantize_given;
    bool quantize_scale_given;
    bool quantize_bound_given;
    bool eps_given;
    bool eps_mode_given;
    bool correction_given;
    bool weight_offset_given;
    bool groups_given;
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

static bool check_together(const struct norm_options *o, const struct words *words,
                           struct cli_error *error)
{
    static const char found[] = "says how rstd is found, and --rstd gives it; leave one out";
    bool given = o->rstd;
    const struct fault faults[] = {
        {o->eps < 0.0, "--eps", "is negative; give 0 or more"},
        {o->kind == NORM_GROUP && !words->groups_given, "--groups",
         "missing; give how many groups the channels make, such as 32"},
        {o->gate && !o->residual, "--gate",
         "is what the residual is multiplied by, and there is none; give --residual too"},
        {words->weight_offset_given && !o->weight, "--weight-offset",
         "is added to the weight, and there is none; give --weight too"},
        {o->mean && !o->rstd, "--mean", "is taken together with --rstd; give that too"},
        {o->rstd && !o->mean && o->kind != NORM_RMS, "--rstd",
         "is taken together with --mean; give that too"},
        {given && words->eps_given, "--eps", found},
        {given && words->eps_mode_given, "--eps-mode", found},
        {given && words->correction_given, "--correction", found},
        {given && o->l2, "--l2", found},
        {given && o->mean_output, "--mean-output", "would write what --mean gives; leave one out"},
        {given && o->rstd_output, "--rstd-output", "would write what --rstd gives; leave one out"},
        {words->quantize_given && o->output_dtype_given, "--quantize",
         "and --output-dtype both say what the result is; leave one out"},
        {words->quantize_scale_given && !words->quantize_given, "--quantize-scale",
         "is what the result is divided by to be quantized; give --quantize too"},
        {o->scale_output && !words->quantize_given, "--scale-output",
         "is for the scales of a quantized result; give --quantize too"},
        {words->quantize_scale_given && o->scale_output, "--scale-output",
         "is for scales that are found, and --quantize-scale gives one; leave one out"},
        {words->quantize_bound_given && !o->scale_output, "--quantize-bound",
         "limits the scales that are found for --scale-output; give that too"},
        {words->quantize_scale_given && !is_scale(o->quantize_scale), "--quantize-scale",
         "must be above 0 and within the normal range of f32; give such as 0.05"},
        {words->quantize_bound_given && o->quantize_bound < 1e-30, "--quantize-bound",
         "must be 1e-30 or more; give such as 1200"},
    };

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (faults[i].there)
            return cli_fail(error, CLI_USAGE, faults[i].option, "%s", faults[i].text);
    }
    return true;
}

bool norm_options_parse(int argc, char **argv, struct norm_options *o, int *exit_status)
{
    static const char *const dtypes[] = {"bf16", "f16", "f32", "f64", NULL};
    static const anynorm_dtype dtype_values[] = {ANYNORM_BF16, ANYNORM_F16, ANYNORM_F32,
                                                 ANYNORM_F64};
    static const char *const codes[] = {"int8", "fp8-e4m3", NULL};
    static const anynorm_dtype code_values[] = {ANYNORM_I8, ANYNORM_F8E4M3};
    static const char *const eps_modes[] = {"inside", "outside", NULL};
    static const char *const activations[] = {"none", "silu", NULL};
    static const char *const layouts[] = {"nchw", "nhwc", NULL};
    struct words words = {0};
    const struct {
        unsigned commands;
        struct cli_option option;
    } all[] = {
        {ALL,
         {"output", 'o', CLI_TEXT, "FILE",
          "write the result to FILE, a npy file (default: print it)", .text = &o->output}},
        {ALL,
         {"output-dtype", 0, CLI_CHOICE, "TYPE",
          "of the result: bf16, f16, f32 or f64 (default: that of x)",
          .choice = &words.output_dtype, .choices = dtypes, .given = &o->output_dtype_given}},
        {ROWS,
         {"axis", 0, CLI_INTEGER, "N",
          "normalize over axes N to the last; negative: from the end (default -1)",
          .integer = &o->axis, .least = -ANYNORM_MAX_RANK, .most = ANYNORM_MAX_RANK - 1}},
        {GROUP,
         {"groups", 0, CLI_INTEGER, "N", "of the channels; must divide their number",
          .integer = &o->groups, .least = 1, .most = INT64_MAX, .given = &words.groups_given}},
        {CHANNELS,
         {"layout", 0, CLI_CHOICE, "ORDER",
          "nchw: the channels are axis 1 (default); nhwc: they are the last axis",
          .choice = &words.layout, .choices = layouts}},
        {ALL,
         {"weight", 0, CLI_TEXT, "FILE", "multiply by it after normalizing (gamma)",
          .text = &o->weight}},
        {ALL,
         {"weight-offset", 0, CLI_NUMBER, "V",
          "add V to the weight first; 1 for weights stored about zero (default 0)",
          .number = &o->weight_offset, .given = &words.weight_offset_given}},
        {ALL, {"bias", 0, CLI_TEXT, "FILE", "add it after the weight (beta)", .text = &o->bias}},
        {ALL,
         {"eps", 0, CLI_NUMBER, "E", "keeps the root from being zero (default 1e-5)",
          .number = &o->eps, .given = &words.eps_given}},
        {ALL,
         {"eps-mode", 0, CLI_CHOICE, "MODE",
          "inside: eps is added inside the root (default); outside: to the root",
          .choice = &words.eps_mode, .choices = eps_modes, .given = &words.eps_mode_given}},
        {RMS,
         {"l2", 0, CLI_FLAG, NULL, "take the sum of squares, not their mean: L2 normalization",
          .flag = &o->l2}},
        {CENTRED,
         {"correction", 0, CLI_INTEGER, "0|1",
          "1: divide the variance by the columns less one (default 0)", .integer = &o->correction,
          .least = 0, .most = 1, .given = &words.correction_given}},
        {ALL,
         {"residual", 0, CLI_TEXT, "FILE", "add it to x before normalizing", .text = &o->residual}},
        {ROWS,
         {"gate", 0, CLI_TEXT, "FILE", "multiply the residual by it first", .text = &o->gate}},
        {ALL,
         {"pre-bias", 0, CLI_TEXT, "FILE", "add it to x before normalizing", .text = &o->pre_bias}},
        {ALL,
         {"sum-output", 0, CLI_TEXT, "FILE", "write what is normalized, in the type of x",
          .text = &o->sum_output}},
        {ROWS,
         {"scale", 0, CLI_TEXT, "FILE", "multiply by 1 + it, after weight and bias",
          .text = &o->scale}},
        {ROWS, {"shift", 0, CLI_TEXT, "FILE", "add it, after the scale", .text = &o->shift}},
        {ALL,
         {"activation", 0, CLI_CHOICE, "NAME", "silu: z * sigmoid(z) at the end (default none)",
          .choice = &words.activation, .choices = activations}},
        {ALL,
         {"quantize", 0, CLI_CHOICE, "TYPE",
          "int8 or fp8-e4m3: write the result divided by a scale, which is 1, or that of",
          .choice = &words.quantize, .choices = codes, .given = &words.quantize_given}},
        {ALL,
         {"quantize-scale", 0, CLI_NUMBER, "S", "the scale, one for all rows",
          .number = &o->quantize_scale, .given = &words.quantize_scale_given}},
        {ALL,
         {"scale-output", 0, CLI_TEXT, "FILE",
          "find a scale for each row, largest magnitude / 127 or 448, and write them, f4",
          .text = &o->scale_output}},
        {ALL,
         {"quantize-bound", 0, CLI_NUMBER, "B",
          "of a row's largest magnitude for its scale; larger values saturate",
          .number = &o->quantize_bound, .given = &words.quantize_bound_given}},
        {ALL,
         {"round-first", 0, CLI_FLAG, NULL,
          "round to the type of x before the weight, as the code of LLaMA does",
          .flag = &o->round_first}},
        {CENTRED,
         {"mean", 0, CLI_TEXT, "FILE", "take each row's mean from it, as f4; with --rstd",
          .text = &o->mean}},
        {ALL,
         {"rstd", 0, CLI_TEXT, "FILE", "take each row's rstd from it, as f4", .text = &o->rstd}},
        {CENTRED,
         {"mean-output", 0, CLI_TEXT, "FILE", "write each row's mean, f4",
          .text = &o->mean_output}},
        {ALL,
         {"rstd-output", 0, CLI_TEXT, "FILE", "write each row's rstd, f4",
          .text = &o->rstd_output}},
        {CENTRED,
         {"stats", 0, CLI_FLAG, NULL, "print a table of each row's mean, variance and rstd",
          .flag = &o->stats}},
        {RMS,
         {"stats", 0, CLI_FLAG, NULL,
          "print a table of each row's mean square (with --l2 their sum) and rstd",
          .flag = &o->stats}},
        {ALL,
         {"dtype", 0, CLI_CHOICE, "TYPE",
          "bf16: npy files of u2 and i2 are bf16; f16, f32, f64: demand this type of x",
          .choice = &words.dtype, .choices = dtypes, .given = &o->dtype_given}},
        {ALL,
         {"device", 0, CLI_TEXT, "NAME",
          "opencl, opencl:0, opencl:TEXT, reference (default: $ANYNORM_DEVICE or best)",
          .text = &o->device}},
        {ALL,
         {"block-bytes", 0, CLI_INTEGER, "N",
          "bytes of x normalized at a time, one row at least (default 67108864)",
          .integer = &o->block_bytes, .least = 1, .most = INT64_MAX}},
        {ALL,
         {"timing", 0, CLI_FLAG, NULL, "tell on stderr what was used and how fast it was",
          .flag = &o->timing}},
    };
    struct cli_option options[sizeof all / sizeof *all];
    enum norm_kind kind = NORM_LAYER;
    struct cli_command command;
    struct cli_error error;

    while (strcmp(argv[0], norm_texts[kind].name) != 0)
        kind++;
    command = (struct cli_command){
        .name = norm_texts[kind].name,
        .summary = norm_texts[kind].summary,
        .notes = norm_texts[kind].notes,
        .operand_name = "INPUT",
        .operand = &o->input,
        .options = options,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].commands & 1u << kind)
            options[command.option_count++] = all[i].option;
    }
    *o = (struct norm_options){
        .kind = kind,
        .axis = -1,
        .eps = ANYNORM_EPS_DEFAULT,
        .block_bytes = 64 << 20,
    };
    if (!cli_parse(&command, argc, argv, exit_status))
        return false;
    o->dtype = dtype_values[words.dtype];
    o->output_dtype = dtype_values[words.output_dtype];
    o->eps_outside = words.eps_mode == 1;
    o->silu = words.activation == 1;
    o->channels_last = words.layout == 1;
    if (!check_together(o, &words, &error)) {
        *exit_status = cli_error_print(&error);
        return false;
    }
    if (words.quantize_given) {
        o->output_dtype = code_values[words.quantize];
        o->output_dtype_given = true;
    }
    return true;
}
