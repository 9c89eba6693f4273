/* One run of anynorm layer-norm, rms-norm, group-norm, instance-norm or batch-norm, and what it
 * holds. */
#ifndef ANYNORM_CLI_NORM_H
#define ANYNORM_CLI_NORM_H

#include "common/cli.h"
#include "files/output.h"
#include "files/tensor_file.h"

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum norm_kind { NORM_LAYER, NORM_RMS, NORM_GROUP, NORM_INSTANCE, NORM_BATCH, NORM_KINDS };

/* The tensors beside x, read and written. */
enum norm_input_name {
    IN_WEIGHT,
    IN_BIAS,
    IN_PRE_BIAS,
    IN_GATE,
    IN_SCALE,
    IN_SHIFT,
    IN_MEAN,
    IN_RSTD,
    IN_RUNNING_MEAN, /* of batch-norm; so all that is called running */
    IN_RUNNING_VARIANCE,
    IN_RESIDUAL,
    IN_DY, /* of --backward, which it makes of the run */
    IN_DSUM,
    INPUTS
};

enum norm_output_name {
    OUT_Y,
    OUT_SUM,
    OUT_MEAN,
    OUT_RSTD,
    OUT_Y_SCALE,
    OUT_RUNNING_MEAN,
    OUT_RUNNING_VARIANCE,
    OUT_DX, /* -o with --backward, which has no y */
    OUT_DRESIDUAL,
    OUT_DWEIGHT,
    OUT_DBIAS,
    OUT_DPRE_BIAS,
    OUT_DGATE,
    OUT_DSCALE,
    OUT_DSHIFT,
    OUTPUTS
};

/* ---- The arguments ---- */

/* Whose way to update running statistics. */
enum norm_convention { BY_PYTORCH, BY_ONNX, BY_KERAS, CONVENTIONS };

struct norm_options {
    enum norm_kind kind;
    const char *x;
    const char *inputs[INPUTS];   /* paths; NULL: not given */
    const char *outputs[OUTPUTS]; /* likewise */
    const char *device;
    int64_t axis;   /* of layer-norm and rms-norm */
    int64_t groups; /* of group-norm */
    int64_t correction;
    int64_t block_bytes;
    double eps;
    double weight_offset;
    double quantize_scale; /* 0: none was given */
    double quantize_bound; /* likewise */
    size_t eps_mode;       /* 1: outside, 2: floor */
    size_t activation;     /* 1: silu */
    double momentum;       /* the convention's own where none is given */
    size_t layout;         /* of norms of channels; 1: nhwc */
    size_t convention;     /* an enum norm_convention */
    size_t shard;          /* of anynorm-mpi; 1: columns */
    anynorm_dtype dtype;
    anynorm_dtype output_dtype; /* --quantize sets it, too */
    anynorm_dtype gradient_dtype;
    bool dtype_given;          /* else dtype is void */
    bool output_dtype_given;   /* likewise */
    bool gradient_dtype_given; /* likewise */
    bool block_bytes_given;
    bool l2; /* of rms-norm */
    bool round_first;
    bool training; /* of batch-norm: the statistics are the batch's */
    bool stats;
    bool timing;
};

/* Parses the arguments; argv[0] is the command; `ranks`: those that anynorm-mpi alone has, too.
 * False: return *exit_status, as the help or the error has been printed. */
bool norm_options_parse(bool ranks, int argc, char **argv, struct norm_options *options,
                        int *exit_status);

/* Whether gradients are found, and no norm. */
static inline bool norm_is_backward(const struct norm_options *options)
{
    return options->inputs[IN_DY];
}

/* Whether statistics that are given change with x, as they are those that the norm whose gradients
 * are found has written. Else they are constants. */
static inline bool norm_is_saved(const struct norm_options *options)
{
    return norm_is_backward(options) && (options->kind != NORM_BATCH || options->training);
}

/* Whether rows cannot be taken block by block: those of batch-norm interleave. */
static inline bool norm_is_whole(const struct norm_options *options)
{
    return options->kind == NORM_BATCH;
}

