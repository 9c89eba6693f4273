/* Which of several devices a caller without a wish gets. */
#ifndef AN_PREFERENCE_H
#define AN_PREFERENCE_H

#include <anynorm/anynorm.h>

/* Above 0 or 0; of two devices the better has the larger. By what is faster by class, of the device
 * and of its driver: one GPU that OpenCL and Vulkan both reach is two devices. */
int an_preference(const anynorm_device_info *info);

#endif
