/* <anynorm/opencl.h> as a program with its own context, queues, memory and events uses it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "opencl_support.h"

static struct caller callers[8];
static size_t caller_count;

#define EACH(caller)                                                                               \
    (struct caller *caller = callers; caller < callers + caller_count; caller++)

static anynorm_plan *usual_plan(const struct caller *caller)
{
    struct problem problem = usual_problem(1);
    return make_plan(caller->device, &problem.spec, NULL);
}

static cl_int state_of(cl_event event)
{
    cl_int state = 1000;
    assert_cl(
        clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(state), &state, NULL));
    return state;
}

static cl_event make_user_event(const struct caller *caller)
{
    cl_int code;
    cl_event event = clCreateUserEvent(caller->context, &code);
    assert_cl(code);
    return event;
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

/* ---- Queues and memory ---- */

static void run_on_queue(struct caller *caller, cl_command_queue queue, const char *label)
{
    anynorm_plan *plan = usual_plan(caller);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct problem problem = usual_problem(seed);
        struct work work;
        problem.rows += seed;
        problem.in_place = false;
        work_make(caller, &problem, &work);
        cl_event event = NULL;
        assert_ok(anynorm_opencl_enqueue(plan, queue, &work.tensors, problem.rows, 0, NULL,
                                         seed == 3 ? NULL : &event));
        if (event) {
            assert_cl(clWaitForEvents(1, &event));
            assert_int_equal(state_of(event), CL_COMPLETE);
            assert_cl(clReleaseEvent(event));
        }
        assert_cl(clFinish(queue));
        work_check(&work, queue, label);
        work_free(&work);
    }
    anynorm_plan_destroy(plan);
}

static void test_queues(void **state)
{
    (void)state;
    for EACH (caller) {
        run_on_queue(caller, caller->queue, "in order");
        cl_command_queue profiled = make_queue(caller, CL_QUEUE_PROFILING_ENABLE);
        run_on_queue(caller, profiled, "profiled");
        assert_cl(clReleaseCommandQueue(profiled));
        if (!has_out_of_order(caller))
            continue;
        cl_command_queue loose = make_queue(caller, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
        run_on_queue(caller, loose, "out of order");
        assert_cl(clReleaseCommandQueue(loose));
    }
}

/* The context of a device that the library opened, used by the caller. */
static void test_borrowed_context(void **state)
{
    (void)state;
    for EACH (caller) {
        struct caller borrower = *caller;
        borrower.device = caller->opened;
        cl_device_id id = NULL;
        assert_ok(anynorm_opencl_device_handles(caller->opened, &borrower.context, &id));
        assert_ptr_equal(id, caller->cl_id);
        assert_ptr_not_equal(borrower.context, caller->context);
        cl_command_queue queue = make_queue(&borrower, 0);
        run_on_queue(&borrower, queue, "borrowed context");
        assert_cl(clReleaseCommandQueue(queue));
    }
}

/* One parent; each tensor in a sub-buffer at an offset, as far apart as the device demands. */
static void test_sub_buffers(void **state)
{
    (void)state;
    for EACH (caller) {
        cl_uint bits = 0;
        assert_cl(
            clGetDeviceInfo(caller->cl_id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(bits), &bits, NULL));
        size_t step = bits / 8 > 4096 ? bits / 8 : 4096;
        struct problem problem = usual_problem(7);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        cl_int code;
        work_make(caller, &problem, &work);
        cl_mem parent =
            clCreateBuffer(caller->context, CL_MEM_READ_WRITE, 7 * step, NULL, &code);
        assert_cl(code);
        for (int t = 0; t < AN_TENSOR_COUNT; t++) {
            cl_buffer_region region = {(size_t)(t + 1) * step, (size_t)work.before.size[t]};
            assert_true(region.size <= step);
            assert_cl(clReleaseMemObject(work.memory[t]));
            work.memory[t] = clCreateSubBuffer(parent, CL_MEM_READ_WRITE,
                                               CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
            assert_cl(code);
            assert_cl(clEnqueueWriteBuffer(caller->queue, work.memory[t], CL_TRUE, 0, region.size,
                                           work.before.bytes[t], 0, NULL, NULL));
            anynorm_buffer *slot = an_tensor_slot(&work.tensors, (enum an_tensor)t);
            assert_ok(anynorm_opencl_buffer_wrap(caller->device, work.memory[t], slot));
            slot->offset = problem.offset[t];
        }
        assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, problem.rows, 0, NULL,
                                         NULL));
        work_check(&work, caller->queue, "sub-buffers");

        /* Overlaps are found through the parent: y's region named by another sub-buffer and by the
         * parent itself. */
        cl_buffer_region over_x = {step, 2 * step};
        cl_mem overlapping = clCreateSubBuffer(parent, CL_MEM_READ_WRITE,
                                               CL_BUFFER_CREATE_TYPE_REGION, &over_x, &code);
        assert_cl(code);
        anynorm_tensors bad = work.tensors;
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, overlapping, &bad.y));
        bad.y.offset = problem.offset[AN_X] + 4;
        assert_status(anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
                      ANYNORM_INVALID_ARGUMENT);
        assert_non_null(strstr(anynorm_message(), "overlap"));
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, parent, &bad.y));
        bad.y.offset = 3 * step; /* weight */
        assert_status(anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
                      ANYNORM_INVALID_ARGUMENT);
        assert_non_null(strstr(anynorm_message(), "weight"));
        bad = work.tensors;
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, parent, &bad.mean));
        bad.mean.offset = 6 * step + problem.offset[AN_RSTD] + 4 * (problem.rows - 1);
        assert_status(anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
                      ANYNORM_INVALID_ARGUMENT);
        bad.mean.offset = 2 * step + problem.offset[AN_Y];
        assert_status(anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
                      ANYNORM_INVALID_ARGUMENT);
        bad.mean.offset = 0; /* of the parent: free */
        assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL));
        assert_cl(clFinish(caller->queue));

        assert_cl(clReleaseMemObject(overlapping));
        work_free(&work);
        assert_cl(clReleaseMemObject(parent));
        anynorm_plan_destroy(plan);
    }
}

