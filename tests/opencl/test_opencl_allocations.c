/* Allocations that fail in what <anynorm/opencl.h> makes of a caller's objects, and where a
 * compiler has something to say. */
#include <stdio.h>

#include "allocation_faults.h"
#include "opencl_support.h"

#include "opencl/library.h"

static const char *const SPLIT = "row_split segment=32";

/* The caller's own context, queue, memory and events. */
static void wrapped(void *user)
{
    struct caller *given = user, own = {.context = given->context};
    anynorm_plan *plan = NULL;
    anynorm_tensors tensors = {.x = {0}};
    anynorm_event event = {0}, last = {0};
    cl_event done = NULL;
    struct problem problem = usual_problem(3);
    struct work work;
    const anynorm_plan_options options = {.schedule = SPLIT};
    problem.rows = 1;
    work_make(given, &problem, &work);
    tensors = work.tensors;
    STEP(anynorm_opencl_device_wrap(given->context, given->cl_id, &own.device), !own.device);
    STEP(anynorm_opencl_device_handles(own.device, &own.context, &own.cl_id), true);
    STEP(anynorm_plan_create(own.device, &problem.spec, &options, &plan), plan == NULL);
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        STEP(anynorm_opencl_buffer_wrap(own.device, work.memory[t], slot), true);
        slot->offset = problem.offset[t];
    }
    STEP(anynorm_opencl_enqueue(plan, given->queue, &tensors, problem.rows, 0, NULL, &done),
         done == NULL);
    STEP(anynorm_opencl_event_wrap(own.device, done, &event), !event.valid);
    STEP(anynorm_enqueue(plan, &tensors, problem.rows, 1, &event, &last), !last.valid);
    allocations_enter();
    (void)anynorm_opencl_event_get(&last);
    allocations_leave();
    STEP(anynorm_event_wait(&last), true);
    work_check(&work, given->queue, "wrapped");
out:
    assert_cl(clFinish(given->queue));
    anynorm_event_release(&event);
    anynorm_event_release(&last);
    if (done)
        assert_cl(clReleaseEvent(done));
    anynorm_plan_destroy(plan);
    anynorm_device_close(own.device);
    work_free(&work);
}

static void test_wrapped(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller)
        fail_each_allocation("wrapped", wrapped, caller, 5);
}

/* ---- A compiler that refuses ---- */

static struct an_cl real;

/* Without its options no kernel compiles. */
static cl_int CL_API_CALL refuse(cl_program a, cl_uint b, const cl_device_id *c, const char *d,
                                 void(CL_CALLBACK *e)(cl_program, void *), void *f)
{
    (void)d;
    return real.BuildProgram(a, b, c, "", e, f);
}

/* Its log takes memory; without any, it is said that there is none. */
static void refused(void *user)
{
    struct caller *caller = user;
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    const anynorm_spec spec = usual_problem(1).spec;
    assert_ok(anynorm_opencl_device_wrap(caller->context, caller->cl_id, &device));
    allocations_enter();
    anynorm_status status = anynorm_plan_create(device, &spec, NULL, &plan);
    allocations_leave();
    assert_null(plan);
    if (allocations_now()->fired == 0 || status != ANYNORM_OUT_OF_MEMORY)
        assert_int_equal(status, ANYNORM_BUILD_FAILED);
    anynorm_device_close(device);
}

static void test_refused(void **state)
{
    (void)state;
    struct an_cl *table;
    if (caller_count == 0)
        return;
    assert_ok(an_cl_load(&table));
    real = *table;
    table->BuildProgram = refuse;
    FOR_EACH_CALLER (caller)
        fail_each_allocation("a compiler that refuses", refused, caller, 3);
    *table = real;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_refused),
    };
    int failed =
        cmocka_run_group_tests_name("opencl allocations", tests, make_callers, free_callers);
    print_allocations();
    return failed;
}
