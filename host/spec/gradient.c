#include "gradient.h"

#include <inttypes.h>

#include "base/checked.h"
#include "base/status.h"

/* Parts are as many as keep a device's units busy evenly, and have so many rows that their sums are
 * little beside these: at best LEAST_PARTS or more, then of MOST_ROWS_OF_SMALL rows or more, and no
 * more than have MOST_SUMS sums together, or LEAST_PARTS where rows are long. */
#define LEAST_PARTS 64
#define ROWS_OF_PART 16
#define MOST_SUMS (UINT64_C(1) << 20)

/* Rows that a part may have before it is added up in blocks of so many, and what is lost in adding
 * these up is kept: kernels/opencl/row_sums.clh. */
#define ROWS_UNCOMPENSATED 64

/* Sums of a vector, whichever it is. */
#define WIDEST_VECTOR 16

static uint64_t rows_of_part(uint64_t rows, uint64_t columns)
{
    uint64_t most = columns >= MOST_SUMS / LEAST_PARTS ? LEAST_PARTS : MOST_SUMS / columns;
    uint64_t wanted = an_divide_up(rows, LEAST_PARTS);
    wanted = wanted < ROWS_OF_PART ? wanted : ROWS_OF_PART;
    uint64_t least = an_divide_up(rows, most);
    return wanted > least ? wanted : least;
}

struct an_parts an_gradient_parts(const anynorm_spec *spec, uint64_t rows)
{
    bool of_samples = spec->gradients.flags & AN_SAMPLE_SUMS;
    bool of_parameters = spec->gradients.flags & AN_PARAMETER_SUMS;
    struct an_parts parts = {.rows = rows_of_part(rows, spec->columns), .span = rows, .classes = 1};
    if (of_parameters)
        parts.classes = spec->parameters.rows;
    if (of_samples) {
        parts.span = an_least(spec->sample_rows, rows);
        if (parts.classes == 1 && parts.span <= parts.rows) {
            parts.sample_rows = parts.span;
            parts.span *= parts.rows / parts.span;
            parts.rows = parts.span;
        }
    }
    parts.parts_of_class = an_divide_up(an_divide_up(parts.span, parts.classes), parts.rows);
    parts.count = an_divide_up(rows, parts.span) * parts.classes * parts.parts_of_class;
    parts.compensated = parts.rows > ROWS_UNCOMPENSATED;
    return parts;
}

uint64_t an_gradient_parts_within(const struct an_parts *parts, const struct an_stretch *stretch)
{
    uint64_t last = stretch->first + stretch->rows - 1, first_span = stretch->first / parts->span;
    uint64_t spans = last / parts->span + 1 - first_span, of_class = parts->parts_of_class;
    if (spans == 1) { /* as the kernels find it */
        uint64_t begin = first_span * parts->span;
        if (last + 1 < stretch->of_rows && last + 1 < begin + parts->span)
            of_class = (last - begin) / parts->classes / parts->rows + 1;
        of_class -= (stretch->first - begin) / parts->classes / parts->rows;
    }
    return spans * parts->classes * of_class;
}

bool an_gradient_finishes(const anynorm_spec *spec, const struct an_parts *parts,
                          const struct an_stretch *stretch)
{
    uint64_t end = stretch->first + stretch->rows;
    bool last = end == stretch->of_rows;
    bool of_samples = (spec->gradients.flags & AN_SAMPLE_SUMS) && !parts->sample_rows;
    return (last && (spec->gradients.flags & AN_PARAMETER_SUMS)) ||
           (of_samples && (last || end / parts->span > stretch->first / parts->span));
}

/* The last row up to `row` at which the sums that a part and its steps are made of may be cut. */
static uint64_t cut_of_sums(const anynorm_spec *spec, const struct an_parts *parts,
                            uint64_t of_rows, uint64_t row)
{
    uint64_t sample = spec->gradients.flags & AN_SAMPLE_SUMS ? spec->sample_rows : of_rows;
    uint64_t begin = row / sample * sample;
    /* A stretch begins with the first row of parameters, whose class may not be the sample's first.
     */
    while (begin % parts->classes != 0) {
        begin -= sample;
        row = begin;
    }
    if (sample < of_rows - begin && sample % parts->classes != 0)
        return begin; /* from within, the sample's end could not be reached */
    uint64_t of_class = (row - begin) / parts->classes;
    return begin + (of_class - of_class % parts->rows % AN_ROWS_TOGETHER) * parts->classes;
}

uint64_t an_gradient_cut(const anynorm_spec *spec, uint64_t of_rows, uint64_t row)
{
    uint64_t cut = row - row % spec->parameters.rows;
    if (!(spec->gradients.flags & AN_ROW_SUMS))
        return cut;
    const struct an_parts parts = an_gradient_parts(spec, of_rows);
    do {
        row = cut;
        cut = cut_of_sums(spec, &parts, of_rows, row);
        cut -= cut % spec->parameters.rows;
    } while (cut != row);
    return cut;
}