static void test_svm(void **state)
{
    (void)state;
    for EACH (caller) {
        cl_device_svm_capabilities svm = svm_of(caller);
        anynorm_buffer buffer = {0};
        if (!(svm & CL_DEVICE_SVM_COARSE_GRAIN_BUFFER)) {
            int local = 0;
            fprintf(stderr, "skipped: %s has no SVM\n", caller->info.name);
            assert_status(anynorm_opencl_svm_wrap(caller->device, &local, sizeof(local), &buffer),
                          ANYNORM_UNSUPPORTED);
            continue;
        }
        struct problem problem = usual_problem(9);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        void *pointers[AN_TENSOR_COUNT];
        work_make(caller, &problem, &work);
        for (int t = 0; t < AN_TENSOR_COUNT; t++) {
            size_t size = (size_t)work.before.size[t];
            pointers[t] = clSVMAlloc(caller->context, CL_MEM_READ_WRITE, size, 0);
            assert_non_null(pointers[t]);
            assert_cl(clEnqueueSVMMap(caller->queue, CL_TRUE, CL_MAP_WRITE, pointers[t], size, 0,
                                      NULL, NULL));
            memcpy(pointers[t], work.before.bytes[t], size);
            assert_cl(clEnqueueSVMUnmap(caller->queue, pointers[t], 0, NULL, NULL));
            anynorm_buffer *slot = an_tensor_slot(&work.tensors, (enum an_tensor)t);
            assert_ok(anynorm_opencl_svm_wrap(caller->device, pointers[t], size, slot));
            slot->offset = problem.offset[t];
        }
        /* Mixed with cl_mem: the weight stays one. */
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, work.memory[AN_WEIGHT],
                                             &work.tensors.weight));
        work.tensors.weight.offset = problem.offset[AN_WEIGHT];
        assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, problem.rows, 0, NULL,
                                         NULL));
        struct images after = {.bytes = {NULL}};
        struct errors worst = {0};
        for (int t = 0; t < AN_TENSOR_COUNT; t++) {
            after.size[t] = work.before.size[t];
            after.bytes[t] = malloc((size_t)after.size[t]);
            assert_non_null(after.bytes[t]);
            assert_cl(clEnqueueSVMMap(caller->queue, CL_TRUE, CL_MAP_READ, pointers[t],
                                      (size_t)after.size[t], 0, NULL, NULL));
            memcpy(after.bytes[t], pointers[t], (size_t)after.size[t]);
            assert_cl(clEnqueueSVMUnmap(caller->queue, pointers[t], 0, NULL, NULL));
        }
        check_against_oracle(&problem, &work.before, &after, "SVM", &worst);

        /* Shared pointers lie in one address space, whatever allocation they name. */
        anynorm_tensors bad = work.tensors;
        bad.mean = work.tensors.y;
        assert_status(anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
                      ANYNORM_INVALID_ARGUMENT);
        assert_status(anynorm_opencl_svm_wrap(caller->device, NULL, 4, &buffer),
                      ANYNORM_INVALID_ARGUMENT);
        assert_status(anynorm_opencl_svm_wrap(caller->device, pointers[0], 0, &buffer),
                      ANYNORM_INVALID_ARGUMENT);
        assert_int_equal(buffer.kind, 0);

        /* The library's own copies take shared memory, too. */
        uint32_t word = 0x3f800000, read = 0;
        anynorm_buffer at = work.tensors.x;
        assert_ok(anynorm_buffer_write(caller->device, &at, &word, sizeof(word)));
        assert_ok(anynorm_buffer_read(caller->device, &at, &read, sizeof(read)));
        assert_int_equal(read, word);

        assert_cl(clFinish(caller->queue));
        images_free(&after);
        for (int t = 0; t < AN_TENSOR_COUNT; t++)
            clSVMFree(caller->context, pointers[t]);
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

