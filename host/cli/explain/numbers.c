#include "explain.h"

#include <inttypes.h>
#include <stdio.h>

uint64_t explain_groups(const struct explain_set *set)
{
    return set->channels % 2 == 0 ? 2 : 1;
}

bool explain_has(const struct explain_set *set, enum explain_norm norm)
{
    return norm < EXPLAIN_INSTANCE || set->height * set->width > 1;
}

/* The spec as text, with words of its own; *rows are those of the norm. */
static void write_spec(const struct explain_set *set, enum explain_norm norm, const char *words,
                       const char *apart, uint64_t *rows, char *text, size_t capacity)
{
    uint64_t pixels = set->height * set->width, sample = set->channels * pixels;
    uint64_t groups = norm == EXPLAIN_GROUP      ? explain_groups(set)
                      : norm == EXPLAIN_INSTANCE ? set->channels
                                                 : 1;

    if (norm == EXPLAIN_BATCH) { /* a channel of all samples: runs that lie a sample apart */
        *rows = set->channels;
        snprintf(text, capacity,
                 "layer-norm %" PRIu64 "x%" PRIu64 " run=%" PRIu64 " x-column=%" PRIu64
                 " y-column=%" PRIu64 " %s%.0" PRIu64 " %s eps=1e-5",
                 *rows, set->samples * pixels, pixels, sample, sample, apart, *apart ? sample : 0,
                 words);
        return;
    }
    *rows = set->samples * groups;
    snprintf(text, capacity, "%s %" PRIu64 "x%" PRIu64 " %s eps=1e-5",
             norm == EXPLAIN_RMS ? "rms-norm" : "layer-norm", *rows, sample / groups, words);
}

static bool run(anynorm_device *device, const char *text, const anynorm_host_tensors *tensors)
{
    anynorm_spec spec;
    anynorm_plan *plan = NULL;
    uint64_t rows;
    anynorm_status status = anynorm_spec_parse(text, &spec, &rows);

    if (status == ANYNORM_OK)
        status = anynorm_plan_create(device, &spec, NULL, &plan);
    if (status == ANYNORM_OK)
        status = anynorm_run(plan, tensors, rows);
    anynorm_plan_destroy(plan);
    return status == ANYNORM_OK || cli_fail_library("explain", status);
}

bool explain_find(anynorm_device *device, const struct explain_set *set, enum explain_norm norm,
                  struct explain_numbers *numbers)
{
    uint64_t pixels = set->height * set->width, count = set->samples * set->channels * pixels;
    float dy[EXPLAIN_MOST] = {0};
    anynorm_host_tensors forward = {
        .x = set->x, .y = numbers->y, .mean = numbers->mean, .rstd = numbers->rstd};
    anynorm_host_tensors backward = {.x = set->x, .dy = dy, .dx = numbers->dx};
    char text[256];

    write_spec(set, norm, norm == EXPLAIN_RMS ? "rstd" : "mean rstd", "", &numbers->rows, text,
               sizeof text);
    if (norm == EXPLAIN_RMS)
        forward.mean = NULL;
    if (!run(device, text, &forward))
        return false;
    /* The first element of each row: of a batch's rows, those of the first sample's channels. */
    for (uint64_t r = 0; r < numbers->rows; r++)
        dy[norm == EXPLAIN_BATCH ? r * pixels : r * (count / numbers->rows)] = 1;
    write_spec(set, norm, "dx", norm == EXPLAIN_BATCH ? "dx-column=" : "", &numbers->rows, text,
               sizeof text);
    return run(device, text, &backward);
}
