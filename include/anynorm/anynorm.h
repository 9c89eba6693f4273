/* anynorm: layer normalization on any vendor's GPU or CPU.
 *
 * THE WAY THROUGH
 *
 *     anynorm_device_open -> anynorm_plan_create -> anynorm_enqueue -> anynorm_event_wait
 *
 * A device is opened once, a plan is compiled once per normalization, and from then on every
 * anynorm_enqueue costs what launching a bare kernel costs. anynorm_run does the last two steps on
 * host pointers and returns when the result is there. A program that has its own OpenCL context,
 * queue and buffers hands them over through <anynorm/opencl.h>; one that has its own Vulkan device
 * through <anynorm/vulkan.h>, and records norms into its own command buffers.
 *
 * WHAT IS COMPUTED, for each row r of D columns; what is in brackets only where the spec names it
 *
 *     h_rc   = x_rc [+ pre_bias_k] [+ [gate_bc *] residual_rc]
 *     mean_r = (1/D) sum_c h_rc                             0 with ANYNORM_RMS
 *     var_r  = (1/D) sum_c (h_rc - mean_r)^2                over D - 1 with ANYNORM_UNBIASED, the
 *                                                           plain sum with ANYNORM_L2
 *     rstd_r = 1 / sqrt(var_r + eps)                        1 / (sqrt(var_r) + eps) with
 *                                                           ANYNORM_EPS_OUTSIDE, and
 *                                                           1 / max(sqrt(var_r), eps) with
 *                                                           ANYNORM_EPS_FLOOR; 0 for 1 / 0
 *     n_rc   = (h_rc - mean_r) * rstd_r
 *     z_rc   = n_rc [* (weight_k + weight_offset)] [+ bias_k]
 *     y_rc   = z_rc [* (1 + scale_bc)] [+ shift_bc]         then z * sigmoid(z) with ANYNORM_SILU
 *     q_rc   = y_rc / y_scale, rounded to y.type            instead of y, where y.type is i8 or
 *                                                           f8e4m3: see Quantized outputs
 *
 * A row whose columns lie in several shards (devices, processes) is normalized by two plans and the
 * caller's own communication between them: ANYNORM_PARTIALS_OUTPUT stops at the mean and the sum of
 * squares of a shard's columns, ANYNORM_PARTIALS_INPUT goes on from those of all shards.
 *
 * And the mirror of all that, the gradient, by a plan of the same spec that says which of it is
 * wanted (anynorm_gradients): from dy, what a loss changes by with y, to dx and to those of all
 * other tensors. See Gradients.
 *
 * k is the parameter of column c in row r, b = r / sample_rows the sample of the row. So LayerNorm
 * (Ba, Kiros, Hinton: arXiv:1607.06450; ONNX LayerNormalization-17, PyTorch's layer_norm), RMSNorm
 * (Zhang, Sennrich: arXiv:1910.07467), the norms fused with a residual of pre-norm and post-norm
 * transformers, the adaptive LayerNorm of diffusion transformers (Peebles, Xie: arXiv:2212.09748),
 * GroupNorm (Wu, He: arXiv:1803.08494) and InstanceNorm are values of one structure.
 *
 * RULES THAT HOLD FOR EVERY FUNCTION HERE
 *  - Shapes and strides count elements, offsets and sizes count bytes.
 *  - A function that can fail returns anynorm_status; anything but ANYNORM_OK leaves every output
 *    argument and all tensor memory as they were, unless the function says otherwise, and puts a
 *    sentence for a person into anynorm_message().
 *  - A structure argument is read during the call only. Structures are values: set every field, or
 *    start from zero (`anynorm_spec spec = {0}`); a field left zero means its documented default.
 *  - Handles passed where NULL is not documented as allowed must not be NULL: that is
 *    ANYNORM_INVALID_ARGUMENT. Destroying or releasing NULL, or a zeroed structure, does nothing.
 *  - The library never prints, aborts or exits, and installs no signal handler.
 *
 * ENVIRONMENT, read when a device is listed or opened, or a plan is created
 *     ANYNORM_DEVICE    the device anynorm_device_open(NULL) opens
 *     ANYNORM_CAPS      pretend a weaker device: comma-separated no-fp64, no-fp16, no-subgroup,
 *                       no-subgroup-size, no-unified, no-storage16, no-push-descriptors,
 *                       max-wg=N (work-items), max-local=N (bytes), max-groups=N, max-alloc=N
 *                       (bytes), max-range=N (bytes), max-buffers=N. The way out on a broken
 *                       driver: `anynorm verify` finds which of them helps.
 *     ANYNORM_QUIRKS    off: mask nothing by itself on drivers that are known to be broken, see
 *                       anynorm_device_info.quirks; on: the default
 *     ANYNORM_SCHEDULE  force one schedule: row_per_item, row_per_subgroup, row_per_group,
 *                       row_in_local, row_reread, row_split, column_walk; numbers may follow, as in
 *                       anynorm_plan_options. Does not bind the reference, which has its own.
 *     ANYNORM_CACHE     compiled programs on disk: off, on, or auto (the default), which is on but
 *                       where the implementation is known to keep its own (PoCL)
 *     ANYNORM_CACHE_DIR their folder, an absolute path; else $XDG_CACHE_HOME/anynorm, else
 *                       ~/.cache/anynorm. It must belong to the user and have mode 0700 (so it is
 *                       made); else, or where it cannot be written, there is no cache and no error.
 *                       Holds up to 64 MiB. Not used by setuid programs.
 *     ANYNORM_TUNING    the user's tuning database (see Tuning); "off": use none at all
 *     XDG_CONFIG_HOME, HOME    where that lies otherwise
 *     LOCALAPPDATA      on Windows the folder that has both, as anynorm\cache and anynorm\config
 */
#ifndef ANYNORM_ANYNORM_H
#define ANYNORM_ANYNORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* On Windows who links the static library defines ANYNORM_STATIC; our build, ANYNORM_BUILD. */
#if defined(_WIN32) && defined(ANYNORM_BUILD)
#define ANYNORM_API __declspec(dllexport)
#elif defined(_WIN32) && !defined(ANYNORM_STATIC)
#define ANYNORM_API __declspec(dllimport)
#elif defined(_WIN32)
#define ANYNORM_API
#else
#define ANYNORM_API __attribute__((visibility("default")))
#endif

#define ANYNORM_VERSION "0.3.0"

/* ---- Status ---------------------------------------------------------------------------------- */

typedef enum anynorm_status {
    ANYNORM_OK = 0,
    ANYNORM_INVALID_ARGUMENT, /* the caller's mistake; nothing was done */
    ANYNORM_UNSUPPORTED,      /* a fair request that this device or build cannot serve */
    ANYNORM_BUILD_FAILED,     /* the driver's compiler refused a kernel; the message has its log */
    ANYNORM_OUT_OF_MEMORY,    /* host or device memory, or another resource of the device */
    ANYNORM_DEVICE_LOST, /* submitted work failed or the device is gone: its outputs are void */
    ANYNORM_IO           /* a file, or a shared library, could not be read or written */
} anynorm_status;

/* The status as a word, such as "invalid argument". Never NULL; static. Any thread. */
ANYNORM_API const char *anynorm_status_name(anynorm_status status);

/* What went wrong in the most recent failing call of the calling thread, one line without a
 * newline (a build log keeps its lines, cut to 4 KiB). "" if nothing failed yet. Valid until the
 * next failing call of the same thread. A success does not clear it. */
ANYNORM_API const char *anynorm_message(void);

/* ---- Log ------------------------------------------------------------------------------------- */