anynorm_status an_stretch_check(const struct an_stretch *stretch)
{
    if (stretch->first <= stretch->of_rows && stretch->rows <= stretch->of_rows - stretch->first)
        return ANYNORM_OK;
    return an_fail(ANYNORM_INVALID_ARGUMENT,
                   "%" PRIu64 " rows from %" PRIu64 " on are not among %" PRIu64, stretch->rows,
                   stretch->first, stretch->of_rows);
}

static uint64_t count_flags(uint32_t flags)
{
    uint64_t count = 0;
    for (; flags; flags &= flags - 1)
        count++;
    return count;
}

uint64_t an_gradient_sums(const anynorm_spec *spec)
{
    return count_flags(spec->gradients.flags & AN_ROW_SUMS);
}

uint64_t an_gradient_pitch(const anynorm_spec *spec)
{
    return an_divide_up(spec->columns, WIDEST_VECTOR) * WIDEST_VECTOR;
}

/* Rows of which all parts are whole: a span, where sums of samples end with it; else one part of
 * each class. */
static uint64_t rows_of_unit(const anynorm_spec *spec, const struct an_parts *parts)
{
    bool of_samples = spec->gradients.flags & AN_SAMPLE_SUMS;
    return of_samples || parts->parts_of_class == 1 ? parts->span : parts->rows * parts->classes;
}

uint64_t an_gradient_block(const anynorm_spec *spec, uint64_t of_rows)
{
    const struct an_parts parts = an_gradient_parts(spec, of_rows);
    uint64_t unit = rows_of_unit(spec, &parts), units = an_divide_up(of_rows, unit);
    return an_divide_up(units, AN_REFERENCE_BLOCKS) * unit;
}

uint64_t an_gradient_division(const anynorm_spec *spec, bool reference, uint64_t of_rows,
                              uint64_t row)
{
    const struct an_parts parts = an_gradient_parts(spec, of_rows);
    uint64_t unit = reference ? an_gradient_block(spec, of_rows) : rows_of_unit(spec, &parts);
    uint64_t before = row;
    if (!(spec->gradients.flags & AN_ROW_SUMS))
        return an_gradient_cut(spec, of_rows, row);
    do {
        before = row;
        row = an_gradient_cut(spec, of_rows, row - row % unit);
    } while (row != before);
    return row;
}

struct an_left an_gradient_left(const anynorm_spec *spec, bool reference,
                                const struct an_stretch *stretch, uint64_t index)
{
    const struct an_parts parts = an_gradient_parts(spec, stretch->of_rows);
    const uint64_t classes = spec->parameters.rows, end = stretch->first + stretch->rows;
    /* Runs of rows of the workspace, of which each unit of the call's rows has so many in each. */
    uint64_t runs = 1, of_unit = parts.classes * parts.parts_of_class, of_tensor = parts.count;
    uint64_t unit = rows_of_unit(spec, &parts);
    uint64_t size = an_spec_double(spec) ? sizeof(double) : sizeof(float);
    if (reference) {
        unit = an_gradient_block(spec, stretch->of_rows);
        of_unit = classes;
        of_tensor = an_divide_up(stretch->of_rows, unit) * classes;
        size = 2 * sizeof(double);
    } else if (unit < parts.span) { /* its parts lie with those of their classes */
        runs = parts.classes;
        of_unit = 1;
    }
    uint64_t begin = stretch->first / unit, units = an_divide_up(end, unit) - begin;
    uint64_t row = index / runs * of_tensor + index % runs * (of_tensor / runs) + begin * of_unit;
    uint64_t row_bytes = an_gradient_pitch(spec) * size;
    return (struct an_left){
        .count = count_flags(spec->gradients.flags & AN_PARAMETER_SUMS) * runs,
        .offset = row * row_bytes,
        .bytes = stretch->rows > 0 ? units * of_unit * row_bytes : 0,
    };
}

bool an_gradient_workspace(const anynorm_spec *spec, uint64_t rows, uint64_t *bytes)
{
    const struct an_parts parts = an_gradient_parts(spec, rows);
    uint64_t row, of_parts, of_reference;
    uint64_t size = an_spec_double(spec) ? sizeof(double) : sizeof(float);
    uint64_t blocks = an_divide_up(rows, an_gradient_block(spec, rows));
    /* The reference adds up in two numbers for each parameter and block, and for each column of a
     * sample. */
    if (!an_mul(an_gradient_sums(spec) * size, an_gradient_pitch(spec), &row) ||
        !an_mul(row, (parts.compensated ? 3 : 1) * parts.count, &of_parts) ||
        !an_mul(row, 2 * sizeof(double) / size * blocks * spec->parameters.rows, &of_reference))
        return false;
    *bytes = of_parts > of_reference ? of_parts : of_reference;
    return true;
}
