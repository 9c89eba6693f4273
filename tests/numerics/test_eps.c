/* Each eps that a spec may name, from the least denormal to the largest number: rows that are
 * constant, small, usual and large, in every schedule on every device, against long double.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spec/spec.h"
#include "spec_flags.h"
#include "turns.h"

enum { COLUMNS = 100, ROWS = 8 };

static const double epsilons_f32[] = {
    0x1p-1074, 1e-320, 1e-300, 1e-100,  1e-80,  1e-77,  1e-76,         1e-60,
    1e-46,     1e-45,  1e-39,  2.9e-39, 3e-39,  1e-38,  1.1754943e-38, 1.1754944e-38,
    1.2e-38,   1e-37,  1e-30,  0,       1e-5,   1,      1e29,          1.2e30,
    1.3e30,    1e37,   1e38,   3.4e38,  3.5e38, 1e39,   1e45,          1e60,
    7e75,      1e76,   1e77,   1e100,   1e300,  DBL_MAX};
static const double epsilons_f64[] = {0x1p-1074, 1e-320, 5e-309, 5.6e-309, 2e-308, 2.3e-308,
                                      1e-307,    1e-100, 1e-77,  1e-5,     1e39,   1e77,
                                      1e291,     9e291,  1e292,  1e308,    DBL_MAX};

/* ---- Rows ---- */

enum rows {
    CONSTANT,
    ZERO,
    USUAL,
    LARGE_CONSTANT,
    SMALL, /* variances at the least that is no denormal, and some more */
    SMALLER,
    LARGE,
    UNDERFLOWN /* variances that are denormal, or nothing */
};

/* By what power of two x is multiplied. */
static int exponent_of(enum rows row, bool wide)
{
    switch (row) {
    case LARGE_CONSTANT:
    case LARGE:
        return wide ? 500 : 55;
    case SMALL:
        return wide ? -500 : -58;
    case SMALLER:
        return wide ? -510 : -62;
    case UNDERFLOWN:
        return wide ? -530 : -70;
    default:
        return 0;
    }
}

static double x_at(enum rows row, bool wide, uint64_t c)
{
    double value = (double)(c % 7) - 3 + (double)(c % 5) / 8; /* a short row is no multiple of 35 */
    switch (row) {
    case CONSTANT:
    case LARGE_CONSTANT:
        value = 14;
        break;
    case ZERO:
        value = 0;
        break;
    case USUAL:
        value = (double)c;
        break;
    default:
        break;
    }
    return ldexp(value, exponent_of(row, wide));
}

static double bias_at(uint64_t c)
{
    return (double)c / 8;
}

/* ---- What is right ---- */

struct expected {
    long double mean;
    long double rstd;
    long double variance;
};

static struct expected expect(const anynorm_spec *spec, const double *x, const float partials[3])
{
    struct expected e = {0, 0, 0};
    long double divisor = COLUMNS, eps = spec->statistic.eps, root;
    for (uint64_t c = 0; c < COLUMNS && !(spec->flags & RMS); c++)
        e.mean += (long double)x[c] / (int)COLUMNS;
    if (x[0] == x[1] && x[1] == x[2] && !(spec->flags & RMS))
        e.mean = x[0];
    for (uint64_t c = 0; c < COLUMNS; c++)
        e.variance += (x[c] - e.mean) * (x[c] - e.mean);
    if (spec->flags & PARTIALS_IN) {
        e.mean = partials[1];
        e.variance = partials[2];
    }
    if (spec->flags & L2)
        divisor = 1;
    if (spec->flags & UNBIASED)
        divisor -= 1;
    e.variance /= divisor;
    root = spec->flags & EPS_OUTSIDE ? sqrtl(e.variance) + eps
           : spec->flags & EPS_FLOOR ? fmaxl(sqrtl(e.variance), eps)
                                     : sqrtl(e.variance + eps);
    e.rstd = root == 0 ? 0 : 1 / root;
    return e;
}

/* Whether the arithmetic has the row's squares, and what was handed on as f32, too. */
static bool in_range(const anynorm_spec *spec, const struct expected *e)
{
    bool wide = an_spec_double(spec) && !(spec->flags & PARTIALS_IN);
    long double squares = e->variance * (int)COLUMNS;
    return squares == 0 || (squares < (wide ? 0x1p1020L : 0x1p126L) &&
                            e->variance >= (wide ? 0x1p-1022L : 0x1p-126L));
}

static unsigned compared;

static void tell(const anynorm_spec *spec, int row, const char *what, double got, double expected)
{
    char text[1024];
    (void)anynorm_spec_format(spec, ROWS, text, sizeof(text));
    fail_msg("%s: %s of row %d is %.9g, not %.9g", text, what, row, got, expected);
}

static void compare_rstd(const anynorm_spec *spec, int row, const struct expected *e, float rstd)
{
    long double most = FLT_MAX, expected = e->rstd < most ? e->rstd : most;
    bool right = fabsl(rstd - expected) <= 8 * 0x1p-23L * expected;
    if (expected < FLT_MIN) /* a denormal, for which a device may have 0 */
        right = rstd >= 0 && rstd <= expected * (1 + 0x1p-20L) + 0x1p-149L;
    if (!right)
        tell(spec, row, "rstd", (double)rstd, (double)expected);
}

