/* The cases that `anynorm verify` goes through for one schedule. */
#ifndef ANYNORM_CLI_VERIFY_LIST_H
#define ANYNORM_CLI_VERIFY_LIST_H

#include "case.h"

#include <stddef.h>

/* Those of plain LayerNorm in one type; then those of the family, in all types but f64. False past
 * the last. A case may have no meaning. */
bool verify_plain_case(bool quick, anynorm_dtype type, size_t index, struct verify_case *c);
bool verify_family_case(bool quick, size_t index, struct verify_case *c);

#endif
