/* Rows cut into shards of unlike widths: the partials of each, gathered, merged, and each shard
 * normalized on its own, against the norm of whole rows; every schedule on every device.
 *
 *     ANYNORM_TEST_DEVICE=opencl:0   only this device
 *     ANYNORM_TEST_REDUCED=1         a fraction of the cases, for a simulator
 */
#include "turns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "spec/spec.h"
#include "spec_flags.h"

#define MOST_SHARDS 7

/* A norm of whole rows on one device. */
struct whole {
    struct problem problem;
    struct images images;
    anynorm_tensors tensors; /* written by it; then those of the shards are parts of the same */
    anynorm_buffer partials;
    unsigned char *y;
    float *mean, *rstd;
};

static unsigned char *read_all(anynorm_device *device, anynorm_buffer buffer)
{
    unsigned char *data = malloc((size_t)buffer.bytes);
    assert_non_null(data);
    buffer.offset = 0;
    assert_ok(anynorm_buffer_read(device, &buffer, data, buffer.bytes));
    return data;
}

static void run_plan(anynorm_plan *plan, const anynorm_tensors *tensors, uint64_t rows)
{
    anynorm_event event;
    assert_ok(anynorm_enqueue(plan, tensors, rows, 0, NULL, &event));
    assert_ok(anynorm_event_wait(&event));
    anynorm_event_release(&event);
}

/* False where the schedule does not serve it. */
static bool make_whole(struct subject *subject, const anynorm_spec *spec, uint64_t rows,
                       enum values values, struct whole *whole)
{
    anynorm_plan *plan = offered_plan(subject, spec);
    if (!plan)
        return false;
    *whole = (struct whole){
        .problem = {.spec = *spec, .rows = rows, .values = values, .seed = 31 + spec->columns}};
    images_make(&whole->problem, &whole->images);
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_buffer *slot = an_tensor_slot(&whole->tensors, (enum an_tensor)t);
        if (!whole->images.bytes[t])
            continue;
        assert_ok(anynorm_buffer_create(subject->device, whole->images.size[t], slot));
        assert_ok(anynorm_buffer_write(subject->device, slot, whole->images.bytes[t],
                                       whole->images.size[t]));
    }
    assert_ok(anynorm_buffer_create(subject->device, MOST_SHARDS * rows * 3 * sizeof(float),
                                    &whole->partials));
    run_plan(plan, &whole->tensors, rows);
    anynorm_plan_destroy(plan);
    whole->y = read_all(subject->device, whole->tensors.y);
    whole->mean = whole->tensors.mean.kind
                      ? (float *)(void *)read_all(subject->device, whole->tensors.mean)
                      : NULL;
    whole->rstd = (float *)(void *)read_all(subject->device, whole->tensors.rstd);
    /* What the shards do not write is seen. */
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        if (whole->images.bytes[t] && t != AN_X)
            assert_ok(anynorm_buffer_write(subject->device,
                                           an_tensor_slot(&whole->tensors, (enum an_tensor)t),
                                           whole->images.bytes[t], whole->images.size[t]));
    }
    return true;
}

static void free_whole(struct subject *subject, struct whole *whole)
{
    for (int t = 0; t < AN_TENSOR_COUNT; t++) {
        anynorm_buffer *slot = an_tensor_slot(&whole->tensors, (enum an_tensor)t);
        if (slot->kind)
            anynorm_buffer_destroy(subject->device, slot);
    }
    anynorm_buffer_destroy(subject->device, &whole->partials);
    images_free(&whole->images);
    free(whole->y);
    free(whole->mean);
    free(whole->rstd);
}

/* The column where a shard begins: later shards are wider. */
static uint64_t begin_of(const anynorm_spec *spec, uint64_t shard, uint64_t shards)
{
    return spec->columns * shard * shard / (shards * shards);
}

static anynorm_buffer at_column(const anynorm_buffer *buffer, uint64_t column, anynorm_dtype type)
{
    anynorm_buffer result = *buffer;
    result.offset += column * anynorm_dtype_size(type);
    return result;
}

