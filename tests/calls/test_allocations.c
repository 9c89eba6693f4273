/* Every allocation of the library fails once, and from some on: a call then says "out of memory" or
 * does without, and nothing crashes, leaks or gives a wrong result. On every device.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_SITES=1           print the places where allocations failed
 */
#include "allocation_faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    const char *id;
    struct problem problem;
    struct images before, expected;
    anynorm_device *device;
    anynorm_device_info info; /* without a fault */
    anynorm_plan *plan;
};

/* Against a run without a fault. */
static void check_images(const struct scene *scene, const struct images *after)
{
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (after->bytes[t])
            assert_memory_equal(after->bytes[t], scene->expected.bytes[t], (size_t)after->size[t]);
    }
}

/* Another kernel may have been chosen. */
static void run_and_check(struct scene *scene, anynorm_device *device, anynorm_plan *plan)
{
    struct images after;
    struct errors worst = {0};
    run_on_device(device, plan, &scene->problem, &scene->before, &after);
    check_against_oracle(&scene->problem, &scene->before, &after, "after a fault", &worst);
    images_free(&after);
}

/* ---- Devices and plans ---- */

/* A device is not taken for a poorer one because there was no memory to ask it. */
static void check_abilities(const anynorm_device_info *info, const anynorm_device_info *expected)
{
    assert_int_equal(info->fp16, expected->fp16);
    assert_int_equal(info->fp64, expected->fp64);
    assert_int_equal(info->storage16, expected->storage16);
    assert_int_equal(info->push_descriptors, expected->push_descriptors);
    assert_int_equal(info->subgroup, expected->subgroup);
    assert_int_equal(info->subgroup_size, expected->subgroup_size);
    assert_int_equal(info->shuffle, expected->shuffle);
    assert_string_equal(info->driver, expected->driver);
}

