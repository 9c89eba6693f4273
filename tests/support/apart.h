/* Tensors of an enqueue without a device: each of what a spec names, right as it can be. */
#ifndef AN_TESTS_APART_H
#define AN_TESTS_APART_H

#include "refused.h"

#include "spec/tensors.h"

extern const int owner, other_owner; /* of buffers */

#define assert_refused_tensors(call) assert_refused((call), ANYNORM_INVALID_ARGUMENT)

anynorm_spec resolved(anynorm_spec spec);

#define ROWS 5

extern const anynorm_spec usual; /* LayerNorm with all of its tensors */
extern const anynorm_spec whole; /* every tensor there is */
extern const anynorm_spec half;  /* one that has no y */

/* Every tensor of the spec in a memory of its own, at offset 64 and exactly as long as needed. */
anynorm_tensors apart(const anynorm_spec *spec, uint32_t kind);

/* For ROWS rows, of `owner`. */
anynorm_status check(const anynorm_spec *spec, const anynorm_tensors *tensors);

extern const uint32_t kinds[4]; /* of buffers */

#endif
