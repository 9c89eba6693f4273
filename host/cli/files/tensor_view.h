/* In which order the elements of a tensor are read: as those of axes, the last of them the fastest,
 * each with the step from one of its elements to the next. */
#ifndef ANYNORM_CLI_TENSOR_VIEW_H
#define ANYNORM_CLI_TENSOR_VIEW_H

#include "tensor_layout.h"

#include <stdbool.h>
#include <stdint.h>

/* An axis or two may be cut in parts. */
enum { VIEW_MAX_RANK = TENSOR_MAX_RANK + 2 };

struct tensor_view {
    uint32_t rank;
    uint64_t sizes[VIEW_MAX_RANK];
    uint64_t steps[VIEW_MAX_RANK]; /* in elements; 0: what is behind the axis comes again */
};

/* Appends an axis, which becomes the fastest. */
void view_axis(struct tensor_view *view, uint64_t size, uint64_t step);

/* A tensor as it lies in its file, in C order. */
struct tensor_view view_of(const struct tensor_layout *layout);

/* Stretches a view to a shape as numpy's broadcast_to does; false: numpy refuses. */
bool view_stretch(const struct tensor_view *view, const uint64_t *sizes, uint32_t rank,
                  struct tensor_view *stretched);

/* Whether its elements, in order, lie one behind the other. */
bool view_is_dense(const struct tensor_view *view);

/* How often pieces of `unit` elements come again, one right after the other, counted from any
 * multiple of so many: 1 if each may be another. `unit` is the product of the last axes. */
uint64_t view_repeats(const struct tensor_view *view, uint64_t unit);

/* Copies `count` elements of `size` bytes from number `first` on. */
void view_read(const struct tensor_view *view, const uint8_t *data, uint32_t size, uint64_t first,
               uint64_t count, uint8_t *out);

#endif
