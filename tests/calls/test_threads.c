/* Many threads on one plan, plans made and destroyed meanwhile, and many waits for one event. The
 * results must be, bit by bit, those of one thread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"
#include "spec/tensors.h"

#define THREADS 8
#define MAKERS 2
#define COLUMNS 100
#define ROWS 24
#define IN_FLIGHT 4
#define ROW_BYTES (COLUMNS * sizeof(float))

/* What one thread found wrong: cmocka's own failures work in the main thread only. */
struct finding {
    char text[512];
};

static bool wrong(struct finding *finding, const char *what, anynorm_status status)
{
    snprintf(finding->text, sizeof(finding->text), "%s (%s: %.200s)", what,
             anynorm_status_name(status), anynorm_message());
    return false;
}

struct shared {
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_spec spec;
    atomic_bool stop;
    unsigned iterations;
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    unsigned number;
    float x[ROWS * COLUMNS];
    float weight[COLUMNS];
    float y[ROWS * COLUMNS]; /* of one thread alone */
    float mean[ROWS];
    struct finding finding;
};

/* ---- Enqueues ---- */

static void fill(struct worker *worker)
{
    struct random random = {worker->number + 1};
    for (int i = 0; i < ROWS * COLUMNS; i++)
        worker->x[i] = (float)(random_normal(&random) + (double)worker->number);
    for (int i = 0; i < COLUMNS; i++)
        worker->weight[i] = (float)random_normal(&random);
}

/* Slots side by side in one buffer for each tensor, so that offsets differ with each enqueue. */
struct memory {
    anynorm_buffer x, weight, y, mean;
};

static bool memory_make(struct worker *worker, struct memory *memory)
{
    anynorm_device *device = worker->shared->device;
    *memory = (struct memory){.x = {0}};
    anynorm_status status = anynorm_buffer_create(device, sizeof(worker->x), &memory->x);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_create(device, sizeof(worker->weight), &memory->weight);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_create(device, IN_FLIGHT * sizeof(worker->y), &memory->y);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_create(device, IN_FLIGHT * sizeof(worker->mean), &memory->mean);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_write(device, &memory->x, worker->x, sizeof(worker->x));
    if (status == ANYNORM_OK)
        status =
            anynorm_buffer_write(device, &memory->weight, worker->weight, sizeof(worker->weight));
    return status == ANYNORM_OK || wrong(&worker->finding, "buffers", status);
}

static void memory_free(struct worker *worker, struct memory *memory)
{
    anynorm_device *device = worker->shared->device;
    anynorm_buffer_destroy(device, &memory->x);
    anynorm_buffer_destroy(device, &memory->weight);
    anynorm_buffer_destroy(device, &memory->y);
    anynorm_buffer_destroy(device, &memory->mean);
}

/* Rows [first, first + rows) of x into slot `slot`. */
static anynorm_tensors tensors_of(const struct memory *memory, unsigned first, unsigned slot)
{
    anynorm_tensors tensors = {
        .x = memory->x, .y = memory->y, .weight = memory->weight, .mean = memory->mean};
    tensors.x.offset = first * ROW_BYTES;
    tensors.y.offset = slot * ROWS * ROW_BYTES;
    tensors.mean.offset = slot * ROWS * sizeof(float);
    return tensors;
}

static bool check_slot(struct worker *worker, const struct memory *memory, unsigned first,
                       unsigned rows, unsigned slot)
{
    float y[ROWS * COLUMNS], mean[ROWS];
    anynorm_tensors tensors = tensors_of(memory, first, slot);
    anynorm_device *device = worker->shared->device;
    anynorm_status status = anynorm_buffer_read(device, &tensors.y, y, rows * ROW_BYTES);
    if (status == ANYNORM_OK)
        status = anynorm_buffer_read(device, &tensors.mean, mean, rows * sizeof(float));
    if (status != ANYNORM_OK)
        return wrong(&worker->finding, "read", status);
    if (memcmp(y, worker->y + (size_t)first * COLUMNS, rows * ROW_BYTES) != 0)
        return wrong(&worker->finding, "y has other bits than alone", status);
    if (memcmp(mean, worker->mean + first, rows * sizeof(float)) != 0)
        return wrong(&worker->finding, "mean has other bits than alone", status);
    return true;
}

