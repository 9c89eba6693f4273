/* Rows that are split, with many enqueues in flight: the scratch memory between the two launches,
 * rows that no group could walk as a whole, and threads. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "split.h"

/* ---- Scratch ---- */

#define SLOTS 4
#define IN_FLIGHT 9

static const char by_lanes[] = "row_split segment=64 group=32";

/* Enqueues on one gated queue: in order they share a slot, out of order each takes its own, and the
 * ones past the last slot do with one kernel. All are right. */
static void gated(struct caller *caller, cl_command_queue_properties order)
{
    struct problem problem = cut(2, 1000, ANYNORM_F32);
    struct work works[IN_FLIGHT];
    cl_event events[IN_FLIGHT];
    anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, by_lanes);
    if (!plan)
        return;
    cl_command_queue queue = make_queue(caller, order);
    for (int round = 0; round < 3; round++) {
        cl_event gate = make_user_event(caller);
        unsigned long before = launches;
        for (int i = 0; i < IN_FLIGHT; i++) {
            problem.seed = (uint64_t)(round * IN_FLIGHT + i + 1);
            work_make(caller, &problem, &works[i]);
            assert_ok(
                anynorm_opencl_enqueue(plan, queue, &works[i].tensors, 2, 1, &gate, &events[i]));
        }
        assert_int_equal(launches - before, order ? IN_FLIGHT + SLOTS : 2 * IN_FLIGHT);
        assert_cl(clFlush(queue));
        assert_cl(clSetUserEventStatus(gate, CL_COMPLETE));
        assert_cl(clWaitForEvents(IN_FLIGHT, events));
        for (int i = 0; i < IN_FLIGHT; i++) {
            work_check(&works[i], caller->queue, order ? "out of order" : "in order");
            work_free(&works[i]);
            assert_cl(clReleaseEvent(events[i]));
        }
        assert_cl(clReleaseEvent(gate));
    }
    assert_cl(clReleaseCommandQueue(queue));
    anynorm_plan_destroy(plan);
}

static void test_one_queue(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        gated(caller, 0);
        if (has_out_of_order(caller))
            gated(caller, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    }
}

/* More queues in flight than there are slots, none of them flushed before the last enqueue. */
static void test_many_queues(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        struct problem problem = cut(2, 1000, ANYNORM_F32);
        struct work works[IN_FLIGHT];
        cl_command_queue queues[IN_FLIGHT];
        anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, by_lanes);
        if (!plan)
            continue;
        cl_event gate = make_user_event(caller);
        unsigned long before = launches;
        for (int i = 0; i < IN_FLIGHT; i++) {
            problem.seed = (uint64_t)i + 1;
            queues[i] = make_queue(caller, 0);
            work_make(caller, &problem, &works[i]);
            assert_ok(
                anynorm_opencl_enqueue(plan, queues[i], &works[i].tensors, 2, 1, &gate, NULL));
        }
        assert_int_equal(launches - before, IN_FLIGHT + SLOTS);
        assert_cl(clSetUserEventStatus(gate, CL_COMPLETE));
        for (int i = IN_FLIGHT - 1; i >= 0; i--) {
            assert_cl(clFinish(queues[i]));
            work_check(&works[i], queues[i], "many queues");
            assert_cl(clReleaseCommandQueue(queues[i]));
            work_free(&works[i]);
        }
        assert_cl(clReleaseEvent(gate));
        anynorm_plan_destroy(plan);
    }
}