static void open_and_plan(void *user)
{
    struct scene *scene = user;
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    anynorm_device_info info;
    anynorm_candidate candidate;
    anynorm_variant variant;
    for (size_t i = 0; i < anynorm_device_count(); i++)
        STEP(anynorm_device_list(i, &info), true);
    STEP(anynorm_device_open(scene->id, &device), device == NULL);
    STEP(anynorm_device_describe(device, &info), true);
    check_abilities(&info, &scene->info);
    STEP(anynorm_plan_candidate(device, &scene->problem.spec, 0, &candidate, NULL), true);
    STEP(anynorm_plan_variant(device, &scene->problem.spec, 0, &variant, NULL), true);
    STEP(anynorm_plan_create(device, &scene->problem.spec, NULL, &plan), plan == NULL);
    STEP(anynorm_plan_warm_up(plan, scene->problem.rows), true);
    run_and_check(scene, device, plan);
out:
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

/* The plan's binary, and a plan on another device made of it. */
static void binaries(void *user)
{
    struct scene *scene = user;
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    unsigned char *bytes = NULL;
    size_t size = 0;
    STEP(anynorm_plan_binary(scene->plan, NULL, 0, &size), size == 0);
    bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 0xA5, size);
    STEP(anynorm_plan_binary(scene->plan, bytes, size, &size), bytes[0] == 0xA5);
    const anynorm_plan_options options = {.binary = bytes, .binary_bytes = size};
    STEP(anynorm_device_open(scene->id, &device), device == NULL);
    STEP(anynorm_plan_create(device, &scene->problem.spec, &options, &plan), plan == NULL);
    run_and_check(scene, device, plan);
out:
    free(bytes);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

/* ---- What is on disk ---- */

static char base[FOLDER_BYTES], cache[FOLDER_BYTES + 8], tuning[FOLDER_BYTES + 8];

static void cached(void *user)
{
    struct scene *scene = user;
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    assert_int_equal(setenv("ANYNORM_CACHE", "on", 1), 0);
    assert_int_equal(setenv("ANYNORM_CACHE_DIR", cache, 1), 0);
    STEP(anynorm_device_open(scene->id, &device), device == NULL);
    STEP(anynorm_plan_create(device, &scene->problem.spec, NULL, &plan), plan == NULL);
    run_and_check(scene, device, plan);
out:
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
}

static void cached_cold(void *user)
{
    remove_folder(cache);
    cached(user);
}

/* A line of the user's file for each number of columns, of which the spec's stands last. */
static void write_tuning(const struct scene *scene)
{
    FILE *file = fopen(tuning, "w");
    assert_non_null(file);
    for (int i = 1; i <= 40; i++)
        fprintf(file, "device * columns=%d -> row_per_item\n", i);
    fprintf(file, "device * columns=%d -> row_reread group=32\n", (int)scene->problem.spec.columns);
    assert_int_equal(fclose(file), 0);
}

static void plan_with(struct scene *scene, const char *file, unsigned long at)
{
    anynorm_plan_info info;
    assert_int_equal(setenv("ANYNORM_TUNING", file, 1), 0);
    anynorm_plan *plan = make_plan(scene->device, &scene->problem.spec, NULL);
    assert_ok(anynorm_plan_describe(plan, &info));
    anynorm_plan_destroy(plan);
    bool tuned = strcmp(file, tuning) == 0;
    if (tuned && strcmp(info.schedule, "row_reread") != 0) {
        fprintf(stderr, "allocation %lu: %s, as the tuning was not read again\n", at, info.choice);
        fail();
    }
}

/* A file that could not be read for want of memory is read for the next plan. */
static void tuned(void *user)
{
    struct scene *scene = user;
    anynorm_plan *plan = NULL;
    assert_int_equal(setenv("ANYNORM_TUNING", tuning, 1), 0);
    STEP(anynorm_plan_create(scene->device, &scene->problem.spec, NULL, &plan), plan == NULL);
    run_and_check(scene, scene->device, plan);
out:
    anynorm_plan_destroy(plan);
    unsigned long at = allocations_now()->at;
    allocations_stop();
    plan_with(scene, tuning, at);
    plan_with(scene, "/nonexistent", at); /* drops what was read */
    assert_int_equal(setenv("ANYNORM_TUNING", "off", 1), 0);
}

/* ---- Buffers and enqueues ---- */

static void buffers_and_enqueue(void *user)
{
    struct scene *scene = user;
    anynorm_device *device = scene->device;
    anynorm_tensors tensors = {.x = {0}};
    anynorm_event first = {0}, second = {0};
    struct images after = {.bytes = {NULL}};
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        STEP(anynorm_buffer_create(device, scene->before.size[t], slot), slot->kind == 0);
        STEP(anynorm_buffer_write(device, slot, scene->before.bytes[t], scene->before.size[t]),
             true);
    }
    STEP(anynorm_enqueue(scene->plan, &tensors, scene->problem.rows, 0, NULL, &first),
         !first.valid);
    STEP(anynorm_enqueue(scene->plan, &tensors, scene->problem.rows, 1, &first, &second),
         !second.valid);
    STEP(anynorm_event_wait(&first), true);
    STEP(anynorm_event_wait(&second), true);
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        after.size[t] = scene->before.size[t];
        after.bytes[t] = malloc((size_t)after.size[t]);
        assert_non_null(after.bytes[t]);
        STEP(anynorm_buffer_read(device, an_tensor_slot(&tensors, (enum an_tensor)t),
                                 after.bytes[t], after.size[t]),
             true);
    }
    check_images(scene, &after);
out:
    images_free(&after);
    if (first.valid)
        assert_ok(anynorm_event_wait(&first));
    anynorm_event_release(&first);
    anynorm_event_release(&second);
    for (int t = 0; t < PLAIN_TENSORS; t++)
        anynorm_buffer_destroy(device, an_tensor_slot(&tensors, (enum an_tensor)t));
}