static void compare_row(const anynorm_spec *spec, int row, const double *x,
                        const struct expected *e, const void *y, float rstd)
{
    const double unit = an_spec_double(spec) ? 0x1p-52 : 0x1p-23;
    const double least = an_spec_double(spec) ? DBL_MIN : (double)FLT_MIN;
    bool constant = row == ZERO || (!(spec->flags & RMS) && row <= LARGE_CONSTANT && row != USUAL);
    bool known = in_range(spec, e);
    compared++;
    if (known)
        compare_rstd(spec, row, e, rstd);
    else if (!(rstd >= 0 && rstd <= FLT_MAX) && e->variance < 1)
        tell(spec, row, "rstd", (double)rstd, (double)e->rstd);
    for (uint64_t c = 0; c < COLUMNS; c++) {
        double got = anynorm_dtype_load(spec->y.type, y, c), bias = bias_at(c);
        double n = constant ? 0 : (double)((x[c] - e->mean) * e->rstd);
        double bound = constant ? 0 : 8 * unit * (fmax(1, fabs(n)) + fabs(n + bias));
        if (!known && e->variance >= 1)
            continue; /* NaN, where the squares leave the arithmetic */
        if (!known)   /* may count as 0; beside a tiny eps no more is made of it than there is */
            bound = spec->statistic.eps < least ? 2 * sqrt(COLUMNS) : (double)INFINITY;
        if (!(fabs(got - (n + bias)) <= bound))
            tell(spec, row, "y", got, n + bias);
    }
}

/* ---- Running ---- */

/* The partials of one shard that is all of the row. */
static void make_partials(const anynorm_spec *spec, const double *x, float numbers[3])
{
    long double mean = 0, squares = 0;
    for (uint64_t c = 0; c < COLUMNS && !(spec->flags & RMS); c++)
        mean += (long double)x[c] / (int)COLUMNS;
    numbers[1] = (float)mean;
    for (uint64_t c = 0; c < COLUMNS; c++)
        squares += (x[c] - numbers[1]) * (long double)(x[c] - numbers[1]);
    numbers[0] = COLUMNS;
    numbers[2] = (float)squares;
}

struct data {
    double x[ROWS][COLUMNS];
    unsigned char x_bytes[ROWS * COLUMNS * sizeof(double)];
    float bias[COLUMNS];
    float partials[ROWS][3];
};

static void make_data(const anynorm_spec *spec, struct data *data)
{
    bool wide = an_spec_double(spec) && !(spec->flags & PARTIALS_IN); /* these are f32 */
    for (int r = 0; r < ROWS; r++) {
        for (uint64_t c = 0; c < COLUMNS; c++) {
            uint64_t at = (uint64_t)r * COLUMNS + c;
            anynorm_dtype_store(spec->x.type, data->x_bytes, at, x_at((enum rows)r, wide, c));
            data->x[r][c] = anynorm_dtype_load(spec->x.type, data->x_bytes, at);
            data->bias[c] = (float)bias_at(c);
        }
        make_partials(spec, data->x[r], data->partials[r]);
    }
}

static void check_eps(struct subject *subject, const anynorm_spec *spec, const struct data *data)
{
    size_t size = anynorm_dtype_size(spec->y.type);
    unsigned char y[ROWS * COLUMNS * sizeof(double)];
    float rstd[ROWS];
    anynorm_plan *plan = offered_plan(subject, spec);
    if (!plan)
        return;
    memset(y, 0xff, sizeof(y));
    memset(rstd, 0xff, sizeof(rstd));
    anynorm_host_tensors tensors = {.x = data->x_bytes,
                                    .y = y,
                                    .bias = data->bias,
                                    .rstd = rstd,
                                    .partials =
                                        spec->flags & PARTIALS_IN ? (void *)data->partials : NULL};
    assert_ok(anynorm_run(plan, &tensors, ROWS));
    anynorm_plan_destroy(plan);
    for (int r = 0; r < ROWS; r++) {
        struct expected e = expect(spec, data->x[r], data->partials[r]);
        compare_row(spec, r, data->x[r], &e, y + (size_t)r * COLUMNS * size, rstd[r]);
    }
}

static void test_eps(void **state)
{
    struct subject *subject = *state;
    static const uint32_t norms[] = {0, RMS, RMS | L2, UNBIASED, PARTIALS_IN, RMS | PARTIALS_IN};
    static const anynorm_dtype types[] = {ANYNORM_F32, ANYNORM_F64};
    static const uint32_t modes[] = {0, EPS_OUTSIDE, EPS_FLOOR};
    size_t number = 0;
    for (size_t i = 0; i < COUNT(norms) * COUNT(modes) * COUNT(types); i++) {
        anynorm_dtype type = types[i % 2];
        anynorm_spec spec = {.columns = COLUMNS,
                             .x.type = type,
                             .y.type = type,
                             .flags = norms[i / 6] | modes[i / 2 % 3] | BIAS | RSTD_OUT};
        const double *epsilons = type == ANYNORM_F64 ? epsilons_f64 : epsilons_f32;
        size_t count = type == ANYNORM_F64 ? COUNT(epsilons_f64) : COUNT(epsilons_f32);
        struct data data;
        if (type == ANYNORM_F64 && !subject->info.fp64)
            continue;
        if (reduced() && !is_reference(&subject->info) && (5 * i + schedule_of(subject)) % 7 != 0)
            continue; /* three or four for each schedule */
        make_data(&spec, &data);
        for (size_t e = 0; e < count; e++) {
            spec.statistic.eps = epsilons[e];
            if (!reduced() || number++ % 4 == i % 4)
                check_eps(subject, &spec, &data);
        }
    }
}

int main(void)
{
    static const struct device_test tests[] = {{"eps", test_eps}};
    int result = run_on_schedules("eps", tests, COUNT(tests));
    fprintf(stderr, "# eps: %u rows compared\n", compared);
    return result;
}
