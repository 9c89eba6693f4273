/* <anynorm/opencl.h> as a program with its own context, queues and memory uses it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl_support.h"

/* ---- Queues and memory ---- */

static void run_on_queue(struct caller *caller, cl_command_queue queue, const char *label)
{
    anynorm_plan *plan = usual_plan(caller);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct problem problem = usual_problem(seed);
        struct work work;
        problem.rows += seed;
        problem.y_place = APART;
        work_make(caller, &problem, &work);
        cl_event event = NULL;
        assert_ok(anynorm_opencl_enqueue(plan, queue, &work.tensors, problem.rows, 0, NULL,
                                         seed == 3 ? NULL : &event));
        if (event) {
            assert_cl(clWaitForEvents(1, &event));
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
    FOR_EACH_CALLER (caller) {
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
    FOR_EACH_CALLER (caller) {
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
    FOR_EACH_CALLER (caller) {
        cl_uint bits = 0;
        assert_cl(clGetDeviceInfo(caller->cl_id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(bits), &bits,
                                  NULL));
        size_t step = bits / 8 > 4096 ? bits / 8 : 4096;
        struct problem problem = usual_problem(7);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        cl_int code;
        work_make(caller, &problem, &work);
        cl_mem parent = clCreateBuffer(caller->context, CL_MEM_READ_WRITE, 7 * step, NULL, &code);
        assert_cl(code);
        for (int t = 0; t < PLAIN_TENSORS; t++) {
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

        /* Overlaps are found through the parent: y's region named by another sub-buffer and by
         * the parent itself. */
        cl_buffer_region over_x = {step, 2 * step};
        cl_mem overlapping = clCreateSubBuffer(parent, CL_MEM_READ_WRITE,
                                               CL_BUFFER_CREATE_TYPE_REGION, &over_x, &code);
        assert_cl(code);
        anynorm_tensors bad = work.tensors;
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, overlapping, &bad.y));
        bad.y.offset = problem.offset[AN_X] + 4;
        assert_status(
            anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
            ANYNORM_INVALID_ARGUMENT);
        assert_non_null(strstr(anynorm_message(), "overlap"));
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, parent, &bad.y));
        bad.y.offset = 3 * step; /* weight */
        assert_status(
            anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
            ANYNORM_INVALID_ARGUMENT);
        assert_non_null(strstr(anynorm_message(), "weight"));
        bad = work.tensors;
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, parent, &bad.mean));
        bad.mean.offset = 6 * step + problem.offset[AN_RSTD] + 4 * (problem.rows - 1);
        assert_status(
            anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
            ANYNORM_INVALID_ARGUMENT);
        bad.mean.offset = 2 * step + problem.offset[AN_Y];
        assert_status(
            anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
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
    FOR_EACH_CALLER (caller) {
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
        for (int t = 0; t < PLAIN_TENSORS; t++) {
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
        for (int t = 0; t < PLAIN_TENSORS; t++) {
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
        assert_status(
            anynorm_opencl_enqueue(plan, caller->queue, &bad, problem.rows, 0, NULL, NULL),
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
        for (int t = 0; t < PLAIN_TENSORS; t++)
            clSVMFree(caller->context, pointers[t]);
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
}

/* ---- Refusals ---- */

/* INVALID_ARGUMENT, with `word` in the message. */
#define assert_refused(call, word)                                                                 \
    do {                                                                                           \
        assert_status((call), ANYNORM_INVALID_ARGUMENT);                                           \
        assert_non_null(strstr(anynorm_message(), word));                                          \
    } while (0)

static void refuse_foreign(struct caller *caller, anynorm_plan *plan, const struct work *work)
{
    cl_int code;
    cl_context other = clCreateContext(NULL, 1, &caller->cl_id, NULL, NULL, &code);
    assert_cl(code);
    cl_mem memory = clCreateBuffer(other, CL_MEM_READ_WRITE, 4096, NULL, &code);
    assert_cl(code);
    cl_command_queue queue = clCreateCommandQueue(other, caller->cl_id, 0, &code);
    assert_cl(code);
    anynorm_buffer buffer = {.bytes = 77};
    assert_refused(anynorm_opencl_buffer_wrap(caller->device, memory, &buffer), "context");
    assert_int_equal(buffer.bytes, 77);
    cl_event event = NULL;
    uint64_t rows = work->problem.rows;
    assert_refused(anynorm_opencl_enqueue(plan, queue, &work->tensors, rows, 0, NULL, &event),
                   "queue");
    assert_refused(anynorm_opencl_enqueue(plan, queue, &work->tensors, 0, 0, NULL, &event),
                   "queue");
    assert_null(event);

    /* Wrapped by its own device, the memory is refused by the plan of another. */
    anynorm_device *stranger = NULL;
    assert_ok(anynorm_opencl_device_wrap(other, caller->cl_id, &stranger));
    anynorm_tensors bad = work->tensors;
    assert_ok(anynorm_opencl_buffer_wrap(stranger, memory, &bad.x));
    assert_refused(anynorm_opencl_enqueue(plan, caller->queue, &bad, rows, 0, NULL, &event), "x");
    /* Two devices of one context share their memory. */
    anynorm_device *twin = NULL;
    assert_ok(anynorm_opencl_device_wrap(caller->context, caller->cl_id, &twin));
    bad = work->tensors;
    assert_ok(anynorm_opencl_buffer_wrap(twin, work->memory[AN_X], &bad.x));
    bad.x.offset = work->problem.offset[AN_X];
    assert_ok(anynorm_opencl_enqueue(plan, caller->queue, &bad, rows, 0, NULL, NULL));
    assert_cl(clFinish(caller->queue));
    anynorm_device_close(twin);
    anynorm_device_close(stranger);
    assert_cl(clReleaseCommandQueue(queue));
    assert_cl(clReleaseMemObject(memory));
    assert_cl(clReleaseContext(other));
}

static void refuse_image(const struct caller *caller)
{
    cl_bool images = CL_FALSE;
    assert_cl(
        clGetDeviceInfo(caller->cl_id, CL_DEVICE_IMAGE_SUPPORT, sizeof(images), &images, NULL));
    if (!images)
        return;
    cl_image_format format = {CL_RGBA, CL_UNORM_INT8};
    cl_image_desc description = {
        .image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 16, .image_height = 16};
    cl_int code;
    cl_mem image =
        clCreateImage(caller->context, CL_MEM_READ_WRITE, &format, &description, NULL, &code);
    if (code != CL_SUCCESS) {
        fprintf(stderr, "skipped: %s makes no image (%d)\n", caller->info.name, (int)code);
        return;
    }
    anynorm_buffer buffer = {0};
    assert_refused(anynorm_opencl_buffer_wrap(caller->device, image, &buffer), "no buffer");
    assert_int_equal(buffer.kind, 0);
    assert_cl(clReleaseMemObject(image));
}

static void test_refusals(void **state)
{
    (void)state;
    anynorm_device *reference = open_device("reference"), *device = NULL;
    anynorm_spec spec = {.columns = 4};
    anynorm_plan *reference_plan = make_plan(reference, &spec, NULL);
    FOR_EACH_CALLER (caller) {
        struct problem problem = usual_problem(18);
        struct work work;
        anynorm_plan *plan = usual_plan(caller);
        work_make(caller, &problem, &work);
        refuse_foreign(caller, plan, &work);
        refuse_image(caller);

        cl_command_queue queue = caller->queue;
        const anynorm_tensors *good = &work.tensors;
        cl_context context = NULL;
        anynorm_buffer buffer = {0};
        anynorm_event event = {0};
        int local = 0;
        assert_refused(anynorm_opencl_device_wrap(NULL, caller->cl_id, &device), "NULL");
        assert_refused(anynorm_opencl_device_wrap(caller->context, NULL, &device), "NULL");
        assert_refused(anynorm_opencl_device_wrap(caller->context, caller->cl_id, NULL), "NULL");
        FOR_EACH_CALLER (another) {
            if (another->cl_id != caller->cl_id)
                assert_refused(anynorm_opencl_device_wrap(caller->context, another->cl_id, &device),
                               "context");
        }
        assert_null(device);
        assert_refused(anynorm_opencl_device_handles(NULL, &context, NULL), "NULL");
        assert_refused(anynorm_opencl_device_handles(reference, &context, NULL), "not an OpenCL");
        assert_null(context);
        assert_refused(anynorm_opencl_buffer_wrap(caller->device, NULL, &buffer), "NULL");
        assert_refused(anynorm_opencl_buffer_wrap(caller->device, work.memory[0], NULL), "NULL");
        assert_refused(anynorm_opencl_buffer_wrap(reference, work.memory[0], &buffer),
                       "not an OpenCL");
        assert_refused(anynorm_opencl_svm_wrap(reference, &local, 4, &buffer), "not an OpenCL");
        assert_refused(anynorm_opencl_event_wrap(caller->device, NULL, &event), "NULL");
        assert_false(event.valid);

        cl_event none = NULL;
        assert_refused(anynorm_opencl_enqueue(NULL, queue, good, 1, 0, NULL, NULL), "NULL");
        assert_refused(anynorm_opencl_enqueue(plan, NULL, good, 1, 0, NULL, NULL), "NULL");
        assert_refused(anynorm_opencl_enqueue(plan, queue, NULL, 1, 0, NULL, NULL), "NULL");
        assert_refused(anynorm_opencl_enqueue(plan, queue, good, 1, 1, NULL, NULL), "wait_list");
        assert_refused(anynorm_opencl_enqueue(plan, queue, good, 1, 0, &none, NULL), "wait_list");
        assert_refused(anynorm_opencl_enqueue(plan, queue, good, 1000, 0, NULL, NULL), "rows");
        assert_refused(anynorm_opencl_enqueue(reference_plan, queue, good, 1, 0, NULL, NULL),
                       "not of an OpenCL");
        work_free(&work);
        anynorm_plan_destroy(plan);
    }
    anynorm_plan_destroy(reference_plan);
    anynorm_device_close(reference);
}

/* ---- References ---- */

/* Objects' own counts, in this order: context, queue, user event, memory. */
struct counts {
    cl_uint of[3 + AN_TENSOR_COUNT];
};

static struct counts count_references(cl_context context, cl_command_queue queue, cl_event event,
                                      const struct work *work)
{
    struct counts counts = {.of = {0}};
    assert_cl(clGetContextInfo(context, CL_CONTEXT_REFERENCE_COUNT, 4, &counts.of[0], NULL));
    assert_cl(clGetCommandQueueInfo(queue, CL_QUEUE_REFERENCE_COUNT, 4, &counts.of[1], NULL));
    assert_cl(clGetEventInfo(event, CL_EVENT_REFERENCE_COUNT, 4, &counts.of[2], NULL));
    for (int t = 0; t < PLAIN_TENSORS; t++)
        assert_cl(clGetMemObjectInfo(work->memory[t], CL_MEM_REFERENCE_COUNT, 4, &counts.of[3 + t],
                                     NULL));
    return counts;
}

/* Everything that takes a reference, from wrapping the context to closing it. */
static void use_everything(struct caller *own, cl_event gate, const struct work *work)
{
    assert_ok(anynorm_opencl_device_wrap(own->context, own->cl_id, &own->device));
    anynorm_plan *plan = usual_plan(own);
    anynorm_event wrapped = {0}, done = {0}, marker = {0};
    cl_event event = NULL;
    uint64_t rows = work->problem.rows;
    assert_ok(anynorm_opencl_event_wrap(own->device, gate, &wrapped));
    assert_ok(anynorm_opencl_enqueue(plan, own->queue, &work->tensors, rows, 1, &gate, &event));
    assert_ok(anynorm_enqueue(plan, &work->tensors, rows, 1, &wrapped, &done));
    assert_ok(anynorm_enqueue(plan, &work->tensors, 0, 1, &wrapped, &marker));
    assert_cl(clFinish(own->queue));
    assert_ok(anynorm_event_wait(&done));
    assert_ok(anynorm_event_wait(&marker));
    anynorm_event_release(&marker);
    anynorm_event_release(&done);
    anynorm_event_release(&wrapped);
    assert_cl(clReleaseEvent(event));
    anynorm_plan_destroy(plan);
    anynorm_device_close(own->device);
}

#define ROUNDS 8
/* PoCL's queue keeps its last command, a closed queue its context, until there is other work. */
#define DRIVERS_OWN 4

static void test_no_reference_is_kept(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        if (!has_user_events(caller))
            continue;
        struct problem problem = usual_problem(21);
        struct caller own = *caller;
        struct work work;
        cl_int code;
        own.context = clCreateContext(NULL, 1, &caller->cl_id, NULL, NULL, &code);
        assert_cl(code);
        assert_ok(anynorm_opencl_device_wrap(own.context, own.cl_id, &own.device));
        own.queue = make_queue(&own, 0);
        work_make(&own, &problem, &work);
        anynorm_device_close(own.device);
        cl_event gate = make_user_event(&own);
        assert_cl(clSetUserEventStatus(gate, CL_COMPLETE));
        struct counts before = count_references(own.context, own.queue, gate, &work);
        for (int i = 0; i < ROUNDS; i++)
            use_everything(&own, gate, &work);
        struct counts after = count_references(own.context, own.queue, gate, &work);
        for (int i = 0; i < 5 && memcmp(&before, &after, sizeof(before)) != 0; i++) {
            pause_briefly();
            after = count_references(own.context, own.queue, gate, &work);
        }
        for (size_t i = 0; i < COUNT(before.of); i++) {
            cl_uint spare = i < 2 ? DRIVERS_OWN : 0;
            if (after.of[i] < before.of[i] || after.of[i] > before.of[i] + spare) {
                fprintf(stderr, "%s: object %zu had %u references, now %u\n", caller->info.name, i,
                        before.of[i], after.of[i]);
                fail();
            }
        }
        assert_cl(clReleaseEvent(gate));
        work_free(&work);
        assert_cl(clReleaseCommandQueue(own.queue));
        assert_cl(clReleaseContext(own.context));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queues),      cmocka_unit_test(test_borrowed_context),
        cmocka_unit_test(test_sub_buffers), cmocka_unit_test(test_svm),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_no_reference_is_kept),
    };
    return cmocka_run_group_tests_name("opencl", tests, make_callers, free_callers);
}