/* ---- Wait lists ---- */

/* The enqueue returns while what it waits for is not there, and writes nothing before it is. */
static void test_waits_for_user_event(void **state)
{
    (void)state;
    for EACH (caller) {
        cl_command_queue other = make_queue(caller, 0);
        anynorm_plan *plan = usual_plan(caller);
        for (int loose = 0; loose < 2; loose++) {
            if (loose && !has_out_of_order(caller))
                continue;
            cl_command_queue queue =
                make_queue(caller, loose ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0);
            struct problem problem = usual_problem(11);
            struct work work;
            work_make(caller, &problem, &work);
            cl_event gates[2] = {make_user_event(caller), make_user_event(caller)}, done = NULL;
            assert_ok(anynorm_opencl_enqueue(plan, queue, &work.tensors, problem.rows, 2, gates,
                                             &done));
            assert_cl(clFlush(queue));
            pause_briefly();
            assert_int_not_equal(state_of(done), CL_COMPLETE);
            assert_true(work_is_untouched(&work, other));
            assert_cl(clSetUserEventStatus(gates[1], CL_COMPLETE));
            pause_briefly();
            assert_int_not_equal(state_of(done), CL_COMPLETE);
            assert_true(work_is_untouched(&work, other));
            assert_cl(clSetUserEventStatus(gates[0], CL_COMPLETE));
            assert_cl(clWaitForEvents(1, &done));
            work_check(&work, queue, "gated");
            assert_cl(clReleaseEvent(done));
            assert_cl(clReleaseEvent(gates[0]));
            assert_cl(clReleaseEvent(gates[1]));
            work_free(&work);
            assert_cl(clReleaseCommandQueue(queue));
        }
        assert_cl(clReleaseCommandQueue(other));
        anynorm_plan_destroy(plan);
    }
}

