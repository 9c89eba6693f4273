/* What the files of the OpenCL backend share. */
#ifndef AN_OPENCL_BACKEND_H
#define AN_OPENCL_BACKEND_H

#include "backend.h"
#include "platform/threads.h"
#include "store/binary.h"
#include "opencl/arguments.h"

struct an_program;

struct an_opencl_device {
    anynorm_device head;
    struct an_cl *cl;
    cl_context context;
    cl_device_id id;
    an_mutex queue_lock;
    cl_command_queue queue; /* in order, profiled; taken through queue.c */
    cl_event doubt;         /* a command of it that may fail and end it; NULL: none */
    bool svm;
    bool cached; /* keep programs in the folder of cache.h */
    an_mutex programs_lock;
    struct an_program *programs; /* every program built so far; they live as long as the device */
};

static inline struct an_opencl_device *an_opencl(const anynorm_device *device)
{
    return (struct an_opencl_device *)(void *)device;
}

/* device.c */
size_t an_opencl_count(void);
anynorm_status an_opencl_list(size_t index, anynorm_device_info *info);
/* Both leave the `backend` of its head to their caller. `context` NULL: makes one; else retains the
 * caller's. */
anynorm_status an_opencl_device_open(size_t index, anynorm_device **device);
anynorm_status an_opencl_device_make(struct an_cl *cl, cl_context context, cl_device_id id,
                                     const char *name, anynorm_device **device);
void an_opencl_close(anynorm_device *device);
/* Of OpenCL, as 12 or 30; 0 where the device does not tell. */
int an_opencl_version(const anynorm_device_info *info);

/* queue.c: the device's own queue. One that is taken stays valid until it is given back, and is
 * what later commands come after. */
cl_command_queue an_opencl_queue_make(struct an_opencl_device *device, cl_int *code);
anynorm_status an_opencl_queue_take(struct an_opencl_device *device, cl_command_queue *queue);
void an_opencl_queue_give(struct an_opencl_device *device, cl_command_queue queue);
/* Notes a command on the queue that has a wait list; that one has failed. */
void an_opencl_queue_doubt(struct an_opencl_device *device, cl_command_queue queue, cl_event event);
void an_opencl_queue_failed(struct an_opencl_device *device, cl_command_queue queue);
void an_opencl_queue_flush(struct an_opencl_device *device);
void an_opencl_queue_free(struct an_opencl_device *device);
anynorm_status an_opencl_event_wait(const anynorm_event *event);
anynorm_status an_opencl_event_elapsed(const anynorm_event *event, uint64_t *nanoseconds);
void an_opencl_event_release(anynorm_event *event);

/* memory.c */
anynorm_status an_opencl_memory_create(anynorm_device *device, uint64_t bytes,
                                       anynorm_buffer *buffer);
void an_opencl_memory_destroy(anynorm_device *device, anynorm_buffer *buffer);
anynorm_status an_opencl_memory_write(anynorm_device *device, const anynorm_buffer *buffer,
                                      const void *host, uint64_t bytes);
anynorm_status an_opencl_memory_read(anynorm_device *device, const anynorm_buffer *buffer,
                                     void *host, uint64_t bytes);
anynorm_status an_opencl_wrap_host(anynorm_device *device, void *host, uint64_t bytes, bool written,
                                   anynorm_buffer *buffer);
anynorm_status an_opencl_unwrap_host(anynorm_device *device, anynorm_buffer *buffer, bool written);

/* program.c: a kernel of the program of a schedule built with `options`, which all plans of the
 * device share. `binary`, if not NULL, is an intact one that must be of this program. */
anynorm_status an_opencl_kernel(struct an_opencl_device *device, const char *schedule,
                                const char *options, const void *binary,
                                struct an_program **program, cl_kernel *kernel);
/* The program's packed binary, to be freed. */
anynorm_status an_opencl_program_binary(struct an_opencl_device *device,
                                        const struct an_program *program, const char *label,
                                        void **packed, size_t *size);
void an_opencl_programs_free(struct an_opencl_device *device);

