/* The choices that a tuner measures: what no closed form knows, from device to device. */
#ifndef AN_VARIANTS_H
#define AN_VARIANTS_H

#include "choice.h"

struct an_variants {
    struct an_choice choices[ANYNORM_MAX_VARIANTS]; /* complete, no two the same */
    size_t count;
};

/* Those that fit the device and the resolved spec: `first` (NULL: none), the closed form of every
 * schedule in the order of preference, then these with one number changed, then with two. */
void an_variants_list(const anynorm_device_info *info, const anynorm_spec *spec,
                      const struct an_choice *first, struct an_variants *variants);

#endif
