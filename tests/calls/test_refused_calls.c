/* Every function of <anynorm/anynorm.h> with each set of its pointers NULL, and every function that
 * takes a spec with specs that contradict themselves, on every device: the exact status, a message
 * that names the argument or the field, and outputs as they were.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refused.h"
#include "spec_flags.h"

static const anynorm_status invalid = ANYNORM_INVALID_ARGUMENT;

/* ---- Pointers ---- */

/* What a pointer of a call points to. */
enum argument {
    END = 0,
    DEVICE,
    INFO,
    BUFFER,
    WRITTEN_BUFFER,
    HOST,
    SPEC,
    WRITTEN_SPEC,
    TEXT,
    ROWS,
    VIEW,
    SHAPE,
    PLAN,
    WRITTEN_PLAN,
    PLAN_INFO,
    SIZE,
    CANDIDATE,
    VARIANT,
    ALL_TENSORS,
    EVENT,
    WRITTEN_EVENT,
    NANOSECONDS,
    HOST_TENSORS,
    WRITTEN_DEVICE,
    ARGUMENTS
};

/* As the header calls them, and the message must. */
static const char *const names[ARGUMENTS] = {[DEVICE] = "device",
                                             [INFO] = "info",
                                             [BUFFER] = "buffer",
                                             [WRITTEN_BUFFER] = "buffer",
                                             [HOST] = "host",
                                             [SPEC] = "spec",
                                             [WRITTEN_SPEC] = "spec",
                                             [TEXT] = "text",
                                             [ROWS] = "rows",
                                             [VIEW] = "x",
                                             [SHAPE] = "shape",
                                             [PLAN] = "plan",
                                             [WRITTEN_PLAN] = "plan",
                                             [PLAN_INFO] = "info",
                                             [SIZE] = "size",
                                             [CANDIDATE] = "candidate",
                                             [VARIANT] = "variant",
                                             [ALL_TENSORS] = "tensors",
                                             [EVENT] = "event",
                                             [WRITTEN_EVENT] = "event",
                                             [NANOSECONDS] = "nanoseconds",
                                             [HOST_TENSORS] = "tensors",
                                             [WRITTEN_DEVICE] = "device"};

static bool is_output(enum argument argument)
{
    switch (argument) {
    case INFO:
    case WRITTEN_BUFFER:
    case HOST:
    case WRITTEN_SPEC:
    case ROWS:
    case WRITTEN_PLAN:
    case PLAN_INFO:
    case SIZE:
    case CANDIDATE:
    case VARIANT:
    case WRITTEN_EVENT:
    case NANOSECONDS:
    case WRITTEN_DEVICE:
        return true;
    default:
        return false;
    }
}

#define MOST_POINTERS 4

struct function {
    const char *name;
    anynorm_status (*call)(void *const at[MOST_POINTERS]);
    enum argument arguments[MOST_POINTERS];
};