/* Work that waits for what failed writes nothing, in either launch, and leaves its slot free. */
static void test_failed_wait(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        struct problem problem = cut(2, 1000, ANYNORM_F32);
        struct work work;
        anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, by_lanes);
        if (!plan)
            continue;
        work_make(caller, &problem, &work);
        for (int i = 0; i < 2 * SLOTS; i++) {
            cl_command_queue queue = make_queue(caller, 0);
            cl_event gate = make_user_event(caller), done = NULL;
            anynorm_event event = {0};
            unsigned long before = launches;
            assert_ok(anynorm_opencl_enqueue(plan, queue, &work.tensors, 2, 1, &gate, &done));
            assert_int_equal(launches - before, 2);
            assert_cl(clFlush(queue));
            assert_cl(clSetUserEventStatus(gate, -77));
            assert_ok(anynorm_opencl_event_wrap(caller->device, done, &event));
            assert_status(anynorm_event_wait(&event), ANYNORM_DEVICE_LOST);
            anynorm_event_release(&event);
            assert_cl(clReleaseEvent(done));
            assert_cl(clReleaseEvent(gate));
            assert_cl(clReleaseCommandQueue(queue));
        }
        cl_command_queue fresh = make_queue(caller, 0);
        assert_true(work_is_untouched(&work, fresh));
        assert_ok(anynorm_opencl_enqueue(plan, fresh, &work.tensors, 2, 0, NULL, NULL));
        work_check(&work, fresh, "after a failure");
        assert_cl(clReleaseCommandQueue(fresh));
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

/* A wait list of any length; where it is too long for the second launch, there is only one. */
static void test_long_wait_lists(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        struct problem problem = cut(2, 1000, ANYNORM_F32);
        anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, by_lanes);
        for (cl_uint count = 63; plan && count <= 66; count++) {
            struct work work;
            cl_event gates[66], done = NULL;
            work_make(caller, &problem, &work);
            for (cl_uint i = 0; i < count; i++)
                gates[i] = make_user_event(caller);
            unsigned long before = launches;
            assert_ok(
                anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, 2, count, gates, &done));
            assert_int_equal(launches - before, count <= ANYNORM_MAX_WAIT ? 2 : 1);
            for (cl_uint i = 0; i < count; i++) {
                assert_cl(clSetUserEventStatus(gates[i], CL_COMPLETE));
                assert_cl(clReleaseEvent(gates[i]));
            }
            assert_cl(clWaitForEvents(1, &done));
            assert_cl(clReleaseEvent(done));
            work_check(&work, caller->queue, "a long wait list");
            work_free(&work);
        }
        anynorm_plan_destroy(plan);
    }
}

/* The time of two kernels is from the start of the first to the end of the second. */
static void test_elapsed(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        struct problem problem = cut(2, 8192, ANYNORM_F32);
        struct work work;
        anynorm_event event;
        uint64_t both = 0;
        cl_ulong start = 0, end = 0;
        anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, by_lanes);
        if (!plan)
            continue;
        work_make(caller, &problem, &work);
        assert_ok(anynorm_enqueue(plan, &work.tensors, 2, 0, NULL, &event));
        assert_ok(anynorm_event_wait(&event));
        assert_ok(anynorm_event_elapsed(&event, &both));
        assert_non_null(event.first);
        assert_ptr_not_equal(event.first, event.handle);
        assert_cl(clGetEventProfilingInfo(event.first, CL_PROFILING_COMMAND_START, sizeof(start),
                                          &start, NULL));
        assert_cl(clGetEventProfilingInfo(event.handle, CL_PROFILING_COMMAND_END, sizeof(end), &end,
                                          NULL));
        assert_int_equal(both, end - start);
        anynorm_event_release(&event);
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

/* ---- Rows that no group could walk as a whole ---- */

/* Of four lanes of a CPU that has nothing but lanes, whose loops end, and a column more. */
#define PIECES_COLUMNS (4 * 131072 + 1)

