/* The reference's row against the formula of anynorm.h, written down once more. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "row.h"

enum { MOST = 48, STRIDE = 3 };

/* The tensors of one row, each in its type; those with strides at their widest. */
struct memory {
    double at[AN_TENSOR_COUNT][MOST * STRIDE];
};

static double load(const anynorm_spec *spec, const struct memory *memory, enum an_tensor tensor,
                   uint64_t index)
{
    return anynorm_dtype_load(an_tensor_expect(spec, tensor).type, memory->at[tensor], index);
}

static bool named(const anynorm_spec *spec, enum an_tensor tensor)
{
    return an_tensor_expect(spec, tensor).present;
}

static long double rounded(anynorm_dtype type, long double value)
{
    double storage;
    anynorm_dtype_store(type, &storage, 0, (double)value);
    return (long double)anynorm_dtype_load(type, &storage, 0);
}

/* By the letter of the header: what is added up in double, statistics in long double. */
struct result {
    long double y[MOST];
    long double h[MOST];
    long double mean;
    long double rstd;
    long double squares;
};

/* Mean and squares of a row's shards, as if each had its own columns' mean so many times. */
static long double merge(const anynorm_spec *spec, const struct memory *m, long double *mean,
                         long double *squares)
{
    long double count = 0, sum = 0;
    for (uint64_t k = 0; k < spec->statistic.shards; k++) {
        long double columns = (long double)load(spec, m, AN_PARTIALS, 3 * k);
        count += columns;
        sum += columns > 0 ? columns * (long double)load(spec, m, AN_PARTIALS, 3 * k + 1) : 0;
    }
    *mean = spec->flags & ANYNORM_RMS ? 0 : sum / count;
    *squares = 0;
    for (uint64_t k = 0; k < spec->statistic.shards; k++) {
        long double columns = (long double)load(spec, m, AN_PARTIALS, 3 * k);
        long double off = (long double)load(spec, m, AN_PARTIALS, 3 * k + 1) - *mean;
        if (columns > 0)
            *squares += (long double)load(spec, m, AN_PARTIALS, 3 * k + 2) +
                        (spec->flags & ANYNORM_RMS ? 0 : columns * off * off);
    }
    return count;
}

/* Where column c of a row lies, and which parameter it has. */
static uint64_t place(const anynorm_spec *spec, uint64_t column_stride, uint64_t c)
{
    uint64_t run = 0;
    for (; c >= spec->column_run; c -= spec->column_run)
        run++;
    return run * column_stride + c;
}

static uint64_t parameter(const anynorm_spec *spec, uint64_t c)
{
    while (spec->parameters.cycle > 0 && c >= spec->parameters.cycle)
        c -= spec->parameters.cycle;
    return c / spec->parameters.run;
}

