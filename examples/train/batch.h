/* Batches of text: sequences of characters, and of each the character that follows. */
#ifndef TRAIN_BATCH_H
#define TRAIN_BATCH_H

#include "layout.h"
#include "text.h"

/* Both have sizes.batch * sizes.context elements. */
void batch_fill(const struct sizes *sizes, struct text *text, int *characters, int *targets);

#endif