static anynorm_status list(void *const at[])
{
    return anynorm_device_list(0, at[0]);
}
static anynorm_status open_it(void *const at[])
{
    return anynorm_device_open("reference", at[0]);
}
static anynorm_status describe(void *const at[])
{
    return anynorm_device_describe(at[0], at[1]);
}
static anynorm_status create(void *const at[])
{
    return anynorm_buffer_create(at[0], 16, at[1]);
}
static anynorm_status write_it(void *const at[])
{
    return anynorm_buffer_write(at[0], at[1], at[2], 16);
}
static anynorm_status read_it(void *const at[])
{
    return anynorm_buffer_read(at[0], at[1], at[2], 16);
}
static anynorm_status check_spec(void *const at[])
{
    return anynorm_spec_check(at[0]);
}
static anynorm_status from_view(void *const at[])
{
    return anynorm_spec_from_view(at[0], at[1], NULL, -1, at[2]);
}
static anynorm_status from_two_views(void *const at[])
{
    return anynorm_spec_from_view(at[0], at[1], at[1], -1, at[2]);
}
static anynorm_status from_shape(void *const at[])
{
    const anynorm_view view = {.rank = 2, .shape = at[0]};
    anynorm_spec spec = {.columns = 1};
    uint64_t rows;
    return anynorm_spec_from_view(&spec, &view, NULL, -1, &rows);
}
static anynorm_status parse(void *const at[])
{
    return anynorm_spec_parse(at[0], at[1], at[2]);
}
static anynorm_status make(void *const at[])
{
    return anynorm_plan_create(at[0], at[1], NULL, at[2]);
}
static anynorm_status warm_up(void *const at[])
{
    return anynorm_plan_warm_up(at[0], 1);
}
static anynorm_status binary(void *const at[])
{
    return anynorm_plan_binary(at[0], NULL, 0, at[1]);
}
static anynorm_status describe_plan(void *const at[])
{
    return anynorm_plan_describe(at[0], at[1]);
}
static anynorm_status candidate(void *const at[])
{
    return anynorm_plan_candidate(at[0], at[1], 0, at[2], NULL);
}
static anynorm_status counted_candidate(void *const at[])
{
    return anynorm_plan_candidate(at[0], at[1], 0, at[2], at[3]);
}
static anynorm_status variant(void *const at[])
{
    return anynorm_plan_variant(at[0], at[1], 0, at[2], NULL);
}
static anynorm_status enqueue(void *const at[])
{
    return anynorm_enqueue(at[0], at[1], 2, 0, NULL, at[2]);
}
static anynorm_status enqueue_nothing(void *const at[])
{
    return anynorm_enqueue(at[0], at[1], 0, 0, NULL, at[2]);
}
static anynorm_status wait(void *const at[])
{
    return anynorm_event_wait(at[0]);
}
static anynorm_status elapsed(void *const at[])
{
    return anynorm_event_elapsed(at[0], at[1]);
}
static anynorm_status run(void *const at[])
{
    return anynorm_run(at[0], at[1], 2);
}

static const struct function functions[] = {
    {"anynorm_device_list", list, {INFO}},
    {"anynorm_device_open", open_it, {WRITTEN_DEVICE}},
    {"anynorm_device_describe", describe, {DEVICE, INFO}},
    {"anynorm_buffer_create", create, {DEVICE, WRITTEN_BUFFER}},
    {"anynorm_buffer_write", write_it, {DEVICE, BUFFER, HOST}},
    {"anynorm_buffer_read", read_it, {DEVICE, BUFFER, HOST}},
    {"anynorm_spec_check", check_spec, {SPEC}},
    {"anynorm_spec_from_view", from_view, {WRITTEN_SPEC, VIEW, ROWS}},
    {"anynorm_spec_from_view, of two views", from_two_views, {WRITTEN_SPEC, VIEW, ROWS}},
    {"anynorm_spec_from_view, of a shape", from_shape, {SHAPE}},
    {"anynorm_spec_parse", parse, {TEXT, WRITTEN_SPEC, ROWS}},
    {"anynorm_plan_create", make, {DEVICE, SPEC, WRITTEN_PLAN}},
    {"anynorm_plan_warm_up", warm_up, {PLAN}},
    {"anynorm_plan_binary", binary, {PLAN, SIZE}},
    {"anynorm_plan_describe", describe_plan, {PLAN, PLAN_INFO}},
    {"anynorm_plan_candidate", candidate, {DEVICE, SPEC, CANDIDATE}},
    {"anynorm_plan_candidate, counted", counted_candidate, {DEVICE, SPEC, CANDIDATE, SIZE}},
    {"anynorm_plan_variant", variant, {DEVICE, SPEC, VARIANT}},
    {"anynorm_enqueue", enqueue, {PLAN, ALL_TENSORS, WRITTEN_EVENT}},
    {"anynorm_enqueue, no rows", enqueue_nothing, {PLAN, ALL_TENSORS, WRITTEN_EVENT}},
    {"anynorm_event_wait", wait, {EVENT}},
    {"anynorm_event_elapsed", elapsed, {EVENT, NANOSECONDS}},
    {"anynorm_run", run, {PLAN, HOST_TENSORS}},
};