static void by_formula(const anynorm_spec *spec, const struct memory *m, struct result *result)
{
    uint64_t columns = spec->columns;
    long double *h = result->h, sum = 0, squares = 0, mean = 0, rstd;
    for (uint64_t c = 0; c < columns; c++) {
        double added = load(spec, m, AN_X, place(spec, spec->x.column_stride, c));
        if (named(spec, AN_PRE_BIAS))
            added += load(spec, m, AN_PRE_BIAS, parameter(spec, c));
        if (named(spec, AN_RESIDUAL))
            added += (named(spec, AN_GATE) ? load(spec, m, AN_GATE, c) : 1) *
                     load(spec, m, AN_RESIDUAL, place(spec, spec->residual.column_stride, c));
        h[c] = (long double)added;
        if (spec->flags & ANYNORM_STORED_SUM)
            h[c] = rounded(spec->sum.type, h[c]);
        sum += h[c];
    }
    if (!(spec->flags & ANYNORM_RMS))
        mean = sum / (long double)columns;
    for (uint64_t c = 0; c < columns; c++)
        squares += (h[c] - mean) * (h[c] - mean);
    long double count = (long double)columns;
    if (spec->flags & ANYNORM_PARTIALS_INPUT)
        count = merge(spec, m, &mean, &squares);
    long double variance = squares / (spec->flags & ANYNORM_UNBIASED ? count - 1
                                      : spec->flags & ANYNORM_L2     ? 1
                                                                     : count);
    long double eps = (long double)spec->statistic.eps;
    rstd = spec->flags & ANYNORM_EPS_OUTSIDE ? 1 / (sqrtl(variance) + eps)
           : spec->flags & ANYNORM_EPS_FLOOR ? 1 / fmaxl(sqrtl(variance), eps)
                                             : 1 / sqrtl(variance + eps);
    if (isinf(rstd))
        rstd = 0;
    if (named(spec, AN_MEAN) && (spec->flags & ANYNORM_MEAN_INPUT))
        mean = (long double)load(spec, m, AN_MEAN, 0);
    if (named(spec, AN_RSTD) && (spec->flags & ANYNORM_RSTD_INPUT))
        rstd = (long double)load(spec, m, AN_RSTD, 0);
    for (uint64_t c = 0; c < columns; c++) {
        uint64_t k = parameter(spec, c);
        long double z = (h[c] - mean) * rstd;
        if (spec->flags & ANYNORM_ROUND_FIRST)
            z = rounded(spec->x.type, z);
        if (named(spec, AN_WEIGHT))
            z *= (long double)load(spec, m, AN_WEIGHT, k) +
                 (long double)spec->parameters.weight_offset;
        if (named(spec, AN_BIAS))
            z += (long double)load(spec, m, AN_BIAS, k);
        if (named(spec, AN_SCALE))
            z *= 1 + (long double)load(spec, m, AN_SCALE, c);
        if (named(spec, AN_SHIFT))
            z += (long double)load(spec, m, AN_SHIFT, c);
        result->y[c] = spec->flags & ANYNORM_SILU ? z / (1 + expl(-z)) : z;
    }
    result->mean = mean;
    result->rstd = rstd;
    result->squares = squares;
}

static void fill(const anynorm_spec *spec, struct random *random, struct memory *memory)
{
    memset(memory, 0xff, sizeof(*memory));
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        struct an_expectation expected = an_tensor_expect(spec, (enum an_tensor)t);
        for (uint64_t e = 0; expected.present && !expected.output && e < MOST * STRIDE; e++)
            anynorm_dtype_store(expected.type, memory->at[t], e,
                                t == AN_RSTD ? 0.5 + random_uniform(random)
                                             : random_normal(random) + 0.25);
    }
    for (uint64_t k = 0; k < spec->statistic.shards && (spec->flags & ANYNORM_PARTIALS_INPUT);
         k++) {
        double columns = (double)(k > 0 ? random_bits(random) % 4 : 3 + random_bits(random) % 9);
        anynorm_dtype_store(ANYNORM_F32, memory->at[AN_PARTIALS], 3 * k, columns);
        anynorm_dtype_store(ANYNORM_F32, memory->at[AN_PARTIALS], 3 * k + 2,
                            columns > 0 ? columns * random_uniform(random) + 0.5 : (double)NAN);
    }
}

static void run_row(const anynorm_spec *spec, struct memory *memory, enum an_tensor y,
                    enum an_tensor sum)
{
    void *at[AN_TENSOR_COUNT];
    for (int t = 0; t < AN_TENSOR_COUNT; t++)
        at[t] = named(spec, (enum an_tensor)t) ? memory->at[t] : NULL;
    if (at[AN_SUM])
        at[AN_SUM] = memory->at[sum];
    if (at[AN_Y])
        at[AN_Y] = memory->at[y];
    struct an_row row = an_row_at(at);
    row.rows = 1;
    an_reference_row(spec, &row);
}

