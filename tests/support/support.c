#include "support.h"

#include "refused.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/text.h"
#include "platform/environment.h"

#define GUARD_BYTES 64

unsigned refused_calls;

bool reduced(void)
{
    const char *wanted = getenv("ANYNORM_TEST_REDUCED");
    return wanted && *wanted;
}

/* Tests run without the user's compiled programs, but may have a folder of their own: it spares
 * drivers that keep none the same program in each test, and each time a device is opened. */
static void use_test_cache(void)
{
    const char *folder = getenv("ANYNORM_TEST_CACHE");
    if (!folder || !*folder)
        return;
    assert_true(an_environment_set("ANYNORM_CACHE", "on"));
    assert_true(an_environment_set("ANYNORM_CACHE_DIR", folder));
}

size_t device_ids(char ids[][32], size_t capacity)
{
    const char *wanted = getenv("ANYNORM_TEST_DEVICE");
    use_test_cache();
    size_t count = 0;
    for (size_t i = 0; i < anynorm_device_count() && count < capacity; i++) {
        anynorm_device_info info;
        assert_ok(anynorm_device_list(i, &info));
        if (!wanted || strcmp(wanted, info.id) == 0)
            memcpy(ids[count++], info.id, sizeof(info.id));
    }
    return count;
}

const anynorm_device_info whole_gpu = {.id = "opencl:0",
                                       .device_class = ANYNORM_CLASS_GPU,
                                       .vector_width = 1,
                                       .max_work_group_size = 1024,
                                       .max_groups = 65535,
                                       .local_bytes = 32768,
                                       .max_alloc_bytes = 1 << 30,
                                       .max_range_bytes = 1 << 27,
                                       .max_buffers = 16,
                                       .fp16 = true,
                                       .fp64 = true,
                                       .storage16 = true,
                                       .push_descriptors = true,
                                       .subgroup = true,
                                       .subgroup_size = 32,
                                       .shuffle = ANYNORM_SHUFFLE_KHR,
                                       .own_local_memory = true,
                                       .unified_memory = true};

bool is_reference(const anynorm_device_info *info)
{
    return info->device_class == ANYNORM_CLASS_REFERENCE;
}

anynorm_device *open_device(const char *id)
{
    anynorm_device *device = NULL;
    assert_ok(anynorm_device_open(id, &device));
    return device;
}

anynorm_device *open_device_with(const char *id, const char *caps)
{
    anynorm_device *device = NULL;
    const char *before = getenv("ANYNORM_CAPS");
    char kept[256], both[512];
    assert_between(snprintf(kept, sizeof(kept), "%s", before ? before : ""), 0, sizeof(kept) - 1);
    snprintf(both, sizeof(both), "%s%s%s", kept, *kept ? "," : "", caps);
    assert_true(an_environment_set("ANYNORM_CAPS", both));
    anynorm_status status = anynorm_device_open(id, &device);
    assert_true(an_environment_set("ANYNORM_CAPS", before ? kept : NULL));
    assert_ok(status);
    return device;
}

anynorm_plan *plan_if_fits(anynorm_device *device, const anynorm_spec *spec, const char *schedule)
{
    anynorm_plan_options options = {.schedule = schedule};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(device, spec, &options, &plan);
    if (status != ANYNORM_UNSUPPORTED)
        assert_ok(status);
    return plan;
}

anynorm_plan *make_plan(anynorm_device *device, const anynorm_spec *spec, const char *schedule)
{
    anynorm_plan_options options = {.schedule = schedule};
    anynorm_plan *plan = NULL;
    assert_ok(anynorm_plan_create(device, spec, &options, &plan));
    return plan;
}

void let_crashes_kill(void)
{
    static const int signals[] = {
#if defined(SIGBUS)
        SIGBUS,
#endif
        SIGSEGV,
        SIGFPE,
        SIGILL
    };
    for (size_t i = 0; i < COUNT(signals); i++)
        assert_true(signal(signals[i], SIG_DFL) != SIG_ERR);
}

/* A test on one device. */
struct unit {
    char *id;
    CMUnitTestFunction function;
    CMFixtureFunction setup;
};

static const struct unit *current;

static int set_up_unit(void **state)
{
    current = *state;
    *state = current->id;
    return current->setup ? current->setup(state) : 0;
}

