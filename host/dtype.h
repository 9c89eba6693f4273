/* Storage types on the host, beside what anynorm.h has of them. */
#ifndef AN_DTYPE_H
#define AN_DTYPE_H

#include <anynorm/anynorm.h>

bool an_dtype_valid(anynorm_dtype type);

/* "f32", "f16", "bf16", "f64" of `length` characters; false if it is none of them. */
bool an_dtype_parse(const char *text, size_t length, anynorm_dtype *type);

#endif