static anynorm_spec random_row(struct random *random)
{
    anynorm_spec spec = {.columns = 1 + random_bits(random) % MOST,
                         .x.type = (anynorm_dtype)(random_bits(random) % 4),
                         .y.type = ANYNORM_F64, /* where there is one */
                         .parameters.type = (anynorm_dtype)(random_bits(random) % 4),
                         .statistic.eps =
                             random_bits(random) % 3 ? 1e-3 * random_uniform(random) : 0},
                 resolved;
    make_family(random, &spec);
    uint64_t run = 1 + random_bits(random) % 6;
    bool has_y = !(spec.flags & ANYNORM_PARTIALS_OUTPUT);
    spec.column_run = run = spec.columns % run == 0 ? run : 1;
    spec.x.column_stride = run * (1 + random_bits(random) % STRIDE);
    spec.y.column_stride = has_y ? run * (1 + random_bits(random) % STRIDE) : 0;
    if (spec.flags & ANYNORM_RESIDUAL)
        spec.residual.column_stride = run * (1 + random_bits(random) % STRIDE);
    if (spec.flags & ANYNORM_SUM_OUTPUT)
        spec.sum.column_stride = run * (1 + random_bits(random) % STRIDE);
    spec.x.row_stride = MOST * STRIDE;
    spec.y.row_stride = has_y ? MOST * STRIDE : 0;
    if (spec.flags & ANYNORM_RESIDUAL)
        spec.residual.row_stride = MOST * STRIDE;
    if (spec.flags & ANYNORM_SUM_OUTPUT)
        spec.sum.row_stride = MOST * STRIDE;
    assert_ok(an_spec_resolve(&spec, &resolved));
    return resolved;
}

static bool near(double got, long double expected, double size)
{
    return fabsl((long double)got - expected) <=
           1e-11L * (long double)size + 1e-11L * fabsl(expected);
}

static void test_the_formula(void **state)
{
    (void)state;
    struct random random = {1607};
    for (int i = 0; i < 20000; i++) {
        anynorm_spec spec = random_row(&random);
        struct memory memory;
        struct result result;
        char text[1024];
        fill(&spec, &random, &memory);
        by_formula(&spec, &memory, &result);
        run_row(&spec, &memory, AN_Y, AN_SUM);
        anynorm_spec_format(&spec, 1, text, sizeof(text));
        /* What rounding leaves of a constant row is no statement about it. */
        bool constant = spec.columns == 1 &&
                        !(spec.flags & (ANYNORM_RMS | ANYNORM_RSTD_INPUT | ANYNORM_PARTIALS_INPUT));
        for (uint64_t c = 0; c < spec.columns && !constant; c++) {
            bool has_y = named(&spec, AN_Y);
            double y =
                has_y ? load(&spec, &memory, AN_Y, place(&spec, spec.y.column_stride, c)) : 0;
            if (has_y && !near(y, result.y[c], 1 + (double)result.rstd))
                fail_msg("%s: y of column %u is %.17g, not %.17Lg", text, (unsigned)c, y,
                         result.y[c]);
            if (named(&spec, AN_SUM)) {
                double sum = load(&spec, &memory, AN_SUM, place(&spec, spec.sum.column_stride, c));
                assert_true((long double)sum == rounded(spec.sum.type, result.h[c]));
            }
        }
        if (spec.flags & ANYNORM_MEAN_OUTPUT)
            assert_true(fabsl((long double)load(&spec, &memory, AN_MEAN, 0) - result.mean) < 1e-6L);
        if ((spec.flags & ANYNORM_RSTD_OUTPUT) && !constant)
            assert_true(fabsl((long double)load(&spec, &memory, AN_RSTD, 0) - result.rstd) <=
                        1e-6L * result.rstd);
        if (spec.flags & ANYNORM_PARTIALS_OUTPUT) {
            assert_true(load(&spec, &memory, AN_PARTIALS, 0) == (double)spec.columns);
            assert_true(
                near(load(&spec, &memory, AN_PARTIALS, 1), rounded(ANYNORM_F32, result.mean), 1e5));
            assert_true(fabsl((long double)load(&spec, &memory, AN_PARTIALS, 2) - result.squares) <=
                        1e-6L * result.squares + 1e-30L);
        }
    }
}

