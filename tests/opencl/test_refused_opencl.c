/* What the functions of <anynorm/opencl.h> refuse: NULL, devices of other backends, objects of
 * another context, wait lists that are none, and tensors in every wrong way.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opencl_support.h"

#include "bad_tensors.h"
#include "refused.h"

static const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;
static const anynorm_spec plain = {.columns = 4};

#define UNLESS(missing, bit, pointer) ((missing) >> (bit)&1 ? NULL : (pointer))

/* Another context of the same device, and what is in it. */
struct elsewhere {
    cl_context context;
    cl_mem memory;
    cl_command_queue queue;
    cl_event event;
    anynorm_device *device;
};

static void elsewhere_make(const struct caller *caller, struct elsewhere *other)
{
    cl_int code;
    other->context = clCreateContext(NULL, 1, &caller->cl_id, NULL, NULL, &code);
    assert_cl(code);
    other->memory = clCreateBuffer(other->context, CL_MEM_READ_WRITE, 4096, NULL, &code);
    assert_cl(code);
    other->queue = clCreateCommandQueue(other->context, caller->cl_id, 0, &code);
    assert_cl(code);
    assert_cl(clEnqueueMarkerWithWaitList(other->queue, 0, NULL, &other->event));
    assert_cl(clFinish(other->queue));
    assert_ok(anynorm_opencl_device_wrap(other->context, caller->cl_id, &other->device));
}

static void elsewhere_free(struct elsewhere *other)
{
    anynorm_device_close(other->device);
    assert_cl(clReleaseEvent(other->event));
    assert_cl(clReleaseCommandQueue(other->queue));
    assert_cl(clReleaseMemObject(other->memory));
    assert_cl(clReleaseContext(other->context));
}

/* ---- Tensors ---- */

struct sender {
    const struct caller *caller;
    anynorm_plan *plan;
    cl_mem memory;
};

static anynorm_status submit(void *user, const anynorm_tensors *tensors, uint64_t rows)
{
    struct sender *sender = user;
    cl_event event = (cl_event)(void *)sender;
    anynorm_status status =
        anynorm_opencl_enqueue(sender->plan, sender->caller->queue, tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK) {
        assert_cl(clWaitForEvents(1, &event));
        assert_cl(clReleaseEvent(event));
    } else {
        assert_ptr_equal(event, sender);
    }
    return status;
}

static void read_memory(void *user, unsigned char *bytes, uint64_t count)
{
    struct sender *sender = user;
    assert_cl(clEnqueueReadBuffer(sender->caller->queue, sender->memory, CL_TRUE, 0, (size_t)count,
                                  bytes, 0, NULL, NULL));
}

static void test_tensors(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        struct elsewhere other;
        elsewhere_make(caller, &other);
        for (size_t s = 0; s < arena_spec_count; s++) {
            struct sender sender = {.caller = caller};
            struct bad_tensors bad = {.submit = submit, .read = read_memory, .user = &sender};
            const cl_uchar poison = ARENA_POISON;
            cl_int code;
            arena_make(&arena_specs[s], &bad.arena);
            sender.plan = make_plan(caller->device, &arena_specs[s], NULL);
            sender.memory = clCreateBuffer(caller->context, CL_MEM_READ_WRITE,
                                           (size_t)bad.arena.bytes, NULL, &code);
            assert_cl(code);
            assert_cl(clEnqueueFillBuffer(caller->queue, sender.memory, &poison, 1, 0,
                                          (size_t)bad.arena.bytes, 0, NULL, NULL));
            assert_ok(anynorm_opencl_buffer_wrap(caller->device, sender.memory, &bad.memory));
            assert_ok(anynorm_opencl_buffer_wrap(other.device, other.memory, &bad.stranger));
            refuse_bad_tensors(&bad);
            assert_cl(clReleaseMemObject(sender.memory));
            anynorm_plan_destroy(sender.plan);
        }
        elsewhere_free(&other);
    }
}

