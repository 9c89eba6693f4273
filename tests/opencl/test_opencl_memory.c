/* Kernels at the edges of memory: guard pages, offsets past 2^32 elements, many rows, few groups.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "guarded.h"
#include "opencl_support.h"
#include "spec/spec.h"

static const char *const schedules[] = {"row_per_item", "row_per_subgroup", "row_per_group",
                                        "row_in_local", "row_reread",       "row_split",
                                        "column_walk"};

/* Makes the plan, or prints why not and returns NULL where the schedule does not fit the device. */
static anynorm_plan *plan_or_skip(anynorm_device *device, const anynorm_spec *spec,
                                  const char *schedule)
{
    anynorm_plan *plan = plan_if_fits(device, spec, schedule);
    if (!plan)
        fprintf(stderr, "skipped: %s\n", anynorm_message());
    return plan;
}

/* ---- Guard pages ---- */

/* Runs with every tensor in guarded memory of exactly its size, which kernels use in place. */
static void run_guarded(const struct caller *caller, anynorm_device *device, anynorm_plan *plan,
                        const struct problem *problem, bool at_end, const char *label)
{
    struct images before, after = {.bytes = {NULL}};
    struct guarded memory[AN_TENSOR_COUNT];
    cl_mem objects[AN_TENSOR_COUNT];
    size_t extents[AN_TENSOR_COUNT];
    anynorm_tensors tensors = {.x = {0}};
    anynorm_spec spec;
    cl_int code;
    images_make(problem, &before);
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        uint64_t extent;
        assert_true(an_tensor_extent(&spec, (enum an_tensor)t, problem->rows, &extent));
        extents[t] = (size_t)extent;
        memory[t] = guarded_make(extents[t], at_end);
        memcpy(memory[t].at, before.bytes[t], extents[t]);
        objects[t] = clCreateBuffer(caller->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                    extents[t], memory[t].at, &code);
        assert_cl(code);
        assert_ok(anynorm_opencl_buffer_wrap(device, objects[t],
                                             an_tensor_slot(&tensors, (enum an_tensor)t)));
    }
    cl_event event = NULL;
    assert_ok(
        anynorm_opencl_enqueue(plan, caller->queue, &tensors, problem->rows, 0, NULL, &event));
    assert_cl(clWaitForEvents(1, &event));
    assert_cl(clReleaseEvent(event));
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        after.size[t] = before.size[t];
        after.bytes[t] = malloc((size_t)before.size[t]);
        assert_non_null(after.bytes[t]);
        memcpy(after.bytes[t], before.bytes[t], (size_t)before.size[t]);
        void *mapped = clEnqueueMapBuffer(caller->queue, objects[t], CL_TRUE, CL_MAP_READ, 0,
                                          extents[t], 0, NULL, NULL, &code);
        assert_cl(code);
        memcpy(after.bytes[t], mapped, extents[t]);
        assert_cl(clEnqueueUnmapMemObject(caller->queue, objects[t], mapped, 0, NULL, NULL));
    }
    assert_cl(clFinish(caller->queue));
    struct errors worst = {0};
    check_against_oracle(problem, &before, &after, label, &worst);
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        assert_cl(clReleaseMemObject(objects[t]));
        guarded_free(&memory[t]);
    }
    images_free(&before);
    images_free(&after);
}

static struct problem guarded_problem(anynorm_dtype type, uint64_t columns)
{
    return (struct problem){
        .spec = {.columns = columns,
                 .x.type = type,
                 .y.type = type,
                 .parameters.type = type,
                 .flags = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT,
                 .statistic.eps = ANYNORM_EPS_DEFAULT},
        .rows = 3,
        .seed = columns};
}

static void guard_columns(const struct caller *caller, anynorm_device *device, anynorm_dtype type,
                          uint64_t from, uint64_t to, uint64_t step)
{
    for (uint64_t columns = from; columns <= to; columns += step) {
        for (size_t s = 0; s < COUNT(schedules); s++) {
            struct problem problem = guarded_problem(type, columns);
            anynorm_plan *plan = plan_or_skip(device, &problem.spec, schedules[s]);
            if (!plan)
                continue;
            run_guarded(caller, device, plan, &problem, true, "guard page after");
            run_guarded(caller, device, plan, &problem, false, "guard page before");
            anynorm_plan_destroy(plan);
        }
    }
}

static bool shares_memory(const struct caller *caller)
{
    if (caller->info.unified_memory)
        return true;
    fprintf(stderr, "skipped: %s does not share memory with the host\n", caller->info.name);
    return false;
}

