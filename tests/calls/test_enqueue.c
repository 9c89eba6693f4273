/* What anynorm_enqueue, the functions of events, and anynorm_run say to bad arguments on every
 * device: the exact status, a message of one line, and nothing done: output arguments and memory as
 * they were.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 */
#include "refused.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/tensors.h"

#define ROWS 5

static const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;

/* Two devices of the kind, a plan of each, and tensors of the first in device and host memory. */
struct subject {
    const char *id;
    anynorm_device *device;
    anynorm_device *other;
    anynorm_device_info info;
    anynorm_plan *plan;
    anynorm_plan *other_plan;
    struct problem problem;
    struct images images;
    anynorm_tensors tensors;
};

static const anynorm_spec usual = {.columns = 6, .flags = ALL_FLAGS};

static int open_subject(void **state)
{
    static struct subject of_this_test;
    struct subject *subject = &of_this_test;
    *subject = (struct subject){.id = *state};
    *state = subject;
    subject->device = open_device(subject->id);
    subject->other = open_device(subject->id);
    assert_ok(anynorm_device_describe(subject->device, &subject->info));
    assert_ok(anynorm_plan_create(subject->device, &usual, NULL, &subject->plan));
    assert_ok(anynorm_plan_create(subject->other, &usual, NULL, &subject->other_plan));
    subject->problem = (struct problem){.spec = usual, .rows = ROWS, .seed = 1};
    images_make(&subject->problem, &subject->images);
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        anynorm_buffer *buffer = an_tensor_slot(&subject->tensors, (enum an_tensor)t);
        assert_ok(anynorm_buffer_create(subject->device, subject->images.size[t], buffer));
        assert_ok(anynorm_buffer_write(subject->device, buffer, subject->images.bytes[t],
                                       subject->images.size[t]));
    }
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    for (int t = 0; t < PLAIN_TENSORS; t++)
        anynorm_buffer_destroy(subject->device,
                               an_tensor_slot(&subject->tensors, (enum an_tensor)t));
    images_free(&subject->images);
    anynorm_plan_destroy(subject->plan);
    anynorm_plan_destroy(subject->other_plan);
    anynorm_device_close(subject->device);
    anynorm_device_close(subject->other);
    return 0;
}

/* Fails if any byte of any device buffer has changed. */
static void assert_buffers_untouched(const struct subject *subject)
{
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        unsigned char now[1024];
        size_t size = (size_t)subject->images.size[t];
        assert_true(size <= sizeof(now));
        assert_ok(anynorm_buffer_read(
            subject->device, an_tensor_buffer(&subject->tensors, (enum an_tensor)t), now, size));
        assert_memory_equal(now, subject->images.bytes[t], size);
    }
}

/* ---- Enqueue and event ---- */

static void refuse_enqueue(struct subject *subject, const char *what, int tensor,
                           const anynorm_tensors *tensors, uint64_t rows, uint32_t wait_count,
                           const anynorm_event *wait_list)
{
    anynorm_event event, before;
    memset(&event, 0x5a, sizeof(event));
    before = event;
    make_message_stale();
    anynorm_status status =
        anynorm_enqueue(subject->plan, tensors, rows, wait_count, wait_list, &event);
    if (status != invalid)
        fprintf(stderr, "%s: %s\n", what,
                tensor < 0 ? "-" : an_tensor_name((enum an_tensor)tensor));
    check_refused(status, invalid, __FILE__, __LINE__);
    assert_memory_equal(&event, &before, sizeof(event));
}

static void make_missing(anynorm_buffer *buffer)
{
    *buffer = (anynorm_buffer){0};
}

static void make_short(anynorm_buffer *buffer)
{
    buffer->offset += 64 + 4; /* the images' guard, and one element */
}

static void make_no_memory(anynorm_buffer *buffer)
{
    buffer->bytes = 0;
}

static void make_past_the_end(anynorm_buffer *buffer)
{
    buffer->offset = buffer->bytes;
}

static void make_wrapping(anynorm_buffer *buffer)
{
    buffer->offset = UINT64_MAX - 3;
}

static void make_unaligned(anynorm_buffer *buffer)
{
    buffer->offset += 1;
}