/* anynorm's events in OpenCL's wait lists, and the other way round. */
static void test_events_both_ways(void **state)
{
    (void)state;
    for EACH (caller) {
        struct problem problem = usual_problem(13);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &work);
        cl_event gate = make_user_event(caller);
        anynorm_event wrapped = {0}, done = {0};
        assert_ok(anynorm_opencl_event_wrap(caller->device, gate, &wrapped));
        assert_ptr_equal(anynorm_opencl_event_get(&wrapped), gate);
        assert_ok(anynorm_enqueue(plan, &work.tensors, problem.rows, 1, &wrapped, &done));
        assert_true(done.valid);

        float mean = 0;
        cl_event inner = anynorm_opencl_event_get(&done), read = NULL;
        assert_non_null(inner);
        assert_cl(clEnqueueReadBuffer(caller->queue, work.memory[AN_MEAN], CL_FALSE,
                                      (size_t)problem.offset[AN_MEAN], sizeof(mean), &mean, 1,
                                      &inner, &read));
        assert_cl(clFlush(caller->queue));
        pause_briefly();
        assert_int_not_equal(state_of(inner), CL_COMPLETE);
        assert_int_not_equal(state_of(read), CL_COMPLETE);
        uint64_t elapsed = 77;
        assert_status(anynorm_event_elapsed(&done, &elapsed), ANYNORM_INVALID_ARGUMENT);
        assert_int_equal(elapsed, 77);

        assert_cl(clSetUserEventStatus(gate, CL_COMPLETE));
        assert_cl(clWaitForEvents(1, &read));
        assert_ok(anynorm_event_wait(&done));
        assert_ok(anynorm_event_wait(&done));
        assert_ok(anynorm_event_wait(&wrapped));
        assert_true(mean == mean); /* no longer the NaN it was filled with */
        work_check(&work, caller->queue, "events both ways");

        anynorm_event_release(&wrapped);
        anynorm_event_release(&done);
        assert_false(done.valid);
        anynorm_event_release(&done);
        assert_null(anynorm_opencl_event_get(&done));
        assert_null(anynorm_opencl_event_get(NULL));
        assert_cl(clReleaseEvent(read));
        assert_cl(clReleaseEvent(gate));
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

/* norm(norm(x)) on an out-of-order queue, where the wait list alone gives the order. */
static void test_chain(void **state)
{
    (void)state;
    for EACH (caller) {
        if (!has_out_of_order(caller))
            continue;
        cl_command_queue queue = make_queue(caller, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
        anynorm_plan *plan = usual_plan(caller);
        for (uint64_t seed = 20; seed < (reduced() ? 22 : 40); seed++) {
            struct problem one = usual_problem(seed), two = usual_problem(seed + 100);
            struct work first, second;
            one.spec.x_row_stride = two.spec.x_row_stride = 100;
            one.offset[AN_Y] = two.offset[AN_X] = 16;
            work_make(caller, &one, &first);
            work_make(caller, &two, &second);
            /* The plan's rows of x are 100 apart and those of y 96, so the middle is copied. */
            cl_event gate = make_user_event(caller), normed = NULL, copied = NULL, done = NULL;
            size_t from[3] = {16, 0, 0}, to[3] = {16, 0, 0};
            size_t box[3] = {96 * sizeof(float), (size_t)one.rows, 1};
            assert_ok(anynorm_opencl_enqueue(plan, queue, &first.tensors, one.rows, 1, &gate,
                                             &normed));
            assert_cl(clEnqueueCopyBufferRect(queue, first.memory[AN_Y], second.memory[AN_X], from,
                                              to, box, 96 * sizeof(float), 0, 100 * sizeof(float),
                                              0, 1, &normed, &copied));
            assert_ok(anynorm_opencl_enqueue(plan, queue, &second.tensors, two.rows, 1, &copied,
                                             &done));
            assert_cl(clSetUserEventStatus(gate, CL_COMPLETE));
            assert_cl(clWaitForEvents(1, &done));
            work_check(&first, queue, "first of a chain");
            assert_cl(clEnqueueReadBuffer(queue, second.memory[AN_X], CL_TRUE, 0,
                                          (size_t)second.before.size[AN_X],
                                          second.before.bytes[AN_X], 0, NULL, NULL));
            work_check(&second, queue, "second of a chain");
            assert_cl(clReleaseEvent(gate));
            assert_cl(clReleaseEvent(normed));
            assert_cl(clReleaseEvent(copied));
            assert_cl(clReleaseEvent(done));
            work_free(&first);
            work_free(&second);
        }
        anynorm_plan_destroy(plan);
        assert_cl(clReleaseCommandQueue(queue));
    }
}

/* Work that waits for a failed event fails, says so, writes nothing, and harms nothing later. */
static void test_failed_wait(void **state)
{
    (void)state;
    for EACH (caller) {
        struct problem problem = usual_problem(15);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &work);
        for (uint64_t rows = 0; rows <= problem.rows; rows += problem.rows) {
            cl_event gate = make_user_event(caller), done = NULL;
            anynorm_event wrapped = {0}, event = {0}, event_of_done = {0};
            assert_ok(anynorm_opencl_event_wrap(caller->device, gate, &wrapped));
            assert_ok(anynorm_enqueue(plan, &work.tensors, rows, 1, &wrapped, &event));
            assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, rows, 1, &gate,
                                             &done));
            assert_ok(anynorm_opencl_event_wrap(caller->device, done, &event_of_done));
            assert_cl(clFlush(caller->queue));
            assert_cl(clSetUserEventStatus(gate, -77));
            assert_status(anynorm_event_wait(&wrapped), ANYNORM_DEVICE_LOST);
            assert_status(anynorm_event_wait(&event), ANYNORM_DEVICE_LOST);
            assert_status(anynorm_event_wait(&event), ANYNORM_DEVICE_LOST);
            assert_non_null(strstr(anynorm_message(), "failed"));
            assert_status(anynorm_event_wait(&event_of_done), ANYNORM_DEVICE_LOST);
            assert_true(state_of(done) < 0);
            anynorm_event_release(&wrapped);
            anynorm_event_release(&event);
            anynorm_event_release(&event_of_done);
            assert_cl(clReleaseEvent(done));
            assert_cl(clReleaseEvent(gate));
        }
        cl_command_queue fresh = make_queue(caller, 0);
        assert_true(work_is_untouched(&work, fresh));
        assert_ok(anynorm_opencl_enqueue(plan, fresh, &work.tensors, problem.rows, 0, NULL, NULL));
        work_check(&work, fresh, "after a failure");
        assert_cl(clReleaseCommandQueue(fresh));
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

static void test_zero_rows(void **state)
{
    (void)state;
    for EACH (caller) {
        struct problem problem = usual_problem(17);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &work);
        cl_event gate = make_user_event(caller), done = NULL;
        anynorm_event wrapped = {0}, event = {0};
        assert_ok(anynorm_opencl_event_wrap(caller->device, gate, &wrapped));
        assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, 0, 1, &gate, &done));
        assert_ok(anynorm_enqueue(plan, &work.tensors, 0, 1, &wrapped, &event));
        assert_cl(clFlush(caller->queue));
        pause_briefly();
        assert_int_not_equal(state_of(done), CL_COMPLETE);
        assert_int_not_equal(state_of(anynorm_opencl_event_get(&event)), CL_COMPLETE);
        assert_cl(clSetUserEventStatus(gate, CL_COMPLETE));
        assert_cl(clWaitForEvents(1, &done));
        assert_ok(anynorm_event_wait(&event));
        anynorm_event_release(&event);
        anynorm_event_release(&wrapped);
        assert_cl(clReleaseEvent(done));
        assert_cl(clReleaseEvent(gate));

        assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, 0, 0, NULL, NULL));
        anynorm_tensors none = {.x = {0}};
        assert_ok(anynorm_enqueue(plan, &none, 0, 0, NULL, &event));
        assert_ok(anynorm_event_wait(&event));
        anynorm_event_release(&event);
        assert_true(work_is_untouched(&work, caller->queue));
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

