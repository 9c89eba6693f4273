/* The page's own text, before and after its numbers: embed_page.py makes it of page/. */
#ifndef ANYNORM_CLI_PAGE_TEXT_H
#define ANYNORM_CLI_PAGE_TEXT_H

#include <stddef.h>

extern const char explain_before_text[], explain_after_text[];
extern const size_t explain_before_length, explain_after_length;

#endif