/* Two sub-buffers of one buffer that meet, and a sub-buffer that meets the buffer itself. */
static void test_sub_buffers(void **state)
{
    (void)state;
    FOR_EACH_CALLER (caller) {
        cl_int code;
        cl_uint align = 0; /* in bits */
        assert_cl(clGetDeviceInfo(caller->cl_id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(align),
                                  &align, NULL));
        size_t step = align / 8 > 64 ? align / 8 : 64;
        cl_mem parent = clCreateBuffer(caller->context, CL_MEM_READ_WRITE, 8 * step, NULL, &code),
               parts[3];
        assert_cl(code);
        const cl_buffer_region regions[3] = {{0, 2 * step}, {step, 2 * step}, {4 * step, step}};
        anynorm_buffer whole, buffers[3];
        assert_ok(anynorm_opencl_buffer_wrap(caller->device, parent, &whole));
        for (int i = 0; i < 3; i++) {
            parts[i] = clCreateSubBuffer(parent, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                                         &regions[i], &code);
            assert_cl(code);
            assert_ok(anynorm_opencl_buffer_wrap(caller->device, parts[i], &buffers[i]));
        }
        anynorm_plan *plan = make_plan(caller->device, &plain, NULL);
        struct sender sender = {.caller = caller, .plan = plan};
        const uint64_t rows = 2 * step / 16; /* all of the first */
        anynorm_tensors tensors = {.x = buffers[0], .y = buffers[1]};
        assert_refused_naming(submit(&sender, &tensors, rows), invalid, "overlaps");
        tensors = (anynorm_tensors){.x = buffers[1], .y = buffers[0]};
        assert_refused_naming(submit(&sender, &tensors, rows), invalid, "overlaps");
        tensors = (anynorm_tensors){.x = whole, .y = buffers[1]};
        assert_refused_naming(submit(&sender, &tensors, rows), invalid, "overlaps");
        tensors = (anynorm_tensors){.x = buffers[1], .y = whole};
        assert_refused_naming(submit(&sender, &tensors, rows), invalid, "overlaps");
        tensors = (anynorm_tensors){.x = buffers[0], .y = buffers[2]};
        assert_refused_naming(submit(&sender, &tensors, rows), invalid, "y"); /* half as long */
        assert_ok(submit(&sender, &tensors, rows / 2));
        anynorm_plan_destroy(plan);
        for (int i = 0; i < 3; i++)
            assert_cl(clReleaseMemObject(parts[i]));
        assert_cl(clReleaseMemObject(parent));
    }
}

/* ---- Objects ---- */

static void refuse_devices(const struct caller *caller, anynorm_device *reference)
{
    anynorm_device *device = (anynorm_device *)(void *)&device;
    for (unsigned missing = 1; missing < 8; missing++) {
        make_message_stale();
        anynorm_status status = anynorm_opencl_device_wrap(UNLESS(missing, 0, caller->context),
                                                           UNLESS(missing, 1, caller->cl_id),
                                                           UNLESS(missing, 2, &device));
        check_refused_naming(status, invalid, "NULL", __FILE__, __LINE__);
    }
    FOR_EACH_CALLER (another) {
        if (another->cl_id != caller->cl_id)
            assert_refused_naming(
                anynorm_opencl_device_wrap(caller->context, another->cl_id, &device), invalid,
                "context");
    }
    static const char *const caps[] = {"no-such", "max-wg=0", "max-alloc=-1"};
    for (size_t i = 0; i < COUNT(caps); i++) {
        setenv("ANYNORM_CAPS", caps[i], 1);
        assert_refused_naming(anynorm_opencl_device_wrap(caller->context, caller->cl_id, &device),
                              invalid, "ANYNORM_CAPS");
        unsetenv("ANYNORM_CAPS");
    }
    assert_ptr_equal(device, &device);

    cl_context context = (cl_context)(void *)&device;
    cl_device_id id = (cl_device_id)(void *)&device;
    assert_refused_naming(anynorm_opencl_device_handles(NULL, &context, &id), invalid, "device");
    assert_refused_naming(anynorm_opencl_device_handles(NULL, NULL, NULL), invalid, "device");
    assert_refused_naming(anynorm_opencl_device_handles(reference, &context, &id), invalid,
                          "device");
    assert_ptr_equal(context, &device);
    assert_ptr_equal(id, &device);
}

