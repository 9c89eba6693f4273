#include "norm_text.h"

#define ROWS_FORMULA                                                                               \
    "In full: h = x + pre-bias + gate * residual, n = (h - mean) * rstd,\n"                        \
    "y = activation((n * (weight + V) + bias) * (1 + scale) + shift).\n"

#define CHANNELS_FORMULA                                                                           \
    "In full: h = x + pre-bias + residual, n = (h - mean) * rstd,\n"                               \
    "y = activation(n * (weight + V) + bias).\n"

#define FILES                                                                                      \
    "x is INPUT; the result has its shape, in C order. INPUT and every FILE that is read is\n"     \
    "a npy file, versions 1.0 to 3.0, f2 f4 f8 of either byte order, C or Fortran order, or\n"     \
    "FILE.safetensors:NAME, the tensor NAME of a safetensors file, F16 BF16 F32 F64. numpy\n"      \
    "has no bf16, so a npy file has it as u2, i2 or V2 (with --dtype bf16), and it is\n"           \
    "written as u2. Each file may have a type of its own.\n"

#define ROWS                                                                                       \
    "FILE of --weight, --bias and --pre-bias has the shape of the normalized axes, or is\n"        \
    "one axis of as many elements. That of --gate, --scale and --shift is (samples,\n"             \
    "columns): of R rows, R / samples consecutive ones share a sample. Residual and sum\n"         \
    "have the shape of x, statistics (mean and rstd) that of the axes before N.\n"

#define CHANNELS                                                                                   \
    "x is (batch, channels, ...), or (batch, ..., channels) with --layout nhwc; a row is a\n"      \
    "group of channels with all its pixels. With nhwc a pixel is printed as a line, not a row.\n"  \
    "FILE of --weight, --bias and --pre-bias is (channels,). Residual and sum have the shape\n"    \
    "of x, statistics (mean and rstd) the shape (batch, groups).\n"

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