static void make_half_aligned(anynorm_buffer *buffer)
{
    buffer->offset += 2;
}

static void make_foreign(anynorm_buffer *buffer)
{
    buffer->owner = buffer;
}

static void make_nobodys(anynorm_buffer *buffer)
{
    buffer->owner = NULL;
}

static const struct {
    const char *what;
    void (*apply)(anynorm_buffer *buffer);
} spoilers[] = {
    {"missing", make_missing},           {"short", make_short},
    {"no memory", make_no_memory},       {"past the end", make_past_the_end},
    {"wrapping", make_wrapping},         {"unaligned", make_unaligned},
    {"half aligned", make_half_aligned}, {"of another device", make_foreign},
    {"of nobody", make_nobodys},
};

static void test_enqueue_tensors(void **state)
{
    struct subject *subject = *state;
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        for (size_t i = 0; i < COUNT(spoilers); i++) {
            anynorm_tensors tensors = subject->tensors;
            spoilers[i].apply(an_tensor_slot(&tensors, (enum an_tensor)t));
            refuse_enqueue(subject, spoilers[i].what, t, &tensors, ROWS, 0, NULL);
        }
        for (int other = 0; other < PLAIN_TENSORS; other++) {
            bool is_output = t == AN_Y || t == AN_MEAN || t == AN_RSTD;
            if (!is_output || t == other || (t == AN_Y && other == AN_X))
                continue;
            anynorm_tensors tensors = subject->tensors;
            *an_tensor_slot(&tensors, (enum an_tensor)t) = subject->tensors.x;
            *an_tensor_slot(&tensors, (enum an_tensor)other) = subject->tensors.x;
            refuse_enqueue(subject, "overlaps", t, &tensors, ROWS, 0, NULL);
        }
    }
    anynorm_tensors tensors = subject->tensors;
    tensors.y = tensors.x;
    tensors.y.offset += 4;
    refuse_enqueue(subject, "x shifted", AN_Y, &tensors, ROWS, 0, NULL);
    static const uint64_t rows[] = {
        ROWS + 4, 1000, UINT64_C(1) << 40, UINT64_C(1) << 62, UINT64_MAX / 24, UINT64_MAX};
    for (size_t i = 0; i < COUNT(rows); i++)
        refuse_enqueue(subject, "too many rows", -1, &subject->tensors, rows[i], 0, NULL);
    refuse_enqueue(subject, "no tensors", -1, &(anynorm_tensors){0}, ROWS, 0, NULL);
    refuse_enqueue(subject, "NULL tensors", -1, NULL, ROWS, 0, NULL);

    anynorm_event event = {0};
    assert_refused(anynorm_enqueue(NULL, &subject->tensors, ROWS, 0, NULL, &event), invalid);
    assert_refused(anynorm_enqueue(subject->plan, &subject->tensors, ROWS, 0, NULL, NULL), invalid);
    assert_refused(anynorm_enqueue(subject->plan, &subject->tensors, 0, 0, NULL, NULL), invalid);
    assert_false(event.valid);

    /* The tensors of the device, but a plan that names fewer. */
    anynorm_plan *plain;
    assert_ok(anynorm_plan_create(subject->device, &(anynorm_spec){.columns = 6}, NULL, &plain));
    for (int t = AN_WEIGHT; t < PLAIN_TENSORS; t++) {
        tensors = (anynorm_tensors){.x = subject->tensors.x, .y = subject->tensors.y};
        *an_tensor_slot(&tensors, (enum an_tensor)t) =
            *an_tensor_buffer(&subject->tensors, (enum an_tensor)t);
        assert_refused(anynorm_enqueue(plain, &tensors, ROWS, 0, NULL, &event), invalid);
    }
    assert_false(event.valid);
    anynorm_plan_destroy(plain);
    assert_buffers_untouched(subject);
}

