#include "climb.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "spec_flags.h"

/* ---- Patterns ---- */

static double ulps(const struct climb *climb)
{
    static const double of[] = {[ANYNORM_F32] = 0x1p-23,
                                [ANYNORM_F16] = 0x1p-10,
                                [ANYNORM_BF16] = 0x1p-7,
                                [ANYNORM_F64] = 0x1p-52};
    return of[climb->spec.x.type];
}

static double arithmetic(const struct climb *climb)
{
    return climb->spec.x.type == ANYNORM_F64 ? 0x1p-52 : 0x1p-23;
}

/* Begins with what is known to be bad: a few large values and smaller ones whose squares are each
 * just under half of the last place of a chain's sum; values that are nearly equal; or anything. */
static void seed_pattern(struct climb *climb, struct pattern *p)
{
    struct random *r = &climb->random;
    uint64_t kind = random_below(r, 4), large = 1 + random_below(r, VALUES - 1);
    double few = arithmetic(climb), small = sqrt(few / 2) * (1 - random_uniform(r) / 64);

    /* Of squares about a poor pivot, where large values and small take turns, or of a sum of them.
     */
    if (kind == 1)
        small = few / 2 * (1 - random_uniform(r) / 64);
    for (uint64_t i = 0; i < VALUES; i++) {
        double value = 1 + (double)random_below(r, 64) * few;

        if (kind < 2 && i >= large)
            value = small;
        else if (kind == 3)
            value = random_normal(r);
        p->values[i] = value;
    }
    p->times = 1u << random_below(r, 9);
    p->leading = random_below(r, 2) ? 16 : 0;
    p->first = 0;
}

static void mutate(struct climb *climb, struct pattern *p)
{
    struct random *r = &climb->random;
    uint64_t changes = 1 + random_below(r, 3);

    for (uint64_t i = 0; i < changes; i++) {
        double *value = &p->values[random_below(r, VALUES)];
        double other = p->values[random_below(r, VALUES)];

        switch (random_below(r, 8)) {
        case 0:
            *value = other;
            break;
        case 1:
            *value *= 1 + ulps(climb) * (double)(1 + random_below(r, 8));
            break;
        case 2:
            *value *= 1 - ulps(climb) * (double)(1 + random_below(r, 8));
            break;
        case 3:
            *value *= 1 + ldexp(random_uniform(r) - 0.5, -(int)random_below(r, 12));
            break;
        case 4: { /* all that are alike */
            double factor = 1 + ldexp(random_uniform(r) - 0.5, -(int)random_below(r, 20));
            double like = *value;

            for (int k = 0; k < VALUES; k++)
                p->values[k] *=
                    fabs(p->values[k]) < 2 * fabs(like) && fabs(p->values[k]) > fabs(like) / 2
                        ? factor
                        : 1;
            break;
        }
        case 5:
            *value = random_below(r, 4) ? *value : -*value;
            break;
        case 6:
            p->times = random_below(r, 2) ? p->times * 2 : (p->times + 1) / 2;
            p->times = p->times > 512 ? 512 : p->times;
            break;
        default:
            p->leading = (uint32_t)random_below(r, 3) * 16;
            p->first = random_below(r, 4) ? 0 : other * random_normal(r);
            break;
        }
    }
}

static void write_pattern(const struct climb *climb, const struct pattern *p, uint64_t row)
{
    uint64_t columns = climb->spec.columns;

    for (uint64_t c = 0; c < columns; c++) {
        uint64_t at = row * columns + c;
        double value = c < p->leading ? p->first : p->values[c / p->times % VALUES];

        anynorm_dtype_store(climb->spec.x.type, climb->bytes, at, value);
        climb->h[at] = anynorm_dtype_load(climb->spec.x.type, climb->bytes, at);
    }
}

void climb_print(const struct climb *climb, const struct pattern *p)
{
    char text[512];
    anynorm_plan_info info;

    assert_ok(anynorm_plan_describe(climb->plan, &info));
    (void)anynorm_spec_format(&climb->spec, 1, text, sizeof(text));
    fprintf(stderr,
            "# %.3f of the bound: %s, %s; %a %" PRIu32 " times, then each %" PRIu32 " times",
            p->share, text, info.choice, p->first, p->leading, p->times);
    for (int i = 0; i < VALUES; i++)
        fprintf(stderr, " %a", p->values[i]);
    fprintf(stderr, "\n");
}

/* ---- Their errors ---- */

struct truth {
    long double mean;
    long double pivot,
        shift;           /* the mean again, as a sum that keeps the digits of what is near it */
    long double squares; /* of the deviations from it */
    long double rstd;
};

