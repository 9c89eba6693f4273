/* Sums over rows, and in which order they are taken.
 *
 * The rows are cut into *parts*, each of which some work-item or work-group walks from its first
 * row to its last, adding up by columns; what it has then goes into the workspace, and a second
 * launch adds up the parts. A part holds every `classes`-th row, those that share a row of
 * parameters, of one *span*: rows that share a row of gate, scale and shift where gradients of
 * these are wanted, else all. Where the parts end is told by the spec and the number of rows alone,
 * so that the order of additions is, too.
 *
 * Part i is number i % parts_of_class of class i / parts_of_class % classes of span
 * i / (parts_of_class * classes). */
#ifndef AN_GRADIENT_H
#define AN_GRADIENT_H

#include "spec.h"

struct an_parts {
    uint64_t count;          /* of all parts */
    uint64_t rows;           /* of one, at most */
    uint64_t span;           /* rows; the last may have fewer */
    uint64_t classes;        /* rows that are so far apart belong together */
    uint64_t parts_of_class; /* in a span */
    uint64_t sample_rows;    /* where a part holds whole samples: rows of each. Their sums are then
                                known    when the sample ends, and need no second launch. Else 0 */
    bool compensated;        /* parts are so long that what additions lose is kept, too */
};

/* What a launch has of a call's rows: `rows` of them, from number `first` on. A part that it does
 * not end is continued by the next one: the workspace holds all parts of the call. */
struct an_stretch {
    uint64_t first;
    uint64_t rows;
    uint64_t of_rows; /* all of the call's */
};

static inline struct an_stretch an_stretch_whole(uint64_t rows)
{
    return (struct an_stretch){0, rows, rows};
}

/* INVALID_ARGUMENT with a message where its rows are not among the call's. */
anynorm_status an_stretch_check(const struct an_stretch *stretch);

/* Rows of a part that some schedules walk together: their terms are added to each other before the
 * part's sums see them. */
#define AN_ROWS_TOGETHER 4

/* For 1 row or more of a resolved spec. Where nothing is summed, parts are what one work-item does.
 */
struct an_parts an_gradient_parts(const anynorm_spec *spec, uint64_t rows);

/* How many parts the walk of a stretch looks at: those with rows of it, and few others. */
uint64_t an_gradient_parts_within(const struct an_parts *parts, const struct an_stretch *stretch);

/* Whether sums over rows that end with the stretch are left to a second launch: those of samples
 * that do, and at the call's end those of parameters. */
bool an_gradient_finishes(const anynorm_spec *spec, const struct an_parts *parts,
                          const struct an_stretch *stretch);

/* The last row up to `row`, which is less than `of_rows`, at which one stretch may end and another
 * begin without a bit changed; 0: there is none. */
uint64_t an_gradient_cut(const anynorm_spec *spec, uint64_t of_rows, uint64_t row);

/* ---- Calls that several devices share ----
 *
 * Each finds the parts of a stretch of rows, and the last one, which has the parts of all in its
 * workspace, their sums. */

/* Blocks of rows that the reference adds up for themselves, instead of parts: so few that its sums,
 * of two numbers in double, take about the room that parts do. */
#define AN_REFERENCE_BLOCKS 16

/* Rows of such a block. */
uint64_t an_gradient_block(const anynorm_spec *spec, uint64_t of_rows);

/* The last row up to `row`, which is less than `of_rows`, where the stretch of another device may
 * begin; 0: there is none. */
uint64_t an_gradient_division(const anynorm_spec *spec, bool reference, uint64_t of_rows,
                              uint64_t row);

/* What a stretch between such rows leaves the last one: ranges of the workspace, all of `bytes`
 * bytes. */
struct an_left {
    uint64_t count;  /* of ranges; 0 where no sums end with the call */
    uint64_t offset; /* where the range of the number `index` begins, which is below count */
    uint64_t bytes;
};
struct an_left an_gradient_left(const anynorm_spec *spec, bool reference,
                                const struct an_stretch *stretch, uint64_t index);

/* How many tensors are summed over rows, and elements from one row of the workspace to the next: it
 * has [tensors][parts][pitch] sums, three times that where they are compensated. */
uint64_t an_gradient_sums(const anynorm_spec *spec);
uint64_t an_gradient_pitch(const anynorm_spec *spec);

/* Bytes of the workspace, 0 where nothing is summed; false where that needs more than 64 bits. */
bool an_gradient_workspace(const anynorm_spec *spec, uint64_t rows, uint64_t *bytes);

#endif
