/* WordPiece, as BERT's uncased models do it: text.h says which characters are known.
 *
 * Not done: special tokens that stand in a sentence ("[MASK]") are text like any other; a sentence
 * that is too long for the model is refused and not cut. */
#ifndef ENCODER_TOKENIZER_H
#define ENCODER_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

struct word {
    const char *text;
    int32_t id; /* its line in vocab.txt, from 0 on */
};

struct tokenizer {
    char *text;
    struct word *words; /* sorted by their text */
    size_t count;
    int32_t unknown, begin, end; /* [UNK], [CLS] and [SEP] */
};

struct sentence {
    int32_t *tokens;
    size_t count;
};

/* Reads vocab.txt. */
struct tokenizer tokenizer_read(const char *folder);
void tokenizer_destroy(struct tokenizer *tokenizer);

/* [CLS], the pieces of the text, [SEP]: free(tokens). More than `most` tokens, and text that is no
 * UTF-8, end the program. */
struct sentence tokenizer_split(const struct tokenizer *tokenizer, const char *text, size_t most);

#endif