static cl_int CL_API_CALL lanes_GetDeviceInfo(cl_device_id id, cl_device_info what, size_t room,
                                              void *value, size_t *size)
{
    static const cl_uint one = 1;
    static const char name[] = "llvmpipe (LLVM 15.0.6, 256 bits)", driver[] = "22.3.6";
    const void *answer = what == CL_DEVICE_NAME ? name : what == CL_DRIVER_VERSION ? driver : NULL;
    size_t bytes = what == CL_DEVICE_NAME ? sizeof(name) : sizeof(driver);
    if (what == CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT || what == CL_DEVICE_MAX_COMPUTE_UNITS) {
        answer = &one;
        bytes = sizeof(one);
    }
    if (!answer)
        return real.GetDeviceInfo(id, what, room, value, size);
    return answer_info(answer, bytes, room, value, size);
}

static cl_mem CL_API_CALL no_memory(cl_context context, cl_mem_flags flags, size_t bytes,
                                    void *host, cl_int *code)
{
    (void)context;
    (void)flags;
    (void)bytes;
    (void)host;
    *code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return NULL;
}

/* The caller's device as if it were an old llvmpipe, of one unit and groups of four; false where it
 * is none that could be so. */
static bool make_lanes(const struct caller *caller, struct caller *lanes)
{
    if (caller->info.device_class != ANYNORM_CLASS_CPU || strstr(caller->info.name, "Oclgrind"))
        return false;
    table->GetDeviceInfo = lanes_GetDeviceInfo;
    *lanes = (struct caller){.device = open_device_with(caller->id, "max-wg=4")};
    table->GetDeviceInfo = real.GetDeviceInfo;
    assert_ok(anynorm_opencl_device_handles(lanes->device, &lanes->context, &lanes->cl_id));
    lanes->queue = make_queue(lanes, 0);
    return true;
}

/* More in flight than the plan has scratch for, and a wait list that is too long for a slot. */
static void pieces_in_flight(struct caller *lanes, anynorm_plan *plan, struct problem problem)
{
    struct work works[SLOTS + 2];
    cl_command_queue queues[SLOTS + 2];
    cl_event gates[ANYNORM_MAX_WAIT + 1];
    unsigned long before = launches;
    problem.rows = 1;
    for (size_t i = 0; i < COUNT(gates); i++)
        gates[i] = make_user_event(lanes);
    for (size_t i = 0; i < COUNT(queues); i++) {
        problem.seed = i + 1;
        queues[i] = make_queue(lanes, 0);
        work_make(lanes, &problem, &works[i]);
        assert_ok(anynorm_opencl_enqueue(plan, queues[i], &works[i].tensors, 1,
                                         i > 0 ? 1 : (cl_uint)COUNT(gates), gates, NULL));
    }
    assert_int_equal(launches - before, 2 * COUNT(queues));
    for (size_t i = 0; i < COUNT(gates); i++) {
        assert_cl(clSetUserEventStatus(gates[i], CL_COMPLETE));
        assert_cl(clReleaseEvent(gates[i]));
    }
    for (size_t i = 0; i < COUNT(queues); i++) {
        assert_cl(clFinish(queues[i]));
        work_check(&works[i], queues[i], "pieces in flight");
        assert_cl(clReleaseCommandQueue(queues[i]));
        work_free(&works[i]);
    }
}

/* Split in any number of rows, whatever else is in flight, and whatever they wait for. */
static void test_in_pieces(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        struct caller lanes;
        struct problem problem = cut(6, PIECES_COLUMNS, ANYNORM_F32);
        struct work work;
        anynorm_plan_info told;
        if (!make_lanes(caller, &lanes))
            continue;
        anynorm_plan *plan = make_plan(lanes.device, &problem.spec, NULL);
        assert_ok(anynorm_plan_describe(plan, &told));
        assert_string_equal(told.choice, "row_split group=4 vector=4 segment=131072");
        work_make(&lanes, &problem, &work);

        /* More rows than there is scratch for; where there is no memory for it, nothing is
         * launched. */
        unsigned long before = launches;
        table->CreateBuffer = no_memory;
        assert_status(anynorm_opencl_enqueue(plan, lanes.queue, &work.tensors, 6, 0, NULL, NULL),
                      ANYNORM_OUT_OF_MEMORY);
        table->CreateBuffer = real.CreateBuffer;
        assert_int_equal(launches, before);
        assert_true(work_is_untouched(&work, lanes.queue));
        assert_int_equal(run(&lanes, plan, &work, 1), 2);
        assert_int_equal(run(&lanes, plan, &work, 6), 2);
        assert_int_equal(launched_groups, 6 * 5);
        work_check(&work, lanes.queue, "in pieces");
        work_free(&work);

        if (has_user_events(&lanes))
            pieces_in_flight(&lanes, plan, problem);
        anynorm_plan_destroy(plan);
        assert_cl(clReleaseCommandQueue(lanes.queue));
        anynorm_device_close(lanes.device);
    }
}

