/* How many work-groups a launch has. Every kernel loops over the rows that are more. */
#include "grid.h"

#include "base/checked.h"
#include "spec/tensors.h"

/* Work-groups for each core of a CPU device: enough to even out cores that are not equally free,
 * few enough that handing them out costs nothing. */
#define GROUPS_PER_UNIT 32

/* Bytes that a work-item of a copy has to do at least, so that a small copy takes few. */
#define COPY_BYTES 64

/* Rows side by side only where that leaves no core without work. */
static uint64_t item_groups(const anynorm_device_info *info, const struct an_choice *choice,
                            uint64_t rows)
{
    uint64_t together = choice->group * choice->rows;
    if (rows < together * info->compute_units)
        together = choice->group;
    return an_divide_up(rows, together);
}

/* One for each set of strips (as kernels/opencl/column_walk.cl has them) that its work-items walk
 * side by side; on a CPU not fewer than keep all of its cores busy. */
static uint64_t walk_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                            const struct an_choice *choice, uint64_t rows)
{
    uint64_t neighbours = choice->group / choice->slices, length = neighbours * choice->vector;
    uint64_t strips = an_divide_up(rows, length);
    if (neighbours == 1 && spec->inner_rows > 0)
        strips = rows / spec->inner_rows * an_divide_up(spec->inner_rows, length) +
                 an_divide_up(rows % spec->inner_rows, length);
    uint64_t groups = an_divide_up(strips, choice->held), cores = info->compute_units;
    return choice->group == 1 && groups < cores ? an_least(strips, cores) : groups;
}

uint64_t an_grid_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                        const struct an_choice *choice, uint64_t rows)
{
    uint64_t groups;
    bool evened = choice->group == 1; /* a work-item that is a core's whole vector unit */
    switch (choice->schedule) {
    case AN_COPY:
    case AN_COPY_STREAMING:
    case AN_ADD:
        groups = an_divide_up(rows * spec->columns * an_tensor_narrowest(spec),
                              COPY_BYTES * choice->group);
        evened = true;
        break;
    case AN_ROW_PER_ITEM:
        groups = item_groups(info, choice, rows);
        break;
    case AN_COLUMN_WALK:
        groups = walk_groups(info, spec, choice, rows);
        break;
    default:
        groups = an_divide_up(rows, choice->rows ? choice->rows : 1);
    }
    if (evened)
        groups = an_least(groups, (uint64_t)info->compute_units * GROUPS_PER_UNIT);
    return an_least(groups, info->max_groups);
}
