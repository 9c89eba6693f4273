/* Rows that are cut into segments, split among work-groups or not: the same bits, and right ones;
 * and the scratch memory between the two launches, with many enqueues in flight. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl/library.h"
#include "opencl_support.h"
#include "spec_flags.h"

/* Segments of the least size, so that small rows have many; by cores and by lanes. */
static const char *const choices[] = {"row_split segment=64", "row_split segment=64 group=32",
                                      "row_split segment=16 group=7", "row_split",
                                      "row_reread segment=64"};

/* ---- Counting launches ---- */

static struct an_cl *table;
static struct an_cl real;
static unsigned long launches;
static size_t launched_groups; /* by the last of them */

static cl_int CL_API_CALL counting_EnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
                                                        cl_uint dimensions, const size_t *offset,
                                                        const size_t *global, const size_t *local,
                                                        cl_uint wait_count,
                                                        const cl_event *wait_list, cl_event *event)
{
    __atomic_add_fetch(&launches, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&launched_groups, *global / *local, __ATOMIC_RELAXED);
    return real.EnqueueNDRangeKernel(queue, kernel, dimensions, offset, global, local, wait_count,
                                     wait_list, event);
}

static int count_launches(void **state)
{
    assert_ok(an_cl_load(&table));
    real = *table;
    table->EnqueueNDRangeKernel = counting_EnqueueNDRangeKernel;
    return make_callers(state);
}

static int stop_counting(void **state)
{
    *table = real;
    return free_callers(state);
}

/* How many kernels `rows` rows of the work take, on the caller's queue. Waits. */
static unsigned long run(const struct caller *caller, anynorm_plan *plan, const struct work *work,
                         uint64_t rows)
{
    unsigned long before = launches;
    cl_event done = NULL;
    assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &work->tensors, rows, 0, NULL, &done));
    assert_cl(clWaitForEvents(1, &done));
    assert_cl(clReleaseEvent(done));
    return launches - before;
}

static struct problem cut(uint64_t rows, uint64_t columns, anynorm_dtype type)
{
    return dense_problem(rows, columns, type, ALL_FLAGS);
}

/* ---- Values ---- */

static unsigned char *read_tensor(const struct caller *caller, const struct work *work, int tensor)
{
    size_t bytes = (size_t)work->before.size[tensor];
    unsigned char *data = malloc(bytes);
    assert_non_null(data);
    assert_cl(clEnqueueReadBuffer(caller->queue, work->memory[tensor], CL_TRUE, 0, bytes, data, 0,
                                  NULL, NULL));
    return data;
}

/* What work.before has of it now. */
static void write_tensor(const struct caller *caller, const struct work *work, int tensor)
{
    assert_cl(clEnqueueWriteBuffer(caller->queue, work->memory[tensor], CL_TRUE, 0,
                                   (size_t)work->before.size[tensor], work->before.bytes[tensor], 0,
                                   NULL, NULL));
}

/* The first rows have the same bits whether they come alone, and are split, or with many others. */
static void same_bits(const struct caller *caller, const char *choice, const struct problem *many)
{
    anynorm_plan *plan = plan_if_fits(caller->device, &many->spec, choice);
    if (!plan)
        return;
    size_t row_bytes = (size_t)(many->spec.columns * anynorm_dtype_size(many->spec.y.type));
    struct work whole;
    work_make(caller, many, &whole);
    unsigned long most = run(caller, plan, &whole, many->rows), least = most;
    work_check(&whole, caller->queue, choice);
    unsigned char *expected = read_tensor(caller, &whole, AN_Y);
    unsigned char *expected_rstd = read_tensor(caller, &whole, AN_RSTD);
    for (uint64_t rows = 1; rows < many->rows; rows += rows < 9 ? 1 : 8) {
        write_tensor(caller, &whole, AN_Y);
        unsigned long kernels = run(caller, plan, &whole, rows);
        most = kernels > most ? kernels : most;
        least = kernels < least ? kernels : least;
        unsigned char *got = read_tensor(caller, &whole, AN_Y);
        unsigned char *rstd = read_tensor(caller, &whole, AN_RSTD);
        if (memcmp(got, expected, (size_t)rows * row_bytes) != 0 ||
            memcmp(rstd, expected_rstd, (size_t)rows * sizeof(float)) != 0) {
            fprintf(stderr, "%s, %s: other bits with %lu rows\n", choice, problem_text(many),
                    (unsigned long)rows);
            fail();
        }
        free(got);
        free(rstd);
    }
    /* Else this compares nothing: both ways of launching must have been met. */
    if (strstr(choice, "segment=64") && strncmp(choice, "row_split", 9) == 0 &&
        many->spec.columns > 64) {
        assert_int_equal(least, 1);
        assert_int_equal(most, 2);
    } else if (strncmp(choice, "row_reread", 10) == 0) {
        assert_int_equal(most, 1);
    }
    free(expected);
    free(expected_rstd);
    work_free(&whole);
    anynorm_plan_destroy(plan);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const uint64_t columns[] = {1, 63, 64, 65, 200, 1024, 4099, 8192};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};
    FOR_EACH_CALLER (caller) {
        uint64_t rows = caller->info.compute_units * 4 + 2;
        for (size_t i = 0; i < COUNT(columns); i += reduced() ? 4 : 1) {
            for (size_t c = 0; c < COUNT(choices); c++) {
                anynorm_dtype type = types[(i + c) % COUNT(types)];
                if (type == ANYNORM_F64 && !caller->info.fp64)
                    type = ANYNORM_F32;
                struct problem many = cut(rows > 200 ? 200 : rows, columns[i], type);
                same_bits(caller, choices[c], &many);
                many.values = VALUES_MEAN_1E7;
                many.spec.x.type = many.spec.y.type = ANYNORM_F32;
                same_bits(caller, choices[c], &many);
            }
        }
    }
}