static void test_enqueue_wait_list(void **state)
{
    struct subject *subject = *state;
    const anynorm_tensors *tensors = &subject->tensors;
    anynorm_event list[ANYNORM_MAX_WAIT + 1] = {{0}}, event;
    assert_ok(anynorm_enqueue(subject->plan, tensors, 0, 0, NULL, &event));
    for (size_t i = 0; i < COUNT(list); i++)
        list[i] = event;
    for (uint64_t rows = 0; rows <= ROWS; rows += ROWS) {
        refuse_enqueue(subject, "a long list", -1, tensors, rows, ANYNORM_MAX_WAIT + 1, list);
        refuse_enqueue(subject, "a huge list", -1, tensors, rows, UINT32_MAX, list);
        refuse_enqueue(subject, "a NULL list", -1, tensors, rows, 1, NULL);
        list[2] = (anynorm_event){0};
        refuse_enqueue(subject, "an empty event", -1, tensors, rows, 3, list);
        list[2] = event;
        list[2].valid = false;
        refuse_enqueue(subject, "an event that is not valid", -1, tensors, rows, 3, list);
        list[2] = event;
        list[2].device = subject->other;
        refuse_enqueue(subject, "another device's event", -1, tensors, rows, 3, list);
        list[2] = event;
        list[2].device = NULL;
        refuse_enqueue(subject, "nobody's event", -1, tensors, rows, 3, list);
        list[2] = event;
    }
    assert_buffers_untouched(subject);
    anynorm_event last;
    assert_ok(anynorm_enqueue(subject->plan, tensors, 0, ANYNORM_MAX_WAIT, list, &last));
    assert_ok(anynorm_event_wait(&last));
    anynorm_event_release(&last);
    assert_ok(anynorm_enqueue(subject->plan, tensors, 0, 0, list, &last));
    assert_ok(anynorm_event_wait(&last));
    anynorm_event_release(&last);
    anynorm_event_release(&event);
    assert_buffers_untouched(subject);
}