/* ---- Times ---- */

static void test_elapsed(void **state)
{
    (void)state;
    for EACH (caller) {
        struct problem problem = usual_problem(19);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &work);
        uint64_t nanoseconds = UINT64_MAX;
        anynorm_event event = {0};
        assert_ok(anynorm_enqueue(plan, &work.tensors, problem.rows, 0, NULL, &event));
        assert_ok(anynorm_event_wait(&event));
        assert_ok(anynorm_event_elapsed(&event, &nanoseconds));
        assert_true(nanoseconds < UINT64_C(60000000000));
        anynorm_event_release(&event);

        cl_event done = NULL;
        assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, problem.rows, 0, NULL,
                                         &done));
        assert_ok(anynorm_opencl_event_wrap(caller->device, done, &event));
        assert_ok(anynorm_event_wait(&event));
        nanoseconds = 77;
        assert_status(anynorm_event_elapsed(&event, &nanoseconds), ANYNORM_UNSUPPORTED);
        assert_int_equal(nanoseconds, 77);
        anynorm_event_release(&event);
        assert_cl(clReleaseEvent(done));
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

static int make_callers(void **state)
{
    (void)state;
    caller_count = callers_make(callers, 8);
    return 0;
}

static int free_callers(void **state)
{
    (void)state;
    callers_free(callers, caller_count);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_borrowed_context),
        cmocka_unit_test(test_sub_buffers),
        cmocka_unit_test(test_svm),
        cmocka_unit_test(test_waits_for_user_event),
        cmocka_unit_test(test_events_both_ways),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_failed_wait),
        cmocka_unit_test(test_zero_rows),
        cmocka_unit_test(test_elapsed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("opencl", tests, make_callers, free_callers);
}