typedef enum anynorm_log_level {
    ANYNORM_LOG_NONE = 0,
    ANYNORM_LOG_ERROR,
    ANYNORM_LOG_WARN, /* a choice the caller may not want, such as falling back to the CPU */
    ANYNORM_LOG_INFO, /* devices and plans as they are made */
    ANYNORM_LOG_DEBUG /* each schedule considered and why it was or was not taken; build options */
} anynorm_log_level;

/* Called with one line, without a newline; `line` is valid during the call. May be called from any
 * thread that is inside a call of this library, one call at a time. */
typedef void (*anynorm_log_callback)(void *user, anynorm_log_level level, const char *line);

/* Sends every line up to `level` to `callback`; a NULL callback (the initial state) drops all.
 * Process-wide. Any thread. The callback must not call this function. */
ANYNORM_API void anynorm_log_set(anynorm_log_callback callback, void *user,
                                 anynorm_log_level level);

/* ---- Data types ------------------------------------------------------------------------------ */

typedef enum anynorm_dtype {
    ANYNORM_F32 = 0, /* IEEE 754 binary32 */
    ANYNORM_F16,     /* IEEE 754 binary16 */
    ANYNORM_BF16,    /* the upper half of a binary32 */
    ANYNORM_F64,     /* IEEE 754 binary64; the device must have double precision */
    /* Of y only: see Quantized outputs. */
    ANYNORM_I8,    /* 8-bit integer in two's complement */
    ANYNORM_F8E4M3 /* E4M3 of the OCP 8-bit Floating Point Specification (E4M3FN elsewhere): up to
                      448, no infinities, NaN 0x7f and 0xff */
} anynorm_dtype;

/* Bytes of one element; 0 for a value that is no dtype. Any thread. */
ANYNORM_API size_t anynorm_dtype_size(anynorm_dtype type);
/* "f32", "f16", "bf16", "f64", "i8", "f8e4m3"; "?" for a value that is no dtype. Static. Any
 * thread. */
ANYNORM_API const char *anynorm_dtype_name(anynorm_dtype type);

/* Element `index` of an array of `type` at `base`, which may begin at any byte, as a double: exact.
 * And the way back, which rounds once, to nearest with ties to even; what is too large becomes an
 * infinity, and a NaN stays one. i8 and f8e4m3, which have no infinity, take what is too large to
 * their largest number (-128 or 127, -448 or 448), and i8 a NaN to 0. `type` must be a dtype and
 * `base` not NULL: nothing is checked. Any thread. */
ANYNORM_API double anynorm_dtype_load(anynorm_dtype type, const void *base, uint64_t index);
ANYNORM_API void anynorm_dtype_store(anynorm_dtype type, void *base, uint64_t index, double value);

/* ---- Device ---------------------------------------------------------------------------------- */

/* An opened device: the reference backend, an OpenCL or Vulkan device opened by us, or the caller's
 * OpenCL or Vulkan device.
 * Safe from any thread. Plans keep their device alive, so it may be closed in any order with them;
 * buffers and events do not: destroy them first. */
typedef struct anynorm_device anynorm_device;

typedef enum anynorm_device_class {
    ANYNORM_CLASS_REFERENCE = 0, /* plain C on the calling thread; always there */
    ANYNORM_CLASS_CPU,
    ANYNORM_CLASS_ACCELERATOR,
    ANYNORM_CLASS_GPU
} anynorm_device_class;

/* By whose words the work-items of a sub-group pass each other values without local memory. */
typedef enum anynorm_shuffle {
    ANYNORM_SHUFFLE_NONE = 0,
    ANYNORM_SHUFFLE_KHR,   /* cl_khr_subgroup_shuffle; Vulkan's own */
    ANYNORM_SHUFFLE_INTEL, /* cl_intel_subgroups */
    ANYNORM_SHUFFLE_PTX,   /* NVIDIA's assembly, in OpenCL C that has no sub-groups */
    ANYNORM_SHUFFLE_AMD    /* a builtin of AMD's compiler */
} anynorm_shuffle;

/* What a device is and has. A limit of 0 means "none" for memory and units that do not exist. The
 * capabilities are those left after ANYNORM_CAPS and the quirks. */
typedef struct anynorm_device_info {
    char id[32];        /* what anynorm_device_open takes: "opencl:0", "vulkan:0", "reference" */
    char name[128];     /* the device's own name */
    char vendor[128];   /* who made it, in the driver's words */
    char platform[128]; /* its OpenCL platform's, or its Vulkan driver's, name */
    char driver[256];   /* driver version */
    char version[128];  /* API version as the driver tells it */
    anynorm_device_class device_class;
    uint32_t compute_units;       /* under Vulkan a guess where no vendor's extension tells */
    uint32_t vector_width;        /* native f32 vector; 1 where work-items are the lanes */
    uint64_t max_work_group_size; /* work-items */
    uint64_t max_groups;          /* work-groups in one launch */
    uint64_t local_bytes;         /* local memory of one work-group */
    uint64_t global_bytes;
    uint64_t max_alloc_bytes; /* of one buffer */
    uint64_t max_range_bytes; /* of a buffer that one kernel reaches: larger tensors are walked in
                                 parts (Vulkan), but neither a row nor the parameters nor the
                                 partials of several shards may be larger; 0: all of it */
    uint64_t max_buffers;     /* that one kernel takes, hence tensors of a spec (Vulkan); 0: any
                                 number */
    uint64_t cache_bytes;     /* last-level cache; 0 where unknown */
    bool fp16;                /* arithmetic in half; f16 storage never needs it */
    bool fp64;
    bool storage16; /* buffers can be of 16-bit elements; else kernels take these out of words */
    bool push_descriptors;  /* a command can name its buffers itself (Vulkan); else by a descriptor
                               set */
    bool subgroup;          /* kernels can be of sub-groups */
    uint32_t subgroup_size; /* work-items of a sub-group, where kernels can count on a size; or 0 */
    uint32_t subgroup_least; /* the fewest that it makes a sub-group of; 0 where unknown */
    anynorm_shuffle shuffle; /* NONE where subgroup_size is 0 */
    bool own_local_memory;   /* local memory is memory of its own, not a part of global memory */
    bool unified_memory;     /* device and host share memory: no copies are needed */
    char quirks[512];        /* what is masked because this version of the driver is known to do it
                                wrong: words of ANYNORM_CAPS and where the fault was reported, such
                                as "no-subgroup (https://...)", several after commas; "": nothing */
    bool emulated;           /* by its name or its platform's it emulates, or simulates, a device */
    char unusable[256];      /* why it cannot be opened, where its description tells; "": nothing
                                speaks against it, though its driver may still fail to open it */
} anynorm_device_info;

/* How many devices there are, and each one's description: `index` counts from 0, the last resort
 * `reference` last. Loads libOpenCL and libvulkan the first time; without either only `reference`
 * is there. A device that both APIs reach is listed once for each, and one that cannot be opened,
 * too: see anynorm_device_info.unusable. Any thread. anynorm_device_list:
 * INVALID_ARGUMENT if index is not below the count, or for a bad ANYNORM_CAPS or ANYNORM_QUIRKS. */
ANYNORM_API size_t anynorm_device_count(void);
ANYNORM_API anynorm_status anynorm_device_list(size_t index, anynorm_device_info *info);

