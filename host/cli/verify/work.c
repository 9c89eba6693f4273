#include "work.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Data ---- */

static double make_x(enum verify_values values, uint64_t row, uint64_t column,
                     struct random *random)
{
    double value = random_normal(random);

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

/* Of all inputs of the norm and of its gradients. */
static void fill_inputs(struct work *w)
{
    const anynorm_spec *spec = &w->c->spec;
    uint64_t rows = w->c->rows, most = 0;
    struct random random = {RANDOM_SEED + spec->columns * 31 + rows};
    struct cli_tensor_info infos[TENSORS];

    for (int t = 0; t < TENSORS; t++) {
        infos[t] = work_tensor(w, t);
        if (infos[t].count > most)
            most = infos[t].count;
    }
    for (uint64_t i = 0; i < rows * spec->columns; i++)
        anynorm_dtype_store(spec->x.type, w->before[TENSOR_X],
                            tensor_element(spec, TENSOR_X, i / spec->columns, i % spec->columns),
                            make_x(w->c->values, i / spec->columns, i % spec->columns, &random));
    for (uint64_t i = 0; i < most; i++) {
        for (int t = TENSOR_X + 1; t < TENSORS; t++) {
            bool added_to = t >= TENSOR_DWEIGHT && (spec->gradients.flags & ANYNORM_ACCUMULATE);

            if ((!infos[t].output || added_to) && i < infos[t].count)
                anynorm_dtype_store(infos[t].type, w->before[t], i, random_input(spec, t, &random));
        }
    }
}

struct cli_tensor_info work_tensor(const struct work *w, int tensor)
{
    struct cli_tensor_info info = tensor_info(&w->c->spec, tensor, w->c->rows);

    if (!info.present && w->c->spec.gradients.flags && tensor != TENSOR_Y)
        info = tensor_info(&w->forward, tensor, w->c->rows);
    return info;
}

/* `workspace`: bytes of it. */
static bool make_tensors(struct work *w, uint64_t workspace)
{
    for (int t = 0; t < TENSORS; t++) {
        struct cli_tensor_info info = work_tensor(w, t);

        if (!info.present)
            continue;
        w->size[t] = (t == TENSOR_WORKSPACE ? workspace : tensor_bytes(&info)) + WORK_GUARD;
        w->before[t] = malloc((size_t)w->size[t]);
        w->after[t] = malloc((size_t)w->size[t]);
        if (!w->before[t] || !w->after[t])
            return false;
        /* A NaN in every type: what is read past the end poisons, what is not written shows. */
        memset(w->before[t], 0xff, (size_t)w->size[t]);
    }
    fill_inputs(w);
    return true;
}

anynorm_status work_make(struct work *w, const struct verify_case *c, anynorm_plan *plan)
{
    uint64_t columns = c->spec.columns, count = c->rows * columns, workspace;
    anynorm_status status = anynorm_plan_workspace(plan, c->rows, &workspace);

    *w = (struct work){.c = c, .forward = c->spec};
    w->forward.gradients = (anynorm_gradients){0};
    if (status != ANYNORM_OK)
        return status;
    if (!make_tensors(w, workspace) || count > SIZE_MAX / 4) /* not in a host of 32 bits */
        return ANYNORM_OUT_OF_MEMORY;
    w->y = calloc((size_t)(3 * count), sizeof(double));
    w->errors = calloc((size_t)(2 * columns), sizeof(double));
    w->mean = calloc((size_t)(2 * c->rows), sizeof(float));
    if (!w->y || !w->errors || !w->mean)
        return ANYNORM_OUT_OF_MEMORY;
    w->n = w->y + count;
    w->h = w->n + count;
    w->rstd = w->mean + c->rows;
    return ANYNORM_OK;
}

void work_free(struct work *w)
{
    for (int t = 0; t < TENSORS; t++) {
        free(w->before[t]);
        free(w->after[t]);
    }
    free(w->y);
    free(w->errors);
    free(w->mean);
}

/* ---- Running ---- */

static anynorm_status make_buffer(anynorm_device *device, uint64_t size, const void *bytes,
                                  anynorm_buffer *buffer)
{
    anynorm_status status = anynorm_buffer_create(device, size, buffer);

    return status == ANYNORM_OK && bytes ? anynorm_buffer_write(device, buffer, bytes, size)
                                         : status;
}

anynorm_status work_run(anynorm_device *device, anynorm_plan *plan, const anynorm_spec *spec,
                        uint64_t rows, uint64_t guard, unsigned char *const before[TENSORS],
                        unsigned char *const after[TENSORS])
{
    anynorm_tensors tensors = {0};
    anynorm_event event = {0};
    uint64_t sizes[TENSORS] = {0}, workspace;
    anynorm_status status = anynorm_plan_workspace(plan, rows, &workspace);

    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        struct cli_tensor_info info = tensor_info(spec, t, rows);

        if (!info.present)
            continue;
        sizes[t] = (t == TENSOR_WORKSPACE ? workspace : tensor_bytes(&info)) + guard;
        status = make_buffer(device, sizes[t], before[t], tensor_slot(&tensors, t));
    }
    if (status == ANYNORM_OK)
        status = anynorm_enqueue(plan, &tensors, rows, 0, NULL, &event);
    if (status == ANYNORM_OK)
        status = anynorm_event_wait(&event);
    for (int t = 0; t < TENSORS && status == ANYNORM_OK; t++) {
        if (sizes[t] > 0 && after[t])
            status = anynorm_buffer_read(device, tensor_slot(&tensors, t), after[t], sizes[t]);
    }
    anynorm_event_release(&event);
    for (int t = 0; t < TENSORS; t++)
        anynorm_buffer_destroy(device, tensor_slot(&tensors, t));
    return status;
}

