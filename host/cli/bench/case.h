/* One norm, or its gradients, of one shape and type, measured: that, the copies, the empty kernel,
 * and the addition with the norm behind it where the norm adds, taking turns. */
#ifndef ANYNORM_CLI_BENCH_CASE_H
#define ANYNORM_CLI_BENCH_CASE_H

#include "common/cli.h"
#include "cases/tensors.h"

enum { BENCH_SAMPLES_MOST = 1000 };

/* The values that a tenth, a half and nine tenths do not exceed; NaN where nothing was measured. */
struct bench_spread {
    double p10, p50, p90;
};

/* Sorts the values. */
struct bench_spread bench_spread_of(double *values, size_t count);

/* What takes turns. */
enum bench_kind {
    BENCH_NORM,
    BENCH_COPY,
    BENCH_COPY_STREAMING,
    BENCH_ADD, /* beside gradients: two tensors are read and one is written, as by most of them */
    BENCH_EMPTY,
    BENCH_UNFUSED, /* a kernel that adds, and the norm of what it wrote */
    BENCH_KINDS
};

struct bench_case {
    anynorm_device *device;
    anynorm_device_info info;
    anynorm_spec specs[BENCH_KINDS];
    uint64_t rows[BENCH_KINDS];       /* a baseline has more, so that it moves as many bytes */
    anynorm_plan *plans[BENCH_KINDS]; /* NULL: the device has no such copy, the norm adds nothing */
    anynorm_plan *add;                /* runs before that of BENCH_UNFUSED */
    anynorm_plan_info plan;
    uint64_t bytes;                  /* of each tensor once */
    uint64_t workspace;              /* bytes of it */
    anynorm_buffer buffers[TENSORS]; /* each has all slots of its tensor; none where it is not */
    uint64_t strides[TENSORS];       /* bytes from slot to slot */
    uint64_t slots;                  /* a power of two */
    uint64_t next;
    bool cold; /* whether a round through the slots leaves nothing in the caches */
};

/* Times in microseconds, per enqueue; NaN where not measured. */
struct bench_result {
    bool cold;
    uint64_t rounds;
    struct bench_spread wall;
    struct bench_spread event;
    /* GB/s, and the copy's, are by the device's own time on a GPU that measures, where a launch
     * takes as long as the work of a small shape, and by wall time elsewhere. */
    bool by_event;
    double gbps;
    enum bench_kind best_copy;
    double copy_us;
    double copy_gbps;
    double copy_share;
    double launch_us;
    double host_ns;
    double unfused_us;
    double fused_gain; /* how many times as long the addition and the norm take as both in one */
    double batched_us; /* of 100 enqueues and one wait */
    double batched_launch_us;
};

/* As anynorm_plan_options has it. */
const char *bench_baseline_name(enum bench_kind kind);

/* Plans and memory. False: *skipped where this case cannot be had here but others may. */
bool bench_case_make(struct bench_case *bench, anynorm_device *device, const char *schedule,
                     const anynorm_spec *spec, uint64_t rows, bool *skipped);
void bench_case_free(struct bench_case *bench);

/* Measures for `seconds`, or `repetitions` rounds where that is not 0. */
bool bench_case_run(struct bench_case *bench, bool cold, double seconds, uint64_t repetitions,
                    struct bench_result *result);

#endif
