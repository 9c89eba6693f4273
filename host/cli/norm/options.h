/* The arguments of anynorm layer-norm, rms-norm, group-norm and instance-norm. */
#ifndef ANYNORM_CLI_NORM_OPTIONS_H
#define ANYNORM_CLI_NORM_OPTIONS_H

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum norm_kind { NORM_LAYER, NORM_RMS, NORM_GROUP, NORM_INSTANCE, NORM_KINDS };

struct norm_options {
    enum norm_kind kind;
    const char *input;
    const char *output;
    const char *sum_output;
    const char *mean_output;
    const char *rstd_output;
    const char *scale_output;
    const char *weight;
    const char *bias;
    const char *pre_bias;
    const char *residual;
    const char *gate;
    const char *scale;
    const char *shift;
    const char *mean;
    const char *rstd;
    const char *device;
    int64_t axis;   /* of layer-norm and rms-norm */
    int64_t groups; /* of group-norm */
    int64_t correction;
    int64_t block_bytes;
    double eps;
    double weight_offset;
    double quantize_scale; /* 0: none was given */
    double quantize_bound; /* likewise */
    anynorm_dtype dtype;
    anynorm_dtype output_dtype; /* --quantize sets it, too */
    bool dtype_given;           /* else dtype is void */
    bool output_dtype_given;    /* likewise */
    bool eps_outside;
    bool l2; /* of rms-norm */
    bool silu;
    bool channels_last; /* of group-norm and instance-norm */
    bool round_first;
    bool stats;
    bool timing;
};

/* Parses the arguments; argv[0] is the command. False: return *exit_status, as the help or the
 * error has been printed. */
bool norm_options_parse(int argc, char **argv, struct norm_options *options, int *exit_status);

#endif
