/* Every schedule on memory that ends, or begins, at a page that may not be touched: a read or a
 * write of one byte too many is a fault. The tensors, all that a spec can name, lie at odd
 * elements, and at odd bytes where the spec allows it; columns are awkward. Of OpenCL devices that
 * use the host's memory as it is, which is first tried out; PoCL must be one.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "opencl_support.h"

#include "base/dtype.h"
#include "guarded.h"
#include "spec/spec.h"
#include "spec_flags.h"
#include "turns.h"

/* ---- Telling which case it was ---- */

static char current[1400];
static unsigned cases;

/* On whatever thread of the driver it happens; nothing can go on after it. */
static void tell_fault(int number, siginfo_t *info, void *context)
{
    static const char *const what[] = {"a kernel left its memory: ", "\n"};
    (void)number, (void)info, (void)context;
    if (write(STDERR_FILENO, what[0], strlen(what[0])) < 0 ||
        write(STDERR_FILENO, current, strlen(current)) < 0 || write(STDERR_FILENO, what[1], 1) < 0)
        _exit(2);
    _exit(1);
}

/* cmocka has handlers of its own from test to test. */
static void catch_faults(void)
{
    struct sigaction action = {.sa_sigaction = tell_fault, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
    assert_int_equal(sigaction(SIGBUS, &action, NULL), 0);
}

/* ---- One case ---- */

/* What of each image lies in guarded memory: all but the guard that images_make puts after it. */
static size_t bytes_of(const struct problem *problem, const anynorm_spec *resolved, int tensor)
{
    uint64_t extent;
    assert_true(an_tensor_extent(resolved, (enum an_tensor)tensor, problem->rows, &extent));
    return (size_t)(problem->offset[tensor] + extent);
}

/* The host's copy is filled after the cl_mem was made and read without a map, which only serves
 * where the device has no copy of its own. */
static void run_guarded(const struct subject *subject, anynorm_plan *plan,
                        const struct problem *problem, bool at_end, struct images *before,
                        struct images *after)
{
    struct guarded memory[AN_TENSOR_COUNT] = {{NULL, 0, NULL}};
    cl_mem objects[AN_TENSOR_COUNT] = {NULL};
    anynorm_tensors tensors = {.x = {0}};
    anynorm_spec resolved;
    anynorm_event event;
    cl_context context;
    assert_ok(an_spec_resolve(&problem->spec, &resolved));
    assert_ok(anynorm_opencl_device_handles(subject->device, &context, NULL));
    images_make(problem, before);
    *after = images_copy(before);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!before->bytes[t])
            continue;
        size_t bytes = bytes_of(problem, &resolved, t);
        cl_int code;
        memory[t] = guarded_make(bytes, at_end);
        objects[t] = clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes,
                                    memory[t].at, &code);
        assert_cl(code);
        memcpy(memory[t].at, before->bytes[t], bytes);
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        assert_ok(anynorm_opencl_buffer_wrap(subject->device, objects[t], slot));
        slot->offset = problem->offset[t];
    }
    assert_ok(anynorm_enqueue(plan, &tensors, problem->rows, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!before->bytes[t])
            continue;
        memcpy(after->bytes[t], memory[t].at, bytes_of(problem, &resolved, t));
        assert_cl(clReleaseMemObject(objects[t]));
        guarded_free(&memory[t]);
    }
}

static void check_guarded(struct subject *subject, anynorm_plan *plan,
                          const struct problem *problem, bool at_end)
{
    struct images before, after;
    snprintf(current, sizeof(current), "%s, page %s: %s", subject->name,
             at_end ? "after" : "before", problem_text(problem));
    run_guarded(subject, plan, problem, at_end, &before, &after);
    check_against_oracle(problem, &before, &after, current, &subject->worst);
    images_free(&before);
    images_free(&after);
    cases++;
}

/* Whether kernels work on the host's memory itself. */
static bool works_in_place(struct subject *subject)
{
    struct problem problem = dense_problem(2, 32, ANYNORM_F32, 0);
    struct images before, after;
    anynorm_spec resolved;
    if (strncmp(subject->device_id, "opencl:", 7) != 0 || !subject->info.unified_memory)
        return false;
    assert_ok(an_spec_resolve(&problem.spec, &resolved));
    anynorm_plan *plan = make_plan(subject->device, &problem.spec, NULL);
    run_guarded(subject, plan, &problem, true, &before, &after);
    bool same = memcmp(before.bytes[AN_Y], after.bytes[AN_Y], (size_t)before.size[AN_Y]) == 0;
    assert_true(!same || !strstr(subject->info.version, "PoCL"));
    images_free(&before);
    images_free(&after);
    anynorm_plan_destroy(plan);
    return !same;
}

/* ---- All cases ---- */