/* Refuses outputs of the norm beside --backward, gradients without it, and gradients of tensors
 * that are not given. */
bool norm_outputs_check(const struct norm_options *options);

/* ---- The shape of x ---- */

struct shape_of {
    uint32_t rank;
    uint64_t sizes[TENSOR_MAX_RANK];
};

/* How a norm takes a tensor apart into rows, and what shapes its other tensors then have. */
struct norm_shape {
    uint64_t rows;
    uint32_t channel_axis;      /* of x; 0: rows are its last axes */
    uint64_t groups;            /* of the channels; else 1 */
    uint64_t line;              /* elements of a line of print, as they lie in memory */
    struct shape_of statistics; /* `rows` elements */
    struct shape_of parameters;
};

/* ---- The run ---- */

struct norm_input {
    struct tensor_file file; /* path NULL: not given */
    anynorm_dtype type;      /* as which its elements are read */
    /* All that there is of it: parameters of one row, or of all channels; samples [samples]
     * [columns]; statistics [rows]. NULL: it is read, as x is, for each block of rows. */
    void *data;
};

/* Which of many rows or columns are printed: all, or the first and last few. */
struct shown {
    uint64_t total;
    uint64_t edge; /* how many at either end; 0: all are shown */
};

/* Numbers that are collected from the blocks as they pass, and then printed. */
struct print {
    struct shown rows;
    struct shown columns;
    double *values; /* [shown rows][shown columns]; NULL: not wanted */
};

/* The part that one of several processes has in a run: anynorm-mpi's. */
struct norm_share {
    uint64_t first, end; /* its rows, where a run may be divided: see norm_divide */
    void *context;
    /* Writes to the file of an output, from byte `at` on. */
    bool (*write)(void *context, enum norm_output_name output, uint64_t at, const void *data,
                  size_t bytes);
    /* How many of its rows are done. */
    void (*progress)(void *context, uint64_t done);
    /* Where there are sums over all rows, called once by each process, also by one that has failed
     * (not `done`): when all its rows are summed up in the workspace, but for a block of the last
     * rows, whose process then writes what it has of all others in its workspace, too. Whether all
     * have done well. */
    bool (*merge)(void *context, bool done, void *workspace);
};

struct norm {
    struct norm_options options;
    const struct norm_share *share; /* NULL: there is one process */
    struct tensor_file x;
    struct norm_shape shape;
    struct norm_input inputs[INPUTS];
    bool own_parameters;            /* each row has its own: those are not in memory */
    anynorm_spec spec;              /* sample_rows of 1: samples are not in memory, either */
    uint64_t block_rows;            /* normalized at a time; of gradients about */
    uint64_t largest_block;         /* the rows of it, known once there is a plan */
    float y_scale;                  /* with ANYNORM_Y_SCALE_INPUT */
    struct output outputs[OUTPUTS]; /* path NULL: not wanted */
    size_t heads[OUTPUTS];          /* bytes of a file ahead of its numbers */
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_plan *batch;  /* of partials, which running statistics are updated by; or NULL */
    double seconds;       /* in anynorm_run, with --timing */
    struct print preview; /* y, or dx */
    struct print stats;   /* mean, variance or what takes its place, and rstd of each row */
};

/* Finds the shape from that of x and the options, and what the spec says of where rows lie and
 * which parameters they take. */
bool norm_shape_find(struct norm *work);

/* Tensors of one shape. */
enum norm_family { PARAMETER, SAMPLE, STATISTIC, RUNNING, RESIDUAL, WHOLE };

/* Sets the order in which a tensor beside x is read, or refuses its shape. All take what numpy
 * broadcasts to the shape of x, if the norm can be had, and:
 *
 * a parameter   one axis of the columns, or of the channels or groups of channels
 * a sample      (samples, columns), where consecutive rows share a sample; and the normalized axes
 *               for the columns
 * a statistic   the shape of the axes before the normalized ones, or one axis of all rows; so a
 *               running one, whose type is that of its file
 *
 * but a whole one, which has the shape of x: where there is a gradient for each element, numpy's
 * rule would make one number count for many.
 *
 * They are read as the elements of x; a parameter of images as the channels, a statistic as the
 * rows. */