static void test_zero_rows(void **state)
{
    struct subject *subject = *state;
    anynorm_event event;
    assert_ok(anynorm_enqueue(subject->plan, &subject->tensors, 0, 0, NULL, &event));
    assert_true(event.valid);
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    assert_ok(anynorm_enqueue(subject->plan, &(anynorm_tensors){0}, 0, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    assert_ok(anynorm_run(subject->plan, &(anynorm_host_tensors){0}, 0));
    assert_buffers_untouched(subject);
}

static void test_events(void **state)
{
    struct subject *subject = *state;
    anynorm_event empty = {0}, event;
    uint64_t nanoseconds = 77;
    assert_refused(anynorm_event_wait(NULL), invalid);
    assert_refused(anynorm_event_wait(&empty), invalid);
    assert_refused(anynorm_event_elapsed(NULL, &nanoseconds), invalid);
    assert_refused(anynorm_event_elapsed(&empty, &nanoseconds), invalid);
    assert_ok(anynorm_enqueue(subject->plan, &subject->tensors, ROWS, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    assert_ok(anynorm_event_wait(&event));
    assert_refused(anynorm_event_elapsed(&event, NULL), invalid);
    if (is_reference(&subject->info))
        assert_refused(anynorm_event_elapsed(&event, &nanoseconds), ANYNORM_UNSUPPORTED);
    assert_int_equal(nanoseconds, 77);
    anynorm_event_release(&event);
    assert_false(event.valid);
    assert_null(event.handle);
    anynorm_event_release(&event);
    anynorm_event_release(&empty);
    anynorm_event_release(NULL);
    assert_refused(anynorm_event_wait(&event), invalid);
    assert_refused(anynorm_event_elapsed(&event, &nanoseconds), invalid);
    assert_int_equal(nanoseconds, 77);
}

/* ---- Run ---- */

static void refuse_run(struct subject *subject, const char *what, int tensor,
                       void *const pointers[AN_TENSOR_COUNT], uint64_t rows)
{
    anynorm_host_tensors tensors = host_tensors_at(pointers);
    make_message_stale();
    anynorm_status status = anynorm_run(subject->plan, &tensors, rows);
    if (status != invalid)
        fprintf(stderr, "%s: %s\n", what, an_tensor_name((enum an_tensor)tensor));
    check_refused(status, invalid, __FILE__, __LINE__);
}

static void test_run_arguments(void **state)
{
    struct subject *subject = *state;
    struct images host;
    images_make(&subject->problem, &host);
    void *good[AN_TENSOR_COUNT] = {NULL}, *pointers[AN_TENSOR_COUNT];
    for (int t = 0; t < PLAIN_TENSORS; t++)
        good[t] = host.bytes[t];
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        bool is_output = t == AN_Y || t == AN_MEAN || t == AN_RSTD;
        memcpy(pointers, good, sizeof(good));
        pointers[t] = NULL;
        refuse_run(subject, "missing", t, pointers, ROWS);
        for (int other = 0; other < PLAIN_TENSORS; other++) {
            if (!is_output || t == other || (t == AN_Y && other == AN_X))
                continue;
            memcpy(pointers, good, sizeof(good));
            pointers[t] = (char *)good[other] + 1;
            refuse_run(subject, "overlaps", t, pointers, ROWS);
        }
    }
    memcpy(pointers, good, sizeof(good));
    pointers[AN_Y] = (char *)good[AN_X] + 4;
    refuse_run(subject, "x shifted", AN_Y, pointers, ROWS);
    static const uint64_t rows[] = {UINT64_C(1) << 60, UINT64_C(1) << 62, UINT64_MAX / 24,
                                    UINT64_MAX};
    for (size_t i = 0; i < COUNT(rows); i++)
        refuse_run(subject, "too many rows", 0, good, rows[i]);

    anynorm_host_tensors tensors = host_tensors_at(good);
    assert_refused(anynorm_run(NULL, &tensors, ROWS), invalid);
    assert_refused(anynorm_run(subject->plan, NULL, ROWS), invalid);
    assert_refused(anynorm_run(NULL, NULL, 0), invalid);
    anynorm_plan *plain;
    assert_ok(anynorm_plan_create(subject->device, &(anynorm_spec){.columns = 6}, NULL, &plain));
    for (int t = AN_WEIGHT; t < PLAIN_TENSORS; t++) {
        anynorm_host_tensors more = {.x = good[AN_X], .y = good[AN_Y]};
        more.weight = t == AN_WEIGHT ? good[t] : NULL;
        more.bias = t == AN_BIAS ? good[t] : NULL;
        more.mean = t == AN_MEAN ? good[t] : NULL;
        more.rstd = t == AN_RSTD ? good[t] : NULL;
        assert_refused(anynorm_run(plain, &more, ROWS), invalid);
    }
    anynorm_plan_destroy(plain);
    for (int t = 0; t < PLAIN_TENSORS; t++)
        assert_memory_equal(host.bytes[t], subject->images.bytes[t], (size_t)host.size[t]);
    images_free(&host);
}

/* A device may be closed before its plans. */
static void test_plan_keeps_its_device(void **state)
{
    struct subject *subject = *state;
    anynorm_device *device = open_device(subject->id);
    anynorm_plan *plan;
    assert_ok(anynorm_plan_create(device, &usual, NULL, &plan));
    anynorm_device_close(device);
    struct images host, expected;
    images_make(&subject->problem, &host);
    images_make(&subject->problem, &expected);
    for (int i = 0; i < 2; i++) {
        void *at[AN_TENSOR_COUNT];
        for (int t = 0; t < AN_TENSOR_COUNT; t++)
            at[t] = (i ? expected : host).bytes[t];
        anynorm_host_tensors tensors = host_tensors_at(at);
        assert_ok(anynorm_run(i ? subject->plan : plan, &tensors, ROWS));
    }
    for (int t = 0; t < PLAIN_TENSORS; t++)
        assert_memory_equal(host.bytes[t], expected.bytes[t], (size_t)host.size[t]);
    images_free(&host);
    images_free(&expected);
    anynorm_plan_destroy(plan);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"enqueue tensors", test_enqueue_tensors},
        {"enqueue wait list", test_enqueue_wait_list},
        {"zero rows", test_zero_rows},
        {"events", test_events},
        {"run", test_run_arguments},
        {"a plan keeps its device", test_plan_keeps_its_device},
    };
    int result = run_on_devices("enqueue", tests, COUNT(tests), open_subject, close_subject);
    return tell_refused("enqueue", result);
}
