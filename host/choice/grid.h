/* The size of a launch. */
#ifndef AN_GRID_H
#define AN_GRID_H

#include "choice.h"

/* Work-groups for 1 row or more, or as many pieces of rows. */
uint64_t an_grid_groups(const anynorm_device_info *info, const anynorm_spec *spec,
                        const struct an_choice *choice, uint64_t rows);

#endif
