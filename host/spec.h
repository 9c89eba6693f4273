/* The spec as every other room sees it: validated, with each default filled in. */
#ifndef AN_SPEC_H
#define AN_SPEC_H

#include <anynorm/anynorm.h>

/* Where the rows of one tensor lie, in elements. inner_rows == 0: one level. */
struct an_layout {
    uint64_t columns;
    uint64_t inner_rows;
    uint64_t row_stride;
    uint64_t outer_stride; /* 0 with one level */
};

/* Validates `spec` and writes it to *resolved with its strides filled in. Two levels that are
 * really one become one: then inner_rows and the outer strides are 0. INVALID_ARGUMENT. */
anynorm_status an_spec_resolve(const anynorm_spec *spec, anynorm_spec *resolved);

/* Of a resolved spec. */
struct an_layout an_spec_x_layout(const anynorm_spec *spec);
struct an_layout an_spec_y_layout(const anynorm_spec *spec);

/* True if any of the spec's tensors is f64: then statistics are, too. */
bool an_spec_double(const anynorm_spec *spec);

/* Elements from the first of row 0 to the one past the last of `rows` rows; 0 for no rows. False
 * where that needs more than 64 bits. */
bool an_layout_extent(const struct an_layout *layout, uint64_t rows, uint64_t *elements);

/* The element where `row` starts. The caller knows that the extent does not overflow. */
uint64_t an_layout_start(const struct an_layout *layout, uint64_t row);

/* True if no two of `rows` rows share an element, by one level's rows lying within the stride of
 * the other's. (Other disjoint patterns exist; no tensor library makes them.) */
bool an_layout_disjoint(const struct an_layout *layout, uint64_t rows);

#endif
