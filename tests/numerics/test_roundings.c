/* Each place where a kernel rounds to a type in the middle of arithmetic in f64, for each pair of
 * types: to the last bit, on numbers beside every tie and at the ends of the types' ranges. A
 * compiler may take a double that is made a float and a double again for the first one (Mesa's
 * does, since version 25), so that nothing is rounded at all. The statistic is given, so that what
 * is normalized is known.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         each kernel on some of the schedules
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spec_flags.h"
#include "turns.h"

enum { ROWS = 4, COLUMNS = 197, ELEMENTS = ROWS * COLUMNS };

#define F32 ANYNORM_F32
#define F64 ANYNORM_F64
#define H16 ANYNORM_F16
#define B16 ANYNORM_BF16

/* The last row's makes products of 25 bits and more, of which many are ties. */
static const float rstds[ROWS] = {1, 1, 1 + 0x1p-12f, 1.5f};

struct numbers {
    double x[ELEMENTS], residual[ELEMENTS], y[ELEMENTS], sum[ELEMENTS];
};

/* Both, as bf16 may be rounded to from f64 through f32. */
struct rounded {
    double once, twice;
};

static double to_type(anynorm_dtype type, double value)
{
    double storage;
    anynorm_dtype_store(type, &storage, 0, value);
    return anynorm_dtype_load(type, &storage, 0);
}

static struct rounded round_to(anynorm_dtype type, double value)
{
    double once = to_type(type, value);
    return (struct rounded){once, type == ANYNORM_BF16 ? to_type(type, to_type(ANYNORM_F32, value))
                                                       : once};
}

/* ---- Numbers ---- */

/* Of a type with so many bits, a number of the binade from 2^exponent on that lies half way to the
 * next, and where `off` is not 0 as little beside that as f64 can tell. */
static double beside_tie(struct random *random, int bits, int exponent, int off)
{
    uint64_t whole = (UINT64_C(1) << (bits - 1)) | random_below(random, UINT64_C(1) << (bits - 1));
    double tie = ldexp((double)whole + 0.5, exponent - (bits - 1));
    return off == 0 ? tie : nextafter(tie, off < 0 ? 0 : (double)INFINITY);
}

static double hard_number(struct random *random, uint64_t i)
{
    /* Ties of zero, of the least, of the largest; what rounds to infinity, and what just does not.
     * Of f32, then of f16. */
    static const double ends[] = {
        0,
        0x1p-150,
        0x1.00000001p-150,
        0x1.8p-149,
        0x1.7ffffffp-149,
        0x1p-126,
        0x1.fffffep-127,
        0x1.ffffffp-127,
        0x1.fffffep127,
        0x1.fffffefffffffp127,
        0x1p-25,
        0x1.00000001p-25,
        0x1.8p-24,
        0x1.7ffffffp-24,
        0x1p-14,
        0x1.ffcp-15,
        65504,
        65519.999999999993,
        65520,
        0x1p-1000,
    };
    static const int bits[] = {24, 11, 8};
    double sign = random_bits(random) & 1 ? -1 : 1;
    if (i < COUNT(ends))
        return sign * ends[i];
    int off = (int)random_below(random, 3) - 1;
    if (i % 8 == 7) /* denormal in f32, then in f16 */
        return sign * (i % 16 == 7 ? ldexp(beside_tie(random, 10, 9, off), -149)
                                   : ldexp(beside_tie(random, 6, 5, off), -24));
    return i % 4 == 3
               ? random_normal(random)
               : sign * beside_tie(random, bits[i % 4], (int)random_below(random, 13) - 6, off);
}

static void make_numbers(const anynorm_spec *spec, struct numbers *n)
{
    struct random random = {77};
    for (size_t i = 0; i < ELEMENTS; i++) {
        double hard = hard_number(&random, i);
        /* Where x holds less than f64 does, the sum has what x cannot hold. */
        n->x[i] = to_type(spec->x.type, hard);
        n->residual[i] = 0;
        if (spec->flags & RESIDUAL)
            n->residual[i] = to_type(spec->residual.type, isfinite(n->x[i]) ? hard - n->x[i] : 0);
    }
}

/* ---- One kernel ---- */

