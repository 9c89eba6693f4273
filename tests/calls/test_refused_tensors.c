/* Tensors handed over wrongly, in every way there is, to anynorm_enqueue and anynorm_run on every
 * device: each refused with the exact status and a message that names the tensor, and memory as it
 * was. <anynorm/opencl.h> and <anynorm/vulkan.h> have the same in their own tests.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 */
#include "bad_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refused.h"
#include "spec_flags.h"

static const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;

struct subject {
    const char *id;
    anynorm_device *device;
    anynorm_device *other; /* whose memory is not the device's */
    anynorm_device_info info;
    anynorm_plan *plan;
    struct bad_tensors bad;
};

static int open_subject(void **state)
{
    static struct subject of_this_test;
    of_this_test = (struct subject){.id = *state, .device = open_device(*state)};
    assert_ok(anynorm_device_describe(of_this_test.device, &of_this_test.info));
    *state = &of_this_test;
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    anynorm_device_close(subject->device);
    return 0;
}

static anynorm_status submit(void *user, const anynorm_tensors *tensors, uint64_t rows)
{
    struct subject *subject = user;
    anynorm_event event, before;
    memset(&event, 0x33, sizeof(event));
    before = event;
    anynorm_status status = anynorm_enqueue(subject->plan, tensors, rows, 0, NULL, &event);
    if (status != ANYNORM_OK) {
        assert_memory_equal(&event, &before, sizeof(event));
        return status;
    }
    status = anynorm_event_wait(&event);
    anynorm_event_release(&event);
    return status;
}

static void read_memory(void *user, unsigned char *bytes, uint64_t count)
{
    struct subject *subject = user;
    assert_ok(anynorm_buffer_read(subject->device, &subject->bad.memory, bytes, count));
}

/* A buffer of another device of the kind; where these share their memory, of the reference. */
static void find_stranger(struct subject *subject)
{
    const char *const ids[] = {subject->id, "reference"};
    for (int i = 0; i < 2; i++) {
        subject->other = open_device(ids[i]);
        assert_ok(anynorm_buffer_create(subject->other, 4096, &subject->bad.stranger));
        if (subject->bad.stranger.owner != subject->bad.memory.owner)
            return;
        anynorm_buffer_destroy(subject->other, &subject->bad.stranger);
        anynorm_device_close(subject->other);
        subject->other = NULL;
    }
}

static void test_enqueue(void **state)
{
    struct subject *subject = *state;
    for (size_t s = 0; s < arena_spec_count; s++) {
        struct bad_tensors *bad = &subject->bad;
        *bad = (struct bad_tensors){.submit = submit, .read = read_memory, .user = subject};
        arena_make(&arena_specs[s], &bad->arena);
        subject->plan = make_plan(subject->device, &arena_specs[s], NULL);
        unsigned char *poison = malloc((size_t)bad->arena.bytes);
        assert_non_null(poison);
        memset(poison, ARENA_POISON, (size_t)bad->arena.bytes);
        assert_ok(anynorm_buffer_create(subject->device, bad->arena.bytes, &bad->memory));
        assert_ok(anynorm_buffer_write(subject->device, &bad->memory, poison, bad->arena.bytes));
        find_stranger(subject);
        refuse_bad_tensors(bad);
        anynorm_buffer_destroy(subject->other, &bad->stranger);
        anynorm_device_close(subject->other);
        anynorm_buffer_destroy(subject->device, &bad->memory);
        anynorm_plan_destroy(subject->plan);
        free(poison);
    }
}

/* ---- Host pointers ---- */

static void refuse_run(const struct subject *subject, void *const at[AN_TENSOR_COUNT],
                       uint64_t rows, enum an_tensor named)
{
    anynorm_host_tensors tensors = host_tensors_at(at);
    const char *name = named == AN_TENSOR_COUNT ? "" : an_tensor_name(named);
    assert_refused_naming(anynorm_run(subject->plan, &tensors, rows), invalid, name);
}

