/* Which fields of a spec may stand together. */
#ifndef AN_SPEC_RULES_H
#define AN_SPEC_RULES_H

#include <anynorm/anynorm.h>

/* Everything about a spec but its strides' values. INVALID_ARGUMENT names the field. */
anynorm_status an_spec_check_fields(const anynorm_spec *spec);

#endif
