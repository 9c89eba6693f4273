#include "case.h"

#include "cases/random_values.h"
#include "oracle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };

/* A case with its memory: images are whole device buffers, `GUARD` bytes longer than the tensor. */
struct work {
    const struct verify_case *c;
    struct verify_images before;
    struct verify_images after;
    uint64_t size[TENSORS];
    struct verify_oracle oracle;
};

static double normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(1 - random_uniform(state)));

    return radius * cos(6.283185307179586 * random_uniform(state));
}

static double make_x(enum verify_values values, uint64_t row, uint64_t column, uint64_t *state)
{
    double value = normal(state);

    switch (values) {
    case VERIFY_MEAN_1E4:
        return 1e4 + value;
    case VERIFY_MEAN_1E7:
        return 1e7 + value;
    case VERIFY_CONSTANT:
        return 3.140625;
    case VERIFY_OUTLIER_FIRST:
        return column == 0 ? 1e4 : value;
    case VERIFY_ALTERNATING:
        return column % 2 ? -0.7 : 0.7;
    case VERIFY_NOT_NUMBERS:
        if (row == 1 && column == 0)
            return (double)NAN;
        return row == 3 && column == 0 ? (double)INFINITY : value;
    default:
        return column % 97 == 5 ? 30 * value : value;
    }
}

/* Inputs other than x: what is added to x is of its size, for x to show beside it. */
static double make_input(const anynorm_spec *spec, enum cli_tensor tensor, uint64_t *state)
{
    switch (tensor) {
    case TENSOR_WEIGHT:
        return 0.5 + 1.5 * random_uniform(state) - spec->parameters.weight_offset;
    case TENSOR_BIAS:
        return 4 * random_uniform(state) - 2;
    case TENSOR_MEAN:
        return 0.25 * normal(state);
    case TENSOR_RSTD:
        return 0.25 + random_uniform(state);
    case TENSOR_RESIDUAL:
        return normal(state);
    case TENSOR_PRE_BIAS:
        return random_uniform(state) - 0.5;
    case TENSOR_GATE:
        return 2 * random_uniform(state) - 0.75;
    case TENSOR_SCALE:
        return 1.5 * random_uniform(state) - 0.75;
    default:
        return 3 * random_uniform(state) - 1;
    }
}

static void fill_inputs(struct work *work)
{
    const anynorm_spec *spec = &work->c->spec;
    uint64_t rows = work->c->rows, most = 0;
    uint64_t state = RANDOM_SEED + spec->columns * 31 + rows;
    struct cli_tensor_info infos[TENSORS];

    for (int t = 0; t < TENSORS; t++) {
        infos[t] = tensor_info(spec, (enum cli_tensor)t, rows);
        if (infos[t].count > most)
            most = infos[t].count;
    }
    for (uint64_t i = 0; i < rows * spec->columns; i++)
        anynorm_dtype_store(spec->x.type, work->before.bytes[TENSOR_X], i,
                            make_x(work->c->values, i / spec->columns, i % spec->columns, &state));
    for (uint64_t i = 0; i < most; i++) {
        for (int t = TENSOR_X + 1; t < TENSORS; t++) {
            if (!infos[t].output && i < infos[t].count)
                anynorm_dtype_store(infos[t].type, work->before.bytes[t], i,
                                    make_input(spec, (enum cli_tensor)t, &state));
        }
    }
}

static bool make_images(struct work *work)
{
    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info =
            tensor_info(&work->c->spec, (enum cli_tensor)t, work->c->rows);

        if (!info.present)
            continue;
        work->size[t] = tensor_bytes(&info) + GUARD;
        work->before.bytes[t] = malloc((size_t)work->size[t]);
        work->after.bytes[t] = malloc((size_t)work->size[t]);
        if (!work->before.bytes[t] || !work->after.bytes[t])
            return false;
        /* A NaN in every type: what is read past the end poisons, what is not written shows. */
        memset(work->before.bytes[t], 0xff, (size_t)work->size[t]);
    }
    fill_inputs(work);
    return true;
}

static void free_images(struct work *work)
{
    for (int t = 0; t < TENSORS; t++) {
        free(work->before.bytes[t]);
        free(work->after.bytes[t]);
    }
    verify_oracle_free(&work->oracle);
}

bool verify_case_has_meaning(const struct verify_case *verify_case)
{
    return verify_case->values != VERIFY_MEAN_1E7 || verify_case->spec.x.type != ANYNORM_F16;
}

bool verify_is_plain(const anynorm_spec *spec)
{
    const uint32_t plain =
        ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;

    return !(spec->flags & ~plain) && spec->parameters.weight_offset == 0 &&
           spec->parameters.rows <= 1 && spec->parameters.run <= 1 && spec->parameters.cycle == 0;
}

static void check_tails(const struct work *work, struct verify_result *result)
{
    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info = tensor_info(&work->c->spec, (enum cli_tensor)t, 1);
        uint64_t begin = info.output ? work->size[t] - GUARD : 0;

        if (info.present && !result->wrong[0] &&
            memcmp(work->before.bytes[t] + begin, work->after.bytes[t] + begin,
                   (size_t)(work->size[t] - begin)) != 0)
            snprintf(result->wrong, sizeof result->wrong,
                     "memory outside the outputs was written, in the buffer of %s", info.name);
    }
}

anynorm_status verify_case_run(anynorm_device *device, anynorm_device *reference,
                               const char *schedule, const struct verify_case *verify_case,
                               struct verify_result *result)
{
    struct work work = {.c = verify_case};
    const anynorm_plan_options options = {.schedule = schedule};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(device, &verify_case->spec, &options, &plan);

    *result = (struct verify_result){.error = 0};
    if (status != ANYNORM_OK)
        return status;
    status = make_images(&work)
                 ? verify_oracle_ask(reference, verify_case, &work.before, &work.oracle)
                 : ANYNORM_OUT_OF_MEMORY;
    if (status == ANYNORM_OK)
        status = verify_run(device, plan, &verify_case->spec, verify_case->rows, GUARD,
                            &work.before, &work.after);
    if (status == ANYNORM_OK) {
        verify_oracle_compare(&work.oracle, verify_case, &work.before, &work.after, result);
        check_tails(&work, result);
    }
    free_images(&work);
    anynorm_plan_destroy(plan);
    return status;
}