static void run_unit(void **state)
{
    let_crashes_kill();
    current->function(state);
}

int run_on_devices(const char *group, const struct device_test *tests, size_t count,
                   CMFixtureFunction setup, CMFixtureFunction teardown)
{
    enum { MOST_DEVICES = 16, MOST_TESTS = 32 };
    static char ids[MOST_DEVICES][32], names[MOST_DEVICES * MOST_TESTS][96];
    static struct unit units[MOST_DEVICES * MOST_TESTS];
    static struct CMUnitTest all[MOST_DEVICES * MOST_TESTS];
    size_t total = 0, devices = device_ids(ids, MOST_DEVICES);
    for (size_t d = 0; d < devices; d++) {
        for (size_t i = 0; i < count && i < MOST_TESTS; i++, total++) {
            snprintf(names[total], sizeof(names[total]), "%.31s: %.60s", ids[d], tests[i].name);
            units[total] = (struct unit){ids[d], tests[i].function, setup};
            all[total] =
                (struct CMUnitTest){names[total], run_unit, set_up_unit, teardown, &units[total]};
        }
    }
    if (total == 0) {
        fprintf(stderr, "no device to test\n");
        return 1;
    }
    return _cmocka_run_group_tests(group, all, total, NULL, NULL);
}

void check_status(anynorm_status status, anynorm_status expected, const char *file, int line)
{
    if (status == expected)
        return;
    fprintf(stderr, "%s:%d: status is \"%s\", not \"%s\"; message: %s\n", file, line,
            anynorm_status_name(status), anynorm_status_name(expected), anynorm_message());
    _fail(file, line);
}

void check_between(uintmax_t value, uintmax_t least, uintmax_t most, const char *what,
                   const char *file, int line)
{
    if (least <= value && value <= most)
        return;
    fprintf(stderr, "%s:%d: %s is %" PRIuMAX ", not from %" PRIuMAX " to %" PRIuMAX "\n", file,
            line, what, value, least, most);
    _fail(file, line);
}

uint64_t random_below(struct random *random, uint64_t limit)
{
    return random_bits(random) % limit;
}

/* ---- Data ---- */

static bool same_rows(const anynorm_rows *a, const anynorm_rows *b)
{
    return a->type == b->type && a->row_stride == b->row_stride &&
           a->outer_stride == b->outer_stride && a->column_stride == b->column_stride;
}

