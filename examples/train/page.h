/* A study as a page for a browser, with all that it needs in it. */
#ifndef TRAIN_PAGE_H
#define TRAIN_PAGE_H

#include "study.h"

/* train.html in the folder of the study's options. */
void page_write(const struct study *study);

#endif