static anynorm_buffer put(anynorm_device *device, anynorm_dtype type, const double *values,
                          size_t count)
{
    unsigned char bytes[ELEMENTS * sizeof(double)];
    anynorm_buffer buffer;
    memset(bytes, 0xff, sizeof(bytes));
    for (size_t i = 0; values && i < count; i++)
        anynorm_dtype_store(type, bytes, i, values[i]);
    assert_ok(anynorm_buffer_create(device, count * anynorm_dtype_size(type), &buffer));
    assert_ok(anynorm_buffer_write(device, &buffer, bytes, buffer.bytes));
    return buffer;
}

static void take_back(anynorm_device *device, anynorm_dtype type, anynorm_buffer *buffer,
                      double *values)
{
    unsigned char bytes[ELEMENTS * sizeof(double)];
    assert_ok(anynorm_buffer_read(device, buffer, bytes, buffer->bytes));
    for (size_t i = 0; values && i < ELEMENTS; i++)
        values[i] = anynorm_dtype_load(type, bytes, i);
    anynorm_buffer_destroy(device, buffer);
}

/* False where the schedule does not serve it. */
static bool run(struct subject *subject, const anynorm_spec *spec, struct numbers *n)
{
    double rstd[ROWS];
    anynorm_device *device = subject->device;
    anynorm_plan *plan = offered_plan(subject, spec);
    if (!plan)
        return false;
    for (int r = 0; r < ROWS; r++)
        rstd[r] = (double)rstds[r];
    anynorm_tensors tensors = {.x = put(device, spec->x.type, n->x, ELEMENTS),
                               .y = put(device, spec->y.type, NULL, ELEMENTS),
                               .rstd = put(device, ANYNORM_F32, rstd, ROWS)};
    if (spec->flags & RESIDUAL)
        tensors.residual = put(device, spec->residual.type, n->residual, ELEMENTS);
    if (spec->flags & SUM)
        tensors.sum = put(device, spec->sum.type, NULL, ELEMENTS);
    anynorm_event event;
    assert_ok(anynorm_enqueue(plan, &tensors, ROWS, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    take_back(device, spec->y.type, &tensors.y, n->y);
    if (spec->flags & SUM)
        take_back(device, spec->sum.type, &tensors.sum, n->sum);
    if (spec->flags & RESIDUAL)
        anynorm_buffer_destroy(device, &tensors.residual);
    anynorm_buffer_destroy(device, &tensors.x);
    anynorm_buffer_destroy(device, &tensors.rstd);
    anynorm_plan_destroy(plan);
    return true;
}

static void expect(const struct subject *subject, const anynorm_spec *spec, const char *what,
                   size_t i, double got, double once, double twice)
{
    char text[512];
    if (got == once || got == twice)
        return;
    (void)anynorm_spec_format(spec, ROWS, text, sizeof(text));
    fail_msg("%s, %s: %s of element %zu is %a, not %a", subject->name, text, what, i, got, once);
}

/* Every rounding that the spec has, of what is exact but for the one rounding of an f64 sum. */
static void check_numbers(const struct subject *subject, const anynorm_spec *spec,
                          const struct numbers *n)
{
    bool stored = spec->flags & STORED_SUM, first = spec->flags & ROUND_FIRST;
    for (size_t i = 0; i < ELEMENTS; i++) {
        double h = n->x[i] + n->residual[i], rstd = (double)rstds[i / COLUMNS];
        struct rounded sum = round_to(spec->sum.type, h), y[2];
        for (int k = 0; k < 2; k++) {
            double z = (!stored ? h : k == 0 ? sum.once : sum.twice) * rstd;
            struct rounded of_first = round_to(spec->x.type, z);
            z = !first ? z : k == 0 ? of_first.once : of_first.twice;
            y[k] = round_to(spec->y.type, z);
        }
        expect(subject, spec, "y", i, n->y[i], y[0].once, y[1].twice);
        if (spec->flags & SUM)
            expect(subject, spec, "the sum", i, n->sum[i], sum.once, sum.twice);
    }
}

/* In the short form each goes to one of the schedules that walk along rows, and some of them to the
 * one that walks down columns, whose loads are others. */
static void check_kernels(struct subject *subject, const anynorm_spec *specs, size_t count)
{
    static struct numbers n;
    int checked = 0;
    if (!subject->info.fp64 || is_simulator(subject))
        skip();
    bool all = !reduced() || is_reference(&subject->info);
    bool down = strcmp(subject->schedule, "column_walk") == 0;
    for (size_t s = 0; s < count; s++) {
        anynorm_spec spec = specs[s];
        spec.columns = COLUMNS;
        spec.flags |= RMS | RSTD_IN;
        if (!all && !(down && s % 3 == 0) && !has_turn(subject, &spec, s))
            continue;
        make_numbers(&spec, &n);
        if (!run(subject, &spec, &n))
            continue;
        check_numbers(subject, &spec, &n);
        checked++;
    }
    fprintf(stderr, "# %s: %d kernels to the last bit\n", subject->name, checked);
}

/* ---- The places ---- */

/* The sum, as it is stored and then normalized; f64 comes in by x, by the residual, or by y. */
static void test_stored_sum(void **state)
{
    static const anynorm_dtype sums[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};
    static const anynorm_dtype by[][2] = {{F64, F32}, {F32, F64}, {F64, F64}, {F32, F32},
                                          {H16, F64}, {B16, F64}, {F64, H16}, {F64, B16}};
    anynorm_spec specs[COUNT(sums) * COUNT(by)];
    size_t count = 0;
    for (size_t s = 0; s < COUNT(sums); s++) {
        for (size_t k = 0; k < COUNT(by); k++)
            specs[count++] = (anynorm_spec){.x.type = by[k][0],
                                            .residual.type = by[k][1],
                                            .y.type = ANYNORM_F64,
                                            .sum.type = sums[s],
                                            .flags = RESIDUAL | SUM | STORED_SUM};
    }
    check_kernels(*state, specs, count);
}

/* The normalized number before the weight. */
static void test_round_first(void **state)
{
    static const anynorm_spec specs[] = {
        {.x.type = F32, .y.type = F64, .flags = ROUND_FIRST},
        {.x.type = H16, .y.type = F64, .flags = ROUND_FIRST},
        {.x.type = B16, .y.type = F64, .flags = ROUND_FIRST},
        {.x.type = F64, .y.type = F64, .flags = ROUND_FIRST},
        {.x.type = F32, .y.type = F64, .residual.type = F64, .flags = ROUND_FIRST | RESIDUAL},
        {.x.type = H16, .y.type = F64, .residual.type = F64, .flags = ROUND_FIRST | RESIDUAL},
        {.x.type = B16, .y.type = F64, .residual.type = F64, .flags = ROUND_FIRST | RESIDUAL},
        {.x.type = H16, .y.type = F32, .residual.type = F64, .flags = ROUND_FIRST | RESIDUAL},
        {.x.type = B16, .y.type = F32, .residual.type = F64, .flags = ROUND_FIRST | RESIDUAL},
    };
    check_kernels(*state, specs, COUNT(specs));
}

/* Both at once, and other types than x's. */
static void test_both(void **state)
{
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16};
    anynorm_spec specs[COUNT(types) * COUNT(types)];
    size_t count = 0;
    for (size_t x = 0; x < COUNT(types); x++) {
        for (size_t s = 0; s < COUNT(types); s++)
            specs[count++] = (anynorm_spec){.x.type = types[x],
                                            .residual.type = ANYNORM_F64,
                                            .y.type = ANYNORM_F64,
                                            .sum.type = types[s],
                                            .flags = RESIDUAL | SUM | STORED_SUM | ROUND_FIRST};
    }
    check_kernels(*state, specs, count);
}

/* y itself: f16 is told from f64 in one step, not by a float between. */
static void test_stored_y(void **state)
{
    static const anynorm_spec specs[] = {
        {.x.type = F64, .y.type = F32},
        {.x.type = F64, .y.type = H16},
        {.x.type = F64, .y.type = B16},
        {.x.type = F32,
         .residual.type = F64,
         .y.type = H16,
         .sum.type = H16,
         .flags = RESIDUAL | SUM},
        {.x.type = H16,
         .residual.type = F64,
         .y.type = H16,
         .sum.type = F32,
         .flags = RESIDUAL | SUM},
        {.x.type = B16,
         .residual.type = F64,
         .y.type = B16,
         .sum.type = B16,
         .flags = RESIDUAL | SUM},
    };
    check_kernels(*state, specs, COUNT(specs));
}

int main(void)
{
    static const struct device_test tests[] = {{"a stored sum", test_stored_sum},
                                               {"rounded before the weight", test_round_first},
                                               {"both", test_both},
                                               {"y", test_stored_y}};
    return run_on_schedules("roundings", tests, COUNT(tests));
}
