/* Single elements of any dtype as doubles. */
#ifndef ANYNORM_CLI_ELEMENT_H
#define ANYNORM_CLI_ELEMENT_H

#include <anynorm/anynorm.h>

#include <stdint.h>

/* Element `index` at `data`, which may have any alignment. Exact for every type. */
double element_read(anynorm_dtype type, const void *data, uint64_t index);

#endif
