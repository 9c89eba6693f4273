/* A study as a page for a browser, with all that it needs in it. */
#ifndef TRAIN_PAGE_H
#define TRAIN_PAGE_H

#include <stdio.h>

#include "study.h"

void page_write(FILE *file, const struct study *study);

#endif