/* To the sign of zero. */
static bool same_number(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

bool same_spec(const anynorm_spec *a, const anynorm_spec *b)
{
    return a->columns == b->columns && a->flags == b->flags && a->inner_rows == b->inner_rows &&
           a->column_run == b->column_run && same_rows(&a->x, &b->x) && same_rows(&a->y, &b->y) &&
           same_rows(&a->residual, &b->residual) && same_rows(&a->sum, &b->sum) &&
           same_rows(&a->gate, &b->gate) && same_rows(&a->scale, &b->scale) &&
           same_rows(&a->shift, &b->shift) && a->sample_rows == b->sample_rows &&
           a->parameters.type == b->parameters.type && a->parameters.rows == b->parameters.rows &&
           a->parameters.run == b->parameters.run && a->parameters.cycle == b->parameters.cycle &&
           same_number(a->parameters.weight_offset, b->parameters.weight_offset) &&
           same_number(a->statistic.eps, b->statistic.eps) &&
           a->statistic.shards == b->statistic.shards &&
           same_number(a->quantization.bound, b->quantization.bound);
}

static double make_value(enum values values, struct random *random, uint64_t row, uint64_t column)
{
    switch (values) {
    case VALUES_MEAN_1E3:
        return 1e3 + random_normal(random);
    case VALUES_MEAN_1E5:
        return 1e5 + random_normal(random);
    case VALUES_MEAN_1E7:
        return 1e7 + random_normal(random);
    case VALUES_CONSTANT:
        return 3.140625;
    case VALUES_ZERO:
        return 0;
    case VALUES_LARGE:
        return (random_bits(random) & 1 ? 1 : -1) * (256 + 59744 * random_uniform(random));
    case VALUES_ALTERNATE:
        return column % 2 ? -0.7 : 0.7;
    case VALUES_OUTLIER:
        return column == 0 ? 1e4 : random_normal(random);
    case VALUES_TINY:
        return 1e-12 * random_normal(random);
    case VALUES_ODD_ROWS:
        if (row % 5 == 4 && column == row % 3)
            return (double)NAN;
        return row % 5 == 0                  ? 2.71875
               : row % 5 == 3 && column == 0 ? 3e4
                                             : 5 + random_normal(random);
    default:
        return random_normal(random) * (column % 97 == 5 ? 30 : 1);
    }
}

static uint32_t some_flags(struct random *random)
{
    /* Statistics: each with what it may stand beside. */
    static const uint32_t statistics[] = {
        ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT | ANYNORM_UNBIASED | ANYNORM_EPS_OUTSIDE |
            ANYNORM_EPS_FLOOR,
        ANYNORM_RSTD_OUTPUT | ANYNORM_L2 | ANYNORM_EPS_OUTSIDE | ANYNORM_EPS_FLOOR};
    static const uint32_t given[] = {ANYNORM_MEAN_INPUT | ANYNORM_RSTD_INPUT,
                                     ANYNORM_RMS | ANYNORM_RSTD_INPUT};
    const uint32_t rest = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_RESIDUAL | ANYNORM_GATE |
                          ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM |
                          ANYNORM_ROUND_FIRST | ANYNORM_SCALE | ANYNORM_SHIFT | ANYNORM_SILU;
    const uint32_t of_sums = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS |
                             ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM;
    uint32_t bits = (uint32_t)random_bits(random), rms = random_bits(random) & 1;
    uint32_t flags = bits & rest;
    switch (random_bits(random) % 8) {
    case 0:
    case 1:
        flags |= given[rms];
        break;
    case 2:
        flags &= of_sums;
        flags |= ANYNORM_PARTIALS_OUTPUT | (rms ? ANYNORM_RMS : 0);
        break;
    case 3:
        flags |= ANYNORM_PARTIALS_INPUT; /* and as below */
        /* fall through */
    default:
        flags |= (bits & statistics[rms]) | (rms ? ANYNORM_RMS : 0);
    }
    if (flags & ANYNORM_EPS_OUTSIDE)
        flags &= ~(uint32_t)ANYNORM_EPS_FLOOR;
    if (!(flags & ANYNORM_RESIDUAL))
        flags &= ~(uint32_t)ANYNORM_GATE;
    if (!(flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS | ANYNORM_SUM_OUTPUT)))
        flags &= ~(uint32_t)ANYNORM_STORED_SUM;
    return flags;
}

const uint32_t sample_flags[SAMPLE_TENSORS] = {ANYNORM_GATE, ANYNORM_SCALE, ANYNORM_SHIFT};

anynorm_rows *sample_rows_of(anynorm_spec *spec, int index)
{
    anynorm_rows *const rows[SAMPLE_TENSORS] = {&spec->gate, &spec->scale, &spec->shift};
    return rows[index];
}

void set_sample_types(anynorm_spec *spec, anynorm_dtype type)
{
    for (int i = 0; i < SAMPLE_TENSORS; i++)
        sample_rows_of(spec, i)->type = spec->flags & sample_flags[i] ? type : ANYNORM_F32;
}

void set_types(anynorm_spec *spec, anynorm_dtype type)
{
    spec->x.type = type;
    if (!an_dtype_quantized(spec->y.type))
        spec->y.type = spec->flags & ANYNORM_PARTIALS_OUTPUT ? ANYNORM_F32 : type;
    spec->residual.type = spec->flags & ANYNORM_RESIDUAL ? type : ANYNORM_F32;
    spec->sum.type = spec->flags & AN_SUMS ? type : ANYNORM_F32;
    set_sample_types(spec, type);
}

void set_sample_strides(anynorm_spec *spec, uint64_t gap, bool apart)
{
    for (int i = 0; i < SAMPLE_TENSORS; i++) {
        anynorm_rows *rows = sample_rows_of(spec, i);
        uint64_t run = spec->column_run ? spec->column_run : 1;
        uint64_t own_gap = gap + (uint64_t)i % 2;
        if (!(spec->flags & sample_flags[i]))
            continue;
        rows->column_stride = apart ? run + own_gap : 0;
        rows->row_stride =
            apart ? spec->columns / run * (run + own_gap) + gap : spec->columns + own_gap;
    }
}

