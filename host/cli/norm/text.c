#include "text.h"

#define ROWS_FORMULA                                                                               \
    "In full: h = x + pre-bias + gate * residual, n = (h - mean) * rstd,\n"                        \
    "y = activation((n * (weight + V) + bias) * (1 + scale) + shift).\n"

#define CHANNELS_FORMULA                                                                           \
    "In full: h = x + pre-bias + residual, n = (h - mean) * rstd,\n"                               \
    "y = activation(n * (weight + V) + bias).\n"

#define FILES                                                                                      \
    "x is INPUT; the result has its shape, in C order. INPUT and every FILE that is read is\n"     \
    "a npy file, versions 1.0 to 3.0, f2 f4 f8 of either byte order, C or Fortran order, or\n"     \
    "FILE.safetensors:NAME, the tensor NAME of a safetensors file, F16 BF16 F32 F64. Each file\n"  \
    "may have a type of its own. numpy has no bf16, so a npy file has it as V2, or as u2 or i2\n"  \
    "where that is said: FILE.npy:bf16 says it of one file, --dtype bf16 or an x of bf16 of "      \
    "all.\n"                                                                                       \
    "It is written as u2. FILE.npy:f16, :f32 and :f64 demand these types.\n"

#define ROWS                                                                                       \
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

#define CHANNELS                                                                                   \
    "x is (batch, channels, ...), or (batch, ..., channels) with --layout nhwc; a row is a\n"      \
    "group of channels with all its pixels. With nhwc a pixel is printed as a line, not a row.\n"  \
    "FILE of --weight, --bias and --pre-bias is (channels,), or (groups,), or what numpy\n"        \
    "broadcasts to the shape of x with one number for a channel; that of --residual any that it\n" \
    "broadcasts. Sum has the shape of x, statistics (mean and rstd) the shape (batch, groups);\n"  \
    "those that are given may also be one axis of all, or be broadcast, one number for a group.\n"

#define QUANTIZED                                                                                  \
    "--quantize rounds to nearest even and saturates: int8 is written as i1, -128 to 127, and\n"   \
    "fp8-e4m3 (of the OCP specification, up to 448), which numpy has not, as u1, its bits. The\n"  \
    "result is about the numbers written (or printed) times their row's scale. The scale of a\n"   \
    "row of zeros is 0.\n"

#define OUTPUT                                                                                     \
    "Without -o the result is printed, shortened; without shortening numpy.loadtxt can read it.\n" \
    "--stats: mean and rstd are the device's, the variance is computed on the host in double.\n"   \
    "An output file appears complete or not at all, and may replace INPUT.\n"

const struct norm_text norm_texts[NORM_KINDS] = {
    [NORM_LAYER] =
        {
            "layer-norm",
            "Layer normalization: y = (x - mean) / sqrt(variance + eps) * weight + bias.",
            ROWS_FORMULA FILES ROWS QUANTIZED OUTPUT,
        },
    [NORM_RMS] =
        {
            "rms-norm",
            "RMS normalization: y = x / sqrt(mean of x^2 + eps) * weight + bias (--l2: sum of "
            "x^2).",
            ROWS_FORMULA FILES ROWS QUANTIZED OUTPUT,
        },
    [NORM_GROUP] =
        {
            "group-norm",
            "Group normalization: layer normalization of each group of channels.",
            CHANNELS_FORMULA FILES CHANNELS QUANTIZED OUTPUT,
        },
    [NORM_INSTANCE] =
        {
            "instance-norm",
            "Instance normalization: layer normalization of each channel.",
            CHANNELS_FORMULA FILES CHANNELS QUANTIZED OUTPUT,
        },
};