/* All kinds of values; few rows, so that they are split, and many. */
static void test_values(void **state)
{
    (void)state;
    static const uint64_t columns[] = {130, 1000, 8191};
    struct errors worst = {0};
    FOR_EACH_CALLER (caller) {
        for (int values = 0; values < VALUES_COUNT; values++) {
            for (size_t i = 0; i < COUNT(columns) - (reduced() ? 1 : 0); i++) {
                for (size_t c = 0; c < COUNT(choices); c++) {
                    struct problem problem = cut(1, columns[i], ANYNORM_F32);
                    problem.values = (enum values)values;
                    check_problem(caller->device, &problem, choices[c], 0, &worst);
                    problem = cut(19, columns[i], ANYNORM_BF16);
                    problem.values = (enum values)values;
                    check_problem(caller->device, &problem, choices[c], 0, &worst);
                }
            }
        }
    }
}

/* Segments whose means lie far apart, the first one's farthest: what each segment took for its
 * pivot is of no use to the row. */
static void test_drifting_means(void **state)
{
    (void)state;
    static const float steps[] = {1e3f, 1e5f, 3e6f};
    FOR_EACH_CALLER (caller) {
        for (size_t c = 0; c < COUNT(choices); c++) {
            for (size_t k = 0; k < COUNT(steps); k++) {
                struct problem problem = cut(2, 8000, ANYNORM_F32);
                struct work work;
                anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, choices[c]);
                if (!plan)
                    continue;
                work_make(caller, &problem, &work);
                float *x = (float *)(void *)work.before.bytes[AN_X];
                for (int i = 0; i < 16000; i++)
                    x[i] += i < 8000 ? (i < 64 ? steps[k] : 0) : (float)(i / 64 % 7) * steps[k];
                write_tensor(caller, &work, AN_X);
                run(caller, plan, &work, 1);
                run(caller, plan, &work, 2);
                work_check(&work, caller->queue, choices[c]);
                work_free(&work);
                anynorm_plan_destroy(plan);
            }
        }
    }
}

/* A NaN or an infinity in one segment spoils all of its row, and no other. */
static void test_not_numbers(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000};
    static const uint64_t places[] = {0, 1, 63, 64, 500, 935, 936, 999};
    FOR_EACH_CALLER (caller) {
        for (size_t c = 0; c < COUNT(choices); c++) {
            struct problem problem = cut(3, 1000, ANYNORM_F32);
            anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, choices[c]);
            for (size_t i = 0; plan && i < COUNT(places); i++) {
                struct work work;
                work_make(caller, &problem, &work);
                memcpy(work.before.bytes[AN_X] + (1000 + places[i]) * 4, &bad[i % COUNT(bad)], 4);
                write_tensor(caller, &work, AN_X);
                run(caller, plan, &work, 3);
                work_check(&work, caller->queue, choices[c]);
                work_free(&work);
            }
            anynorm_plan_destroy(plan);
        }
    }
}