/* Specs that together name every tensor, to which tests give types, columns and strides. */
static const struct {
    anynorm_spec spec;
    enum { SIDE_BY_SIDE, APART_BY_ROWS, IN_RUNS, OF_SAMPLES_APART } columns;
} purposes[] = {
    {{.flags = 0, .statistic.eps = 1e-5}, SIDE_BY_SIDE},
    {{.flags = ALL_FLAGS, .statistic.eps = 1e-5}, SIDE_BY_SIDE},
    {{.flags = RMS | WEIGHT | ANYNORM_ANY_ALIGNMENT, .statistic.eps = 1e-5}, SIDE_BY_SIDE},
    {{.flags = RESIDUAL | GATE | PRE_BIAS | SUM | SCALE | SHIFT | WEIGHT | BIAS | SILU,
      .statistic.eps = 1e-5,
      .sample_rows = 2,
      .parameters.rows = 3},
     SIDE_BY_SIDE},
    {{.flags = PARTIALS_OUT | RESIDUAL | SUM}, SIDE_BY_SIDE},
    {{.flags = PARTIALS_IN | WEIGHT | MEAN_OUT | RSTD_OUT | Y_SCALE_OUT,
      .y.type = ANYNORM_I8,
      .statistic.eps = 1e-5,
      .statistic.shards = 3},
     SIDE_BY_SIDE},
    {{.flags = MEAN_IN | RSTD_IN | BIAS | Y_SCALE_IN, .y.type = ANYNORM_F8E4M3}, SIDE_BY_SIDE},
    {{.flags = WEIGHT | RESIDUAL | SUM | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5},
     APART_BY_ROWS},
    {{.flags = WEIGHT | BIAS, .statistic.eps = 1e-5}, IN_RUNS},
    {{.flags = RESIDUAL | GATE | SCALE | SHIFT, .statistic.eps = 1e-5, .sample_rows = 2},
     OF_SAMPLES_APART},
};

static struct problem make_case(size_t purpose, anynorm_dtype type, uint64_t columns)
{
    struct problem problem = {.spec = purposes[purpose].spec,
                              .rows = columns <= 33 ? 11 : 3,
                              .seed = purpose * 10000 + columns};
    anynorm_spec *spec = &problem.spec;
    spec->columns = columns;
    spec->x.type = type;
    spec->parameters.type = spec->flags & AN_PARAMETERS ? type : ANYNORM_F32;
    if (!an_dtype_quantized(spec->y.type) && !(spec->flags & ANYNORM_PARTIALS_OUTPUT))
        spec->y.type = type;
    spec->residual.type = spec->flags & ANYNORM_RESIDUAL ? type : ANYNORM_F32;
    spec->sum.type = spec->flags & AN_SUMS ? type : ANYNORM_F32;
    set_sample_types(spec, type);
    if (purposes[purpose].columns == APART_BY_ROWS) {
        spec->inner_rows = problem.rows;
        spec->x.column_stride = spec->y.column_stride = problem.rows;
        spec->residual.column_stride = spec->sum.column_stride = problem.rows;
    } else if (purposes[purpose].columns == IN_RUNS) {
        /* Three columns of each of the rows, side by side. */
        spec->columns = columns = 3 * ((columns + 2) / 3);
        spec->inner_rows = problem.rows;
        spec->column_run = 3;
        spec->x.column_stride = spec->y.column_stride = 3 * problem.rows;
    } else if (purposes[purpose].columns == OF_SAMPLES_APART) {
        set_sample_strides(spec, 0, true); /* of scale, the others side by side */
    }
    return problem;
}

/* Each tensor at another odd element, or at another odd byte. */
static void make_odd(struct problem *problem, uint64_t by)
{
    anynorm_spec resolved;
    assert_ok(an_spec_resolve(&problem->spec, &resolved));
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        uint64_t elements = by + 2 * (uint64_t)(t % 4);
        size_t size = anynorm_dtype_size(an_tensor_expect(&resolved, (enum an_tensor)t).type);
        problem->offset[t] =
            problem->spec.flags & ANYNORM_ANY_ALIGNMENT ? elements : elements * size;
    }
}

static void check_case(struct subject *subject, size_t purpose, anynorm_dtype type,
                       uint64_t columns)
{
    struct problem problem = make_case(purpose, type, columns);
    anynorm_plan *plan = offered_plan(subject, &problem.spec);
    if (!plan)
        return;
    check_guarded(subject, plan, &problem, true);
    check_guarded(subject, plan, &problem, false);
    for (uint64_t by = 1; by <= 7; by += reduced() ? 4 : 2) {
        make_odd(&problem, by);
        check_guarded(subject, plan, &problem, true);
    }
    anynorm_plan_destroy(plan);
}

static void test_columns(void **state)
{
    struct subject *subject = *state;
    static const uint64_t columns[] = {1, 3, 17, 33, 255, 257, 1023, 4097};
    if (!works_in_place(subject)) {
        fprintf(stderr, "skipped: %s does not work on the host's memory itself\n",
                subject->device_id);
        return;
    }
    catch_faults();
    /* In the short form one type each: a program for each and each size of a work-group. Elsewhere
     * than on PoCL, which compiles quickly and keeps programs, a third of the purposes. */
    const bool third = reduced() && !strstr(subject->info.version, "PoCL");
    const size_t step_of_columns = !reduced() ? 1 : third ? 4 : 2;
    for (size_t p = third ? schedule_of(subject) % 3 : 0; p < COUNT(purposes); p += third ? 3 : 1) {
        for (int type = 0; type < 4; type++) {
            bool has_turn = (p + (size_t)schedule_of(subject)) % 3 == (size_t)type;
            if ((type == ANYNORM_F64 && !subject->info.fp64) || (reduced() && !has_turn))
                continue;
            for (size_t c = p % step_of_columns; c < COUNT(columns); c += step_of_columns)
                check_case(subject, p, (anynorm_dtype)type, columns[c]);
        }
    }
}

int main(void)
{
    static const struct device_test tests[] = {{"guard pages", test_columns}};
    int result = run_on_schedules("guard_pages", tests, COUNT(tests));
    fprintf(stderr, "# guard_pages: %u enqueues on memory beside a page without access, 0 faults\n",
            cases);
    return result;
}
