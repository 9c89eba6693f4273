#include "tensor_view.h"

#include <string.h>

void view_axis(struct tensor_view *view, uint64_t size, uint64_t step)
{
    view->sizes[view->rank] = size;
    view->steps[view->rank] = size == 1 ? 0 : step;
    view->rank++;
}

struct tensor_view view_of(const struct tensor_layout *layout)
{
    struct tensor_view view = {.rank = layout->rank};
    uint64_t step = 1;

    for (uint32_t i = 0; i < layout->rank; i++) {
        uint32_t axis = layout->fortran ? i : layout->rank - 1 - i;

        view.sizes[axis] = layout->shape[axis];
        view.steps[axis] = layout->shape[axis] == 1 ? 0 : step;
        step *= layout->shape[axis];
    }
    return view;
}

bool view_stretch(const struct tensor_view *view, const uint64_t *sizes, uint32_t rank,
                  struct tensor_view *stretched)
{
    struct tensor_view out = {0};
    uint32_t missing;

    if (view->rank > rank)
        return false;
    missing = rank - view->rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t own = i < missing ? 1 : view->sizes[i - missing];

        if (own != 1 && own != sizes[i])
            return false;
        view_axis(&out, sizes[i], own == 1 ? 0 : view->steps[i - missing]);
    }
    *stretched = out;
    return true;
}

bool view_is_dense(const struct tensor_view *view)
{
    uint64_t step = 1;

    for (uint32_t i = view->rank; i-- > 0;) {
        if (view->sizes[i] == 1)
            continue;
        if (view->steps[i] != step)
            return false;
        step *= view->sizes[i];
    }
    return true;
}

uint64_t view_repeats(const struct tensor_view *view, uint64_t unit)
{
    uint32_t axis = view->rank;
    uint64_t repeats = 1;

    for (uint64_t covered = 1; covered < unit; axis--)
        covered *= view->sizes[axis - 1];
    for (; axis > 0 && view->steps[axis - 1] == 0; axis--)
        repeats *= view->sizes[axis - 1];
    return repeats;
}

/* Where an element lies. */
struct walk {
    uint64_t index[VIEW_MAX_RANK];
    uint64_t offset;
};

static struct walk walk_start(const struct tensor_view *view, uint64_t first)
{
    struct walk walk = {.offset = 0};

    for (uint32_t i = view->rank; i-- > 0;) {
        walk.index[i] = first % view->sizes[i];
        walk.offset += walk.index[i] * view->steps[i];
        first /= view->sizes[i];
    }
    return walk;
}

/* After the index of the last axis grew: carries what is full into the axis before. */
static void walk_carry(struct walk *walk, const struct tensor_view *view)
{
    for (uint32_t i = view->rank; i-- > 0;) {
        if (walk->index[i] < view->sizes[i])
            return;
        walk->offset -= walk->index[i] * view->steps[i];
        walk->index[i] = 0;
        if (i > 0) {
            walk->index[i - 1]++;
            walk->offset += view->steps[i - 1];
        }
    }
}

static void copy_apart(const uint8_t *from, uint64_t step, uint32_t size, uint64_t count,
                       uint8_t *to)
{
    uint64_t bytes = step * size;

    switch (size) {
    case 2:
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 2, from + i * bytes, 2);
        break;
    case 4:
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 4, from + i * bytes, 4);
        break;
    default:
        for (uint64_t i = 0; i < count; i++)
            memcpy(to + i * 8, from + i * bytes, 8);
        break;
    }
}

static void copy_run(const uint8_t *from, uint64_t step, uint32_t size, uint64_t count, uint8_t *to)
{
    if (step == 1) {
        memcpy(to, from, count * size);
    } else {
        copy_apart(from, step, size, count, to);
    }
}

void view_read(const struct tensor_view *view, const uint8_t *data, uint32_t size, uint64_t first,
               uint64_t count, uint8_t *out)
{
    struct walk walk;
    uint32_t last;

    if (count == 0)
        return;
    if (view_is_dense(view)) {
        memcpy(out, data + first * size, count * size);
        return;
    }
    last = view->rank - 1;
    walk = walk_start(view, first);
    while (count > 0) {
        uint64_t run = view->sizes[last] - walk.index[last];

        if (run > count)
            run = count;
        copy_run(data + walk.offset * size, view->steps[last], size, run, out);
        out += run * size;
        count -= run;
        walk.index[last] += run;
        walk.offset += run * view->steps[last];
        walk_carry(&walk, view);
    }
}