static void test_layouts(void **state)
{
    (void)state;
    struct errors worst = {0};
    FOR_EACH_CALLER (caller) {
        for (size_t c = 0; c < COUNT(choices); c++) {
            for (uint64_t rows = 1; rows <= 5; rows += 2) {
                struct problem problem;
                /* In place, a piece that is done twice shows; so rows that end with part vectors.
                 */
                for (uint64_t columns = 1; columns <= 301; columns += 75) {
                    problem = cut(rows, columns, ANYNORM_F32);
                    problem.y_place = OVER_X;
                    check_problem(caller->device, &problem, choices[c], 0, &worst);
                }
                problem = cut(rows, 300, ANYNORM_F32);
                problem.y_place = OVER_X;
                check_problem(caller->device, &problem, choices[c], 0, &worst);
                problem.spec.x.row_stride = problem.spec.y.row_stride = 307;
                check_problem(caller->device, &problem, choices[c], 0, &worst);

                problem = cut(rows, 300, ANYNORM_BF16);
                problem.spec.inner_rows = 2;
                problem.spec.x.row_stride = 301;
                problem.spec.x.outer_stride = 4 * 301;
                check_problem(caller->device, &problem, choices[c], 0, &worst);

                problem = cut(rows, 300, ANYNORM_F32);
                problem.spec.flags |= ANYNORM_ANY_ALIGNMENT;
                for (uint64_t t = 0; t < 6; t++)
                    problem.offset[t] = 2 * t + 1;
                check_problem(caller->device, &problem, choices[c], 0, &worst);
            }
        }
    }
}

/* Few work-groups for many segments. */
static void test_limits(void **state)
{
    (void)state;
    static const char *const caps[] = {"max-groups=3", "max-groups=1"};
    struct errors worst = {0};
    FOR_EACH_CALLER (caller) {
        for (size_t i = 0; i < COUNT(caps); i++) {
            anynorm_device *device = open_device_with(caller->id, caps[i]);
            for (size_t c = 0; c < COUNT(choices); c++) {
                for (uint64_t rows = 1; rows < 20; rows += 6) {
                    struct problem problem = cut(rows, 1000, ANYNORM_F32);
                    check_problem(device, &problem, choices[c], 0, &worst);
                }
            }
            anynorm_device_close(device);
        }
    }
}

/* Statistics that are given leave nothing to the first launch; those that are all that is asked for
 * leave the second something to do only where a sum is written, but it is the one that merges. */
static void test_statistics_apart(void **state)
{
    (void)state;
    static const struct {
        anynorm_spec spec;
        unsigned long launches;
    } cases[] = {
        {{.flags = MEAN_IN | RSTD_IN | WEIGHT}, 1},
        {{.flags = RMS | RSTD_IN | RESIDUAL | SUM}, 1},
        {{.flags = PARTIALS_IN | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5, .statistic.shards = 3},
         1},
        {{.flags = RMS | PARTIALS_IN | WEIGHT | RSTD_OUT,
          .statistic.eps = 1e-5,
          .statistic.shards = 2},
         1},
        {{.flags = PARTIALS_OUT}, 2},
        {{.flags = RMS | PARTIALS_OUT | RESIDUAL | SUM}, 2},
    };
    FOR_EACH_CALLER (caller) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            for (size_t c = 0; c < COUNT(choices); c++) {
                bool cut_small = strncmp(choices[c], "row_split segment", 17) == 0;
                struct problem problem = {.spec = cases[i].spec, .seed = 77 + i};
                problem.spec.columns = 1000;
                anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, choices[c]);
                /* In few rows, then in more than are split. */
                for (int few = 1; plan && few >= 0; few--) {
                    struct work work;
                    problem.rows = few ? 1 : caller->info.compute_units * 4 + 1;
                    work_make(caller, &problem, &work);
                    unsigned long kernels = run(caller, plan, &work, problem.rows);
                    work_check(&work, caller->queue, choices[c]);
                    work_free(&work);
                    /* One core leaves no other idle, so that it splits nothing. */
                    if (caller->info.compute_units == 1)
                        continue;
                    assert_int_equal(kernels, few && cut_small ? cases[i].launches : 1);
                    if (few && cut_small)
                        assert_true(launched_groups > 1);
                }
                anynorm_plan_destroy(plan);
            }
        }
    }
}

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
                anynorm_plan *plan = plan_if_fits(caller->device, &problem.spec, choices[c]);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),        cmocka_unit_test(test_values),
        cmocka_unit_test(test_drifting_means),   cmocka_unit_test(test_not_numbers),
        cmocka_unit_test(test_layouts),          cmocka_unit_test(test_limits),
        cmocka_unit_test(test_one_queue),        cmocka_unit_test(test_many_queues),
        cmocka_unit_test(test_failed_wait),      cmocka_unit_test(test_long_wait_lists),
        cmocka_unit_test(test_elapsed),          cmocka_unit_test(test_threads),
        cmocka_unit_test(test_statistics_apart), cmocka_unit_test(test_in_pieces),
    };
    return cmocka_run_group_tests_name("split", tests, count_launches, stop_counting);
}
