#include "opencl_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct caller callers[MAX_CALLERS];
size_t caller_count;

int make_callers(void **state)
{
    (void)state;
    char ids[16][32];
    size_t id_count = device_ids(ids, 16);
    caller_count = 0;
    for (size_t i = 0; i < id_count && caller_count < MAX_CALLERS; i++) {
        if (strncmp(ids[i], "opencl", 6) != 0)
            continue;
        struct caller *caller = &callers[caller_count++];
        memcpy(caller->id, ids[i], sizeof(caller->id));
        caller->opened = open_device(caller->id);
        assert_ok(anynorm_device_describe(caller->opened, &caller->info));
        assert_ok(anynorm_opencl_device_handles(caller->opened, NULL, &caller->cl_id));
        cl_int code;
        caller->context = clCreateContext(NULL, 1, &caller->cl_id, NULL, NULL, &code);
        assert_cl(code);
        assert_ok(anynorm_opencl_device_wrap(caller->context, caller->cl_id, &caller->device));
        caller->queue = make_queue(caller, 0);
    }
    if (caller_count == 0)
        fprintf(stderr, "skipped: no OpenCL device\n");
    return 0;
}

int free_callers(void **state)
{
    (void)state;
    for (size_t i = 0; i < caller_count; i++) {
        assert_cl(clReleaseCommandQueue(callers[i].queue));
        anynorm_device_close(callers[i].device);
        assert_cl(clReleaseContext(callers[i].context));
        anynorm_device_close(callers[i].opened);
    }
    return 0;
}

bool find_opencl_device(char id[32])
{
    char ids[16][32];
    size_t count = device_ids(ids, COUNT(ids));
    for (size_t i = 0; i < count; i++) {
        if (strncmp(ids[i], "opencl", 6) == 0) {
            memcpy(id, ids[i], sizeof(ids[i]));
            return true;
        }
    }
    fprintf(stderr, "skipped: no OpenCL device\n");
    return false;
}

void check_cl(cl_int code, const char *what, const char *file, int line)
{
    if (code == CL_SUCCESS)
        return;
    fprintf(stderr, "%s:%d: %s gave %d\n", file, line, what, (int)code);
    _fail(file, line);
}

cl_command_queue make_queue(const struct caller *caller, cl_command_queue_properties properties)
{
    cl_int code;
    cl_command_queue queue =
        clCreateCommandQueue(caller->context, caller->cl_id, properties, &code);
    assert_cl(code);
    return queue;
}

bool has_out_of_order(const struct caller *caller)
{
    cl_command_queue_properties properties = 0;
    assert_cl(clGetDeviceInfo(caller->cl_id, CL_DEVICE_QUEUE_PROPERTIES, sizeof(properties),
                              &properties, NULL));
    if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return true;
    fprintf(stderr, "skipped: %s has no out-of-order queues\n", caller->info.name);
    return false;
}

/* Oclgrind runs commands inside clFlush and would wait there for the event for ever. */
bool has_user_events(const struct caller *caller)
{
    if (!strstr(caller->info.name, "Oclgrind"))
        return true;
    fprintf(stderr, "skipped: %s cannot wait for user events\n", caller->info.name);
    return false;
}

cl_event make_user_event(const struct caller *caller)
{
    cl_int code;
    cl_event event = clCreateUserEvent(caller->context, &code);
    assert_cl(code);
    return event;
}

cl_device_svm_capabilities svm_of(const struct caller *caller)
{
    cl_device_svm_capabilities svm = 0;
    if (clGetDeviceInfo(caller->cl_id, CL_DEVICE_SVM_CAPABILITIES, sizeof(svm), &svm, NULL) !=
        CL_SUCCESS)
        return 0; /* older than OpenCL 2.0 */
    return svm;
}

struct problem usual_problem(uint64_t seed)
{
    return (struct problem){
        .spec = {.columns = 96,
                 .flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT,
                 .statistic.eps = ANYNORM_EPS_DEFAULT,
                 .x.row_stride = 100},
        .rows = 7,
        .values = VALUES_NORMAL,
        .seed = seed,
        .offset = {12, 20, 4, 36, 8, 44}};
}

void work_make(const struct caller *caller, const struct problem *problem, struct work *work)
{
    *work = (struct work){.problem = *problem};
    images_make(problem, &work->before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!work->before.bytes[t])
            continue;
        cl_int code;
        work->memory[t] =
            clCreateBuffer(caller->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                           (size_t)work->before.size[t], work->before.bytes[t], &code);
        assert_cl(code);
        anynorm_buffer *slot = an_tensor_slot(&work->tensors, (enum an_tensor)t);
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, work->memory[t], slot));
        slot->offset = problem->offset[t];
    }
    place_outputs(problem, &work->tensors);
}

static void read_back(const struct work *work, cl_command_queue queue, struct images *after)
{
    *after = (struct images){0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!work->memory[t])
            continue;
        after->size[t] = work->before.size[t];
        after->bytes[t] = malloc((size_t)after->size[t]);
        assert_non_null(after->bytes[t]);
        assert_cl(clEnqueueReadBuffer(queue, work->memory[t], CL_TRUE, 0, (size_t)after->size[t],
                                      after->bytes[t], 0, NULL, NULL));
    }
}

void work_check(const struct work *work, cl_command_queue queue, const char *label)
{
    struct images after;
    struct errors worst = {0};
    read_back(work, queue, &after);
    check_against_oracle(&work->problem, &work->before, &after, label, &worst);
    images_free(&after);
}

bool work_is_untouched(const struct work *work, cl_command_queue queue)
{
    struct images after;
    bool same = true;
    read_back(work, queue, &after);
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        same = same && (!after.bytes[t] ||
                        memcmp(after.bytes[t], work->before.bytes[t], (size_t)after.size[t]) == 0);
    images_free(&after);
    return same;
}

void work_free(struct work *work)
{
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (work->memory[t])
            assert_cl(clReleaseMemObject(work->memory[t]));
    }
    images_free(&work->before);
    *work = (struct work){0};
}

anynorm_plan *usual_plan(const struct caller *caller)
{
    struct problem problem = usual_problem(1);
    return make_plan(caller->device, &problem.spec, NULL);
}

void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

cl_int answer_info(const void *from, size_t bytes, size_t room, void *value, size_t *size)
{
    if (value && room < bytes)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, from, bytes);
    if (size)
        *size = bytes;
    return CL_SUCCESS;
}