static void refuse_memory(const struct caller *caller, anynorm_device *reference,
                          const struct elsewhere *other)
{
    anynorm_device *device = caller->device, *const devices[] = {NULL, reference};
    anynorm_buffer buffer, before;
    cl_int code;
    char local[64];
    cl_mem memory = clCreateBuffer(caller->context, CL_MEM_READ_WRITE, 64, NULL, &code);
    assert_cl(code);
    memset(&buffer, 0x5a, sizeof(buffer));
    before = buffer;
    for (size_t i = 0; i < COUNT(devices); i++) {
        assert_refused_naming(anynorm_opencl_buffer_wrap(devices[i], memory, &buffer), invalid,
                              "device");
        assert_refused_naming(anynorm_opencl_buffer_wrap(devices[i], NULL, NULL), invalid,
                              "device");
        assert_refused_naming(anynorm_opencl_svm_wrap(devices[i], local, 64, &buffer), invalid,
                              "device");
        assert_refused_naming(anynorm_opencl_svm_wrap(devices[i], NULL, 0, NULL), invalid,
                              "device");
    }
    assert_refused_naming(anynorm_opencl_buffer_wrap(device, NULL, &buffer), invalid, "memory");
    assert_refused_naming(anynorm_opencl_buffer_wrap(device, memory, NULL), invalid, "buffer");
    assert_refused_naming(anynorm_opencl_buffer_wrap(device, NULL, NULL), invalid, "memory");
    assert_refused_naming(anynorm_opencl_buffer_wrap(device, other->memory, &buffer), invalid,
                          "context");
    assert_refused_naming(anynorm_opencl_buffer_wrap(other->device, memory, &buffer), invalid,
                          "context");
    assert_refused_naming(anynorm_opencl_svm_wrap(device, NULL, 64, &buffer), invalid, "pointer");
    assert_refused_naming(anynorm_opencl_svm_wrap(device, local, 0, &buffer), invalid, "bytes");
    assert_refused_naming(anynorm_opencl_svm_wrap(device, local, 64, NULL), invalid, "buffer");
    /* No memory passes the end of the address space. */
    const uint64_t room = UINT64_MAX - (uint64_t)(uintptr_t)local;
    assert_refused_naming(anynorm_opencl_svm_wrap(device, local, UINT64_MAX, &buffer), invalid,
                          "bytes");
    assert_refused_naming(anynorm_opencl_svm_wrap(device, local, room + 2, &buffer), invalid,
                          "bytes");
    assert_memory_equal(&buffer, &before, sizeof(buffer));
    if (!svm_of(caller))
        assert_refused(anynorm_opencl_svm_wrap(device, local, 64, &buffer), ANYNORM_UNSUPPORTED);
    assert_cl(clReleaseMemObject(memory));
}

static void refuse_events(const struct caller *caller, anynorm_device *reference,
                          const struct elsewhere *other)
{
    anynorm_event event, before;
    cl_event done;
    assert_cl(clEnqueueMarkerWithWaitList(caller->queue, 0, NULL, &done));
    assert_cl(clFinish(caller->queue));
    memset(&event, 0x5a, sizeof(event));
    before = event;
    assert_refused_naming(anynorm_opencl_event_wrap(NULL, done, &event), invalid, "device");
    assert_refused_naming(anynorm_opencl_event_wrap(reference, done, &event), invalid, "device");
    assert_refused_naming(anynorm_opencl_event_wrap(caller->device, NULL, &event), invalid,
                          "event");
    assert_refused_naming(anynorm_opencl_event_wrap(caller->device, done, NULL), invalid,
                          "wrapped");
    assert_refused_naming(anynorm_opencl_event_wrap(caller->device, other->event, &event), invalid,
                          "context");
    assert_memory_equal(&event, &before, sizeof(event));
    assert_cl(clReleaseEvent(done));

    anynorm_plan *plan = make_plan(reference, &plain, NULL);
    anynorm_event none = {0}, at_once;
    assert_ok(anynorm_enqueue(plan, &(anynorm_tensors){.x = {0}}, 0, 0, NULL, &at_once));
    assert_null(anynorm_opencl_event_get(NULL));
    assert_null(anynorm_opencl_event_get(&none));
    assert_null(anynorm_opencl_event_get(&(anynorm_event){.valid = true}));
    assert_null(anynorm_opencl_event_get(&at_once));
    anynorm_event_release(&at_once);
    anynorm_plan_destroy(plan);
}