/* What is quantized, and by what, as the header says it. */
static void check_codes(const anynorm_spec *spec, const struct memory *m,
                        const struct result *result)
{
    long double scale = 1, largest = 0;
    if (spec->flags & ANYNORM_Y_SCALE_INPUT)
        scale = (long double)load(spec, m, AN_Y_SCALE, 0);
    for (uint64_t c = 0; c < spec->columns; c++)
        largest = fmaxl(largest, fabsl(result->y[c]));
    if (spec->flags & ANYNORM_Y_SCALE_OUTPUT) {
        double found = load(spec, m, AN_Y_SCALE, 0);
        if (spec->quantization.bound > 0)
            largest = fminl(largest, (long double)spec->quantization.bound);
        scale = largest / (spec->y.type == ANYNORM_I8 ? 127 : 448);
        if (largest < 0x1p-100L)
            scale = 0;
        assert_true(fabsl((long double)found - scale) <= 1e-6L * scale);
        scale = (long double)found;
    }
    for (uint64_t c = 0; c < spec->columns; c++) {
        long double q = scale == 0 ? 0 : result->y[c] / scale;
        long double off = scale == 0 ? 0 : 1e-11L * (1 + result->rstd) / fabsl(scale);
        double got = load(spec, m, AN_Y, place(spec, spec->y.column_stride, c));
        assert_true((long double)got >= rounded(spec->y.type, q - off) &&
                    (long double)got <= rounded(spec->y.type, q + off));
    }
}

static void test_quantized(void **state)
{
    (void)state;
    struct random random = {448};
    for (int i = 0; i < 10000; i++) {
        anynorm_spec spec = random_row(&random);
        struct memory memory;
        struct result result;
        make_quantized(&random, &spec);
        if (spec.columns == 1 || (spec.flags & ANYNORM_PARTIALS_OUTPUT)) /* constant: see above */
            continue;
        fill(&spec, &random, &memory);
        by_formula(&spec, &memory, &result);
        run_row(&spec, &memory, AN_Y, AN_SUM);
        check_codes(&spec, &memory, &result);
    }
}