/* ---- Threads ---- */

#define THREADS 8

static const char *const by_either[] = {"row_split segment=64", by_lanes};

struct worker {
    pthread_t thread;
    anynorm_plan *plan;
    cl_command_queue queue;
    struct work work;
    unsigned char *expected;
    unsigned wrong;
};

/* cmocka's checks work in the main thread only. */
static void *enqueue_often(void *argument)
{
    struct worker *worker = argument;
    size_t bytes = (size_t)worker->work.before.size[AN_Y];
    unsigned char *y = malloc(bytes);
    for (int i = 0; y && i < (reduced() ? 5 : 200); i++) {
        uint64_t rows = 1 + (uint64_t)i % 3;
        worker->wrong += anynorm_opencl_enqueue(worker->plan, worker->queue, &worker->work.tensors,
                                                rows, 0, NULL, NULL) != ANYNORM_OK;
        if (i % 4 != 3)
            continue;
        worker->wrong += anynorm_opencl_enqueue(worker->plan, worker->queue, &worker->work.tensors,
                                                3, 0, NULL, NULL) != ANYNORM_OK ||
                         clEnqueueReadBuffer(worker->queue, worker->work.memory[AN_Y], CL_TRUE, 0,
                                             bytes, y, 0, NULL, NULL) != CL_SUCCESS ||
                         memcmp(y, worker->expected, bytes) != 0;
    }
    worker->wrong += y == NULL;
    free(y);
    return NULL;
}

/* Eight threads, one plan: each on a queue of its own, then all on two. */
static void test_threads(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (strstr(caller->info.name, "Oclgrind") || strcmp(caller->info.platform, "rusticl") == 0)
            continue; /* test_threads.c says why */
        for (size_t c = 0; c < 2; c++) {
            for (int queues = THREADS; queues >= 2; queues -= THREADS - 2) {
                struct problem problem = cut(3, 1000, ANYNORM_F32);
                static struct worker workers[THREADS];
                cl_command_queue made[THREADS];
                anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, by_either[c]);
                if (!plan)
                    continue;
                for (int q = 0; q < queues; q++)
                    made[q] = make_queue(caller, 0);
                for (int i = 0; i < THREADS; i++) {
                    problem.seed = (uint64_t)i + 1;
                    workers[i] = (struct worker){.plan = plan, .queue = made[i % queues]};
                    work_make(caller, &problem, &workers[i].work);
                    run(caller, plan, &workers[i].work, 3);
                    work_check(&workers[i].work, caller->queue, "alone");
                    workers[i].expected = read_tensor(caller, &workers[i].work, AN_Y);
                }
                for (int i = 0; i < THREADS; i++)
                    assert_int_equal(
                        pthread_create(&workers[i].thread, NULL, enqueue_often, &workers[i]), 0);
                for (int i = 0; i < THREADS; i++)
                    assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
                for (int q = 0; q < queues; q++) {
                    assert_cl(clFinish(made[q]));
                    assert_cl(clReleaseCommandQueue(made[q]));
                }
                for (int i = 0; i < THREADS; i++) {
                    assert_int_equal(workers[i].wrong, 0);
                    free(workers[i].expected);
                    work_free(&workers[i].work);
                }
                anynorm_plan_destroy(plan);
            }
        }
    }
}