static void refuse_host_tensors(const struct subject *subject, const struct arena *arena,
                                unsigned char *memory)
{
    void *good[AN_TENSOR_COUNT] = {NULL}, *at[AN_TENSOR_COUNT];
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        good[t] = arena->extent[t] > 0 ? memory + arena->begin[t] : NULL;
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        memcpy(at, good, sizeof(good));
        at[t] = good[t] ? NULL : memory;
        refuse_run(subject, at, ARENA_ROWS, (enum an_tensor)t);
        /* At the end of the address space, where not even a row has room. */
        at[t] = (void *)(UINTPTR_MAX - 3);
        refuse_run(subject, at, ARENA_ROWS, (enum an_tensor)t);
    }
    struct overlap overlap;
    for (unsigned way = 0; arena_overlap(arena, way, &overlap); way++) {
        memcpy(at, good, sizeof(good));
        at[overlap.output] = memory + overlap.begin;
        refuse_run(subject, at, ARENA_ROWS, overlap.output);
        assert_overlap_is_told(&overlap);
    }
    static const uint64_t rows[] = {UINT64_C(1) << 60, UINT64_C(1) << 62, UINT64_MAX / 24,
                                    UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT(rows); i++)
        refuse_run(subject, good, rows[i], AN_TENSOR_COUNT);
    for (uint64_t i = 0; i < arena->bytes; i++)
        assert_int_equal(memory[i], ARENA_POISON);
    anynorm_host_tensors tensors = host_tensors_at(good);
    assert_ok(anynorm_run(subject->plan, &tensors, ARENA_ROWS));
}

static void test_run(void **state)
{
    struct subject *subject = *state;
    for (size_t s = 0; s < arena_spec_count; s++) {
        struct arena arena;
        arena_make(&arena_specs[s], &arena);
        subject->plan = make_plan(subject->device, &arena_specs[s], NULL);
        unsigned char *memory = malloc((size_t)arena.bytes);
        assert_non_null(memory);
        memset(memory, ARENA_POISON, (size_t)arena.bytes);
        refuse_host_tensors(subject, &arena, memory);
        anynorm_plan_destroy(subject->plan);
        free(memory);
    }
}

/* ---- Strides ---- */

/* Each stride of each tensor of rows so large that its rows, or columns, pass the memory or 2^64
 * bytes: refused by the plan or by the enqueue. */
static void test_strides(void **state)
{
    struct subject *subject = *state;
    static const uint64_t strides[] = {
        UINT64_C(1) << 31, UINT64_C(1) << 32,       UINT64_C(1) << 40, UINT64_C(1) << 60,
        UINT64_C(1) << 61, (UINT64_C(1) << 61) + 1, UINT64_C(1) << 62, UINT64_C(1) << 63,
        UINT64_MAX / 4,    UINT64_MAX - 7,          UINT64_MAX};
    static const enum an_tensor of[4] = {AN_X, AN_Y, AN_RESIDUAL, AN_SUM};
    struct bad_tensors *bad = &subject->bad;
    *bad = (struct bad_tensors){.submit = submit};
    anynorm_spec usual = {.columns = 6, .flags = RESIDUAL | SUM};
    arena_make(&usual, &bad->arena);
    assert_ok(anynorm_buffer_create(subject->device, bad->arena.bytes, &bad->memory));
    const anynorm_tensors tensors = arena_tensors(&bad->arena, &bad->memory);
    for (size_t field = 0; field < 12; field++) {
        for (size_t i = 0; i < COUNT(strides); i++) {
            anynorm_spec spec = usual;
            spec.inner_rows = field % 3 == 1 ? 2 : 0;
            uint64_t *const fields[12] = {&spec.x.row_stride,           &spec.x.outer_stride,
                                          &spec.x.column_stride,        &spec.y.row_stride,
                                          &spec.y.outer_stride,         &spec.y.column_stride,
                                          &spec.residual.row_stride,    &spec.residual.outer_stride,
                                          &spec.residual.column_stride, &spec.sum.row_stride,
                                          &spec.sum.outer_stride,       &spec.sum.column_stride};
            /* Where kernels reach a part of a buffer only, there is no plan for such a row. */
            anynorm_status expected =
                field % 3 == 2 && subject->info.max_range_bytes > 0 ? ANYNORM_UNSUPPORTED : invalid;
            *fields[field] = strides[i];
            make_message_stale();
            anynorm_status status =
                anynorm_plan_create(subject->device, &spec, NULL, &subject->plan);
            if (status == ANYNORM_OK) {
                make_message_stale();
                status = submit(subject, &tensors, ARENA_ROWS);
                anynorm_plan_destroy(subject->plan);
            }
            if (status != expected)
                fprintf(stderr, "field %zu, stride %zu\n", field, i);
            check_refused_naming(status, expected, an_tensor_name(of[field / 3]), __FILE__,
                                 __LINE__);
        }
    }
    anynorm_buffer_destroy(subject->device, &bad->memory);
}

int main(void)
{
    static const struct device_test tests[] = {
        {"enqueue", test_enqueue},
        {"run", test_run},
        {"strides", test_strides},
    };
    int result =
        run_on_devices("refused_tensors", tests, COUNT(tests), open_subject, close_subject);
    return tell_refused("refused_tensors", result);
}