/* Two columns of y, found as n * rstd with a given rstd of 1, to their codes and the scale. */
static void test_edges_of_scales(void **state)
{
    (void)state;
    const float nan = NAN, infinity = INFINITY;
    const struct {
        anynorm_dtype type;
        uint32_t flags;
        float given; /* scale */
        double bound;
        float y[2];
        double codes[2];
        float scale;
    } cases[] = {
        {ANYNORM_I8, 0, 0, 0, {2.5f, -300}, {2, -128}, 0},
        {ANYNORM_F8E4M3, 0, 0, 0, {1.0625f, -1e9f}, {1, -448}, 0},
        {ANYNORM_F8E4M3, 0, 0, 0, {nan, -infinity}, {(double)nan, -448}, 0},
        {ANYNORM_I8, 0, 0, 0, {nan, infinity}, {0, 127}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_INPUT, 0.5f, 0, {2.25f, -3}, {4, -6}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_INPUT, -0.5f, 0, {2.25f, -3}, {-4, 6}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_INPUT, 0, 0, {1, 0}, {127, 0}, 0},
        {ANYNORM_F8E4M3, ANYNORM_Y_SCALE_INPUT, 0, 0, {-1, 0}, {-448, (double)nan}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_INPUT, nan, 0, {-1, 0}, {0, 0}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_INPUT, infinity, 0, {-1, 3}, {0, 0}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 0, {254, -1}, {127, 0}, 2},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 127, {254, -2}, {127, -2}, 1},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 1e9, {-254, -2}, {-127, -1}, 2},
        {ANYNORM_F8E4M3, ANYNORM_Y_SCALE_OUTPUT, 0, 0, {1, -896}, {0.5, -448}, 2},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 0, {0, 0}, {0, 0}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 0, {0x1p-101f, 0}, {0, 0}, 0},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 0x1.fcp-94, {infinity, 0}, {127, 0}, 0x1p-100f},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 0, {nan, 5}, {0, 0}, nan},
        {ANYNORM_I8, ANYNORM_Y_SCALE_OUTPUT, 0, 2, {5, nan}, {0, 0}, nan},
        {ANYNORM_F8E4M3, ANYNORM_Y_SCALE_OUTPUT, 0, 2, {5, nan}, {(double)nan, (double)nan}, nan},
        {ANYNORM_F8E4M3, ANYNORM_Y_SCALE_OUTPUT, 0, 0, {infinity, 5}, {(double)nan, 0}, infinity},
        {ANYNORM_F8E4M3, ANYNORM_Y_SCALE_OUTPUT, 0, 448, {infinity, 5}, {448, 5}, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec spec, written = {.columns = 2,
                                      .y.type = cases[i].type,
                                      .flags = ANYNORM_RMS | ANYNORM_RSTD_INPUT | cases[i].flags,
                                      .quantization.bound = cases[i].bound};
        float one = 1, y_scale = cases[i].given;
        uint8_t y[2];
        assert_ok(an_spec_resolve(&written, &spec));
        an_reference_row(
            &spec, &(struct an_row){.x = cases[i].y, .y = y, .rstd = &one, .y_scale = &y_scale});
        for (uint64_t c = 0; c < 2; c++) {
            double got = anynorm_dtype_load(spec.y.type, y, c), code = cases[i].codes[c];
            if (isnan(code) ? !isnan(got) : got != code)
                fail_msg("case %zu: code %u is %g, not %g", i, (unsigned)c, got, code);
        }
        float scale = cases[i].scale;
        if ((cases[i].flags & ANYNORM_Y_SCALE_OUTPUT) &&
            (isnan(scale) ? !isnan(y_scale) : y_scale != scale))
            fail_msg("case %zu: the scale is %g, not %g", i, (double)y_scale, (double)scale);
    }
}

/* The bits of y and sum are the same over x and residual as in memory of their own. */
static void test_over_inputs(void **state)
{
    (void)state;
    static const enum an_tensor places[][2] = {{AN_X, AN_SUM},      {AN_RESIDUAL, AN_SUM},
                                               {AN_Y, AN_X},        {AN_Y, AN_RESIDUAL},
                                               {AN_X, AN_RESIDUAL}, {AN_RESIDUAL, AN_X}};
    struct random random = {1910};
    for (int i = 0; i < 5000; i++) {
        anynorm_spec spec = random_row(&random);
        spec.flags &= ~(uint32_t)ANYNORM_PARTIALS_OUTPUT; /* which has no y */
        spec.flags |= ANYNORM_RESIDUAL | ANYNORM_SUM_OUTPUT;
        spec.y.type = spec.sum.type = spec.residual.type = spec.x.type;
        spec.y.column_stride = spec.sum.column_stride = spec.residual.column_stride =
            spec.x.column_stride;
        struct memory inputs, apart;
        fill(&spec, &random, &inputs);
        apart = inputs;
        run_row(&spec, &apart, AN_Y, AN_SUM);
        for (size_t k = 0; k < COUNT(places); k++) {
            struct memory shared = inputs;
            enum an_tensor y = places[k][0], sum = places[k][1];
            run_row(&spec, &shared, y, sum);
            size_t size = anynorm_dtype_size(spec.x.type);
            for (uint64_t c = 0; c < spec.columns; c++) {
                size_t at = (size_t)place(&spec, spec.x.column_stride, c) * size;
                assert_memory_equal((char *)shared.at[y] + at, (char *)apart.at[AN_Y] + at, size);
                assert_memory_equal((char *)shared.at[sum] + at, (char *)apart.at[AN_SUM] + at,
                                    size);
            }
        }
    }
}

