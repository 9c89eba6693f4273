/* What the OpenCL tests share: a caller's own context beside the library's, and memory in it. */
#ifndef AN_TESTS_OPENCL_SUPPORT_H
#define AN_TESTS_OPENCL_SUPPORT_H

#define CL_TARGET_OPENCL_VERSION 210
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include "support.h"

#include <anynorm/opencl.h>

#include "spec/tensors.h"

/* An OpenCL device as a program with its own context has it. */
struct caller {
    char id[32];
    anynorm_device_info info;
    anynorm_device *opened; /* by anynorm_device_open; only the source of cl_id */
    cl_device_id cl_id;
    cl_context context;     /* ours */
    anynorm_device *device; /* of our context */
    cl_command_queue queue; /* ours, in order, not profiled */
};

/* One for each OpenCL device, between cmocka's group setup and teardown. None is not a failure. */
#define MAX_CALLERS 8
extern struct caller callers[MAX_CALLERS];
extern size_t caller_count;
int make_callers(void **state);
int free_callers(void **state);

#define FOR_EACH_CALLER(variable)                                                                  \
    for (struct caller *variable = callers; variable < callers + caller_count; variable++)

/* The id of the best OpenCL device; prints what is skipped where there is none. */
bool find_opencl_device(char id[32]);

#define assert_cl(code) check_cl((code), #code, __FILE__, __LINE__)
void check_cl(cl_int code, const char *what, const char *file, int line);

cl_command_queue make_queue(const struct caller *caller, cl_command_queue_properties properties);
/* Whether the device can do it; prints what is skipped where it cannot. */
bool has_out_of_order(const struct caller *caller);
bool has_user_events(const struct caller *caller);
cl_event make_user_event(const struct caller *caller);
cl_device_svm_capabilities svm_of(const struct caller *caller);

/* One problem in cl_mem of the caller's context. */
struct work {
    struct problem problem;
    struct images before;
    cl_mem memory[AN_TENSOR_COUNT];
    anynorm_tensors tensors;
};

/* The problem that most tests run: f32, all six tensors, every one at an offset. */
struct problem usual_problem(uint64_t seed);

void work_make(const struct caller *caller, const struct problem *problem, struct work *work);
/* Reads all memory back on `queue` and compares with the oracle. */
void work_check(const struct work *work, cl_command_queue queue, const char *label);
/* True if no byte of any tensor differs from what work_make wrote; reads on `queue`. */
bool work_is_untouched(const struct work *work, cl_command_queue queue);
void work_free(struct work *work);

anynorm_plan *usual_plan(const struct caller *caller);

void pause_briefly(void);

/* What a clGet...Info function does that has `bytes` bytes at `from` to say. */
cl_int answer_info(const void *from, size_t bytes, size_t room, void *value, size_t *size);

#endif