/* Once two were in flight, enqueueing two takes no memory; nor do what is a value, and text. */
static void ask_for_none(struct scene *scene)
{
    anynorm_tensors tensors = {.x = {0}};
    anynorm_event events[2] = {{0}};
    char text[512];
    anynorm_spec spec;
    uint64_t rows = 0, nanoseconds;
    const uint64_t shape[] = {7, 96};
    const anynorm_view view = {.rank = 2, .shape = shape};
    for (int t = 0; t < PLAIN_TENSORS; t++) {
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        assert_ok(anynorm_buffer_create(scene->device, scene->before.size[t], slot));
        assert_ok(anynorm_buffer_write(scene->device, slot, scene->before.bytes[t],
                                       scene->before.size[t]));
    }
    for (int round = 0; round < 3; round++) {
        if (round == 0)
            allocations_start(0, false);
        for (int i = 0; i < 2; i++) {
            if (round == 0)
                assert_ok(anynorm_enqueue(scene->plan, &tensors, scene->problem.rows, 0, NULL,
                                          &events[i]));
            else
                WITHOUT(anynorm_enqueue(scene->plan, &tensors, scene->problem.rows, (uint32_t)i,
                                        i ? &events[0] : NULL, &events[i]));
        }
        for (int i = 0; i < 2; i++) {
            WITHOUT(anynorm_event_wait(&events[i]));
            if (anynorm_event_elapsed(&events[i], &nanoseconds) == ANYNORM_OK)
                WITHOUT(anynorm_event_elapsed(&events[i], &nanoseconds));
            anynorm_event_release(&events[i]);
        }
    }
    WITHOUT(anynorm_spec_parse("layer-norm 7x96 f16 weight bias eps=1e-06", &spec, &rows));
    WITHOUT((anynorm_spec_format(&spec, rows, text, sizeof(text)), ANYNORM_OK));
    WITHOUT(anynorm_spec_check(&spec));
    WITHOUT(anynorm_spec_from_view(&spec, &view, NULL, -1, &rows));
    for (int t = 0; t < PLAIN_TENSORS; t++)
        anynorm_buffer_destroy(scene->device, an_tensor_slot(&tensors, (enum an_tensor)t));
}

static void run_on_host(void *user)
{
    struct scene *scene = user;
    struct images copy = images_copy(&scene->before);
    void *at[AN_TENSOR_COUNT] = {NULL};
    for (int t = 0; t < PLAIN_TENSORS; t++)
        at[t] = copy.bytes[t];
    anynorm_host_tensors host = host_tensors_at(at);
    STEP(anynorm_run(scene->plan, &host, scene->problem.rows), true);
    check_images(scene, &copy);
out:
    images_free(&copy);
}

/* Rows of y and of the sum lie between each other, and no copy of both would be aligned: the sum
 * is of 2 bytes and begins 18 bytes before y. */
static void run_scattered(void *user)
{
    enum { ROWS = 5, COLUMNS = 8, STEP_BYTES = 64 };
    struct scene *scene = user;
    const anynorm_spec spec = {.columns = COLUMNS,
                               .flags = ANYNORM_SUM_OUTPUT,
                               .statistic.eps = ANYNORM_EPS_DEFAULT,
                               .sum.type = ANYNORM_F16,
                               .y.row_stride = STEP_BYTES / 4,
                               .sum.row_stride = STEP_BYTES / 2};
    float x[ROWS * COLUMNS], y[COLUMNS];
    unsigned char both[ROWS * STEP_BYTES + 64];
    anynorm_plan *plan = NULL;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)(i % 7 * (i / COLUMNS + 1));
    memset(both, 0x5A, sizeof(both));
    STEP(anynorm_plan_create(scene->device, &spec, NULL, &plan), plan == NULL);
    const anynorm_host_tensors host = {.x = x, .y = both + 20, .sum = both + 2};
    STEP(anynorm_run(plan, &host, ROWS), true);
    for (int r = 0; r < ROWS; r++) {
        double mean = 0;
        memcpy(y, both + 20 + r * STEP_BYTES, sizeof(y));
        for (int c = 0; c < COLUMNS; c++) {
            assert_true(anynorm_dtype_load(ANYNORM_F16, both + 2 + r * STEP_BYTES, (uint64_t)c) ==
                        (double)x[r * COLUMNS + c]);
            mean += (double)y[c];
        }
        assert_true(mean < 1e-4 && mean > -1e-4);
        assert_true((y[0] < y[1]) == (x[r * COLUMNS] < x[r * COLUMNS + 1]));
        assert_int_equal(both[r * STEP_BYTES + 18], 0x5A);
    }
out:
    anynorm_plan_destroy(plan);
}

/* ---- The tests ---- */

