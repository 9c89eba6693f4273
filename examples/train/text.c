#include "text.h"

#include <string.h>

/* What a character's number counts in; the rest of VOCABULARY is for none. */
static const char characters[] = " abcdefghijklmnopqrstuvwxyz.,?\n";

/* A noun and a verb agree in number, also across what stands between them, so that a model has
 * something to learn beyond the spelling. */
static const char *const nouns[][2] = {
    {"baker", "bakers"},   {"river", "rivers"},   {"lantern", "lanterns"},   {"fox", "foxes"},
    {"sailor", "sailors"}, {"window", "windows"}, {"gardener", "gardeners"}, {"bell", "bells"},
    {"stone", "stones"},   {"horse", "horses"},   {"teacher", "teachers"},   {"cloud", "clouds"},
};
static const char *const verbs[][2] = {
    {"follows", "follow"}, {"finds", "find"},     {"paints", "paint"},  {"hears", "hear"},
    {"carries", "carry"},  {"forgets", "forget"}, {"watches", "watch"}, {"needs", "need"},
};
static const char *const adjectives[] = {"quiet", "old", "green", "heavy", "small", "curious"};
static const char *const places[] = {"near the mill", "under the bridge", "in the morning",
                                     "behind the wall", "before winter"};

static void add(char *sentence, const char *word)
{
    if (*sentence)
        strcat(sentence, " ");
    strcat(sentence, word);
}

static void add_noun(struct random *random, char *sentence, int plural)
{
    add(sentence, plural ? (random_below(random, 2) ? "the" : "many")
                         : (random_below(random, 2) ? "the" : "one"));
    if (random_below(random, 3) == 0)
        add(sentence, adjectives[random_below(random, 6)]);
    add(sentence, nouns[random_below(random, 12)][plural]);
}

static void add_verb(struct random *random, char *sentence, int plural)
{
    add(sentence, verbs[random_below(random, 8)][plural]);
}

/* The longest is 130 characters or so: three noun phrases, two verbs, a place. */
static void make_sentence(struct random *random, char *sentence)
{
    int plural = random_below(random, 2), question = random_below(random, 5) == 0;
    *sentence = 0;
    if (question)
        add(sentence, plural ? "do" : "does");
    add_noun(random, sentence, plural);
    if (random_below(random, 3) == 0) {
        int other = random_below(random, 2);
        strcat(sentence, ", that");
        add_noun(random, sentence, other);
        add_verb(random, sentence, other);
        strcat(sentence, ",");
    }
    add_verb(random, sentence, plural || question);
    add_noun(random, sentence, random_below(random, 2));
    if (random_below(random, 3) == 0)
        add(sentence, places[random_below(random, 5)]);
    strcat(sentence, question ? "?\n" : ".\n");
}

void text_begin(struct text *text, uint64_t seed)
{
    *text = (struct text){.random = {seed}};
}

int text_next(struct text *text)
{
    if (text->sentence[text->at] == 0) {
        make_sentence(&text->random, text->sentence);
        text->at = 0;
    }
    return (int)(strchr(characters, text->sentence[text->at++]) - characters);
}

char text_character(int number)
{
    return characters[number];
}