struct subject {
    anynorm_device *device;
    anynorm_plan *plan;
    anynorm_buffer buffer;
    anynorm_event event;
};

static const anynorm_spec plain = {.columns = 4};

static int open_subject(void **state)
{
    static struct subject of_this_test;
    struct subject *subject = &of_this_test;
    *subject = (struct subject){.device = open_device(*state)};
    subject->plan = make_plan(subject->device, &plain, NULL);
    assert_ok(anynorm_buffer_create(subject->device, 64, &subject->buffer));
    assert_ok(
        anynorm_enqueue(subject->plan, &(anynorm_tensors){.x = {0}}, 0, 0, NULL, &subject->event));
    assert_ok(anynorm_event_wait(&subject->event));
    *state = subject;
    return 0;
}

static int close_subject(void **state)
{
    struct subject *subject = *state;
    anynorm_event_release(&subject->event);
    anynorm_buffer_destroy(subject->device, &subject->buffer);
    anynorm_plan_destroy(subject->plan);
    anynorm_device_close(subject->device);
    return 0;
}

/* Whether the message names one of the pointers that are NULL. */
static bool names_one(const struct function *function, unsigned missing)
{
    for (unsigned i = 0; i < MOST_POINTERS; i++) {
        if ((missing >> i & 1) && message_has(names[function->arguments[i]]))
            return true;
    }
    return false;
}

static void refuse_missing(const struct subject *subject, const struct function *function,
                           unsigned missing)
{
    static unsigned char outputs[MOST_POINTERS][4096], before[sizeof(outputs)];
    static uint64_t shape[2] = {2, 4};
    static float x[8];
    anynorm_view view = {.rank = 2, .shape = shape};
    anynorm_tensors tensors = {.x = subject->buffer, .y = subject->buffer};
    anynorm_host_tensors host = {.x = x, .y = x};
    anynorm_spec spec = plain;
    char text[] = "layer-norm 2x4";
    void *const good[ARGUMENTS] = {[DEVICE] = subject->device,
                                   [BUFFER] = (void *)&subject->buffer,
                                   [SPEC] = &spec,
                                   [TEXT] = text,
                                   [VIEW] = &view,
                                   [SHAPE] = shape,
                                   [PLAN] = subject->plan,
                                   [ALL_TENSORS] = &tensors,
                                   [EVENT] = (void *)&subject->event,
                                   [HOST_TENSORS] = &host};
    void *at[MOST_POINTERS] = {NULL};
    memset(outputs, 0x5a, sizeof(outputs));
    memset(before, 0x5a, sizeof(before));
    for (unsigned i = 0; i < MOST_POINTERS; i++) {
        enum argument argument = function->arguments[i];
        if (argument != END && !(missing >> i & 1))
            at[i] = is_output(argument) ? outputs[i] : good[argument];
    }
    make_message_stale();
    anynorm_status status = function->call(at);
    bool told = names_one(function, missing);
    if (status != invalid || !told)
        fprintf(stderr, "%s: NULL where the bits of %u are; \"%s\"\n", function->name, missing,
                anynorm_message());
    check_refused(status, invalid, __FILE__, __LINE__);
    assert_true(told);
    assert_memory_equal(outputs, before, sizeof(before));
}

static void test_null(void **state)
{
    const struct subject *subject = *state;
    for (size_t f = 0; f < COUNT(functions); f++) {
        unsigned pointers = 0;
        while (pointers < MOST_POINTERS && functions[f].arguments[pointers] != END)
            pointers++;
        /* The count of candidates may be NULL. */
        unsigned optional = functions[f].call == counted_candidate ? 1u << 3 : 0;
        for (unsigned missing = 1; missing < 1u << pointers; missing++) {
            if (!(missing & optional))
                refuse_missing(subject, &functions[f], missing);
        }
    }
}