static void make_scene(struct scene *scene, const char *id, const char *caps)
{
    *scene = (struct scene){.id = id, .problem = dense_problem(7, 96, ANYNORM_F32, ALL_FLAGS)};
    images_make(&scene->problem, &scene->before);
    anynorm_device *device = open_device(id); /* without the caps, such that it holds it all */
    anynorm_plan *plan = make_plan(device, &scene->problem.spec, NULL);
    run_on_device(device, plan, &scene->problem, &scene->before, &scene->expected);
    anynorm_plan_destroy(plan);
    anynorm_device_close(device);
    scene->device = caps ? open_device_with(id, caps) : open_device(id);
    assert_ok(anynorm_device_describe(scene->device, &scene->info));
    scene->plan = make_plan(scene->device, &scene->problem.spec, NULL);
}

static void free_scene(struct scene *scene)
{
    anynorm_plan_destroy(scene->plan);
    anynorm_device_close(scene->device);
    images_free(&scene->before);
    images_free(&scene->expected);
}

static void play(const char *id, const char *caps, const char *name, void (*scenario)(void *),
                 unsigned long least)
{
    struct scene scene;
    char title[96];
    snprintf(title, sizeof(title), "%s: %s", id, name);
    make_scene(&scene, id, caps);
    fail_each_allocation(title, scenario, &scene, least);
    free_scene(&scene);
}

static void test_open_and_plan(void **state)
{
    play(*state, NULL, "open and plan", open_and_plan, 2);
}

static bool is_device(const char *id, const char *word)
{
    return strncmp(id, word, strlen(word)) == 0;
}

static void test_binaries(void **state)
{
    if (!is_device(*state, "reference"))
        play(*state, NULL, "binaries", binaries, 6);
}

static void test_cache(void **state)
{
    if (is_device(*state, "reference"))
        return;
    play(*state, NULL, "cache, cold", cached_cold, 4);
    play(*state, NULL, "cache, warm", cached, 4);
    assert_int_equal(setenv("ANYNORM_CACHE", "off", 1), 0);
}

static void test_tuning(void **state)
{
    struct scene scene;
    if (is_device(*state, "reference"))
        return;
    make_scene(&scene, *state, NULL);
    write_tuning(&scene);
    fail_each_allocation("tuning", tuned, &scene, 3);
    free_scene(&scene);
}

static void test_buffers_and_enqueue(void **state)
{
    /* Where memory is the driver's, there is none of ours. */
    play(*state, NULL, "buffers and enqueue", buffers_and_enqueue,
         is_device(*state, "opencl") ? 0 : PLAIN_TENSORS);
}

static void test_run(void **state)
{
    bool opencl = is_device(*state, "opencl"), reference = is_device(*state, "reference");
    play(*state, NULL, "run", run_on_host, opencl || reference ? 0 : PLAIN_TENSORS);
    play(*state, "no-unified", "run with copies", run_on_host, opencl ? 0 : PLAIN_TENSORS);
    play(*state, "no-unified,max-alloc=1200", "run in blocks", run_on_host, opencl ? 0 : 8);
    play(*state, NULL, "run between other rows", run_scattered, 2);
}

static void test_none(void **state)
{
    struct scene scene;
    make_scene(&scene, *state, NULL);
    ask_for_none(&scene);
    free_scene(&scene);
}

static int make_base(void **state)
{
    (void)state;
    make_folder(base);
    snprintf(cache, sizeof(cache), "%s/cache", base);
    snprintf(tuning, sizeof(tuning), "%s/tuning", base);
    assert_int_equal(setenv("ANYNORM_CACHE", "off", 1), 0);
    assert_int_equal(setenv("ANYNORM_TUNING", "off", 1), 0);
    return 0;
}

static int remove_base(void **state)
{
    allocations_leave();
    allocations_stop();
    remove_folder(base);
    (void)state;
    return 0;
}

int main(void)
{
    static const struct device_test tests[] = {
        {"open and plan", test_open_and_plan},
        {"binaries", test_binaries},
        {"cache", test_cache},
        {"tuning", test_tuning},
        {"buffers and enqueue", test_buffers_and_enqueue},
        {"run", test_run},
        {"no allocation", test_none},
    };
    int failed = run_on_devices("allocations", tests, COUNT(tests), make_base, remove_base);
    print_allocations();
    return failed;
}