/* The first step: the shard's partials, and the sum where there is one. */
static bool find_partials(struct subject *subject, const struct whole *whole, uint64_t shard,
                          uint64_t shards)
{
    const anynorm_spec *all = &whole->problem.spec;
    uint64_t begin = begin_of(all, shard, shards), rows = whole->problem.rows;
    anynorm_spec spec = {.columns = begin_of(all, shard + 1, shards) - begin,
                         .x.type = all->x.type,
                         .flags = (all->flags & (RMS | RESIDUAL | SUM | STORED_SUM)) | PARTIALS_OUT,
                         .x.row_stride = all->columns,
                         .residual.type = all->residual.type,
                         .residual.row_stride = all->flags & RESIDUAL ? all->columns : 0,
                         .sum.type = all->sum.type,
                         .sum.row_stride = all->flags & SUM ? all->columns : 0};
    anynorm_tensors tensors = {.x = at_column(&whole->tensors.x, begin, all->x.type),
                               .partials = whole->partials};
    if (all->flags & RESIDUAL)
        tensors.residual = at_column(&whole->tensors.residual, begin, all->residual.type);
    if (all->flags & SUM)
        tensors.sum = at_column(&whole->tensors.sum, begin, all->sum.type);
    tensors.partials.offset = shard * rows * 3 * sizeof(float);
    anynorm_plan *plan = offered_plan(subject, &spec);
    if (!plan)
        return false;
    run_plan(plan, &tensors, rows);
    anynorm_plan_destroy(plan);
    return true;
}

/* The last step. */
static bool normalize_shard(struct subject *subject, const struct whole *whole, uint64_t shard,
                            uint64_t shards)
{
    const anynorm_spec *all = &whole->problem.spec;
    uint64_t begin = begin_of(all, shard, shards);
    anynorm_spec spec = *all;
    anynorm_tensors tensors = whole->tensors;
    spec.columns = begin_of(all, shard + 1, shards) - begin;
    spec.flags &= ~(uint32_t)(RESIDUAL | SUM | STORED_SUM);
    spec.flags |= PARTIALS_IN;
    spec.statistic.shards = shards;
    spec.x.row_stride = spec.y.row_stride = all->columns;
    tensors.x = at_column(&tensors.x, begin, all->x.type);
    if (all->flags & SUM) {
        spec.x.type = all->sum.type;
        tensors.x = at_column(&tensors.sum, begin, all->sum.type);
    }
    spec.residual.type = spec.sum.type = ANYNORM_F32;
    tensors.residual = tensors.sum = (anynorm_buffer){0};
    tensors.y = at_column(&tensors.y, begin, all->y.type);
    if (all->flags & WEIGHT)
        tensors.weight = at_column(&tensors.weight, begin, all->parameters.type);
    if (all->flags & BIAS)
        tensors.bias = at_column(&tensors.bias, begin, all->parameters.type);
    tensors.partials = whole->partials;
    anynorm_plan *plan = offered_plan(subject, &spec);
    if (!plan)
        return false;
    run_plan(plan, &tensors, whole->problem.rows);
    anynorm_plan_destroy(plan);
    return true;
}

/* The largest mean of a row's shards. */
static double largest_mean(const float *partials, uint64_t rows, uint64_t row, uint64_t shards)
{
    double result = 0;
    for (uint64_t k = 0; k < shards; k++)
        result = fmax(result, fabs((double)partials[(k * rows + row) * 3 + 1]));
    return result;
}

static double at_parameter(const struct whole *whole, enum an_tensor tensor, uint64_t column)
{
    return anynorm_dtype_load(whole->problem.spec.parameters.type, whole->images.bytes[tensor],
                              column);
}

/* Both are within the bound of docs/numerics.md of the truth, and the shards' means as far off as
 * the header says. */