/* Opens a device by name:
 *   "opencl"           the best OpenCL device that can be opened
 *   "opencl:0"         by index among the OpenCL devices
 *   "opencl:pocl"      the first OpenCL device with that text, in any case, in its name, its
 *                      platform's, or its driver's part of the version ("pocl" is found there)
 *   "vulkan", "vulkan:0", "vulkan:radv"    likewise, of Vulkan's devices
 *   "reference"        the C backend: exact, slow, always there
 *   NULL or ""         $ANYNORM_DEVICE if set, else the best that can be opened
 * The best is found by these, one after the other: by class, a GPU, an accelerator, a CPU, what
 * emulates a device (anynorm_device_info.emulated: Intel's emulator of FPGAs calls itself an
 * accelerator), and, with a warning in the log, "reference"; memory of its own before the host's
 * (unified_memory); OpenCL's before Vulkan's, but after it for ARM's, Broadcom's, Imagination's and
 * Qualcomm's, and of CPUs OpenCL's with vectors, then Vulkan's, then OpenCL's that emulates a GPU;
 * more compute units; the first listed. A better device that cannot be opened is passed over, with
 * a warning in the log that says why; one that is named fails.
 * Close it with anynorm_device_close. Any thread.
 * INVALID_ARGUMENT: no such device (the message lists those there are), or a bad ANYNORM_CAPS,
 * ANYNORM_QUIRKS or ANYNORM_CACHE.
 * UNSUPPORTED: a backend this build does not have, a device older than OpenCL 1.2 or without a
 * compiler, or one older than Vulkan 1.1 or without a queue that computes. OUT_OF_MEMORY,
 * DEVICE_LOST: the driver's word; the latter also of a device that it says is not available.
 */
ANYNORM_API anynorm_status anynorm_device_open(const char *name, anynorm_device **device);
ANYNORM_API void anynorm_device_close(anynorm_device *device);

/* INVALID_ARGUMENT only. Any thread. */
ANYNORM_API anynorm_status anynorm_device_describe(const anynorm_device *device,
                                                   anynorm_device_info *info);

/* ---- Buffer ---------------------------------------------------------------------------------- */

/* Device memory and the byte where a tensor begins in it. A value: copy it freely, set `offset` at
 * will; several copies may name parts of one memory. All zero = no tensor. The other fields belong
 * to the function that made it. It owns nothing unless anynorm_buffer_create made it. */
typedef struct anynorm_buffer {
    uint64_t offset;      /* bytes from the start of the memory to the tensor's first element */
    uint64_t bytes;       /* size of the memory, counted from its start, not from `offset` */
    void *handle;         /* the API's handle: a host pointer, cl_mem, SVM pointer or VkBuffer; or
                             ours */
    void *root;           /* what the memory is part of (a sub-buffer's parent), to find overlaps */
    uint64_t root_offset; /* bytes from the root's start to this memory's */
    const void *owner;    /* the context, or VkDevice, that the memory belongs to */
    uint32_t kind;        /* 0: no tensor */
} anynorm_buffer;

/* Allocates `bytes` (1 or more) of device memory, its contents undefined; offset 0. Destroy it with
 * anynorm_buffer_destroy after the last event that uses it was waited for, before the device is
 * closed. Any thread.
 * INVALID_ARGUMENT, OUT_OF_MEMORY (also when larger than the device's largest allocation). */
ANYNORM_API anynorm_status anynorm_buffer_create(anynorm_device *device, uint64_t bytes,
                                                 anynorm_buffer *buffer);
/* Frees what anynorm_buffer_create made and zeroes *buffer; copies of it are void from then on. */
ANYNORM_API void anynorm_buffer_destroy(anynorm_device *device, anynorm_buffer *buffer);

/* Copies `bytes` between host memory and the buffer at its offset, on the device's own queue (so
 * after everything enqueued there before), and returns when done. Any thread.
 * INVALID_ARGUMENT: past the buffer's end. OUT_OF_MEMORY, DEVICE_LOST: after a failed read the host
 * memory is undefined. A read does not tell whether the kernels before it succeeded: their events
 * do. */
ANYNORM_API anynorm_status anynorm_buffer_write(anynorm_device *device,
                                                const anynorm_buffer *buffer, const void *host,
                                                uint64_t bytes);
ANYNORM_API anynorm_status anynorm_buffer_read(anynorm_device *device, const anynorm_buffer *buffer,
                                               void *host, uint64_t bytes);

/* ---- Spec ------------------------------------------------------------------------------------ */

enum {
    ANYNORM_WEIGHT = 1u << 0,        /* multiply by weight[columns] */
    ANYNORM_BIAS = 1u << 1,          /* add bias[columns] */
    ANYNORM_MEAN_OUTPUT = 1u << 2,   /* write mean[rows], f32 */
    ANYNORM_RSTD_OUTPUT = 1u << 3,   /* write rstd[rows], f32 */
    ANYNORM_ANY_ALIGNMENT = 1u << 4, /* tensors may begin at any byte (a packed file, say). Without
                                        it an element must lie on a multiple of its size, counted
                                        from the start of the memory; with it loads go byte-wise,
                                        same bits, slower. */

    /* The statistic. */
    ANYNORM_RMS = 1u << 5,         /* the mean is 0; it is neither an output nor an input */
    ANYNORM_L2 = 1u << 6,          /* with RMS: no division by the columns, so y is h over the root
                                      of the row's sum of squares plus eps */
    ANYNORM_UNBIASED = 1u << 7,    /* Bessel's correction, columns - 1 for columns; 2 or more; not
                                      with RMS */
    ANYNORM_EPS_OUTSIDE = 1u << 8, /* eps is added to the deviation instead of the variance */
    ANYNORM_EPS_FLOOR = 1u << 24,  /* eps is the least that the deviation counts as; with L2,
                                      PyTorch's normalize and ggml's l2_norm. Not EPS_OUTSIDE */
    ANYNORM_MEAN_INPUT = 1u << 9,  /* mean[rows], f32, is read instead of found; with RSTD_INPUT,
                                      and not with RMS */
    ANYNORM_RSTD_INPUT = 1u << 10, /* rstd[rows], f32, is read instead of found: one pass; eps,
                                      UNBIASED, L2, EPS_OUTSIDE and EPS_FLOOR must then be
                                      0 */

    /* What is normalized. */
    ANYNORM_RESIDUAL = 1u << 11,   /* add residual[rows][columns] to x */
    ANYNORM_GATE = 1u << 12,       /* multiply it by gate[samples][columns] first */
    ANYNORM_PRE_BIAS = 1u << 13,   /* add pre_bias to x, which has the shape of bias */
    ANYNORM_SUM_OUTPUT = 1u << 14, /* write h to sum[rows][columns], rounded to sum.type */
    ANYNORM_STORED_SUM = 1u << 15, /* normalize h as rounded to sum.type, whether or not it is
                                      written, instead of as it was added up */

    /* What becomes of it. */
    ANYNORM_ROUND_FIRST = 1u << 16, /* round n to x.type before the weight (as the code of LLaMA
                                       does), instead of only y to y.type */
    ANYNORM_SCALE = 1u << 17,       /* multiply by 1 + scale[samples][columns] */
    ANYNORM_SHIFT = 1u << 18,       /* add shift[samples][columns] */
    ANYNORM_SILU = 1u << 19,        /* z * sigmoid(z) at the very end */

    /* How it is quantized, where y.type is i8 or f8e4m3; neither: y_scale is 1. */
    ANYNORM_Y_SCALE_INPUT = 1u << 20,  /* y_scale is given: one f32 for all rows */
    ANYNORM_Y_SCALE_OUTPUT = 1u << 21, /* y_scale[rows], f32, is found from each row and written */

    /* The statistic of a row that lies in several shards: see anynorm_spec.statistic.shards. */
    ANYNORM_PARTIALS_OUTPUT = 1u << 22, /* write partials[rows][3] and no y at all */
    ANYNORM_PARTIALS_INPUT = 1u << 23,  /* merge partials[shards][rows][3]; then one pass, as with
                                           RSTD_INPUT */
};

