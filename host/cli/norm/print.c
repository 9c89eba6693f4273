/* What a norm prints: the result, or the gradient of x, without -o, shortened, and the table of
 * --stats. */
#include "norm.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to how many lines or columns all are shown, and how many at either end beyond. */
enum { WHOLE_ROWS = 10, EDGE_ROWS = 4, WHOLE_COLUMNS = 8, EDGE_COLUMNS = 4 };
enum { WHOLE_STATS = 20, EDGE_STATS = 8 };
enum { MEAN, VARIANCE, RSTD, STATS };
enum { NUMBER_TEXT = 32 };

static struct shown shown_of(uint64_t total, uint64_t whole_up_to, uint64_t edge)
{
    return (struct shown){total, total > whole_up_to ? edge : 0};
}

static uint64_t shown_count(struct shown shown)
{
    return shown.edge ? 2 * shown.edge : shown.total;
}

static uint64_t shown_index(struct shown shown, uint64_t k)
{
    return shown.edge && k >= shown.edge ? shown.total - 2 * shown.edge + k : k;
}

/* Whether something is left out before the k-th that is shown. */
static bool shown_gap(struct shown shown, uint64_t k)
{
    return shown.edge && k == shown.edge;
}

static bool print_init(struct print *print, struct shown rows, struct shown columns)
{
    /* One more, as malloc(0) may return NULL. */
    uint64_t count = shown_count(rows) * shown_count(columns) + 1;

    *print = (struct print){rows, columns, malloc((size_t)count * sizeof *print->values)};
    return print->values;
}

bool norm_print_init(struct norm *work)
{
    const struct norm_shape *shape = &work->shape;
    uint64_t lines = shape->rows * work->spec.columns / shape->line;
    enum norm_output_name result = norm_is_backward(&work->options) ? OUT_DX : OUT_Y;

    if (work->options.stats &&
        !print_init(&work->stats, shown_of(shape->rows, WHOLE_STATS, EDGE_STATS),
                    (struct shown){STATS, 0}))
        return cli_fail(CLI_FAILED, "--stats", "out of memory");
    return work->options.outputs[result] || norm_output_count(work, result, 1) == 0 ||
           print_init(&work->preview, shown_of(lines, WHOLE_ROWS, EDGE_ROWS),
                      shown_of(shape->line, WHOLE_COLUMNS, EDGE_COLUMNS)) ||
           cli_fail(CLI_FAILED, "standard output", "out of memory");
}

/* ---- Taking ---- */

/* Where an element of x lies, and of the residual, which has its layout. */
static uint64_t place(const anynorm_spec *spec, uint64_t row, uint64_t column)
{
    uint64_t outer = spec->inner_rows ? row / spec->inner_rows : 0;
    uint64_t inner = spec->inner_rows ? row % spec->inner_rows : row;

    if (spec->x.column_stride == 0)
        return row * spec->columns + column;
    return outer * spec->x.outer_stride + inner * spec->x.row_stride +
           column / spec->column_run * spec->x.column_stride + column % spec->column_run;
}

/* What is normalized: x with the pre-bias and the gated residual added. */
static double sum_at(const anynorm_spec *spec, const anynorm_host_tensors *tensors, uint64_t row,
                     uint64_t column)
{
    uint64_t at = place(spec, row, column);
    double sum = anynorm_dtype_load(spec->x.type, tensors->x, at);

    if (spec->flags & ANYNORM_PRE_BIAS) {
        uint64_t cycle = spec->parameters.cycle ? spec->parameters.cycle : spec->columns;
        uint64_t run = spec->parameters.run;
        uint64_t parameter = row % spec->parameters.rows * (cycle / run) + column % cycle / run;

        sum += anynorm_dtype_load(spec->parameters.type, tensors->pre_bias, parameter);
    }
    if (spec->flags & ANYNORM_RESIDUAL) {
        double residual = anynorm_dtype_load(spec->residual.type, tensors->residual, at);

        if (spec->flags & ANYNORM_GATE)
            residual *= anynorm_dtype_load(spec->gate.type, tensors->gate,
                                           row / spec->sample_rows * spec->columns + column);
        sum += residual;
    }
    return sum;
}

/* By two passes; what rounding left in the mean is taken out again. Without a mean, the mean
 * square, or the sum of squares. In double from what is normalized, since 1/rstd^2 - eps loses all
 * digits of a variance that is small beside eps. */