static void test_guard_pages(void **state)
{
    (void)state;
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    FOR_EACH_CALLER (caller) {
        for (size_t t = 0; shares_memory(caller) && t < 3; t++) {
            uint64_t step = reduced() ? 13 : 1;
            guard_columns(caller, caller->device, types[t], 1, 40, step);
            guard_columns(caller, caller->device, types[t], 255, 258, reduced() ? 3 : 1);
            guard_columns(caller, caller->device, types[t], 1000, 1030, step);
        }
    }
}

/* The same where y goes past the caches, which takes a fetch of the next row: the device is told
 * that it has no cache, so that rows of a few columns do it. */
static void test_guard_pages_streaming(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        anynorm_device *device = NULL;
        if (!shares_memory(caller))
            continue;
        assert_ok(anynorm_opencl_device_wrap(caller->context, caller->cl_id, &device));
        device->info.cache_bytes = 1;
        for (anynorm_dtype type = ANYNORM_F32; type <= ANYNORM_BF16; type++) {
            for (uint64_t columns = 1; columns <= 1024; columns += columns < 40 ? 1 : 64) {
                struct problem problem = guarded_problem(type, columns);
                problem.rows = 9;
                anynorm_plan *plan = plan_or_skip(device, &problem.spec, "row_per_item");
                run_guarded(caller, device, plan, &problem, true, "streaming, guard page after");
                run_guarded(caller, device, plan, &problem, false, "streaming, guard page before");
                anynorm_plan_destroy(plan);
            }
        }
        anynorm_device_close(device);
    }
}

/* ---- Offsets of more than 32 bits ---- */

/* Three rows whose last lies past element 2^32, in memory that is reserved but for the rows. */
#define FAR_STRIDE ((UINT64_C(1) << 31) + 64)
#define FAR_ROWS 3
#define FAR_COLUMNS 1000
#define FAR_BYTES ((size_t)(((FAR_ROWS - 1) * FAR_STRIDE + FAR_COLUMNS) * sizeof(float)))

struct far {
    float *x;
    float *y;
    struct problem near; /* the same rows, dense, for the oracle */
    struct images before;
};

static anynorm_spec far_spec(void)
{
    return (anynorm_spec){.columns = FAR_COLUMNS,
                          .statistic.eps = ANYNORM_EPS_DEFAULT,
                          .x.row_stride = FAR_STRIDE,
                          .y.row_stride = FAR_STRIDE};
}