/* Structures that no function made, or that one has emptied. */
static void test_empty_handles(void **state)
{
    const struct subject *subject = *state;
    anynorm_device *device = subject->device;
    unsigned char host[16] = {0};
    uint64_t nanoseconds = 77;
    anynorm_buffer gone = {0};
    assert_ok(anynorm_buffer_create(device, 16, &gone));
    anynorm_buffer copy = gone;
    anynorm_buffer_destroy(device, &gone);
    assert_memory_equal(&gone, &(anynorm_buffer){0}, sizeof(gone));
    assert_refused_naming(anynorm_buffer_write(device, &gone, host, 16), invalid, "buffer");
    assert_refused_naming(anynorm_buffer_read(device, &gone, host, 16), invalid, "buffer");
    copy.kind = 0;
    assert_refused_naming(anynorm_buffer_read(device, &copy, host, 16), invalid, "buffer");
    copy.kind = subject->buffer.kind;
    copy.owner = NULL;
    assert_refused_naming(anynorm_buffer_read(device, &copy, host, 16), invalid, "buffer");
    anynorm_buffer_destroy(device, &copy); /* which is nobody's, so it stays */
    anynorm_buffer_destroy(device, &gone);
    assert_non_null(copy.handle);

    anynorm_event event = subject->event;
    event.valid = false;
    assert_refused_naming(anynorm_event_wait(&event), invalid, "event");
    assert_refused_naming(anynorm_event_elapsed(&event, &nanoseconds), invalid, "event");
    anynorm_event_release(&event);
    event = (anynorm_event){.valid = true};
    assert_refused_naming(anynorm_event_wait(&event), invalid, "event");
    assert_refused_naming(anynorm_event_elapsed(&event, &nanoseconds), invalid, "event");
    anynorm_event_release(&event);
    assert_int_equal(nanoseconds, 77);
}

/* What is no member of an enumeration, and text without room. */
static void test_values(void **state)
{
    (void)state;
    static const int strange[] = {-1, 7, 99, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT(strange); i++) {
        assert_true(*anynorm_status_name((anynorm_status)strange[i]) != '\0');
        assert_string_equal(anynorm_dtype_name((anynorm_dtype)strange[i]), "?");
        assert_int_equal(anynorm_dtype_size((anynorm_dtype)strange[i]), 0);
    }
    char text[4] = {'z', 'z', 'z', 'z'};
    size_t length = anynorm_spec_format(&plain, 2, NULL, 0);
    assert_true(length > sizeof(text));
    assert_int_equal(anynorm_spec_format(&plain, 2, text, 0), length);
    assert_int_equal(text[0], 'z');
    assert_int_equal(anynorm_spec_format(&plain, 2, text, 3), length);
    assert_string_equal(text, "la");
    assert_int_equal(text[3], 'z');
    anynorm_tuning_path(NULL, 0);
    anynorm_log_set(NULL, NULL, ANYNORM_LOG_DEBUG);
}

/* ---- Specs ---- */

