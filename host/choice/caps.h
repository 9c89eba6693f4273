/* What a device can do, and pretending that it can do less. */
#ifndef AN_CAPS_H
#define AN_CAPS_H

#include <anynorm/anynorm.h>

/* Applies a list such as "no-fp16,max-wg=64" to *info: features off, limits lowered (never raised).
 * INVALID_ARGUMENT names the word that is wrong; *info is then untouched. */
anynorm_status an_caps_mask(anynorm_device_info *info, const char *list);

/* The same with $ANYNORM_CAPS, if it is set. */
anynorm_status an_caps_mask_environment(anynorm_device_info *info);

#endif