static long double deviation(const struct truth *t, double h)
{
    return ((long double)h - t->pivot) - t->shift;
}

static struct truth find_truth(const struct climb *climb, const double *h)
{
    const anynorm_spec *spec = &climb->spec;
    uint64_t columns = spec->columns;
    struct truth t = {0, 0, 0, 0, 0};

    if (!(spec->flags & RMS)) {
        t.pivot = (long double)h[columns - 1];
        for (uint64_t c = 0; c < columns; c++)
            t.shift += ((long double)h[c] - t.pivot) / columns;
    }
    t.mean = t.pivot + t.shift;
    for (uint64_t c = 0; c < columns; c++)
        t.squares += deviation(&t, h[c]) * deviation(&t, h[c]);
    t.rstd = t.squares > 0 ? 1 / sqrtl(t.squares / columns) : 0;
    return t;
}

static double share_of(double got, long double expected, long double rounding, long double bound)
{
    long double error = fabsl(got - expected) - rounding;

    if (!isfinite(got))
        return (double)INFINITY;
    return error > 0 ? (double)(error / bound) : 0;
}

/* Of the mean and of what f64 hands on in f32, the last rounding is taken off before the rest is
 * compared with its bound: it would hide what is climbed for. Where the mean is more than 1e7 times
 * the spread no bound is promised. */
static double row_share(const struct climb *climb, uint64_t row)
{
    const anynorm_spec *spec = &climb->spec;
    const double *h = climb->h + row * spec->columns, *y = climb->got + row * spec->columns;
    const struct truth t = find_truth(climb, h);
    long double unit = arithmetic(climb), spread = sqrtl(t.squares / spec->columns), worst;
    long double rounding = 0x1p-24L, narrow = unit < rounding ? rounding : 0;

    if (fabsl(t.mean) > 1e7L * spread)
        return 0;
    if (spec->flags & PARTIALS_OUT) {
        const float *p = climb->shards + 3 * row;

        worst = share_of(p[1], t.mean, rounding * fabsl(t.mean), 8 * unit * spread);
        return (double)fmaxl(worst,
                             share_of(p[2], t.squares, narrow * t.squares, 16 * unit * t.squares));
    }
    worst = 0;
    if (spec->flags & RSTD_OUT)
        worst = share_of(climb->rstds[row], t.rstd, narrow * t.rstd, 8 * unit * t.rstd);
    if (spec->flags & MEAN_OUT)
        worst = fmaxl(worst, share_of(climb->means[row], t.mean, rounding * fabsl(t.mean),
                                      8 * unit * spread));
    for (uint64_t c = 0; c < spec->columns; c++) {
        long double n = deviation(&t, h[c]) * t.rstd;

        worst = fmaxl(worst, share_of(y[c], n, 0, 8 * unit * fmaxl(1, fabsl(n))));
    }
    return (double)worst;
}

