/* Characters as BERT's uncased models see them, before words are cut into pieces.
 *
 * Known are ASCII, Latin-1 and Latin Extended-A (so what is written in the languages of western and
 * central Europe), combining accents, and the punctuation, spaces and controls of the blocks
 * General Punctuation, CJK Symbols and the fullwidth forms. All other characters are letters here
 * and stay as they are: Greek and Cyrillic are not lower-cased, no accent of theirs or of
 * Vietnamese is taken off, Korean syllables are not taken apart. */
#ifndef ENCODER_TEXT_H
#define ENCODER_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum text_kind {
    TEXT_LETTER,  /* whatever belongs to a word */
    TEXT_SPACE,   /* parts words */
    TEXT_ALONE,   /* punctuation, or an ideograph: a word of its own */
    TEXT_NOTHING, /* left out: controls and accents */
};

/* The character that begins at `text`, which ends with a zero, and in *length its bytes; -1 where
 * it is no UTF-8. */
int32_t text_decode(const char *text, size_t *length);

/* Writes the character's UTF-8, at most 4 bytes, and returns how many. */
size_t text_encode(int32_t character, char *text);

enum text_kind text_classify(int32_t character);

/* In lower case and without its accent. */
int32_t text_fold(int32_t letter);

#endif
