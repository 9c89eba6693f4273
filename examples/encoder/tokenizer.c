/* Sentences into tokens. */
#include "tokenizer.h"

#include "common.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 100 }; /* characters of a word; a longer one is unknown, as BERT has it */

static int by_text(const void *left, const void *right)
{
    return strcmp(((const struct word *)left)->text, ((const struct word *)right)->text);
}

static int32_t find(const struct tokenizer *tokenizer, const char *text)
{
    struct word wanted = {text, 0};
    const struct word *word =
        bsearch(&wanted, tokenizer->words, tokenizer->count, sizeof wanted, by_text);

    return word ? word->id : -1;
}

static int32_t find_special(const struct tokenizer *tokenizer, const char *text)
{
    int32_t id = find(tokenizer, text);

    if (id < 0)
        fail("vocab.txt: it has no line %s", text);
    return id;
}

struct tokenizer tokenizer_read(const char *folder)
{
    struct tokenizer tokenizer = {0};
    size_t size, lines = 0;
    char *next;

    tokenizer.text = read_text(folder, "vocab.txt", &size);
    for (size_t i = 0; i < size; i++)
        lines += tokenizer.text[i] == '\n';
    tokenizer.words = take_memory(lines + 1, sizeof *tokenizer.words);
    for (char *line = tokenizer.text; line < tokenizer.text + size; line = next) {
        size_t length = strcspn(line, "\n");

        next = line + length + 1;
        line[length - (length && line[length - 1] == '\r')] = 0;
        tokenizer.words[tokenizer.count] = (struct word){line, (int32_t)tokenizer.count};
        tokenizer.count++;
    }
    qsort(tokenizer.words, tokenizer.count, sizeof *tokenizer.words, by_text);
    tokenizer.unknown = find_special(&tokenizer, "[UNK]");
    tokenizer.begin = find_special(&tokenizer, "[CLS]");
    tokenizer.end = find_special(&tokenizer, "[SEP]");
    return tokenizer;
}

void tokenizer_destroy(struct tokenizer *tokenizer)
{
    free(tokenizer->words);
    free(tokenizer->text);
}

static void add(struct sentence *sentence, int32_t token)
{
    sentence->tokens = grow_memory(sentence->tokens, sentence->count + 1, sizeof(int32_t));
    sentence->tokens[sentence->count++] = token;
}

/* A word that has been cleaned, in UTF-8, with its characters counted. */
struct letters {
    char text[4 * LONGEST + 1];
    size_t length;
    size_t characters; /* may be more than there was room for */
};

static void append(struct letters *word, int32_t character)
{
    if (word->characters++ < LONGEST)
        word->length += text_encode(character, word->text + word->length);
}

/* The longest piece of the vocabulary that the rest of the word begins with, again and again; if
 * there is once none, all of the word is unknown. */
static void add_word(const struct tokenizer *tokenizer, struct sentence *sentence,
                     struct letters *word)
{
    size_t first = sentence->count, begin = 0;

    while (word->characters <= LONGEST && begin < word->length) {
        char piece[sizeof word->text + 2] = "##";
        size_t mark = begin ? 2 : 0, length = word->length - begin;
        int32_t id = -1;

        memcpy(piece + mark, word->text + begin, length);
        for (; length && id < 0; length--) {
            piece[mark + length] = 0;
            id = find(tokenizer, piece);
            if (id >= 0)
                break;
        }
        if (id < 0)
            break;
        add(sentence, id);
        begin += length;
    }
    if (begin < word->length || word->characters > LONGEST) {
        sentence->count = first;
        add(sentence, tokenizer->unknown);
    }
    word->length = word->characters = 0;
}

struct sentence tokenizer_split(const struct tokenizer *tokenizer, const char *text, size_t most)
{
    struct sentence sentence = {0};
    struct letters word = {.length = 0};
    size_t length;

    add(&sentence, tokenizer->begin);
    for (const char *at = text; *at; at += length) {
        int32_t character = text_decode(at, &length);
        enum text_kind kind;

        if (character < 0)
            fail("a sentence is no UTF-8 at its byte %zu", (size_t)(at - text));
        kind = text_classify(character);
        if (kind == TEXT_NOTHING)
            continue;
        if (kind != TEXT_LETTER)
            add_word(tokenizer, &sentence, &word);
        if (kind != TEXT_SPACE)
            append(&word, text_fold(character));
        if (kind == TEXT_ALONE)
            add_word(tokenizer, &sentence, &word);
    }
    add_word(tokenizer, &sentence, &word);
    add(&sentence, tokenizer->end);
    if (sentence.count > most)
        fail("a sentence has %zu tokens, and the model takes %zu at most", sentence.count, most);
    return sentence;
}