/* The epsilon of ONNX and PyTorch. A spec's own zero means zero. */
#define ANYNORM_EPS_DEFAULT 1e-5

/* How the rows of one tensor lie. Rows must not overlap in y and sum: their strides must nest, so
 * that, in some order, each is as much as all closer ones span together. Rows that interleave
 * without nesting are refused, too. */
typedef struct anynorm_rows {
    anynorm_dtype type;     /* of storage */
    uint64_t row_stride;    /* 0: what a row spans, columns / column_run * column_stride, which is
                               columns where they lie side by side; or column_run where another row
                               fits between runs, so that column_stride is twice that or more.
                               Neither row nor outer stride may lead from a column of a row to
                               another: with columns side by side, it is columns or more */
    uint64_t outer_stride;  /* 0: inner_rows * row_stride, or what a row spans where rows fit
                               between. Of gate, scale and shift, which have one level, it is 0 */
    uint64_t column_stride; /* 0: column_run, the columns of a row side by side; no less */
} anynorm_rows;

/* Weight, bias and pre_bias, and which of their numbers a column takes. */
typedef struct anynorm_parameters {
    anynorm_dtype type;
    uint64_t rows;  /* they have so many rows, of which row r of x takes the one of number r % rows:
                       heads, or groups of channels. 0: 1 */
    uint64_t run;   /* consecutive columns that share a parameter: the pixels of a channel. Must
                       divide the columns, so that a row of parameters has columns / run elements.
                       0: 1 */
    uint64_t cycle; /* columns after which a row's parameters come again: the channels of a group,
                       pixel by pixel. Column c has the parameter of number c % cycle / run, and a
                       row of parameters cycle / run elements. Must divide the columns, and run must
                       divide it. 0: columns */
    double weight_offset; /* finite; 1 for weights that are stored about zero. With WEIGHT only */
} anynorm_parameters;

/* How mean and rstd are found, beside what the flags say. */
typedef struct anynorm_statistic {
    double eps;      /* finite, >= 0; added to the variance inside the root, unless a flag says
                        otherwise: see Eps */
    uint64_t shards; /* what partials has of each row, with PARTIALS_INPUT; 0: 1 */
} anynorm_statistic;

/* How y is quantized, beside its type and what the flags say. */
typedef struct anynorm_quantization {
    double bound; /* finite, 2^-100 or more; with Y_SCALE_OUTPUT, the most that the magnitudes of a
                     row can make its scale of: those above it saturate. 0: no bound */
} anynorm_quantization;

enum {
    /* Outputs: what the loss changes by with each of these; f32 unless another type is said. */
    ANYNORM_DX = 1u << 0,        /* x, and residual where there is no gate */
    ANYNORM_DRESIDUAL = 1u << 1, /* residual, where there is a gate; without one it is dx */
    ANYNORM_DWEIGHT = 1u << 2,
    ANYNORM_DBIAS = 1u << 3,
    ANYNORM_DPRE_BIAS = 1u << 4,
    ANYNORM_DGATE = 1u << 5,
    ANYNORM_DSCALE = 1u << 6,
    ANYNORM_DSHIFT = 1u << 7,

    /* What else is given. */
    ANYNORM_DSUM = 1u << 8,      /* dsum[rows][columns], what the loss changes by with sum: the
                                    gradient of the residual stream, which is added to that of h */
    ANYNORM_SAVED_SUM = 1u << 9, /* h is read from sum, where the forward pass wrote it, and not
                                    made of x, pre_bias, gate and residual again */

    /* How it is written. */
    ANYNORM_ACCUMULATE = 1u << 10, /* what is summed over rows (all but dx and dresidual) is added
                                      to what is there already, instead of being written over it */

    /* Of a row that lies in several shards: see Gradients. */
    ANYNORM_DPARTIALS_OUTPUT = 1u << 11, /* write partials[rows][3] and nothing else */
    ANYNORM_DPARTIALS_INPUT = 1u << 12,  /* merge partials[shards][rows][3] */
};

/* Which gradients a plan finds; all zero: none, it is the forward pass. */
typedef struct anynorm_gradients {
    uint32_t flags;           /* ANYNORM_DX | ... */
    anynorm_rows dx;          /* as x's; all zero without DX */
    anynorm_rows dresidual;   /* likewise. dy has the type and strides of y, dsum those of sum */
    anynorm_dtype parameters; /* of dweight, dbias and dpre_bias, which lie as weight does */
    anynorm_dtype samples; /* of dgate, dscale and dshift, with gate's, scale's, shift's strides */
} anynorm_gradients;

/* What to compute. All zero but `columns` is LayerNorm in f32 of dense rows, without weight and
 * bias and with eps 0.
 *
 * Rows may be slices of a wider tensor, in two levels: element c of row r lies, in elements, at
 *     (r / inner_rows) * outer_stride + (r % inner_rows) * row_stride + c * column_stride
 * so the queries of a fused QKV tensor [tokens][3][heads][64] are inner_rows = heads,
 * row_stride = 64, outer_stride = 3 * heads * 64. The elements of a row usually lie side by side.
 * Where they do not, rows usually lie between the columns: a channels-first image [N][C][H][W]
 * normalized over its channels is columns = C, column_stride = inner_rows = H * W, with the default
 * row_stride of 1 and outer_stride of C * H * W. And columns may lie in runs of column_run side by
 * side, column_stride from one run to the next: then c * column_stride above is
 *     c / column_run * column_stride + c % column_run
 * as in a group of the channels of a channels-last image.
 *
 * Gate, scale and shift have a row for each sample, sample_rows rows of x, in one level: column c
 * of sample b lies at b * row_stride + c * column_stride, with runs as above. Any of them may be
 * slices of one tensor, with each other and with x: what a diffusion transformer projects for a
 * block, six slices of [samples][6][columns], is a row_stride of 6 * columns and buffers that begin
 * so many columns further on.
 *
 * Eps. Any finite number of 0 or more is computed with, also one that f32 does not have, and one
 * whose inverse it does not have: a constant row gives exactly the bias, whatever the eps. rstd is
 * written as f32: what is above f32's largest number as that, so never as an infinity, and what is
 * below 2^-126 possibly as 0. A variance that the arithmetic cannot tell from 0 (below 2^-126, in
 * f64 2^-1022, that is a spread below 1e-19 or 1e-154) may count as 0. The row is then taken for a
 * constant one: beside an eps of 0 or below these same numbers all its n are 0.
 *
 * Quantized outputs. Where y.type is i8 or f8e4m3, what y would have been unrounded is divided by a
 * scale and rounded to the nearest number of y.type, ties to even; what is too large becomes the
 * largest there is (127 or -128; 448 or -448), a NaN 0 in i8 and a NaN in f8e4m3. The scale is
 *   - 1, without a flag;
 *   - the one number in y_scale, with ANYNORM_Y_SCALE_INPUT. It is meant to be positive. A negative
 *     one changes signs; by 0, what is not 0 becomes the largest number and 0 what a NaN becomes;
 *     by a NaN all does. A magnitude outside 2^-126 to 2^126 may count as 0 or infinity;
 *   - with ANYNORM_Y_SCALE_OUTPUT that of the row, m / 127 or m / 448, where m is the largest
 *     magnitude of the row in f32, or quantization.bound if that is less and not 0. Where m is
 *     below 2^-100 (of a row of zeros, say) scale and row are 0, and where the row holds a NaN the
 *     scale is one and each element what a NaN becomes. */
