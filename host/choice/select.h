/* The choice of a schedule: who walks a row, and with how many work-items. */
#ifndef AN_SELECT_H
#define AN_SELECT_H

#include "choice.h"

/* Whether it is a device of Vulkan's, whose kernels are others than OpenCL's: by its id. */
bool an_info_is_vulkan(const anynorm_device_info *info);

/* The schedules in order of preference for the resolved `spec` on the device: the one at `index`,
 * false past the last. */
bool an_select_order(const anynorm_device_info *info, const anynorm_spec *spec, size_t index,
                     enum an_schedule *schedule);

/* Whether the schedule of `wish` serves the resolved `spec` on the device, with the numbers that
 * the wish gives; if so, *choice. Either way `reason` says why. */
bool an_select_fits(const anynorm_device_info *info, const anynorm_spec *spec,
                    const struct an_choice *wish, struct an_choice *choice, char *reason,
                    size_t capacity);

/* Whether a row of such a row_split is longer than a group may walk as a whole, so that it must be
 * split whatever else there is to do. */
bool an_select_in_pieces(const anynorm_device_info *info, const anynorm_spec *spec,
                         const struct an_choice *choice);

/* The schedule that has the least limits for such a `spec`, resolved: where none serves it, the
 * limit that this one tells of is the reason. */
enum an_schedule an_select_widest(const anynorm_device_info *info, const anynorm_spec *spec);

/* Which size of sub-groups kernels are made for, where a device has `usual` and takes any power of
 * two from `least` to `most`; 0: none that they know. */
uint32_t an_select_subgroup_size(uint32_t usual, uint32_t least, uint32_t most);

#endif