static void test_objects(void **state)
{
    (void)state;
    anynorm_device *reference = open_device("reference");
    FOR_EACH_CALLER (caller) {
        struct elsewhere other;
        elsewhere_make(caller, &other);
        refuse_devices(caller, reference);
        refuse_memory(caller, reference, &other);
        refuse_events(caller, reference, &other);
        elsewhere_free(&other);
    }
    anynorm_device_close(reference);
}

/* ---- Enqueues ---- */

/* With as many rows, of none of which anything may be written: one kernel, two, and a marker. */
static void refuse_enqueues(const struct caller *caller, const struct elsewhere *other,
                            anynorm_plan *foreign, const anynorm_spec *spec, const char *schedule,
                            uint64_t rows)
{
    struct problem problem = {.spec = *spec, .rows = 3, .seed = 9};
    struct work work;
    cl_event mark, event = (cl_event)(void *)&event;
    anynorm_plan *plan = plan_if_fits(caller->device, spec, schedule);
    if (!plan)
        return;
    work_make(caller, &problem, &work);
    assert_cl(clEnqueueMarkerWithWaitList(caller->queue, 0, NULL, &mark));
    assert_cl(clFinish(caller->queue));
    for (unsigned missing = 1; missing < 8; missing++) {
        make_message_stale();
        anynorm_status status =
            anynorm_opencl_enqueue(UNLESS(missing, 0, plan), UNLESS(missing, 1, caller->queue),
                                   UNLESS(missing, 2, &work.tensors), rows, 0, NULL, &event);
        check_refused_naming(status, invalid, "NULL", __FILE__, __LINE__);
    }
    const struct {
        const char *word;
        cl_uint count;
        const cl_event *list;
    } lists[] = {
        {"wait_list", 1, NULL},
        {"wait_list", UINT32_MAX, NULL},
        {"wait_list", 0, &mark},
        {"wait_list", 1, &(const cl_event){NULL}},
        {"wait_list", 2, (const cl_event[]){mark, NULL}},
        {"wait_list", 2, (const cl_event[]){NULL, mark}},
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        make_message_stale();
        anynorm_status status = anynorm_opencl_enqueue(plan, caller->queue, &work.tensors, rows,
                                                       lists[i].count, lists[i].list, &event);
        if (status != invalid)
            fprintf(stderr, "wait list %zu of %s on %d rows\n", i, schedule ? schedule : "any",
                    (int)rows);
        check_refused_naming(status, invalid, lists[i].word, __FILE__, __LINE__);
    }
    assert_refused_naming(
        anynorm_opencl_enqueue(plan, other->queue, &work.tensors, rows, 0, NULL, &event), invalid,
        "queue");
    assert_refused_naming(
        anynorm_opencl_enqueue(foreign, caller->queue, &work.tensors, rows, 0, NULL, &event),
        invalid, "plan");
    assert_ptr_equal(event, &event);
    assert_cl(clFinish(caller->queue));
    assert_true(work_is_untouched(&work, caller->queue));
    work_free(&work);
    assert_cl(clReleaseEvent(mark));
    anynorm_plan_destroy(plan);
}

static void test_enqueues(void **state)
{
    (void)state;
    anynorm_device *reference = open_device("reference");
    anynorm_plan *foreign = make_plan(reference, &plain, NULL);
    const anynorm_spec usual = {.columns = 96, .flags = ALL_FLAGS},
                       wide = {.columns = 5000, .flags = ALL_FLAGS};
    FOR_EACH_CALLER (caller) {
        struct elsewhere other;
        elsewhere_make(caller, &other);
        for (uint64_t rows = 0; rows <= 3; rows += 3) {
            refuse_enqueues(caller, &other, foreign, &usual, NULL, rows);
            refuse_enqueues(caller, &other, foreign, &wide, "row_split", rows);
        }
        elsewhere_free(&other);
    }
    anynorm_plan_destroy(foreign);
    anynorm_device_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_sub_buffers),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_enqueues),
    };
    int result =
        _cmocka_run_group_tests("refused_opencl", tests, COUNT(tests), make_callers, free_callers);
    return tell_refused("refused_opencl", result);
}
