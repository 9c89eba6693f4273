/* Storage types on the host, beside what anynorm.h has of them. */
#ifndef AN_DTYPE_H
#define AN_DTYPE_H

#include <anynorm/anynorm.h>

bool an_dtype_valid(anynorm_dtype type);

/* Whether it is one of the types that only y has: numbers of few bits, with a scale beside them. */
bool an_dtype_quantized(anynorm_dtype type);

/* A name of anynorm_dtype_name, of `length` characters; false if it is none of them. */
bool an_dtype_parse(const char *text, size_t length, anynorm_dtype *type);

#endif