typedef struct anynorm_spec {
    uint64_t columns;    /* elements of a row, 1 .. 2^31 - 1 */
    uint32_t flags;      /* ANYNORM_WEIGHT | ... */
    uint64_t inner_rows; /* 0: one level of rows */
    uint64_t column_run; /* columns of a row that lie side by side in each tensor of rows, where its
                            column stride leads from run to run. Must divide the columns. 0: 1 */
    anynorm_rows x, y;   /* y's type is the only one that may be i8 or f8e4m3 */
    anynorm_rows residual, sum;      /* all zero without these tensors */
    anynorm_rows gate, scale, shift; /* likewise; a row for each sample, so no outer stride */
    uint64_t sample_rows; /* consecutive rows that share a row of gate, scale and shift; 0: 1 */
    anynorm_parameters parameters;
    anynorm_statistic statistic;
    anynorm_quantization quantization;
    anynorm_gradients gradients; /* all zero: the forward pass */
} anynorm_spec;

/* Gradients. With any of anynorm_gradients.flags a plan reads dy, dloss / dy, and finds from it, by
 * the chain rule backwards through the head of this file, for each row
 *
 *     a_rc          = dy_rc [* s * (1 + y' * (1 - s))]  with SILU: s = sigmoid(y'), y' = y before
 *     dshift_bc     = sum_r a_rc                        over the rows of the sample
 *     dscale_bc     = sum_r a_rc * z_rc                 likewise
 *     d_rc          = a_rc [* (1 + scale_bc)]
 *     dbias_k       = sum_rc d_rc                       over all rows and columns of parameter k
 *     dweight_k     = sum_rc d_rc * n_rc                likewise
 *     g_rc          = d_rc [* (weight_k + weight_offset)]
 *     dh_rc         = rstd_r * (g_rc - (1/D) sum_c g_rc - n_rc * (f/D) sum_c g_rc n_rc) [+ dsum_rc]
 *     dx_rc         = dh_rc
 *     dpre_bias_k   = sum_rc dh_rc
 *     dresidual_rc  = gate_bc * dh_rc
 *     dgate_bc      = sum_r dh_rc * residual_rc         over the rows of the sample
 *
 * where with RMS the sum of g is not there; 1/D of the last is 1/(D - 1) with UNBIASED and 1 with
 * L2; and f is 1, (sqrt(var) + eps) / sqrt(var) with EPS_OUTSIDE, and with EPS_FLOOR 0 where eps is
 * more than sqrt(var). With MEAN_INPUT and RSTD_INPUT these are constants, so that dh is rstd * g.
 * Roundings (ROUND_FIRST, STORED_SUM) count as if they were none, but n and h are as rounded.
 *
 * The spec is that of the forward pass, with gradients in it. Of its tensors a plan reads
 *   - x, pre_bias, gate and residual to make h; or sum in their place, with SAVED_SUM;
 *   - mean and rstd where the forward pass wrote them (MEAN_OUTPUT and RSTD_OUTPUT; RSTD_OUTPUT
 *     alone with RMS). Without, they are found again, at the cost of some arithmetic. The mean is
 *     only a first guess of the mean, so that its rounding to f32 costs nothing; rstd's is half a
 *     place of f32, also where a type is f64: there they are better left away;
 *   - weight; scale; bias where SILU or DSCALE need z; shift where SILU needs y'; residual for
 *     dgate, gate for dresidual. Others that the forward pass has may be given all the same and are
 *     not looked at. y.type is not quantized.
 *
 * dx and dresidual may each be dy, x, residual, sum or dsum itself: same memory, offset, type and
 * strides. Constant rows have n = 0: dx is the formula's, rstd being what eps makes of it, and 0
 * where eps is 0. A row of which h or dy holds a NaN or an infinity, or whose sums of squares or
 * products leave the range of the arithmetic, has a dx of NaN; in sums over rows NaN and infinities
 * are as IEEE 754 adds them up.
 *
 * Determinism. The bits of a row's dx depend on that row, the plan and the device, as those of y
 * do. Sums over rows are taken in a fixed order: their bits depend on all rows, their number, the
 * plan and the device, never on how many of its units were free, nor on the blocks or stretches
 * that anynorm_run and anynorm_run_stretch take the rows in. Nothing is added by atomics.
 *
 * Shards, where a row's columns lie on several devices, which have found mean and rstd of the whole
 * row in their forward pass: DPARTIALS_OUTPUT writes for each row the shard's number of columns,
 * its sum of g and its sum of g * n, in f32; after an all-gather of these, a plan with
 * DPARTIALS_INPUT and statistic.shards of them finds the gradients of the shard's own columns. Both
 * need MEAN_OUTPUT and RSTD_OUTPUT in the spec (RMS: RSTD_OUTPUT). A shard of count 0 adds nothing.
 */

/* Rows that are sharded over devices, each of which has `columns` of a row's columns, in three
 * steps. The first and the last are a plan on each device, the second is the caller's.
 *
 *  1. ANYNORM_PARTIALS_OUTPUT: of the shard's columns of each row three numbers in f32: how many
 *     they are, the mean of h (0 with RMS) and the sum of (h - mean)^2. x, residual, gate, pre_bias
 *     and sum are as ever, so that with SUM_OUTPUT the third step need not add up again. There is
 *     no y: y's type and strides and eps are 0, and whatever says what becomes of h - mean, or how
 *     rstd is found, is refused, as it belongs to the third step.
 *  2. An all-gather: each device gets the partials of all shards, one shard after the other, in any
 *     order but the same everywhere: then the statistic has the same bits on all devices of a kind.
 *  3. ANYNORM_PARTIALS_INPUT with the number of shards: their numbers are merged by the update of
 *     Chan, Golub and LeVeque, eps, UNBIASED, L2, EPS_OUTSIDE and EPS_FLOOR see the count of all
 *     shards, and the device's own columns are normalized. MEAN_OUTPUT and RSTD_OUTPUT are the
 *     whole row's.
 *
 * Shards may differ in their count. A shard of count 0 adds nothing, whatever its other numbers
 * are. What else a row's partials may hold, in any of its shards, on every device ("NaN": y, rstd
 * and mean of the row are; -0 is 0):
 *                                                LayerNorm   RMS        RMS and L2
 *     count: a NaN, an infinity, below 0         NaN         NaN        NaN
 *     mean: a NaN, an infinity                   NaN         not read   not read
 *     squares: a NaN, an infinity, below 0       NaN         NaN        NaN
 *     counts that add up to 0                    NaN         NaN        the variance is 0
 *     counts that add up to 1, with UNBIASED     NaN, but    -          -
 *                                                the mean
 *     sums that leave the arithmetic's range     NaN         NaN        NaN
 * A first step leaves such squares where its own row holds a NaN or an infinity, or squares beyond
 * f32; so the whole row is NaN on all devices. As each mean is rounded to
 * f32, n may be off by 2^-24 * |mean| * rstd * (1 + |n|), |mean| the largest of the shards', beyond
 * what it is for a row on one device; with RMS by nothing. Sums of squares are f32 also where a
 * type is f64: beyond 3e38 the row is NaN. */

/* GroupNorm of [N][C][H][W] in G groups is rows = N * G, columns = C / G * H * W,
 * parameters.rows = G, parameters.run = H * W; InstanceNorm is that with G = C. Of [N][H][W][C] it
 * has the same rows and columns, but inner_rows = parameters.rows = G, column_run =
 * parameters.cycle = C / G (without weight and bias, the fields of parameters are 0), column
 * strides C, and so, by default, row strides C / G and outer strides H * W * C; InstanceNorm again
 * is that with G = C, or with parameters.run = H * W and neither run nor cycle. The norm of each
 * head in a tensor [tokens][heads][D] with a weight[heads][D] is columns = D, parameters.rows =
 * heads. */

/* Whether a plan could be made of the spec on some device: OK, or INVALID_ARGUMENT with the field
 * and the reason. Any thread. */