static double variance_of(const anynorm_spec *spec, const anynorm_host_tensors *tensors,
                          uint64_t row)
{
    bool centred = !(spec->flags & ANYNORM_RMS);
    double origin = centred ? sum_at(spec, tensors, row, 0) : 0.0;
    double count = (double)spec->columns;
    double divisor = spec->flags & ANYNORM_L2         ? 1.0
                     : spec->flags & ANYNORM_UNBIASED ? count - 1.0
                                                      : count;
    double sum = 0.0;
    double squares = 0.0;
    double mean = 0.0;

    if (centred) {
        for (uint64_t c = 0; c < spec->columns; c++)
            sum += sum_at(spec, tensors, row, c) - origin;
        mean = origin + sum / count;
        sum = 0.0;
    }
    for (uint64_t c = 0; c < spec->columns; c++) {
        double off = sum_at(spec, tensors, row, c) - mean;

        sum += centred ? off : 0.0;
        squares += off * off;
    }
    return (squares - sum / count * sum) / divisor;
}

static void take_stats(const struct norm *work, const anynorm_host_tensors *tensors, uint64_t row,
                       double *values)
{
    values[MEAN] = work->spec.flags & ANYNORM_RMS ? 0.0 : (double)tensors->mean[row];
    values[VARIANCE] = variance_of(&work->spec, tensors, row);
    values[RSTD] = (double)tensors->rstd[row];
}

static void take_line(const struct norm *work, const anynorm_host_tensors *tensors, uint64_t line,
                      double *values)
{
    struct shown columns = work->preview.columns;
    bool backward = norm_is_backward(&work->options);
    anynorm_dtype type = norm_output_type(work, backward ? OUT_DX : OUT_Y);
    const void *result = backward ? tensors->dx : tensors->y;

    for (uint64_t c = 0; c < shown_count(columns); c++)
        values[c] =
            anynorm_dtype_load(type, result, line * columns.total + shown_index(columns, c));
}

/* Takes what is shown of `count` lines, the first of which is line `first`. */
static void take(const struct print *print, uint64_t first, uint64_t count, const struct norm *work,
                 const anynorm_host_tensors *tensors,
                 void (*take_one)(const struct norm *, const anynorm_host_tensors *, uint64_t,
                                  double *))
{
    for (uint64_t k = 0; print->values && k < shown_count(print->rows); k++) {
        uint64_t row = shown_index(print->rows, k);

        if (row >= first && row - first < count)
            take_one(work, tensors, row - first, print->values + k * shown_count(print->columns));
    }
}

void norm_print_take(struct norm *work, const anynorm_host_tensors *tensors, uint64_t first,
                     uint64_t count)
{
    uint64_t columns = work->spec.columns, line = work->shape.line;

    take(&work->stats, first, count, work, tensors, take_stats);
    /* The rows of a block are whole images. */
    take(&work->preview, first * columns / line, count * columns / line, work, tensors, take_line);
}

/* ---- Printing ---- */

/* %.6g, but never "-nan". */
static const char *number_text(double value, char text[NUMBER_TEXT])
{
    snprintf(text, NUMBER_TEXT, "%.6g", isnan(value) ? fabs(value) : value);
    return text;
}

/* One line for each row, 6 significant digits, aligned; "..." where something is left out. */
static void print_preview(const struct print *print)
{
    uint64_t rows = shown_count(print->rows), columns = shown_count(print->columns);
    char text[NUMBER_TEXT];
    size_t width = 1;

    for (uint64_t i = 0; i < rows * columns; i++) {
        size_t length = strlen(number_text(print->values[i], text));

        width = length > width ? length : width;
    }
    for (uint64_t r = 0; r < rows; r++) {
        if (shown_gap(print->rows, r))
            puts("...");
        for (uint64_t c = 0; c < columns; c++)
            printf("%s%s%*s", c ? " " : "", shown_gap(print->columns, c) ? "... " : "", (int)width,
                   number_text(print->values[r * columns + c], text));
        putchar('\n');
    }
}

static void print_stats(const struct print *print, uint32_t flags)
{
    const char *const heads[STATS] = {"mean",
                                      !(flags & ANYNORM_RMS) ? "variance"
                                      : flags & ANYNORM_L2   ? "square-sum"
                                                             : "mean-square",
                                      "rstd"};
    int first = flags & ANYNORM_RMS ? VARIANCE : MEAN; /* without a mean */
    char text[NUMBER_TEXT];
    int width =
        snprintf(text, sizeof text, "%" PRIu64, print->rows.total ? print->rows.total - 1 : 0);

    width = width > 3 ? width : 3;
    printf("%*s", width, "row");
    for (int i = first; i < STATS; i++)
        printf(" %13s", heads[i]);
    putchar('\n');
    for (uint64_t k = 0; k < shown_count(print->rows); k++) {
        if (shown_gap(print->rows, k))
            puts("...");
        printf("%*" PRIu64, width, shown_index(print->rows, k));
        for (int i = first; i < STATS; i++)
            printf(" %13s", number_text(print->values[k * STATS + (uint64_t)i], text));
        putchar('\n');
    }
}

void norm_print(const struct norm *work)
{
    if (work->preview.values)
        print_preview(&work->preview);
    if (work->preview.values && work->stats.values)
        putchar('\n');
    if (work->stats.values)
        print_stats(&work->stats, work->spec.flags);
}