void make_family(struct random *random, anynorm_spec *spec)
{
    spec->flags = some_flags(random);
    if (spec->columns < 2)
        spec->flags &= ~(uint32_t)ANYNORM_UNBIASED;
    if (spec->flags & (ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_OUTPUT))
        spec->statistic.eps = 0;
    if (spec->flags & ANYNORM_PARTIALS_OUTPUT)
        spec->y.type = ANYNORM_F32;
    if (spec->flags & ANYNORM_PARTIALS_INPUT)
        spec->statistic.shards = random_bits(random) % 2 ? 0 : 2 + random_bits(random) % 4;
    if (spec->flags & ANYNORM_RESIDUAL)
        spec->residual.type = (anynorm_dtype)(random_bits(random) % 4);
    if (spec->flags & AN_SUMS)
        spec->sum.type = (anynorm_dtype)(random_bits(random) % 4);
    for (int i = 0; i < SAMPLE_TENSORS; i++) {
        if (spec->flags & sample_flags[i])
            sample_rows_of(spec, i)->type = (anynorm_dtype)(random_bits(random) % 4);
    }
    if (spec->flags & AN_SAMPLES)
        spec->sample_rows = random_bits(random) % 2 ? 0 : 2 + random_bits(random) % 6;
    if ((spec->flags & ANYNORM_WEIGHT) && random_bits(random) % 3 == 0)
        spec->parameters.weight_offset = 1;
    if (spec->flags & AN_PARAMETERS) {
        uint64_t run = 2 + random_bits(random) % 8;
        spec->parameters.rows = random_bits(random) % 2 ? 0 : 2 + random_bits(random) % 4;
        spec->parameters.run = spec->columns % run == 0 ? run : 0;
        uint64_t cycle = (spec->parameters.run ? run : 1) * (1 + random_bits(random) % 40);
        if (random_bits(random) % 2 && spec->columns % cycle == 0)
            spec->parameters.cycle = cycle;
    }
}

void make_quantized(struct random *random, anynorm_spec *spec)
{
    static const uint32_t scales[] = {0, ANYNORM_Y_SCALE_INPUT, ANYNORM_Y_SCALE_OUTPUT};
    if (spec->flags & ANYNORM_PARTIALS_OUTPUT) /* which has no y */
        return;
    spec->y.type = random_bits(random) % 2 ? ANYNORM_I8 : ANYNORM_F8E4M3;
    spec->flags |= scales[random_bits(random) % 3];
    if ((spec->flags & ANYNORM_Y_SCALE_OUTPUT) && random_bits(random) % 2)
        spec->quantization.bound = 0.5 + 2 * random_uniform(random);
}

struct problem dense_problem(uint64_t rows, uint64_t columns, anynorm_dtype type, uint32_t flags)
{
    return (struct problem){.spec = {.columns = columns,
                                     .x.type = type,
                                     .y.type = type,
                                     .flags = flags,
                                     .statistic.eps = ANYNORM_EPS_DEFAULT},
                            .rows = rows,
                            .seed = rows * 1000003 + columns};
}

_Static_assert((int)TENSOR_WORKSPACE == (int)AN_WORKSPACE && (int)TENSORS == (int)AN_TENSOR_COUNT,
               "the program has the tensors in the order of anynorm_tensors, too");

static double make_input(const struct problem *problem, enum an_tensor tensor,
                         struct random *random)
{
    double value = random_input(&problem->spec, (int)tensor, random);
    /* What is added to x is of its size, for x to show beside it. */
    double size = problem->values == VALUES_TINY    ? 1e-12
                  : problem->values == VALUES_LARGE ? 1e3
                                                    : 1;
    return tensor == AN_RESIDUAL || tensor == AN_PRE_BIAS ? size * value : value;
}

/* Of shards of all sizes, some of which have no column: there nothing else is a number. */
static void fill_partials(const struct problem *problem, const anynorm_spec *spec,
                          struct random *random, unsigned char *base)
{
    for (uint64_t i = 0; i < spec->statistic.shards * problem->rows; i++) {
        uint64_t columns = spec->statistic.shards > 1 && i < problem->rows
                               ? random_bits(random) % 3
                               : 2 + random_bits(random) % 5000;
        double mean = 0.25 * random_normal(random), share = 0.1 + random_uniform(random);
        bool any = columns > 0;
        anynorm_dtype_store(ANYNORM_F32, base, 3 * i, (double)columns);
        anynorm_dtype_store(ANYNORM_F32, base, 3 * i + 1, any ? mean : (double)NAN);
        anynorm_dtype_store(ANYNORM_F32, base, 3 * i + 2,
                            any ? share * (double)columns : (double)NAN);
    }
}

