/* Which of several devices a caller without a wish gets. */
#ifndef AN_PREFERENCE_H
#define AN_PREFERENCE_H

#include <anynorm/anynorm.h>

/* Of two devices the better has the larger; of equally good ones the first is taken. By class, by
 * memory, by what is faster by class, of the device and of its driver (one GPU that OpenCL and
 * Vulkan both reach is two devices, whose units they may count differently), and by units. */
uint64_t an_preference(const anynorm_device_info *info);

/* Whether the names are those of what emulates, or simulates, a device. */
bool an_emulates(const char *name, const char *platform);

#endif