ANYNORM_API anynorm_status anynorm_spec_check(const anynorm_spec *spec);

#define ANYNORM_MAX_RANK 16

/* A tensor as ONNX, PyTorch and numpy see it. Strides in elements, as numpy's divided by the item
 * size; NULL means dense, last axis fastest. Axes of size 1 may have any stride. */
typedef struct anynorm_view {
    uint32_t rank; /* 1 .. ANYNORM_MAX_RANK */
    const uint64_t *shape;
    const int64_t *strides;
} anynorm_view;

/* Turns "normalize axes `axis` .. rank-1 of x into y" (ONNX LayerNormalization's axis; negative
 * counts from the end) into the columns and strides of *spec and the number of *rows; the spec's
 * other fields stay. y may be NULL: dense. Any thread.
 * INVALID_ARGUMENT: bad rank or axis, shapes that differ, a normalized size of 0 or above 2^31 - 1,
 * a row count that overflows. UNSUPPORTED, with the reason: normalized axes that need more than one
 * stride, beside one of 1 for those that vary fastest (column_run), leading axes that need more
 * than two, a stride of 0 or below, or rows that share an element. Normalizing other axes than the
 * last is a view whose axes are permuted so that they come last: over the channels of [N][C][H][W]
 * the shape {N, H, W, C} with the strides {C*H*W, W, 1, H*W}; over G groups of the channels of
 * [N][H][W][C] the shape {N, G, H, W, C / G}, axis 2, with the strides {H*W*C, C / G, W*C, C, 1},
 * for y as well. */
ANYNORM_API anynorm_status anynorm_spec_from_view(anynorm_spec *spec, const anynorm_view *x,
                                                  const anynorm_view *y, int axis, uint64_t *rows);

/* A spec as one line of text, the same in test lists, `anynorm verify` and bug reports:
 *     layer-norm 512x768 f16 weight bias eps=1e-06
 * It begins with layer-norm, or with rms-norm, which is ANYNORM_RMS. Words after ROWSxCOLUMNS, in
 * any order, each at most once:
 *     f32|f16|bf16|f64 (x)   y=TYPE (i8 and f8e4m3 too) residuals=TYPE sums=TYPE (default: as x)
 *     parameters=TYPE (default: f32)   gates=TYPE scales=TYPE shifts=TYPE (default: f32), or
 *     samples=TYPE for those of the three that have no word of their own
 *     eps=NUMBER (default 1e-05, or 0 with rstd-input or partials)   weight-offset=NUMBER
 *     y-bound=NUMBER
 *     weight bias mean rstd any-alignment l2 unbiased eps-outside eps-floor mean-input rstd-input
 *     residual gate pre-bias sum stored-sum round-first scale shift silu partials partials-input
 *     y-scale-input y-scale
 *     dx dresidual dweight dbias dpre-bias dgate dscale dshift (or backward: all of these that the
 *     spec has something for)   dsum saved-sum accumulate dpartials dpartials-input
 *     dx=TYPE dresidual=TYPE (default: as x, as residual) dparameters=TYPE dsamples=TYPE (default:
 * f32) inner=N x-stride=N x-outer=N x-column=N, and so y-..., residual-..., sum-..., dx-...,
 *     dresidual-...; run=N
 *     gate-stride=N gate-column=N, and so scale-..., shift-...
 *     sample-rows=N parameter-rows=N parameter-run=N parameter-cycle=N shards=N
 * anynorm_spec_parse: INVALID_ARGUMENT names the word. anynorm_spec_format writes at most
 * `capacity` bytes with the closing zero and returns the length it needed without it, as snprintf
 * does. Any thread. */
ANYNORM_API anynorm_status anynorm_spec_parse(const char *text, anynorm_spec *spec, uint64_t *rows);
ANYNORM_API size_t anynorm_spec_format(const anynorm_spec *spec, uint64_t rows, char *text,
                                       size_t capacity);

/* ---- Plan ------------------------------------------------------------------------------------ */

/* A spec compiled for a device. Immutable: any number of threads may enqueue one plan at once. */
typedef struct anynorm_plan anynorm_plan;

/* For tests, tuning and the cautious; NULL or zero leaves the choice to the library.
 *
 * Four more schedules, the baselines, are for measuring only and do NOT normalize; nothing but
 * `schedule` of these options can name them, neither the library's choice nor ANYNORM_SCHEDULE:
 *     copy            y = x, and sum = residual, with ordinary stores, as fast as the device can
 *     copy_streaming  the same with stores that go past the caches
 *     add             sum = x + residual: what a kernel of its own would do before the norm
 *     empty           a kernel of the same arguments that does nothing: what a launch costs
 * They take the spec and the tensors of the norm that they are compared with; what else the spec
 * names stays untouched. A copy reads and writes as many bytes of the tensors of rows as the norm;
 * where they are not the same number of the same types in and out, what it writes are no elements.
 * A copy and an addition need dense rows, copy_streaming a CPU with vectors, a compiler that has
 * such stores, and no ANYNORM_ANY_ALIGNMENT, an addition residual and sum without gate and
 * pre_bias; else UNSUPPORTED. */
typedef struct anynorm_plan_options {
    /* The schedule to use, by its name alone ("row_reread") or with some of its numbers
     * ("row_per_group group=128 held=4"), as anynorm_plan_info.choice has it. NULL:
     * ANYNORM_SCHEDULE, or the best. */
    const char *schedule;
    /* What anynorm_plan_binary gave for a plan of the same kernel, of `binary_bytes` bytes, so that
     * nothing is compiled; it brings its plan's schedule and numbers along, where none are forced.
     * Read during the call. A binary that the driver itself refuses is compiled from source. */
    const void *binary;
    size_t binary_bytes;
    /* About how many rows the enqueues will have; 0: unknown. A hint for looking into the tuning
     * databases and nothing else: any number of rows may be enqueued, and their bits do not depend
     * on it. Plans of different hints may differ in schedule, so in bits, within the same bounds.
     */
    uint64_t expected_rows;
} anynorm_plan_options;

/* Compiles. Takes milliseconds to seconds the first time a kernel is met on a device; later plans
 * of the same kernel share it. `options` may be NULL. Destroy with anynorm_plan_destroy, once no
 * enqueue of it is being called; work already enqueued goes on. Any thread.
 * INVALID_ARGUMENT: the spec (as anynorm_spec_check), a schedule that does not exist, or a binary
 * that is damaged. UNSUPPORTED: the device has not what the spec needs, the forced schedule does
 * not fit, or the binary is of another device, driver, kernel or version of this library: the
 * message says which.
 * BUILD_FAILED: the message holds the driver's log. OUT_OF_MEMORY, DEVICE_LOST. */
ANYNORM_API anynorm_status anynorm_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                               const anynorm_plan_options *options,
                                               anynorm_plan **plan);
ANYNORM_API void anynorm_plan_destroy(anynorm_plan *plan);

/* Makes the driver do now what it puts off until kernels are first launched: compiling for the
 * work-group size and the size of the launch, loading the program onto the device. Afterwards the
 * first enqueue of 1 row, or of about `rows` (1 or more: the most that will be enqueued), is as
 * fast as the later ones. Launches the plan's kernel on no rows on the device's own queue and waits
 * for it, so it costs one or two launches where there is nothing left to do. Any thread.
 * INVALID_ARGUMENT, OUT_OF_MEMORY, DEVICE_LOST. */
ANYNORM_API anynorm_status anynorm_plan_warm_up(anynorm_plan *plan, uint64_t rows);

