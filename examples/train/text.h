/* Text without end, made of a small grammar, as numbers of characters. */
#ifndef TRAIN_TEXT_H
#define TRAIN_TEXT_H

#include "random.h"

enum { VOCABULARY = 32, MOST_SENTENCE = 256 };

struct text {
    struct random random;
    char sentence[MOST_SENTENCE]; /* what is being handed out */
    int at;
};

void text_begin(struct text *text, uint64_t seed);
/* The number of the next character, below VOCABULARY. */
int text_next(struct text *text);
char text_character(int number);

#endif