static const struct {
    const char *field; /* or the flag, which the message names */
    anynorm_spec spec;
} bad_specs[] = {
    {"columns", {.columns = 0}},
    {"columns", {.columns = UINT64_C(1) << 31}},
    {"columns", {.columns = UINT64_C(1) << 32}},
    {"columns", {.columns = UINT64_MAX}},
    /* Types. */
    {"x.type", {.columns = 6, .x.type = (anynorm_dtype)6}},
    {"x.type", {.columns = 6, .x.type = (anynorm_dtype)-1}},
    {"x.type", {.columns = 6, .x.type = ANYNORM_I8}},
    {"x.type", {.columns = 6, .x.type = ANYNORM_F8E4M3}},
    {"y.type", {.columns = 6, .y.type = (anynorm_dtype)6}},
    {"y.type", {.columns = 6, .y.type = (anynorm_dtype)-1}},
    {"parameters.type", {.columns = 6, .flags = WEIGHT, .parameters.type = (anynorm_dtype)6}},
    {"parameters.type", {.columns = 6, .flags = WEIGHT, .parameters.type = ANYNORM_I8}},
    {"residual.type", {.columns = 6, .flags = RESIDUAL, .residual.type = (anynorm_dtype)100}},
    {"residual.type", {.columns = 6, .flags = RESIDUAL, .residual.type = ANYNORM_I8}},
    {"residual.type", {.columns = 6, .residual.type = ANYNORM_F16}},
    {"sum.type", {.columns = 6, .flags = SUM, .sum.type = (anynorm_dtype)-7}},
    {"sum.type", {.columns = 6, .flags = SUM, .sum.type = ANYNORM_F8E4M3}},
    {"sum.type", {.columns = 6, .sum.type = ANYNORM_BF16}},
    {"gate.type", {.columns = 6, .flags = RESIDUAL | GATE, .gate.type = ANYNORM_I8}},
    {"gate.type", {.columns = 6, .flags = RESIDUAL, .gate.type = ANYNORM_F16}},
    {"scale.type", {.columns = 6, .flags = SCALE, .scale.type = (anynorm_dtype)6}},
    {"scale.type", {.columns = 6, .flags = SHIFT, .scale.type = ANYNORM_BF16}},
    {"shift.type", {.columns = 6, .flags = SHIFT, .shift.type = ANYNORM_I8}},
    {"shift.type", {.columns = 6, .shift.type = ANYNORM_F64}},
    /* Flags that do not go together, or not alone. */
    {"ANYNORM_L2", {.columns = 6, .flags = L2}},
    {"ANYNORM_UNBIASED", {.columns = 6, .flags = RMS | UNBIASED}},
    {"columns", {.columns = 1, .flags = UNBIASED}},
    {"mean", {.columns = 6, .flags = RMS | MEAN_OUT}},
    {"mean", {.columns = 6, .flags = RMS | MEAN_IN | RSTD_IN}},
    {"ANYNORM_MEAN_INPUT", {.columns = 6, .flags = MEAN_IN}},
    {"ANYNORM_RSTD_INPUT", {.columns = 6, .flags = RSTD_IN}},
    {"mean", {.columns = 6, .flags = MEAN_IN | RSTD_IN | MEAN_OUT}},
    {"rstd", {.columns = 6, .flags = MEAN_IN | RSTD_IN | RSTD_OUT}},
    {"rstd", {.columns = 6, .flags = MEAN_IN | RSTD_IN | UNBIASED}},
    {"rstd", {.columns = 6, .flags = MEAN_IN | RSTD_IN | EPS_OUTSIDE}},
    {"rstd", {.columns = 6, .flags = RMS | RSTD_IN | L2}},
    {"ANYNORM_GATE", {.columns = 6, .flags = GATE}},
    {"ANYNORM_STORED_SUM", {.columns = 6, .flags = STORED_SUM}},
    {"partials", {.columns = 6, .flags = PARTIALS_IN | PARTIALS_OUT}},
    {"ANYNORM_PARTIALS_INPUT", {.columns = 6, .flags = PARTIALS_IN | MEAN_IN | RSTD_IN}},
    {"ANYNORM_PARTIALS_INPUT", {.columns = 6, .flags = RMS | PARTIALS_IN | RSTD_IN}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | MEAN_IN | RSTD_IN}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | MEAN_OUT}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | RSTD_OUT}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | UNBIASED}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | EPS_OUTSIDE}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = RMS | PARTIALS_OUT | L2}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | WEIGHT}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | BIAS}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | ROUND_FIRST}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | SCALE}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | SHIFT}},
    {"ANYNORM_PARTIALS_OUTPUT", {.columns = 6, .flags = PARTIALS_OUT | SILU}},
    {"y.type", {.columns = 6, .flags = PARTIALS_OUT, .y.type = ANYNORM_F16}},
    {"y.row_stride", {.columns = 6, .flags = PARTIALS_OUT, .y.row_stride = 6}},
    {"y_scale", {.columns = 6, .y.type = ANYNORM_I8, .flags = Y_SCALE_IN | Y_SCALE_OUT}},
    {"ANYNORM_Y_SCALE_INPUT", {.columns = 6, .flags = Y_SCALE_IN}},
    {"ANYNORM_Y_SCALE_OUTPUT", {.columns = 6, .flags = Y_SCALE_OUT, .y.type = ANYNORM_F16}},
    {"flags", {.columns = 6, .flags = 1u << 26}},
    {"flags", {.columns = 6, .flags = 1u << 25}},
    {"flags", {.columns = 6, .flags = 1u << 30}},
    {"flags", {.columns = 6, .flags = 1u << 31}},
    {"flags", {.columns = 6, .flags = UINT32_MAX}},
    /* Numbers. */
    {"eps", {.columns = 6, .statistic.eps = -1e-30}},
    {"eps", {.columns = 6, .statistic.eps = (double)NAN}},
    {"eps", {.columns = 6, .statistic.eps = (double)INFINITY}},
    {"eps", {.columns = 6, .statistic.eps = -(double)INFINITY}},
    {"eps", {.columns = 6, .flags = RMS | RSTD_IN, .statistic.eps = 1e-5}},
    {"eps", {.columns = 6, .flags = PARTIALS_OUT, .statistic.eps = 1e-5}},
    {"parameters.weight_offset", {.columns = 6, .parameters.weight_offset = 1}},
    {"parameters.weight_offset",
     {.columns = 6, .flags = WEIGHT, .parameters.weight_offset = (double)NAN}},
    {"parameters.weight_offset",
     {.columns = 6, .flags = WEIGHT, .parameters.weight_offset = (double)INFINITY}},
    {"quantization.bound", {.columns = 6, .quantization.bound = 1}},
    {"quantization.bound",
     {.columns = 6, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = -1}},
    {"quantization.bound",
     {.columns = 6, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = 0x1p-101}},
    {"quantization.bound",
     {.columns = 6, .flags = Y_SCALE_OUT, .y.type = ANYNORM_I8, .quantization.bound = (double)NAN}},
    {"quantization.bound",
     {.columns = 6, .flags = Y_SCALE_IN, .y.type = ANYNORM_I8, .quantization.bound = 1}},
    /* Counts without what they count, or that do not divide. */
    {"sample_rows", {.columns = 6, .sample_rows = 2}},
    {"parameters.rows", {.columns = 6, .parameters.rows = 2}},
    {"parameters.run", {.columns = 6, .parameters.run = 2}},
    {"parameters.run", {.columns = 6, .flags = WEIGHT, .parameters.run = 4}},
    {"parameters.run", {.columns = 6, .flags = WEIGHT, .parameters.run = UINT64_MAX}},
    {"parameters.cycle", {.columns = 6, .parameters.cycle = 2}},
    {"parameters.cycle", {.columns = 6, .flags = WEIGHT, .parameters.cycle = 4}},
    {"parameters.run", {.columns = 12, .flags = BIAS, .parameters.run = 4, .parameters.cycle = 6}},
    {"column_run", {.columns = 6, .column_run = 4}},
    {"column_run", {.columns = 6, .column_run = UINT64_MAX}},
    {"shards", {.columns = 6, .statistic.shards = 2}},
    {"shards", {.columns = 6, .flags = PARTIALS_OUT, .statistic.shards = 2}},
    /* Strides. */
    {"x.row_stride", {.columns = 6, .x.row_stride = 5}},
    {"y.row_stride", {.columns = 6, .y.row_stride = 5}},
    {"residual.row_stride", {.columns = 6, .flags = RESIDUAL, .residual.row_stride = 5}},
    {"sum.row_stride", {.columns = 6, .flags = SUM, .sum.row_stride = 1}},
    {"residual.row_stride", {.columns = 6, .residual.row_stride = 6}},
    {"residual.outer_stride", {.columns = 6, .residual.outer_stride = 6}},
    {"residual.column_stride", {.columns = 6, .residual.column_stride = 1}},
    {"sum.row_stride", {.columns = 6, .flags = STORED_SUM | PRE_BIAS, .sum.row_stride = 6}},
    {"sum.outer_stride", {.columns = 6, .sum.outer_stride = 6}},
    {"sum.column_stride", {.columns = 6, .sum.column_stride = 1}},
    {"x.outer_stride", {.columns = 6, .x.outer_stride = 12}},
    {"y.outer_stride", {.columns = 6, .inner_rows = 2, .y.outer_stride = 5}},
    {"x.row_stride", {.columns = 6, .inner_rows = UINT64_MAX}},
    {"x.row_stride", {.columns = 6, .inner_rows = UINT64_C(1) << 63, .x.row_stride = 6}},
    {"x.row_stride", {.columns = 6, .inner_rows = 4, .x.row_stride = UINT64_C(1) << 62}},
    {"x.column_stride", {.columns = 6, .inner_rows = 2, .x.column_stride = UINT64_C(1) << 62}},
    {"x.column_stride", {.columns = 6, .column_run = 3, .x.column_stride = 2}},
    {"y.column_stride", {.columns = 6, .column_run = 3, .y.column_stride = 1}},
    {"x.row_stride", {.columns = 6, .x.row_stride = 8, .x.column_stride = 2}},
    {"y.outer_stride", {.columns = 6, .inner_rows = 2, .y.outer_stride = 9, .y.column_stride = 3}},
};