/* options.c: what a kernel is compiled with. Needs no device, only its description. */
void an_opencl_options(const anynorm_device_info *info, const anynorm_spec *spec,
                       const struct an_choice *choice, char *options, size_t capacity);

/* scratch.c: memory for what one launch hands to the next, made with a plan. A slot serves one
 * enqueue at a time; a plan with all of its slots in use has to do without. */
#define AN_SCRATCH_SLOTS 4

struct an_scratch_slot {
    cl_mem memory;          /* NULL: there is none, or it was lost track of */
    cl_command_queue queue; /* of its last user; not retained, but alive while that is not done */
    cl_event first, last;   /* of its last user's launches; NULL before the first user */
};

struct an_scratch {
    struct an_scratch_slot slots[AN_SCRATCH_SLOTS];
};

/* Each slot of `bytes`. On failure nothing is left. */
anynorm_status an_opencl_scratch_create(struct an_opencl_device *device, size_t bytes,
                                        struct an_scratch *scratch);
void an_opencl_scratch_free(struct an_opencl_device *device, struct an_scratch *scratch);
/* One slot of `bytes`, for one enqueue. */
anynorm_status an_opencl_scratch_make(struct an_opencl_device *device, size_t bytes,
                                      struct an_scratch_slot *slot);
/* Forgets the memory; it lives on until the commands that use it are done. */
void an_opencl_scratch_drop(struct an_opencl_device *device, struct an_scratch_slot *slot);
/* A slot that a command put on `queue` now may write, or NULL. Never waits. */
anynorm_status an_opencl_scratch_take(struct an_opencl_device *device, struct an_scratch *scratch,
                                      cl_command_queue queue, struct an_scratch_slot **slot);
/* Notes that launches on `queue` with these events, references that it takes over, use the slot.
 * `first` may be NULL; with `last` NULL nobody knows for how long, and the slot is given up. */
void an_opencl_scratch_used(struct an_opencl_device *device, struct an_scratch_slot *slot,
                            cl_command_queue queue, cl_event first, cl_event last);

/* plan.c */
struct an_opencl_plan {
    anynorm_plan head;
    struct an_program *program;
    uint64_t segments;   /* of a row; 0: the kernel knows none */
    uint64_t row_bytes;  /* of a row's moments */
    uint64_t split_rows; /* no more rows than these are split; their moments fit the scratch */
    bool in_pieces;      /* but all are, since no group could walk one as a whole */
    bool has_statistics; /* they are given: of rows that are split, only FINISH is launched */
    struct an_scratch scratch;
    /* Of the first of the last two launches for gradients: PoCL 3.1 aborts where one fails that
     * nobody holds. */
    cl_event of_rows;
    /* A cl_kernel carries its arguments, so setting them and launching is one step for one thread.
     */
    an_mutex lock;
    struct an_arguments arguments;
};

static inline struct an_opencl_plan *an_opencl_plan(anynorm_plan *plan)
{
    return (struct an_opencl_plan *)(void *)plan;
}

anynorm_status an_opencl_plan_create(anynorm_device *device, const anynorm_spec *spec,
                                     const struct an_choice *choice, const void *binary,
                                     anynorm_plan **plan, uint64_t *group_limit);
void an_opencl_plan_destroy(anynorm_plan *plan);
anynorm_status an_opencl_plan_binary(anynorm_plan *plan, void **packed, size_t *size);

/* launch.c */
anynorm_status an_opencl_plan_warm_up(anynorm_plan *plan, uint64_t rows);
anynorm_status an_opencl_enqueue(anynorm_plan *plan, const anynorm_tensors *tensors,
                                 const struct an_stretch *stretch, uint32_t wait_count,
                                 const anynorm_event *wait_list, anynorm_event *event);
/* Sets the arguments and launches on `queue`; 0 rows: a marker. Checked arguments only. Where two
 * kernels are launched, *event is the second's, and *first, if `first` is not NULL, the first's;
 * else *first is NULL. */
anynorm_status an_opencl_launch(anynorm_plan *plan, cl_command_queue queue,
                                const anynorm_tensors *tensors, const struct an_stretch *stretch,
                                cl_uint wait_count, const cl_event *wait_list, cl_event *event,
                                cl_event *first);

#endif