static void test_edges(void **state)
{
    (void)state;
    static const struct {
        uint32_t flags;
        double x[2];
        double eps;
        double y[2];
    } cases[] = {
        {0, {3, 3}, 0, {0, 0}},
        {ANYNORM_EPS_OUTSIDE, {3, 3}, 0, {0, 0}},
        {ANYNORM_RMS, {0, 0}, 0, {0, 0}},
        {ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_OUTSIDE, {0, 0}, 0, {0, 0}},
        {ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_FLOOR, {0, 0}, 0, {0, 0}},
        {ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_FLOOR, {3, 4}, 5, {0.6, 0.8}},
        {ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_FLOOR, {3, 4}, 8, {0.375, 0.5}},
        {ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_FLOOR, {1e200, 1}, 8, {(double)NAN, (double)NAN}},
        {ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_FLOOR,
         {(double)NAN, 1},
         8,
         {(double)NAN, (double)NAN}},
        {ANYNORM_RMS | ANYNORM_L2, {3, 4}, 0, {0.6, 0.8}},
        {ANYNORM_RMS, {1, 7}, 0, {0.2, 1.4}},
        {ANYNORM_EPS_OUTSIDE, {1, 5}, 2, {-0.5, 0.5}},
        {ANYNORM_UNBIASED, {1, 3}, 2, {-0.5, 0.5}},
        {ANYNORM_RMS, {1e200, 1}, 0, {(double)NAN, (double)NAN}},
        {ANYNORM_RMS | ANYNORM_L2 | ANYNORM_EPS_OUTSIDE, {1e200, 1}, 0, {(double)NAN, (double)NAN}},
        {ANYNORM_RMS, {(double)INFINITY, 1}, 1, {(double)NAN, (double)NAN}},
        {ANYNORM_UNBIASED, {(double)NAN, 1}, 1, {(double)NAN, (double)NAN}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec spec, written = {.columns = 2,
                                      .x.type = ANYNORM_F64,
                                      .y.type = ANYNORM_F64,
                                      .flags = cases[i].flags,
                                      .statistic.eps = cases[i].eps};
        double y[2];
        assert_ok(an_spec_resolve(&written, &spec));
        an_reference_row(&spec, &(struct an_row){.x = cases[i].x, .y = y});
        for (int c = 0; c < 2; c++) {
            if (isnan(cases[i].y[c]) ? !isnan(y[c]) : fabs(y[c] - cases[i].y[c]) > 1e-15)
                fail_msg("case %zu: y[%d] is %.17g", i, c, y[c]);
        }
    }
}

/* What the header says of partials that are no usual ones, and that the order of shards, and how
 * rows lie between them, is as it says. */
static void test_edges_of_partials(void **state)
{
    (void)state;
    const float nan = (float)NAN, inf = (float)INFINITY;
    const struct {
        uint32_t flags;
        double eps;
        float shards[3][AN_PARTIAL_NUMBERS];
        double mean;
        double rstd;
    } cases[] = {
        {0, 0, {{2, 1, 2}, {2, 5, 6}, {4, 3, 8}}, 3, 0.5},
        {0, 0, {{0, nan, nan}, {4, 3, 1}, {0, inf, -1}}, 3, 2},
        {0, 0, {{0, nan, nan}, {0, 7, 7}, {4, 3, 1}}, 3, 2},
        {0, 1, {{2, 1, 2}, {2, 5, 6}, {4, 3, 4}}, 3, 1 / sqrt(4.5)},
        {0, 0, {{1, 3, 0}, {1, 3, 0}, {1, 3, 0}}, 3, 0},
        {ANYNORM_UNBIASED, 0, {{1, 1, 0}, {1, 5, 0}, {1, 3, 0}}, 3, 0.5},
        {ANYNORM_UNBIASED, 1, {{1, 1, 0}, {0, 0, 0}, {0, 0, 0}}, 1, (double)NAN},
        {ANYNORM_EPS_OUTSIDE, 2, {{2, 1, 2}, {2, 5, 6}, {4, 3, 8}}, 3, 0.25},
        {ANYNORM_RMS, 0, {{2, nan, 2}, {2, 5, 6}, {4, 3, 24}}, 0, 0.5},
        {ANYNORM_RMS | ANYNORM_L2, 0, {{2, 0, 2}, {2, 0, 6}, {4, 0, 8}}, 0, 0.25},
        {ANYNORM_RMS | ANYNORM_L2, 4, {{0, 0, 2}, {0, 0, 6}, {0, 0, 8}}, 0, 0.5},
        {ANYNORM_RMS, 1, {{0, 0, 2}, {0, 0, 6}, {0, 0, 8}}, 0, (double)NAN},
        {0, 1, {{0, 0, 2}, {0, 0, 6}, {0, 0, 8}}, (double)NAN, (double)NAN},
        {0, 1, {{2, 1, 2}, {nan, 5, 6}, {4, 3, 4}}, (double)NAN, (double)NAN},
        {0, 1, {{2, 1, 2}, {2, nan, 6}, {4, 3, 4}}, (double)NAN, (double)NAN},
        {ANYNORM_RMS, 1, {{2, 1, 2}, {2, 1, inf}, {4, 3, 4}}, 0, (double)NAN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        anynorm_spec spec, written = {.columns = 1,
                                      .flags = cases[i].flags | ANYNORM_PARTIALS_INPUT,
                                      .statistic.eps = cases[i].eps,
                                      .statistic.shards = 3};
        assert_ok(an_spec_resolve(&written, &spec));
        spec.flags |= ANYNORM_RSTD_OUTPUT | ANYNORM_MEAN_OUTPUT; /* also of RMS */
        float x = 1, y, mean, rstd, partials[3][2][AN_PARTIAL_NUMBERS];
        memset(partials, 0xff, sizeof(partials));
        for (int k = 0; k < 3; k++)
            memcpy(partials[k][1], cases[i].shards[k], sizeof(partials[k][1]));
        an_reference_row(&spec, &(struct an_row){.x = &x,
                                                 .y = &y,
                                                 .mean = &mean,
                                                 .rstd = &rstd,
                                                 .partials = partials[0][1],
                                                 .rows = 2});
        const double got[] = {(double)mean, (double)rstd};
        const double expected[] = {cases[i].mean, cases[i].rstd};
        for (int k = 0; k < 2; k++) {
            if (isnan(expected[k]) ? !isnan(got[k]) : !(fabs(got[k] - expected[k]) < 1e-6))
                fail_msg("case %zu: %s is %.9g, not %.9g", i, k ? "rstd" : "mean", got[k],
                         expected[k]);
        }
    }
}

/* z * sigmoid(z), with no overflow on the way. */
static void test_silu_is_finite(void **state)
{
    (void)state;
    static const double z[] = {-1e308, -1e4, -745, -1, 0, 1, 745, 1e4, 1e308};
    float one = 1;
    anynorm_spec spec, written = {.columns = 9,
                                  .x.type = ANYNORM_F64,
                                  .y.type = ANYNORM_F64,
                                  .flags = ANYNORM_RMS | ANYNORM_RSTD_INPUT | ANYNORM_SILU};
    double y[9];
    assert_ok(an_spec_resolve(&written, &spec));
    an_reference_row(&spec, &(struct an_row){.x = z, .y = y, .rstd = &one});
    for (int i = 0; i < 9; i++) {
        assert_true(isfinite(y[i]));
        assert_true(z[i] > 0 ? y[i] <= z[i] : y[i] <= 0 && y[i] > -0.3);
    }
    assert_true(y[6] == 745 && y[7] == 1e4 && y[8] == 1e308);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_formula),     cmocka_unit_test(test_over_inputs),
        cmocka_unit_test(test_edges),           cmocka_unit_test(test_edges_of_partials),
        cmocka_unit_test(test_silu_is_finite),  cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_edges_of_scales),
    };
    return cmocka_run_group_tests_name("row", tests, NULL, NULL);
}