void climb_measure(struct climb *climb, struct pattern *patterns)
{
    const anynorm_spec *spec = &climb->spec;
    anynorm_device *device = climb->subject->device;
    uint64_t elements = CANDIDATES * spec->columns;
    uint64_t x_bytes = elements * anynorm_dtype_size(spec->x.type);
    uint64_t y_bytes = elements * anynorm_dtype_size(spec->y.type);
    bool partials = spec->flags & PARTIALS_OUT;
    anynorm_tensors tensors = {.x = climb->x};
    anynorm_event event;

    for (uint64_t i = 0; i < CANDIDATES; i++)
        write_pattern(climb, &patterns[i], i);
    assert_ok(anynorm_buffer_write(device, &climb->x, climb->bytes, x_bytes));
    *(partials ? &tensors.partials : &tensors.y) = partials ? climb->partials : climb->y;
    if (spec->flags & MEAN_OUT)
        tensors.mean = climb->mean;
    if (spec->flags & RSTD_OUT)
        tensors.rstd = climb->rstd;
    assert_ok(anynorm_enqueue(climb->plan, &tensors, CANDIDATES, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
    if (partials) {
        assert_ok(anynorm_buffer_read(device, &climb->partials, climb->shards,
                                      3 * CANDIDATES * sizeof(float)));
    } else {
        assert_ok(anynorm_buffer_read(device, &climb->y, climb->bytes, y_bytes));
        for (uint64_t i = 0; i < elements; i++)
            climb->got[i] = anynorm_dtype_load(spec->y.type, climb->bytes, i);
        if (spec->flags & RSTD_OUT)
            assert_ok(anynorm_buffer_read(device, &climb->rstd, climb->rstds,
                                          CANDIDATES * sizeof(float)));
        if (spec->flags & MEAN_OUT)
            assert_ok(anynorm_buffer_read(device, &climb->mean, climb->means,
                                          CANDIDATES * sizeof(float)));
    }
    for (uint64_t i = 0; i < CANDIDATES; i++)
        patterns[i].share = row_share(climb, i);
}

/* ---- Climbing ---- */

static int worse(const void *a, const void *b)
{
    double first = ((const struct pattern *)a)->share, second = ((const struct pattern *)b)->share;

    return (first < second) - (first > second);
}

static uint64_t number_of(const char *variable, uint64_t usual)
{
    const char *text = getenv(variable);

    return text ? strtoull(text, NULL, 10) : usual;
}

/* Of the worst of all generations the KEPT first go on; after a few without progress, from new
 * seeds. */
static struct pattern climb_up(struct climb *climb, uint64_t generations)
{
    struct pattern all[KEPT + CANDIDATES] = {{.times = 0}}, worst = {.times = 0};
    uint64_t idle = 0;

    for (uint64_t g = 0; g < generations; g++) {
        struct pattern *young = all + KEPT;
        double before = all[0].share;
        bool fresh = all[0].share == 0;

        for (uint64_t i = 0; i < CANDIDATES; i++) {
            young[i] = all[random_below(&climb->random, KEPT)];
            if (fresh)
                seed_pattern(climb, &young[i]);
            else
                mutate(climb, &young[i]);
        }
        climb_measure(climb, young);
        qsort(all, KEPT + CANDIDATES, sizeof(all[0]), worse);
        if (all[0].share > worst.share)
            worst = all[0];
        idle = all[0].share > before ? 0 : idle + 1;
        if (idle > 40) {
            memset(all, 0, sizeof(all));
            idle = 0;
        }
    }
    return worst;
}

void climb_make(struct climb *climb)
{
    anynorm_device *device = climb->subject->device;
    uint64_t elements = CANDIDATES * climb->spec.columns, bytes = elements * sizeof(double);

    climb->bytes = malloc((size_t)bytes);
    climb->h = malloc((size_t)bytes);
    climb->got = malloc((size_t)bytes);
    climb->means = malloc(5 * CANDIDATES * sizeof(float));
    assert_true(climb->bytes && climb->h && climb->got && climb->means);
    climb->rstds = climb->means + CANDIDATES;
    climb->shards = climb->rstds + CANDIDATES;
    assert_ok(anynorm_buffer_create(device, bytes, &climb->x));
    assert_ok(anynorm_buffer_create(device, bytes, &climb->y));
    assert_ok(anynorm_buffer_create(device, CANDIDATES * sizeof(float), &climb->mean));
    assert_ok(anynorm_buffer_create(device, CANDIDATES * sizeof(float), &climb->rstd));
    assert_ok(anynorm_buffer_create(device, 3 * CANDIDATES * sizeof(float), &climb->partials));
}

void climb_free(struct climb *climb)
{
    anynorm_device *device = climb->subject->device;

    anynorm_buffer_destroy(device, &climb->x);
    anynorm_buffer_destroy(device, &climb->y);
    anynorm_buffer_destroy(device, &climb->mean);
    anynorm_buffer_destroy(device, &climb->rstd);
    anynorm_buffer_destroy(device, &climb->partials);
    free(climb->bytes);
    free(climb->h);
    free(climb->got);
    free(climb->means);
}

const uint64_t climb_lengths[CLIMB_LENGTHS] = {8192, 2048, 384};

bool climb_specify(struct climb *climb, anynorm_dtype type, uint32_t flags)
{
    bool wide = type == ANYNORM_F64;

    climb->spec =
        (anynorm_spec){.x.type = type, .y.type = wide ? ANYNORM_F64 : ANYNORM_F32, .flags = flags};
    return !wide || (climb->subject->info.fp64 && !(flags & PARTIALS_OUT));
}

void climb_with(struct climb *climb, uint64_t columns, uint64_t usual)
{
    climb->spec.columns = columns;
    climb->random.state = number_of("ANYNORM_TEST_SEED", 1) * 0x9e3779b97f4a7c15u + columns;
    climb->plan = offered_plan(climb->subject, &climb->spec);
    if (!climb->plan)
        return;
    climb_make(climb);
    struct pattern worst = climb_up(climb, number_of("ANYNORM_TEST_SEARCH", usual));
    climb_print(climb, &worst);
    climb_free(climb);
    anynorm_plan_destroy(climb->plan);
    if (worst.share > climb->subject->worst.y)
        climb->subject->worst.y = worst.share;
}