/* The plan's compiled program, to be kept where the caller likes and handed in again through
 * anynorm_plan_options: by this version of the library, for the same device and driver. It serves
 * every plan whose anynorm_plan_info.options and schedule are the same, whatever its columns,
 * strides and eps. The bytes hold all that they depend on, and a checksum, which are checked before
 * a driver sees them; but they are code: take them only from where others cannot write.
 * *size is what they need; they are written if `capacity` is that or more. With capacity 0 (`bytes`
 * may then be NULL) that is all. The size may change when the plan is enqueued between two calls.
 * May take as long as anynorm_plan_create; any thread.
 * INVALID_ARGUMENT: a capacity other than 0 that is too small (*size is set nevertheless).
 * UNSUPPORTED: the driver, or the reference backend, has no binaries. OUT_OF_MEMORY, DEVICE_LOST.
 */
ANYNORM_API anynorm_status anynorm_plan_binary(anynorm_plan *plan, void *bytes, size_t capacity,
                                               size_t *size);

/* Bytes of workspace that an enqueue of so many rows needs: 0 where the plan sums nothing over
 * rows. However many rows there are, it is no more than a few times 4 MiB, or a few times the
 * columns (or parameters.rows times the columns) where these are more; with both parameters.rows
 * above 1 and gradients of gate, scale or shift, times the samples. INVALID_ARGUMENT; also where it
 * is above 2^64. Any thread. */
ANYNORM_API anynorm_status anynorm_plan_workspace(const anynorm_plan *plan, uint64_t rows,
                                                  uint64_t *bytes);

/* Lowers *row to the nearest row, from 0 up to there, at which a call over `of_rows` rows may be
 * cut into stretches, for anynorm_run_stretch; to of_rows, if it is more. Such rows are multiples
 * of parameters.rows; with sums over rows few more than every fourth of these are, where gradients
 * of gate, scale or shift are summed counted from a sample's first row. 0: there is none.
 * INVALID_ARGUMENT. Any thread. */
ANYNORM_API anynorm_status anynorm_plan_cut(const anynorm_plan *plan, uint64_t of_rows,
                                            uint64_t *row);

/* Rows of one call may be divided over several devices, processes or machines, without a bit
 * changed: each runs stretches of its own rows in a workspace of its own (of no meaning before), on
 * a plan of the same spec and schedule on a device of the same kind. Then what the others have left
 * in theirs is copied into the workspace of the one that has the last rows, and it runs the last
 * stretch, which writes the sums over all rows: few rows may be left for that. (Sums over the rows
 * of a sample are written as ever: none is divided.)
 *
 * anynorm_plan_divide lowers *row to the nearest, from 0 up to there, at which one's rows may end
 * and another's begin; to of_rows, if it is more. 0: there is none. With sums over rows there are
 * more than 30 such rows, if there are more than 60 for each row of parameters, and samples are
 * short; of the reference backend, whose sums are of blocks of rows, up to 15. INVALID_ARGUMENT.
 * Any thread. */
ANYNORM_API anynorm_status anynorm_plan_divide(const anynorm_plan *plan, uint64_t of_rows,
                                               uint64_t *row);

typedef struct anynorm_range {
    uint64_t offset;
    uint64_t bytes;
} anynorm_range;

/* The bytes of a workspace that hold what the rows [first, first + rows) of `of_rows`, which such
 * rows bound, have left for the last stretch: range `index`, of no bytes where there are not so
 * many. *count (which may be NULL) is how many there are, the same for any rows, and 0 where
 * nothing is summed over all. INVALID_ARGUMENT: also other rows. Any thread. */
ANYNORM_API anynorm_status anynorm_plan_sums(const anynorm_plan *plan, uint64_t first,
                                             uint64_t rows, uint64_t of_rows, size_t index,
                                             anynorm_range *range, size_t *count);

typedef struct anynorm_plan_info {
    const char *schedule;     /* static */
    uint64_t work_group_size; /* work-items */
    char choice[128];         /* the schedule with all its numbers: for anynorm_plan_options */
    char options[1024];       /* what the kernel was compiled with, for a bug report */
} anynorm_plan_info;

/* INVALID_ARGUMENT only. Any thread. */
ANYNORM_API anynorm_status anynorm_plan_describe(const anynorm_plan *plan, anynorm_plan_info *info);

/* One way to walk the rows, as the selection sees it on this device. */
typedef struct anynorm_candidate {
    const char *schedule; /* static */
    bool fits;
    char reason[160]; /* why it fits or does not */
} anynorm_candidate;

/* The schedules in the order of preference for this device and spec: candidate `index`, and in
 * *count (which may be NULL) how many there are. No kernel is compiled, so a kernel's own limits
 * may still rule one out at plan creation. INVALID_ARGUMENT: a bad spec, or index not below the
 * count. Any thread. */
ANYNORM_API anynorm_status anynorm_plan_candidate(const anynorm_device *device,
                                                  const anynorm_spec *spec, size_t index,
                                                  anynorm_candidate *candidate, size_t *count);

/* ---- Tuning ---------------------------------------------------------------------------------- */

/* Where no schedule is forced, anynorm_plan_create first asks two databases of measured choices:
 * the user's own file, then the one built in. What neither knows, or no longer fits, is chosen by a
 * closed form. `anynorm tune` measures and writes the user's file; docs/tuning.md has its format.
 * It is read when a plan is created, and again when it has changed; a line that is wrong is a
 * warning in the log and otherwise left out. */

/* The path of the user's file, whether or not it is there: $ANYNORM_TUNING, else anynorm/tuning in
 * $XDG_CONFIG_HOME, else in $HOME/.config. Writes at most `capacity` bytes with the closing zero
 * and returns the length it needed without it. 0: there is none, as ANYNORM_TUNING is "off", no
 * home is known, or the program runs with more rights than its caller (setuid). Any thread. */
ANYNORM_API size_t anynorm_tuning_path(char *path, size_t capacity);

/* The most variants there are of one spec on one device. */
#define ANYNORM_MAX_VARIANTS 24

/* One way to run a spec on a device. */
typedef struct anynorm_variant {
    char choice[128]; /* for anynorm_plan_options.schedule */
} anynorm_variant;

/* The choices worth measuring for this device and spec: variant `index`, and in *count (which may
 * be NULL) how many there are. The first is what anynorm_plan_create takes where the user's file is
 * silent and the number of rows unknown. No kernel is compiled, so a kernel's own limits may still
 * rule one out at plan creation. INVALID_ARGUMENT: a bad spec, or index not below the count.
 * UNSUPPORTED: nothing serves the spec on this device. Any thread. */
ANYNORM_API anynorm_status anynorm_plan_variant(const anynorm_device *device,
                                                const anynorm_spec *spec, size_t index,
                                                anynorm_variant *variant, size_t *count);

/* ---- Enqueue and event ----------------------------------------------------------------------- */