/* ---- Asking the reference ---- */

/* The spec with `flags` alone, y in double, one row after the other, and nothing said of tensors
 * that it then has not. */
static anynorm_spec only(const anynorm_spec *spec, uint32_t flags)
{
    const uint32_t parameters = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_PRE_BIAS;
    anynorm_spec part = *spec;

    part.y = (anynorm_rows){.type = ANYNORM_F64};
    part.flags = flags;
    if (flags & ANYNORM_RSTD_INPUT)
        part.statistic.eps = 0;
    if (!(flags & ANYNORM_WEIGHT))
        part.parameters.weight_offset = 0;
    if (!(flags & parameters))
        part.parameters.rows = part.parameters.run = part.parameters.cycle = 0;
    if (!(flags & ANYNORM_RESIDUAL))
        part.residual = (anynorm_rows){0};
    if (!(flags & (ANYNORM_SUM_OUTPUT | ANYNORM_STORED_SUM)))
        part.sum = (anynorm_rows){0};
    if (!(flags & ANYNORM_GATE))
        part.gate = (anynorm_rows){0};
    if (!(flags & ANYNORM_SCALE))
        part.scale = (anynorm_rows){0};
    if (!(flags & ANYNORM_SHIFT))
        part.shift = (anynorm_rows){0};
    if (!(flags & (ANYNORM_GATE | ANYNORM_SCALE | ANYNORM_SHIFT)))
        part.sample_rows = 0;
    return part;
}

/* Runs a part of the case's spec, with rstd from `rstd` where that is not NULL. */
static anynorm_status ask(anynorm_device *reference, const struct work *w, uint32_t flags,
                          double *y, float *rstd)
{
    anynorm_spec spec = only(&w->forward, flags);
    unsigned char *before[TENSORS], *after[TENSORS] = {NULL};
    anynorm_plan *plan = NULL;
    anynorm_status status = anynorm_plan_create(reference, &spec, NULL, &plan);

    memcpy(before, w->before, sizeof before);
    before[TENSOR_Y] = after[TENSOR_Y] = (unsigned char *)y;
    if (flags & ANYNORM_MEAN_OUTPUT)
        before[TENSOR_MEAN] = after[TENSOR_MEAN] = (unsigned char *)w->mean;
    if (rstd)
        before[TENSOR_RSTD] = (unsigned char *)rstd;
    if (flags & ANYNORM_RSTD_OUTPUT)
        after[TENSOR_RSTD] = (unsigned char *)rstd;
    if (status == ANYNORM_OK)
        status = work_run(reference, plan, &spec, w->c->rows, 0, before, after);
    anynorm_plan_destroy(plan);
    return status;
}