static void *enqueue_often(void *argument)
{
    struct worker *worker = argument;
    struct random random = {worker->number + 77};
    struct memory memory;
    bool well = memory_make(worker, &memory);
    for (unsigned i = 0; well && i < worker->shared->iterations; i += IN_FLIGHT) {
        anynorm_event events[IN_FLIGHT] = {{0}};
        unsigned first[IN_FLIGHT], rows[IN_FLIGHT];
        for (unsigned slot = 0; well && slot < IN_FLIGHT; slot++) {
            first[slot] = (unsigned)(random_bits(&random) >> 32) % ROWS;
            rows[slot] = 1 + (unsigned)(random_bits(&random) >> 32) % (ROWS - first[slot]);
            anynorm_tensors tensors = tensors_of(&memory, first[slot], slot);
            anynorm_status status =
                anynorm_enqueue(worker->shared->plan, &tensors, rows[slot], slot > 0 ? 1 : 0,
                                slot > 0 ? &events[slot - 1] : NULL, &events[slot]);
            well = status == ANYNORM_OK || wrong(&worker->finding, "enqueue", status);
        }
        for (unsigned slot = 0; slot < IN_FLIGHT; slot++) {
            anynorm_status status =
                events[slot].valid ? anynorm_event_wait(&events[slot]) : ANYNORM_OK;
            if (status != ANYNORM_OK)
                well = wrong(&worker->finding, "wait", status);
            anynorm_event_release(&events[slot]);
        }
        for (unsigned slot = 0; well && slot < IN_FLIGHT; slot++)
            well = check_slot(worker, &memory, first[slot], rows[slot], slot);
    }
    memory_free(worker, &memory);
    return NULL;
}

/* ---- Plans ---- */

struct maker {
    struct shared *shared;
    pthread_t thread;
    unsigned number;
    unsigned made;
    struct finding finding;
};

static anynorm_spec spec_to_make(const struct shared *shared, unsigned number)
{
    anynorm_spec spec = shared->spec;
    spec.flags = number % 3 == 0 ? ANYNORM_BIAS : shared->spec.flags;
    spec.columns += number % 5;
    return spec;
}

static void *make_plans(void *argument)
{
    struct maker *maker = argument;
    struct shared *shared = maker->shared;
    do {
        anynorm_spec spec = spec_to_make(shared, maker->made);
        anynorm_plan *plan = NULL;
        anynorm_status status = anynorm_plan_create(shared->device, &spec, NULL, &plan);
        if (status != ANYNORM_OK) {
            wrong(&maker->finding, "plan", status);
            return NULL;
        }
        anynorm_plan_info info;
        if (anynorm_plan_describe(plan, &info) != ANYNORM_OK)
            wrong(&maker->finding, "describe", ANYNORM_OK);
        if (maker->made % 16 == 0) {
            status = anynorm_plan_warm_up(plan, 3);
            if (status != ANYNORM_OK)
                wrong(&maker->finding, "warm-up", status);
        }
        /* Its own message: no other thread's failure shows here. */
        if (anynorm_plan_create(shared->device, &(anynorm_spec){.columns = 0}, NULL, &plan) !=
                ANYNORM_INVALID_ARGUMENT ||
            !strstr(anynorm_message(), "columns"))
            wrong(&maker->finding, "message", ANYNORM_OK);
        anynorm_plan_destroy(plan);
        maker->made++;
    } while (!atomic_load(&shared->stop) && maker->made < 2000);
    return NULL;
}

/* Not atomic: the library calls it from one thread at a time. */
static unsigned long log_lines;

static void count_line(void *user, anynorm_log_level level, const char *line)
{
    (void)level;
    if (*line)
        (*(unsigned long *)user)++;
}

static void report(const char *id, const struct finding *finding, const char *who, unsigned number)
{
    if (!finding->text[0])
        return;
    fprintf(stderr, "%s: %s %u: %s\n", id, who, number, finding->text);
    fail();
}