/* The tensors of one enqueue. Those the spec does not name must be zero. */
typedef struct anynorm_tensors {
    anynorm_buffer x; /* x.type [rows][columns] with the spec's strides */
    anynorm_buffer y; /* y.type, likewise. May be x or residual itself: same memory, offset, type,
                         strides */
    anynorm_buffer weight; /* parameters.type [parameters.rows][columns / parameters.run], dense; of
                              parameters.cycle / parameters.run, where there is a cycle */
    anynorm_buffer bias;   /* likewise */
    anynorm_buffer mean;   /* f32 [rows], dense; an output or an input */
    anynorm_buffer rstd;   /* f32 [rows], dense; an output or an input */
    anynorm_buffer residual; /* residual.type [rows][columns] with its strides */
    anynorm_buffer sum;      /* sum.type, likewise. May be x or residual itself */
    anynorm_buffer pre_bias; /* as bias */
    anynorm_buffer gate;     /* gate.type [samples][columns] with its strides; samples is
                                rows / sample_rows, rounded up */
    anynorm_buffer scale;    /* scale.type, likewise */
    anynorm_buffer shift;    /* shift.type, likewise */
    anynorm_buffer partials; /* f32 [rows][3], dense, as an output; [shards][rows][3] as an input,
                                rows being those of the enqueue */
    anynorm_buffer y_scale;  /* f32 [rows], dense, an output; or f32 [1], an input */

    /* Of a plan that finds gradients, which has no y, and none of the above as an output. */
    anynorm_buffer dy;        /* y.type, with the strides of y */
    anynorm_buffer dsum;      /* sum.type, with the strides of sum */
    anynorm_buffer dx;        /* gradients.dx */
    anynorm_buffer dresidual; /* gradients.dresidual */
    anynorm_buffer dweight; /* gradients.parameters, in the shape of weight; so dbias, dpre_bias */
    anynorm_buffer dbias;
    anynorm_buffer dpre_bias;
    anynorm_buffer dgate; /* gradients.samples, in the shape and with the strides of gate */
    anynorm_buffer dscale;
    anynorm_buffer dshift;
    anynorm_buffer workspace; /* anynorm_plan_workspace bytes or more, at a multiple of 8, for sums
                                 over rows; of no meaning before and after */
} anynorm_tensors;

/* Completion of one enqueue. A value that holds one reference: release it once, whether or not it
 * was waited for. All zero = no event. */
typedef struct anynorm_event {
    anynorm_device *device; /* not kept alive by the event */
    void *handle;           /* the API's event; NULL where the work was done at once */
    void *first;            /* that of the first kernel, where the work is two; else NULL */
    bool valid;
} anynorm_event;

/* The most events one wait list may hold. */
#define ANYNORM_MAX_WAIT 64

/* Enqueues the plan on `rows` rows on the device's own in-order queue and returns without waiting.
 * It starts after all `wait_count` events of `wait_list` (of the same device; NULL if 0) and after
 * what was enqueued on this device before. The buffers must stay valid, and inputs unchanged, until
 * *event is done. 0 rows is allowed: nothing is written and the event is done at once after its
 * wait list. Only the elements of y and sum (not the gaps of their strides) and, as outputs,
 * mean[0..rows), rstd[0..rows), partials[0..rows) and y_scale[0..rows) are written. Overlap of an
 * output with another or with any input is refused, except y or sum being x or residual itself
 * (each another one).
 *
 * Numerics: statistics as the head of this file says, by a corrected two-pass sum in f32 (f64 if a
 * type is), so a mean of 1e7 beside a spread of 1 costs no digit. The bits of a row depend on that
 * row, the plan and the device only: not on rows, on where the row stands, or on its neighbours.
 * A row that holds a NaN or an infinity, or whose sum of squares leaves the range of the
 * arithmetic, is all NaN; the other rows are not touched by it. With RSTD_INPUT nothing is summed:
 * a NaN or an infinity is its element's alone. A constant row gives exactly bias.
 *
 * `event` must not be NULL: a kernel that fails says so there and nowhere else. Any thread; the
 * reference backend does the work before it returns.
 * INVALID_ARGUMENT: a tensor missing, superfluous, too small, misaligned, of another device or
 * overlapping; rows whose extent overflows. UNSUPPORTED: partials larger than max_range_bytes lets
 * them be. OUT_OF_MEMORY, DEVICE_LOST: of a plan with sums over rows the first of its two kernels
 * may be under way on OpenCL, where the second could not be enqueued; then its outputs and the
 * workspace are undefined, and in use until what is enqueued after it is done. */
ANYNORM_API anynorm_status anynorm_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                           uint64_t rows, uint32_t wait_count,
                                           const anynorm_event *wait_list, anynorm_event *event);

/* Waits until the work is done and tells whether it succeeded; may be called again, and by several
 * threads. DEVICE_LOST: the kernel, or one it waited for, failed: its outputs are undefined. What
 * was enqueued behind it on the device's own queue before that was seen may fail, too; what is
 * enqueued later does not, as the queue is made anew where the failure has ended it. */
ANYNORM_API anynorm_status anynorm_event_wait(const anynorm_event *event);

/* Nanoseconds from the start of its first kernel to the end of its last, on the device's clock.
 * Only after it is done. UNSUPPORTED: the queue or the backend does not measure. INVALID_ARGUMENT:
 * no event, or not done yet. */
ANYNORM_API anynorm_status anynorm_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds);

/* Gives the reference back and zeroes *event. The work goes on. */
ANYNORM_API void anynorm_event_release(anynorm_event *event);

/* ---- On host pointers ------------------------------------------------------------------------ */

/* The tensors of anynorm_run: host pointers, of the types and layouts of anynorm_tensors. */
typedef struct anynorm_host_tensors {
    const void *x;
    void *y; /* may be x, or residual, where their types and strides agree */
    const void *weight;
    const void *bias;
    float *mean; /* only read where it is an input; so rstd */
    float *rstd;
    const void *residual;
    void *sum; /* may be x or residual, likewise */
    const void *pre_bias;
    const void *gate;
    const void *scale;
    const void *shift;
    float *partials; /* only read where it is an input */
    float *y_scale;  /* only read where it is an input */
    const void *dy;
    const void *dsum;
    void *dx; /* may be dy, x, residual, sum or dsum, likewise; so dresidual */
    void *dresidual;
    void *dweight;
    void *dbias;
    void *dpre_bias;
    void *dgate;
    void *dscale;
    void *dshift;
    void *workspace; /* of anynorm_run_stretch; anynorm_run makes its own */
} anynorm_host_tensors;

/* Normalizes `rows` rows in host memory and returns when y is there. Where device and host share
 * memory nothing is copied; elsewhere rows travel in blocks that the device's largest allocation
 * holds, so tensors may be larger than the device's memory. Pointers that are not multiples of the
 * element's size work with any spec (by copying). Elements in the gaps between strided rows of y
 * keep their values, but may be rewritten with them: no other thread may write there meanwhile.
 * Allocates; blocks. Any thread.
 * As anynorm_enqueue; OUT_OF_MEMORY also where not even one outer group of rows fits the device.
 * After DEVICE_LOST or OUT_OF_MEMORY the outputs are undefined. */
ANYNORM_API anynorm_status anynorm_run(anynorm_plan *plan, const anynorm_host_tensors *tensors,
                                       uint64_t rows);

/* The same of rows [first, first + rows) of `of_rows`, where not all of them are in memory at once:
 * called for one stretch after the other, from row 0 on, it gives the bits of one anynorm_run, also
 * of sums over rows (anynorm_plan_divide has how several may share the rows). The tensors are those
 * of the stretch, with which their rows and samples begin; parameters are the same for all. Sums
 * over rows are carried from call to call in tensors->workspace, anynorm_plan_workspace bytes for
 * of_rows, of no meaning before the first call and needed unless the stretch is all rows; nothing
 * else may be written there meanwhile. What is summed over the rows of a sample is written by the
 * call that has its last row, what is summed over all rows by the last call; both must be given
 * each time. Stretches begin where anynorm_plan_cut says that they may, and, with gate, scale or
 * shift, either with a sample or end in the one that they begin in; of rows of two levels,
 * likewise. One call at a time for a workspace; else any thread. As anynorm_run; INVALID_ARGUMENT
 * also for a stretch that begins or ends elsewhere. */
ANYNORM_API anynorm_status anynorm_run_stretch(anynorm_plan *plan,
                                               const anynorm_host_tensors *tensors, uint64_t first,
                                               uint64_t rows, uint64_t of_rows);

#ifdef __cplusplus
}
#endif

#endif
