#include "layer_norm.h"

#include "options.h"

static const char notes[] =
    "x is INPUT; the result has its shape and type, in C order. INPUT and every FILE that is read\n"
    "is a npy file, versions 1.0 to 3.0, f2 f4 f8 of either byte order, C or Fortran order, or\n"
    "FILE.safetensors:NAME, the tensor NAME of a safetensors file, F16 BF16 F32 F64. numpy has no\n"
    "bf16, so a npy file has it as u2, i2 or V2 (with --dtype bf16), and it is written as u2.\n"
    "FILE of --weight and --bias has the shape of the normalized axes, or is one axis of as many\n"
    "elements; its type may differ from that of x.\n"
    "Without -o the result is printed, shortened; without shortening numpy.loadtxt can read it.\n"
    "--stats: mean and rstd are the device's, the variance is computed on the host in double.\n"
    "An output file appears complete or not at all, and may replace INPUT.\n";

bool layer_norm_options(int argc, char **argv, struct layer_norm_options *o, int *exit_status)
{
    static const char *const dtypes[] = {"bf16", "f16", "f32", "f64", NULL};
    static const anynorm_dtype dtype_values[] = {ANYNORM_BF16, ANYNORM_F16, ANYNORM_F32,
                                                 ANYNORM_F64};
    size_t dtype = 0;
    const struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "FILE",
         "write the result to FILE, a npy file (default: print it)", .text = &o->output},
        {"axis", 0, CLI_INTEGER, "N",
         "normalize over axes N to the last; negative: from the end (default -1)",
         .integer = &o->axis, .least = -ANYNORM_MAX_RANK, .most = ANYNORM_MAX_RANK - 1},
        {"weight", 0, CLI_TEXT, "FILE", "multiply by it after normalizing (gamma)",
         .text = &o->weight},
        {"bias", 0, CLI_TEXT, "FILE", "add it last (beta)", .text = &o->bias},
        {"eps", 0, CLI_NUMBER, "E", "added to the variance inside the root (default 1e-5)",
         .number = &o->eps},
        {"mean-output", 0, CLI_TEXT, "FILE",
         "write each row's mean, f4 of the shape of the axes before N", .text = &o->mean_output},
        {"rstd-output", 0, CLI_TEXT, "FILE", "write each row's 1/sqrt(variance + eps), likewise",
         .text = &o->rstd_output},
        {"stats", 0, CLI_FLAG, NULL, "print a table of each row's mean, variance and rstd",
         .flag = &o->stats},
        {"dtype", 0, CLI_CHOICE, "TYPE",
         "bf16: 2-byte files are bf16; f16, f32, f64: demand this type of x", .choice = &dtype,
         .choices = dtypes, .given = &o->dtype_given},
        {"device", 0, CLI_TEXT, "NAME",
         "opencl, opencl:0, opencl:TEXT, reference (default: $ANYNORM_DEVICE or best)",
         .text = &o->device},
        {"block-bytes", 0, CLI_INTEGER, "N",
         "bytes of x normalized at a time, one row at least (default 67108864)",
         .integer = &o->block_bytes, .least = 1, .most = INT64_MAX},
        {"timing", 0, CLI_FLAG, NULL, "tell on stderr what was used and how fast it was",
         .flag = &o->timing},
    };
    const struct cli_command command = {
        .name = "layer-norm",
        .summary = "Layer normalization: y = (x - mean) / sqrt(variance + eps) * weight + bias.",
        .notes = notes,
        .operand_name = "INPUT",
        .operand = &o->input,
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    struct cli_error error;

    *o = (struct layer_norm_options){
        .axis = -1,
        .eps = ANYNORM_EPS_DEFAULT,
        .block_bytes = 64 << 20,
    };
    if (!cli_parse(&command, argc, argv, exit_status))
        return false;
    o->dtype = dtype_values[dtype];
    if (o->eps < 0.0) {
        cli_fail(&error, CLI_USAGE, "--eps", "%g is negative; give 0 or more", o->eps);
        *exit_status = cli_error_print(&error);
        return false;
    }
    return true;
}