static void alone(struct worker *worker)
{
    struct memory memory;
    fill(worker);
    anynorm_event event;
    if (!memory_make(worker, &memory))
        report("alone", &worker->finding, "thread", worker->number);
    anynorm_tensors tensors = tensors_of(&memory, 0, 0);
    assert_ok(anynorm_enqueue(worker->shared->plan, &tensors, ROWS, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    anynorm_device *device = worker->shared->device;
    assert_ok(anynorm_buffer_read(device, &tensors.y, worker->y, sizeof(worker->y)));
    assert_ok(anynorm_buffer_read(device, &tensors.mean, worker->mean, sizeof(worker->mean)));
    memory_free(worker, &memory);
}

static anynorm_device_info describe(const char *id)
{
    anynorm_device *device = open_device(id);
    anynorm_device_info info;
    assert_ok(anynorm_device_describe(device, &info));
    anynorm_device_close(device);
    return info;
}

/* Mesa 22.3 gives the data of the read before, now and then, where threads share a queue; a program
 * of plain OpenCL shows it, too. */
static bool shares_queues(const char *id)
{
    anynorm_device_info info = describe(id);
    if (strcmp(info.platform, "rusticl") != 0)
        return true;
    fprintf(stderr, "skipped: %s reads stale data where threads share a queue\n", info.name);
    return false;
}

static void one_plan(const char *id)
{
    if (!shares_queues(id))
        return;
    struct shared shared = {.spec = {.columns = COLUMNS,
                                     .flags = ANYNORM_WEIGHT | ANYNORM_MEAN_OUTPUT,
                                     .statistic.eps = ANYNORM_EPS_DEFAULT},
                            .iterations = reduced() ? 40 : 1000};
    static struct worker workers[THREADS];
    struct maker makers[MAKERS] = {{.shared = NULL}};
    memset(workers, 0, sizeof(workers));
    atomic_init(&shared.stop, false);
    shared.device = open_device(id);
    assert_ok(anynorm_plan_create(shared.device, &shared.spec, NULL, &shared.plan));
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].shared = &shared;
        workers[i].number = i;
        alone(&workers[i]);
    }
    for (unsigned i = 0; i < 15;
         i++) { /* so that makers make many, and not one for each compilation */
        anynorm_spec spec = spec_to_make(&shared, i);
        anynorm_plan_destroy(make_plan(shared.device, &spec, NULL));
    }
    log_lines = 0;
    anynorm_log_set(count_line, &log_lines, ANYNORM_LOG_DEBUG);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, enqueue_often, &workers[i]), 0);
    for (unsigned i = 0; i < MAKERS; i++) {
        makers[i] = (struct maker){.shared = &shared, .number = i};
        assert_int_equal(pthread_create(&makers[i].thread, NULL, make_plans, &makers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < MAKERS; i++)
        assert_int_equal(pthread_join(makers[i].thread, NULL), 0);
    anynorm_log_set(NULL, NULL, ANYNORM_LOG_NONE);
    for (unsigned i = 0; i < THREADS; i++)
        report(id, &workers[i].finding, "thread", i);
    for (unsigned i = 0; i < MAKERS; i++) {
        report(id, &makers[i].finding, "maker", i);
        assert_true(makers[i].made > 0);
    }
    assert_true(log_lines >= makers[0].made + makers[1].made);
    fprintf(stderr, "%s: %d threads x %u enqueues on one plan, beside %u plans made\n", id, THREADS,
            shared.iterations, makers[0].made + makers[1].made);
    anynorm_plan_destroy(shared.plan);
    anynorm_device_close(shared.device);
}

/* ---- Waits ---- */

struct waiter {
    pthread_t thread;
    anynorm_event event; /* a copy: an event is a value */
    struct finding finding;
};

static void *wait_for_it(void *argument)
{
    struct waiter *waiter = argument;
    for (int i = 0; i < 3; i++) {
        anynorm_status status = anynorm_event_wait(&waiter->event);
        if (status != ANYNORM_OK)
            wrong(&waiter->finding, "wait", status);
    }
    return NULL;
}

static void one_event(const char *id)
{
    struct shared shared = {.spec = {.columns = COLUMNS,
                                     .flags = ANYNORM_WEIGHT | ANYNORM_MEAN_OUTPUT,
                                     .statistic.eps = ANYNORM_EPS_DEFAULT}};
    static struct worker worker;
    struct memory memory;
    memset(&worker, 0, sizeof(worker));
    worker.shared = &shared;
    shared.device = open_device(id);
    assert_ok(anynorm_plan_create(shared.device, &shared.spec, NULL, &shared.plan));
    fill(&worker);
    assert_true(memory_make(&worker, &memory));
    for (int round = 0; round < (reduced() ? 2 : 50); round++) {
        anynorm_tensors tensors = tensors_of(&memory, 0, 0);
        anynorm_event events[IN_FLIGHT];
        struct waiter waiters[THREADS];
        for (int i = 0; i < IN_FLIGHT; i++)
            assert_ok(anynorm_enqueue(shared.plan, &tensors, ROWS, 0, NULL, &events[i]));
        for (int i = 0; i < THREADS; i++) {
            waiters[i] = (struct waiter){.event = events[IN_FLIGHT - 1]};
            assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_it, &waiters[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
        for (unsigned i = 0; i < THREADS; i++)
            report(id, &waiters[i].finding, "waiter", i);
        for (int i = 0; i < IN_FLIGHT; i++)
            anynorm_event_release(&events[i]);
    }
    memory_free(&worker, &memory);
    anynorm_plan_destroy(shared.plan);
    anynorm_device_close(shared.device);
}

/* ---- Devices ---- */

struct opener {
    pthread_t thread;
    const char *id;
    struct finding finding;
};

/* Lists, opens, plans, normalizes and closes: a whole life of a device beside others. */
static void *use_own_device(void *argument)
{
    struct opener *opener = argument;
    anynorm_device *device = NULL;
    anynorm_plan *plan = NULL;
    anynorm_spec spec = {.columns = 4};
    float x[4] = {1, 2, 3, 4}, y[4] = {0};
    anynorm_status status = anynorm_device_open(opener->id, &device);
    if (status == ANYNORM_OK)
        status = anynorm_plan_create(device, &spec, NULL, &plan);
    /* The plan keeps the device alive. */
    anynorm_device_close(device);
    if (status == ANYNORM_OK)
        status = anynorm_run(plan, &(anynorm_host_tensors){.x = x, .y = y}, 1);
    if (status != ANYNORM_OK)
        wrong(&opener->finding, "device of its own", status);
    else if (!(y[0] < -1.3f && y[0] > -1.4f && y[3] == -y[0]))
        wrong(&opener->finding, "wrong result", status);
    anynorm_plan_destroy(plan);
    return NULL;
}

static void own_devices(const char *id)
{
    struct opener openers[4];
    for (int i = 0; i < 4; i++) {
        openers[i] = (struct opener){.id = id};
        assert_int_equal(pthread_create(&openers[i].thread, NULL, use_own_device, &openers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(openers[i].thread, NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        report(id, &openers[i].finding, "opener", i);
}

static bool takes_threads(const char *id)
{
    anynorm_device_info info = describe(id);
    if (!strstr(info.name, "Oclgrind"))
        return true;
    fprintf(stderr, "skipped: %s runs one kernel of one thread at a time\n", info.name);
    return false;
}

static void on_each_device(void (*test)(const char *id))
{
    char ids[16][32];
    size_t count = device_ids(ids, 16);
    for (size_t i = 0; i < count; i++) {
        if (takes_threads(ids[i]))
            test(ids[i]);
    }
}

/* First, while no device has been looked for: threads may do that at once, too. */
static void test_own_devices(void **state)
{
    (void)state;
    struct opener openers[4];
    for (int i = 0; i < 4; i++) {
        openers[i] = (struct opener){.id = "reference"};
        assert_int_equal(pthread_create(&openers[i].thread, NULL, use_own_device, &openers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(openers[i].thread, NULL), 0);
    on_each_device(own_devices);
}

static void test_one_plan(void **state)
{
    (void)state;
    on_each_device(one_plan);
}

static void test_one_event(void **state)
{
    (void)state;
    on_each_device(one_event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_devices),
        cmocka_unit_test(test_one_plan),
        cmocka_unit_test(test_one_event),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