static void fill_input(const struct problem *problem, const anynorm_spec *spec,
                       enum an_tensor tensor, unsigned char *base)
{
    struct random random = {problem->seed * 8 + (uint64_t)tensor + 1};
    for (int i = 0; i < 8; i++)
        random_bits(&random);
    anynorm_dtype type = an_tensor_expect(spec, tensor).type;
    if (tensor == AN_PARTIALS) {
        fill_partials(problem, spec, &random, base);
        return;
    }
    enum an_shape shape = an_tensor_shape(tensor);
    if (shape != AN_OF_ROWS && shape != AN_OF_SAMPLES) {
        uint64_t extent;
        assert_true(an_tensor_extent(spec, tensor, problem->rows, &extent));
        for (uint64_t e = 0; e < extent / anynorm_dtype_size(type); e++)
            anynorm_dtype_store(type, base, e, make_input(problem, tensor, &random));
        return;
    }
    struct an_layout layout = an_tensor_layout(spec, tensor);
    for (uint64_t r = 0; r < an_tensor_rows(spec, tensor, problem->rows); r++) {
        for (uint64_t c = 0; c < spec->columns; c++)
            anynorm_dtype_store(type, base,
                                an_layout_start(&layout, r) + an_layout_column(&layout, c),
                                tensor == AN_X ? make_value(problem->values, &random, r, c)
                                               : make_input(problem, tensor, &random));
    }
}

enum an_tensor image_of(const struct problem *problem, enum an_tensor tensor)
{
    enum place place = tensor == AN_Y     ? problem->y_place
                       : tensor == AN_SUM ? problem->sum_place
                                          : APART;
    return place == OVER_X ? AN_X : place == OVER_RESIDUAL ? AN_RESIDUAL : tensor;
}

void images_make(const struct problem *problem, struct images *images)
{
    anynorm_spec spec;
    assert_ok(an_spec_resolve(&problem->spec, &spec));
    *images = (struct images){0};
    for (int i = 0; i < AN_TENSOR_COUNT; i++) {
        enum an_tensor t = (enum an_tensor)i;
        struct an_expectation expected = an_tensor_expect(&spec, t);
        uint64_t extent;
        if (!expected.present || image_of(problem, t) != t)
            continue;
        assert_true(an_tensor_extent(&spec, t, problem->rows, &extent));
        images->size[t] = problem->offset[t] + extent + GUARD_BYTES;
        images->bytes[t] = malloc((size_t)images->size[t]);
        assert_non_null(images->bytes[t]);
        /* 0xff everywhere is a NaN in each type (-1 in i8): what is wrongly read poisons, what is
         * not written stays recognizable. */
        memset(images->bytes[t], 0xff, (size_t)images->size[t]);
        if (!expected.output)
            fill_input(problem, &spec, t, images->bytes[t] + problem->offset[t]);
    }
}

struct images images_copy(const struct images *images)
{
    struct images copy = *images;
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!images->bytes[t])
            continue;
        copy.bytes[t] = malloc((size_t)images->size[t]);
        assert_non_null(copy.bytes[t]);
        memcpy(copy.bytes[t], images->bytes[t], (size_t)images->size[t]);
    }
    return copy;
}

void images_free(struct images *images)
{
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        free(images->bytes[t]);
    *images = (struct images){0};
}

const char *problem_text(const struct problem *problem)
{
    static char text[1024];
    static const char *const over[] = {[OVER_X] = "x", [OVER_RESIDUAL] = "residual"};
    struct an_text result = {text, sizeof(text), 0};
    result.length = anynorm_spec_format(&problem->spec, problem->rows, text, sizeof(text));
    an_text_put(&result, " [values %d, seed %" PRIu64, (int)problem->values, problem->seed);
    if (problem->y_place != APART)
        an_text_put(&result, ", y over %s", over[problem->y_place]);
    if (problem->sum_place != APART)
        an_text_put(&result, ", sum over %s", over[problem->sum_place]);
    an_text_put(&result, "]");
    return text;
}