static bool far_make(struct far *far)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *x = mmap(NULL, FAR_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    void *y = mmap(NULL, FAR_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (x == MAP_FAILED || y == MAP_FAILED) {
        fprintf(stderr, "skipped: this machine does not reserve 2 x %zu bytes\n", FAR_BYTES);
        if (x != MAP_FAILED)
            assert_int_equal(munmap(x, FAR_BYTES), 0);
        return false;
    }
    *far = (struct far){
        .x = x,
        .y = y,
        .near = {.spec = {.columns = FAR_COLUMNS, .statistic.eps = ANYNORM_EPS_DEFAULT},
                 .rows = FAR_ROWS,
                 .seed = 5}};
    images_make(&far->near, &far->before);
    for (uint64_t r = 0; r < FAR_ROWS; r++) {
        size_t row_bytes = FAR_COLUMNS * sizeof(float);
        memcpy(far->x + r * FAR_STRIDE, far->before.bytes[AN_X] + r * row_bytes, row_bytes);
    }
    return true;
}

static void far_check(struct far *far, const char *label)
{
    struct images after = {.bytes = {NULL}};
    struct errors worst = {0};
    for (int t = AN_X; t <= AN_Y; t++) {
        after.size[t] = far->before.size[t];
        after.bytes[t] = malloc((size_t)after.size[t]);
        assert_non_null(after.bytes[t]);
        memcpy(after.bytes[t], far->before.bytes[t], (size_t)after.size[t]);
    }
    for (uint64_t r = 0; r < FAR_ROWS; r++) {
        size_t row_bytes = FAR_COLUMNS * sizeof(float);
        float *row = far->y + r * FAR_STRIDE;
        memcpy(after.bytes[AN_Y] + r * row_bytes, row, row_bytes);
        memset(row, 0, row_bytes);
        /* Where an offset cut to 32 bits of elements or bytes would have put the row. */
        assert_true(r == 0 || far->y[(uint32_t)(r * FAR_STRIDE) + FAR_COLUMNS] == 0);
    }
    check_against_oracle(&far->near, &far->before, &after, label, &worst);
    images_free(&after);
}

static void far_free(struct far *far)
{
    assert_int_equal(munmap(far->x, FAR_BYTES), 0);
    assert_int_equal(munmap(far->y, FAR_BYTES), 0);
    images_free(&far->before);
}

/* PoCL's processors reach all memory of the process, though it does not promise it. */
static bool reaches_all_memory(const struct caller *caller)
{
    if (svm_of(caller) & CL_DEVICE_SVM_FINE_GRAIN_SYSTEM ||
        (svm_of(caller) && strstr(caller->info.version, "PoCL")))
        return true;
    fprintf(stderr, "skipped: %s has no fine-grained system SVM\n", caller->info.name);
    return false;
}

static void test_far_rows(void **state)
{
    (void)state;
    struct far far;
    if (!far_make(&far))
        return;
    anynorm_spec spec = far_spec();
    FOR_EACH_CALLER (caller) {
        for (size_t s = 0; reaches_all_memory(caller) && s < COUNT(schedules); s++) {
            anynorm_plan *plan = plan_or_skip(caller->device, &spec, schedules[s]);
            anynorm_tensors tensors = {.x = {0}};
            anynorm_event event = {0};
            if (!plan)
                continue;
            assert_ok(anynorm_opencl_svm_wrap(caller->device, far.x, FAR_BYTES, &tensors.x));
            assert_ok(anynorm_opencl_svm_wrap(caller->device, far.y, FAR_BYTES, &tensors.y));
            assert_ok(anynorm_enqueue(plan, &tensors, FAR_ROWS, 0, NULL, &event));
            assert_ok(anynorm_event_wait(&event));
            anynorm_event_release(&event);
            far_check(&far, schedules[s]);
            /* The same place named by the buffer's offset. */
            anynorm_tensors last = tensors;
            last.x.offset = last.y.offset = 2 * FAR_STRIDE * sizeof(float);
            assert_ok(anynorm_enqueue(plan, &tensors, 2, 0, NULL, &event));
            assert_ok(anynorm_event_wait(&event));
            anynorm_event_release(&event);
            assert_ok(anynorm_enqueue(plan, &last, 1, 0, NULL, &event));
            assert_ok(anynorm_event_wait(&event));
            anynorm_event_release(&event);
            far_check(&far, schedules[s]);
            anynorm_plan_destroy(plan);
        }
    }
    far_free(&far);
}

static void test_far_rows_on_reference(void **state)
{
    (void)state;
    struct far far;
    if (!far_make(&far))
        return;
    anynorm_spec spec = far_spec();
    anynorm_device *device = open_device("reference");
    anynorm_plan *plan = make_plan(device, &spec, NULL);
    assert_ok(anynorm_run(plan, &(anynorm_host_tensors){.x = far.x, .y = far.y}, FAR_ROWS));
    far_check(&far, "reference");
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    far_free(&far);
}

/* ---- Rows and groups ---- */

static void check_rows(anynorm_device *device, uint64_t rows, uint64_t columns)
{
    for (size_t s = 0; s < COUNT(schedules); s++) {
        struct problem problem = {
            .spec = {.columns = columns,
                     .flags = ANYNORM_WEIGHT | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT,
                     .statistic.eps = ANYNORM_EPS_DEFAULT},
            .rows = rows,
            .seed = rows};
        struct errors worst = {0};
        check_problem(device, &problem, schedules[s], 0, &worst);
    }
}

/* More rows than a launch has work-groups. */
static void test_many_rows(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!reduced())
            check_rows(caller->opened, 70001, 5);
    }
}

static void test_few_groups(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        anynorm_device *device = open_device_with(caller->id, "max-groups=3");
        anynorm_device_info info;
        assert_ok(anynorm_device_describe(device, &info));
        assert_int_equal(info.max_groups, 3);
        for (uint64_t rows = 1; rows <= 9; rows++)
            check_rows(device, rows, 5);
        check_rows(device, reduced() ? 130 : 1000, 37);
        anynorm_device_close(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guard_pages), cmocka_unit_test(test_guard_pages_streaming),
        cmocka_unit_test(test_far_rows),    cmocka_unit_test(test_far_rows_on_reference),
        cmocka_unit_test(test_many_rows),   cmocka_unit_test(test_few_groups),
    };
    return cmocka_run_group_tests_name("opencl memory", tests, make_callers, free_callers);
}
