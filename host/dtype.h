/* Storage types on the host: sizes, names, and exact conversion to and from double. */
#ifndef AN_DTYPE_H
#define AN_DTYPE_H

#include <anynorm/anynorm.h>

bool an_dtype_valid(anynorm_dtype type);

/* "f32", "f16", "bf16", "f64" of `length` characters; false if it is none of them. */
bool an_dtype_parse(const char *text, size_t length, anynorm_dtype *type);

/* Element `index` of an array at `base`, which may begin at any byte. Exact. */
double an_dtype_load(anynorm_dtype type, const void *base, uint64_t index);

/* Rounds once, to nearest, ties to even; too large becomes an infinity; a NaN stays one. */
void an_dtype_store(anynorm_dtype type, void *base, uint64_t index, double value);

#endif