/* ---- A second launch that fails ---- */

static cl_event begun; /* of the first kernel since it was NULL; those after it fail */

static cl_int CL_API_CALL fail_the_second(cl_command_queue queue, cl_kernel kernel,
                                          cl_uint dimensions, const size_t *offset,
                                          const size_t *global, const size_t *local,
                                          cl_uint wait_count, const cl_event *wait_list,
                                          cl_event *event)
{
    if (begun)
        return CL_OUT_OF_RESOURCES;
    cl_int code = real.EnqueueNDRangeKernel(queue, kernel, dimensions, offset, global, local,
                                            wait_count, wait_list, event);
    if (code == CL_SUCCESS && clRetainEvent(*event) == CL_SUCCESS)
        begun = *event;
    return code;
}

/* Memory for a tensor: inputs at a page, where the device takes them as they are; outputs beside
 * one, so that nothing but the kernels' end is waited for on their account. */
static void *place(const anynorm_spec *spec, enum an_tensor t, const struct images *images,
                   void **page)
{
    size_t bytes = (size_t)images->size[t];
    *page = NULL;
    if (!images->bytes[t] || t == AN_WORKSPACE)
        return NULL;
    assert_int_equal(posix_memalign(page, 4096, bytes + 4096), 0);
    unsigned char *at = (unsigned char *)*page + (an_tensor_expect(spec, t).output ? 1 : 0);
    memcpy(at, images->bytes[t], bytes);
    return at;
}

/* The first kernel reads what the caller may free then: it has ended when anynorm_run returns. */
static void test_failed_second(void **state)
{
    (void)state;
    static const struct {
        const char *text, *schedule;
    } cases[] = {{"layer-norm 1x3000001 weight bias", "row_split segment=4096"},
                 {"layer-norm 20000x300 weight bias backward", "row_reread"}};
    FOR_EACH_CALLER (caller) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            struct problem problem = {.seed = 3};
            struct images images;
            void *at[AN_TENSOR_COUNT], *pages[AN_TENSOR_COUNT];
            cl_int state_of_first = CL_QUEUED;
            assert_ok(anynorm_spec_parse(cases[i].text, &problem.spec, &problem.rows));
            anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, cases[i].schedule);
            if (!plan)
                continue;
            images_make(&problem, &images);
            for (int t = 0; t < AN_TENSOR_COUNT; t++)
                at[t] = place(&problem.spec, (enum an_tensor)t, &images, &pages[t]);
            const anynorm_host_tensors tensors = host_tensors_at(at);
            begun = NULL;
            const __typeof__(table->EnqueueNDRangeKernel) counted = table->EnqueueNDRangeKernel;
            table->EnqueueNDRangeKernel = fail_the_second;
            anynorm_status status = anynorm_run(plan, &tensors, problem.rows);
            table->EnqueueNDRangeKernel = counted;
            if (!begun)
                fail_msg("%s: no kernel was launched", cases[i].text);
            assert_cl(clGetEventInfo(begun, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                     sizeof(state_of_first), &state_of_first, NULL));
            assert_cl(clWaitForEvents(1, &begun));
            assert_cl(clReleaseEvent(begun));
            assert_status(status, ANYNORM_OUT_OF_MEMORY);
            assert_int_equal(state_of_first, CL_COMPLETE);
            images_free(&images);
            for (int t = 0; t < AN_TENSOR_COUNT; t++)
                free(pages[t]);
            anynorm_plan_destroy(plan);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_queue),   cmocka_unit_test(test_many_queues),
        cmocka_unit_test(test_failed_wait), cmocka_unit_test(test_long_wait_lists),
        cmocka_unit_test(test_elapsed),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_in_pieces),   cmocka_unit_test(test_failed_second),
    };
    return cmocka_run_group_tests_name("split_in_flight", tests, count_launches, stop_counting);
}
