/* <anynorm/opencl.h> and events: wait lists, failures and times. */
#include <stdio.h>
#include <string.h>

#include "opencl_support.h"

static cl_int state_of(cl_event event)
{
    cl_int state = 1000;
    assert_cl(
        clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(state), &state, NULL));
    return state;
}

/* ---- Wait lists ---- */

/* The enqueue returns while what it waits for is not there, and writes nothing before it is. */
static void test_waits_for_user_event(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
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
            assert_ok(
                anynorm_opencl_enqueue(plan, queue, &work.tensors, problem.rows, 2, gates, &done));
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

/* Gradients, which are two kernels, of tensors and a workspace at offsets: nothing begins before
 * the caller's event, and his event is done when the second kernel is. Two enqueues of one plan,
 * each with a workspace of its own, in any order. */
static void test_gradients(void **state)
{
    (void)state;
    struct problem problem = {.seed = 12};
    assert_ok(anynorm_spec_parse("layer-norm 37x96 weight bias mean rstd backward", &problem.spec,
                                 &problem.rows));
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        problem.offset[t] = 16 + 8 * (uint64_t)t;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        cl_command_queue other = make_queue(caller, 0);
        anynorm_plan *plan = make_plan(caller->device, &problem.spec, NULL);
        for (int loose = 0; loose < 2; loose++) {
            if (loose && !has_out_of_order(caller))
                continue;
            cl_command_queue queue =
                make_queue(caller, loose ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0);
            struct problem another = problem;
            struct work works[2];
            another.seed = 13;
            work_make(caller, &problem, &works[0]);
            work_make(caller, &another, &works[1]);
            cl_event gate = make_user_event(caller), done[2] = {NULL, NULL};
            for (int i = 0; i < 2; i++)
                assert_ok(anynorm_opencl_enqueue(plan, queue, &works[i].tensors, problem.rows, 1,
                                                 &gate, &done[i]));
            assert_cl(clFlush(queue));
            pause_briefly();
            for (int i = 0; i < 2; i++) {
                assert_int_not_equal(state_of(done[i]), CL_COMPLETE);
                assert_true(work_is_untouched(&works[i], other));
            }
            assert_cl(clSetUserEventStatus(gate, CL_COMPLETE));
            assert_cl(clWaitForEvents(2, done));
            for (int i = 0; i < 2; i++) {
                work_check(&works[i], other, loose ? "out of order" : "in order");
                assert_cl(clReleaseEvent(done[i]));
                work_free(&works[i]);
            }
            assert_cl(clReleaseEvent(gate));
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
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
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
    FOR_EACH_CALLER (caller) {
        if (!has_out_of_order(caller) || !has_user_events(caller))
            continue;
        cl_command_queue queue = make_queue(caller, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
        anynorm_plan *plan = usual_plan(caller);
        for (uint64_t seed = 20; seed < (reduced() ? 22 : 40); seed++) {
            struct problem one = usual_problem(seed), two = usual_problem(seed + 100);
            struct work first, second;
            one.spec.x.row_stride = two.spec.x.row_stride = 100;
            one.offset[AN_Y] = two.offset[AN_X] = 16;
            work_make(caller, &one, &first);
            work_make(caller, &two, &second);
            /* The plan's rows of x are 100 apart and those of y 96, so the middle is copied. */
            cl_event gate = make_user_event(caller), normed = NULL, copied = NULL, done = NULL;
            size_t from[3] = {16, 0, 0}, to[3] = {16, 0, 0};
            size_t box[3] = {96 * sizeof(float), (size_t)one.rows, 1};
            assert_ok(
                anynorm_opencl_enqueue(plan, queue, &first.tensors, one.rows, 1, &gate, &normed));
            assert_cl(clEnqueueCopyBufferRect(queue, first.memory[AN_Y], second.memory[AN_X], from,
                                              to, box, 96 * sizeof(float), 0, 100 * sizeof(float),
                                              0, 1, &normed, &copied));
            assert_ok(
                anynorm_opencl_enqueue(plan, queue, &second.tensors, two.rows, 1, &copied, &done));
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
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        struct problem problem = usual_problem(15);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &work);
        for (uint64_t rows = 0; rows <= problem.rows; rows += problem.rows) {
            cl_command_queue queue = make_queue(caller, 0); /* of no use afterwards, to some */
            cl_event gate = make_user_event(caller), done = NULL;
            anynorm_event wrapped = {0}, event = {0}, event_of_done = {0};
            assert_ok(anynorm_opencl_event_wrap(caller->device, gate, &wrapped));
            assert_ok(anynorm_enqueue(plan, &work.tensors, rows, 1, &wrapped, &event));
            assert_ok(anynorm_opencl_enqueue(plan, queue, &work.tensors, rows, 1, &gate, &done));
            assert_ok(anynorm_opencl_event_wrap(caller->device, done, &event_of_done));
            assert_cl(clFlush(queue));
            assert_cl(clSetUserEventStatus(gate, -77));
            assert_status(anynorm_event_wait(&wrapped), ANYNORM_DEVICE_LOST);
            assert_status(anynorm_event_wait(&event), ANYNORM_DEVICE_LOST);
            assert_status(anynorm_event_wait(&event), ANYNORM_DEVICE_LOST);
            assert_non_null(strstr(anynorm_message(), "failed"));
            assert_status(anynorm_event_wait(&event_of_done), ANYNORM_DEVICE_LOST);
            /* Intel's has the state of a complete command, and only the wait tells. */
            assert_true(state_of(done) < 0 || clWaitForEvents(1, &done) != CL_SUCCESS);
            anynorm_event_release(&wrapped);
            anynorm_event_release(&event);
            anynorm_event_release(&event_of_done);
            assert_cl(clReleaseEvent(done));
            assert_cl(clReleaseEvent(gate));
            assert_cl(clReleaseCommandQueue(queue));
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

/* All that goes through the device's own queue. */
static void check_own_queue(const struct caller *caller, anynorm_plan *plan)
{
    struct problem problem = usual_problem(16);
    struct work work;
    uint64_t nanoseconds;
    float mean = 0;
    anynorm_event event = {0};
    work_make(caller, &problem, &work);
    assert_ok(anynorm_enqueue(plan, &work.tensors, problem.rows, 0, NULL, &event));
    assert_ok(anynorm_buffer_read(caller->device, &work.tensors.mean, &mean, sizeof(mean)));
    assert_true(mean == mean); /* no longer the NaN it was filled with */
    assert_ok(anynorm_event_wait(&event));
    assert_ok(anynorm_event_elapsed(&event, &nanoseconds));
    anynorm_event_release(&event);
    assert_ok(anynorm_enqueue(plan, &work.tensors, 0, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    assert_ok(anynorm_plan_warm_up(plan, 3));
    cl_command_queue fresh = make_queue(caller, 0);
    work_check(&work, fresh, "on a device whose queue has failed");
    assert_cl(clReleaseCommandQueue(fresh));
    work_free(&work);
}

static anynorm_event enqueue_gated(const struct caller *caller, anynorm_plan *plan,
                                   const struct work *work, cl_event gate)
{
    anynorm_event wrapped = {0}, event = {0};
    assert_ok(anynorm_opencl_event_wrap(caller->device, gate, &wrapped));
    assert_ok(anynorm_enqueue(plan, &work->tensors, work->problem.rows, 1, &wrapped, &event));
    anynorm_event_release(&wrapped);
    return event;
}

/* The device's own queue serves on after a failed event ended it, or not: whether the library was
 * asked to wait for what failed, or the driver alone, and time after time. */
static void test_own_queue_after_failure(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        struct problem problem = usual_problem(15);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &work);
        for (int i = 0; i < 6; i++) {
            cl_event gate = make_user_event(caller);
            anynorm_event event = enqueue_gated(caller, plan, &work, gate);
            cl_event inner = anynorm_opencl_event_get(&event);
            assert_cl(clSetUserEventStatus(gate, -77));
            if (i % 2)
                (void)clWaitForEvents(1, &inner);
            else
                assert_status(anynorm_event_wait(&event), ANYNORM_DEVICE_LOST);
            if (i < 4)
                check_own_queue(caller, plan);
            anynorm_event_release(&event);
            assert_cl(clReleaseEvent(gate));
        }
        check_own_queue(caller, plan);
        cl_command_queue fresh = make_queue(caller, 0);
        assert_true(work_is_untouched(&work, fresh));
        assert_cl(clReleaseCommandQueue(fresh));
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

/* What failed while more is under way: where the queue goes on, later commands still come after. */
static void test_order_after_failure(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        struct problem problem = usual_problem(18);
        struct work first, second;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &first);
        work_make(caller, &problem, &second);
        cl_event bad = make_user_event(caller), good = make_user_event(caller);
        anynorm_event failing = enqueue_gated(caller, plan, &first, bad);
        anynorm_event under_way = enqueue_gated(caller, plan, &second, good), last = {0};
        (void)anynorm_opencl_event_get(&under_way);
        assert_cl(clSetUserEventStatus(bad, -77));
        assert_status(anynorm_event_wait(&failing), ANYNORM_DEVICE_LOST);
        assert_ok(anynorm_enqueue(plan, &second.tensors, problem.rows, 0, NULL, &last));
        (void)anynorm_opencl_event_get(&last);
        pause_briefly();
        bool goes_on = state_of(under_way.handle) > CL_COMPLETE;
        if (goes_on)
            assert_int_not_equal(state_of(last.handle), CL_COMPLETE);
        assert_cl(clSetUserEventStatus(good, CL_COMPLETE));
        anynorm_status waited = anynorm_event_wait(&last);
        if (goes_on)
            assert_int_equal(waited, anynorm_event_wait(&under_way));
        check_own_queue(caller, plan);
        fprintf(stderr, "# %s: what is under way behind a failed command %s\n",
                caller->info.platform, goes_on ? "waits on" : "fails with it");
        anynorm_event_release(&failing);
        anynorm_event_release(&under_way);
        anynorm_event_release(&last);
        assert_cl(clReleaseEvent(bad));
        assert_cl(clReleaseEvent(good));
        work_free(&first);
        work_free(&second);
        anynorm_plan_destroy(plan);
    }
}

static void test_zero_rows(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
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
    FOR_EACH_CALLER (caller) {
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
        /* Mesa's driver and Oclgrind measure every queue. */
        cl_ulong end;
        cl_int code =
            clGetEventProfilingInfo(done, CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL);
        nanoseconds = 77;
        assert_status(anynorm_event_elapsed(&event, &nanoseconds),
                      code == CL_PROFILING_INFO_NOT_AVAILABLE ? ANYNORM_UNSUPPORTED : ANYNORM_OK);
        assert_true(code == CL_SUCCESS || nanoseconds == 77);
        anynorm_event_release(&event);
        assert_cl(clReleaseEvent(done));

        /* The event outlives the queue it came from. */
        cl_command_queue profiled = make_queue(caller, CL_QUEUE_PROFILING_ENABLE);
        assert_ok(
            anynorm_opencl_enqueue(plan, profiled, &work.tensors, problem.rows, 0, NULL, &done));
        assert_cl(clFinish(profiled));
        assert_cl(clReleaseCommandQueue(profiled));
        assert_ok(anynorm_opencl_event_wrap(caller->device, done, &event));
        assert_cl(clReleaseEvent(done));
        assert_ok(anynorm_event_wait(&event));
        assert_ok(anynorm_event_elapsed(&event, &nanoseconds));
        anynorm_event_release(&event);
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_user_event),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_events_both_ways),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_failed_wait),
        cmocka_unit_test(test_own_queue_after_failure),
        cmocka_unit_test(test_order_after_failure),
        cmocka_unit_test(test_zero_rows),
        cmocka_unit_test(test_elapsed),
    };
    return cmocka_run_group_tests_name("opencl events", tests, make_callers, free_callers);
}