bool norm_fit(struct norm *work, enum norm_family family, struct tensor_file *tensor,
              const char *option);

/* Opens all that the options name, holds the shapes against that of x, and loads what is small.
 * Parameters, which share a type, all become f64 if they come in two and one is f64, else f32,
 * exactly; statistics become f32. Refuses tensors of which a gradient is wanted that would be
 * summed over more than the library sums over: those that are stretched to the shape of what it
 * takes. */
bool norm_inputs_read(struct norm *work);

/* Whether it has an element for each of x. */
bool norm_input_is_as_x(enum norm_input_name input);
bool norm_output_is_as_x(enum norm_output_name output);

/* What the options, the shape and the types of the inputs come to: the spec, and the rows of a
 * block of about --block-bytes of x: as many as must go together, at least. Those are all where
 * norm_is_whole, and where each row has parameters of its own and there are gradients. */
void norm_spec_find(struct norm *work);

/* In this order. Creating writes the heads of the files, writing puts `rows` rows from row `first`
 * on behind the rows ahead of them, and after the last what is summed over rows. */
bool norm_outputs_prepare(struct norm *work);
bool norm_outputs_create(struct norm *work);
bool norm_outputs_write(struct norm *work, void *const data[OUTPUTS], uint64_t first,
                        uint64_t rows);
bool norm_sums_write(struct norm *work, void *const data[OUTPUTS]);
bool norm_outputs_close(struct norm *work);
bool norm_outputs_commit(struct norm *work);

/* Elements of an output for `rows` rows, or of all that is summed over rows, 0 where the spec has
 * no such output; where in these a block from row `first` on begins; and their type. */
uint64_t norm_output_count(const struct norm *work, enum norm_output_name output, uint64_t rows);
uint64_t norm_output_start(const struct norm *work, enum norm_output_name output, uint64_t first);
anynorm_dtype norm_output_type(const struct norm *work, enum norm_output_name output);

/* Lowers *row to the nearest at which the run may be divided among processes: 0, if there is none.
 * There must be a plan. */
void norm_divide(const struct norm *work, uint64_t *row);

/* How many rows, of the block's at most, go next where `first` are done: samples are not cut, or
 * a block lies within one. */
uint64_t norm_next_rows(const struct norm *work, uint64_t first);

/* Normalizes all rows, or those of the share, block by block, into the outputs (created, their
 * heads written) and what is to be printed. */
bool norm_blocks(struct norm *work);

/* Where running statistics are given to be used, makes mean and rstd of them. Where they are to be
 * updated, the plan that finds the batch's, and what comes of these in `outputs`. */
bool norm_running_use(struct norm *work);
anynorm_status norm_running_plan(struct norm *work);
bool norm_running_update(const struct norm *work, const anynorm_host_tensors *tensors,
                         void *const outputs[OUTPUTS]);

/* What goes to stdout, as far as it is wanted: prepared, taken from `count` rows from row `first`
 * on, with which the tensors begin, and printed. */
bool norm_print_init(struct norm *work);
void norm_print_take(struct norm *work, const anynorm_host_tensors *tensors, uint64_t first,
                     uint64_t count);
void norm_print(const struct norm *work);

/* ---- From the arguments to the plan, and the end ---- */

/* With the options parsed: opens and checks what is read, and finds what is computed. */
bool norm_find(struct norm *work);

/* Opens the device and makes the plan. */
bool norm_plan_make(struct norm *work);

/* Bytes that go through a device for an element of x, with those of other tensors for it. */
size_t norm_element_bytes(const struct norm *work);

/* Ends it at any point: outputs that were not committed are gone. */
void norm_free(struct norm *work);

#endif
