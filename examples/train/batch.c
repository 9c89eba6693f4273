#include "batch.h"

void batch_fill(const struct sizes *sizes, struct text *text, int *characters, int *targets)
{
    for (int b = 0; b < sizes->batch; b++) {
        int last = text_next(text);
        for (int t = 0; t < sizes->context; t++) {
            int next = text_next(text);
            characters[b * sizes->context + t] = last;
            targets[b * sizes->context + t] = last = next;
        }
    }
}