/* ---- Running ---- */

anynorm_host_tensors host_tensors_at(void *const at[AN_TENSOR_COUNT])
{
    return (anynorm_host_tensors){.x = at[AN_X],
                                  .y = at[AN_Y],
                                  .weight = at[AN_WEIGHT],
                                  .bias = at[AN_BIAS],
                                  .mean = at[AN_MEAN],
                                  .rstd = at[AN_RSTD],
                                  .residual = at[AN_RESIDUAL],
                                  .sum = at[AN_SUM],
                                  .pre_bias = at[AN_PRE_BIAS],
                                  .gate = at[AN_GATE],
                                  .scale = at[AN_SCALE],
                                  .shift = at[AN_SHIFT],
                                  .partials = at[AN_PARTIALS],
                                  .y_scale = at[AN_Y_SCALE],
                                  .dy = at[AN_DY],
                                  .dsum = at[AN_DSUM],
                                  .dx = at[AN_DX],
                                  .dresidual = at[AN_DRESIDUAL],
                                  .dweight = at[AN_DWEIGHT],
                                  .dbias = at[AN_DBIAS],
                                  .dpre_bias = at[AN_DPRE_BIAS],
                                  .dgate = at[AN_DGATE],
                                  .dscale = at[AN_DSCALE],
                                  .dshift = at[AN_DSHIFT],
                                  .workspace = at[AN_WORKSPACE]};
}

void place_outputs(const struct problem *problem, anynorm_tensors *tensors)
{
    if (problem->y_place != APART)
        tensors->y = *an_tensor_buffer(tensors, image_of(problem, AN_Y));
    if (problem->sum_place != APART)
        tensors->sum = *an_tensor_buffer(tensors, image_of(problem, AN_SUM));
}

void run_on_device(anynorm_device *device, anynorm_plan *plan, const struct problem *problem,
                   const struct images *before, struct images *after)
{
    anynorm_tensors tensors = {0};
    anynorm_buffer buffers[AN_TENSOR_COUNT] = {{0}};
    *after = (struct images){0};
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!before->bytes[t])
            continue;
        assert_ok(anynorm_buffer_create(device, before->size[t], &buffers[t]));
        assert_ok(anynorm_buffer_write(device, &buffers[t], before->bytes[t], before->size[t]));
        anynorm_buffer *slot = an_tensor_slot(&tensors, (enum an_tensor)t);
        *slot = buffers[t];
        slot->offset = problem->offset[t];
    }
    place_outputs(problem, &tensors);
    anynorm_event event;
    assert_ok(anynorm_enqueue(plan, &tensors, problem->rows, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (!before->bytes[t])
            continue;
        after->size[t] = before->size[t];
        after->bytes[t] = malloc((size_t)before->size[t]);
        assert_non_null(after->bytes[t]);
        assert_ok(anynorm_buffer_read(device, &buffers[t], after->bytes[t], after->size[t]));
        anynorm_buffer_destroy(device, &buffers[t]);
    }
}

/* ---- Checking ---- */

void check_plan(anynorm_device *device, anynorm_plan *plan, const struct problem *problem,
                const char *label, struct errors *worst)
{
    struct images before, after;
    images_make(problem, &before);
    run_on_device(device, plan, problem, &before, &after);
    check_against_oracle(problem, &before, &after, label, worst);
    images_free(&before);
    images_free(&after);
}

bool check_problem(anynorm_device *device, const struct problem *problem, const char *schedule,
                   uint32_t group_size, struct errors *worst)
{
    char text[sizeof(((anynorm_plan_info *)0)->choice) + 32];
    snprintf(text, sizeof(text), group_size ? "%s group=%" PRIu32 : "%s", schedule ? schedule : "",
             group_size);
    anynorm_plan_options options = {.schedule = schedule ? text : NULL};
    anynorm_plan *plan;
    anynorm_status status = anynorm_plan_create(device, &problem->spec, &options, &plan);
    if (status == ANYNORM_UNSUPPORTED && schedule)
        return false;
    if (status != ANYNORM_OK)
        fprintf(stderr, "%s: %s\n", schedule ? schedule : "any schedule", problem_text(problem));
    assert_ok(status);
    check_plan(device, plan, problem, schedule ? schedule : "chosen", worst);
    anynorm_plan_destroy(plan);
    return true;
}