static void test_specs(void **state)
{
    const struct subject *subject = *state;
    for (size_t i = 0; i < COUNT(bad_specs); i++) {
        const anynorm_spec *spec = &bad_specs[i].spec;
        const char *field = bad_specs[i].field;
        anynorm_plan *plan = (void *)&plan;
        anynorm_candidate candidate, candidate_before;
        anynorm_variant variant, variant_before;
        size_t count = 77;
        memset(&candidate, 0x5a, sizeof(candidate));
        memset(&variant, 0x5a, sizeof(variant));
        candidate_before = candidate;
        variant_before = variant;
        make_message_stale();
        anynorm_status status = anynorm_spec_check(spec);
        if (status != invalid || !message_has(field))
            fprintf(stderr, "spec %zu, %s\n", i, field);
        check_refused_naming(status, invalid, field, __FILE__, __LINE__);
        assert_refused_naming(anynorm_plan_create(subject->device, spec, NULL, &plan), invalid,
                              field);
        assert_refused_naming(anynorm_plan_candidate(subject->device, spec, 0, &candidate, &count),
                              invalid, field);
        assert_refused_naming(anynorm_plan_variant(subject->device, spec, 0, &variant, &count),
                              invalid, field);
        assert_ptr_equal(plan, &plan);
        assert_int_equal(count, 77);
        assert_memory_equal(&candidate, &candidate_before, sizeof(candidate));
        assert_memory_equal(&variant, &variant_before, sizeof(variant));
    }
}

int main(void)
{
    static const struct device_test tests[] = {
        {"pointers that are NULL", test_null},
        {"empty handles", test_empty_handles},
        {"values", test_values},
        {"specs", test_specs},
    };
    int result = run_on_devices("refused_calls", tests, COUNT(tests), open_subject, close_subject);
    return tell_refused("refused_calls", result);
}