static void compare(const struct whole *whole, uint64_t shards, const unsigned char *y,
                    const float *mean, const float *rstd, const float *partials)
{
    const anynorm_spec *spec = &whole->problem.spec;
    uint64_t rows = whole->problem.rows, size = anynorm_dtype_size(spec->y.type);
    for (uint64_t r = 0; r < rows; r++) {
        double off = spec->flags & RMS ? 0
                                       : 0x1p-24 * largest_mean(partials, rows, r, shards) *
                                             (double)whole->rstd[r];
        double rstd_error = fabs((double)rstd[r] / (double)whole->rstd[r] - 1);
        if (!(rstd_error <= 16 * 0x1p-23 + off))
            fail_msg("%s in %u shards: rstd of row %u is %.9g, not %.9g",
                     problem_text(&whole->problem), (unsigned)shards, (unsigned)r, (double)rstd[r],
                     (double)whole->rstd[r]);
        if (mean)
            assert_true(fabs((double)mean[r] - (double)whole->mean[r]) * (double)rstd[r] <=
                        16 * 0x1p-23 + 4 * off);
        for (uint64_t c = 0; c < spec->columns; c++) {
            uint64_t at = r * spec->columns + c;
            double got = anynorm_dtype_load(spec->y.type, y, at);
            double expected = anynorm_dtype_load(spec->y.type, whole->y, at);
            double weight = spec->flags & WEIGHT ? at_parameter(whole, AN_WEIGHT, c) : 1;
            double bias = spec->flags & BIAS ? at_parameter(whole, AN_BIAS, c) : 0;
            double n = fabs((expected - bias) / weight);
            double bound = (16 * 0x1p-23 * fmax(1, n) + off * (1 + n)) * fabs(weight) +
                           (size == 2 ? 0x1p-7 : 0x1p-22) * fabs(expected);
            if (!(fabs(got - expected) <= bound))
                fail_msg("%s in %u shards: y at row %u, column %u is %.9g, not %.9g",
                         problem_text(&whole->problem), (unsigned)shards, (unsigned)r, (unsigned)c,
                         got, expected);
        }
    }
}

/* False where the schedule serves some shard not. */
static bool check_shards(struct subject *subject, const struct whole *whole, uint64_t shards)
{
    float *mean = NULL, *rstd = NULL;
    uint64_t rows = whole->problem.rows;
    bool served = true;
    for (uint64_t k = 0; k < shards && served; k++)
        served = find_partials(subject, whole, k, shards);
    for (uint64_t k = 0; k < shards && served; k++) {
        served = normalize_shard(subject, whole, k, shards);
        float *own = (float *)(void *)read_all(subject->device, whole->tensors.rstd);
        if (rstd && served) /* else one row would be normalized by two statistics */
            assert_memory_equal(own, rstd, (size_t)rows * sizeof(float));
        free(rstd);
        rstd = own;
    }
    if (served) {
        unsigned char *y = read_all(subject->device, whole->tensors.y);
        float *partials = (float *)(void *)read_all(subject->device, whole->partials);
        if (whole->mean)
            mean = (float *)(void *)read_all(subject->device, whole->tensors.mean);
        compare(whole, shards, y, mean, rstd, partials);
        free(y);
        free(partials);
    }
    free(mean);
    free(rstd);
    return served;
}

static void test_shards(void **state)
{
    struct subject *subject = *state;
    static const anynorm_spec norms[] = {
        {.flags = WEIGHT | BIAS | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5},
        {.flags = RMS | WEIGHT | RSTD_OUT, .statistic.eps = 1e-6},
        {.flags = RESIDUAL | SUM | WEIGHT | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-5},
        {.flags = RMS | RESIDUAL | SUM | STORED_SUM | WEIGHT | RSTD_OUT,
         .statistic.eps = 1e-6,
         .x.type = ANYNORM_BF16,
         .y.type = ANYNORM_BF16,
         .residual.type = ANYNORM_BF16,
         .sum.type = ANYNORM_BF16},
        {.flags = UNBIASED | EPS_OUTSIDE | MEAN_OUT | RSTD_OUT, .statistic.eps = 1e-3},
    };
    static const enum values values[] = {VALUES_NORMAL, VALUES_MEAN_1E3, VALUES_OUTLIER};
    static const uint64_t columns[] = {60, 1000, 40001}, counts[] = {7, 1, 3, 2};
    int checked = 0;
    for (size_t i = 0; i < COUNT(norms); i++) {
        for (size_t c = 0; c < COUNT(columns); c++) {
            anynorm_spec spec = norms[i];
            struct whole whole;
            spec.columns = columns[c];
            if (reduced() && (c != i % 2 || !has_turn(subject, &spec, i)))
                continue;
            if (!make_whole(subject, &spec, 1 + (i + 2 * c) % 5, values[(i + c) % COUNT(values)],
                            &whole))
                continue;
            for (size_t k = 0; k < COUNT(counts); k += reduced() ? 2 : 1)
                checked += check_shards(subject, &whole, counts[k]);
            free_whole(subject, &whole);
        }
    }
    assert_true(reduced() || checked > 0 || subject->refused == subject->offered);
}

int main(void)
{
    static const struct device_test tests[] = {{"shards", test_shards}};
    return run_on_schedules("shards", tests, COUNT(tests));
}