anynorm_status work_ask(anynorm_device *reference, struct work *w)
{
    const uint32_t statistics = ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT;
    const uint32_t finish = ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_ROUND_FIRST | ANYNORM_SCALE |
                            ANYNORM_SHIFT | ANYNORM_SILU;
    const uint32_t sums = ANYNORM_RESIDUAL | ANYNORM_GATE | ANYNORM_PRE_BIAS;
    uint32_t flags = w->c->spec.flags;
    bool given = flags & ANYNORM_RSTD_INPUT;
    /* A sum that is stored only may be all that STORED_SUM is about. */
    uint32_t written = statistics | (flags & ANYNORM_STORED_SUM ? 0 : ANYNORM_SUM_OUTPUT);
    uint32_t plain = flags & ~written;
    uint32_t found = given ? 0 : flags & ANYNORM_RMS ? ANYNORM_RSTD_OUTPUT : statistics;
    size_t bytes = (size_t)w->c->rows * sizeof(float);
    anynorm_status status;

    /* With statistics of 0 and 1, what is normalized comes out. */
    for (uint64_t r = 0; r < w->c->rows; r++)
        w->rstd[r] = 1;
    status = ask(reference, w, (flags & sums) | ANYNORM_RMS | ANYNORM_RSTD_INPUT, w->h, w->rstd);
    if (given)
        memcpy(w->rstd, w->before[TENSOR_RSTD], bytes);
    if (flags & ANYNORM_MEAN_INPUT)
        memcpy(w->mean, w->before[TENSOR_MEAN], bytes);
    if (status == ANYNORM_OK)
        status = ask(reference, w, plain, w->y, NULL);
    if (status == ANYNORM_OK)
        status = ask(reference, w, (plain & ~finish) | found, w->n, given ? NULL : w->rstd);
    return status;
}

/* ---- A row ---- */

double work_input(const struct work *w, enum cli_tensor tensor, uint64_t column, double missing)
{
    struct cli_tensor_info info = work_tensor(w, (int)tensor);

    if (!info.present || info.output)
        return missing;
    return anynorm_dtype_load(info.type, w->before[tensor],
                              tensor_element(&w->c->spec, (int)tensor, w->row, column));
}

void work_find_row(struct work *w)
{
    const anynorm_spec *spec = &w->c->spec;
    uint64_t begin = w->row * spec->columns;
    bool adds = (spec->flags & (ANYNORM_RESIDUAL | ANYNORM_PRE_BIAS)) &&
                !(spec->gradients.flags & ANYNORM_SAVED_SUM);

    w->oracle = (struct bounds_row){.y = w->y + begin,
                                    .n = w->n + begin,
                                    .h = w->h + begin,
                                    .h_error = w->errors,
                                    .n_error = w->errors + spec->columns,
                                    .mean = (double)w->mean[w->row],
                                    .rstd = (double)w->rstd[w->row]};
    for (uint64_t c = 0; c < spec->columns; c++)
        bounds_find_sum(
            spec, &w->oracle, c,
            adds
                ? fabs(work_input(w, TENSOR_X, c, 0)) + fabs(work_input(w, TENSOR_PRE_BIAS, c, 0)) +
                      fabs(work_input(w, TENSOR_RESIDUAL, c, 0) * work_input(w, TENSOR_GATE, c, 1))
                : 0);
    bounds_find_statistics(spec, &w->oracle);
}

void work_count(const struct work *w, enum cli_tensor tensor, uint64_t column, double got,
                double expected, double share)
{
    char place[48] = "";

    if (isnan(share))
        share = (double)INFINITY;
    w->result->share = fmax(w->result->share, share);
    if (share <= 1 || w->result->wrong[0])
        return;
    if (tensor != TENSOR_MEAN && tensor != TENSOR_RSTD)
        snprintf(place, sizeof place, ", column %llu", (unsigned long long)column);
    snprintf(w->result->wrong, sizeof w->result->wrong,
             "%s of row %llu%s is %.9g, not %.9g: error %.3g times the bound",
             tensor_info(&w->c->spec, (int)tensor, 1).name, (unsigned long long)w->row, place, got,
             expected, share);
}
